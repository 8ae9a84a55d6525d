"""The second look: somebody else than who passed over the client gate says if that was right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, insert, select, text

from store.columns import AnyRow, clean
from store.database import Database
from store.errors import RefusedError
from store.outgoing_schema import second_looks, verdicts
from store.writing import Turn
from triage.gate import GATE

#: As the index has it, so that it is used.
_OVERRIDDEN: Final = text("verdicts.overrides <> '[]'")


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What somebody else made of an override; ``words`` say why, where they object."""

    by: str
    at: datetime
    agrees: bool
    words: str


@dataclass(frozen=True, slots=True)
class Override:
    """A verdict that passed over what somebody else is to look at again, and whether they have."""

    verdict_id: int
    case_id: int
    action: str
    by: str
    at: datetime
    reason: str
    blockers: tuple[str, ...]  # those that ask for a second look
    look: SecondLook | None


class SecondLooks:
    """What ``Store`` does for whoever looks again; each look is on the audit trail."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self) -> list[Override]:
        """Overrides that nobody else has looked at, the oldest first; what was undone is none."""
        query = _query().where(second_looks.c.verdict_id.is_(None))
        return self._found(query.order_by(verdicts.c.at, verdicts.c.id))

    def done(self, limit: int = 50) -> list[Override]:
        """Overrides that somebody else has looked at, the latest look first."""
        query = _query().where(second_looks.c.verdict_id.is_not(None))
        return self._found(query.order_by(second_looks.c.at.desc()).limit(limit))

    def look(self, verdict_id: int, by: str, now: datetime, *, agrees: bool, words: str) -> None:
        """Put on record what *by* makes of an override; the same look again is that one look.

        Raises:
            RefusedError: There is no such override, it was undone, it is their own, somebody has
                looked already, or they object without a word.

        """
        by, words = clean(by), clean(words).strip()
        with self._database.writing() as connection:
            turn = Turn(connection, by, now)
            found = _override(connection, verdict_id)
            if (done := found.look) is not None:
                if (done.by, done.agrees, done.words) == (by, agrees, words):
                    return
                raise RefusedError(f"{done.by} has looked at it already")
            _check(found, by, words, agrees=agrees)
            row = {"verdict_id": verdict_id, "by": by, "at": now, "agrees": agrees, "words": words}
            connection.execute(insert(second_looks), row)
            turn.tell("second_look", found.case_id, verdict_id=verdict_id, agrees=agrees)
            turn.end()

    def _found(self, query: Select[Any]) -> list[Override]:
        with self._database.reading() as connection:
            found = [_from(row) for row in connection.execute(query)]
        return [one for one in found if one.blockers]


def _query() -> Select[Any]:
    return (
        select(
            verdicts, second_looks.c.by.label("looked_by"), second_looks.c.at.label("looked_at"),
            second_looks.c.agrees, second_looks.c.words,
        )
        .join_from(verdicts, second_looks, isouter=True)
        .where(_OVERRIDDEN, verdicts.c.undone_at.is_(None))
    )  # fmt: skip


def _override(connection: Connection, verdict_id: int) -> Override:
    row = connection.execute(_query().where(verdicts.c.id == verdict_id)).one_or_none()
    found = None if row is None else _from(row)
    if found is None or not found.blockers:
        raise RefusedError("there is no such override to look at again, or it was undone")
    return found


def _check(found: Override, by: str, words: str, *, agrees: bool) -> None:
    # Names are kept as typed: who is told apart only by capitals is one person.
    if by.casefold() == found.by.casefold():
        raise RefusedError("the second look is for somebody else than who decided")
    if not agrees and not words:
        raise RefusedError("to object, say why")


def _from(row: AnyRow) -> Override:
    look = None
    if row.looked_by is not None:
        look = SecondLook(row.looked_by, row.looked_at, row.agrees, row.words)
    codes = tuple(code for code in row.overrides if code in GATE and GATE[code].second_review)
    return Override(
        row.id, row.case_id, row.action, row.by, row.at, row.reason, codes, look
    )  # fmt: skip
