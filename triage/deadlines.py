"""Office hours, and what can still be done before a session starts.

Deadlines count back from the start of the session in hours that the office is open (rule 8), never
forward from the arrival of a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

#: Longer than any run of closed days; a start beyond it is answered by plain hours.
_HORIZON_DAYS: Final = 60
_ONE_DAY: Final = timedelta(days=1)


@cache
def london() -> tzinfo:
    """The zone of every local time in the platform's rules."""
    return ZoneInfo("Europe/London")


@dataclass(frozen=True, slots=True)
class OfficeHours:
    """When somebody is there to act, and how much of that time an action needs.

    ``days`` are weekdays with Monday as 0; ``holidays`` are local dates. ``notice`` is the office
    time that a person needs between reading a message and the start of the session.

    Raises:
        ValueError: no day is open, or the office closes before it opens.

    """

    days: frozenset[int] = frozenset(range(5))
    opens: time = time(9)
    closes: time = time(17)
    holidays: frozenset[date] = frozenset()
    notice: timedelta = timedelta(hours=1)
    tz: tzinfo = field(default_factory=london)

    def __post_init__(self) -> None:
        if not self.days or not self.days <= frozenset(range(7)):
            raise ValueError("days: at least one weekday from 0 (Monday) to 6 (Sunday)")
        if self.opens >= self.closes:
            raise ValueError("the office must open before it closes, on the same day")

    def open_on(self, day: date) -> bool:
        return day.weekday() in self.days and day not in self.holidays

    def hours_on(self, day: date) -> tuple[datetime, datetime] | None:
        """Opening and closing of a local day as UTC, or None when closed all day."""
        if not self.open_on(day):
            return None
        opens = datetime.combine(day, self.opens, self.tz).astimezone(UTC)
        return opens, datetime.combine(day, self.closes, self.tz).astimezone(UTC)


def deadline(start: datetime, office: OfficeHours) -> datetime:
    """The last moment (UTC) from which ``office.notice`` of office time is left before *start*."""
    left = office.notice
    start = start.astimezone(UTC)
    day = start.astimezone(office.tz).date()
    for _ in range(_HORIZON_DAYS):
        if hours := office.hours_on(day):
            opens, closes = hours[0], min(hours[1], start)
            if closes - opens >= left:
                return closes - left
            left -= max(closes - opens, timedelta())
        day -= _ONE_DAY
    return start - left


def too_late(start: datetime, now: datetime, office: OfficeHours) -> bool:
    """Whether the office can no longer act before *start*: rule 8's evening, weekend, short notice.

    A session that has started is always too late.
    """
    return now >= start or now > deadline(start, office)


def office_time(begin: datetime, end: datetime, office: OfficeHours) -> timedelta:
    """How much open office time lies between two moments; none when *end* is not later."""
    total = timedelta()
    day = begin.astimezone(office.tz).date()
    last = end.astimezone(office.tz).date()
    while day <= last:
        if hours := office.hours_on(day):
            total += max(min(hours[1], end) - max(hours[0], begin), timedelta())
        day += _ONE_DAY
    return total


def opens_next(now: datetime, office: OfficeHours) -> datetime:
    """When the office is next open (UTC): *now* itself within office hours."""
    day = now.astimezone(office.tz).date()
    for _ in range(_HORIZON_DAYS):
        if (hours := office.hours_on(day)) and now < hours[1]:
            return max(hours[0], now.astimezone(UTC))
        day += _ONE_DAY
    return now.astimezone(UTC)


def opens_again(now: datetime, office: OfficeHours) -> datetime:
    """When the office opens after it next closes (UTC); while it is closed, when it opens next."""
    opens = opens_next(now, office)
    if opens > now:
        return opens
    hours = office.hours_on(now.astimezone(office.tz).date())
    return opens_next(hours[1], office) if hours else opens


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the escalation ladder: with ``left`` office time or less, ``who`` looks."""

    left: timedelta
    who: str


def escalated(
    due: datetime | None, now: datetime, office: OfficeHours, ladder: Sequence[Step]
) -> int:
    """How many steps of *ladder* a deadline has climbed by *now*: 0 for none of them."""
    if due is None or not ladder:
        return 0
    if due <= now:
        return len(ladder)
    if due - now > _HORIZON_DAYS * _ONE_DAY:
        return 0
    left = office_time(now, due, office)
    return sum(left <= step.left and step.left > timedelta() for step in ladder)


def local_time(stated: str | None) -> datetime | None:
    """A request's ``session_time`` as an aware time; None for a mere date, nothing, or nonsense."""
    if not stated or "T" not in stated:
        return None
    try:
        return datetime.fromisoformat(stated).replace(tzinfo=london())
    except ValueError:
        return None


def local_date(stated: str | None) -> date | None:
    """The date in a request's ``session_time``; None where nothing usable is stated."""
    if not stated:
        return None
    try:
        return date.fromisoformat(stated[:10])
    except ValueError:
        return None
