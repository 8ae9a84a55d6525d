"""What to label next: a mix, since each way of choosing is blind to something.

The unsure alone would be the oddest messages of all, the rare alone what the model already believes
to be rare. A share is drawn by lot: it is what shows errors that nobody, the model least of all,
suspects (Settles 2009, "Active learning literature survey", on sampling bias).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from triage.labels import CODE_SETS
from triage.records import Request

#: Shares of a selection, in the order of turns.
SHARES: Final[Mapping[str, float]] = {
    "unsure": 0.4,
    "rare": 0.25,
    "disagreement": 0.2,
    "random": 0.15,
}
#: At most so many messages of one sender in a selection.
PER_SENDER: Final = 3
_DOUBTED: Final = ("kind", "client_notification", "risk")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An unlabelled message: as the model reads it, and as the rules alone do."""

    id: str
    sender: str
    read: tuple[Request, ...]
    by_rules: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class Pick:
    """A message to label, what chose it, and why in words (codes and figures only)."""

    id: str
    chosen_by: str
    score: float
    why: str


def select(
    candidates: Sequence[Candidate], known: Mapping[str, int], number: int, *, seed: int = 0
) -> list[Pick]:
    """*number* messages to label, dealt out by ``SHARES``; *known* counts labels so far.

    A way of choosing that runs dry leaves its turns to chance. The same arguments give the same.
    """
    rng = np.random.default_rng(seed)
    lots = {
        c.id: float(lot) for c, lot in zip(candidates, rng.random(len(candidates)), strict=True)
    }
    ways: dict[str, Callable[[Candidate], tuple[float, str]]] = {
        "unsure": _unsure,
        "rare": lambda c: _rare(c, known),
        "disagreement": _disagreement,
        "random": lambda c: (lots[c.id], "drawn by lot"),
    }
    taken: set[str] = set()
    per_sender: Counter[str] = Counter()
    picks: list[Pick] = []
    for way, count in _turns(number):
        ranked = sorted(((ways[way](c), c) for c in candidates), key=lambda x: (-x[0][0], x[1].id))
        wanted = count if way != "random" else number - len(picks)
        for (score, why), candidate in ranked:
            if wanted <= 0 or score <= 0:
                break
            if candidate.id not in taken and per_sender[candidate.sender] < PER_SENDER:
                taken.add(candidate.id)
                per_sender[candidate.sender] += 1
                picks.append(Pick(candidate.id, way, round(score, 4), why))
                wanted -= 1
    return picks


def known_labels(requests: Iterable[Request]) -> Counter[str]:
    """How often each "field:code" was labelled so far."""
    return Counter(label for request in requests for label in _labels(request))


def _turns(number: int) -> list[tuple[str, int]]:
    """How many each way may choose; what rounding leaves goes to the last."""
    counts = {way: int(number * share) for way, share in SHARES.items()}
    return list(counts.items())


def _labels(request: Request) -> list[str]:
    sets = [f"{name}:{code}" for name in CODE_SETS for code in getattr(request, name)]
    return [*sets, *(f"{name}:{getattr(request, name)}" for name in _DOUBTED)]


def _unsure(candidate: Candidate) -> tuple[float, str]:
    """The least sure of the answers that decide what happens to a case."""
    sure = [
        (request.confidence if name == "kind" else request.confidence_in(name), name, request)
        for request in candidate.read
        for name in _DOUBTED
    ]
    if not sure:
        return 0.0, ""
    least, name, request = min(sure, key=lambda one: one[0])
    return 1 - least, f"{name} read as {getattr(request, name)}, {least:.0%} sure"


def _rare(candidate: Candidate, known: Mapping[str, int]) -> tuple[float, str]:
    """The label with the fewest examples among those that the model sees."""
    labels = [label for request in candidate.read for label in _labels(request)]
    if not labels:
        return 0.0, ""
    rarest = min(labels, key=lambda label: (known.get(label, 0), label))
    count = known.get(rarest, 0)
    return 1 / (1 + count), f"{rarest} has {count} examples"


def _disagreement(candidate: Candidate) -> tuple[float, str]:
    """How far the rules' phrases and the model's codes are apart (Jaccard distance)."""
    ours, theirs = (
        {f"{name}:{code}" for r in requests for name in CODE_SETS for code in getattr(r, name)}
        for requests in (candidate.read, candidate.by_rules)
    )
    either = ours | theirs
    if not candidate.by_rules or not either:
        return 0.0, ""
    apart = sorted(ours ^ theirs)
    why = f"rules and model differ on {', '.join(apart[:3])}"
    return len(apart) / len(either), why if apart else ""
