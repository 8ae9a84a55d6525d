"""Opening a database: safe settings, migrations, and one clear line for whatever is wrong."""

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from services.postgres import Postgres
from sqlalchemy import Connection, create_engine, text

from store import StoreError, open_store
from store.schema import HEAD, metadata
from store.search_schema import is_of_the_index


def empty_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'new.sqlite3'}"
    return request.getfixturevalue("postgres").empty_database()


both = pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)


@both
def test_migrations_make_exactly_the_tables_that_the_code_uses(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with (
        open_store(empty_url(kind, request, tmp_path)) as store,
        store._database.reading() as connection,
    ):
        # The full-text index is no table of the metadata; the next test holds its definitions.
        ours = {"include_name": lambda name, kind, _: kind != "table" or not is_of_the_index(name)}
        found = compare_metadata(MigrationContext.configure(connection, opts=ours), metadata)

    assert found == []


def test_sqlite_gets_the_very_tables_that_the_schema_describes(tmp_path: Path) -> None:
    # What Alembic's comparison does not see: WITHOUT ROWID, AUTOINCREMENT, partial indexes.
    described = create_engine("sqlite://")
    metadata.create_all(described)

    with (
        open_store(f"sqlite:///{tmp_path / 'new.sqlite3'}") as store,
        store._database.reading() as migrated,
        described.connect() as made,
    ):
        assert definitions(migrated) == definitions(made)
    described.dispose()


def definitions(connection: Connection) -> set[str]:
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '%alembic%'"
    found = connection.exec_driver_sql(query).scalars()
    # A column that was added later has its comma elsewhere: blanks mean nothing.
    return {re.sub(r"\s*([,()])\s*", r"\1", " ".join(line.split())) for line in found}


@both
def test_several_programs_may_open_a_new_database_at_once(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = empty_url(kind, request, tmp_path)
    start = threading.Barrier(4)
    opened: list[str] = []

    def work() -> None:
        start.wait(30)
        with open_store(url) as store:
            opened.append(store.counts().schema)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert opened == [HEAD] * 4


def test_the_head_named_in_the_schema_is_that_of_the_migrations() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "store:migrations")

    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


@both
def test_a_database_of_a_newer_version_is_left_alone(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = empty_url(kind, request, tmp_path)
    with open_store(url) as store, store._database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(StoreError, match="newer version: it has schema 9999, this version knows"):
        open_store(url)


def test_an_empty_database_is_not_migrated_unasked(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    with pytest.raises(StoreError, match="does not exist"):
        open_store(f"sqlite:///{path}", migrate=False)
    assert not path.exists()

    path.touch()
    with pytest.raises(StoreError, match="has schema none, this version needs"):
        open_store(f"sqlite:///{path}", migrate=False)


def test_every_sqlite_connection_is_durable_and_private(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 10_000,
    }
    with open_store(f"sqlite:///{path}") as store:
        for opened in (store._database.reading, store._database.writing):
            # The second connection is a new one: the first is in use.
            with opened() as first, store._database.reading() as second:
                for connection in (first, second):
                    found = {
                        name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                        for name in wanted
                    }
                    assert found == wanted
        assert path.stat().st_mode & 0o777 == 0o600
        assert Path(f"{path}-wal").stat().st_mode & 0o777 == 0o600


def test_opening_what_is_up_to_date_does_not_load_the_migrations(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.sqlite3'}"
    open_store(url).close()
    program = (
        "import sys; from store import open_store; open_store(sys.argv[1]).close();"
        "slow = 'alembic', 'pandas', 'pyarrow', 'psycopg';"
        "print([name for name in slow if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("mysql://user:secret@host/db", "unknown kind of database 'mysql'; allowed are sqlite:///"),
        ("postgresql+asyncpg://host/db", "unknown kind of database 'postgresql\\+asyncpg'"),
        ("nonsense", "no database address; allowed are"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:////nowhere/at/all.sqlite3", "there is no folder /nowhere/at"),
        ("sqlite:////tmp", "it is a folder"),
        ("postgresql+psycopg://user:secret@/db?host=/nowhere", "db at /nowhere cannot be reached"),
    ],
)
def test_a_wrong_address_is_told_in_one_line_without_its_password(url: str, line: str) -> None:
    with pytest.raises(StoreError, match=line) as error:
        open_store(url, wait=2)

    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.postgres
def test_a_missing_postgres_database_is_named(postgres: Postgres) -> None:
    with pytest.raises(StoreError, match=r"database nosuch at .* does not exist on this server"):
        open_store(postgres.url("nosuch"))


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear team, " * 1000)

    with pytest.raises(StoreError, match=r"letter\.txt is not an SQLite database"):
        open_store(f"sqlite:///{path}")


def test_a_database_that_may_not_be_written_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "new.sqlite3")
        open_store(f"sqlite:///{path}").close()  # as ourselves: others may not read the checkout
        path.chmod(0o444)

        with (
            as_somebody_else(Path(folder)),
            pytest.raises(StoreError, match=r"new\.sqlite3 cannot be written: Permission denied"),
        ):
            open_store(f"sqlite:///{path}")


@contextmanager
def as_somebody_else(folder: Path) -> Iterator[None]:
    """Root may write anything."""
    if os.geteuid() != 0:
        yield
        return
    import alembic.command  # noqa: F401 - while we may read it

    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_locked_database_is_told_after_waiting(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    other = sqlite3.connect(path)
    with open_store(f"sqlite:///{path}", wait=0.2) as store:
        other.execute("BEGIN IMMEDIATE")

        with (
            pytest.raises(StoreError, match=r"new\.sqlite3 is locked .* waited 0\.2 s"),
            store.batch(),
        ):
            pass
        other.rollback()
        with store.batch():
            pass
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match=r"is locked by another program"):
        open_store(f"sqlite:///{path}", wait=0.2)
    other.close()


@pytest.mark.postgres
def test_a_writer_that_never_ends_is_told_of_on_postgres(postgres: Postgres) -> None:
    url = postgres.database()
    with (
        open_store(url) as first,
        open_store(url, wait=0.2) as second,
        first.batch(),
        pytest.raises(StoreError, match="is held by another writer"),
        second.batch(),
    ):
        pass


def test_a_full_disk_is_told_and_nothing_half_written(tmp_path: Path) -> None:
    from store_samples import NOW, email, key, outcome

    with open_store(f"sqlite:///{tmp_path / 'new.sqlite3'}") as store:
        with store._database.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        with (
            pytest.raises(StoreError, match="no space is left on the disk"),
            store.batch(now=NOW) as batch,
        ):
            batch.add(key(1), "d1", email(1, new_text="x" * 100_000), [outcome()])

        assert store.counts().messages == 0


def test_errors_never_quote_what_was_to_be_stored(tmp_path: Path) -> None:
    from store_samples import NOW, email, key

    with open_store(f"sqlite:///{tmp_path / 'new.sqlite3'}") as store:
        with store._database.writing() as connection:
            connection.execute(text("DROP TABLE messages"))
            connection.execute(text("CREATE TABLE messages (digest, sender CHECK (sender = ''))"))

        with pytest.raises(StoreError) as error, store.batch(now=NOW) as batch:
            batch.add(key(1), "d1", email(1, sender="canary@secret.example"), [])

    assert error.value.__suppress_context__
    assert "canary" not in str(error.value)
