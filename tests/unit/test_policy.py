"""What holds whatever is written: checked on thousands of made-up matters, not on examples."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from casework import Desk, Registry, an_email, shipped_wording
from hypothesis import given, settings
from hypothesis import strategies as st

from triage import labels
from triage.cases import merged
from triage.deadlines import OfficeHours
from triage.linking import link
from triage.policy import RULES, decide
from triage.records import CaseFacts, Client, Finding, Request, Session, Therapist
from triage.replies import TEMPLATES, draft_reply

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)
OFFICE = OfficeHours()
WORDING = shipped_wording()
MARIAN = Therapist("T-MARIAN", "Marian Oldroyd", ("marian@oldroyd.example",), ("desk@o.example",))
RUTH = Therapist("T-RUTH", "Ruth Hale", ("ruth@still.example",), ())
IMOGEN = Client("C-IMOGEN", "Imogen", "Hart", "")
TOM = Client("C-TOM", "Tom", "Reed", "")
BLOCKERS = {
    "client_not_told",
    "reasons_not_discussed",
    "reason_missing",
    "issues_missing",
    "needs_missing",
    "sender_unverified",
    "not_session_owner",
    "session_unknown",
    "session_ambiguous",
    "session_past",
    "low_confidence",
    "contradiction",
    "urgent_risk",
    "client_disagrees",
}


def codes(names):
    return st.lists(st.sampled_from(names), max_size=2, unique=True).map(tuple)


requests = st.builds(
    Request,
    kind=st.sampled_from(labels.KINDS),
    session_ids=st.sampled_from(
        [(), ("HT-100001",), ("HT-100002",), ("HT-999999",), ("HT-100001", "HT-100002")]
    ),
    client_ref=st.sampled_from([None, "Imogen", "Imogen Hart", "I.H.", "Tom", "my 7pm"]),
    session_time=st.sampled_from([None, "2025-11-06T19:00", "2025-11-06", "2025-10-01"]),
    session_stage=st.sampled_from(labels.STAGES),
    fit_reasons=codes(["approach_mismatch", "outside_competence", "unspecified"]),
    presenting_issues=codes(["ocd", "anxiety"]),
    required_approaches=codes(["erp", "cbt"]),
    required_experience=codes(["couples"]),
    client_notification=st.sampled_from(labels.NOTIFICATIONS),
    client_agreement=st.sampled_from(labels.AGREEMENTS),
    alternatives_requested=st.booleans(),
    guarantee_asked=st.booleans(),
    risk=st.sampled_from(labels.RISKS),
    confidence=st.sampled_from([0.3, 0.69, 0.7, 0.99]),
    findings=st.lists(
        st.builds(
            Finding,
            label=st.sampled_from(["client_notification", "session_ids", "kind"]),
            value=st.just(""),
            span=st.none(),
            source=st.just("model:made-up"),
            confidence=st.sampled_from([0.4, 0.95]),
        ),
        max_size=2,
        unique=True,
    ).map(tuple),
)
emails = st.builds(
    an_email,
    st.sampled_from(
        ["marian@oldroyd.example", "desk@o.example", "ruth@still.example", "x@elsewhere.example"]
    ),
    authenticated=st.booleans(),
    automatic=st.sampled_from(["", "", "auto-replied"]),
)


@st.composite
def registries(draw):
    starts = NOW + timedelta(hours=draw(st.integers(-100, 300)))
    status = draw(st.sampled_from(["unconfirmed", "confirmed", "cancelled", "held"]))
    stage = draw(st.sampled_from(["initial", "ongoing"]))
    sessions = (
        Session("HT-100001", "T-MARIAN", "C-IMOGEN", starts, stage, status),
        Session("HT-100002", "T-MARIAN", "C-TOM", NOW + timedelta(days=9), "initial", "confirmed"),
    )
    return Registry(
        sessions, (MARIAN, RUTH), (IMOGEN, TOM), known=draw(st.sampled_from([True] * 4 + [False]))
    )


@given(emails, requests, registries())
@settings(max_examples=600, deadline=None)
def test_ready_means_that_every_rule_is_met(email, request, registry):
    facts = link(email, request, registry, None, NOW)
    decision = decide(email, request, facts, NOW, OFFICE)

    if decision.state == "ready":
        assert decision.blockers == ()
        assert request.kind in {"cancellation", "referral"}
        assert request.client_notification == "discussed"
        assert request.confidence_in("client_notification") >= 0.8
        assert request.confidence >= 0.7
        assert request.client_agreement != "declines"
        assert set(request.fit_reasons) - {"unspecified"}
        assert request.presenting_issues
        assert request.required_approaches or request.required_experience
        assert request.risk != "urgent"
        assert not decision.safeguarding
        assert email.authentication.passed
        assert not email.automatic
        assert facts.registry_known
        assert facts.sender_is in {"owner", "delegate"}
        assert facts.session is not None
        if request.kind == "cancellation":
            assert facts.session.starts_at > NOW
            assert facts.session.status in {"unconfirmed", "confirmed"}


@given(emails, requests, registries())
@settings(max_examples=300, deadline=None)
def test_every_decision_says_why_in_known_codes(email, request, registry):
    decision = decide(email, request, link(email, request, registry, None, NOW), NOW, OFFICE)

    assert decision.reasons
    assert set(decision.blockers) <= BLOCKERS
    assert len(set(decision.blockers)) == len(decision.blockers)
    assert decision.safeguarding == (request.risk == "urgent")
    if decision.safeguarding:
        assert (decision.state, decision.priority) == ("check", 0)
    if (
        decision.state in {"awaiting_client", "awaiting_details", "noted"}
        and request.kind != "enquiry"
    ):
        assert decision.blockers or decision.state == "noted"


@given(emails, requests, registries())
@settings(max_examples=300, deadline=None)
def test_a_decision_is_the_same_every_time(email, request, registry):
    facts = link(email, request, registry, None, NOW)

    assert decide(email, request, facts, NOW, OFFICE) == decide(email, request, facts, NOW, OFFICE)


@given(requests, requests, requests)
@settings(max_examples=600, deadline=None)
def test_saying_the_same_again_changes_nothing(first, second, third):
    once = merged(first, second)

    assert merged(once, second) == once
    assert merged(merged(once, third), third) == merged(once, third)


@given(requests, st.lists(requests, max_size=4))
@settings(max_examples=500, deadline=None)
def test_risk_never_falls_and_no_detail_is_lost(first, others):
    whole = first
    for request in others:
        whole = merged(whole, request)

    assert whole.risk == max((r.risk for r in (first, *others)), key=labels.RISKS.index)
    told = [r for r in (first, *others) if r is first or r.kind != "other"]
    for name in ("presenting_issues", "required_approaches", "required_experience"):
        assert set(getattr(whole, name)) == {code for r in told for code in getattr(r, name)}


@given(emails, requests, registries())
@settings(max_examples=300, deadline=None)
def test_a_stranger_reads_the_same_whether_or_not_the_session_exists(email, request, registry):
    email = replace(email, sender=replace(email.sender, email="x@elsewhere.example"))
    empty = replace(registry, sessions=(), clients=(), known=True)
    registry = replace(registry, known=True)

    there, nowhere = (draft(email, request, known) for known in (registry, empty))

    assert there == nowhere


@given(requests, registries(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_colleague_reads_the_same_whether_or_not_the_session_exists(request, registry, passed):
    email = an_email("ruth@still.example", authenticated=passed)
    empty = replace(registry, sessions=(), clients=(), known=True)
    registry = replace(registry, known=True)

    there, nowhere = (draft(email, request, known) for known in (registry, empty))

    assert there == nowhere


def draft(email, request, registry):
    facts = link(email, request, registry, None, NOW)
    return draft_reply(email, request, facts, decide(email, request, facts, NOW, OFFICE), WORDING)


@given(emails, requests, registries())
@settings(max_examples=300, deadline=None)
def test_no_draft_answers_a_machine_or_promises_anything(email, request, registry):
    reply = draft(email, request, registry)

    if email.automatic:
        assert reply is None
    if reply:
        assert reply.to == email.sender.email
        assert reply.template in TEMPLATES
        assert reply.in_reply_to == email.message_id
        for word in ("guarantee", "will cover", "refund", "—", "  ", "None", "_"):
            assert word.lower() not in reply.body.lower()


@given(st.lists(st.tuples(emails, requests), max_size=4), registries())
@settings(max_examples=200, deadline=None)
def test_nobody_but_the_same_vouched_for_side_joins_a_case(mails, registry):
    desk = Desk(replace(registry, known=True), OFFICE, WORDING)
    marians = {"marian@oldroyd.example", "desk@o.example"}

    for number, (email, request) in enumerate(mails):
        email = replace(email, message_id=f"<{number}@x>", references=("<0@x>",))  # noqa: PLW2901
        before = dict(desk.cases)
        handled = desk.take(email, request, NOW)

        if handled.joined:
            opener = before[handled.case_id]
            assert email.authentication.passed
            assert opener.authenticated
            same = opener.sender == email.sender.email
            assert same or {opener.sender, email.sender.email} <= marians


def test_the_table_uses_every_blocker_and_no_other():
    assert {code for rule in RULES for code in rule.blockers} == BLOCKERS


def test_rule_names_are_unique():
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("kind", labels.KINDS)
def test_every_kind_has_an_outcome_whatever_else_is_unknown(kind):
    facts = CaseFacts(registry_known=True, sender_is="stranger")

    decision = decide(an_email(), Request(kind), facts, NOW, OFFICE)

    assert decision.state != "ready"
    assert decision.reasons


STRANGER = CaseFacts(registry_known=True, sender_is="stranger")


@pytest.mark.parametrize(
    "text",
    [
        "Please cancel my session HT-123456, not a fit.",
        "I don't think I’m the right fit for him.",
        "The client and I are not a match.",
        "She has got the wrong therapist.",
    ],
)
def test_what_says_no_fit_and_was_read_as_another_matter_is_looked_at(text):
    sure = Request("other", confidence=0.99)

    decision = decide(an_email(text=text), sure, STRANGER, NOW, OFFICE)

    assert (decision.queue, decision.state, decision.blockers) == (
        "general",
        "check",
        ("contradiction",),
    )


def test_another_matter_that_does_not_speak_of_fit_is_left_to_the_ordinary_inbox():
    email = an_email(text="Please move HT-123456 to Friday, I am ill. The fitter comes at noon.")

    decision = decide(email, Request("other", confidence=0.99), STRANGER, NOW, OFFICE)

    assert (decision.queue, decision.state) == ("general", "dismissed")


def test_where_a_person_says_that_it_is_another_matter_the_words_count_no_more():
    said = Finding("kind", "other", None, "person:ann", 1.0)
    email = an_email(text="He gave me one star for not being a good fit.")
    request = Request("other", confidence=1.0, findings=(said,))

    decision = decide(email, request, STRANGER, NOW, OFFICE)

    assert (decision.queue, decision.state) == ("general", "dismissed")
