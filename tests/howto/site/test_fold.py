import collections

import pytest
from docutils import nodes

from howto.project.record import Record
from howto.site.fold import LONGEST, _parts

DIFF = """\
--- config_variant1.py
+++ config.py
@@ -3 +3,2 @@
-wrong = 1
+right = 1
+more = 2
@@ -9,2 +10,2 @@
 same
-last = True
+last = False
"""


def shown(text, checks=()):
    return list(_parts(text.splitlines(), iter(checks), collections.Counter()))


def of(topic, *checks, capsys):
    """What checks print, and how a record keeps them."""
    record = Record(topic, "mmdet2", {})
    for check in checks:
        record.check(*check[:2], **check[2])
    return capsys.readouterr().out, [vars(check) for check in record.checks]


def test_checks_become_a_list_with_anchors_and_a_limit(capsys):
    many = ("height, width: of a picture", (800, 1333), dict(expected=(800, 1333)))
    true, long = ("it is finite", True, dict(expected=True)), ("all", "x" * 500, dict(expected="x" * 500))
    text, checks = of("t", many, ("error", 1.5, dict(at_most=3)), true, long, long, capsys=capsys)
    (found,) = shown(text, checks)
    first, second, third, *two = found.children
    assert first["ids"] == ["check-height-width-of-a-picture"]
    assert first.astext() == "height, width: of a picture: (800, 1333)"
    assert next(first.findall(nodes.literal)).astext() == "(800, 1333)"
    assert second.astext() == "error: 1.5, at most 3"
    assert third.astext() == "it is finite"
    assert all(len(each.astext()) < LONGEST + 20 and each.astext().endswith(" …") for each in two)
    assert two[0]["ids"] != two[1]["ids"]


def test_a_difference_ends_where_its_hunks_do_though_what_follows_is_indented_as_well():
    difference, printed = shown(DIFF + "    assert 'mix_results' in results\nAssertionError\n--- done\n")
    title, block = difference.children
    assert title.astext() == "- the variant, + config.py"
    assert block["language"] == "diff"
    assert block.astext().splitlines() == [
        "-wrong = 1", "+right = 1", "+more = 2", " …", " same", "-last = True", "+last = False",
    ]  # fmt: skip
    assert printed.astext() == "    assert 'mix_results' in results\nAssertionError\n--- done"
    (adapted,) = shown("--- config.py\n+++ config_variant2.py\n@@ -3 +3 @@\n-score = 0.3\n+score = 0.6\n")
    assert [each.astext() for each in adapted] == ["- config.py, + adapted", "-score = 0.3\n+score = 0.6"]


@pytest.mark.parametrize("when", ["2026-11-25 20:05:20,370", "11/25 20:05:20"], ids=["mmdet2", "mmengine"])
def test_what_fits_the_machine_and_a_log_are_a_line_each(when):
    text = "random weights in place of a.pth\npython tools/train.py configs/t/c.py --cfg-options\n"
    text += "    x=1\n    and 4 options as before\n"
    fitted, logged, printed = shown(f"{text}{when} - mmdet - INFO - image shape\nplain\n")
    assert fitted["summary"] == "Fitted to this machine: 5 options; random weights in place of a.pth"
    assert "    x=1" in fitted.astext()
    assert logged["summary"] == "MMDetection's log, 1 line"
    assert printed.astext() == "plain"
