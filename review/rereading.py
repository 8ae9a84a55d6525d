"""One part of an archive read again, wherever there are hands free.

Each part is one task (``sharing_out.py`` hands them out) that reads its messages where they lie,
has them understood in a process of its own that a message may kill, and puts its file in place. A
task gives back counts, so whoever shares the work out never sees mail. A task that is run twice
writes the same file twice.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ingest.cluster import may_have_children
from ingest.parts import STORE, Part, messages_of
from ingest.sources import Access, Loss
from ingest.workers import ordinary_mail
from review.part_files import Counts, write_part
from triage.records import Email, RawMessage

#: Messages handed to the reading process at a time; two such lots are in memory.
_LOT: Final = 200


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
    pairs = zip(messages, read(), strict=True)
    return [made if isinstance(made, dict) else row_of(raw, made) for raw, made in pairs]


def row_of(raw: RawMessage, made: Any) -> dict[str, Any]:  # noqa: ANN401 - the engine's own
    """A message and what was made of it, as a row; done where it was made, to travel light."""
    from store.values import request_json

    row = {**_EMPTY, **_place(raw)}
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


def _place(raw: RawMessage) -> dict[str, Any]:
    seen = {"digest": raw.digest, "source": raw.key.source, "uid": raw.key.uid}
    return {**seen, "received_at": raw.received_at}


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
        kept = _here.kept = (job.run, job.workers.packed_by(row_of))
        _begun.append(kept)
    return kept[1]


def let_go(run: str) -> None:
    """End the reading processes that a run kept warm here."""
    for one in [one for one in _begun if one[0] == run]:
        _begun.remove(one)
        one[1].__exit__(None, None, None)


def read_harmless(job: Job) -> Counts:
    """Read an ordinary mail and put nothing anywhere: whether mail can be read at all."""
    may_have_children()
    mail = ordinary_mail()
    return Counts.of(_rows([mail], _hands(job).start([mail])), len(mail.content))


def set_aside(job: Job, part: Part) -> Counts:
    """The one message of a part as one that cannot be read; looks at no more than its digest."""
    raws = [piece for piece in messages_in(job, part) if isinstance(piece, RawMessage)]
    rows = [{**_EMPTY, **_place(raw), "cause": "killed_worker"} for raw in raws]
    return write_part(job.folder, part.key, rows, sum(len(raw.content) for raw in raws))
