"""Mail from files: a Maildir, an mbox, .eml files. Nothing is ever written, moved or renamed.

A file has no UID that a server keeps for us, so each kind derives one that stays: a hash of what
does not change while mail programs move messages about and flag them. The caller's memory says
which of them are new, and only those are opened; the cursor tells no more than the moment from
which mail is ours.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Self

from ingest.mbox import MboxMessage, NotAnMboxError, messages_in, settled_size
from ingest.sources import BYTES_PER_BATCH, Batch, Known, Loss, SourceError
from triage.records import Cursor, MessageKey, RawMessage

_ASKED_AT_ONCE = 1_000  # keys put to the caller's memory at a time
# Lack of these is ours, not the message's: no mail may be written off for it.
_OUR_FAULT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_BEFORE_ALL = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class _File:
    """One message in a file of its own."""

    uid: int
    delivered: datetime
    path: str


class _Files:
    """What all kinds of file source share. ``folder`` is empty: the path says it all."""

    folder = ""

    def __init__(self, scheme: str, path: Path, max_message_bytes: int) -> None:
        self.name = f"{scheme}:{path}"
        self._path = path
        self._most = max_message_bytes
        self._begun: Cursor | None = None  # what `latest` gave

    def __exit__(self, *_: object) -> None:
        """Nothing is kept open between batches."""

    def tag(self, keys: Sequence[MessageKey], keyword: str) -> None:
        """Files are left as they are."""

    def _key(self, uid: int) -> MessageKey:
        return MessageKey(self.name, self.folder, 0, uid)

    def _from(self, since: datetime | None, uid: int = 0) -> Cursor:
        return Cursor(self.name, self.folder, 0, uid, since)

    def _batched(
        self,
        read: Iterable[RawMessage | Loss],
        cursor: Cursor | None,
        size: int,
        limit: int | None,
    ) -> Iterator[Batch]:
        told = cursor or self._from(None)
        if cursor is not None and cursor is self._begun:
            yield Batch((), (), told)
        yield from _batched(read, told, size, limit)

    def _failure(self, error: OSError, path: str | os.PathLike[str]) -> SourceError:
        return SourceError(f"{self.name}: cannot read {os.fspath(path)} ({error.strerror})")


class _FilePerMessage(_Files, ABC):
    """A folder of files, listed once: what is in it is as of entering."""

    _listed: Sequence[_File] = ()

    def __enter__(self) -> Self:
        self._listed = self._files()
        return self

    def count(self) -> int:
        return len(self._listed)

    def latest(self) -> Cursor:
        now = datetime.now(UTC)
        newest = max((file.delivered for file in self._listed), default=now)
        self._begun = self._from(min(newest, now))  # a file from the future must not hide others
        return self._begun

    def batches(
        self, cursor: Cursor | None, known: Known, *, size: int = 200, limit: int | None = None
    ) -> Iterator[Batch]:
        since = cursor.since if cursor else None
        files = [f for f in self._listed if since is None or f.delivered > since]
        read = (self._read(file) for file in self._unknown(files, known))
        return self._batched(read, cursor, size, limit)

    def fetch(self, keys: Iterable[MessageKey]) -> Iterator[RawMessage | Loss]:
        files = {self._key(file.uid): file for file in self._listed}
        for key in set(keys):
            yield self._read(files[key]) if key in files else Loss(key, "vanished", 0)

    def names(self) -> list[str]:
        """The messages as paths below the folder, in order: a reference for ``at``."""
        return [os.path.relpath(file.path, self._path) for file in self._listed]

    def at(self, names: Iterable[str]) -> Iterator[RawMessage | Loss]:
        """The messages at these paths, without a look at the rest; needs no ``with``."""
        for name in names:
            yield self._named(name)

    @abstractmethod
    def _named(self, name: str) -> RawMessage | Loss:
        """The message at this path below the folder."""

    def _unknown(self, files: Sequence[_File], known: Known) -> Iterator[_File]:
        for first in range(0, len(files), _ASKED_AT_ONCE):
            chunk = {self._key(f.uid): f for f in files[first : first + _ASKED_AT_ONCE]}
            stored = known(list(chunk))
            yield from (file for key, file in chunk.items() if key not in stored)

    def _read(self, file: _File) -> RawMessage | Loss:
        key = self._key(file.uid)
        try:
            with self._open(file) as stream:
                size = os.fstat(stream.fileno()).st_size
                content = stream.read(self._most + 1) if size <= self._most else b""
        except FileNotFoundError:
            return Loss(key, "vanished", 0)
        except OSError as error:
            if error.errno in _OUR_FAULT:
                raise self._failure(error, file.path) from None
            return Loss(key, "unfetchable", 0)
        if max(size, len(content)) > self._most:
            return Loss(key, "oversize", max(size, len(content)))
        return RawMessage(key, file.delivered, hashlib.sha256(content).hexdigest(), content)

    def _open(self, file: _File) -> BinaryIO:
        return open(file.path, "rb")  # noqa: PTH123 - in the hot path, and the path is text

    @abstractmethod
    def _files(self) -> list[_File]:
        """All messages, in the order in which they are to be read."""


class Maildir(_FilePerMessage):
    """A Maildir: ``new`` and ``cur``, by time of delivery.

    A message is known by its unique name, the part before ``:``, which keeps while mail programs
    move it from ``new`` to ``cur`` and change its flags (https://cr.yp.to/proto/maildir.html).
    """

    def __init__(self, path: Path, max_message_bytes: int) -> None:
        super().__init__("maildir", path, max_message_bytes)

    def _files(self) -> list[_File]:
        found: dict[str, _File] = {}
        # First new, then cur: what moves between the two looks is seen twice rather than never.
        for name, path in [*self._entries("new"), *self._entries("cur")]:
            unique = name.partition(":")[0]
            earlier = found.get(unique)
            try:
                delivered = earlier.delivered if earlier else _delivered(unique, path)
            except FileNotFoundError:
                continue  # moved or deleted since listed; if moved, the second look has it
            found[unique] = _File(_uid(os.fsencode(unique)), delivered, path)
        return [f for _, f in sorted(found.items(), key=lambda item: (item[1].delivered, item[0]))]

    def _named(self, name: str) -> RawMessage | Loss:
        unique, path = Path(name).name.partition(":")[0], str(self._path / name)
        uid = _uid(os.fsencode(unique))
        try:
            return self._read(_File(uid, _delivered(unique, path), path))
        except FileNotFoundError:
            by_name = {entry.partition(":")[0]: found for entry, found in self._entries("cur")}
            if unique not in by_name:
                return Loss(self._key(uid), "vanished", 0)
            return self._read(_File(uid, _delivered(unique, by_name[unique]), by_name[unique]))

    def _entries(self, part: str) -> list[tuple[str, str]]:
        folder = self._path / part
        try:
            with os.scandir(folder) as entries:
                return [
                    (entry.name, entry.path)
                    for entry in entries
                    if not entry.name.startswith(".") and entry.is_file()
                ]
        except FileNotFoundError as error:
            if (self._path / "new").is_dir() or (self._path / "cur").is_dir():
                return []  # archives often leave an empty folder out
            if self._path.is_dir():
                raise SourceError(
                    f"{self.name}: is no Maildir; allowed is a folder with cur and new in it"
                ) from None
            raise self._failure(error, self._path) from None
        except OSError as error:
            raise self._failure(error, folder) from None

    def _open(self, file: _File) -> BinaryIO:
        try:
            return super()._open(file)
        except FileNotFoundError:
            unique = Path(file.path).name.partition(":")[0]
            for name, path in self._entries("cur"):  # a mail program has moved or flagged it
                if name.partition(":")[0] == unique:
                    return open(path, "rb")  # noqa: PTH123 - as above
            raise


class EmlFolder(_FilePerMessage):
    """One message file, or all ``.eml`` files below a folder, sorted by path.

    A message is known by its path below the folder: other content at the same path is not looked
    at again. It counts as delivered when the file was last changed.
    """

    def __init__(self, path: Path, max_message_bytes: int) -> None:
        super().__init__("eml", path, max_message_bytes)

    def _files(self) -> list[_File]:
        try:
            if not self._path.is_dir():
                return [self._file(self._path, self._path.name)]
            return [self._file(path, name) for name, path in sorted(self._below())]
        except OSError as error:
            raise self._failure(error, error.filename or self._path) from None

    def _named(self, name: str) -> RawMessage | Loss:
        alone = name == os.curdir
        path = self._path if alone else self._path / name
        try:
            return self._read(self._file(path, path.name if alone else name))
        except FileNotFoundError:
            return Loss(self._key(_uid(os.fsencode(name))), "vanished", 0)

    def _below(self) -> Iterator[tuple[str, Path]]:
        for folder, _, names in os.walk(self._path, onerror=_raise):
            for name in names:
                path = Path(folder, name)
                if path.suffix.lower() == ".eml":
                    yield path.relative_to(self._path).as_posix(), path

    def _file(self, path: Path, name: str) -> _File:
        modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return _File(_uid(os.fsencode(name)), modified, str(path))


class Mbox(_Files):
    """An mbox file, read as a stream in its own order.

    A message is known by its content; the same mail twice is one. All of the file is read at each
    run, for only its content tells what is new. It counts as delivered when its From line says.
    """

    def __init__(self, path: Path, max_message_bytes: int) -> None:
        super().__init__("mbox", path, max_message_bytes)

    def __enter__(self) -> Self:
        for _ in self._messages():
            break
        return self

    def count(self) -> int:
        return len({_uid_of(message) for message in self._messages()})

    def latest(self) -> Cursor:
        uid, newest = 0, _BEFORE_ALL
        for message in self._messages():
            uid, newest = _uid_of(message), max(newest, message.delivered or _BEFORE_ALL)
        now = datetime.now(UTC)
        self._begun = self._from(min(newest, now) if uid else now, uid)
        return self._begun

    def batches(
        self, cursor: Cursor | None, known: Known, *, size: int = 200, limit: int | None = None
    ) -> Iterator[Batch]:
        read = self._unknown(self._after(cursor), known)
        return self._batched(read, cursor, size, limit)

    def fetch(self, keys: Iterable[MessageKey]) -> Iterator[RawMessage | Loss]:
        missing = set(keys)
        for piece in self._unknown(self._messages(), lambda asked: {*asked} - missing):
            missing.discard(piece.key)
            yield piece
        yield from (Loss(key, "vanished", 0) for key in missing)

    def _messages(self) -> Iterator[MboxMessage]:
        try:
            with self._path.open("rb") as stream:
                yield from messages_in(stream, settled_size(stream), self._most)
        except OSError as error:
            raise self._failure(error, self._path) from None
        except NotAnMboxError as error:
            raise SourceError(f"{self.name}: {error}") from None

    def _after(self, cursor: Cursor | None) -> Iterator[MboxMessage]:
        """What is ours by *cursor*: all that stands behind the message that was then the last.

        Where that has been deleted, all that was delivered later.
        """
        if cursor is None or cursor.since is None:
            yield from self._messages()
            return
        behind = any(_uid_of(message) == cursor.uid for message in self._messages())
        by_date = not behind
        for message in self._messages():
            late = message.delivered is None or message.delivered > cursor.since
            if late if by_date else not behind:
                yield message
            behind = behind and _uid_of(message) != cursor.uid

    def _unknown(
        self, messages: Iterable[MboxMessage], known: Known
    ) -> Iterator[RawMessage | Loss]:
        now = datetime.now(UTC)
        passed: set[MessageKey] = set()
        for chunk in _bounded(messages):
            passed |= known([self._key(_uid_of(message)) for message in chunk])
            for message in chunk:
                key = self._key(_uid_of(message))
                if key in passed:
                    continue
                passed.add(key)
                if message.content is None:
                    yield Loss(key, "oversize", message.size)
                else:
                    at = message.delivered or now
                    yield RawMessage(key, at, message.digest, message.content)


def _batched(
    read: Iterable[RawMessage | Loss], cursor: Cursor, size: int, limit: int | None
) -> Iterator[Batch]:
    messages: list[RawMessage] = []
    losses: list[Loss] = []
    weight = 0
    for piece in islice(read, limit):
        if isinstance(piece, Loss):
            losses.append(piece)
        else:
            messages.append(piece)
            weight += len(piece.content)
        if len(messages) + len(losses) >= size or weight >= BYTES_PER_BATCH:
            yield Batch(tuple(messages), tuple(losses), cursor)
            messages, losses, weight = [], [], 0
    if messages or losses:
        yield Batch(tuple(messages), tuple(losses), cursor)


def _bounded(messages: Iterable[MboxMessage]) -> Iterator[list[MboxMessage]]:
    """Runs short enough to be held, long enough to be asked about together."""
    run: list[MboxMessage] = []
    weight = 0
    for message in messages:
        run.append(message)
        weight += len(message.content or b"")
        if len(run) >= _ASKED_AT_ONCE or weight >= BYTES_PER_BATCH:
            yield run
            run, weight = [], 0
    if run:
        yield run


def _uid(name: bytes) -> int:
    """63 bits of SHA-256: fits every database's integers, and two alike are not to be feared."""
    return int.from_bytes(hashlib.sha256(name).digest()[:8]) >> 1


def _uid_of(message: MboxMessage) -> int:
    return int(message.digest[:16], 16) >> 1


def _delivered(unique: str, path: str) -> datetime:
    """When a Maildir message was delivered: as its name says, else when the file was made.

    Names hold seconds, and most a part of them (``M``, microseconds); else the file may tell it.
    """
    seconds, _, rest = unique.partition(".")
    fraction = re.match(r"[^.]*?M(\d{1,6})(?!\d)", rest)
    if re.fullmatch(r"\d{1,11}", seconds) and fraction:
        return datetime.fromtimestamp(int(seconds), UTC).replace(microsecond=int(fraction[1]))
    modified = os.stat(path).st_mtime  # noqa: PTH116 - as in the hot path
    if re.fullmatch(r"\d{1,11}", seconds) and int(seconds) != int(modified):
        return datetime.fromtimestamp(int(seconds), UTC)
    return datetime.fromtimestamp(modified, UTC)


def _raise(error: OSError) -> None:
    raise error
