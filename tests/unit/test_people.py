"""What a person's action means: the scenarios in ``tests/data/scenarios/people``, in memory."""

from __future__ import annotations

from typing import Any

import pytest
from casework import Desk
from casework.people import InMemory, acted_scenarios, play
from casework.scenarios import office, registry, wording


def a_desk(scenario: dict[str, Any]) -> Desk:
    return Desk(registry(known=scenario.get("registry", True)), office(), wording())


@pytest.mark.parametrize("scenario", acted_scenarios())
def test_scenario(scenario: dict[str, Any]) -> None:
    play(InMemory(a_desk(scenario)), scenario)
