"""Compare two verified.json, check by check: a GPU's with that of simulated GPUs, two versions, two machines."""

import collections
import json
from pathlib import Path

from howto.project.errors import HowtoError


def compare(one: Path, other: Path) -> int:
    """Print each how-to that one of two files lacks, and each check that measured something else in the other.

    Returns:
        0 if all that both have is the same, else 1.

    Raises:
        HowtoError: A file is no verified.json.
    """
    first, second = _records(one), _records(other)
    lines = [f"{topic}: only in {one if topic in first else other}" for topic in sorted(first.keys() ^ second.keys())]
    alike = 0
    for topic in sorted(first.keys() & second.keys()):
        before, after = _checks(first[topic]), _checks(second[topic])
        for check in dict.fromkeys([*before, *after]):
            left, right = before.get(check, "no such check"), after.get(check, "no such check")
            alike += left == right
            if left != right:
                lines.append(f"{topic}: {check[0]}:\n    {left}\n    {right}")
    ran = [", ".join(sorted({_device(each) for each in records.values()})) for records in (first, second)]
    print(
        f"{one}: {ran[0]}\n{other}: {ran[1]}",
        *lines,
        f"{alike} checks measured the same, {len(lines)} differ",
        sep="\n",
    )
    return int(bool(lines))


def _records(path: Path) -> dict[str, dict]:
    try:
        return {each["topic"]: each for each in json.loads(path.read_text("utf-8"))["records"] if "checks" in each}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HowtoError(f"{path} is no verified.json: {error}; it lies beside the pages of a built site") from error


def _checks(record: dict) -> dict[tuple[str, int], str]:
    """What each check measured, by its name and how many of that name came before it."""
    seen, found = collections.Counter(), {}
    for check in record["checks"]:
        found[check["name"], seen[check["name"]]] = check["measured"]
        seen[check["name"]] += 1
    return found


def _device(record: dict) -> str:
    return "simulated GPUs" if record["simulated_gpus"] else record["device"]
