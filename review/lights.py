"""How operations stand, line by line: what is well, what wants a look, what is wrong.

The same figures and limits as ``review.health``; a line that is not well is there exactly where an
issue is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from review.problems import ENDS_SOON, OVERDUE, endings
from settings import Settings
from store import Counts, Run
from store.outbox import STUCK

Level = Literal["good", "warn", "bad", ""]
#: Said and shown beside the colour, for whoever does not see it.
SIGNS: Final = {"good": "✓", "warn": "!", "bad": "✗", "": "·"}
WORDS: Final = {"good": "well", "warn": "wants a look", "bad": "wrong", "": "for information"}


@dataclass(frozen=True, slots=True)
class Light:
    """One line: what is looked at, how it stands, and what to do where it does not stand well."""

    name: str
    level: Level
    said: str
    at: datetime | None = None  # the moment that ``said`` is about
    do: str = ""


def lights(
    counts: Counts,
    latest: Sequence[Run],
    settings: Settings,
    now: datetime,
    model: tuple[str, str],
    last_backup: datetime | None = None,
) -> list[Light]:
    """All lines, by topic; *latest* are runs with the newest first."""
    return [
        *_runs(counts, latest, settings, now),
        *_work(counts, settings, now),
        *_leaving(counts, now),
        *_registry(counts, settings, now),
        _model(*model),
        *_shadow(counts, settings),
        *_tokens(settings, now),
        *_backup(settings, last_backup, now),
        Light("Messages stored", "", f"{counts.messages:,}"),
        Light("Schema", "", counts.schema),
    ]


def _runs(
    counts: Counts, latest: Sequence[Run], settings: Settings, now: datetime
) -> Iterator[Light]:
    at, late = counts.last_success_at, timedelta(hours=settings.alerts.late_hours)
    if at is None:
        yield Light("Last good run", "bad", "none yet", do="start `fit-triage run`")
    elif now - at > late:
        do = "is it still scheduled? `fit-triage run` says what is wrong"
        yield Light("Last good run", "bad", "too long ago", at, do)
    else:
        yield Light("Last good run", "good", "", at)
    last = counts.last_run
    if last and last.finished_at and last.status.startswith("failed"):
        do = "its log says which mailbox; `fit-triage check` tries each"
        yield Light("Last run", "warn", f"ended as: {last.status}", last.finished_at, do)
    if counts.unreconciled:
        numbers = ", ".join(map(str, counts.unreconciled))
        do = "a bug of ours; `fit-triage runs` shows the figures"
        yield Light("Accounts", "bad", f"run {numbers} does not add up", do=do)
    told: set[str] = set()
    for run in latest:
        for source in run.sources:
            if source not in told:
                told.add(source)
                yield Light(f"Mailbox {source}", "", _ended(run), run.finished_at or run.started_at)


def _ended(run: Run) -> str:
    """How a run went; what it came to is of all its mailboxes."""
    return run.status if run.finished_at else "at work, or killed"


def _work(counts: Counts, settings: Settings, now: datetime) -> Iterator[Light]:
    by_queue = ", ".join(f"{queue}: {n}" for queue, n in sorted(counts.open_by_queue.items()))
    said = f"{counts.open_cases} open" + (f" ({by_queue})" if by_queue else "")
    yield Light("Backlog", "", said)
    if counts.oldest_open_at:
        days = (now - counts.oldest_open_at).days
        said = f"{days} days ago" if days > 1 else "within two days"
        yield Light("Oldest open case", "", said, counts.oldest_open_at)
    since = counts.oldest_unworked_at
    if since and now - since > timedelta(hours=settings.alerts.unworked_hours):
        said = f"{counts.unworked} open cases nobody has touched"
        do = "`fit-triage queue --lapsing` shows what lapses next; tell the support lead"
        yield Light("Untouched", "warn", said, since, do)
    elif since:
        yield Light("Untouched", "", f"{counts.unworked} open cases", since)
    do = "look at the causes on the quarantine page" if counts.quarantined else ""
    level: Level = "warn" if counts.quarantined else "good"
    yield Light("Quarantined", level, str(counts.quarantined), do=do)


def _leaving(counts: Counts, now: datetime) -> Iterator[Light]:
    states, since = counts.outbox.by_state, counts.outbox.overdue_since
    stuck = {state: states[state] for state in STUCK if states.get(state)}
    for state, number in stuck.items():
        do = "`fit-triage outbox list` shows each, and what to say of it"
        yield Light("Outbox", "bad", f"{number} {state}", do=do)
    if since and now - since > OVERDUE:
        do = "is `fit-triage outbox deliver` scheduled, and its way out open?"
        yield Light("Outbox", "bad", "something waits to leave", since, do)
    if not stuck and not (since and now - since > OVERDUE):
        waiting = states.get("waiting", 0) + states.get("sending", 0)
        yield Light("Outbox", "good", f"{waiting} on the way, none stuck")


def _registry(counts: Counts, settings: Settings, now: datetime) -> Iterator[Light]:
    from triage.limits import staleness

    do = "`fit-triage registry import`"
    if counts.registry_imported_at is None:
        yield Light("Booking registry", "bad", "never imported", do=do)
    elif words := staleness(counts.sessions_imported_at, settings.limits(), now):
        yield Light("Booking registry", "warn", words, counts.sessions_imported_at, do)
    else:
        yield Light("Booking registry", "good", "", counts.registry_imported_at)


def _model(version: str, refused: str) -> Light:
    if refused:
        return Light("Model", "bad", f"refused, everything goes to check: {refused}")
    return Light("Model", "good", version)


def _shadow(counts: Counts, settings: Settings) -> Iterator[Light]:
    if settings.shadow.model and counts.shadow_problem:
        do = "docs/operations.md, “A candidate model fails”; live mail is read as ever"
        yield Light("Candidate model", "warn", counts.shadow_problem, do=do)


def _tokens(settings: Settings, now: datetime) -> Iterator[Light]:
    for place, what, last, problem in endings(settings):
        name = f"Sign-in of mailbox {place}"
        if problem:
            yield Light(name, "bad", problem, do="docs/operations.md, “OAuth2”")
        elif last is not None:
            left = (last - now.date()).days
            soon = last - now.date() <= ENDS_SOON
            said = (
                f"{what} ends on {last} ({left} days)" if left >= 0 else f"{what} ended on {last}"
            )
            do = "sign in again: docs/operations.md, “OAuth2”" if soon else ""
            level: Level = "bad" if left < 0 else "warn" if soon else "good"
            yield Light(name, level, said, do=do)


def _backup(settings: Settings, last: datetime | None, now: datetime) -> Iterator[Light]:
    if settings.backup.folder is None:
        return
    do = "is `fit-triage backup` scheduled, and is there room?"
    if last is None:
        yield Light("Last backup", "bad", "none yet", do=do)
    elif now - last > timedelta(hours=settings.backup.stale_hours):
        yield Light("Last backup", "bad", "too long ago", last, do)
    else:
        yield Light("Last backup", "good", "", last)
