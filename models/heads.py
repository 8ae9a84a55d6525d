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
    exclusive: bool  # exactly one label holds (softmax), else each by itself
    strength: float  # inverse regularisation, scikit-learn's C
    before: float = 0.0  # weight of the sentence before, as context


HEADS: Final = (
    Plan("told", "sentence", NOTIFICATIONS, exclusive=True, strength=10, before=0.5),
    Plan("says", "sentence", SIGNALS, exclusive=False, strength=10),
    Plan("kind", "request", KINDS, exclusive=True, strength=10),
    Plan("stage", "request", STAGES, exclusive=True, strength=10),
    Plan("told_overall", "request", NOTIFICATIONS, exclusive=True, strength=10),
    Plan("marks", "request", MARKS, exclusive=False, strength=10),
)
SHAPE: Final = Shape(longest=2, characters=False, rarest=2)


@dataclass(frozen=True, slots=True)
class Head:
    """A fitted plan. ``before`` holds the weights on the sentence before, where the plan asks."""

    labels: tuple[str, ...]
    weights: Floats  # features x labels
    bias: Floats
    before: Floats | None = None


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
    """What a head is to learn: a row of the matrix per example; NaN where nothing is known.

    For an exclusive head there is one column with the number of the label.
    """

    values: Floats
    weights: Floats


def sentence_texts(views: Sequence[View]) -> list[str]:
    return [s.text for view in views for s in view.reading.sentences]


def membership(views: Sequence[View]) -> sparse.csr_matrix:
    """Requests by sentences: 1 where the sentence belongs to the request."""
    from scipy import sparse  # noqa: PLC0415 - paid only by commands that read mail

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
            logits += _shifted(level["sentence"] @ head.before, rows)
        by_head[plan.name] = logits
    return Scores(by_head, rows, _first_rows([len(view.groups) for view in views]))


def _first_rows(lengths: Sequence[int]) -> Ints:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _shifted(logits: Floats, rows: Ints) -> Floats:
    """Each row moved down by one within its message: what the sentence before contributes."""
    moved = np.zeros_like(logits)
    moved[1:] = logits[:-1]
    moved[rows[rows < len(moved)]] = 0
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


def _fit(plan: Plan, matrix: Any, targets: Targets, rows: Ints, seed: int) -> Head:  # noqa: ANN401
    from scipy import sparse  # noqa: PLC0415 - training only

    width = matrix.shape[1]
    if plan.before:
        matrix = sparse.hstack([matrix, plan.before * _rows_before(matrix, rows)]).tocsr()
    fit = _fit_exclusive if plan.exclusive else _fit_each
    weights, bias = fit(plan, matrix, targets, seed)
    before = plan.before * weights[width:] if plan.before else None
    return Head(plan.labels, weights[:width], bias, before)


def _rows_before(matrix: Any, rows: Ints) -> Any:  # noqa: ANN401 - scipy has no types
    """Row i holds row i-1 of *matrix*; nothing where a message begins or in the bank."""
    from scipy import sparse  # noqa: PLC0415 - training only

    has_before = np.zeros(matrix.shape[0], dtype=np.float32)
    has_before[1 : rows[-1]] = 1
    has_before[rows[:-1]] = 0
    places = np.flatnonzero(has_before)
    ones = np.ones(len(places), dtype=np.float32)
    shape = (matrix.shape[0], matrix.shape[0])
    return sparse.csr_matrix((ones, (places, places - 1)), shape=shape) @ matrix


def _fit_exclusive(
    plan: Plan,
    matrix: Any,
    targets: Targets,
    seed: int,  # noqa: ANN401
) -> tuple[Floats, Floats]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - training only

    known = ~np.isnan(targets.values[:, 0])
    model = LogisticRegression(C=plan.strength, max_iter=150, tol=1e-3, random_state=seed)
    model.fit(
        matrix[known], targets.values[known, 0].astype(int), sample_weight=targets.weights[known]
    )
    weights = np.zeros((matrix.shape[1], len(plan.labels)), dtype=np.float32)
    bias = np.full(len(plan.labels), -20.0, dtype=np.float32)  # a label never seen is never chosen
    weights[:, model.classes_], bias[model.classes_] = model.coef_.T, model.intercept_
    return weights, bias


def _fit_each(
    plan: Plan,
    matrix: Any,
    targets: Targets,
    seed: int,  # noqa: ANN401
) -> tuple[Floats, Floats]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - training only

    weights = np.zeros((matrix.shape[1], len(plan.labels)), dtype=np.float32)
    bias = np.full(len(plan.labels), -10.0, dtype=np.float32)
    parts: dict[bytes, Any] = {}
    for column in range(len(plan.labels)):
        known = ~np.isnan(targets.values[:, column])
        wanted = targets.values[known, column] > 0
        if wanted.sum() < 2 or wanted.all():
            continue
        part = parts.setdefault(known.tobytes(), None)
        if part is None:
            part = parts[known.tobytes()] = matrix[known].astype(np.float64)
        model = LogisticRegression(C=plan.strength, solver="liblinear", tol=1e-2, random_state=seed)
        model.fit(part, wanted, sample_weight=targets.weights[known])
        weights[:, column], bias[column] = model.coef_[0], model.intercept_[0]
    return weights, bias
