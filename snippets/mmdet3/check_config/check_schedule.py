"""The checks of keys, rate, schedule and evaluation."""
import difflib
import os
import re

from checked_config import SPLITS, Finding, Unknown, classes_named
from mmengine import Config

TOP_LEVEL = ('auto_scale_lr', 'custom_hooks', 'custom_imports', 'default_hooks',
             'default_scope', 'env_cfg', 'find_unused_parameters', 'load_from',
             'log_level', 'log_processor', 'model', 'model_wrapper_cfg',
             'optim_wrapper', 'param_scheduler', 'randomness', 'resume',
             'test_cfg', 'test_dataloader', 'test_evaluator', 'train_cfg',
             'train_dataloader', 'val_cfg', 'val_dataloader', 'val_evaluator',
             'vis_backends', 'visualizer', 'work_dir')
OTHER_VERSION = {  # keys of MMDetection 2, and where 3 has them
    'data': 'train_dataloader, val_dataloader and test_dataloader',
    'optimizer': 'optim_wrapper.optimizer', 'optimizer_config': 'optim_wrapper',
    'lr_config': 'param_scheduler', 'runner': 'train_cfg',
    'evaluation': 'val_evaluator and train_cfg.val_interval',
    'checkpoint_config': 'default_hooks.checkpoint',
    'log_config': 'default_hooks.logger', 'total_epochs': 'train_cfg.max_epochs',
    'resume_from': 'load_from, with resume=True'}
METRICS = ('bbox', 'segm', 'proposal', 'proposal_fast')


def check_keys(subject):
    """MMDetection ignores a key that it does not know, and trains."""
    for key in subject.cfg:
        near = difflib.get_close_matches(key, TOP_LEVEL, 1, .85)
        if key in OTHER_VERSION:
            yield Finding(f'{key} is a key of MMDetection 2: 3.x ignores it',
                          write=f'it as 3.x has it: {OTHER_VERSION[key]}')
        elif near and key not in TOP_LEVEL:
            yield Finding(f'{key} is no key of MMDetection', write=near[0])
    for _, where, data in subject.datasets:
        if isinstance(data.get('data_prefix', {}), str):
            yield Finding(f'{where}.data_prefix is a string', {
                f'{where}.data_prefix': dict(img=data.data_prefix)},
                howto='custom_classes')
        if 'CLASSES' in (data.get('metainfo') or {}):
            yield Finding(f'{where}.metainfo.CLASSES is ignored since 3.0',
                          {f'{where}.metainfo.classes': data.metainfo.CLASSES},
                          howto='custom_classes')


def rate_of(cfg):
    """The kind of the optimizer, and its rate."""
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    kind = optimizer.get('type')
    return getattr(kind, '__name__', str(kind)), optimizer.get('lr')


def check_rate(subject):
    """A rate for more images than a step has makes the loss nan."""
    cfg, key = subject.cfg, 'optim_wrapper.optimizer.lr'
    kind, rate = rate_of(cfg)
    usual, low, high = (.0001, 1e-7, .005) if kind.startswith('Adam') else (
        .01, 1e-5, .5)
    if rate and not low < rate < high:
        yield Finding(f'optimizer: lr={rate} is no rate for {kind}',
                      {key: usual}, howto='accumulate_gradients')
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
                      {key: float(f'{rate * images / base:.3g}')},
                      howto='accumulate_gradients')


def base_rates(cfg):
    """The rates of the config's base files, and their images a GPU."""
    with open(cfg.filename, encoding='utf-8') as file:
        bases = re.findall(r'^_base_ *= *(\[.*?\]|\S+)', file.read(), re.M | re.S)
    for name in re.findall(r'[\w./+-]+\.py', ' '.join(bases)):
        base = Config.fromfile(
            os.path.join(os.path.dirname(cfg.filename), name),
            import_custom_modules=False)
        loader = base.get('train_dataloader') or {}
        yield rate_of(base)[1], loader.get('batch_size') or 0


def check_schedule(subject):
    """Numbers that were right for another length of training."""
    cfg, epochs = subject.cfg, subject.epochs
    train = cfg.get('train_cfg') or {}
    length = epochs or train.get('max_iters')
    if not length:
        raise Unknown('no train_cfg')
    rates = cfg.get('param_scheduler') or ()
    for number, each in enumerate([rates] if isinstance(rates, dict) else rates):
        where, milestones = f'param_scheduler.{number}', each.get('milestones')
        if not milestones or each.get('convert_to_iter_based'):
            continue
        if each.get('by_epoch', True) != bool(epochs):
            yield Finding(f'{where} counts {"iterations" if epochs else "epochs"}'
                          ', and train_cfg does not',
                          {f'{where}.by_epoch': bool(epochs)})
        elif milestones[-1] >= length or milestones[-1] < length / 2:
            yield Finding(f'{where}.milestones end at {milestones[-1]}, training '
                          f'at {length}',
                          {f'{where}.milestones': rescaled(milestones, length),
                           f'{where}.end': length})
    hooks = cfg.get('default_hooks') or {}
    for key, interval, default in (
            ('train_cfg.val_interval', train.get('val_interval', 1), 1),
            ('default_hooks.checkpoint.interval',
             (hooks.get('checkpoint') or {}).get('interval', 1), 1)):
        if epochs and interval > epochs:
            yield Finding(f'{key} is {interval}, training ends at {epochs}',
                          {key: default}, howto='best_checkpoint')
    for number, hook in enumerate(cfg.get('custom_hooks') or ()):
        cls = next(iter(classes_named(hook['type'])), None)
        last = hook.get('num_last_epochs')
        if epochs and last and last >= epochs:
            yield Finding(f'custom_hooks.{number}: {cls.__name__} acts on the '
                          f'last {last} epochs of {epochs}',
                          {f'custom_hooks.{number}.num_last_epochs': epochs // 10},
                          howto='mosaic_off')
        switch = hook.get('switch_epoch')
        if epochs and switch and switch >= epochs:
            yield Finding(f'custom_hooks.{number}: {cls.__name__} switches at '
                          f'epoch {switch} of {epochs}',
                          {f'custom_hooks.{number}.switch_epoch':
                           epochs * 9 // 10}, howto='mosaic_off')
        waits = cls and {'before_train_epoch', 'after_train_epoch'} & set(vars(cls))
        if not epochs and waits and not {'before_train_iter', 'after_train_iter'
                                         } & set(vars(cls)) and \
                cls.__name__ != 'NumClassCheckHook':
            yield Finding(f'custom_hooks.{number}: {cls.__name__} waits for '
                          'epochs, which a run by iterations has only one of',
                          write="train_cfg=dict(type='EpochBasedTrainLoop', …)",
                          howto='mosaic_off')


def rescaled(steps_, length):
    """Where a schedule of this length lowers its rate: at 2/3 and 11/12."""
    return sorted({max(1, length * 2 // 3), max(1, length * 11 // 12)})


def check_warmup(subject):
    """A warm-up that is longer than the training never reaches its rate."""
    rates = subject.cfg.get('param_scheduler') or ()
    rates = [rates] if isinstance(rates, dict) else list(rates)
    warm = [(number, each) for number, each in enumerate(rates)
            if not each.get('by_epoch', True) and each.get('end')
            and not each.get('begin') and each.get('start_factor') != 1]
    images = sum(len(content.get('images') or ())
                 for split, _, _, content, _ in subject.coco() if split == 'train')
    if not warm or len(rates) == 1:
        return
    if not images or not subject.epochs:
        raise Unknown('no data here, or no epochs, to count the iterations')
    iterations = subject.epochs * -(-images // (subject.batch *
                                                (subject.gpus or 1)))
    for number, each in warm:
        if each['end'] > iterations / 2:
            yield Finding(f'param_scheduler.{number}: the warm-up takes '
                          f'{each["end"]} of {iterations} iterations',
                          {f'param_scheduler.{number}.end': max(
                              1, iterations // 20)}, howto='custom_classes')


def check_evaluation(subject):
    """A metric that is not there stops the first evaluation, after an epoch."""
    masks = re.search('mask|panoptic', str(subject.cfg.model))
    asked = []
    for split in ('val', 'test'):
        key = f'{split}_evaluator'
        evaluator = subject.cfg.get(key) or {}
        if not isinstance(evaluator, dict) or not str(
                evaluator.get('type')).endswith('CocoMetric'):
            continue
        metrics = evaluator.get('metric', 'bbox')
        metrics = [metrics] if isinstance(metrics, str) else list(metrics)
        asked += metrics
        for metric in metrics:
            if metric not in METRICS:
                yield Finding(f'{key}.metric: {metric} is none of '
                              f'{", ".join(METRICS)}', {f'{key}.metric': 'bbox'},
                              howto='best_checkpoint')
            elif metric == 'segm' and not masks:
                yield Finding(f'{key}.metric is segm, and the detector has no '
                              'mask head', {f'{key}.metric': 'bbox'})
        paths = [path for name, _, _, path, _ in subject.files if name == split]
        if evaluator.get('ann_file') and len(paths) == 1 and os.path.normpath(
                evaluator.ann_file) != os.path.normpath(paths[0]):
            yield Finding(f'{key}.ann_file is {evaluator.ann_file}, and '
                          f'{SPLITS[split]} reads {paths[0]}',
                          {f'{key}.ann_file': paths[0]}, howto='custom_classes')
    saved = (subject.cfg.get('default_hooks') or {}).get('checkpoint') or {}
    best = saved.get('save_best')
    names = ['auto'] + [f'coco/{metric}_mAP{tail}' for metric in asked
                        for tail in ('', '_50', '_75', '_s', '_m', '_l')]
    classwise = "'classwise': True" in str(subject.cfg.get('val_evaluator'))
    if isinstance(best, str) and 'bbox' in asked and best not in names \
            and not classwise:
        near = difflib.get_close_matches(best, names, 1, .3) or ['auto']
        yield Finding(f'default_hooks.checkpoint.save_best: there is no {best}',
                      {'default_hooks.checkpoint.save_best': near[0]},
                      howto='best_checkpoint')
