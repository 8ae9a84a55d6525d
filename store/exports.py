"""What was exported to whom: on record before the first row is read, and after the files are gone.

An export is asked for (``begin``), is whole (``finish``) and is deleted (``deleted``). Each of
these is on the audit trail; the second one with the SHA-256 of the manifest, which that seals.
"""

from __future__ import annotations

import hmac
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, insert, select, update

from store.columns import AnyRow
from store.database import Database
from store.errors import RefusedError
from store.exports_schema import export_secrets, exports
from store.writing import Turn

What = Literal["cases", "messages", "predictions", "verdicts"]
WHAT: Final[tuple[What, ...]] = get_args(What)
Format = Literal["csv", "parquet", "jsonl"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants exported, to whom and why."""

    by: str
    role: str  # "" where no users are set up
    recipient: str
    what: tuple[What, ...]
    format: Format
    expires_at: datetime
    folder: str = ""  # absolute; "" where it goes through the review page
    with_text: bool = False
    reason: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A file of an export."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Export:
    """An export on record. ``manifest_sha256`` is "" until it is whole."""

    id: int
    at: datetime
    wish: Wish
    files: tuple[Written, ...]
    manifest_sha256: str
    deleted_at: datetime | None


class Exports:
    """What ``Store`` does for exports; their rows are read by ``store.exported``."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def begin(self, wish: Wish, now: datetime) -> tuple[int, bytes]:
        """Put on record what is about to be exported; its number, and the key for pseudonyms."""
        with self.database.writing() as connection:
            turn = Turn(connection, wish.by, now)
            secret = _secret(connection, now)
            values = {name: getattr(wish, name) for name in Wish.__slots__}
            row = {**values, "what": list(wish.what), "at": now, "secret_id": secret.id}
            row |= {"files": [], "manifest_sha256": ""}
            query = insert(exports).returning(exports.c.id)
            number = int(connection.scalars(query, [row]).one())
            turn.tell(
                "export_begun",
                None,
                export_id=number,
                role=wish.role,
                what=list(wish.what),
                format=wish.format,
                with_text=wish.with_text,
                expires_at=wish.expires_at.isoformat(),
            )
            turn.end()
        return number, _key(secret.secret, wish.recipient)

    def finish(
        self, number: int, files: Sequence[Written], manifest: str, by: str, now: datetime
    ) -> None:
        """Put on record that it is whole; *manifest* is the manifest's SHA-256."""
        told = [{name: getattr(file, name) for name in Written.__slots__} for file in files]
        with self.database.writing() as connection:
            turn = Turn(connection, by, now)
            whole = update(exports).where(exports.c.id == number)
            connection.execute(whole.values(files=told, manifest_sha256=manifest))
            rows = {file.name.partition(".")[0]: file.rows for file in files}
            turn.tell("exported", None, export_id=number, rows=rows, manifest_sha256=manifest)
            turn.end()

    def deleted(self, number: int, by: str, now: datetime, *, was_there: bool) -> None:
        """Put on record that its files are no more; *was_there* until just now, or gone before."""
        with self.database.writing() as connection:
            turn = Turn(connection, by, now)
            gone = update(exports).where(exports.c.id == number, exports.c.deleted_at.is_(None))
            if connection.execute(gone.values(deleted_at=now)).rowcount:
                turn.tell("export_deleted", None, export_id=number, was_there=was_there)
                turn.end()

    def made(
        self, *, expired_at: datetime | None = None, recipient: str | None = None
    ) -> list[Export]:
        """Exports on record, newest first.

        With *expired_at* those alone that are past their expiry then and not deleted yet; with a
        *recipient*, theirs.
        """
        query = select(exports).order_by(exports.c.id.desc())
        if expired_at is not None:
            due = exports.c.expires_at <= expired_at
            query = query.where(due, exports.c.deleted_at.is_(None))
        with self.database.reading() as connection:
            found = [_export(row) for row in connection.execute(query)]
        same = None if recipient is None else _folded(recipient)
        return [one for one in found if same in {None, _folded(one.wish.recipient)}]

    def keys(self, recipient: str) -> list[bytes]:
        """Every key under which *recipient* was ever given pseudonyms, the newest first."""
        query = select(export_secrets.c.secret).order_by(export_secrets.c.id.desc())
        with self.database.reading() as connection:
            return [_key(secret, recipient) for secret in connection.scalars(query)]

    def new_secret(self, by: str, now: datetime) -> None:
        """From now on pseudonyms are others, for every recipient."""
        with self.database.writing() as connection:
            turn = Turn(connection, by, now)
            row = {"made_at": now, "secret": secrets.token_bytes(_SECRET_BYTES)}
            connection.execute(insert(export_secrets), row)
            turn.tell("export_secret_changed", None)
            turn.end()


def _secret(connection: Connection, now: datetime) -> AnyRow:
    """The newest secret; the first is made by who needs one, in their turn."""
    query = select(export_secrets).order_by(export_secrets.c.id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        values = {"made_at": now, "secret": secrets.token_bytes(_SECRET_BYTES)}
        connection.execute(insert(export_secrets), values)
        row = connection.execute(query).one()
    return row


def _key(secret: bytes, recipient: str) -> bytes:
    """A key of the recipient's own (HMAC, RFC 2104): no two recipients can join their files."""
    return hmac.digest(bytes(secret), _folded(recipient).encode(), "sha256")


def _folded(recipient: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", recipient).casefold().split())


def _export(row: AnyRow) -> Export:
    values: Mapping[str, Any] = {name: getattr(row, name) for name in Wish.__slots__}
    wish = Wish(**{**values, "what": tuple(row.what)})
    files = tuple(Written(**item) for item in row.files)
    return Export(row.id, row.at, wish, files, row.manifest_sha256, row.deleted_at)


def checked(wish: Wish, now: datetime) -> None:
    """Raises RefusedError where *wish* names nobody, nothing, or no time to come."""
    if not _folded(wish.recipient):
        raise RefusedError("say for whom the export is")
    if not wish.what:
        raise RefusedError(f"say what to export; there are {', '.join(WHAT)}")
    if wish.expires_at <= now:
        raise RefusedError("an export expires after it was made")
    if wish.with_text and not wish.reason.strip():
        raise RefusedError("free text is exported for a reason that is put on record: give one")
