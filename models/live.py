"""A candidate against the model in use on live mail: where they agree, and who is right.

Agreement needs nobody: every message that both have read counts. Who is right needs people: what
they said of a disagreement, and what they settled in a case (``feedback.collect``). A word about a
disagreement goes before a settled case, for it was asked with both readings side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from models.handover import LiveReading, LiveReadings
from models.measures import pair
from models.shadow import value_of
from triage.records import Request
from triage.shadows import COSTS, FIELDS, OF_ASKS, Cost

Finding = Literal["better", "worse", "not distinguishable", "too few verdicts"]

#: With fewer messages on which one alone is right, even a unanimous count could be chance
#: (McNemar's exact test: two in 2**6 is 0.03, two in 2**5 is 0.06).
FEWEST: Final = 6
_CHANCE: Final = 0.05
_SAMPLES: Final = 2000
_OUTSIDE: Final = 2.5  # per cent left out at either end of the interval
#: What the rules make of a reading; no settled case says which of two is right about it.
_OF_RULES: Final = frozenset(("queue", "state"))
#: Right: the one in use, the candidate.
_Rights = tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class FieldLive:
    """One field on live mail. Shares are of messages; intervals hold in 95 % of samples.

    ``low`` and ``high`` bound ``agreement``; ``apart_low`` and ``apart_high`` bound by how much
    larger a share the candidate gets right of the ``judged`` messages. ``p`` is McNemar's.
    """

    field: str
    messages: int
    differ: int
    agreement: float
    low: float
    high: float
    judged: int
    champion_right: int
    candidate_right: int
    only_champion: int
    only_candidate: int
    apart: float
    apart_low: float
    apart_high: float
    p: float
    finding: Finding


@dataclass(frozen=True, slots=True)
class Harms:
    """Errors that hurt people, as persons judged them; ``unjudged`` urgent risks nobody looked at.

    Each pair is of the one in use and of the candidate.
    """

    urgent_missed: tuple[int, int]
    false_clear: tuple[int, int]
    unjudged_urgent: int
    unjudged_told: int


@dataclass(frozen=True, slots=True)
class LiveComparison:
    """The whole comparison; ``per_second`` is messages per second of one process's own time."""

    candidate: str
    champion: str
    messages: int
    failed: int
    problem: str
    per_second: float
    judged: int
    settled: int
    costs: Mapping[Cost, int]
    fields: tuple[FieldLive, ...]
    harms: Harms

    @property
    def has_too_few(self) -> bool:
        """Whether no field has verdicts enough to say who is right."""
        return all(one.finding == "too few verdicts" for one in self.fields)


def compare_live(
    found: LiveReadings, settled: Mapping[str, Sequence[Request]], *, seed: int = 0
) -> LiveComparison:
    """Compare on all that both have read; *settled* are people's own requests by Message-ID.

    Agreement has Wilson's interval (1927). Who is right is compared on the same messages: McNemar's
    exact test (1947) on those where one alone is, and a paired bootstrap over messages (Efron and
    Tibshirani 1993, chapter 16) for by how much.
    """
    read = [one for one in found.readings if not one.problem]
    took = sum(one.seconds for one in read)
    rng = np.random.default_rng(seed)
    worst = Counter(one.differences[0].cost for one in read if one.differences)
    return LiveComparison(
        candidate=found.candidate,
        champion=found.champion,
        messages=len(read),
        failed=len(found.readings) - len(read),
        problem=found.problem,
        per_second=len(read) / took if took else 0.0,
        judged=sum(bool(one.sides) for one in read),
        settled=sum(one.mail in settled for one in read),
        costs={cost: worst[cost] for cost in COSTS},
        fields=tuple(_field(name, read, settled, rng) for name in FIELDS) if read else (),
        harms=harms_of(found),
    )


def harms_of(found: LiveReadings) -> Harms:
    """What persons said of the costliest disagreements."""
    said: Counter[tuple[Cost, str]] = Counter()
    for one in found.readings:
        for each in one.differences:
            said[each.cost, one.sides.get((each.field, each.ask), "")] += 1
    return Harms(
        urgent_missed=(
            said["urgent_seen", "candidate"],
            said["urgent_unseen", "champion"],
        ),
        false_clear=(
            said["told_less", "candidate"] + said["told_less", "neither"],
            said["told_more", "champion"] + said["told_more", "neither"],
        ),
        unjudged_urgent=said["urgent_unseen", ""],
        unjudged_told=said["told_more", ""],
    )


def _field(
    name: str,
    read: Sequence[LiveReading],
    settled: Mapping[str, Sequence[Request]],
    rng: np.random.Generator,
) -> FieldLive:
    from scipy.stats import binomtest

    differ = sum(any(each.field == name for each in one.differences) for one in read)
    agreed = binomtest(len(read) - differ, len(read))
    interval = agreed.proportion_ci(method="wilson")
    rights = [both for one in read if (both := _who(name, one, settled.get(one.mail))) is not None]
    theirs, ours = (sum(both[n] for both in rights) for n in (0, 1))
    only_champion = sum(one and not other for one, other in rights)
    only_candidate = sum(other and not one for one, other in rights)
    apart, low, high = _apart(rights, rng)
    alone = only_champion + only_candidate
    p = float(binomtest(only_candidate, alone).pvalue) if alone else 1.0
    return FieldLive(
        field=name,
        messages=len(read),
        differ=differ,
        agreement=float(agreed.statistic),
        low=float(interval.low),
        high=float(interval.high),
        judged=len(rights),
        champion_right=theirs,
        candidate_right=ours,
        only_champion=only_champion,
        only_candidate=only_candidate,
        apart=apart,
        apart_low=low,
        apart_high=high,
        p=p,
        finding=_finding(alone, p, apart),
    )


def _finding(alone: int, p: float, apart: float) -> Finding:
    if alone < FEWEST:
        return "too few verdicts"
    if p >= _CHANCE:
        return "not distinguishable"
    return "better" if apart > 0 else "worse"


def _apart(rights: Sequence[_Rights], rng: np.random.Generator) -> tuple[float, float, float]:
    """By how much larger a share the candidate has right, with the bounds of it."""
    if not rights:
        return 0.0, 0.0, 0.0
    gained = np.asarray([float(ours) - float(theirs) for theirs, ours in rights])
    # A message counts as +1, 0 or -1: drawing how often each comes is drawing the messages.
    values, counts = np.unique(gained, return_counts=True)
    drawn = rng.multinomial(len(gained), counts / len(gained), size=_SAMPLES)
    low, high = np.percentile(drawn @ values / len(gained), [_OUTSIDE, 100 - _OUTSIDE])
    return float(gained.mean()), float(low), float(high)


def _who(name: str, one: LiveReading, truth: Sequence[Request] | None) -> _Rights | None:
    """Who is right about a field of a whole message; None where nobody has said."""
    asked = [(each.field, each.ask) for each in one.differences if each.field == name]
    if asked and all(at in one.sides for at in asked):
        sides = [one.sides[at] for at in asked]
        return all(s == "champion" for s in sides), all(s == "candidate" for s in sides)
    if truth is None or name in _OF_RULES:
        return None
    theirs = [pair.champion.request for pair in one.pairs if pair.champion]
    ours = [pair.candidate.request for pair in one.pairs if pair.candidate]
    return _fits(name, truth, theirs), _fits(name, truth, ours)


def _fits(name: str, truth: Sequence[Request], read: Sequence[Request]) -> bool:
    pairs = pair(truth, read)
    both = [(wanted, found) for wanted, found in pairs if wanted and found]
    if name == "asks":
        return len(both) == len(pairs)
    return all(_same(name, wanted, found) for wanted, found in both)


def _same(name: str, wanted: Request, found: Request) -> bool:
    from models.measures import CALLS_FOR

    if name in (*OF_ASKS, "client_notification") and wanted.kind not in CALLS_FOR:
        return True
    return value_of(wanted, name) == value_of(found, name)


def settled_requests(rows: Iterator[tuple[str, Sequence[Request]]]) -> dict[str, Sequence[Request]]:
    """By Message-ID what people settled; of two mails that claim one Message-ID neither."""
    found: dict[str, Sequence[Request]] = {}
    twice = set()
    for mail, requests in rows:
        twice.update({mail} & found.keys())
        found[mail] = requests
    return {mail: requests for mail, requests in found.items() if mail and mail not in twice}
