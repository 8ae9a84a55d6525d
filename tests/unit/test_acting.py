"""What people may do and what never happens, whatever they do in whatever order."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from casework import Desk, an_email
from casework.made_up import CERTAIN, COMPLETE, DESK, IDS, MARIAN, NOW, REGISTRY, SENDERS, requests
from hypothesis import example, given, settings
from hypothesis import strategies as st

from triage.acting import CLOSED, MOVES, OPEN, allowed, preview
from triage.conversation import Rules
from triage.corrections import FIELDS, CorrectionError, correction
from triage.gate import GATE, for_second_review, held_up
from triage.labels import BLOCKERS, CODE_SETS, CODES, STATES
from triage.records import Request, Therapist
from triage.verdicts import PLATFORM_ACTIONS, Action, Correction, Verdict
from triage.wording import ClientValues

TOWN = replace(
    REGISTRY,
    therapists=(
        *REGISTRY.therapists,
        Therapist("T-OMAR", "Omar", ("omar@x.example",), (), ("erp",), ("ocd",), open_to_new=True),
    ),
    clients=tuple(replace(c, email=f"{c.client_id.lower()}@c.example") for c in REGISTRY.clients),
)
ALL = tuple(a for a in get_args(Action) if a != "undo")
NEVER = [code for code, gate in GATE.items() if not gate.passable]


def decided(action: str, *, number: int = 1, **fields: Any) -> Verdict:
    return Verdict(number, action, "anna", NOW, **fields)


# --- the tables ----------------------------------------------------------------------------------


def test_every_action_has_its_states_and_every_state_its_actions() -> None:
    assert set(MOVES) == set(ALL)
    assert {*STATES} == OPEN | CLOSED
    assert all(allowed(state) for state in STATES)


def test_every_blocker_says_whether_it_can_be_passed_why_and_what_to_do_instead() -> None:
    assert set(GATE) == set(BLOCKERS)
    for gate in GATE.values():
        assert gate.why
        assert gate.instead
        assert gate.passable or not gate.second_review


def test_danger_and_strangers_are_passed_by_no_override() -> None:
    assert {"urgent_risk", "sender_unverified", "not_session_owner"} <= set(NEVER)
    for code in NEVER:
        refused = held_up([code], GATE, [code], "I am quite sure.")
        assert refused is not None
        assert refused.rule == code


def test_the_client_gate_is_listed_for_a_second_look() -> None:
    passed = decided("approve", overrides=("client_not_told", "issues_missing"), reason="x")

    assert for_second_review(passed) == ("client_not_told",)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_can_be_set_right_with_its_own_codes_and_no_others(name: str) -> None:
    request = Request("enquiry")
    codes = [*CODE_SETS.get(name, ()), *CODES.get(name, ())]

    for code in codes[:2]:
        assert correction(request, name, code).field == name
    with pytest.raises(CorrectionError, match="allowed"):
        correction(request, "colour", "x")


def test_the_page_for_staff_says_the_same_as_the_tables() -> None:
    page = (Path(__file__).parents[2] / "docs" / "acting.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]

    typed = {"note_reason": "note", "confirm_guarantee": "guarantee"}
    names = [typed.get(action, action.replace("_", "-")) for action in ALL]
    assert [name for name in names if not any(r.startswith(f"| `{name}") for r in rows)] == []
    for code, gate in GATE.items():
        [row] = [row for row in rows if f"`{code}`" in row.split("|")[1]]
        assert ("| never |" in row) == (not gate.passable), code
    listed = {code for code, gate in GATE.items() if gate.second_review}
    [row] = [row for row in rows if "second look" in row and "`client_not_told`" in row]
    assert all(f"`{code}`" in row for code in listed)
    assert all(f"`{action}`" in page for action in PLATFORM_ACTIONS)
    names = [field.name for field in fields(ClientValues)]
    assert [name for name in names if f"`letter.{name}`" not in page] == []


# --- properties ----------------------------------------------------------------------------------

RIGHT = st.sampled_from(
    [
        Correction("client_notification", None, "discussed"),
        Correction("client_notification", None, "not_informed"),
        Correction("kind", None, "referral"),
        Correction("kind", None, "cancellation"),
        Correction("risk", None, "none"),
        Correction("risk", None, "urgent"),
        Correction("session_ids", None, [IDS[0]]),
        Correction("session_ids", None, [IDS[3]]),
        Correction("fit_reasons", None, []),
        Correction("fit_reasons", None, ["approach_mismatch"]),
        Correction("presenting_issues", None, ["ocd"]),
        Correction("required_approaches", None, ["erp"]),
    ]
)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    action = draw(st.sampled_from([*ALL, "approve", "approve", "correct"]))
    details: dict[str, object] = {"until": NOW + timedelta(hours=draw(st.integers(-1, 40)))}
    if draw(st.booleans()):
        details["alternatives"] = draw(
            st.lists(st.sampled_from(["T-OMAR", "T-MARIAN"]), max_size=1)
        )
    return decided(
        action,
        number=draw(st.integers(1, 2)),
        corrections=tuple(draw(st.lists(RIGHT, max_size=2))) if action == "correct" else (),
        reason=draw(st.sampled_from(["", "in writing"])),
        overrides=tuple(draw(st.lists(st.sampled_from(BLOCKERS), max_size=3))),
        details={**details, "assignee": "ben"},
    )


MAIL = st.tuples(st.sampled_from(SENDERS), st.booleans(), requests())
FINE = (MARIAN, True, COMPLETE)


@given(st.lists(st.one_of(MAIL, verdicts(), st.just("undo")), max_size=7))
@example([FINE, decided("approve"), decided("approve"), "undo", decided("approve")])
@example([FINE, decided("confirm_guarantee"), decided("approve"), decided("reopen")])
@settings(max_examples=100, deadline=None)
def test_nothing_leaves_that_the_rules_forbid_and_nothing_twice(steps: list[Any]) -> None:
    desk = Desk(TOWN)
    left: Counter[str] = Counter()
    for number, step in enumerate(steps):
        if isinstance(step, Verdict) and step.case_id in desk.cases:
            before = desk.cases[step.case_id], len(desk.outbox)
            carried = desk.act(step)
            if carried.refused:
                assert (desk.cases[step.case_id], len(desk.outbox)) == before
            for item in carried.outgoing:
                left[item.key] += 1
                if item.channel == "platform":
                    _may_leave(desk, step, item)
        elif step == "undo" and 1 in desk.before:
            left.subtract(desk.undo(1))
        elif isinstance(step, tuple):
            sender, trusted, request = step
            sent = NOW - timedelta(hours=9 - number)
            email = an_email(
                sender, message_id=f"<{number}@x>", authenticated=trusted, sent_at=sent
            )
            desk.take(email, request, NOW)
    assert all(count in {0, 1} for count in left.values()), left


def _may_leave(desk: Desk, verdict: Verdict, item: Any) -> None:
    hand = desk.in_hand(verdict.case_id)
    request, passed = hand.case.request, set(verdict.overrides if verdict.reason else ())
    session = desk.registry.session(item.session_id)
    assert item.action in PLATFORM_ACTIONS
    assert item.key == f"{item.action}:{item.session_id}"
    assert request.risk != "urgent"
    assert hand.email.authentication.passed
    assert hand.email.sender.email in (MARIAN, DESK)
    assert session.therapist_id == "T-MARIAN"
    if item.action in {"session.cancel", "client.refer"}:
        told = request.client_notification
        assert told == "discussed" or {"client_not_told", "reasons_not_discussed"} & passed
        sure = request.confidence_in("client_notification") >= CERTAIN.told
        assert sure or told != "discussed" or "low_confidence" in passed
    if item.action == "session.cancel":
        assert session.starts_at > NOW
        assert session.status in {"confirmed", "unconfirmed"}
        assert set(request.fit_reasons) - {"unspecified"} or "reason_missing" in passed


@given(requests(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_a_preview_says_is_what_approving_does(request: Request, trusted: bool) -> None:  # noqa: FBT001
    desk = Desk(TOWN)
    desk.take(an_email(MARIAN, authenticated=trusted, sent_at=NOW), request, NOW)
    rules = Rules(NOW, desk.office, CERTAIN, desk.wording, desk.limits)

    seen = preview(desk.in_hand(1), TOWN, rules)
    done = desk.act(decided("approve"))

    assert seen.refused == done.refused
    assert seen.outgoing == done.outgoing


@given(verdicts())
@settings(max_examples=40, deadline=None)
def test_an_action_taken_twice_sends_nothing_twice(verdict: Verdict) -> None:
    desk = Desk(TOWN)
    desk.take(an_email(MARIAN, sent_at=NOW), COMPLETE, NOW)
    verdict = replace(verdict, case_id=1)

    first = {item.key for item in desk.act(verdict).outgoing}
    again = {item.key for item in desk.act(verdict).outgoing}

    assert not first & again
    assert not any(key.startswith(PLATFORM_ACTIONS) for key in again)


# --- mail around a person's word ------------------------------------------------------------------

SAYS = (
    Request("update", client_notification="not_informed"),
    Request("update", client_notification="discussed"),
    Request("update", client_notification="informed"),
    Request("update", presenting_issues=("panic",)),
    Request("update", fit_reasons=("availability",)),
    Request("enquiry"),
)


def ended(desk: Desk) -> list[object]:
    return [
        (case.state, case.request.client_notification, case.request.fit_reasons, case.message_ids)
        for case in desk.cases.values()
        if case.state != "dismissed"
    ]


def told(before: list[int], after: list[int], said: list[Request], right: Correction) -> Desk:
    """Mails numbered in the order of writing, arriving in these orders around a correction."""
    desk = Desk(TOWN)
    for number in before:
        _arrives(desk, number, said[number])
    number = next(n for n, case in desk.cases.items() if case.state not in CLOSED)
    assert desk.act(decided("correct", number=number, corrections=(right,))).refused is None
    for late in after:
        _arrives(desk, late, said[late])
    return desk


def _arrives(desk: Desk, number: int, request: Request) -> None:
    sent = NOW - timedelta(hours=20 - number)
    named = replace(request, session_ids=IDS[:1])
    desk.take(an_email(MARIAN, message_id=f"<{number}@x>", sent_at=sent), named, NOW)


@given(
    st.lists(st.sampled_from(SAYS), min_size=1, max_size=4),
    st.sampled_from(["discussed", "not_informed", "informed"]),
    st.data(),
)
@settings(max_examples=50, deadline=None)
def test_the_order_of_arrival_around_a_persons_word_never_changes_where_a_thread_ends(
    later: list[Request], word: str, data: st.DataObject
) -> None:
    said = [replace(COMPLETE, client_notification="informed"), *later]
    known = data.draw(st.integers(1, len(said)))
    first, rest = list(range(known)), list(range(known, len(said)))
    right = Correction("client_notification", "informed", word)

    one = told(first, rest, said, right)
    shuffled = data.draw(st.permutations(first)), data.draw(st.permutations(rest))
    other = told([*shuffled[0]], [*shuffled[1]], said, right)

    assert ended(other) == ended(one)
