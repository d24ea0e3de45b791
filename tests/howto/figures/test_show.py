import numpy as np
import pytest
from matplotlib.figure import Figure

from howto.figures.show import Link, Table, Unfolds, draw_boxes


def test_a_table_has_a_row_for_each_row_and_escapes_what_html_would_read():
    shown = Table(("<b>", "b"), [("a & <script>", 2), (3, [64, 128])])._repr_html_()
    assert '<th scope="col">&lt;b&gt;</th>' in shown
    rows = "<tr><td>a &amp; &lt;script&gt;</td><td>2</td></tr><tr><td>3</td><td><code>[64, 128]</code></td></tr>"
    assert f"<tbody>{rows}</tbody>" in shown
    with pytest.raises(ValueError, match="zip"):
        repr(Table(("a", "b"), [(1,)]))


def test_a_terminal_gets_aligned_columns_without_trailing_spaces_and_three_digits():
    assert repr(Table(("name", "n"), [("a", 1), ("longer", 0.123456)])) == "name    n\na       1\nlonger  0.123"
    assert repr(Table(("n",), [(1.0,), (12345.6,)])).splitlines()[1:] == ["1", "1.23e+04"]


def test_a_cell_that_unfolds_shows_its_line_in_a_terminal_and_hides_its_text_on_a_page():
    table = Table(("a", "b"), [("x", Unfolds("a <config>", "b = 'c' < 1"))])
    assert repr(table) == "a  b\nx  a <config>"
    shown = table._repr_html_()
    assert "<td><details><summary>a &lt;config&gt;</summary>" in shown
    assert "<pre>b = &#x27;c&#x27; &lt; 1</pre>" in shown


def test_a_cell_that_leads_on_is_a_link_on_a_page_and_its_address_in_a_terminal():
    table = Table(("a",), [(Link("<file>", "https://example.org/?a&b"),)])
    assert repr(table) == "a\nhttps://example.org/?a&b"
    link = '<a class="reference external" href="https://example.org/?a&amp;b">&lt;file&gt;</a>'
    assert f"<td>{link}</td>" in table._repr_html_()


def test_boxes_lie_where_they_are_said_to_be():
    axes = Figure().subplots()
    boxes = {"gt_bboxes": np.array([[10, 20, 30, 50]]), "gt_labels": [1]}
    draw_boxes(axes, {"img": np.zeros((60, 80, 3), np.uint8), **boxes}, ("cat", "cup"), "mosaic")
    (box,) = axes.patches
    assert box.get_bbox().extents.tolist() == [10, 20, 30, 50]
    assert [text.get_text() for text in axes.texts] == ["cup"]
    assert axes.get_title() == "mosaic, 80 × 60"
