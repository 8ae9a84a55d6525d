"""The access log: who looked at what and when, append-only and sealed like the audit trail.

It is apart from the audit trail because it has a row for every page: whoever reads a page must not
wait for a run that holds the ledger, and leads read the two for different questions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, get_args

from sqlalchemy import insert, select, update

from store.access_schema import access_log, access_log_end
from store.audit import GENESIS
from store.columns import AnyRow, clean, dump_json
from store.database import Database

Looked = Literal[
    "list", "view", "search", "export", "attachment", "original", "overview", "access_log",
    "pictures",
    "refused", "signed_in", "signed_out", "sign_in_refused",
]  # fmt: skip
LOOKED: Final[tuple[Looked, ...]] = get_args(Looked)


@dataclass(frozen=True, slots=True)
class Access:
    """Somebody looked at something; of what it was, ids alone."""

    at: datetime
    who: str
    role: str
    kind: Looked
    case_id: int | None = None
    message_id: int | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at the seals found: how many rows are whole, and the first that is not."""

    rows: int
    broken: int | None
    is_all: bool  # or the newest rows only


class AccessLog:
    """Rows that are only ever added."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, access: Access) -> None:
        """Put on record that somebody is about to see something; before they do."""
        with self._database.writing() as connection:
            end = connection.execute(select(access_log_end).with_for_update()).one()
            row = _sealed(end.hash, end.entry_id + 1, access)
            connection.execute(insert(access_log), row)
            connection.execute(update(access_log_end).values(entry_id=row["id"], hash=row["hash"]))

    def read(
        self,
        *,
        who: str | None = None,
        case_id: int | None = None,
        kinds: Collection[Looked] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        before_id: int | None = None,
        limit: int = 200,
    ) -> list[tuple[int, Access]]:
        """Rows with their numbers, newest first; the last number is the next *before_id*."""
        query = select(access_log).order_by(access_log.c.id.desc()).limit(limit)
        if who is not None:
            query = query.where(access_log.c.who == who)
        if case_id is not None:
            query = query.where(access_log.c.case_id == case_id)
        if kinds:
            query = query.where(access_log.c.kind.in_(kinds))
        if since is not None:
            query = query.where(access_log.c.at >= since)
        if until is not None:
            query = query.where(access_log.c.at < until)
        if before_id is not None:
            query = query.where(access_log.c.id < before_id)
        with self._database.reading() as connection:
            return [(row.id, _access(row)) for row in connection.execute(query)]

    def first_broken(self) -> int | None:
        """The first row that was tampered with or cut off, None where the log is whole."""
        return self.check().broken

    def check(self, newest: int | None = None) -> Checked:
        """Whether each row is as it was written and follows the one before: all, or the newest.

        A check of the newest rows begins with the seal of the row before them, as it stands.
        """
        with self._database.reading() as connection:
            end = connection.execute(select(access_log_end)).one()
            before = max(end.entry_id - newest, 0) if newest is not None else 0
            seal = select(access_log.c.hash).where(access_log.c.id == before)
            previous = connection.scalar(seal) if before else GENESIS
            expected = before + 1
            query = select(access_log).where(access_log.c.id > before).order_by(access_log.c.id)
            with connection.execute(query.execution_options(yield_per=1_000)) as rows:
                for row in rows:
                    sealed = _sealed(str(previous), expected, _access(row))
                    if row.id != expected or row.hash != sealed["hash"]:
                        return Checked(expected - 1 - before, expected, is_all=before == 0)
                    previous, expected = row.hash, expected + 1
        is_whole = (expected - 1, previous) == (end.entry_id, end.hash)
        broken = None if is_whole else expected
        return Checked(expected - 1 - before, broken, is_all=before == 0)


def _sealed(previous: str, number: int, access: Access) -> dict[str, object]:
    row: dict[str, object] = {
        "id": number,
        "at": access.at.astimezone(UTC),
        "who": clean(access.who),
        "role": access.role,
        "kind": access.kind,
        "case_id": access.case_id,
        "message_id": access.message_id,
    }
    told = [*row.values()]
    told[1] = access.at.astimezone(UTC).isoformat()
    row["hash"] = hashlib.sha256(f"{previous}\n{dump_json(told)}".encode()).hexdigest()
    return row


def _access(row: AnyRow) -> Access:
    return Access(**{name: getattr(row, name) for name in Access.__slots__})
