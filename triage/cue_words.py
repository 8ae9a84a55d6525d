"""Plain words by which people go on to another client or matter.

The rules of ``triage.turns`` know whole openings; a word alone ("second", "separately", "for") says
little, and what it says is learned. Chosen by how much oftener the first sentence of a further
request holds them than other sentences of the corpora do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

#: A sentence that begins so. Columns of ``cues``, in this order.
_BEGINS: Final = (
    "the (?:second|third|last|next)", "the (?:other|one)", "second|third|secondly|thirdly",
    "also", "and", "as", "then", "while|whilst", "for", "with", "my", "on", "but", "not", "no",
    "please", "can|could", "cancel", "i", "i've|i have", "she|he|they", "new", "client",
    "mr|mrs|miss|ms|dr", "session|booking", "ht", "re|regarding", "separately|finally|lastly",
    "(?:[ap]\\.?)?m\\b|mon|tues?|wed|thurs?|fri|sat|sun", "what|when|how|do|does|is|are",
)  # fmt: skip
#: A sentence that holds such a word, wherever.
_HOLDS: Final = (
    "also", "second|2nd|third|3rd", "other|another", "different", "same", "separately|unrelated",
    "too|as well", "new", "first", "ongoing|sessions", "ms|mr|mrs|miss", "ignore|withdraw|scrap",
    "lapsed|expired", "cancel|cancellation|cancelled", "refer|referral|referred",
    "move|moved|change",
    "invoice|paid|payment|pay|fee|fees|statement|bank|card", "holiday|leave|away|ill|sick",
    "profile|photo|password|login|log in|app|page|link|calendar|diary", "certificate|insurance|dbs",
    "wants|asks|asked", "matter|thing|question", "whose|whom|who", "stays?|staying|keep|kept",
    "both|neither|each|either", "record|log|file", "should i|do i|can i|how do|is it|wondering",
    "please", "am|pm|o'clock|noon", "mon|tue|tues|wed|weds|thu|thurs|fri|sat|sun",
    "monday|tuesday|wednesday|thursday|friday|saturday|sunday", "my",
)  # fmt: skip
_WORDS: Final = (
    *(re.compile(rf"\W*(?:{words})(?![\w'])", re.IGNORECASE) for words in _BEGINS),
    *(re.compile(rf".*?(?<![\w'])(?:{words})(?![\w'])", re.IGNORECASE | re.DOTALL)
      for words in _HOLDS),
)  # fmt: skip
#: So many columns has a row of ``cues``.
CUES: Final = len(_WORDS)


def cues(texts: Sequence[str]) -> list[list[float]]:
    """Of each sentence whether it holds each cue: sentences x CUES, 1 or 0."""
    return [[float(found.match(text) is not None) for found in _WORDS] for text in texts]
