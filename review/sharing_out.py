"""The parts of an archive shared out to whoever has hands free: threads here or a Dask cluster.

Whoever dies over a part has another read it. A part that keeps killing is cut in pieces, down to
single messages; and a message is blamed only after it has killed with nothing else in flight, while
an ordinary one is read without harm: many parts lie with a worker when it dies.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Final

from ingest.cluster import Cluster, ClusterError
from ingest.parts import Part, count_of
from ingest.sources import SourceError
from review.part_files import Counts, counts_in, path_of
from review.rereading import Job, messages_in, read_harmless, read_part, set_aside

#: Parts in flight for each that can be worked on: what waits there costs the scheduler memory.
_AHEAD: Final = 3
#: Seconds without a worker after which nobody is waited for any more.
_ALONE_S: Final = 120.0
_LOOK_S: Final = 5.0  # between two looks whether anybody lives
#: Parts that may kill before any is read; then it is the cluster, whatever it is given.
_HOPELESS: Final = 8


def reread(
    job: Job, parts: Iterable[Part], cluster: Cluster, *, resume: bool
) -> Iterator[tuple[Part, Counts]]:
    """Each part that is read, in the order in which they get ready; all of them, once.

    With *resume* a part whose file is there is not read again. A message that kills whoever reads
    it is set aside in a part of its own.

    Raises:
        SourceError: The cluster is gone, or an archive cannot be read; what is done stays done.

    """
    sharing = _Sharing(job, iter(parts), cluster, resume=resume)
    try:
        while True:
            yield from sharing.hand_out()
            if sharing.waiting:
                yield from sharing.come_back()
            elif sharing.suspects:
                yield sharing.try_alone(sharing.suspects.popleft())
            else:
                return
    finally:
        for future in sharing.waiting:
            future.cancel()


@dataclass(slots=True)
class _Sharing:
    job: Job
    coming: Iterator[Part]
    cluster: Cluster
    resume: bool = field(kw_only=True)
    waiting: dict[Future[Any], Part] = field(default_factory=dict)
    pieces: deque[Part] = field(default_factory=deque)
    suspects: deque[Part] = field(default_factory=deque)  # single messages
    done: int = 0
    killed: int = 0

    def hand_out(self) -> Iterator[tuple[Part, Counts]]:
        """Give out as much as can be worked on soon; what is there already comes back at once."""
        room = _AHEAD * max(1, self.cluster.slots())
        while len(self.waiting) < room and (part := self._next()):
            found = counts_in(path_of(self.job.folder, part.key)) if self.resume else None
            if found:
                yield part, found
            else:
                self.waiting[self.cluster.executor.submit(read_part, self.job, part)] = part

    def come_back(self) -> Iterator[tuple[Part, Counts]]:
        """What gets ready next."""
        for future in self._ready(self.waiting):
            part = self.waiting.pop(future)
            counts = self.cluster.outcome(future)
            if counts is None:
                self._cut(part)
            else:
                self.done += 1
                yield part, self._arrived(part, counts)

    def try_alone(self, part: Part) -> tuple[Part, Counts]:
        """A single message with nothing else in flight: now it is its doing, or nobody's."""
        counts = self._alone(partial(read_part, self.job, part))
        if counts is None:
            if self._alone(partial(read_harmless, self.job)) is None:
                raise ClusterError("the workers of the cluster die over any mail")
            return part, set_aside(self.job, part)
        return part, self._arrived(part, counts)

    def _next(self) -> Part | None:
        return self.pieces.popleft() if self.pieces else next(self.coming, None)

    def _cut(self, part: Part) -> None:
        self.killed += 1
        if not self.done and self.killed > _HOPELESS:
            raise ClusterError("the workers of the cluster die over whatever they read")
        count = count_of(partial(messages_in, self.job), part)
        if count > 1:
            self.pieces += part.pieces(count)
        else:
            self.suspects.append(part)

    def _alone(self, task: Callable[[], Counts]) -> Counts | None:
        future = self.cluster.executor.submit(task)
        self._ready({future: None})
        found: Counts | None = self.cluster.outcome(future)
        return found

    def _ready(self, futures: dict[Future[Any], Any]) -> set[Future[Any]]:
        seen_alive = monotonic()
        while True:
            done, _ = wait(futures, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
            if done:
                return done
            if self.cluster.slots():
                seen_alive = monotonic()
            elif monotonic() - seen_alive > _ALONE_S:
                raise ClusterError("no worker of the cluster is left")

    def _arrived(self, part: Part, counts: Counts) -> Counts:
        if path_of(self.job.folder, part.key).exists():
            return counts
        raise SourceError(
            f"what the workers write does not come to {self.job.folder}: it must be shared"
        )


@contextmanager
def threads_here(count: int) -> Iterator[Cluster]:
    """So many threads of this machine instead of a cluster, 0 for one per core."""
    count = count or os.cpu_count() or 1
    executor = ThreadPoolExecutor(count)

    def everywhere(call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)

    try:
        yield Cluster(executor, lambda: count, everywhere)
    finally:
        executor.shutdown(cancel_futures=True)
