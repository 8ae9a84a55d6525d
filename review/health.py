"""Whether all is well: figures for monitoring, and a try of everything that a run depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final

from ingest.sources import SourceError, open_source
from settings import Settings, SettingsError, SourceSettings
from store import Counts, OutboxCounts, Store, StoreError, open_store
from store.outbox import STATES, STUCK

#: Time enough to sign in again, or to make a new client secret, without haste.
ENDS_SOON: Final = timedelta(days=14)
#: A scheduled run that has not succeeded for longer has been forgotten or fails.
LATE: Final = timedelta(hours=24)
#: What a person decided is to have left by then; a cancellation may matter within the day.
OVERDUE: Final = timedelta(hours=1)


def health_of(
    counts: Counts, settings: Settings, now: datetime, *, model: tuple[str, str] | None = None
) -> dict[str, Any]:
    """The figures, what is wrong in words, and ``healthy`` where nothing is.

    *model* is what ``model_in_use`` said, for whoever asks often: it takes a second.
    """
    version, refused = model or model_in_use(settings)
    issues = [
        *_issues(counts, refused, now),
        *_stuck(counts.outbox, now),
        *_stale(counts, settings, now),
        *_ending(settings, now),
    ]
    last = counts.last_run
    return {
        "healthy": not issues,
        "issues": issues,
        "last_success_at": _iso(counts.last_success_at),
        "last_run": last and {"run_id": last.run_id, "status": last.status, **asdict(last.tally)},
        "backlog": counts.open_cases,
        "backlog_by_queue": dict(counts.open_by_queue),
        "oldest_open_at": _iso(counts.oldest_open_at),
        "quarantined": counts.quarantined,
        "outbox": {name: counts.outbox.by_state.get(name, 0) for name in STATES},
        "outbox_overdue_since": _iso(counts.outbox.overdue_since),
        "messages": counts.messages,
        "registry_imported_at": _iso(counts.registry_imported_at),
        "sessions_imported_at": _iso(counts.sessions_imported_at),
        "model": version,
        "schema": counts.schema,
    }


def _issues(counts: Counts, refused: str, now: datetime) -> Iterator[str]:
    last = counts.last_run
    if counts.last_success_at is None:
        yield "no run has succeeded yet"
    elif now - counts.last_success_at > LATE:
        yield f"no run has succeeded since {_iso(counts.last_success_at)}"
    if last and last.finished_at and last.status != "done":
        yield f"run {last.run_id} ended as: {last.status}"
    if counts.quarantined:
        yield f"{counts.quarantined} in quarantine; see `fit-triage quarantine list`"
    if counts.registry_imported_at is None:
        yield "no booking registry; see `fit-triage registry import`"
    if refused:
        yield f"the model is refused, everything goes to check: {refused}"


def _stuck(outbox: OutboxCounts, now: datetime) -> Iterator[str]:
    dead, uncertain = (outbox.by_state.get(name, 0) for name in STUCK)
    if dead:
        yield f"{dead} could not leave and are given up; see `fit-triage outbox list`"
    if uncertain:
        yield f"{uncertain} may have left or not; see `fit-triage outbox list`"
    if outbox.overdue_since and now - outbox.overdue_since > OVERDUE:
        yield f"something waits to leave since {_iso(outbox.overdue_since)}"


def _stale(counts: Counts, settings: Settings, now: datetime) -> Iterator[str]:
    from triage.limits import staleness

    if words := staleness(counts.sessions_imported_at, settings.limits(), now):
        yield f"{words}; see `fit-triage registry import`"


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


def _ending(settings: Settings, now: datetime) -> Iterator[str]:
    """What lets us into a mailbox and ends soon, named by the mailbox's place in the settings."""
    for place, what, last, problem in endings(settings):
        if last is None:
            yield f"source {place}: {problem}"
        elif last - now.date() <= ENDS_SOON:
            yield f"source {place}: its {what} ends on {last}; see docs/operations.md"


def endings(settings: Settings) -> Iterator[tuple[int, str, date | None, str]]:
    """By a mailbox's place in the settings what lets us in and when it ends, or why nobody knows.

    What has no end, or none that anybody said, is left out.
    """
    from ingest.oauth import refresh_token_ends_at

    for place, spec in enumerate(settings.sources, 1):
        if spec.oauth is None:
            continue
        lifetime_s = spec.oauth.refresh_token_days and spec.oauth.refresh_token_days * 86_400
        if spec.oauth.expires_on:
            yield place, "client secret or consent", spec.oauth.expires_on, ""
        try:
            moment = refresh_token_ends_at(spec.oauth.grant(settings.imap_timeout), lifetime_s)
        except SourceError as error:
            yield place, "", None, str(error)
        else:
            if moment is not None:
                yield place, "refresh token", datetime.fromtimestamp(moment, UTC).date(), ""


def model_in_use(settings: Settings) -> tuple[str, str]:
    """The released model's version, and why it is refused ("" when it is not)."""
    from models.reading import ModelRefusedError, load_reader

    try:
        return load_reader(settings.model or None, fast=settings.fast).version, ""
    except ModelRefusedError as error:
        return "rules-only", str(error)


def checks(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each thing that a run depends on, with what is wrong with it, "" where nothing is."""
    yield "settings", ""
    yield "templates", _problem(settings.wording)
    yield "model", model_in_use(settings)[1]
    yield "database", _problem(lambda: open_store(settings.database_url).close())
    yield "registry", _registry_problem(settings)
    for spec in settings.sources:
        yield spec.url, _problem(partial(_try_source, settings, spec))
    yield from _ways_out(settings)
    if not settings.sources:
        yield "sources", "none configured; set `sources` or give run --source"
    if not settings.authserv_id:
        yield "authserv_id", "not set: no sender can be verified, so nothing will ever be ready"


def _registry_problem(settings: Settings) -> str:
    from triage.limits import staleness

    try:
        with open_store(settings.database_url) as store:
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
