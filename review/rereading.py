"""An archive read again, part by part, by whoever has hands free: threads here or a Dask cluster.

Each part is one task that reads its messages where they lie, has them understood in a process of
its own that a message may kill, and puts its file in place. A task gives back counts, so whoever
shares the work out never sees mail. A task that is run twice writes the same file twice.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any, Final

from ingest.cluster import Cluster, ClusterError, may_have_children
from ingest.parts import STORE, Part, count_of, messages_of
from ingest.sources import Access, Loss, SourceError
from review.part_files import Counts, counts_in, path_of, write_part
from triage.records import Email, RawMessage

#: Messages handed to the reading process at a time; two such lots are in memory.
_LOT: Final = 200
#: Parts in flight for each that can be worked on: what waits there costs the scheduler memory.
_AHEAD: Final = 3
#: Seconds without a worker after which nobody is waited for any more.
_ALONE_S: Final = 120.0
_LOOK_S: Final = 5.0  # between two looks whether anybody lives


@dataclass(frozen=True, slots=True)
class Job:
    """What every part is read with, wherever that is done; it holds no secret."""

    run: str  # names the processes kept warm for it
    folder: Path  # where the files go; every worker must reach it under this name
    workers: Any  # the engine's own, not begun
    max_message_bytes: int
    config: Path | None = None  # settings that say where the store is, for parts of it
    since: datetime | None = None
    until: datetime | None = None


# --- where the work is done -----------------------------------------------------------------------


def read_part(job: Job, part: Part) -> Counts:
    """Read a part and put its file in place; runs wherever there are hands.

    Raises:
        SourceError: The archive cannot be read here, or no process can live here.

    """
    may_have_children()
    hands, rows, size = _hands(job), [], 0
    lots: deque[tuple[list[RawMessage], Callable[[], list[Any]]]] = deque()
    for lot in _lots(_chosen(job, messages_in(job, part))):
        rows += [_lost_row(piece) for piece in lot if isinstance(piece, Loss)]
        messages = [piece for piece in lot if isinstance(piece, RawMessage)]
        size += sum(len(raw.content) for raw in messages)
        lots.append((messages, hands.start(messages)))
        if len(lots) > 1:
            rows += _rows(*lots.popleft())
    for messages, read in lots:
        rows += _rows(messages, read)
    return write_part(job.folder, part.key, rows, size)


def messages_in(job: Job, part: Part) -> Iterator[RawMessage | Loss]:
    """The messages of a part, of files or of the store."""
    if part.archive != STORE:
        return messages_of(part, Access(max_message_bytes=job.max_message_bytes))
    return part.of_these(_kept(job, part))


def _kept(job: Job, part: Part) -> Iterator[RawMessage]:
    from review.desk import store_of
    from settings import read_settings

    lower, upper = part.stretch
    with store_of(read_settings(job.config)) as store:
        yield from store.rereadings.raws(lower, upper)


def _chosen(job: Job, pieces: Iterable[RawMessage | Loss]) -> Iterator[RawMessage | Loss]:
    for piece in pieces:
        at = piece.received_at if isinstance(piece, RawMessage) else None
        early = at and job.since and at < job.since
        late = at and job.until and at >= job.until
        if not (early or late):
            yield piece


def _lots(pieces: Iterable[RawMessage | Loss]) -> Iterator[list[RawMessage | Loss]]:
    lot: list[RawMessage | Loss] = []
    for piece in pieces:
        lot.append(piece)
        if len(lot) == _LOT:
            yield lot
            lot = []
    if lot:
        yield lot


def _rows(messages: Sequence[RawMessage], read: Callable[[], list[Any]]) -> list[dict[str, Any]]:
    return [_row(raw, made) for raw, made in zip(messages, read(), strict=True)]


def _row(raw: RawMessage, made: Any) -> dict[str, Any]:  # noqa: ANN401 - the engine's own
    from store.values import request_json

    row = {**_EMPTY, "digest": raw.digest, "source": raw.key.source, "uid": raw.key.uid}
    row["received_at"] = raw.received_at
    if cause := getattr(made, "cause", ""):
        return {**row, "cause": cause}
    return {
        **row,
        "sent_at": made.email.sent_at,
        "reader_version": made.reader_version,
        "automatic": made.email.automatic,
        "text": fingerprint(made.email),
        "kinds": [request.kind for request in made.requests],
        "requests": json.dumps([request_json(one) for one in made.requests], ensure_ascii=False),
    }


def _lost_row(loss: Loss) -> dict[str, Any]:
    return {**_EMPTY, "source": loss.key.source, "uid": loss.key.uid, "cause": loss.cause}


_EMPTY: Final[dict[str, Any]] = {
    "digest": "", "source": "", "uid": 0, "received_at": None, "sent_at": None, "cause": "",
    "reader_version": "", "automatic": "", "text": "", "kinds": [], "requests": "",
}  # fmt: skip


def fingerprint(email: Email) -> str:
    """What tells whether spans into one parsing of a mail fit another."""
    parts = (email.subject, email.new_text, email.quoted_text)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


_here = threading.local()
_begun: list[tuple[str, Any]] = []


def _hands(job: Job) -> Any:  # noqa: ANN401 - the engine's own
    # Kept warm from part to part: models take seconds to load.
    kept = getattr(_here, "kept", None)
    if kept is None or kept[0] != job.run or kept not in _begun:
        kept = _here.kept = (job.run, copy.copy(job.workers))
        _begun.append(kept)
    return kept[1]


def let_go(run: str) -> None:
    """End the reading processes that a run kept warm here."""
    for one in [one for one in _begun if one[0] == run]:
        _begun.remove(one)
        one[1].__exit__(None, None, None)


# --- where it is shared out -----------------------------------------------------------------------


def reread(
    job: Job, parts: Iterable[Part], cluster: Cluster, *, resume: bool
) -> Iterator[tuple[Part, Counts]]:
    """Each part that is read, in the order in which they get ready; all of them, once.

    With *resume* a part whose file is there is not read again. A part that keeps killing whoever
    reads it is read in pieces instead, down to the one message that does, which is set aside.

    Raises:
        SourceError: The cluster is gone, or an archive cannot be read; what is done stays done.

    """
    left, waiting, seen_alive = deque[Part](), dict[Future[Any], Part](), monotonic()
    coming = iter(parts)
    try:
        while True:
            room = _AHEAD * max(1, cluster.slots())
            while len(waiting) < room and (part := _next(left, coming)):
                found = counts_in(path_of(job.folder, part.key)) if resume else None
                if found:
                    yield part, found
                else:
                    waiting[cluster.executor.submit(read_part, job, part)] = part
            if not waiting:
                return
            done, _ = wait(waiting, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
            if done or cluster.slots():
                seen_alive = monotonic()
            elif monotonic() - seen_alive > _ALONE_S:
                raise ClusterError("no worker of the cluster is left")
            for future in done:
                part = waiting.pop(future)
                counts = cluster.outcome(future)
                if counts is None and (counts := _set_aside(job, part)) is None:
                    left += part.pieces(count_of(partial(messages_in, job), part))
                else:
                    yield part, _reached_us(job, part, counts)
    finally:
        for future in waiting:
            future.cancel()


def _next(left: deque[Part], coming: Iterator[Part]) -> Part | None:
    return left.popleft() if left else next(coming, None)


def _set_aside(job: Job, part: Part) -> Counts | None:
    """The one message that a part holds as one that cannot be read; None where it holds more."""
    pieces = list(islice(messages_in(job, part), 2))
    if len(pieces) > 1:
        return None
    raws = [piece for piece in pieces if isinstance(piece, RawMessage)]
    rows = [_row(raw, _KILLER) for raw in raws]
    return write_part(job.folder, part.key, rows, sum(len(raw.content) for raw in raws))


def _reached_us(job: Job, part: Part, counts: Counts) -> Counts:
    if path_of(job.folder, part.key).exists():
        return counts
    raise SourceError(f"what the workers write does not come to {job.folder}: it must be shared")


@dataclass(frozen=True, slots=True)
class _Unread:
    cause: str


_KILLER: Final = _Unread("killed_worker")


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
