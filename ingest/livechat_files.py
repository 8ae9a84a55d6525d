"""Conversations from export files: JSON, a list of them, or one on each line. Nothing is written.

Accepted are what the API gives for one conversation, a list of such, the answer to a listing
(``conversations``), and JSON Lines. A folder stands for all such files below it, by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from ingest import livechat
from ingest.sources import BYTES_PER_BATCH, Batch, Known, Loss, SourceError
from triage.records import Cursor, MessageKey, RawMessage

_SUFFIXES: Final = (".json", ".jsonl", ".ndjson")
_LINES: Final = (".jsonl", ".ndjson")
_WHOLE_BYTES: Final = 512 * 1024 * 1024  # of a file that only makes sense as a whole
_BEFORE_ALL: Final = datetime.fromtimestamp(0, UTC)

Piece = RawMessage | Loss


class ConversationFiles:
    """The parts in export files, as messages.

    All is read at each run; the caller's memory tells what is new, by conversation and part.
    """

    folder = ""

    def __init__(self, path: Path, max_message_bytes: int) -> None:
        self.name = f"livechat:{path}"
        self._path = path
        self._most = max_message_bytes
        self._begun: Cursor | None = None  # what `latest` gave

    def __enter__(self) -> Self:
        try:
            for path in self._files():
                with path.open("rb"):
                    break
        except OSError as error:
            raise self._failure(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is kept open between batches."""

    def count(self) -> int:
        return len({piece.key for piece in self._pieces()})

    def latest(self) -> Cursor:
        now = datetime.now(UTC)
        written = [piece.received_at for piece in self._pieces() if isinstance(piece, RawMessage)]
        since = min(max(written, default=now), now)
        self._begun = Cursor(self.name, self.folder, 0, 0, since)
        return self._begun

    def batches(
        self, cursor: Cursor | None, known: Known, *, size: int = 200, limit: int | None = None
    ) -> Iterator[Batch]:
        told = cursor or Cursor(self.name, self.folder, 0, 0)
        if cursor is not None and cursor is self._begun:
            yield Batch((), (), told)
        since = told.since or _BEFORE_ALL
        new = (
            piece
            for piece in unknown(self._pieces(), known)
            if isinstance(piece, Loss) or piece.received_at > since
        )
        for pieces in in_batches(islice(new, limit), size):
            yield batch_of(pieces, told)

    def fetch(self, keys: Iterable[MessageKey]) -> Iterator[Piece]:
        missing = set(keys)
        for piece in self._pieces() if missing else ():
            if piece.key in missing:
                missing.discard(piece.key)
                yield piece
        yield from (Loss(key, "vanished", 0) for key in missing)

    def tag(self, keys: Sequence[MessageKey], keyword: str) -> None:
        """Files are left as they are."""

    def _files(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        found: list[Path] = []
        for folder, _, names in os.walk(self._path, onerror=_raise):
            found += [path for name in names if is_export(path := Path(folder, name))]
        return sorted(found)

    def _pieces(self) -> Iterator[Piece]:
        try:
            for path in self._files():
                with path.open("rb") as stream:
                    yield from self._in_file(stream, path)
        except OSError as error:
            raise self._failure(error) from None

    def _in_file(self, stream: BinaryIO, path: Path) -> Iterator[Piece]:
        head = next((line for line in _bounded_lines(stream, self._most) if line.strip()), b"")
        stream.seek(0)
        if _is_by_line(head, path):
            yield from self._by_line(stream)
            return
        if os.fstat(stream.fileno()).st_size > _WHOLE_BYTES:
            raise SourceError(f"{self.name}: {path.name} is too large; give JSON Lines")
        try:
            value = livechat.loads(stream.read())
        except ValueError:
            raise SourceError(f"{self.name}: {path.name} is no JSON, or only part of it") from None
        for conversation in _conversations(value):
            yield from livechat.messages_in(conversation, self.name)

    def _by_line(self, stream: BinaryIO) -> Iterator[Piece]:
        for line in _bounded_lines(stream, self._most):
            if len(line) > self._most:
                yield Loss(self._key(line), "oversize", len(line))
                continue
            try:
                value = livechat.loads(line) if line.strip() else None
            except ValueError:
                if line.endswith(b"\n"):  # else somebody is still writing it
                    yield livechat.untouched(self._key(line), line)
                continue
            if value is not None:
                yield from livechat.messages_in(value, self.name)

    def _key(self, line: bytes) -> MessageKey:
        return MessageKey(self.name, self.folder, 0, livechat.number(line))

    def _failure(self, error: OSError) -> SourceError:
        return SourceError(f"{self.name}: cannot be read ({error.strerror})")


def is_export(path: Path) -> bool:
    """Whether a file is named as exports of conversations are."""
    return path.name.lower().endswith(_SUFFIXES)


def unknown(pieces: Iterable[Piece], known: Known) -> Iterator[Piece]:
    """Those that the caller's memory does not hold, each once."""
    passed: set[MessageKey] = set()
    rest = iter(pieces)
    while chunk := list(islice(rest, 500)):
        passed |= known([piece.key for piece in chunk])
        for piece in chunk:
            if piece.key not in passed:
                passed.add(piece.key)
                yield piece


def in_batches(pieces: Iterable[Piece], size: int) -> Iterator[list[Piece]]:
    """Runs bounded in number and in bytes."""
    weight = count = 0

    def place(piece: Piece) -> int:
        nonlocal weight, count
        own = len(piece.content) if isinstance(piece, RawMessage) else 0
        weight, count = weight + own, count + 1
        return (count - 1) // size + weight // BYTES_PER_BATCH

    for _, run in groupby(pieces, key=place):
        yield list(run)


def batch_of(pieces: Sequence[Piece], cursor: Cursor) -> Batch:
    """*pieces* as a batch that leaves the folder at *cursor*."""
    messages = tuple(piece for piece in pieces if isinstance(piece, RawMessage))
    losses = tuple(piece for piece in pieces if isinstance(piece, Loss))
    return Batch(messages, losses, cursor)


def _bounded_lines(stream: BinaryIO, most: int) -> Iterator[bytes]:
    """The lines of *stream*; one longer than *most* bytes is given cut, a byte too long."""
    while line := stream.readline(most + 1):
        yield line
        rest = line
        while len(rest) > most and not rest.endswith(b"\n"):
            rest = stream.readline(most + 1)


def _is_by_line(head: bytes, path: Path) -> bool:
    """Whether each line of a file that begins with *head* stands for itself."""
    if path.suffix.lower() in _LINES:
        return True
    try:
        value = livechat.loads(head)
    except ValueError:
        return False
    return isinstance(value, Mapping) and "conversations" not in value


def _conversations(value: Any) -> Sequence[Any]:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return value
    return livechat.listed(value, "conversations") or (value,)


def _raise(error: OSError) -> None:
    raise error
