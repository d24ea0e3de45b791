"""Say which tests of the harness a stack runs: what a family does not change is tested once, on the default stack."""

from pathlib import Path

from howto.checkout import standby
from howto.commands.serve import SITE
from howto.project import stacks

HERE = Path(__file__).parent

standby.keep(SITE)  # while no test has imported anything
stack = stacks.current().name
default = stack == "mmdet2"
collect_ignore = (
    ["mmdet3"] if default else [path.name for path in HERE.iterdir() if path.name not in ("mmdet3", "conftest.py")]
)
collect_ignore += [] if stack == "onedl" else ["mmdet3/test_hub.py"]  # older timm loads from addresses
