import dataclasses
import os
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from howto.project import stacks
from howto.project.errors import HowtoError
from howto.project.stacks import STACKS
from howto.setup import compiling, ops, wheelhouse
from howto.setup.interpreter import Interpreter

MMDET2 = STACKS["mmdet2"]
PLATFORM = sysconfig.get_platform().replace("-", "_").replace(".", "_")
PYTHON = Interpreter(
    Path(sys.executable), "cp311", "linux_x86_64", sysconfig.get_path("include"), "/nowhere", "2.1.2", "12.1", ""
)


def write_wheel(folder, *names, tag="cp311"):
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"mmcv_full-1.7.2-{tag}-{tag}-{PLATFORM}.whl"
    metadata = {
        "METADATA": "Metadata-Version: 2.1\nName: mmcv-full\nVersion: 1.7.2\n",
        "WHEEL": f"Wheel-Version: 1.0\nTag: {tag}-{tag}-{PLATFORM}\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("mmcv/__init__.py", *names):
            archive.writestr(name, "")
        for name, text in metadata.items():
            archive.writestr(f"mmcv_full-1.7.2.dist-info/{name}", text)
    return wheel


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOWTO_WHEELS", wheelhouse.COMPILE)
    return tmp_path / "cache"


@pytest.fixture
def build(tmp_path):
    """A Python whose `pip download` brings two sources, and whose `pip wheel` is a script that ends with some lines."""

    def fake(*lines):
        python = tmp_path / "bin" / "python"
        python.parent.mkdir()
        start = [
            f"#!{sys.executable}",
            "import io, os, pathlib, sys, tarfile, zipfile",
            "if 'download' in sys.argv:",
            "    folder = pathlib.Path(sys.argv[sys.argv.index('--dest') + 1])",
            "    print(pathlib.Path(sys.argv[-1]).read_text(), flush=True)",
            "    with tarfile.open(folder / 'mmcv-full-1.7.2.tar.gz', 'w:gz') as archive:",
            "        for name in ('a', 'b'):",
            "            info = tarfile.TarInfo(f'mmcv-full-1.7.2/mmcv/ops/csrc/pytorch/{name}.cpp')",
            "            archive.addfile(info, io.BytesIO())",
            "    sys.exit()",
            "folder = sys.argv[sys.argv.index('--wheel-dir') + 1]",
            "grouped = any(pathlib.Path(sys.argv[-1]).rglob('group0.cpp'))",
        ]
        python.write_text("\n".join([*start, *lines]))
        python.chmod(0o755)
        return dataclasses.replace(PYTHON, python=python)

    return fake


def packed(name):
    return f"zipfile.ZipFile(folder + '/mmcv_full-1.7.2-cp311-cp311-linux_x86_64.whl', 'w').writestr({name!r}, '')"


OPS = "mmcv/_ext.cpython-311-x86_64-linux-gnu.so"


def test_the_key_reads_as_what_the_wheel_depends_on():
    assert wheelhouse.key(MMDET2, PYTHON) == "mmcv-full-1.7.2-torch2.1.2-cp311-cpu-linux_x86_64"


def test_the_wheelhouse_lies_in_the_users_cache_folder(cache, monkeypatch):
    assert wheelhouse.folder() == cache / "howto-wheels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert wheelhouse.folder() == Path.home() / ".cache" / "howto-wheels"


@pytest.mark.parametrize("ops", ["cpu", "cu121-sm9.0"])
def test_a_wheel_with_ops_is_not_compiled_again_and_those_for_cuda_do_for_the_cpu(monkeypatch, ops):
    monkeypatch.setenv("PATH", "")  # no compiler
    place = wheelhouse.folder() / wheelhouse.key(MMDET2, PYTHON, ops)
    write_wheel(place, OPS)
    assert wheelhouse.provide(MMDET2, PYTHON) == place


def test_ops_for_the_cpu_do_not_do_where_cuda_is_asked_for(monkeypatch):
    monkeypatch.setenv("PATH", "")
    write_wheel(wheelhouse.folder() / wheelhouse.key(MMDET2, PYTHON), OPS)
    with pytest.raises(HowtoError, match="no C\\+\\+ compiler"):
        wheelhouse.provide(MMDET2, PYTHON, "cu121-sm9.0", "9.0")


def test_a_wheel_without_ops_or_a_broken_one_does_not_do_and_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    place = wheelhouse.folder() / wheelhouse.key(MMDET2, PYTHON)
    write_wheel(place)
    (place / "broken.whl").write_bytes(b"half a download")
    with pytest.raises(HowtoError, match=r"no C\+\+ compiler \(c\+\+\); run `apt-get install g\+\+`"):
        wheelhouse.provide(MMDET2, PYTHON)


def test_what_else_compiling_needs_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    with pytest.raises(HowtoError, match="no-such-compiler"):
        compiling.require_compiler("mmcv-full")
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nowhere")
    with pytest.raises(HowtoError, match=r"/nowhere/Python.h is missing; run `apt-get install python3-dev`"):
        compiling.require_compiler("mmcv-full")


@pytest.fixture
def compiler(monkeypatch):
    monkeypatch.setattr(compiling, "require_compiler", lambda package, headers: "c++")
    monkeypatch.setattr(compiling, "_require_cuda_headers", lambda stack, environment: None)


def test_the_sources_are_compiled_in_groups_for_the_cpu_alone_with_the_stacks_ninja(build, compiler):
    told = "names = ('MMCV_WITH_OPS', 'FORCE_CUDA', 'CUDA_VISIBLE_DEVICES'); "
    told += "print(grouped, os.environ['PATH'].split(os.pathsep)[0], [os.environ[name] for name in names], flush=True)"
    python = build(told, packed(OPS))
    place = wheelhouse.provide(MMDET2, python)
    wanted, built = (place / "build.log").read_text().splitlines()
    assert wanted.startswith("mmcv-full==1.7.2 --hash=sha256:")
    assert built == f"True {python.python.parent} ['1', '0', '']"
    wheel = "mmcv_full-1.7.2-cp311-cp311-linux_x86_64.whl"
    assert sorted(path.name for path in place.iterdir()) == ["build.log", "lock", wheel]


def test_groups_that_do_not_compile_give_way_to_the_packages_own_layout(build, compiler, capsys):
    python = build("if grouped: sys.exit('group0.cpp:1:1: error: redefinition')", packed(OPS))
    place = wheelhouse.provide(MMDET2, python)
    assert any(wheelhouse.has_ops(wheel) for wheel in place.glob("*.whl"))
    assert "group0.cpp:1:1: error: redefinition" in (place / "groups.log").read_text()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "file by file" in line]
    assert line.startswith("compiling file by file, as in groups it failed: mmcv-full==1.7.2 did not compile: group0")


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("nms.cpp:3:1: error: expected a semicolon", r"nms.cpp:3:1: error: expected .*; the whole log is (.*)"),
        (
            "c++: fatal error: Killed signal terminated program cc1plus",
            "memory ran out; run `MAX_JOBS=1 tox -e wheels`",
        ),
    ],
)
def test_a_failed_build_says_why_and_keeps_the_log(build, compiler, printed, said):
    python = build(f"print('  [7/73] c++ nms.cpp'); print({printed!r}); sys.exit(1)")
    with pytest.raises(HowtoError, match=f"did not compile: .*{said}") as raised:
        wheelhouse.provide(MMDET2, python)
    assert "[7/73]" in Path(str(raised.value).rpartition(" ")[2]).read_text()


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_the_hash_of_what_every_stack_compiles_is_kept(stack):
    lines = (stacks.ROOT / "requirements/sdists.inc").read_text().splitlines()
    assert [line for line in lines if line.startswith(f"{stack.requirement} --hash=sha256:")]


@pytest.fixture
def nvcc(tmp_path, monkeypatch):
    """An nvcc outside its toolkit, which says where that is as the real one does."""
    home = tmp_path / "cuda-12.1"
    (home / "include").mkdir(parents=True)
    nvcc = tmp_path / "wrappers" / "nvcc"
    nvcc.parent.mkdir()
    version = "-D__CUDACC_VER_MAJOR__=12 -D__CUDACC_VER_MINOR__=1"
    lines = [f"#$ TOP={home}/bin/..", f'#$ INCLUDES="-I{home}/bin/../include"  ', f"#$ gcc -x c++ {version} x.cu"]
    (home / "bin").mkdir()
    nvcc.write_text("#!/bin/sh\ncat >&2 <<'END'\n" + "\n".join(lines) + "\nEND\n")
    nvcc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{nvcc.parent}{os.pathsep}{os.environ['PATH']}")
    return home


def test_a_build_for_cuda_is_told_the_gpus_and_the_toolkit_that_nvcc_names(build, compiler, nvcc):
    told = "names = ('FORCE_CUDA', 'TORCH_CUDA_ARCH_LIST', 'CUDA_HOME'); "
    told += "print(*[os.environ[name] for name in names], os.environ['CPATH'].split(os.pathsep)[0], flush=True)"
    place = wheelhouse.provide(MMDET2, build(told, packed(OPS)), "cu121-sm9.0", "9.0")
    assert (place / "build.log").read_text().splitlines()[-1] == f"1 9.0 {nvcc} {nvcc / 'include'}"


def test_headers_of_cuda_that_do_not_compile_stop_before_anything_is_downloaded(build, nvcc):
    (nvcc / "include" / "cuda_runtime_api.h").write_text('#include "crt/host_defines.h"\n')
    python = build("raise AssertionError('the build was started')")
    with pytest.raises(HowtoError, match=r"cuda-12.1 do not compile: .*crt/host_defines.h.* install the whole CUDA"):
        wheelhouse.provide(MMDET2, python, "cu121-sm9.0", "9.0")
    assert list(wheelhouse.folder().rglob("build.log")) == []


@pytest.fixture
def offer(tmp_path, monkeypatch):
    """Put a wheel for a Python on the page for its torch, of a host that is a folder; how it reads the wheel's name."""
    monkeypatch.setenv("HOWTO_WHEELS", str(tmp_path / "host"))

    def offer(python, *names):
        place = tmp_path / "host" / "cpu" / "torch2.1"
        wheel = write_wheel(place, *names, tag=python.tag)
        (place / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
        return wheel.name

    return offer


# A Python whose pip takes these wheels.
OWN = dataclasses.replace(PYTHON, tag="cp{}{}".format(*sys.version_info[:2]))


def test_a_ready_wheel_is_taken_where_nobody_has_to_compile_it(offer, monkeypatch):
    monkeypatch.setenv("PATH", "")
    name = offer(OWN, OPS)
    assert [wheel.name for wheel in wheelhouse.provide(MMDET2, OWN).glob("*.whl")] == [name]


@pytest.mark.parametrize(("tag", "names"), [(OWN.tag, []), ("cp39", [OPS])], ids=["without ops", "another Python's"])
def test_a_ready_wheel_that_will_not_do_is_compiled_instead(offer, monkeypatch, tag, names):
    compiled = []
    monkeypatch.setattr(compiling, "compile_wheel", lambda *args: compiled.append(1) or write_wheel(args[2], OPS))
    offer(dataclasses.replace(OWN, tag=tag), *names)
    assert len([*wheelhouse.provide(MMDET2, OWN).glob("*.whl")]) == len(compiled) == 1


def test_the_page_is_that_of_the_torch_and_the_device_and_on_request_nobody_is_asked(monkeypatch):
    assert wheelhouse.address(PYTHON, cuda=False) == ""
    monkeypatch.delenv("HOWTO_WHEELS")
    host = "https://download.openmmlab.com/mmcv/dist"
    assert wheelhouse.address(PYTHON, cuda=False) == f"{host}/cpu/torch2.1/index.html"
    assert wheelhouse.address(PYTHON, cuda=True) == f"{host}/cu121/torch2.1/index.html"


def test_ops_that_are_not_right_stop_the_installation_with_the_mend(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'nms is not as it should be' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(HowtoError, match="mmcv's ops are not right: nms is not as it should be; mend it"):
        ops.require(python, "mend it")


def test_the_installed_ops_agree_with_what_is_known_from_elsewhere_and_one_that_does_not_is_named(monkeypatch):
    import mmcv.ops

    assert ops.problems() == []
    monkeypatch.setattr(mmcv.ops, "roi_align", lambda *args: 0 * args[0].new_zeros(60, 8, 7, 7))
    assert ops.problems() == ["roi_align is not torchvision's (cpu)"]


def test_a_wheel_that_was_built_without_ops_is_refused(build, compiler):
    python = build(packed("mmcv/__init__.py"))
    with pytest.raises(HowtoError, match=r"mmcv-full==1.7.2 was built without its ops"):
        wheelhouse.provide(MMDET2, python)
    assert list(wheelhouse.folder().rglob("*.whl")) == []


def test_progress_counts_the_compiled_files(build, compiler, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    python = build("import time; print('  [7/73] c++ nms.cpp', flush=True); time.sleep(0.8)", packed(OPS))
    wheelhouse.provide(MMDET2, python)
    assert "compiling mmcv-full==1.7.2: 7 of 73 files, 0 min 0" in capsys.readouterr().out
