"""Run ``check_config.py`` on every stock config of the installed MMDetection, and keep what it finds."""

import contextlib
import io
import json
import os
import runpy
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path

from howto.checkout.family import api, load
from howto.project import files, stacks
from howto.project.quiet import quiet
from howto.project.record import installed_versions, write_json

RESULTS = files.DOCS / "results" / "check_config.json"
SLOW = "levels,sizes,weights"  # they build the detector


def check_stock(pattern: str = "*/*.py") -> dict:
    """What the script finds in the stock configs, for as many GPUs as the rate of each is.

    No data is there, and nothing is trained. A detector is built from the first config of each folder.
    """
    stack = stacks.current()
    with quiet():
        package, _ = api().detectors()
        script = files.snippet_folder(stack.family) / "check_config" / "check_config.py"
        sys.path.insert(0, str(script.parent))
        check = runpy.run_path(str(script))["check"]
    configs = package / "configs"
    os.chdir(package)
    found, checked, built, unknown, started = [], 0, set(), Counter(), time.perf_counter()
    for path in sorted(configs.glob(pattern)):
        name = str(path.relative_to(configs))
        if path.parent.name == "_base_" or "_base_" in name:
            continue
        skip = ["step", "items", *(SLOW.split(",") if path.parent in built else ())]
        built.add(path.parent)
        with quiet(), contextlib.redirect_stdout(io.StringIO()):
            try:
                cfg = load(path)
                if "model" not in cfg or not {"data", "train_dataloader"} & set(cfg):
                    continue  # a part of others
                report = list(check(cfg, gpus=gpus(cfg), skip=skip))
            except Exception as error:
                unknown[f"config: {type(error).__name__}: {error}"[:150]] += 1
                continue
        checked += 1
        for check_name, findings in report:
            for each in findings:
                if each.mark == "?":
                    unknown[f"{check_name}: {each.what}"[:150]] += 1
                else:
                    found.append({"config": name, "check": check_name, "what": each.what})
                    print(f"{name}: {check_name}: {each.what}", file=sys.stderr, flush=True)
    return {
        "date": str(date.today()),
        "versions": installed_versions(),
        "configs": checked,
        "built": len(built),
        "seconds": round(time.perf_counter() - started),
        "findings": found,
        "unknown": dict(unknown.most_common(40)),
    }


def gpus(cfg) -> int | None:
    """The number of GPUs that a stock config's rate is for."""
    base = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
    try:
        images = api().images(cfg)
    except (AttributeError, KeyError):
        return None
    return max(1, base // images) if base else None


def main() -> None:
    """Print each finding and keep them all beside those of the other stacks."""
    kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    kept[stacks.current().name] = check_stock(*sys.argv[1:])
    write_json(Path(os.environ.get("CHECK_STOCK_OUT", RESULTS)), kept)


if __name__ == "__main__":
    main()
