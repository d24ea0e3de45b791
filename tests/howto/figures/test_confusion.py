"""Boxes that are wrong in a known way, and what was taken for what, counted and drawn."""

import matplotlib.pyplot as plt
import pytest

from howto.figures import confusion

CONTENT = {
    "images": [{"id": 7}, {"id": 8}],
    "categories": [{"id": 5, "name": "cat"}, {"id": 2, "name": "cup"}, {"id": 9, "name": "dog"}],
    "annotations": [
        {
            "id": n,
            "image_id": 7,
            "category_id": 5 - 3 * (n % 2),
            "bbox": [100 * n, 0, 50, 50],
            "area": 2500,
            "iscrowd": 0,
        }
        for n in range(10)
    ],
}


def test_every_object_is_right_wrong_or_missed_and_the_boxes_are_as_they_are_told():
    made = confusion.made(CONTENT)
    assert made.counts == {
        ("cat", "cat"): 5, ("cup", "cup"): 2, ("cup", "dog"): 2, ("cup", "missed"): 1,
        ("no object", "dog"): 5, ("no object", "cat"): 1,
    }  # fmt: skip
    assert len(made.boxes) == 7 + 2 + 5 + 1
    assert made.boxes[-1]["image_id"] == 8
    assert [each["bbox"] for each in made.boxes[:2]] == [[2.5, 0, 50, 50]] * 2
    assert confusion.sums(made.counts) == (7, 2, 1, 6)
    crowd = CONTENT["annotations"][0] | {"iscrowd": 1}  # has no box
    assert [each["image_id"] for each in confusion.made(CONTENT | {"annotations": [crowd]}).boxes] == [8]


def test_the_precision_of_a_category_is_that_of_its_own_objects():
    """Of five cups two are found, one of ten boxes after the other: recall 0.4 at 41 of 101 points, IoU 0.905."""
    boxes = confusion.made(CONTENT).boxes
    assert confusion.average_precision(CONTENT, boxes, 2) == pytest.approx(0.9 * 41 / 101, abs=1e-6)
    both = [confusion.average_precision(CONTENT, boxes, each) for each in (5, 2)]
    assert confusion.average_precision(CONTENT, boxes) == pytest.approx(sum(both) / 2)
    assert "area" not in boxes[0]


def test_what_a_tool_draws_is_read_and_its_figure_closed():
    def plot(matrix, labels, show):
        figure, axes = plt.subplots(figsize=(2, 1), dpi=50)
        figure.colorbar(axes.imshow([[0, 1]]))
        figure.tight_layout()  # as the tool does
        for name in labels:
            axes.text(0, 0, name)

    with plt.rc_context({"figure.constrained_layout.use": True}):  # as on a page
        assert confusion.percentages(plot, None) == (["cat", "cup", "background"], (100, 50))
    assert not plt.get_fignums()


def test_a_square_stands_where_its_names_cross():
    counts = confusion.made(CONTENT).counts
    figure, axes = plt.subplots()
    confusion.draw(axes, counts, like=counts)
    rows = [each.get_text() for each in axes.get_yticklabels()]
    columns = [each.get_text() for each in axes.get_xticklabels()]
    drawn = {(rows[int(each.get_position()[1])], columns[int(each.get_position()[0])]): int(each.get_text())
             for each in axes.texts}  # fmt: skip
    plt.close(figure)
    assert rows == ["cat", "cup", "no object"]
    assert columns == ["cat", "cup", "dog", "missed"]
    assert drawn == counts
