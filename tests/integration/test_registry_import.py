"""The booking registry coming in from files, and what is told of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from store_samples import (
    CLIENTS,
    NOW,
    THERAPISTS,
    email,
    key,
    outcome,
    registry_file,
    session,
)

from store import ImportReport, Store, StoreError, open_store, read_registry_file
from triage.records import CaseFacts, Client, Request, Session


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


def load(store: Store, *sessions: dict[str, str], now: datetime = NOW) -> ImportReport:
    *_, report = store.import_registry(
        therapists=registry_file(THERAPISTS),
        clients=registry_file(CLIENTS),
        sessions=registry_file(sessions, "sessions.csv"),
        now=now,
    )
    return report


def figures(report: ImportReport) -> tuple[int, int, int, int]:
    return report.new, report.changed, report.unchanged, report.gone


def history(store: Store, session_id: str) -> list[str]:
    with store._database.reading() as connection:
        query = text("SELECT status FROM session_history WHERE session_id = :id ORDER BY id")
        return list(connection.scalars(query, {"id": session_id}))


def test_without_any_import_nothing_is_known(store: Store) -> None:
    directory = store.directory()

    assert not directory.known
    assert directory.session("1001") is None
    assert directory.therapists_at("ana@practice.example") == ()
    assert directory.open_therapists() == ()
    assert store.registry_age(NOW) is None


def test_what_was_imported_is_answered_for(store: Store) -> None:
    load(store, session(), session("1000", starts_at="2026-11-24T09:00:00+00:00"))
    directory = store.directory()

    assert directory.known
    assert directory.session("1001") == Session(
        "1001", "T1", "C1", datetime(2026, 12, 1, 18, tzinfo=UTC), "initial", "unconfirmed"
    )
    assert directory.session("9") is None
    assert [found.session_id for found in directory.sessions_of("T1")] == ["1000", "1001"]
    assert directory.sessions_of("T9") == ()
    assert directory.client("C1") == Client("C1", "Jo", "May", "jo@x.example")
    assert directory.client("C9") is None
    assert directory.therapist("T9") is None
    assert [found.therapist_id for found in directory.open_therapists()] == ["T2"]
    assert store.registry_age(NOW + timedelta(days=2)) == timedelta(days=2)


def test_a_therapist_is_found_by_every_own_and_delegated_address(store: Store) -> None:
    load(store, session())
    directory = store.directory()

    def found(address: str) -> list[str]:
        return [therapist.therapist_id for therapist in directory.therapists_at(address)]

    assert found("ana@practice.example") == ["T1"]
    assert found("desk@practice.example") == ["T1", "T2"]
    assert found("") == []
    ana = directory.therapist("T1")
    assert ana is not None
    assert ana.emails == ("ana@practice.example", "ana@home.example")
    assert (ana.approaches, ana.languages, ana.open_to_new) == (
        ("cbt", "erp"),
        ("English", "Polish"),
        False,
    )


def test_the_batch_fetches_what_linking_will_ask_for_in_advance(store: Store) -> None:
    load(store, session(), session("1002", client_id="C2"))
    ask = Request("cancellation", session_ids=("1001", "77"))
    loose = Request("update")

    with store.batch(now=NOW) as batch:
        batch.prefetch([(email(1), [ask]), (email(2), [loose])])
        asked: list[str] = []
        batch.directory._reading = lambda: asked.append("a query")  # any further one would fail
        found = batch.directory.session("1001")
        owners = batch.directory.therapists_at("ana@practice.example")
        sessions = batch.directory.sessions_of("T1")
        client = batch.directory.client("C1")

    assert found is not None
    assert client is not None
    assert (len(owners), len(sessions), asked) == (1, 2, [])


def test_open_cases_are_found_by_their_therapist(store: Store) -> None:
    load(store, session())
    therapist = store.directory().therapist("T1")
    facts = CaseFacts(True, "owner", therapist, store.directory().session("1001"))  # noqa: FBT003 - as declared
    with store.batch(now=NOW) as batch:
        [case_id] = batch.add(key(1), "d1", email(1), [outcome(facts=facts)])

    with store.batch(now=NOW) as batch:
        from_home = email(2, sender="ana@home.example")
        batch.prefetch([(from_home, [])])
        [found] = batch.open_cases("ana@home.example", ("T1",))

    assert (found.case_id, found.therapist_id) == (case_id, "T1")
    assert (found.session_id, found.client_id) == ("1001", "C1")


def test_a_second_import_reports_new_changed_unchanged_and_gone(store: Store) -> None:
    first = load(store, session("1"), session("2"), session("3"))

    second = load(store, session("1"), session("2", status="cancelled"), session("4"))

    assert figures(first) == (3, 0, 0, 0)
    assert figures(second) == (1, 1, 1, 1)
    directory = store.directory()
    changed = directory.session("2")
    assert changed is not None
    assert changed.status == "cancelled"
    assert directory.session("3") is None
    assert [found.session_id for found in directory.sessions_of("T1")] == ["1", "2", "4"]


def test_the_history_of_a_sessions_status_is_kept(store: Store) -> None:
    load(store, session("1"), session("2"))
    load(store, session("1", status="confirmed"), session("2"))
    load(store, session("2"))
    back = load(store, session("1", status="confirmed"), session("2"))

    assert history(store, "1") == ["unconfirmed", "confirmed", "gone", "confirmed"]
    assert history(store, "2") == ["unconfirmed"]
    assert figures(back) == (0, 1, 1, 0)
    assert store.directory().session("1") is not None


def test_a_session_of_the_past_stays_known_when_the_export_leaves_it_out(store: Store) -> None:
    load(store, session("1", starts_at="2026-11-01T10:00"), session("2"))

    report = load(store, session("2"))

    assert report.gone == 0
    assert store.directory().session("1") is not None


def test_changes_alone_make_nothing_go(store: Store) -> None:
    load(store, session("1"), session("2"))

    [report] = store.import_registry(
        sessions=registry_file([session("2", status="held")]), now=NOW, full=False
    )

    assert figures(report) == (0, 1, 0, 0)
    assert store.directory().session("1") is not None


def test_a_therapists_changed_addresses_replace_the_old_ones(store: Store) -> None:
    load(store, session())
    moved = {**THERAPISTS[0], "emails": "ana@new.example", "delegates": "", "open_to_new": "yes"}

    store.import_registry(therapists=registry_file([moved, THERAPISTS[1]]), now=NOW)

    directory = store.directory()
    assert directory.therapists_at("ana@practice.example") == ()
    assert len(directory.therapists_at("ana@new.example")) == 1
    assert len(directory.therapists_at("desk@practice.example")) == 1
    assert [found.therapist_id for found in directory.open_therapists()] == ["T1", "T2"]


def test_a_therapist_who_left_is_not_recognised_any_more(store: Store) -> None:
    load(store, session())

    store.import_registry(therapists=registry_file(THERAPISTS[1:]), now=NOW)

    assert store.directory().therapist("T1") is None
    assert store.directory().therapists_at("ana@practice.example") == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"session_id": " "}, "session_id is empty"),
        ({"therapist_id": ""}, "therapist_id is empty"),
        ({"starts_at": "1 December"}, "starts_at is no ISO time"),
        ({"stage": "first"}, "stage has 'first'; allowed are initial, ongoing"),
        ({"status": ""}, "status has ''; allowed are unconfirmed, confirmed, cancelled, held"),
        ({"session_id": "1"}, "session_id 1 stands in an earlier row already"),
    ],
)
def test_a_bad_session_is_rejected_and_the_good_ones_go_in(
    store: Store, change: dict[str, str], reason: str
) -> None:
    report = load(store, session("1"), session("2", **change), session("3"))

    [rejection] = report.rejected
    assert (rejection.file, rejection.line) == ("sessions.csv", 3)
    assert reason in rejection.reason
    assert report.new == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"issues": "ocd;worry"}, "issues has 'worry'; allowed are anxiety, panic"),
        ({"approaches": "magic"}, "approaches has 'magic'; allowed are cbt"),
        ({"experience": "years"}, "experience has 'years'; allowed are children_adolescents"),
        ({"emails": "canary"}, "emails holds something that is no email address"),
        ({"delegates": "a b@canary.example"}, "delegates holds something that is no email"),
        ({"open_to_new": "perhaps"}, "open_to_new has 'perhaps'; allowed are true, yes"),
        ({"name": ""}, "name is empty"),
    ],
)
def test_a_bad_therapist_is_rejected_without_naming_anybody(
    store: Store, change: dict[str, str], reason: str
) -> None:
    [report] = store.import_registry(
        therapists=registry_file([THERAPISTS[0], {**THERAPISTS[1], **change}]), now=NOW
    )

    [rejection] = report.rejected
    assert reason in rejection.reason
    assert "canary" not in rejection.reason
    assert report.new == 1


def test_a_file_without_a_good_row_changes_nothing(store: Store) -> None:
    load(store, session())

    with pytest.raises(StoreError, match="holds no good row; line 2: session_id is empty; nothing"):
        load(store, session(""))
    with pytest.raises(StoreError, match="holds no good row; nothing was changed"):
        load(store)

    assert store.directory().session("1001") is not None


def test_one_bad_file_of_three_leaves_all_three_unread(store: Store) -> None:
    with pytest.raises(StoreError):
        load(store, session(""))

    assert not store.directory().known
    assert store.directory().client("C1") is None


def test_times_without_an_offset_are_those_of_london(store: Store) -> None:
    load(
        store,
        session("1", starts_at="2027-07-01T18:00"),
        session("2", starts_at="2027-01-01T18:00"),
    )

    summer, winter = (store.directory().session(name) for name in ("1", "2"))

    assert summer is not None
    assert winter is not None
    assert (summer.starts_at.hour, winter.starts_at.hour) == (17, 18)


def write_csv(path: Path, rows: list[dict[str, str]], *, encoding: str = "utf-8") -> Path:
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_as_spreadsheets_write_it_is_read(tmp_path: Path, encoding: str) -> None:
    rows = [{**CLIENTS[0], "first_name": "Zoë", "note": "ignored"}, dict(CLIENTS[0], note="")]

    file = read_registry_file(
        write_csv(tmp_path / "clients.csv", rows, encoding=encoding), "clients"
    )

    [(line, first), (second_line, _)] = file.rows
    assert (file.name, line, second_line) == ("clients.csv", 2, 3)
    assert first["first_name"] == "Zoë"
    assert "note" not in first


def test_csv_and_parquet_give_the_same_registry(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(THERAPISTS)
    frame.to_csv(tmp_path / "therapists.csv", index=False)
    frame.to_parquet(tmp_path / "therapists.parquet")
    starts = pd.DataFrame([session()]).assign(starts_at=pd.Timestamp("2026-12-01T18:00"))
    starts.to_parquet(tmp_path / "sessions.parquet")

    with open_store(f"sqlite:///{tmp_path / 'new.sqlite3'}") as store:
        [first] = store.import_registry(
            therapists=read_registry_file(tmp_path / "therapists.csv", "therapists"), now=NOW
        )
        second, third = store.import_registry(
            therapists=read_registry_file(tmp_path / "therapists.parquet", "therapists"),
            sessions=read_registry_file(tmp_path / "sessions.parquet", "sessions"),
            now=NOW,
        )
        found = store.directory().session("1001")

    assert first.new == second.unchanged == 2
    assert third.rejected == ()
    assert found is not None
    assert found.starts_at == datetime(2026, 12, 1, 18, tzinfo=UTC)


def test_a_missing_column_is_named_with_those_needed(tmp_path: Path) -> None:
    import pandas as pd

    row = {name: value for name, value in session().items() if name not in {"stage", "status"}}
    pd.DataFrame([row]).to_parquet(tmp_path / "s.parquet")

    for path in (write_csv(tmp_path / "s.csv", [row]), tmp_path / "s.parquet"):
        with pytest.raises(StoreError, match=r"lacks stage, status; sessions needs the columns se"):
            read_registry_file(path, "sessions")


def test_a_file_that_cannot_be_a_registry_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    (tmp_path / "c.csv").write_bytes("session_id,é".encode("utf-16"))
    (tmp_path / "d.csv").touch()

    for name, line in {
        "none.csv": "does not exist",
        "a.txt": r"allowed are \.csv, \.parquet",
        "b.parquet": "is no Parquet file",
        "c.csv": "is no CSV in UTF-8",
        "d.csv": "lacks session_id",
    }.items():
        with pytest.raises(StoreError, match=line):
            read_registry_file(tmp_path / name, "sessions")


def test_a_csv_that_breaks_in_the_middle_leaves_the_registry_as_it_was(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "sessions.csv", [session(str(n)) for n in range(3000)])
    path.write_bytes(path.read_bytes() + b"\xff\xfe,broken\n")

    with open_store(f"sqlite:///{tmp_path / 'new.sqlite3'}") as store:
        with pytest.raises(StoreError, match="is no CSV in UTF-8 after line"):
            store.import_registry(sessions=read_registry_file(path, "sessions"), now=NOW)

        assert not store.directory().known


def test_thousands_of_rows_are_imported_in_a_second(tmp_path: Path) -> None:
    import time

    rows = [session(str(number), therapist_id=f"T{number % 500}") for number in range(20_000)]
    started = time.perf_counter()

    with open_store(f"sqlite:///{tmp_path / 'new.sqlite3'}") as store:
        [report] = store.import_registry(sessions=registry_file(rows), now=NOW)

    assert report.new == 20_000
    # 50,000 rows a second on an idle machine; this one may be busy.
    assert time.perf_counter() - started < 10
