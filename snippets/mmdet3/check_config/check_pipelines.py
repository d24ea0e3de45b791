"""The checks of the pipelines: their steps, and the pixels that they give."""
import re

from checked_config import SPLITS, Finding, steps, walk

RGB = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], True)
CAFFE = ([103.53, 116.28, 123.675], [1.0, 1.0, 1.0], False)


def name_of(step):
    """The name of a step, which a pure-Python config has as the class."""
    return getattr(step['type'], '__name__', str(step['type']).split('.')[-1])


def check_pipelines(subject):
    """A step in the wrong place is found when its data is first loaded."""
    normalises = (subject.cfg.model.get('data_preprocessor') or {}).get('mean')
    for split, section in SPLITS.items():
        data = subject.section(split)
        wrapped = {id(node) for _, node in walk(data) for node in (
            node.get('pipeline') or () if 'MultiImageMix' in str(node.get('type'))
            else ())}
        for where, step in steps(data, section):
            name = name_of(step)
            if name in ('Mosaic', 'MixUp', 'CopyPaste'):
                if id(step) not in wrapped:
                    yield Finding(f'{where}: {name} needs other images, which '
                                  'only MultiImageMixDataset hands it',
                                  write='type=\'MultiImageMixDataset\' around '
                                  'the dataset', howto='mosaic')
                if not isinstance(step.get('img_scale', ()), tuple):
                    yield Finding(f'{where}.img_scale is no tuple',
                                  {f'{where}.img_scale': tuple(step.img_scale)},
                                  howto='mosaic')
            elif name == 'Normalize' and normalises:
                yield Finding(f'{where} normalises what data_preprocessor '
                              'normalises again', write='the pipeline without it')
        last = data.get('pipeline')
        if last and name_of(last[-1]) != 'PackDetInputs' and 'Collect' in str(last):
            yield Finding(f'{section}.pipeline ends as for MMDetection 2',
                          write="dict(type='PackDetInputs') at its end")
        elif last and len(last) > 1 and 'Pack' not in str(last):
            yield Finding(f'{section}.pipeline packs nothing at its end',
                          write="dict(type='PackDetInputs') at its end")


def check_pixels(subject):
    """Weights of another normalisation see colours that they do not know."""
    weights = subject.backbone_weights
    expected = RGB if weights.startswith('torchvision://') else CAFFE \
        if re.search(r'detectron2?/resnet\d+_caffe', weights) else None
    found = subject.cfg.model.get('data_preprocessor') or {}
    if expected and found.get('mean') and found.get('std'):
        pairs = zip([*found['mean'], *found['std']], expected[0] + expected[1])
        if found.get('bgr_to_rgb', False) != expected[2] or \
                any(abs(a - b) > 2 for a, b in pairs):
            where = 'model.data_preprocessor'
            keys = ('mean', 'std', 'bgr_to_rgb')
            yield Finding(f'{where}: {weights} was trained with mean '
                          f'{expected[0]}, std {expected[1]}, bgr_to_rgb='
                          f'{expected[2]}',
                          {f'{where}.{key}': value
                           for key, value in zip(keys, expected)})
    channels = (subject.cfg.model.get('backbone') or {}).get('in_channels', 3)
    for where, step in steps(subject.section('train'), SPLITS['train']):
        if name_of(step) == 'LoadImageFromFile':
            given = 1 if step.get('color_type') == 'grayscale' else 3
            if given != channels:
                yield Finding(f'{where} loads {given} channels, the backbone '
                              f'takes {channels}',
                              {'model.backbone.in_channels': given})
