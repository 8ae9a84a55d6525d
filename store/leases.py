"""Leases: one run at a time for a mailbox, even when a run is killed, stopped or very slow.

A lease is a row with a token that only ever grows. It may be taken over when its holder is gone,
or when its time ran out; from then on nothing that carries an older token is stored (fencing, M.
Kleppmann, "How to do distributed locking", 2016). That a holder is gone is told by a lock which
the operating system or the server drops with the process: a restart after a crash need not wait
for the time to run out, and no process number is believed.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, Self

from sqlalchemy import Connection, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from store.database import Database, insert_new
from store.errors import LeaseHeldError, LeaseLostError, StoreError
from store.schema import leases

log = logging.getLogger(__name__)


class _Sign(Protocol):
    """A lock that lives exactly as long as its holder."""

    def close(self) -> None: ...


@dataclass(slots=True)
class Lease:
    """The right to store what was found under *name*; a context manager that gives it back."""

    name: str
    owner: str
    token: int
    ttl: timedelta
    _database: Database = field(repr=False)
    _sign: _Sign | None = field(repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the lease back; harmless when it was lost meanwhile."""
        sign, self._sign = self._sign, None
        try:
            with self._database.writing() as connection:
                connection.execute(
                    update(leases)
                    .where(leases.c.name == self.name, leases.c.token == self.token)
                    .values(owner="")
                )
        finally:
            if sign is not None:
                sign.close()

    def renew(self) -> None:
        """Count the time from now again; every batch does so by itself.

        Raises:
            LeaseLostError: Another run took over.

        """
        with self._database.writing() as connection:
            self.hold(connection)

    def hold(self, connection: Connection) -> None:
        """Renew within a transaction: from here to its end nobody can take the lease over.

        Raises:
            LeaseLostError: Another run took over.

        """
        held = connection.execute(
            update(leases)
            .where(leases.c.name == self.name, leases.c.token == self.token)
            .where(leases.c.owner != "")
            .values(expires_at=_clock(connection) + self.ttl)
        )
        if held.rowcount != 1:
            told = {"event": "lease_lost", "lease": _known_as(self.name), "token": self.token}
            log.info("a lease was taken over by another run", extra=told)
            raise LeaseLostError(f"the lease on {self.name} was taken over by another run")


def take(database: Database, name: str, owner: str, ttl: timedelta) -> Lease:
    """The lease on *name*, for *ttl* from now and from every renewal.

    Raises:
        LeaseHeldError: Somebody else is at work and in time.

    """
    sign = _sign(database, name)
    try:
        with database.writing() as connection:
            token = _take_row(connection, name, owner, ttl, signed=sign is not None)
    except BaseException:
        if sign is not None:
            sign.close()
        raise
    return Lease(name, owner, token, ttl, database, sign)


def _take_row(
    connection: Connection, name: str, owner: str, ttl: timedelta, *, signed: bool
) -> int:
    now = _clock(connection)
    connection.execute(
        insert_new(connection, leases, name=name, owner="", token=0, signed=True, expires_at=now)
    )
    row = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).one()
    # Who took over from a holder that only slept has no sign to show: its time must run out.
    holder_is_gone = row.signed and signed
    # A sign without a holder who had one: somebody is just taking the lease, or giving it back. Who
    # took it then without a sign and was killed would keep it until its time ran out.
    somebody_comes_or_goes = not row.owner and row.signed and not signed
    if somebody_comes_or_goes or (row.owner and not holder_is_gone and row.expires_at > now):
        raise LeaseHeldError(f"another run is at work on {name}")
    token: int = row.token + 1
    if row.owner:
        told = {"event": "lease_taken_over", "lease": _known_as(name), "token": token}
        log.info("a lease is taken over from a holder who is gone", extra=told)
    connection.execute(
        update(leases)
        .where(leases.c.name == name)
        .values(owner=owner, token=token, signed=signed, expires_at=now + ttl)
    )
    return token


def _clock(connection: Connection) -> datetime:
    # Machines that share a PostgreSQL share its clock; an SQLite file has only this machine's.
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def _known_as(name: str) -> str:
    """A name that may be shown: a mailbox's own is an address."""
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()[:6].hex()


def _sign(database: Database, name: str) -> _Sign | None:
    """A sign that we live, None where another holder's still stands."""
    digest = hashlib.sha256(name.encode("utf-8", "replace")).digest()
    if database.is_sqlite:
        return _FileSign.set(Path(f"{database.name}-lease-{_known_as(name)}"))
    return _SessionSign.set(database, int.from_bytes(digest[:8], "big", signed=True))


class _FileSign:
    """A POSIX record lock: the kernel drops it with the process, and forks do not inherit it."""

    # Record locks do not exclude their own process, and closing any handle of the file drops
    # them: so this process must remember what it holds.
    # Looking and locking are one step: two threads that both found nothing would both hold it.
    _ours: set[Path] = set()  # noqa: RUF012 - a process-wide fact
    _one_thread = threading.Lock()

    def __init__(self, path: Path, handle: int) -> None:
        self._path, self._handle = path, handle

    @classmethod
    def set(cls, path: Path) -> _FileSign | None:
        path = path.absolute()
        with cls._one_thread:
            if path in cls._ours:
                return None
            try:
                handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            except OSError as error:
                raise StoreError(f"lease file {path} cannot be written: {error.strerror}") from None
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                return None
            cls._ours.add(path)
            return cls(path, handle)

    def close(self) -> None:
        with self._one_thread:
            os.close(self._handle)
            self._ours.discard(self._path)


class _SessionSign:
    """An advisory lock of a PostgreSQL session: the server drops it with the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    def set(cls, database: Database, key: int) -> _SessionSign | None:
        with database.explained():
            connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            has_it = False
            try:
                query = text("SELECT pg_try_advisory_lock(:key)")
                has_it = bool(connection.scalar(query, {"key": key}))
            finally:
                if not has_it:  # lest each try that fails takes a connection out of the pool
                    connection.close()
            return cls(connection) if has_it else None

    def close(self) -> None:
        # Let go in so many words: the server may take a moment to notice that a connection ended.
        with suppress(SQLAlchemyError):
            self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
        # Invalidated, so that the lock goes with the connection instead of back into the pool.
        self._connection.invalidate()
        self._connection.close()
