"""Take the Python path of a GPU where there is none: the CPU computes, and tensors say where they would be.

Whoever asks for ``cuda`` is told that there is one. A tensor that is moved to it stays on the CPU and is marked, and so
is whatever is computed from it: ``tensor.device`` says ``cuda:0``, ``numpy()`` fails, and an operation on a tensor of
``cuda`` and one that was made on the CPU raises the error that a GPU raises. Processes that ask for NCCL get gloo, and
are told that it is NCCL. All of this is PyTorch's own interface; nothing that MMDetection, MMCV or MMEngine does in
Python is replaced. Of MMCV's compiled kernels the focal loss, which has none for the CPU, is computed here.

What it cannot see: kernels and their numerics, memory, NCCL itself, speed, and the arithmetic of ``--amp``. Tensors
that compiled code returns carry no mark, and nothing is marked during the backward pass: mistakes there are not seen.
"""

import contextlib
import functools
import sys
import types
from collections.abc import Iterator
from unittest import mock

import torch
import torch.distributed
from torch.overrides import TorchFunctionMode

CPU, CUDA = "cpu", "cuda"  # a tensor without a mark may be on either
MARK = "_howto_device"
APART = "Expected all tensors to be on the same device, but found at least two devices, cuda:{} and cpu! (in {})"


@contextlib.contextmanager
def simulated_gpus(count: int = 1) -> Iterator[None]:
    """Let this process find `count` GPUs; only the first is ever used by one process, as in MMDetection."""
    with contextlib.suppress(ImportError):  # a script may do without it
        import mmcv.ops  # noqa: F401  whose kernels are looked for below
    with contextlib.ExitStack() as stack:
        for place, names in _replaced(count).items():
            for name, value in names.items():
                if hasattr(place, name):
                    stack.enter_context(mock.patch.object(place, name, value))
        if imported := sys.modules.get("mmengine.device.utils"):  # it asked when it was imported
            stack.enter_context(mock.patch.object(imported, "DEVICE", CUDA))
        stack.enter_context(_Marking())
        yield


def _replaced(count: int) -> dict[object, dict[str, object]]:
    """What of torch answers otherwise while GPUs are simulated, by where it is."""
    current = [0]
    facts = types.SimpleNamespace(name="simulated", major=8, minor=0, total_memory=2**34, multi_processor_count=1)
    cuda = {
        "is_available": lambda: True,
        "device_count": lambda: count,
        "current_device": lambda: current[0],
        "set_device": lambda device: current.__setitem__(0, _index(device)),
        "get_device_name": lambda *args: facts.name,
        "get_device_capability": lambda *args: (facts.major, facts.minor),
        "get_device_properties": lambda *args: facts,
        "is_initialized": lambda: True,
        "Stream": _Stream,
        "Event": _Stream,
        "current_stream": _Stream,
        "default_stream": _Stream,
        "stream": lambda stream: contextlib.nullcontext(),
        "device": lambda device: contextlib.nullcontext(),
        "get_rng_state": torch.get_rng_state,
    }
    nothing = (
        "init _lazy_init synchronize empty_cache manual_seed manual_seed_all reset_peak_memory_stats set_rng_state"
    )
    cuda |= {name: _answering(None) for name in nothing.split()}
    none = "max_memory_allocated memory_allocated memory_reserved max_memory_reserved is_current_stream_capturing"
    cuda |= {name: _answering(0) for name in none.split()}
    from torch.nn.parallel import _functions, comm

    tensor = {"__getitem__": _get_item(torch.Tensor.__getitem__), "pin_memory": lambda self, *args: self}
    tensor["record_stream"] = lambda self, stream: None
    accelerator = {  # what newer ones ask in the place of torch.cuda
        "is_available": lambda: True,
        "device_count": lambda: count,
        "device_index": lambda device: contextlib.nullcontext(),
        "current_device_index": lambda: current[0],
        "current_accelerator": lambda *args, **keys: torch.device(CUDA),
        "current_stream": _Stream,
        "synchronize": _answering(None),
    }
    communicating = _as_nccl(torch.distributed)
    return {
        torch.cuda: cuda,
        getattr(torch, "accelerator", None): accelerator,
        torch.Tensor: tensor,
        torch.nn.Parameter: {"__new__": _keeping_mark(torch.nn.Parameter.__new__)},
        torch: {"Stream": _Stream, "load": _loading(torch.load), "from_numpy": _made_on_cpu(torch.from_numpy)},
        _functions: {"_streams": None},
        sys.modules.get("mmcv._ext"): {
            "sigmoid_focal_loss_forward": _focal_loss,
            "sigmoid_focal_loss_backward": _focal_loss_gradient,
        },
        comm: {"scatter": lambda tensor, *args, **keys: (tensor.cuda(),)},
        torch.distributed: communicating,
        torch.distributed.distributed_c10d: {"get_backend": communicating["get_backend"]},
    }


def _answering(answer: object):
    """A function of its own, as torch.compile tells torch's functions apart by what they are."""
    return lambda *args, **keys: answer


class _Stream(contextlib.nullcontext):
    """A stream or an event: everything has happened already."""

    def __init__(self, *args, **keys) -> None:
        super().__init__(self)
        self.device = torch.device(CUDA, 0)

    def __getattr__(self, name: str):
        return lambda *args, **keys: None


def _without_mark(original):
    """What is saved with a tensor: the mark is not."""

    @functools.wraps(original)
    def state(value):
        found = original(value)
        if isinstance(found, dict) and MARK in found:
            return {name: item for name, item in found.items() if name != MARK}
        return found

    return state


torch._utils._get_obj_state = _without_mark(torch._utils._get_obj_state)  # a tensor is marked for as long as it lives


class _Marking(TorchFunctionMode):
    """Sees each call of torch that Python makes, and marks what it returns."""

    def __init__(self) -> None:
        super().__init__()
        tensor = torch.Tensor
        # What takes tensors of two devices.
        self.across = {
            tensor.__getitem__,
            tensor.__setitem__,
            tensor.grad.__set__,
            torch._has_compatible_shallow_copy_type,
        }
        self.special = {
            tensor.device.__get__: self._device,
            tensor.is_cuda.__get__: lambda function, args, keys: _mark(args[0]) == CUDA,
            tensor.get_device: lambda function, args, keys: _current() if _mark(args[0]) == CUDA else -1,
            tensor.data.__set__: self._set_data,
            tensor.to: self._to,
            tensor.cuda: self._cuda,
            tensor.cpu: self._cpu,
            tensor.type: self._type,
            tensor.type_as: lambda function, args, keys: _marked(function(*args), _mark(args[1])),
            tensor.copy_: lambda function, args, keys: function(*args, **keys),
            tensor.numpy: self._numpy,
            tensor.__array__: self._numpy,
        }

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Call `function`, on the CPU, and mark what it returns."""
        keys = kwargs or {}
        if special := self.special.get(function):
            return special(function, args, keys)
        device = keys.get("device")
        if device is None:
            mark = self._common(function, (*args, *keys.values()))
        elif mark := CUDA if _is_cuda(device) else None:
            keys = {**keys, "device": CPU}
        result = function(*args, **keys)
        if isinstance(result, (list, tuple)):
            for each in result:
                _marked(each, mark)
            return result
        return _marked(result, mark)

    def _common(self, function, values: tuple) -> str | None:
        """Where tensors are that `function` works on together; those without a dimension may be anywhere.

        Raises:
            RuntimeError: They are on ``cuda`` and on the CPU, as on a GPU.
        """
        found, tensors = set(), False
        for value in values:
            for each in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(each, torch.Tensor):
                    tensors, mark = True, _mark(each)
                    if mark and (mark == CUDA or each.dim()):
                        found.add(mark)
        if len(found) == 2 and function not in self.across:
            raise RuntimeError(APART.format(_current(), getattr(function, "__name__", function)))
        if not tensors:
            return CPU
        return CUDA if CUDA in found else CPU if found else None

    def _device(self, function, args, keys) -> torch.device:
        return torch.device(CUDA, _current()) if _mark(args[0]) == CUDA else function(*args)

    def _set_data(self, function, args, keys) -> None:
        function(*args)
        _marked(args[0], _mark(args[1]), anew=True)

    def _to(self, function, args, keys):
        """A tensor elsewhere, of another type, or both."""
        tensor, *rest = args
        wanted = keys.get("device", rest[0] if rest else None)
        if isinstance(wanted, torch.Tensor):
            mark, there = _mark(wanted) or _mark(tensor), wanted
        elif _is_cuda(wanted) or isinstance(wanted, (str, torch.device)):
            mark, there = CUDA if _is_cuda(wanted) else CPU, CPU
        else:  # another type
            return _marked(function(*args, **keys), _mark(tensor))
        if "device" in keys:
            keys = {**keys, "device": there}
        else:
            rest[0] = there
        return self._moved(tensor, function(tensor, *rest, **keys), mark)

    def _cuda(self, function, args, keys):
        return self._moved(args[0], args[0], CUDA)

    def _cpu(self, function, args, keys):
        return self._moved(args[0], args[0], CPU)

    @staticmethod
    def _moved(tensor, result, mark: str | None):
        """`result`, a tensor of its own if `tensor` was elsewhere."""
        if result is tensor and _mark(tensor) != mark:
            result = tensor.clone()
        return _marked(result, mark, anew=True)

    def _type(self, function, args, keys):
        result = function(*args, **keys)
        if isinstance(result, str):
            return result.replace("torch.", "torch.cuda.") if _mark(args[0]) == CUDA else result
        return _marked(result, _mark(args[0]))

    def _numpy(self, function, args, keys):
        if _mark(args[0]) == CUDA:
            device = f"cuda:{_current()}"
            hint = "Use Tensor.cpu() to copy the tensor to host memory first."
            raise TypeError(f"can't convert {device} device type tensor to numpy. {hint}")
        return function(*args, **keys)


def _mark(value) -> str | None:
    return getattr(value, MARK, None)


def _marked(value, mark: str | None, anew: bool = False):
    """`value`, marked if it is a tensor that has no mark yet."""
    if mark and isinstance(value, torch.Tensor) and (anew or _mark(value) is None):
        setattr(value, MARK, mark)
    return value


def _current() -> int:
    return torch.cuda.current_device()


def _is_cuda(device) -> bool:
    if isinstance(device, torch.device):
        return device.type == CUDA
    return str(device).startswith(CUDA) if isinstance(device, str) else type(device) is int


def _index(device) -> int:
    return device if isinstance(device, int) else torch.device(device).index or 0


def _get_item(original):
    """Indexing, which does not reach a mode before torch 2.2."""

    @functools.wraps(original)
    def get_item(self, index):
        if _mark(self) == CPU:
            for each in index if isinstance(index, tuple) else (index,):
                if _mark(each) == CUDA and each.dim():
                    raise RuntimeError(
                        "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
                    )
        return _marked(original(self, index), _mark(self))

    return get_item


def _keeping_mark(original):
    def new(cls, data=None, *args, **keys):
        return _marked(original(cls, data, *args, **keys), _mark(data))

    return new


def _made_on_cpu(original):
    @functools.wraps(original)
    def made(*args, **keys):
        return _marked(original(*args, **keys), CPU)

    return made


def _loading(original):
    """``torch.load``, whose ``map_location`` may be a GPU: of all that it loads, or by a function of each storage."""

    @functools.wraps(original)
    def load(file, map_location=None, *args, **keys):
        mark = CUDA if _is_cuda(map_location) else CPU
        if callable(map_location):
            storage = mock.Mock()
            mark = CPU if map_location(storage, CPU) in (storage, None) else CUDA
        result = original(file, CPU, *args, **keys)
        _mark_all(result, mark)
        return result

    return load


def _mark_all(value, mark: str) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for each in value:
            _mark_all(each, mark)
    else:
        _marked(value, mark, anew=True)


def _as_nccl(distributed) -> dict[str, object]:
    """What joins processes and sends tensors: gloo for those who ask for NCCL, which takes no tensor of the CPU."""
    backends = {}

    @functools.wraps(distributed.init_process_group)
    def init_process_group(backend=None, *args, original=distributed.init_process_group, **keys):
        backends[None] = wanted = backend or "nccl"
        return original("gloo" if wanted == "nccl" else wanted, *args, **keys)

    def get_backend(group=None):
        return backends.get(None, "gloo")

    def sending(original):
        @functools.wraps(original)
        def send(*args, **keys):
            for value in (*args, *keys.values()):
                for each in value if isinstance(value, (list, tuple)) else (value,):
                    if _mark(each) == CPU and get_backend() == "nccl":
                        raise RuntimeError(f"Tensors must be CUDA and dense (in {original.__name__})")
            return original(*args, **keys)

        return send

    sends = {name: sending(getattr(distributed, name)) for name in ("all_reduce", "broadcast", "reduce", "all_gather")}
    return {"init_process_group": init_process_group, "get_backend": get_backend, **sends}


def _focal_loss(input, target, weight, output, gamma: float, alpha: float) -> None:
    """MMCV's kernel: the loss of scores (n, classes) for labels (n,), of which the last one is the background."""
    output.copy_(_focal_terms(input, target, weight, gamma, alpha))


def _focal_loss_gradient(input, target, weight, grad_input, gamma: float, alpha: float) -> None:
    with torch.enable_grad():
        scores = input.detach().requires_grad_()
        terms = _focal_terms(scores, target, weight, gamma, alpha)
        grad_input.copy_(torch.autograd.grad(terms.sum(), scores)[0])


def _focal_terms(input, target, weight, gamma: float, alpha: float):
    """The loss of each score, by the cross entropy of whether it is that of the label."""
    own = target[:, None] == torch.arange(input.size(1), device=target.device)
    error = torch.where(own, 1 - input.sigmoid(), input.sigmoid())
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(input, own.to(input.dtype), reduction="none")
    terms = torch.where(own, alpha, 1 - alpha) * error**gamma * entropy
    return terms * weight[target][:, None] if weight.numel() else terms
