"""The linear models over sentences and over whole requests: what each learns, fitting, scoring.

A *head* maps weighted n-gram counts to one logit per label. Which heads there are, and how strongly
each is regularised, is the table HEADS; values there come from inner cross-validation over files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

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
#: Whether the rules made one request too many of the message, or left out a matter that is none of
#: fit beside those that are.
COUNTS: Final = ("spurious", "beside")
#: Whether a sentence of the text turns to another client or matter than those before it, and
#: whether several are named in it at once: there a message is split.
SPLITS: Final = ("opens", "many")
#: And whether it raises a matter that is none of fit; releases before 0.7.0 do not say.
TURNS: Final = (*SPLITS, "raises")


@dataclass(frozen=True, slots=True)
class Plan:
    """One head: over what, which labels, and how it is fitted.

    ``beside`` weighs further views of the same row: of a sentence the one "before" and "after" it,
    of a request its "first" and "last" sentences, where people say what they want.
    """

    name: str
    level: Literal["sentence", "request"]
    labels: tuple[str, ...]
    strength: float = 1.0  # inverse regularisation, scikit-learn's C
    beside: Mapping[str, float] = field(default_factory=dict)
    exclusive: bool = False  # one label holds: rare ones then weigh as much as common ones


_EDGES: Final = {"first": 0.5, "last": 0.5}
HEADS: Final = (
    Plan("told", "sentence", NOTIFICATIONS, strength=0.5, beside={"before": 0.4, "after": 0.3}),
    Plan("says", "sentence", SIGNALS),
    Plan("kind", "request", KINDS, beside=_EDGES, exclusive=True),
    Plan("stage", "request", STAGES, exclusive=True),
    Plan("told_overall", "request", NOTIFICATIONS, strength=0.5),
    Plan("marks", "request", MARKS, strength=0.5),
)
#: So many sentences at either end of a request are its edges.
_EDGE: Final = 3
SHAPE: Final = Shape(longest=2, characters=True, rarest=2)
#: How far a sentence's neighbour must move down to stand beside it.
_STEP: Final = {"before": 1, "after": -1}
#: Weights below this share of a label's largest are dropped.
NEGLIGIBLE: Final = 0.03


@dataclass(frozen=True, slots=True)
class Head:
    """A fitted plan: weights (features x labels) of the row itself, "", and of each view beside."""

    weights: Mapping[str, Floats]
    bias: Floats


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
    ``deep`` is what the transformer says of the same rows, where there is one.
    """

    by_head: Mapping[str, Floats]
    rows: Ints
    requests: Ints
    deep: Scores | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """What a head is to learn: examples x labels, 1 or 0, NaN where nothing is known."""

    values: Floats
    weights: Floats


def sentence_texts(views: Sequence[View]) -> list[str]:
    return [s.text for view in views for s in view.reading.sentences]


def _membership(views: Sequence[View], part: slice) -> sparse.csr_matrix:
    """Requests by sentences: 1 where the sentence is in *part* of the request's sentences."""
    from scipy import sparse  # paid only by commands that read mail

    columns: list[int] = []
    ends = [0]
    base = 0
    for view in views:
        for group in view.groups:
            columns.extend(base + index for index in group.sentences[part])
            ends.append(len(columns))
        base += len(view.reading.sentences)
    ones = np.ones(len(columns), dtype=np.float32)
    return sparse.csr_matrix((ones, columns, ends), shape=(len(ends) - 1, base))


def _request_counts(
    views: Sequence[View], counts: sparse.csr_matrix
) -> dict[str, sparse.csr_matrix]:
    """Counts of each request as a whole, "", and of its edges."""
    parts = {"": slice(None), "first": slice(_EDGE), "last": slice(-_EDGE, None)}
    return {name: _membership(views, part) @ counts for name, part in parts.items()}


def score(heads: Heads, views: Sequence[View]) -> Scores:
    """The logits of all heads for *views*, in one pass over the batch."""
    counts = heads.featuriser.transform(sentence_texts(views))
    sentences = weigh(counts, heads.sentence_idf)
    whole = {
        name: weigh(matrix, heads.request_idf)
        for name, matrix in _request_counts(views, counts).items()
    }
    rows = first_rows([len(view.reading.sentences) for view in views])
    by_head = {}
    for plan in HEADS:
        head = heads.heads[plan.name]
        on_sentences = plan.level == "sentence"
        logits = (sentences if on_sentences else whole[""]) @ head.weights[""] + head.bias
        for name in plan.beside:
            weights = head.weights[name]
            logits += (
                _moved(sentences @ weights, rows, _STEP[name])
                if on_sentences
                else whole[name] @ weights
            )
        by_head[plan.name] = logits
    return Scores(by_head, rows, first_rows([len(view.groups) for view in views]))


def first_rows(lengths: Sequence[int]) -> Ints:
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
    of_requests = _request_counts(views, counts[: len(texts)])
    sentence_idf = inverse_document_frequency(counts)
    request_idf = inverse_document_frequency(of_requests[""])
    whole = {name: weigh(matrix, request_idf) for name, matrix in of_requests.items()}
    sentences = weigh(counts, sentence_idf)
    rows = first_rows([len(view.reading.sentences) for view in views])
    heads = {}
    for plan in HEADS:
        on_sentences = plan.level == "sentence"
        blocks = {"": sentences if on_sentences else whole[""]}
        for name in plan.beside:
            blocks[name] = (
                _neighbours(sentences, rows, _STEP[name]) if on_sentences else whole[name]
            )
        heads[plan.name] = _fit(plan, blocks, targets[plan.name], seed)
    return Heads(featuriser, sentence_idf, request_idf, heads)


def _fit(plan: Plan, blocks: Mapping[str, sparse.csr_matrix], targets: Targets, seed: int) -> Head:
    from scipy import sparse  # training only

    scales = {name: plan.beside.get(name, 1.0) for name in blocks}
    matrix = sparse.hstack([scales[name] * block for name, block in blocks.items()]).tocsr()
    weights, bias = _fit_each(plan, matrix, targets, seed)
    width = blocks[""].shape[1]
    return Head(
        weights={
            name: _pruned(scales[name] * weights[i * width : (i + 1) * width])
            for i, name in enumerate(blocks)
        },
        bias=bias,
    )


def _neighbours(matrix: sparse.csr_matrix, rows: Ints, by: int) -> sparse.csr_matrix:
    """Row i holds row i-by of *matrix*; nothing at a message's edge or in the bank."""
    from scipy import sparse  # training only

    has = np.zeros(matrix.shape[0], dtype=bool)
    has[: rows[-1]] = True
    has[rows[:-1] if by > 0 else rows[1:] - 1] = False
    places = np.flatnonzero(has)
    ones = np.ones(len(places), dtype=np.float32)
    shape = (matrix.shape[0], matrix.shape[0])
    return sparse.csr_matrix((ones, (places, places - by)), shape=shape) @ matrix


def _fit_each(
    plan: Plan, matrix: sparse.csr_matrix, targets: Targets, seed: int
) -> tuple[Floats, Floats]:
    """One linear support vector machine per label, on the rows where that label is known."""
    from sklearn.svm import LinearSVC  # training only

    weights = np.zeros((matrix.shape[1], len(plan.labels)), dtype=np.float32)
    bias = np.full(len(plan.labels), -1.0, dtype=np.float32)
    parts: dict[bytes, sparse.csr_matrix] = {}
    for column in range(len(plan.labels)):
        known = ~np.isnan(targets.values[:, column])
        wanted = targets.values[known, column] > 0
        if wanted.sum() < 2 or wanted.all():
            continue
        key = known.tobytes()
        if key not in parts:
            parts[key] = matrix[known].astype(np.float64)
        model = LinearSVC(C=plan.strength, tol=1e-2, random_state=seed)
        share = len(wanted) / (len(plan.labels) * wanted.sum()) if plan.exclusive else 1.0
        model.fit(
            parts[key], wanted, sample_weight=targets.weights[known] * np.where(wanted, share, 1)
        )
        weights[:, column], bias[column] = model.coef_[0], model.intercept_[0]
    return weights, bias


def _pruned(weights: Floats) -> Floats:
    """The weights without those too small to change an answer: they would double a release."""
    least = NEGLIGIBLE * np.abs(weights).max(axis=0)
    return np.where(np.abs(weights) >= least, weights, 0).astype(np.float32)
