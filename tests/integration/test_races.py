"""A slice of the races (`make races`): two act on one case at once, on both databases."""

from __future__ import annotations

import pytest
from campaigns.races import RACES, Outcome, run, staged
from sqlalchemy import select

from store import acts, verdicts
from store.schema import cases


def test_of_two_who_act_on_one_case_at_once_one_comes_through(store_url: str) -> None:
    outcome = Outcome()

    with staged(store_url, len(RACES)) as stage:
        run(stage, len(RACES), outcome)

        assert stage.store.first_broken_audit_row() is None

    assert outcome.wrong == {}
    assert outcome.races == len(RACES)
    assert outcome.answers["303/409"] >= len(RACES) // 4


def test_the_races_find_a_page_that_lets_both_through(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    careful = verdicts.act

    def careless(connection, verdict, *rest, version, now):  # noqa: ARG001 - that is the bug
        at = connection.scalar(
            select(cases.c.version).where(cases.c.id == verdict.case_id).with_for_update()
        )
        return careful(connection, verdict, *rest, version=at, now=now)

    monkeypatch.setattr(acts.verdicts, "act", careless)
    outcome = Outcome()

    with staged(store_url, len(RACES)) as stage:
        run(stage, len(RACES), outcome)

    told = "\n".join(outcome.wrong)
    assert "2 verdicts on one version" in told
