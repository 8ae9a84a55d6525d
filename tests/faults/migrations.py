"""Migrations that are killed at each of their statements, or begun by several at once.

A database is as it was before, or wholly up to date; whoever comes next brings it there; no row of
any version is lost on the way; an older program is refused.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from faults.bench import KINDS, TESTS, Kind, Lane, Row, Trial, Try
from faults.oracle import connected

#: Schemas that are in use somewhere; "" is a database without any table.
REVISIONS: Final = ("", "0001", "0002", "0003", "0004")
#: Tables that are made anew from others.
_DERIVED: Final = ("alembic_version", "case_texts", "open_cases_search", "closed_cases_search")
Rows = dict[str, list[str]]


class Hands:
    """The process that forks; see ``migrating``. For one thread at a time."""

    def __init__(self, errors: Path) -> None:
        paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
        self._errors = errors.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.migrating"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip

    def do(self, *orders: dict[str, Any]) -> list[int]:
        """The exit codes of *orders*, which are done at the same time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(orders) + "\n")
        self._process.stdin.flush()
        codes: list[int] = json.loads(self._process.stdout.readline())
        return codes

    def close(self) -> None:
        self._process.communicate(timeout=30)
        self._errors.close()


@dataclass
class Old:
    """A database of a former version, to be copied for each trial; ``steps`` from it to now."""

    url: str
    rows: Rows
    schema: set[str]
    steps: int = 0


@dataclass
class Shelf:
    """What trials of one bench share: processes by lane, databases by kind and revision."""

    hands: dict[int, Hands] = field(default_factory=dict)
    olds: dict[tuple[Kind, str], Old] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_SHELVES: dict[int, Shelf] = {}


def killed(count: int, revisions: Sequence[str] = REVISIONS) -> Row:
    """Kills spread over every statement of every upgrade, on both databases."""
    places = list(itertools.product(KINDS, revisions))
    tries: list[Try] = [
        lambda lane, n=n: kill(
            lane, *places[n % len(places)], n // len(places), count // len(places)
        )
        for n in range(count)
    ]
    return Row("kill -9 at the statements of each migration", "48", tries)


def at_once(count: int, revisions: Sequence[str] = REVISIONS) -> Row:
    places = list(itertools.product(KINDS, revisions))
    tries: list[Try] = [
        lambda lane, n=n: several(lane, *places[n % len(places)]) for n in range(count)
    ]
    return Row("three programs migrate at once, one is killed", "48", tries)


def older(count: int) -> Row:
    tries: list[Try] = [lambda lane, n=n: refused(lane, KINDS[n % 2]) for n in range(count)]
    return Row("the version before this one on a newer schema", "48", tries)


def kill(lane: Lane, kind: Kind, revision: str, number: int, of: int, bug: str = "") -> Trial:
    """Killed at a statement, once more while the next tries; then left alone."""
    trial = Trial()
    old = _old(lane, kind, revision)
    at = 1 + number * old.steps // max(of, 1)
    with _copy(lane, kind, old) as url:
        for place in (at, old.steps - at):
            [code] = _hands(lane).do({"do": "migrate", "url": url, "at": place, "bug": bug})
            trial.runs += 1
            trial.kills += code == -9
            trial.violations += _halves(url, kind, old, lane)
        trial.violations += _brought_up(lane, url, kind, old)
    return trial


def several(lane: Lane, kind: Kind, revision: str) -> Trial:
    trial = Trial()
    old = _old(lane, kind, revision)
    with _copy(lane, kind, old) as url:
        orders = [{"do": "migrate", "url": url, "at": at} for at in (0, old.steps // 2, 0)]
        first, struck, last = _hands(lane).do(*orders)
        trial.runs += 3
        trial.kills += struck == -9
        if first or last or struck not in {0, -9}:
            trial.violations.append("I5 of several that migrate at once, one ends badly")
        trial.violations += _brought_up(lane, url, kind, old)
    return trial


def refused(lane: Lane, kind: Kind) -> Trial:
    trial = Trial(runs=1)
    old = _old(lane, kind, "0003")
    with _copy(lane, kind, old) as url:
        codes = _hands(lane).do({"do": "migrate", "url": url, "at": 0})
        before = rows_of(url)
        codes += _hands(lane).do({"do": "refuse", "url": url})
        if codes != [0, 0]:
            trial.violations.append("I5 an older version is not refused in words")
        if rows_of(url) != before:
            trial.violations.append("I2 an older version has changed a newer database")
    return trial


def _brought_up(lane: Lane, url: str, kind: Kind, old: Old) -> Iterator[str]:
    if _hands(lane).do({"do": "migrate", "url": url, "at": 0}) != [0]:
        yield "I5 nobody can bring the database up to date"
        return
    if schema_of(url) != _old(lane, kind, "head").schema:
        yield "I2 a migrated schema is not that of a new database"
    yield from _missing(url, old)


def _halves(url: str, kind: Kind, old: Old, lane: Lane) -> Iterator[str]:
    """Whether the schema is neither the one before nor the one after."""
    if schema_of(url) not in (old.schema, _old(lane, kind, "head").schema):
        yield "I2 a migration that was killed leaves half of itself"
    yield from _missing(url, old)


def _missing(url: str, old: Old) -> Iterator[str]:
    now = rows_of(url, old.rows)
    for table, rows in old.rows.items():
        if now.get(table) != rows:
            yield f"I1 rows of {table} are lost or changed by a migration"


# --- databases of former versions -----------------------------------------------------------------


def _shelf(lane: Lane) -> Shelf:
    shelf = _SHELVES.setdefault(id(lane.bench), Shelf())
    if lane.number not in shelf.hands:
        hands = shelf.hands[lane.number] = Hands(lane.bench.log)
        lane.bench.at_end.callback(hands.close)
    return shelf


def _hands(lane: Lane) -> Hands:
    return _shelf(lane).hands[lane.number]


def _old(lane: Lane, kind: Kind, revision: str) -> Old:
    """A database of *revision* with rows in it, made once; "head" is a new one of today."""
    shelf = _shelf(lane)
    with shelf.lock:
        if (kind, revision) not in shelf.olds:
            shelf.olds[kind, revision] = _make(lane, kind, revision, shelf)
    return shelf.olds[kind, revision]


def _make(lane: Lane, kind: Kind, revision: str, shelf: Shelf) -> Old:
    hands, url = shelf.hands[lane.number], _new(lane, kind, f"old-{revision}")
    if revision == "head":
        assert hands.do({"do": "fill", "url": url}) == [0]
        return Old(url, {}, schema_of(url))
    if revision:
        if (kind, "head") not in shelf.olds:
            shelf.olds[kind, "head"] = _make(lane, kind, "head", shelf)
        source = shelf.olds[kind, "head"].url
        order = {"do": "prepare", "source": source, "url": url, "revision": revision}
        assert hands.do(order) == [0], f"no database of {revision} can be made"
    old = Old(url, rows_of(url), schema_of(url))
    told = lane.folder / "statements"
    with _copy(lane, kind, old) as tried:
        order = {"do": "migrate", "url": tried, "at": 0, "told": str(told)}
        assert hands.do(order) == [0], f"nobody can migrate from {revision or 'nothing'}"
    old.steps = int(told.read_text())
    return old


def _new(lane: Lane, kind: Kind, name: str) -> str:
    if kind == "postgres":
        return lane.bench.postgres.empty_database()
    return f"sqlite:///{lane.bench.folder / name}.sqlite3"


@contextmanager
def _copy(lane: Lane, kind: Kind, old: Old) -> Iterator[str]:
    if kind == "postgres":
        url = lane.bench.postgres.copy(old.url)
        yield url
        lane.bench.postgres.drop(url)
        return
    file = lane.folder / "migrated.sqlite3"
    for left in lane.folder.glob("migrated.sqlite3*"):
        left.unlink()
    if (source := Path(old.url.removeprefix("sqlite:///"))).exists():
        shutil.copy(source, file)
    yield f"sqlite:///{file}"


def rows_of(url: str, like: Rows | None = None) -> Rows:
    """All rows by table; of tables and columns that *like* has, in that form."""
    found: Rows = {}
    if url.startswith("sqlite") and not Path(url.removeprefix("sqlite:///")).exists():
        return found
    with connected(url) as connection:
        for table in _tables(connection, url):
            if like is not None and table not in like:
                continue
            rows = [dict(row) for row in connection.execute(f'SELECT * FROM "{table}"')]
            if like is not None and (known := like[table]):
                names = set(json.loads(known[0]))
                rows = [{n: v for n, v in row.items() if n in names} for row in rows]
            found[table] = sorted(json.dumps(row, default=_plain) for row in rows)
    return found


def _plain(value: object) -> str:
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)


def _tables(connection: Any, url: str) -> list[str]:
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        if url.startswith("sqlite")
        else "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
    )
    names = [row["name"] for row in connection.execute(query)]
    return sorted(name for name in names if not name.startswith(_DERIVED))


def schema_of(url: str) -> set[str]:
    """Every definition of a database."""
    if url.startswith("sqlite"):
        if not Path(url.removeprefix("sqlite:///")).exists():
            return set()
        query = "SELECT sql AS said FROM sqlite_master WHERE sql IS NOT NULL"
    else:
        query = """
            SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
              AS said FROM information_schema.columns WHERE table_schema = 'public'
            UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL SELECT pg_get_constraintdef(oid) || conname FROM pg_constraint
              WHERE connamespace = 'public'::regnamespace
            UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
            UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc
              WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
        """
    with connected(url) as connection:
        return {" ".join(row["said"].split()) for row in connection.execute(query)}
