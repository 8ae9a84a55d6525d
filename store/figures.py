"""The figures of the overview: what came, how long it waited, what people set right, what lapsed.

Days are days of Europe/London, whose clock stands whole hours beside UTC: the database counts by
the hour of UTC, and hours are put into days here. What each figure means is in docs/overview.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import JSON, ColumnElement, Connection, cast, exists, func, or_, select

from store.database import Database
from store.judged import (
    Change,
    FieldCorrected,
    Judged,
    approved_cases,
    changes,
    fields,
    judged_cases,
)
from store.outgoing_schema import verdicts
from store.periods import ACTING, TEXT, Period, hour, london, one_row, standing, within
from store.readings import NOT_READ
from store.schema import cases, decisions, messages, quarantine, sessions

#: Where a session may lapse: what is left to the ordinary inbox is none of ours.
_OURS: Final = ("cancellation", "referral", "enquiry")
#: Sessions that may lapse: every status but cancelled.
_BOOKED: Final = ("unconfirmed", "confirmed", "held")


@dataclass(frozen=True, slots=True)
class Day:
    """One day: messages by queue, those that needed nobody, cases judged and set right."""

    day: date
    messages: Mapping[str, int]
    needed_nobody: int
    judged: int
    corrected: int


@dataclass(frozen=True, slots=True)
class Waited:
    """How long cases of a queue waited for the first action, in seconds; "" is all queues."""

    queue: str
    cases: int
    median: int
    p90: int


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A case whose session began before anybody acted."""

    case_id: int
    queue: str
    session_id: str
    opened_at: datetime
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """A reader: when it first decided, and what people made of its readings in the period."""

    name: str
    began: datetime
    judged: int
    corrected: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All of it for one period."""

    period: Period
    days: tuple[Day, ...]
    automatic: int  # messages that programs sent, of all
    waited: tuple[Waited, ...]
    fields: tuple[FieldCorrected, ...]
    changes: tuple[Change, ...]
    approved: int
    approved_as_read: int
    lapsed: tuple[Lapsed, ...]  # the latest first
    versions: tuple[Version, ...]  # in the order in which they began

    @property
    def messages(self) -> int:
        return sum(sum(day.messages.values()) for day in self.days)

    @property
    def needed_nobody(self) -> int:
        return sum(day.needed_nobody for day in self.days)


class Overview:
    """What ``Store`` tells of a whole team's work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def figures(self, period: Period, now: datetime) -> Figures:
        """The figures of *period*; sessions that begin after *now* cannot have lapsed yet."""
        with self._database.reading() as connection:
            return _figures(connection, period, now)


def _figures(connection: Connection, period: Period, now: datetime) -> Figures:
    came, automatic = _came(connection, period)
    touched = _touched(connection, period)
    judged = judged_cases(connection, period)
    approved, as_read = approved_cases(connection, period)
    days = tuple(
        Day(
            day,
            dict(came[day]),
            came[day]["general"] - touched[day],
            len(judged.by_day[day]),
            len(judged.corrected_by_day[day]),
        )
        for day in period.days
    )
    return Figures(
        period,
        days,
        automatic,
        tuple(_waited(connection, period)),
        fields(connection, period, len(judged.cases)),
        changes(connection, period),
        approved,
        as_read,
        _lapsed(connection, period, now),
        _versions(connection, period, judged),
    )


# --- what came -----------------------------------------------------------------------------------


def _came(connection: Connection, period: Period) -> tuple[Mapping[date, Counter[str]], int]:
    """Messages by day and queue, and how many of all were sent by programs."""
    found: defaultdict[date, Counter[str]] = defaultdict(Counter)
    programs = 0
    by_program = messages.c.automatic != ""
    when = hour(connection, messages.c.stored_at)
    query = select(when, messages.c.queue, by_program, func.count()).group_by(
        when, messages.c.queue, by_program
    )
    for at, queue, automatic, count in connection.execute(
        query.where(within(messages.c.stored_at, period))
    ):
        found[london(at)][queue] += count
        programs += count if automatic else 0
    when = hour(connection, quarantine.c.quarantined_at)
    aside = select(when, func.count()).where(within(quarantine.c.quarantined_at, period))
    for at, count in connection.execute(aside.group_by(when)):
        found[london(at)]["quarantine"] += count
    return found, programs


def _touched(connection: Connection, period: Period) -> Counter[date]:
    """Messages left to the ordinary inbox that a person dealt with, or has still to look at."""
    acted_on = exists().where(verdicts.c.case_id == cases.c.id)
    by_somebody = one_row(
        select(decisions.c.id)
        .join(cases, cases.c.id == decisions.c.case_id)
        .where(decisions.c.message_id == messages.c.id, or_(cases.c.state == "check", acted_on))
    )
    when = hour(connection, messages.c.stored_at)
    query = (
        select(when, func.count())
        .where(within(messages.c.stored_at, period), messages.c.queue == "general")
        .where(by_somebody.is_not(None))
        .group_by(when)
    )
    found: Counter[date] = Counter()
    for at, count in connection.execute(query):
        found[london(at)] += count
    return found


# --- how long it waited --------------------------------------------------------------------------


def _waited(connection: Connection, period: Period) -> Iterable[Waited]:
    """By queue, the whole first; nothing where nobody acted."""
    every = verdicts.alias()
    first = select(func.min(every.c.id)).where(
        every.c.case_id == verdicts.c.case_id, standing(every, ACTING)
    )
    opened_at = select(cases.c.opened_at).where(cases.c.id == verdicts.c.case_id)
    query = select(_queue_then(connection), opened_at.scalar_subquery(), verdicts.c.at).where(
        within(verdicts.c.at, period),
        standing(verdicts, ACTING),
        verdicts.c.id == first.scalar_subquery(),
    )
    seconds: defaultdict[str, list[int]] = defaultdict(list)
    for queue, opened_at, at in connection.execute(query):
        waited = max(int((at - opened_at).total_seconds()), 0)
        seconds[queue].append(waited)
        seconds[""].append(waited)
    for queue, found in sorted(seconds.items()):
        found.sort()
        yield Waited(queue, len(found), nearest_rank(found, 50), nearest_rank(found, 90))


def nearest_rank(ordered: Sequence[int], percent: int) -> int:
    """The smallest of *ordered* that so many per cent of them do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1]


def _queue_then(connection: Connection) -> ColumnElement[str]:
    """The queue in which the case was when the verdict was given."""
    if connection.dialect.name == "sqlite":  # JSON is text there
        return func.json_extract(verdicts.c.before, "$.queue", type_=TEXT)
    queue: ColumnElement[str] = cast(verdicts.c.before, JSON)["queue"].as_string()
    return queue


# --- what lapsed, and who read -------------------------------------------------------------------


def _lapsed(connection: Connection, period: Period, now: datetime) -> tuple[Lapsed, ...]:
    acted = one_row(
        select(verdicts.c.id).where(
            verdicts.c.case_id == cases.c.id,
            verdicts.c.at < sessions.c.starts_at,
            standing(verdicts, ACTING),
        )
    )
    query = (
        select(
            cases.c.id, cases.c.queue, cases.c.session_id, cases.c.opened_at, sessions.c.starts_at
        )
        .join_from(sessions, cases, cases.c.session_id == sessions.c.session_id)
        .where(
            within(sessions.c.starts_at, period),
            sessions.c.starts_at <= now,
            sessions.c.status.in_(_BOOKED),
            sessions.c.gone_at.is_(None),
            cases.c.queue.in_(_OURS),
            cases.c.state != "withdrawn",
            cases.c.opened_at < sessions.c.starts_at,
            acted.is_(None),
        )
        .order_by(sessions.c.starts_at.desc(), cases.c.id)
    )
    return tuple(Lapsed(*row) for row in connection.execute(query))


def _versions(connection: Connection, period: Period, judged: Judged) -> tuple[Version, ...]:
    """Readers that began before the period's end, one step of the index for each."""
    found, last = [], ""
    while row := connection.execute(
        select(decisions.c.reader_version, decisions.c.decided_at)
        .where(decisions.c.reader_version > last)
        .order_by(decisions.c.reader_version, decisions.c.decided_at)
        .limit(1)
    ).first():
        last = row.reader_version
        if last not in NOT_READ and row.decided_at < period.end:
            counts = (len(judged.by_version[last]), len(judged.corrected_by_version[last]))
            found.append(Version(last, row.decided_at, *counts))
    return tuple(sorted(found, key=lambda version: (version.began, version.name)))
