"""The line to an IMAP server, bounded in time and memory.

A timeout on the socket bounds a single wait only: a server that sends a byte now and then could
hold a run for days, and one that announces a huge literal could fill the memory. Here each command
has its time as a whole, and no literal may be larger than any mail we would take.
"""

from __future__ import annotations

import io
import logging
import math
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

from imapclient import IMAPClient, SocketTimeout
from imapclient.imap4 import IMAP4WithTimeout
from imapclient.response_parser import parse_fetch_response
from imapclient.tls import IMAP4_TLS

from ingest.sources import BYTES_PER_BATCH, Access, ImapAddress, SourceError

_SLOWEST = 64 * 1024  # bytes a second; a slower line is given mail one by one, or up
_BUFFER = 64 * 1024


class Patience:
    """How long the command that is running may still take, and how much it may bring at once."""

    def __init__(self, each_wait: float, largest: int) -> None:
        self.each_wait = each_wait
        self.largest = largest
        self._expected = 0
        self._until = math.inf

    def expect(self, size: int) -> None:
        """The next command brings about so many bytes, and may take the longer for it."""
        self._expected = size

    def begin(self) -> None:
        """A command is sent now."""
        self._until = time.monotonic() + self.each_wait + self._expected / _SLOWEST
        self._expected = 0

    def end(self) -> None:
        """What comes now was not asked for, and may take its time."""
        self._until = math.inf

    def left(self) -> float:
        """Seconds for the next wait; raises TimeoutError when none are left."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the command takes too long")
        return min(left, self.each_wait)


class _Reader(io.RawIOBase):
    """What comes from a socket, as long as there is patience."""

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        self._sock, self._patience = sock, patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        left = self._patience.left()
        if left < self._patience.each_wait:
            self._sock.settimeout(left)
        try:
            return self._sock.recv_into(buffer)
        finally:
            if left < self._patience.each_wait:
                self._sock.settimeout(self._patience.each_wait)


class _Bounded:
    """What imaplib's classes need so that their reading is bounded."""

    patience: Patience

    def open(self, *where: Any) -> None:  # noqa: ANN401 - imaplib is untyped here
        super().open(*where)  # type: ignore[misc]  # a mixin
        self.patience.begin()  # the greeting comes unasked
        reader = io.BufferedReader(_Reader(self.sock, self.patience), _BUFFER)  # type: ignore[attr-defined]
        # Python 3.14 made a property of what was an attribute.
        setattr(self, "_file" if hasattr(self, "_file") else "file", reader)

    def read(self, size: int) -> bytes:
        if size > self.patience.largest:
            raise MemoryError("the server announces more than any mail may have")
        content: bytes = super().read(size)  # type: ignore[misc]
        return content

    def send(self, data: bytes) -> None:
        if data.startswith(b"DONE"):
            self.patience.begin()
        super().send(data)  # type: ignore[misc]

    def _new_tag(self) -> bytes:
        self.patience.begin()  # every command has a tag, and takes it first
        tag: bytes = super()._new_tag()  # type: ignore[misc]
        return tag

    def _command(self, name: str, *args: Any) -> Any:  # noqa: ANN401 - likewise
        tag = super()._command(name, *args)  # type: ignore[misc]
        if name == "IDLE":
            self.patience.end()
        return tag


class _BoundedPlain(_Bounded, IMAP4WithTimeout):  # type: ignore[misc]  # untyped base
    def __init__(self, patience: Patience, host: str, port: int) -> None:
        self.patience = patience
        super().__init__(host, port, patience.each_wait)


class _BoundedTls(_Bounded, IMAP4_TLS):  # type: ignore[misc]  # untyped base
    def __init__(self, patience: Patience, host: str, port: int, tls: ssl.SSLContext) -> None:
        self.patience = patience
        super().__init__(host, port, tls, patience.each_wait)


class BoundedClient(IMAPClient):  # type: ignore[misc]  # untyped base
    """imapclient on a bounded line; connected when made."""

    def __init__(self, address: ImapAddress, access: Access, name: str) -> None:
        # It tells users' names, and much besides.
        logging.getLogger("imapclient").setLevel(logging.WARNING)
        tls = _tls(access, name) if address.tls else None
        # Twice what we take, lest mail just above the limit cost a connection.
        largest = 2 * max(access.max_message_bytes, BYTES_PER_BATCH)
        self.patience = Patience(access.timeout_s, largest)
        waits = SocketTimeout(access.timeout_s, access.timeout_s)
        super().__init__(
            address.host, address.port, ssl=address.tls, ssl_context=tls, timeout=waits
        )
        # imapclient lets imaplib format a debug line for each line of mail: slow, and private.
        self._imap.debug = 0
        self.folder_encode = False  # its decoder fails a whole listing for one bad name
        self.normalise_times = False

    def _create_IMAP4(self) -> Any:  # noqa: ANN401, N802 - imapclient's
        if self.ssl:
            return _BoundedTls(self.patience, self.host, self.port, self.ssl_context)
        return _BoundedPlain(self.patience, self.host, self.port)

    def fetch_range(self, first: int, last: int, items: str) -> Mapping[int, Mapping[bytes, Any]]:
        """*items* of whatever lies between two UIDs; ``fetch`` gives only what it can count up."""
        tag = self._imap._command("UID", "FETCH", f"{first}:{last}", f"({items})")  # noqa: SLF001
        status, said = self._imap._command_complete("FETCH", tag)  # noqa: SLF001
        self._checkok("fetch", status, said)
        _, said = self._imap._untagged_response(status, said, "FETCH")  # noqa: SLF001
        described: dict[int, dict[bytes, Any]] = parse_fetch_response(
            said, normalise_times=False, uid_is_key=True
        )
        return {uid: found for uid, found in described.items() if first <= uid <= last}

    def renumbered_from(self, uidvalidity: int) -> bool:
        """Whether the server has said in passing that other numbers than these hold now."""
        said = self._imap.untagged_responses.get("UIDVALIDITY", ())
        return any(value != str(uidvalidity).encode() for value in said)


def _tls(access: Access, name: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.ca_file or None)
    except (OSError, ValueError):
        raise SourceError(
            f"{name}: {access.ca_file} is no readable PEM file of certificates"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
