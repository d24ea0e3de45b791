"""Ask a Python what it is and what its torch was built for, and nvcc where its toolkit lies."""

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from howto.project.errors import HowtoError

# The setup runs before there is a torch, and under another Python than the stack's.
QUESTION = """
import json, sys, sysconfig, torch
gpus = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
print(json.dumps({
    'tag': 'cp%d%d' % sys.version_info[:2],
    'platform': sysconfig.get_platform().replace('-', '_').replace('.', '_'),
    'headers': sysconfig.get_path('include'),
    'packages': sysconfig.get_path('purelib'),
    'torch': torch.__version__.partition('+')[0],
    'cuda': torch.version.cuda or '',
    'archs': ';'.join(sorted({'%d.%d' % torch.cuda.get_device_capability(gpu) for gpu in gpus})),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python with a torch, as far as something that is compiled for it depends on them.

    Attributes:
        python: The executable.
        tag: As wheels name it, ``cp311``.
        platform: As wheels name it, ``linux_x86_64``.
        headers: The folder of ``Python.h``.
        packages: Its ``site-packages``.
        torch: Version of torch.
        cuda: Version of CUDA that torch was built for; empty for none.
        archs: Compute capabilities of the usable GPUs, as ``TORCH_CUDA_ARCH_LIST`` has them; empty for none.
    """

    python: Path
    tag: str
    platform: str
    headers: str
    packages: str
    torch: str
    cuda: str
    archs: str


def ask(python: Path, mend: str) -> Interpreter:
    """What `python` says of itself.

    Raises:
        HowtoError: Its torch does not load; `mend` says what to run.
    """
    asked = subprocess.run([python, "-c", QUESTION], capture_output=True, text=True)
    if asked.returncode:
        raise HowtoError(f"torch does not load: {asked.stderr.strip().rpartition(chr(10))[2]}; {mend}")
    return Interpreter(python, **json.loads(asked.stdout.strip().rpartition("\n")[2]))


@dataclass(frozen=True)
class Toolkit:
    """A CUDA toolkit.

    Attributes:
        version: Such as ``13.0``.
        home: What ``CUDA_HOME`` should say.
        headers: Its headers, which have to come before those that torch's own packages bring: the latter lack some.
    """

    version: str
    home: Path
    headers: Path


def toolkit() -> Toolkit | None:
    """The toolkit of the nvcc on the path, found by what nvcc itself would call: it may be a link or a wrapper."""
    nvcc = shutil.which("nvcc")
    if not nvcc:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "nothing.cu")
        program.touch()
        told = subprocess.run([nvcc, "--dryrun", program], cwd=folder, capture_output=True, text=True).stderr
    top = re.search(r"^#\$ TOP=(.+)$", told, re.MULTILINE)
    headers = re.search(r'^#\$ INCLUDES="-I([^"]+)"', told, re.MULTILINE)
    version = re.search(r"-D__CUDACC_VER_MAJOR__=(\d+) -D__CUDACC_VER_MINOR__=(\d+)", told)
    if not (top and headers and version):
        return None
    return Toolkit(".".join(version.groups()), Path(top[1]).resolve(), Path(headers[1]).resolve())
