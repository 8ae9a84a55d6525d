"""An archive cut into parts by reference, so that whoever shares them out carries no mail.

A part names a stretch of an mbox, files of a folder, or a range of digests in the store. The same
archive gives the same parts, and a part has the same key wherever it is named: what is written
under it twice is the same. Of the store only the names are known here; ``store`` looks them up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

from ingest.files import EmlFolder, Maildir
from ingest.mbox import NotAnMboxError, messages_in, settled_size
from ingest.sources import Access, Loss, SourceError, SourceSpecError, open_source
from triage.records import MessageKey, RawMessage

#: How the bytes that the store keeps are named among archives.
STORE: Final = "store:"
#: Messages of a part: seconds to a minute of work, so that little is done again after a crash.
MESSAGES: Final = 1_000
#: Bytes that a part of an mbox has at least and at most, whatever its first messages are like.
_BYTES: Final = (2**20, 2**27)
_SAMPLE: Final = 200  # messages from which the rest is judged
#: A part that keeps killing whoever reads it is cut into so many: a restart costs more than a task.
_PIECES: Final = 8
_DIGEST_SPACE: Final = 16**12


@dataclass(frozen=True, slots=True)
class Part:
    """Where some messages of an archive lie; within that, *take* of them after *skip*.

    ``stretch`` is bytes of an mbox and the size of the whole, or digests of the store; ``names``
    are paths below a folder.
    """

    archive: str
    stretch: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    skip: int = 0
    take: int | None = None

    @property
    def key(self) -> str:
        """Sixteen hex digits that no other part has."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Self:
        """The part that ``asdict`` made JSON of."""
        lists = {name: tuple(stored[name]) for name in ("stretch", "names")}
        return cls(**{**stored, **lists})

    def pieces(self, count: int) -> list[Part]:
        """The part, which holds *count* messages, in smaller ones."""
        size = max(1, -(-count // _PIECES))
        firsts = range(0, count, size)
        return [replace(self, skip=self.skip + n, take=min(size, count - n)) for n in firsts]

    def of_these(self, messages: Iterator[RawMessage | Loss]) -> Iterator[RawMessage | Loss]:
        """Those of the *messages* at this place that the part is about."""
        return islice(messages, self.skip, None if self.take is None else self.skip + self.take)


def parts_of(spec: str, access: Access, *, messages: int = MESSAGES) -> Iterator[Part]:
    """The parts of an archive in files, oldest first.

    Raises:
        SourceError: It cannot be read, or is no archive in files.

    """
    source = open_source(spec, access)
    scheme, _, path = source.name.partition(":")
    if scheme == "mbox":
        yield from _parts_of_mbox(source.name, Path(path), messages)
        return
    if not isinstance(source, Maildir | EmlFolder):
        raise SourceSpecError("an archive is maildir:PATH, mbox:PATH, eml:PATH or store:")
    with source:
        names = source.names()
    for first in range(0, len(names), messages):
        yield Part(source.name, names=tuple(names[first : first + messages]))


def parts_of_store(count: int, *, messages: int = MESSAGES) -> Iterator[Part]:
    """Ranges of digests that share *count* kept messages out evenly."""
    parts = max(1, -(-count // messages))
    ends = [f"{_DIGEST_SPACE * n // parts:012x}" for n in range(parts)]
    for lower, upper in zip(ends, [*ends[1:], "g"], strict=True):  # "g": after every hex digit
        yield Part(STORE, (lower, upper))


def messages_of(part: Part, access: Access) -> Iterator[RawMessage | Loss]:
    """The messages of a part in files, in their order; the same mail twice is two.

    Raises:
        SourceError: The archive cannot be read here.

    """
    if part.archive.startswith("mbox:"):
        return part.of_these(_between(part, access.max_message_bytes))
    source = open_source(part.archive, access)
    if not isinstance(source, Maildir | EmlFolder):
        raise SourceSpecError("an archive is maildir:PATH, mbox:PATH, eml:PATH or store:")
    return part.of_these(source.at(part.names))


def count_of(messages: Callable[[Part], Iterator[RawMessage | Loss]], part: Part) -> int:
    """How many messages a part holds; reads them, but looks into none."""
    return len(part.names) if part.names and part.take is None else sum(1 for _ in messages(part))


def _parts_of_mbox(name: str, path: Path, messages: int) -> Iterator[Part]:
    least, most = _BYTES
    try:
        with path.open("rb") as stream:
            size = settled_size(stream)
            first = [one.size for one in islice(messages_in(stream, size, 0), _SAMPLE)]
    except (OSError, NotAnMboxError) as error:
        raise _cannot_read(path, error) from None
    usual = sum(first) // len(first) if first else 0
    step = min(max(usual * messages, least), most)
    for at in range(0, size, step):
        yield Part(name, (str(at), str(min(at + step, size)), str(size)))


def _between(part: Part, most: int) -> Iterator[RawMessage | Loss]:
    path = Path(part.archive.removeprefix("mbox:"))
    begin, until, size = map(int, part.stretch)
    try:
        with path.open("rb") as stream:
            for message in messages_in(stream, size, most, begin=begin, until=until):
                key = MessageKey(part.archive, "", 0, int(message.digest[:16], 16) >> 1)
                if message.content is None:
                    yield Loss(key, "oversize", message.size)
                else:
                    at = message.delivered or datetime.now(UTC)
                    yield RawMessage(key, at, message.digest, message.content)
    except (OSError, NotAnMboxError) as error:
        raise _cannot_read(path, error) from None


def _cannot_read(path: Path, error: Exception) -> SourceError:
    return SourceError(f"mbox:{path}: {getattr(error, 'strerror', None) or error}")
