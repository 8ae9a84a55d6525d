"""When a problem is told: once, again as a reminder, and once more when it is over.

No I/O and no clock. A problem that comes and goes within ``calm`` is one and the same, so that
whoever is on call is not told at every turn; one that is gone before its patience has run out was
never told, and its end is not told either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from review.problems import RUNBOOKS, Problem, alert_name
from store.alerts import Alert

What = Literal["firing", "reminder", "recovered"]
#: Said of a problem whose own words are gone with it.
_OVER: Final = "this is over"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long it must be well before it is said, and after how long it is told again."""

    calm: timedelta
    remind: timedelta | None


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one alert: how it stands after, None where it is gone; what to tell first.

    Where telling fails, ``untold`` is how it stands instead, so that it is tried again.
    """

    before: Alert | None
    after: Alert | None
    tell: Mapping[str, Any] | None = None
    untold: Alert | None = None


def steps(
    way: str, known: Sequence[Alert], found: Sequence[Problem], now: datetime, pace: Pace
) -> Iterator[Step]:
    """What is to be done by *way* about what stands and what is *found* now."""
    standing = {(alert.code, alert.about): alert for alert in known if alert.way == way}
    for problem in found:
        before = standing.pop((problem.code, problem.about), None)
        yield _amiss(
            before or Alert(way, problem.code, problem.about, now), before, problem, now, pace
        )
    for alert in standing.values():
        yield _well(alert, now, pace)


def _amiss(alert: Alert, before: Alert | None, problem: Problem, now: datetime, pace: Pace) -> Step:
    alert = replace(alert, well_since=None)
    if not alert.told:
        due = now - alert.since >= RUNBOOKS[problem.code].patience
    else:
        last = alert.told_at or alert.since
        due = pace.remind is not None and now - last >= pace.remind
    if not due:
        return Step(before, alert)
    after = replace(alert, told=alert.told + 1, told_at=now)
    what: What = "reminder" if alert.told else "firing"
    return Step(before, after, event(what, after, problem.said, now), alert)


def _well(alert: Alert, now: datetime, pace: Pace) -> Step:
    if not alert.told:
        return Step(alert, None)
    alert, before = replace(alert, well_since=alert.well_since or now), alert
    if alert.well_since is None or now - alert.well_since < pace.calm:
        return Step(before, alert)
    return Step(before, None, event("recovered", alert, _OVER, now), alert)


def event(what: What, alert: Alert, said: str, now: datetime) -> dict[str, Any]:
    """What is told, as JSON. ``id`` is the same however often one and the same is told."""
    until = alert.well_since if what == "recovered" and alert.well_since else now
    number = alert.told if what != "recovered" else "end"
    code = RUNBOOKS[alert.code]  # type: ignore[index]  # a code of an older version has none
    return {
        "type": f"alert.{what}",
        "id": f"{alert.code}:{alert.about}:{alert.since.isoformat()}:{number}",
        "timestamp": now.isoformat(),
        "data": {
            "alert": alert_name(alert.code),
            "code": alert.code,
            "about": alert.about,
            "said": said,
            "since": alert.since.isoformat(),
            "lasted_seconds": int((until - alert.since).total_seconds()),
            "runbook": f"docs/operations.md#{code.heading}",
        },
    }
