"""Rotation: every sealed value under the key that writes now, while others go on working.

A few rows at a time, each batch a transaction of its own. A row under another key, or under none,
is found by how it begins; so whoever is killed in the middle leaves nothing to repair, and the next
run goes on. A key is given up only when no row needs it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    TableClause,
    Text,
    bindparam,
    column,
    delete,
    func,
    or_,
    select,
    table,
    true,
    tuple_,
    update,
)

from store.columns import AnyRow
from store.database import Database, migrated, open_database
from store.errors import SealBrokenError, StoreError
from store.keys import KeyPlace
from store.keys_schema import sealing, sealing_keys
from store.raws import codec_of, packed_in, sealed
from store.schema import messages, metadata, raws
from store.sealing import HEAD, MARK, KeyRing, anchor_of, sealed_columns
from store.stubborn import stubborn
from store.unlocking import admit, follow, unlock, write_by
from store.washing import wash
from store.words import standing_for

#: Rows of one transaction: others wait for some hundredths of a second.
AT_ONCE: Final = 200
#: Bytes of raw mail of one transaction, but for the first.
_BYTES_AT_ONCE: Final = 8 * 2**20

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Damaged:
    """A value that does not open: its table, and what names its row there."""

    table: str
    row: str
    why: str


@dataclass(slots=True)
class Rotated:
    """What a rotation did. ``key_id`` is "" where texts are plain from now on."""

    key_id: str
    rows: Counter[str] = field(default_factory=Counter)  # changed, by table
    damaged: list[Damaged] = field(default_factory=list)
    given_up: tuple[str, ...] = ()  # keys that no row needs any more
    left: list[str] = field(default_factory=list)  # where old words may be still, and what to do


@contextmanager
def unlocked(url: str, place: KeyPlace, wait: float) -> Iterator[tuple[Database, KeyRing]]:
    database = open_database(url, wait=wait)
    try:
        migrated(database, migrate=False)
        unlock(database, place)
        assert database.ring is not None  # noqa: S101 - there is a place, so there are keys
        yield database, database.ring
    finally:
        database.close()


def rotate(
    url: str,
    place: KeyPlace,
    *,
    to_plain: bool = False,
    takes_plain: bool = False,
    progress: Progress = lambda _table, _rows: None,
    wait: float = 10.0,
) -> Rotated:
    """Seal by the newest key at *place* from now on, and all that is stored; or by none.

    Args:
        url: The database.
        place: Where its keys are, the new one last.
        to_plain: Open everything instead; the database needs no key after that.
        takes_plain: Whether plain rows of a database that is sealed throughout are sealed as well:
            a program that ran on without the key may have stored them, or somebody put them there.
        progress: Told after each batch which table, and how many of its rows so far.
        wait: Seconds to wait for another writer.

    Raises:
        StoreError: The database cannot be used or a key is missing; what was done so far stays.

    """
    target = "" if to_plain else place.read()[-1].id
    with unlocked(url, place, wait) as (database, ring):
        done = Rotated(target)
        _begin(database, ring, place, done.key_id, takes_plain=takes_plain)
        while _passed(database, ring, done, progress):
            done.damaged.clear()  # found again, if they are there still
        done.damaged = list(dict.fromkeys(done.damaged))  # told twice where a batch was repeated
        _end(database, ring, done)
        done.left = _clean(database)
    return done


def damaged(url: str, place: KeyPlace, *, wait: float = 10.0) -> tuple[int, list[Damaged]]:
    """How many sealed rows were opened, and which of them do not open; changes nothing."""
    found: list[Damaged] = []
    rows = 0
    with unlocked(url, place, wait) as (database, ring):
        for one in _sealed_tables():
            for batch in _batches(database, one, true()):
                rows += len(batch)
                for row in batch:
                    _opened(ring, one, row, found)
        for batch in _raw_batches(database, true()):
            rows += len(batch)
            for row in batch:
                _packed(ring, row, found)
    return rows, found


def rows_by_key(url: str, place: KeyPlace, *, wait: float = 10.0) -> dict[str, Counter[str]]:
    """How many rows of which table are under which key; under "" those that are plain."""
    found: dict[str, Counter[str]] = {}
    with unlocked(url, place, wait) as (database, ring), database.reading() as connection:
        for key_id in connection.scalars(select(sealing_keys.c.id)):
            found[key_id] = Counter()
        for one in _sealed_tables():
            first = _bare(one).c[next(iter(sealed_columns(one)))]
            head = func.substr(first, 1, HEAD)
            query = select(head, func.count()).group_by(head)
            for said, rows in connection.execute(query):
                key_id = said[len(MARK) : -1] if said.startswith(MARK) else ""
                found.setdefault(key_id, Counter())[one.name] += rows
        query = select(raws.c.codec, func.count()).group_by(raws.c.codec)
        for codec, rows in connection.execute(query):
            found.setdefault(codec.partition("+")[2], Counter())["raws"] += rows
        found.setdefault(ring.writing, Counter())
    return found


# --- the steps ------------------------------------------------------------------------------------


def _begin(
    database: Database, ring: KeyRing, place: KeyPlace, key_id: str, *, takes_plain: bool
) -> None:
    with database.writing() as connection:
        if key_id:
            admit(connection, ring, key_id)
        changes: dict[str, object] = {"words": place.searches}
        if takes_plain or not key_id:
            changes["takes_plain"] = True
        if key_id != ring.writing or ring.takes_plain or takes_plain:
            changes["cleaned"] = False
        write_by(connection, key_id, **changes)
    with database.reading() as connection:
        follow(connection, ring)


def _passed(database: Database, ring: KeyRing, done: Rotated, progress: Progress) -> int:
    """Go through all tables once; how many rows were changed."""
    before = done.rows.total()
    for one in _sealed_tables():
        for batch in _batches(database, one, _elsewhere(one, ring.writing)):
            keys = [_key(one, row) for row in batch]
            stubborn(partial(_reseal, database, ring, one, keys, done))
            progress(one.name, done.rows[one.name])
    elsewhere = raws.c.codec != codec_of(ring.writing)
    for batch in _raw_batches(database, elsewhere, with_content=False):
        digests = [row.digest for row in batch]
        stubborn(partial(_reseal_raws, database, ring, digests, done))
        progress("raws", done.rows["raws"])
    return done.rows.total() - before


def _end(database: Database, ring: KeyRing, done: Rotated) -> None:
    """Give up the keys that nothing needs any more."""
    if done.damaged:
        return
    with database.writing() as connection:
        if ring.writing != done.key_id:
            raise StoreError("another rotation has begun meanwhile: let that one end")
        others = sealing_keys.c.id != done.key_id
        done.given_up = tuple(connection.scalars(select(sealing_keys.c.id).where(others)))
        connection.execute(delete(sealing_keys).where(others))
        write_by(connection, done.key_id, takes_plain=not done.key_id)


def _clean(database: Database) -> list[str]:
    """Leave none of the old words in the database's files; what could not be done, in words."""
    with database.reading() as connection:
        if connection.scalar(select(sealing.c.cleaned)):
            return []
    left = wash(database)
    if not left:
        with database.writing() as connection:
            connection.execute(update(sealing).values(cleaned=True))
    return left


# --- rows -----------------------------------------------------------------------------------------


def _sealed_tables() -> list[Table]:
    return [one for one in metadata.sorted_tables if sealed_columns(one)]


@lru_cache(maxsize=64)
def _bare(one: Table) -> TableClause:
    """*one* as it is stored, unopened."""
    sealed_there = sealed_columns(one)
    return table(
        one.name,
        *(column(c.name, Text() if c.name in sealed_there else c.type) for c in one.c),
    )


def _key(one: Table, row: AnyRow) -> dict[str, Any]:
    return {c.name: getattr(row, c.name) for c in one.primary_key.columns}


def _elsewhere(one: Table, key_id: str) -> ColumnElement[bool]:
    """Whether any value of a row is not as it is to be."""
    bare = _bare(one)
    sealed_there = [bare.c[name] for name in sealed_columns(one)]
    if key_id:
        return or_(*(func.substr(c, 1, HEAD) != f"{MARK}{key_id}$" for c in sealed_there))
    return or_(*(func.substr(c, 1, len(MARK)) == MARK for c in sealed_there))


def _batches(
    database: Database, one: Table, which: ColumnElement[bool]
) -> Iterator[Sequence[AnyRow]]:
    bare = _bare(one)
    keys = [bare.c[c.name] for c in one.primary_key.columns]
    query: Select[Any] = select(bare).where(which).order_by(*keys).limit(AT_ONCE)
    last: Sequence[Any] | None = None
    while True:
        more = query if last is None else query.where(tuple_(*keys) > tuple_(*last))
        with database.reading() as connection:
            batch = connection.execute(more).all()
        if not batch:
            return
        yield batch
        last = list(_key(one, batch[-1]).values())


def _reseal(
    database: Database, ring: KeyRing, one: Table, keys: Sequence[Mapping[str, Any]], done: Rotated
) -> None:
    """Those rows under the key that writes now, read again in the transaction that changes them."""
    bare = _bare(one)
    names = [bare.c[c.name] for c in one.primary_key.columns]
    wanted = tuple_(*names).in_([tuple(key.values()) for key in keys])
    changed: list[dict[str, Any]] = []
    with database.writing() as connection:
        query = select(bare).where(wanted).order_by(*names)
        rows = connection.execute(query.with_for_update()).all()
        for row in rows:
            values = _resealed(ring, one, row, done.damaged)
            if values:
                changed.append({**values, **{f"the_{k}": v for k, v in _key(one, row).items()}})
        if changed:
            values = {n: bindparam(n) for n in changed[0] if not n.startswith("the_")}
            same = [name == bindparam(f"the_{name.name}") for name in names]
            connection.execute(update(bare).where(*same).values(values), changed)
    done.rows[one.name] += len(changed)


def _resealed(
    ring: KeyRing, one: Table, row: AnyRow, broken: list[Damaged]
) -> dict[str, Any] | None:
    plain = _opened(ring, one, row, broken)
    if plain is None:
        return None
    columns = sealed_columns(one)
    told = row._mapping  # noqa: SLF001 - how SQLAlchemy calls it, and public
    values: dict[str, Any] = {
        name: ring.seal_text(f"{one.name}.{name}", anchor_of(told, columns[name]), value)
        if ring.writing
        else value
        for name, value in plain.items()
    }
    if one is messages:
        values["words"] = standing_for(ring, {**plain, "details": json.loads(plain["details"])})
    return values


def _opened(ring: KeyRing, one: Table, row: AnyRow, broken: list[Damaged]) -> dict[str, str] | None:
    told = row._mapping  # noqa: SLF001 - likewise
    try:
        return {
            name: ring.open_text(f"{one.name}.{name}", anchor_of(told, anchor), told[name])
            for name, anchor in sealed_columns(one).items()
        }
    except SealBrokenError as error:
        broken.append(Damaged(one.name, error.anchor, error.why))
        return None


def _raw_batches(
    database: Database, which: ColumnElement[bool], *, with_content: bool = True
) -> Iterator[list[AnyRow]]:
    columns = raws.c if with_content else (raws.c.digest, raws.c.codec, raws.c.size)
    query: Select[Any] = select(*columns).where(which).order_by(raws.c.digest)
    last = ""
    while True:
        batch: list[AnyRow] = []
        size = 0
        with database.reading() as connection:
            for row in connection.execute(query.where(raws.c.digest > last).limit(AT_ONCE)):
                size += row.size
                if batch and size > _BYTES_AT_ONCE:
                    break
                batch.append(row)
        if not batch:
            return
        yield batch
        last = batch[-1].digest


def _reseal_raws(database: Database, ring: KeyRing, digests: Sequence[str], done: Rotated) -> None:
    changed = 0
    with database.writing() as connection:
        query = select(raws).where(raws.c.digest.in_(digests)).order_by(raws.c.digest)
        for row in connection.execute(query.with_for_update()).all():
            packed = _packed(ring, row, done.damaged)
            if packed is not None:
                same = update(raws).where(raws.c.digest == row.digest)
                connection.execute(same.values(**sealed(row.digest, packed, ring)))
                changed += 1
    done.rows["raws"] += changed


def _packed(ring: KeyRing, row: AnyRow, broken: list[Damaged]) -> bytes | None:
    try:
        return packed_in(row, ring)
    except SealBrokenError as error:
        broken.append(Damaged("raws", row.digest, error.why))
        return None
