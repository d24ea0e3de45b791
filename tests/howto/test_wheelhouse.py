import os
import shutil
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from howto import stacks, wheelhouse
from howto.errors import HowtoError
from howto.stacks import STACKS

MMDET2 = STACKS["mmdet2"]


def write_wheel(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "mmcv_full-1.7.2-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("mmcv/__init__.py", *names):
            archive.writestr(name, "")
    return wheel


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Let `pip wheel` in the stack's environment be a script that ends with the given lines."""

    def fake(*lines):
        shutil.copytree(stacks.ROOT / "requirements", tmp_path / "requirements")
        python = tmp_path / ".tox" / "stack-mmdet2" / "bin" / "python"
        python.parent.mkdir(parents=True)
        start = ["import os, sys, zipfile", "folder = sys.argv[sys.argv.index('--wheel-dir') + 1]"]
        python.write_text("\n".join([f"#!{sys.executable}", *start, *lines]))
        python.chmod(0o755)
        monkeypatch.setattr(stacks, "ROOT", tmp_path)

    return fake


def packed(name):
    return f"zipfile.ZipFile(folder + '/mmcv_full-1.7.2-cp311-cp311-linux_x86_64.whl', 'w').writestr({name!r}, '')"


OPS = "mmcv/_ext.cpython-311-x86_64-linux-gnu.so"


def test_the_key_reads_as_what_the_wheel_depends_on(monkeypatch):
    monkeypatch.setattr("sysconfig.get_platform", lambda: "linux-x86_64")
    assert wheelhouse.key(MMDET2) == "mmcv-full-1.7.2-torch2.1.2-cp311-cpu-linux_x86_64"


def test_a_cache_folder_of_the_users_own_is_honoured(cache):
    assert wheelhouse.folder() == cache / "howto-wheels"


def test_without_one_it_is_the_usual_cache_folder(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert wheelhouse.folder() == Path.home() / ".cache" / "howto-wheels"


def test_a_wheel_with_ops_is_told_from_one_without(tmp_path):
    assert wheelhouse.has_ops(write_wheel(tmp_path / "with", OPS))
    assert not wheelhouse.has_ops(write_wheel(tmp_path / "without"))


def test_a_broken_wheel_has_no_ops(tmp_path):
    (tmp_path / "broken.whl").write_bytes(b"half a download")
    assert not wheelhouse.has_ops(tmp_path / "broken.whl")


def test_a_wheel_in_the_wheelhouse_is_not_compiled_again(monkeypatch):
    monkeypatch.setenv("PATH", "")  # no compiler
    place = wheelhouse.folder() / wheelhouse.key(MMDET2)
    write_wheel(place, OPS)
    assert wheelhouse.provide(MMDET2) == place


def test_ops_for_cuda_do_where_the_cpu_is_asked_for(monkeypatch):
    monkeypatch.setenv("PATH", "")
    place = wheelhouse.folder() / wheelhouse.key(MMDET2, "cu121-sm9.0")
    write_wheel(place, OPS)
    assert wheelhouse.provide(MMDET2) == place


def test_ops_for_the_cpu_do_not_do_where_cuda_is_asked_for(monkeypatch):
    monkeypatch.setenv("PATH", "")
    write_wheel(wheelhouse.folder() / wheelhouse.key(MMDET2), OPS)
    with pytest.raises(HowtoError, match="no C\\+\\+ compiler"):
        wheelhouse.provide(MMDET2, "cu121-sm9.0", "9.0")


def test_a_missing_compiler_is_named_before_anything_is_compiled(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(HowtoError, match=r"no C\+\+ compiler \(c\+\+\); run `apt-get install g\+\+`"):
        wheelhouse.provide(MMDET2)


def test_a_compiler_of_the_users_own_is_looked_for(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    with pytest.raises(HowtoError, match="no-such-compiler"):
        wheelhouse.require_compiler("mmcv-full")


def test_missing_headers_of_python_are_named(monkeypatch):
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nowhere")
    with pytest.raises(HowtoError, match=r"/nowhere/Python.h is missing; run `apt-get install python3-dev`"):
        wheelhouse.require_compiler("mmcv-full")


@pytest.fixture
def compiler(monkeypatch):
    monkeypatch.setattr(wheelhouse, "require_compiler", lambda package: "c++")


def test_a_compiled_wheel_lands_in_the_wheelhouse(build, compiler):
    build(packed(OPS))
    place = wheelhouse.provide(MMDET2)
    assert sorted(path.name for path in place.iterdir()) == [
        "build.log",
        "lock",
        "mmcv_full-1.7.2-cp311-cp311-linux_x86_64.whl",
    ]


def test_a_wheel_that_was_built_without_ops_is_refused(build, compiler):
    build(packed("mmcv/__init__.py"))
    with pytest.raises(HowtoError, match=r"mmcv-full==1.7.2 was built without its ops"):
        wheelhouse.provide(MMDET2)
    assert list(wheelhouse.folder().rglob("*.whl")) == []


def test_the_build_sees_the_stacks_ninja_and_is_told_to_compile_ops(build, compiler):
    build("print(os.environ['PATH'].split(os.pathsep)[0], os.environ['MMCV_WITH_OPS'], flush=True)", packed(OPS))
    log = wheelhouse.provide(MMDET2) / "build.log"
    assert log.read_text() == f"{MMDET2.python.parent} 1\n"


def test_a_gpu_is_hidden_from_a_build_for_the_cpu(build, compiler):
    build("print(os.environ['FORCE_CUDA'], repr(os.environ['CUDA_VISIBLE_DEVICES']), flush=True)", packed(OPS))
    assert (wheelhouse.provide(MMDET2) / "build.log").read_text() == "0 ''\n"


def test_a_build_for_cuda_is_told_the_gpus(build, compiler):
    build("print(os.environ['FORCE_CUDA'], os.environ['TORCH_CUDA_ARCH_LIST'], flush=True)", packed(OPS))
    assert (wheelhouse.provide(MMDET2, "cu121-sm9.0", "9.0") / "build.log").read_text() == "1 9.0\n"


def test_a_failed_build_shows_the_compilers_error_and_keeps_the_log(build, compiler):
    build("print('  [7/73] c++ nms.cpp'); print('nms.cpp:3:1: error: expected a semicolon'); sys.exit(1)")
    with pytest.raises(
        HowtoError, match=r"did not compile: nms.cpp:3:1: error: expected .*; the whole log is (.*)"
    ) as raised:
        wheelhouse.provide(MMDET2)
    assert "[7/73]" in Path(str(raised.value).rpartition(" ")[2]).read_text()


def test_a_compiler_that_ran_out_of_memory_is_recognised(build, compiler):
    build("print('c++: fatal error: Killed signal terminated program cc1plus'); sys.exit(1)")
    with pytest.raises(HowtoError, match="memory ran out; run `MAX_JOBS=1 tox -e wheels`"):
        wheelhouse.provide(MMDET2)


def test_progress_counts_the_compiled_files(build, compiler, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    build("import time; print('  [7/73] c++ nms.cpp', flush=True); time.sleep(1.2)", packed(OPS))
    wheelhouse.provide(MMDET2)
    assert "compiling mmcv-full==1.7.2: 7 of 73 files, 0 min 01 s" in capsys.readouterr().out


def test_there_is_a_compiler_for_each_core_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("MAX_JOBS", raising=False)
    assert 1 <= wheelhouse.jobs() <= os.cpu_count()
    monkeypatch.setenv("MAX_JOBS", "7")
    assert wheelhouse.jobs() == 7


def test_a_second_installation_waits_for_the_first(tmp_path, capsys):
    with wheelhouse.locked(tmp_path / "lock", "the first"):
        second = threading.Thread(target=lambda: wheelhouse.locked(tmp_path / "lock", "the first").__enter__())
        second.start()
        second.join(0.3)
        assert second.is_alive()
    second.join(5)
    assert not second.is_alive()
    assert "waiting for the first" in capsys.readouterr().out
