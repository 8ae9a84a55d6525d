"""What more data would bring: the same files read by models of ever more messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from models.answers import answer
from models.heads import score
from models.measures import AIMS, measure
from models.train import train

if TYPE_CHECKING:
    import pandas as pd

    from models.corpus import Corpus
    from models.views import View

#: Every so manyeth file is held out; the others are what is learned from.
_HELD_OUT: Final = 4
#: Shares of the training files at the points of the curve.
SHARES: Final = (0.25, 0.5, 0.75, 1.0)


def learning_curve(
    corpus: Corpus,
    views: Sequence[View],
    *,
    seed: int,
    shares: Sequence[float] = SHARES,
    tell: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """A row per share: ``files, messages`` learned from and the measures on the files held out.

    Held out are files that figures are told of, learned from is any other; no fewer than two files.
    The linear models alone: one to two minutes for each training.
    """
    import pandas as pd

    held_out = corpus.tested[::_HELD_OUT]
    others = [file for file in corpus.files if file not in held_out]
    rows = []
    for size in sorted({max(round(share * len(others)), 2) for share in shares}):
        tell(f"learning from {size} files")
        learned = _only(corpus, others[:size])
        model = train(learned, _views(corpus, views, others[:size]), seed=seed)
        asked = _views(corpus, views, held_out)
        answers = answer(model.decisions, asked, score(model.heads, asked), "left-out")
        report = measure([e.requests for e in _only(corpus, held_out).examples], answers)
        shown = {name: report[name] for name in AIMS if name in report}
        rows.append({"files": size, "messages": len(learned.examples), **shown})
    return pd.DataFrame(rows)


def extrapolate(points: pd.DataFrame, name: str, messages: int) -> float:
    """What measure *name* would be with so many *messages*, if its error keeps falling as it did.

    A power law through the points (Hestness et al. 2017, "Deep learning scaling is predictable,
    empirically"). Optimistic where labels are noisy: no error falls below that noise.
    """
    error = np.maximum(1 - points[name].to_numpy(dtype=np.float64), 1e-6)
    slope, level = np.polyfit(
        np.log(points["messages"].to_numpy(dtype=np.float64)), np.log(error), 1
    )
    return 1 - float(np.exp(level + min(slope, 0.0) * np.log(messages)))


def _only(corpus: Corpus, files: Sequence[str]) -> Corpus:
    return replace(corpus, examples=tuple(e for e in corpus.examples if e.file in files))


def _views(corpus: Corpus, views: Sequence[View], files: Sequence[str]) -> list[View]:
    return [v for e, v in zip(corpus.examples, views, strict=True) if e.file in files]
