"""The booking registry coming in: rows checked one by one, compared, and stored in one go.

The columns are those of DESIGN's table; lists are separated by ``;``; codes are those of
``triage.labels``. A bad row is left out and told of, the good ones go in. A row that a full import
no longer has is marked as gone and not answered for any more, except that a session of the past
stays: platforms export what lies ahead.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, Update, bindparam, delete, insert, select, update

from store.columns import clean
from store.errors import StoreError
from store.rows import AT_ONCE
from store.schema import (
    clients,
    registry_imports,
    session_history,
    sessions,
    therapist_addresses,
    therapists,
)
from store.tombstones import erased_people
from triage.labels import PRESENTING_ISSUES, REQUIRED_APPROACHES, REQUIRED_EXPERIENCE

Kind = Literal["therapists", "clients", "sessions"]

#: Columns of each file, in the order of DESIGN.
COLUMNS: Final[dict[Kind, tuple[str, ...]]] = {
    "sessions": ("session_id", "therapist_id", "client_id", "starts_at", "stage", "status"),
    "therapists": (
        "therapist_id",
        "name",
        "emails",
        "delegates",
        "approaches",
        "issues",
        "experience",
        "languages",
        "places",
        "open_to_new",
    ),
    "clients": ("client_id", "first_name", "last_name", "email"),
}
STAGES: Final = ("initial", "ongoing")
STATUSES: Final = ("unconfirmed", "confirmed", "cancelled", "held")
_CODES: Final = {
    "approaches": REQUIRED_APPROACHES,
    "issues": PRESENTING_ISSUES,
    "experience": REQUIRED_EXPERIENCE,
}
_LISTS: Final = ("emails", "delegates", *_CODES, "languages", "places")
_YES_NO: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LONDON: Final = ZoneInfo("Europe/London")

_TABLES: Final[dict[Kind, tuple[Table, str]]] = {
    "therapists": (therapists, "therapist_id"),
    "clients": (clients, "client_id"),
    "sessions": (sessions, "session_id"),
}
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """Rows of one file, each with its line; ``name`` is how rejections call it."""

    name: str
    rows: Iterable[tuple[int, Mapping[str, object]]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was left out. The reason names columns and codes, never people."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What one import changed."""

    kind: Kind
    new: int
    changed: int
    unchanged: int
    gone: int
    rejected: tuple[Rejection, ...]
    erased: int = 0  # rows about people who were erased: left out


def tell_imported(reports: Iterable[ImportReport]) -> None:
    """Put into the log what imports changed."""
    for one in reports:
        told = {"kind": one.kind, "count": one.new + one.changed, "rejected": len(one.rejected)}
        log.info("registry imported", extra={"event": "registry_imported", **told})


def import_rows(
    connection: Connection, kind: Kind, file: RegistryFile, *, now: datetime, full: bool
) -> ImportReport:
    """Bring one table of the registry up to *file*.

    Raises:
        StoreError: A full import holds no good row at all: that is a broken export, and would
            empty the registry.

    """
    table, key = _TABLES[kind]
    rejected: list[Rejection] = []
    before = {
        row[0]: row[1] for row in connection.execute(select(table.c[key], table.c.fingerprint))
    }
    away = set(connection.scalars(select(table.c[key]).where(table.c.gone_at.is_not(None))))
    seen: set[str] = set()
    writer = _WRITERS[kind](connection, now)
    new = changed = erased = 0
    gone = erased_people(connection)
    for row in _good_rows(kind, file, seen, rejected):
        if any(is_gone(row.get(name)) for name, is_gone in gone.items()):
            seen.discard(row[key])
            erased += 1
            continue
        name = row[key]
        if name not in before:
            new += 1
            writer.add(row, new=True)
        elif before[name] != row["fingerprint"] or name in away:
            changed += 1
            writer.add(row, new=False)
    if full and not seen and not erased:
        raise StoreError(f"{file.name} holds no good row; {_first(rejected)}nothing was changed")
    retired = writer.retire(before.keys() - seen - away) if full else 0
    writer.flush()
    unchanged = len(seen) - new - changed
    report = ImportReport(kind, new, changed, unchanged, retired, tuple(rejected), erased)
    _record(connection, report, now)
    return report


def _first(rejected: list[Rejection]) -> str:
    return f"line {rejected[0].line}: {rejected[0].reason}; " if rejected else ""


def _record(connection: Connection, report: ImportReport, now: datetime) -> None:
    connection.execute(
        insert(registry_imports).values(
            imported_at=now,
            kind=report.kind,
            new=report.new,
            changed=report.changed,
            unchanged=report.unchanged,
            gone=report.gone,
            rejected=len(report.rejected),
        )
    )


def _good_rows(
    kind: Kind, file: RegistryFile, seen: set[str], rejected: list[Rejection]
) -> Iterator[dict[str, Any]]:
    read, key = _READERS[kind], _TABLES[kind][1]
    for line, fields in file.rows:
        try:
            row = read(fields)
            if row[key] in seen:
                raise ValueError(f"{key} {row[key]} stands in an earlier row already")  # noqa: TRY301 - one rejection path
        except ValueError as error:
            rejected.append(Rejection(file.name, line, str(error)))
            continue
        seen.add(row[key])
        row["fingerprint"] = hashlib.sha256(repr(sorted(row.items())).encode()).hexdigest()[:32]
        row["gone_at"] = None
        yield row


def _read_session(fields: Mapping[str, object]) -> dict[str, Any]:
    return {
        "session_id": _needed(fields, "session_id"),
        "therapist_id": _needed(fields, "therapist_id"),
        "client_id": _needed(fields, "client_id"),
        "starts_at": _time(fields["starts_at"]),
        "stage": _code("stage", _text(fields, "stage"), STAGES),
        "status": _code("status", _text(fields, "status"), STATUSES),
    }


def _read_therapist(fields: Mapping[str, object]) -> dict[str, Any]:
    lists = {name: _list(fields, name) for name in _LISTS}
    for name, allowed in _CODES.items():
        for code in lists[name]:
            _code(name, code, allowed)
    for name in ("emails", "delegates"):
        lists[name] = [_address(name, address) for address in lists[name]]
    answer = _text(fields, "open_to_new").lower()
    return {
        "therapist_id": _needed(fields, "therapist_id"),
        "name": _needed(fields, "name"),
        "open_to_new": _YES_NO[_code("open_to_new", answer, tuple(_YES_NO))],
        "lists": lists,
    }


def _read_client(fields: Mapping[str, object]) -> dict[str, Any]:
    email = _text(fields, "email")
    return {
        "client_id": _needed(fields, "client_id"),
        "first_name": _text(fields, "first_name"),
        "last_name": _text(fields, "last_name"),
        "email": _address("email", email) if email else "",
    }


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields[name]
    return "" if value is None else clean(str(value)).strip()


def _needed(fields: Mapping[str, object], name: str) -> str:
    value = _text(fields, name)
    if not value:
        raise ValueError(f"{name} is empty")
    return value


def _list(fields: Mapping[str, object], name: str) -> list[str]:
    value = fields[name]
    parts = value if isinstance(value, list | tuple) else _text(fields, name).split(";")
    return [clean(str(part)).strip() for part in parts if str(part).strip()]


def _code(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name} has {value[:40]!r}; allowed are {', '.join(allowed)}")
    return value


def _address(name: str, value: str) -> str:
    user, at, domain = value.rpartition("@")
    if not (user and at and domain) or any(letter.isspace() for letter in value):
        raise ValueError(f"{name} holds something that is no email address")
    return value.lower()


def _time(value: object) -> datetime:
    if not isinstance(value, datetime):
        try:
            value = datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise ValueError("starts_at is no ISO time such as 2025-03-30T18:00") from None
    return (value if value.tzinfo else value.replace(tzinfo=_LONDON)).astimezone(UTC)


_READERS: Final[dict[Kind, Callable[[Mapping[str, object]], dict[str, Any]]]] = {
    "sessions": _read_session,
    "therapists": _read_therapist,
    "clients": _read_client,
}


class _Writer:
    """Collects new and changed rows of one table and writes them many at once."""

    table: Table
    key: str

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection, self._now = connection, now
        self._new: list[dict[str, Any]] = []
        self._changed: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], *, new: bool) -> None:
        (self._new if new else self._changed).append(row)
        if len(self._new) + len(self._changed) >= AT_ONCE:
            self.flush()

    def retire(self, names: Iterable[str]) -> int:
        """Mark the rows called *names* as gone; the number that were."""
        return sum(self._retire(some) for some in _slices(sorted(names)))

    def _retire(self, names: list[str]) -> int:
        return self._connection.execute(
            update(self.table)
            .where(self.table.c[self.key].in_(names), *self._may_go())
            .values(gone_at=self._now)
        ).rowcount

    def _may_go(self) -> list[Any]:
        return []

    def flush(self) -> None:
        if self._new:
            self._connection.execute(insert(self.table), self._new)
        if self._changed:
            self._connection.execute(
                self._change(), [{"the_key": row[self.key], **row} for row in self._changed]
            )
        self._follow([*self._new, *self._changed])
        self._new, self._changed = [], []

    def _change(self) -> Update:
        names = [column.name for column in self.table.c if column.name != self.key]
        return (
            update(self.table)
            .where(self.table.c[self.key] == bindparam("the_key"))
            .values({name: bindparam(name) for name in names})
        )

    def _follow(self, rows: list[dict[str, Any]]) -> None:
        """Write what hangs on the rows just written."""


class _ClientWriter(_Writer):
    table, key = clients, "client_id"


class _SessionWriter(_Writer):
    table, key = sessions, "session_id"

    def _may_go(self) -> list[Any]:
        return [sessions.c.starts_at > self._now]

    def _follow(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._remember([(row["session_id"], row["status"], row["starts_at"]) for row in rows])

    def _retire(self, names: list[str]) -> int:
        going = self._connection.execute(
            select(sessions.c.session_id, sessions.c.starts_at).where(
                sessions.c.session_id.in_(names), *self._may_go()
            )
        ).all()
        if going:
            self._remember([(name, "gone", starts_at) for name, starts_at in going])
        return super()._retire(names)

    def _remember(self, seen: list[tuple[str, str, datetime]]) -> None:
        rows = [
            {"session_id": name, "status": status, "starts_at": starts_at, "seen_at": self._now}
            for name, status, starts_at in seen
        ]
        self._connection.execute(insert(session_history), rows)


class _TherapistWriter(_Writer):
    table, key = therapists, "therapist_id"

    def _follow(self, rows: list[dict[str, Any]]) -> None:
        owner = therapist_addresses.c.therapist_id
        for some in _slices([row["therapist_id"] for row in rows]):
            self._connection.execute(delete(therapist_addresses).where(owner.in_(some)))
        addresses = [
            {"address": address, "therapist_id": row["therapist_id"]}
            for row in rows
            for address in {*row["lists"]["emails"], *row["lists"]["delegates"]}
        ]
        if addresses:
            self._connection.execute(insert(therapist_addresses), addresses)


_WRITERS: Final[dict[Kind, type[_Writer]]] = {
    "sessions": _SessionWriter,
    "therapists": _TherapistWriter,
    "clients": _ClientWriter,
}


def _slices(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]
