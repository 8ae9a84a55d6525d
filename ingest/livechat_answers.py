"""Where an answer to a live chat stands: whether it is there, and whether it still fits.

The API knows no idempotency key. What takes its place: words of ours that stand in the
conversation since a person decided to send them have been sent, by us or by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ingest import livechat
from ingest.livechat_parsing import plain
from triage.records import MessageKey

#: The other side's clock may be so far behind ours.
_CLOCKS_DIFFER: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person decided to say in a conversation, and to which part of it."""

    conversation: int
    part: str
    text: str
    admin_id: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """An answer held against its conversation.

    ``others`` says that the same teammate has said something else since. ``newer`` are the messages
    from outside after the one that is answered.
    """

    is_there: bool
    others: bool
    fits: bool  # whether what it answers is in this conversation, as far as that is given out
    newer: tuple[MessageKey, ...]


def standing(conversation: livechat.JSON, answer: Answer, source: str) -> Standing:
    """How *answer* stands to *conversation*, retrieved from the source of this name."""
    has_source = isinstance(conversation.get("source"), Mapping)
    parts = list(livechat.parts_of(conversation)) if has_source else []
    names = [str(part.get("id")) if isinstance(part, Mapping) else "" for part in parts]
    place = names.index(answer.part) if answer.part in names else None
    said = [_words(part.get("body")) for part in _since(parts, answer)]
    after = parts if place is None else parts[place + 1 :]
    return Standing(
        is_there=_words(answer.text) in said,
        others=bool(said),
        fits=place is not None or livechat.is_cut(conversation),
        newer=tuple(
            MessageKey(source, "", answer.conversation, livechat.uid_of(part))
            for part in after
            if livechat.is_message(part)
        ),
    )


def _since(parts: Sequence[Any], answer: Answer) -> Iterator[livechat.JSON]:
    """What the teammate has said to the writer since the person decided."""
    for part in parts:
        if not isinstance(part, Mapping) or part.get("part_type") == "note":
            continue
        when = livechat.moment(part.get("created_at"))
        by = str(livechat.author_of(part).get("id"))
        is_ours = by == answer.admin_id and livechat.is_ours(part) and part.get("body")
        if is_ours and when and when >= answer.decided_at - _CLOCKS_DIFFER:
            yield part


def _words(body: object) -> str:
    """The words alone: what is posted as text comes back as HTML, with lines of its own."""
    if not isinstance(body, str):
        return ""
    return " ".join(plain(body).split())
