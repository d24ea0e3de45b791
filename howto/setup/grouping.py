"""Have the compiler read torch's headers once for a dozen of a package's source files instead of once for each."""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

KINDS = ("cpp", "cu")
# Comments, strings, characters and preprocessor lines (which may go on behind a backslash), in this order of trust.
NO_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'|^[ \t]*\#(?:\\\n|[^\n])*""",
    re.DOTALL | re.MULTILINE,
)
DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.MULTILINE)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', re.MULTILINE)  # its own stand in <> too
SCOPE = re.compile(r'namespace\b[\w:\s]*$|extern\s*(""|)\s*$')


@dataclasses.dataclass
class Source:
    """A source file, and what must not meet the same from another file in one translation unit.

    Attributes:
        path: The file.
        names: For each name that it, or a header of the package that it includes, defines at namespace scope, the
            file that does.
        macros: The macros that the file itself defines.
        size: Characters, those of the package's headers included.
    """

    path: Path
    names: dict[str, set[Path]]
    macros: list[str]
    size: int

    def clashes(self, other: "Source") -> bool:
        """Whether both bring a name in, each from a file of its own."""
        return any(places != other.names[name] for name, places in self.names.items() if name in other.names)


def group(csrc: Path, count: int) -> list[Path]:
    """Rewrite the sources below `csrc` so that about `count` files of each kind are left to compile.

    ``nms.cpp`` becomes ``nms.inc``, and a ``groupN.cpp`` beside the first of its members includes it. Files that
    define the same name never share a group, and a macro ends with the file that defines it.

    Args:
        csrc: The folder ``mmcv/ops/csrc`` of an unpacked source distribution.
        count: Number of groups of ``.cpp`` files and of ``.cu`` files, each; more where names clash.

    Returns:
        The files written.
    """
    written = []
    for kind in KINDS:
        # What setup.py compiles: these two levels. Each group file stands where its kind does.
        folder = csrc / "pytorch" if kind == "cpp" else csrc / "pytorch" / "cuda"
        paths = sorted(folder.glob(f"*.{kind}"))
        if kind == "cpp":
            paths += sorted((folder / "cpu").glob("*.cpp"))
        members = _share_out([read(path, csrc) for path in paths], count)
        for number, sources in enumerate(members):
            if len(sources) > 1:
                written.append(folder / f"group{number}.{kind}")
                written[-1].write_text("".join(_lines(sources, folder)), "utf-8")
    return written


def read(path: Path, csrc: Path) -> Source:
    """What the source file `path` of the package below `csrc` brings into a translation unit."""
    names: dict[str, set[Path]] = {}
    macros, size = [], 0
    for number, file in enumerate(_with_headers(path, csrc)):
        text = file.read_text("utf-8", "replace")
        size += len(text)
        for name in definitions(text):
            names.setdefault(name, set()).add(file)
        if number == 0:
            macros = sorted(set(DEFINE.findall(text)))
    return Source(path, names, macros, size)


def definitions(text: str) -> Iterator[str]:
    """The functions, types, variables and aliases that C++ `text` defines at namespace scope, as it names them.

    Read without a compiler: a name too many costs a place in a group, one too few a compiler's error, after which the
    package is compiled in its own layout.
    """
    code = NO_CODE.sub(lambda found: '""' if found[0][0] in "\"'R" else "", text)
    depth = start = 0
    scopes = []  # for each open brace, whether it only opens a namespace
    for found in re.finditer(r"[{};]", code):
        statement = code[start : found.start()].strip()
        if found[0] == "{":
            transparent = bool(SCOPE.search(statement))
            if depth == 0 and not transparent:
                yield from _name(statement)
            scopes.append(transparent)
            depth += not transparent
        elif found[0] == "}":
            depth -= not (scopes.pop() if scopes else True)
        elif depth == 0 and not _declares_only(statement):
            yield from _name(statement)
        start = found.end()


def _declares_only(statement: str) -> bool:
    """Whether a statement may stand twice: a declaration without default arguments, a forward or a using directive."""
    if re.match(r"(using\s+namespace|extern|friend)\b|$", statement):
        return True
    if re.match(r"(struct|class|union|enum)\s+\w+$", statement):
        return True
    before, bracket, arguments = statement.partition("(")
    return bool(bracket) and "=" not in before and "=" not in arguments


def _name(statement: str) -> Iterator[str]:
    statement = _without_template(statement)
    if found := re.match(r"(?:typedef\s+)?(?:struct|class|union|enum(?:\s+class)?)\s+(\w+)", statement):
        yield found[1]
        return
    if found := re.match(r"using\s+(\w+)\s*=|typedef\b.*?(\w+)$", statement, re.DOTALL):
        yield found[1] or found[2]
        return
    before_value = re.match(r"[^=(]*=", statement)
    called = [name for name in re.findall(r"(\w+)\s*\(", statement) if not name.startswith("__")]
    if called and not before_value:
        yield called[0]
    elif found := re.match(r"[^=\[]*?(\w+)\s*(?:=|\[|$)", statement):
        yield found[1]


def _without_template(statement: str) -> str:
    while found := re.match(r"(?:template\s*<|static\b|inline\b|constexpr\b|const\b|\])\s*", statement):
        statement = statement[found.end() :]
        depth = found[0].count("<")
        while depth and statement:
            depth += {"<": 1, ">": -1}.get(statement[0], 0)
            statement = statement[1:].lstrip() if depth == 0 else statement[1:]
    return statement


def _with_headers(path: Path, csrc: Path) -> list[Path]:
    """The file, and every header of the package that it includes, or that one of these does."""
    found = [path]
    places = [csrc / "pytorch", csrc / "common", csrc / "common" / "cuda"]
    for file in found:
        for name in INCLUDE.findall(file.read_text("utf-8", "replace")):
            header = next((each for place in (file.parent, *places) if (each := place / name).exists()), None)
            if header and header.resolve() not in found:
                found.append(header.resolve())
    return found


def _share_out(sources: Iterable[Source], count: int) -> list[list[Source]]:
    """Groups of about the same size, the largest files placed first."""
    groups: list[list[Source]] = [[] for _ in range(count)]
    for source in sorted(sources, key=lambda source: (-source.size, source.path)):
        fitting = [group for group in groups if not any(source.clashes(other) for other in group)]
        if not fitting:
            groups.append([])
            fitting = groups[-1:]
        min(fitting, key=lambda group: sum(other.size for other in group)).append(source)
    return groups


def _lines(sources: list[Source], folder: Path) -> Iterator[str]:
    for source in sources:
        hidden = source.path.rename(source.path.with_suffix(".inc"))
        yield f'#include "{hidden.relative_to(folder).as_posix()}"\n'
        yield from (f"#undef {macro}\n" for macro in source.macros)
