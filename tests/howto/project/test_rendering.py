"""One source for both families: what each family gets of it, and which line of the source that was."""

import pytest

from howto.project.errors import HowtoError
from howto.project.rendering import render, source_lines

SOURCE = '''"""
Title
=====
"""

# {% if mmdet2 %}
two = 2

# {% else %}
three = f"{{{3}}}"
# {% endif %}

# {% if mmdet3 %}
more = "{# no comment #} {{ no variable }}"
# {% endif %}
end = 1
'''


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "plot_title.py"
    path.write_text(SOURCE)
    return path


def test_a_family_gets_what_is_its_own_and_what_is_shared_with_no_marker_and_every_empty_line(source):
    assert render(source, "mmdet2") == '"""\nTitle\n=====\n"""\n\ntwo = 2\n\n\nend = 1\n'
    three = 'three = f"{{{3}}}"\n\nmore = "{# no comment #} {{ no variable }}"\n'
    assert render(source, "mmdet3") == f'"""\nTitle\n=====\n"""\n\n{three}end = 1\n'


@pytest.mark.parametrize("family", ["mmdet2", "mmdet3"])
def test_each_line_of_what_is_rendered_is_known_by_its_number_in_the_source(source, family):
    before = SOURCE.splitlines()
    assert [before[number - 1] for number in source_lines(source, family)] == render(source, family).splitlines()


def test_what_changes_is_rendered_anew(source):
    render(source, "mmdet2")
    source.write_text(SOURCE.replace("end = 1", "end = 2"))
    assert "end = 2" in render(source, "mmdet2")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# {% endif %}\nend", "end", r"plot_title\.py:\d+: Unexpected end of template"),
        ("if mmdet3", "if mmdet4", r"plot_title\.py: 'mmdet4' is undefined; a marker names one of: mmdet2, mmdet3"),
        ("# {% else %}", "# {% elsse %}", r"plot_title\.py:\d+: Encountered unknown tag 'elsse'"),
    ],
)
def test_a_marker_that_is_wrong_is_named(source, old, new, said):
    source.write_text(SOURCE.replace(old, new))
    with pytest.raises(HowtoError, match=said):
        render(source, "mmdet2")
