"""Taking an mbox file apart as a stream, in memory bounded by one message.

The standard library's ``mailbox.mbox`` reads the whole file before it gives the first message and
takes any line after a blank one that begins with "From " for a new message.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, BinaryIO

_PIECE = 64 * 1024  # bytes; a longer line is taken in pieces
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# The date of a From line: asctime, as RFC 4155 has it, with the zones that some programs add.
_DATE = re.compile(
    rb"\b(?P<month>[A-Z][a-z]{2})[ ]+(?P<day>\d{1,2})[ ]+"
    rb"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?(?:[ ]+[A-Z]{3,5})?"
    rb"(?:[ ]+(?P<before>[+-]\d{4}))?[ ]+(?P<year>\d{4})(?:[ ]+(?P<after>[+-]\d{4}))?"
)


class NotAnMboxError(Exception):
    """The file is none, or is being written to by a mail program at this moment."""


@dataclass(frozen=True, slots=True)
class MboxMessage:
    """One message; ``content`` is None where it is larger than allowed."""

    delivered: datetime | None  # aware, as the From line has it; None where it has no date
    digest: str  # lower-case hex SHA-256, of oversize messages too
    size: int
    content: bytes | None = field(repr=False)


def settled_size(stream: BinaryIO) -> int:
    """The size of the file at a moment when no mail program is appending to it."""
    try:
        fcntl.lockf(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EAGAIN}:
            raise NotAnMboxError("a mail program is writing to it; try again") from None
        return os.fstat(stream.fileno()).st_size  # a file system without locks
    try:
        return os.fstat(stream.fileno()).st_size
    finally:
        fcntl.lockf(stream, fcntl.LOCK_UN)


def messages_in(stream: BinaryIO, end: int, most: int) -> Iterator[MboxMessage]:
    """The messages in the first *end* bytes; content above *most* bytes is not kept.

    A message starts at a line beginning "From " after a blank line, or at the start; where the
    file's first such line holds a date, as it should, all must. ">From " loses one ">" (mboxrd).
    """
    growing: _Growing | None = None
    dated = False
    at_start = after_blank = True
    while end > 0 and (line := stream.readline(min(end, _PIECE))):
        end -= len(line)
        if at_start and after_blank and line.startswith(b"From ") and _begins(line, dated=dated):
            if growing is None:
                dated = _DATE.search(line) is not None
            else:
                yield growing.finished()
            growing = _Growing(_delivered(line), most)
        elif growing is not None:
            escaped = at_start and line.startswith(b">") and line.lstrip(b">").startswith(b"From ")
            growing.add(line[1:] if escaped else line)
        elif line.strip():
            raise NotAnMboxError("is no mbox; its first line must begin with 'From '")
        after_blank = at_start and line in {b"\n", b"\r\n"}
        at_start = line.endswith(b"\n")
    if growing is not None:
        yield growing.finished()


def _begins(line: bytes, *, dated: bool) -> bool:
    return not dated or _DATE.search(line) is not None


class _Growing:
    """A message whose end has not been reached."""

    def __init__(self, delivered: datetime | None, most: int) -> None:
        self._delivered = delivered
        self._most = most
        self._size = 0
        self._kept: list[bytes] = []
        self._held = b""  # a blank line, which may turn out to be only the separator
        self._sha: Any = hashlib.sha256()

    def add(self, line: bytes) -> None:
        held, self._held = self._held, b""
        if held:
            self._take(held)
        if line in {b"\n", b"\r\n"}:
            self._held = line
        else:
            self._take(line)

    def finished(self) -> MboxMessage:
        oversize = self._size > self._most
        content = None if oversize else b"".join(self._kept)
        self._sha.update(content or b"")
        return MboxMessage(self._delivered, self._sha.hexdigest(), self._size, content)

    def _take(self, line: bytes) -> None:
        self._size += len(line)
        self._kept.append(line)
        if self._size > self._most:
            self._sha.update(b"".join(self._kept))
            self._kept.clear()


def _delivered(line: bytes) -> datetime | None:
    match = _DATE.search(line)
    if match is None:
        return None
    zone = (match["before"] or match["after"] or b"+0000").decode()
    offset = timedelta(hours=int(zone[:3]), minutes=int(zone[0] + zone[3:]))
    try:
        return datetime(
            int(match["year"]),
            _MONTHS.index(match["month"].decode()) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            int(match["second"] or 0),
            tzinfo=timezone(offset),
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
