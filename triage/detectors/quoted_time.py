"""When a session is that the sender only points at: the time beside its id in quoted text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from triage.detectors.clocks import clocks
from triage.detectors.days import days
from triage.detectors.mention import Mention
from triage.detectors.session_time import LONDON, join, unsettled
from triage.language import Reading

#: How far from a session id in quoted text its time may stand, in characters.
_BESIDE: Final = 90


def quoted_times(reading: Reading, ids: Sequence[Mention]) -> tuple[Mention, ...]:
    """The time that quoted text gives beside a session id which the text means or names."""
    text = reading.folded["quoted_text"].text
    found: dict[str, Mention] = {}
    for mention in ids:
        digits = mention.value.removeprefix("HT-")
        for place in re.finditer(rf"{digits[:3]} ?{digits[3:]}", text):
            when = _beside(reading, text, place.end(), mention)
            if when is not None:
                found.setdefault(mention.value, when)
    return tuple(found.values())


def _beside(reading: Reading, text: str, first: int, id_: Mention) -> Mention | None:
    """The first day behind a session id, before another id and in the same paragraph."""
    stretch = text[first : first + _BESIDE]
    end = _ENDS.search(stretch)
    lowered = stretch[: end.start() if end else None].lower()
    sent = reading.email.sent_at.astimezone(LONDON)
    named = days(lowered, lowered, [0], sent)
    for start, last, day, clock in join(lowered, [0], named, clocks(lowered), [], sent):
        if _BY_THEN.search(lowered[start:last]):
            return None
        value = day.day.isoformat() + (f"T{clock[0]:02}:{clock[1]:02}" if clock else "")
        span = reading.span("quoted_text", first + start, first + last)
        flags = frozenset({"quoted"} | unsettled(day))
        return Mention(
            "session_time", value, span, id_.sentence, "session_time.quoted", _QUOTED, flags
        )
    return None


#: Another id, another paragraph, or words that lead to another day.
_ENDS: Final = re.compile(
    r"\n[>\s]*\n|HT ?-? ?\d|\b(?:[Pp]lease|[Cc]onfirm|[Bb]y|[Bb]efore|[Mm]oved?|to)\b"
)
#: Days that depend on when the quoted text was written.
_BY_THEN: Final = re.compile(r"\bto(?:day|night|morrow)\b|\byesterday\b|\bthis \w+")
#: Sure enough where the text names no time of its own, and less than one that it names.
_QUOTED: Final = 0.3
