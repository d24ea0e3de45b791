import collections

import pytest
from docutils import nodes

from howto.project.record import Record
from howto.site.fold import LONGEST, _fold_code, _parts
from howto.site.parts import details

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
    text, checks = of("t", many, ("error", 1.5, dict(at_most=3)), capsys=capsys)
    (found,) = shown(text, checks)
    first, second = found.children
    assert first["ids"] == ["check-height-width-of-a-picture"]
    assert first.astext() == "height, width: of a picture: (800, 1333)"
    assert next(first.findall(nodes.literal)).astext() == "(800, 1333)"
    assert second.astext() == "error: 1.5, at most 3"


def test_a_check_that_is_true_is_its_name(capsys):
    text, checks = of("t", ("it is finite", True, dict(expected=True)), capsys=capsys)
    assert shown(text, checks)[0].astext() == "it is finite"


def test_a_long_value_is_cut_and_two_checks_of_one_name_have_two_anchors(capsys):
    text, checks = of("t", *[("all", "x" * 500, dict(expected="x" * 500))] * 2, capsys=capsys)
    (found,) = shown(text, checks)
    assert len(found[0].astext()) < LONGEST + 20 and found[0].astext().endswith(" …")
    assert found[0]["ids"] != found[1]["ids"]


def test_a_difference_ends_where_its_hunks_do_though_what_follows_is_indented_as_well():
    difference, printed = shown(DIFF + "    assert 'mix_results' in results\nAssertionError\n")
    title, block = difference.children
    assert title.astext() == "- the variant, + config.py"
    assert block["language"] == "diff"
    assert block.astext().splitlines() == [
        "-wrong = 1", "+right = 1", "+more = 2", " …", " same", "-last = True", "+last = False",
    ]  # fmt: skip
    assert printed.astext() == "    assert 'mix_results' in results\nAssertionError"


def test_a_difference_that_adapts_the_file_leads_away_from_it():
    (difference,) = shown("--- config.py\n+++ config_variant2.py\n@@ -3 +3 @@\n-score = 0.3\n+score = 0.6\n")
    title, block = difference.children
    assert title.astext() == "- config.py, + adapted"
    assert block.astext().splitlines() == ["-score = 0.3", "+score = 0.6"]


@pytest.mark.parametrize("when", ["2026-11-25 20:05:20,370", "11/25 20:05:20"], ids=["mmdet2", "mmengine"])
def test_what_fits_the_machine_and_a_log_are_a_line_each(when):
    text = "random weights in place of a.pth\npython tools/train.py configs/t/c.py --cfg-options\n"
    text += "    x=1\n    and 4 options as before\n"
    fitted, logged, printed = shown(f"{text}{when} - mmdet - INFO - image shape\nplain\n")
    assert fitted["summary"] == "Fitted to this machine: 5 options; random weights in place of a.pth"
    assert "    x=1" in fitted.astext()
    assert logged["summary"] == "MMDetection's log, 1 line"
    assert printed.astext() == "plain"


def test_weights_alone_are_named_without_options():
    (fitted,) = shown("random weights in place of a.pth\nrandom weights in place of b.pth\n")
    assert fitted["summary"] == "Random weights in place of a.pth, b.pth"


def test_a_cell_that_put_nothing_out_is_folded_with_the_next():
    page = nodes.section()
    cells = [nodes.literal_block(text, text, language="Python") for text in ("a = 1\nb = 2", "c = 3", "d = 4")]
    page += [cells[0], nodes.comment(), cells[1], nodes.paragraph(), cells[2]]
    for cell in cells:
        _fold_code(cell)
    folded = list(page.findall(details))
    assert [each["summary"] for each in folded] == ["Code, 3 lines", "Code, 1 line"]


def test_a_line_of_dashes_that_begins_no_difference_is_printed_as_it_is():
    (printed,) = shown("--- done\nand more\n--- end")
    assert printed.astext() == "--- done\nand more\n--- end"
