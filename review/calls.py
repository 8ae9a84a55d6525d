"""Conversations that webhooks told of: retrieved by the next run, and sooner where `watch` runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from ingest.sources import Access
from settings import SourceSettings
from store import Store, StoreError

if TYPE_CHECKING:
    from review.terminal import SourceReport

_API: Final = "livechat+"
#: How often `watch` looks whether a webhook has come.
_LOOK_S: Final = 2.0


class Calls:
    """The calls that one run answers."""

    def __init__(self, store: Store, access_to: Callable[[SourceSettings], Access]) -> None:
        self._store, self._access_to = store, access_to
        self._heard: dict[int, int] = {}

    def access(self, spec: SourceSettings) -> Access:
        """What reading *spec* needs; for a live chat also what was told of it."""
        access = self._access_to(spec)
        return replace(access, called=self._called) if spec.url.startswith(_API) else access

    def _called(self) -> Iterable[int]:
        self._heard |= self._store.chat_calls.waiting()
        return tuple(self._heard)

    def answered(self, reports: Iterable[SourceReport]) -> None:
        """Forget what was told, where every live chat has been read to its end."""
        chats = [report for report in reports if report.source.startswith(_API)]
        if chats and not any(report.problem for report in chats):
            self._store.chat_calls.forget(self._heard)


class Hearing(Thread):
    """Wakes whoever watches when a webhook has come."""

    def __init__(self, store: Store, wake: Callable[[], object]) -> None:
        super().__init__(name="hearing", daemon=True)
        self._store, self._wake = store, wake
        self._stop_asked = Event()
        self._known: Mapping[int, int] = {}

    def run(self) -> None:
        while not self._stop_asked.wait(_LOOK_S):
            with suppress(StoreError):  # the runs say so themselves
                self._look()

    def _look(self) -> None:
        waiting = self._store.chat_calls.waiting()
        if waiting.items() - self._known.items():
            self._wake()
        self._known = waiting

    def stop(self) -> None:
        self._stop_asked.set()
