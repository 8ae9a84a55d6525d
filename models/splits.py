"""Which of several ways to split a message into requests is the right one.

Sentence by sentence one sees where a message may turn; whether it does shows when what comes of it
is read: does each part ask for something of its own, of a client of its own? So each way that is
worth a look is read by the layers upon requests, and a linear decision ranks them, learned from
pairs of a right and a wrong way of the same message (pairwise ranking, Joachims 2002).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np

from models.corpus import Example
from models.decisions import YES_OR_NO, Decision, fit_softmax, log_odds
from models.encoder import margins
from models.evidence import SAY_COLUMN
from models.features import Floats, Ints
from models.heads import COUNTS, KIND_SIGNALS, TURNS
from models.views import View, pair_groups
from triage.grouping import Group, group
from triage.labels import KINDS, NOTIFICATIONS
from triage.turns import OF_MESSAGE, Turns

Groups = tuple[Group, ...]  # the requests that one way of splitting comes to

ASKS: Final = [SAY_COLUMN[signal] for signal in KIND_SIGNALS]
#: A sentence is no turn worth a look below this probability, nor are more than so many of them.
_LEAST: Final = 0.02
_MOST: Final = 6
#: Scikit-learn's C of the ranking; a third and three times as much are as good.
_STRENGTH: Final = 0.03
#: What rules tell apart is joined only where that is likelier by so much, in log odds: two clients
#: taken for one are worse than one client's mail seen twice. Measured in docs/decisions.md.
_TO_JOIN: Final = 1.0
#: Log odds of another way where there is none.
SURE: Final = -12.0
#: The margin of what no sentence says.
_SILENT: Final = -2.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message before it is split: how the rules see it, and what was made of its sentences.

    ``said`` holds the transformer's logits by head, ``noticed`` the rules' ``openings``, both a row
    for each sentence; ``likely`` is how likely each opens a request, and names several: x 2.
    """

    view: View
    said: Mapping[str, Floats]
    noticed: Floats
    likely: Floats


def ways(message: Message) -> list[Groups]:
    """Ways to split *message*, that of the rules first and always one that does not split at all.

    The likeliest turn is tried alone, then with the next, and so on; where the rules see several
    requests, with and without their turns, and theirs without one of them. Ways that come to the
    same sentences are one.
    """
    view = message.view
    by_rules = frozenset(_starts(view.groups))
    turns = _ranked(message.likely)
    tried = [turns[:count] for count in range(len(turns) + 1)]
    found = [_split(view, some) for some in tried]
    if by_rules:
        rules = [(sentence, 0) for sentence in by_rules]
        found += [_split(view, [*some, *rules]) for some in tried[1:]]
        found += [_split(view, [turn for turn in rules if turn != one]) for one in rules]
    return list({_key(groups): groups for groups in (view.groups, *found)}.values())


def _ranked(likely: Floats) -> list[tuple[int, int]]:
    """Sentence and column of the likeliest turns, those first."""
    every = product(range(len(likely)), range(likely.shape[1]))
    some = [place for place in every if likely[place] >= _LEAST]
    return sorted(some, key=lambda place: -likely[place])[:_MOST]


def _split(view: View, turns: Sequence[tuple[int, int]]) -> Groups:
    of_column = [{sentence for sentence, column in turns if column == n} for n in range(2)]
    return group(view.reading, view.mentions, Turns(*map(frozenset, of_column)))


def _key(groups: Groups) -> tuple[tuple[int, ...], ...]:
    return tuple(each.sentences for each in groups)


def _starts(groups: Groups) -> list[int]:
    """Where the second request begins, and each after it."""
    return sorted(min(each.own) for each in groups if each.own)[1:]


def way_features(message: Message, groups: Groups, heard: Mapping[str, Floats]) -> Floats:
    """What bears on *groups* being the right way to split *message*; *heard* is said of them.

    What is the same for all ways of a message tells nothing unless it is set against a split.
    """
    several = float(len(groups) > 1)
    blocks = (
        _sizes(message, groups, several),
        _turns_taken(message, groups, several),
        _named(groups, heard, several),
        _asks(groups, heard, several),
        _parts(message, groups, several),
    )
    found: Floats = np.concatenate(blocks).astype(np.float32)
    return found


def _sizes(message: Message, groups: Groups, several: float) -> Floats:
    count = len(groups)
    of_message = message.noticed[:, -len(OF_MESSAGE) :].max(axis=0, initial=0)
    by_rules = _key(groups) == _key(message.view.groups)
    lengths = [len(each.own) for each in groups]
    return np.asarray(
        [
            *(count == 2, count == 3, count > 3),
            *(by_rules * several, by_rules * (1 - several)),
            *(min(*lengths, 4), min(lengths) == 0),
            sum(each.aside for each in groups),
            *(several * of_message),
            *((count == 2) * of_message),
            several * min(len(message.said["says"]), 30) / 10,
        ],
        dtype=np.float32,
    )


def _turns_taken(message: Message, groups: Groups, several: float) -> Floats:
    """How likely the turns are at which the message is split, and those at which it is not."""
    odds = log_odds(message.likely)
    starts = _starts(groups)
    taken = odds.max(axis=1)[starts]
    first = min((min(each.own) for each in groups if each.own), default=0)
    left = np.sort(np.delete(odds.max(axis=1), [first, *starts]))[::-1]
    left = np.append(left, (-9.0, -9.0))[:2]
    many = odds[:, 1].max(initial=-9.0)
    cues = message.noticed[starts][:, : -len(OF_MESSAGE)]
    return np.concatenate(
        [
            [taken.min(initial=9.0) * several, taken.sum(), *left],
            [left[0] * (1 - several), many * (1 - several)],
            cues.mean(axis=0) if starts else np.zeros(cues.shape[1]),
            [np.diff([first, *starts]).min() if starts else 0],
            [starts[0] / len(odds) if starts else 0],
        ]
    )


def _named(groups: Groups, heard: Mapping[str, Floats], several: float) -> Floats:
    """Whether each request has a session or client of its own."""
    count = len(groups)
    names = [each.client_ref.lower() for each in groups if each.client_ref]
    ids = [bool(each.session_ids) for each in groups]
    alike = any(a != b and (a[:4] == b[:4] or a in b) for a, b in product(names, repeat=2))
    shared = any(len(each.session_ids) > 1 for each in groups)
    nameless = np.asarray([not (each.session_ids or each.client_ref) for each in groups])
    other = heard["kind"].argmax(axis=1) == KINDS.index("other")
    return np.asarray(
        [
            *(sum(ids) / count, all(ids) * several, shared, shared * (1 - several)),
            *(len({*names}) / count, (len({*names}) == count) * several),
            *(alike, len(names) != len({*names})),
            *(nameless.mean(), (nameless & ~other).sum()),
        ],
        dtype=np.float32,
    )


def _asks(groups: Groups, heard: Mapping[str, Floats], several: float) -> Floats:
    """What each request asks for, and whether it is one too many or another is missing."""
    kinds = margins(heard["kind"], exclusive=True)
    told = margins(heard["told_overall"], exclusive=True)
    counts = margins(heard["count"], exclusive=False)
    surest = kinds.max(axis=1)
    other = kinds[:, KINDS.index("other")]
    known = told[:, NOTIFICATIONS.index("unknown")] < 0
    beside = counts[:, COUNTS.index("beside")]
    spurious = counts[:, COUNTS.index("spurious")]
    return np.asarray(
        [
            *(surest.min(), surest.mean(), (other > 0).sum(), (other > 0).all() * several),
            *(other.max() - other.min(), len({*kinds.argmax(axis=1)}) - 1),
            *(known.sum() / len(groups), len({*told.argmax(axis=1)}) - 1),
            *(spurious.max(), spurious.mean(), beside.max(), beside.min()),
            beside.max() * (1 - several),
        ],
        dtype=np.float32,
    )


def _parts(message: Message, groups: Groups, several: float) -> Floats:
    """What the sentences of each request ask for, raise and tell by themselves."""
    asks = margins(message.said["says"][:, ASKS], exclusive=False)
    raises = margins(message.said["turns"][:, TURNS.index("raises") :], exclusive=False)
    unknown = margins(message.said["told"], exclusive=True)[:, NOTIFICATIONS.index("unknown") :]
    asked, raised, telling = (
        np.asarray([rows[list(each.own)].max(initial=_SILENT) for each in groups])
        for rows in (asks, raises, -unknown)
    )
    return np.asarray(
        [
            *(asked.min(), asked.min() * several, asked.max() - asked.min()),
            *(raised.max(), raised.min(), raised.max() * (1 - several)),
            *(telling.min(), (telling > 0).sum()),
        ],
        dtype=np.float32,
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """The ways to split one message as the ranking sees them, that of the rules first."""

    rows: Floats  # ways x features
    sizes: Ints  # how many requests each comes to


def choice_among(
    message: Message, tried: Sequence[Groups], heard: Sequence[Mapping[str, Floats]]
) -> Choice:
    """The ways *tried* of *message*; *heard* is what the transformer says of each, by head."""
    rows = [way_features(message, *each) for each in zip(tried, heard, strict=True)]
    return Choice(np.stack(rows), np.asarray([len(groups) for groups in tried]))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The way that was taken, by its place, and how likely a split further on or less far is.

    ``doubt`` is in log odds: the likeliest way with more requests over the one taken, and the
    likeliest with fewer.
    """

    place: int
    doubt: tuple[float, float]


#: Where there is but one way.
FIRST: Final = Chosen(0, (SURE, SURE))


def best(ranking: Decision, choice: Choice) -> Chosen:
    """Which way is likeliest right, of equals the first.

    Only how far ways lie apart means anything: their probabilities may all be next to 1.
    """
    odds = choice.rows @ (ranking.weights[:, 1] - ranking.weights[:, 0])
    place = int((odds - _TO_JOIN * (choice.sizes < choice.sizes[0])).argmax())
    others = (choice.sizes > choice.sizes[place], choice.sizes < choice.sizes[place])
    more, fewer = (float((odds[some] - odds[place]).max(initial=SURE)) for some in others)
    return Chosen(place, (more, fewer))


def is_right(example: Example, view: View, groups: Groups) -> bool:
    """Whether *groups* are as many as the labelled requests, each of them one of these."""
    pairs = pair_groups(replace(view, groups=groups), example.requests)
    return len(groups) == len(example.requests) == len(pairs)


def learn_ranking(
    choices: Sequence[Choice], right: Sequence[Sequence[bool]], weights: Floats, *, seed: int
) -> Decision:
    """The decision that ranks ways, from messages that have both right and wrong ones.

    *right* holds for each message whether each of its ways is right, *weights* how much it counts.
    """
    differences, counted = [], []
    for choice, good, weight in zip(choices, right, weights, strict=True):
        better, worse = choice.rows[np.asarray(good)], choice.rows[~np.asarray(good)]
        each = (better[:, None] - worse[None]).reshape(-1, choice.rows.shape[1])
        differences.append(each)
        counted.append(np.full(len(each), weight / max(1, len(better)) / 2, np.float32))
    above = np.concatenate(differences)
    wanted = np.repeat(np.asarray([1, 0]), len(above))
    features = np.concatenate([above, -above])
    return fit_softmax(
        YES_OR_NO, features, wanted, _STRENGTH, seed=seed, weights=np.concatenate([*counted] * 2)
    )


def learn_choice(
    choices: Sequence[Choice],
    right: Sequence[Sequence[bool]],
    weights: Floats,
    blocks: Ints,
    *,
    seed: int,
) -> tuple[Decision, list[Chosen]]:
    """The ranking, and for each message the way that one chooses which had not seen its block.

    *blocks* is the block of files that each message is from; for the rest see ``learn_ranking``.
    """
    chosen = [FIRST] * len(choices)
    for block in np.unique(blocks):
        rest = np.flatnonzero(blocks != block).tolist()
        ranking = learn_ranking(
            [choices[i] for i in rest], [right[i] for i in rest], weights[rest], seed=seed
        )
        for i in np.flatnonzero(blocks == block).tolist():
            chosen[i] = best(ranking, choices[i])
    return learn_ranking(choices, right, weights, seed=seed), chosen
