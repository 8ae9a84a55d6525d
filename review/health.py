"""Whether all is well: figures for monitoring, and a try of everything that a run depends on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ingest.livechat import is_chat
from ingest.sources import SourceError, open_source
from review.problems import Problem, endings, problems
from settings import Settings, SettingsError, SourceSettings
from store import Counts, Run, Store, StoreError, open_store
from store.backups_kept import last_backup
from store.outbox import STATES

log = logging.getLogger(__name__)


def health_of(
    counts: Counts, settings: Settings, now: datetime, *, model: tuple[str, str] | None = None
) -> dict[str, Any]:
    """The figures, what is wrong in words and by code, and ``healthy`` where nothing is.

    What each field is stands in docs/health.schema.json. *model* is what ``model_in_use`` said,
    for whoever asks often: it takes a second.
    """
    version, refused = model or model_in_use(settings)
    backed_up = last_backup(settings.backup.folder) if settings.backup.folder else None
    found = problems(counts, settings, now, refused=refused, last_backup=backed_up)
    last = counts.last_run
    return {
        "healthy": not found,
        "issues": [problem.said for problem in found],
        "problems": [problem_json(problem) for problem in found],
        "last_success_at": _iso(counts.last_success_at),
        "last_run": last and run_json(last),
        "backlog": counts.open_cases,
        "backlog_by_queue": dict(counts.open_by_queue),
        "oldest_open_at": _iso(counts.oldest_open_at),
        "unworked": counts.unworked,
        "oldest_unworked_at": _iso(counts.oldest_unworked_at),
        "quarantined": counts.quarantined,
        "quarantined_by_cause": dict(counts.quarantined_by_cause),
        "oldest_quarantined_at": _iso(counts.oldest_quarantined_at),
        "outbox": {name: counts.outbox.by_state.get(name, 0) for name in STATES},
        "outbox_overdue_since": _iso(counts.outbox.overdue_since),
        "messages": counts.messages,
        "registry_imported_at": _iso(counts.registry_imported_at),
        "sessions_imported_at": _iso(counts.sessions_imported_at),
        "sign_ins": [
            {"source": place, "what": what, "ends_on": last and last.isoformat()}
            for place, what, last, _ in endings(settings)
        ],
        "last_backup_at": _iso(backed_up),
        "leases_held": counts.leases_held,
        "database_bytes": counts.database_bytes,
        "model": version,
        "schema": counts.schema,
    }


def problem_json(problem: Problem) -> dict[str, str]:
    """A problem as programs read it."""
    return {**asdict(problem), "runbook": problem.runbook}


def run_json(run: Run) -> dict[str, Any]:
    """A run as programs read it, its mailboxes as so many: their names may be addresses."""
    return {
        "run_id": run.run_id,
        "status": run.status,
        "started_at": _iso(run.started_at),
        "finished_at": _iso(run.finished_at),
        "seconds": run.seconds,
        "sources": len(run.sources),
        **asdict(run.tally),
        "stored": run.stored,
        "adds_up": run.is_reconciled,
    }


def health_report(
    store: Store, settings: Settings, now: datetime, *, model: tuple[str, str] | None = None
) -> dict[str, Any]:
    """What ``fit-triage health`` and ``/health.json`` say: ``health_of``, and rule 7's figures."""
    report = health_of(store.counts(), settings, now, model=model)
    found = store.unconfirmed(now - settings.limits().window, now)
    return {**report, "unconfirmed": lost_unconfirmed(found, settings)}


def lost_unconfirmed(found: Mapping[str, int], settings: Settings) -> dict[str, int]:
    """Rule 7 in figures: therapists with a warning due, and those whose profile may be paused."""
    limits = settings.limits()
    pause = sum(count >= limits.pause_at for count in found.values())
    return {"warned": sum(c >= limits.warn_at for c in found.values()) - pause, "at_pause": pause}


def model_in_use(settings: Settings) -> tuple[str, str]:
    """The released model's version, and why it is refused ("" when it is not)."""
    from models.reading import ModelRefusedError, load_reader

    try:
        return load_reader(settings.model or None, fast=settings.fast).version, ""
    except ModelRefusedError as error:
        log.info("the model is refused", extra={"event": "model_refused"})
        return "rules-only", str(error)


def checks(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each thing that a run depends on, with what is wrong with it, "" where nothing is."""
    yield "settings", ""
    yield "templates", _problem(settings.wording)
    yield "model", model_in_use(settings)[1]
    yield "database", _problem(lambda: _opened(settings).close())
    yield "registry", _registry_problem(settings)
    for spec in settings.sources:
        yield spec.url, _problem(partial(_try_source, settings, spec))
    yield from _ways_out(settings)
    if not settings.sources:
        yield "sources", "none configured; set `sources` or give run --source"
    chats = [spec for spec in settings.sources if is_chat(spec.url)]
    if not settings.authserv_id and (not chats or len(chats) < len(settings.sources)):
        yield "authserv_id", "not set: no sender can be verified, so nothing will ever be ready"
    if chats and not settings.livechat.identity_verified:
        yield "livechat.identity_verified", "not set: no chat will ever make a case ready"


def _opened(settings: Settings) -> Store:
    return open_store(settings.database_url, keys=settings.encryption.place())


def _registry_problem(settings: Settings) -> str:
    from triage.limits import staleness

    try:
        with _opened(settings) as store:
            counts = store.counts()
    except StoreError:
        return "cannot be looked up, see database"
    if counts.registry_imported_at is None:
        return "never imported; see `fit-triage registry import`"
    return staleness(counts.sessions_imported_at, settings.limits(), datetime.now(UTC))


def _ways_out(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each configured way out of the system; nothing is sent by trying it."""
    from review.ways_out import carriers

    ways: list[tuple[str, Callable[[], object]]] = []
    if problem := _problem(
        lambda: ways.extend((n, w.check) for n, w in carriers(settings).items())
    ):
        yield "ways out", problem
    for name, attempt in ways:
        yield f"outbox {name}", _problem(attempt)


def _try_source(settings: Settings, spec: SourceSettings) -> None:
    with open_source(spec.url, settings.access_to(spec)) as source:
        source.count()


def _problem(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except (SettingsError, SourceError, StoreError) as error:
        return str(error)
    return ""


def _iso(when: datetime | None) -> str | None:
    return when.isoformat() if when else None
