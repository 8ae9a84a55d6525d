"""Doing it again where another writer was given the way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from store.errors import StoreBusyError

TRIES: Final = 5
_FIRST_PAUSE_S: Final = 0.05


def stubborn(work: Callable[[], None], pause: Callable[[float], None] = time.sleep) -> None:
    """Do *work*, and again up to ``TRIES`` times in all while it raises ``StoreBusyError``.

    Between two tries there is a pause of random length, twice as long each time, so that two who
    were in each other's way are not so again. *work* must go on from what is stored.
    """
    for attempt in range(TRIES - 1):
        try:
            return work()
        except StoreBusyError:
            pause(random.uniform(0.5, 1) * _FIRST_PAUSE_S * 2**attempt)  # noqa: S311 - no secret
    return work()
