"""What becomes of a cell on a page: its code is folded, its checks are a list, and so on, in an order that reads."""

import types

import pytest
from docutils import nodes

from howto.project.record import Record
from howto.project.shown import show
from howto.site.fold import LONGEST, fold
from howto.site.parts import details

OPTIONS = dict(kind="options", command="python tools/train.py c.py --cfg-options", options=["x=1"], number=5)
APP = types.SimpleNamespace(env=types.SimpleNamespace(docname="how-to/plot_mosaic"))


def page(*parts):
    """A how-to whose cells are code, its events or None, and what it printed."""
    document = nodes.section()
    for code, events, printed in parts:
        document += nodes.literal_block(code, code, language="Python")
        if events:
            document += nodes.container("", events=events)
        if printed:
            document += nodes.literal_block(printed, printed, classes=["sphx-glr-script-out"], language="none")
    fold(APP, document)
    return document.children


def checks(*given):
    """The list that a page shows of these checks."""
    record = Record("t", "mmdet2", {})
    with show.collecting():
        for name, measured, expected in given:
            record.check(name, measured, **expected)
        events = show.take()
    _, shown = page(("check()", events, ""))
    return shown


def test_checks_become_a_list_with_anchors_and_a_limit():
    many = ("height, width: of a picture", (800, 1333), dict(expected=(800, 1333)))
    first, second = checks(many, ("error", 1.5, dict(at_most=3)))
    assert first["ids"] == ["check-height-width-of-a-picture"]
    assert first.astext() == "height, width: of a picture: 800, 1333"
    assert second.astext() == "error: 1.5, at most 3"


def test_a_true_check_is_its_name_a_long_value_is_cut_and_two_of_one_name_have_two_anchors():
    true, one, other = checks(
        ("it is finite", True, dict(expected=True)), *[("all", "x" * 500, dict(expected="x" * 500))] * 2
    )
    assert true.astext() == "it is finite"
    (both,) = checks(("both are", [True, True], dict(expected=[True, True])))
    assert both.astext() == "both are"
    assert len(one.astext()) < LONGEST + 20 and one.astext().endswith(" …")
    assert one["ids"] != other["ids"]


def test_a_cell_shows_its_difference_what_it_printed_what_fits_the_machine_and_its_checks_in_this_order():
    with show.collecting():
        Record("t", "mmdet2", {}).check("it stops", True, True)
        events = show.take()
    mistake = dict(
        kind="difference", file="config.py", adapts=False, lines=["-wrong = 1", "+right = 1", " …", "-a", "+b"]
    )
    events += [dict(kind="stand-in", file="a.pth"), OPTIONS, mistake]
    code, difference, printed, fitted, checked = page(("train()", events, "AssertionError\n"))
    assert code["summary"] == "Code, 1 line"
    title, block = difference.children
    assert title.astext() == "A mistake in config.py: - wrong, + right"
    assert (block["language"], block.astext().splitlines()) == ("diff", mistake["lines"])
    assert printed.astext() == "AssertionError"
    assert fitted["summary"] == "Fitted to this machine: 5 options; random weights in place of a.pth"
    assert fitted.astext() == "python tools/train.py c.py --cfg-options\n    x=1"
    assert checked.astext() == "it stops"


def test_a_change_of_the_readers_own_leads_away_from_the_file():
    change = dict(kind="difference", file="config.py", adapts=True, lines=["-score = 0.3", "+score = 0.6"])
    _, difference = page(("edit()", [change], ""))
    assert difference[0].astext() == "Your change of config.py: - as it is here, + yours"


def test_weights_alone_are_named_without_options():
    _, fitted = page(("build()", [dict(kind="stand-in", file=name) for name in ("a.pth", "b.pth")], ""))
    assert fitted["summary"] == "Random weights in place of a.pth, b.pth"


@pytest.mark.parametrize("when", ["2026-11-25 20:05:20,370", "11/25 20:05:20"], ids=["mmdet2", "mmengine"])
def test_a_log_is_a_line_that_opens_and_what_only_looks_like_a_difference_is_printed_as_it_is(when):
    _, before, logged, after = page(("train()", None, f"--- done\nand more\n{when} - mmdet - INFO - shape\n--- end\n"))
    assert (before.astext(), after.astext()) == ("--- done\nand more", "--- end")
    assert logged["summary"] == "MMDetection's log, 1 line"


def test_a_cell_that_put_nothing_out_is_folded_with_the_next():
    cells = page(("a = 1\nb = 2", None, ""), ("c = 3", None, "3"), ("d = 4", None, ""))
    assert [each["summary"] for each in cells if isinstance(each, details)] == ["Code, 3 lines", "Code, 1 line"]
