"""The rows that a batch collects, and the order in which they are written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    Update,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from store.columns import clean
from store.database import insert_new
from store.schema import audit, cases, decisions, folders, messages, places, quarantine
from triage.records import Cursor, MessageKey

log = logging.getLogger(__name__)
#: Both databases limit the parameters of one statement; this is far below either limit.
AT_ONCE = 5_000

_Row = dict[str, Any]


def present(connection: Connection, column: ColumnElement[str], values: Iterable[str]) -> set[str]:
    """Those of *values* that *column* holds."""
    wanted, found = list(values), set[str]()
    for start in range(0, len(wanted), AT_ONCE):
        query = select(column).where(column.in_(wanted[start : start + AT_ONCE]))
        found.update(connection.scalars(query))
    return found


def folder_ids(
    connection: Connection, names: Iterable[tuple[str, str]], *, create: bool
) -> dict[tuple[str, str], int]:
    """The row numbers of folders by (source, folder); unknown ones are made or left out."""
    wanted = sorted(set(names))
    if create and wanted:
        rows = [{"source": source, "folder": folder} for source, folder in wanted]
        connection.execute(insert_new(connection, folders), rows)
    sources = {clean(source) for source, _ in wanted}
    query = select(folders.c.source, folders.c.folder, folders.c.id)
    found = {
        (source, folder): number
        for source, folder, number in connection.execute(query.where(folders.c.source.in_(sources)))
    }
    cleaned = {name: (clean(name[0]), clean(name[1])) for name in wanted}
    return {name: found[there] for name, there in cleaned.items() if there in found}


def digests_at(connection: Connection, keys: Iterable[MessageKey]) -> dict[MessageKey, str]:
    """What was found at those of *keys* that are behind us; "" where no bytes were ever had."""
    wanted = list(keys)
    names = {(key.source, key.folder) for key in wanted}
    numbers = folder_ids(connection, names, create=False)
    asked: dict[tuple[int, int], dict[int, MessageKey]] = {}
    for key in wanted:
        if number := numbers.get((key.source, key.folder)):
            asked.setdefault((number, key.uidvalidity), {})[key.uid] = key
    found: dict[MessageKey, str] = {}
    for (number, uidvalidity), by_uid in asked.items():
        uids = sorted(by_uid)
        for start in range(0, len(uids), AT_ONCE):
            query = select(places.c.uid, places.c.digest).where(
                places.c.folder_id == number,
                places.c.uidvalidity == uidvalidity,
                places.c.uid.in_(uids[start : start + AT_ONCE]),
            )
            found.update((by_uid[uid], digest) for uid, digest in connection.execute(query))
    return found


def set_aside(connection: Connection, digests: Sequence[str]) -> dict[str, int]:
    """The quarantine numbers of those of *digests* that are there."""
    found: dict[str, int] = {}
    for start in range(0, len(digests), AT_ONCE):
        some = digests[start : start + AT_ONCE]
        query = select(quarantine.c.digest, quarantine.c.id).where(quarantine.c.digest.in_(some))
        found.update((digest, number) for digest, number in connection.execute(query))
    return found


def lost_places(connection: Connection) -> dict[MessageKey, int]:
    """The quarantine numbers of messages whose bytes could not be had, by where they lie."""
    place = (folders.c.source, folders.c.folder, quarantine.c.uidvalidity, quarantine.c.uid)
    query = (
        select(*place, quarantine.c.id)
        .join_from(quarantine, folders)
        .where(quarantine.c.digest.is_(None))
    )
    return {MessageKey(*place): number for *place, number in connection.execute(query)}


@dataclass(slots=True)
class Rows:
    """What one batch will write."""

    places: list[tuple[MessageKey, str, str]] = field(default_factory=list)  # key, digest, outcome
    messages: list[_Row] = field(default_factory=list)
    new_cases: dict[int, _Row] = field(default_factory=dict)
    changed_cases: dict[int, _Row] = field(default_factory=dict)
    held_cases: list[tuple[int, _Row]] = field(default_factory=list)
    decisions: list[_Row] = field(default_factory=list)
    audit: list[_Row] = field(default_factory=list)
    quarantined: dict[int, _Row] = field(default_factory=dict)
    requarantined: dict[int, _Row] = field(default_factory=dict)
    released: list[int] = field(default_factory=list)
    # Where each folder stands now, and whether that may be lower than before.
    cursors: dict[tuple[str, str], tuple[Cursor, bool]] = field(default_factory=dict)

    def taken_places(self, connection: Connection) -> list[tuple[MessageKey, str, str]]:
        """Keys under which other mail is behind us, with its digest and the new one.

        A server has given a number out twice; its former place stays as it was first told.
        """
        new = {key: digest for key, digest, _ in self.places if digest}
        before = digests_at(connection, new)
        return [(key, was, new[key]) for key, was in before.items() if was not in {"", new[key]}]

    def write(self, connection: Connection, run_id: int | None) -> None:
        self._write_quarantine(connection)
        _insert(connection, messages, self.messages)
        _insert(connection, cases, self.new_cases.values())
        if self.changed_cases:
            connection.execute(_change_case(), list(self.changed_cases.values()))
        for case_id, standing in self.held_cases:
            raised = update(cases).where(cases.c.id == case_id).values(version=cases.c.version + 1)
            connection.execute(raised.values(**standing))
        _insert(connection, decisions, self.decisions)
        _insert(connection, audit, self.audit)
        self._write_places(connection, run_id)

    def _write_places(self, connection: Connection, run_id: int | None) -> None:
        names = {(key.source, key.folder) for key, _, _ in self.places} | self.cursors.keys()
        if not names:
            return
        numbers = folder_ids(connection, names, create=True)
        rows = [
            {
                "folder_id": numbers[key.source, key.folder],
                "uidvalidity": key.uidvalidity,
                "uid": key.uid,
                "digest": digest,
                "outcome": outcome,
                "run_id": run_id,
            }
            for key, digest, outcome in self.places
        ]
        if rows:
            # A place that is behind us already stays as it was first told, unless no bytes were
            # had then.
            connection.execute(insert_new(connection, places), rows)
            if self.released:
                _fill_places(connection, rows)
        for name, (cursor, back) in self.cursors.items():
            _advance(connection, numbers[name], cursor, back=back)

    def _write_quarantine(self, connection: Connection) -> None:
        if self.released:
            gone = quarantine.c.id.in_(self.released)
            connection.execute(delete(quarantine).where(gone))
        rows = self.quarantined.values()
        numbers = folder_ids(connection, {row["place"] for row in rows}, create=True)
        for row in rows:
            row["folder_id"] = numbers[row.pop("place")]
        _insert(connection, quarantine, rows)
        if self.requarantined:
            connection.execute(_change_quarantine(), list(self.requarantined.values()))


def tell_set_aside(rows: Rows, run_id: int | None) -> None:
    """Put into the log what was set aside, by its number in quarantine and its cause."""
    for row in (*rows.quarantined.values(), *rows.requarantined.values()):
        number = row.get("id", row.get("the_id"))
        told = {"event": "message_quarantined", "quarantine_id": number, "run_id": run_id}
        told |= {name: row.get(name) for name in ("cause", "uid", "uidvalidity")}
        log.info("message set aside", extra=told)


def _insert(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    rows = list(rows)
    if rows:
        connection.execute(insert(table), rows)


def _change_case() -> Update:
    kept = {"id", "opened_at", "version"}
    changed: _Row = {
        column.name: bindparam(column.name) for column in cases.c if column.name not in kept
    }
    return (
        update(cases)
        .where(cases.c.id == bindparam("the_id"))
        .values(version=cases.c.version + 1, **changed)
    )


def _change_quarantine() -> Update:
    changed: _Row = {name: bindparam(name) for name in ("cause", "detail", "tried_at")}
    return (
        update(quarantine)
        .where(quarantine.c.id == bindparam("the_id"))
        .values(attempts=quarantine.c.attempts + 1, **changed)
    )


def _fill_places(connection: Connection, rows: Iterable[_Row]) -> None:
    """Say what was found where no bytes were had before."""
    for row in rows:
        if row["digest"]:
            place = [places.c[name] == row[name] for name in ("folder_id", "uidvalidity", "uid")]
            connection.execute(
                update(places)
                .where(*place, places.c.digest == "")
                .values(digest=row["digest"], outcome=row["outcome"])
            )


def _advance(connection: Connection, number: int, cursor: Cursor, *, back: bool) -> None:
    found = connection.execute(
        select(folders.c.uidvalidity, folders.c.uid).where(folders.c.id == number)
    ).one()
    uid = cursor.uid
    if found.uidvalidity == cursor.uidvalidity and not back:
        uid = max(uid, found.uid)
    connection.execute(
        update(folders)
        .where(folders.c.id == number)
        .values(uidvalidity=cursor.uidvalidity, uid=uid, since=cursor.since)
    )
