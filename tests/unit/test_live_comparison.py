"""A candidate against the model in use on live mail: agreement, who is right, and by how much."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from shadow_samples import READ, asked, stand

from models.handover import LiveReading, LiveReadings
from models.live import FieldLive, compare_live, harms_of, settled_requests
from models.shadow import differences, paired
from triage.shadows import Right, Stand


def reading(
    theirs: Stand, ours: Stand, side: Right | None = None, *, mail: str = ""
) -> LiveReading:
    """One message; *side* is what a person said of every difference in it."""
    pairs = paired([theirs], [ours])
    found = differences(pairs)
    sides = {(one.field, one.ask): side for one in found} if side else {}
    return LiveReading(mail, tuple(pairs), tuple(found), sides, 0.5)


def live(readings: Iterable[LiveReading]) -> LiveReadings:
    return LiveReadings("next", "d", "now", "", tuple(readings))


def field(found: LiveReadings, name: str, settled: dict | None = None) -> FieldLive:
    compared = compare_live(found, settled or {})
    return next(one for one in compared.fields if one.field == name)


SAME = (stand(), stand())
RISKIER = (stand(), stand(risk="concern"))


def test_agreement_is_a_share_with_an_interval_and_needs_nobody():
    found = field(live([reading(*SAME)] * 90 + [reading(*RISKIER)] * 10), "risk")

    assert (found.messages, found.differ, found.agreement) == (100, 10, 0.9)
    assert found.low == pytest.approx(0.8256, abs=1e-4)  # Wilson's, by hand
    assert found.high == pytest.approx(0.9448, abs=1e-4)
    assert (found.judged, found.finding) == (0, "too few verdicts")


@pytest.mark.parametrize(
    ("candidate", "champion", "finding"),
    [
        (5, 0, "too few verdicts"),
        (6, 0, "better"),
        (0, 6, "worse"),
        (6, 5, "not distinguishable"),
        (20, 4, "better"),
    ],
)
def test_who_is_right_is_said_only_where_it_is_more_than_chance(candidate, champion, finding):
    said = [reading(*RISKIER, "candidate")] * candidate + [reading(*RISKIER, "champion")] * champion

    found = field(live(said), "risk")

    assert (found.only_candidate, found.only_champion) == (candidate, champion)
    assert found.finding == finding
    assert found.apart == pytest.approx((candidate - champion) / (candidate + champion))
    assert found.apart_low <= found.apart <= found.apart_high


def test_where_neither_is_right_nobody_gains():
    found = field(live([reading(*RISKIER, "neither")] * 8), "risk")

    assert (found.judged, found.champion_right, found.candidate_right) == (8, 0, 0)
    assert found.finding == "too few verdicts"


def test_settled_cases_say_who_is_right_and_a_word_on_the_page_goes_before_them():
    truth = {f"<{n}>": (asked(risk="concern"),) for n in range(9)}
    settled = [reading(*RISKIER, mail=f"<{n}>") for n in range(8)]
    judged = reading(*RISKIER, "champion", mail="<8>")

    found = field(live([*settled, judged]), "risk", truth)

    assert (found.judged, found.only_candidate, found.only_champion) == (9, 8, 1)
    assert found.finding == "better"


def test_no_settled_case_says_who_is_right_about_a_queue():
    read = reading(stand(), stand("referral"), mail="<1>")

    assert field(live([read]), "queue", {"<1>": (asked(),)}).judged == 0


def test_half_judged_is_not_judged():
    theirs, ours = [stand(), stand(session_ids=("HT-2",))], [
        stand(risk="concern"), stand(session_ids=("HT-2",), risk="concern"),
    ]  # fmt: skip
    pairs = paired(theirs, ours)
    half = LiveReading("", tuple(pairs), tuple(differences(pairs)), {("risk", 0): "candidate"})

    assert field(live([half]), "risk").judged == 0


def test_the_errors_that_hurt_are_counted_for_both_sides():
    unseen, seen = (stand(risk="urgent"), stand()), (stand(), stand(risk="urgent"))
    more = (stand(client_notification="planned"), stand(client_notification="discussed"))
    said = [
        reading(*unseen, "champion"), reading(*unseen), reading(*seen, "candidate"),
        reading(*more, "champion"), reading(*more, "candidate"), reading(*more),
        reading(*more[::-1], "candidate"),
    ]  # fmt: skip

    harms = harms_of(live(said))

    assert harms.urgent_missed == (1, 1)
    assert harms.false_clear == (1, 1)
    assert (harms.unjudged_urgent, harms.unjudged_told) == (1, 1)


def test_failures_and_speed_of_the_candidate_are_told():
    failed = LiveReading("", problem="killed_reader")

    found = compare_live(live([*(reading(*both) for both in READ), failed]), {})

    assert (found.messages, found.failed, found.per_second) == (8, 1, 2.0)
    assert found.has_too_few
    assert list(found.costs.values()) == [1, 1, 1, 0, 1, 1, 2]


def test_the_same_readings_give_the_same_intervals():
    said = live([reading(*RISKIER, "candidate")] * 7 + [reading(*SAME)] * 5)

    assert compare_live(said, {}) == compare_live(said, {})


def test_of_two_mails_with_one_message_id_neither_says_who_is_right():
    rows = [("<a>", (asked(),)), ("<a>", ()), ("<b>", ()), ("", ())]

    assert settled_requests(iter(rows)) == {"<b>": ()}
