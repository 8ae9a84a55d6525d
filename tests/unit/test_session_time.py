"""When a session is, as people say it on Tuesday 10 March 2026 at ten in the morning."""

import pytest
from reading_mail import groups, noticed, read, values

from triage.detectors.chosen_time import choose
from triage.detectors.session_time import session_times
from triage.grouping import settled_mentions, time_of


def chosen(text, **parts):
    best = choose(session_times(read(text, **parts)))
    return best.value if best else None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Thursday 12th, 7pm", "2026-03-12T19:00"),
        ("tomorrow at 10", "2026-03-11T10:00"),
        ("tmrw 10am", "2026-03-11T10:00"),
        ("TOMORROW 10AM", "2026-03-11T10:00"),
        ("Thursday half six", "2026-03-12T18:30"),
        ("this Friday, half past two", "2026-03-13T14:30"),
        ("Monday at quarter to six", "2026-03-16T17:45"),
        ("Friday at ten past nine", "2026-03-13T09:10"),
        ("next Tues", "2026-03-17"),
        ("next Monday 16 March at 11", "2026-03-16T11:00"),
        ("Tuesday week at ten", "2026-03-24T10:00"),
        ("Thursday fortnight, at eleven in the forenoon", "2026-03-26T11:00"),
        ("a week on Monday at noon", "2026-03-23T12:00"),
        ("today week 1pm", "2026-03-17T13:00"),
        ("12/3 14:00", "2026-03-12T14:00"),
        ("12.03., 17:30", "2026-03-12T17:30"),
        ("2026-03-12 14:00", "2026-03-12T14:00"),
        ("Monday 18h", "2026-03-16T18:00"),
        ("Weds 18th 1330", "2026-03-18T13:30"),
        ("March 18th at 4", "2026-03-18T16:00"),
        ("nine o'clock tomorrow", "2026-03-11T09:00"),
        ("eight in the evening on Friday", "2026-03-13T20:00"),
        ("the 16th at seven in the evening", "2026-03-16T19:00"),
        ("the 24th at 10 past 9", "2026-03-24T09:10"),
        ("Friday, five and twenty past six", "2026-03-13T18:25"),
        ("Friday, half 7am", "2026-03-13T07:30"),
        ("Saturday, twelve thirty", "2026-03-14T12:30"),
        ("Monday at hours 18", "2026-03-16T18:00"),
        ("Monday at fifteen hours thirty", "2026-03-16T15:30"),
        ("0900 Friday 13 March", "2026-03-13T09:00"),
        ("Weds 1730 hrs", "2026-03-11T17:30"),
        ("the 2pm for Thursday", "2026-03-12T14:00"),
        ("tomorrow fortnight at 9.45", "2026-03-25T09:45"),
        ("Date: 19/03/26\nTime: 12.15", "2026-03-19T12:15"),
        ("the twenty first at five o'clock in the afternoon", "2026-03-21T17:00"),
    ],
)
def test_a_time_is_resolved_against_the_day_of_sending(said, meant):
    assert chosen(f"Please cancel the first session, {said}, HT-204518.") == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("next week's Thursday at 5", "2026-03-19T17:00"),
        ("Thursday next week, 5pm", "2026-03-19T17:00"),
        ("Thursday of next week at seven", "2026-03-19T19:00"),
        ("next week on Thursday at 5", "2026-03-19T17:00"),
        ("next week, Thursday 5pm", "2026-03-19T17:00"),
        ("Friday this week at noon", "2026-03-13T12:00"),
        ("this coming Friday at 2", "2026-03-13T14:00"),
        ("tomorrow evening at 6", "2026-03-11T18:00"),
        ("in two weeks' time at 1400", "2026-03-24T14:00"),
        ("19-03-2026 at 10", "2026-03-19T10:00"),
        ("Thur-19th 5pm", "2026-03-19T17:00"),
        ("Thursday, March 19th, 5pm", "2026-03-19T17:00"),
        ("the 19th (Thursday), 5pm", "2026-03-19T17:00"),
        ("19 March (Thurs) at half four", "2026-03-19T16:30"),
        ("the 17th, a Friday, at 3pm", "2026-04-17T15:00"),
        ("at 7 in the evening on the 19th", "2026-03-19T19:00"),
        ("at 4 sharp on the 19th", "2026-03-19T16:00"),
        ("Tues 24th 5pm", "2026-03-24T17:00"),
        ("Tues, 24.3.26, 5pm", "2026-03-24T17:00"),
        ("2 weeks on Thursday at 5", "2026-03-26T17:00"),
        ("fortnight today at 3", "2026-03-24T15:00"),
        ("Tuesday 24 March at ten-thirty", "2026-03-24T10:30"),
        ("Tuesday at 10ish", "2026-03-17T10:00"),
        ("Thursday at half past four off my list", "2026-03-12T16:30"),
    ],
)
def test_a_week_or_weekday_told_beside_a_day_says_which_day(said, meant):
    assert chosen(f"Please cancel the first session, {said}, HT-204518.") == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("from 5 to 5.50", "17:00"),
        ("5-5:50pm", "17:00"),
        ("5 to 6pm", "17:00"),
        ("from 5pm till 6pm", "17:00"),
        ("11-12.30pm", "11:00"),
        ("12-1pm", "12:00"),
        ("17:00 - 17:50", "17:00"),
        ("between 2 and 3", "14:00"),
        ("3-4", "15:00"),
        ("9.30-10.20am", "09:30"),
        ("530pm", "17:30"),
        ("at 1015am", "10:15"),
        ("14:00hrs", "14:00"),
        ("1400h", "14:00"),
        ("15h30", "15:30"),
        ("@2", "14:00"),
    ],
)
def test_a_clock_time_is_read_in_whatever_way_it_is_written(said, meant):
    day = "2026-03-12T"

    assert chosen(f"Please cancel the first session on Thursday {said}.") == day + meant
    assert chosen(f"Please take {said} on Thursday 12 March off, a new client.") == day + meant


@pytest.mark.parametrize(
    "text",
    [
        "Could someone ring me on Thursday? I'm free between 2 and 4.",
        "I am in the office from 9 to 5 on Thursday.",
        "Thursday 1-1 work",
        "We meet on Thursday, her score has sat at 16-17 since.",
        "Thursday, 3-4 sessions",
    ],
)
def test_a_span_that_is_no_session_gives_no_clock_time(text):
    assert "T" not in (chosen(text) or "")


@pytest.mark.parametrize(
    "text",
    [
        "I see her on a Thursday at 4.",
        "I see her Thursday evenings at 6.",
        "We meet Thursday 5pm each week.",
        "Thursdays at 5.",
        "every other Thursday, 5pm",
        "I see her at her usual Thursday 5pm.",
    ],
)
def test_a_slot_that_comes_again_is_no_time(text):
    assert chosen(text) is None


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("2026-03-27T18:00:00+00:00", "2026-04-02T17:00"),
        ("2026-03-28T23:30:00+00:00", "2026-04-02T17:00"),
        ("2026-10-24T23:30:00+01:00", "2026-10-29T17:00"),
        ("2026-12-30T09:00:00+00:00", "2027-01-07T17:00"),
    ],
)
def test_next_week_is_the_one_that_begins_on_monday_in_london(sent, meant):
    assert chosen("Please cancel the session Thursday next week, 5pm.", sent=sent) == meant


@pytest.mark.parametrize(
    ("text", "kind", "meant"),
    [
        ("HT-204518, Saturday 9am, for your notes.", "note_reason", "2026-03-07T09:00"),
        ("HT-204518, tomorrow 9am, for your notes.", "note_reason", "2026-03-11T09:00"),
        ("The session of the 20th at 6, HT-204518.", "note_reason", "2026-02-20T18:00"),
        ("HT-204518, Saturday 9am.", "cancellation", "2026-03-14T09:00"),
        ("I wrote it down on 3 March. HT-204518 please.", "cancellation", None),
        ("Flu. All mine today, please: the 9am.", "other", "2026-03-10T09:00"),
    ],
)
def test_what_is_asked_tells_whether_the_day_is_to_come_or_gone(text, kind, meant):
    sent = read(text).email.sent_at

    assert time_of(groups(text)[0], kind, sent) == meant
    told = [m.value for m in settled_mentions(groups(text)[0], kind, sent)]
    assert meant is None or meant in told


@pytest.mark.parametrize(
    ("text", "kind", "meant"),
    [
        ("We are closed until Monday 16 March.", "other", None),
        ("Could you move HT-204518 from Friday to the week after?", "other", "2026-03-13"),
        ("I rang her twice on Monday and she did not answer.", "update", None),
        ("HT-204518 on Friday at 5pm: she knows now.", "update", "2026-03-13T17:00"),
        ("The invoice of 3 March is still unpaid.", "other", None),
        ("Our last session is on Friday 13 March.", "referral", "2026-03-13"),
    ],
)
def test_a_day_is_the_sessions_where_what_is_asked_makes_that_likely(text, kind, meant):
    assert time_of(groups(text)[0], kind, read(text).email.sent_at) == meant


def test_a_time_beside_the_session_id_in_quoted_text_counts_where_the_answer_names_none():
    quoted = "> Shall we cancel HT-204518 (Mr Dunne, first session, Thursday 12 March, 11:00)?"

    assert groups("Yes to the below, please.", quoted=quoted)[0].session_time == "2026-03-12T11:00"
    assert groups("Yes to the below: Friday 13th, 9am.", quoted=quoted)[0].session_time == (
        "2026-03-13T09:00"
    )


def test_a_day_that_depends_on_when_the_quoted_text_was_written_is_not_taken():
    quoted = "> We will cancel HT-204518 tomorrow at noon."

    assert groups("Yes to the below, please.", quoted=quoted)[0].session_time is None


def test_a_day_named_like_today_is_today_where_the_message_speaks_of_today():
    text = "HT-204518, Tuesday 7pm: cancel, please. He is due tonight."

    assert chosen(text) == "2026-03-10T19:00"


def test_in_an_hour_is_reckoned_on_the_london_clock():
    value = chosen("Her first session is in an hour!", sent="2026-06-10T09:00:00+00:00")

    assert value == "2026-06-10T11:00"


def test_tomorrow_is_tomorrow_across_the_change_of_clocks():
    value = chosen("Cancel the session tomorrow 9am", sent="2026-03-28T23:30:00+00:00")

    assert value == "2026-03-29T09:00"


def test_late_at_night_in_summer_it_is_already_the_next_day_in_london():
    value = chosen("Cancel the session tomorrow 9am", sent="2026-06-10T23:30:00+00:00")

    assert value == "2026-06-12T09:00"


def test_a_lapsed_session_lies_behind():
    assert chosen("Saturday's first session at 9am expired, too late I know.") == "2026-03-07T09:00"


def test_the_session_counts_and_not_the_call():
    text = "I rang her yesterday evening. Please cancel HT-204518, Thursday at 4."

    assert chosen(text) == "2026-03-12T16:00"


@pytest.mark.parametrize("written", ["204518", "(HT-204518)", "session 204518", "#204518"])
def test_an_id_between_a_time_and_its_day_keeps_them_together(written):
    assert chosen(f"Please cancel my 9am {written} tomorrow.") == "2026-03-11T09:00"
    assert chosen(f"Please cancel at 9 {written} Thursday.") == "2026-03-12T09:00"
    assert chosen(f"Please cancel Thursday {written} at 5.") == "2026-03-12T17:00"


def test_a_recurring_slot_alone_is_no_time():
    assert chosen("We meet every Thursday at 4 and it has run its course.") is None


def test_a_recurring_hour_completes_a_named_day():
    assert chosen("We meet Thursdays at noon. Her last session is this Thursday.").endswith(
        "T12:00"
    )


def test_times_with_two_clients_keep_their_own_day():
    text = "Two first sessions on Monday 16th. 9am, Lena, cancel. 3.15pm, Bogdan, cancel."

    assert values(text, "session_time") == ["2026-03-16T09:00", "2026-03-16T15:15"]


@pytest.mark.parametrize(
    "opening",
    [
        "Two for Monday 16th, please.",
        "Two to come out on Monday 16th. I rang both of them this evening.",
        "Two for Monday 16th. I will telephone them tomorrow.",
        "Two for Monday 16th. We had a chat last Friday evening.",
    ],
)
def test_hours_in_a_list_are_of_the_day_that_is_announced_and_not_of_a_call(opening):
    items = "\n\n9.30, HT-204518, Ana.\n\n3.15pm, HT-204519, Mr Lowry."

    found = values(opening + items, "session_time")

    assert {"2026-03-16T09:30", "2026-03-16T15:15"} <= set(found)


def test_the_same_day_is_that_of_the_session_before_and_not_of_a_message_to_the_client():
    text = "HT-204518, Thursday 10am: I messaged him last night. HT-204519, same day at 2pm."

    assert "2026-03-12T14:00" in values(text, "session_time")


def test_a_weekday_that_seems_gone_by_is_the_one_that_the_subject_dates():
    text = "Both were to be first meetings, on Monday afternoon. 2pm, Lena."

    assert chosen(text, subject="Monday 16th: two to come out") == "2026-03-16T14:00"


def test_a_bare_number_behind_a_weekday_is_its_date_where_it_is_the_coming_one():
    assert chosen("Cancel HT-204518, Thursday 12, please.") == "2026-03-12"
    assert chosen("Cancel HT-204518, Saturday 12, please.") == "2026-03-14T12:00"


@pytest.mark.parametrize(
    "text",
    [
        "We see each other this Thursday, and the 27th will be our last.",
        "I spent Monday's hour on it with him. Our ending is Friday 27 March.",
        "Nell and I finish on Friday 27 March. Her session this Thursday takes place.",
    ],
)
def test_of_several_sessions_the_last_is_the_one_that_a_referral_means(text):
    assert chosen(text) == "2026-03-27"


@pytest.mark.parametrize(
    "text", ["I sat with it.", "PHQ-9 of 12.5", "6 hours CPD, £95", "31/31/31"]
)
def test_what_is_no_time_is_not_taken_for_one(text):
    assert noticed(text, "session_time") == []
