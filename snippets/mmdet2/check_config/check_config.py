"""Find the mistakes in a config before it trains.

$ python configs/check_config/check_config.py CONFIG --gpus 1
"""
import argparse
import contextlib
import dataclasses
import difflib
import io
import json
import os
import re
import sys
from urllib.parse import unquote

import mmcv
from check_annotations import faults, some
from check_model import check_frozen, check_levels, check_norms, check_sizes, check_step, check_weights
from check_pipelines import check_pipelines, check_pixels
from check_schedule import check_evaluation, check_keys, check_rate, check_schedule, check_warmup
from checked_config import (
    CLASSES,
    FOLDER,
    LENIENT,
    POPPED,
    SPLITS,
    Config,
    DictAction,
    Finding,
    Subject,
    Unknown,
    accepted,
    buildable,
    classes_named,
    registries,
    walk,
)


def check_types(subject):
    """A class that is not imported, or is misspelled, is in no registry."""
    known = {name for each in registries() for name in each.module_dict}
    for where, node in buildable(subject.cfg):
        if classes_named(node['type']):
            continue
        scope, _, name = str(node['type']).rpartition('.')
        near = difflib.get_close_matches(name, known, 1, .7)
        fix = {f'{where}.type': near[0]} if near else {}
        write = '' if near else 'the module that defines it in custom_imports'
        if scope:
            write = (f"custom_imports = dict(imports=['{scope}.models'], "
                     'allow_failed_imports=False)')
        if 'imports' in subject.cfg.text and len(
                re.findall(r'custom_imports *=', subject.cfg.text)) > 1:
            write = ('all modules in custom_imports: a list of your own '
                     'replaces that of the base config')
        yield Finding(f'{where}: {node["type"]} is in no registry', fix, write,
                      'custom_module')


def check_arguments(subject):
    """An argument that a class does not take stops training, or building."""
    for where, node in buildable(subject.cfg):
        taken = [accepted(cls) for cls in classes_named(node['type'])]
        if not taken or None in taken:
            continue
        taken = set.union(*taken)
        extra = sorted(set(node) - POPPED - taken)
        wraps = {'dataset', 'datasets'} & taken
        kind = getattr(node['type'], '__name__', node['type'])
        in_data = where.startswith(tuple(SPLITS.values()))  # not in a sampler
        if in_data and wraps and not wraps & set(node):
            yield Finding(f'{where}: {kind} wraps a {min(wraps)}, and has none',
                          write=f'the keys beside type in {where}.{min(wraps)}; or '
                          '_delete_=True beside type, if they are those of the '
                          'base config', howto='several_datasets')
            continue
        if kind in LENIENT:
            extra = [key for key in extra if key == CLASSES]
        if not extra:
            continue
        near = difflib.get_close_matches(extra[0], taken, 1, .75)
        write, howto = near[0] if near else f'it without {some(extra)}', ''
        if in_data and 'pipeline' not in where:
            howto = 'several_datasets'
            if wraps:
                write = (f'{some(extra)} one level deeper, in {min(wraps)}; or '
                         '_delete_=True beside type, if they are those of the '
                         'base config')
            elif {'dataset', 'datasets'} & set(extra):
                write = (f'type and its keys one level deeper, in {extra[0]}; or '
                         '_delete_=True to do without the wrapper')
        yield Finding(f'{where}: {kind} takes no {some(extra)}', write=write,
                      howto=howto)


def check_classes(subject):
    """Labels follow the file's order; a name that it lacks trains nothing."""
    for _, where, data in subject.datasets:
        names = subject.names(data)
        if isinstance(names, str):
            yield Finding(f'{where}.{CLASSES} is the string {names!r}, which is '
                          'taken for a file', {f'{where}.{CLASSES}': (names, )},
                          howto='custom_classes')
    for _, where, data, content, _ in subject.coco():
        names = subject.names(data)
        listed = [each.get('name') for each in content.get('categories') or ()]
        if isinstance(names, str) or not names or \
                len(set(listed)) < max(1, len(listed)):
            continue  # other checks say so
        lacking = [name for name in names if name not in listed]
        ordered = sorted(set(names) - set(lacking), key=listed.index)
        if lacking:
            told = 'names no classes, so it has those of COCO, and' \
                if subject.names({'type': data['type']}) == names else 'names'
            yield Finding(f'{where} {told} {some(lacking)}: not in its file',
                          {f'{where}.{CLASSES}': tuple(dict.fromkeys(listed))},
                          howto='custom_classes')
        elif ordered != list(names):
            yield Finding(f'{where}.{CLASSES} has another order than its file, '
                          'whose order labels have',
                          {f'{where}.{CLASSES}': tuple(ordered)},
                          howto='several_datasets')


def check_splits(subject):
    """A split that keeps the base config's classes is evaluated wrongly."""
    if 'detector' in subject.cfg.model:
        raise Unknown('a tracker may have other classes than its data')
    kinds = {str(data.get('type')) for _, _, data in subject.datasets}
    named = [(split, where, subject.names(data))
             for split, where, data in subject.datasets]
    if len(kinds) > 1 or not all(isinstance(names, (list, tuple))
                                 for _, _, names in named):
        return  # the classes of another kind of dataset, or another check's
    known = [tuple(names) for split, _, names in named if split == 'train']
    for split, where, names in named:
        # Of several files each may name the same labels in its own words.
        if len(names) != len(known[0]) or \
                (split != 'train' and tuple(names) not in known):
            yield Finding(f'{where} has {len(names)} classes ({some(names)}), '
                          f'train has {len(known[0])} ({some(known[0])})',
                          {f'{where}.{CLASSES}': known[0]},
                          howto='custom_classes')


def check_num_classes(subject):
    """A head with another number of outputs stops, or never uses some."""
    names = subject.split('train')
    if any('Panoptic' in str(data.get('type')) for _, _, data in subject.datasets):
        raise Unknown('a panoptic dataset counts things and stuff')
    if isinstance(names, str):
        names = (names, )
    for where, number in subject.heads if names else ():
        if number != len(names):
            yield Finding(f'{where} has {number} classes, the dataset has '
                          f'{len(names)}', {f'{where}.num_classes': len(names)},
                          howto='custom_classes')


def check_files(subject):
    """A path that leads nowhere stops training, or its first evaluation."""
    there = {path: os.path.exists(path) for _, _, _, path, _ in subject.files}
    if not any(there.values()):
        raise Unknown('no data here: ' + some(there))
    for _, where, _, path, folder in subject.files:
        if not there[path]:
            yield Finding(f'{where}.ann_file: there is no {path}',
                          write='the path from the folder in which you train')
        elif folder and not os.path.isdir(folder):
            yield Finding(f'{where}.{FOLDER}: there is no {folder}',
                          write='the folder to which file_name is relative')


def check_annotations(subject):
    """Most habits of exporters leave objects out without a word."""
    files = {id(content): (split, where, data, content)
             for split, where, data, content, _ in subject.coco()}
    if not files:
        raise Unknown('no COCO annotation file here')
    for split, where, data, content in files.values():
        evaluated = any(each is content and split != 'train'
                        for split, _, _, each, _ in subject.coco())
        names = subject.names(data) or ()
        for what, write in faults(content, names, evaluated):
            yield Finding(f'{where}.ann_file: {what}', write=write,
                          howto='custom_classes')


def check_images(subject):
    """An image that is not there stops a run after hours, turned ones lie."""
    found = False
    for _, where, _, content, folder in subject.coco():
        sample = (content.get('images') or ())[:subject.images]
        for image in sample if os.path.isdir(folder) else ():
            found, name = True, str(image.get('file_name'))
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                write = f'the path below {FOLDER}, with /'
                for other in (name.replace('\\', '/'), unquote(name)):
                    if other != name:
                        write = f'file_name {other!r}'
                yield Finding(f'{where}: there is no {path}', write=write,
                              howto='custom_classes')
                break
            try:
                height, width = mmcv.imread(path).shape[:2]
            except Exception as error:
                yield Finding(f'{where}: {path} is no image that opens ({error})',
                              write='the file without it')
                break
            if (width, height) != (image.get('width', width),
                                   image.get('height', height)):
                yield Finding(
                    f'{where}: {name} has {width} × {height} pixels, the file '
                    f'says {image.get("width")} × {image.get("height")}',
                    write='width and height of the image as it opens, turned '
                    'if its EXIF says so')
                break
    if not found:
        raise Unknown('no images here')


def check_masks(subject):
    """A mask head without masks, or the other way round, is a KeyError."""
    heads = [where for where, _ in walk(subject.cfg.model, 'model')
             if re.search(r'mask_head(\.\d+)?$', where)]
    if not heads:
        return
    for _, where, _, content, _ in subject.coco():
        without = [each for each in content.get('annotations') or ()
                   if not each.get('segmentation')]
        if without:
            yield Finding(f'{where}: {len(without)} objects have no mask, and '
                          f'{heads[0]} trains on masks',
                          write='a detector of boxes, or add segmentation')


def check_items(subject):
    """One image through the pipelines of train and of val."""
    subject.need_data()
    for split in ('train', 'val'):
        try:
            built = subject.build(split)
            item = built[0] if len(built) else None
        except FileNotFoundError as error:
            raise Unknown(f'{SPLITS[split]}: {error}') from error
        except Exception as error:
            yield Finding(f'{SPLITS[split]}: its first image ends in '
                          f'{type(error).__name__}: {error}',
                          write='what the message asks for')
            continue
        if item is None:
            yield Finding(f'{SPLITS[split]}: no image is left',
                          write='classes as the file names them',
                          howto='custom_classes')
            continue
        image, boxes = subject.seen(item)
        if float(image.float().std()) < .1:
            yield Finding(f'{SPLITS[split]}: the image is normalised twice, its '
                          f'deviation is {image.float().std():.3f}',
                          write='one normalisation')
        height, width = image.shape[-2:]
        if any(min(x1, y1) < -2 or x2 > width + 2 or y2 > height + 2
               for x1, y1, x2, y2 in boxes):
            yield Finding('a box leaves the image of the train pipeline',
                          write='bbox_clip_border=True')


CHECKS = (check_keys, check_types, check_arguments, check_classes, check_splits,
          check_num_classes, check_files, check_annotations, check_images,
          check_masks, check_pipelines, check_pixels, check_frozen, check_norms,
          check_rate, check_schedule, check_warmup, check_evaluation)
BUILDING = (check_items, check_levels, check_sizes, check_weights, check_step)


def check(cfg, gpus=None, images=32, skip=()):
    """For each check its name and the list of what it found."""
    for cached in (registries, classes_named):
        cached.cache_clear()  # a config may have imported more
    subject, broken = Subject(cfg, gpus, images), False
    for function in CHECKS + BUILDING:
        name = function.__name__.replace('check_', '')
        if name in skip:
            continue
        try:
            if broken and function in BUILDING:
                raise Unknown('nothing is built before the above is right')
            with contextlib.redirect_stdout(io.StringIO()):  # pycocotools'
                found = list(function(subject))
        except Unknown as error:
            found = [Finding(str(error), mark='?')]
        except Exception as error:
            found = [Finding(f'{type(error).__name__}: {error}', mark='?')]
        broken |= name in ('types', 'arguments', 'pipelines', 'levels') and any(
            each.mark == '✗' for each in found)
        yield name, found


def main(arguments=None):
    """Print a line for each check; 0 if nothing was found, 1 if something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config')
    parser.add_argument('--gpus', type=int, help='number that will train')
    parser.add_argument('--images', type=int, default=32,
                        help='images to open in each dataset')
    parser.add_argument('--skip', default='', help='checks, as weights,step')
    parser.add_argument('--json', help='file to write the findings to')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    given = parser.parse_args(arguments)
    sys.path.insert(0, os.getcwd())  # for what custom_imports names
    sys.stdout.reconfigure(errors='backslashreplace')  # whatever a name has
    try:
        with open(given.config, encoding='utf-8') as file:
            compile(file.read(), given.config, 'exec')
        cfg = Config.fromfile(given.config)
        cfg.merge_from_dict(given.cfg_options or {})
    except (Exception, SystemExit) as error:
        print(f'✗ config: {given.config} cannot be read: '
              f'{type(error).__name__}: {error}')
        if 'inherit from base' in str(error):
            print('      write the whole list; a dict cannot change a list\n'
                  '      see the how-to custom_classes')
        return 2
    report = []
    for name, found in check(cfg, given.gpus, given.images,
                             given.skip.split(',')):
        for finding in found:
            print(f'{finding.mark} {name}: {finding}', flush=True)
            report.append(dict(check=name, **dataclasses.asdict(finding)))
        if not found:
            print(f'ok {name}', flush=True)
            report.append(dict(check=name, mark='ok'))
    if given.json:
        with open(given.json, 'w', encoding='utf-8') as file:
            json.dump(report, file, indent=1)
    return int(any(each['mark'] == '✗' for each in report))


if __name__ == '__main__':
    sys.exit(main())
