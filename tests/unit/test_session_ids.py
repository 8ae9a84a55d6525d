"""Session ids as people write them, and what only looks like one."""

import pytest
from reading_mail import noticed, values


@pytest.mark.parametrize(
    "written",
    [
        "HT-204518",
        "HT204518",
        "ht 204518",
        "Ht - 204 518",
        "HT no. 204518",
        "#204518",
        "session 204518",
        "booking ref. 204518",
        "Luca tomorrow 11am, 204 518",
        "https://app.therapy.example/sessions/204518",
        "HT-\n204518",
        "HT-20\n4518",
        "HT-20  \n4518",
        "HT-20\n\n4518",
        "HT\u200b-204\u200b518",
        "HT\u2011204518",
        "HТ-204518",  # a Cyrillic letter that looks like T
        "HT-２０４５１８",
        "HT two zero four five one eight",
    ],
)
def test_an_id_is_found_however_it_is_written(written):
    found = values(f"Please cancel {written}, she needs someone else.", "session_ids")

    assert found == ["HT-204518"]


@pytest.mark.parametrize(
    "written",
    [
        "204518 14/5",
        "14/5 204518",
        "204518 17:30",
        "17:30 204518",
        "12.30 204518",
        "204518 10am",
        "HT-204518 10 o'clock",
        "HT-204518, 14.05.",
        "HT204518 29th 6pm",
        "at 9 204518",
        "Tues at 10 204518",
        "1730 204518",
        "204518 1730",
        "204518 14 May",
        "14 May 2026 204518",
        "204518 2026-05-14",
        "204518/Thursday",
        "Thursday/204518",
        "Sarah M/204518/Thursday",
        "204518-Thursday",
        "id:204518",
        "204 518 10am",
    ],
)
def test_a_day_or_time_written_against_an_id_costs_it_nothing(written):
    found = values(f"Please cancel {written}, she needs someone else.", "session_ids")

    assert found == ["HT-204518"]


def test_a_list_of_ids_with_their_times_loses_none():
    text = "Please cancel:\n10am 204518\n11.30 204600\nand 204581/204582 14/5."

    assert values(text, "session_ids") == ["HT-204518", "HT-204600", "HT-204581", "HT-204582"]


def test_a_word_that_only_holds_the_name_of_another_number_costs_an_id_nothing():
    assert values("I am referring 204518 on.", "session_ids") == ["HT-204518"]


def test_keeping_is_said_of_the_id_of_its_own_line():
    text = "204600 9am - keep\n204518 10am - cancel, not for me"

    assert values(text, "session_ids") == ["HT-204518"]


@pytest.mark.parametrize(
    "lookalike",
    [
        "invoice INV-204518",
        "HT-INV-204518",
        "[Ticket #88213]",
        "ticket 204518",
        "my number is 07700 900412",
        "ring me on 01632 960 733",
        "Samaritans on 116 123",
        "a book that 204 518 people bought",
        "£204518.00",
        "BACP membership no. 204518",
        "use code 204518 to log in",
        "HT-20451",
        "HT-2045189",
        "policy number 204518",
        "204518 people",
        "my phone, (01632) 204518",
        "+44 1630 204518",
        "+353 1930 204518",
        "0800 204518 from 9am",
        "a mobile, 07700 204518, 9am",
        "NHS no 943 204 1518",
        "020 794 1730",
        "crm.example/clients/204518",
        "voucher AX/204518",
        "invoice 204518 of 14 May",
        "acc no 204518",
    ],
)
def test_other_numbers_are_no_session(lookalike):
    assert values(f"About {lookalike}, thank you.", "session_ids") == []


@pytest.mark.parametrize(
    "text",
    [
        "Please cancel HT-204581 - no, sorry, it's HT-204518.",
        "It's HT-204581. No, hold on, that's my Friday regular. HT-204518 is the one to cancel.",
        "Please cancel HT-204518 (not HT-204581, that is someone else).",
        "I typed 204581; the right one is HT-204518.",
        "In my note I put HT-204581. It's HT-204518. Everything else holds.",
        "Neither HT-204581 nor HT-204600 but HT-204518, third time lucky.",
    ],
)
def test_a_corrected_slip_leaves_the_right_id(text):
    assert values(text, "session_ids") == ["HT-204518"]


def test_another_session_that_stays_as_it_is_is_not_the_matter():
    text = "Please cancel HT-204518. HT-204600 stays as it is, don't touch that one."

    assert values(text, "session_ids") == ["HT-204518"]


@pytest.mark.parametrize(
    "text",
    [
        "HT-204518, Thursday: cancel, please. HT-204600, Friday: leave.",
        "Daisy (HT-204518) to go. Daisy's mum (HT-204600) to stay.",
        "Daisy (HT-204518) to go. Daisy's mum (HT-204600) to stay  ",
        "HT-204518 is to be cancelled. By the way, HT-204600 the day before remains.",
        "First came HT-204600. I'm glad to see her. That one stays. Cancel HT-204518.",
        "I'm keeping 204600, it is 204518 that I cannot take.",
        "HT-204518 is not a fit, please cancel. My other session, HT-204600, should stay.",
        "Cancel HT-204518, please. HT-204600 can go ahead as booked.",
        "HT-204518 has to go. HT-204600 with the same couple is still on.",
        "Cancel HT-204518. HT-204600, her husband on the same Friday at ten, stays with me.",
        "HT-204518 Ailsa, 3.40pm, cancel. HT-204600 Craig, same day, 4.40. Fine.",
        "HT-204518 | Mr Obi | CANCEL\nHT-204600 | Ms Farrow | KEEP",
        "HT-204518 is to go. HT-204600 is another man, he's quite content.",
        "Cancel HT-204518 and nothing else. HT-204599, HT-204600 and HT-204601 all stand.",
    ],
)
def test_a_session_that_is_kept_is_not_the_one_to_cancel(text):
    assert values(text, "session_ids") == ["HT-204518"]


@pytest.mark.parametrize(
    "text",
    [
        "Please cancel HT-204518, she's fine with it, and HT-204600 too.",
        "I confirm HT-204518 is to be cancelled, and so is HT-204600.",
        "HT-204518 is still not cancelled! Nor is the other, HT-204600. Cancel both.",
        "Cancel HT-204518, she wants to stay with her GP. HT-204600 as well.",
        "HT-204518: I'm seeing her on Friday, cancel it please. HT-204600 also.",
        "I wrote of HT-204518 already, but please cancel HT-204600 as well.",
        "In my form I put HT-204518, but HT-204600 has to go as well.",
        "Cancel HT-204518 and HT-204600. This stays between us.",
        "HT-204518 is still on my list, please cancel it. HT-204600 must go as well.",
        "HT-204518 can go ahead? No, please cancel it, and HT-204600.",
        "Please cancel HT-204518, she's happy with that. HT-204600 too.",
        "HT-204518, cancel please, I'll keep her informed. HT-204600 likewise.",
        "Cancel HT-204518, he is content with it, and HT-204600 too.",
        "Cancel HT-204518: I give no reason, I keep it to myself. HT-204600 too.",
        "Cancel HT-204518 and don't let it be rebooked. HT-204600 as well.",
        "Cancel HT-204518, HT-204600 and, well. Keep HT-204601.",
        "HT-204518, 5pm, only speaks Polish, fine, but I don't. Cancel. And HT-204600.",
    ],
)
def test_no_session_is_lost_to_words_that_say_nothing_of_keeping_it(text):
    assert values(text, "session_ids") == ["HT-204518", "HT-204600"]


@pytest.mark.parametrize(
    "kept",
    [
        "HT-204600 stays where it is, ignore my voicemail.",
        "HT-204600 stays as it is: I take back yesterday's message.",
        "HT-204600: the cancellation I asked for on Sunday, leave it.",
        "HT-204600 is to stay with me, I wrote on Monday to cancel him and was too hasty.",
    ],
)
def test_keeping_a_session_that_was_to_go_is_a_request(kept):
    found = values(f"Please cancel HT-204518. {kept}", "session_ids")

    assert found == ["HT-204518", "HT-204600"]


def test_a_session_named_by_a_slip_and_to_be_left_is_no_request():
    text = "In yesterday's request I named the wrong one, please leave HT-204600. Drop HT-204518."

    assert values(text, "session_ids") == ["HT-204518"]


def test_a_last_session_to_be_left_in_is_still_the_one_spoken_of():
    text = "We finish on Thursday, that's HT-204518, please leave it in the diary."

    assert values(text, "session_ids") == ["HT-204518"]


def test_an_id_in_quoted_text_counts_only_where_the_sender_points_at_it():
    quoted = "> Please confirm session HT-204518."

    ignored = values("She has been told now.", "session_ids", quoted=quoted)
    pointed = values("Please cancel the session below.", "session_ids", quoted=quoted)
    agreed = values("Yes to the below, thank you.", "session_ids", quoted=quoted)

    assert ignored == []
    assert pointed == agreed == ["HT-204518"]


def test_an_answer_to_questions_about_one_session_is_about_that_session():
    quoted = "> Shall we cancel HT-204518? Does he know?"

    for text in (
        "To answer your two questions: yes, and he does.",
        "Yes to both, and thank you.",
        "(a) Yes. (b) He does.",
    ):
        assert values(text, "session_ids", quoted=quoted) == ["HT-204518"]


def test_an_answer_by_numbers_names_the_listed_sessions():
    quoted = "> 1. HT-204518, Monday\n> 2. HT-204600, Tuesday"

    found = values(
        "1 yes please\n2 no, leave it in, scrap my request", "session_ids", quoted=quoted
    )

    assert found == ["HT-204518", "HT-204600"]


def test_an_answer_by_letters_names_the_listed_sessions():
    quoted = "> a) HT-204518, Monday\n> b) HT-204600, Tuesday"

    found = values(
        "a) yes please\nb) no, leave it in, scrap my request", "session_ids", quoted=quoted
    )

    assert found == ["HT-204518", "HT-204600"]


@pytest.mark.parametrize("between", ["\n", "\n\n", " \n"])
def test_a_number_that_opens_a_line_belongs_to_that_line(between):
    text = f"330771, Sheila: cancel, she has been told.{between}330717, Graham: leave."

    assert [m.sentence for m in noticed(text, "session_ids")] == [0, 1]


@pytest.mark.parametrize(
    "chosen",
    [
        "The second one below, please.",
        "The lower one. The upper is a colleague's.",
        "The second and not the first. She wants a letter for a judge.",
        "It is the second of the two below, sorry.",
        "Yes to both, and it's the second booking I mean.",
    ],
)
def test_of_several_sessions_asked_about_the_one_that_is_chosen_counts(chosen):
    quoted = "Which do you mean?\n- HT-204518, Fridays\n- HT-204600, Tuesdays"

    assert values(chosen, "session_ids", quoted=quoted) == ["HT-204600"]


def test_answers_one_after_another_name_the_listed_sessions():
    quoted = "Do they know?\n1. HT-204518\n2. HT-204600\n3. HT-204601"
    text = "1 has been told, and why. 2 hasn't; I'd rather you did. With 3 I've changed my mind."

    found = values(text, "session_ids", quoted=quoted)

    assert found == ["HT-204518", "HT-204600", "HT-204601"]


def test_an_example_in_quoted_text_is_no_session():
    quoted = "> Tell us the id, for example HT-100001."

    assert values("Please see below.", "session_ids", quoted=quoted) == []


def test_an_automatic_reply_names_no_session():
    subject = "Automatic reply: Reminder: session HT-204518"

    assert values("I am away.", "session_ids", subject=subject) == []


def test_the_words_of_an_id_are_those_of_the_original():
    text = "Cancel “HT-\u200b204518” please"

    (mention,) = noticed(text, "session_ids")

    assert text[mention.span.start : mention.span.end] == mention.span.text == "HT-\u200b204518"
