"""Training as named steps: views, targets, unseen scores, decisions, heads.

The decisions learn from scores that the heads gave to files they were not trained on; only so do
their probabilities hold for mail that is new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models import decisions as d
from models.answers import NEEDS_REASON, code_probabilities
from models.corpus import Corpus, Example, Sentence
from models.features import Floats, Ints
from models.heads import MARKS, Heads, Scores, fit_heads, score
from models.targets import CALLS_FOR, signals_of, targets_of
from models.views import View, pair_groups
from triage.labels import AGREEMENTS, CODE_SETS, KINDS, NOTIFICATIONS, RISKS, STAGES
from triage.records import Request

#: Files are left out in so many blocks when the decisions' scores are made.
BLOCKS: Final = 6
_FLAG_LABELS: Final = {
    "alternatives_requested": ("false", "true"),
    "guarantee_asked": ("false", "true"),
    "risk": RISKS,
    "client_agreement": AGREEMENTS,
}
_STRENGTH: Final = {"kind": 0.02, "told": 0.05, "stage": 0.05, "flags": 0.02, "codes": 1.0}
#: A client counts as told from this probability on; see ``models.answers.choose_told``.
_CLEAR: Final = 0.5

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Model:
    """All that reading needs: the heads and the decisions."""

    heads: Heads
    decisions: d.Decisions


@dataclass(frozen=True, slots=True)
class Lesson:
    """Messages to learn from, read by the rules, and the sentence banks beside them."""

    examples: tuple[Example, ...]
    views: tuple[View, ...]
    bank: tuple[Sentence, ...]

    def only(self, files: Sequence[str]) -> Lesson:
        kept = [i for i, example in enumerate(self.examples) if example.file in files]
        return Lesson(
            tuple(self.examples[i] for i in kept), tuple(self.views[i] for i in kept), self.bank
        )


def learn_heads(lesson: Lesson, *, seed: int) -> Heads:
    """Fit the heads on all of *lesson*."""
    targets = targets_of(lesson.examples, lesson.views, lesson.bank)
    return fit_heads(lesson.views, [s.text for s in lesson.bank], targets, seed=seed)


def blocks_of(files: Sequence[str], blocks: int = BLOCKS) -> list[tuple[str, ...]]:
    """The files dealt out into blocks, the same way every time."""
    return [tuple(files[i::blocks]) for i in range(min(blocks, len(files)))]


def train(
    corpus: Corpus, views: Sequence[View], *, seed: int, tell: Progress = lambda _: None
) -> Model:
    """A model of the whole *corpus*. The same corpus and seed give the same model.

    *tell* hears of each step; there are ``BLOCKS + 2``.
    """
    lesson = Lesson(corpus.examples, tuple(views), corpus.sentences)
    unseen = []
    for block in blocks_of(corpus.files):
        tell(f"reading {', '.join(block)} unseen")
        rest = [file for file in corpus.files if file not in block]
        part = lesson.only(block)
        unseen.append((part, score(learn_heads(lesson.only(rest), seed=seed), part.views)))
    tell("learning to decide")
    decisions = learn_decisions(unseen, seed=seed)
    tell("learning from all files")
    return Model(learn_heads(lesson, seed=seed), decisions)


def learn_decisions(unseen: Sequence[tuple[Lesson, Scores]], *, seed: int) -> d.Decisions:
    """Fit all decisions on messages with the scores of heads that had not seen them."""
    evidence = [d.gather(lesson.views, scores) for lesson, scores in unseen]
    whole = _joined(evidence)
    requests = [r for lesson, _ in unseen for r in _requests_of(lesson)]
    kind, kinds = _learn_kind(whole, requests, seed)
    asked = [i for i, r in enumerate(requests) if r is not None and r.kind in CALLS_FOR]
    gold = [r for r in requests if r is not None and r.kind in CALLS_FOR]
    flags, thresholds, codes = {}, {"clear": _CLEAR}, {}
    everything = [i for i, r in enumerate(requests) if r is not None]
    features = d.flag_features(whole, kinds)
    for name, labels in _FLAG_LABELS.items():
        rows = everything if name == "risk" else asked
        wanted = _numbers([requests[i] for i in rows], name, labels)
        flags[name] = d.fit_decision(labels, features[rows], wanted, _STRENGTH["flags"], seed=seed)
    reliability = _reliability(whole, asked, gold)
    for name in CODE_SETS:
        codes[name], likely, held = _learn_codes(whole, asked, gold, name, reliability, seed)
        thresholds[name] = best_threshold(likely, held)
    thresholds["any_reason"] = 0.2
    return d.Decisions(
        kind=kind,
        told=d.fit_decision(
            NOTIFICATIONS,
            d.told_features(whole, kinds)[asked],
            _numbers(gold, "client_notification", NOTIFICATIONS),
            _STRENGTH["told"],
            seed=seed,
        ),
        stage=d.fit_decision(
            STAGES,
            d.stage_features(whole, kinds)[asked],
            _numbers(gold, "session_stage", STAGES),
            _STRENGTH["stage"],
            seed=seed,
        ),
        flags=flags,
        codes=codes,
        thresholds=thresholds,
        reliability=reliability,
    )


def _learn_kind(
    evidence: d.Evidence, requests: Sequence[Request | None], seed: int
) -> tuple[d.Decision, Floats]:
    rows = [i for i, r in enumerate(requests) if r is not None]
    wanted = _numbers([r for r in requests if r is not None], "kind", KINDS)
    features = d.kind_features(evidence)
    decision = d.fit_decision(KINDS, features[rows], wanted, _STRENGTH["kind"], seed=seed)
    return decision, decision.log_probabilities(features)


def _numbers(requests: Sequence[Request | None], name: str, labels: Sequence[str]) -> Ints:
    values = [getattr(request, name) for request in requests]
    as_code = [str(v).lower() if isinstance(v, bool) else v for v in values]
    return np.asarray([labels.index(code) for code in as_code], dtype=np.int64)


def _requests_of(lesson: Lesson) -> list[Request | None]:
    """The labelled request of each group, None for a group that stands for none."""
    found: list[Request | None] = []
    for example, view in zip(lesson.examples, lesson.views, strict=True):
        paired = {id(group): request for group, request in pair_groups(view, example.requests)}
        found += [paired.get(id(group)) for group in view.groups]
    return found


def _joined(parts: Sequence[d.Evidence]) -> d.Evidence:
    """The evidence of several batches as one; owners and sentence rows are not kept apart."""

    def join(of: Callable[[d.Evidence], Floats]) -> Floats:
        return np.concatenate([of(part) for part in parts])

    def join_all(of: Callable[[d.Evidence], Mapping[str, Floats]]) -> dict[str, Floats]:
        return {name: np.concatenate([of(part)[name] for part in parts]) for name in of(parts[0])}

    return d.Evidence(
        owner=np.concatenate([part.owner for part in parts]),
        best=join_all(lambda part: part.best),
        where={},
        said_at_all=join(lambda part: part.said_at_all),
        whole=join_all(lambda part: part.whole),
        noticed=join(lambda part: part.noticed),
        plain=join(lambda part: part.plain),
    )


def _reliability(evidence: d.Evidence, asked: Sequence[int], gold: Sequence[Request]) -> Floats:
    """How often each mark is right where the rules found it, pulled towards six in ten."""
    found = evidence.noticed[asked][:, :, 0] > 0
    right = np.asarray([[m in s for m in MARKS] for s in map(signals_of, gold)]) & found
    trusted: Floats = ((right.sum(axis=0) + 3) / (found.sum(axis=0) + 5)).astype(np.float32)
    return trusted


def _learn_codes(
    evidence: d.Evidence,
    asked: Sequence[int],
    gold: Sequence[Request],
    name: str,
    reliability: Floats,
    seed: int,
) -> tuple[d.Decision, Floats, Floats]:
    codes = [mark.split(":")[1] for mark in MARKS if mark.startswith(f"{name}:")]
    features = d.code_features(evidence, name, reliability)[asked]
    held = np.asarray([[code in getattr(r, name) for code in codes] for r in gold])
    decision = d.fit_decision(
        ("false", "true"),
        features.reshape(-1, features.shape[-1]),
        held.reshape(-1).astype(np.int64),
        _STRENGTH["codes"],
        seed=seed,
    )
    return decision, code_probabilities(decision, features), held


def best_threshold(likely: Floats, held: Floats) -> float:
    """The probability from which on codes are given, for the best micro-F1."""
    grid = np.arange(0.2, 0.71, 0.02)
    scores = []
    for threshold in grid:
        given = likely >= threshold
        scores.append(2 * (given & held).sum() / max(given.sum() + held.sum(), 1))
    return round(float(grid[int(np.argmax(scores))]), 2)


__all__ = ["NEEDS_REASON", "Lesson", "Model", "learn_decisions", "learn_heads", "train"]
