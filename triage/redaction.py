"""Free text with nothing in it that names somebody: typed placeholders that keep it readable.

"Sarah's partner rang from 07700 900123" becomes "[NAME1]'s partner rang from [PHONE1]". The same
value has the same placeholder throughout a message, whatever form of a name is used.

It errs towards too much: a word with a capital stays only where it is known to be none of a name.
It is a help and no proof: somebody may be recognised by what happened to them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from triage.language import fold
from triage.redaction_marks import Kind, Mark, marks
from triage.redaction_names import NameFinder, Vocabulary, parts_of

__all__ = ["Redacted", "Vocabulary", "redact"]


@dataclass(frozen=True, slots=True)
class Redacted:
    """The texts as they may be given away, and how many of each kind were replaced."""

    texts: tuple[str, ...]
    replaced: Mapping[str, int]


def redact(
    texts: Sequence[str],
    vocabulary: Vocabulary,
    *,
    names: Iterable[str] = (),
    ids: Iterable[str] = (),
    year: int,
) -> Redacted:
    """The *texts* of one message without names, addresses, numbers and ids.

    They come back in their plain form (``triage.language.fold``): look-alike letters and what
    nobody sees would hide a name. *names* are known of this message (its sender, its client),
    *ids* as well; *year* is that of writing.
    """
    plain = [fold(text).text for text in texts]
    hidden = frozenset(part for name in names for part in parts_of(name) if len(part) > 1)
    exact = _exact(ids)
    beside = [_with_exact(text, marks(text, year), exact) for text in plain]
    # Twice: who is named in one place ("my client Bee") is known in all others.
    hidden |= _learned(plain, beside, vocabulary, hidden)
    told = [
        sorted([*some, *NameFinder(text, some, vocabulary, hidden).found()])
        for text, some in zip(plain, beside, strict=True)
    ]
    placed = _Placed()
    for text, found in zip(plain, told, strict=True):
        placed.learn(text[mark.start : mark.end] for mark in found if mark.kind == "NAME")
    return Redacted(
        tuple(placed.replace(text, found) for text, found in zip(plain, told, strict=True)),
        Counter(mark.kind for found in told for mark in found),
    )


def _learned(
    texts: Sequence[str],
    beside: Sequence[Sequence[Mark]],
    vocabulary: Vocabulary,
    hidden: frozenset[str],
) -> frozenset[str]:
    words: set[str] = set()
    for text, some in zip(texts, beside, strict=True):
        finder = NameFinder(text, some, vocabulary, hidden)
        for mark in finder.found():
            if mark.kind == "NAME" and finder.is_sure(mark):
                words.update(w for w in parts_of(text[mark.start : mark.end]) if len(w) > 2)
    return frozenset(words)


def _exact(ids: Iterable[str]) -> re.Pattern[str] | None:
    known = sorted({one for one in ids if one}, key=len, reverse=True)
    if not known:
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)", re.IGNORECASE)


def _with_exact(text: str, found: list[Mark], exact: re.Pattern[str] | None) -> list[Mark]:
    for match in exact.finditer(text) if exact else ():
        if not any(m.start < match.end() and match.start() < m.end for m in found):
            found.append(Mark(*match.span(), "ID"))
    return found


class _Placed:
    """Which placeholder stands for what, throughout a message."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Kind, str], int] = {}
        self._counts: Counter[Kind] = Counter()
        self._people: dict[str, str] = {}  # a word of a name to the first word it was seen with

    def learn(self, mentions: Iterable[str]) -> None:
        """Mentions that share a word are of one person; full ones are to come before others."""
        for mention in mentions:
            words = [part for part in parts_of(mention) if len(part) > 1]
            known = next((self._people[word] for word in words if word in self._people), None)
            for word in words:
                self._people.setdefault(word, known or words[0])

    def replace(self, text: str, found: Sequence[Mark]) -> str:
        pieces, at = [], 0
        for mark in found:
            if mark.start < at:
                continue
            pieces += [text[at : mark.start], self._instead(mark, text[mark.start : mark.end])]
            at = mark.end
        return "".join((*pieces, text[at:]))

    def _instead(self, mark: Mark, value: str) -> str:
        key = mark.kind, self._key(mark.kind, value)
        if key not in self._numbers:
            self._counts[mark.kind] += 1
            self._numbers[key] = self._counts[mark.kind]
        return f"[{mark.kind}{self._numbers[key]}]"

    def _key(self, kind: Kind, value: str) -> str:
        if kind != "NAME":
            return re.sub(r"\W", "", value).lower()
        words = [part for part in parts_of(value) if len(part) > 1]
        return next((self._people[word] for word in words if word in self._people), value.lower())
