"""Work on messages in other processes, in order, whatever a message does to a process.

Any ``concurrent.futures.Executor`` will do. Where a worker dies (a crash in a C library, the kernel
short of memory), its messages are tried again one by one; the one that kills again is handed to
``give_up``, and the rest go on.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from types import TracebackType
from typing import Generic, Self, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

#: Messages handed to a worker at once: enough for the models to be quick, few enough to share out.
CHUNK = 50


class Workers(Generic[Given, Made]):
    """A pool that survives its workers. Nothing starts before the first message comes."""

    def __init__(
        self,
        work: Callable[[Sequence[Given]], list[Made]],
        give_up: Callable[[Given], Made],
        new_executor: Callable[[], Executor],
    ) -> None:
        self._work, self._give_up, self._new_executor = work, give_up, new_executor
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

    def start(self, items: Sequence[Given]) -> Callable[[], list[Made]]:
        """Begin work on *items*; the result of calling what this returns is in their order."""
        chunks = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
        started = [(chunk, self._submit(chunk)) for chunk in chunks]
        return lambda: [made for chunk, future in started for made in self._collect(chunk, future)]

    def _submit(self, chunk: Sequence[Given]) -> Future[list[Made]]:
        if self._executor is None:
            self._executor = self._new_executor()
        try:
            return self._executor.submit(self._work, chunk)
        except BrokenExecutor:
            self._executor = self._new_executor()
            return self._executor.submit(self._work, chunk)

    def _collect(self, chunk: Sequence[Given], future: Future[list[Made]]) -> list[Made]:
        try:
            return future.result()
        except BrokenExecutor:
            # The pool is gone, and with it chunks that had nothing to do with it: who did?
            return [self._alone(item) for item in chunk]

    def _alone(self, item: Given) -> Made:
        with self._new_executor() as executor:
            try:
                return executor.submit(self._work, [item]).result()[0]
            except BrokenExecutor:
                return self._give_up(item)


def process_pool(count: int, preload: Sequence[str] = ()) -> ProcessPoolExecutor:
    """*count* worker processes (0: one per core) that share what the *preload* modules take.

    They are forked from a clean server process, never from ours: ours holds database connections.
    They stop by themselves when ours dies.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    return ProcessPoolExecutor(count or os.cpu_count() or 1, mp_context=context, initializer=_begin)


def collect_garbage_rarely() -> None:
    """Look for cycles seldom: a batch holds many values and makes hardly any cycle.

    Measured on batches of 200 messages: deciding and storing takes a quarter less time.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _begin() -> None:
    """A killed parent tells nobody: without this its workers would wait for work for ever."""
    collect_garbage_rarely()
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        threading.Thread(target=lambda: (wait([sentinel]), os._exit(1)), daemon=True).start()
