import datetime
import re
from pathlib import Path

import pytest

from howto.project import settings
from howto.project.errors import HowtoError
from howto.project.settings import Settings
from howto.project.stacks import ROOT

SET = {
    "HOWTO_STACK": ("onedl", "onedl"),
    "HOWTO_DEVICE": ("cuda", "cuda"),
    "HOWTO_COCO": ("/data/coco", Path("/data/coco")),
    "HOWTO_WORKERS": ("3", 3),
    "HOWTO_SHARD": ("2/8", (2, 8)),
    "HOWTO_MAX_AGE": ("30d", datetime.timedelta(days=30)),
    "HOWTO_TIME_LIMIT": ("60", 60.0),
    "HOWTO_MEMORY": ("2.5", 2.5),
    "HOWTO_PYTHON": ("3.12", "3.12"),
    "HOWTO_WHEELS": ("https://host/", "https://host"),
    "HOWTO_BASE_URL": ("https://site/how-to/", "https://site/how-to"),
    "HOWTO_REPOSITORY_URL": ("https://forge/project", "https://forge/project"),
    "HOWTO_ANALYTICS_URL": ("https://host/script.js", "https://host/script.js"),
    "HOWTO_RECORDS": ("/records", Path("/records")),
    "HOWTO_SNIPPETS": ("/changed", Path("/changed")),
    "HOWTO_BUILD_PROCESS": ("17", "17"),
}


def test_each_variable_sets_its_own_field_alone_and_what_is_empty_sets_nothing():
    assert [f"HOWTO_{name.upper()}" for name in vars(Settings())] == list(SET)
    for variable, (text, value) in SET.items():
        changed = vars(Settings.from_environ({variable: text}))
        found = {key: each for key, each in changed.items() if each != getattr(Settings(), key)}
        assert found == {variable.removeprefix("HOWTO_").lower(): value}
    assert Settings.from_environ(dict.fromkeys(SET, "")) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("HOWTO_DEVICE", "gpu", "unknown"),
        ("HOWTO_WORKERS", "0", "no number of processes"),
        ("HOWTO_WORKERS", "two", "no number of processes"),
        ("HOWTO_SHARD", "9/8", "no part of the pages"),
        ("HOWTO_MAX_AGE", "30", "no age"),
        ("HOWTO_TIME_LIMIT", "0", "no number above 0"),
        ("HOWTO_TIME_LIMIT", "inf", "no number above 0"),
        ("HOWTO_MEMORY", "nan", "no number above 0"),
        ("HOWTO_MEMORY", "4G", "no number above 0"),
    ],
)
def test_what_a_variable_cannot_be_is_refused_in_a_line_with_the_mend(variable, text, says):
    with pytest.raises(HowtoError, match=f"^{variable}={text} is {says}; set it to ") as error:
        Settings.from_environ({variable: text})
    assert "\n" not in str(error.value)


def test_a_variable_that_is_misspelled_does_not_go_unnoticed_and_those_of_others_are_let_be():
    for typed, meant in (("WORKER", "WORKERS"), ("DEVICES", "DEVICE"), ("MAXAGE", "MAX_AGE")):
        with pytest.raises(HowtoError, match=f"^HOWTO_{typed} sets nothing; HOWTO_{meant} is meant"):
            settings.require_known({f"HOWTO_{typed}": "1"})
    settings.require_known({**dict.fromkeys(SET, "1"), "HOWTO_BENCH_PEERS": "/peers", "HOWTO_OF_OTHERS": "1"})


def test_nobody_else_reads_our_variables_and_the_install_page_has_none_of_its_own():
    sources = [ROOT / "conf.py", *(ROOT / "howto").rglob("*.py")]
    assert [path.name for path in sources if 'environ.get("HOWTO_' in path.read_text("utf-8")] == []
    page = (ROOT / "docs/install.md").read_text("utf-8")
    assert re.findall(r"^\| `HOWTO_\w+`", page, re.MULTILINE) == []
    assert {variable for variable, *_ in settings.described()} < set(SET)
