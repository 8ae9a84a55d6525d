"""The file that holds a refresh token: read, and replaced whole whenever the provider rotates it.

Operations put the bare token into it. From the first renewal on it is a small JSON object that
holds the access token as well, so that runs started minutes apart need not each ask for one. Many
providers accept a refresh token only once: losing the new one locks the mailbox out until somebody
signs in again. So the room for it is made before the provider is asked, one process asks at a
time, and the new token is on disk before anything is done with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ingest.sources import SourceError, SourceSpecError

_ROOM = 32 * 1024  # bytes; providers' tokens take up to a few thousand each
_LOOKS_PER_S = 20


@dataclass(frozen=True, slots=True)
class Grant:
    """What the provider has given; moments are seconds since the epoch, 0 where not known."""

    refresh_token: str = field(repr=False)
    access_token: str = field(default="", repr=False)
    renew_at: float = 0  # when the access token is to be replaced, well before it ends
    given_at: float = 0  # when this refresh token came
    ends_at: float = 0  # when this refresh token ends, where the provider tells


class TokenFile:
    """A refresh token's file. Every error names the file and never what is in it."""

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path))  # a link stays one; what it points to is replaced

    def read(self) -> Grant:
        """What is in the file.

        Raises:
            SourceSpecError: It cannot be read, or holds no token.

        """
        try:
            text = self._path.read_text(encoding="utf-8").strip()
            changed_at = self._path.stat().st_mtime
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "not text"
            raise SourceSpecError(f"refresh token file {self._path}: {why}") from None
        grant = _grant(text, changed_at)
        if grant is None:
            raise SourceSpecError(f"refresh token file {self._path} holds no refresh token")
        return grant

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[None]:
        """Keep other processes from renewing meanwhile; waits for one that is at it.

        Raises:
            SourceError: The folder cannot be written, or the wait took too long.

        """
        lock = self._path.with_name(f".{self._path.name}.lock")
        try:
            handle = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            self._wait_for(handle, time.monotonic() + timeout_s)
            yield
        finally:
            os.close(handle)

    def _wait_for(self, handle: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    msg = f"another process has been renewing {self._path} for too long"
                    raise SourceError(msg) from None
                time.sleep(1 / _LOOKS_PER_S)
            else:
                return

    @contextmanager
    def room(self) -> Iterator[Room]:
        """Room on the disk for a new grant, made beforehand; ask the provider within.

        Raises:
            SourceError: There is none, or the folder cannot be written.

        """
        draft = self._path.with_name(f".{self._path.name}.new")
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(draft, flags, 0o600)
        except OSError as error:
            raise self._unwritable(error) from None
        room = Room(self._path, draft, handle)
        try:
            room.claim()
            yield room
        except OSError as error:
            raise self._unwritable(error) from None
        finally:
            os.close(handle)
            with suppress(OSError):  # gone where it has become the file
                draft.unlink()

    def _unwritable(self, error: OSError) -> SourceError:
        return SourceError(
            f"refresh token file {self._path} cannot be replaced ({error.strerror}), and a rotated "
            "token would be lost; the file and its folder must be writable"
        )


@dataclass(frozen=True, slots=True)
class Room:
    """Where a new grant will be written, within ``TokenFile.room``."""

    _path: Path
    _draft: Path
    _handle: int

    def claim(self) -> None:
        os.fchmod(self._handle, 0o600)
        if os.geteuid() == 0:  # an administrator's try must not lock the service out
            owner = (self._path if self._path.exists() else self._path.parent).stat()
            os.fchown(self._handle, owner.st_uid, owner.st_gid)
        os.posix_fallocate(self._handle, 0, _ROOM)

    def save(self, grant: Grant) -> None:
        """Replace the file with *grant*; when this returns it outlives a power cut."""
        content = json.dumps(asdict(grant)).encode()
        os.pwrite(self._handle, content, 0)
        os.ftruncate(self._handle, len(content))
        os.fsync(self._handle)
        os.rename(self._draft, self._path)  # noqa: PTH104 - beside the calls it belongs to
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _grant(text: str, changed_at: float) -> Grant | None:
    if not text.startswith("{"):
        one_word = text.isascii() and text.isprintable() and " " not in text
        return Grant(text, given_at=changed_at) if text and one_word else None
    try:
        grant = Grant(**json.loads(text))
    except (ValueError, TypeError):
        return None
    numbers = (grant.renew_at, grant.given_at, grant.ends_at)
    fits = all(isinstance(number, int | float) for number in numbers) and all(
        isinstance(token, str) for token in (grant.refresh_token, grant.access_token)
    )
    return grant if fits and grant.refresh_token else None
