"""Which mail stops what a person decided and has not left: one rule for all that can come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from casework import Desk
from casework.against import SAYS_NOTHING_AGAINST, SPEAKS_AGAINST, email_of
from casework.scenarios import office, registry, request_from, wording

from triage.conversation import Rules, hear
from triage.holding import Hold, held, holds
from triage.matter import Thresholds
from triage.verdicts import Verdict

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)


def against(mail: dict[str, Any], *, act: str = "approve", first: dict[str, Any]) -> list[Hold]:
    """What *mail* stops of a case that was acted on a minute before."""
    desk = Desk(registry(known=True), office(), wording())
    desk.take(email_of(first, 1, NOW), request_from(first), NOW)
    assert desk.act(Verdict(1, act, "anna", NOW)).outgoing  # type: ignore[arg-type]
    now = NOW + timedelta(minutes=1)
    rules = Rules(now, office(), Thresholds(), wording())
    email = email_of(mail, 2, now)
    outcomes = hear(email, [request_from(mail)], desk, rules)
    return holds(email, outcomes, [desk.cases[1]], desk.directory, rules)


COMPLETE = {"ask": "complete cancellation"}


@pytest.mark.parametrize("mail", SPEAKS_AGAINST.values(), ids=SPEAKS_AGAINST)
def test_it_waits_for_a_person(mail: dict[str, Any]) -> None:
    [hold] = against(mail, first=COMPLETE)

    assert hold.case_id == 1
    assert hold.blockers
    assert hold.reasons
    assert ("urgent_risk" in hold.blockers) == (mail.get("but", {}).get("risk") == "urgent")


@pytest.mark.parametrize("mail", SAYS_NOTHING_AGAINST.values(), ids=SAYS_NOTHING_AGAINST)
def test_it_leaves_all_the_same(mail: dict[str, Any]) -> None:
    assert against(mail, first=COMPLETE) == []


def test_what_was_in_the_way_before_and_was_passed_over_is_not_news() -> None:
    untold = {**COMPLETE, "but": {"client_notification": "not_informed"}}
    still = {"ask": "update", "answers": True, "but": {"client_notification": "not_informed"}}

    assert against(still, act="send_back", first=untold) == []


def test_a_case_held_up_goes_above_all_that_is_not_urgent_itself() -> None:
    desk = Desk(registry(known=True), office(), wording())
    decision = desk.take(email_of(COMPLETE, 1, NOW), request_from(COMPLETE), NOW).decision

    waiting = held(decision, Hold(1, ("contradiction",), ("Taken back.",)), ("Held.",))
    urgent = held(decision, Hold(1, ("urgent_risk",), ("Danger.",)))

    assert (waiting.state, waiting.priority, waiting.safeguarding) == ("check", 1, False)
    assert (urgent.state, urgent.priority, urgent.safeguarding) == ("check", 0, True)
    assert waiting.reasons[-2:] == ("Taken back.", "Held.")
