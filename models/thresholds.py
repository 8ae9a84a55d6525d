"""From which confidence on the machine is believed: thresholds with a stated bound on the error.

What an error costs, in needless checks, is a table. An error that costs n checks may be made in one
of n released cases at most; the lowest threshold that keeps this bound with 95 % confidence is
found by *learn then test* (Angelopoulos, Bates, Candès, Jordan and Lei 2021, arXiv:2110.01052) as
MAPIE implements it, on left-out predictions. Where no threshold keeps the bound, nothing of that
sort is released: that is an answer too.

The bound holds for requests like those of the corpora, drawn one by one. Several requests of one
writer are more alike than that, and mail of another time may differ: the figure is a floor under
care, not a substitute for looking.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from triage.matter import Thresholds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from models.corpus import Corpus
    from models.predictions import Evaluation, Likely
    from triage.records import Request

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

#: As ``models.registry`` has it, whose import is too heavy for a run that finds no news.
_RELEASED: Final = Path(__file__).parent / "released"
#: A threshold that no confidence reaches: nothing is released.
NEVER: Final = 2.0
#: How sure it must be that the bound holds.
SURE: Final = 0.95
#: Thresholds tried: so many, each releasing about as many requests more than the one before.
_STEPS: Final = 40
#: The sequence of tests is begun at so many places: one error at the very top must not end it all.
_STARTS: Final = 4
#: Kinds whose notification is not labelled.
_BARE: Final = frozenset(("withdrawal", "other"))


@dataclass(frozen=True, slots=True)
class Cost:
    """What one error is worth in needless checks, and why."""

    error: str
    checks: int
    why: str

    @property
    def bound(self) -> float:
        """The share of errors up to which releasing costs less than checking."""
        return 1 / self.checks


COSTS: Final[Mapping[str, Cost]] = {
    "check": Cost("a needless check", 1, "a colleague reads a message and agrees: a minute or two"),
    "kind": Cost(
        "the wrong kind, routed unseen",
        20,
        "the work lies in a queue where nobody looks for it, perhaps until the session was held",
    ),
    "told": Cost(
        "a false clear",
        12,
        "one click then cancels a session that the client knows nothing of, or whose reasons they"
        " never heard; whoever clicks still sees the words it rests on",
    ),
    "session": Cost(
        "the wrong session",
        40,
        "another client's session is cancelled, and that client is written to",
    ),
    "urgent": Cost(
        "danger unseen",
        20,
        "hours in which somebody's life may be at stake: it is read with the rest of its queue"
        " instead of first. From 1 in 10 on, 18 of 146 went unseen in supplements left out; from"
        " 1 in 20 on, 8, for 51 of 6,087 more looked at in vain",
    ),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """Answers of one sort: how sure each was, and whether it was right."""

    sure: Floats
    right: Bools


@dataclass(frozen=True, slots=True)
class Found:
    """The threshold of one decision, and what it does on the left-out predictions.

    ``threshold`` is NEVER where none keeps ``bound``, and None where the predictions do not tell.
    ``error`` is the share of wrong among the ``released``.
    """

    decision: str
    cost: int
    bound: float
    threshold: float | None
    answers: int
    released: float
    error: float
    why: str

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def lowest_threshold(sample: Sample, bound: float, *, sure: float = SURE) -> float:
    """The lowest threshold at which at most *bound* of what is released is wrong; else NEVER.

    That it holds for more answers of the same kind is *sure*: over many samples, at most one in
    twenty yields a threshold that does not keep the bound. Too few answers yield NEVER.
    """
    import numpy as np
    from mapie.risk_control import BinaryClassificationController
    from mapie.risk_control.fwer_control import FWERFixedSequenceTesting

    tried = _tried(sample.sure, bound, sure)
    if not len(tried):
        return NEVER
    controller = BinaryClassificationController(
        predict_function=lambda given: np.column_stack([1 - given, given]),
        risk="precision",
        target_level=1 - bound,
        confidence_level=sure,
        list_predict_params=tried,
        fwer_method=FWERFixedSequenceTesting(n_starts=min(_STARTS, len(tried))),
    )
    with warnings.catch_warnings():  # it warns where no threshold holds: here that is an answer
        warnings.simplefilter("ignore", UserWarning)
        controller.calibrate(sample.sure, sample.right.astype(int))
    held = np.asarray(controller.valid_predict_params, dtype=np.float64)
    return float(held.min()) if len(held) else NEVER


def _tried(given: Floats, bound: float, sure: float) -> Floats:
    """Thresholds to try, strictest first. They look at how sure the answers are, never at whether
    they are right, so that the tests stay honest.

    The strictest releases just enough that a spotless record could pass.
    """
    import numpy as np

    enough = int(np.ceil(np.log((1 - sure) / _STARTS) / np.log(1 - bound)))
    if len(given) < enough:
        return np.empty(0)
    counts = np.unique(np.linspace(enough, len(given), _STEPS).astype(int))
    descending = np.sort(given)[::-1]
    return np.unique(descending[counts - 1])[::-1]


def fit(corpus: Corpus, evaluation: Evaluation) -> list[Found]:
    """The threshold of each decision, from left-out predictions; see ``COSTS``."""
    from models.measures import pair
    from models.predictions import examples_of

    pairs: list[_Pair] = []
    for example in examples_of(corpus, evaluation):
        read = evaluation.predicted[example.file][example.id]
        likely = evaluation.likely.get(example.file, {}).get(example.id, ())
        known = {id(r): one for r, one in zip(read, likely, strict=False)}
        pairs += [
            _Pair(gold, now, known.get(id(now), {}) if len(likely) == len(read) else {})
            for gold, now in pair(example.requests, read)
        ]
    return [
        *(_bounded(name, judged, pairs) for name, judged in _JUDGED.items()),
        _urgent(pairs),
    ]


@dataclass(frozen=True, slots=True)
class _Pair:
    labelled: Request | None
    read: Request | None
    likely: Likely


def _kind(one: _Pair) -> tuple[float, bool] | None:
    if one.read is None:
        return None
    return one.read.confidence, one.labelled is not None and one.labelled.kind == one.read.kind


def _told(one: _Pair) -> tuple[float, bool] | None:
    """What the rules let through: only ``discussed`` is, and it is wrong if it was anything else.

    A fit request that is none is wrong by its kind, not here.
    """
    read = one.read
    if read is None or read.client_notification != "discussed":
        return None
    sure = _sure_of(one, "client_notification", "discussed")
    if sure is None or (one.labelled and one.labelled.kind in _BARE):
        return None
    right = one.labelled is not None and one.labelled.client_notification == "discussed"
    return sure, right


def _session(one: _Pair) -> tuple[float, bool] | None:
    read = one.read
    stated = read is not None and any(f.label == "session_ids" for f in read.findings)
    if read is None or not read.session_ids or not stated:
        return None
    right = one.labelled is not None and set(read.session_ids) <= set(one.labelled.session_ids)
    return read.confidence_in("session_ids"), right


def _sure_of(one: _Pair, field: str, code: str) -> float | None:
    if one.read is not None and any(f.label == field for f in one.read.findings):
        return one.read.confidence_in(field)
    return one.likely.get(field, {}).get(code)


_JUDGED: Final[Mapping[str, Callable[[_Pair], tuple[float, bool] | None]]] = {
    "kind": _kind,
    "told": _told,
    "session": _session,
}


def _bounded(
    name: str, judged: Callable[[_Pair], tuple[float, bool] | None], pairs: Sequence[_Pair]
) -> Found:
    import numpy as np

    rows = [row for row in map(judged, pairs) if row is not None]
    cost = COSTS[name]
    if not rows:
        return Found(name, cost.checks, cost.bound, None, 0, 0.0, 0.0, "not in these predictions")
    sample = Sample(np.asarray([s for s, _ in rows]), np.asarray([r for _, r in rows]))
    threshold = lowest_threshold(sample, cost.bound)
    kept = sample.sure >= threshold
    error = float(1 - sample.right[kept].mean()) if kept.any() else 0.0
    why = "the bound holds" if threshold < NEVER else "no threshold keeps the bound"
    return Found(
        name, cost.checks, cost.bound, threshold, len(rows), float(kept.mean()), error, why
    )


def _urgent(pairs: Sequence[_Pair]) -> Found:
    """Danger is answered wherever it costs less to look than not to; no bound, but the measure.

    ``released`` is the share answered urgent, ``error`` that of urgent ones missed.
    """
    cost = COSTS["urgent"]
    labelled = [p for p in pairs if p.labelled is not None and p.labelled.risk == "urgent"]
    missed = sum(p.read is None or p.read.risk != "urgent" for p in labelled)
    read = [p.read for p in pairs if p.read is not None]
    said = sum(r.risk == "urgent" for r in read)
    why = f"{missed} of {len(labelled)} missed, {said - len(labelled) + missed} looked at in vain"
    return Found(
        "urgent", cost.checks, cost.bound, cost.bound, len(labelled),
        said / max(len(read), 1), missed / max(len(labelled), 1), why,
    )  # fmt: skip


def certainty(found: Sequence[Found]) -> dict[str, float]:
    """What a release records: the thresholds that the policy goes by."""
    asked = ("kind", "told", "session")
    return {f.decision: f.threshold for f in found if f.decision in asked and f.threshold}


def released(version: str = "", folder: Path = _RELEASED, *, fast: bool = False) -> Thresholds:
    """The thresholds that release *version*, or the promoted one, has recorded.

    The numbers of ``Thresholds`` stand for what it has not, and for a release that cannot be read:
    the reader, which looks at it more closely, says what is wrong with it. Recorded is what holds
    for the thorough reading; with *fast*, no threshold is below those numbers.
    """
    try:
        name = version or (folder / "PROMOTED").read_text(encoding="utf-8").strip()
        manifest = json.loads((folder / name / "manifest.json").read_text(encoding="utf-8"))
        recorded = Thresholds(**manifest.get("certainty", {}))
    except (OSError, ValueError, TypeError, AttributeError):
        return Thresholds()
    if not fast:
        return recorded
    plain = Thresholds()
    return Thresholds(
        kind=max(plain.kind, recorded.kind),
        told=max(plain.told, recorded.told),
        session=max(plain.session, recorded.session),
    )
