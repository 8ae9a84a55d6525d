"""Phrases in their context: what the client has and wants, and what is only mentioned."""

import pytest
from reading_mail import noticed, values


@pytest.mark.parametrize(
    ("text", "issues"),
    [
        ("She has panic attacks every day.", ["panic"]),
        ("There is no sign of an eating disorder.", []),
        ("She has OCD but no self-harm.", ["ocd"]),
        ("An eating disorder has been ruled out.", []),
        ("I mostly work with anxiety.", []),
        ("SHE HAS PANIC ATTACKS", ["panic"]),
        ("She’s having panic attacks", ["panic"]),
    ],
)
def test_issues_are_those_that_the_client_has(text, issues):
    assert values(text, "presenting_issues") == issues


@pytest.mark.parametrize(
    ("text", "approaches"),
    [
        ("I work psychodynamically, she wants CBT.", ["cbt"]),
        ("I'm EMDR trained but she wants CBT.", ["cbt"]),
        ("He is asking for EMDR, which I don't offer.", ["emdr"]),
        ("She doesn't want CBT.", []),
    ],
)
def test_approaches_are_those_wanted_and_not_those_practised(text, approaches):
    assert values(text, "required_approaches") == approaches


def test_a_phrase_that_does_not_count_is_kept_as_a_hint():
    (mention,) = noticed("There is no sign of an eating disorder.", "presenting_issues")

    assert "negated" in mention.flags
    assert not mention.counts


@pytest.mark.parametrize(
    "text",
    [
        "Please could you suggest two or three people?",
        "Can you match her with someone?",
        "Have you anybody for him?",
        "names pls",
        "Would you send him some names please?",
    ],
)
def test_asking_the_team_for_another_therapist_is_seen(text):
    assert values(text, "alternatives_requested") == ["true"]


def test_the_guarantee_is_asked_about_in_many_words():
    assert values("Does she have to pay again for the next one?", "guarantee_asked") == ["true"]
    assert values("I can't guarantee anything.", "guarantee_asked") == []


@pytest.mark.parametrize(
    "text",
    [
        "He has counted out the tablets and written to his daughter.",
        "She has been storing tablets and has picked a date next week.",
        "On Friday he held her by the throat.",
        "He hits the children and they are in that house tonight.",
        "she is planning to end her life",
        "SHE IS PLANNING TO END HER LIFE",
        "she’s planning to end her life",
        "she is plan\u200bning to end her life",
    ],
)
def test_present_danger_is_seen(text):
    assert "urgent" in values(text, "risk")


def test_danger_that_is_ruled_out_is_seen_as_that():
    found = values("No current risk, no thoughts of harming herself.", "risk")

    assert "ruled_out" in found
    assert "urgent" not in found
