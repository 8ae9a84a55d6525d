"""What the heads are to learn, worked out from labels, evidence and sentence banks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np

from models.corpus import Example, Quotes, Sentence
from models.features import Floats
from models.heads import HEADS, MARKS, SIGNALS, SPLITS, TURNS, Targets
from models.views import View, pair_groups, sentences_with
from triage.labels import CODE_SETS, KINDS, NOTIFICATIONS, STAGES
from triage.records import Request

#: Kinds whose other fields are labelled; the rest carry none by the guideline.
CALLS_FOR: Final = frozenset(("cancellation", "referral", "note_reason", "enquiry", "update"))
_UNKNOWN: Final = NOTIFICATIONS.index("unknown")
#: A sentence beside the evidence may well say the same; so its "unknown" counts for less.
_BESIDE_EVIDENCE: Final = 0.5
#: A sentence of the bank on reasons says nothing of who was told, though nobody has checked each.
_OFF_TOPIC: Final = 0.3
_FLAGS: Final = ("alternatives_requested", "guarantee_asked")
_SIGNAL: Final = {name: place for place, name in enumerate(SIGNALS)}


def signals_of(request: Request) -> set[str]:
    """The labels of *request* as signals "field:code"."""
    found = {f"{name}:{code}" for name in CODE_SETS for code in getattr(request, name)}
    found |= {f"{name}:true" for name in _FLAGS if getattr(request, name)}
    found |= {f"risk:{request.risk}", f"client_agreement:{request.client_agreement}"}
    return found & set(SIGNALS)


def targets_of(
    examples: Sequence[Example], views: Sequence[View], bank: Sequence[Sentence]
) -> dict[str, Targets]:
    """Targets of every head, by its name; rows as ``fit_heads`` lays them out."""
    told, said = _sentence_targets(examples, views, bank)
    request_level = _request_targets(examples, views)
    found = {"told": told, "says": said, **request_level}
    return {plan.name: found[plan.name] for plan in HEADS}


def _sentence_targets(
    examples: Sequence[Example], views: Sequence[View], bank: Sequence[Sentence]
) -> tuple[Targets, Targets]:
    told: list[int] = []
    told_weights: list[float] = []
    said: list[Floats] = []
    said_weights: list[float] = []
    for example, view in zip(examples, views, strict=True):
        labels, weight = _told_by_sentence(example, view)
        told += labels
        told_weights += weight
        said.append(_said_by_sentence(example, view))
        said_weights += [1.0] * len(labels)
    for sentence in bank:
        label = sentence.labels.get("client_notification")
        told.append(_UNKNOWN if label is None else NOTIFICATIONS.index(label))
        told_weights.append(_OFF_TOPIC * sentence.weight if label is None else sentence.weight)
        said.append(_said_by_bank(sentence)[None, :])
        said_weights.append(sentence.weight)
    return (
        Targets(_one_hot(told, len(NOTIFICATIONS)), np.asarray(told_weights, dtype=np.float32)),
        Targets(np.concatenate(said), np.asarray(said_weights, dtype=np.float32)),
    )


def _one_hot(numbers: Sequence[int], width: int) -> Floats:
    return np.eye(width, dtype=np.float32)[list(numbers)]


def _told_by_sentence(example: Example, view: View) -> tuple[list[int], list[float]]:
    labels = {
        index: NOTIFICATIONS.index(request.client_notification)
        for request in example.requests
        for index in sentences_with(view, request.notification_evidence)
    }
    unmarked = _BESIDE_EVIDENCE if labels else 1.0
    indices = range(len(view.reading.sentences))
    return (
        [labels.get(i, _UNKNOWN) for i in indices],
        [1.0 if i in labels else unmarked for i in indices],
    )


def _said_by_sentence(example: Example, view: View) -> Floats:
    """1 where a quote stands, 0 elsewhere; NaN where a label holds and nobody quoted its words."""
    said = np.zeros((len(view.reading.sentences), len(SIGNALS)), dtype=np.float32)
    pairs = list(zip(example.requests, example.quotes, strict=True))
    held = {signal for request in example.requests for signal in _held(request)}
    shown = {signal for pair in pairs for signal, quote in _quoted(*pair) if quote}
    said[:, [_SIGNAL[signal] for signal in held - shown]] = np.nan
    for request, quotes in pairs:
        for signal, quote in _quoted(request, quotes):
            said[list(sentences_with(view, quote)), _SIGNAL[signal]] = 1
    return said


def _held(request: Request) -> set[str]:
    """The labels of *request* that some words of it must say."""
    asked = {f"kind:{request.kind}"} & set(SIGNALS)
    return asked | signals_of(request) if request.kind in CALLS_FOR else asked


def _quoted(request: Request, quotes: Quotes) -> list[tuple[str, str]]:
    found = [
        (f"{name}:{code}", quote)
        for name, by_code in quotes.codes.items()
        for code, quote in by_code.items()
    ]
    found += [
        (f"{name}:{_flag_value(request, name)}", quote) for name, quote in quotes.flags.items()
    ]
    found.append((f"kind:{request.kind}", quotes.kind))
    return [(signal, quote) for signal, quote in found if signal in _SIGNAL]


def _flag_value(request: Request, name: str) -> str:
    value = getattr(request, name)
    return str(value).lower() if isinstance(value, bool) else value


def _said_by_bank(sentence: Sentence) -> Floats:
    said = np.full(len(SIGNALS), np.nan, dtype=np.float32)
    for place, signal in enumerate(SIGNALS):
        name, code = signal.split(":")
        if name in sentence.labels:
            value = sentence.labels[name]
            holds = (
                value
                if isinstance(value, bool)
                else code in value
                if isinstance(value, list)
                else value == code
            )
            said[place] = float(holds)
    return said


def _request_targets(examples: Sequence[Example], views: Sequence[View]) -> dict[str, Targets]:
    rows: dict[str, list[Floats]] = {"kind": [], "stage": [], "told_overall": [], "marks": []}
    for example, view in zip(examples, views, strict=True):
        paired = {id(g): r for g, r in pair_groups(view, example.requests)}
        for group in view.groups:
            for name, row in _request_row(paired.get(id(group))).items():
                rows[name].append(row)
    return {
        name: Targets(np.stack(found), np.ones(len(found), dtype=np.float32))
        for name, found in rows.items()
    }


def count_targets(example: Example, view: View) -> Floats:
    """For each group of *view* whether each of COUNTS holds. Shape: groups x 2."""
    pairs = pair_groups(view, example.requests)
    met, meant = {id(group) for group, _ in pairs}, {id(request) for _, request in pairs}
    beside = any(r.kind == "other" and id(r) not in meant for r in example.requests)
    rows = [[id(group) not in met, beside] for group in view.groups]
    return np.asarray(rows, dtype=np.float32)


def turn_targets(example: Example, view: View) -> Floats:
    """For each sentence whether each of TURNS holds, NaN where the labels do not tell.

    A request begins at the first sentence that names its session or client and no other's; else at
    the first with words that its labels alone rest on; else at the first that is about it at all.
    """
    rows = np.zeros((len(view.reading.sentences), len(TURNS)), dtype=np.float32)
    rows[:, TURNS.index("raises")] = _raised(example, view)
    if len(example.requests) < 2:
        return rows
    named = [_naming(view, request) for request in example.requests]
    anchors = [
        _of_text(view, {*names, *_resting(view, request, quotes)})
        for names, request, quotes in zip(named, example.requests, example.quotes, strict=True)
    ]
    if not all(anchors):
        anchored = set().union(*anchors)
        rows[[i for i in range(len(rows)) if i not in anchored], : len(SPLITS)] = np.nan
    alone = [index for index, often in Counter(chain(*anchors)).items() if often == 1]
    firsts = [
        min((i not in alone, i not in names, i) for i in found)[-1]
        for found, names in zip(anchors, named, strict=True)
        if found
    ]
    for first in sorted(firsts)[1:]:
        rows[first, 0] = first > min(firsts)
        rows[first, 1] = firsts.count(first) > 1
    return rows


def _raised(example: Example, view: View) -> Floats:
    """1 where words stand that raise a matter none of fit, 0 where words of a request of fit do.

    NaN elsewhere in messages with such a matter, for what stands beside those words may be about it
    or not.
    """
    both = list(zip(example.requests, example.quotes, strict=True))
    if all(request.kind != "other" for request in example.requests):
        return np.zeros(len(view.reading.sentences), np.float32)
    found = np.full(len(view.reading.sentences), np.nan, np.float32)
    for request, quotes in both:
        if request.kind != "other":
            found[list(_resting(view, request, quotes))] = 0
    for request, quotes in both:
        if request.kind == "other":
            found[list(sentences_with(view, quotes.kind))] = 1
    return found


def _naming(view: View, request: Request) -> set[int]:
    """The sentences that name the session or the client of *request*."""
    named = {*request.session_ids, *([request.client_ref] if request.client_ref else [])}
    found = {
        m.sentence
        for m in view.mentions
        if m.label in {"session_ids", "client_ref"} and m.value in named
    }
    return found | set(sentences_with(view, request.client_ref or ""))


def _resting(view: View, request: Request, quotes: Quotes) -> set[int]:
    """The sentences that hold words on which labels of *request* rest."""
    words = [quote for _, quote in _quoted(request, quotes)]
    texts = (*words, request.notification_evidence, quotes.kind)
    return {index for text in texts for index in sentences_with(view, text)}


def _of_text(view: View, sentences: set[int]) -> set[int]:
    return {i for i in sentences if view.reading.sentences[i].part == "new_text"}


def _request_row(request: Request | None) -> dict[str, Floats]:
    widths = {"kind": len(KINDS), "stage": len(STAGES), "told_overall": len(NOTIFICATIONS)}
    row = {name: np.full(width, np.nan, dtype=np.float32) for name, width in widths.items()}
    row["marks"] = np.full(len(MARKS), np.nan, dtype=np.float32)
    if request is None:
        return row
    row["kind"] = _one_hot([KINDS.index(request.kind)], len(KINDS))[0]
    if request.kind in CALLS_FOR:
        row["stage"] = _one_hot([STAGES.index(request.session_stage)], len(STAGES))[0]
        told = NOTIFICATIONS.index(request.client_notification)
        row["told_overall"] = _one_hot([told], len(NOTIFICATIONS))[0]
        signals = signals_of(request)
        row["marks"] = np.asarray([mark in signals for mark in MARKS], dtype=np.float32)
    return row
