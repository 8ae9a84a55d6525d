"""The figures of the overview: what came, how long it waited, what people set right, what lapsed.

Days are days of Europe/London, whose clock stands whole hours beside UTC: the database counts by
the hour of UTC, and hours are put into days here. What each figure means is in docs/overview.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    and_,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from store.database import Database
from store.outgoing_schema import corrections, verdicts
from store.rows import AT_ONCE
from store.schema import cases, decisions, messages, quarantine, sessions
from triage.labels import CODE_SETS, CODES

LONDON: Final = ZoneInfo("Europe/London")

#: What a person does about what was asked; setting right, assigning and putting aside come before.
ACTING: Final = ("approve", "refer", "send_back", "note_reason", "general", "dismiss", "withdraw")
#: What a person does with the reading before their eyes.
JUDGING: Final = (*ACTING, "correct")
#: What carries out the ask as it was read.
APPROVING: Final = ("approve", "refer", "note_reason")
#: Where a session may lapse: what is left to the ordinary inbox is none of ours.
_OURS: Final = ("cancellation", "referral", "enquiry")
#: Fields whose values are words of people: that they changed is told, not into what.
_PRIVATE: Final = frozenset({"session_ids", "client_ref", "session_time"})


@dataclass(frozen=True, slots=True)
class Period:
    """Days of Europe/London, the last one included."""

    first: date
    last: date

    @property
    def start(self) -> datetime:
        return datetime.combine(self.first, time(), LONDON).astimezone(UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return datetime.combine(self.last + timedelta(days=1), time(), LONDON).astimezone(UTC)

    @property
    def days(self) -> tuple[date, ...]:
        count = (self.last - self.first).days + 1
        return tuple(self.first + timedelta(days=n) for n in range(count))


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
class FieldCorrected:
    """How many cases were judged with this field before the person's eyes, and set right in it."""

    name: str
    shown: int
    corrected: int


@dataclass(frozen=True, slots=True)
class Change:
    """Which value was set to which; "" is none, both are "" where the values are private."""

    name: str
    before: str
    after: str
    times: int


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
    judged = _judged(connection, period)
    approved, as_read = _approved(connection, period)
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
        _fields(connection, period, len(judged.cases)),
        _changes(connection, period),
        approved,
        as_read,
        _lapsed(connection, period, now),
        _versions(connection, period, judged),
    )


# --- days ----------------------------------------------------------------------------------------


def _hour(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[str]:
    """The hour of UTC, as in 2026-11-22T09."""
    if connection.dialect.name == "sqlite":
        return func.substr(column, 1, 13, type_=_TEXT)
    form: ColumnElement[str] = literal_column("'YYYY-MM-DD\"T\"HH24'")
    return func.to_char(func.timezone("UTC", column), form, type_=_TEXT)


_TEXT: Final = corrections.c.field.type


def _london(hour: str) -> date:
    return datetime.fromisoformat(f"{hour}:00+00:00").astimezone(LONDON).date()


def _within(column: ColumnElement[Any], period: Period) -> ColumnElement[bool]:
    return and_(column >= period.start, column < period.end)


# --- what came -----------------------------------------------------------------------------------


def _came(connection: Connection, period: Period) -> tuple[Mapping[date, Counter[str]], int]:
    """Messages by day and queue, and how many of all were sent by programs."""
    found: defaultdict[date, Counter[str]] = defaultdict(Counter)
    programs = 0
    by_program = messages.c.automatic != ""
    hour = _hour(connection, messages.c.stored_at)
    query = select(hour, messages.c.queue, by_program, func.count()).group_by(
        hour, messages.c.queue, by_program
    )
    for when, queue, automatic, count in connection.execute(
        query.where(_within(messages.c.stored_at, period))
    ):
        found[_london(when)][queue] += count
        programs += count if automatic else 0
    hour = _hour(connection, quarantine.c.quarantined_at)
    aside = select(hour, func.count()).where(_within(quarantine.c.quarantined_at, period))
    for when, count in connection.execute(aside.group_by(hour)):
        found[_london(when)]["quarantine"] += count
    return found, programs


def _touched(connection: Connection, period: Period) -> Counter[date]:
    """Messages left to the ordinary inbox that a person dealt with, or has still to look at."""
    acted_on = exists().where(verdicts.c.case_id == cases.c.id)
    by_somebody = exists().where(
        decisions.c.message_id == messages.c.id,
        cases.c.id == decisions.c.case_id,
        or_(cases.c.state == "check", acted_on),
    )
    hour = _hour(connection, messages.c.stored_at)
    query = (
        select(hour, func.count())
        .where(_within(messages.c.stored_at, period), messages.c.queue == "general", by_somebody)
        .group_by(hour)
    )
    found: Counter[date] = Counter()
    for when, count in connection.execute(query):
        found[_london(when)] += count
    return found


# --- how long it waited --------------------------------------------------------------------------


def _standing(table: Any, actions: Sequence[str]) -> ColumnElement[bool]:  # noqa: ANN401 - a table or its alias
    return and_(table.c.action.in_(actions), table.c.undone_at.is_(None))


def _waited(connection: Connection, period: Period) -> Iterable[Waited]:
    """By queue, the whole first; nothing where nobody acted."""
    earlier = verdicts.alias()
    first = ~exists().where(
        earlier.c.case_id == verdicts.c.case_id,
        earlier.c.id < verdicts.c.id,
        _standing(earlier, ACTING),
    )
    query = (
        select(_queue_then(connection), cases.c.opened_at, verdicts.c.at)
        .join_from(verdicts, cases)
        .where(_within(verdicts.c.at, period), _standing(verdicts, ACTING), first)
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
        return func.json_extract(verdicts.c.before, "$.queue", type_=_TEXT)
    return cast(verdicts.c.before, JSON)["queue"].as_string()


# --- what people set right -----------------------------------------------------------------------


@dataclass(slots=True)
class _Judged:
    """Cases that people judged in the period, by when and by whose reading."""

    cases: set[int] = field(default_factory=set)
    by_day: defaultdict[date, set[int]] = field(default_factory=lambda: defaultdict(set))
    corrected_by_day: defaultdict[date, set[int]] = field(default_factory=lambda: defaultdict(set))
    by_version: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    corrected_by_version: defaultdict[str, set[int]] = field(
        default_factory=lambda: defaultdict(set)
    )


def _judged(connection: Connection, period: Period) -> _Judged:
    hour = _hour(connection, verdicts.c.at)
    set_right = exists().where(corrections.c.verdict_id == verdicts.c.id, _CHANGED)
    query = (
        select(verdicts.c.case_id, hour, set_right, verdicts.c.decision_id,
               decisions.c.reader_version)
        .join_from(verdicts, decisions, decisions.c.id == verdicts.c.decision_id)
        .where(_within(verdicts.c.at, period), _standing(verdicts, JUDGING))
    )  # fmt: skip
    rows = connection.execute(query).all()
    readers = _readers(connection, {row[3] for row in rows if row[4] == "person"})
    found = _Judged()
    for case_id, when, changed, decision_id, reader in rows:
        day, version = _london(when), readers.get(decision_id, reader)
        found.cases.add(case_id)
        found.by_day[day].add(case_id)
        found.by_version[version].add(case_id)
        if changed:
            found.corrected_by_day[day].add(case_id)
            found.corrected_by_version[version].add(case_id)
    return found


_CHANGED: Final = corrections.c.before != corrections.c.after


def _readers(connection: Connection, made_by_people: set[int]) -> dict[int, str]:
    """Whose reading lies under decisions that people made."""
    own, read = decisions.alias(), decisions.alias()
    version = (
        select(read.c.reader_version)
        .where(
            read.c.case_id == own.c.case_id, read.c.id < own.c.id, read.c.reader_version != "person"
        )
        .order_by(read.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    wanted, found = sorted(made_by_people), dict[int, str]()
    for start in range(0, len(wanted), AT_ONCE):
        query = select(own.c.id, version).where(own.c.id.in_(wanted[start : start + AT_ONCE]))
        found.update((number, reader or "") for number, reader in connection.execute(query))
    return found


def _corrected(period: Period) -> ColumnElement[bool]:
    return and_(_within(verdicts.c.at, period), _standing(verdicts, JUDGING), _CHANGED)


def _fields(connection: Connection, period: Period, shown: int) -> tuple[FieldCorrected, ...]:
    """The most corrected first; every field of the guideline is among them."""
    query = (
        select(corrections.c.field, func.count(verdicts.c.case_id.distinct()))
        .join_from(corrections, verdicts)
        .where(_corrected(period))
        .group_by(corrections.c.field)
    )
    found: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    names = dict.fromkeys((*CODES, *CODE_SETS, *sorted(_PRIVATE), *sorted(found)))
    rows = [FieldCorrected(name, shown, found.get(name, 0)) for name in names]
    return tuple(sorted(rows, key=lambda row: -row.corrected))


def _changes(connection: Connection, period: Period) -> tuple[Change, ...]:
    before, after = corrections.c.before, corrections.c.after
    query = (
        select(corrections.c.field, before, after, func.count())
        .join_from(corrections, verdicts)
        .where(_corrected(period))
        .group_by(corrections.c.field, before, after)
    )
    found: Counter[tuple[str, str, str]] = Counter()
    for name, was, now, times in connection.execute(query):
        for pair in _pairs(name, was["value"], now["value"]):
            found[name, *pair] += times
    rows = [Change(*which, times) for which, times in found.items()]
    return tuple(sorted(rows, key=lambda row: (-row.times, row.name, row.before, row.after)))


def _pairs(name: str, was: object, now: object) -> list[tuple[str, str]]:
    """What became of what; of a set each value that was put in or taken out."""
    if name in _PRIVATE:
        return [("", "")]
    if name in CODE_SETS:
        old, new = (set(value) if isinstance(value, list) else set() for value in (was, now))
        return [*(("", code) for code in sorted(new - old)), *((c, "") for c in sorted(old - new))]
    return [(_said(was), _said(now))]


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _approved(connection: Connection, period: Period) -> tuple[int, int]:
    """Cases whose ask was carried out, and how many of them just as it had been read."""
    carried_out = select(verdicts.c.case_id).where(
        _within(verdicts.c.at, period), _standing(verdicts, APPROVING)
    )
    every = connection.scalar(select(func.count()).select_from(carried_out.distinct().subquery()))
    set_right = (
        select(func.count(verdicts.c.case_id.distinct()))
        .join_from(corrections, verdicts)
        .where(_CHANGED, _standing(verdicts, JUDGING), verdicts.c.at < period.end)
        .where(verdicts.c.case_id.in_(carried_out))
    )
    return every or 0, (every or 0) - (connection.scalar(set_right) or 0)


# --- what lapsed, and who read -------------------------------------------------------------------


def _lapsed(connection: Connection, period: Period, now: datetime) -> tuple[Lapsed, ...]:
    acted = exists().where(
        verdicts.c.case_id == cases.c.id,
        verdicts.c.at < sessions.c.starts_at,
        _standing(verdicts, ACTING),
    )
    query = (
        select(
            cases.c.id, cases.c.queue, cases.c.session_id, cases.c.opened_at, sessions.c.starts_at
        )
        .join_from(sessions, cases, cases.c.session_id == sessions.c.session_id)
        .where(
            _within(sessions.c.starts_at, period),
            sessions.c.starts_at <= now,
            sessions.c.status != "cancelled",
            sessions.c.gone_at.is_(None),
            cases.c.queue.in_(_OURS),
            cases.c.state != "withdrawn",
            cases.c.opened_at < sessions.c.starts_at,
            ~acted,
        )
        .order_by(sessions.c.starts_at.desc(), cases.c.id)
    )
    return tuple(Lapsed(*row) for row in connection.execute(query))


def _versions(connection: Connection, period: Period, judged: _Judged) -> tuple[Version, ...]:
    """Readers that began before the period's end, one step of the index for each."""
    found, last = [], ""
    while row := connection.execute(
        select(decisions.c.reader_version, decisions.c.decided_at)
        .where(decisions.c.reader_version > last)
        .order_by(decisions.c.reader_version, decisions.c.decided_at)
        .limit(1)
    ).first():
        last = row.reader_version
        if last != "person" and row.decided_at < period.end:
            counts = (len(judged.by_version[last]), len(judged.corrected_by_version[last]))
            found.append(Version(last, row.decided_at, *counts))
    return tuple(sorted(found, key=lambda version: (version.began, version.name)))
