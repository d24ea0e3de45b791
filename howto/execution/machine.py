"""Look at what this machine has for a build, one thing at a time."""

import concurrent.futures
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from howto.checkout import coco, gpu, weights
from howto.project.errors import HowtoError
from howto.project.settings import Settings
from howto.project.stacks import ROOT, Stack, differing, installed
from howto.setup import compiling, wheelhouse
from howto.setup.here import applies, is_own, missing

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NEEDED_GIB = 2  # free disk space for workspaces, checkpoints and the site

# Whether it is fine (None: it is not, and a build can do without), what is there, and what mends it.
Finding = tuple[bool | None, str, str]


def reinstall_hint(stack: Stack) -> str:
    """How to make an environment that is broken once more."""
    if is_own(stack):
        return "run `python -m howto install --here`"
    return f"run `rm -rf {stack.environment.relative_to(ROOT)} && tox -e wheels`"


def _python(stack: Stack) -> Finding:
    right = "{}.{}".format(*sys.version_info[:2]) in stack.pythons
    mend = "" if right else f"run it with Python {' or '.join(stack.pythons)}"
    return right, f"{platform.python_version()} in {sys.prefix}", mend


def _compiler(stack: Stack) -> Finding:
    try:
        compiler = compiling.require_compiler(stack.compiled)
    except HowtoError as error:
        found, _, mend = str(error).partition("; ")
        return None, found, mend  # with a wheel in the wheelhouse, nothing has to be compiled
    return True, subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout.partition("\n")[0], ""


def _packages(stack: Stack) -> Finding:
    lock = stack.lock.relative_to(ROOT)
    found = installed()
    if is_own(stack):
        wrong = missing(stack)
        if wrong:
            told = f"{len(wrong)} of {len(stack.needed())} are missing: {', '.join(wrong)}"
            return False, told, "run `python -m howto install --here`"
        others = differing(found, stack)
        listed = ", ".join(f"{name} {found[name]}" for name in sorted(others))
        return (None, f"not as in {lock}: {listed}", "pages name them") if others else (True, f"as in {lock}", "")
    if not stack.python.exists():
        return False, f"{lock} is not installed yet", "run `tox -e wheels`"
    locked = {each.name: each.version for each in stack.locked if applies(each.marker)}
    wrong = [f"{name}=={found.get(name, 'missing')}" for name, version in locked.items() if found.get(name) != version]
    if wrong:
        return False, f"{len(wrong)} of {len(locked)} not as in {lock}: {', '.join(wrong[:3])}", reinstall_hint(stack)
    return True, f"{len(locked)}, as in {lock}", ""


def _torch(stack: Stack) -> Finding:
    import torch

    return (
        True,
        f"{torch.__version__}, built for {f'CUDA {torch.version.cuda}' if torch.version.cuda else 'the CPU'}",
        "",
    )


def _mmcv(stack: Stack) -> Finding:
    version = f"{stack.compiled} {installed().get(stack.compiled, '')}"
    try:
        from mmcv.ops import get_compiling_cuda_version
    except ImportError as error:
        return False, f"{version}, its ops do not load: {error}".partition("\n")[0], reinstall_hint(stack)
    cuda = get_compiling_cuda_version()
    return True, f"{version}, with ops, {'no CUDA ops' if cuda == 'not available' else f'ops for CUDA {cuda}'}", ""


def _gpu(stack: Stack) -> Finding:
    import torch

    if not torch.cuda.is_available():
        return None, "none that torch can use; snippets run on the CPU", "`nvidia-smi` has to list one"
    return True, ", ".join(map(torch.cuda.get_device_name, range(torch.cuda.device_count()))), ""


def _device(stack: Stack) -> Finding:
    return True, f"{Settings.from_environ().device}, so snippets run on {gpu.choose()}", ""


def _weights(stack: Stack) -> Finding:
    home = Path(os.environ.get("TORCH_HOME") or wheelhouse.folder().with_name("torch"), "hub", "checkpoints")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = dict(zip(weights.HOSTS, pool.map(weights.reachable, weights.HOSTS)))
    away = [host for host, answered in answers.items() if not answered]
    found = f"{len(list(home.glob('*.pth')))} checkpoints in {home}; "
    if not away:
        return True, found + "every host answers", ""
    mend = f"connect to the network, or put the checkpoints into {home}"
    return None, f"{found}no answer from {', '.join(away)}, so stand-ins take the place of others", mend


def _coco(stack: Stack) -> Finding:
    root = Settings.from_environ().coco
    if not root:
        return None, "mini-COCO, made from photographs", "for the real one run `HOWTO_COCO=/path/to/coco tox -e docs`"
    return True, str(coco.check_coco(root)), ""


def _browser(stack: Stack) -> Finding:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return (True, found, "") if found else (None, "none; the pages are not looked at", "run `apt-get install chromium`")


def _disk(stack: Stack) -> Finding:
    places = {str(ROOT), tempfile.gettempdir()}
    free = min(shutil.disk_usage(place).free for place in places) / 2**30
    mend = "" if free >= NEEDED_GIB else f"make {NEEDED_GIB} GiB free in {' and '.join(sorted(places))}"
    return not mend, f"{free:.0f} GiB free", mend


PROBES = {
    "Python": _python,
    "compiler": _compiler,
    "packages": _packages,
    "torch": _torch,
    "mmcv": _mmcv,
    "GPU": _gpu,
    "HOWTO_DEVICE": _device,
    "weights": _weights,
    "COCO": _coco,
    "browser": _browser,
    "disk": _disk,
}
