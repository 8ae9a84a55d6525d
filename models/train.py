"""Training as named steps: views, targets, unseen scores, decisions, heads.

The decisions learn from scores that the heads gave to files they were not trained on; only so do
their probabilities hold for mail that is new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from models import decisions as d
from models.answers import code_probabilities
from models.corpus import Corpus, Example, Sentence
from models.encoder import Deep, Encoder, as_it_is, deep_scores, read_deeply
from models.evidence import Evidence, gather
from models.features import Bools, Floats, Ints
from models.heads import COUNTS, MARKS, Heads, Scores, fit_heads, score
from models.targets import CALLS_FOR, count_targets, signals_of, targets_of
from models.turning import Turning, turned
from models.views import View, pair_groups
from triage.labels import AGREEMENTS, CODE_SETS, KINDS, NOTIFICATIONS, RISKS, STAGES
from triage.records import Request

#: Files are left out in so many blocks when the decisions' scores are made.
BLOCKS: Final = 4
_FLAG_LABELS: Final = {
    "alternatives_requested": d.YES_OR_NO,
    "guarantee_asked": d.YES_OR_NO,
    "risk": RISKS,
    "client_agreement": AGREEMENTS,
}
#: One model per field decides its codes, over thousands of rows: it needs little holding back.
_CODE_STRENGTH: Final = 1.0
#: A message of a supplement counts so much in a decision. Supplements are full of what is hard, and
#: of clients' own mail; how likely a label is must be learned from what mail is like.
_SUPPLEMENT: Final = 0.5
#: A client counts as told from this probability on; see ``models.answers.choose_told``. One wrongly
#: taken as told weighs as much as ten asked about in vain, and one in a hundred is the most that is
#: wanted: on left-out files it is one in 250 from here on, on the harder supplements two in 100
#: (the table is in docs/understanding.md).
_CLEAR: Final = 0.9
#: A cancellation, referral or note has a reason; the likeliest is given from this probability on.
_ANY_REASON: Final = 0.2

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Model:
    """All that reading needs: the heads and the decisions, and the transformer where there is one.

    ``decisions`` go by the linear heads alone; ``deep_decisions`` by the transformer as well.
    """

    heads: Heads
    decisions: d.Decisions
    encoder: Encoder | None = None
    turning: Turning | None = None
    deep_decisions: d.Decisions | None = None

    def read(
        self, views: Sequence[View], *, fast: bool = False
    ) -> tuple[d.Decisions, Sequence[View], Scores]:
        """Which decisions to ask about *views*, these as split at last, and scores to ask with."""
        if fast or self.encoder is None or self.deep_decisions is None:
            return self.decisions, views, score(self.heads, views)
        turn = partial(turned, self.turning) if self.turning else as_it_is
        split, deep = read_deeply(self.encoder, views, turn)
        scores = replace(score(self.heads, split), deep=deep_scores(split, deep))
        return self.deep_decisions, split, scores


@dataclass(frozen=True, slots=True)
class Lesson:
    """Messages to learn from, read by the rules, and the sentence banks beside them.

    ``deep`` is what transformers that had not seen the message say of each; empty without.
    """

    examples: tuple[Example, ...]
    views: tuple[View, ...]
    bank: tuple[Sentence, ...]
    deep: tuple[Deep, ...] = ()

    def only(self, files: Sequence[str]) -> Lesson:
        kept = [i for i, example in enumerate(self.examples) if example.file in files]
        return Lesson(
            tuple(self.examples[i] for i in kept),
            tuple(self.views[i] for i in kept),
            self.bank,
            tuple(self.deep[i] for i in kept) if self.deep else (),
        )

    def scored(self, heads: Heads) -> Scores:
        """What *heads*, and where known the transformers, say of the messages."""
        scores = score(heads, self.views)
        return replace(scores, deep=deep_scores(self.views, self.deep)) if self.deep else scores


@dataclass(frozen=True, slots=True)
class Tuned:
    """A fine-tuned transformer, and what such as had not seen them say of a corpus's messages.

    ``views`` are the messages split where ``turning`` says that they turn to another request.
    """

    encoder: Encoder
    turning: Turning
    views: tuple[View, ...]  # parallel to the corpus's examples
    unseen: tuple[Deep, ...]  # parallel to the corpus's examples


def learn_heads(lesson: Lesson, *, seed: int) -> Heads:
    """Fit the heads on all of *lesson*."""
    targets = targets_of(lesson.examples, lesson.views, lesson.bank)
    with _one_thread():
        return fit_heads(lesson.views, [s.text for s in lesson.bank], targets, seed=seed)


def _one_thread() -> AbstractContextManager[object]:
    """Linear algebra in one thread, beside which others would mostly wait.

    On two cores that were busy already a second thread made learning take 2.5 times the work. And
    the same sums in the same order give the same weights on any number of cores.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


def blocks_of(files: Sequence[str], blocks: int = BLOCKS) -> list[tuple[str, ...]]:
    """The files dealt out into blocks, the same way every time."""
    return [tuple(files[i::blocks]) for i in range(min(blocks, len(files)))]


def train(
    corpus: Corpus,
    views: Sequence[View],
    *,
    seed: int,
    tuned: Tuned | None = None,
    tell: Progress = lambda _: None,
) -> Model:
    """A model of the whole *corpus*. The same corpus and seed give the same model.

    *tuned* is a transformer fine-tuned on the same corpus (``models.tuning``). *tell* hears of each
    step; there are ``BLOCKS + 2``.
    """
    by_rules = Lesson(corpus.examples, tuple(views), corpus.sentences)
    lesson = replace(by_rules, views=tuned.views, deep=tuned.unseen) if tuned else by_rules
    unseen: list[tuple[Lesson, Scores]] = []
    unseen_by_rules: list[tuple[Lesson, Scores]] = []
    for block in blocks_of(corpus.files):
        tell(f"reading {', '.join(block)} unseen")
        rest = [file for file in corpus.files if file not in block]
        heads = learn_heads(lesson.only(rest), seed=seed)
        for whole, found in ((lesson, unseen), (by_rules, unseen_by_rules)):
            part = whole.only(block)
            found.append((part, part.scored(heads)))
    tell("learning to decide")
    fast = learn_decisions(unseen_by_rules, seed=seed)
    thorough = learn_decisions(unseen, seed=seed) if tuned else None
    tell("learning from all files")
    heads = learn_heads(lesson, seed=seed)
    if tuned is None:
        return Model(heads, fast)
    return Model(heads, fast, tuned.encoder, tuned.turning, thorough)


def learn_decisions(unseen: Sequence[tuple[Lesson, Scores]], *, seed: int) -> d.Decisions:
    """Fit all decisions on messages with the scores of heads that had not seen them."""
    with _one_thread():
        return _learn_decisions(unseen, seed)


def _learn_decisions(unseen: Sequence[tuple[Lesson, Scores]], seed: int) -> d.Decisions:
    class_ = _Class.of(unseen, seed)
    kind, kind_unseen = class_.learn_kind()
    count, count_unseen = class_.learn_count()
    flag_features = d.flag_features(class_.evidence)
    reliability = _reliability(class_)
    codes, thresholds = {}, {"clear": _CLEAR, "any_reason": _ANY_REASON}
    for name in CODE_SETS:
        codes[name], thresholds[name] = _learn_codes(class_, name, reliability)
    return d.Decisions(
        kind=kind,
        told=class_.learn("client_notification", NOTIFICATIONS, d.told_features(class_.evidence)),
        stage=class_.learn("session_stage", STAGES, d.stage_features(class_.evidence)),
        flags={
            name: class_.learn(name, labels, flag_features, everyone=name == "risk")
            for name, labels in _FLAG_LABELS.items()
        },
        codes=codes,
        count=count,
        sure=class_.learn_sure(kind_unseen, count_unseen),
        thresholds=thresholds,
        reliability=reliability,
    )


@dataclass(frozen=True, slots=True)
class _Class:
    """All requests to learn decisions from: what is known of each, and what is right."""

    evidence: Evidence
    requests: tuple[Request | None, ...]  # None where a group stands for no labelled request
    counts: Floats  # requests x COUNTS
    blocks: Ints
    weights: Floats  # how much each counts
    seed: int

    @classmethod
    def of(cls, unseen: Sequence[tuple[Lesson, Scores]], seed: int) -> _Class:
        parts = [gather(lesson.views, scores) for lesson, scores in unseen]
        requests = [_requests_of(lesson) for lesson, _ in unseen]
        blocks = np.repeat(np.arange(len(requests)), [len(block) for block in requests])
        counts = np.concatenate(
            [
                count_targets(example, view)
                for lesson, _ in unseen
                for example, view in zip(lesson.examples, lesson.views, strict=True)
            ]
        )
        flat = tuple(r for block in requests for r in block)
        weights = np.concatenate([_weights_of(lesson) for lesson, _ in unseen])
        return cls(_joined(parts), flat, counts, blocks, weights, seed)

    def asked(self) -> list[int]:
        """The rows whose fields are labelled."""
        return [i for i, r in enumerate(self.requests) if r is not None and r.kind in CALLS_FOR]

    def learn(
        self, name: str, labels: tuple[str, ...], features: Floats, *, everyone: bool = False
    ) -> d.Decision:
        """The decision about field *name*, from those whose fields are labelled or from all."""
        all_rows = [i for i, r in enumerate(self.requests) if r is not None]
        rows = all_rows if everyone else self.asked()
        wanted = _numbers([self.requests[i] for i in rows], name, labels)
        return self._fit(labels, features[rows], wanted, rows)[0]

    def learn_kind(self) -> tuple[d.Decision, Floats]:
        """The decision about ``kind``, and its log probabilities of each row left out."""
        wanted = self._kinds()
        features = d.kind_features(self.evidence)
        return self._fit(KINDS, features, wanted)

    def learn_count(self) -> tuple[dict[str, d.Decision], dict[str, Floats]]:
        """The decisions about COUNTS and what they say of rows left out; none by rules alone."""
        if not self.evidence.deep:
            return {}, {}
        features = d.count_features(self.evidence)
        wanted = self.counts.astype(np.int64)
        found = {
            name: self._fit(d.YES_OR_NO, features, wanted[:, column])
            for column, name in enumerate(COUNTS)
        }
        return {name: pair[0] for name, pair in found.items()}, {
            name: pair[1] for name, pair in found.items()
        }

    def learn_sure(self, kind: Floats, count: Mapping[str, Floats]) -> d.Decision:
        """The decision whether *kind* is right, from what was said of rows left out."""
        right = (kind.argmax(axis=1) == self._kinds()).astype(np.int64)
        features = d.sure_features(kind, count, self.evidence)
        return self._fit(d.YES_OR_NO, features, right)[0]

    def _fit(
        self,
        labels: tuple[str, ...],
        features: Floats,
        wanted: Ints,
        rows: Sequence[int] | slice = slice(None),
    ) -> tuple[d.Decision, Floats]:
        """The decision by *features*, which are those of *rows*."""
        blocks, weights = self.blocks[rows], self.weights[rows]
        return d.fit_decision(labels, features, wanted, blocks, seed=self.seed, weights=weights)

    def _kinds(self) -> Ints:
        """Numbers of the labelled kinds, -1 for a row that stands for no labelled request."""
        numbers = [-1 if r is None else KINDS.index(r.kind) for r in self.requests]
        return np.asarray(numbers, dtype=np.int64)


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


def weight_of(example: Example) -> float:
    """How much a message counts in a decision: that of a supplement less."""
    return _SUPPLEMENT if example.is_supplement else 1.0


def _weights_of(lesson: Lesson) -> Floats:
    of_message = [weight_of(example) for example in lesson.examples]
    counts = [len(view.groups) for view in lesson.views]
    return np.repeat(np.asarray(of_message, dtype=np.float32), counts)


def _joined(parts: Sequence[Evidence]) -> Evidence:
    """The evidence of several batches as one; where a sentence stands is not kept."""

    def join(of: Callable[[Evidence], Floats]) -> Floats:
        return np.concatenate([of(part) for part in parts])

    def join_all(of: Callable[[Evidence], Mapping[str, Floats]]) -> dict[str, Floats]:
        return {name: np.concatenate([of(part)[name] for part in parts]) for name in of(parts[0])}

    return Evidence(
        owner=np.concatenate([part.owner + 1_000_000 * i for i, part in enumerate(parts)]),
        best=join_all(lambda part: part.best),
        where={},
        said_at_all=join(lambda part: part.said_at_all),
        telling=join(lambda part: part.telling),
        alone=join(lambda part: part.alone),
        whole=join_all(lambda part: part.whole),
        noticed=join(lambda part: part.noticed),
        spoken=join(lambda part: part.spoken),
        plain=join(lambda part: part.plain),
        deep=_joined([p.deep for p in parts if p.deep]) if parts[0].deep else None,
    )


def _reliability(class_: _Class) -> Floats:
    """How often each mark is right where the rules found it, pulled towards six in ten."""
    asked = class_.asked()
    found = class_.evidence.noticed[asked][:, :, 0] > 0
    said = [signals_of(r) for r in (class_.requests[i] for i in asked) if r is not None]
    right = np.asarray([[mark in signals for mark in MARKS] for signals in said]) & found
    trusted: Floats = ((right.sum(axis=0) + 3) / (found.sum(axis=0) + 5)).astype(np.float32)
    return trusted


def _learn_codes(class_: _Class, name: str, reliability: Floats) -> tuple[d.Decision, float]:
    """The decision about the codes of field *name*, and from which probability on it says yes."""
    asked = class_.asked()
    codes = [mark.split(":")[1] for mark in MARKS if mark.startswith(f"{name}:")]
    features = d.code_features(class_.evidence, name, reliability)[asked]
    held = np.asarray([[c in getattr(class_.requests[i], name) for c in codes] for i in asked])
    weights = class_.weights[asked]
    decision = d.fit_softmax(
        d.YES_OR_NO,
        features.reshape(-1, features.shape[-1]),
        held.reshape(-1).astype(np.int64),
        _CODE_STRENGTH,
        seed=class_.seed,
        weights=np.repeat(weights, len(codes)),
    )
    return decision, best_threshold(code_probabilities(decision, features), held, weights)


def best_threshold(likely: Floats, held: Bools, weights: Floats) -> float:
    """The probability from which on codes are given, for the best micro-F1 of weighted rows."""
    grid = np.arange(0.2, 0.71, 0.02)
    each = weights[:, None]
    scores = []
    for threshold in grid:
        given = likely >= threshold
        right, both = (given & held) * each, given * each + held * each
        scores.append(2 * right.sum() / max(both.sum(), 1e-6))
    return round(float(grid[int(np.argmax(scores))]), 2)


__all__ = ["Lesson", "Model", "Tuned", "learn_decisions", "learn_heads", "train"]
