"""A client's letter says what happened and what comes next, and nothing a therapist wrote."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
from casework import Desk, an_email, shipped_wording
from casework.scenarios import registry
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.client_letters import client_letter, told_too_much
from triage.labels import (
    AGREEMENTS,
    CODE_SETS,
    NOTIFICATIONS,
)
from triage.linking import link
from triage.phrasing import in_words
from triage.records import CaseFacts, Request
from triage.verdicts import Verdict

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)
KNOWN = registry(known=True)
WORDING = shipped_wording()
NAMES = ("client_cancelled", "client_alternatives", "client_guarantee")
ASKED = Request("cancellation", session_ids=("HT-218834",), client_notification="discussed")
#: What the house says in every such letter; that it is also said of a matter is no remark on it.
OURS = {"service_not_offered", "personal_impact"}


def facts_of(request: Request = ASKED) -> CaseFacts:
    return link(an_email(), request, KNOWN, None, NOW)


def letter(name: str, request: Request = ASKED, **more: Any) -> Any:
    return client_letter(name, request, facts_of(), KNOWN, WORDING, **more)  # type: ignore[arg-type]


def plain(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.casefold())


def runs(text: str, size: int = 4) -> set[tuple[str, ...]]:
    words = plain(text)
    return {tuple(words[n : n + size]) for n in range(len(words) - size + 1)}


def codes(field: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(CODE_SETS[field]), max_size=4, unique=True).map(tuple)


#: What therapists write, made of the words for every code and of words that letters use as well.
REMARKS = st.lists(
    st.sampled_from(
        [
            *(in_words(code) for every in CODE_SETS.values() for code in every),
            *("she has been", "his drinking", "a bottle of wine", "I am not trained", "afraid of"),
            *("your session with", "Imogen", "and", "the", "please cancel", "we have talked"),
            *("therapist", "somebody else", "on Thursday", "she told me", "risk"),
        ]
    ),
    max_size=30,
).map(" ".join)


@given(
    st.sampled_from(NAMES),
    REMARKS,
    st.fixed_dictionaries({field: codes(field) for field in CODE_SETS}),
    st.sampled_from(NOTIFICATIONS),
    st.sampled_from(AGREEMENTS),
)
@settings(max_examples=150, deadline=None)
def test_nothing_that_a_therapist_wrote_changes_a_word_of_the_clients_letter(
    name: str, remarks: str, stated: dict[str, tuple[str, ...]], told: Any, agreed: Any
) -> None:
    bare = replace(ASKED, client_notification=told, client_agreement=agreed)
    full = replace(
        bare, **stated, client_ref=remarks[:40], notification_evidence=remarks, risk="concern"
    )

    with_all, with_none = letter(name, full), letter(name, bare)

    assert with_all == with_none


@given(REMARKS, st.fixed_dictionaries({field: codes(field) for field in CODE_SETS}))
@settings(max_examples=60, deadline=None)
def test_what_goes_to_the_client_on_approval_holds_no_remark_of_the_therapist(
    remarks: str, stated: dict[str, tuple[str, ...]]
) -> None:
    desk = Desk(KNOWN, wording=WORDING)
    complete = {"fit_reasons": ("availability",), "presenting_issues": ("ocd",)}
    needs = {"required_approaches": ("erp",)}
    given_too = {field: (*stated[field], *{**complete, **needs}.get(field, ())) for field in stated}
    request = replace(ASKED, **given_too, alternatives_requested=True)
    desk.take(an_email(text=remarks, sent_at=NOW), request, NOW)

    done = desk.act(Verdict(1, "approve", "anna", NOW))

    [sent] = [item for item in done.outgoing if item.action == "client_cancelled"]
    body = str(sent.payload["body"])
    bare = replace(ASKED, client_notification="discussed")
    names = [str(n) for item in done.outgoing for n in item.payload.get("alternatives", ())]
    ours = letter("client_cancelled", bare, suggested=names).body
    assert body == ours
    for issue in (*request.presenting_issues, *request.required_approaches):
        assert plain(in_words(issue)) != plain(body)[:1]
        if issue not in OURS:
            assert f" {' '.join(plain(in_words(issue)))} " not in f" {' '.join(plain(body))} "
    # Runs of the house's own standing phrases may be written by anybody; none is the therapist's.
    assert not (runs(remarks) & runs(body)) - runs(ours)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("guarantee", [False, True])
def test_no_letter_as_shipped_names_a_reason_an_issue_or_a_need(
    name: str,
    guarantee: bool,  # noqa: FBT001
) -> None:
    for agreed in AGREEMENTS:
        for told in NOTIFICATIONS:
            request = replace(ASKED, client_agreement=agreed, client_notification=told)
            found = letter(name, request, suggested=("T-OMAR", "T-JAN"), guarantee=guarantee)
            words = f" {' '.join(plain(found.subject + ' ' + found.body))} "
            clinical = [code for every in CODE_SETS.values() for code in every]
            named = [code for code in clinical if f" {' '.join(plain(in_words(code)))} " in words]
            assert named == []


def test_no_mail_of_the_sample_shares_four_words_with_a_letter_by_more_than_chance() -> None:
    texts = [
        path.read_text("utf-8", "replace")
        for path in (files("ingest.sample") / "Maildir" / "new").iterdir()  # type: ignore[attr-defined]
    ]
    bodies = [letter(name, suggested=("T-OMAR", "T-JAN"), guarantee=True).body for name in NAMES]

    shared = {run for text in texts for run in runs(text) for body in bodies if run in runs(body)}

    # Everyday politeness that both sides write.
    assert {" ".join(run) for run in shared} <= {"has asked us to"}


def test_a_letter_to_a_client_begins_a_thread_of_its_own() -> None:
    found = letter("client_cancelled")

    assert found.in_reply_to == ""
    assert found.references == ()
    assert not found.subject.startswith("Re:")
    assert found.to == "imogen@client.example"


def test_a_client_without_an_address_is_not_written_to() -> None:
    facts = facts_of()
    assert facts.client is not None
    nobody = replace(facts, client=replace(facts.client, email=""))

    assert client_letter("client_cancelled", ASKED, nobody, KNOWN, WORDING) is None


def test_a_client_with_a_strange_name_is_greeted_without_it() -> None:
    facts = facts_of()
    assert facts.client is not None
    odd = replace(
        facts, client=replace(facts.client, first_name="<b>", last_name="http://x.example")
    )

    found = client_letter("client_cancelled", ASKED, odd, KNOWN, WORDING)

    assert found is not None
    assert found.body.startswith("Hello,\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Dear Imogen, for your OCD somebody else is better.", "OCD"),
        ("Dear Imogen, she said you wash your hands for hours.", "repeats words"),
        ("Dear Imogen, somebody who offers ERP would suit you.", "ERP"),
        ("Dear Imogen, your session is cancelled. Ring me on 01632 960000.", ""),
    ],
)
def test_an_edited_letter_is_looked_through_before_it_goes(text: str, said: str) -> None:
    email = an_email(text="I think she would wash your hands for hours if you let her.")
    request = replace(ASKED, presenting_issues=("ocd",), required_approaches=("erp",))

    problem = told_too_much(text, letter("client_cancelled").body, [email], request)

    assert (said in problem) if said else problem == ""


def test_words_of_any_of_the_case_s_mails_stay_with_the_team() -> None:
    first = an_email(text="I think she would wash your hands for hours if you let her.")
    latest = an_email(text="Did you get my mail?", subject="Her hands again, every single day")

    for text in ("She said you wash your hands for hours.", "It is her hands again, every single."):
        plain = letter("client_cancelled").body
        assert "repeats words" in told_too_much(text, plain, [latest, first], ASKED)


def test_the_platform_gets_codes_and_ids_and_no_words_of_anybody() -> None:
    desk = Desk(KNOWN, wording=WORDING)
    remarks = "She washes her hands for hours and her sister fears for her."
    request = replace(
        ASKED,
        fit_reasons=("approach_mismatch",),
        presenting_issues=("ocd",),
        required_approaches=("erp",),
        notification_evidence="I told her on Monday",
    )
    desk.take(an_email(text=remarks, sent_at=NOW), request, NOW)

    done = desk.act(Verdict(1, "approve", "anna", NOW))

    [told] = [item for item in done.outgoing if item.channel == "platform"]
    text = json.dumps(told.payload)
    assert not any(f"{one} {two}" in text for one, two in pairwise(remarks.split()))
    assert "ocd" not in text
    assert "anna" not in text
