"""Where the keys are that texts are sealed with: a file of ours alone, or the system's keyring.

Both hold the same lines, ``fit-triage-key-1:`` and 32 random bytes in base64; the last line is the
newest key. What begins with ``#`` is a remark. Whoever has the file reads everything, whoever loses
it has lost everything: it belongs into a backup of its own, away from the database's.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from store.errors import KeysError
from store.sealing import Key

#: Under which the keyring of the operating system keeps them.
SERVICE: Final = "fit-triage"
_LINE: Final = "fit-triage-key-1:"
_BYTES: Final = 32
#: A larger file is no key file.
_MOST: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where the keys are: a *file*, or the entry *keyring* of the system's keyring.

    Without *searches* the words of sealed texts are not indexed, not even as what stands for them.
    """

    file: Path | None = None
    keyring: str = ""
    searches: bool = True

    def __str__(self) -> str:
        return f"key file {self.file}" if self.file else f"keyring entry {self.keyring!r}"

    def read(self) -> tuple[Key, ...]:
        """The keys there, the newest last; at least one.

        Raises:
            KeysError: There is none, others may read it too, or a line is no key.

        """
        found = self._lines()
        if not found:
            raise KeysError(f"{self} holds no key: make one with `fit-triage keys new`")
        return found

    def add(self) -> Key:
        """Make a new key and put it behind those that are there; all or nothing, on disk.

        Raises:
            KeysError: It cannot be written there.

        """
        there = self._text() or ""
        self._parsed(there)  # what is no key file is not written over
        new = secrets.token_bytes(_BYTES)
        before = there if there.endswith("\n") or not there else there + "\n"
        text = f"{before}{_LINE}{base64.b64encode(new).decode()}\n"
        if self.file:
            _replace(self.file, text)
        else:
            _keyring(self, text)
        return Key.of(new)

    def _lines(self) -> tuple[Key, ...]:
        return self._parsed(self._text() or "")

    def _text(self) -> str | None:
        return _read(self.file) if self.file else _keyring(self)

    def _parsed(self, text: str) -> tuple[Key, ...]:
        found = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                found.append(Key.of(self._secret(line.strip(), number)))
        return tuple(found)

    def _secret(self, line: str, number: int) -> bytes:
        try:
            secret = base64.b64decode(line.removeprefix(_LINE), validate=True)
        except ValueError:
            secret = b""
        if not line.startswith(_LINE) or len(secret) != _BYTES:
            raise KeysError(
                f"{self}, line {number}: no key as `fit-triage keys new` makes them "
                f"({_LINE} and {_BYTES} bytes in base64)"
            )
        return secret


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            text = stream.read(_MOST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeysError(f"key file {path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode) or len(text) > _MOST:
        raise KeysError(f"key file {path} is no key file")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise KeysError(
            f"key file {path} can be read or written by others (mode "
            f"{stat.S_IMODE(found.st_mode):04o}): allowed are 0400 and 0600, so `chmod 600` it"
        )
    if found.st_uid not in {os.geteuid(), 0}:
        raise KeysError(f"key file {path} belongs to another user")
    try:
        return text.decode("ascii")
    except UnicodeDecodeError:
        raise KeysError(f"key file {path} is no key file") from None


def _replace(path: Path, text: str) -> None:
    """Put *text* there at once: a power cut leaves the old keys or all of them."""
    path = path.resolve()
    part = path.with_name(f".{path.name}.part")
    try:
        # Its name is a lock as well: of two that add a key at once, the second fails.
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise KeysError(
            f"{part} is there: another program adds a key, or did not end well"
        ) from None
    except OSError as error:
        raise KeysError(f"key file {path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise KeysError(f"key file {path} cannot be written: {error.strerror}") from None
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _keyring(place: KeyPlace, put: str | None = None) -> str | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise KeysError(
            "the package keyring is not installed: pip install 'fit-triage[keyring]', "
            "or use key_file"
        ) from None
    try:
        if put is not None:
            keyring.set_password(SERVICE, place.keyring, put)
        return keyring.get_password(SERVICE, place.keyring)
    except KeyringError as error:
        raise KeysError(f"{place} cannot be used: {type(error).__name__}") from None


def named(keys: Sequence[str]) -> str:
    """Ids of keys, for people."""
    return ", ".join(keys) or "none"
