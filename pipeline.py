"""Fetch new mail, understand it, decide by the platform's rules, and queue it for people.

One batch, top to bottom: `carry` takes what a mailbox has to offer, `keep` puts the bytes on disk,
`understand` parses and reads them (in worker processes), `hear` applies the rules, and one
transaction records message, cursor, cases and audit together. Kill it anywhere and start it again.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from ingest.parsing import ParseOptions
from ingest.sources import Access, LoginRefusedError, Loss, Source, SourceError, open_source
from ingest.sources import Batch as Fetched
from ingest.workers import Workers, collect_garbage_rarely, ordinary_mail, process_pool
from review.commands import command_line
from review.desk import Engine
from review.terminal import SourceReport, total
from settings import Settings, SourceSettings, Start
from store import Batch, Lease, LeaseHeldError, LeaseLostError, Quarantined, Store, Tally
from store.stubborn import stubborn
from triage.records import NO_ASK, Cursor, Email, RawMessage, Request

if TYPE_CHECKING:
    from models.reading import Reader
    from triage.conversation import Rules

#: A run that is silent for longer has lost its mailbox to the next one.
LEASE = timedelta(minutes=10)
#: Batches in flight: one being fetched, one being read, one being recorded.
AHEAD = 3


@dataclass(frozen=True, slots=True)
class Understood:
    email: Email
    requests: tuple[Request, ...]
    reader_version: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    cause: str


Read = Understood | Unreadable
#: Causes that may be the machine's, which had no room, and not the message's.
_STARVED = tuple(Unreadable(f"bug:{name}") for name in ("ImportError", "MemoryError", "OSError"))


@dataclass(frozen=True, slots=True)
class Reading:
    """How messages are parsed and read; the same in every process."""

    parsing: ParseOptions = field(default_factory=ParseOptions)
    model: str = ""
    fast: bool = False


@dataclass(frozen=True, slots=True)
class Errand:
    """What a run wants of a mailbox. Without a ``run_id`` it rehearses: nothing is kept."""

    run_id: int | None
    batch_size: int
    start: Callable[[Source], Start]  # where to begin in a mailbox never read before
    progress: Callable[[Tally], None]  # told what was stored so far, after every batch
    stopped: Callable[[], bool]  # asked after every batch
    limit: int | None = None
    tag: str = ""  # keyword to set on stored messages; "" leaves the mailbox as it was


# --- the batch ------------------------------------------------------------------------------------


def carry(
    source: Source,
    store: Store,
    workers: Workers[RawMessage, Read],
    rules: Rules,
    errand: Errand,
) -> None:
    """Carry every new message of one connected *source* from bytes to queue, oldest first.

    Safe to kill and start again: a message is behind us only once it is queued or quarantined, and
    that happens in one transaction. One bad message never holds up the next.
    """
    tally, rehearsed = Tally(), errand.run_id is None
    with nullcontext() if rehearsed else _lease(store, source) as lease:
        cursor = store.cursor(source.name, source.folder) or first_cursor(source, errand.start)
        batches = source.batches(cursor, store.known, size=errand.batch_size, limit=errand.limit)
        kept = batches if rehearsed else keep(batches, store)
        for batch, readings in read_ahead(kept, workers):
            with (
                suppress(_RehearsedError),
                store.batch(lease, now=rules.now, run_id=errand.run_id) as memory,
            ):
                tally = tally + record(batch, readings, memory, rules)
                if rehearsed:
                    raise _RehearsedError
            errand.progress(tally)
            if errand.tag and not rehearsed:
                source.tag([raw.key for raw in batch.messages], errand.tag)
            if errand.stopped():
                return


class _RehearsedError(Exception):
    """Ends a batch of a rehearsal: its transaction is rolled back."""


def _lease(store: Store, source: Source) -> Lease:
    owner = f"{socket.gethostname()}:{os.getpid()}"
    return store.lease(f"{source.name} {source.folder}", owner, LEASE)


def first_cursor(source: Source, start: Callable[[Source], Start]) -> Cursor | None:
    """Where a first connection begins: at the oldest message, or after the newest."""
    return source.latest() if start(source) == "now" else None


def keep(fetched: Iterable[Fetched], store: Store) -> Iterator[Fetched]:
    """Put the raw bytes on disk before anybody tries to read them."""
    for batch in fetched:
        store.keep_raw(batch.messages)
        yield batch


def record(batch: Fetched, readings: Sequence[Read], memory: Batch, rules: Rules) -> Tally:
    """Decide on a batch and collect all of it, cursor included, for one commit."""
    memory.prefetch(
        [(read.email, read.requests) for read in readings if isinstance(read, Understood)],
        digests=[raw.digest for raw in batch.messages],
    )
    tally = Tally()
    for raw, read in zip(batch.messages, readings, strict=True):
        tally = tally + record_message(raw, read, memory, rules)
    for loss in batch.losses:
        tally = tally + record_loss(loss, memory)
    memory.advance(batch.cursor, back=batch.goes_back)
    return tally


def record_loss(loss: Loss, memory: Batch) -> Tally:
    """One message into the batch whose bytes could not be had."""
    if loss.cause == "vanished":
        memory.vanished(loss.key)
        return Tally(vanished=1)
    memory.quarantine(loss.key, "", loss.cause)
    return Tally(fetched=1, quarantined=1)


def record_message(
    raw: RawMessage, read: Read, memory: Batch, rules: Rules, *, again: bool = False
) -> Tally:
    """One message into the batch: known already, set aside, or decided request by request.

    *again* is for one that comes back from quarantine.
    """
    if memory.seen(raw.digest) and not again:
        memory.already_known(raw.key, raw.digest)
        return Tally(fetched=1, already_known=1)
    if isinstance(read, Unreadable):
        memory.quarantine(raw.key, raw.digest, read.cause)
        return Tally(fetched=1, quarantined=1)
    from triage.cases import split
    from triage.conversation import hear
    from triage.holding import holds

    asks = [ask for request in read.requests for ask in split(request)]
    outcomes = hear(read.email, asks, memory, rules)
    leaving = memory.leaving(read.email, outcomes)
    held = holds(read.email, outcomes, leaving, memory.directory, rules) if leaving else ()
    memory.add(
        raw.key, raw.digest, read.email, outcomes, reader_version=read.reader_version, holds=held
    )
    asked = [outcome.decision.queue for outcome in outcomes if outcome.ask != NO_ASK]
    is_general = all(queue == "general" for queue in asked)
    return Tally(fetched=1, general=int(is_general), queued=int(not is_general))


# --- understanding, in worker processes -----------------------------------------------------------


def read_ahead(
    batches: Iterable[Fetched], workers: Workers[RawMessage, Read]
) -> Iterator[tuple[Fetched, list[Read]]]:
    """Each batch with what was read in it, in order, while the next ones are being fetched."""
    pending: deque[tuple[Fetched, Callable[[], list[Read]]]] = deque()
    for newest in batches:
        pending.append((newest, workers.start(newest.messages)))
        if len(pending) == AHEAD:
            batch, result = pending.popleft()
            yield batch, result()
    for batch, result in pending:
        yield batch, result()


def understand(reading: Reading, messages: Sequence[RawMessage]) -> list[Read]:
    """Parse and read *messages*, in their order; runs in a worker.

    No message raises and none holds up the next: an unreadable one gives its cause.
    """
    _reader(reading.model, fast=reading.fast)  # where it finds no room, no message is to blame
    try:
        return _understand(reading, messages)
    except Exception as error:  # noqa: BLE001 - a bug on one message must not take the others along
        if len(messages) == 1:
            return [Unreadable(f"bug:{type(error).__name__}")]
        return [read for raw in messages for read in understand(reading, [raw])]


def _understand(reading: Reading, messages: Sequence[RawMessage]) -> list[Read]:
    parsed = [_parse(reading, raw) for raw in messages]
    reader = _reader(reading.model, fast=reading.fast)
    requests = iter(reader.read([item for item in parsed if isinstance(item, Email)]))
    return [
        Understood(item, next(requests), reader.version) if isinstance(item, Email) else item
        for item in parsed
    ]


def _parse(reading: Reading, raw: RawMessage) -> Email | Unreadable:
    from ingest.parsing import UnreadableEmailError, parse

    try:
        return parse(raw, options=reading.parsing)
    except UnreadableEmailError as error:
        return Unreadable(error.cause)


@lru_cache(maxsize=1)
def _reader(model: str, *, fast: bool) -> Reader:
    from models.reading import load_reader, rules_only
    from models.registry import ModelRefusedError

    try:
        return load_reader(model or None, fast=fast)
    except ModelRefusedError:
        return rules_only()  # whoever started us has said so; everything goes to `check`


# --- one run over several mailboxes ---------------------------------------------------------------


def run_sources(
    settings: Settings,
    specs: Sequence[SourceSettings],
    store: Store,
    now: datetime,
    *,
    limit: int | None = None,
    dry_run: bool = False,
    start: Callable[[Source], Start] | None = None,
    progress: Callable[[Tally], None] = lambda _: None,
    workers: Workers[RawMessage, Read] | None = None,
    access: Callable[[SourceSettings], Access] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[SourceReport]:
    """Carry the news of every mailbox, one after the other; a failing one holds up no other.

    *start* says where to begin in a mailbox never read before; left out, the settings do. Whoever
    runs often keeps *workers* warm, and may end a run after any batch by *stopped*.
    """
    collect_garbage_rarely()
    # A misspelt source is found before anything is done, not after half the mailboxes are read.
    access_to = access or settings.access_to
    sources = [open_source(spec.url, access_to(spec)) for spec in specs]
    rules = settings.rules(now)
    run_id = None if dry_run else store.start_run([source.name for source in sources], now)
    begin = start or (lambda _: settings.start)
    reports = []
    with nullcontext(workers) if workers else reading_workers(settings) as hands:
        for spec, source in zip(specs, sources, strict=True):
            if stopped():
                break
            errand = Errand(run_id, settings.batch_size, begin, progress, stopped, limit, spec.tag)
            reports.append(_report(source, errand, partial(carry, source, store, hands, rules)))
    if run_id is not None:
        status = "failed" if any(report.failed for report in reports) else "done"
        store.finish_run(run_id, total(reports), datetime.now(UTC), status)
    return reports


def _report(source: Source, errand: Errand, carry_it: Callable[[Errand], None]) -> SourceReport:
    stored = [Tally()]  # what was stored before a failure counts as well

    def attempt() -> None:
        before = stored[0]

        def follow(tally: Tally) -> None:
            stored[0] = before + tally
            errand.progress(stored[0])

        carry_it(replace(errand, progress=follow))

    try:
        with source:
            stubborn(attempt)
    except LeaseHeldError:
        return SourceReport(source.name, stored[0], "another run is at work here; left to it")
    except LeaseLostError:
        return SourceReport(source.name, stored[0], "another run has taken over; left to it")
    except SourceError as error:
        refused = isinstance(error, LoginRefusedError)
        return SourceReport(source.name, stored[0], str(error), failed=True, refused=refused)
    return SourceReport(source.name, stored[0])


def reading_workers(settings: Settings) -> Workers[RawMessage, Read]:
    """Processes that parse and read as *settings* say; they start with the first message."""
    reading = Reading(settings.parsing(), settings.model, fast=settings.fast)
    spared = replace(reading, parsing=replace(reading.parsing, documents="deadly"))
    plainer = partial(understand, spared) if settings.documents == "read" else None
    preload = ("ingest.parsing", "models.reading", "spacy")
    pool = partial(process_pool, settings.workers, preload, online=settings.check_dkim)
    work, lost = partial(understand, reading), Unreadable("killed_reader")
    mails, starved = [ordinary_mail()], _STARVED.__contains__
    return Workers(work, lambda _: lost, pool, plainer=plainer, harmless=mails, starved=starved)


def retry_quarantined(
    settings: Settings, store: Store, chosen: Sequence[Quarantined], now: datetime
) -> Tally:
    """Read messages in quarantine again; what succeeds is queued.

    They are read from the bytes kept, and those that were never had from their mailboxes. Raises
    ``SourceError`` for the first mailbox that cannot be reached, when all others are done.
    """
    rules, tally = settings.rules(now), Tally()
    with reading_workers(settings) as workers:
        for found in chain(_kept(store, chosen, now), _had_now(settings, store, chosen)):
            read = workers.start([found])() if isinstance(found, RawMessage) else []
            with store.batch(now=now, actor="retry") as memory:
                if isinstance(found, RawMessage):
                    tally = tally + record_message(found, read[0], memory, rules, again=True)
                else:
                    tally = tally + record_loss(found, memory)
    return tally


def _kept(store: Store, chosen: Sequence[Quarantined], now: datetime) -> Iterator[RawMessage]:
    for one in chosen:
        content = store.raw(one.digest)
        if content is not None:
            yield RawMessage(one.key, one.received_at or now, one.digest, content)


def _had_now(
    settings: Settings, store: Store, chosen: Sequence[Quarantined]
) -> Iterator[RawMessage | Loss]:
    """What was too large or not given out, asked for once more where it lies."""
    failures = []
    for spec in settings.sources:
        source = open_source(spec.url, settings.access_to(spec))
        place = (source.name, source.folder)
        lost = [k.key for k in chosen if not k.digest and (k.key.source, k.key.folder) == place]
        try:
            with source if lost else nullcontext():
                for found in source.fetch(lost):
                    store.keep_raw([found] if isinstance(found, RawMessage) else [])
                    yield found
        except SourceError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def explain(
    settings: Settings, messages: Iterable[RawMessage]
) -> Iterator[tuple[RawMessage, Email | str, tuple[Request, ...]]]:
    """What is understood of each message, in order; for an unreadable one, why instead."""
    nowhere = Cursor("", "", 0, 0)
    batches = (Fetched(some, (), nowhere) for some in _batched(messages, settings.batch_size))
    with reading_workers(settings) as workers:
        for batch, readings in read_ahead(batches, workers):
            for raw, read in zip(batch.messages, readings, strict=True):
                if isinstance(read, Understood):
                    yield raw, read.email, read.requests
                else:
                    yield raw, read.cause, ()


def _batched(messages: Iterable[RawMessage], size: int) -> Iterator[tuple[RawMessage, ...]]:
    rest = iter(messages)
    return iter(lambda: tuple(islice(rest, size)), ())


def main() -> None:
    """The command line `fit-triage`; its commands are in ``review/commands.py``."""
    command_line(Engine(run_sources, explain, retry_quarantined, reading_workers))
