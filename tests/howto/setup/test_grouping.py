import itertools

import pytest

from howto.setup import grouping


@pytest.fixture
def csrc(tmp_path):
    """A package's sources, written as a mapping of paths to text."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def members(csrc):
    """For each group file below `csrc`, what it includes."""
    files = sorted(csrc.rglob("group*.c*"))
    return [[line.split('"')[1] for line in file.read_text().splitlines() if "include" in line] for file in files]


def test_the_package_is_left_with_as_many_files_as_were_asked_for(csrc):
    files = {f"pytorch/op{n}.cpp": f"int op{n}() {{ return {n}; }}\n" for n in range(8)}
    files |= {"pytorch/cpu/op.cpp": "int op_cpu() {}", "pytorch/cuda/a.cu": "", "pytorch/cuda/b.cu": ""}
    folder = csrc(files)
    grouping.group(folder, count=3)
    assert sorted(path.name for path in folder.rglob("*.cpp")) == ["group0.cpp", "group1.cpp", "group2.cpp"]
    assert [path.name for path in folder.rglob("*.cu")] == ["group0.cu"]  # apart
    included = {*itertools.chain(*members(folder))}
    assert included == {*(f"op{n}.inc" for n in range(8)), "cpu/op.inc", "a.inc", "b.inc"}


@pytest.mark.parametrize(
    "definition",
    [
        "static void add(int *a) { *a += 1; }",
        "template <typename T, int N = max(1, 2)>\ninline T add(T a) { return a; }",
        "struct add { int x; };",
        "class add : public Base<int> { };",
        "enum class add { one };",
        "const int add = 512;",
        "static constexpr float add[] = {1, 2};",
        "using add = std::vector<int>;",
        "typedef unsigned long long add;",
        "namespace {\nint add() { return 1; }\n}",
        "void add(int a, int b = 1);",
        "__global__ void __launch_bounds__(512) add(int *a) { }",
    ],
)
def test_files_that_define_the_same_name_are_never_compiled_together(csrc, definition):
    folder = csrc({f"pytorch/{name}.cpp": f"{definition}\nint {name}() {{ return 0; }}\n" for name in ("a", "b")})
    assert grouping.group(folder, count=1) == []


@pytest.mark.parametrize(
    "text",
    [
        "void add(int a, int b);",
        "struct add;",
        "using namespace add;",
        "// int add() {}\n/* int add() {} */",
        'const char *text() { return "int add() {}"; }'.replace("text", "{name}"),
        "int {name}() { int add = 1; return add; }",
        "#define ADD int add() { return 1; }",
        '#include "add.hpp"\n',
    ],
)
def test_what_may_stand_twice_keeps_nobody_apart(csrc, text):
    files = {f"pytorch/{name}.cpp": text.replace("{name}", name) for name in ("a", "b")}
    folder = csrc(files | {"common/add.hpp": "#pragma once\ninline int add() { return 1; }"})
    grouping.group(folder, count=1)
    assert members(folder) in ([["a.inc", "b.inc"]], [["b.inc", "a.inc"]])


def test_files_whose_headers_define_the_same_name_are_kept_apart(csrc):
    files = {"pytorch/a.cpp": '#include "a.hpp"\n', "pytorch/b.cpp": '#include "b.hpp"\n'}
    headers = {f"common/{name}.hpp": "inline int add() { return 1; }" for name in ("a", "b")}
    assert grouping.group(csrc(files | headers), count=1) == []


def test_a_specialization_stays_apart_from_those_who_know_its_template_from_a_header_in_brackets(csrc):
    """mmcv's sparse_indice.cu, and spconv_ops_cuda.cu, which calls the template."""
    header = {
        "common/utils/spconv/indice.h": "template <typename Device>\nstruct Pairs {\n  int operator()(int);\n};\n"
    }
    include = "#include <torch/types.h>\n#include <utils/spconv/indice.h>\n"
    special = "template <>\nstruct Pairs<GPU> {\n  int operator()() { return 1; }\n};\n"
    files = {"pytorch/a.cpp": include + special, "pytorch/b.cpp": include + "int b() { return Pairs<GPU>()(1); }\n"}
    assert grouping.group(csrc(files | header), count=1) == []


def test_a_macro_ends_with_its_file(csrc):
    folder = csrc({"pytorch/a.cpp": "#define min(a, b) a\nint x;", "pytorch/b.cpp": "int y;"})
    (file,) = grouping.group(folder, count=1)
    assert '#include "a.inc"\n#undef min\n' in file.read_text()


def test_the_same_sources_are_grouped_the_same_way(csrc, tmp_path):
    text = {f"op{n}.cpp": "x" * (n % 3) for n in range(12)}
    found = []
    for name in ("one", "other"):
        folder = csrc({f"{name}/pytorch/{file}": content for file, content in text.items()}) / name
        grouping.group(folder, count=4)
        found.append(members(folder))
    assert found[0] == found[1]
