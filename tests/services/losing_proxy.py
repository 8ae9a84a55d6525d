"""A proxy before PostgreSQL that loses a COMMIT, or what the server says to it.

It listens on a socket of its own, speaks no TLS, and passes all else on as it comes.
"""

from __future__ import annotations

import contextlib
import select
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Lost = Literal["reply", "request"]
_NAME = ".s.PGSQL.5432"
_COMMIT = b"COMMIT\0"  # of the query, and of the tag with which the server says that it is done


@dataclass
class LosingProxy:
    """What is lost, and what has been seen. ``folder`` is the host to connect to."""

    folder: Path
    lost: Lost | None = None
    at: int = 0  # which COMMIT of all that come from now on
    seen: int = 0
    struck: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def lose(self, lost: Lost | None, at: int = 0) -> None:
        self.lost, self.at, self.seen, self.struck = lost, at, 0, False

    def is_struck(self, sent: bytes) -> bool:
        """Whether the fault is to strike what a client has *sent*."""
        with self._lock:
            self.seen += _COMMIT in sent
            strikes = _COMMIT in sent and self.lost is not None and self.seen == self.at
            self.struck |= strikes
            return strikes


@contextlib.contextmanager
def losing_proxy(server: Path) -> Iterator[LosingProxy]:
    """Pass connections on to the server whose socket is in the folder *server*."""
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="proxy-", dir="/tmp") as folder:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{folder}/{_NAME}")
        listener.listen(16)
        listener.settimeout(0.05)
        proxy = LosingProxy(Path(folder))
        thread = threading.Thread(target=_accept, args=(listener, server, proxy, stop))
        thread.start()
        try:
            with listener:
                yield proxy
        finally:
            stop.set()
            thread.join(10)


def _accept(
    listener: socket.socket, server: Path, proxy: LosingProxy, stop: threading.Event
) -> None:
    relays: list[threading.Thread] = []
    while not stop.is_set():
        try:
            client, _ = listener.accept()
        except TimeoutError:
            continue
        except OSError:
            break
        relays.append(threading.Thread(target=_relay, args=(client, server, proxy, stop)))
        relays[-1].start()
    for relay in relays:
        relay.join(10)


def _relay(client: socket.socket, folder: Path, proxy: LosingProxy, stop: threading.Event) -> None:
    with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
        server.connect(f"{folder}/{_NAME}")
        while not stop.is_set():
            ready, _, _ = select.select([client, server], [], [], 0.05)
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                if source is client and proxy.is_struck(data):
                    _lose(server, data, proxy)
                    return
                (server if source is client else client).sendall(data)


def _lose(server: socket.socket, sent: bytes, proxy: LosingProxy) -> None:
    if proxy.lost == "request":
        return
    server.sendall(sent)
    server.settimeout(10)
    while _COMMIT not in (answer := server.recv(65536)):  # until it is really stored
        if not answer:
            return
