"""Brings databases up to date in processes that may be killed at any statement.

Reads orders on standard input, forks for each of them, and answers how they ended: so that a trial
costs a fork and not the import of everything.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from itertools import count
from pathlib import Path
from typing import Any, NoReturn


def upgrade(url: str, revision: str) -> None:
    """Bring the database at *url* to *revision* and no further, as an older version did."""
    from alembic import command
    from alembic.config import Config

    from store.database import open_database

    config = Config()
    config.set_main_option("script_location", "store:migrations")
    database = open_database(url, wait=10)
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    database.close()


def fill(url: str) -> None:
    """Put something of everything into a new database of this version."""
    from outgoing_samples import a_letter, approve, cancellation
    from store_samples import (
        CLIENTS,
        NOW,
        SOURCE,
        THERAPISTS,
        email,
        key,
        outcome,
        raw_message,
        registry_file,
        session,
    )

    from store import Tally, open_store

    with open_store(url) as store:
        store.import_registry(
            therapists=registry_file(THERAPISTS),
            clients=registry_file(CLIENTS),
            sessions=registry_file([session()]),
            now=NOW,
        )
        run = store.start_run([SOURCE], NOW)
        for number in range(1, 6):
            raw = raw_message(number)
            store.keep_raw([raw])
            with store.batch(now=NOW, run_id=run) as batch:
                batch.add(raw.key, raw.digest, email(number), [outcome()])
        with store.batch(now=NOW, run_id=run) as batch:
            batch.quarantine(key(9), "d9", "empty")
        store.finish_run(run, Tally(6, queued=5, quarantined=1), NOW)
        approve(store, cancellation(), a_letter())


def prepare(source: str, url: str, revision: str) -> None:
    """Make a database as an older version left it, with the rows of *source* that it knew."""
    from sqlalchemy import MetaData, create_engine, delete, insert, select

    from store.search_schema import is_of_the_index

    upgrade(url, revision)
    old, new = create_engine(url), create_engine(source)
    there, here = MetaData(), MetaData()
    there.reflect(old)
    here.reflect(new)
    with old.begin() as writing, new.connect() as reading:
        for table in there.sorted_tables:
            if table.name == "alembic_version" or is_of_the_index(table.name):
                continue
            shared = [c for c in here.tables[table.name].columns if c.name in table.columns]
            rows = [dict(row) for row in reading.execute(select(*shared)).mappings()]
            if rows and writing.execute(select(table).limit(1)).first():
                writing.execute(delete(table))  # what a migration itself has put there
            if rows:
                writing.execute(insert(table), rows)
    old.dispose()
    new.dispose()


def migrate(url: str, at: int, told: str = "", bug: str = "") -> None:
    """Open the database as every program does; dies before statement *at*, at 0 never.

    The end of a transaction counts as one. How many there were is written to *told*. The *bug*
    "halves" stores each table as it is made, as a driver does that begins no transaction for it.
    """
    from sqlalchemy import Connection, Engine, event

    from store import open_store

    numbers, last = count(1), [0]

    def strike(*_: object) -> None:
        last[0] = next(numbers)
        if last[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def store_at_once(connection: Connection, _: object, statement: str, *__: object) -> None:
        if statement.lstrip().startswith("CREATE TABLE"):
            connection.connection.commit()

    for what in ("before_cursor_execute", "commit"):
        event.listen(Engine, what, strike)
    if bug == "halves":
        event.listen(Engine, "after_cursor_execute", store_at_once)
    with open_store(url) as store:
        store.counts()
        if store.first_broken_audit_row() is not None:
            raise AssertionError("the audit trail is broken")
    if told:
        Path(told).write_text(str(last[0]))


def refuse(url: str) -> None:
    """Open the database as the version before this one would; it must be refused, in words."""
    import store.database
    from store import StoreError, open_store

    store.database.HEAD = f"{int(store.database.HEAD) - 1:04}"
    try:
        open_store(url).close()
    except StoreError as error:
        if "newer version" in str(error):
            return
        raise
    raise AssertionError("an older version works on a newer schema")


DEEDS = {one.__name__: one for one in (fill, prepare, migrate, refuse)}


def _do(order: dict[str, Any]) -> NoReturn:
    code = 0
    try:
        DEEDS[order.pop("do")](**order)
    except BaseException:  # noqa: BLE001 - whatever it is, whoever ordered it must know
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    import alembic.command
    import psycopg

    import store.store  # noqa: F401 - so that forks need not

    assert alembic.command
    assert psycopg
    for line in sys.stdin:
        children = []
        for order in json.loads(line):
            child = os.fork()
            if child == 0:
                _do(order)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        sys.stdout.write(json.dumps(codes) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
