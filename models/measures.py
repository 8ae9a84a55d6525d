"""How well predicted requests match labelled ones, field by field.

The same measures as the project's scoring script, on values instead of files; a test holds the two
together. Requests of one message are paired by shared session ids, then by the same client, then by
kind, then by order; what stays unpaired counts as missed or invented.

Every measure is worked out from sums over messages, so that a bootstrap is one matrix product: see
``Tally.reports``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from triage.labels import CODE_SETS, CODES
from triage.records import Request

Pair = tuple[Request | None, Request | None]  # labelled, predicted
Report = dict[str, float | int]
Doubles = npt.NDArray[np.float64]
Sums = Mapping[str, Doubles]  # name to samples x columns

CALLS_FOR: Final = frozenset(("cancellation", "referral", "note_reason", "enquiry", "update"))
CLEARED: Final = frozenset(("discussed", "informed"))
#: Measures of which less is better; all others are shares of what is right.
LESS_IS_BETTER: Final = frozenset(("false_clear", "false_discussed", "urgent_missed", "kind_ece"))
#: What the data team steers by, and where it wants to be on messages nobody has trained on.
AIMS: Final[Mapping[str, float]] = {
    "kind_macro_f1": 0.96,
    "message_kinds_exact": 0.93,
    "client_notification_macro_f1": 0.94,
    "session_ids_message_exact": 0.99,
    "session_time_accuracy": 0.92,
    "fit_reasons_micro_f1": 0.88,
    "presenting_issues_micro_f1": 0.91,
    "required_approaches_micro_f1": 0.94,
    "required_experience_micro_f1": 0.87,
    "kind_ece": 0.04,
    "coverage_at_1pct_error": 0.75,
}
_ALWAYS: Final = frozenset(("kind", "risk"))  # scored for every kind of request
_FLAGS: Final = ("alternatives_requested", "guarantee_asked")
_SETS: Final = ("session_ids", *CODE_SETS)
_HARM: Final = (
    "false_clear", "false_clear_of", "false_discussed", "false_discussed_of", "urgent_missed",
    "urgent_of",
)  # fmt: skip
_COUNTS: Final = frozenset(("messages", "requests", *_HARM))
_BINS: Final = 10


def measure(gold: Sequence[Sequence[Request]], predicted: Sequence[Sequence[Request]]) -> Report:
    """Every measure over messages; both sequences run parallel, one entry per message."""
    report = tally(gold, predicted).reports()
    return {k: int(v[0]) if k in _COUNTS else float(v[0]) for k, v in report.items()}


@dataclass(frozen=True, slots=True)
class Tally:
    """What each message adds to every measure.

    ``counts`` has a row per message. The three others run over the predicted requests that were
    paired or invented, most confident first: whose message, and whether ``kind`` was right.
    """

    counts: Mapping[str, Doubles]
    message: npt.NDArray[np.int64]
    right: npt.NDArray[np.bool_]

    def reports(self, weights: Doubles | None = None) -> dict[str, Doubles]:
        """Every measure once for each row of *weights* (samples x messages): how often each counts.

        Without weights, once with every message counted once.
        """
        if weights is None:
            weights = np.ones((1, len(self.counts["messages"])))
        sums = {name: weights @ columns for name, columns in self.counts.items()}
        report = {
            "messages": sums["messages"][:, 0],
            "requests": sums["requests"][:, 0],
            "message_kinds_exact": _share(*_columns(sums["exact"][:, :1], sums["messages"])),
        }
        for name in CODES:
            report |= _single(sums, name)
        for name in _SETS:
            report |= _codes(sums, name)
        report["session_ids_message_exact"] = _share(sums["exact"][:, 1], sums["messages"][:, 0])
        for name in _FLAGS:
            report[f"{name}_f1"] = _f1(*_columns(sums[name]))
        report["session_time_accuracy"] = _share(*_columns(sums["session_time"]))
        report |= dict(zip(_HARM, _columns(sums["harm"]), strict=True))
        report["evidence_f1"] = _share(*_columns(sums["evidence"]))
        return report | (self._confidence(sums, weights) if len(self.right) else {})

    def _confidence(self, sums: Sums, weights: Doubles) -> dict[str, Doubles]:
        """How far confidence in ``kind`` is from the truth; the share with 1 % errors at most."""
        rated = sums["rated"][:, 0]
        apart = np.abs(sums["sure"] - sums["right"]).sum(axis=1)
        each = weights[:, self.message]
        covered = each.cumsum(axis=1)
        wrong = (each * ~self.right).cumsum(axis=1)
        best = np.where(wrong <= 0.01 * covered, covered, 0).max(axis=1)
        return {"kind_ece": _share(apart, rated), "coverage_at_1pct_error": _share(best, rated)}


def tally(gold: Sequence[Sequence[Request]], predicted: Sequence[Sequence[Request]]) -> Tally:
    """Count message by message; both sequences run parallel."""
    rows: dict[str, list[list[float]]] = defaultdict(list)
    rated: list[tuple[float, int, bool]] = []
    for number, (wanted, read) in enumerate(zip(gold, predicted, strict=True)):
        pairs = pair(wanted, read)
        for name, row in _counts(wanted, read, pairs):
            rows[name].append(row)
        rated += [(p.confidence, number, g is not None and g.kind == p.kind) for g, p in pairs if p]
    rated.sort(key=lambda one: -one[0])
    return Tally(
        counts={name: np.asarray(values, dtype=np.float64) for name, values in rows.items()},
        message=np.asarray([number for _, number, _ in rated], dtype=np.int64),
        right=np.asarray([right for _, _, right in rated], dtype=np.bool_),
    )


def pair(gold: Sequence[Request], predicted: Sequence[Request]) -> list[Pair]:
    """The requests of one message, paired; None stands for a request that the other side lacks."""
    left, right = list(gold), list(predicted)
    pairs: list[Pair] = []
    for alike in (_same_session, _same_client, _same_kind, _any):
        for wanted in list(left):
            found = next((p for p in right if alike(wanted, p)), None)
            if found is not None:
                pairs.append((wanted, found))
                left.remove(wanted)
                right.remove(found)
    return [*pairs, *((g, None) for g in left), *((None, p) for p in right)]


def _same_session(gold: Request, predicted: Request) -> bool:
    return bool(set(gold.session_ids) & set(predicted.session_ids))


def _same_client(gold: Request, predicted: Request) -> bool:
    return (
        bool(gold.client_ref)
        and (gold.client_ref or "").lower() == (predicted.client_ref or "").lower()
    )


def _same_kind(gold: Request, predicted: Request) -> bool:
    return gold.kind == predicted.kind


def _any(_gold: Request, _predicted: Request) -> bool:
    return True


def _counts(
    gold: Sequence[Request], predicted: Sequence[Request], pairs: Sequence[Pair]
) -> Iterator[tuple[str, list[float]]]:
    """What one message adds to each sum."""
    yield "messages", [1]
    yield "requests", [sum(g is not None for g, _ in pairs)]
    kinds_exact = sorted(r.kind for r in gold) == sorted(r.kind for r in predicted)
    yield "exact", [kinds_exact, _ids(gold) == _ids(predicted)]
    for name, classes in CODES.items():
        yield from _count_single(pairs, name, classes)
    for name in _SETS:
        yield name, _count_codes(pairs, name)
    for name in _FLAGS:
        yield name, _count_flag(pairs, name)
    timed = [(g, p) for g, p in pairs if g is not None and g.session_time]
    right = sum(p is not None and g.session_time == p.session_time for g, p in timed)
    yield "session_time", [right, len(timed)]
    yield "harm", _count_harm(pairs)
    yield "evidence", _count_evidence(pairs)
    yield from _count_confidence(pairs)


def _count_single(
    pairs: Sequence[Pair], name: str, classes: Sequence[str]
) -> Iterator[tuple[str, list[float]]]:
    asked = [
        (g and getattr(g, name), p and getattr(p, name))
        for g, p in pairs
        if g is None or name in _ALWAYS or g.kind in CALLS_FOR
    ]
    yield f"{name}.right", [sum(g == p for g, p in asked), len(asked)]
    yield f"{name}.both", [sum(g == p == c for g, p in asked) for c in classes]
    yield f"{name}.gold", [sum(g == c for g, _ in asked) for c in classes]
    yield f"{name}.read", [sum(p == c for _, p in asked) for c in classes]


def _count_codes(pairs: Sequence[Pair], name: str) -> list[float]:
    """How many codes were found, invented and missed."""
    hits = invented = missed = 0
    for gold, predicted in pairs:
        if gold and name != "session_ids" and gold.kind not in CALLS_FOR:
            continue
        want = set(getattr(gold, name)) if gold else set()
        got = set(getattr(predicted, name)) if predicted else set()
        hits += len(want & got)
        invented += len(got - want)
        missed += len(want - got)
    return [hits, invented, missed]


def _ids(requests: Sequence[Request]) -> set[str]:
    return {i for request in requests for i in request.session_ids}


def _count_flag(pairs: Sequence[Pair], name: str) -> list[float]:
    flags = [
        (getattr(g, name), bool(p and getattr(p, name)))
        for g, p in pairs
        if g and g.kind in CALLS_FOR
    ]
    return [
        sum(g and p for g, p in flags),
        sum(p and not g for g, p in flags),
        sum(g and not p for g, p in flags),
    ]


def _count_harm(pairs: Sequence[Pair]) -> list[float]:
    """The errors that hurt people, as _HARM lists them: a client wrongly told, danger unseen."""
    asked = [(g, p) for g, p in pairs if g and p and g.kind in CALLS_FOR]
    uncleared = [p for g, p in asked if g.client_notification not in CLEARED]
    undiscussed = [p for g, p in asked if g.client_notification != "discussed"]
    urgent = [p for g, p in pairs if g and g.risk == "urgent"]
    return [
        sum(p.client_notification in CLEARED for p in uncleared),
        len(uncleared),
        sum(p.client_notification == "discussed" for p in undiscussed),
        len(undiscussed),
        sum(p is None or p.risk != "urgent" for p in urgent),
        len(urgent),
    ]


def _count_evidence(pairs: Sequence[Pair]) -> list[float]:
    overlaps = [
        _overlap(g.notification_evidence, p.notification_evidence)
        for g, p in pairs
        if g and p and g.kind in CALLS_FOR
        if g.client_notification != "unknown" and g.client_notification == p.client_notification
    ]
    return [sum(overlaps), len(overlaps)]


def _overlap(gold: str, predicted: str) -> float:
    want, got = (Counter(re.findall(r"\w+", text.lower())) for text in (gold, predicted))
    common, every = sum((want & got).values()), sum(want.values()) + sum(got.values())
    return 2 * common / every if every else 1.0


def _count_confidence(pairs: Sequence[Pair]) -> Iterator[tuple[str, list[float]]]:
    """By tenths of confidence: how sure the requests are together, and how many are right."""
    sure, right = [0.0] * _BINS, [0.0] * _BINS
    read = [(g, p) for g, p in pairs if p]
    for gold, predicted in read:
        place = min(int(predicted.confidence * _BINS), _BINS - 1)
        sure[place] += predicted.confidence
        right[place] += gold is not None and gold.kind == predicted.kind
    yield "sure", sure
    yield "right", right
    yield "rated", [len(read)]


def _columns(*sums: Doubles) -> list[Doubles]:
    return [columns[:, i] for columns in sums for i in range(columns.shape[1])]


def _share(part: Doubles, whole: Doubles) -> Doubles:
    """1 where there is nothing to get wrong."""
    found: Doubles = np.divide(part, whole, out=np.ones_like(whole), where=whole > 0)
    return found


def _f1(hits: Doubles, invented: Doubles, missed: Doubles) -> Doubles:
    return _share(2 * hits, 2 * hits + invented + missed)


def _single(sums: Sums, name: str) -> dict[str, Doubles]:
    """Accuracy, and the mean F1 over the classes that occur in the labels."""
    both, gold, read = (sums[f"{name}.{which}"] for which in ("both", "gold", "read"))
    occurs = gold > 0
    f1 = np.where(occurs, 2 * both / np.maximum(gold + read, 1), 0)
    return {
        f"{name}_accuracy": _share(*_columns(sums[f"{name}.right"])),
        f"{name}_macro_f1": _share(f1.sum(axis=1), occurs.sum(axis=1).astype(np.float64)),
    }


def _codes(sums: Sums, name: str) -> dict[str, Doubles]:
    hits, invented, missed = _columns(sums[name])
    return {
        f"{name}_precision": _share(hits, hits + invented),
        f"{name}_recall": _share(hits, hits + missed),
        f"{name}_micro_f1": _f1(hits, invented, missed),
    }
