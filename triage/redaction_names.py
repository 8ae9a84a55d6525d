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
from triage.redaction_marks import Mark

TOKEN: Final = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_TITLE: Final = re.compile(
    r"\b(?:mr|mrs|ms|miss|mx|dr|prof|professor|rev|reverend|sir|dame|lord|fr|father|sister|sgt"
    r"|captain|major|auntie|uncle|aunt|nurse|pastor|imam|rabbi)\b\.? $",
    re.IGNORECASE,
)
#: What leads to a name even where it is written small.
_LEADS: Final = re.compile(
    r"(?:\b(?:client|clients|called|named|name is|name's|names are|name:|client:|initials?|patient)"
    r"|(?:^|\n)\W{0,3}(?:hi|hiya|hello|hey|dear|morning|afternoon|evening|cheers|thanks|regards"
    r"|wishes|many thanks|best|love|from),?) $",
    re.IGNORECASE,
)
#: What leads to one in a message without a single capital.
_LEADS_SMALL: Final = re.compile(
    r"\b(?:with|for|about|from|cancel|see|seeing|saw|told|tell|and|re|met|meet|refer|is|with my|ask"
    r"|asked|rang|ring|messaged|emailed|texted|phoned|spoke to|met with|supervisor|partner|wife"
    r"|husband|son|daughter|mum|dad|friend|colleague|therapist|therapists) $"
)
_FOLLOWS: Final = re.compile(
    r"'s\b| (?:is|was|has|had|wants?|wanted|told|said|says|came|comes|booked|asked|asks|feels?|felt"
    r"|needs?|agreed|agrees|knows?|and i\b|and I\b|does|did|would|rang|replied|wrote|sees?|thinks?"
    r"|mentioned|described|disclosed|started|turned|lives?|goes|got)\b"
)
_ENDS: Final = re.compile(r"(?:^|[\n.!?:;>\"(*•\[]|\n\W*|\s[-–] ?|\d[.)] )\s*\W*$")
_INITIALS: Final = re.compile(
    r"(?<![\w.&'/-])(?:(?:[A-Z]\. ?){2,3}(?:[A-Z]\b)?|[A-HJ-Z]\.(?=[ ,:;)\n]|'s|$)|[B-HJ-Z](?![\w&'/.-])"
    r"|[B-HJ-Z](?='s\b)|A(?='s\b)|A(?= and I\b))"
)
_SAID_INITIALS: Final = re.compile(
    r"\binitials?:? (?:are |is |being )?((?:[A-Za-z]\b[. ]{0,2}){1,3})(?![\w'])", re.IGNORECASE
)
#: After these a letter stands for no person: "Plan B", "vitamin D", "cluster C".
_LETTERED: Final = re.compile(
    r"\b(?:plan|vitamin|type|option|class|block|group|part|hep|hepatitis|cluster|band|grade|point"
    r"|section|appendix|item|room|zone|level|stage|team|question|step|exhibit|the|q|session|form|u|a"
    r"|and|or|to|generation|gen|radio|an?|dear|vs?|not) $",
    re.IGNORECASE,
)
_PARTICLES: Final = frozenset(
    ("de", "da", "di", "del", "della", "van", "von", "der", "den", "bin", "bint", "ibn", "al", "el",
     "ap", "ab", "ferch", "mac", "nic", "ni", "le", "la", "du", "dos", "das", "ter", "ten", "o", "abu",
     "st")
)  # fmt: skip
_ACRONYM: Final = 5  # letters; longer words in capitals are no abbreviations
_NO_NAME: Final = ("n't", "'ve", "'ll", "'d", "'re", "'m")


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

    @classmethod
    def of(
        cls,
        words: Mapping[str, Collection[str]],
        names: Mapping[str, str],
        *,
        everyday: Collection[str] = (),
        registered: Iterable[str] = (),
    ) -> Vocabulary:
        """From the language's word lists, those of first names, and names of the registry."""
        given, doubtful = (frozenset(names.get(key, "").split()) for key in ("names", "words"))
        kept = frozenset(words.get("not_names", ())) - _TITLES
        common = frozenset(everyday).union(words.get("common", ()), words.get("openers", ()))
        known = frozenset(part for name in registered for part in parts_of(name))
        return cls(common - given | _SMALL, kept, given, doubtful, known)


_SMALL: Final = frozenset(("a", "i", "an", "am", "pm", "st", "nd", "rd", "th"))
_TITLES: Final = frozenset(("x", "xx"))


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
        for match in (*_SAID_INITIALS.finditer(self._text),):
            spans.append(match.span(1))
        spans += [m.span() for m in _INITIALS.finditer(self._text) if self._is_initial(m)]
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
                    and all(p in _PARTICLES for p in gap.lower().split())
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
        return Mark(first, last, "NAME")

    def _is_initial(self, match: re.Match[str]) -> bool:
        start, end = match.span()
        if any(self._taken[start:end]):
            return False
        bare = re.sub(r"\W", "", match[0])
        if len(bare) > 1 and bare.lower() in self._words.kept:
            return False
        before = self._text[max(0, start - 14) : start]
        if len(bare) == 1 and "." in match[0]:
            return _LETTERED.search(before) is None or not _ends_sentence(self._text, end)
        if len(bare) == 1:
            return _LETTERED.search(before) is None and not self._shouted(start)
        return True

    def _is_name(self, word: str, start: int, end: int, *, follows: bool) -> bool:
        lower = folded_name(word)
        if not lower or len(word) == 1 or word.endswith(_NO_NAME):
            return False
        if any(ord(c) > 0x24F for c in word):  # mail here is English; what is not is a name
            return True
        bare = lower.replace(" ", "")
        halves = [bare] if " " not in lower else [bare, *lower.split()]
        if word.islower():
            return self._is_small_name(halves, start, end)
        if any(h in self._hidden for h in halves) and not self._is_everyday(halves, start, end):
            return True
        before = self._text[max(0, start - 16) : start]
        if _TITLE.search(before):
            return bare not in _NOT_TITLED
        if word.isupper() and len(word) > 1:
            return self._is_capitals_name(word, halves, start, follows=follows)
        return self._is_capital_name(word, halves, start, end, follows=follows)

    def _is_everyday(self, halves: Sequence[str], start: int, end: int) -> bool:
        """Whether a known name is but a word here: "Will" of "Will you …", "May" the month."""
        words = self._words
        if not any(h in words.doubtful or h in words.kept or h in words.common for h in halves):
            return False
        opens = self._opens(start)
        return opens and _FOLLOWS.match(self._text, end) is None

    def _is_small_name(self, halves: Sequence[str], start: int, end: int) -> bool:
        words = self._words
        if all(h in words.common or h in words.kept for h in halves[-1:]):
            return False
        if any(h in words.common or h in words.kept for h in halves[:1]):
            return False
        if any(h in self._hidden or h in words.given or h in words.registered for h in halves):
            return True
        before = self._text[max(0, start - 24) : start]
        if halves[0] in words.doubtful:
            return bool(_LEADS.search(before)) and _FOLLOWS.match(self._text, end) is not None
        if _LEADS.search(before):
            return True
        return self._is_small and _LEADS_SMALL.search(before) is not None

    def _is_capitals_name(
        self, word: str, halves: Sequence[str], start: int, *, follows: bool
    ) -> bool:
        words = self._words
        if any(h in words.given or h in words.registered for h in halves):
            return not any(h in words.kept for h in halves)
        if all(h in words.kept or h in words.common for h in halves):
            return False
        if follows or self._shouted(start):
            return True
        return len(word) > _ACRONYM or len(word) == 2

    def _is_capital_name(
        self, word: str, halves: Sequence[str], start: int, end: int, *, follows: bool
    ) -> bool:
        words, bare = self._words, halves[0]
        if any(h in words.given for h in halves):
            return True
        if bare in words.kept:
            return False
        opens = self._opens(start) or self._titled(start)
        if bare in words.doubtful:
            return not opens or follows or _FOLLOWS.match(self._text, end) is not None
        if bare in words.common or (
            len(halves) > 1 and all(h in words.common or h in words.kept for h in halves[1:])
        ):
            return follows and not opens and not self._titled(start)
        if word[1:] != word[1:].lower() and word.upper()[:3] in {"PTS", "CPT"}:
            return False
        return True

    def _opens(self, start: int) -> bool:
        """Whether a sentence, line or list item begins here, so that a capital means nothing."""
        return start == 0 or _ENDS.search(self._text[max(0, start - 6) : start]) is not None


def _ends_sentence(text: str, end: int) -> bool:
    return re.match(r"\s+[A-Z]|\s*$", text[end : end + 3]) is not None


_NOT_TITLED: Final = frozenset(
    (
        "and",
        "or",
        "is",
        "was",
        "has",
        "appointment",
        "who",
        "said",
        "says",
        "told",
        "at",
        "in",
        "to",
    )
)


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
