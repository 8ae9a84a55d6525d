"""Left-out predictions: what each message was read as by a model that had not seen its file.

Kept as one JSON Lines file per corpus file, in the form of the corpora, with ``confidence`` and,
where the model told them, the probabilities behind each answer (``likely``). Reports, comparisons,
doubts and notebooks work from such a folder, so that none of them has to train.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from models.corpus import Corpus, CorpusError, Example
from models.measures import Report, measure
from triage.labels import CODE_SETS, CODES
from triage.records import Finding, Request, request_fields

Requests = tuple[Request, ...]
Likely = Mapping[str, Mapping[str, float]]  # field to code to probability

#: Beside the predictions: which data and seed they were made with.
_ABOUT: Final = "evaluation.json"
_LISTS: Final = ("session_ids", *CODE_SETS)
#: Fields whose confidence the policy asks for besides that of ``kind``; kept as "sure".
_TOLD_APART: Final = ("client_notification", "session_ids")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What each file's messages were read as, and how well; ``reports`` ends with "pooled".

    ``likely`` runs parallel to ``predicted``, one entry per request; it is empty where only the
    answers are known. ``about`` says how the predictions came to be.
    """

    predicted: Mapping[str, Mapping[str, Requests]]  # file to message id to requests
    reports: Mapping[str, Report]
    likely: Mapping[str, Mapping[str, tuple[Likely, ...]]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)


def reports_of(
    corpus: Corpus, predicted: Mapping[str, Mapping[str, Requests]]
) -> dict[str, Report]:
    """The measures of each predicted file, and of all together as "pooled"."""
    gold = {file: [e for e in corpus.examples if e.file == file] for file in predicted}
    reports = {
        file: measure([e.requests for e in gold[file]], [predicted[file][e.id] for e in gold[file]])
        for file in predicted
    }
    everything = [e for file in predicted for e in gold[file]]
    reports["pooled"] = measure(
        [e.requests for e in everything], [predicted[e.file][e.id] for e in everything]
    )
    return reports


def examples_of(corpus: Corpus, evaluation: Evaluation) -> list[Example]:
    """The labelled messages that *evaluation* has read, file by file."""
    by_file: dict[str, list[Example]] = {file: [] for file in evaluation.predicted}
    for example in corpus.examples:
        if example.file in by_file:
            by_file[example.file].append(example)
    return [example for examples in by_file.values() for example in examples]


def write_predictions(evaluation: Evaluation, folder: Path) -> None:
    """One file of predictions per corpus file, in the form of the corpora, with confidences."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, messages in evaluation.predicted.items():
        likely = evaluation.likely.get(file, {})
        lines = [
            json.dumps(
                {"id": key, "requests": list(_as_json(requests, likely.get(key, ())))},
                ensure_ascii=False,
            )
            for key, requests in messages.items()
        ]
        (folder / f"{file}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    about = {"made": datetime.now(UTC).isoformat(timespec="seconds"), **evaluation.about}
    (folder / _ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def read_predictions(folder: Path, corpus: Corpus) -> Evaluation:
    """The predictions in *folder*, measured against the labels of *corpus*.

    Files of the corpus that were not predicted are left out; a message that is missing from a
    predicted file is an error. Raises CorpusError.
    """
    predicted: dict[str, dict[str, Requests]] = {}
    likely: dict[str, dict[str, tuple[Likely, ...]]] = {}
    for file in corpus.files:
        path = folder / f"{file}.jsonl"
        if path.exists():
            found = dict(_read(path))
            wanted = [e.id for e in corpus.examples if e.file == file]
            if missing := [key for key in wanted if key not in found]:
                raise CorpusError(
                    f"{path}: no prediction for {len(missing)} messages, {missing[0]}"
                )
            predicted[file] = {key: found[key][0] for key in wanted}
            likely[file] = {key: found[key][1] for key in wanted}
    if not predicted:
        raise CorpusError(f"{folder}: no predictions; `models evaluate --out` writes them")
    return Evaluation(predicted, reports_of(corpus, predicted), likely, about_predictions(folder))


def about_predictions(folder: Path) -> dict[str, Any]:
    """What *folder* says about its predictions; empty where it says nothing."""
    try:
        about: dict[str, Any] = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about


def _as_json(requests: Requests, likely: Sequence[Likely]) -> Iterator[dict[str, object]]:
    for number, request in enumerate(requests):
        more: dict[str, object] = {"likely": likely[number]} if likely else {}
        found = {f.label for f in request.findings}
        sure = {name: request.confidence_in(name) for name in _TOLD_APART if name in found}
        yield {**request_fields(request), "confidence": request.confidence, "sure": sure, **more}


def _read(path: Path) -> Iterator[tuple[str, tuple[Requests, tuple[Likely, ...]]]]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                record = json.loads(line)
                requests = tuple(request_from(fields) for fields in record["requests"])
                likely = tuple(f["likely"] for f in record["requests"] if "likely" in f)
            except (ValueError, KeyError, TypeError) as error:
                raise CorpusError(f"{path}:{number}: not a prediction ({error})") from None
            yield record["id"], (requests, likely if len(likely) == len(requests) else ())


def request_from(fields: Mapping[str, Any]) -> Request:
    """The request that ``request_fields`` made *fields* of; a code it does not know is an error."""
    for name, allowed in CODES.items():
        if fields[name] not in allowed:
            raise ValueError(f"{name} {fields[name]!r}")
    known = {name: fields[name] for name in request_fields(Request(kind="other"))}
    known |= {name: tuple(fields[name]) for name in _LISTS}
    findings = tuple(
        Finding(name, "", None, "left-out", float(sure))
        for name, sure in fields.get("sure", {}).items()
    )
    return Request(**known, confidence=float(fields.get("confidence", 1.0)), findings=findings)
