"""Rule 7 and an old registry: from when on they are spoken of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from casework import Desk, Registry, an_email

from triage.limits import Limits, is_stale, staleness, unconfirmed_remark
from triage.records import Request, Session, Therapist

NOW = datetime(2025, 11, 5, 10, tzinfo=UTC)
MARIAN = Therapist("T-MARIAN", "Marian", ("marian@oldroyd.example",), ())
TO_COME = Session("HT-218834", "T-MARIAN", "C-1", NOW + timedelta(days=2), "initial", "unconfirmed")
ASK = Request("cancellation", session_ids=("HT-218834",))


def reasons(*days_ago: int, registry: Registry | None = None) -> str:
    lost = tuple(
        replace(TO_COME, session_id=f"HT-20000{n}", starts_at=NOW - timedelta(days=days))
        for n, days in enumerate(days_ago)
    )
    known = registry or Registry(sessions=(TO_COME, *lost), therapists=(MARIAN,))
    return " ".join(Desk(known).take(an_email(), ASK, NOW).decision.reasons)


@pytest.mark.parametrize(
    ("days_ago", "said"),
    [
        ((), None),
        ((3,), None),
        ((3, 10), "2 sessions of this therapist were left unconfirmed"),
        ((3, 10, 20), "at 4 the profile may be paused. Tell them in time."),
        ((3, 10, 20, 30), "the profile may be paused (at 4)"),
        ((3, 100, 200), None),  # the window rolls on
    ],
)
def test_the_warning_comes_before_the_pause(days_ago, said):
    words = reasons(*days_ago)

    assert said in words if said else "left unconfirmed" not in words


def test_a_stranger_learns_nothing_of_anybodys_sessions():
    known = Registry(sessions=(TO_COME,), therapists=(MARIAN,))
    taken = Desk(known).take(an_email("x@elsewhere.example"), ASK, NOW)

    assert taken.facts.unconfirmed == 0


def test_a_registry_out_of_date_is_said_with_every_decision_that_rests_on_it():
    known = Registry(sessions=(TO_COME,), therapists=(MARIAN,))
    old = replace(known, as_of=NOW - timedelta(days=3))
    fresh = replace(known, as_of=NOW - timedelta(hours=3))

    assert "registry is 3 days old: look the session up" in reasons(registry=old)
    assert "registry is" not in reasons(registry=fresh)


def test_the_limits_are_settings():
    assert unconfirmed_remark(1, Limits(warn_at=1, pause_at=2))
    assert not is_stale(None, Limits(), NOW)
    assert staleness(NOW - timedelta(hours=2), Limits(stale_after=timedelta(hours=1)), NOW)
