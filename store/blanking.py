"""Taking words out of texts that stay, so that what points into the rest still does.

Each letter that goes becomes a block. A text is taken apart at line ends and full stops: what names
somebody goes with its whole sentence, since the words beside a name are about them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from triage.records import ERASED_IN_PART, Email, Span

#: In place of each letter that went.
BLOCK: Final = "\N{FULL BLOCK}"

_SENTENCE: Final = re.compile(r"[^.!?\n]*(?:[.!?](?!\s)[^.!?\n]*)*[.!?]*\n?")
_LETTER: Final = re.compile(r"\S")
#: Shorter ids are looked for where an id stands alone, for in a text they may be any number.
_SHORTEST_ID: Final = 5


class Words:
    """Names, addresses and ids to be found in whatever text, whole and whatever their case."""

    def __init__(
        self, names: Iterable[str], ids: Iterable[str], lines: Collection[str] = ()
    ) -> None:
        self.ids = frozenset(filter(None, ids))
        self._lines = lines
        wanted = {" ".join(name.split()) for name in names}
        wanted |= {name for name in self.ids if len(name) >= _SHORTEST_ID}
        either = "|".join(
            re.escape(name).replace(r"\ ", r"\s+")
            for name in sorted(wanted - {""}, key=len, reverse=True)
        )
        self._pattern = re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE) if either else None

    def within(self, text: str) -> list[tuple[int, int]]:
        """Where they stand in *text*."""
        found = [one.span() for one in self._pattern.finditer(text)] if self._pattern else []
        if self._lines:
            found += [(s, e) for s, e in sentences(text) if plain(text[s:e]) in self._lines]
        return found

    def are_in(self, value: object) -> bool:
        """Whether they stand anywhere in a JSON value, or are it."""
        if isinstance(value, str):
            return value in self.ids or bool(self.within(value))
        if isinstance(value, Mapping):
            return any(self.are_in(item) for item in value.values())
        return isinstance(value, list | tuple) and any(self.are_in(item) for item in value)


def plain(sentence: str) -> str:
    """A sentence as it is known again when quoted: without marks, breaks and case."""
    return " ".join(re.sub(r"[>|\s]+", " ", sentence).split()).casefold()


def sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of *text* stand; a line is at least one."""
    return [one.span() for one in _SENTENCE.finditer(text) if one.end() > one.start()]


def blocked(text: str) -> str:
    """*text* with every letter gone."""
    return _LETTER.sub(BLOCK, text)


def masked(text: str, words: Words) -> str:
    """*text* without *words* themselves; what is said around them stays."""
    for start, end in words.within(text):
        text = text[:start] + blocked(text[start:end]) + text[end:]
    return text


def masked_any(value: Any, words: Words) -> Any:  # noqa: ANN401 - JSON
    """A JSON value without *words* themselves."""
    if isinstance(value, str):
        return masked(value, words)
    if isinstance(value, Mapping):
        return {name: masked_any(item, words) for name, item in value.items()}
    return [masked_any(item, words) for item in value] if isinstance(value, list) else value


def without(text: str, words: Words) -> str:
    """*text* without the sentences in which any of *words* stands."""
    found = words.within(text)
    return _kept(text, lambda s, e: not _overlaps(s, e, found)) if found else text


def without_any(value: Any, words: Words) -> Any:  # noqa: ANN401 - JSON
    """A JSON value without the sentences in which any of *words* stands."""
    if isinstance(value, str):
        return blocked(value) if value in words.ids else without(value, words)
    if isinstance(value, Mapping):
        return {name: without_any(item, words) for name, item in value.items()}
    return [without_any(item, words) for item in value] if isinstance(value, list) else value


def reduced(email: Email, keep: Sequence[Span], lose: Sequence[Span]) -> Email:
    """*email* with those sentences alone in which a span to keep stands, and none to lose."""
    return replace(
        email,
        subject=_reduced("subject", email.subject, keep, lose),
        new_text=_reduced("new_text", email.new_text, keep, lose),
        quoted_text=_reduced("quoted_text", email.quoted_text, keep, lose),
        attachments=(),
        defects=(*email.defects, ERASED_IN_PART),
    )  # a signature is the writer's own


def _reduced(part: str, text: str, keep: Iterable[Span], lose: Iterable[Span]) -> str:
    return only(text, _places(part, keep), _places(part, lose))


def only(text: str, keep: Sequence[tuple[int, int]], lose: Sequence[tuple[int, int]]) -> str:
    """The sentences of *text* that touch a place in *keep* and none in *lose*."""
    return _kept(text, lambda s, e: _overlaps(s, e, keep) and not _overlaps(s, e, lose))


def _places(part: str, spans: Iterable[Span]) -> list[tuple[int, int]]:
    return [(span.start, span.end) for span in spans if span.part == part]


def _kept(text: str, stays: Callable[[int, int], bool]) -> str:
    return "".join(
        text[start:end] if stays(start, end) else blocked(text[start:end])
        for start, end in sentences(text)
    )


def _overlaps(start: int, end: int, places: Iterable[tuple[int, int]]) -> bool:
    return any(a < end and start < b for a, b in places)
