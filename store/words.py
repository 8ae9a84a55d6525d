"""Words as they are searched, and what stands for them in the index where texts are sealed.

There an index of words would be the texts once more. It holds a keyed hash of each word instead,
once for each message and in no order. What it still gives away, whoever reads the database: that
two messages have a word in common, how many words they have, and how many messages have that word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from store.sealing import KeyRing

#: Letters and digits of every alphabet, as ``str.isalnum`` has them.
_WORD: Final = re.compile(r"[^\W_]+")
#: Characters of a word that are looked for; both databases have a limit far above.
LONGEST_WORD: Final = 100
#: Different words of one message that can be found.
_MOST_WORDS: Final = 5_000
#: The columns of ``messages`` whose words are searched; of the last, the sender's name.
_SEARCHED: Final = ("subject", "new_text", "quoted_text", "details")


def folded(said: str) -> Iterator[str]:
    """The words of *said* without case and accents, as both databases index them."""
    if not said.isascii():
        apart = unicodedata.normalize("NFD", said)
        said = "".join(c for c in apart if not unicodedata.combining(c))
    yield from _WORD.findall(said.lower())


def are_searched(row: Mapping[str, Any]) -> bool:
    """Whether *row*, or a change of one, holds what is searched."""
    return any(name in row for name in _SEARCHED)


def standing_for(ring: KeyRing, row: Mapping[str, Any]) -> str | None:
    """What stands for the words of a message in the index; None where it is stored plain."""
    if not ring.writing:
        return None
    if not ring.searches:
        return ""
    said = " ".join(_texts(row))
    words = sorted({word[:LONGEST_WORD] for word in folded(said)})[:_MOST_WORDS]
    # In the order of what stands for them, which says nothing of them.
    return " ".join(sorted(ring.word(ring.writing, word) for word in words))


def _texts(row: Mapping[str, Any]) -> Iterable[str]:
    for name in _SEARCHED:
        value = row.get(name)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield str(value.get("sender_name") or "")
