"""Evaluation: every file is read by a model that was trained without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Final

from models.answers import Probabilities, answer, standing, weigh_up
from models.corpus import Corpus
from models.decisions import Decision, Decisions
from models.evidence import gather
from models.features import Floats
from models.frames import confusion, requests_frame
from models.heads import MARKS, Scores
from models.predictions import (
    Evaluation,
    Likely,
    Requests,
    examples_of,
    reports_of,
    write_predictions,
)
from models.train import Lesson, Tuned, blocks_of, learn_decisions, learn_heads
from models.views import View

__all__ = ["Evaluation", "leave_one_file_out", "steps", "write_frames", "write_predictions"]

#: One worker for each core that the evaluation may use.
WORKERS: Final = 2

#: Codes of a set, and of a choice, that are less likely are not kept with the predictions.
_LEAST: Final = 0.01
_NEGLIGIBLE: Final = 0.0001

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Task:
    """Heads to be learned without the files ``without``, and the files they then score."""

    key: tuple[str, ...]
    without: tuple[str, ...]
    scored: tuple[tuple[str, ...], ...]


def steps(corpus: Corpus) -> int:
    """How often ``leave_one_file_out`` tells of its progress."""
    return len(_tasks(corpus)) + len(corpus.tested)


def leave_one_file_out(
    corpus: Corpus,
    views: Sequence[View],
    *,
    seed: int,
    tuned: Tuned | None = None,
    tell: Progress = lambda _: None,
) -> Evaluation:
    """Read each file with a model trained without it and the files that share its block.

    The decisions are trained without them as well: their scores come from heads that saw neither
    that block nor the messages they score. What *tuned* says of a message comes from a transformer
    that had not seen its file, though the one that speaks of another part of the corpus had.
    The supplements are learned from and not reported. Takes some minutes.
    """
    lesson = Lesson(corpus.examples, tuple(views), corpus.sentences)
    if tuned is not None:
        lesson = replace(lesson, views=tuned.views, deep=tuned.unseen)
    blocks = blocks_of(corpus.files)
    scored = dict(_run(_tasks(corpus), lesson, seed, tell))
    predicted: dict[str, dict[str, Requests]] = {file: {} for file in corpus.tested}
    likely: dict[str, dict[str, tuple[Likely, ...]]] = {file: {} for file in corpus.tested}
    for number, block in enumerate(blocks):
        decisions = _decisions_without(number, blocks, scored, lesson, seed)
        for file, scores in zip(block, scored[block], strict=True):
            if file not in corpus.tested:
                continue
            tell(f"reading {file}")
            part = lesson.only((file,))
            keys = [example.id for example in part.examples]
            answers = answer(decisions, part.views, scores, "left-out")
            predicted[file] = dict(zip(keys, answers, strict=True))
            found = weigh_up(decisions, gather(part.views, scores))
            told = probabilities(decisions, found, part.views, answers)
            likely[file] = dict(zip(keys, told, strict=True))
    about = {"data": corpus.digest, "seed": seed}
    return Evaluation(predicted, reports_of(corpus, predicted), likely, about)


def probabilities(
    decisions: Decisions,
    found: Probabilities,
    views: Sequence[View],
    answers: Sequence[Requests],
) -> list[tuple[Likely, ...]]:
    """How likely each code of each field is, for every request of *answers*, in their order.

    Of a matter put beside the others only the kind is known.
    """
    single = {
        "kind": (decisions.kind, found.kind),
        "client_notification": (decisions.told, found.told),
        "session_stage": (decisions.stage, found.stage),
        **{name: (decisions.flags[name], values) for name, values in found.flags.items()},
    }
    told: list[tuple[Likely, ...]] = []
    first = 0
    for view, requests in zip(views, answers, strict=True):
        rows = slice(first, first + len(view.groups))
        kept = [_likely(first + n, single, found.codes) for n in standing(found.count, rows)]
        beside: list[Likely] = [{"kind": {r.kind: r.confidence}} for r in requests[len(kept) :]]
        told.append((*kept, *beside))
        first = rows.stop
    return told


def _likely(
    row: int, single: Mapping[str, tuple[Decision, Floats]], codes: Mapping[str, Floats]
) -> Likely:
    by_field = {
        name: _rounded(zip(decision.labels, values[row], strict=True), _NEGLIGIBLE)
        for name, (decision, values) in single.items()
    }
    for name, values in codes.items():
        named = [mark.split(":")[1] for mark in MARKS if mark.startswith(f"{name}:")]
        by_field[name] = _rounded(zip(named, values[row], strict=True), _LEAST)
    return by_field


def _rounded(likely: Iterable[tuple[str, float]], least: float) -> dict[str, float]:
    return {code: round(float(sure), 4) for code, sure in likely if sure >= least}


def _tasks(corpus: Corpus) -> list[_Task]:
    blocks = blocks_of(corpus.files)
    pairs = [
        _Task((*a, "+", *b), without=(*a, *b), scored=(a, b)) for a, b in combinations(blocks, 2)
    ]
    return [*pairs, *(_Task(block, block, tuple((file,) for file in block)) for block in blocks)]


def _decisions_without(
    number: int,
    blocks: Sequence[tuple[str, ...]],
    scored: Mapping[tuple[str, ...], Sequence[Scores]],
    lesson: Lesson,
    seed: int,
) -> Decisions:
    unseen = []
    for other, block in enumerate(blocks):
        if other != number:
            first, second = sorted((number, other))
            scores = scored[(*blocks[first], "+", *blocks[second])]
            unseen.append((lesson.only(block), scores[0 if other == first else 1]))
    return learn_decisions(unseen, seed=seed)


_shared: dict[str, Lesson] = {}  # a worker's copy of the lesson, sent once rather than per task


def _share(lesson: Lesson) -> None:
    _shared["lesson"] = lesson


def _run(
    tasks: Sequence[_Task], lesson: Lesson, seed: int, tell: Progress
) -> Iterator[tuple[tuple[str, ...], list[Scores]]]:
    with ProcessPoolExecutor(WORKERS, initializer=_share, initargs=(lesson,)) as pool:
        running = {pool.submit(_carry_out, task, seed): task for task in tasks}
        for done in as_completed(running):
            task = running[done]
            tell(f"learned without {', '.join(task.without)}")
            yield task.key, done.result()


def _carry_out(task: _Task, seed: int) -> list[Scores]:
    lesson = _shared["lesson"]
    rest = sorted({e.file for e in lesson.examples} - set(task.without))
    heads = learn_heads(lesson.only(rest), seed=seed)
    return [lesson.only(files).scored(heads) for files in task.scored]


def write_frames(evaluation: Evaluation, corpus: Corpus, folder: Path) -> None:
    """``requests.csv``, a row for each request beside its label, and who was taken for what."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = requests_frame(examples_of(corpus, evaluation), evaluation.predicted)
    frame.to_csv(folder / "requests.csv", index=False)
    for field in ("kind", "client_notification", "risk"):
        confusion(frame, field).to_csv(folder / f"confusion_{field}.csv")
