"""What needs a person, each kind with its code, its alert and its part of the handbook.

The same codes stand in ``fit-triage health``, in what ``fit-triage alerts`` tells, and, as
``FitTriageQuarantine`` for ``quarantine``, in docs/alerts.yaml; a test holds them together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

from ingest.sources import SourceError
from settings import Settings
from store import Counts
from store.outbox import STUCK

#: Time enough to sign in again, or to make a new client secret, without haste.
ENDS_SOON: Final = timedelta(days=14)
#: What a person decided is to have left by then; a cancellation may matter within the day.
OVERDUE: Final = timedelta(hours=1)

Code = Literal[
    "database_unreachable",
    "no_run_succeeds",
    "run_failed",
    "does_not_add_up",
    "quarantine",
    "nobody_works",
    "registry_missing",
    "registry_old",
    "model_refused",
    "outbox_stuck",
    "outbox_overdue",
    "sign_in_ends",
    "sign_in_unknown",
    "backup_old",
    "shadow_fails",
]


@dataclass(frozen=True, slots=True)
class Runbook:
    """Where the handbook says what to do, and how long something may be amiss untold."""

    heading: str  # of docs/operations.md, as a link has it
    patience: timedelta = timedelta()


_SOON: Final = timedelta(minutes=15)
#: What mends itself more often than not is told only once it has lasted.
RUNBOOKS: Final[Mapping[Code, Runbook]] = {
    "database_unreachable": Runbook("the-database-cannot-be-asked", timedelta(minutes=5)),
    "no_run_succeeds": Runbook("no-run-has-succeeded-since-"),
    "run_failed": Runbook("a-run-failed", _SOON),
    "does_not_add_up": Runbook("does-not-add-up"),
    "quarantine": Runbook("mail-in-quarantine", _SOON),
    "nobody_works": Runbook("cases-wait-and-nobody-works-them"),
    "registry_missing": Runbook("the-booking-registry-is-old"),
    "registry_old": Runbook("the-booking-registry-is-old"),
    "model_refused": Runbook("the-model-is-refused-everything-goes-to-check"),
    "outbox_stuck": Runbook("when-something-is-stuck"),
    "outbox_overdue": Runbook("when-something-is-stuck"),
    "sign_in_ends": Runbook("a-sign-in-ends"),
    "sign_in_unknown": Runbook("a-sign-in-ends", _SOON),
    "backup_old": Runbook("the-last-backup-is-old"),
    "shadow_fails": Runbook("a-candidate-model-fails"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that needs a person, in words for them; nothing of any message is in it.

    ``about`` tells several of a kind apart, where there may be: the mailbox's place in the
    settings.
    """

    code: Code
    said: str
    about: str = ""

    @property
    def runbook(self) -> str:
        return f"docs/operations.md#{RUNBOOKS[self.code].heading}"


def alert_name(code: str) -> str:
    """The name that docs/alerts.yaml has for *code*."""
    return "FitTriage" + "".join(word.capitalize() for word in code.split("_"))


def problems(
    counts: Counts,
    settings: Settings,
    now: datetime,
    *,
    refused: str,
    last_backup: datetime | None,
) -> list[Problem]:
    """All that needs a person *now*; *refused* is why the model is, "" where it is not."""
    return [
        *_runs(counts, settings, now),
        *_work(counts, settings, now),
        *_registry(counts, settings, now),
        *_model(refused),
        *_stuck(counts, now),
        *ending(settings, now),
        *_backup(settings, last_backup, now),
        *_shadow(counts, settings),
    ]


def _runs(counts: Counts, settings: Settings, now: datetime) -> Iterator[Problem]:
    last, late = counts.last_run, timedelta(hours=settings.alerts.late_hours)
    if counts.last_success_at is None:
        yield Problem("no_run_succeeds", "no run has succeeded yet")
    elif now - counts.last_success_at > late:
        said = f"no run has succeeded since {counts.last_success_at.isoformat()}"
        yield Problem("no_run_succeeds", said)
    if last and last.finished_at and last.status.startswith("failed"):
        yield Problem("run_failed", f"run {last.run_id} ended as: {last.status}")
    if counts.unreconciled:
        numbers = ", ".join(map(str, counts.unreconciled))
        said = (
            f"what became of the messages of run {numbers} does not add up; see `fit-triage runs`"
        )
        yield Problem("does_not_add_up", said)


def _work(counts: Counts, settings: Settings, now: datetime) -> Iterator[Problem]:
    if counts.quarantined:
        said = f"{counts.quarantined} in quarantine; see `fit-triage quarantine list`"
        yield Problem("quarantine", said)
    since, limit = counts.oldest_unworked_at, timedelta(hours=settings.alerts.unworked_hours)
    if since and now - since > limit:
        said = f"{counts.unworked} open cases nobody has touched, the oldest since"
        yield Problem("nobody_works", f"{said} {since.isoformat()}")


def _registry(counts: Counts, settings: Settings, now: datetime) -> Iterator[Problem]:
    from triage.limits import staleness

    do = "see `fit-triage registry import`"
    if counts.registry_imported_at is None:
        yield Problem("registry_missing", f"no booking registry; {do}")
    elif words := staleness(counts.sessions_imported_at, settings.limits(), now):
        yield Problem("registry_old", f"{words}; {do}")


def _model(refused: str) -> Iterator[Problem]:
    if refused:
        yield Problem("model_refused", f"the model is refused, everything goes to check: {refused}")


def _stuck(counts: Counts, now: datetime) -> Iterator[Problem]:
    outbox, do = counts.outbox, "see `fit-triage outbox list`"
    words = ("could not leave and are given up", "may have left or not")
    for state, said in zip(STUCK, words, strict=True):
        if number := outbox.by_state.get(state, 0):
            yield Problem("outbox_stuck", f"{number} {said}; {do}", state)
    if outbox.overdue_since and now - outbox.overdue_since > OVERDUE:
        said = f"something waits to leave since {outbox.overdue_since.isoformat()}"
        yield Problem("outbox_overdue", said)


def ending(settings: Settings, now: datetime) -> Iterator[Problem]:
    """What lets us into a mailbox and ends soon, named by the mailbox's place in the settings."""
    for place, what, last, problem in endings(settings):
        if last is None:
            yield Problem("sign_in_unknown", f"source {place}: {problem}", str(place))
        elif last - now.date() <= ENDS_SOON:
            said = f"source {place}: its {what} ends on {last}; see docs/operations.md"
            yield Problem("sign_in_ends", said, f"{place} {what}")


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


def _backup(settings: Settings, last: datetime | None, now: datetime) -> Iterator[Problem]:
    if settings.backup.folder is None:
        return
    if last is None:
        yield Problem("backup_old", "there is no backup yet; see `fit-triage backup`")
    elif now - last > timedelta(hours=settings.backup.stale_hours):
        yield Problem("backup_old", f"the last backup is of {last.isoformat()}")


def _shadow(counts: Counts, settings: Settings) -> Iterator[Problem]:
    if settings.shadow.model and counts.shadow_problem:
        said = f"the candidate model {counts.shadow_problem}; live mail is read as ever"
        yield Problem("shadow_fails", said)
