"""What confidence is worth: reliability, coverage against error, and what a threshold costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.measures import CALLS_FOR, CLEARED, pair
from models.predictions import Evaluation, examples_of
from models.slices import wilson

if TYPE_CHECKING:
    import pandas as pd

    from models.corpus import Corpus

_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Costs:
    """What handling one request costs, in minutes of the team's time or their like.

    A request that is not released goes to a person, right or wrong, for ``check``. One that is
    released wrongly costs ``wrong``. The defaults say that an error is worth ten checks.
    """

    check: float = 1.0
    wrong: float = 10.0


def reliability(answers: pd.DataFrame, bins: int = _BINS) -> pd.DataFrame:
    """By tenths of confidence: ``sure`` (mean), ``right`` (share), ``low``, ``high``, ``count``.

    *answers* is an ``answers_frame``; tenths in which nothing falls are left out.
    """
    import pandas as pd

    known = answers.dropna(subset="sure")
    place = (known["sure"].astype(float) * bins).astype(int).clip(upper=bins - 1)
    grouped = known.assign(right=known["right"].astype(float)).groupby(place)
    frame = grouped.agg(sure=("sure", "mean"), right=("right", "mean"), count=("right", "size"))
    limits = [wilson(r * n, n) for r, n in zip(frame["right"], frame["count"], strict=True)]
    bounds = pd.DataFrame(limits, columns=["low", "high"], index=frame.index)
    return frame.join(bounds).reset_index(drop=True)


def coverage(answers: pd.DataFrame) -> pd.DataFrame:
    """Releasing the surest first: ``threshold, coverage, error``, and ``error_high``.

    A row per distinct confidence, surest first. ``error_high`` is the upper end of the error's 95 %
    interval: the bound to look at before a threshold is chosen from few messages.
    """
    ranked = answers.dropna(subset="sure").sort_values("sure", ascending=False, kind="stable")
    ranked = ranked.assign(released=range(1, len(ranked) + 1), wrong=(~ranked["right"]).cumsum())
    last = ranked.groupby("sure", sort=False).last()
    frame = last.assign(
        threshold=last.index.astype(float),
        coverage=last["released"] / max(len(ranked), 1),
        error=last["wrong"] / last["released"],
        error_high=[wilson(w, n)[1] for w, n in zip(last["wrong"], last["released"], strict=True)],
    )
    columns = ["threshold", "coverage", "error", "error_high"]
    return frame[columns].reset_index(drop=True)


def released_at(answers: pd.DataFrame, error: float) -> float:
    """The largest share that can be released with at most *error* of it wrong."""
    curve = coverage(answers)
    allowed = curve[curve["error"] <= error]
    return float(allowed["coverage"].max()) if len(allowed) else 0.0


def costs(answers: pd.DataFrame, prices: Costs = Costs()) -> pd.DataFrame:
    """What each threshold costs per request: ``threshold, automated, wrong, cost``.

    Where everything is checked the cost is ``prices.check``; a threshold earns its keep below that.
    """
    curve = coverage(answers)
    wrong = curve["coverage"] * curve["error"]
    cost = (1 - curve["coverage"]) * prices.check + wrong * prices.wrong
    return curve.assign(automated=curve["coverage"], wrong=wrong, cost=cost)[
        ["threshold", "automated", "wrong", "cost"]
    ]


def cheapest(answers: pd.DataFrame, prices: Costs = Costs()) -> pd.Series:
    """The row of ``costs`` that costs least."""
    return costs(answers, prices).sort_values("cost", kind="stable").iloc[0]


def clearing(corpus: Corpus, evaluation: Evaluation) -> pd.DataFrame:
    """What taking a client as told costs and brings, by the probability asked for.

    ``threshold``, ``seen`` (share of told clients taken as told), ``false_clear`` (how many others
    are) and ``rate`` (of those others). Needs predictions that hold probabilities.
    """
    import pandas as pd

    told: list[float] = []
    others: list[float] = []
    for example in examples_of(corpus, evaluation):
        requests = evaluation.predicted[example.file][example.id]
        likely = evaluation.likely.get(example.file, {}).get(example.id, ())
        places = {id(request): number for number, request in enumerate(requests)}
        for gold, read in pair(example.requests, requests):
            if gold is not None and read is not None and likely and gold.kind in CALLS_FOR:
                by_class = likely[places[id(read)]].get("client_notification", {})
                sure = sum(by_class.get(name, 0.0) for name in CLEARED)
                (told if gold.client_notification in CLEARED else others).append(sure)
    rows = [
        {
            "threshold": round(float(threshold), 2),
            "seen": float(np.mean(np.asarray(told) >= threshold)) if told else 1.0,
            "false_clear": int(np.sum(np.asarray(others) >= threshold)),
            "rate": float(np.mean(np.asarray(others) >= threshold)) if others else 0.0,
        }
        for threshold in np.arange(0.05, 1.0, 0.05)
    ]
    return pd.DataFrame(rows)
