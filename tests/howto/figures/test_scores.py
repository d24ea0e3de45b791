"""What is shown of the checkpoints that an evaluation's score keeps."""

import types

import matplotlib.pyplot as plt

from howto.figures import scores


def test_checkpoints_are_listed_and_removed_of_one_config_alone(tmp_path):
    checkout = types.SimpleNamespace(root=tmp_path)
    for name in "one/epoch_1.pth", "one/best_bbox_mAP_epoch_1.pth", "one/log.txt", "other/epoch_1.pth":
        path = tmp_path / "work_dirs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (path.parent.parent / "one/latest.pth").touch()  # a link on a real run, and no checkpoint of its own
    assert scores.checkpoints(checkout, "one.py", remove=True) == ["best_bbox_mAP_epoch_1.pth", "epoch_1.pth"]
    assert scores.checkpoints(checkout, "one.py") == []
    assert scores.checkpoints(checkout, "other.py") == ["epoch_1.pth"]


def test_arrows_point_at_the_epoch_that_was_kept_and_at_the_last_one():
    figure, axes = plt.subplots()
    scores.draw(axes, [0.2, 0.4, 0.3, 0.5], ran=3, best=2)
    found = {text.get_text(): text.xy for text in axes.texts if hasattr(text, "xy")}
    plt.close(figure)
    assert found == {"best, kept": (2, 0.4), "ends here": (3, 0.3)}
    assert [list(line.get_xdata()) for line in axes.lines] == [[1, 2, 3], [3, 4]]
