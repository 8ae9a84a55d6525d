"""Searching and filtering cases, on both databases: what is found, and that it follows changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from store_samples import (
    CLIENTS,
    NOW,
    REQUEST,
    THERAPISTS,
    email,
    key,
    outcome,
    registry_file,
    session,
)

from store import NOBODY, Store, Wanted, open_store
from store.search import Term, forget_replaced_words, terms_of
from triage.records import Address, CaseFacts, Client, Session, Therapist
from triage.verdicts import Verdict

ANA = Therapist("T1", "Ana Reid", ("ana@practice.example",), ())
JO = Client("C1", "Jo", "May", "")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


def keep(store: Store, number: int, *, joined: int | None = None, **said: Any) -> int:
    """A case of a mail that says this, or one more mail of the case *joined*; its number."""
    decided = {name: said.pop(name) for name in ("facts", "request") if name in said}
    standing = {
        name: said.pop(name)
        for name in ("queue", "state", "blockers", "deadline", "priority", "safeguarding")
        if name in said
    }
    made = outcome(joined=joined, **decided, **standing)
    mail = replace(email(number), **said)
    with store.batch(now=NOW) as batch:
        [case_id] = batch.add(key(number), f"digest {number}", mail, [made])
    return case_id


def known(session_id: str = "HT-210002") -> CaseFacts:
    booked = Session(session_id, "T1", "C1", NOW + timedelta(days=2), "initial", "unconfirmed")
    return CaseFacts(
        registry_known=True, sender_is="owner", therapist=ANA, session=booked, client=JO
    )


def found(store: Store, typed: str, **wanted: Any) -> list[int]:
    return [
        row.case_id for row in store.page(Wanted(words=typed, include_closed=True, **wanted)).rows
    ]


def close(store: Store, case_id: int, state: str = "done") -> None:
    story = store.case(case_id)
    assert story
    store.act(
        Verdict(case_id, "approve", "anna", NOW), version=story.case.version, state=state,
        request=None, decision=None, outgoing=(), now=NOW,
    )  # fmt: skip


def people(
    store: Store, *, therapist: str = "Ana Reid", first: str = "Jo", last: str = "May"
) -> None:
    store.import_registry(
        therapists=registry_file([{**THERAPISTS[0], "name": therapist}]),
        clients=registry_file([{**CLIENTS[0], "first_name": first, "last_name": last}]),
        sessions=registry_file([session()]),
        now=NOW,
    )


# --- what is found --------------------------------------------------------------------------------


def test_what_staff_remember_of_a_case_finds_it(store: Store) -> None:
    people(store, therapist="Zoë Müller-Łukasz", first="Siân", last="O'Neill")
    sender = Address("Dr. Renée", "zoe.m@praxis.example")
    here = keep(
        store, 1, facts=known(), new_text="The client’s pteronophobia is beyond me.",
        subject="Re: our café talk", quoted_text="> a marmalade question", sender=sender,
    )  # fmt: skip
    keep(store, 2, new_text="Something else entirely.", subject="Other", quoted_text="")

    for typed in (
        "HT-210002", "ht-2100", "210002", "Zoë", "zoe", "ZOE", "zoe\u0308", "müller", "muller-łuk",
        "sian", "o'neill", "neill", "pteronophobia", "pterono", "cafe", "marmalade", "renee",
        "zoe.m@praxis.example", "praxis", "T1", "C1", f"{here}", "zoe pteronophobia marmalade",
        '"beyond me"', "“beyond me”", '"our cafe talk"',
    ):  # fmt: skip
        assert found(store, typed) == [here], typed


def test_all_words_must_be_there_and_a_phrase_as_it_stands(store: Store) -> None:
    keep(store, 1, new_text="She cannot come on Friday because of the snow.")

    assert found(store, "friday zebra") == []
    assert found(store, '"friday she"') == []
    assert found(store, '"fri"') == []
    assert found(store, "fr") == []
    assert len(found(store, '"because of the" friday')) == 1


@pytest.mark.parametrize(
    "typed",
    [
        '"', '""', "'", "*", "a*", "(", ")", "AND", "OR NOT", "NEAR(a b)", "words : x", "-x", "^a",
        "a:b", ":*", "!", "&", "|", "<->", "a & b", "\\", "' OR 1=1 --", "%", "_", "\0", "{}", "+",
        "x" * 5000, '"' * 99, "é" * 300, "\u0308", "😀", "\ud800", "½", "①", "ﬁ", "words", "rank",
    ],
)  # fmt: skip
def test_nothing_that_can_be_typed_is_a_wrong_question(store: Store, typed: str) -> None:
    keep(store, 1, new_text="Plain.")

    assert isinstance(found(store, typed), list)


def test_words_are_taken_from_what_was_typed() -> None:
    assert terms_of('zoe "On Friday" HT-21 li') == (
        Term(("zoe",), is_beginning=True),
        Term(("on", "friday"), is_beginning=False),
        Term(("ht", "21"), is_beginning=False),
        Term(("li",), is_beginning=False),
    )
    assert terms_of("?! ...") == ()


@pytest.mark.parametrize("bound", ["_FEW", "_MANY"])
def test_few_and_many_hits_are_found_alike(
    store: Store, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    numbers = [keep(store, n, new_text="About the badger.") for n in range(1, 4)]
    numbers.append(keep(store, 4, new_text="About a bear."))
    for number in (numbers[0], numbers[1], numbers[3]):
        close(store, number)

    at_once = found(store, "about badger")
    monkeypatch.setattr(f"store.search.{bound}", 0)  # one is many now

    assert found(store, "about badger") == at_once == [numbers[2], numbers[1], numbers[0]]


def test_signs_alone_find_nothing_rather_than_everything(store: Store) -> None:
    keep(store, 1)

    assert found(store, "?!") == []


def test_open_cases_are_found_before_closed_ones_and_those_newest_first(store: Store) -> None:
    numbers = [keep(store, n, subject="snowdrop") for n in range(1, 6)]
    for number in numbers[:3]:
        close(store, number)

    assert found(store, "snowdrop") == [4, 5, 3, 2, 1]


# --- it follows changes ---------------------------------------------------------------------------


def test_a_further_mail_is_found_with_its_case(store: Store) -> None:
    here = keep(store, 1, new_text="A first mail.")
    keep(store, 2, joined=here, new_text="Then a kingfisher.")

    assert found(store, "kingfisher first") == [here]


def test_a_renamed_therapist_or_client_is_found_by_the_new_name_alone(store: Store) -> None:
    people(store)
    here = keep(store, 1, facts=known(), sender=Address("", "desk@practice.example"), signature="")
    assert found(store, "reid may") == [here]

    people(store, therapist="Ana Szczepańska", first="Joanna", last="Winter")

    assert found(store, "szczepanska joanna winter") == [here]
    assert found(store, "reid") == []
    assert found(store, "may") == []


def test_a_case_is_found_whether_open_or_closed(store: Store) -> None:
    here = keep(store, 1, new_text="A nightjar.")

    close(store, here)
    assert found(store, "nightjar") == [here]
    assert [row.case_id for row in store.page(Wanted(words="nightjar")).rows] == []

    store.undo(here, "anna", NOW)
    assert [row.case_id for row in store.page(Wanted(words="nightjar")).rows] == [here]


def test_what_a_person_sets_right_is_found(store: Store) -> None:
    here = keep(store, 1)
    story = store.case(here)
    assert story
    store.act(
        Verdict(here, "correct", "anna", NOW), version=1, state=None,
        request=replace(REQUEST, session_ids=("KX-77",)), decision=None, outgoing=(), now=NOW,
        facts=known("KX-77"),
    )  # fmt: skip

    assert found(store, "kx-77") == [here]


def test_words_that_are_erased_are_found_no_more_and_leave_no_trace(
    store: Store, store_url: str
) -> None:
    here = keep(store, 1, new_text="The unmistakable quetzalcoatlus.", subject="plain")
    gone = keep(store, 2, new_text="The unmistakable archaeopteryx.")
    for other in range(3, 9):
        keep(store, other)
    with store._database.writing() as connection:
        connection.execute(text("UPDATE messages SET new_text = '' WHERE id = 1"))
        for table, column in (("decisions", "case_id"), ("cases", "id"), ("messages", "id")):
            connection.execute(text(f"DELETE FROM {table} WHERE {column} = {gone}"))

    assert found(store, "quetzalcoatlus") == []
    assert found(store, "archaeopteryx") == []
    assert found(store, "unmistakable") == []
    assert found(store, "plain") == [here]
    if store_url.startswith("sqlite"):
        with store._database.writing() as connection:
            forget_replaced_words(connection)
        with store._database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        file = Path(store_url.removeprefix("sqlite:///"))
        assert b"uetzalcoatlus" not in file.read_bytes()
        assert b"rchaeopteryx" not in file.read_bytes()
    assert_index_is_whole(store)


def assert_index_is_whole(store: Store) -> None:
    """The index says what the cases say, neither more nor less."""
    with store._database.writing() as connection:
        shown = "SELECT case_id, open, words FROM"
        kept = connection.execute(text(f"{shown} case_texts ORDER BY 1")).all()
        said = connection.execute(text(f"{shown} case_words ORDER BY 1")).all()
        assert [tuple(row) for row in kept] == [tuple(row) for row in said]
        if connection.dialect.name == "sqlite":
            for name in ("open_cases_search", "closed_cases_search"):
                check = f"INSERT INTO {name} ({name}, rank) VALUES ('integrity-check', 1)"
                connection.execute(text(check))


def test_a_mail_of_any_length_can_be_stored(store: Store) -> None:
    words = " ".join(f"word{n}" for n in range(60_000))

    here = keep(store, 1, new_text=words + " " + "é" * 100_000, subject="lengthy")

    assert found(store, "lengthy word17") == [here]
    assert_index_is_whole(store)


# --- filters --------------------------------------------------------------------------------------


def shown(store: Store, **wanted: Any) -> list[int]:
    return [row.case_id for row in store.page(Wanted(**wanted)).rows]


def test_filters_can_be_combined_freely(store: Store) -> None:
    sure, unsure = replace(REQUEST, confidence=0.95), replace(REQUEST, confidence=0.6)
    keep(store, 1, facts=known(), request=sure)
    keep(store, 2, facts=known("X-2"), request=unsure, state="check")
    keep(store, 3, request=unsure)
    store.act(
        Verdict(2, "assign", "anna", NOW, details={"assignee": "bert"}), version=1, state=None,
        request=None, decision=None, outgoing=(), now=NOW,
    )  # fmt: skip

    assert shown(store, therapist_id="T1") == [1, 2]
    assert shown(store, confidence=(0.0, 0.7)) == [2, 3]
    assert shown(store, confidence=(0.9, 2.0)) == [1]
    assert shown(store, assignee="bert") == [2]
    assert shown(store, assignee=NOBODY) == [1, 3]
    assert shown(store, therapist_id="T1", confidence=(0.0, 0.7), assignee="bert") == [2]
    assert shown(store, therapist_id="T1", confidence=(0.0, 0.7), state="ready") == []
    assert shown(store, words="session", confidence=(0.0, 0.7), state="check") == [2]


def test_an_undo_brings_the_former_confidence_back(store: Store) -> None:
    keep(store, 1, request=replace(REQUEST, confidence=0.6))
    store.act(
        Verdict(1, "correct", "anna", NOW), version=1, state=None,
        request=replace(REQUEST, confidence=1.0), decision=None, outgoing=(), now=NOW,
    )  # fmt: skip
    assert shown(store, confidence=(0.0, 0.7)) == []

    store.undo(1, "anna", NOW)

    assert shown(store, confidence=(0.0, 0.7)) == [1]


def test_pages_follow_each_other_while_cases_come_and_go(store: Store) -> None:
    for number in range(1, 13):
        due = None if number % 4 == 0 else NOW + timedelta(hours=number % 3)
        danger = number % 5 == 0
        keep(store, number, deadline=due, priority=number % 2, safeguarding=danger)
    for number in (3, 7, 11):
        close(store, number)
    everything = Wanted(include_closed=True)
    whole = [row.case_id for row in store.page(everything).rows]
    assert sorted(whole) == list(range(1, 13))
    assert whole[-3:] == [11, 7, 3]

    seen: list[int] = []
    after = None
    while True:
        page = store.page(everything, after, size=2)
        seen += [row.case_id for row in page.rows]
        if page.following is None:
            break
        after = page.following
        if len(seen) == 4:  # what lies behind comes and goes; what lies ahead does not move
            close(store, seen[0])
            keep(store, 99, deadline=NOW - timedelta(days=3), priority=0, safeguarding=True)

    assert [number for number in seen if number != whole[0]] == whole[1:]


def test_counts_are_those_of_the_pages(store: Store) -> None:
    keep(store, 1)
    keep(store, 2, queue="referral")
    keep(store, 3, queue="general", state="dismissed")
    keep(store, 4, queue="general", state="check")

    everything, mine = store.open_counts([Wanted(queue="referral")])

    assert everything == {"cancellation": 1, "referral": 1, "general": 1}
    assert mine == {"referral": 1}


def test_a_therapist_is_found_by_name_or_id(store: Store) -> None:
    people(store, therapist="Zoë Müller")

    for typed in ("t1", "T1", "zoe", "mull", "Müller Zoë"):
        assert [one.therapist_id for one in store.therapists_named(typed)] == ["T1"], typed
    assert store.therapists_named("") == []
    assert store.therapists_named("zebra") == []
