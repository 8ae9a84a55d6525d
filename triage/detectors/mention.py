"""What a rule noticed, where, and in what context: the value all detectors yield."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from triage.records import Finding, Span

#: A mention with one of these does not count, by the rules' own reading.
BARRED: Final = frozenset(("barred", "corrected", "other_session"))


@dataclass(frozen=True, slots=True)
class Mention:
    """One thing noticed in one sentence.

    ``label`` is a field of the guideline, ``value`` one of its codes or the resolved value
    ("HT-204518", "2026-02-11T09:00", "Sarah M"). ``flags`` say in what context the words stand:
    "negated", "own_practice", "wanted", "other_person", "past", "quoted", "masked" (a look-alike
    that means something else), "other_session", "recurring", … ``first`` orders mentions within
    a message.
    """

    label: str
    value: str
    span: Span
    sentence: int
    rule: str
    confidence: float = 0.9
    flags: frozenset[str] = frozenset()

    @property
    def counts(self) -> bool:
        """Whether the rules take this mention as said of the client now."""
        return not (self.flags & BARRED)

    def finding(self) -> Finding:
        return Finding(self.label, self.value, self.span, f"rule:{self.rule}", self.confidence)
