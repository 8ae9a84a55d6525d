"""Where a message turns from one request to another: rules and transformer together, by sentence.

The rules know lists, ordinals, session ids and separate matters. A small decision weighs for each
sentence of the text what the transformer makes of it and what the rules notice; of the ways to
split the message that come of it, ``models.splits`` chooses one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.corpus import Example
from models.decisions import YES_OR_NO, Decision, fit_decision
from models.encoder import Hear, as_it_is, margins
from models.features import Floats, Ints
from models.heads import SPLITS
from models.splits import ASKS, FIRST, Message, best, choice_among, ways
from models.targets import turn_targets
from models.views import View
from triage.grouping import group
from triage.turns import OPENINGS, Turns, openings

#: Without a ranking a message is split from here on: the decision learned from supplements, where
#: several requests in a message are far commoner than in mail (docs/decisions.md).
_LIKELY: Final = 0.7


@dataclass(frozen=True, slots=True)
class Turning:
    """The decisions whether a sentence opens another request, and whether it names several.

    ``ranking`` chooses among the ways to split a message that these make likely. Releases before
    0.8.0 have none: there the rules' split stands, and one request is split where a turn is likely.
    """

    opens: Decision
    many: Decision
    ranking: Decision | None = None


def turned(
    turning: Turning, view: View, said: Mapping[str, Floats], hear: Hear
) -> tuple[View, Mapping[str, Floats]]:
    """*view* split as *turning* finds likeliest, and what is said of its requests, logits by head.

    *said* is what the transformer says of its sentences and *hear* what it would say of requests.
    How much the split is in doubt is a further head where there is a ranking.
    """
    if turning.ranking is None and len(view.groups) > 1:
        return as_it_is(view, said, hear)
    noticed = noticed_in(view)
    features = turn_features(said, noticed)
    decisions = (turning.opens, turning.many)
    found = [np.exp(decision.log_probabilities(features)[:, 1]) for decision in decisions]
    if turning.ranking is None:
        return as_it_is(_split(view, *found), said, hear)
    message = Message(view, said, noticed, np.stack(found, axis=1))
    tried = ways(message)
    heard = [hear(groups) for groups in tried]
    chosen = FIRST
    if len(tried) > 1:
        chosen = best(turning.ranking, choice_among(message, tried, heard))
    split = replace(view, groups=tried[chosen.place])
    return split, {**heard[chosen.place], **doubted(split, chosen.doubt)}


def doubted(view: View, doubt: tuple[float, float]) -> dict[str, Floats]:
    """*doubt* about the split of *view* as logits of each request."""
    return {"split": np.full((len(view.groups), 2), doubt, np.float32)}


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


def noticed_in(view: View) -> Floats:
    """What the rules notice of each sentence: sentences x OPENINGS."""
    rows = openings(view.reading, view.mentions)
    return np.asarray(rows, dtype=np.float32).reshape(-1, len(OPENINGS))


def turn_features(said: Mapping[str, Floats], noticed: Floats) -> Floats:
    """What bears on each sentence's turning: the transformer there and before it, and the rules.

    *said* holds the transformer's logits of the sentences, by head; *noticed* what the rules know.
    What the sentence asks for is set beside what was asked for before: a second ask is more often
    another request's.
    """
    turns = margins(said["turns"], exclusive=False)
    asks = margins(said["says"][:, ASKS], exclusive=False)
    asked = _before(np.maximum.accumulate(asks, axis=0))
    told = [turns, _before(turns), _loudest_other(turns), asks, asked, asks * asked]
    return np.hstack([*told, noticed, noticed * turns[:, :1]])


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


def learn_turns(
    examples: Sequence[Example],
    views: Sequence[View],
    said: Sequence[Mapping[str, Floats]],
    blocks: Ints,
    *,
    seed: int,
) -> tuple[Turning, list[Message]]:
    """The decisions where a message turns, and each message as such see it that had not seen it.

    *said* is what transformers that had not seen the message say of its sentences, logits by head;
    *blocks* the block of files that each is from.
    """
    noticed = [noticed_in(view) for view in views]
    features = np.concatenate([turn_features(s, n) for s, n in zip(said, noticed, strict=True)])
    wanted = np.concatenate([turn_targets(e, v) for e, v in zip(examples, views, strict=True)])
    counts = [len(rows) for rows in noticed]
    rows = np.repeat(blocks, counts)
    fitted = [
        fit_decision(YES_OR_NO, features, _numbers(wanted[:, place]), rows, seed=seed)
        for place in range(len(SPLITS))
    ]
    unseen = np.stack([np.exp(left_out[:, 1]) for _, left_out in fitted], axis=1)
    parts = np.split(unseen, np.cumsum(counts)[:-1])
    messages = [Message(*each) for each in zip(views, said, noticed, parts, strict=True)]
    return Turning(*(decision for decision, _ in fitted)), messages


def _numbers(wanted: Floats) -> Ints:
    return np.where(np.isnan(wanted), -1, wanted).astype(np.int64)
