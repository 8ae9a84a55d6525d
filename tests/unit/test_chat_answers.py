"""Whether an answer stands in its conversation, and whether it still fits there."""

from datetime import UTC, datetime, timedelta

import pytest
from services.intercom import ADMIN, MORNING, a_conversation, a_part

from ingest.livechat import messages_in
from ingest.livechat_answers import Answer, standing
from triage.chats import message_id, place_of

DECIDED = datetime.fromtimestamp(MORNING + 3_600, UTC)
AT = MORNING + 3_700
ANSWER = Answer(501, "source-40501", "Thank you.\n\nDoes she know?", ADMIN["id"], DECIDED)
OURS = "<p>Thank you.</p><p>Does she <b>know</b>?</p>"


def held_against(*parts, **others):
    return standing(a_conversation("501", "<p>Please cancel</p>", *parts, **others), ANSWER, "s")


@pytest.mark.parametrize(
    "body", [OURS, "Thank you. Does she know?", "<div>Thank you.<br>Does she know?</div>"]
)
def test_our_words_are_known_again_in_whatever_form_they_come_back(body: str) -> None:
    assert held_against(a_part("8", body, author=ADMIN, at=AT)).is_there


@pytest.mark.parametrize(
    "part",
    [
        a_part("8", OURS, author=ADMIN, at=AT, part_type="note"),
        a_part("8", OURS, author={**ADMIN, "id": "7"}, at=AT),
        a_part("8", OURS, author={"type": "user", "id": ADMIN["id"], "name": "Marian"}, at=AT),
        a_part("8", OURS, author=ADMIN, at=MORNING),
        a_part("8", None, author=ADMIN, at=AT, part_type="close"),
    ],
    ids=["note", "another teammate", "the therapist", "before it was decided", "no words"],
)
def test_nothing_else_is_taken_for_our_answer(part) -> None:
    found = held_against(part)

    assert not found.is_there
    assert not found.others


def test_what_the_teammate_said_otherwise_is_told_apart() -> None:
    found = held_against(a_part("8", "<p>One moment</p>", author=ADMIN, at=AT))

    assert (found.is_there, found.others) == (False, True)


def test_a_clock_that_is_a_little_behind_hides_no_answer() -> None:
    behind = int((DECIDED - timedelta(seconds=90)).timestamp())

    assert held_against(a_part("8", OURS, author=ADMIN, at=behind)).is_there


def test_newer_messages_have_the_keys_under_which_they_are_read() -> None:
    conversation = a_conversation(
        "501",
        "<p>Please cancel</p>",
        a_part("2", "<p>Shall I?</p>", author=ADMIN, at=MORNING + 10),
        a_part("3", "<p>Wait</p>", at=MORNING + 20),
        a_part("4", None, at=MORNING + 25, redacted=True),
        a_part("5", "<p>Stop</p>", at=MORNING + 30),
    )
    [first, *later] = messages_in(conversation, "s")

    found = standing(conversation, ANSWER, "s")

    assert first.key not in found.newer
    assert found.newer == tuple(raw.key for raw in later)


def test_an_answer_fits_only_a_conversation_that_holds_its_question_or_is_given_out_cut() -> None:
    elsewhere = a_conversation("501", "<p>Hello</p>", source={"id": "77"})
    cut = a_conversation("501", "<p>Hello</p>", source={"id": "77"})
    cut["conversation_parts"]["total_count"] = 700

    assert held_against().fits
    assert not standing(elsewhere, ANSWER, "s").fits
    assert standing(cut, ANSWER, "s").fits
    assert not standing({"id": "501"}, ANSWER, "s").fits


@pytest.mark.parametrize(
    "name",
    ["", "<1@mail.example>", "<501@livechat.invalid>", "<a.0501@livechat.invalid>",
     "<a.501@livechat.invalid.example>", "<a b.501@livechat.invalid>",
     "<a.999999999999999999999@livechat.invalid>", "<a.501@livechat.invalid>\n"],
)  # fmt: skip
def test_what_names_no_part_is_answered_nowhere(name: str) -> None:
    assert place_of(name) is None


def test_a_part_is_found_by_the_id_that_it_was_given() -> None:
    assert place_of(message_id("501", "source-40501")) == (501, "source-40501")
    assert place_of(message_id("501", "7.2")) == (501, "7.2")
