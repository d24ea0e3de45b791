"""Put the categories of a COCO file into another order; others come last.

$ python order_categories.py mine.json ordered.json kitten mug
"""
import json
import sys
from pathlib import Path

if len(sys.argv) < 4:
    sys.exit(__doc__.strip())
sys.stdout.reconfigure(errors='backslashreplace')  # whatever a name has in it
source, target, *names = sys.argv[1:]
try:
    content = json.loads(Path(source).read_text(encoding='utf-8-sig'))
    used = {each['category_id'] for each in content['annotations']}
    rows = {}
    for row in content['categories']:
        first = rows.setdefault(row['name'], row)
        if first['id'] != row['id'] and {first['id'], row['id']} <= used:
            sys.exit(f"{source} has objects of two categories called "
                     f"{row['name']}, {first['id']} and {row['id']}; rename one")
        if first['id'] not in used:  # a tool may add a row without objects
            rows[row['name']] = row
    if lacking := [name for name in names if name not in rows]:
        sys.exit(f"{source} has no {', '.join(lacking)}; "
                 f"it has {', '.join(rows)}")
    repeated = len(content['categories']) - len(rows)
    order = dict.fromkeys([*names, *rows])  # each name once
    content['categories'] = [rows[name] for name in order]
    text = json.dumps(content, ensure_ascii=False)
    with Path(target).open('x', encoding='utf-8') as file:
        file.write(text)
except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    sys.exit(f'{source} to {target}: {type(error).__name__}: {error}')
print(f"{target}: {', '.join(order)}")
if others := [name for name in order if name not in names]:
    print(f"not named, so last: {', '.join(others)}")
if repeated:
    print(f'rows of a name that was there already, left out: {repeated}')
