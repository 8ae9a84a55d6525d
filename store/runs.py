"""Runs as recorded, and the figures that operations watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from store.columns import AnyRow
from store.directory import sessions_as_of
from store.outbox import OutboxCounts, outbox_counts
from store.queue import OURS
from store.schema import HEAD, cases, messages, quarantine, registry_imports, runs


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the messages of a run; ``vanished`` ones were never fetched."""

    fetched: int = 0
    queued: int = 0
    general: int = 0
    quarantined: int = 0
    already_known: int = 0
    vanished: int = 0

    def __add__(self, other: Tally) -> Tally:
        mine, theirs = astuple(self), astuple(other)
        return Tally(*(a + b for a, b in zip(mine, theirs, strict=True)))

    @property
    def adds_up(self) -> bool:
        return self.fetched == self.queued + self.general + self.quarantined + self.already_known


@dataclass(frozen=True, slots=True)
class Run:
    """One run as recorded; ``finished_at`` is None while it works, and after it was killed."""

    run_id: int
    started_at: datetime
    finished_at: datetime | None
    status: str
    sources: tuple[str, ...]
    tally: Tally


@dataclass(frozen=True, slots=True)
class Counts:
    """What operations watch."""

    schema: str
    messages: int
    open_cases: int
    open_by_queue: Mapping[str, int]
    quarantined: int
    oldest_open_at: datetime | None
    last_run: Run | None
    last_success_at: datetime | None
    registry_imported_at: datetime | None
    sessions_imported_at: datetime | None
    outbox: OutboxCounts


def run_from(row: AnyRow) -> Run:
    """The ``Run`` of a row of ``runs``."""
    tally = Tally(
        row.fetched, row.queued, row.general, row.quarantined, row.already_known, row.vanished
    )
    return Run(row.id, row.started_at, row.finished_at, row.status, tuple(row.sources), tally)


def counts(connection: Connection) -> Counts:
    """The figures as of now."""
    ours = cases.c.open & OURS
    by_queue = connection.execute(
        select(cases.c.queue, func.count()).where(ours).group_by(cases.c.queue)
    )
    open_by_queue = {row[0]: row[1] for row in by_queue}
    last = connection.execute(select(runs).order_by(runs.c.id.desc()).limit(1)).first()
    done = select(func.max(runs.c.finished_at)).where(runs.c.status == "done")
    imported = select(func.max(registry_imports.c.imported_at))
    return Counts(
        schema=HEAD,
        messages=connection.scalar(select(func.count()).select_from(messages)) or 0,
        open_cases=sum(open_by_queue.values()),
        open_by_queue=open_by_queue,
        quarantined=connection.scalar(select(func.count()).select_from(quarantine)) or 0,
        oldest_open_at=connection.scalar(select(func.min(cases.c.opened_at)).where(ours)),
        last_run=None if last is None else run_from(last),
        last_success_at=connection.scalar(done),
        registry_imported_at=connection.scalar(imported),
        sessions_imported_at=connection.scalar(sessions_as_of()),
        outbox=outbox_counts(connection),
    )
