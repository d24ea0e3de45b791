"""The checks of keys, rate, schedule and evaluation."""
import difflib
import os
import re

from check_annotations import some
from checked_config import Finding, Unknown, classes_named
from mmcv import Config

TOP_LEVEL = ('auto_resume', 'auto_scale_lr', 'checkpoint_config', 'custom_hooks',
             'custom_imports', 'data', 'dist_params', 'evaluation',
             'find_unused_parameters', 'fp16', 'load_from', 'log_config',
             'log_level', 'lr_config', 'model', 'momentum_config', 'optimizer',
             'optimizer_config', 'resume_from', 'runner', 'workflow')
OTHER_VERSION = {  # keys of 3.x, which 2.x ignores, and where 2.x has them
    'train_dataloader': 'data.train', 'val_dataloader': 'data.val',
    'test_dataloader': 'data.test', 'val_evaluator': 'evaluation',
    'test_evaluator': 'evaluation', 'optim_wrapper': 'optimizer',
    'param_scheduler': 'lr_config', 'default_hooks': 'checkpoint_config',
    'val_cfg': 'evaluation', 'default_scope': 'no key'}
METRICS = ('bbox', 'segm', 'proposal', 'proposal_fast')


def check_keys(subject):
    """MMDetection ignores a key that it does not know, and trains."""
    cfg = subject.cfg
    for key in cfg:
        near = difflib.get_close_matches(key, TOP_LEVEL, 1, .85)
        if key in OTHER_VERSION:
            yield Finding(f'{key} is a key of MMDetection 3: 2.x ignores it',
                          write=f'it as 2.x has it: {OTHER_VERSION[key]}')
        elif near and key not in TOP_LEVEL:
            yield Finding(f'{key} is no key of MMDetection', write=near[0])
    if 'type' in (cfg.get('train_cfg') or {}):
        yield Finding('train_cfg with a type is a key of MMDetection 3',
                      write='it as 2.x has it: runner')
    epochs = cfg.get('total_epochs')
    if epochs not in (None, subject.epochs):
        yield Finding(f'total_epochs is {epochs}, and runner has other epochs',
                      {'runner.max_epochs': epochs})


def check_rate(subject):
    """A rate for more images than a step has makes the loss nan."""
    cfg = subject.cfg
    optimizer = cfg.get('optimizer') or {}
    kind, rate = str(optimizer.get('type')), optimizer.get('lr')
    usual, low, high = (.0001, 1e-7, .005) if kind.startswith('Adam') else (
        .01, 1e-5, .5)
    if rate and not low < rate < high:
        yield Finding(f'optimizer: lr={rate} is no rate for {kind}',
                      {'optimizer.lr': usual}, howto='accumulate_gradients')
        return
    scaling = cfg.get('auto_scale_lr') or {}
    base = scaling.get('base_batch_size')
    if not base or not rate:
        raise Unknown('the config does not say for how many images its rate is')
    if not subject.gpus:
        raise Unknown(f'lr={rate} is for {base} images, and a GPU has '
                      f'{subject.per_step}; say --gpus')
    images = subject.per_step * subject.gpus
    far = max(images / base, base / images) >= 2
    if scaling.get('enable') or not far:
        return
    stock = dict(base_rates(cfg))
    if stock.get(rate, 0) > base:
        raise Unknown(f'base_batch_size={base} is less than the {stock[rate]} '
                      'images that a GPU has in the base config')
    if rate in stock:
        yield Finding(f'optimizer: lr={rate} is for {base} images a step, yours '
                      f'has {images}',
                      {'optimizer.lr': float(f'{rate * images / base:.3g}')},
                      howto='accumulate_gradients')


def base_rates(cfg):
    """The rates of the config's base files, and their images a GPU."""
    with open(cfg.filename, encoding='utf-8') as file:
        bases = re.findall(r'^_base_ *= *(\[.*?\]|\S+)', file.read(), re.M | re.S)
    for name in re.findall(r'[\w./+-]+\.py', ' '.join(bases)):
        base = Config.fromfile(
            os.path.join(os.path.dirname(cfg.filename), name),
            import_custom_modules=False)
        images = (base.get('data') or {}).get('samples_per_gpu', 0)
        yield (base.get('optimizer') or {}).get('lr'), images


def check_schedule(subject):
    """Numbers that were right for another length of training."""
    cfg, epochs = subject.cfg, subject.epochs
    rates = cfg.get('lr_config') or {}
    steps_ = rates.get('step')
    steps_ = [steps_] if isinstance(steps_, int) else list(steps_ or ())
    length = epochs or (cfg.get('runner') or {}).get('max_iters')
    by_epoch = rates.get('by_epoch', bool(epochs))
    if not length:
        raise Unknown('no runner')
    if by_epoch != bool(epochs) and steps_:
        yield Finding(f'lr_config counts {"epochs" if by_epoch else "iterations"}'
                      ', and the runner does not',
                      {'lr_config.by_epoch': bool(epochs)})
    elif steps_:
        late = [each for each in steps_ if each >= length]
        if late:
            yield Finding(f'lr_config.step has {some(late)}, training ends at '
                          f'{length}', {'lr_config.step': rescaled(steps_, length)})
        elif steps_[-1] < length / 2:
            yield Finding(f'lr_config.step ends at {steps_[-1]} of {length}: '
                          'more than half at the smallest rate',
                          {'lr_config.step': rescaled(steps_, length)})
    for key in ('evaluation', 'checkpoint_config'):
        interval = (cfg.get(key) or {}).get('interval', 1)
        if epochs and interval > epochs:
            yield Finding(f'{key}.interval is {interval}, training ends at '
                          f'{epochs}', {f'{key}.interval': 1},
                          howto='best_checkpoint')
    for number, hook in enumerate(cfg.get('custom_hooks') or ()):
        last, (cls, *_) = hook.get('num_last_epochs'), [
            *classes_named(hook['type']), None]
        if epochs and last and last >= epochs:
            yield Finding(f'custom_hooks.{number}: {hook["type"]} acts on the last '
                          f'{last} epochs of {epochs}',
                          {f'custom_hooks.{number}.num_last_epochs': epochs // 10},
                          howto='mosaic_off')
        waits = cls and {'before_train_epoch', 'after_train_epoch'} & set(vars(cls))
        if not epochs and waits and not {'before_train_iter', 'after_train_iter'
                                         } & set(vars(cls)) and \
                cls.__name__ != 'NumClassCheckHook':
            yield Finding(f'custom_hooks.{number}: {hook["type"]} waits for epochs, '
                          'which a run by iterations does not have',
                          write="runner=dict(type='EpochBasedRunner', …)",
                          howto='mosaic_off')


def rescaled(steps_, length):
    """Where a schedule of this length lowers its rate: at 2/3 and 11/12."""
    return sorted({max(1, length * 2 // 3), max(1, length * 11 // 12)})


def check_warmup(subject):
    """A warm-up that is longer than the training never reaches its rate."""
    rates = subject.cfg.get('lr_config') or {}
    images = sum(len(content.get('images') or ())
                 for split, _, _, content, _ in subject.coco() if split == 'train')
    if not rates.get('warmup'):
        return
    if not images or not subject.epochs:
        raise Unknown('no data here, or no epochs, to count the iterations')
    iterations = subject.epochs * -(-images // (subject.per_step *
                                                (subject.gpus or 1)))
    warm = rates.get('warmup_iters', 0)
    if rates.get('warmup_by_epoch'):
        warm *= iterations // subject.epochs
    if warm > iterations / 2:
        yield Finding(f'lr_config.warmup_iters: the warm-up takes {warm} of '
                      f'{iterations} iterations',
                      {'lr_config.warmup_iters': max(1, iterations // 20),
                       'lr_config.warmup_by_epoch': False},
                      howto='custom_classes')


def check_evaluation(subject):
    """A metric that is not there stops the first evaluation, after an epoch."""
    asked = subject.cfg.get('evaluation') or {}
    metrics = asked.get('metric', 'bbox')
    metrics = [metrics] if isinstance(metrics, str) else metrics
    data = next((data for split, _, data in subject.datasets if split == 'val'),
                {})
    if data.get('type') != 'CocoDataset':
        raise Unknown(f'{data.get("type")} has metrics of its own')
    masks = re.search('mask|panoptic', str(subject.cfg.model))
    for metric in metrics:
        if metric not in METRICS:
            yield Finding(f'evaluation.metric: {metric} is none of '
                          f'{", ".join(METRICS)}', {'evaluation.metric': 'bbox'},
                          howto='best_checkpoint')
        elif metric == 'segm' and not masks:
            yield Finding('evaluation.metric is segm, and the detector has no '
                          'mask head', {'evaluation.metric': 'bbox'})
    best = asked.get('save_best')
    names = ['auto'] + [f'{metric}_mAP{tail}' for metric in metrics
                        for tail in ('', '_50', '_75', '_s', '_m', '_l')]
    if best and best not in names and 'bbox' in metrics:
        near = difflib.get_close_matches(best, names, 1, .3) or ['auto']
        yield Finding(f'evaluation.save_best: there is no {best}',
                      {'evaluation.save_best': near[0]}, howto='best_checkpoint')
