"""A person who is to be forgotten: nothing of them is left, and nothing of them comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from privacy_samples import (
    HERS,
    HIS,
    LATER,
    PLACES,
    ask,
    count,
    facts,
    filled,
    hers,
    his,
    imported,
    judged,
    locked,
    take,
)
from services.postgres import Postgres
from sqlalchemy import create_engine, func, insert, select, text
from store_samples import (
    DECISION,
    email,
    key,
    raw_message,
)

from store import KeyPlace, LeaseLostError, Outcome, RefusedError, Store, StoreError, open_store
from store.contents import held, unknown
from store.erasing import Erased
from store.erasure_schema import tombstones
from store.roles import grant
from store.schema import audit, clients, decisions, messages, metadata, places, raws
from store.search_schema import is_of_the_index
from store.washing import wash
from triage.records import (
    Finding,
    Span,
)
from triage.verdicts import Verdict

#: Where nothing differs between the databases.
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


def erase(store: Store, **changes: object) -> Erased:
    wish = {"by": "boss", "reason": "request", "now": LATER, **changes}
    return store.erasures.erase("client", "C1", **wish)


def found_in_files(
    store: Store, url: str, request: pytest.FixtureRequest, words: tuple[str, ...]
) -> set[str]:
    """Those of *words* that stand somewhere in the database's own files, plain."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        files = [one for one in path.parent.iterdir() if one.name.startswith(path.name)]
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        with store.erasures.database.writing() as connection:
            oid = connection.scalar(
                text("SELECT oid FROM pg_database WHERE datname = current_database()")
            )
        with store.erasures.database.engine.connect() as opened:
            opened.execution_options(isolation_level="AUTOCOMMIT").execute(text("CHECKPOINT"))
        [folder] = postgres.home.glob(f"**/base/{oid}")
        files = [one for one in folder.iterdir() if one.is_file()]
    contents = [one.read_bytes() for one in files]
    return {word for word in words if any(word.encode() in one for one in contents)}


def test_every_column_that_can_hold_words_is_known_to_whoever_erases() -> None:
    unsaid = [f"{table.name}.{column.name}" for table, column, holds in held() if holds is None]

    assert unsaid == []
    assert unknown() == set()


def test_no_word_of_an_erased_client_is_left_in_the_files(
    store: Store, store_url: str, request: pytest.FixtureRequest
) -> None:
    filled(store)
    with store.erasures.database.engine.connect() as opened:
        opened.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("ANALYZE")
    there = found_in_files(store, store_url, request, PLACES)
    assert set(PLACES) - there <= {"zqraw"}  # bytes as served are kept compressed

    erased = erase(store)
    left = wash(store.erasures.database)

    assert left == []
    assert found_in_files(store, store_url, request, PLACES) == set()
    assert erased.cases == [1]
    assert store.first_broken_audit_row() is None


@on_sqlite
def test_everything_in_the_database_is_known_to_whoever_erases(store: Store) -> None:
    with store.erasures.database.reading() as connection:
        there = set(connection.dialect.get_table_names(connection))

    known = {table.name for table in metadata.sorted_tables}
    others = {one for one in there - known if not is_of_the_index(one)}
    assert others <= {"alembic_version", "sqlite_sequence"}


def test_a_trial_says_what_would_go_and_lets_it_be(store: Store) -> None:
    filled(store)
    before = everything(store)

    trial = erase(store, dry_run=True)
    after = everything(store)
    done = erase(store)

    assert after == before
    assert (trial.gone, trial.changed) == (done.gone, done.changed)
    assert done.gone["messages"] == 1
    assert done.changed["messages"] == 1


def everything(store: Store) -> dict[str, int]:
    with store.erasures.database.reading() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in metadata.sorted_tables
        }


@on_sqlite
def test_what_others_are_asked_about_stays(store: Store) -> None:
    filled(store)

    erase(store)

    story = store.case(2)
    assert story is not None
    assert story.messages[0].email.new_text == "Ned is fine."
    assert store.case(1) is None
    assert store.message("<1@mail.example>") is None


def test_of_a_mail_about_two_clients_the_sentence_about_the_other_stays(store: Store) -> None:
    imported(store)
    said = "HT-100001 is off, she is unwell. Nothing else. HT-100002 is off, he is away."
    here = said.index("he is away")
    reason = Finding("x", "y", Span("new_text", here, here + 10, "he is away"), "rule:x", 0.9)
    about_her = Finding("x", "y", Span("new_text", 0, 9, "HT-100001"), "rule:x", 0.9)
    mail = email(1, new_text=said, signature="Ana")
    take(
        store,
        1,
        mail,
        Outcome(replace(ask(HERS), findings=(about_her,)), facts(HERS), DECISION),
        Outcome(replace(ask(HIS), findings=(reason,)), facts(HIS), DECISION, ask=1),
    )

    erase(store)

    left = store.message("<1@mail.example>")
    assert left is not None
    assert left.email.new_text.endswith("HT-100002 is off, he is away.")
    assert "unwell" not in left.email.new_text
    assert "Nothing" not in left.email.new_text
    assert "erased_in_part" in left.email.defects
    story = store.case(2)
    assert story is not None
    [finding] = story.case.request.findings
    assert finding.span == reason.span


def test_the_same_mail_under_another_number_stays_out(store: Store) -> None:
    filled(store)
    erase(store)

    again = raw_message(1, text="zqraw", uidvalidity=8)
    store.keep_raw([again])
    with store.batch(now=LATER) as batch:
        assert batch.seen(again.digest)
        batch.already_known(again.key, again.digest)

    assert store.raw(again.digest) is None
    assert store.known([again.key]) == {again.key}
    assert count(store, messages) == 1
    with store.erasures.database.reading() as connection:
        [told] = connection.execute(select(tombstones).where(tombstones.c.blocked > 0))
        assert connection.scalar(select(places.c.digest).where(places.c.uidvalidity == 8)) == ""
    assert told.kind == "raw"


@on_sqlite
def test_a_mail_that_nobody_could_read_stays_out_too(store: Store) -> None:
    imported(store)
    raw = locked(store)
    erase(store)

    store.keep_raw([raw])
    with store.batch(now=LATER) as batch:
        batch.quarantine(key(51), raw.digest, "too_large")

    assert store.quarantined() == []
    assert store.raw(raw.digest) is None


@on_sqlite
def test_a_copy_of_the_mail_with_other_headers_stays_out(store: Store) -> None:
    filled(store)
    mail = store.message("<1@mail.example>")
    assert mail is not None
    erase(store)

    take(store, 9, mail.email, Outcome(ask(HERS), facts(HERS), DECISION), content="other bytes")

    assert store.message("<1@mail.example>") is None
    assert count(store, raws) == 0


def test_a_mail_that_had_come_but_was_not_stored_yet_is_not_stored_any_more(store: Store) -> None:
    imported(store)
    raw = raw_message(1, text="in flight")
    store.keep_raw([raw])
    erase(store)

    with store.batch(now=LATER) as batch:
        made = batch.add(raw.key, raw.digest, email(1), [Outcome(ask(HERS), facts(HERS), DECISION)])

    assert made == ()
    assert count(store, messages) == 0
    assert store.raw(raw.digest) is None


@on_sqlite
def test_of_a_mail_in_flight_what_is_about_others_is_stored(store: Store) -> None:
    imported(store)
    raw = raw_message(1, text="in flight")
    store.keep_raw([raw])
    erase(store)

    with store.batch(now=LATER) as batch:
        mail = email(1, new_text="HT-100001 is off. HT-100002 is off.")
        span = Span("new_text", 18, 27, "HT-100002")
        found = Finding("session_ids", "HT-100002", span, "rule:x", 0.9)
        mine = Outcome(ask(HERS), facts(HERS), DECISION)
        batch.add(
            raw.key,
            raw.digest,
            mail,
            [mine, Outcome(replace(ask(HIS), findings=(found,)), facts(HIS), DECISION, ask=1)],
        )

    left = store.message("<1@mail.example>")
    assert left is not None
    assert left.email.new_text.endswith("HT-100002 is off.")
    assert "HT-100001" not in left.email.new_text


@on_sqlite
def test_mail_that_comes_later_is_new_and_is_stored(store: Store) -> None:
    filled(store)
    erase(store)
    late = replace(raw_message(7, text="new"), received_at=LATER + timedelta(hours=1))
    store.keep_raw([late])

    with store.batch(now=LATER + timedelta(hours=1)) as batch:
        made = batch.add(late.key, late.digest, email(7, sent_at=LATER), [his()])

    assert len(made) == 1
    assert store.raw(late.digest) is not None


def test_the_registry_does_not_bring_an_erased_client_back(store: Store) -> None:
    imported(store)
    erase(store)

    therapists, people, booked = imported(store)

    assert (therapists.erased, people.erased, booked.erased) == (0, 1, 1)
    assert store.directory().client("C1") is None
    assert store.directory().session("HT-100001") is None
    assert store.directory().client("C2") is not None


@on_sqlite
def test_erasing_again_finds_nothing_and_tells_of_the_first_time(store: Store) -> None:
    filled(store)
    first = erase(store)

    second = erase(store, now=LATER + timedelta(days=1))

    assert second.number == first.number
    assert len(store.erasures.made()) == 1


@on_sqlite
def test_the_trail_of_an_erasure_is_counts_alone(store: Store) -> None:
    filled(store)

    erase(store)

    with store.erasures.database.reading() as connection:
        told = [str(row) for row in connection.execute(select(audit))]
    assert "erased" in told[-1]
    assert [one for one in told if "zq" in one.lower() or "'C1'" in one] == []


@on_sqlite
def test_a_therapist_is_erased_with_their_mails_and_as_an_alternative(store: Store) -> None:
    filled(store)

    wish = {"by": "boss", "reason": "request", "now": LATER}
    erased = store.erasures.erase("therapist", "T1", **wish)

    assert erased.cases == [1, 2]
    assert count(store, messages) == 0
    assert store.directory().therapist("T1") is None
    assert store.directory().therapists_at("desk@practice.example")  # is another's as well


@on_sqlite
def test_somebody_at_the_case_is_told_that_it_is_gone(store: Store) -> None:
    filled(store)
    erase(store)
    verdict = Verdict(1, "approve", "anna", LATER)

    with pytest.raises(RefusedError, match="there is no case 1"):
        store.act(
            verdict, version=2, state="done", request=None, decision=None, outgoing=[], now=LATER
        )


def test_what_was_about_to_leave_does_not(store: Store) -> None:
    imported(store)
    judged(store, hers(store))
    with store.sending("platform", "me", timedelta(minutes=1)) as sending:
        [row] = sending.take(LATER)
        erased = erase(store)

        with pytest.raises(LeaseLostError):
            sending.note(row, "about to be handed over")

    assert [one["state"] for one in erased.left] == ["sending"]
    assert store.outbox() == []


@on_sqlite
def test_an_erasure_is_repeated_by_its_marks_where_the_person_is_here_again(store: Store) -> None:
    imported(store)
    erased = erase(store)
    marks = store.erasures.marks(erased.number)
    with store.erasures.database.writing() as connection:  # as after a restore
        connection.execute(tombstones.delete())
        gone = {"client_id": "C1", "first_name": "", "last_name": "", "email": ""}
        connection.execute(insert(clients), gone | {"fingerprint": ""})

    assert store.erasures.named_by(marks) == [("client", "C1")]


def test_whoever_is_erased_while_mail_about_them_is_being_stored_is_erased(store: Store) -> None:
    imported(store)
    begun, problems = threading.Barrier(3), []

    def go_on(first: int) -> None:
        begun.wait(30)
        for number in range(first, first + 12):
            try:
                take(store, number, email(number, new_text="zqnew"), told, content=f"zqraw{number}")
            except StoreError as error:
                problems.append(str(error))

    told = Outcome(ask(HERS), facts(HERS), DECISION)
    threads = [threading.Thread(target=go_on, args=(first,)) for first in (100, 200)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    erase(store)
    for thread in threads:
        thread.join(60)

    assert problems == []
    assert count(store, messages) == 0
    assert count(store, raws) == 0
    assert store.first_broken_audit_row() is None


def test_a_sealed_database_forgets_as_well(
    store_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = KeyPlace(tmp_path / "keys")
    place.add()
    with open_store(store_url, keys=place) as store:
        filled(store)

        erase(store)
        left = wash(store.erasures.database)

        assert left == []
        assert found_in_files(store, store_url, request, PLACES) == set()
        story = store.case(2)
        assert story is not None
        assert story.messages[0].email.new_text == "Ned is fine."
        assert "zqcopied" not in story.messages[0].email.quoted_text


@pytest.mark.postgres
def test_a_role_that_owns_nothing_erases_and_says_what_the_owner_must_do(
    postgres: Postgres,
) -> None:
    url = postgres.database()
    owner = create_engine(url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(text("DROP ROLE IF EXISTS forgetful"))
        connection.execute(text("CREATE ROLE forgetful LOGIN"))
    grant(url, "forgetful")

    with open_store(url.replace("postgres@", "forgetful@")) as store:
        filled(store)
        erase(store)
        left = wash(store.erasures.database)

    with owner.connect() as connection:
        connection.execute(text("DROP OWNED BY forgetful"))
        connection.execute(text("DROP ROLE forgetful"))
    owner.dispose()
    with open_store(url) as store:
        assert count(store, messages) == 1
    assert len(left) == 3
    assert "owner" in left[0]


@on_sqlite
def test_an_ask_that_was_told_in_an_erased_case_is_passed_over(store: Store) -> None:
    imported(store)
    take(store, 1, email(1), Outcome(ask(HERS), facts(HERS), DECISION))
    case_id = take(store, 2, email(2), his())
    with store.erasures.database.writing() as connection:  # as a conversation that is told again
        request = connection.scalar(select(decisions.c.request).where(decisions.c.id == 2))
        moved = {**request, "asks": [[1, 0], [2, 0]]}
        connection.execute(decisions.update().where(decisions.c.id == 2).values(request=moved))

    erase(store)

    with store.batch(now=LATER) as batch:
        [case] = batch.open_cases("ana@practice.example")
        said = batch.said([case])
    assert case.case_id == case_id
    assert [one.place for one in said] == [(2, 0)]
