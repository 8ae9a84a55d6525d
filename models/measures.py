"""How well predicted requests match labelled ones, field by field.

The same measures as the project's scoring script, on values instead of files; a test holds the two
together. Requests of one message are paired by shared session ids, then by the same client, then by
kind, then by order; what stays unpaired counts as missed or invented.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from triage.labels import CODE_SETS
from triage.records import Request

Pair = tuple[Request | None, Request | None]  # labelled, predicted
Report = dict[str, float | int]

CALLS_FOR: Final = frozenset(("cancellation", "referral", "note_reason", "enquiry", "update"))
CLEARED: Final = frozenset(("discussed", "informed"))
_SINGLE: Final = ("kind", "client_notification", "session_stage", "client_agreement", "risk")
_ALWAYS: Final = frozenset(("kind", "risk"))  # scored for every kind of request
_FLAGS: Final = ("alternatives_requested", "guarantee_asked")


def measure(gold: Sequence[Sequence[Request]], predicted: Sequence[Sequence[Request]]) -> Report:
    """Every measure over messages; both sequences run parallel, one entry per message."""
    by_message = [pair(g, p) for g, p in zip(gold, predicted, strict=True)]
    pairs = [p for message in by_message for p in message]
    report: Report = {
        "messages": len(gold),
        "requests": sum(g is not None for g, _ in pairs),
        "message_kinds_exact": _share(
            sorted(r.kind for r in g) == sorted(r.kind for r in p)
            for g, p in zip(gold, predicted, strict=True)
        ),
    }
    for name in _SINGLE:
        report |= _single(pairs, name)
    for name in ("session_ids", *CODE_SETS):
        report |= _codes(pairs, name)
    report["session_ids_message_exact"] = _share(
        _ids(g) == _ids(p) for g, p in zip(gold, predicted, strict=True)
    )
    for name in _FLAGS:
        report[f"{name}_f1"] = _flag(pairs, name)
    report["session_time_accuracy"] = _share(
        p is not None and g.session_time == p.session_time
        for g, p in pairs
        if g is not None and g.session_time
    )
    return report | _harm(pairs) | _evidence(pairs) | _confidence(pairs)


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


def _share(values: Iterable[bool]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 1.0


def _f1(hits: int, invented: int, missed: int) -> float:
    return 2 * hits / (2 * hits + invented + missed) if hits + invented + missed else 1.0


def _single(pairs: Sequence[Pair], name: str) -> Report:
    asked = [
        (g and getattr(g, name), p and getattr(p, name))
        for g, p in pairs
        if g is None or name in _ALWAYS or g.kind in CALLS_FOR
    ]
    return {
        f"{name}_accuracy": _share(g == p for g, p in asked),
        f"{name}_macro_f1": _macro_f1(asked),
    }


def _macro_f1(labels: Sequence[tuple[object, object]]) -> float:
    """The mean F1 over the classes that occur in the labels."""
    scores = [
        _f1(
            sum(g == c and p == c for g, p in labels),
            sum(g != c and p == c for g, p in labels),
            sum(g == c and p != c for g, p in labels),
        )
        for c in sorted({str(g) for g, _ in labels if g is not None})
    ]
    return sum(scores) / len(scores) if scores else 1.0


def _codes(pairs: Sequence[Pair], name: str) -> Report:
    hits = invented = missed = 0
    for gold, predicted in pairs:
        if gold and name != "session_ids" and gold.kind not in CALLS_FOR:
            continue
        want = set(getattr(gold, name)) if gold else set()
        got = set(getattr(predicted, name)) if predicted else set()
        hits += len(want & got)
        invented += len(got - want)
        missed += len(want - got)
    return {
        f"{name}_precision": hits / (hits + invented) if hits + invented else 1.0,
        f"{name}_recall": hits / (hits + missed) if hits + missed else 1.0,
        f"{name}_micro_f1": _f1(hits, invented, missed),
    }


def _ids(requests: Sequence[Request]) -> set[str]:
    return {i for request in requests for i in request.session_ids}


def _flag(pairs: Sequence[Pair], name: str) -> float:
    flags = [
        (getattr(g, name), bool(p and getattr(p, name)))
        for g, p in pairs
        if g and g.kind in CALLS_FOR
    ]
    return _f1(
        sum(g and p for g, p in flags),
        sum(p and not g for g, p in flags),
        sum(g and not p for g, p in flags),
    )


def _harm(pairs: Sequence[Pair]) -> Report:
    """The errors that hurt people, as counts: a client wrongly taken as told, danger unseen."""
    asked = [(g, p) for g, p in pairs if g and p and g.kind in CALLS_FOR]
    uncleared = [p for g, p in asked if g.client_notification not in CLEARED]
    undiscussed = [p for g, p in asked if g.client_notification != "discussed"]
    urgent = [p for g, p in pairs if g and g.risk == "urgent"]
    return {
        "false_clear": sum(p.client_notification in CLEARED for p in uncleared),
        "false_clear_of": len(uncleared),
        "false_discussed": sum(p.client_notification == "discussed" for p in undiscussed),
        "false_discussed_of": len(undiscussed),
        "urgent_missed": sum(p is None or p.risk != "urgent" for p in urgent),
        "urgent_of": len(urgent),
    }


def _evidence(pairs: Sequence[Pair]) -> Report:
    overlaps = [
        _overlap(g.notification_evidence, p.notification_evidence)
        for g, p in pairs
        if g and p and g.kind in CALLS_FOR
        if g.client_notification != "unknown" and g.client_notification == p.client_notification
    ]
    return {"evidence_f1": sum(overlaps) / len(overlaps) if overlaps else 1.0}


def _overlap(gold: str, predicted: str) -> float:
    want, got = (Counter(re.findall(r"\w+", text.lower())) for text in (gold, predicted))
    common = sum((want & got).values())
    return _f1(common, sum(got.values()) - common, sum(want.values()) - common)


def _confidence(pairs: Sequence[Pair]) -> Report:
    """How far confidence in ``kind`` is from the truth, and the share with 1 % errors at most."""
    rated = [(p.confidence, g is not None and g.kind == p.kind) for g, p in pairs if p]
    if not rated:
        return {}
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for confidence, right in rated:
        bins[min(int(confidence * 10), 9)].append((confidence, right))
    apart = sum(abs(sum(c for c, _ in b) - sum(r for _, r in b)) for b in bins.values())
    wrong = best = 0
    for count, (_, right) in enumerate(sorted(rated, key=lambda x: -x[0]), 1):
        wrong += not right
        if wrong / count <= 0.01:
            best = count
    return {"kind_ece": apart / len(rated), "coverage_at_1pct_error": best / len(rated)}
