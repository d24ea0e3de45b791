"""Words that readers stumble over, in what they read: a page says what it says in the field's own terms."""

import re

from howto.project import howtos, stacks
from howto.project.stacks import ROOT

UNCLEAR = (
    r"in (the )?place of|stands? in\b|stood in\b|\bmend(s|ed|ing)?\b|take[sn]? over\b|carr(y|ies) along|the variant\b"
    r"|\ball else\b|\bnone is\b|nothing is reported|as many times as|\bhence\b|makes? the one the other|puts? out\b"
    r"|\bfor who\b|so says\b|\bwhat rests\b|\bin whose\b|\bweighs? rare\b.*\bweigh"
)


def test_no_page_has_a_phrase_that_readers_stumbled_over():
    texts = {
        str(path.relative_to(ROOT)): path.read_text("utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    }
    for howto in howtos.every(stacks.current()):
        texts[howto.topic] = " ".join(line[1:] for line in howto.text.splitlines() if line.startswith("#"))
    found = {name: [match[0] for match in re.finditer(UNCLEAR, text, re.IGNORECASE)] for name, text in texts.items()}
    assert {name: phrases for name, phrases in found.items() if phrases} == {}
