"""Where a message turns from one request to another, as learned, and what the rules know of it.

``models.turning`` learns it; here it becomes the topics that ``triage.grouping`` makes requests of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, Literal

from triage.detectors.mention import Mention
from triage.language import Reading, Sentence
from triage.topics import (
    Topic,
    counted_ids,
    opens_an_aside,
    opens_an_item,
    sentences_about,
    topics_of,
    with_subject,
)


@dataclass(frozen=True, slots=True)
class Turns:
    """Sentences at which a message turns to another request, and those that name several at once.

    Both as learned (``models.turning``); numbers of sentences.
    """

    opens: frozenset[int]
    many: frozenset[int]


def turns_by_session(reading: Reading, mentions: Sequence[Mention]) -> Turns:
    """Where sentences far apart each name a session of their own, each opens a request.

    None where one sentence names several: whose they are is then for others to tell. Of sixteen
    such messages in the corpora, in which no list or opener told the requests apart, thirteen were
    of several requests, split just there.
    """
    seen: set[str] = set()
    opens: list[int] = []
    for s in reading.sentences:
        if s.part != "new_text":
            continue
        ids, _ = _named_at(mentions, s, seen)
        if len(ids) > 1:
            return Turns(frozenset(), frozenset())
        opens += [s.index] if ids else []
        seen.update(ids)
    away = sentences_about(reading, "absence") and not sentences_about(reading, "fit")
    return Turns(frozenset(() if away else opens[1:]), frozenset())


def topics_at(reading: Reading, mentions: Sequence[Mention], turns: Turns) -> list[Topic]:
    """The topics that *turns* tell apart, or fewer than two."""
    text = [s for s in reading.sentences if s.part == "new_text"]
    topics = [Topic(s.index) for s in text[:1]]
    seen: set[str] = set()
    for s in text:
        ids, names = _named_at(mentions, s, seen)
        if s.index in turns.opens and s is not text[0]:
            topics.append(Topic(s.index, marked=True))
        if s.index in turns.many and max(len(ids), len(names)) > 1:
            here = [m for m in mentions if m.sentence == s.index]
            topics += _several_at(s, topics.pop(), here, ids, names)
        else:
            topics[-1].ids += ids
            topics[-1].names += names
        seen.update(ids, names)
    for topic, following in zip_longest(topics, topics[1:]):
        end = len(reading.sentences) if following is None else following.sentence
        block = [s for s in text if topic.sentence <= s.index < end]
        topic.aside = _is_beside(reading, block)
        if not topic.ids:
            topic.ids += _kept_on(mentions, block, topics)
    _share_out(topics, "ids")
    _share_out(topics, "names")
    return with_subject(reading, mentions, topics) if len(topics) > 1 else []


def _kept_on(
    mentions: Sequence[Mention], sentences: Sequence[Sentence], topics: Sequence[Topic]
) -> list[str]:
    """The ids of a request of its own that rules take for untouched ("leave HT-… as it is")."""
    here = {s.index for s in sentences}
    taken = {value for topic in topics for value in topic.ids}
    ids = dict.fromkeys(
        m.value
        for m in mentions
        if m.label == "session_ids" and m.sentence in here and "other_session" in m.flags
    )
    return [value for value in ids if value not in taken]


def _share_out(topics: Sequence[Topic], kind: Literal["ids", "names"]) -> None:
    """Where one topic has named for all ("HT-1 and HT-2, both …"), each gets its own, in order."""
    having = [topic for topic in topics if getattr(topic, kind)]
    asks = [topic for topic in topics if not topic.aside]
    if len(having) == 1 and len(getattr(having[0], kind)) == len(asks) > 1:
        for topic, value in zip(asks, list(getattr(having[0], kind)), strict=True):
            setattr(topic, kind, [value])


#: How a sentence begins that adds a further matter.
_FURTHER: Final = re.compile(
    r"\s*(?:[-*•>]\s*)?(?:also|and|plus|then|next|now|as (?:for|to)|regarding|re|separately"
    r"|meanwhile|finally|last(?:ly)?|on (?:another|a different)|another|one (?:more|other)"
    r"|(?:the |my )?other|whil(?:e|st) i|by the way|btw|p\.?s|oh|second(?:ly)?|third(?:ly)?"
    r"|different|unrelated|same (?:for|with|goes)|similarly|likewise|with|for)\b",
    re.IGNORECASE,
)
#: Words that tell one client or matter from another.
_ANOTHER: Final = re.compile(
    r"\b(?:another|other|second|2nd|third|different|separate|next|unrelated|two|both)\s+(?:\w+\s+)?"
    r"(?:client|one|person|matter|thing|case|couple|lady|gentleman|man|woman|booking|session"
    r"|referral|cancellation|query|question|issue|point)s?\b|\b(?:the|my) other\b|\btoo\b\s*[,:.-]"
    r"|\bas well\b",
    re.IGNORECASE,
)
_BARE_NUMBER: Final = re.compile(r"\s*[(\[]?(?:\d{1,2}|[a-eA-E]|[ivxIVX]{1,3})[).:\]]?\s*")
_ID_FIRST: Final = re.compile(
    r"\s*(?:[-*•#]\s*)?(?:session|booking|ref\w*\.?)?\s*(?:ht[-\s]?|#)?\d{6}", re.IGNORECASE
)
_HEADED: Final = re.compile(r"[^.!?]{1,45}:")
#: A subject that counts or joins: "Two clients", "Mr Petrov + Nia".
_SEVERAL: Final = re.compile(
    r"\b(?:two|three|2|3|both|several|few|couple of|and|clients|requests|things|items|matters"
    r"|cancellations|referrals)\b|[+&/;]",
    re.IGNORECASE,
)
#: A name or id that begins within so many letters is what the sentence begins with.
_AT_ONCE: Final = 12
#: The last columns of ``openings``: the same for the whole text.
OF_MESSAGE: Final = (
    "the subject tells of several", "ids of the message", "names of the message",
    "several by rule", "split by rule",
)  # fmt: skip
#: Columns of ``openings``.
OPENINGS: Final = (
    "a request by rule", "a line", "a paragraph", "an ordinal or number", "a matter beside",
    "speaks of administration", "speaks of fit", "said of all", "new ids", "new names",
    "first of the text",
    "adds a matter", "speaks of another", "after a bare number", "a bare number", "an id first",
    "a heading", "a new name first", "a time", "names one more",
    "adds and names one more", "adds another", "one more first", "another and names one more",
    "a time of one more", "adds with a time", *OF_MESSAGE,
)  # fmt: skip


def openings(reading: Reading, mentions: Sequence[Mention]) -> list[list[float]]:
    """What the rules know of each sentence's turning to another request: sentences x OPENINGS.

    OF_MESSAGE are the same for the whole text, and counts stop at three. The subject is all 0.
    """
    topics = topics_of(reading, mentions)
    whole = _openings_of_whole(reading, mentions, topics)
    starts = {t.sentence for t in topics[1:]}
    about = {name: sentences_about(reading, name) for name in ("admin", "fit", "shared")}
    breaks = _line_breaks(reading)
    first = min(breaks, default=0)
    usual = min((n for n in breaks.values() if n), default=1)  # some mail programs double them all
    rows: list[list[float]] = []
    seen: set[str] = set()
    for s, cues in zip(reading.sentences, _cues(reading, mentions), strict=True):
        if s.part != "new_text":
            rows.append([0.0] * len(OPENINGS))
            continue
        ids, names = _named_at(mentions, s, seen)
        known = (
            s.index in starts,
            breaks[s.index] > 0,
            breaks[s.index] > usual,
            opens_an_item(s.text),
            opens_an_aside(s.text),
            *(s.index in sentences for sentences in about.values()),
            min(len(ids), 3),
            min(len(names), 3),
            s.index == first,
        )
        rows.append([*map(float, known), *map(float, cues), *whole])
        seen.update(ids, names)
    return rows


def _line_breaks(reading: Reading) -> dict[int, int]:
    """How many line breaks stand before each sentence of the text, by its number."""
    text = reading.folded["new_text"].text
    sentences = [s for s in reading.sentences if s.part == "new_text"]
    ends = [0, *(s.last for s in sentences)]
    return {
        s.index: text.count("\n", end, s.first) for s, end in zip(sentences, ends, strict=False)
    }


def _cues(reading: Reading, mentions: Sequence[Mention]) -> Iterator[tuple[bool, ...]]:
    """What the words of each sentence tell, from "adds a matter" to what the subject tells."""
    several = any(s.part == "subject" and _SEVERAL.search(s.text) for s in reading.sentences)
    seen: set[str] = set()
    before = ""
    for s in reading.sentences:
        here = [m for m in mentions if m.sentence == s.index]
        named = [m for m in here if m.label in {"client_ref", "session_ids"}]
        new = [m for m in named if m.value not in seen]
        adds = _FURTHER.match(s.text) is not None
        another = _ANOTHER.search(s.text) is not None
        first = any(reading.lead(s, m.span) < _AT_ONCE for m in new)
        time = any(m.label == "session_time" for m in here)
        more = bool(seen and new)
        yield (
            adds,
            another,
            _BARE_NUMBER.fullmatch(before) is not None,
            _BARE_NUMBER.fullmatch(s.text) is not None,
            _ID_FIRST.match(s.text) is not None,
            _HEADED.match(s.text) is not None,
            first,
            time,
            more,
            adds and more,
            adds and another,
            first and more,
            another and more,
            time and more,
            adds and time,
            several,
        )
        seen.update(m.value for m in named)
        before = s.text


def _openings_of_whole(
    reading: Reading, mentions: Sequence[Mention], topics: Sequence[Topic]
) -> list[float]:
    ids = set(counted_ids(mentions))
    names = {m.value for m in mentions if m.label == "client_ref"}
    several = bool(sentences_about(reading, "several"))
    return [
        float(min(len(ids), 3)),
        float(min(len(names), 3)),
        float(several),
        float(len(topics) > 1),
    ]


def _named_at(
    mentions: Sequence[Mention], sentence: Sentence, seen: set[str]
) -> tuple[list[str], list[str]]:
    """The session ids and the clients that *sentence* names first."""
    here = [m for m in mentions if m.sentence == sentence.index and m.value not in seen]
    names = dict.fromkeys(m.value for m in here if m.label == "client_ref")
    return list(dict.fromkeys(counted_ids(here))), list(names)


def _several_at(
    sentence: Sentence, open_: Topic, here: Sequence[Mention], ids: list[str], names: list[str]
) -> list[Topic]:
    """A topic for each session id, or else for each client, that one sentence names.

    A single id is that of the client named last before it.
    """
    by_id = len(ids) > 1
    topics = [
        Topic(sentence.index, [value] if by_id else [], [] if by_id else [value], together=True)
        for value in (ids if by_id else names)
    ]
    if by_id and len(names) == len(ids):
        for topic, name in zip(topics, names, strict=True):
            topic.names.append(name)
    elif ids and not by_id:
        topics[_whose(ids[0], here, names)].ids += ids
    topics[0].ids[:0], topics[0].names[:0] = open_.ids, open_.names
    return topics


def _whose(session_id: str, here: Sequence[Mention], names: Sequence[str]) -> int:
    """The number of the name that stands last before *session_id*, 0 where none does."""
    end = next(m.span.start for m in here if m.value == session_id)
    named = [m for m in here if m.value in names and m.span.start < end]
    return names.index(max(named, key=lambda m: m.span.start).value) if named else 0


def _is_beside(reading: Reading, sentences: Sequence[Sentence]) -> bool:
    here = {s.index for s in sentences}
    return bool(here & sentences_about(reading, "admin")) and not (
        here & sentences_about(reading, "fit")
    )
