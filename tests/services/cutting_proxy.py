"""A TCP proxy on 127.0.0.1 that breaks connections where a test says, to the byte.

It passes TLS through untouched, so that a cut there falls inside a record.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Way = Literal["down", "up"]  # from the server; to the server
Fault = Literal["cut", "stall", "trickle", "flip"]


@dataclass
class CuttingProxy:
    """What the proxy does with the connections that come next, and what it has seen.

    ``fault`` strikes once *at* bytes have gone *way* in one connection: "cut" resets both sides,
    "stall" goes silent without closing, "trickle" sends on byte by byte, "flip" turns one bit of
    the *at*-th byte. None strikes never.
    """

    port: int
    fault: Fault | None = None
    way: Way = "down"
    at: int = 0
    bit: int = 0
    passed: dict[Way, int] = field(default_factory=lambda: {"down": 0, "up": 0})  # last connection

    def strike(self, fault: Fault | None, way: Way = "down", at: int = 0, *, bit: int = 0) -> None:
        self.fault, self.way, self.at, self.bit = fault, way, at, bit


@contextlib.contextmanager
def cutting_proxy(server_port: int) -> Iterator[CuttingProxy]:
    """Pass connections on to *server_port* until the ``with`` ends."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(0.05)
        proxy = CuttingProxy(listener.getsockname()[1])
        thread = threading.Thread(target=_accept, args=(listener, server_port, proxy, stop))
        thread.start()
        try:
            yield proxy
        finally:
            stop.set()
            thread.join(10)


def _accept(
    listener: socket.socket, server_port: int, proxy: CuttingProxy, stop: threading.Event
) -> None:
    relays: list[threading.Thread] = []
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            client, _ = listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", server_port))
            except OSError:  # it is away: so are we, until it comes back
                client.close()
                continue
            proxy.passed = {"down": 0, "up": 0}
            line = _Line(client, server, proxy)
            relays = [relay for relay in relays if relay.is_alive()]
            relays.append(threading.Thread(target=line.relay, args=(stop,)))
            relays[-1].start()
    for relay in relays:
        relay.join(10)


class _Line:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket, proxy: CuttingProxy) -> None:
        self._client, self._server = client, server
        self._fault, self._way, self._at = proxy.fault, proxy.way, proxy.at
        self._bit = proxy.bit
        self._passed = proxy.passed
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def relay(self, stop: threading.Event) -> None:
        with self._client, self._server, contextlib.suppress(OSError):
            going_on = True
            while going_on and not stop.is_set():
                ready, _, _ = select.select([self._client, self._server], [], [], 0.05)
                going_on = all(self._pass_on(each) for each in ready)
            if self._fault == "stall" and not stop.is_set():
                self._wait_for_client(stop)

    def _pass_on(self, source: socket.socket) -> bool:
        """Send on what *source* has sent, or the part of it before the fault; whether to go on."""
        way: Way = "down" if source is self._server else "up"
        target = self._client if way == "down" else self._server
        data = source.recv(65536)
        room = self._at - self._passed[way]
        strikes = self._fault is not None and way == self._way and len(data) >= room
        if strikes and self._fault == "trickle":
            for byte in data:
                target.sendall(bytes([byte]))
        elif strikes and self._fault == "flip":
            at = room - 1
            turned = bytes([data[at] ^ 1 << self._bit]) if at >= 0 else b""
            target.sendall(data[: max(at, 0)] + turned + data[at + 1 :] if turned else data)
        else:
            target.sendall(data[: max(room, 0)] if strikes else data)
        self._passed[way] += len(data)
        if strikes and self._fault == "cut":
            for each in (self._client, self._server):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return bool(data) and (not strikes or self._fault in {"trickle", "flip"})

    def _wait_for_client(self, stop: threading.Event) -> None:
        while not stop.is_set():
            ready, _, _ = select.select([self._client], [], [], 0.05)
            if ready and not self._client.recv(65536):
                return
