"""How an attempt to send something ended, the same for every channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from store import OutboxRow


@dataclass(frozen=True, slots=True)
class Arrived:
    """Whoever it was for has taken it."""

    note: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """It certainly did not arrive, or arriving twice does no harm; trying again may help."""

    note: str
    wait_s: float = 0  # as the other side asks for
    pauses: bool = False  # nothing else need be tried there now
    at_once: bool = False  # it was ourselves who failed


@dataclass(frozen=True, slots=True)
class Refused:
    """The other side has understood it and does not want it."""

    note: str
    pauses: bool = False


@dataclass(frozen=True, slots=True)
class Perhaps:
    """It may have arrived, and must not arrive twice: for a person to find out."""

    note: str


Fate = Arrived | NotNow | Refused | Perhaps


class Carrier(Protocol):
    """A way out of the system. Its methods raise nothing about the world outside."""

    @property
    def domain(self) -> str:
        """Where Message-IDs are of; "" for what is no mail."""

    @property
    def most(self) -> int:
        """How many rows go together."""

    def carry(self, rows: Sequence[OutboxRow], note: Callable[[str], None]) -> Fate:
        """Send *rows*; *note* puts on disk that the point of no return is reached, or raises."""

    def interrupted(self, rows: Sequence[OutboxRow]) -> Fate:
        """What became of *rows*, whose sender was killed while sending them together."""

    def check(self) -> None:
        """Try the way without sending anything; raises ``SourceError`` with what is wrong."""
