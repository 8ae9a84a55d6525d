"""All that bears on each request of a batch, lined up before anything is decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.features import Floats, Ints
from models.heads import MARKS, SIGNALS, Scores

if TYPE_CHECKING:
    from models.views import View
    from triage.detectors import Mention
    from triage.grouping import Group

#: Columns of the ``says`` and ``marks`` heads by signal, such as "fit_reasons:availability".
SAY_COLUMN: Final = {name: place for place, name in enumerate(SIGNALS)}
MARK_COLUMN: Final = {name: place for place, name in enumerate(MARKS)}
#: How much louder a sentence is that says it with a margin of one.
_LOUDNESS: Final = 3.0
_CONTEXTS: Final = (
    "negated", "own_practice", "wanted", "other_person", "past", "masked", "hypothetical",
)  # fmt: skip
#: What a sentence with a phrase may say besides, and so tell whose approach it is.
_AROUND: Final = [
    SAY_COLUMN[f"{name}:{value}"]
    for name, value in (
        ("fit_reasons", "approach_mismatch"),
        ("fit_reasons", "outside_competence"),
        ("fit_reasons", "client_preference"),
        ("alternatives_requested", "true"),
        ("kind", "cancellation"),
        ("kind", "referral"),
    )
]
_OF_SENTENCES: Final = ("told", "says", "turns")
_WHOLE: Final = ("kind", "stage", "told_overall", "marks", "count", "split")
_SILENCE: Final = -1.2  # what most sentences score for most labels
_OFFICE_HOURS: Final = range(9, 18)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a batch of requests, one row each, before anything is decided."""

    owner: Ints  # message of each request
    best: Mapping[str, Floats]  # sentence heads: the highest score among the request's sentences
    where: Mapping[str, Ints]  # sentence heads: the sentence row that scored it
    said_at_all: Floats  # told head: how much all sentences together say each class
    telling: (
        Floats  # told head: the loudest sentence, the runners-up, what is said of this one alone
    )
    alone: Floats  # says head: the highest score among sentences of no other request
    whole: Mapping[str, Floats]  # request heads: scores as they are
    noticed: Floats  # requests x MARKS x (clean, contexts…): mentions, damped
    spoken: Floats  # requests x MARKS x …: what the sentence of the best phrase says besides
    plain: Floats  # length, reply, ids, time to the session, …
    deep: Evidence | None = None  # the same by the transformer's scores, where there are any


def gather(views: Sequence[View], scores: Scores) -> Evidence:
    """Line up everything that bears on each request of *views*."""
    rows, starts = _sentence_rows(views, scores)
    best, where = {}, {}
    heads = [name for name in _OF_SENTENCES if name in scores.by_head]
    margins = {name: _with_silence(scores.by_head[name]) for name in heads}
    for name, values in margins.items():
        best[name], where[name] = _best(values, rows, starts)
    loudness = np.exp(_LOUDNESS * margins["told"])[rows]
    groups = [(view, group) for view in views for group in view.groups]
    return Evidence(
        owner=np.repeat(np.arange(len(views)), [len(view.groups) for view in views]),
        best=best,
        where=where,
        said_at_all=np.log(np.add.reduceat(loudness, starts, axis=0)),
        telling=_telling(views, margins["told"], rows, starts),
        alone=_alone(views, scores, best["says"]),
        whole={name: scores.by_head[name] for name in _WHOLE if name in scores.by_head},
        noticed=np.stack([_noticed(group.mentions) for _, group in groups]),
        spoken=_spoken(views, scores),
        plain=np.asarray([_plain(view, group) for view, group in groups], dtype=np.float32),
        deep=None if scores.deep is None else gather(views, scores.deep),
    )


def _sentence_rows(views: Sequence[View], scores: Scores) -> tuple[Ints, Ints]:
    """Sentence rows of all requests in a row, and where each request starts.

    A request without sentences has the row after the last: silence.
    """
    silence = int(scores.rows[-1])
    rows: list[int] = []
    starts: list[int] = []
    for number, view in enumerate(views):
        base = int(scores.rows[number])
        for group in view.groups:
            starts.append(len(rows))
            rows.extend([base + index for index in group.sentences] or [silence])
    return np.asarray(rows, dtype=np.int64), np.asarray(starts, dtype=np.int64)


def _with_silence(margins: Floats) -> Floats:
    """The sentences' margins and, as a last row, those of nothing said."""
    return np.vstack([margins, np.full((1, margins.shape[1]), _SILENCE, dtype=np.float32)])


def _best(values: Floats, rows: Ints, starts: Ints) -> tuple[Floats, Ints]:
    gathered = values[rows]
    best = np.maximum.reduceat(gathered, starts, axis=0)
    ends = np.append(starts[1:], len(rows))
    where = np.stack(
        [
            rows[start + gathered[start:end].argmax(axis=0)]
            for start, end in zip(starts, ends, strict=True)
        ]
    )
    return best, where


def _telling(views: Sequence[View], told: Floats, rows: Ints, starts: Ints) -> Floats:
    """More on who was told, from all sentences of each request."""
    ends = np.append(starts[1:], len(rows))
    groups = [(view, group) for view in views for group in view.groups]
    return np.stack(
        [
            _telling_of(told[rows[start:end]], _own_sentences(view, group))
            for (view, group), start, end in zip(groups, starts, ends, strict=True)
        ]
    )


def _telling_of(told: Floats, own: Sequence[int]) -> Floats:
    """*own* are the sentences, counted from the request's first, that concern no other request."""
    margins = told[:, :-1] - told[:, -1:]  # over "unknown", the last label
    loudest = margins.max(axis=1)
    top = int(loudest.argmax())
    ranked = np.sort(margins, axis=0)
    second = ranked[-2] if len(ranked) > 1 else np.full(margins.shape[1], -2.0)
    counts = [
        top / max(len(told) - 1, 1),
        (loudest > 0).sum(),
        (loudest > -0.5).sum(),
        loudest[top],
    ]
    alone = told[list(own), :-1].max(axis=0) if own else told[:, :-1].max(axis=0)
    found: Floats = np.concatenate([told[top], second, counts, alone]).astype(np.float32)
    return found


def _alone(views: Sequence[View], scores: Scores, best: Floats) -> Floats:
    """As *best*, but from sentences that concern no other request of the message."""
    alone = best.copy()
    row = 0
    for base, view in zip(scores.rows, views, strict=False):
        for group in view.groups:
            if len(view.groups) > 1:
                own = _own_sentences(view, group)
                rows = [int(base) + group.sentences[place] for place in own]
                found = scores.by_head["says"][rows]
                alone[row] = found.max(axis=0) if rows else _SILENCE
            row += 1
    return alone


def _own_sentences(view: View, group: Group) -> list[int]:
    if len(view.groups) == 1:
        return []
    shared = Counter(index for other in view.groups for index in other.sentences)
    return [place for place, index in enumerate(group.sentences) if shared[index] == 1]


def _noticed(mentions: Sequence[Mention]) -> Floats:
    counts = np.zeros((len(MARKS), 1 + len(_CONTEXTS)), dtype=np.float32)
    for mention in mentions:
        place = MARK_COLUMN.get(f"{mention.label}:{mention.value}")
        if place is None:
            continue
        flags = mention.flags
        if mention.counts:
            counts[place, 0] += 1
        for column, context in enumerate(_CONTEXTS, 1):
            counts[place, column] += context in flags
    return np.log1p(counts)


def _spoken(views: Sequence[View], scores: Scores) -> Floats:
    """For each mark whose phrase the rules found: how its best sentence scores, and where it is."""
    says = scores.by_head["says"]
    count = sum(len(view.groups) for view in views)
    spoken = np.zeros((count, len(MARKS), len(_AROUND) + 6), dtype=np.float32)
    spoken[:, :, 0] = _SILENCE
    row = 0
    for base, view in zip(scores.rows, views, strict=False):
        for group in view.groups:
            for mention in group.mentions:
                mark = f"{mention.label}:{mention.value}"
                place = MARK_COLUMN.get(mark)
                if place is None or not mention.counts:
                    continue
                margins = says[base + mention.sentence]
                margin = margins[SAY_COLUMN[mark]]
                if spoken[row, place, -1] and margin <= spoken[row, place, 0]:
                    continue
                several = float(" " in mention.span.text)
                where = mention.sentence / len(view.reading.sentences)
                shared = sum(mention.sentence in other.sentences for other in view.groups) > 1
                context = [float(mention.sentence == 0), several, where, float(shared), 1.0]
                spoken[row, place] = [margin, *margins[_AROUND], *context]
            row += 1
    return spoken


def _plain(view: View, group: Group) -> list[float]:
    email = view.reading.email
    text = view.reading.folded["new_text"].text
    subject = view.reading.folded["subject"].text.strip().lower()
    sent = email.sent_at
    time = _hours_ahead(view, group)
    return [
        float(bool(email.in_reply_to) or subject.startswith("re:")),
        float(bool(email.quoted_text.strip())),
        float(subject.startswith(("fw:", "fwd:"))),
        float(len(view.groups) > 1),
        np.log1p(len(" ".join(text.split()))) - 6.0,  # blank lines say nothing
        float(text.count("?") > 0),
        float(bool(group.session_ids)),
        float(sent.weekday() > 4 or sent.hour not in _OFFICE_HOURS),
        float(time is None),
        float(time is not None and time < 0),
        float(time is not None and 0 <= time < 3),
        float(time is not None and 3 <= time < 24),
    ]


def _hours_ahead(view: View, group: Group) -> float | None:
    """Hours from sending to the session; the whole of a day counts as its evening."""
    from datetime import datetime

    when = group.session_time
    if when is None:
        return None
    moment = datetime.fromisoformat(when if "T" in when else f"{when}T21:00")
    sent = view.reading.email.sent_at.replace(tzinfo=None)
    return (moment - sent).total_seconds() / 3600
