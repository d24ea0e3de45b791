from PIL import Image

from howto.site import html_output

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


def test_what_is_left_out_of_a_page_is_no_text_of_it():
    code = '<span class="n">a</span> <span class="o">=</span> <span class="s2">&quot;&lt;b&gt;&quot;</span>'
    block = f"<pre><span></span>\n{code}</pre>"
    context = {"body": block + '<img alt="&quot;">', "css_files": [], "script_files": []}
    html_output.lighten(None, "page", "", context, None)
    # Without the empty mark a browser would drop the empty line; an attribute keeps its quotes spelled out.
    assert context["body"] == '<pre><span></span>\na = <span class="s2">"&lt;b&gt;"</span></pre><img alt="&quot;">'
