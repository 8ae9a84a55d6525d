"""What the store promises, on both databases."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from store_samples import (
    DECISION,
    NOW,
    REQUEST,
    SOURCE,
    email,
    key,
    outcome,
    raw_message,
)

from store import Store, Tally, open_store
from store.audit import first_broken
from triage.records import Cursor


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


def rows_of(store: Store, table: str) -> int:
    with store._database.reading() as connection:
        return connection.scalar(text(f"SELECT count(*) FROM {table}"))


def all_rows(store: Store, table: str) -> list:
    with store._database.reading() as connection:
        return connection.execute(text(f"SELECT * FROM {table}")).all()


def test_raw_bytes_come_back_as_served_and_are_kept_once(store: Store) -> None:
    raw = raw_message(1, text="caf\xe9 \0 \udcff".encode("utf-8", "replace").decode())

    store.keep_raw([raw, raw])
    store.keep_raw([raw])

    assert store.raw(raw.digest) == raw.content
    assert rows_of(store, "raws") == 1
    assert store.raw("0" * 64) is None


def test_a_message_comes_back_as_it_was_read(store: Store) -> None:
    read, raw = email(1), raw_message(1)

    with store.batch(now=NOW) as batch:
        batch.add(raw.key, raw.digest, read, [outcome()], reader_version="3")

    found = store.message("<1@mail.example>")
    assert found is not None
    assert found.email == read
    assert store.message(found.id) == found
    assert store.message("<none@mail.example>") is None


def test_a_case_comes_back_with_all_that_was_understood_and_decided(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        [case_id] = batch.add(key(1), "d1", email(1), [outcome()], reader_version="3")

    [row] = store.queue()
    story = store.case(case_id)

    assert row.request == REQUEST
    assert row.decision == DECISION
    assert [proposal.session_id for proposal in row.proposals] == ["1002"]
    assert row.message_ids == ("<1@mail.example>",)
    assert story is not None
    assert story.case == row
    assert [event.event for event in story.audit] == ["received", "decided"]
    assert story.decisions[0].reader_version == "3"


def test_message_cursor_case_and_audit_commit_together_or_not_at_all(store: Store) -> None:
    raw = raw_message(1)

    def fail_in_mid_batch() -> None:
        with store.batch(now=NOW) as batch:
            batch.add(raw.key, raw.digest, email(1), [outcome()])
            batch.quarantine(key(2), "d2", "empty")
            batch.advance(Cursor(SOURCE, "INBOX", 7, 2))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_in_mid_batch()

    assert store.known([raw.key, key(2)]) == set()
    assert store.cursor(SOURCE, "INBOX") is None
    for table in ("messages", "cases", "decisions", "quarantine", "audit", "places"):
        assert rows_of(store, table) == 0


def test_a_second_run_finds_nothing_new(store: Store) -> None:
    keys = [key(uid) for uid in range(1, 4)]
    with store.batch(now=NOW) as batch:
        for uid in range(1, 4):
            batch.add(key(uid), f"d{uid}", email(uid), [outcome()])
        batch.advance(Cursor(SOURCE, "INBOX", 7, 3))

    assert store.known([*keys, key(4)]) == set(keys)
    assert store.cursor(SOURCE, "INBOX") == Cursor(SOURCE, "INBOX", 7, 3)


def test_the_same_mail_under_new_uids_adds_no_second_case(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        batch.add(key(1), "d1", email(1), [outcome()])

    renumbered = key(901, uidvalidity=8)
    with store.batch(now=NOW) as batch:
        seen = batch.seen("d1")
        batch.already_known(renumbered, "d1")
        added = batch.add(key(5, folder="Archive"), "d1", email(1), [outcome()])

    assert seen
    assert added == ()
    assert store.known([renumbered, key(5, folder="Archive")])
    assert rows_of(store, "messages") == rows_of(store, "cases") == 1


def test_mail_that_comes_twice_in_one_batch_is_stored_once(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        batch.add(key(1), "d1", email(1), [outcome()])
        again = batch.seen("d1")
        batch.already_known(key(2), "d1")

    assert again
    assert rows_of(store, "messages") == 1


def test_the_cursor_never_goes_back_under_one_uidvalidity(store: Store) -> None:
    for uidvalidity, uid in ((7, 10), (7, 4)):
        with store.batch(now=NOW) as batch:
            batch.advance(Cursor(SOURCE, "INBOX", uidvalidity, uid, since=NOW))
    assert store.cursor(SOURCE, "INBOX") == Cursor(SOURCE, "INBOX", 7, 10, since=NOW)

    with store.batch(now=NOW) as batch:
        batch.advance(Cursor(SOURCE, "INBOX", 8, 4))
    assert store.cursor(SOURCE, "INBOX") == Cursor(SOURCE, "INBOX", 8, 4)


def test_the_cursor_goes_back_where_the_server_took_numbers_back(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        batch.advance(Cursor(SOURCE, "INBOX", 7, 10))

    with store.batch(now=NOW) as batch:
        batch.advance(Cursor(SOURCE, "INBOX", 7, 4), back=True)

    assert store.cursor(SOURCE, "INBOX") == Cursor(SOURCE, "INBOX", 7, 4)


def test_other_mail_under_a_known_number_is_stored_and_told(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        batch.add(key(1), "d1", email(1), [outcome()])
        batch.add(key(2), "d2", email(2), [outcome()])

    with store.batch(now=NOW) as batch:
        batch.add(key(1), "d3", email(3), [outcome()])
        batch.already_known(key(2), "d2")

    told = [row for row in all_rows(store, "audit") if row.event == "uid_reused"]
    places = {row.uid: row.digest for row in all_rows(store, "places")}
    assert store.same_mail(["d1", "d2", "d3"]) == {"d1", "d2", "d3"}
    assert [json.loads(row.detail) for row in told] == [
        {"before": "d1", "digest": "d3", "uid": 1, "uidvalidity": 7}
    ]
    assert places == {1: "d1", 2: "d2"}
    assert store.first_broken_audit_row() is None


@pytest.mark.parametrize("became", ["new", "known", "unreadable", "vanished", "lost again"])
def test_mail_once_lost_leaves_its_place_in_quarantine_when_it_is_had(
    store: Store, became: str
) -> None:
    with store.batch(now=NOW) as batch:
        batch.quarantine(key(1), "", "oversize")
        batch.add(key(2), "d2", email(2), [outcome()])

    with store.batch(now=NOW) as batch:
        if became == "new":
            batch.add(key(1), "d1", email(1), [outcome()])
        elif became == "known":
            batch.add(key(1), "d2", email(2), [outcome()])
        elif became == "unreadable":
            batch.quarantine(key(1), "d1", "empty")
        elif became == "vanished":
            batch.vanished(key(1))
        else:
            batch.quarantine(key(1), "", "oversize")

    left = [(one.digest, one.attempts) for one in store.quarantined()]
    expected = {"unreadable": [("d1", 1)], "lost again": [("", 2)]}
    assert left == expected.get(became, [])
    digests = {"new": "d1", "known": "d2", "unreadable": "d1"}
    [place] = [row for row in all_rows(store, "places") if row.uid == 1]
    assert place.digest == digests.get(became, "")
    assert store.first_broken_audit_row() is None


def test_an_update_joins_its_open_case_and_is_decided_again(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        [case_id] = batch.add(key(1), "d1", email("first"), [outcome()])
    told = replace(REQUEST, client_notification="discussed")

    with store.batch(now=NOW + timedelta(hours=1)) as batch:
        update = email("second", in_reply_to="<first@mail.example>")
        batch.prefetch([(update, [told])], ["d2"])
        [case] = batch.open_cases("somebody@else.example", (), (), ("<first@mail.example>",))
        batch.add(key(2), "d2", update, [outcome(told, case.case_id, state="ready", blockers=())])

    [row] = store.queue()
    story = store.case(case_id)
    assert case.request == REQUEST
    assert row.decision.state == "ready"
    assert row.request == told
    assert row.version == 2
    assert row.message_ids == ("<first@mail.example>", "<second@mail.example>")
    assert story is not None
    assert [decision.decision.state for decision in story.decisions] == [
        "awaiting_client",
        "ready",
    ]
    assert [event.event for event in story.audit] == ["received", "decided", "received", "joined"]


def test_a_case_made_earlier_in_the_batch_can_be_joined_in_it(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        batch.prefetch([(email(1), [REQUEST]), (email(2), [REQUEST])], ["d1", "d2"])
        batch.add(key(1), "d1", email(1), [outcome()])
        [case] = batch.open_cases("ana@practice.example", (), ("1001",), ())
        batch.add(key(2), "d2", email(2), [outcome(joined=case.case_id, state="done")])
        left = batch.open_cases("ana@practice.example", (), ("1001",), ())

    assert left == []
    assert store.queue() == []
    [row] = store.queue(state="done")
    assert len(row.message_ids) == 2


@pytest.mark.parametrize(
    ("sender", "therapists", "sessions", "threads"),
    [
        ("ana@practice.example", (), (), ()),
        ("x@y.example", (), ("1001",), ()),
        ("x@y.example", (), (), ("<1@mail.example>",)),
    ],
)
def test_open_cases_are_found_by_sender_session_or_thread(
    store: Store,
    sender: str,
    therapists: tuple[str, ...],
    sessions: tuple[str, ...],
    threads: tuple[str, ...],
) -> None:
    with store.batch(now=NOW) as batch:
        [case_id] = batch.add(key(1), "d1", email(1), [outcome()])

    with store.batch(now=NOW) as batch:
        found = batch.open_cases(sender, therapists, sessions, threads)
        nothing = batch.open_cases("x@y.example", ("T9",), ("9",), ("<9@x>",))

    assert [case.case_id for case in found] == [case_id]
    assert nothing == []


def test_closed_and_long_rested_cases_are_not_offered_for_joining(store: Store) -> None:
    with store.batch(now=NOW - timedelta(days=400)) as batch:
        batch.add(key(1), "d1", email(1), [outcome()])
    with store.batch(now=NOW) as batch:
        batch.add(key(2), "d2", email(2), [outcome(state="done")])

    with store.batch(now=NOW) as batch:
        assert batch.open_cases("ana@practice.example", (), ("1001",), ()) == []


def test_one_sender_with_very_many_cases_is_offered_the_newest(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        asks = [outcome(replace(REQUEST, session_ids=(str(n),))) for n in range(60)]
        ids = batch.add(key(1), "d1", email(1), asks)

    with store.batch(now=NOW) as batch:
        found = [case.case_id for case in batch.open_cases("ana@practice.example", (), ("3",), ())]

    assert found == [ids[3], *ids[-20:]]


def test_queues_are_ordered_by_safeguarding_then_priority_then_deadline(store: Store) -> None:
    shapes = [
        {"priority": 1, "deadline": None},
        {"priority": 1, "deadline": NOW + timedelta(hours=2)},
        {"priority": 1, "deadline": NOW + timedelta(hours=1)},
        {"priority": 5, "safeguarding": True},
        {"priority": 0},
    ]
    with store.batch(now=NOW) as batch:
        ids = batch.add(key(1), "d1", email(1), [outcome(**shape) for shape in shapes])

    found = [row.case_id for row in store.queue()]

    assert found == [ids[3], ids[4], ids[2], ids[1], ids[0]]


def test_queue_filters(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        batch.add(
            key(1),
            "d1",
            email(1),
            [
                outcome(blockers=("needs_missing",)),
                outcome(queue="referral", deadline=None),
                outcome(queue="general", state="noted", blockers=()),
                outcome(state="done", blockers=()),
            ],
        )

    def found(**filters: object) -> list[int]:
        return [row.case_id for row in store.queue(**filters)]

    assert found() == [1, 2]
    assert found(limit=1) == [1]
    assert found(queue="referral") == [2]
    assert found(queue="general") == [3]
    assert found(blocker="needs_missing") == [1, 2]
    assert found(blocker="reasons_not_discussed") == [2]
    assert found(blocker="needs_missin_") == []
    assert found(due_before=NOW + timedelta(days=2)) == [1]
    assert found(due_before=NOW) == []
    assert found(state="done") == [4]
    assert sorted(found(include_closed=True)) == [1, 2, 4]


def test_a_quarantined_message_is_read_again_later(store: Store) -> None:
    raw = raw_message(1)
    store.keep_raw([raw])
    with store.batch(now=NOW) as batch:
        batch.quarantine(raw.key, raw.digest, "charset", "LookupError")
        assert batch.seen(raw.digest)
    [first] = store.quarantined()
    with store.batch(now=NOW + timedelta(hours=1)) as batch:
        batch.quarantine(raw.key, raw.digest, "too-deep")
    [second] = store.quarantined(cause="too-deep", digest=raw.digest[:8], ids=[first.id])

    with store.batch(now=NOW + timedelta(hours=2)) as batch:
        batch.add(second.key, second.digest, email(1), [outcome()])

    assert (first.key, first.digest, first.received_at) == (raw.key, raw.digest, raw.received_at)
    assert (first.attempts, second.attempts) == (1, 2)
    assert second.tried_at == NOW + timedelta(hours=1)
    assert store.quarantined() == []
    [row] = store.queue()
    story = store.case(row.case_id)
    assert story is not None
    assert story.audit[0].event == "retried"
    assert store.known([raw.key]) == {raw.key}


def test_messages_without_bytes_are_set_aside_one_by_one(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        batch.quarantine(key(1), "", "oversize")
        batch.quarantine(key(2), "", "oversize")
        batch.vanished(key(3))
    with store.batch(now=NOW) as batch:
        batch.quarantine(key(1), "", "oversize")
    with store.batch(now=NOW) as batch:
        batch.add(key(2), "d2", email(2), [])

    [left] = store.quarantined()
    assert (left.key, left.digest, left.attempts) == (key(1), "", 2)
    assert store.known([key(1), key(2), key(3)]) == {key(1), key(2), key(3)}


def test_text_that_a_database_refuses_is_made_storable(store: Store) -> None:
    nasty = "a\0b \ud800 \ud83d\ude00 é"
    read = email(1, subject=nasty, new_text=nasty, references=(nasty,))
    wild = replace(REQUEST, client_ref=nasty)

    with store.batch(now=NOW) as batch:
        batch.prefetch([(read, [wild])], ["d1"])
        batch.open_cases(nasty, (nasty,), (nasty,), (nasty,))
        batch.add(key(1, folder=nasty), "d1", read, [outcome(wild)])
        batch.quarantine(key(2), "d2", nasty, nasty)
        batch.advance(Cursor(SOURCE, nasty, 7, 1))

    found = store.message("<1@mail.example>")
    [row] = store.queue()
    assert found is not None
    assert found.email.subject == "a�b � \U0001f600 é"
    assert row.request.client_ref == found.email.subject
    assert store.known([key(1, folder=nasty)])
    assert store.cursor(SOURCE, nasty) is not None


def test_an_impossible_date_is_stored_all_the_same(store: Store) -> None:
    from datetime import datetime, timezone

    early = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))

    with store.batch(now=NOW) as batch:
        batch.add(key(1), "d1", email(1, sent_at=early), [])

    found = store.message(1)
    assert found is not None
    assert found.email.sent_at.year == 1


def test_runs_are_recorded_and_a_tally_that_does_not_add_up_is_said(store: Store) -> None:
    good = store.start_run([SOURCE], NOW)
    store.finish_run(good, Tally(4, 1, 1, 1, 1, vanished=2), NOW + timedelta(seconds=3))
    bad = store.start_run([SOURCE], NOW)
    store.finish_run(bad, Tally(fetched=4, queued=3), NOW)
    killed = store.start_run([SOURCE], NOW)

    third, second, first = store.runs()

    assert (first.run_id, first.status, first.sources) == (good, "done", (SOURCE,))
    assert first.finished_at == NOW + timedelta(seconds=3)
    assert second.status == "done, does not add up"
    assert (third.run_id, third.finished_at) == (killed, None)
    assert store.runs(limit=1) == [third]


def test_health_counts_the_backlog(store: Store) -> None:
    before = store.counts()
    with store.batch(now=NOW) as batch:
        batch.add(key(1), "d1", email(1), [outcome(), outcome(queue="general")])
        batch.quarantine(key(2), "d2", "empty")

    after = store.counts()

    assert (before.messages, before.open_cases, before.last_run) == (0, 0, None)
    assert (after.messages, after.open_by_queue, after.quarantined) == (1, {"cancellation": 1}, 1)
    assert after.oldest_open_at == NOW


def test_the_audit_trail_shows_what_was_tampered_with(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        batch.add(key(1), "d1", email(1), [outcome(), outcome()])
    with store.batch(now=NOW) as batch:
        batch.add(key(2), "d2", email(2), [outcome()])
    whole = store.first_broken_audit_row()

    def broken_by(statement: str) -> int | None:
        with store._database.reading() as connection:  # which undoes it
            unguard(connection)
            connection.execute(text(statement))
            return first_broken(connection)

    assert whole is None
    assert broken_by("UPDATE audit SET actor = 'somebody' WHERE id = 2") == 2
    assert broken_by("DELETE FROM audit WHERE id = 3") == 3
    assert broken_by("DELETE FROM audit WHERE id = 5") == 5
    assert store.first_broken_audit_row() is None


@pytest.mark.parametrize(
    "statement", ["UPDATE audit SET actor = 'somebody'", "DELETE FROM audit WHERE id = 1"]
)
def test_the_database_itself_refuses_to_change_the_audit_trail(
    store: Store, statement: str
) -> None:
    with store.batch(now=NOW) as batch:
        batch.add(key(1), "d1", email(1), [outcome()])

    with pytest.raises(DBAPIError, match="append-only"), store._database.engine.begin() as changes:
        changes.execute(text(statement))

    assert store.first_broken_audit_row() is None


def unguard(connection: Connection) -> None:
    """As the owner of the tables could."""
    if connection.dialect.name == "sqlite":
        connection.execute(text("DROP TRIGGER audit_no_update"))
        connection.execute(text("DROP TRIGGER audit_no_delete"))
    else:
        connection.execute(text("DROP TRIGGER audit_no_change ON audit"))


def test_two_connections_racing_on_the_same_mail_store_it_once(store_url: str) -> None:
    start = threading.Barrier(4)

    def work(number: int) -> None:
        with open_store(store_url) as store:
            start.wait(30)
            for uid in range(1, 11):
                raw = raw_message(uid)
                store.keep_raw([raw])
                with store.batch(now=NOW) as batch:
                    place = key(uid, folder=f"F{number}")
                    if batch.seen(raw.digest):
                        batch.already_known(place, raw.digest)
                    else:
                        batch.add(place, raw.digest, email(uid), [outcome()])

    open_store(store_url).close()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    with open_store(store_url) as store:
        assert rows_of(store, "messages") == rows_of(store, "cases") == rows_of(store, "raws") == 10
        assert rows_of(store, "places") == 40
        assert store.first_broken_audit_row() is None


def test_who_reads_sees_one_moment_whatever_is_stored_meanwhile(store_url: str) -> None:
    with open_store(store_url) as reader, open_store(store_url) as writer:
        with reader._database.reading() as connection:
            before = connection.scalar(text("SELECT count(*) FROM messages"))
            with writer.batch(now=NOW) as batch:
                batch.add(key(1), "digest 1", email(1), [outcome()])
            after = connection.scalar(text("SELECT count(*) FROM messages"))
        with reader._database.reading() as connection:
            later = connection.scalar(text("SELECT count(*) FROM messages"))

    assert (before, after, later) == (0, 0, 1)
