"""What presses: how far each deadline has come, and what lapses while nobody is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from settings import Settings
from store import CaseRow
from triage.deadlines import OfficeHours, Step, escalated, opens_again
from triage.limits import staleness
from triage.records import Directory


def ladder_of(settings: Settings) -> tuple[Step, ...]:
    """The escalation ladder as configured, the lowest step first."""
    steps = (Step(timedelta(hours=step.hours), step.who) for step in settings.escalation)
    return tuple(sorted(steps, key=lambda step: -step.left))


def levels(
    rows: Iterable[CaseRow], now: datetime, office: OfficeHours, ladder: Sequence[Step]
) -> dict[int, int]:
    """The step of the ladder that each case has climbed to, by case id; 0 is none."""
    return {row.case_id: escalated(row.decision.deadline, now, office, ladder) for row in rows}


def escalation_json(level: int, ladder: Sequence[Step]) -> dict[str, Any]:
    return {"level": level, "who": ladder[level - 1].who if level else ""}


def lapsing(
    rows: Iterable[CaseRow], directory: Directory, now: datetime, office: OfficeHours
) -> list[CaseRow]:
    """What will lapse before the office opens again, and what has lapsed with its session to come.

    During office hours that is what must be done before going home.
    """
    opens = opens_again(now, office)
    return [row for row in rows if _lapses(row, directory, now, opens)]


def _lapses(row: CaseRow, directory: Directory, now: datetime, opens: datetime) -> bool:
    due = row.decision.deadline
    if due is None or due >= opens:
        return False
    session = directory.session(row.session_id) if row.session_id else None
    return due >= now or (session is not None and session.starts_at > now)


def legend(levels: Mapping[int, int], ladder: Sequence[Step]) -> str:
    """What the marks beside deadlines mean, "" where there is none."""
    reached = max(levels.values(), default=0)
    return ", ".join(f"{'!' * n} {ladder[n - 1].who}" for n in range(1, reached + 1))


def footer(
    levels: Mapping[int, int],
    ladder: Sequence[Step],
    as_of: datetime | None,
    now: datetime,
    settings: Settings,
) -> list[str]:
    """What is to be said below the queues."""
    return [
        line for line in (legend(levels, ladder), staleness(as_of, settings.limits(), now)) if line
    ]
