"""Render a how-to's gallery script, one source for both families, for one of them."""

import functools
import re
from pathlib import Path

from howto.project.errors import HowtoError

FAMILIES = ("mmdet2", "mmdet3")
MARKER = re.compile(r"^# \{%.*%\}$")


def render(source: Path, family: str) -> str:
    """The script of `family`: the source without the lines that another family has, and without markers.

    Markers are Jinja2 blocks in comments, each on a line of its own: ``# {% if mmdet2 %}``, ``# {% else %}``,
    ``# {% endif %}``.

    Raises:
        HowtoError: The markers do not pair up, or one names no family.
    """
    return _render(source.read_text("utf-8"), family, source)


def source_lines(source: Path, family: str) -> list[int]:
    """For each line of the rendered script, from the first, the number of its line in the source."""
    lines = enumerate(source.read_text("utf-8").splitlines(), 1)
    numbers = [line if MARKER.match(line) else str(number) for number, line in lines]
    return [int(number) for number in _render("\n".join(numbers), family, source).split()]


@functools.lru_cache(maxsize=256)  # several parts of a build ask for the same script
def _render(text: str, family: str, source: Path) -> str:
    import jinja2

    try:
        return _environment().from_string(text).render({each: each == family for each in FAMILIES})
    except jinja2.TemplateSyntaxError as error:
        raise HowtoError(f"{source}:{error.lineno}: {error.message}; correct the marker") from error
    except jinja2.UndefinedError as error:
        raise HowtoError(f"{source}: {error.message}; a marker names one of: {', '.join(FAMILIES)}") from error


@functools.cache
def _environment():
    """Jinja2 with its blocks in comments; its variables and comments are set to what no script has."""
    import jinja2  # not at the top: this room is imported before anything is installed

    return jinja2.Environment(
        block_start_string="# {%",
        block_end_string="%}",
        variable_start_string="<<<%",
        variable_end_string="%>>>",
        comment_start_string="<##%",
        comment_end_string="%##>",
        keep_trailing_newline=True,
        trim_blocks=True,  # line statements would take the empty lines behind them, too
        undefined=jinja2.StrictUndefined,
    )
