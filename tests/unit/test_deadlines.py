from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.deadlines import (
    OfficeHours,
    Step,
    deadline,
    escalated,
    local_date,
    local_time,
    office_time,
    opens_again,
    opens_next,
    too_late,
)

LONDON = ZoneInfo("Europe/London")
OFFICE = OfficeHours()
moments = st.integers(0, 4 * 365 * 24 * 60).map(
    lambda minutes: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
offices = st.builds(
    OfficeHours,
    days=st.sets(st.integers(0, 6), min_size=1).map(frozenset),
    holidays=st.sets(st.dates(date(2024, 1, 1), date(2028, 1, 1)), max_size=20).map(frozenset),
    notice=st.sampled_from([timedelta(0), timedelta(hours=1), timedelta(hours=20)]),
)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=LONDON)


@pytest.mark.parametrize(
    ("start", "due"),
    [
        ("2025-11-06T14:00", "2025-11-06T13:00"),  # within the day
        ("2025-11-06T19:00", "2025-11-06T16:00"),  # an evening session
        ("2025-11-06T08:00", "2025-11-05T16:00"),  # before the office opens
        ("2025-11-06T09:30", "2025-11-05T16:30"),  # half an hour each on two days
        ("2025-11-10T09:00", "2025-11-07T16:00"),  # Monday morning is Friday afternoon
        ("2025-11-08T11:00", "2025-11-07T16:00"),  # a Saturday session
        ("2025-03-31T09:30", "2025-03-28T16:30"),  # over the change to summer time
        ("2025-10-27T09:30", "2025-10-24T16:30"),  # and back
    ],
)
def test_the_deadline_counts_back_through_office_hours(start, due):
    assert deadline(at(start), OFFICE) == at(due)


def test_holidays_are_no_office_days():
    office = OfficeHours(holidays=frozenset({date(2025, 12, 25), date(2025, 12, 26)}))

    assert deadline(at("2025-12-29T09:00"), office) == at("2025-12-24T16:00")


def test_after_hours_before_an_early_session_is_too_late():
    assert too_late(at("2025-11-06T09:30"), at("2025-11-05T18:00"), OFFICE)
    assert not too_late(at("2025-11-06T15:00"), at("2025-11-05T18:00"), OFFICE)


def test_a_session_that_has_started_is_too_late_without_any_notice():
    office = OfficeHours(notice=timedelta(0))

    assert too_late(at("2025-11-06T14:00"), at("2025-11-06T14:00"), office)


@given(moments, offices)
@settings(max_examples=500, deadline=None)
def test_between_deadline_and_start_lies_exactly_the_notice(start, office):
    due = deadline(start, office)

    assert due <= start
    assert office_time(due, start, office) == office.notice


@given(moments, moments, offices)
@settings(max_examples=500, deadline=None)
def test_office_time_never_exceeds_the_time_between(begin, end, office):
    assert timedelta() <= office_time(begin, end, office) <= max(end - begin, timedelta())


@given(moments, offices)
@settings(max_examples=300, deadline=None)
def test_the_office_opens_next_on_an_open_day(now, office):
    opens = opens_next(now, office)

    assert opens >= now
    assert office.open_on(opens.astimezone(LONDON).date())


def test_an_office_that_never_opens_is_refused():
    with pytest.raises(ValueError, match="weekday"):
        OfficeHours(days=frozenset())
    with pytest.raises(ValueError, match="open before"):
        OfficeHours(opens=time(17), closes=time(9))


def test_an_office_shut_for_months_still_gives_a_deadline():
    closed = frozenset(date(2025, 1, 1) + timedelta(days=n) for n in range(400))

    assert deadline(at("2025-11-06T14:00"), OfficeHours(holidays=closed)) == at("2025-11-06T13:00")


def test_stated_times_are_london_times():
    assert local_time("2025-07-01T18:00") == datetime(2025, 7, 1, 17, tzinfo=UTC)
    assert local_time("2025-07-01") is None
    assert local_date("2025-07-01T18:00") == date(2025, 7, 1)
    assert local_time("soonThen") is None
    assert local_date("soon") is None


LADDER = (
    Step(timedelta(hours=8), "the team"),
    Step(timedelta(hours=2), "whoever is on shift"),
    Step(timedelta(0), "the team lead"),
)


@pytest.mark.parametrize(
    ("now", "level"),
    [
        ("2025-11-05T09:00", 0),  # fifteen office hours left
        ("2025-11-05T16:00", 1),  # eight
        ("2025-11-05T22:00", 1),  # a night takes no office time
        ("2025-11-06T14:00", 2),
        ("2025-11-06T16:00", 3),  # the deadline itself
        ("2025-11-09T16:00", 3),
    ],
)
def test_a_case_climbs_the_ladder_in_office_hours(now, level):
    assert escalated(at("2025-11-06T16:00"), at(now), OFFICE, LADDER) == level


def test_what_has_no_deadline_or_a_far_one_climbs_nothing():
    assert escalated(None, at("2025-11-06T16:00"), OFFICE, LADDER) == 0
    assert escalated(at("2027-11-05T16:00"), at("2025-11-06T16:00"), OFFICE, LADDER) == 0
    assert escalated(at("2025-11-06T16:00"), at("2025-11-07T16:00"), OFFICE, ()) == 0


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2025-11-06T10:00", "2025-11-07T09:00"),
        ("2025-11-06T20:00", "2025-11-07T09:00"),
        ("2025-11-07T15:00", "2025-11-10T09:00"),  # a Friday
        ("2025-11-08T12:00", "2025-11-10T09:00"),
        ("2025-03-28T16:00", "2025-03-31T09:00"),  # over the night of summer time
        ("2025-10-24T16:00", "2025-10-27T09:00"),
    ],
)
def test_the_office_opens_again_after_it_has_closed(now, opens):
    assert opens_again(at(now), OFFICE) == at(opens)


@pytest.mark.parametrize(
    ("night", "hours"), [("2025-03-30", 23), ("2025-10-26", 25), ("2025-06-15", 24)]
)
def test_an_office_open_every_day_loses_no_notice_in_the_night_the_clocks_change(night, hours):
    office = OfficeHours(days=frozenset(range(7)), notice=timedelta(hours=2))
    before, after = at(f"{night}T09:00") - timedelta(days=1), at(f"{night}T09:00")

    assert after.astimezone(UTC) - before.astimezone(UTC) == timedelta(hours=hours)
    assert deadline(at(f"{night}T10:00"), office) == at(
        (before + timedelta(hours=7)).strftime("%Y-%m-%dT%H:%M")
    )
