"""Evaluation: every file is read by a model that was trained without it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

from models.answers import answer
from models.corpus import Corpus
from models.decisions import Decisions
from models.frames import confusion, requests_frame
from models.heads import Scores, score
from models.measures import Report, measure
from models.train import Lesson, blocks_of, learn_decisions, learn_heads
from models.views import View
from triage.records import Request, request_fields

#: One worker for each core that the evaluation may use.
WORKERS: Final = 2

Progress = Callable[[str], None]
Requests = tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What each file's messages were read as, and how well; ``reports`` ends with "pooled"."""

    predicted: Mapping[str, Mapping[str, Requests]]  # file to message id to requests
    reports: Mapping[str, Report]


@dataclass(frozen=True, slots=True)
class _Task:
    """Heads to be learned without the files ``without``, and the files they then score."""

    key: tuple[str, ...]
    without: tuple[str, ...]
    scored: tuple[tuple[str, ...], ...]


def steps(corpus: Corpus) -> int:
    """How often ``leave_one_file_out`` tells of its progress."""
    return len(_tasks(corpus)) + len(corpus.files)


def leave_one_file_out(
    corpus: Corpus, views: Sequence[View], *, seed: int, tell: Progress = lambda _: None
) -> Evaluation:
    """Read each file with a model trained on the other files alone.

    The decisions are trained without it as well: their scores come from heads that saw neither the
    file (nor the one that shares its block) nor the messages they score. Takes a few minutes.
    """
    lesson = Lesson(corpus.examples, tuple(views), corpus.sentences)
    scored = dict(_run(_tasks(corpus), lesson, seed, tell))
    blocks = blocks_of(corpus.files)
    predicted = {}
    for number, block in enumerate(blocks):
        decisions = _decisions_without(number, blocks, scored, lesson, seed)
        for file in block:
            tell(f"reading {file}")
            part = lesson.only((file,))
            answers = answer(decisions, part.views, scored[file,][0], "left-out")
            predicted[file] = {
                example.id: requests
                for example, requests in zip(part.examples, answers, strict=True)
            }
    in_order = {file: predicted[file] for file in corpus.files}
    return Evaluation(in_order, _reports(corpus, in_order))


def _tasks(corpus: Corpus) -> list[_Task]:
    blocks = blocks_of(corpus.files)
    pairs = [
        _Task((*a, "+", *b), without=(*a, *b), scored=(a, b)) for a, b in combinations(blocks, 2)
    ]
    return [*pairs, *(_Task((file,), (file,), ((file,),)) for file in corpus.files)]


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
    return [score(heads, lesson.only(files).views) for files in task.scored]


def _reports(corpus: Corpus, predicted: Mapping[str, Mapping[str, Requests]]) -> dict[str, Report]:
    gold = {file: [e for e in corpus.examples if e.file == file] for file in corpus.files}
    reports = {
        file: measure([e.requests for e in gold[file]], [predicted[file][e.id] for e in gold[file]])
        for file in corpus.files
    }
    everything = [e for file in corpus.files for e in gold[file]]
    reports["pooled"] = measure(
        [e.requests for e in everything], [predicted[e.file][e.id] for e in everything]
    )
    return reports


def write_frames(evaluation: Evaluation, corpus: Corpus, folder: Path) -> None:
    """``requests.csv``, a row for each request beside its label, and who was taken for what."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = requests_frame(corpus.examples, evaluation.predicted)
    frame.to_csv(folder / "requests.csv", index=False)
    for field in ("kind", "client_notification", "risk"):
        confusion(frame, field).to_csv(folder / f"confusion_{field}.csv")


def write_predictions(evaluation: Evaluation, folder: Path) -> None:
    """One file of predictions per corpus file, in the form of the corpora, with confidences."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, messages in evaluation.predicted.items():
        lines = [
            json.dumps({"id": key, "requests": [_as_json(r) for r in requests]}, ensure_ascii=False)
            for key, requests in messages.items()
        ]
        (folder / f"{file}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _as_json(request: Request) -> dict[str, object]:
    return {**request_fields(request), "confidence": request.confidence}
