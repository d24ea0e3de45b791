"""Put the categories of a COCO file into another order.

$ python order_categories.py mine.json ordered.json kitten mug
"""
import json
import sys
from pathlib import Path

source, target, *names = sys.argv[1:]
content = json.loads(Path(source).read_text())
content['categories'].sort(key=lambda category: names.index(category['name']))
Path(target).write_text(json.dumps(content))
