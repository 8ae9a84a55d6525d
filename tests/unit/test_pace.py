"""How soon a mailbox that fails is tried again."""

import pytest

from ingest.pace import LOGINS, WINDOW_S, Pace
from ingest.sources import SourceError


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(15, clock, spread=lambda: 1.0)


def test_the_pause_doubles_with_each_failure_up_to_ten_minutes(pace: Pace) -> None:
    assert [pace.failed(refused=False) for _ in range(8)] == [15, 30, 60, 120, 240, 480, 600, 600]


def test_a_refused_password_is_hardly_tried_again(pace: Pace) -> None:
    assert [pace.failed(refused=True) for _ in range(5)] == [600, 1200, 2400, 3600, 3600]


def test_a_success_starts_the_pauses_anew(pace: Pace) -> None:
    pace.failed(refused=False)
    pace.failed(refused=False)
    pace.went_well()

    assert pace.failed(refused=False) == 15


def test_pauses_are_spread(clock: Clock) -> None:
    pauses = {Pace(100, clock).failed(refused=False) for _ in range(50)}

    assert len(pauses) > 40
    assert min(pauses) >= 80
    assert max(pauses) <= 120


def test_a_failing_mailbox_gets_few_logins_whoever_asks(pace: Pace, clock: Clock) -> None:
    made: list[float] = []

    for second in range(3600):
        clock.now = 1000.0 + second
        try:
            pace.before_login()
        except SourceError:
            continue
        made.append(clock.now)
        pace.failed(refused=False)

    assert all(sum(a <= b < a + WINDOW_S for b in made) <= LOGINS for a in made)
    assert len(made) == 6 * LOGINS


def test_a_healthy_mailbox_may_log_in_as_often_as_it_gets_mail(pace: Pace) -> None:
    pace.went_well()

    for _ in range(50):
        pace.before_login()


def test_the_refusal_says_how_long_it_lasts(pace: Pace, clock: Clock) -> None:
    for _ in range(LOGINS):
        pace.before_login()
    clock.now += 100

    with pytest.raises(SourceError, match="no more logins for 500 s"):
        pace.before_login()
