"""How many requests a message holds, and which sentences belong to which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from triage.detectors.chosen_time import choose, is_likely_for, settled_for
from triage.detectors.mention import Mention
from triage.language import Reading
from triage.topics import Topic, counted_ids, sentences_about, topics_of
from triage.turns import Turns, topics_at, turns_by_session


@dataclass(frozen=True, slots=True)
class Group:
    """The part of a message that is about one client or ask.

    ``sentences`` are indices into ``reading.sentences``; a sentence said of several clients
    ("both have been told") is in each of their groups, as are the subject and the opening.
    ``own`` are those that belong to this group alone. ``mentions`` are those in ``sentences``,
    less those that name another group's client, session or time. ``aside`` marks a separate
    matter that is no fit request ("Separately, invoice …").
    """

    session_ids: tuple[str, ...]
    client_ref: str | None
    session_time: str | None
    sentences: tuple[int, ...]
    mentions: tuple[Mention, ...]
    own: tuple[int, ...] = ()
    aside: bool = False


def group(
    reading: Reading, mentions: Sequence[Mention], turns: Turns | None = None
) -> tuple[Group, ...]:
    """One group per request, in the order in which they are first named; never none.

    *turns* is where the message turns from one request to another; without, rules tell.
    """
    if turns is None:
        topics = topics_of(reading, mentions)
        by_session = turns_by_session(reading, mentions)
        if by_session.opens and not topics:  # most messages have none: nothing more is looked for
            topics = topics_at(reading, mentions, by_session)
    else:
        topics = topics_at(reading, mentions, turns)
    live = [t for t in topics if not t.dropped]
    if len(live) < 2:
        return (_whole(reading, mentions),)
    return _assigned(reading, mentions, topics)


def _whole(reading: Reading, mentions: Sequence[Mention]) -> Group:
    everything = tuple(s.index for s in reading.sentences)
    return _group(
        list(dict.fromkeys(counted_ids(mentions))), everything, everything, mentions, aside=False
    )


def _group(
    ids: list[str],
    sentences: tuple[int, ...],
    own: tuple[int, ...],
    mentions: Sequence[Mention],
    *,
    aside: bool,
    name: str | None = None,
) -> Group:
    inside = [m for m in mentions if m.sentence in set(sentences)]
    owned = [m for m in inside if m.sentence in set(own)]
    time = _time(ids, inside, own)
    return Group(
        tuple(dict.fromkeys(ids)),
        name or _client(owned) or _client(inside),
        None if time is None else time.value,
        sentences,
        tuple(inside),
        own,
        aside,
    )


def _time(ids: Sequence[str], inside: Sequence[Mention], own: Sequence[int]) -> Mention | None:
    """One time is not that of several sessions."""
    time = choose([m for m in inside if m.sentence in set(own)]) or choose(inside)
    return None if len(set(ids)) > 1 else time


def settled_mentions(group: Group, kind: str, sent: datetime) -> tuple[Mention, ...]:
    """The mentions of *group* as a request of this *kind* means them; see ``settled_for``."""
    settled = (settled_for(mention, kind, sent) for mention in group.mentions)
    return tuple(mention for mention in settled if mention is not None)


def time_of(group: Group, kind: str, sent: datetime) -> str | None:
    """When the session of *group* is, now that the request is known to be of this *kind*.

    ``group.session_time`` was found before.
    """
    time = _time(group.session_ids, settled_mentions(group, kind, sent), group.own)
    if time is None or not is_likely_for(time, kind, names_session=bool(group.session_ids)):
        return None
    return time.value


def _client(mentions: Iterable[Mention]) -> str | None:
    """The name said most often, else the first."""
    counts: dict[str, float] = {}
    for m in mentions:
        if m.label == "client_ref":
            counts[m.value] = counts.get(m.value, 0) + m.confidence
    return max(counts, key=lambda n: counts[n], default=None)


def _assigned(
    reading: Reading, mentions: Sequence[Mention], topics: list[Topic]
) -> tuple[Group, ...]:
    owners = _owners(reading, mentions, topics)
    groups = []
    for n, topic in enumerate(topics):
        if topic.dropped:
            continue
        own = tuple(i for i, o in owners.items() if o == n)
        shared = tuple(i for i, o in owners.items() if o == _EVERYBODY)
        sentences = tuple(sorted({*own, *shared}))
        ids = topic.ids or list(
            dict.fromkeys(counted_ids(m for m in mentions if m.sentence in own))
        )
        foreign = {i for t in topics if t is not topic for i in t.ids}
        strangers = {name for t in topics if t is not topic for name in t.names} - set(topic.names)
        kept = [
            m
            for m in mentions
            if not (m.label == "session_ids" and m.value in foreign)
            and not (m.label == "client_ref" and m.value in strangers)
            and not (
                m.label == "session_time" and m.sentence in shared and _has_time(mentions, own)
            )
        ]
        name = topic.names[0] if topic.names else None
        groups.append(_group(ids, sentences, own, kept, aside=topic.aside, name=name))
    return tuple(groups)


_EVERYBODY: Final = -1


def _has_time(mentions: Sequence[Mention], sentences: Sequence[int]) -> bool:
    return any(m.label == "session_time" and m.sentence in sentences for m in mentions)


def _owners(reading: Reading, mentions: Sequence[Mention], topics: list[Topic]) -> dict[int, int]:
    """Which topic each sentence belongs to; `_EVERYBODY` for subject, opening and shared ones."""
    named = _named(mentions, topics)
    shared = sentences_about(reading, "shared")
    owners: dict[int, int] = {}
    current = _EVERYBODY
    starts = {t.sentence: n for n, t in enumerate(topics)}
    for s in reading.sentences:
        if s.part == "subject":
            owners[s.index] = _EVERYBODY
            continue
        if s.index in starts:
            together = topics[starts[s.index]].together
            current = _EVERYBODY if together else starts[s.index]
        here = named.get(s.index, set())
        if (s.index not in starts and s.index in shared) or len(here) > 1:
            owners[s.index] = _EVERYBODY
        else:
            owners[s.index] = next(iter(here), current)
            if here and topics[owners[s.index]].together:  # what follows is about this one
                current = owners[s.index]
    return owners


def _named(mentions: Sequence[Mention], topics: Sequence[Topic]) -> dict[int, set[int]]:
    """The topics whose session or client each sentence names."""
    named: dict[int, set[int]] = {}
    for m in mentions:
        for n, topic in enumerate(topics):
            if m.value in topic.ids or m.value in topic.names:
                named.setdefault(m.sentence, set()).add(n)
    return named
