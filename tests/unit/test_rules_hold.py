"""What must never happen, whatever is written, registered, or asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from casework import Desk, Registry, an_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from triage.labels import (
    AGREEMENTS,
    FIT_REASONS,
    KINDS,
    NOTIFICATIONS,
    PRESENTING_ISSUES,
    REQUIRED_APPROACHES,
    RISKS,
    STAGES,
)
from triage.matter import Thresholds
from triage.records import Client, Finding, Request, Session, Therapist

NOW = datetime(2025, 11, 5, 10, tzinfo=UTC)
MARIAN, DESK, RUTH = "marian@oldroyd.example", "desk@oldroyd.example", "ruth@still.example"
SENDERS = (MARIAN, DESK, RUTH, "alex@elsewhere.example")
IDS = ("HT-218834", "HT-218835", "HT-218836", "HT-218837", "HT-999999")
CERTAIN = Thresholds()


def session(n: int, owner: str, hours: float, status: str) -> Session:
    return Session(IDS[n], owner, f"C-{n}", NOW + timedelta(hours=hours), "initial", status)


REGISTRY = Registry(
    sessions=(
        session(0, "T-MARIAN", 48, "confirmed"),
        session(1, "T-MARIAN", -30, "held"),
        session(2, "T-MARIAN", 72, "cancelled"),
        session(3, "T-RUTH", 48, "confirmed"),
    ),
    therapists=(
        Therapist("T-MARIAN", "Marian", (MARIAN,), (DESK,)),
        Therapist("T-RUTH", "Ruth", (RUTH,), ()),
    ),
    clients=tuple(
        Client(f"C-{n}", first, "Hart", "")
        for n, first in enumerate(("Imogen", "Devinder", "Sarah", "Tom"))
    ),
)
sure = st.sampled_from([0.3, 0.75, 1.0])


@st.composite
def requests(draw: st.DrawFn) -> Request:
    def some(codes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(draw(st.lists(st.sampled_from(codes[:4]), max_size=2, unique=True)))

    told = draw(st.sampled_from([*NOTIFICATIONS, "discussed", "discussed"]))
    return Request(
        draw(st.sampled_from([*KINDS, "cancellation", "cancellation"])),
        session_ids=tuple(draw(st.lists(st.sampled_from(IDS), max_size=2, unique=True))),
        client_ref=draw(st.sampled_from([None, "Imogen", "Imogen Hart", "Tom H", "my 10am"])),
        session_time=draw(st.sampled_from([None, "2025-11-07T10:00", "2025-11-07"])),
        session_stage=draw(st.sampled_from(STAGES)),
        fit_reasons=some((*FIT_REASONS[:3], "unspecified")),
        presenting_issues=some(PRESENTING_ISSUES),
        required_approaches=some(REQUIRED_APPROACHES),
        client_notification=told,
        client_agreement=draw(st.sampled_from(AGREEMENTS)),
        risk=draw(st.sampled_from([*RISKS, "none", "none"])),
        confidence=draw(sure),
        findings=(
            Finding("client_notification", told, None, "model:x", draw(sure)),
            Finding("session_ids", "", None, "model:x", draw(sure)),
        ),
    )


COMPLETE = Request(
    "cancellation",
    session_ids=IDS[:1],
    client_ref="Imogen",
    fit_reasons=("approach_mismatch",),
    presenting_issues=("ocd",),
    required_approaches=("erp",),
    client_notification="discussed",
)


@given(st.lists(st.tuples(st.sampled_from(SENDERS), st.booleans(), requests()), max_size=4))
@example([(MARIAN, True, COMPLETE)])
@settings(max_examples=150, deadline=None)
def test_nothing_is_ready_unless_every_rule_is_met(mails):
    desk = Desk(REGISTRY)
    for number, (sender, trusted, request) in enumerate(mails):
        sent = NOW - timedelta(hours=9 - number)
        email = an_email(sender, message_id=f"<{number}@x>", authenticated=trusted, sent_at=sent)
        handled = desk.take(email, request, NOW)
        if handled.decision.state == "ready":
            _holds(email, handled)
        if handled.request.risk == "urgent" and not email.automatic:
            assert (handled.decision.priority, handled.decision.safeguarding) == (0, True)


def _holds(email, handled):
    request, facts = handled.request, handled.facts
    assert handled.decision.blockers == ()
    assert request.kind in {"cancellation", "referral"}
    assert request.client_notification == "discussed"
    assert request.confidence_in("client_notification") >= CERTAIN.told
    assert request.confidence >= CERTAIN.kind
    assert email.authentication.passed
    assert facts.sender_is in {"owner", "delegate"}
    assert facts.session is not None
    assert set(request.fit_reasons) - {"unspecified"}
    assert request.presenting_issues
    assert request.required_approaches or request.required_experience
    assert request.risk != "urgent"
    assert request.client_agreement != "declines"
    if request.kind == "cancellation":
        assert facts.session.starts_at > NOW
        assert facts.session.status in {"confirmed", "unconfirmed"}


@given(requests(), st.sampled_from(IDS), st.sampled_from([RUTH, SENDERS[3]]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_stranger_never_joins_and_never_learns_that_a_session_exists(
    request, named, sender, trusted
):
    def answer(known: Registry):
        desk = Desk(known)
        desk.take(an_email(message_id="<1@x>"), COMPLETE, NOW)
        email = an_email(
            sender, message_id="<2@x>", in_reply_to="<1@x>", authenticated=trusted, sent_at=NOW
        )
        theirs = desk.take(email, replace(request, session_ids=(named,)), NOW)
        return theirs, desk

    without = replace(
        REGISTRY, sessions=tuple(s for s in REGISTRY.sessions if s.session_id != named)
    )
    theirs, desk = answer(REGISTRY)
    if any(s.session_id == named and s.therapist_id == "T-RUTH" for s in REGISTRY.sessions):
        return  # her own
    unknown, _ = answer(without)

    assert not theirs.joined
    assert desk.cases[1].message_ids == ("<1@x>",)
    if request.risk != "urgent":
        assert _words(theirs) == _words(unknown)


def _words(handled) -> str:
    return handled.decision.draft.body if handled.decision.draft else ""


@given(
    st.lists(
        st.tuples(st.sampled_from([MARIAN, DESK]), st.sampled_from(IDS[:3]), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=80, deadline=None)
def test_there_is_exactly_one_case_for_a_session_and_what_is_asked_of_it(mails):
    desk = Desk(REGISTRY)
    for number, (sender, session_id, in_words) in enumerate(mails):
        client = f"{('Imogen', 'Devinder', 'Sarah')[IDS.index(session_id)]} Hart"
        start = REGISTRY.session(session_id).starts_at.strftime("%Y-%m-%dT%H:%M")
        by_name = {"session_ids": (), "client_ref": client, "session_time": start}
        by_number = {"session_ids": (session_id,), "client_ref": client}
        ask = replace(COMPLETE, **(by_name if in_words else by_number))
        sent = NOW - timedelta(hours=9 - number)
        desk.take(an_email(sender, message_id=f"<{number}@x>", sent_at=sent), ask, NOW)

    effects = Counter(
        (case.session_id, case.request.kind) for case in desk.cases.values() if case.session_id
    )
    assert all(count == 1 for count in effects.values()), effects
