"""What was asked for many cases at once, and what became of each: a form posted twice acts once.

Only the list is kept here. Each case is acted on by ``Store.act`` in a transaction of its own, so
that a stop in the middle leaves whole cases; the same form posted again goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import delete, insert, select, update

from store.columns import AnyRow
from store.database import Database, insert_new
from store.presence_schema import bulk_steps, bulks
from triage.verdicts import Action

Outcome = Literal["", "done", "refused", "changed"]
#: A form that old is no double click any more.
_KEPT: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class BulkStep:
    """One case of a bulk, as the person looked at it, and what became of it.

    ``told`` are lines for the person: why not, or what to know besides. ``undone`` is "undone", or
    why it could not be.
    """

    case_id: int
    version: int
    outcome: Outcome = ""
    rule: str = ""
    told: tuple[str, ...] = ()
    new_version: int | None = None
    undo_until: datetime | None = None
    undone: str = ""


@dataclass(frozen=True, slots=True)
class Bulk:
    """One action on many cases, by one person. ``details`` are ready for JSON."""

    token: str
    by: str
    at: datetime
    action: Action
    reason: str
    details: Mapping[str, Any]
    steps: tuple[BulkStep, ...]

    def asks_the_same(self, other: Bulk) -> bool:
        """Whether both are the same form."""
        mine, theirs = [
            {(step.case_id, step.version) for step in one.steps} for one in (self, other)
        ]
        told = (self.by, self.action, self.reason, dict(self.details))
        return mine == theirs and told == (
            other.by,
            other.action,
            other.reason,
            dict(other.details),
        )


class Bulks:
    """Bulks by their tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, bulk: Bulk) -> Bulk:
        """Keep what is asked for; the one of this token that came first, whoever posted it."""
        row = {name: getattr(bulk, name) for name in ("token", "by", "at", "action", "reason")}
        steps = [
            {"token": bulk.token, "position": n, **_row(step)} for n, step in enumerate(bulk.steps)
        ]
        with self._database.writing() as connection:
            old = select(bulks.c.token).where(bulks.c.at < bulk.at - _KEPT)
            connection.execute(delete(bulk_steps).where(bulk_steps.c.token.in_(old)))
            connection.execute(delete(bulks).where(bulks.c.at < bulk.at - _KEPT))
            first = insert_new(connection, bulks).returning(bulks.c.token)
            if connection.scalars(first, {**row, "details": dict(bulk.details)}).all() and steps:
                connection.execute(insert(bulk_steps), steps)
        return self.find(bulk.token) or bulk

    def find(self, token: str) -> Bulk | None:
        """The bulk of this token, with what became of its cases so far."""
        mine = bulk_steps.c.token == token
        with self._database.reading() as connection:
            row = connection.execute(select(bulks).where(bulks.c.token == token)).one_or_none()
            if row is None:
                return None
            steps = connection.execute(
                select(bulk_steps).where(mine).order_by(bulk_steps.c.position)
            )
            told = tuple(_step(step) for step in steps)
        return Bulk(row.token, row.by, row.at, row.action, row.reason, row.details, told)

    def settle(self, token: str, step: BulkStep) -> None:
        """Put on record what became of a case; what was put there first stays."""
        mine = (bulk_steps.c.token == token) & (bulk_steps.c.case_id == step.case_id)
        with self._database.writing() as connection:
            connection.execute(
                update(bulk_steps).where(mine, bulk_steps.c.outcome == "").values(**_row(step))
            )

    def undone(self, token: str, steps: Sequence[BulkStep]) -> None:
        """Put on record which cases were taken back, or why not."""
        with self._database.writing() as connection:
            for step in steps:
                mine = (bulk_steps.c.token == token) & (bulk_steps.c.case_id == step.case_id)
                connection.execute(
                    update(bulk_steps)
                    .where(mine, bulk_steps.c.undone != "undone")
                    .values(undone=step.undone)
                )


def _row(step: BulkStep) -> dict[str, object]:
    return {**{name: getattr(step, name) for name in BulkStep.__slots__}, "told": list(step.told)}


def _step(row: AnyRow) -> BulkStep:
    found = {name: getattr(row, name) for name in BulkStep.__slots__}
    return BulkStep(**{**found, "told": tuple(row.told)})
