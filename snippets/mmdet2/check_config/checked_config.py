"""A config, and what several checks ask of it."""
import copy
import dataclasses
import functools
import inspect
import os
import re
import sys

import mmcv
import mmdet.apis  # noqa: F401  registers what a config can name
import torch
from check_annotations import read
from mmcv import Config as Config
from mmcv import DictAction as DictAction
from mmcv.parallel import collate, scatter
from mmcv.runner.checkpoint import get_external_models, get_torchvision_models
from mmcv.utils import Registry
from mmdet.datasets import build_dataset
from mmdet.datasets.builder import DATASETS
from mmdet.datasets.coco import CocoDataset
from mmdet.models import build_detector

SPLITS = {'train': 'data.train', 'val': 'data.val', 'test': 'data.test'}
CLASSES, FOLDER = 'classes', 'img_prefix'  # keys of a dataset
SCALES = ('img_scale', )  # keys of a pipeline's steps
# Wrappers that drop what they do not take.
LENIENT = ('ConcatDataset', 'RepeatDataset', 'ClassBalancedDataset')
SYNCED_ALONE = False  # whether a single process runs SyncBN
POPPED = {'type', 'priority', 'bg_cls_weight'}  # which no class gets to see

@dataclasses.dataclass
class Finding:
    """A mistake, or with the mark `?` what could not be checked."""
    what: str
    fix: dict = dataclasses.field(default_factory=dict)  # as --cfg-options
    write: str = ''
    howto: str = ''
    mark: str = '✗'

    def __str__(self):
        told = self.write or ' '.join(
            f'{key}={value!r}' for key, value in self.fix.items())
        told = f'\n      write {told}' if told else ''
        return self.what + told + (f'\n      see the how-to {self.howto}'
                                   if self.howto else '')


class Unknown(Exception):
    """Why something cannot be checked here."""


# What several checks ask of a config ------------------------------------------
def walk(node, where=''):
    """Every dict below a part of a config, with its dotted key."""
    if isinstance(node, dict):
        yield where, node
    pairs = (node.items() if isinstance(node, dict) else
             enumerate(node) if isinstance(node, (list, tuple)) else ())
    for key, value in pairs:
        yield from walk(value, f'{where}.{key}' if where else str(key))


def leaves(node, where):
    """The datasets that a config joins or wraps, with their dotted keys."""
    if isinstance(node, (list, tuple)):
        for number, each in enumerate(node):
            yield from leaves(each, f'{where}.{number}')
    elif isinstance(node, dict):
        inner = [key for key in ('dataset', 'datasets') if key in node]
        if not inner:
            yield where, node
        for key in inner:
            yield from leaves(node[key], f'{where}.{key}')


@functools.lru_cache(None)
def classes_named(name):
    """The registered classes that a `type` may mean."""
    scope, _, last = str(name).rpartition('.')
    found = []
    for registry in registries():
        fits = scope == registry.scope if scope else registry.scope != 'mmcls'
        if fits and last in registry.module_dict:
            found.append(registry.module_dict[last])
    return found


@functools.lru_cache(1)
def registries():
    """Those of OpenMMLab's packages that are imported."""
    modules = [module for name, module in list(sys.modules.items())
               if name.startswith('mm')]
    found = {id(value): value for module in modules
             for value in list(vars(module).values())
             if isinstance(value, Registry)}
    return list(found.values())


def buildable(cfg):
    """The dicts of a config from which MMDetection builds something."""
    for section in ('model', 'data', 'custom_hooks'):
        inner = []  # keys of dicts that another library builds
        for where, node in walk(cfg.get(section), section):
            if node.get('type') == 'Albu':
                inner.append(f'{where}.')
            if 'type' in node and not where.startswith(tuple(inner)) and \
                    not re.search(r'(\.nms|\.dcn|_layer|_cfg|_trans)$', where):
                yield where, node


def accepted(cls):
    """Names of the arguments of a class; None if it hands any on elsewhere."""
    if not inspect.isclass(cls):
        return None
    names = set()
    for base in cls.__mro__:
        init = vars(base).get('__init__')
        if not inspect.isfunction(init):
            continue
        parameters = inspect.signature(init).parameters.values()
        names |= {each.name for each in parameters}
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            return names
        source = inspect.getsource(init)
        handed = re.search(r'super\((\w*)[^)]*\)\.__init__\([^)]*\*\*', source)
        if not handed or handed[1] not in ('', base.__name__) or \
                source.count('**') != 2:
            return None
    return names


def steps(pipeline, where=''):
    """The steps of a pipeline, those within others too, with their keys."""
    return [(key, each) for key, each in walk(pipeline, where) if 'type' in each]


class Subject:
    """A config, and what several checks make of it, each once."""

    def __init__(self, cfg, gpus, images):
        self.cfg, self.gpus, self.images = cfg, gpus, images

    def section(self, split):
        """The dataset of train, val or test, with what wraps it."""
        if split not in (self.cfg.get('data') or {}):
            raise Unknown(f'the config has no {SPLITS[split]}')
        return self.cfg.data[split]

    @functools.cached_property
    def datasets(self):
        """(split, dotted key, dataset) of all that are not mere wrappers."""
        return [(split, *leaf) for split, where in SPLITS.items()
                for leaf in leaves(self.section(split), where)]

    @functools.cached_property
    def files(self):
        """(split, key, dataset, annotation file, folder of its images)."""
        found = []
        for split, where, data in self.datasets:
            names, folders = data.get('ann_file'), data.get('img_prefix') or ''
            names = names if isinstance(names, (list, tuple)) else [names]
            root = data.get('data_root') or ''
            for number, name in enumerate(names):
                folder = folders if isinstance(folders, str) else folders[number]
                found.append((split, where, data, os.path.join(root, name or ''),
                              os.path.join(root, folder)))
        return found

    def need_data(self):
        """Raise if no annotation file of the config is here."""
        if not any(os.path.isfile(path) for _, _, _, path, _ in self.files):
            raise Unknown('no data here')

    def coco(self):
        """(split, key, dataset, content, folder) of the COCO files here."""
        for split, where, data, path, folder in self.files:
            cls = dataset_class(data)
            if cls and issubclass(cls, CocoDataset) and os.path.isfile(path) \
                    and cls.load_annotations is CocoDataset.load_annotations:
                yield split, where, data, read(path), folder

    def names(self, data):
        """The names of a dataset's classes; a string is a mistake."""
        named = data.get('classes')
        if isinstance(named, str) and os.path.isfile(named):
            named = mmcv.list_from_file(named)
        return getattr(dataset_class(data), 'CLASSES', None) \
            if named is None else named

    def split(self, name):
        """The classes that a split's first dataset has, None if unknown."""
        return next((self.names(data) for split, _, data in self.datasets
                     if split == name), None)

    def build(self, split):
        """The dataset of a split, as training or evaluation builds it."""
        return build_dataset(copy.deepcopy(self.section(split)),
                             dict(test_mode=split != 'train'))

    @staticmethod
    def seen(item):
        """The image of a built dataset, a tensor, and its boxes if it trains."""
        image = item['img'][0] if isinstance(item['img'], list) else item['img']
        boxes = item.get('gt_bboxes')
        return getattr(image, 'data', image), () if boxes is None else boxes.data

    def losses(self, items):
        """The loss of one step, a tensor, and its terms."""
        batch, = scatter(collate(items, len(items)), [-1])
        found = self.model.train().train_step(batch, None)
        return found['loss'], found['log_vars']

    @functools.cached_property
    def heads(self):
        """(dotted key, number of classes) of each head that has one."""
        found = []
        for where, node in walk(self.cfg.model, 'model'):
            if not re.search(r'(bbox|mask|mask_iou|query|panoptic)_head'
                             r'(\.\d+)?$', where) or 'type' not in node:
                continue
            number = node.get('num_classes')
            if 'num_things_classes' in node:
                number = node.num_things_classes + node.num_stuff_classes
            for cls in classes_named(node.type) if number is None else ():
                asked = inspect.signature(cls).parameters.get('num_classes')
                number = asked and asked.default
            if isinstance(number, int):
                found.append((where, number))
        return found

    @property
    def backbone_weights(self):
        """What the backbone begins with, '' if with random weights."""
        backbone = self.cfg.model.get('backbone') or {}
        init = backbone.get('init_cfg') or self.cfg.model.get('init_cfg') or {}
        init = init if isinstance(init, dict) else {}
        return str(self.cfg.model.get('pretrained') or backbone.get('pretrained')
                   or init.get('checkpoint') or '')

    @functools.cached_property
    def model(self):
        """The detector with random weights, in evaluation mode."""
        cfg = copy.deepcopy(self.cfg)
        for _, node in walk(cfg.model):
            if 'SyncBN' in str(node.get('type')):
                node.type = 'BN'  # which a single process can run
            if node.get('pretrained'):
                node.pretrained = False if node.pretrained is True else None
        return build_detector(cfg.model, cfg.get('train_cfg'),
                              cfg.get('test_cfg')).eval()

    @functools.cached_property
    def strides(self):
        """Those of the anchors or points, level by level."""
        head = getattr(self.model, 'rpn_head', None) or \
            getattr(self.model, 'bbox_head', None)
        generator = getattr(head, 'prior_generator', None)
        return [each[0] if isinstance(each, tuple) else each
                for each in getattr(generator, 'strides', ())]

    @functools.cached_property
    def scale(self):
        """The largest (short, long) side that a training image gets."""
        found = []
        for _, step in steps(self.section('train')):
            scale = next((step[key] for key in SCALES if key in step), None)
            if scale and str(step['type']).endswith('Resize'):
                many = isinstance(scale[0], (list, tuple))
                found += [sorted(each) for each in (scale if many else [scale])]
        return max(found, default=None)

    @property
    def batch(self):
        """Images that a GPU gets at a time."""
        data = self.cfg.get('data') or {}
        loader = data.get('train_dataloader') or {}
        return loader.get('samples_per_gpu', data.get('samples_per_gpu', 2))

    @property
    def per_step(self):
        """Images of a GPU in a step of the optimizer."""
        counted = self.cfg.get('optimizer_config') or {}
        return self.batch * counted.get('cumulative_iters', 1)

    @property
    def epochs(self):
        """How many it trains, None if it counts iterations."""
        return (self.cfg.get('runner') or {}).get('max_epochs')


def dataset_class(data):
    """The class of a dataset, None if it is not registered."""
    return DATASETS.get(data.get('type') or '')


def downloaded(name):
    """Where a checkpoint lies that is a file or was downloaded before."""
    path = get_torchvision_models().get(name.partition('torchvision://')[2], name)
    path = get_external_models().get(name.partition('open-mmlab://')[2], path)
    if '://' in path:
        path = os.path.join(torch.hub.get_dir(), 'checkpoints',
                            os.path.basename(path))
        if not os.path.isfile(path):
            raise Unknown(f'{name} is not downloaded yet')
    return path
