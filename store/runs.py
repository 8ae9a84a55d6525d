"""Runs as recorded, and the figures that operations watch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, or_, select, text, update

from store.columns import AnyRow
from store.directory import sessions_as_of
from store.outbox import OutboxCounts, outbox_counts
from store.outgoing_schema import verdicts
from store.queue import OURS
from store.schema import (
    HEAD,
    cases,
    decisions,
    leases,
    messages,
    quarantine,
    registry_imports,
    runs,
)
from store.shadow_schema import shadow_candidates

log = logging.getLogger(__name__)
_MISMATCH: Final = "does not add up"
#: A mismatch is told for so long after the run that had it.
_TOLD_FOR: Final = timedelta(days=1)


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
    """One run as recorded; ``finished_at`` is None while it works, and after it was killed.

    ``stored`` is how many messages carried its number when it ended, None where nobody counted.
    """

    run_id: int
    started_at: datetime
    finished_at: datetime | None
    status: str
    sources: tuple[str, ...]
    tally: Tally
    stored: int | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took, None while it works."""
        return (self.finished_at - self.started_at).total_seconds() if self.finished_at else None

    @property
    def is_reconciled(self) -> bool:
        """Whether all that was fetched is accounted for, by its own count and by what is stored.

        One that failed may have stored more than it could count.
        """
        counted = self.tally.queued + self.tally.general
        is_stored = self.status != "done" or self.stored in {None, counted}
        return self.tally.adds_up and is_stored and _MISMATCH not in self.status


@dataclass(frozen=True, slots=True)
class Counts:
    """What operations watch.

    ``unworked`` are open cases that nobody has touched since a mail last changed them.
    ``unreconciled`` are the runs of the last day whose figures do not add up.
    """

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
    quarantined_by_cause: Mapping[str, int]
    oldest_quarantined_at: datetime | None
    unworked: int
    oldest_unworked_at: datetime | None
    unreconciled: tuple[int, ...]
    leases_held: int
    database_bytes: int
    shadow_problem: str  # of the candidate that was tried last: "NAME: code", "" for none


def run_from(row: AnyRow) -> Run:
    """The ``Run`` of a row of ``runs``."""
    tally = Tally(
        row.fetched, row.queued, row.general, row.quarantined, row.already_known, row.vanished
    )
    sources = tuple(row.sources)
    return Run(row.id, row.started_at, row.finished_at, row.status, sources, tally, row.stored)


def finish(connection: Connection, run_id: int, tally: Tally, now: datetime, status: str) -> Run:
    """Record how a run ended, and what it has stored; a count that does not add up is said."""
    if not tally.adds_up:
        status = f"{status}, {_MISMATCH}"
    stored = select(func.count()).select_from(messages).where(messages.c.run_id == run_id)
    values = {**asdict(tally), "stored": stored.scalar_subquery()}
    row = update(runs).where(runs.c.id == run_id)
    connection.execute(row.values(finished_at=now, status=status, **values))
    return run_from(connection.execute(select(runs).where(runs.c.id == run_id)).one())


def tell_started(run_id: int, sources: int) -> None:
    """Put into the log that a run begins, over so many mailboxes."""
    told = {"event": "run_started", "run_id": run_id, "sources": sources}
    log.info("run %d started", run_id, extra=told)


def tell_finished(run: Run) -> None:
    """Put into the log how *run* ended."""
    told = {
        "run_id": run.run_id,
        "status": run.status.partition(",")[0],
        "seconds": run.seconds,
        "stored": run.stored,
        "adds_up": run.is_reconciled,
        **asdict(run.tally),
    }
    log.info("run %d ended", run.run_id, extra={"event": "run_finished", **told})
    if not run.is_reconciled:
        bad = {"event": "run_does_not_add_up", "run_id": run.run_id}
        log.info("run %d does not add up", run.run_id, extra=bad)


def counts(connection: Connection) -> Counts:
    """The figures as of now."""
    ours = cases.c.open & OURS
    by_queue = connection.execute(
        select(cases.c.queue, func.count()).where(ours).group_by(cases.c.queue)
    )
    open_by_queue = {row[0]: row[1] for row in by_queue}
    by_cause = connection.execute(
        select(quarantine.c.cause, func.count()).group_by(quarantine.c.cause)
    )
    quarantined_by_cause = {row[0]: row[1] for row in by_cause}
    last = connection.execute(select(runs).order_by(runs.c.id.desc()).limit(1)).first()
    held = select(func.count()).select_from(leases).where(leases.c.owner != "")
    done = select(func.max(runs.c.finished_at)).where(runs.c.status == "done")
    imported = select(func.max(registry_imports.c.imported_at))
    unworked, oldest_unworked_at = _untouched(connection)
    return Counts(
        schema=HEAD,
        messages=connection.scalar(select(func.count()).select_from(messages)) or 0,
        open_cases=sum(open_by_queue.values()),
        open_by_queue=open_by_queue,
        quarantined=sum(quarantined_by_cause.values()),
        oldest_open_at=connection.scalar(select(func.min(cases.c.opened_at)).where(ours)),
        last_run=None if last is None else run_from(last),
        last_success_at=connection.scalar(done),
        registry_imported_at=connection.scalar(imported),
        sessions_imported_at=connection.scalar(sessions_as_of()),
        outbox=outbox_counts(connection),
        quarantined_by_cause=quarantined_by_cause,
        oldest_quarantined_at=connection.scalar(select(func.min(quarantine.c.quarantined_at))),
        unworked=unworked,
        oldest_unworked_at=oldest_unworked_at,
        unreconciled=() if last is None else _unreconciled(connection, last.started_at),
        leases_held=connection.scalar(held) or 0,
        database_bytes=_size(connection),
        shadow_problem=_shadow(connection),
    )


def _untouched(connection: Connection) -> tuple[int, datetime | None]:
    touched = (
        select(verdicts.c.id)
        .where(verdicts.c.case_id == cases.c.id, verdicts.c.undone_at.is_(None))
        .where(cases.c.decision_id.in_((verdicts.c.decision_id, verdicts.c.new_decision_id)))
    )
    row = connection.execute(
        select(func.count(), func.min(decisions.c.decided_at))
        .select_from(cases)
        .join(decisions, decisions.c.id == cases.c.decision_id)
        .where(cases.c.open, OURS, ~touched.exists())
    ).one()
    return row[0], row[1]


def _unreconciled(connection: Connection, last: datetime) -> tuple[int, ...]:
    lost = (runs.c.status == "done") & (runs.c.stored != runs.c.queued + runs.c.general)
    query = select(runs).where(
        runs.c.started_at > last - _TOLD_FOR, or_(lost, runs.c.status.contains(_MISMATCH))
    )
    return tuple(row.id for row in connection.execute(query.order_by(runs.c.id)))


def _shadow(connection: Connection) -> str:
    table = shadow_candidates.c
    query = select(table.name, table.problem).order_by(table.tried_at.desc(), table.id.desc())
    row = connection.execute(query.limit(1)).one_or_none()
    return f"{row.name}: {row.problem}" if row is not None and row.problem else ""


def _size(connection: Connection) -> int:
    if connection.dialect.name == "sqlite":
        pages, size = (connection.scalar(text(f"PRAGMA page_{what}")) for what in ("count", "size"))
        return int(pages) * int(size)
    return connection.scalar(text("SELECT pg_database_size(current_database())")) or 0
