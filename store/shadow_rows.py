"""What a shadow reading is as a value, and as a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from store.columns import AnyRow
from store.errors import RefusedError
from store.values import request_from, request_json
from triage.records import Email, Request
from triage.shadows import COSTS, RIGHTS, Difference, Pair, Right, Stand

#: Stands for a reading in which nothing differs.
NOTHING: Final = len(COSTS)


@dataclass(frozen=True, slots=True)
class ToShadow:
    """A message that a candidate is to read, and its asks as the model in use read them."""

    message_id: int
    stored_at: datetime
    email: Email
    asks: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What a candidate made of a message; ``problem`` says why it made nothing of it."""

    message_id: int
    champion: str
    stored_at: datetime
    seconds: float
    pairs: tuple[Pair, ...] = ()
    differences: tuple[Difference, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ShadowVerdict:
    """Which of the two a person finds right about a field of an ask, and why."""

    field: str
    ask: int
    side: Right
    by: str
    at: datetime
    words: str


@dataclass(frozen=True, slots=True)
class ShadowReading:
    """A stored shadow reading. ``case_ids`` are filled where the list asks for them."""

    id: int
    read: Shadowed
    read_at: datetime
    mail: str  # its Message-ID
    verdicts: tuple[ShadowVerdict, ...] = ()
    case_ids: tuple[int, ...] = ()

    def verdict(self, one: Difference) -> ShadowVerdict | None:
        """What a person said last about that difference."""
        return next(
            (v for v in reversed(self.verdicts) if (v.field, v.ask) == (one.field, one.ask)), None
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate as it stands; ``problem`` is that of its latest try."""

    id: int
    name: str
    digest: str
    first_at: datetime
    tried_at: datetime
    problem: str
    read: int = 0
    failed: int = 0
    differing: int = 0


def row_of(candidate_id: int, one: Shadowed, now: datetime) -> dict[str, object]:
    names = dict.fromkeys(difference.field for difference in one.differences)
    costs = [COSTS.index(difference.cost) for difference in one.differences]
    return {
        "candidate_id": candidate_id,
        "message_id": one.message_id,
        "champion": one.champion,
        "stored_at": one.stored_at,
        "read_at": now,
        "seconds": one.seconds,
        "problem": one.problem,
        "pairs": [[_stand_json(p.champion), _stand_json(p.candidate)] for p in one.pairs],
        "differences": [asdict(difference) for difference in one.differences],
        "fields": f";{';'.join(names)};",
        "worst": min(costs, default=NOTHING),
    }


def _stand_json(stand: Stand | None) -> dict[str, object] | None:
    if stand is None:
        return None
    return {**request_json(stand.request), "queue": stand.queue, "state": stand.state}


def _stand_from(stored: Mapping[str, Any] | None) -> Stand | None:
    if stored is None:
        return None
    return Stand(request_from(stored), stored["queue"], stored["state"])


def read_from(row: AnyRow) -> Shadowed:
    """The reading of a row of ``shadow_readings``."""
    return Shadowed(
        message_id=row.message_id,
        champion=row.champion,
        stored_at=row.stored_at,
        seconds=row.seconds,
        pairs=tuple(Pair(_stand_from(one), _stand_from(two)) for one, two in row.pairs),
        differences=tuple(Difference(**one) for one in row.differences),
        problem=row.problem,
    )


def check(found: ShadowReading, sides: Mapping[tuple[str, int], Right]) -> None:
    known = {(one.field, one.ask) for one in found.read.differences}
    if not sides or not set(sides) <= known or not set(sides.values()) <= set(RIGHTS):
        raise RefusedError("say of a field in which the two differ which of them is right")


def unsaid(
    found: ShadowReading, sides: Mapping[tuple[str, int], Right], words: str
) -> dict[tuple[str, int], Right]:
    """Those of *sides* that are not on record yet; all of them where *words* are all that is new.

    A form sends every answer again that it was shown with.
    """
    latest = {(said.field, said.ask): said for said in found.verdicts}
    new = {at: side for at, side in sides.items() if at not in latest or latest[at].side != side}
    if new or not words:
        return new
    return {at: side for at, side in sides.items() if latest[at].words != words}
