"""Which words of a message are names: what redaction takes away besides addresses and numbers.

A word with a capital is a name unless it is known to be none; a word without one is a name where
it is known, or where the sentence says so ("my client sarah").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from triage.language import fold
from triage.names import fold as folded_name
from triage.redaction_cues import (
    ACRONYM,
    AFTER,
    ALONE,
    BEFORE,
    BOOKED,
    CALLED,
    DAYS,
    DOTTED,
    ENDS,
    FOLLOWS,
    INITIALS,
    ITEM,
    LATIN,
    LEADS,
    LEADS_MID,
    LEADS_SMALL,
    LETTERED,
    LISTED,
    NO_NAME,
    NOT_TITLED,
    OPENING,
    PARTICLES,
    SAID_INITIALS,
    SOMEWHERE,
    SURNAME,
    TITLE,
)
from triage.redaction_marks import Mark

TOKEN: Final = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Which words are names and which are not, all in lower case and folded.

    ``kept`` are written with a capital and name nobody (days, approaches, organisations, places);
    ``given`` are first names, ``doubtful`` those that are everyday words as well; ``registered``
    are the words of names that the booking registry knows.
    """

    common: frozenset[str]
    kept: frozenset[str]
    given: frozenset[str] = frozenset()
    doubtful: frozenset[str] = frozenset()
    registered: frozenset[str] = frozenset()
    openers: frozenset[str] = frozenset()  # of the common ones: those that open sentences
    clinical: frozenset[str] = frozenset()  # of the common ones: those that the work is about

    @classmethod
    def of(
        cls,
        words: Mapping[str, Collection[str]],
        names: Mapping[str, str],
        *,
        everyday: Collection[str] = (),
        registered: Iterable[str] = (),
        clinical: Iterable[str] = (),
    ) -> Vocabulary:
        """From the language's word lists, those of first names, and names of the registry."""
        given, doubtful, more = (
            frozenset(names.get(key, "").split()) for key in ("names", "words", "kept")
        )
        common = frozenset(everyday).union(words.get("common", ()), words.get("openers", ()))
        known = frozenset(part for name in registered for part in parts_of(name) if len(part) > 1)
        kept = more.union(words.get("not_names", ())) - doubtful | _CALENDAR
        openers = frozenset(words.get("openers", ())).union(words.get("other_people", ()))
        clinical = frozenset(words.get("common", ()))
        return cls(common - given | _SMALL, kept - given, given, doubtful, known, openers, clinical)


_SMALL: Final = frozenset(("a", "i", "an", "am", "pm", "st", "nd", "rd", "th"))
#: Names as well, but mail is about appointments.
_CALENDAR: Final = frozenset(("april", "june", "may", "august", "christmas", "tuesday"))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A word where it stands; ``halves`` are it and its parts, folded: "smith-jones" has three."""

    word: str
    halves: tuple[str, ...]
    start: int
    end: int


class NameFinder:
    """The names in one text, beside what is marked in it already."""

    def __init__(
        self, text: str, taken: Sequence[Mark], words: Vocabulary, hidden: frozenset[str]
    ) -> None:
        self._text, self._words, self._hidden = text, words, hidden
        self._taken = bytearray(len(text))
        for mark in taken:
            self._taken[mark.start : mark.end] = b"\1" * (mark.end - mark.start)
        letters = [c for c in text if c.isalpha()]
        self._is_small = not any(c.isupper() for c in letters)
        self._titled = _titled_lines(text)
        self._shouted = _shouted_lines(text)

    def found(self) -> Iterator[Mark]:
        spans: list[tuple[int, int]] = []
        spans += [match.span(1) for match in SAID_INITIALS.finditer(self._text)]
        spans += [m.span() for m in INITIALS.finditer(self._text) if self._is_initial(m)]
        before: tuple[int, int] | None = None
        for match in TOKEN.finditer(self._text):
            start, end = match.span()
            if any(self._taken[start:end]):
                continue
            word = match[0]
            if word.endswith("'s"):
                end, word = end - 2, word[:-2]
            follows = before is not None and self._text[before[1] : start] in {" ", ". ", "-"}
            if self._is_name(word, start, end, follows=follows):
                spans.append((start, end))
                before = start, end
        yield from self._joined(sorted(set(spans)))

    def is_sure(self, mark: Mark) -> bool:
        """Whether the words of a name found are names in the rest of the message as well."""
        words = [*parts_of(self._text[mark.start : mark.end])]
        known = self._words.common | self._words.kept
        called = CALLED.search(self._text[max(0, mark.start - 24) : mark.start])
        return called is not None or not any(word in known for word in words)

    def _joined(self, spans: Sequence[tuple[int, int]]) -> Iterator[Mark]:
        """Neighbours are one name: "Ana de Souza", "J. P. Mensah-Cole"."""
        if not spans:
            return
        first, last = spans[0]
        for start, end in spans[1:]:
            gap = self._text[last:start]
            if (
                start <= last
                or gap in {" ", "-", ". ", ".", "'"}
                or (
                    gap[:1] == gap[-1:] == " "
                    and all(p in PARTICLES for p in gap.lower().split())
                    and gap.split()
                )
            ):
                last = max(last, end)
                continue
            yield self._trimmed(first, last)
            first, last = start, end
        yield self._trimmed(first, last)

    def _trimmed(self, first: int, last: int) -> Mark:
        while last > first and self._text[last - 1] in " \n":
            last -= 1
        somewhere = SOMEWHERE.search(self._text[max(0, first - 10) : first])
        whole = folded_name(self._text[first:last])
        is_person = any(w in self._words.given or w in self._hidden for w in whole.split())
        return Mark(first, last, "PLACE" if somewhere and not is_person else "NAME")

    def _is_initial(self, match: re.Match[str]) -> bool:
        start, end = match.span()
        if any(self._taken[start:end]):
            return False
        bare = re.sub(r"\W", "", match[0])
        if len(bare) > 1 and bare.lower() in DOTTED:
            return False
        before = self._text[max(0, start - 14) : start]
        if len(bare) == 1 and "." in match[0]:
            return LETTERED.search(before) is None or not _ends_sentence(self._text, end)
        if len(bare) == 1:
            return LETTERED.search(before) is None and not self._shouted(start)
        return True

    def _is_name(  # noqa: PLR0911 - an ordered list of questions, the first answer counts
        self, word: str, start: int, end: int, *, follows: bool
    ) -> bool:
        lower = folded_name(word)
        if not lower or len(word) == 1 or word.lower().endswith(NO_NAME):
            return False
        if any(ord(c) > LATIN for c in word):  # mail here is English; what is not is a name
            return True
        seen = _Seen(
            word, tuple(dict.fromkeys((lower.replace(" ", ""), *lower.split()))), start, end
        )
        if word.islower():
            return self._is_small_name(seen)
        if self._has(seen, self._hidden) and not self._is_everyday(seen):
            return True
        if TITLE.search(self._text[max(0, start - 16) : start]):
            return seen.halves[0] not in NOT_TITLED
        if word.isupper():
            return self._is_capitals_name(seen, follows=follows)
        return self._is_capital_name(seen, follows=follows)

    def _has(self, seen: _Seen, words: Collection[str]) -> bool:
        return any(half in words for half in seen.halves)

    def _is_ordinary(self, seen: _Seen) -> bool:
        """Whether it is no name by what is known of it, or of both its halves."""
        known = (self._words.common, self._words.kept)
        whole, *halves = (any(half in some for some in known) for half in seen.halves)
        return whole or (len(halves) > 1 and all(halves))

    def _is_everyday(self, seen: _Seen) -> bool:
        """Whether a name is but a word here: "Will you", "May" and "Hope" that open a sentence."""
        words = self._words
        if seen.halves[0] in words.given or not (
            self._has(seen, words.doubtful) or self._is_ordinary(seen)
        ):
            return False
        if self._has(seen, words.doubtful) and seen.halves[0] not in OPENING:
            return False
        alone = ALONE.match(self._text, seen.end) and self._text[: seen.start][-1:] in {"", "\n"}
        opens = self._opens(seen.start) and not alone  # alone in its line it signs the mail
        listed = self._has(seen, words.doubtful) and self._is_item(seen)
        return opens and not listed and FOLLOWS.match(self._text, seen.end) is None

    def _is_small_name(self, seen: _Seen) -> bool:
        words = self._words
        before = self._text[max(0, seen.start - 24) : seen.start]
        led = LEADS.search(before) is not None
        if self._has(seen, words.doubtful) and (
            (led and FOLLOWS.match(self._text, seen.end)) or self._is_item(seen)
        ):
            return True
        if any(half in words.common or half in words.kept for half in seen.halves):
            return False
        if any(self._has(seen, some) for some in (self._hidden, words.given, words.registered)):
            return True
        if TITLE.search(before):
            return seen.halves[0] not in NOT_TITLED
        return led or (self._is_small and LEADS_SMALL.search(before) is not None)

    def _is_item(self, seen: _Seen) -> bool:
        """Whether it stands where a list names its people."""
        if BOOKED.match(self._text, seen.end):
            return True
        at_head = LISTED.search(self._text[max(0, seen.start - 8) : seen.start]) is not None
        return at_head and ITEM.match(self._text, seen.end) is not None

    def _is_capitals_name(self, seen: _Seen, *, follows: bool) -> bool:
        words, kept = self._words, self._words.kept
        if self._has(seen, kept) and not self._has(seen, words.given):
            return False
        if self._has(seen, words.given) or self._has(seen, words.registered):
            return True
        led = LEADS.search(self._text[max(0, seen.start - 24) : seen.start]) is not None
        beside = follows or self._is_beside_capitals(seen)
        if self._has(seen, words.doubtful):
            return led or beside
        if self._is_ordinary(seen):
            says = FOLLOWS.match(f" {seen.word.lower()}") or seen.halves[0] in words.openers
            return follows and not says
        if led or beside or self._shouted(seen.start):
            return True
        return len(seen.word) > ACRONYM or len(seen.word) == 2

    def _is_beside_capitals(self, seen: _Seen) -> bool:
        """Whether another unknown word in capitals stands next to it: "GINO PLATH"."""
        near = AFTER.match(self._text, seen.end) or BEFORE.search(self._text, 0, seen.start)
        if near is None or self._shouted(seen.start):
            return False
        other = folded_name(near[1]).replace(" ", "")
        return not (other in self._words.kept or other in self._words.common)

    def _is_capital_name(  # noqa: PLR0911 - likewise
        self, seen: _Seen, *, follows: bool
    ) -> bool:
        words, whole = self._words, seen.halves[0]
        if self._has(seen, words.given):
            return True
        if whole in words.kept:
            return follows and whole not in DAYS  # "Ana Kent", and not "told Ana Thursday"
        opens = self._opens(seen.start) or self._titled(seen.start)
        if self._has(seen, words.doubtful):
            if whole not in OPENING or not opens or follows or not self._is_everyday(seen):
                return True
            return self._leads_to_name(seen)
        if self._is_ordinary(seen):
            before = self._text[max(0, seen.start - 24) : seen.start]
            if CALLED.search(before) or self._leads_to_name(seen):
                return True
            return not opens and (follows or self._is_led_to(seen, before))
        return True

    def _leads_to_name(self, seen: _Seen) -> bool:
        """Whether an everyday word is the first half of a name: "Comfort Okafor"."""
        near = SURNAME.match(self._text, seen.end)
        doubtful = self._has(seen, self._words.doubtful)
        if near is None or (seen.halves[0] in self._words.openers and not doubtful):
            return False
        if self._opens(seen.start) and FOLLOWS.match(self._text, near.end()) is None:
            return False
        other = folded_name(near[1]).replace(" ", "")
        return not any(other in some for some in (self._words.common, self._words.kept))

    def _is_led_to(self, seen: _Seen, before: str) -> bool:
        """Whether a capital in the middle makes an everyday word a name: "I told Burns that"."""
        words = self._words
        if seen.halves[0] in words.openers or seen.halves[0] in words.clinical:
            return False
        return LEADS_MID.search(before) is not None and not SURNAME.match(self._text, seen.end)

    def _opens(self, start: int) -> bool:
        """Whether a sentence, line or list item begins here, so that a capital means nothing."""
        return start == 0 or ENDS.search(self._text[max(0, start - 6) : start]) is not None


def _ends_sentence(text: str, end: int) -> bool:
    return re.match(r"\s+[A-Z]|\s*$", text[end : end + 3]) is not None


class _Lines:
    """Whether the line at an offset is of a kind."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._spans = spans

    def __call__(self, at: int) -> bool:
        return any(first <= at < last for first, last in self._spans)


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    at = 0
    for line in text.split("\n"):
        yield at, at + len(line), line
        at += len(line) + 1


def _titled_lines(text: str) -> _Lines:
    """Lines In Which Nearly Every Word Has A Capital."""
    found = []
    for first, last, line in _lines(text):
        words = [w for w in TOKEN.findall(line) if len(w) > 3]
        if len(words) > 2 and sum(w[0].isupper() for w in words) >= 0.8 * len(words):
            found.append((first, last))
    return _Lines(found)


def _shouted_lines(text: str) -> _Lines:
    """LINES IN CAPITALS."""
    found = []
    for first, last, line in _lines(text):
        words = [w for w in TOKEN.findall(line) if len(w) > 1]
        if len(words) > 2 and sum(w.isupper() for w in words) >= 0.7 * len(words):
            found.append((first, last))
    return _Lines(found)


def parts_of(name: str) -> Iterator[str]:
    """The words of a name, folded, halves of double-barrelled ones as well."""
    for match in TOKEN.finditer(fold(name).text):
        word = folded_name(match[0].removesuffix("'s"))
        yield from {word.replace(" ", ""), *word.split()}
