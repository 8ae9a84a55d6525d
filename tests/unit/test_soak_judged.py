"""What the judge of `make soak` must find, each planted in figures that are well."""

from __future__ import annotations

from dataclasses import replace

import pytest
from soak.judged import Effects, effects_wrong, memory_wrong
from soak.services import growth

_SENT = {"key": "k1", "state": "sent", "session_id": "HT-1", "action": "cancel"}
_ARRIVED = {"data": {"idempotency_key": "k1", "session_id": "HT-1"}, "type": "cancel"}
_APPROVED = {"case_id": 1, "version": 3, "action": "approve"}
WELL = Effects([_SENT], [_APPROVED], {"msg_1": _ARRIVED}, approved=[1])


def test_a_decision_that_was_carried_out_once_is_well() -> None:
    assert list(effects_wrong(WELL)) == []


def test_a_decision_without_an_answer_may_have_been_stored_or_not() -> None:
    unsure = replace(WELL, approved=[], unsure=[1])

    assert list(effects_wrong(unsure)) == []
    assert list(effects_wrong(Effects([], [], {}, approved=[], unsure=[1]))) == []


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        (replace(WELL, verdicts=[]), "E1"),
        (replace(WELL, verdicts=[_APPROVED, _APPROVED]), "E2"),
        (replace(WELL, approved=[]), "E3"),
        (replace(WELL, outbox=[{**_SENT, "state": "waiting"}]), "E4"),
        (replace(WELL, received={}), "E5"),
        (replace(WELL, outbox=[]), "E6"),
        (replace(WELL, received={"msg_1": _ARRIVED, "msg_2": _ARRIVED}), "E7"),
    ],
)
def test_what_was_lost_doubled_or_made_up_is_found(planted: Effects, found: str) -> None:
    assert found in {line.split()[0] for line in effects_wrong(planted)}


def test_a_process_that_grows_is_found_and_one_that_has_grown_is_not() -> None:
    moments = range(0, 3600, 5)
    flat = [(float(at), 400.0 + at % 10) for at in moments]
    warmed_up = [(float(at), min(at, 600) / 2) for at in moments]
    stepped = [(float(at), 230.0 + 50 * (at > 2000) + at % 10) for at in moments]
    leaking = [(float(at), 400 + at / 30) for at in moments]
    leaking_by_steps = [(float(at), 400.0 + 20 * (at // 600)) for at in moments]
    gone = [(float(at), 400 + at / 30) for at in moments if at < 2200]

    sound = {"watch 1": flat, "page 2": warmed_up, "page 3": stepped, "reader 4": gone}
    assert list(memory_wrong(sound, 1800)) == []
    assert list(memory_wrong({"watch 1": leaking}, 1800)) == ["M1 watch grows by 120 MB an hour"]
    assert len(list(memory_wrong({"watch 1": leaking_by_steps}, 1800))) == 1
    assert growth(leaking, 1800)[0] == pytest.approx(120)
