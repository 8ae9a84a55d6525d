"""The linear models over sentences and over whole requests: what each learns, fitting, scoring.

A *head* maps weighted n-gram counts to one logit per label. Which heads there are, and how strongly
each is regularised, is the table HEADS; values there come from inner cross-validation over files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from models.features import Featuriser, Floats, Ints, Shape, inverse_document_frequency, weigh
from triage.labels import CODE_SETS, KINDS, NOTIFICATIONS, STAGES

if TYPE_CHECKING:
    from scipy import sparse

    from models.views import View

#: What a sentence or request may say, besides who told the client: "field:code".
CODE_SIGNALS: Final = tuple(
    f"{name}:{code}" for name, codes in CODE_SETS.items() for code in codes if code != "unspecified"
)
FLAG_SIGNALS: Final = (
    "alternatives_requested:true", "guarantee_asked:true", "risk:concern", "risk:urgent",
)  # fmt: skip
AGREEMENT_SIGNALS: Final = ("client_agreement:agrees", "client_agreement:declines")
KIND_SIGNALS: Final = tuple(f"kind:{kind}" for kind in KINDS if kind != "other")
SIGNALS: Final = CODE_SIGNALS + FLAG_SIGNALS + AGREEMENT_SIGNALS + KIND_SIGNALS
MARKS: Final = CODE_SIGNALS + FLAG_SIGNALS + AGREEMENT_SIGNALS


@dataclass(frozen=True, slots=True)
class Plan:
    """One head: over what, which labels, and how it is fitted."""

    name: str
    level: Literal["sentence", "request"]
    labels: tuple[str, ...]
    strength: float = 0.5  # inverse regularisation, scikit-learn's C
    before: float = 0.0  # weight of the sentence before, as context
    after: float = 0.0  # likewise of the sentence after


HEADS: Final = (
    Plan("told", "sentence", NOTIFICATIONS, before=0.4, after=0.3),
    Plan("says", "sentence", SIGNALS),
    Plan("kind", "request", KINDS),
    Plan("stage", "request", STAGES),
    Plan("told_overall", "request", NOTIFICATIONS),
    Plan("marks", "request", MARKS),
)
SHAPE: Final = Shape(longest=2, characters=True, rarest=2)
#: Weights below this share of a label's largest are dropped.
NEGLIGIBLE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Head:
    """A fitted plan. ``before`` and ``after`` weigh the sentences beside, where the plan asks."""

    labels: tuple[str, ...]
    weights: Floats  # features x labels
    bias: Floats
    before: Floats | None = None
    after: Floats | None = None


@dataclass(frozen=True, slots=True)
class Heads:
    """All fitted heads with the featuriser they were fitted on."""

    featuriser: Featuriser
    sentence_idf: Floats
    request_idf: Floats
    heads: Mapping[str, Head]


@dataclass(frozen=True, slots=True)
class Scores:
    """Logits for a batch of messages: rows of sentences and of requests, heads by name.

    ``rows[i]`` is the first sentence row of message i; ``requests[i]`` its first request row.
    """

    by_head: Mapping[str, Floats]
    rows: Ints
    requests: Ints


@dataclass(frozen=True, slots=True)
class Targets:
    """What a head is to learn: examples x labels, 1 or 0, NaN where nothing is known."""

    values: Floats
    weights: Floats


def sentence_texts(views: Sequence[View]) -> list[str]:
    return [s.text for view in views for s in view.reading.sentences]


def membership(views: Sequence[View]) -> sparse.csr_matrix:
    """Requests by sentences: 1 where the sentence belongs to the request."""
    from scipy import sparse

    columns: list[int] = []
    ends = [0]
    base = 0
    for view in views:
        for group in view.groups:
            columns.extend(base + index for index in group.sentences)
            ends.append(len(columns))
        base += len(view.reading.sentences)
    ones = np.ones(len(columns), dtype=np.float32)
    return sparse.csr_matrix((ones, columns, ends), shape=(len(ends) - 1, base))


def score(heads: Heads, views: Sequence[View]) -> Scores:
    """The logits of all heads for *views*, in one pass over the batch."""
    counts = heads.featuriser.transform(sentence_texts(views))
    level: dict[str, Any] = {
        "sentence": weigh(counts, heads.sentence_idf),
        "request": weigh(membership(views) @ counts, heads.request_idf),
    }
    rows = _first_rows([len(view.reading.sentences) for view in views])
    by_head = {}
    for plan in HEADS:
        head = heads.heads[plan.name]
        logits = level[plan.level] @ head.weights + head.bias
        if head.before is not None:
            logits += _moved(level["sentence"] @ head.before, rows, 1)
        if head.after is not None:
            logits += _moved(level["sentence"] @ head.after, rows, -1)
        by_head[plan.name] = logits
    return Scores(by_head, rows, _first_rows([len(view.groups) for view in views]))


def _first_rows(lengths: Sequence[int]) -> Ints:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _moved(logits: Floats, rows: Ints, by: int) -> Floats:
    """What the sentence before (by 1) or after (by -1) contributes to each row, by message."""
    moved = np.zeros_like(logits)
    if by > 0:
        moved[1:] = logits[:-1]
        moved[rows[:-1][rows[:-1] < len(moved)]] = 0
    else:
        moved[:-1] = logits[1:]
        moved[rows[1:][rows[1:] > 0] - 1] = 0
    return moved


def fit_heads(
    views: Sequence[View], bank: Sequence[str], targets: Mapping[str, Targets], *, seed: int
) -> Heads:
    """Fit every head on the sentences of *views* followed by those of *bank* (sentence level only).

    The same input and seed give the same weights.
    """
    texts = sentence_texts(views)
    featuriser = Featuriser.fit([*texts, *bank], SHAPE)
    counts = featuriser.transform([*texts, *bank])
    whole = membership(views) @ counts[: len(texts)]
    sentence_idf, request_idf = (
        inverse_document_frequency(counts),
        inverse_document_frequency(whole),
    )
    rows = _first_rows([len(view.reading.sentences) for view in views])
    level = {"sentence": weigh(counts, sentence_idf), "request": weigh(whole, request_idf)}
    heads = {
        plan.name: _fit(plan, level[plan.level], targets[plan.name], rows, seed) for plan in HEADS
    }
    return Heads(featuriser, sentence_idf, request_idf, heads)


def _fit(plan: Plan, matrix: Any, targets: Targets, rows: Ints, seed: int) -> Head:
    from scipy import sparse  # training only

    width = matrix.shape[1]
    blocks = [matrix]
    if plan.before:
        blocks.append(plan.before * _neighbours(matrix, rows, 1))
    if plan.after:
        blocks.append(plan.after * _neighbours(matrix, rows, -1))
    weights, bias = _fit_each(plan, sparse.hstack(blocks).tocsr(), targets, seed)
    parts = iter(_pruned(weights[i : i + width]) for i in range(0, len(weights), width))
    return Head(
        labels=plan.labels,
        weights=next(parts),
        bias=bias,
        before=plan.before * next(parts) if plan.before else None,
        after=plan.after * next(parts) if plan.after else None,
    )


def _neighbours(matrix: Any, rows: Ints, by: int) -> Any:
    """Row i holds row i-by of *matrix*; nothing at a message's edge or in the bank."""
    from scipy import sparse  # training only

    has = np.zeros(matrix.shape[0], dtype=bool)
    has[: rows[-1]] = True
    has[rows[:-1] if by > 0 else rows[1:] - 1] = False
    places = np.flatnonzero(has)
    ones = np.ones(len(places), dtype=np.float32)
    shape = (matrix.shape[0], matrix.shape[0])
    return sparse.csr_matrix((ones, (places, places - by)), shape=shape) @ matrix


def _fit_each(plan: Plan, matrix: Any, targets: Targets, seed: int) -> tuple[Floats, Floats]:
    """One linear support vector machine per label, on the rows where that label is known."""
    from sklearn.svm import LinearSVC  # training only

    weights = np.zeros((matrix.shape[1], len(plan.labels)), dtype=np.float32)
    bias = np.full(len(plan.labels), -1.0, dtype=np.float32)
    parts: dict[bytes, Any] = {}
    for column in range(len(plan.labels)):
        known = ~np.isnan(targets.values[:, column])
        wanted = targets.values[known, column] > 0
        if wanted.sum() < 2 or wanted.all():
            continue
        key = known.tobytes()
        if key not in parts:
            parts[key] = matrix[known].astype(np.float64)
        model = LinearSVC(C=plan.strength, tol=1e-2, random_state=seed)
        model.fit(parts[key], wanted, sample_weight=targets.weights[known])
        weights[:, column], bias[column] = model.coef_[0], model.intercept_[0]
    return weights, bias


def _pruned(weights: Floats) -> Floats:
    """The weights without those too small to change an answer: they would double a release."""
    least = NEGLIGIBLE * np.abs(weights).max(axis=0)
    return np.where(np.abs(weights) >= least, weights, 0).astype(np.float32)
