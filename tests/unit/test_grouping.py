"""How many requests a message holds, and whose each sentence is."""

import pytest
from reading_mail import groups, read


def of(text, **parts):
    return [(g.session_ids, g.client_ref) for g in groups(text, **parts)]


def test_a_plain_request_is_one():
    text = (
        "Please cancel HT-204518, Thursday 7pm, new client Imogen.\n\nShe wants CBT. I told her"
        " yesterday.\n\nMany thanks\nMarian"
    )

    assert of(text) == [(("HT-204518",), "Imogen")]


def test_each_numbered_client_is_a_request():
    text = (
        "Two for you.\n\n1. HT-204518, Imogen, Thursday 7pm. OCD, not my field. Told her.\n"
        "2. HT-204600, Mr Dutta, Friday 10am. He is my neighbour. Not told.\n\nBoth want names."
    )

    assert of(text) == [(("HT-204518",), "Imogen"), (("HT-204600",), "Mr Dutta")]


def test_clients_without_ids_are_told_apart_by_name():
    text = (
        "I have two people to pass on.\n\nFirst is Kofi. Nine sessions. He knows.\n\n"
        "Second is Mrs Lund, who is 81. She doesn't know yet."
    )

    assert of(text) == [((), "Kofi"), ((), "Mrs Lund")]


def test_two_ids_in_a_short_text_are_two_requests():
    text = "HT-204518 needs a specialist, told her. HT-204600 wants evenings, not told."

    assert of(text, subject="two to cancel") == [(("HT-204518",), None), (("HT-204600",), None)]


def test_what_is_said_of_both_belongs_to_each():
    text = (
        "Two to cancel.\n\n1. HT-204518, Imogen. OCD.\n2. HT-204600, Callum. My neighbour.\n\n"
        "Both have been told."
    )

    first, second = groups(text)

    shared = next(s.index for s in read(text).sentences if s.text.startswith("Both have"))
    assert shared in first.sentences
    assert shared in second.sentences


def test_each_request_keeps_its_own_time():
    text = (
        "Two to cancel.\n\n1. HT-204518, Thursday 12th 7pm, Imogen.\n"
        "2. HT-204600, Friday 13th 10am, Callum."
    )

    assert [g.session_time for g in groups(text)] == ["2026-03-12T19:00", "2026-03-13T10:00"]


def test_a_separate_matter_beside_a_request_is_its_own():
    text = (
        "Please cancel HT-204518, she needs an OCD specialist.\n\n"
        "Separately, my last payout is missing and the invoice is wrong."
    )

    requests = groups(text)

    assert [g.session_ids for g in requests] == [("HT-204518",), ()]
    assert [g.aside for g in requests] == [False, True]


def test_many_sessions_out_for_a_holiday_are_one_matter():
    text = "I'm on annual leave. Please take out HT-204518, HT-204600 and HT-204700. All know."

    assert of(text) == [(("HT-204518", "HT-204600", "HT-204700"), None)]


@pytest.mark.parametrize(
    "text",
    [
        "1. Does it show on my profile?\n2. Do I tell her first?\n3. Who pays?",
        "We've had two sessions. Jo and I agreed to stop. The last one is HT-204518.",
        "",
        "thanks",
    ],
)
def test_one_request_stays_one(text):
    assert len(groups(text)) == 1


def test_a_client_who_carries_on_is_no_request():
    text = (
        "Three in one.\n\n1. HT-204518, Imogen, cancel.\n2. HT-204600, Callum, cancel."
        "\n3. HT-204700, Alina, carries on as is."
    )

    assert [g.session_ids for g in groups(text)] == [("HT-204518",), ("HT-204600",)]


def test_sessions_named_in_sentences_of_their_own_are_requests_of_their_own():
    text = (
        "Please cancel HT-204518 on Thursday, she wants CBT. I would also like you to cancel"
        " HT-204600, he is too young for me."
    )

    assert [g.session_ids for g in groups(text)] == [("HT-204518",), ("HT-204600",)]


@pytest.mark.parametrize(
    "text",
    [
        "Please cancel HT-204518 and HT-204600, the same couple. HT-204518 was their first.",
        "Please cancel HT-204518, she wants CBT. She knows. HT-204518 can go to anyone.",
        "I'm poorly, so HT-204518 is off. I also can't do HT-204600 at five.",
    ],
)
def test_sessions_named_together_again_or_for_an_absence_stay_one_request(text):
    assert len(groups(text)) == 1
