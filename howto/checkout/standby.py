"""Start Python programs from a process that has imported MMDetection and done nothing else: 7 to 12 s less for each."""

import atexit
import contextlib
import functools
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from multiprocessing import connection
from pathlib import Path

from howto.project import device
from howto.project.errors import HowtoError
from howto.project.processes import end_with_parent

SIMULATED_GPUS = "HOWTO_SIMULATED_GPUS"  # in the environment of a program: how many it is to find, where there is none


origin = types.SimpleNamespace(address="")  # where the process that stands by listens; empty if there is none
FORK = "fork" if sys.platform == "linux" else None


def keep(later: tuple[str, ...] = ()) -> None:
    """Have a copy of this process stand by for :func:`run`, if it is one that has executed no page yet.

    On Linux without a GPU alone: elsewhere a copy of a process is not as good as a new one.

    Args:
        later: Modules that the copy imports after MMDetection, while this process goes on without all of them.
    """
    if FORK and device.kind() == "cpu":
        _keep(os.getpid(), later)


def run(
    arguments: list[str], folder: Path, environment: dict[str, str], live: bool = False, limit: float | None = None
) -> subprocess.CompletedProcess:
    """What ``python ARGUMENTS`` does in `folder`, in a copy of the process that stands by if there is one, else anew.

    Such a program finds torch and ``mmdet.apis`` imported; all else is as Python makes it for a new process: its own
    ``sys.argv``, ``sys.path``, environment, standard output and error output.

    Args:
        arguments: As Python takes them. With options other than ``-c`` and ``-m`` the process is a new one.
        folder: Where it runs.
        environment: All of its environment.
        live: Whether it writes to the terminal.
        limit: Seconds after which it is killed, if any.

    Returns:
        Its exit code, and what it wrote to its standard output and error output, empty if that went to the terminal.

    Raises:
        HowtoError: The process that started it was killed before it ended.
        TimeoutExpired: It ran longer than it may.
    """
    client = _connect(arguments)
    if client is None:
        output = dict(timeout=limit) | ({} if live else dict(capture_output=True, text=True))
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False, **output)
    import resource

    with client:
        try:
            client.send((arguments, str(folder), environment, resource.getrlimit(resource.RLIMIT_DATA), live))
            if not client.poll(limit):
                raise subprocess.TimeoutExpired(arguments, limit)  # whose end of the line is closed kills the program
            code, output, errors = client.recv()
        except (EOFError, ConnectionError) as error:
            program = " ".join(arguments[:2])
            message = f"the process that had started `{program}` was killed, for want of memory perhaps; run it again"
            raise HowtoError(message) from error
    return subprocess.CompletedProcess(arguments, code, output, errors)


def _connect(arguments: list[str]) -> connection.Connection | None:
    """The process that stands by, if there is one that still lives, and if it can start what `arguments` says."""
    if not origin.address or (arguments[0].startswith("-") and arguments[0] not in ("-c", "-m")):
        return None
    with contextlib.suppress(ConnectionError):
        return connection.Client(origin.address, "AF_UNIX")
    return None


@functools.cache  # a process does it once, and one that was forked from it has it already
def _keep(process: int, later: tuple[str, ...]) -> None:
    if not later:
        import howto.checkout.preloaded

    if origin.address:
        return
    origin.address = f"\0howto-standby-{process}"
    listener = connection.Listener(origin.address, "AF_UNIX")
    # Ctrl-C reaches the build as well, and this process ends with it; in the middle of a fork it prints a traceback.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    if not os.fork():
        end_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        import howto.checkout.preloaded  # noqa: F401

        for name in later:
            importlib.import_module(name)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that nobody need wait for those that have ended
        while True:
            with contextlib.suppress(OSError), listener.accept() as client:
                if not os.fork():
                    try:
                        listener.close()
                        _serve(client)
                    finally:
                        os._exit(0)  # whatever happens: what follows is for the process that stands by
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    listener.close()


def _serve(client: connection.Connection) -> None:
    """Run one program and tell `client` how it ended; should the client end first, so does the program."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # In memory, as the folder for temporary files may be gone by now.
    with os.fdopen(os.memfd_create("output"), "w+b") as output, os.fdopen(os.memfd_create("errors"), "w+b") as errors:
        arguments = *client.recv(), output.fileno(), errors.fileno()
        program = multiprocessing.get_context(FORK).Process(target=_program, args=arguments)
        program.start()
        if client in connection.wait([client, program.sentinel]):
            program.kill()
        program.join()
        written = []
        for file in (output, errors):
            file.seek(0)
            written.append(file.read().decode(errors="replace"))
        with contextlib.suppress(OSError):
            client.send((program.exitcode, *written))


def _program(
    arguments: list[str], folder: str, environment: dict[str, str], limit, live: bool, output: int, errors: int
) -> None:
    import resource

    import numpy
    import torch

    if not live:
        os.dup2(output, 1)
        os.dup2(errors, 2)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_DATA, limit)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", torch.get_num_threads())))
    numpy.random.seed()
    warnings.simplefilter(environment.get("PYTHONWARNINGS") or "default")
    first, *rest = arguments
    named = first in ("-c", "-m")
    own = folder if first == "-m" else "" if first == "-c" else str(Path(first).resolve().parent)
    added = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    installed = [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix))]
    sys.path[:] = [own, *added, *(path for path in installed if not path.endswith("setuptools/_vendor"))]  # it added it
    importlib.invalidate_caches()
    tempfile.tempdir = None  # a new process looks where it may write
    from howto.checkout.simulated_gpu import simulated_gpus

    stack = contextlib.ExitStack()
    for name in [name for name in sys.modules if name.partition(".")[0] == "howto"]:  # it may have been edited
        del sys.modules[name]
    if hub := sys.modules.get("huggingface_hub.constants"):  # they are what the environment said when it was imported
        importlib.reload(hub)
    sys.argv = [first, *rest[1:]] if named else arguments
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    atexit._clear()  # that is for the end of the process that this one is a copy of
    try:
        if number := int(environment.get(SIMULATED_GPUS, 0)):
            stack.enter_context(simulated_gpus(number))
        if first == "-c":
            exec(compile(rest[0], "<string>", "exec"), vars(main))
        elif first == "-m":
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            main.__file__ = os.path.abspath(first)  # noqa: PTH100  its links are kept
            exec(compile(Path(first).read_bytes(), main.__file__, "exec"), vars(main))
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename.startswith((__file__, "<frozen runpy")):
            trace = trace.tb_next
        traceback.print_exception(type(error), error, trace)
        sys.exit(1)
    finally:  # as a new process ends; multiprocessing first waits for its children, which these are to end
        threading._shutdown()
        atexit._run_exitfuncs()
