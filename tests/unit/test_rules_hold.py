"""What must never happen, whatever is written, registered, or asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from casework import Desk, Registry, an_email
from casework.made_up import (
    CERTAIN,
    COMPLETE,
    DESK,
    IDS,
    MARIAN,
    NOW,
    REGISTRY,
    RUTH,
    SENDERS,
    requests,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st


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
