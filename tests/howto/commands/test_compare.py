import copy
import json

import pytest

from howto.commands.compare import compare
from howto.project.errors import HowtoError

CHECKS = [{"name": "loss", "measured": "1.5"}, {"name": "layers", "measured": "4"}, {"name": "layers", "measured": "5"}]
RECORD = {"topic": "freeze", "device": "CPU", "simulated_gpus": [1, 2], "checks": CHECKS}


@pytest.fixture
def files(tmp_path):
    def write(*contents):
        paths = [tmp_path / f"{number}.json" for number, _ in enumerate(contents)]
        for path, records in zip(paths, contents, strict=True):
            path.write_text(json.dumps({"stack": "onedl", "records": records}))
        return paths

    return write


def test_the_same_checks_are_counted(files, capsys):
    gpu = {**RECORD, "device": "GPU (H200)", "simulated_gpus": []}
    one, other = files([RECORD], [gpu])
    assert compare(one, other) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{one}: simulated GPUs",
        f"{other}: GPU (H200)",
        "3 checks measured the same, 0 differ",
    ]


def test_what_differs_is_listed_by_how_to_and_check(files, capsys):
    changed = copy.deepcopy(RECORD)
    changed["checks"][2]["measured"] = "6"
    changed["checks"].append({"name": "more", "measured": "1"})
    one, other = files([RECORD, {**RECORD, "topic": "mosaic"}], [changed])
    assert compare(one, other) == 1
    assert capsys.readouterr().out.splitlines()[2:] == [
        f"mosaic: only in {one}",
        *("freeze: layers:", "    5", "    6"),
        *("freeze: more:", "    no such check", "    1"),
        "2 checks measured the same, 3 differ",
    ]


def test_what_is_no_record_is_named(files, tmp_path):
    (one,) = files([RECORD])
    with pytest.raises(HowtoError, match=r"none\.json is no verified\.json"):
        compare(one, tmp_path / "none.json")
