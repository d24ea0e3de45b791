import logging
import os
import random
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv import Config
from mmcv.runner import epoch_based_runner
from mmcv.runner.hooks import HOOKS, CheckpointHook
from mmcv.utils import config, get_logger
from yapf.yapflib import yapf_api

from howto.checkout.isolation import formatted_once, isolated, no_naps
from howto.project.quiet import quiet

HOOK = """
from mmcv.runner.hooks import HOOKS, Hook

@HOOKS.register_module(force=True)
class {name}(Hook):
    pass
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "mine.py").write_text(HOOK.format(name="MineHook"))
    (tmp_path / "theirs.py").write_text(HOOK.format(name="CheckpointHook"))
    return tmp_path


def make_a_mess(root):
    os.chdir("/")
    os.environ["HOWTO_MESS"] = "1"
    del os.environ["PATH"]
    sys.path.append("/mess")
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    warnings.simplefilter("error")
    get_logger("howto_mess").addHandler(logging.FileHandler(root / "log"))
    import mine  # noqa: F401
    import theirs  # noqa: F401


def state():
    return {
        "cwd": Path.cwd(),
        "environ": dict(os.environ),
        "sys.path": list(sys.path),
        "random": random.getstate(),
        "numpy": str(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "warnings": list(warnings.filters),
        "loggers": list(logging.getLogger("howto_mess").handlers),
        "modules": {"mine", "theirs"} & set(sys.modules),
        "hooks": dict(HOOKS.module_dict),
    }


def test_work_is_done_inside_the_folder_and_imports_anew_each_time(root):
    found = []
    for _ in range(2):
        with isolated(root):
            assert Path.cwd() == root
            import mine

            assert mine.MineHook is HOOKS.get("MineHook")
            found.append(mine)
    assert found[0] is not found[1]


def test_a_mess_is_put_in_order_after_an_error_too(root):
    before = state()
    with pytest.raises(ZeroDivisionError), isolated(root):
        make_a_mess(root)
        raise ZeroDivisionError
    after = state()
    assert {key: after[key] for key in after if after[key] != before[key]} == {}
    assert HOOKS.get("CheckpointHook") is CheckpointHook


def test_quiet_drops_what_is_written_and_warned(capfd):
    with quiet():
        print("out")
        print("err", file=sys.stderr)
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
    assert capfd.readouterr() == ("", "")


def test_no_nap_is_taken_and_the_clock_comes_back():
    clock = epoch_based_runner.time
    with no_naps():
        before = clock.perf_counter()
        epoch_based_runner.time.sleep(60)
        assert clock.perf_counter() - before < 1
        assert abs(epoch_based_runner.time.time() - clock.time()) < 1
    assert epoch_based_runner.time is clock


def test_a_config_is_formatted_once_and_the_formatter_comes_back(monkeypatch):
    asked, cfg, original = [], Config(dict(numbers=[1, 2])), config.FormatCode
    text = cfg.pretty_text
    monkeypatch.setattr(yapf_api, "FormatCode", lambda *args, **keys: asked.append(args) or original(*args, **keys))
    with formatted_once():
        assert {cfg.pretty_text, cfg.pretty_text} == {text}
        cfg.numbers.append(3)
        assert "3" in cfg.pretty_text
    assert len(asked) == 2
    assert config.FormatCode is original
