"""Where a message turns from one request to another: rules and transformer together, by sentence.

The rules know lists, ordinals, session ids and separate matters, and are seldom wrong where they
see several requests. Where they see one, a small decision weighs for each sentence of the text what
the transformer makes of it and what the rules notice, and the message is split there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.corpus import Example
from models.decisions import Decision, fit_decision
from models.encoder import margins
from models.evidence import SAY_COLUMN
from models.features import Floats, Ints
from models.heads import KIND_SIGNALS, SPLITS
from models.targets import turn_targets
from models.views import View
from triage.grouping import group
from triage.turns import OPENINGS, Turns, openings

_ASKS: Final = [SAY_COLUMN[signal] for signal in KIND_SIGNALS]
YES_OR_NO: Final = ("false", "true")
#: A message is split from here on: its words were learned from supplements, where several requests
#: in a message are far commoner than in mail (docs/decisions.md).
_LIKELY: Final = 0.7


@dataclass(frozen=True, slots=True)
class Turning:
    """The decisions whether a sentence opens another request, and whether it names several."""

    opens: Decision
    many: Decision


def turned(turning: Turning, view: View, said: Mapping[str, Floats]) -> View:
    """*view* split where *turning* says, or as the rules have split it.

    *said* is what the transformer says of its sentences, logits by head.
    """
    if len(view.groups) > 1:
        return view
    features = turn_features(view, said)
    found = [
        np.exp(decision.log_probabilities(features)[:, 1])
        for decision in (turning.opens, turning.many)
    ]
    return _split(view, *found)


def _split(view: View, opens: Floats, many: Floats) -> View:
    turns = Turns(_likely(opens), _likely(many))
    return replace(view, groups=group(view.reading, view.mentions, turns))


def _likely(values: Floats) -> frozenset[int]:
    return frozenset(np.flatnonzero(values >= _LIKELY).tolist())


def rightly_split(example: Example, view: View) -> View:
    """*view* split as its labels say; by the rules where they alone come to as many requests."""
    wanted = np.nan_to_num(turn_targets(example, view))
    split = _split(view, wanted[:, 0], wanted[:, 1])
    by_labels, by_rules = len(split.groups), len(view.groups)
    return view if by_rules == len(example.requests) != by_labels else split


def turn_features(view: View, said: Mapping[str, Floats]) -> Floats:
    """What bears on each sentence's turning: the transformer there and before it, and the rules.

    *said* holds the transformer's logits of the sentences, by head. What the sentence asks for is
    set beside what was asked for before: a second ask is more often another request's.
    """
    turns = margins(said["turns"], exclusive=False)
    noticed = openings(view.reading, view.mentions)
    rules = np.asarray(noticed, dtype=np.float32).reshape(len(turns), len(OPENINGS))
    asks = margins(said["says"][:, _ASKS], exclusive=False)
    asked = _before(np.maximum.accumulate(asks, axis=0))
    told = [turns, _before(turns), _loudest_other(turns), asks, asked, asks * asked]
    return np.hstack([*told, rules, rules * turns[:, :1]])


def _before(rows: Floats) -> Floats:
    """For each sentence the row of the one before it."""
    silence = np.full((1, rows.shape[1]), -1, np.float32)
    found: Floats = np.vstack([silence, rows[:-1]])[: len(rows)]
    return found


def _loudest_other(said: Floats) -> Floats:
    """How loudly any other sentence of the message says that it opens a request."""
    opens = said[:, 0]
    ranked = np.sort(np.append(opens, (-1.0, -1.0)))[::-1]
    found: Floats = np.where(opens >= ranked[0], ranked[1], ranked[0]).astype(np.float32)
    return found[:, None]


def learn_turning(
    examples: Sequence[Example],
    views: Sequence[View],
    said: Sequence[Mapping[str, Floats]],
    blocks: Ints,
    *,
    seed: int,
) -> tuple[Turning, list[View]]:
    """The decisions, and each view split by decisions that had not seen its block of files.

    They learn from messages in which the rules see one request, for only there they are asked.

    *said* is what transformers that had not seen the message say of its sentences, logits by head;
    *blocks* the block of each.
    """
    features = np.concatenate([turn_features(v, s) for v, s in zip(views, said, strict=True)])
    wanted = np.concatenate([turn_targets(e, v) for e, v in zip(examples, views, strict=True)])
    counts = [len(view.reading.sentences) for view in views]
    wanted[np.repeat([len(view.groups) > 1 for view in views], counts)] = np.nan
    rows = np.repeat(blocks, counts)
    fitted = [
        fit_decision(YES_OR_NO, features, _numbers(wanted[:, place]), rows, seed=seed)
        for place in range(len(SPLITS))
    ]
    unseen = [np.exp(log_probabilities[:, 1]) for _, log_probabilities in fitted]
    ends = np.cumsum(counts)[:-1]
    parts = zip(*(np.split(found, ends) for found in unseen), strict=True)
    split = [
        view if len(view.groups) > 1 else _split(view, *found)
        for view, found in zip(views, parts, strict=True)
    ]
    return Turning(*(decision for decision, _ in fitted)), split


def _numbers(wanted: Floats) -> Ints:
    return np.where(np.isnan(wanted), -1, wanted).astype(np.int64)
