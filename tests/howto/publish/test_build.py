import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from howto.publish.build import _interruptible

# A page that waits until the file at `path` exists.
WAIT = """
import time
from pathlib import Path

while not Path({path!r}).exists():
    time.sleep(0.05)
"""


def content(site):
    return {str(path.relative_to(site)): path.read_bytes() for path in site.rglob("*") if path.is_file()}


def executed(done):
    """The pages that a build executed."""
    return re.findall(r"^(\w+): executing$", done.stderr, re.MULTILINE)


def summed(number):
    """How a page shows that the check of the sum measured this number."""
    return f'the sum: <code class="literal notranslate">{number}</code>'


def pages(project):
    """The how-tos whose page shows what it printed."""
    found = sorted(project.site.glob("how-to/plot_*.html"))
    return [page.stem.removeprefix("plot_") for page in found if summed(2) in page.read_text()]


def append(project, path, text):
    with (project.root / path).open("a") as file:
        file.write(text)


def changed(project, *topics):
    """For each page, what the next build will execute it for."""
    ask = "import json; from howto.execution import fingerprint; from howto.project import howtos, stacks; "
    ask += f"found = howtos.chosen(stacks.current(), {list(topics)!r}); "
    ask += "print(json.dumps({howto.topic: fingerprint.changed(howto) for howto in found}))"
    environment = {**os.environ, "PYTHONPATH": str(project.root)}
    return json.loads(subprocess.check_output([sys.executable, "-c", ask], cwd=project.root, env=environment))


def wait_for(stream, text):
    """Read lines until one has `text`; the rest of the stream stays to be read."""
    for line in stream:
        if text in line:
            return
    pytest.fail(f"it ended without a line with {text!r}")


def test_a_build_with_nothing_to_do_executes_nothing_wherever_it_lies_and_imports_no_torch(tiny):
    done = tiny.howto("build", python=("-X", "importtime"))
    assert done.returncode == 0, done.stderr
    assert "1 snippets on 1 pages, 0 executed now" in done.stdout
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "howto.execution.fingerprint" in imported
    heavy = {"sphinx", "torch", "torchvision", "mmcv", "mmdet", "mmcls", "timm", "howto.checkout.workspace"}
    assert imported & heavy == set()


def test_nothing_is_written_when_nothing_changed(tiny):
    before = {path: path.stat().st_mtime_ns for path in tiny.site.rglob("*")}
    assert tiny.howto("build").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in tiny.site.rglob("*")} == before


LOST = "docs/_build/html/mmdet2/install.html"


def test_what_only_the_site_depends_on_has_it_written_anew(tiny):
    # Prose, style, settings, and a page that was lost or broken, all in one build; then an address.
    append(tiny, "docs/publish.md", "\nA sentence more.\n")
    append(tiny, "docs/_static/howto.css", "\n.more { color: red; }")
    append(tiny, "conf.py", "\nhtml_title = 'Another title'\n")
    (tiny.root / LOST).unlink()
    (tiny.site / "contributing.html").write_text("broken")
    done = tiny.howto("build", HOWTO_BASE_URL="https://how.to")
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    shown = {
        "publish.html": "A sentence more.",
        "_static/howto.css": ".more{color: red;}",
        "index.html": "Another title",
        "install.html": "<html",
        "contributing.html": "<html",
        "verified.html": 'href="https://how.to/mmdet2/verified.html"',
    }
    assert [page for page, text in shown.items() if text not in (tiny.site / page).read_text()] == []


@pytest.mark.parametrize("damage", [Path.unlink, lambda page: page.write_text("broken")], ids=["lost", "broken"])
def test_a_page_that_was_lost_or_broken_is_reason_enough(tiny, damage):
    damage(tiny.root / LOST)
    assert executed(tiny.howto("build")) == []
    assert "<html" in (tiny.root / LOST).read_text()


def test_changed_words_are_set_beside_what_the_code_put_out_and_nothing_is_executed(tiny):
    tiny.edit("gallery/plot_tiny.py", "\nTwo.\n", "\nIt is two.\n")
    done = tiny.howto("build", python=("-X", "importtime"))
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    assert "howto.execution.preloaded" not in done.stderr
    page = (tiny.site / "how-to/plot_tiny.html").read_text()
    assert "It is two." in page
    assert pages(tiny) == ["tiny"]
    with zipfile.ZipFile(next(tiny.site.rglob("plot_tiny.zip"))) as archive:
        assert all("It is two." in archive.read(name).decode() for name in archive.namelist())
    assert "1 snippets on 1 pages, 0 executed now" in tiny.howto("build").stdout


def test_search_knows_the_words_of_an_index_when_only_another_page_is_written(tiny):
    tiny.edit("gallery/plot_tiny.py", "# .. snippet::", "# .. index:: ! addition\n#\n# .. snippet::")
    assert tiny.howto("build").returncode == 0
    append(tiny, "docs/publish.md", "\nA sentence more.\n")
    assert tiny.howto("build").returncode == 0
    entries = (tiny.site / "searchindex.js").read_text("utf-8").partition('"indexentries":')[2]
    assert entries.startswith('{"addition":[[')


def test_a_page_that_checks_nothing_is_refused(tiny):
    tiny.edit("gallery/plot_tiny.py", 'record.check("the sum", 1 + 1, 2)', "print(record)")
    done = tiny.howto("build")
    assert done.returncode == 1
    assert (
        "plot_tiny.py: the page checks nothing, so nothing of it is verified; give it a checkout.check(…)"
        in done.stderr
    )


def test_a_new_paragraph_between_two_cells_executes_nothing(tiny):
    tiny.edit("gallery/plot_tiny.py", "# %%\nimport runpy", "# %%\n# The sum.\n\n# %%\n# Now.\nimport runpy")
    done = tiny.howto("build")
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    assert pages(tiny) == ["tiny"]
    assert "The sum." in (tiny.site / "how-to/plot_tiny.html").read_text()


def test_a_changed_cell_is_executed(tiny):
    tiny.edit("gallery/plot_tiny.py", "1 + 1, 2)", "1 + 1, 2)  # of course")
    assert executed(tiny.howto("build")) == ["tiny"]


def test_under_another_sphinx_gallery_changed_words_are_executed(tiny):
    tiny.edit("howto/execution/replay.py", 'KNOWN = "0.22.1"', 'KNOWN = "0.1"')
    assert executed(tiny.howto("build")) == ["tiny"]
    tiny.edit("gallery/plot_tiny.py", "\nTwo.\n", "\nIt is two.\n")
    assert executed(tiny.howto("build")) == ["tiny"]


def test_a_page_that_failed_has_no_outputs_to_keep(tiny):
    tiny.edit("gallery/plot_tiny.py", "1 + 1, 2)", "1 + 1, 3)")
    assert executed(tiny.howto("build")) == ["tiny"]
    tiny.edit("gallery/plot_tiny.py", "\nTwo.\n", "\nIt is two.\n")
    assert executed(tiny.howto("build")) == ["tiny"]


def test_the_longest_page_begins_first(tiny):
    costs = {"a": 1, "b": 2, "c": 4, "d": 3}
    for topic in costs:
        tiny.add(topic)
    (tiny.root / "docs/results").mkdir()
    (tiny.root / "docs/results/costs.json").write_text(json.dumps(costs))
    done = tiny.howto("build", HOWTO_WORKERS="2")
    assert executed(done)[0] in ("c", "d"), done.stderr  # both begin at once, in two processes


def test_words_that_change_while_their_page_runs_are_set_by_the_next_build_which_executes_nothing(tiny):
    path = "gallery/plot_tiny.py"
    edit = f"import runpy\nfrom pathlib import Path\n\nown = Path({str(tiny.root / path)!r})\n"
    edit += "own.write_text(own.read_text().replace('Two.', 'Three.', 1))\n"
    tiny.edit(path, "import runpy\n", edit)
    done = tiny.howto("build")
    assert (done.returncode, executed(done)) == (0, ["tiny"]), done.stderr
    done = tiny.howto("build")
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    assert "<p>Three.</p>" in (tiny.site / "how-to/plot_tiny.html").read_text()
    record = json.loads((tiny.root / "docs/_build/records/mmdet2/tiny.json").read_text())
    assert record["status"] == "passed"
    assert pages(tiny) == ["tiny"]


@pytest.fixture(scope="module")
def failed(tiny_project, tmp_path_factory):
    """A build of three pages: `good` passes, in `tiny` a check fails, in `wrong` the snippet itself.

    The project, the build, and the site before it.
    """
    project = tiny_project.copy(tmp_path_factory.mktemp("failed") / "project")
    before = content(project.site)
    for topic in ("good", "wrong"):
        project.add(topic)
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


def test_a_failed_build_leaves_the_last_good_site(failed):
    project, _, before = failed
    assert content(project.site) == before


@pytest.fixture(scope="module")
def mended(failed, tmp_path_factory):
    """The project whose build failed, with what was wrong mended, and its next build."""
    project = failed[0].copy(tmp_path_factory.mktemp("mended") / "project")
    project.edit("gallery/plot_tiny.py", "1 + 1, 3)", "1 + 1, 2)")
    project.edit("snippets/mmdet2/wrong/one.py", "1 / 0", "1 / 1")
    return project, project.howto("build")


def test_what_passed_in_a_failed_build_is_not_executed_again(failed, mended):
    assert executed(failed[1]) == ["good", "tiny", "wrong"]
    project, done = mended
    assert done.returncode == 0, done.stderr
    assert executed(done) == ["tiny", "wrong"]
    assert pages(project) == ["good", "tiny", "wrong"]


def test_a_how_to_that_was_removed_leaves_the_site(mended, tmp_path):
    project = mended[0].copy(tmp_path / "removed")
    shutil.rmtree(project.root / "snippets/mmdet2/wrong")
    (project.root / "gallery/plot_wrong.py").unlink()
    done = project.howto("build")
    assert done.returncode == 0, done.stderr
    assert "2 snippets on 2 pages, 0 executed now" in done.stdout
    assert [name for name in content(project.site) if "wrong" in name] == []


def test_a_how_to_comes_to_a_site_that_is_built_and_goes_again(tiny):
    tiny.add("another")
    done = tiny.howto("build")
    assert (done.returncode, executed(done)) == (0, ["another"]), done.stderr
    assert "how-to/plot_another.html" in (tiny.site / "index.html").read_text()
    assert "plot_another.html" in (tiny.site / "how-to/plot_tiny.html").read_text()  # in its navigation
    shutil.rmtree(tiny.root / "snippets/mmdet2/another")
    (tiny.root / "gallery/plot_another.py").unlink()
    done = tiny.howto("build")
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    assert "plot_another" not in (tiny.site / "index.html").read_text()


def test_a_warning_fails_the_build_each_time_until_it_is_mended(tiny):
    before = content(tiny.site)
    append(tiny, "docs/install.md", "\n[nowhere](nowhere.md)\n")
    for _ in range(2):
        done = tiny.howto("build")
        assert done.returncode == 1
        assert "docs/install.md" in done.stderr
        assert "nowhere.md" in done.stderr
        assert content(tiny.site) == before
    assert executed(done) == []


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


def test_a_snippet_that_was_edited_while_its_page_ran_is_executed_again(tiny):
    edit = "from pathlib import Path\n\nPath(snippet).write_text(Path(snippet).read_text() + '# edited')\n"
    append(tiny, "gallery/plot_tiny.py", f"\n{edit}")
    assert tiny.howto("build").returncode == 0
    assert changed(tiny, "tiny") == {"tiny": ["snippets"]}


def test_a_script_that_was_edited_for_the_doctests_and_reverted_keeps_its_output(tiny):
    script = tiny.root / "gallery/plot_tiny.py"
    before = script.read_text()
    append(tiny, script, "\n# %%\n# More.\n")
    tiny.howto("doctest")
    script.write_text(before)
    assert tiny.howto("build").returncode == 0
    assert pages(tiny) == ["tiny"]


@pytest.fixture(scope="module")
def killed(tiny_project, tmp_path_factory):
    """A build that was killed while its second page ran: the project, the site then, and the next build."""
    folder = tmp_path_factory.mktemp("killed")
    project = tiny_project.copy(folder / "project")
    build = start_with_a_page_that_waits(project, folder / "gate")
    build.kill()
    build.communicate(timeout=60)
    between = content(project.site)
    (folder / "gate").touch()
    return project, between, project.howto("build")


def start_with_a_page_that_waits(project, gate):
    """Add two pages, of which the second waits for `gate`; start a build and return it when that page runs."""
    for topic in ("one", "second"):
        project.add(topic)
    append(project, "gallery/plot_second.py", WAIT.format(path=str(gate)))
    build = project.start("build")
    wait_for(build.stderr, "second: executing")
    return build


def test_a_build_that_is_killed_leaves_the_last_good_site(killed, tiny_project):
    _, between, _ = killed
    assert between == content(tiny_project.site)


def test_the_build_after_one_that_was_killed_is_whole(killed):
    project, _, done = killed
    assert done.returncode == 0, done.stderr
    assert pages(project) == ["one", "second", "tiny"]


def test_what_passed_before_a_build_was_killed_is_not_executed_again(killed):
    *_, done = killed
    assert executed(done) == ["second"]


def test_an_interrupted_build_keeps_what_had_finished_and_says_so(tiny, tmp_path):
    build = start_with_a_page_that_waits(tiny, tmp_path / "gate")
    build.send_signal(signal.SIGINT)
    _, err = build.communicate(timeout=60)
    assert build.returncode == 130
    assert err.splitlines()[-1] == "howto build: interrupted; what had finished is kept"
    assert changed(tiny, "one", "tiny") == {"one": [], "tiny": []}


@pytest.mark.parametrize("made_of_it", [None, RuntimeError])
def test_ctrl_c_is_not_lost_in_a_package_that_catches_everything(made_of_it):
    with pytest.raises(KeyboardInterrupt), _interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except BaseException:
            if made_of_it:
                raise made_of_it from None


def test_a_second_build_waits_for_the_first(tiny, tmp_path):
    first = start_with_a_page_that_waits(tiny, tmp_path / "gate")
    second = tiny.start("build")
    wait_for(second.stdout, "waiting for another build in this checkout …")
    (tmp_path / "gate").touch()
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert "3 snippets on 3 pages, 0 executed now" in out
    assert pages(tiny) == ["one", "second", "tiny"]


def test_what_a_page_depends_on_executes_it_and_nothing_else_does(tiny):
    """One edit after the other, each with the pages that the next build executes."""
    tiny.add("other")
    assert executed(tiny.howto("build")) == ["other"]
    for path in tiny.root.rglob("*.py"):
        os.utime(path)
    assert executed(tiny.howto("build")) == []
    for path in ("docs/install.md", "README.md", "howto/execution/verify.py"):
        append(tiny, path, "\n\n")
    assert executed(tiny.howto("build")) == []
    append(tiny, "snippets/mmdet2/other/one.py", "# edited\n")
    assert executed(tiny.howto("build")) == ["other"]
    append(tiny, "howto/project/record.py", "\n# edited\n")
    assert executed(tiny.howto("build")) == []
    append(tiny, "howto/project/record.py", "\nEDITED = 1\n")
    assert executed(tiny.howto("build")) == ["other", "tiny"]
    append(tiny, "requirements/mmdet2.txt", "# edited\n")
    assert executed(tiny.howto("build")) == ["other", "tiny"]


def test_a_directive_that_writes_otherwise_executes_nothing_and_its_page_is_written_anew(tiny):
    tiny.edit("howto/site/directives.py", '"not run", "", "", ""', '"nobody ran it", "", "", ""')
    assert executed(tiny.howto("build")) == []
    assert "nobody ran it" in (tiny.site / "mutations.html").read_text()


@pytest.mark.parametrize("cache", ["docs/_build", "docs/how-to", "docs/_build/records"])
def test_a_cache_that_was_deleted_is_made_anew(tiny, cache):
    before = content(tiny.site)
    shutil.rmtree(tiny.root / cache)
    done = tiny.howto("build")
    assert done.returncode == 0, done.stderr
    assert executed(done) == ["tiny"]
    assert content(tiny.site).keys() == before.keys()


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


def test_an_age_that_is_none_is_named(tiny):
    assert "HOWTO_MAX_AGE=old is no age" in tiny.howto("build", HOWTO_MAX_AGE="old").stderr


@pytest.fixture(scope="module")
def lacking(tiny_project, tmp_path_factory):
    """A project with a page that needs a package which is not installed, and its build."""
    project = tiny_project.copy(tmp_path_factory.mktemp("lacking") / "project")
    project.add("needy")
    project.edit("gallery/plot_needy.py", "Two.\n", "Two.\n\n.. needs:: rare_package\n")
    return project, project.howto("build")


def test_a_how_to_whose_package_is_not_installed_is_on_the_site_and_was_not_executed(lacking):
    project, done = lacking
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    assert "not executed: needy, which needs the package rare_package" in done.stdout
    page = (project.site / "how-to/plot_needy.html").read_text()
    assert "Not executed in this build" in page
    assert "howto-checks" not in page
    needy, tiny = json.loads((project.site / "verified.json").read_text())["records"]
    assert needy == {"topic": "needy", "stack": "mmdet2", "status": "not executed", "needs": "rare_package"}
    assert tiny["status"] == "passed"


def test_nothing_is_executed_again_for_a_page_that_cannot_be(lacking):
    done = lacking[0].howto("build")
    assert (done.returncode, executed(done)) == (0, []), done.stderr


def test_verify_leaves_out_what_cannot_be_executed_and_says_so(lacking):
    done = lacking[0].howto("verify")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "1 topics, all passed; not executed: needy, which needs the package rare_package"
    )


@pytest.mark.parametrize("command", ["verify", "mutate"])
def test_what_cannot_be_executed_is_refused_by_name(lacking, command):
    done = lacking[0].howto(command, "needy")
    assert done.returncode == 1
    assert done.stderr == (
        f"howto {command}: needy needs rare_package, which is not installed; its page says how to install it\n"
    )


def test_it_is_executed_once_its_package_is_installed(lacking, tmp_path):
    project = lacking[0].copy(tmp_path / "project")
    (project.root / "rare_package.py").write_text("")
    done = project.howto("build")
    assert (done.returncode, executed(done)) == (0, ["needy"]), done.stderr
    assert "Not executed" not in (project.site / "how-to/plot_needy.html").read_text()
    assert pages(project) == ["needy", "tiny"]


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


def test_two_clean_builds_at_two_places_give_the_same_bytes_but_for_time_and_memory(tiny_project, tmp_path):
    sites = []
    for name in ("one", "other_place"):
        project = tiny_project.copy(tmp_path / name)
        shutil.rmtree(project.root / "docs/_build")
        shutil.rmtree(project.root / "docs/how-to")
        assert project.howto("build").returncode == 0
        sites.append(without_times(content(project.site)))
    assert sites[0].keys() == sites[1].keys()
    assert [name for name, data in sites[0].items() if data != sites[1][name]] == []


def test_a_page_is_written_again_only_when_what_it_shows_has_come(tiny):
    written = lambda: {page.name: page.stat().st_mtime_ns for page in tiny.site.glob("*.html")}  # noqa: E731
    append(tiny, "docs/install.md", "\nA sentence more.\n")
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
