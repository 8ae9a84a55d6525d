"""Opening a database that is sealed: with all of its keys, or not at all.

Nothing is ever sealed with a key that the database does not know, and no key is taken for another:
an id is made from its key, and each key must open its own proof first.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, exists, select, update

from store.columns import AnyRow
from store.database import Database, insert_new
from store.errors import KeysError, SealBrokenError
from store.keys import KeyPlace, named
from store.keys_schema import sealing, sealing_keys
from store.schema import messages, raws
from store.sealing import Key, KeyRing, attach

_PROOF: Final = "sealing_keys.proof"
_ALLOWED: Final = "set key_file or keyring in [encryption] to where its keys are"


def unlock(database: Database, place: KeyPlace | None) -> None:
    """Let *database* seal and open by the keys at *place*; without a place it must be plain.

    A database that never had a key takes the newest one there is, for all that is stored from now
    on; what it holds already is sealed by ``store.resealing.rotate``.

    Raises:
        KeysError: It is sealed and a key is missing, or what is there holds no keys.

    """
    with database.reading() as connection:
        found, needed = _state(connection)
    if place is None:
        require(needed, None, f"database {database.name}")
        return
    keys = place.read()
    if found is None:
        with database.writing() as connection:
            _adopt(connection, keys[-1], place)
            found, needed = _state(connection)
    ring = KeyRing(bytes.fromhex(found.salt), keys, place.read)
    require(needed, place, f"database {database.name}")
    with database.reading() as connection:
        _prove(connection, ring, database.name)
    _follow(ring, found)
    attach(database.engine, ring)
    database.ring = ring
    database.on_writing = lambda connection: follow(connection, ring)


def require(needed: Iterable[str], place: KeyPlace | None, what: str) -> None:
    """Refuse *what* is sealed where a key that it needs is not at *place*.

    Raises:
        KeysError: It names the keys that are missing, and those that are there.

    """
    there = {key.id for key in place.read()} if place else set()
    missing = [key_id for key_id in needed if key_id not in there]
    if missing:
        holds = f", and {place} holds {named(sorted(there))}" if place else ""
        raise KeysError(f"{what} is sealed with key {named(missing)}{holds}: {_ALLOWED}")


def follow(connection: Connection, ring: KeyRing) -> None:
    """Seal as the database says now: a rotation counts from the next transaction on."""
    _follow(ring, connection.execute(select(sealing)).one())


def _follow(ring: KeyRing, found: AnyRow) -> None:
    if found.writing and found.writing not in ring:
        raise KeysError(f"the database is sealed with key {found.writing} now, which is not here")
    ring.writing, ring.takes_plain, ring.searches = found.writing, found.takes_plain, found.words


def key_ids(connection: Connection) -> tuple[str, ...]:
    """The ids of the keys without which some rows cannot be read."""
    return tuple(connection.scalars(select(sealing_keys.c.id).order_by(sealing_keys.c.since)))


def admit(connection: Connection, ring: KeyRing, key_id: str) -> None:
    """Let the database know a key, with what proves it."""
    writing, ring.writing = ring.writing, key_id
    try:
        proof = ring.seal_text(_PROOF, key_id, key_id)
    finally:
        ring.writing = writing
    row = {"id": key_id, "proof": proof, "since": datetime.now(UTC)}
    connection.execute(insert_new(connection, sealing_keys), [row])


def write_by(connection: Connection, key_id: str, **changes: object) -> None:
    """Let that key seal from now on; "" is none."""
    connection.execute(update(sealing).values(writing=key_id, **changes))


def _state(connection: Connection) -> tuple[AnyRow, tuple[str, ...]]:
    return connection.execute(select(sealing)).one_or_none(), key_ids(connection)


def _adopt(connection: Connection, key: Key, place: KeyPlace) -> None:
    salt = secrets.token_bytes(16)
    # Raw bytes come before all else, and may be purged before the message that they were.
    is_new = not any(
        connection.scalar(select(exists().select_from(table))) for table in (raws, messages)
    )
    row = {
        "id": 1,
        "salt": salt.hex(),
        "writing": key.id,
        "takes_plain": not is_new,
        "cleaned": is_new,
        "words": place.searches,
    }
    if connection.execute(insert_new(connection, sealing), [row]).rowcount:
        admit(connection, KeyRing(salt, [key]), key.id)


def _prove(connection: Connection, ring: KeyRing, name: str) -> None:
    for row in connection.execute(select(sealing_keys)):
        takes_plain, ring.takes_plain = ring.takes_plain, False
        try:
            proven = ring.open_text(_PROOF, row.id, row.proof) == row.id
        except SealBrokenError:
            proven = False
        finally:
            ring.takes_plain = takes_plain
        if not proven:
            raise KeysError(f"database {name} was sealed with another key than {row.id} here")
