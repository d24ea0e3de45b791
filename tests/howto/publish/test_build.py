import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile

import pytest

# A page that waits until the file at `path` exists, and makes an ordinary error of Ctrl-C, as some packages do.
WAIT = """
import time
from pathlib import Path

try:
    while not Path({path!r}).exists():
        time.sleep(0.05)
except BaseException:
    raise RuntimeError("something failed") from None
"""


def content(site):
    return {str(path.relative_to(site)): path.read_bytes() for path in site.rglob("*") if path.is_file()}


def executed(done):
    """The pages that a build executed."""
    return sorted(re.findall(r"^(\w+): executing$", done.stderr, re.MULTILINE))


def pages(project):
    """The how-tos whose page shows what it printed."""
    found = sorted(project.site.glob("how-to/plot_*.html"))
    return [page.stem.removeprefix("plot_") for page in found if "the sum: 2<" in page.read_text()]


def append(project, path, text):
    with (project.root / path).open("a") as file:
        file.write(text)


def changed(project, *topics):
    """For each page, what the next build will execute it for."""
    ask = "import json; from howto.execution import fingerprint; from howto.project import howtos, stacks; "
    ask += f"found = howtos.select(stacks.current(), {list(topics)!r}); "
    ask += "print(json.dumps({howto.topic: fingerprint.changed(howto) for howto in found}))"
    environment = {**os.environ, "PYTHONPATH": str(project.root)}
    return json.loads(subprocess.check_output([sys.executable, "-c", ask], cwd=project.root, env=environment))


def wait_for(stream, text):
    """Read lines until one has `text`; the rest of the stream stays to be read."""
    for line in stream:
        if text in line:
            return
    pytest.fail(f"it ended without a line with {text!r}")


def test_a_build_with_nothing_to_do_executes_and_changes_nothing_and_imports_no_torch(tiny):
    before = {path: path.read_bytes() for path in tiny.site.rglob("*") if path.is_file()}
    done = tiny.howto("build", python=("-X", "importtime"))
    assert done.returncode == 0, done.stderr
    assert "1 snippets on 1 pages, 0 executed now" in done.stdout
    assert {path: path.read_bytes() for path in tiny.site.rglob("*") if path.is_file()} == before
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "howto.execution.fingerprint" in imported
    heavy = {"torch", "torchvision", "mmcv", "mmdet", "mmcls", "timm", "howto.checkout.workspace"}
    assert imported & heavy == set()


def test_what_only_the_site_depends_on_has_it_written_anew(tiny):
    append(tiny, "docs/publish.md", "\nA sentence more.\n")
    append(tiny, "docs/_static/howto.css", "\n.more { color: red; }")
    append(tiny, "conf.py", "\nhtml_title = 'Another title'\n")
    tiny.edit("howto/site/directives.py", '"not run", "", "", ""', '"nobody ran it", "", "", ""')
    done = tiny.howto("build", HOWTO_BASE_URL="https://how.to")
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    shown = {
        "publish.html": "A sentence more.",
        "_static/howto.css": ".more { color: red; }",
        "index.html": "Another title",
        "mutations.html": "nobody ran it",
        "verified.html": 'href="https://how.to/mmdet2/verified.html"',
    }
    assert [page for page, text in shown.items() if text not in (tiny.site / page).read_text()] == []


def test_a_page_that_was_lost_or_broken_is_reason_enough(tiny):
    page = tiny.site / "install.html"
    for damage in (page.unlink, lambda: page.write_text("broken")):
        damage()
        assert executed(tiny.howto("build")) == []
        assert "<html" in page.read_text()


def test_changed_words_are_set_beside_what_the_code_put_out_and_nothing_is_executed(tiny):
    tiny.edit("gallery/plot_tiny.py", "\nTwo.\n", "\nIt is two.\n")
    tiny.edit("gallery/plot_tiny.py", "# %%\nimport runpy", "# %%\n# The sum.\n\n# %%\n# Now.\nimport runpy")
    done = tiny.howto("build", python=("-X", "importtime"))
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    assert "howto.execution.preloaded" not in done.stderr
    page = (tiny.site / "how-to/plot_tiny.html").read_text()
    assert "It is two." in page and "The sum." in page
    assert pages(tiny) == ["tiny"]
    with zipfile.ZipFile(next(tiny.site.rglob("plot_tiny.zip"))) as archive:
        assert all("It is two." in archive.read(name).decode() for name in archive.namelist())


def test_a_page_is_written_again_only_when_what_it_shows_has_come_and_search_knows_of_all(tiny):
    written = lambda: {page.name: page.stat().st_mtime_ns for page in tiny.site.glob("*.html")}  # noqa: E731
    tiny.edit("gallery/plot_tiny.py", "# .. snippet::", "# .. index:: ! addition\n#\n# .. snippet::")
    assert tiny.howto("build").returncode == 0
    before = written()
    entry = {"date": "2026-11-26", "machine": "a machine", "of": "", "counts": {"killed": 3}, "left": []}
    kept = tiny.root / "docs/results/mutations-mmdet2.json"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps({"tiny": entry}))
    assert tiny.howto("build").returncode == 0
    changed = {name for name, time in written().items() if time != before[name]}
    changed -= {"404.html", "search.html"}  # which Sphinx always writes
    assert changed <= {"mutations.html", "index.html"} and "mutations.html" in changed
    assert "a machine" in (tiny.site / "mutations.html").read_text()
    assert '"topic":"addition"' in (tiny.site / "howto-sections.js").read_text("utf-8")


def test_under_another_sphinx_gallery_changed_words_are_executed(tiny):
    tiny.edit("howto/execution/replay.py", 'KNOWN = "0.22.1"', 'KNOWN = "0.1"')
    assert executed(tiny.howto("build")) == ["tiny"]
    tiny.edit("gallery/plot_tiny.py", "\nTwo.\n", "\nIt is two.\n")
    assert executed(tiny.howto("build")) == ["tiny"]


def test_the_longest_page_begins_first(tiny):
    costs = {"a": 1, "b": 2, "c": 4, "d": 3}
    order = tiny.root / "order"
    for topic in costs:
        tiny.add(topic)
        noted = f"\nimport time\n\nopen({str(order)!r}, 'a').write({topic!r})\ntime.sleep(2)\n"
        append(tiny, f"gallery/plot_{topic}.py", noted)
    (tiny.root / "docs/results").mkdir()
    (tiny.root / "docs/results/costs.json").write_text(json.dumps(costs))
    done = tiny.howto("build", HOWTO_WORKERS="2")
    assert done.returncode == 0, done.stderr
    begun = order.read_text()  # two begin at once, in two processes, and last until both have begun
    assert max(begun.index("c"), begun.index("d")) < begun.index("a")


def test_words_that_change_while_their_page_runs_are_set_by_the_next_build_which_executes_nothing(tiny):
    path = tiny.root / "gallery/plot_tiny.py"
    edit = f"from pathlib import Path\n\nown = Path({str(path)!r})\n"
    append(tiny, path, f"\n{edit}own.write_text(own.read_text().replace('Two.', 'Three.', 1))\n")
    for pages_executed in (["tiny"], []):
        done = tiny.howto("build")
        assert (done.returncode, executed(done)) == (0, pages_executed), done.stderr
    assert "<p>Three.</p>" in (tiny.site / "how-to/plot_tiny.html").read_text()
    record = json.loads((tiny.root / "docs/_build/records/mmdet2/tiny.json").read_text())
    assert record["status"] == "passed"
    assert pages(tiny) == ["tiny"]


def test_a_snippet_that_was_edited_while_its_page_ran_is_executed_again(tiny):
    edit = "from pathlib import Path\n\nPath(snippet).write_text(Path(snippet).read_text() + '# edited')\n"
    append(tiny, "gallery/plot_tiny.py", f"\n{edit}")
    assert tiny.howto("build").returncode == 0
    assert changed(tiny, "tiny") == {"tiny": ["snippets"]}


@pytest.fixture(scope="module")
def failed(tiny_project, tmp_path_factory):
    """A build of four pages: `good` passes, `none` checks nothing, in `tiny` a check fails, in `wrong` the snippet.

    The project, the build, and the site before it.
    """
    project = tiny_project.copy(tmp_path_factory.mktemp("failed") / "project")
    before = content(project.site)
    for topic in ("good", "none", "wrong"):
        project.add(topic)
    project.edit("gallery/plot_none.py", 'record.check("the sum", 1 + 1, 2)', "print(record)")
    project.edit("gallery/plot_tiny.py", "1 + 1, 2)", "1 + 1, 3)")
    append(project, "snippets/mmdet2/wrong/one.py", "\n1 / 0\n")
    return project, project.howto("build"), before


def report(done, topic):
    """What a failed build says about a page at its end."""
    _, _, end = done.stderr.partition("the last good one stays")
    (line,) = [line for line in end.splitlines() if f"plot_{topic}.py" in line]
    return line


def test_a_check_that_fails_fails_the_build_and_is_named_with_its_line(failed):
    project, done, _ = failed
    assert done.returncode == 1
    script = (project.root / "gallery/plot_tiny.py").read_text().splitlines()
    line = next(number for number, text in enumerate(script, 1) if "record.check" in text)
    assert re.search(rf"\b{line}\b", report(done, "tiny"))
    assert "tiny: the sum: expected 3, measured 2" in report(done, "tiny")


def test_an_error_in_a_snippet_is_named_with_the_snippets_line(failed):
    _, done, _ = failed
    assert "ZeroDivisionError: division by zero" in report(done, "wrong")
    assert re.search(r"snippets/mmdet2/wrong/one\.py\D+3\b", report(done, "wrong"))


def test_a_page_that_checks_nothing_is_refused(failed):
    said = "the page checks nothing, so nothing of it is verified; give it a checkout.check(…)"
    assert said in report(failed[1], "none")


def test_a_failed_build_leaves_the_last_good_site(failed):
    project, _, before = failed
    assert content(project.site) == before


@pytest.fixture(scope="module")
def mended(failed, tmp_path_factory):
    """The project whose build failed, with what was wrong mended, and its next build."""
    project = failed[0].copy(tmp_path_factory.mktemp("mended") / "project")
    project.edit("gallery/plot_none.py", "print(record)", 'record.check("the sum", 1 + 1, 2)')
    project.edit("gallery/plot_tiny.py", "1 + 1, 3)", "1 + 1, 2)")
    project.edit("snippets/mmdet2/wrong/one.py", "1 / 0", "1 / 1")
    return project, project.howto("build")


def test_what_passed_in_a_failed_build_is_not_executed_again(failed, mended):
    assert executed(failed[1]) == ["good", "none", "tiny", "wrong"]
    project, done = mended
    assert done.returncode == 0, done.stderr
    assert executed(done) == ["none", "tiny", "wrong"]
    assert pages(project) == ["good", "none", "tiny", "wrong"]


def test_a_how_to_comes_to_a_site_that_is_built_and_goes_again(mended, tmp_path):
    project = mended[0].copy(tmp_path / "removed")
    assert "how-to/plot_wrong.html" in (project.site / "index.html").read_text()
    assert "plot_wrong.html" in (project.site / "how-to/plot_tiny.html").read_text()  # in its navigation
    shutil.rmtree(project.root / "snippets/mmdet2/wrong")
    (project.root / "gallery/plot_wrong.py").unlink()
    done = project.howto("build")
    assert done.returncode == 0, done.stderr
    assert "3 snippets on 3 pages, 0 executed now" in done.stdout
    assert [name for name, data in content(project.site).items() if "wrong" in name or b"plot_wrong" in data] == []


def test_a_warning_fails_the_build_each_time_until_it_is_mended(tiny):
    append(tiny, "docs/install.md", "\n[nowhere](nowhere.md)\n")
    for _ in range(2):
        done = tiny.howto("build")
        assert done.returncode == 1
        assert "docs/install.md" in done.stderr
        assert "nowhere.md" in done.stderr


@pytest.mark.parametrize("mistake", ["missing", "syntax"])
def test_a_script_that_cannot_be_run_is_named_in_one_line(tiny, mistake):
    script = tiny.root / "gallery/plot_tiny.py"
    if mistake == "missing":
        script.unlink()
    else:
        append(tiny, script, "x = = 1\n")
    done = tiny.howto("build")
    assert done.returncode == 1
    assert "plot_tiny.py" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_a_script_that_was_edited_for_the_doctests_and_reverted_keeps_its_output(tiny):
    script = tiny.root / "gallery/plot_tiny.py"
    before = script.read_text()
    append(tiny, script, "\n# %%\n# More.\n")
    tiny.howto("doctest")
    script.write_text(before)
    assert tiny.howto("build").returncode == 0
    assert pages(tiny) == ["tiny"]


@pytest.mark.parametrize(("end", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_second_build_waits_for_the_first_and_goes_on_from_what_had_finished_if_that_ends(tiny, tmp_path, end, code):
    before, gate = content(tiny.site), tmp_path / "gate"
    for topic in ("one", "second"):
        tiny.add(topic)
    append(tiny, "gallery/plot_second.py", WAIT.format(path=str(gate)))
    first = tiny.start("build")
    wait_for(first.stderr, "second: executing")
    second = tiny.start("build")
    wait_for(second.stdout, "waiting for another build in this checkout …")
    first.send_signal(end)
    first.communicate(timeout=60)
    assert first.returncode == code
    assert content(tiny.site) == before
    gate.touch()
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert "3 snippets on 3 pages, 1 executed now" in out
    assert pages(tiny) == ["one", "second", "tiny"]


def without_times(files):
    """What a build wrote, without when it ran, how long it took and how much memory."""
    times = rb"\d{4}-\d\d-\d\d \d\d:\d\d|[\d.]+ (s|seconds)\b|\d+ MiB|\"(seconds|peak_memory_mib)\": [\d.]+"
    return {name: re.sub(times, b"", unzipped(data)) for name, data in files.items()}


def unzipped(data):
    """The members of a zip, whose own dates are those of the files in it; anything else as it is."""
    if not data.startswith(b"PK"):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"".join(name.encode() + archive.read(name) for name in archive.namelist())


@pytest.mark.parametrize("lost", [("docs/_build", "docs/how-to"), ("docs/_build/records",)], ids=str)
def test_a_build_from_nothing_or_a_part_at_another_place_gives_the_same_bytes_but_for_time_and_memory(tiny, lost):
    before = without_times(content(tiny.site))
    for folder in lost:
        shutil.rmtree(tiny.root / folder)
    done = tiny.howto("build")
    assert (done.returncode, executed(done)) == (0, ["tiny"]), done.stderr
    after = without_times(content(tiny.site))
    assert before.keys() == after.keys()
    assert [name for name, data in before.items() if data != after[name]] == []


def test_a_page_that_is_older_than_allowed_fails_the_build_until_it_is_executed(tiny):
    record = tiny.root / "docs/_build/records/mmdet2/tiny.json"
    executed_on = json.loads(record.read_text())["executed"]
    tiny.edit(str(record), executed_on, "2020-01-31 12:00")
    done = tiny.howto("build", HOWTO_MAX_AGE="30d")
    assert done.returncode == 1
    message = "tiny was executed on 2020-01-31 12:00, longer ago than HOWTO_MAX_AGE allows; have it executed anew: "
    assert done.stderr.startswith(f"howto build: {message}")
    subprocess.run(done.stderr.strip().removeprefix(f"howto build: {message}"), shell=True, check=True, cwd=tiny.root)
    done = tiny.howto("build", HOWTO_MAX_AGE="30d")
    assert (done.returncode, executed(done)) == (0, ["tiny"])


def test_a_how_to_whose_package_is_not_installed_is_on_the_site_and_executed_once_it_is(tiny):
    tiny.add("needy")
    tiny.edit("gallery/plot_needy.py", "Two.\n", "Two.\n\n.. needs:: rare_package\n")
    done = tiny.howto("build")
    left = "not executed: needy, which needs the package rare_package"
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    assert left in done.stdout
    page = (tiny.site / "how-to/plot_needy.html").read_text()
    assert "Not executed in this build" in page
    assert "howto-checks" not in page
    needy, other = json.loads((tiny.site / "verified.json").read_text())["records"]
    assert needy == {"topic": "needy", "stack": "mmdet2", "status": "not executed", "needs": "rare_package"}
    assert other["status"] == "passed"
    done = tiny.howto("verify")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"1 topics, all passed; {left}"), done.stderr
    done = tiny.howto("mutate", "needy")
    said = "howto mutate: needy needs rare_package, which is not installed; its page says how to install it\n"
    assert (done.returncode, done.stderr) == (1, said)
    (tiny.root / "rare_package.py").write_text("")
    done = tiny.howto("build")
    assert (done.returncode, executed(done)) == (0, ["needy"]), done.stderr
    assert "Not executed" not in (tiny.site / "how-to/plot_needy.html").read_text()
    assert pages(tiny) == ["needy", "tiny"]
