"""Hearing of new mail at once (IMAP IDLE, RFC 2177).

A hint and no more: a server may forget to tell, and a firewall may swallow the line without a
word. So whoever listens looks by itself now and then, and here the line is tried every few minutes:
servers end an IDLE after 29 minutes, and most firewalls forget a silent line much sooner.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from ingest.imap import ImapSource
from ingest.pace import Pace
from ingest.sources import Access, ImapAddress, SourceError

log = logging.getLogger(__name__)

_GLANCE_S: Final = 0.5  # between two looks at whether to stop
_STEADY_S: Final = 60  # a line that held for so long was a good one


class IdleLine(ImapSource):
    """A line of its own to a folder, on which the server tells of new mail; reads none."""

    def offers_idle(self) -> bool:
        with self._edge("asking what the server can do"):
            return bool(self._client.has_capability("IDLE"))

    def listen(
        self, ring: Callable[[], None], *, renew_s: float, stopped: Callable[[], bool]
    ) -> None:
        """Call *ring* when listening has begun and then whenever mail comes, until *stopped*.

        Raises ``SourceError`` when the line is lost, at the latest *renew_s* and one timeout after.
        """
        with self._edge("waiting for mail"):
            self._client.idle()
            ring()  # for what came before we listened
            while not stopped():
                self._hear(ring, time.monotonic() + renew_s, stopped)
                _, said = self._client.idle_done()
                if _tells_of_mail(said):
                    ring()
                if not stopped():
                    self._client.idle()

    def _hear(self, ring: Callable[[], None], until: float, stopped: Callable[[], bool]) -> None:
        while not stopped() and time.monotonic() < until:
            begun = time.monotonic()
            said = self._client.idle_check(timeout=_GLANCE_S)
            if _tells_of_mail(said):
                ring()
            if not said and time.monotonic() - begun < _GLANCE_S / 2:
                return  # woken without a word, as by a line that was closed: DONE will tell


def _tells_of_mail(said: Iterable[Any]) -> bool:
    return any(isinstance(word, tuple) and b"EXISTS" in word[:2] for word in said)


class Listener:
    """Listens to one folder in a thread of its own, and connects anew when the line is lost.

    It stays away from a mailbox that cannot be read: then only the runs try, at their pace. Where
    the server offers no IDLE it ends, and nothing is lost but time.
    """

    def __init__(
        self,
        address: ImapAddress,
        access: Callable[[], Access],
        ring: Callable[[], None],
        pace: Pace,
        *,
        renew_s: float,
        stop: threading.Event,
    ) -> None:
        self._address, self._access, self._ring, self._pace = address, access, ring, pace
        self._renew_s, self._stop = renew_s, stop
        self._thread = threading.Thread(target=self._go_on, name="idle", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _go_on(self) -> None:
        failures = 0
        while not self._stop.is_set():
            if not self._pace.is_well:
                self._stop.wait(_GLANCE_S)
                continue
            begun = time.monotonic()
            try:
                if not self._listen():
                    return
            except SourceError as error:
                failures = 1 if time.monotonic() - begun > _STEADY_S else failures + 1
                name = type(error).__name__
                told = {"event": "not_listening", "error": name}
                log.warning("not listening for new mail (%s); polling goes on", name, extra=told)
                self._stop.wait(self._pace.pause_s(failures))

    def _listen(self) -> bool:
        """Listen until the end; whether the server lets us."""
        with IdleLine(self._address, self._access()) as line:
            if not line.offers_idle():
                return False
            line.listen(self._ring, renew_s=self._renew_s, stopped=self._stop.is_set)
            return True
