"""Execute how-tos and their checks without building pages."""

import contextlib
import io
import json
import os
import runpy
import tempfile
import time
import traceback
from pathlib import Path

from howto.checkout import standby
from howto.checkout.isolation import process_state_restored, reset_seeds
from howto.execution import doctor
from howto.execution.limits import limited
from howto.project import howtos
from howto.project.errors import HowtoError
from howto.project.howtos import HowTo
from howto.project.stacks import Stack


def verify(stack: Stack, names: list[str]) -> int:
    """Run the gallery scripts of the how-tos `names`, or of all, one after the other; print a table.

    Returns:
        0 if every check passed, else 1.

    Raises:
        HowtoError: If there is no such how-to, or the machine lacks something for it.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Table

    chosen = howtos.select(stack, names)
    doctor.require(stack)
    os.environ["MPLBACKEND"] = "agg"
    table = Table("how-to", "checks", "seconds", "result", title=f"{stack.name}: {stack.title}", title_justify="left")
    console, passed = Console(stderr=True), 0
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with tempfile.TemporaryDirectory() as folder, Progress(*columns, console=console, transient=True) as progress:
        os.environ["HOWTO_RECORDS"] = folder
        for number, howto in enumerate(chosen, 1):
            label = f"{howto.topic} ({number} of {len(chosen)})"
            task = progress.add_task(label)
            if not console.is_terminal:
                console.print(f"{label} …")
            started = time.perf_counter()
            problem = execute(howto)
            progress.remove_task(task)
            record = Path(folder, howto.record.name)
            checks = json.loads(record.read_text("utf-8"))["checks"] if record.exists() else []
            passed += not problem
            count = sum(check["passed"] for check in checks)
            table.add_row(howto.topic, str(count), f"{time.perf_counter() - started:.0f}", problem or "passed")
    Console(width=None if console.is_terminal else 140, markup=False).print(table)
    left = [] if names else [howto for howto in howtos.every(stack) if howto not in chosen]
    said = [f"{howto.topic}, which needs the package {howto.lacking}" for howto in left]
    print(
        f"{len(chosen)} topics, {'all' if passed == len(chosen) else passed} passed"
        + (f"; not executed: {', '.join(said)}" if said else "")
    )
    return int(passed < len(chosen))


def execute(howto: HowTo) -> str:
    """Run the gallery script of a how-to, rendered for its family, and return what is wrong, or nothing."""
    import matplotlib.pyplot as plt

    howtos.write_scripts(howto.stack)
    standby.keep()
    silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    try:
        with silent[0], silent[1], process_state_restored(), limited():
            reset_seeds()
            runpy.run_path(str(howto.script), run_name="__main__")
    except HowtoError as error:
        return str(error)
    except SyntaxError as error:  # of the script, which then has no frame, or of what it runs
        own = error.filename in (None, str(howto.script), "<unknown>")
        place = howto.at(error.lineno) if own else f"{Path(error.filename).name}:{error.lineno}"
        return f"{place}: SyntaxError: {error.msg}"
    except (Exception, SystemExit) as error:
        (line,) = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(howto.script)
        ][-1:]
        last = traceback.format_exception_only(type(error), error)
        return f"{howto.at(line)}: {''.join(last).strip()}"
    finally:
        plt.close("all")
    return ""
