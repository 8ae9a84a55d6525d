"""From the heads' scores and the rules' mentions to one answer per field of a request.

Each answer is a small linear model over a few dozen strong features: the best sentence's score,
the whole request's score, what the rules noticed and in what context. Fitted on scores of files
that the heads had not seen, so its probabilities mean what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from models.evidence import MARK_COLUMN, SAY_COLUMN, Evidence
from models.features import Floats, Ints
from models.heads import AGREEMENT_SIGNALS, KIND_SIGNALS, MARKS, SIGNALS, TURNS
from triage.labels import CODE_SETS

_FIELDS: Final = tuple(CODE_SETS)
#: Labels of a decision whether something holds.
YES_OR_NO: Final = ("false", "true")
#: A margin counts differently near the border than far from it: a line with bends here.
_BENDS: Final = (-1.0, -0.6, -0.3, 0.0)
_CLIP: Final = 12.0
#: Fields that this helps; for the others it was measured to add nothing.
_SPOKEN_FIELDS: Final = frozenset(("presenting_issues", "required_approaches"))
_FLAG_FIELDS: Final = ("alternatives_requested", "guarantee_asked", "risk", "client_agreement")
_STRENGTHS: Final = (0.003, 0.01, 0.03, 0.1, 0.3)
_STRETCHES: Final = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5)


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found.clip(min=-_CLIP)


def kind_features(evidence: Evidence) -> Floats:
    """Inputs of the decision about ``kind``."""
    return _side_by_side(_kind_features, evidence)


def told_features(evidence: Evidence) -> Floats:
    """Inputs of the decision about who told the client."""
    return _side_by_side(_told_features, evidence)


def flag_features(evidence: Evidence) -> Floats:
    """Inputs of the decisions about flags, agreement and risk."""
    return _side_by_side(_flag_features, evidence)


def stage_features(evidence: Evidence) -> Floats:
    """Inputs of the decision about the session's stage."""
    return _side_by_side(_stage_features, evidence)


def count_features(evidence: Evidence) -> Floats:
    """Inputs of the decisions whether a request is one too many, or one is missing beside it."""
    deep = evidence.deep or evidence
    asks = [SAY_COLUMN[s] for s in KIND_SIGNALS]
    return np.hstack(
        [
            deep.whole["count"],
            _in_message(deep.whole["count"], deep.owner),
            deep.whole["kind"],
            deep.best["says"][:, asks],
            deep.alone[:, asks],
            evidence.whole["kind"],
            evidence.plain,
            _raised(deep),
            _in_message(_raised(deep), deep.owner),
            _doubted(deep),
        ]
    )


def _doubted(evidence: Evidence) -> Floats:
    """How likely the message is split too little or too far; releases before 0.8.0 do not say."""
    return evidence.whole.get("split", np.empty((len(evidence.owner), 0), np.float32))


def _raised(evidence: Evidence) -> Floats:
    """How loudly a request's sentences raise a matter that is none of fit.

    Only transformers say so, and none before release 0.7.0: then there is no column.
    """
    turns = evidence.best.get("turns", np.empty((len(evidence.owner), 0), np.float32))
    return turns[:, TURNS.index("raises") :]


def sure_features(kind: Floats, count: Mapping[str, Floats], evidence: Evidence) -> Floats:
    """Inputs of the decision whether the likeliest kind is right.

    *kind* and *count* are log probabilities of those decisions. Where a message was split, a kind
    may be well read and yet stand for another client, or for nobody: how sure the split is, and
    whether it matters because all of its requests ask for the same, goes in as well.
    """
    chosen = kind.argmax(axis=1)
    rows = np.arange(len(kind))
    odds = log_odds(np.exp(kind[rows, chosen]))[:, None]
    one_hot = np.eye(kind.shape[1], dtype=np.float32)[chosen]
    kinds = (_in_message(one_hot, evidence.owner) > 0).sum(axis=1, keepdims=True)
    lone = _lone(evidence.owner)[:, None]
    several, mixed = 1 - lone, (kinds > 1).astype(np.float32)
    split = np.hstack([odds, *(log_odds(np.exp(found[:, 1]))[:, None] for found in count.values())])
    loudest = _in_message(np.hstack([split, -split]), evidence.owner)
    parts = [evidence, evidence.deep] if evidence.deep else [evidence]
    agreed = np.stack([part.whole["kind"][rows, chosen] for part in parts], axis=1)
    agreed = np.hstack([agreed, *map(_doubted, parts)])
    each = np.hstack([split, agreed, one_hot, evidence.plain])
    together = np.hstack([split, agreed, loudest, mixed, evidence.plain])
    found: Floats = np.hstack([each, several, several * together, mixed * split])
    return found.astype(np.float32)


def log_odds(likely: Floats) -> Floats:
    """Log odds of probabilities, cut off where nothing is surer in practice."""
    cut = likely.astype(np.float64).clip(1e-4, 1 - 1e-4)
    found: Floats = np.log(cut / (1 - cut)).astype(np.float32)
    return found


def _lone(owner: Ints) -> Floats:
    """1 for the only request of its message."""
    _, place, often = np.unique(owner, return_inverse=True, return_counts=True)
    found: Floats = (often[place] == 1).astype(np.float32)
    return found


def code_features(evidence: Evidence, field: str, reliability: Floats) -> Floats:
    """Inputs of the decision about each code of *field*: requests x codes x features.

    *reliability* gives, for each of MARKS, how often the code is right where its phrase is found.
    """
    return _side_by_side(lambda each: _code_features(each, field, reliability), evidence)


def _side_by_side(look: Callable[[Evidence], Floats], evidence: Evidence) -> Floats:
    """What *look* makes of the linear heads' evidence, and of the transformer's where known."""
    if evidence.deep is None:
        return look(evidence)
    return np.concatenate([look(evidence), look(evidence.deep)], axis=-1)


def _kind_features(evidence: Evidence) -> Floats:
    says = evidence.best["says"]
    reasons = [SAY_COLUMN[s] for s in SIGNALS if s.startswith("fit_reasons:")]
    issues = [SAY_COLUMN[s] for s in SIGNALS if s.startswith("presenting_issues:")]
    others = [SAY_COLUMN[s] for s in SIGNALS if s.split(":")[0] not in _FIELDS]
    asks = says[:, [SAY_COLUMN[s] for s in KIND_SIGNALS]]
    return np.hstack(
        [
            evidence.whole["kind"],
            *_bent(evidence.whole["kind"]),
            *_bent(asks),
            _in_message(evidence.whole["kind"], evidence.owner),
            _in_message(asks, evidence.owner),
            evidence.alone[:, [SAY_COLUMN[s] for s in KIND_SIGNALS]],
            _raised(evidence),
            _in_message(_raised(evidence), evidence.owner),
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
            clean[:, [p for m, p in MARK_COLUMN.items() if m.startswith(f"{name}:")]].sum(axis=1)
            for name in _FIELDS
        ],
        axis=1,
    )


def _told_features(evidence: Evidence) -> Floats:
    agreement = [SAY_COLUMN[signal] for signal in AGREEMENT_SIGNALS]
    return np.hstack(
        [
            evidence.best["told"],
            *_bent(evidence.best["told"]),
            evidence.said_at_all,
            evidence.telling,
            evidence.whole["told_overall"],
            evidence.best["says"][:, agreement],
            evidence.whole["marks"][:, [MARK_COLUMN[m] for m in AGREEMENT_SIGNALS]],
            evidence.noticed[:, [MARK_COLUMN[m] for m in AGREEMENT_SIGNALS], 0],
            evidence.whole["kind"],
            _doubted(evidence),
        ]
    )


def _flag_features(evidence: Evidence) -> Floats:
    flags = [m for m in MARKS if m.split(":")[0] in _FLAG_FIELDS]
    return np.hstack(
        [
            evidence.best["says"][:, [SAY_COLUMN[m] for m in flags]],
            evidence.whole["marks"][:, [MARK_COLUMN[m] for m in flags]],
            evidence.noticed[:, [MARK_COLUMN[m] for m in flags], 0],
            evidence.best["told"],
            evidence.whole["kind"],
        ]
    )


def _stage_features(evidence: Evidence) -> Floats:
    return np.hstack([evidence.whole["stage"], evidence.whole["kind"], evidence.plain])


def _code_features(evidence: Evidence, field: str, reliability: Floats) -> Floats:
    marks = [m for m in MARKS if m.startswith(f"{field}:")]
    says = evidence.best["says"][:, [SAY_COLUMN[m] for m in marks]]
    whole = evidence.whole["marks"][:, [MARK_COLUMN[m] for m in marks]]
    noticed = evidence.noticed[:, [MARK_COLUMN[m] for m in marks]]
    found = (noticed[:, :, 0] > 0).astype(np.float32)
    trust = found * reliability[[MARK_COLUMN[m] for m in marks]]
    heard = evidence.spoken[:, [MARK_COLUMN[m] for m in marks]]
    around = [
        *np.moveaxis(heard, 2, 0),
        np.maximum(heard[:, :, 0], -0.5) * heard[:, :, -1],
        heard[:, :, -1] * evidence.spoken[:, :, -1].sum(axis=1, keepdims=True),
    ]
    second = np.sort(says, axis=1)[:, -2:-1]
    alone = evidence.alone[:, [SAY_COLUMN[m] for m in marks]]
    stacked = [
        says,
        whole,
        alone,
        alone - says,
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
        *(around if field in _SPOKEN_FIELDS else []),
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
    labels: tuple[str, ...],
    features: Floats,
    wanted: Ints,
    blocks: Ints,
    *,
    seed: int,
    weights: Floats | None = None,
) -> tuple[Decision, Floats]:
    """A softmax over *labels*, and the log probabilities that it would give rows it had not seen.

    *wanted* holds the labels' numbers, -1 for a row of which nothing is known, *blocks* each row's
    block of files, *weights* how much each row counts. How strongly the softmax is regularised, and
    how far its logits are stretched so that its probabilities are neither bold nor timid, is found
    by leaving out one block after the other.
    """
    weights = np.ones(len(wanted), np.float32) if weights is None else weights
    known = wanted >= 0
    rows = _Rows(features, wanted, weights)
    trials = {strength: _left_out(labels, rows, blocks, strength, seed) for strength in _STRENGTHS}
    strength = min(trials, key=lambda s: rows.log_loss(trials[s]))
    stretched = {t: _log_softmax(t * trials[strength]) for t in _STRETCHES}
    stretch = min(_STRETCHES, key=lambda t: rows.log_loss(stretched[t]))
    fitted = fit_softmax(
        labels, features[known], wanted[known], strength, seed=seed, weights=weights[known]
    )
    decision = Decision(labels, stretch * fitted.weights, stretch * fitted.bias)
    return decision, stretched[stretch]


class _Rows(NamedTuple):
    """What a decision is learned from."""

    features: Floats
    wanted: Ints  # -1 where nothing is known
    weights: Floats

    def log_loss(self, log_probabilities: Floats) -> float:
        known = self.wanted >= 0
        found = log_probabilities[known, self.wanted[known]]
        return -float(np.average(found, weights=self.weights[known]))


def _left_out(
    labels: tuple[str, ...], rows: _Rows, blocks: Ints, strength: float, seed: int
) -> Floats:
    found = np.zeros((len(blocks), len(labels)), dtype=np.float32)
    for block in np.unique(blocks):
        out = blocks == block
        seen = ~out & (rows.wanted >= 0)
        features, wanted, weights = (values[seen] for values in rows)
        decision = fit_softmax(labels, features, wanted, strength, seed=seed, weights=weights)
        found[out] = decision.log_probabilities(rows.features[out])
    return found


def fit_softmax(
    labels: tuple[str, ...],
    features: Floats,
    wanted: Ints,
    strength: float,
    *,
    seed: int,
    weights: Floats | None = None,
) -> Decision:
    """A softmax of the given regularisation; labels never seen are never chosen."""
    from sklearn.linear_model import LogisticRegression  # training only

    fitted = np.zeros((features.shape[1], len(labels)), dtype=np.float32)
    bias = np.full(len(labels), -20.0, dtype=np.float32)
    seen = np.unique(wanted)
    if len(seen) == 1:  # nothing to tell apart
        bias[seen] = 0.0
        return Decision(labels, fitted, bias)
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    model = LogisticRegression(C=strength, max_iter=1000, tol=1e-3, random_state=seed)
    model.fit(((features - mean) / scale).astype(np.float64), wanted, sample_weight=weights)
    coefficients, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps one column for two classes
        coefficients = np.vstack([-coefficients / 2, coefficients / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    fitted[:, model.classes_] = (coefficients / scale).T
    bias[model.classes_] = intercept - (coefficients * mean / scale).sum(axis=1)
    return Decision(labels, fitted, bias)


@dataclass(frozen=True, slots=True)
class Decisions:
    """All fitted answers. ``codes`` decide yes or no for each code of a field alike."""

    kind: Decision
    told: Decision
    stage: Decision
    flags: Mapping[str, Decision]
    codes: Mapping[str, Decision]
    count: Mapping[str, Decision]  # by COUNTS; empty without a transformer
    sure: Decision | None  # whether the kind is right; None in releases that are older than it
    thresholds: Mapping[str, float]  # per code field, and "clear": see models.answers
    reliability: Floats
