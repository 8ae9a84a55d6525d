"""Backups are whole and of one moment; what is restored from one does no harm."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from outgoing_samples import a_letter, approve, cancellation
from services.postgres import Postgres
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from store_samples import NOW, email, key, outcome, raw_message

from store import Store, StoreError, open_store
from store.backups import back_up, read_manifest, restore
from store.database import open_database
from store.roles import grant


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def new_place(store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes addresses of databases that hold nothing, of the kind that is being tested."""

    def place() -> str:
        if store_url.startswith("sqlite"):
            return f"sqlite:///{tmp_path}/restored.sqlite3"
        postgres: Postgres = request.getfixturevalue("postgres")
        return postgres.empty_database()

    return place


def filled(store: Store, count: int = 5) -> None:
    for number in range(1, count + 1):
        raw = raw_message(number)
        store.keep_raw([raw])
        with store.batch(now=NOW) as batch:
            batch.add(raw.key, raw.digest, email(number), [outcome()])


def rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    engine = create_engine(url)
    with engine.connect() as connection:
        names = inspect(engine).get_table_names()
        found = {
            name: sorted(map(tuple, connection.execute(text(f'SELECT * FROM "{name}"'))), key=repr)
            for name in names
        }
    engine.dispose()
    return found


def test_what_is_restored_is_what_was_there(
    store: Store, store_url: str, new_place: Callable[[], str], tmp_path: Path
) -> None:
    filled(store)
    path, manifest = back_up(store_url, tmp_path, NOW)
    before, there = rows(store_url), new_place()

    restored = restore(path, there, "ops", NOW)

    after = rows(there)
    assert (manifest.messages, manifest.cases, manifest.audit_broken_at) == (5, 5, None)
    assert restored.uncertain == 0
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"audit", "ledger"}
    assert len(set(after["audit"]) - set(before["audit"])) == 1
    assert set(before["audit"]) < set(after["audit"])
    with open_store(there) as again:
        assert again.first_broken_audit_row() is None
        assert again.raw(raw_message(3).digest) == raw_message(3).content


def test_a_backup_taken_while_mail_is_stored_is_of_one_moment(
    store: Store, store_url: str, new_place: Callable[[], str], tmp_path: Path
) -> None:
    filled(store, 3)
    stop = threading.Event()

    def go_on() -> None:
        with open_store(store_url) as own:
            for number in range(100, 10_000):
                if stop.is_set():
                    return
                with own.batch(now=NOW) as batch:
                    batch.add(key(number), f"d{number}", email(number), [outcome()])

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        taken = [back_up(store_url, tmp_path, NOW + timedelta(seconds=n)) for n in range(3)]
    finally:
        stop.set()
        writer.join(30)

    for _, manifest in taken:
        assert manifest.messages == manifest.cases
        assert manifest.audit_broken_at is None
    restore(taken[-1][0], new_place(), "ops", NOW)


def test_after_a_restoration_nothing_leaves_twice_and_no_number_is_given_twice(
    store: Store, store_url: str, new_place: Callable[[], str], tmp_path: Path
) -> None:
    approve(store, cancellation("1"), a_letter(1))
    path, _ = back_up(store_url, tmp_path, NOW)
    with store.batch(now=NOW) as batch:
        [lost] = batch.add(key(8), "d8", email(8), [outcome()])
    there = new_place()

    restored = restore(path, there, "ops", NOW)

    assert restored.uncertain == 1
    with open_store(there) as again:
        states = {row.channel: row.state for row in again.outbox()}
        with again.batch(now=NOW) as batch:
            [given] = batch.add(key(9), "d9", email(9), [outcome()])
    assert states == {"platform": "waiting", "mail": "uncertain"}
    assert given > lost + 1_000


def test_nobody_who_was_in_before_is_in_after_a_restoration(
    store: Store, store_url: str, new_place: Callable[[], str], tmp_path: Path
) -> None:
    filled(store, 1)
    with store._database.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO web_sessions (id_hash, name, role, started_at, seen_at, ends_at) "
                "SELECT 'x', 'ben', 'staff', kept_at, kept_at, kept_at FROM raws LIMIT 1"
            )
        )
    path, _ = back_up(store_url, tmp_path, NOW)
    there = new_place()

    restore(path, there, "ops", NOW)

    assert rows(store_url)["web_sessions"]
    assert rows(there)["web_sessions"] == []


def test_a_backup_is_for_our_user_alone_and_takes_nobodys_place(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    filled(store, 1)
    path, _ = back_up(store_url, tmp_path, NOW)
    content = path.read_bytes()

    with pytest.raises(StoreError, match="is there already"):
        back_up(store_url, tmp_path, NOW)

    assert path.read_bytes() == content
    assert {one.stat().st_mode & 0o777 for one in tmp_path.glob("fit-triage-*")} == {0o600}
    assert not list(tmp_path.glob(".*.part"))


def test_a_damaged_backup_is_refused_before_anything_is_touched(
    store: Store, store_url: str, new_place: Callable[[], str], tmp_path: Path
) -> None:
    filled(store, 1)
    path, _ = back_up(store_url, tmp_path, NOW)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    there = new_place()

    with pytest.raises(StoreError, match="is damaged"):
        restore(path, there, "ops", NOW)

    database = open_database(there, wait=1)
    assert not database.is_sqlite or not Path(database.name).exists()
    database.close()


def test_a_database_that_holds_something_is_never_written_over(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    filled(store, 2)
    path, _ = back_up(store_url, tmp_path, NOW)
    filled(store, 3)
    before = rows(store_url)

    with pytest.raises(StoreError, match=r"is there already|is not empty"):
        restore(path, store_url, "ops", NOW)

    assert rows(store_url) == before


def test_a_journal_left_by_another_database_stops_a_restoration(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.sqlite3"
    with open_store(url) as store:
        filled(store, 1)
    path, _ = back_up(url, tmp_path, NOW)
    (tmp_path / "new.sqlite3-wal").write_bytes(b"left over")

    with pytest.raises(StoreError, match=r"new\.sqlite3-wal is there already"):
        restore(path, f"sqlite:///{tmp_path}/new.sqlite3", "ops", NOW)


def test_nobody_can_run_on_a_database_whose_restoration_was_interrupted(
    store: Store,
    store_url: str,
    new_place: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filled(store, 1)
    path, _ = back_up(store_url, tmp_path, NOW)
    there = new_place()

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("store.backups._settled", killed)
    with pytest.raises(KeyboardInterrupt):
        restore(path, there, "ops", NOW)

    if there.startswith("sqlite"):
        assert not Path(there.removeprefix("sqlite:///")).exists()
    else:
        with pytest.raises(StoreError, match="its restoration was interrupted"):
            open_store(there)


def test_a_backup_of_a_newer_version_is_refused(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    filled(store, 1)
    path, _ = back_up(store_url, tmp_path, NOW)
    beside = path.with_name(f"{path.name}.json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"schema": "9999"}))

    with pytest.raises(StoreError, match="newer version"):
        restore(path, store_url, "ops", NOW)
    assert read_manifest(path).schema == "9999"


def test_a_tampered_audit_trail_is_backed_up_and_told(
    store: Store, store_url: str, new_place: Callable[[], str], tmp_path: Path
) -> None:
    filled(store, 3)
    with store._database.writing() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_no_update"))
        else:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE id = 2"))

    path, manifest = back_up(store_url, tmp_path, NOW)
    restore(path, there := new_place(), "ops", NOW)

    assert manifest.audit_broken_at == 2
    with open_store(there) as again:
        assert again.first_broken_audit_row() == 2


@pytest.mark.postgres
def test_the_daily_role_can_work_but_not_touch_the_audit_trail(postgres: Postgres) -> None:
    url = postgres.database()
    owner = create_engine(url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(text("DROP ROLE IF EXISTS daily"))
        connection.execute(text("CREATE ROLE daily LOGIN"))
    grant(url, "daily")

    daily = url.replace("postgres@", "daily@")
    with open_store(daily) as store:
        filled(store, 2)
        approve(store, cancellation("1"))
        assert store.first_broken_audit_row() is None
    engine = create_engine(daily)
    for statement in (
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "DROP TRIGGER audit_no_change ON audit",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        "DELETE FROM access_log",
        "ALTER FUNCTION audit_append_only() RENAME TO harmless",
    ):
        refused = pytest.raises(DBAPIError, match=r"permission denied|must be owner")
        with refused, engine.begin() as connection:
            connection.execute(text(statement))
    engine.dispose()
    with owner.connect() as connection:
        connection.execute(text("DROP OWNED BY daily"))
        connection.execute(text("DROP ROLE daily"))
    owner.dispose()
    with open_store(url) as store:
        assert store.first_broken_audit_row() is None


@pytest.mark.postgres
@pytest.mark.parametrize(("role", "why"), [("nobody", "no role"), ("postgres", "take every guard")])
def test_a_role_that_could_help_itself_is_refused(postgres: Postgres, role: str, why: str) -> None:
    with pytest.raises(StoreError, match=why):
        grant(postgres.database(), role)
