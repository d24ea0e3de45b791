"""Let a search find the parts of a name: ``efficientnet`` of ``efficientnet_b1``."""

from sphinx import search
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish


class Names(SearchEnglish):
    """English, in which a name is also indexed by its parts: the index has no partial match for a word that it has."""

    def split(self, input: str) -> list[str]:
        """The words of a text, each name that has ``_`` in it whole and in parts."""
        words = super().split(input)
        return words + [part for word in words if "_" in word.strip("_") for part in word.split("_") if part]


def setup(app: Sphinx) -> dict:
    """Take the place of Sphinx's English."""
    search.languages["en"] = Names
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1", "env_version": 1}
