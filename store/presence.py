"""Who has a case open just now, on whichever server they are, and whether they are writing.

A page says every few seconds that it is still open; what has been silent for a while is forgotten.
Nothing here locks anything: a save is told apart by the case's version, not by who is looking.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from sqlalchemy import Connection, delete, select, update

from store.columns import AnyRow
from store.database import Database, insert_new
from store.outgoing_schema import verdicts
from store.presence_schema import presence
from store.schema import cases

Writing = Literal["", "letter", "words"]
WRITING: Final[tuple[Writing, ...]] = get_args(Writing)

#: Silence after which a page counts as closed: three times the interval at which it speaks, and a
#: little for browsers that let a page in the background speak once a minute.
FORGET_AFTER: Final = timedelta(seconds=70)
#: A page that says the same again sooner than this costs no write.
_WRITE_EVERY: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Present:
    """An open page of a case: *visit* is the page, *who* sits before it."""

    case_id: int
    visit: str
    who: str
    writing: Writing
    since: datetime


@dataclass(frozen=True, slots=True)
class Latest:
    """Who brought a case to the version it is at.

    ``by`` is "" where it was a mail, or what somebody did to another case beside it.
    """

    version: int
    by: str
    action: str
    at: datetime


class Presence:
    """Pages that are open; nothing of it outlives a minute."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def here(self, case_id: int, visit: str, who: str, writing: Writing, now: datetime) -> None:
        """The page *visit* of a case is open before *who*; the same again at once costs little."""
        mine = (presence.c.visit == visit) & (presence.c.who == who)
        with self._database.reading() as connection:
            row = connection.execute(select(presence).where(mine)).one_or_none()
        if row is not None and row.writing == writing and now - row.seen_at < _WRITE_EVERY:
            return
        with self._database.writing() as connection:
            if row is None:
                connection.execute(delete(presence).where(presence.c.seen_at < now - FORGET_AFTER))
            again = update(presence).where(mine).values(writing=writing, seen_at=now)
            if not connection.execute(again).rowcount:
                values = {"case_id": case_id, "who": who, "writing": writing}
                times = {"since": now, "seen_at": now}
                connection.execute(insert_new(connection, presence, visit=visit, **values, **times))

    def gone(self, visit: str, who: str) -> None:
        """The page *visit* was left."""
        mine = (presence.c.visit == visit) & (presence.c.who == who)
        with self._database.writing() as connection:
            connection.execute(delete(presence).where(mine))

    def at(self, now: datetime, case_ids: Collection[int] | None = None) -> list[Present]:
        """Everybody who is at one of these cases (at any where None), who came first first."""
        query = select(presence).where(presence.c.seen_at >= now - FORGET_AFTER)
        if case_ids is not None:
            query = query.where(presence.c.case_id.in_(case_ids))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(presence.c.since, presence.c.visit))
            return [_present(row) for row in rows]

    def latest(self, case_id: int) -> Latest | None:
        """The last change of a case; None where there is no such case."""
        with self._database.reading() as connection:
            return _latest(connection, case_id)


def _present(row: AnyRow) -> Present:
    return Present(**{name: getattr(row, name) for name in Present.__slots__})


def _latest(connection: Connection, case_id: int) -> Latest | None:
    deed = (verdicts.c.case_id == cases.c.id) & (verdicts.c.new_version == cases.c.version)
    row = connection.execute(
        select(cases.c.version, cases.c.changed_at, verdicts.c.by, verdicts.c.action, verdicts.c.at)
        .join_from(cases, verdicts, deed, isouter=True)
        .where(cases.c.id == case_id)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Latest(row.version, row.by or "", row.action or "", row.at or row.changed_at)
