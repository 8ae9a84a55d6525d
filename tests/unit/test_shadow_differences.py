"""Where two readings of a message differ, and what each difference would cost."""

from __future__ import annotations

import pytest
from shadow_samples import asked, stand

from models.shadow import differences, paired
from triage.shadows import FIELDS, Difference, Stand, without_words


def told(theirs: Stand | None, ours: Stand | None) -> list[tuple[str, str]]:
    """Field and cost of every difference, the worst first."""
    pairs = paired([theirs] if theirs else [], [ours] if ours else [])
    return [(one.field, one.cost) for one in differences(pairs)]


@pytest.mark.parametrize(
    ("before", "after", "cost"),
    [
        ("unknown", "informed", "told_more"),
        ("planned", "discussed", "told_more"),
        ("informed", "discussed", "told_more"),  # reasons taken as discussed
        ("discussed", "informed", "told_less"),
        ("informed", "not_informed", "told_less"),
        ("planned", "not_informed", "other"),
        ("unknown", "asks_team", "other"),
    ],
)
def test_a_client_taken_as_told_by_one_side_alone_is_the_worst(before, after, cost):
    found = told(stand(client_notification=before), stand(client_notification=after))

    assert found == [("client_notification", cost)]


@pytest.mark.parametrize(
    ("before", "after", "cost"),
    [
        ("urgent", "none", "urgent_unseen"),
        ("urgent", "concern", "urgent_unseen"),
        ("none", "urgent", "urgent_seen"),
        ("none", "concern", "other"),
    ],
)
def test_present_danger_seen_by_one_side_alone_is_named(before, after, cost):
    assert told(stand(risk=before), stand(risk=after)) == [("risk", cost)]


def test_differences_of_one_message_come_with_the_costliest_first():
    theirs = stand(risk="urgent", client_notification="planned", fit_reasons=())
    ours = stand("referral", "check", client_notification="discussed")

    assert [cost for _, cost in told(theirs, ours)] == [
        "told_more", "urgent_unseen", "queue", "state", "other",
    ]  # fmt: skip


def test_the_same_reading_in_another_order_of_codes_is_no_difference():
    codes = ("outside_competence", "format")

    assert told(stand(fit_reasons=codes), stand(fit_reasons=codes[::-1])) == []
    assert told(stand(client_ref="Jo  May"), stand(client_ref="Jo May")) == []


def test_of_mail_that_needs_nobody_only_what_is_asked_is_compared():
    theirs = stand(kind="other", queue="general", fit_reasons=("format",))

    assert told(theirs, stand(kind="other", queue="general")) == []
    assert told(theirs, stand(kind="enquiry", queue="general"))[0] == ("kind", "other")


@pytest.mark.parametrize(
    ("changes", "by_champion", "by_candidate"),
    [
        ({"client_notification": "unknown"}, "queue", "queue"),
        ({"client_notification": "discussed"}, "told_less", "told_more"),
        ({"client_notification": "unknown", "risk": "urgent"}, "urgent_unseen", "urgent_seen"),
    ],
)
def test_an_ask_that_one_side_alone_found_costs_what_is_said_in_it(
    changes, by_champion, by_candidate
):
    lone = stand(**changes)

    assert told(lone, None) == [("asks", by_champion)]
    assert told(None, lone) == [("asks", by_candidate)]


def test_asks_are_paired_by_their_session_and_not_by_their_order():
    one, other = asked(session_ids=("HT-1",)), asked(session_ids=("HT-2",), client_ref="Al")
    theirs = [Stand(one, "cancellation", "ready"), Stand(other, "cancellation", "ready")]

    assert differences(paired(theirs, theirs[::-1])) == []


def test_whoever_may_not_read_mail_is_told_that_names_differ_and_not_which():
    hidden = without_words(Difference("client_ref", 0, "Zoe", None, "other"))

    assert (hidden.champion, hidden.candidate, hidden.field) == (None, None, "client_ref")
    kept = Difference("risk", 0, "urgent", "none", "urgent_unseen")
    assert without_words(kept) is kept


def test_every_difference_is_in_a_field_that_can_be_filtered_by():
    theirs = stand(risk="urgent", session_stage="initial", client_agreement="agrees")
    ours = stand(
        "referral", "check", kind="referral", session_ids=(), client_ref=None,
        session_time="2026-01-01", fit_reasons=(), presenting_issues=("anxiety",),
        required_approaches=("cbt",), required_experience=("couples",),
        client_notification="unknown", alternatives_requested=True, guarantee_asked=True,
    )  # fmt: skip

    assert {name for name, _ in told(theirs, ours)} == {*FIELDS} - {"asks"}
