"""Work on messages in other processes, in order, whatever a message does to a process.

Any ``concurrent.futures.Executor`` will do. A worker has so much processor time for a chunk and so
much memory; past the first the operating system ends it, even inside a C library. Where a worker
dies, for that or any other reason, its messages are tried again one by one; the one that kills
again is handed to ``give_up``, and the rest go on. But no message is blamed for a machine on which
workers cannot live at all.

A worker reaches no network: what a message makes a parser do, stays in it.
"""

from __future__ import annotations

import copy
import ctypes
import errno
import gc
import hashlib
import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from ingest.sources import SourceError
from triage.records import MessageKey, RawMessage

Given = TypeVar("Given")
Made = TypeVar("Made")
Packed = TypeVar("Packed")

#: Messages handed to a worker at once: enough for the models to be quick, few enough to share out.
CHUNK = 50

#: Seconds of processor time for a chunk, the loading of models included: a hundred times the usual.
CPU_SECONDS = 20.0
#: Bytes of address space for a worker process; models and libraries take about 0.6 GiB of it.
ADDRESS_SPACE = 3 * 2**30
#: How work ends where a message, or the machine, leaves it no room.
_FAILURES: Final = (BrokenExecutor, MemoryError, OSError, EOFError, ImportError)


class NoWorkersError(SourceError):
    """No process can read mail here now, whatever the mail: out of memory, files or disk."""


def _never(_: object) -> bool:
    return False


class Workers(Generic[Given, Made]):
    """A pool that survives its workers. Nothing starts before the first message comes."""

    def __init__(
        self,
        work: Callable[[Sequence[Given]], list[Made]],
        give_up: Callable[[Given], Made],
        new_executor: Callable[[], Executor],
        *,
        cpu_seconds: float = CPU_SECONDS,
        plainer: Callable[[Sequence[Given]], list[Made]] | None = None,
        harmless: Sequence[Given] = (),
        starved: Callable[[Made], bool] = _never,
    ) -> None:
        """*plainer* is work that asks less of a message: the last try before giving it up.

        Where even *harmless* messages cannot be worked on, it is the machine. *starved* tells of
        what was made that the machine may have had no room for it.
        """
        self._work = partial(_bounded, work, cpu_seconds)
        self._last = [partial(_bounded, plainer, cpu_seconds)] if plainer else []
        self._give_up, self._new_executor = give_up, new_executor
        self._harmless, self._starved = harmless, starved
        self._executor: Executor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=error is None, cancel_futures=True)

    def packed_by(self, pack: Callable[[Given, Made], Packed]) -> Workers[Given, Made | Packed]:
        """The same, not begun; what is made is packed where it was made, to travel light.

        What *starved* tells of may come as it is.
        """
        other: Workers[Given, Any] = copy.copy(self)
        give_up, packing = self._give_up, partial(_packed, pack, self._starved)
        other._work = partial(packing, self._work)
        other._last = [partial(packing, work) for work in self._last]
        other._give_up = lambda item: pack(item, give_up(item))
        other._executor = None
        return other

    def start(self, items: Sequence[Given]) -> Callable[[], list[Made]]:
        """Begin work on *items*; the result of calling what this returns is in their order."""
        chunks = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
        started = [(chunk, self._submit(chunk)) for chunk in chunks]
        return lambda: [made for chunk, future in started for made in self._collect(chunk, future)]

    def _submit(self, chunk: Sequence[Given]) -> Future[list[Made]]:
        try:
            if self._executor is None:
                self._executor = self._new_executor()
            try:
                return self._executor.submit(self._work, chunk)
            except BrokenExecutor:
                self._executor = self._new_executor()
                return self._executor.submit(self._work, chunk)
        except (*_FAILURES, RuntimeError) as error:  # of the process, of its server or of a thread
            raise _cannot_live(error) from None

    def _collect(self, chunk: Sequence[Given], future: Future[list[Made]]) -> list[Made]:
        try:
            found = future.result()
        except _FAILURES:
            # The pool is gone, and with it chunks that had nothing to do with it: who did?
            return [self._alone(item) for item in chunk]
        pairs = zip(chunk, found, strict=True)
        return [self._alone(item) if self._starved(made) else made for item, made in pairs]

    def _alone(self, item: Given) -> Made:
        for work in (self._work, *self._last):
            made = self._tried(work, [item])
            if not isinstance(made, BaseException) and not self._starved(made[0]):
                return made[0]
        others = self._tried(self._work, self._harmless)
        if not isinstance(others, BaseException) and any(map(self._starved, others)):
            others = MemoryError()
        if isinstance(others, BaseException):  # then it is not this message's doing
            raise _cannot_live(others)
        return self._give_up(item) if isinstance(made, BaseException) else made[0]

    def _tried(
        self, work: Callable[[Sequence[Given]], list[Made]], items: Sequence[Given]
    ) -> list[Made] | BaseException:
        """What *work* makes of *items* in a process of its own, or how that ended."""
        try:
            with self._new_executor() as executor:
                return executor.submit(work, items).result()
        except (*_FAILURES, RuntimeError) as error:
            return error


_ORDINARY: Final = b"""\
From: Ann Lee <ann@therapist.example>
To: Support <support@therapy.example>
Subject: Session HT-123456
Message-ID: <ordinary@therapist.example>
Date: Mon, 05 Jan 2026 10:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain; charset=utf-8

Hello, please cancel HT-123456 on Thursday at 6pm. We talked it through and she agrees.
--b
Content-Type: text/html; charset=utf-8

<p>Hello, please cancel HT-123456 on Thursday at 6pm. We talked it through and she agrees.</p>
--b--
"""


def ordinary_mail() -> RawMessage:
    """A mail in text and HTML such as everybody sends, which does no harm to a reader."""
    digest, received_at = hashlib.sha256(_ORDINARY).hexdigest(), datetime(2026, 1, 5, tzinfo=UTC)
    return RawMessage(MessageKey("nowhere", "", 0, 0), received_at, digest, _ORDINARY)


def _cannot_live(error: BaseException) -> NoWorkersError:
    why = getattr(error, "strerror", None) or type(error).__name__
    return NoWorkersError(
        f"no process that reads mail can live here ({why}); look at memory, open files, disk space"
    )


def _bounded(
    work: Callable[[Sequence[Given]], list[Made]], cpu_seconds: float, chunk: Sequence[Given]
) -> list[Made]:
    # Nobody handles SIGPROF, so when the timer rings the process ends at once, whatever it is in.
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        return work(chunk)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _packed(
    pack: Callable[[Given, Made], Packed],
    starved: Callable[[Made], bool],
    work: Callable[[Sequence[Given]], list[Made]],
    chunk: Sequence[Given],
) -> list[Made | Packed]:
    made = zip(chunk, work(chunk), strict=True)
    return [one if starved(one) else pack(item, one) for item, one in made]


def process_pool(
    count: int, preload: Sequence[str] = (), *, online: bool = False
) -> ProcessPoolExecutor:
    """*count* worker processes (0: one per core) that share what the *preload* modules take.

    They reach the network only where they are to be *online*: a DKIM check asks for keys.
    They are forked from a clean server process, never from ours: ours holds database connections.
    They stop by themselves when ours dies.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    begin = partial(_begin, online=online)
    return ProcessPoolExecutor(count or os.cpu_count() or 1, mp_context=context, initializer=begin)


def collect_garbage_rarely() -> None:
    """Look for cycles seldom: a batch holds many values and makes hardly any cycle.

    Measured on batches of 200 messages: deciding and storing takes a quarter less time.
    """
    if not gc.get_freeze_count():  # once: later there is garbage about, which would stay for ever
        gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _begin(*, online: bool) -> None:
    """Bound what a message may take, and end with the parent: a killed one tells nobody."""
    if not online:
        _leave_the_network()  # while there is one thread
    logging.disable()  # what a library has to say here may be words of a mail
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends in order
    collect_garbage_rarely()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    room = ADDRESS_SPACE if most == resource.RLIM_INFINITY else min(ADDRESS_SPACE, most)
    resource.setrlimit(resource.RLIMIT_AS, (room, most))
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        threading.Thread(target=lambda: (wait([sentinel]), os._exit(1)), daemon=True).start()


_NEW_USERS, _NEW_NETWORK = 0x1000_0000, 0x4000_0000  # of unshare(2)
_REACHING_OUT: Final = frozenset(
    ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
     "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
)  # fmt: skip


def _leave_the_network() -> None:
    """Have nobody to talk to: in a network namespace without any line, where the kernel lets us.

    Elsewhere, and for a clear error, Python's own calls are refused; C libraries could still reach
    out there.
    """
    with suppress(OSError, AttributeError):
        unshare = ctypes.CDLL(None).unshare  # os.unshare from Python 3.12 on
        if unshare(_NEW_NETWORK):
            unshare(_NEW_NETWORK | _NEW_USERS)  # what is left to those who are not root
    sys.addaudithook(_refuse)


def _refuse(event: str, _: object) -> None:
    if event in _REACHING_OUT:
        raise PermissionError(errno.EPERM, "no network while mail is read")
