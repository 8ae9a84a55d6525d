"""One mail with two asks, and two cases of one ask, as a support lead would have them put right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from casework import an_email
from casework.splitting import (
    DANGER,
    IMOGEN,
    NOW,
    RULES,
    SARAH,
    TOLD,
    UNTOLD,
    WHY,
    Team,
    filled,
    said_by,
)

from review.acting import Acted
from store import RefusedError, open_store
from triage.records import Authentication
from triage.verdicts import Correction

# The sentences of the mail that most scenarios begin with, by their numbers; 1 is the subject.
MAIL = (IMOGEN, TOLD, WHY, SARAH)
SARAHS = 5


@pytest.fixture
def team(store_url: str) -> Iterator[Team]:
    with open_store(store_url) as store:
        yield Team(filled(store))


def refused(acted: Acted) -> str:
    assert acted.refused, "it was done"
    return acted.refused.rule


def later(team: Team, minutes: int) -> Team:
    return replace(team, rules=replace(RULES, now=NOW + timedelta(minutes=minutes)))


# --- another ask in a mail -----------------------------------------------------------------------


def test_a_second_client_in_a_mail_becomes_a_case_with_fields_blockers_and_a_letter(
    team: Team,
) -> None:
    [first] = team.mail(*MAIL)
    assert team.case(first).request.fit_reasons == ("approach_mismatch", "no_progress")

    done = team.split(first, SARAHS)

    assert not done.refused
    [second] = done.cases
    new, old = team.case(second), team.case(first)
    assert (new.session_id, new.client_id, new.therapist_id) == (
        "HT-210002", "C-SARAH-A", "T-MARIAN",
    )  # fmt: skip
    assert new.request.fit_reasons == ("no_progress",)
    assert "client_not_told" in new.decision.blockers
    assert new.decision.draft is not None
    assert old.request.fit_reasons == ("approach_mismatch",)
    assert (old.decision.state, old.session_id) == ("ready", "HT-218834")
    assert team.story(second).messages[0].id == team.story(first).messages[0].id


def test_the_evidence_of_a_case_split_off_stands_where_it_is_in_the_mail(team: Team) -> None:
    [first] = team.mail(*MAIL)

    [second] = team.split(first, SARAHS).cases

    story = team.story(second)
    text = story.messages[0].email.new_text
    spans = [f.span for f in story.case.request.findings if f.span]
    assert spans
    assert all(text[one.start : one.end] == one.text for one in spans)


def test_what_one_client_was_told_does_not_count_for_the_other(team: Team) -> None:
    [first] = team.mail(*MAIL)

    [second] = team.split(first, SARAHS).cases

    assert team.case(first).request.client_notification == "discussed"
    assert refused(team.act(second, "approve")) == "client_not_told"


def test_taking_words_away_that_speak_of_nobody_else_does_not_open_the_client_gate(
    team: Team,
) -> None:
    [first] = team.mail(IMOGEN, WHY, UNTOLD)
    assert refused(team.act(first, "approve")) == "client_not_told"

    done = team.split(first, 4)

    assert not done.refused
    assert refused(team.act(first, "approve")) == "client_not_told"


def test_taking_words_away_ends_no_danger(team: Team) -> None:
    [first] = team.mail(IMOGEN, TOLD, WHY, DANGER, SARAH)

    [second] = team.split(first, 5, 6).cases

    assert team.case(first).request.risk == "urgent"
    assert team.case(second).request.risk == "urgent"
    assert team.case(first).decision.safeguarding


def test_what_a_person_set_right_stays_with_the_case_it_was_set_right_in(team: Team) -> None:
    [first] = team.mail(*MAIL)
    right = Correction("session_stage", "unknown", "initial")
    assert not team.act(first, "correct", right).refused

    [second] = team.split(first, SARAHS).cases

    assert team.case(first).request.session_stage == "initial"
    assert team.case(second).request.session_stage == "unknown"


def test_splitting_is_refused_where_nothing_would_be_left_or_nothing_was_chosen(
    team: Team,
) -> None:
    [first] = team.mail(*MAIL)

    assert refused(team.split(first)) == "sentences"
    assert refused(team.split(first, 1)) == "sentences"  # the subject alone
    assert refused(team.split(first, 2, 3, 4, 5)) == "sentences"
    assert refused(team.split(first, 99)) == "sentences"
    assert team.case(first).version == 1


def test_of_several_mails_in_a_case_one_can_be_taken_out_whole(team: Team) -> None:
    [first] = team.mail(IMOGEN, WHY)
    [same] = team.mail(TOLD, in_reply_to="<1@x>")
    assert same == first
    message = team.story(first).messages[1].id
    assert refused(team.split(first, 2)) == "message"

    [second] = team.split(first, 2, message=message).cases

    assert [m.id for m in team.story(second).messages] == [message]
    assert message not in [m.id for m in team.story(first).messages]
    assert "client_not_told" in team.case(first).decision.blockers


def test_a_second_split_takes_only_what_the_case_still_has(team: Team) -> None:
    [first] = team.mail(*MAIL, DANGER)
    assert team.split(first, SARAHS).cases

    assert refused(team.split(first, SARAHS)) == "sentences"
    assert not team.split(first, 6).refused


def test_the_same_split_posted_twice_is_one(team: Team) -> None:
    [first] = team.mail(*MAIL)

    once = team.split(first, SARAHS, version=1)
    again = team.split(first, SARAHS, version=1)

    assert (again.cases, again.version, again.refused) == (once.cases, 2, None)
    assert len(team.store.queue(include_closed=True)) == 2


def test_who_splits_second_is_told_who_came_first(team: Team) -> None:
    [first] = team.mail(*MAIL)
    team.split(first, SARAHS, version=1)

    late = team.split(first, 4, by="tom", version=1)

    assert refused(late) == "version"
    assert late.refused
    assert "mari (split)" in late.refused.why


def test_a_closed_case_is_not_split(team: Team) -> None:
    [first] = team.mail(*MAIL)
    team.act(first, "dismiss")

    assert refused(team.split(first, SARAHS)) == "state"


def test_undoing_a_split_closes_the_new_case_and_brings_the_whole_back(team: Team) -> None:
    [first] = team.mail(*MAIL)
    before = team.case(first)
    [second] = team.split(first, SARAHS).cases

    undone = team.undo(first)

    assert not undone.refused
    after = team.case(first)
    assert (after.request, after.decision) == (before.request, before.decision)
    assert team.state(second) == "dismissed"
    assert team.store.merged_into(second) == first
    assert refused(team.act(second, "reopen")) == "part_of"


def test_a_split_is_not_undone_once_somebody_worked_on_the_new_case(team: Team) -> None:
    [first] = team.mail(*MAIL)
    [second] = team.split(first, SARAHS).cases
    team.act(second, "assign", details={"assignee": "tom"})

    late = team.undo(first)

    assert refused(late) == "undo"
    assert team.state(second) != "dismissed"


def test_both_cases_of_a_split_mail_are_done_once_each(team: Team) -> None:
    [first] = team.mail(*MAIL)
    [second] = team.split(first, SARAHS).cases
    told = Correction("client_notification", "unknown", "discussed")
    team.act(second, "correct", told, Correction("required_approaches", [], ["emdr"]))

    one = team.act(first, "approve")
    two = team.act(second, "approve", overrides=("issues_missing",), reason="She rang us about it.")

    assert not one.refused
    assert not two.refused, two.refused
    sessions = [row.session_id for row in team.store.outbox(channel="platform")]
    assert sorted(filter(None, sessions)) == ["HT-210002", "HT-218834"]


# --- mail that comes later -----------------------------------------------------------------------


def test_a_later_mail_about_the_second_client_joins_the_second_case(team: Team) -> None:
    [first] = team.mail(*MAIL)
    [second] = team.split(first, SARAHS).cases

    joined = team.mail(SARAH, TOLD, in_reply_to="<1@x>")

    assert joined == (second,)
    assert team.case(second).request.client_notification == "discussed"
    assert len(team.story(first).messages) == 1


def test_a_mail_that_comes_out_of_order_does_not_undo_a_split(team: Team) -> None:
    [first] = team.mail(*MAIL, minutes=10)
    [second] = team.split(first, SARAHS).cases

    joined = team.mail(SARAH, WHY, minutes=5)

    assert joined == (second,)
    assert team.case(first).request.fit_reasons == ("approach_mismatch",)
    assert team.case(second).request.presenting_issues == ("ocd",)
    assert len(team.store.queue(include_closed=True)) == 2


def test_another_copy_of_a_mail_that_was_split_stays_split(team: Team) -> None:
    [first] = team.mail(*MAIL)
    [second] = team.split(first, SARAHS).cases

    team.mail(*MAIL, number=1, message_id="<1@x>", signature="as the list sent it on")

    assert len(team.store.queue(include_closed=True)) == 2
    assert team.case(first).request.fit_reasons == ("approach_mismatch",)
    assert team.case(second).request.fit_reasons == ("no_progress",)
    team.mail(SARAH, minutes=-5)
    assert len(team.store.queue(include_closed=True)) == 2


def test_reading_the_same_bytes_again_changes_nothing(team: Team) -> None:
    [first] = team.mail(*MAIL)
    [second] = team.split(first, SARAHS).cases
    email = team.story(first).messages[0].email
    read = team.reader.read([email])[0]

    assert team.arrives(email, read, team.story(first).messages[0].digest, 77) == ()
    assert [team.case(n).version for n in (first, second)] == [2, 1]


# --- two cases that are one ask ------------------------------------------------------------------


def two_of_one(team: Team) -> tuple[int, int]:
    """A request, and a mail apart that says more of it without saying of whom."""
    [first] = team.mail(IMOGEN, WHY)
    [second] = team.mail(TOLD)
    assert first != second
    return first, second


def test_the_mails_of_both_cases_are_in_the_one_that_stays(team: Team) -> None:
    first, second = two_of_one(team)

    done = team.merge(second, first)

    assert not done.refused
    assert len(team.story(first).messages) == 2
    assert team.state(second) == "dismissed"
    assert team.store.merged_into(second) == first
    assert f"Part of case {first}, says mari." in team.case(second).decision.reasons
    assert [row.case_id for row in team.store.queue()] == [first]


def test_news_that_names_nobody_counts_for_nobody_until_a_person_says_so(team: Team) -> None:
    first, second = two_of_one(team)

    team.merge(second, first)

    assert refused(team.act(first, "approve")) == "client_not_told"
    team.act(first, "correct", Correction("client_notification", "unknown", "discussed"))
    assert team.state(first) == "ready"


def test_news_of_a_client_who_is_named_counts_whichever_mail_came_first(team: Team) -> None:
    [nobody] = team.mail(UNTOLD)
    [named] = team.mail(IMOGEN, TOLD, WHY)
    assert nobody != named

    team.merge(nobody, named)

    assert team.case(named).request.client_notification == "discussed"
    assert team.state(named) == "ready"


def test_cases_of_two_therapists_are_never_one(team: Team) -> None:
    [first] = team.mail(IMOGEN, WHY)
    [other] = team.mail(TOLD, sender=replace(team.story(first).messages[0].email.sender,
                                             email="ruth@okafor.example"))  # fmt: skip

    assert refused(team.merge(other, first)) == "not_session_owner"
    assert refused(team.merge(first, other)) == "not_session_owner"


def test_a_stranger_s_mail_never_joins_a_case(team: Team) -> None:
    [first] = team.mail(IMOGEN, WHY)
    [other] = team.mail(TOLD, authentication=Authentication(passed=False, reason="none"))

    assert refused(team.merge(other, first)) == "sender_unverified"


def test_cases_of_two_sessions_or_clients_are_never_one(team: Team) -> None:
    [first] = team.mail(IMOGEN, TOLD, WHY)
    [other] = team.mail(SARAH)

    assert refused(team.merge(other, first)) == "session"
    assert team.case(first).version == team.case(other).version == 1


def test_a_case_merged_away_leads_to_the_other_and_takes_no_more_actions(team: Team) -> None:
    first, second = two_of_one(team)
    team.merge(second, first)

    assert refused(team.act(second, "reopen")) == "part_of"
    assert refused(team.merge(first, second)) == "part_of"
    assert refused(team.merge(first, first)) == "case"
    assert refused(team.merge(first, 99)) == "case"


def test_a_later_mail_in_the_thread_of_the_merged_case_joins_the_one_that_stayed(
    team: Team,
) -> None:
    first, second = two_of_one(team)
    team.merge(second, first)

    assert team.mail(TOLD, WHY, in_reply_to="<2@x>") == (first,)


def test_a_mail_that_comes_out_of_order_does_not_undo_a_merge(team: Team) -> None:
    first, second = two_of_one(team)
    team.merge(second, first)

    joined = team.mail(IMOGEN, SARAH, minutes=-30)

    assert first in joined
    assert len(team.story(first).messages) == 3
    assert team.state(second) == "dismissed"
    assert refused(team.act(first, "approve")) == "client_not_told"


def two_of_one_mail(team: Team) -> tuple[int, int]:
    """One ask that was taken for two."""
    words = (IMOGEN, TOLD, WHY)
    email = an_email(text=" ".join(words), message_id="<9@x>", sent_at=NOW)
    read = (*said_by(f"{IMOGEN} {TOLD}"), *said_by(f"{SARAH[:-1]}? {WHY}"))
    first, second = team.arrives(email, [read[0], replace(read[1], kind="referral")], "d9", 9)
    return first, second


def test_one_ask_that_was_taken_for_two_is_one_again_and_stays_so(team: Team) -> None:
    first, second = two_of_one_mail(team)

    assert not team.merge(second, first).refused

    whole = team.case(first)
    assert whole.request.presenting_issues == ("ocd",)
    assert whole.request.client_notification == "discussed"
    assert len(team.story(first).messages) == 1
    assert first in team.mail(IMOGEN, minutes=-30)
    assert team.case(first).request.presenting_issues == ("ocd",)
    assert [row.case_id for row in team.store.queue()] == [first]


def test_a_merged_case_can_be_split_again_by_its_sentences(team: Team) -> None:
    first, second = two_of_one_mail(team)
    team.merge(second, first)

    done = team.split(first, 4)

    assert not done.refused, done.refused
    assert team.case(first).request.presenting_issues == ()


def test_undoing_a_merge_brings_both_cases_back(team: Team) -> None:
    first, second = two_of_one(team)
    before = [(team.case(n).request, team.case(n).decision) for n in (first, second)]
    team.merge(second, first)

    undone = team.undo(first)

    assert not undone.refused
    assert [(team.case(n).request, team.case(n).decision) for n in (first, second)] == before
    assert [len(team.story(n).messages) for n in (first, second)] == [1, 1]
    assert team.store.merged_into(second) is None
    assert not team.merge(second, first).refused


def test_a_merge_is_not_undone_once_a_mail_came(team: Team) -> None:
    first, second = two_of_one(team)
    team.merge(second, first)
    team.mail(TOLD, WHY, in_reply_to="<2@x>")

    assert refused(team.undo(first)) == "undo"
    assert team.state(second) == "dismissed"


def test_the_same_merge_posted_twice_is_one_and_another_is_a_conflict(team: Team) -> None:
    first, second = two_of_one(team)

    once = team.merge(second, first, version=1, into_version=1)
    again = team.merge(second, first, version=1, into_version=1)

    assert (again.cases, again.refused) == (once.cases, None) == ((first,), None)
    assert team.case(first).version == 2
    assert refused(team.merge(second, first, by="tom", version=1)) == "version"


def test_a_merge_into_a_case_that_changed_since_is_a_conflict(team: Team) -> None:
    first, second = two_of_one(team)
    team.act(first, "assign", details={"assignee": "tom"})

    assert refused(team.merge(second, first, into_version=1)) == "version"
    assert team.state(second) != "dismissed"


# --- what leaves ---------------------------------------------------------------------------------


def done_and_waiting(team: Team) -> tuple[int, int]:
    [first] = team.mail(IMOGEN, TOLD, WHY)
    [second] = team.mail(TOLD)
    assert not team.act(first, "approve").refused
    assert team.state(first) == "done"
    return first, second


def test_what_waits_to_leave_is_taken_back_by_a_merge_and_waits_again_when_it_is_undone(
    team: Team,
) -> None:
    first, second = done_and_waiting(team)

    done = team.merge(second, first)

    assert not done.refused
    assert {row.state for row in team.store.outbox()} == {"taken_back"}
    assert team.state(first) == "ready"
    assert not team.undo(first).refused
    assert {row.state for row in team.store.outbox()} == {"waiting"}
    assert team.state(first) == "done"


def test_after_a_merge_the_session_is_cancelled_once(team: Team) -> None:
    first, second = done_and_waiting(team)
    team.merge(second, first)

    assert not team.act(first, "approve").refused

    going = [r for r in team.store.outbox(channel="platform") if r.state != "taken_back"]
    assert [(r.action, r.session_id) for r in going] == [("session.cancel", "HT-218834")]


def test_a_case_whose_effects_have_begun_to_leave_stays_as_it_is_and_takes_the_mails(
    team: Team,
) -> None:
    first, second = done_and_waiting(team)
    evening = later(team, 60)

    done = evening.merge(second, first)

    assert not done.refused
    assert team.state(first) == "done"
    assert len(team.story(first).messages) == 2
    assert {row.state for row in team.store.outbox()} == {"waiting"}


def test_a_case_done_without_any_effect_is_not_opened_again_by_a_merge(team: Team) -> None:
    [first] = team.mail(IMOGEN, TOLD, WHY)
    [second] = team.mail(TOLD)
    team.act(first, "approve", details={"letters": False})
    later(team, 60)

    done = later(team, 60).merge(second, first)

    assert not done.refused
    assert team.state(first) == "done"


def test_a_case_whose_effects_have_begun_to_leave_is_the_one_that_stays(team: Team) -> None:
    first, second = done_and_waiting(team)

    late = later(team, 60).merge(first, second)

    assert late.refused
    assert late.refused.rule == "left"
    assert late.refused.allowed == (f"merge case {second} into case {first}",)


# --- on record -----------------------------------------------------------------------------------


def test_both_are_on_the_audit_trail_with_who_and_what(team: Team) -> None:
    [first] = team.mail(*MAIL)
    [second] = team.split(first, SARAHS).cases
    team.undo(first)

    told = [(e.event, e.actor) for e in team.story(first).audit if e.actor == "mari"]
    assert told == [("split", "mari"), ("undo", "mari")]
    assert [e.event for e in team.story(second).audit][-2:] == ["split_off", "split_undone"]
    assert team.store.first_broken_audit_row() is None


def test_whoever_splits_is_named_and_not_by_an_address(team: Team) -> None:
    [first] = team.mail(*MAIL)

    assert refused(team.split(first, SARAHS, by="mari@team.example")) == "by"
    with pytest.raises(RefusedError, match="nobody has decided"):
        team.store.undo(first, "mari", NOW)
