"""The checks of the pipelines: their steps, and the pixels that they give."""
import re

from checked_config import SPLITS, Finding, steps, walk

RGB = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], True)
CAFFE = ([103.53, 116.28, 123.675], [1.0, 1.0, 1.0], False)


def check_pipelines(subject):
    """A step in the wrong place is found when its data is first loaded."""
    for split in ('train', 'val', 'test'):
        data = subject.section(split)
        wrapped = {id(node) for _, node in walk(data) for node in (
            node.get('pipeline') or () if 'MultiImageMix' in str(node.get('type'))
            else ())}
        for where, step in steps(data, SPLITS[split]):
            name = str(step['type'])
            if name in ('Mosaic', 'MixUp', 'CopyPaste'):
                if id(step) not in wrapped:
                    yield Finding(f'{where}: {name} needs other images, which '
                                  'only MultiImageMixDataset hands it',
                                  write='type=\'MultiImageMixDataset\' around '
                                  'the dataset', howto='mosaic')
                size = step.get('img_scale') or (1, 1)
                if name != 'CopyPaste' and not isinstance(size, tuple):
                    yield Finding(f'{where}.img_scale is no tuple',
                                  {f'{where}.img_scale': tuple(size)},
                                  howto='mosaic')
                elif name == 'Mosaic' and size[0] > size[1]:
                    yield Finding(f'{where}.img_scale is portrait: 2.x has '
                                  '(height, width) here',
                                  {f'{where}.img_scale': size[::-1]},
                                  howto='mosaic')
            elif name == 'LoadAnnotations' and split != 'train':
                yield Finding(f'{where}: {split} has no annotations to load, '
                              "KeyError: 'ann_info'",
                              write='the test_pipeline of the base config')
        for where, node in walk(data, SPLITS[split]):
            kinds = [str(each.get('type')) for each in node.get('pipeline') or ()
                     if isinstance(each, dict)]
            if kinds.count('Normalize') > 1:
                yield Finding(f'{where}.pipeline normalises twice',
                              write='one Normalize')
            if split == 'train' and 'Collect' in kinds and \
                    'DefaultFormatBundle' not in kinds and 'ToTensor' not in kinds:
                yield Finding(f'{where}.pipeline has no DefaultFormatBundle',
                              write="dict(type='DefaultFormatBundle') before "
                              'Collect')


def check_pixels(subject):
    """Weights of another normalisation see colours that they do not know."""
    weights = subject.backbone_weights
    expected = RGB if weights.startswith('torchvision://') else CAFFE \
        if re.search(r'detectron2?/resnet\d+_caffe', weights) else None
    pipeline = steps(subject.section('train'), SPLITS['train'])
    for where, step in pipeline:
        if step['type'] == 'Normalize' and expected:
            mean, std, to_rgb = (step.get('mean'), step.get('std'),
                                 step.get('to_rgb', True))
            pairs = zip([*(mean or ()), *(std or ())], expected[0] + expected[1])
            if to_rgb != expected[2] or not mean or not std or \
                    any(abs(a - b) > 2 for a, b in pairs):
                keys = ('mean', 'std', 'to_rgb')
                yield Finding(f'{where}: {weights} was trained with mean '
                              f'{expected[0]}, std {expected[1]}, to_rgb='
                              f'{expected[2]}',
                              {f'{where}.{key}': value
                               for key, value in zip(keys, expected)})
    channels = (subject.cfg.model.get('backbone') or {}).get('in_channels', 3)
    for where, step in pipeline:
        if step['type'] == 'LoadImageFromFile':
            given = 1 if step.get('color_type') == 'grayscale' else 3
            if given != channels:
                yield Finding(f'{where} loads {given} channels, the backbone '
                              f'takes {channels}',
                              {'model.backbone.in_channels': given})
