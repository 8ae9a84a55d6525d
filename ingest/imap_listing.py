"""What an IMAP server says of its messages before they are read, and how many to read at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingest.sources import BYTES_PER_BATCH


@dataclass(frozen=True, slots=True)
class Listed:
    """A message as the server lists it, before its body is asked for."""

    uid: int
    size: int
    received_at: datetime


def listed_from(uid: int, answer: Mapping[bytes, Any]) -> Listed:
    """What a FETCH answer says of a message; what it leaves out or garbles is size 0 and now."""
    size, date = answer.get(b"RFC822.SIZE"), answer.get(b"INTERNALDATE")
    received_at = datetime.now(UTC)
    if isinstance(date, datetime):
        with suppress(OverflowError, ValueError):  # years that no time zone can be added to
            received_at = date.astimezone(UTC)
    return Listed(uid, size if isinstance(size, int) else 0, received_at)


def grouped(listed: Sequence[Listed], size: int, most: int) -> Iterator[list[Listed]]:
    """Runs of *listed*, each at most *size* long and bounded in bytes; oversize costs nothing."""
    group: list[Listed] = []
    weight = 0
    for message in listed:
        # A message of unknown size travels alone.
        own = 0 if message.size > most else message.size or BYTES_PER_BATCH
        if group and (len(group) >= size or weight + own > BYTES_PER_BATCH):
            yield group
            group, weight = [], 0
        group.append(message)
        weight += own
    if group:
        yield group
