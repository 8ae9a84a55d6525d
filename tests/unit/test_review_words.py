"""Values as staff read them."""

import pytest

from review.web.words import value_in_words


@pytest.mark.parametrize(
    ("kept", "read"),
    [
        ("2026-03-05T12:30", "Thu 5 Mar, 12:30"),
        ("2026-07-02T09:00", "Thu 2 Jul, 09:00"),  # summer time: the clock on the wall, as written
        ("some time on Thursday", "some time on Thursday"),
    ],
)
def test_the_time_of_a_session_reads_as_on_the_wall(kept: str, read: str) -> None:
    assert value_in_words("session_time", kept) == read
