"""A batch that PostgreSQL undid for another writer is done again, for a while."""

import pytest

from store import LeaseLostError, StoreBusyError, StoreError
from store.stubborn import TRIES, stubborn


def failing(times: int, error: type[StoreError] = StoreBusyError):
    left = [error("in the way")] * times
    done: list[int] = []

    def work() -> None:
        done.append(1)
        if left:
            raise left.pop()

    return work, done


def test_whoever_gave_way_tries_again_after_ever_longer_pauses_of_random_length() -> None:
    work, done = failing(TRIES - 1)
    pauses: list[float] = []

    stubborn(work, pauses.append)

    assert len(done) == TRIES
    assert pauses == sorted(pauses)
    assert len(set(pauses)) == TRIES - 1
    assert sum(pauses) < 2


def test_whoever_is_always_in_the_way_is_told_of() -> None:
    work, done = failing(100)

    with pytest.raises(StoreBusyError):
        stubborn(work, lambda _: None)

    assert len(done) == TRIES


@pytest.mark.parametrize("error", [StoreError, LeaseLostError])
def test_nothing_else_is_tried_again(error: type[StoreError]) -> None:
    work, done = failing(1, error)

    with pytest.raises(error):
        stubborn(work, lambda _: None)

    assert len(done) == 1
