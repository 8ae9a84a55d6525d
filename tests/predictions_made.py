"""Small corpora and left-out predictions as a model of known quality would make them."""

import dataclasses
import random
import shutil
from pathlib import Path

from models.corpus import CORPUS_FOLDER, Corpus, load_corpus
from models.predictions import Evaluation, reports_of
from triage.labels import CODE_SETS, CODES
from triage.records import Request


def small_corpus(folder: Path, files: tuple[str, ...] = ("t1", "t2"), lines: int = 40) -> Corpus:
    """The first *lines* messages of some of the corpora, with their evidence."""
    (folder / "evidence").mkdir(parents=True)
    for name in files:
        kept = (CORPUS_FOLDER / f"{name}.jsonl").read_text("utf-8").split("\n")[:lines]
        (folder / f"{name}.jsonl").write_text("\n".join(kept), "utf-8")
        shutil.copy(CORPUS_FOLDER / "evidence" / f"{name}.jsonl", folder / "evidence")
    return load_corpus(folder)


def read_with_errors(corpus: Corpus, share: float, seed: int = 0) -> Evaluation:
    """Every request as labelled, but for a *share* of them in which each field may be wrong."""
    rng = random.Random(seed)
    predicted: dict[str, dict[str, tuple[Request, ...]]] = {file: {} for file in corpus.files}
    likely: dict[str, dict[str, tuple[dict[str, dict[str, float]], ...]]] = {
        file: {} for file in corpus.files
    }
    for example in corpus.examples:
        read = tuple(_spoilt(r, rng, wrong=rng.random() < share) for r in example.requests)
        predicted[example.file][example.id] = read
        likely[example.file][example.id] = tuple(_likely(r, rng) for r in read)
    about = {"data": corpus.digest}
    return Evaluation(predicted, reports_of(corpus, predicted), likely, about)


def _spoilt(request: Request, rng: random.Random, *, wrong: bool) -> Request:
    if not wrong:
        return dataclasses.replace(request, confidence=rng.uniform(0.9, 1))
    changes = {n: rng.choice(codes) for n, codes in CODES.items() if rng.random() < 0.7}
    changes |= {n: tuple(rng.sample(codes, 2)) for n, codes in CODE_SETS.items()}
    return dataclasses.replace(request, **changes, confidence=rng.uniform(0.5, 1))


def _likely(request: Request, rng: random.Random) -> dict[str, dict[str, float]]:
    found = {}
    for name, codes in CODES.items():
        sure = request.confidence if name == "kind" else rng.uniform(0.8, 0.99)
        rest = (1 - sure) / (len(codes) - 1)
        found[name] = {c: sure if c == getattr(request, name) else rest for c in codes}
    for name in CODE_SETS:
        found[name] = {c: rng.uniform(0.8, 0.99) for c in getattr(request, name)}
    return found
