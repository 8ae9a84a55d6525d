"""What people set right in a period: by field, by value, by day, and by whose reading it was."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, func, select

from store.outgoing_schema import corrections, verdicts
from store.periods import APPROVING, JUDGING, Period, hour, london, one_row, standing, within
from store.readings import NOT_READ, reader_under
from store.rows import AT_ONCE
from store.schema import decisions
from store.sealing import is_unopened
from triage.labels import CODE_SETS, CODES

#: Fields whose values are words of people: that they changed is told, not into what.
_PRIVATE: Final = frozenset({"session_ids", "client_ref", "session_time"})
_CHANGED: Final = corrections.c.differs


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


@dataclass(slots=True)
class Judged:
    """Cases that people judged in the period, by when and by whose reading."""

    cases: set[int] = field(default_factory=set)
    by_day: defaultdict[date, set[int]] = field(default_factory=lambda: defaultdict(set))
    corrected_by_day: defaultdict[date, set[int]] = field(default_factory=lambda: defaultdict(set))
    by_version: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    corrected_by_version: defaultdict[str, set[int]] = field(
        default_factory=lambda: defaultdict(set)
    )


def judged_cases(connection: Connection, period: Period) -> Judged:
    """The cases that people judged in *period*."""
    when = hour(connection, verdicts.c.at)
    set_right = one_row(
        select(corrections.c.field).where(corrections.c.verdict_id == verdicts.c.id, _CHANGED)
    )
    read_by = select(decisions.c.reader_version).where(decisions.c.id == verdicts.c.decision_id)
    query = select(
        verdicts.c.case_id, when, set_right.is_not(None), verdicts.c.decision_id,
        read_by.scalar_subquery(),
    ).where(within(verdicts.c.at, period), standing(verdicts, JUDGING))  # fmt: skip
    rows = connection.execute(query).all()
    readers = _readers(connection, {row[3] for row in rows if row[4] in NOT_READ})
    found = Judged()
    for case_id, at, changed, decision_id, reader in rows:
        day, version = london(at), readers.get(decision_id, reader)
        found.cases.add(case_id)
        found.by_day[day].add(case_id)
        found.by_version[version].add(case_id)
        if changed:
            found.corrected_by_day[day].add(case_id)
            found.corrected_by_version[version].add(case_id)
    return found


def _readers(connection: Connection, made_by_people: set[int]) -> dict[int, str]:
    """Whose reading lies under decisions that people made."""
    version = reader_under(decisions.c.case_id, decisions.c.id)
    wanted, found = sorted(made_by_people), dict[int, str]()
    for start in range(0, len(wanted), AT_ONCE):
        some = decisions.c.id.in_(wanted[start : start + AT_ONCE])
        rows = connection.execute(select(decisions.c.id, version).where(some))
        found.update((number, reader) for number, reader in rows)
    return found


def _corrected(period: Period) -> ColumnElement[bool]:
    return and_(within(verdicts.c.at, period), standing(verdicts, JUDGING), _CHANGED)


def fields(connection: Connection, period: Period, shown: int) -> tuple[FieldCorrected, ...]:
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


def changes(connection: Connection, period: Period) -> tuple[Change, ...]:
    """Which value was set to which, the most frequent first."""
    # Counted here: sealed, the same value never looks the same to the database.
    query = (
        select(corrections.c.field, corrections.c.before, corrections.c.after)
        .join_from(corrections, verdicts)
        .where(_corrected(period))
    )
    found: Counter[tuple[str, str, str]] = Counter()
    for name, was, now in connection.execute(query):
        if not (is_unopened(was) or is_unopened(now)):
            for pair in _pairs(name, was["value"], now["value"]):
                found[name, *pair] += 1
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


def approved_cases(connection: Connection, period: Period) -> tuple[int, int]:
    """Cases whose ask was carried out, and how many of them just as it had been read."""
    carried_out = (
        select(verdicts.c.case_id)
        .where(within(verdicts.c.at, period), standing(verdicts, APPROVING))
        .distinct()
        .subquery()
    )
    set_right = one_row(
        select(corrections.c.field)
        .join_from(corrections, verdicts)
        .where(verdicts.c.case_id == carried_out.c.case_id, verdicts.c.at < period.end)
        .where(_CHANGED, standing(verdicts, JUDGING))
    )
    cases = connection.execute(select(func.count(), func.count(set_right)).select_from(carried_out))
    every, changed = cases.one()
    return every, every - changed
