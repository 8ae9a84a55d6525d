"""What the store holds, as the data team's commands are handed it.

``models`` may not know the store; whoever does makes these values (see ``review/learning.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from triage.records import Decision, Email, Request
from triage.shadows import Difference, Pair, Right
from triage.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict that stands, and the request as the person saw it, its corrections not applied.

    ``reader_version`` is of the model whose reading lies under that request, whoever set right
    some of it before.
    """

    verdict: Verdict
    request: Request
    reader_version: str


@dataclass(frozen=True, slots=True)
class StoredCase:
    """A case as it stands: its mails in the order of writing and what people decided, in order.

    ``asks`` is how many cases its first mail is about. ``request`` is what people made of it,
    ``read`` what the model of ``reader_version`` had read; None where that is the same.
    """

    case_id: int
    emails: tuple[Email, ...]
    request: Request
    decision: Decision
    reader_version: str
    therapist_id: str = ""
    session_id: str = ""
    client_id: str = ""
    asks: int = 1
    judgements: tuple[Judgement, ...] = ()
    read: Request | None = None
    part_of: int | None = None  # the case that it went into, by a person's word


@dataclass(frozen=True, slots=True)
class LiveReading:
    """A message that a candidate has read beside the model in use, and who is right where.

    ``mail`` is its Message-ID. ``sides`` has what persons said last, by field and ask.
    """

    mail: str
    pairs: tuple[Pair, ...] = ()
    differences: tuple[Difference, ...] = ()
    sides: Mapping[tuple[str, int], Right] = field(default_factory=dict)
    seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LiveReadings:
    """What a candidate made of live mail. ``digest`` is of its manifest, ``problem`` of its try."""

    candidate: str
    digest: str
    champion: str
    problem: str
    readings: tuple[LiveReading, ...]


class Archive(Protocol):
    """Everything that was ever queued, closed cases too."""

    def cases(self) -> Iterator[StoredCase]: ...

    def shadows(
        self, candidate: str, champion: str, since: datetime | None = None, *, digest: str = ""
    ) -> LiveReadings | None:
        """What *candidate* has read beside *champion*; None where it never read.

        "" stands for the candidate tried last, and for the model in use. With a *digest*, that very
        release alone.
        """
