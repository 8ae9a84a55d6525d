"""How soon a mailbox that fails may be tried again: soon enough, and never so often as to lock it.

Providers lock accounts, or slow them down for an hour, after a handful of failed logins. So the
pause grows with each failure, a refused password is hardly tried at all, and whatever the reason
and whoever asks, no more than a few logins are made in ten minutes until one run has succeeded.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from ingest.sources import SourceError

LOGINS: Final = 6  # since the last success, at most …
WINDOW_S: Final = 600  # … in so many seconds
_LONGEST_S: Final = 600
_REFUSED_S: Final = 600  # a refused login does not heal by itself; somebody must act
_LONGEST_REFUSED_S: Final = 3600


class Pace:
    """One mailbox's pauses and logins; may be used from several threads."""

    def __init__(
        self,
        first_pause_s: float = 15,
        clock: Callable[[], float] = time.monotonic,
        spread: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311 - no secret
    ) -> None:
        self._first_pause_s, self._clock, self._spread = first_pause_s, clock, spread
        self._logins: deque[float] = deque()
        self._failures = 0
        self._lock = threading.Lock()
        self.is_well = False  # whether the last run over this mailbox succeeded

    def before_login(self) -> None:
        """Count a login that is about to be made; raises ``SourceError`` where it must wait."""
        with self._lock:
            now = self._clock()
            while self._logins and now - self._logins[0] >= WINDOW_S:
                self._logins.popleft()
            if not self.is_well and len(self._logins) >= LOGINS:
                wait_s = WINDOW_S - (now - self._logins[0])
                raise SourceError(f"no more logins for {wait_s:.0f} s, lest the account be locked")
            self._logins.append(now)

    def went_well(self) -> None:
        with self._lock:
            self._logins.clear()
            self._failures, self.is_well = 0, True

    def failed(self, *, refused: bool) -> float:
        """How many seconds to wait after this failure, or this refusal of user and password."""
        with self._lock:
            self.is_well = False
            self._failures += 1
            return self.pause_s(self._failures, refused=refused)

    def pause_s(self, failures: int, *, refused: bool = False) -> float:
        """The pause after so many failures in a row; spread, lest many come back at once."""
        first, longest = self._first_pause_s, float(_LONGEST_S)
        if refused:
            first, longest = max(first, _REFUSED_S), float(_LONGEST_REFUSED_S)
        return min(first * 2.0 ** min(failures - 1, 20), longest) * self._spread()
