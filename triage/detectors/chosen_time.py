"""Which of the times that a message names is the session's, and when it is taken for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from math import exp
from typing import Final

from triage.detectors.mention import Mention
from triage.detectors.session_time import LONDON, WEIGHTS


def choose(mentions: Sequence[Mention]) -> Mention | None:
    """The mention that most likely tells when the session is, or None.

    Among mentions of the same day the one with a clock time is taken.
    """
    named = [m for m in mentions if m.label == "session_time"]
    times = [m for m in named if "recurring" not in m.flags]
    best = max(times, key=lambda m: m.confidence, default=None)
    if best is None or best.confidence < _ENOUGH:
        return None
    if "T" in best.value:
        return best
    clocked = [m for m in times if m.value.startswith(best.value + "T") and m.confidence >= _ENOUGH]
    if clocked:
        return max(clocked, key=lambda m: m.confidence)
    weekday = date.fromisoformat(best.value).weekday()
    for m in named:  # "Thursdays at noon … this Thursday"
        day, _, clock = m.value.partition("T")
        if clock and "recurring" in m.flags and date.fromisoformat(day).weekday() == weekday:
            return replace(best, value=f"{best.value}T{clock}")
    return best


_ENOUGH: Final = 0.1
#: How likely a time must be the session's own before it is given, by what is asked: less where a
#: clock time stands with it, much more where the matter is another and no session is named, for
#: invoices, offers and notices of absence are full of days. On the supplements each spares five
#: wrong times or more for a right one that it costs (docs/decisions.md).
_ENOUGH_FOR: Final[Mapping[str, tuple[float, float]]] = {  # with a clock time, a day alone
    "cancellation": (_ENOUGH, 0.35),
    "referral": (0.2, 0.15),
    "note_reason": (_ENOUGH, 0.35),
    "enquiry": (_ENOUGH, 0.2),
    "update": (0.2, 0.3),
    "withdrawal": (_ENOUGH, 0.3),
    "other": (_ENOUGH, _ENOUGH),
}
_ENOUGH_FOR_NO_SESSION: Final = (0.6, 0.5)
#: "The 9am" is somebody's hour, whatever the mail is about.
_ENOUGH_FOR_A_HANDLE: Final = 0.3
_ELSEWHERE: Final = frozenset(("contact", "deadline", "recurring"))
#: Kinds that speak of a session that is still to come.
_COMING: Final = frozenset(("cancellation", "withdrawal", "enquiry", "update"))


def settled_for(mention: Mention, kind: str, sent: datetime) -> Mention | None:
    """*mention* as a request of this *kind* means it, or None where it cannot mean the session.

    A reason is noted when a session can no longer be cancelled: a day named without more
    ("Saturday", "the 20th") is the last such day, unless it is tomorrow. Nobody cancels a session
    that is over, or asks how to: there it is the next.
    """
    if mention.label != "session_time":
        return mention
    day = date.fromisoformat(mention.value[:10])
    ahead = (day - sent.astimezone(LONDON).date()).days
    if kind == "note_reason":
        mention = _moved(mention, day, back=True) if ahead > 1 else mention
        return replace(mention, confidence=_likelier(mention.confidence)) if ahead <= 0 else mention
    if kind == "other" and ahead == 0 and not mention.flags & _ELSEWHERE:
        return replace(mention, confidence=_likelier(mention.confidence))
    if kind in _COMING and ahead < 0:
        return _moved(mention, day, back=False) if "weekday" in mention.flags else None
    return mention


def is_likely_for(mention: Mention, kind: str, *, names_session: bool) -> bool:
    """Whether *mention* is surely enough the time of the session that a request of *kind* means.

    *names_session*: whether the request has a session id.
    """
    beside = kind == "other" and not names_session
    with_clock, day_alone = _ENOUGH_FOR_NO_SESSION if beside else _ENOUGH_FOR[kind]
    if "handle" in mention.flags:
        with_clock = min(with_clock, _ENOUGH_FOR_A_HANDLE)
    return mention.confidence >= (with_clock if "T" in mention.value else day_alone)


def _likelier(confidence: float) -> float:
    """Without what was taken off because the day is no day ahead."""
    return 1 / (1 + exp(WEIGHTS["today"]) * (1 / confidence - 1))


def _moved(mention: Mention, day: date, *, back: bool) -> Mention:
    """The same weekday a week, or the same day of the month a month, before or after."""
    if "weekday" in mention.flags:
        day += timedelta(-7 if back else 7)
    elif "of_month" in mention.flags and back:
        last = day.replace(day=1) - timedelta(1)
        day = last.replace(day=min(day.day, last.day))
    return replace(mention, value=day.isoformat() + mention.value[10:])
