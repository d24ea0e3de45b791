"""What was taken for what is drawn as a table."""

from collections import Counter

import matplotlib.pyplot as plt

from howto.figures.confusion import MISSED, NOTHING, draw


def test_a_square_stands_where_its_names_cross():
    counts = Counter({("cat", "cat"): 5, ("cup", "cup"): 2, ("cup", "dog"): 2, ("cup", MISSED): 1, (NOTHING, "dog"): 5})
    figure, axes = plt.subplots()
    draw(axes, counts, like=counts)
    rows = [each.get_text() for each in axes.get_yticklabels()]
    columns = [each.get_text() for each in axes.get_xticklabels()]
    drawn = {(rows[int(each.get_position()[1])], columns[int(each.get_position()[0])]): int(each.get_text())
             for each in axes.texts}  # fmt: skip
    plt.close(figure)
    assert rows == ["cat", "cup", "no object"]
    assert columns == ["cat", "cup", "dog", "missed"]
    assert drawn == counts
