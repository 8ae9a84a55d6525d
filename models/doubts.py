"""Labels that are probably wrong, by confident learning (Northcutt, Jiang and Chuang 2021).

A label is doubted where models that never saw the message are sure of another one, measured against
how sure they usually are of that class. Works from left-out predictions with their probabilities;
cleanlab is an optional extra, ``pip install "fit-triage[data]"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.corpus import CorpusError
from models.extras import require
from models.measures import CALLS_FOR, pair
from models.predictions import Evaluation, Likely, examples_of
from triage.labels import CODE_SETS, CODES

if TYPE_CHECKING:
    import pandas as pd

    from models.corpus import Corpus, Example
    from triage.records import Request

_COLUMNS: Final = ("file", "id", "field", "labelled", "suggested", "quality", "doubted_before")
#: A code counts as suggested from this probability on.
_HELD: Final = 0.5

_Row = tuple["Example", "Request", Likely]


def doubts_frame(
    corpus: Corpus, evaluation: Evaluation, fields: Sequence[str] = (*CODES, *CODE_SETS)
) -> pd.DataFrame:
    """Doubted labels, the likeliest errors of each field first.

    Columns: ``file, id, field, labelled, suggested, quality`` (0..1, low is bad) and
    ``doubted_before``, whether a second reader had questioned that message.

    Raises:
        CorpusError: The predictions hold no probabilities.
        MissingExtraError: cleanlab is not installed.

    """
    import pandas as pd

    require("cleanlab")
    rows = list(_rows(corpus, evaluation))
    if not rows:
        raise CorpusError("these predictions hold no probabilities; make them with this version")
    found: list[tuple[Any, ...]] = []
    for name in fields:
        told = [row for row in rows if name in row[2]]
        asked = [r for r in told if name in {"kind", "risk"} or r[1].kind in CALLS_FOR]
        found += _single(asked, name) if name in CODES else _multiple(asked, name)
    return pd.DataFrame(found, columns=list(_COLUMNS))


def _rows(corpus: Corpus, evaluation: Evaluation) -> Iterator[_Row]:
    """Each labelled request that was read, with the probabilities of its reading."""
    for example in examples_of(corpus, evaluation):
        requests = evaluation.predicted[example.file][example.id]
        likely = evaluation.likely.get(example.file, {}).get(example.id, ())
        places = {id(request): number for number, request in enumerate(requests)}
        for gold, read in pair(example.requests, requests):
            if gold is not None and read is not None and likely:
                yield example, gold, likely[places[id(read)]]


def _single(rows: Sequence[_Row], name: str) -> Iterator[tuple[Any, ...]]:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    known = [c for c in CODES[name] if sum(getattr(r[1], name) == c for r in rows) > 1]
    rows = [row for row in rows if getattr(row[1], name) in known]
    if len(known) < 2:
        return
    labels = np.asarray([known.index(getattr(request, name)) for _, request, _ in rows])
    likely = np.asarray([[p.get(name, {}).get(c, 0.0) for c in known] for _, _, p in rows])
    likely = (likely + 1e-6) / (likely + 1e-6).sum(axis=1, keepdims=True)
    wrong = find_label_issues(labels, likely, n_jobs=1)
    quality = get_label_quality_scores(labels, likely)
    for place in sorted(np.flatnonzero(wrong).tolist(), key=lambda i: quality[i]):
        example = rows[place][0]
        labelled, suggested = known[labels[place]], known[int(likely[place].argmax())]
        score = round(float(quality[place]), 4)
        yield example.file, example.id, name, labelled, suggested, score, example.doubted


def _multiple(rows: Sequence[_Row], name: str) -> Iterator[tuple[Any, ...]]:
    from cleanlab.multilabel_classification.filter import find_label_issues
    from cleanlab.multilabel_classification.rank import get_label_quality_scores

    codes = [c for c in CODE_SETS[name] if sum(c in getattr(r[1], name) for r in rows) > 1]
    codes = [c for c in codes if c != "unspecified"]
    if not codes or not rows:
        return
    labels = [[codes.index(c) for c in getattr(r, name) if c in codes] for _, r, _ in rows]
    likely = np.asarray([[p.get(name, {}).get(c, 0.0) for c in codes] for _, _, p in rows])
    wrong = find_label_issues(labels, likely, n_jobs=1)
    quality = get_label_quality_scores(labels, likely)
    for place in sorted(np.flatnonzero(wrong).tolist(), key=lambda i: quality[i]):
        example, request, _ = rows[place]
        suggested = [c for c, p in zip(codes, likely[place], strict=True) if p >= _HELD]
        labelled = ";".join(sorted(getattr(request, name)))
        score = round(float(quality[place]), 4)
        yield example.file, example.id, name, labelled, ";".join(suggested), score, example.doubted
