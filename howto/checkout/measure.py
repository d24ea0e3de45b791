"""Measure a detector: what it costs, the levels that its parts speak of, and what of it trains."""

from howto.checkout.family import api
from howto.project.quiet import quiet


def cost(model, size: int) -> tuple[float, float, float]:
    """Parameters of a detector and of its backbone, and multiply-adds of one pass over a square image.

    Args:
        model: A detector in evaluation mode.
        size: Side of the image, in pixels.

    Returns:
        Parameters in millions, the backbone's in millions, and 10^9 multiply-adds, as OpenMMLab's
        ``get_model_complexity_info`` counts them and calls them FLOPs.
    """
    import torch

    image = torch.rand(1, 3, size, size, device=next(model.parameters()).device)
    with quiet():  # of operators that are not counted, of which a page's reader can change nothing
        return millions(model), millions(model.backbone), api().flops(model, image) / 1e9


def levels(backbone, size: int) -> tuple[list[int], list[int]]:
    """Channels and strides (pixels) of a backbone's levels, measured on a square image of `size` pixels a side."""
    import torch

    backbone.eval()
    device = next(backbone.parameters()).device
    with torch.no_grad():
        shapes = [level.shape for level in backbone(torch.rand(1, 3, size, size, device=device))]
    return [shape[1] for shape in shapes], [size // shape[2] for shape in shapes]


def neck_strides(model, size: int = 256) -> list[int]:
    """Strides (pixels) of the levels that a detector's head gets, measured on a square image of `size` pixels."""
    import torch

    model.eval()
    with torch.no_grad():
        levels = model.extract_feat(torch.rand(1, 3, size, size, device=next(model.parameters()).device))
    return [round(size / level.shape[-1]) for level in levels]


def anchor_strides(model) -> list[int]:
    """Strides (pixels) on which a detector lays its anchors or points, level by level; none if it has neither."""
    head = getattr(model, "rpn_head", None) or getattr(model, "bbox_head", None)
    generator = getattr(head, "prior_generator", None)
    return [stride[0] if isinstance(stride, tuple) else stride for stride in getattr(generator, "strides", ())]


def anchor_reach(model, size: int = 256) -> float:
    """How far right the centres of a detector's anchors reach, as a part of the width of an image of `size` pixels."""
    import torch

    head = getattr(model, "rpn_head", None) or model.bbox_head
    device = next(model.parameters()).device
    sizes = [(size // stride, size // stride) for stride in neck_strides(model, size)]
    anchors = torch.cat(head.prior_generator.grid_priors(sizes, device=device))
    return float((anchors[:, 0] + anchors[:, 2]).max()) / 2 / size


def roi_strides(model) -> list[int]:
    """Strides (pixels) that a two-stage detector takes its levels to have when it cuts out boxes; else none."""
    extractor = getattr(getattr(model, "roi_head", None), "bbox_roi_extractor", None)
    if hasattr(extractor, "__getitem__"):  # one for each stage of a cascade
        extractor = extractor[0]
    return list(getattr(extractor, "featmap_strides", ()))


def unreached(module, outputs) -> list[str]:
    """Names of a module's parameters that require a gradient and that none of `outputs` was computed from.

    A backward pass would leave them without a gradient. The graph that it would follow is searched instead, in a
    fraction of the time.
    """
    seen, found = set(), {output.grad_fn for output in outputs} - {None}  # what is frozen has none
    while found:
        seen |= found
        found = {node for each in found for node, _ in each.next_functions if node} - seen
    reached = {id(node.variable) for node in seen if hasattr(node, "variable")}
    return [name for name, value in module.named_parameters() if value.requires_grad and id(value) not in reached]


def kept_for_backward(module, height: int, width: int) -> float:
    """Memory that one pass of a module over one image keeps until the backward pass, in MiB, weights left out.

    Args:
        module: Takes a tensor (1, 3, height, width). On PyTorch's ``meta`` device nothing is computed: tensors there
            have a size and no content, so that full scale costs no time. Its batch norms keep some 0.2 MiB more.
        height: Height of the image, in pixels.
        width: Its width, in pixels.
    """
    import torch

    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # held, so that no other gets its address
        return tensor

    device = next(module.parameters()).device
    # with_cp=True calls torch in a way that it warns of, of which a page's reader can change nothing
    with quiet(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(torch.rand(1, 3, height, width, device=device))
    for tensor in (*module.parameters(), *module.buffers()):
        kept.pop(tensor.untyped_storage()._cdata, None)
    return sum(storage.nbytes() for storage in kept.values()) / 2**20


def millions(module) -> float:
    """Parameters of a module, in millions."""
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6
