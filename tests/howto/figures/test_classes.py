"""What of a detector depends on the number of classes, and which outputs were taken over."""

import torch

from howto import Workspace
from howto.figures import classes


def test_an_output_is_found_by_weights_and_bias_and_one_that_is_new_is_not():
    source = {"fc.weight": torch.arange(6.0).view(3, 2), "fc.bias": torch.tensor([0.0, 0.0, 1.0])}
    state = {name: value[[2, 0]] for name, value in source.items()}
    assert classes.origins(state, source, "fc") == [2, 0]
    state["fc.bias"] = torch.tensor([1.0, 5.0])
    assert classes.origins(state, source, "fc") == [2, None]


def test_a_box_is_four_numbers():
    source = {"fc.weight": torch.arange(12.0).view(12, 1), "fc.bias": torch.zeros(12)}
    state = {name: torch.cat([value[8:], value[:4]]) for name, value in source.items()}
    assert classes.origins(state, source, "fc", each=4) == [2, 0]


def test_what_depends_on_the_classes_of_a_standard_detector_is_its_last_layer():
    path = classes.standard()["RetinaNet"]
    assert classes.dependent(Workspace("finetune"), path) == [
        "bbox_head.retina_cls.weight",
        "bbox_head.retina_cls.bias",
    ]
