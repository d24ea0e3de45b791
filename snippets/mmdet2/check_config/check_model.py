"""The checks that build the detector: its levels, its weights, one step."""
import functools
import os
import re

import torch
from check_annotations import some
from checked_config import SYNCED_ALONE, Finding, Unknown, downloaded, walk


def check_levels(subject):
    """Channels, strides and the number of levels are told to each part."""
    try:
        model = subject.model
    except OSError as error:
        raise Unknown(f'the model needs another file: {error}') from error
    except Exception as error:
        if 'install' in str(error):
            raise Unknown(f'the model needs a package: {error}') from error
        yield Finding(f'the model does not build: {type(error).__name__}: '
                      f'{error}', write='what the message asks for')
        return
    if not getattr(model, 'backbone', None):
        raise Unknown('no backbone of its own')
    strides = subject.strides
    size = max([256, *strides])
    channels = subject.cfg.model.backbone.get('in_channels', 3)
    with torch.no_grad():
        levels = model.backbone(torch.rand(1, channels, size, size))
        neck = subject.cfg.model.get('neck')
        where = 'model.neck' + ('.0' if isinstance(neck, list) else '')
        neck = neck[0] if isinstance(neck, list) else neck
        given, asked = [each.shape[1] for each in levels], (neck or {}).get(
            'in_channels')
        if subject.cfg.model.backbone.get('output_img'):
            del given[0]
        if isinstance(asked, list) and sorted(asked) != sorted(given):
            yield Finding(f'{where}.in_channels is {asked}, the backbone gives '
                          f'{given}', {f'{where}.in_channels': given},
                          howto='backbone_channels')
            return
        levels = model.neck(levels) if getattr(model, 'neck', None) else levels
    actual = [size / each.shape[-1] for each in levels]
    head = 'rpn_head' if 'rpn_head' in subject.cfg.model else 'bbox_head'
    if strides and len(strides) != len(levels):
        yield Finding(f'model.{head} has {len(strides)} strides, the neck '
                      f'gives {len(levels)} levels',
                      write=f'strides={[round(each) for each in actual]} and '
                      'num_outs of the neck', howto='small_objects')
    elif any(size % each for each in strides):
        raise Unknown(f'strides of {strides} are no powers of two')
    elif any(abs(a - b) > b / 4 for a, b in zip(actual, strides)):
        key = next((where for where, node in walk(subject.cfg.model[head],
                                                  f'model.{head}')
                    if 'strides' in node), f'model.{head}.anchor_generator')
        yield Finding(f'{key}.strides are {strides}, the levels have '
                      f'{[round(each) for each in actual]}: anchors miss a '
                      'part of the image',
                      {f'{key}.strides': [round(each) for each in actual]},
                      howto='small_objects')
    for where, node in walk(subject.cfg.model.get('roi_head'), 'model.roi_head'):
        asked = list(node.get('featmap_strides') or ())
        if 'bbox_roi_extractor' in where and asked and any(
                abs(a - b) > b / 4 for a, b in zip(actual, asked)):
            yield Finding(f'{where}.featmap_strides are {asked}, the levels '
                          f'have {[round(each) for each in actual]}',
                          {f'{where}.featmap_strides': [
                              round(each) for each in actual[:len(asked)]]},
                          howto='small_objects')


def check_sizes(subject):
    """An object smaller than one stride falls between the anchors."""
    smallest, scale = min(subject.strides, default=0), subject.scale
    for _, where, _, content, _ in subject.coco():
        images = {each.get('id'): each for each in content.get('images') or ()}
        sides = []
        for each in content.get('annotations') or () if scale else ():
            image, box = images.get(each.get('image_id')), each.get('bbox')
            if not image or not image.get('width') or len(box or ()) != 4:
                continue
            edges = sorted((image['width'], image['height']))
            factor = min(scale[0] / edges[0], scale[1] / edges[1])
            sides.append((float(box[2]) * float(box[3])) ** .5 * factor)
        small = [side for side in sides if side < smallest]
        if len(small) > len(sides) / 2:
            yield Finding(f'{where}: {len(small)} of {len(sides)} objects are '
                          f'smaller than the finest stride, {smallest} pixels',
                          write='a larger img_scale, or crops',
                          howto='small_objects')



def check_frozen(subject):
    """What is frozen and was never loaded stays random."""
    backbone = subject.cfg.model.get('backbone') or {}
    if not subject.backbone_weights and not subject.cfg.get('load_from') and \
            backbone.get('frozen_stages', -1) >= 0 and \
            'pretrained' not in backbone:
        yield Finding('model.backbone: frozen_stages is '
                      f'{backbone.frozen_stages}, and no weights are loaded',
                      {'model.backbone.frozen_stages': -1,
                       'model.backbone.norm_eval': False}, howto='freeze')


def check_weights(subject):
    """A wrong prefix or a wrong size loads nothing, and training runs."""
    weights, whole = subject.backbone_weights, subject.cfg.get('load_from')
    own = subject.model.state_dict() if whole else {}
    if whole:
        loaded = state(whole)
        yield from loads('load_from', whole, own, loaded)
    if weights and weights != 'True':
        init = subject.cfg.model.backbone.get('init_cfg') or {}
        prefix = init.get('prefix') or ''
        if subject.cfg.model.backbone.get('convert_weights'):
            raise Unknown('the backbone converts its weights itself')
        loaded = {key[len(prefix):].lstrip('.'): value
                  for key, value in state(weights).items()
                  if key.startswith(prefix)}
        yield from loads('model.backbone.init_cfg', weights,
                         subject.model.backbone.state_dict(), loaded)


def loads(where, name, own, loaded):
    """How much of a module's tensors a checkpoint has."""
    own = {key: value.shape for key, value in own.items()
           if not key.endswith('num_batches_tracked')}
    fit = [key for key in own if key in loaded and loaded[key].shape == own[key]]
    if len(fit) < len(own) / 2:
        heads = {key.rpartition(tail)[0] for key in loaded for tail in own
                 if key.endswith('.' + tail)} if len(fit) == 0 else ()
        prefix = min(heads, key=len, default='')
        yield Finding(f'{where}: {len(fit)} of {len(own)} tensors load from '
                      f'{name}', {f'{where}.prefix': prefix} if prefix else {},
                      write='' if prefix else 'a checkpoint of this model',
                      howto='mmcls_backbone')


@functools.lru_cache(2)
def state(name):
    """The tensors of a checkpoint that is a file or was downloaded before."""
    path = downloaded(name)
    if not os.path.isfile(path):
        raise Unknown(f'there is no file {path}')
    try:
        content = torch.load(path, map_location='cpu')
    except Exception as error:  # pickle raises whatever the bytes lead it to
        raise Unknown(f'{path} cannot be loaded: {type(error).__name__}: {error}') from error
    for key in ('state_dict', 'model'):
        content = content.get(key, content)
    return {re.sub('^module[.]', '', key): value
            for key, value in content.items() if torch.is_tensor(value)}


def check_norms(subject):
    """Statistics of a single image are noise; SyncBN needs processes."""
    kinds = {str(node['type']) for where, node in walk(subject.cfg.model)
             if where.endswith('norm_cfg') and 'type' in node}
    synced = not SYNCED_ALONE and any('SyncBN' in kind for kind in kinds)
    if synced and subject.gpus == 1:
        yield Finding('SyncBN on one GPU: Default process group has not been '
                      'initialized', write="type='BN' in each norm_cfg")
    elif synced and not subject.gpus:
        raise Unknown('SyncBN needs several GPUs; say --gpus')
    trained = [where for where, node in walk(subject.cfg.model)
               if node.get('norm_eval') is False]
    if 'BN' in kinds and subject.batch == 1 and trained:
        yield Finding(f'model.{trained[0]}: batch norms train on 1 image a GPU',
                      {f'model.{trained[0]}.norm_eval': True},
                      howto='accumulate_gradients')


def check_step(subject):
    """One step of training: a loss that is not finite never recovers."""
    subject.need_data()
    data = subject.build('train')
    loss, terms = subject.losses([data[each % len(data)] for each in range(2)])
    wrong = [key for key, value in terms.items()
             if value != value or abs(value) == float('inf')]
    if wrong:
        yield Finding(f'the first step: {some(wrong)} is not finite',
                      write='a smaller rate, or images with objects')
        return
    loss.backward()
    unused = [name for name, value in subject.model.named_parameters()
              if value.requires_grad and value.grad is None]
    if unused and subject.gpus != 1 and not subject.cfg.get(
            'find_unused_parameters'):
        yield Finding(f'{len(unused)} parameters get no gradient, {unused[0]} '
                      'the first: several GPUs stop',
                      {'find_unused_parameters': True}, howto='mmcls_backbone')
