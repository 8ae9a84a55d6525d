"""A message's text cut where its findings begin and end, so that a page can colour each kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from review.web.words import EVIDENCE, FIELDS, value_in_words
from triage.records import Email, Finding, Part

_OTHER: Final = ("other", "evidence")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of the text; ``kinds`` is empty where no finding rests on it. Nothing is escaped yet."""

    text: str
    kinds: tuple[str, ...] = ()
    word: str = ""  # what it is evidence of, in a word; on the first piece of a finding
    said: str = ""  # what was read from it


def pieces(email: Email, part: Part, findings: Iterable[Finding]) -> list[Piece]:
    """One part of *email* in pieces that put together are the part.

    A finding whose words do not stand where it says they do is another message's, and left out.
    """
    text: str = getattr(email, part)
    found = _in_part(text, part, findings)
    edges = sorted({0, len(text), *(e for start, end, _ in found for e in (start, end))})
    return [_piece(text, begin, end, found) for begin, end in pairwise(edges) if begin < end]


def _in_part(text: str, part: Part, findings: Iterable[Finding]) -> list[tuple[int, int, Finding]]:
    found = {}
    for finding in findings:
        span = finding.span
        if span and span.part == part and span.text and text[span.start : span.end] == span.text:
            found[span.start, span.end, finding.label, finding.value] = (
                span.start,
                span.end,
                finding,
            )
    return list(found.values())


def _piece(text: str, begin: int, end: int, found: Sequence[tuple[int, int, Finding]]) -> Piece:
    covering = [(start, f) for start, stop, f in found if start <= begin and end <= stop]
    kinds = dict.fromkeys(EVIDENCE.get(f.label, _OTHER)[0] for _, f in covering)
    here = dict.fromkeys(
        EVIDENCE.get(f.label, _OTHER)[1] for start, f in covering if start == begin
    )
    said = dict.fromkeys(_said(f) for _, f in covering)
    return Piece(text[begin:end], tuple(kinds), ", ".join(here), "; ".join(said))


def _said(finding: Finding) -> str:
    label = FIELDS.get(finding.label, finding.label.replace("_", " "))
    value = value_in_words(finding.label, finding.value) if finding.value else ""
    sure = f"{finding.confidence:.0%} sure"
    return f"{label}: {value} ({sure})" if value else f"{label} ({sure})"
