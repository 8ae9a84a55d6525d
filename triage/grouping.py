"""How many requests a message holds, and which sentences belong to which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from triage.detectors.mention import Mention
from triage.language import Reading


@dataclass(frozen=True, slots=True)
class Group:
    """The part of a message that is about one client or ask.

    ``sentences`` are indices into ``reading.sentences``; a sentence said of several clients ("both
    have been told") is in each of their groups. ``mentions`` are those in these sentences.
    """

    session_ids: tuple[str, ...]
    client_ref: str | None
    session_time: str | None
    sentences: tuple[int, ...]
    mentions: tuple[Mention, ...]


def group(reading: Reading, mentions: Sequence[Mention]) -> tuple[Group, ...]:
    """One group per request, in the order in which they are first named; never none.

    First version: everything is one request.
    """
    ids = tuple(dict.fromkeys(m.value for m in mentions if m.label == "session_ids" and m.counts))
    everything = tuple(s.index for s in reading.sentences)
    return (Group(ids, None, None, everything, tuple(mentions)),)
