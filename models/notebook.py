"""What the notebooks start from: the corpora, left-out predictions, stored cases.

Two environment variables: ``FIT_TRIAGE_NOTEBOOK_MESSAGES`` takes so many messages of the first
three files alone (for a quick look, and in the tests), ``FIT_TRIAGE_FRAME`` names what
``fit-triage models frame`` wrote.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.corpus import Corpus, load_corpus
from models.gates import EVALUATION
from models.predictions import Evaluation, read_predictions
from models.registry import RELEASED, releases
from models.slices import length, reading_level, typing
from triage.labels import CODE_SETS, CODES

if TYPE_CHECKING:
    import pandas as pd

MESSAGES: Final = "FIT_TRIAGE_NOTEBOOK_MESSAGES"
FRAME: Final = "FIT_TRIAGE_FRAME"
_FILES: Final = 3
#: Of a quick look's sentence banks every so manyeth line is kept.
_THINNED: Final = 20


def corpus_to_explore() -> Corpus:
    """The corpora, or the part of them that ``FIT_TRIAGE_NOTEBOOK_MESSAGES`` asks for."""
    corpus = load_corpus()
    most = int(os.environ.get(MESSAGES, "0"))
    if not most:
        return corpus
    seen: Counter[str] = Counter()
    kept = []
    for example in corpus.examples:
        seen[example.file] += 1
        if example.file in corpus.tested[:_FILES] and seen[example.file] <= most:
            kept.append(example)
    return replace(corpus, examples=tuple(kept), sentences=corpus.sentences[::_THINNED])


def kept_evaluation(corpus: Corpus, folder: Path = RELEASED) -> Evaluation:
    """The left-out predictions of the newest release that keeps any, on the messages of *corpus*.

    Raises CorpusError where no release keeps any.
    """
    for manifest in reversed(releases(folder)):
        if (folder / manifest.version / EVALUATION).is_dir():
            return read_predictions(folder / manifest.version / EVALUATION, corpus)
    return read_predictions(folder, corpus)


def examples_frame(corpus: Corpus) -> pd.DataFrame:
    """A row per labelled request: where it stands, its message's traits, and every code.

    Sets are tuples, so that ``explode`` gives a row per code.
    """
    import pandas as pd

    rows = [
        {
            "file": example.file,
            "id": example.id,
            "role": example.role,
            "requests": len(example.requests),
            "words": len(example.email.new_text.split()),
            "length": length(example),
            "reading level": reading_level(example),
            "typing": typing(example),
            "doubted": example.doubted,
            **{name: getattr(request, name) for name in (*CODES, *CODE_SETS)},
        }
        for example in corpus.examples
        for request in example.requests
    ]
    return pd.DataFrame(rows)


def stored_cases_frame() -> pd.DataFrame:
    """What ``FIT_TRIAGE_FRAME`` names, Parquet or CSV; an empty frame where it names nothing."""
    import pandas as pd

    path = os.environ.get(FRAME, "")
    if not path:
        return pd.DataFrame()
    return pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path)
