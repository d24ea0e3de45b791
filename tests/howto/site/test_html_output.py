from PIL import Image

PLAIN = "---\norphan: true\n---\n\n# Only a heading\n"
PICTURE = "---\norphan: true\n---\n\n# A picture\n\nIt stands below.\n\n![a grey square of 20 pixels](grey.png)\n"


def test_a_page_may_have_a_picture_of_its_own_or_nothing_but_a_heading(tiny):
    (tiny.root / "docs/plain.md").write_text(PLAIN)
    (tiny.root / "docs/picture.md").write_text(PICTURE)
    Image.new("RGB", (20, 20), "grey").save(tiny.root / "docs/grey.png")
    done = tiny.howto("build")
    assert done.returncode == 0, done.stderr
    assert "0 executed now" in done.stdout
    assert 'src="_images/grey.webp" width="20" height="20"' in (tiny.site / "picture.html").read_text()
    with Image.open(tiny.site / "_images/grey.webp") as picture:
        assert picture.size == (20, 20)
    assert "<h1>Only a heading" in (tiny.site / "plain.html").read_text()
