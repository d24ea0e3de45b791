"""Number the annotations of a COCO file from 1.

$ python number_annotations.py mine.json numbered.json
"""
import json
import sys
from pathlib import Path

if len(sys.argv) != 3:
    sys.exit(__doc__.strip())
sys.stdout.reconfigure(errors='backslashreplace')  # whatever a name has in it
source, target = sys.argv[1:]
try:
    content = json.loads(Path(source).read_text(encoding='utf-8-sig'))
    for number, annotation in enumerate(content['annotations'], 1):
        annotation['id'] = number
    text = json.dumps(content, ensure_ascii=False)
    with Path(target).open('x', encoding='utf-8') as file:
        file.write(text)
except (OSError, ValueError, KeyError, TypeError) as error:
    sys.exit(f'{source} to {target}: {type(error).__name__}: {error}')
print(f"{target}: {len(content['annotations'])} annotations")
