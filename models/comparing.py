"""Two models on the same messages: by how much they differ, and whether that is more than luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from models.corpus import CorpusError
from models.measures import AIMS, LESS_IS_BETTER, Tally, tally
from models.predictions import Evaluation, examples_of

if TYPE_CHECKING:
    from models.corpus import Corpus, Example
    from models.measures import Doubles

Finding = Literal["better", "worse", "not distinguishable"]

#: What a comparison looks at: the aims, and the errors that hurt people.
COMPARED: Final = (
    *AIMS,
    "session_stage_macro_f1",
    "client_agreement_macro_f1",
    "risk_macro_f1",
    "alternatives_requested_f1",
    "guarantee_asked_f1",
    "evidence_f1",
    "false_clear",
    "false_discussed",
    "urgent_missed",
)
_SAMPLES: Final = 2000
_AT_ONCE: Final = 250  # samples worked out together; more would only cost memory
_OUTSIDE: Final = 2.5  # per cent left out at either end of the interval


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of two models. ``low`` and ``high`` bound the difference in 95 % of samples."""

    measure: str
    candidate: float
    champion: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.candidate - self.champion

    @property
    def finding(self) -> Finding:
        """Better or worse only where the whole interval says so."""
        if self.low <= 0 <= self.high:
            return "not distinguishable"
        return "better" if (self.low > 0) != (self.measure in LESS_IS_BETTER) else "worse"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences, and how many messages they rest on."""

    differences: tuple[Difference, ...]
    messages: int

    def of(self, measure: str) -> Difference:
        return next(d for d in self.differences if d.measure == measure)


def compare(
    corpus: Corpus, candidate: Evaluation, champion: Evaluation, *, seed: int = 0
) -> Comparison:
    """Compare on the messages that both have read without having seen their file.

    A paired bootstrap over messages within each file (Efron and Tibshirani 1993, chapter 16): the
    same messages are drawn for both, so that hard ones do not count as a difference. It tells
    whether the models differ on writers like these; that another writer would be read alike it
    cannot tell.

    Raises CorpusError where they have no message in common.
    """
    examples = _common(corpus, candidate, champion)
    if not examples:
        raise CorpusError("the two have no message in common")
    ours, theirs = (_tally(examples, evaluation) for evaluation in (candidate, champion))
    first, second = ours.reports(), theirs.reports()
    apart = _sampled(examples, ours, theirs, seed)
    differences = []
    for name in COMPARED:
        low, high = np.percentile(apart[name], [_OUTSIDE, 100 - _OUTSIDE])
        differences.append(
            Difference(name, float(first[name][0]), float(second[name][0]), float(low), float(high))
        )
    return Comparison(tuple(differences), len(examples))


def _common(corpus: Corpus, candidate: Evaluation, champion: Evaluation) -> list[Example]:
    return [e for e in examples_of(corpus, candidate) if e.id in champion.predicted.get(e.file, {})]


def _tally(examples: Sequence[Example], evaluation: Evaluation) -> Tally:
    predicted = [evaluation.predicted[e.file][e.id] for e in examples]
    return tally([e.requests for e in examples], predicted)


def _sampled(
    examples: Sequence[Example], ours: Tally, theirs: Tally, seed: int
) -> dict[str, Doubles]:
    """The differences in every sample, by measure."""
    rng = np.random.default_rng(seed)
    files = np.asarray([e.file for e in examples])
    parts: dict[str, list[Doubles]] = {name: [] for name in COMPARED}
    for first in range(0, _SAMPLES, _AT_ONCE):
        weights = _weights(files, min(_AT_ONCE, _SAMPLES - first), rng)
        left, right = ours.reports(weights), theirs.reports(weights)
        for name in COMPARED:
            parts[name].append(left[name] - right[name])
    return {name: np.concatenate(found) for name, found in parts.items()}


def _weights(files: np.ndarray, samples: int, rng: np.random.Generator) -> Doubles:
    """How often each message is drawn: as many from each file as there are in it."""
    weights = np.zeros((samples, len(files)))
    for file in np.unique(files):
        places = np.flatnonzero(files == file)
        share = np.full(len(places), 1 / len(places))
        weights[:, places] = rng.multinomial(len(places), share, size=samples)
    return weights
