"""Where a message turns to another client or matter.

People who write about several clients write in blocks: a paragraph, a bullet or "The second is
…" for each. A block that opens with a new session id, a new name or a separate matter begins a
topic. Where nothing says that there are several, there is one: splitting a single request does
more harm than joining two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from triage.detectors.mention import Mention
from triage.language import Reading, Sentence

_TWO_IN_SUBJECT = re.compile(
    r".{3,60} (?:\+|/) .{3}|.*\balso\b|.*\bone\b[^.]{1,60}\bone\b|.*\bx ?[234]\b", re.IGNORECASE
)
_ENUMERATED = re.compile(
    r"(?:\(?(?:[1-9]|[a-e]|i{1,3})[.):](?=\s|\w{2})|[1-9], |[A-E][.)] |q[1-9][.):]"
    r"|#?[1-9] (?=[a-z]{2,})|[-*] )\s*",
    re.IGNORECASE,
)
_ORDINAL = re.compile(
    r"(?:and |then |now |so )?(?:the )?(?:first|second|third|fourth|other|1st|2nd"
    r"|3rd)(?:ly)?(?: (?:one|of these|client|person|thing|matter|is|was|concerns|i|would|can|up"
    r"|off|also|merely|only)\b|[,:. ]|'s\b)"
    r"|then there(?:'s| is)\b|there(?:'s| is) also\b|as (?:for|to)\b|also\b|and also\b"
    r"|separately\b|meanwhile\b|exhibit [a-c]\b|client [a-c]\b|one more\b|another\b|now (?:the"
    r"|for)\b|p\.?s\.?\b"
    r"|while i\b|the (?:harder|easier|definite) (?:thing|one)\b|admin first\b|question first\b"
    r"|on (?:another|a different|a separate|an unrelated)\b|finally\b|lastly\b|unrelated\b"
    r"|to go\b|undecided\b",
    re.IGNORECASE,
)
_ASIDE_OPENS = re.compile(
    r"(?:\W{0,3}(?:and )?(?:also|separately|p\.?s\.?|one more (?:thing|question)|another thing"
    r"|on (?:an?|the) (?:another|different|separate|unrelated|other|quite different|admin) \w+"
    r"|on another (?:note|matter|subject|topic)|while i(?:'m| am| have|'ve)|lastly|finally"
    r"|unrelated(?:ly)?|admin first|second(?:ly)?|third(?:ly)?|the (?:second|third|other"
    r"|last)(?: thing| matter| one)?"
    r"|\(?[1-9b-d][.)]|other thing|in other news|quick (?:one|admin)|totally separate"
    r"|different (?:thing|matter|subject)|not (?:related|connected)|as for (?:the"
    r"|my)))\b[\s,:;-]*",
    re.IGNORECASE,
)
_CLIENT = re.compile(r"\b(?:s?he|him|hers?|his|they|them|their|clients?|gp|saq)\b", re.IGNORECASE)
#: A name less sure than this opens no topic by itself; it may be a place.
_SURE_NAME: Final = 0.58
_SIGNATURE: Final = 24  # characters
_OPENING: Final = 34  # characters from the start of a block within which a name opens a topic


@dataclass(slots=True)
class Topic:
    """One client or matter of a message, and the sentence at which it opens."""

    sentence: int
    ids: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    aside: bool = False
    marked: bool = False  # opened by an enumerator or an ordinal
    together: bool = False  # named in one sentence with others
    dropped: bool = False  # about a session that is named as unaffected: no request


@dataclass(frozen=True, slots=True)
class _Block:
    """Sentences from one line or ordinal opener to the next."""

    sentences: tuple[Sentence, ...]
    new_paragraph: bool
    marked: bool


def counted_ids(mentions: Iterable[Mention]) -> list[str]:
    """The session ids that the message is about, as often as they are named."""
    return [m.value for m in mentions if m.label == "session_ids" and m.counts]


def topics_of(reading: Reading, mentions: Sequence[Mention]) -> list[Topic]:
    """The topics that open somewhere, or fewer than two where nothing says that there are
    several.
    """
    ids = list(dict.fromkeys(counted_ids(mentions)))
    several = bool(sentences_about(reading, "several")) or (
        _TWO_IN_SUBJECT.match(reading.folded["subject"].text) is not None
    )
    if len(ids) < 2 and not several and not sentences_about(reading, "admin"):
        return []
    if len(ids) > 1 and sentences_about(reading, "absence") and not sentences_about(reading, "fit"):
        return []
    topics = _opened(reading, mentions, several=several)
    return topics if _are_apart(topics, mentions, several=several) else []


def sentences_about(reading: Reading, topic: str) -> set[int]:
    """The sentences that hold a phrase of ``patterns/topics.toml`` under *topic*."""
    key = f"topic|{topic}"
    return {h.sentence for h in reading.hits if h.key == key}


def _blocks(reading: Reading, mentions: Sequence[Mention], *, several: bool) -> list[_Block]:
    """Lines, broken again where a sentence opens with an ordinal, a session id or (of several) a
    name.
    """
    openers = _sentence_openers(mentions, reading, several=several)
    blocks: list[_Block] = []
    text = reading.folded["new_text"].text
    current: list[Sentence] = []
    new_paragraph = marked = True
    previous_end = 0
    for s in reading.sentences:
        if s.part != "new_text":
            continue
        gap = text[previous_end : s.first]
        breaks = "\n" in gap or not current
        opens = opens_an_item(s.text)
        if current and (breaks or opens or s.index in openers):
            blocks.append(_Block(tuple(current), new_paragraph, marked))
            current = []
        if not current:
            new_paragraph, marked = breaks, opens and s.text[0] not in "-*"
        current.append(s)
        previous_end = s.last
    if current:
        blocks.append(_Block(tuple(current), new_paragraph, marked))
    return blocks


def _sentence_openers(mentions: Sequence[Mention], reading: Reading, *, several: bool) -> set[int]:
    """Sentences that begin with a session id or a name not said before."""
    openers: set[int] = set()
    seen: set[str] = set()
    for m in mentions:
        if m.label == "session_ids" or (m.label == "client_ref" and several):
            if m.value not in seen and m.span.part == "new_text":
                lead = reading.lead(reading.sentences[m.sentence], m.span)
                reach = _ID_LEAD if m.label == "session_ids" else _NAME_LEAD
                if lead <= reach or (m.label == "session_ids" and several):
                    openers.add(m.sentence)
            if m.span.part == "new_text":
                seen.add(m.value)
    return openers


_ID_LEAD: Final = 12
_NAME_LEAD: Final = 6


def _opened(reading: Reading, mentions: Sequence[Mention], *, several: bool) -> list[Topic]:
    topics: list[Topic] = []
    seen_ids: set[str] = set()
    seen_names: set[str] = set()
    by_sentence: dict[int, list[Mention]] = {}
    for m in mentions:
        by_sentence.setdefault(m.sentence, []).append(m)
    for block in _blocks(reading, mentions, several=several):
        here = [m for s in block.sentences for m in by_sentence.get(s.index, ())]
        new_ids = [i for i in dict.fromkeys(counted_ids(here)) if i not in seen_ids]
        unaffected = [m for m in here if m.label == "session_ids" and "other_session" in m.flags]
        name = _opening_name(reading, block, here, seen_names, several=several)
        aside = _is_aside(reading, block, several=several)
        starts = new_ids or name or aside or (block.marked and unaffected)
        if starts and not (topics and not block.marked and _continues(topics[-1], new_ids, name)):
            topic = Topic(
                block.sentences[0].index, new_ids, [name] if name else [], aside, block.marked
            )
            topic.dropped = bool(unaffected) and not counted_ids(here) and not aside
            topics.append(topic)
        elif topics:
            topics[-1].ids += new_ids
            topics[-1].names += [name] if name else []
        seen_ids.update(new_ids)
        seen_names.update(m.value for m in here if m.label == "client_ref")
    if topics and all(t.aside for t in topics):
        topics = _with_rest(reading, mentions, topics, several=several)
    topics = with_subject(reading, mentions, topics)
    with_ids = [t for t in topics if t.ids]
    if len(with_ids) > 1:  # a name in the opening, before the list, is somebody else's
        first = topics.index(with_ids[0])
        topics = [t for t in topics[:first] if t.aside or t.marked] + topics[first:]
    return topics


def with_subject(reading: Reading, mentions: Sequence[Mention], topics: list[Topic]) -> list[Topic]:
    """An id that only the subject holds is the topic of what stands before the next one."""
    subject = counted_ids(m for m in mentions if m.span.part == "subject")
    text = set(counted_ids(m for m in mentions if m.span.part == "new_text"))
    alone = [i for i in dict.fromkeys(subject) if i not in text]
    if not alone or not topics:
        return topics
    if not text:
        fit = next((t for t in topics if not t.aside and not t.dropped), topics[0])
        fit.ids += alone
        return topics
    first = next((s.index for s in reading.sentences if s.part == "new_text"), 0)
    if topics[0].sentence > first:
        return [Topic(first, alone), *topics]
    topics[0].ids += [] if topics[0].ids else alone
    return topics


def _with_rest(
    reading: Reading, mentions: Sequence[Mention], topics: list[Topic], *, several: bool
) -> list[Topic]:
    """Beside separate matters, the block that speaks of fit opens a topic of its own."""
    starts = {t.sentence for t in topics}
    fit = sentences_about(reading, "fit")
    aside = False
    for block in _blocks(reading, mentions, several=several):
        first = block.sentences[0].index
        aside = first in starts or (aside and not block.new_paragraph)
        if not aside and any(s.index in fit for s in block.sentences):
            return sorted([*topics, Topic(first)], key=lambda t: t.sentence)
    return topics


def _continues(topic: Topic, new_ids: list[str], name: str | None) -> bool:
    """Whether a block only adds what its topic still lacks: the id under a name, a name to an
    id.
    """
    if new_ids and topic.ids:
        return False
    if name and topic.names:
        return False
    return not (new_ids and name)


def _opening_name(
    reading: Reading, block: _Block, here: list[Mention], seen: set[str], *, several: bool
) -> str | None:
    """The new client that a block opens with, where names count as openers."""
    if not several and not block.marked:
        return None
    first = block.sentences[0]
    if block.sentences[-1].last - first.last < _SIGNATURE and len(first.text) < _SIGNATURE:
        return None  # a name alone signs the mail
    reach = _OPENING if not block.marked else 2 * _OPENING
    for m in sorted(here, key=lambda m: m.span.start):
        if m.label != "client_ref" or m.value in seen or "handle" in m.flags:
            continue
        lead = reading.lead(first, m.span)
        leads = several and block.new_paragraph and lead <= 3
        if not (block.marked or leads) and m.confidence < _SURE_NAME:
            continue
        if m.sentence == first.index and lead <= reach:
            return m.value
        return (
            m.value if several and block.new_paragraph and m.sentence <= first.index + 1 else None
        )
    return None


def opens_an_item(text: str) -> bool:
    """Whether a sentence opens like an item of a list: a number, a letter, an ordinal."""
    return _ORDINAL.match(text) is not None or _ENUMERATED.match(text) is not None


def opens_an_aside(text: str) -> bool:
    """Whether a sentence opens like a separate matter ("Also, …", "P.S.")."""
    return _ASIDE_OPENS.match(text) is not None


def _is_aside(reading: Reading, block: _Block, *, several: bool) -> bool:
    """Whether a block is a matter of its own that has nothing to do with fit."""
    text = " ".join(s.text for s in block.sentences)
    opened = opens_an_aside(block.sentences[0].text)
    alone = several and block.new_paragraph and len(text) > 40
    opened = opened or (alone and _CLIENT.search(text) is None)
    here = {s.index for s in block.sentences}
    return (
        opened
        and bool(here & sentences_about(reading, "admin"))
        and not here & sentences_about(reading, "fit")
    )


def _are_apart(topics: list[Topic], mentions: Sequence[Mention], *, several: bool) -> bool:
    """Whether the topics are requests of their own."""
    live = [t for t in topics if not t.dropped]
    if len(live) < 2 or all(t.aside for t in live):
        return False
    if any(t.aside for t in live) and any(not t.aside for t in live):
        return True
    with_id = sum(bool(t.ids) for t in live)
    if with_id > 1:
        names = {m.value for m in mentions if m.label == "client_ref"}
        return several or all(t.marked for t in live) or len(names) > 1 or with_id == len(live)
    return several
