"""From the heads' scores and the rules' mentions to one answer per field of a request.

Each answer is a small linear model over a few dozen strong features: the best sentence's score,
the whole request's score, what the rules noticed and in what context. Fitted on scores of files
that the heads had not seen, so its probabilities mean what they say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.features import Floats, Ints
from models.heads import AGREEMENT_SIGNALS, KIND_SIGNALS, MARKS, SIGNALS, Scores
from triage.labels import CODE_SETS

if TYPE_CHECKING:
    from models.views import View
    from triage.detectors import Mention
    from triage.grouping import Group

_SAYS: Final = {name: place for place, name in enumerate(SIGNALS)}
_MARKS: Final = {name: place for place, name in enumerate(MARKS)}
_FIELDS: Final = tuple(CODE_SETS)
#: A margin counts differently near the border than far from it: a line with bends here.
_BENDS: Final = (-1.0, -0.6, -0.3, 0.0)
_CLIP: Final = 12.0
#: How much louder a sentence is that says it with a margin of one.
_LOUDNESS: Final = 3.0
_CONTEXTS: Final = (
    "negated", "own_practice", "wanted", "other_person", "past", "masked", "hypothetical",
)  # fmt: skip
_FLAG_FIELDS: Final = ("alternatives_requested", "guarantee_asked", "risk", "client_agreement")
_STRENGTHS: Final = (0.003, 0.01, 0.03, 0.1, 0.3)
_STRETCHES: Final = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5)
_SILENCE: Final = -1.2  # what most sentences score for most labels
_OFFICE_HOURS: Final = range(9, 18)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a batch of requests, one row each, before anything is decided."""

    owner: Ints  # message of each request
    best: Mapping[str, Floats]  # sentence heads: the highest score among the request's sentences
    where: Mapping[str, Ints]  # sentence heads: the sentence row that scored it
    said_at_all: Floats  # told head: how much all sentences together say each class
    telling: (
        Floats  # told head: the loudest sentence, the runners-up, what is said of this one alone
    )
    whole: Mapping[str, Floats]  # request heads: scores as they are
    noticed: Floats  # requests x MARKS x (clean, contexts…): mentions, damped
    plain: Floats  # length, reply, ids, time to the session, …


def gather(views: Sequence[View], scores: Scores) -> Evidence:
    """Line up everything that bears on each request of *views*."""
    rows, starts = _sentence_rows(views, scores)
    best, where = {}, {}
    margins = {name: _with_silence(scores.by_head[name]) for name in ("told", "says")}
    for name, values in margins.items():
        best[name], where[name] = _best(values, rows, starts)
    loudness = np.exp(_LOUDNESS * margins["told"])[rows]
    groups = [(view, group) for view in views for group in view.groups]
    return Evidence(
        owner=np.repeat(np.arange(len(views)), [len(view.groups) for view in views]),
        best=best,
        where=where,
        said_at_all=np.log(np.add.reduceat(loudness, starts, axis=0)),
        telling=_telling(views, margins["told"], rows, starts),
        whole={name: scores.by_head[name] for name in ("kind", "stage", "told_overall", "marks")},
        noticed=np.stack([_noticed(group.mentions) for _, group in groups]),
        plain=np.asarray([_plain(view, group) for view, group in groups], dtype=np.float32),
    )


def _sentence_rows(views: Sequence[View], scores: Scores) -> tuple[Ints, Ints]:
    """Sentence rows of all requests in a row, and where each request starts.

    A request without sentences has the row after the last: silence.
    """
    silence = int(scores.rows[-1])
    rows: list[int] = []
    starts: list[int] = []
    for number, view in enumerate(views):
        base = int(scores.rows[number])
        for group in view.groups:
            starts.append(len(rows))
            rows.extend([base + index for index in group.sentences] or [silence])
    return np.asarray(rows, dtype=np.int64), np.asarray(starts, dtype=np.int64)


def _with_silence(margins: Floats) -> Floats:
    """The sentences' margins and, as a last row, those of nothing said."""
    return np.vstack([margins, np.full((1, margins.shape[1]), _SILENCE, dtype=np.float32)])


def _best(values: Floats, rows: Ints, starts: Ints) -> tuple[Floats, Ints]:
    gathered = values[rows]
    best = np.maximum.reduceat(gathered, starts, axis=0)
    ends = np.append(starts[1:], len(rows))
    where = np.stack(
        [
            rows[start + gathered[start:end].argmax(axis=0)]
            for start, end in zip(starts, ends, strict=True)
        ]
    )
    return best, where


def _telling(views: Sequence[View], told: Floats, rows: Ints, starts: Ints) -> Floats:
    """More on who was told, from all sentences of each request."""
    ends = np.append(starts[1:], len(rows))
    groups = [(view, group) for view in views for group in view.groups]
    return np.stack(
        [
            _telling_of(told[rows[start:end]], _own_sentences(view, group))
            for (view, group), start, end in zip(groups, starts, ends, strict=True)
        ]
    )


def _telling_of(told: Floats, own: Sequence[int]) -> Floats:
    """*own* are the sentences, counted from the request's first, that concern no other request."""
    margins = told[:, :-1] - told[:, -1:]  # over "unknown", the last label
    loudest = margins.max(axis=1)
    top = int(loudest.argmax())
    ranked = np.sort(margins, axis=0)
    second = ranked[-2] if len(ranked) > 1 else np.full(margins.shape[1], -2.0)
    counts = [
        top / max(len(told) - 1, 1),
        (loudest > 0).sum(),
        (loudest > -0.5).sum(),
        loudest[top],
    ]
    alone = told[list(own), :-1].max(axis=0) if own else told[:, :-1].max(axis=0)
    found: Floats = np.concatenate([told[top], second, counts, alone]).astype(np.float32)
    return found


def _own_sentences(view: View, group: Group) -> list[int]:
    if len(view.groups) == 1:
        return []
    shared = Counter(index for other in view.groups for index in other.sentences)
    return [place for place, index in enumerate(group.sentences) if shared[index] == 1]


def _noticed(mentions: Sequence[Mention]) -> Floats:
    counts = np.zeros((len(MARKS), 1 + len(_CONTEXTS)), dtype=np.float32)
    for mention in mentions:
        place = _MARKS.get(f"{mention.label}:{mention.value}")
        if place is None:
            continue
        flags = mention.flags
        if mention.counts:
            counts[place, 0] += 1
        for column, context in enumerate(_CONTEXTS, 1):
            counts[place, column] += context in flags
    return np.log1p(counts)


def _plain(view: View, group: Group) -> list[float]:
    email = view.reading.email
    text = email.new_text
    sent = email.sent_at
    time = _hours_ahead(view, group)
    return [
        float(bool(email.in_reply_to) or email.subject.lower().startswith("re:")),
        float(bool(email.quoted_text.strip())),
        float(email.subject.lower().startswith(("fw:", "fwd:"))),
        float(len(view.groups) > 1),
        np.log1p(len(text)) - 6.0,
        float(text.count("?") > 0),
        float(bool(group.session_ids)),
        float(sent.weekday() > 4 or sent.hour not in _OFFICE_HOURS),
        float(time is None),
        float(time is not None and time < 0),
        float(time is not None and 0 <= time < 3),
        float(time is not None and 3 <= time < 24),
    ]


def _hours_ahead(view: View, group: Group) -> float | None:
    """Hours from sending to the session; the whole of a day counts as its evening."""
    from datetime import datetime

    when = group.session_time
    if when is None:
        return None
    moment = datetime.fromisoformat(when if "T" in when else f"{when}T21:00")
    sent = view.reading.email.sent_at.replace(tzinfo=None)
    return (moment - sent).total_seconds() / 3600


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found.clip(min=-_CLIP)


def kind_features(evidence: Evidence) -> Floats:
    """Inputs of the decision about ``kind``."""
    says = evidence.best["says"]
    reasons = [_SAYS[s] for s in SIGNALS if s.startswith("fit_reasons:")]
    issues = [_SAYS[s] for s in SIGNALS if s.startswith("presenting_issues:")]
    others = [_SAYS[s] for s in SIGNALS if s.split(":")[0] not in _FIELDS]
    asks = says[:, [_SAYS[s] for s in KIND_SIGNALS]]
    return np.hstack(
        [
            evidence.whole["kind"],
            *_bent(evidence.whole["kind"]),
            *_bent(asks),
            _in_message(evidence.whole["kind"], evidence.owner),
            _in_message(asks, evidence.owner),
            evidence.whole["stage"],
            says[:, others],
            says[:, reasons].max(axis=1, keepdims=True),
            says[:, issues].max(axis=1, keepdims=True),
            evidence.best["told"],
            evidence.whole["told_overall"],
            _noticed_by_field(evidence),
            evidence.plain,
        ]
    )


def _bent(margins: Floats) -> list[Floats]:
    """The margins cut off below each of the bends."""
    return [np.maximum(margins, at) for at in _BENDS]


def _in_message(margins: Floats, owner: Ints) -> Floats:
    """The highest margins among all requests of the same message."""
    starts = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
    highest: Floats = np.maximum.reduceat(margins, starts, axis=0)
    return np.repeat(highest, np.diff(np.append(starts, len(owner))), axis=0)


def _noticed_by_field(evidence: Evidence) -> Floats:
    clean = evidence.noticed[:, :, 0]
    return np.stack(
        [
            clean[:, [p for m, p in _MARKS.items() if m.startswith(f"{name}:")]].sum(axis=1)
            for name in _FIELDS
        ],
        axis=1,
    )


def told_features(evidence: Evidence, kinds: Floats) -> Floats:
    """Inputs of the decision about who told the client; *kinds* are the kind head's margins."""
    agreement = [_SAYS[signal] for signal in AGREEMENT_SIGNALS]
    return np.hstack(
        [
            evidence.best["told"],
            *_bent(evidence.best["told"]),
            evidence.said_at_all,
            evidence.telling,
            evidence.whole["told_overall"],
            evidence.best["says"][:, agreement],
            evidence.whole["marks"][:, [_MARKS[m] for m in AGREEMENT_SIGNALS]],
            evidence.noticed[:, [_MARKS[m] for m in AGREEMENT_SIGNALS], 0],
            kinds,
        ]
    )


def flag_features(evidence: Evidence, kinds: Floats) -> Floats:
    """Inputs of the decisions about flags, agreement and risk."""
    flags = [m for m in MARKS if m.split(":")[0] in _FLAG_FIELDS]
    return np.hstack(
        [
            evidence.best["says"][:, [_SAYS[m] for m in flags]],
            evidence.whole["marks"][:, [_MARKS[m] for m in flags]],
            evidence.noticed[:, [_MARKS[m] for m in flags], 0],
            evidence.best["told"],
            kinds,
        ]
    )


def stage_features(evidence: Evidence, kinds: Floats) -> Floats:
    """Inputs of the decision about the session's stage."""
    return np.hstack([evidence.whole["stage"], kinds, evidence.plain])


def code_features(evidence: Evidence, field: str, reliability: Floats) -> Floats:
    """Inputs of the decision about each code of *field*: requests x codes x features.

    *reliability* gives, for each of MARKS, how often the code is right where its phrase is found.
    """
    marks = [m for m in MARKS if m.startswith(f"{field}:")]
    says = evidence.best["says"][:, [_SAYS[m] for m in marks]]
    whole = evidence.whole["marks"][:, [_MARKS[m] for m in marks]]
    noticed = evidence.noticed[:, [_MARKS[m] for m in marks]]
    found = (noticed[:, :, 0] > 0).astype(np.float32)
    trust = found * reliability[[_MARKS[m] for m in marks]]
    second = np.sort(says, axis=1)[:, -2:-1]
    stacked = [
        says,
        whole,
        *_bent(says),
        *_bent(whole),
        (says.max(axis=1, keepdims=True) - says),
        (whole.max(axis=1, keepdims=True) - whole),
        np.minimum(says - second, 1),
        found,
        trust,
        found * says,
        found * whole,
        *np.moveaxis(noticed, 2, 0),
        *np.repeat(evidence.whole["kind"].T[:, :, None], len(marks), axis=2),
    ]
    features: Floats = np.stack(stacked, axis=2)
    return features


@dataclass(frozen=True, slots=True)
class Decision:
    """A fitted linear answer: one logit per label over standardised features."""

    labels: tuple[str, ...]
    weights: Floats  # features x labels, standardisation folded in
    bias: Floats

    def log_probabilities(self, features: Floats) -> Floats:
        return _log_softmax(features @ self.weights + self.bias)


def fit_decision(
    labels: tuple[str, ...], features: Floats, wanted: Ints, blocks: Ints, *, seed: int
) -> Decision:
    """A softmax over *labels*; *wanted* holds their numbers, *blocks* each row's block of files.

    How strongly it is regularised, and how far its logits are stretched so that its probabilities
    are neither bold nor timid, is found by leaving out one block after the other.
    """
    trials = {
        strength: _left_out(labels, features, wanted, blocks, strength, seed)
        for strength in _STRENGTHS
    }
    strength = min(trials, key=lambda s: _log_loss(trials[s], wanted))
    stretch = min(_STRETCHES, key=lambda t: _log_loss(_log_softmax(t * trials[strength]), wanted))
    decision = fit_softmax(labels, features, wanted, strength, seed=seed)
    return Decision(labels, stretch * decision.weights, stretch * decision.bias)


def _left_out(
    labels: tuple[str, ...],
    features: Floats,
    wanted: Ints,
    blocks: Ints,
    strength: float,
    seed: int,
) -> Floats:
    found = np.zeros((len(features), len(labels)), dtype=np.float32)
    for block in np.unique(blocks):
        out = blocks == block
        decision = fit_softmax(labels, features[~out], wanted[~out], strength, seed=seed)
        found[out] = decision.log_probabilities(features[out])
    return found


def _log_loss(log_probabilities: Floats, wanted: Ints) -> float:
    return -float(log_probabilities[np.arange(len(wanted)), wanted].mean())


def fit_softmax(
    labels: tuple[str, ...], features: Floats, wanted: Ints, strength: float, *, seed: int
) -> Decision:
    """A softmax of the given regularisation; labels never seen are never chosen."""
    from sklearn.linear_model import LogisticRegression  # training only

    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    model = LogisticRegression(C=strength, max_iter=1000, tol=1e-3, random_state=seed)
    model.fit(((features - mean) / scale).astype(np.float64), wanted)
    weights = np.zeros((features.shape[1], len(labels)), dtype=np.float32)
    bias = np.full(len(labels), -20.0, dtype=np.float32)
    coefficients, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps one column for two classes
        coefficients = np.vstack([-coefficients / 2, coefficients / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    weights[:, model.classes_] = (coefficients / scale).T
    bias[model.classes_] = intercept - (coefficients * mean / scale).sum(axis=1)
    return Decision(labels, weights, bias)


@dataclass(frozen=True, slots=True)
class Decisions:
    """All fitted answers. ``codes`` decide yes or no for each code of a field alike."""

    kind: Decision
    told: Decision
    stage: Decision
    flags: Mapping[str, Decision]
    codes: Mapping[str, Decision]
    thresholds: Mapping[str, float]  # per code field, and "clear": see models.answers
    reliability: Floats
