"""What is shown of the checkpoints that an evaluation's score keeps."""

import matplotlib.pyplot as plt

from howto.figures import scores


def test_arrows_point_at_the_epoch_that_was_kept_and_at_the_last_one():
    figure, axes = plt.subplots()
    scores.draw(axes, [0.2, 0.4, 0.3, 0.5], ran=3, best=2)
    found = {text.get_text(): text.xy for text in axes.texts if hasattr(text, "xy")}
    plt.close(figure)
    assert found == {"best, kept": (2, 0.4), "ends here": (3, 0.3)}
    assert [list(line.get_xdata()) for line in axes.lines] == [[1, 2, 3], [3, 4]]
