"""Every scenario file in ``tests/data/scenarios``, run through link, join, merge, decide, draft.

How a scenario is written stands at the top of ``tests/data/scenarios/registry.toml``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from casework import Desk
from casework.scenarios import check, office, registry, scenarios, shared, take, wording

from triage.policy import RULES


@pytest.mark.parametrize("scenario", scenarios())
def test_scenario(scenario: dict[str, Any]) -> None:
    desk = Desk(registry(known=scenario.get("registry", True)), office(), wording())

    for number, mail in enumerate(scenario["mail"], start=1):
        handled = take(desk, scenario, mail, number)

        check(handled, mail["expect"])


def test_every_rule_and_every_blocker_has_a_scenario() -> None:
    desk_reasons: set[str] = set()
    blockers: set[str] = set()
    for param in scenarios():
        (scenario,) = param.values
        desk = Desk(registry(known=scenario.get("registry", True)), office(), wording())
        for number, mail in enumerate(scenario["mail"], start=1):
            decision = take(desk, scenario, mail, number).decision
            desk_reasons.update(decision.reasons)
            blockers.update(decision.blockers)

    unused = [r.name for r in RULES if r.reason not in desk_reasons and r.name != "anything else"]
    assert unused == []
    assert blockers == {code for rule in RULES for code in rule.blockers}


def test_a_mail_read_twice_changes_nothing() -> None:
    for param in scenarios():
        (scenario,) = param.values
        desk = Desk(registry(known=scenario.get("registry", True)), office(), wording())
        for number, mail in enumerate(scenario["mail"], start=1):
            first = take(desk, scenario, mail, number)
            if first.decision.state in {"withdrawn", "dismissed"} or not mail.get("replay", True):
                continue
            again = take(desk, scenario, mail, number)

            if again.joined:
                assert replace(again.decision, draft=None) == replace(first.decision, draft=None)


def test_a_decision_changes_only_with_the_clock_where_a_deadline_passes() -> None:
    for param in scenarios():
        (scenario,) = param.values
        mail = scenario["mail"][0]
        moved = {**mail, "now": mail.get("now", shared()["office"]["now"]) + timedelta(seconds=1)}
        known = scenario.get("registry", True)
        first = take(Desk(registry(known=known), office(), wording()), scenario, mail, 1).decision
        later = take(Desk(registry(known=known), office(), wording()), scenario, moved, 1).decision
        if "now" not in scenario and first.state != later.state:
            raise AssertionError(scenario["name"])
