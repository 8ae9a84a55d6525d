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
from itertools import pairwise
from typing import BinaryIO

_BLOCK = 1024 * 1024  # bytes read at a time
_LONGEST_FROM_LINE = 1024
_BLANK_LINE = 3  # bytes before a From line that tell whether a message starts there
_SEPARATOR = re.compile(rb"\n\r?\n(?=From )")
_ESCAPED = re.compile(rb"^>(?=>*From )", re.MULTILINE)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# The date of a From line: asctime, as RFC 4155 has it, with the zones that some programs add.
_DATE = re.compile(
    rb"\b(?P<month>[A-Z][a-z]{2})[ ]+(?P<day>\d{1,2})[ ]+"
    rb"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?(?:[ ]+[A-Z]{3,5})?"
    rb"(?:[ ]+(?P<before>[+-]\d{4}))?[ ]+(?P<year>\d{4})(?:[ ]+(?P<after>[+-]\d{4}))?"
)


class NotAnMboxError(Exception):
    """The file is none, or a mail program is writing to it at this moment."""


@dataclass(frozen=True, slots=True)
class MboxMessage:
    """One message; ``content`` is None where it is larger than allowed."""

    delivered: datetime | None  # aware, as the From line has it; None where it has no date
    digest: str  # lower-case hex SHA-256, of oversize messages too
    size: int
    content: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Start:
    """Where the message before ends and one begins, as offsets in the file."""

    end_before: int
    body: int
    line: bytes


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


def messages_in(
    stream: BinaryIO, end: int, most: int, *, begin: int = 0, until: int | None = None
) -> Iterator[MboxMessage]:
    """The messages in the first *end* bytes; content above *most* bytes is not kept.

    A message starts at a line beginning "From " after a blank line, or at the start; where the
    file's first such line holds a date, as it should, all must. ">From " loses one ">" (mboxrd).
    Of a stretch from *begin* to *until* (bytes, anywhere) those that start in it are given: where
    stretches adjoin, each message is in one of them.
    """
    file = stream.fileno()
    for start, following in pairwise(_starts(file, end, begin)):
        line_at = start.body - len(start.line)
        if until is not None and line_at >= until:
            return
        if line_at >= begin:
            yield _message(file, start, max(following.end_before, start.body), most)


def _starts(file: int, end: int, begin: int = 0) -> Iterator[_Start]:
    """Where messages start from *begin* on, perhaps one before it, and at last the file's end."""
    # As if the file began after a blank line; later, what may belong to a start in the next block.
    kept, at, dated = b"\n\n", 0, None
    if begin > _BLANK_LINE:
        kept, at = b"", begin - _BLANK_LINE
        dated = next((_DATE.search(start.line) is not None for start in _starts(file, end)), None)
    while at < end:
        block = _read(file, at, min(at + _BLOCK, end))
        data, base = kept + block, at - len(kept)
        at += len(block)
        for match in _SEPARATOR.finditer(data):
            eol = data.find(b"\n", match.end())
            if eol < 0 and at < end:
                break  # the rest of the line is in the next block
            line = data[match.end() : eol + 1 if eol >= 0 else len(data)]
            if dated is None:
                dated = _DATE.search(line) is not None
            if not dated or _DATE.search(line):
                body = base + match.end() + len(line)
                yield _Start(base + match.start() + 1, body, line)
        if dated is None and not b"From ".startswith(data.lstrip()[:5]):
            raise NotAnMboxError("is no mbox; its first line must begin with 'From '")
        kept = _unfinished(data)
    yield _Start(_without_blank_line(file, end), end, b"")


def _unfinished(data: bytes) -> bytes:
    """The last line of *data*, as far as it goes, with what tells whether the one before is blank.

    A line too long to be a From line is of no interest, so that what is kept stays small.
    """
    last = data.rfind(b"\n")
    return data[-3:] if len(data) - last > _LONGEST_FROM_LINE else data[max(last - 2, 0) :]


def _message(file: int, start: _Start, end: int, most: int) -> MboxMessage:
    size = end - start.body
    delivered = _delivered(start.line)
    if size > most:
        sha = hashlib.sha256()
        for at in range(start.body, end, _BLOCK):
            sha.update(_read(file, at, min(at + _BLOCK, end)))
        return MboxMessage(delivered, sha.hexdigest(), size, None)
    content = _read(file, start.body, end)
    if b">From " in content:
        content = _ESCAPED.sub(b"", content)
    return MboxMessage(delivered, hashlib.sha256(content).hexdigest(), size, content)


def _read(file: int, start: int, end: int) -> bytes:
    """These bytes of the file, all of them."""
    data = os.pread(file, end - start, start)
    if len(data) < end - start:
        raise NotAnMboxError("a mail program has shortened it meanwhile; try again")
    return data


def _without_blank_line(file: int, end: int) -> int:
    """Where the last message ends: one blank line at the end only separates."""
    tail = _read(file, max(end - 3, 0), end)
    if tail.endswith(b"\n\n"):
        return end - 1
    return end - 2 if tail.endswith(b"\n\r\n") else end


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
