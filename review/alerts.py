"""`fit-triage alerts`: whoever is on call is told of a problem once, and once when it is over.

Told, then recorded: who is killed in between tells again, under the same id. What was told stands
in the database, so that of several machines one tells; while there is no database to be asked, it
stands in a file of this machine's.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from review import logs
from review.alert_ways import Way, ways_of
from review.alerting import Pace, event, steps
from review.desk import AsJson, Desk, Now, console, print_json, store_of
from review.problems import Problem, problems
from settings import Settings, SettingsError
from store import Lease, LeaseHeldError, LeaseLostError, Store, StoreError
from store.alerts import Alert, Alerts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that was told, or could not be: ``problem`` says why."""

    what: str
    code: str
    about: str
    way: str
    problem: str = ""


class Memory(Protocol):
    """Where it stands what was told."""

    def standing(self) -> list[Alert]: ...
    def keep(self, alert: Alert) -> None: ...
    def forget(self, alert: Alert) -> None: ...


def alerts(
    context: typer.Context,
    now: Now = None,
    *,
    test: Annotated[
        bool, typer.Option("--test", help="Tell a test, whatever is the case.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell whoever is on call what needs a person: once, and once when it is well again.

    From a timer, every few minutes. Exit code 1: somebody could not be told.
    """
    desk: Desk = context.obj
    settings, clock = desk.settings(), now or datetime.now(UTC)
    ways = ways_of(settings)
    if not ways:
        raise SettingsError("nobody to tell: set alerts.command, alerts.webhook_url or mail_to")
    unreachable = ""
    if test:
        told = _tested(ways, clock)
    else:
        told, unreachable = _told(settings, ways, clock)
    for one in told:
        if as_json:
            print_json(asdict(one))
        else:
            said = f"{one.what}: {one.code} {one.about}".rstrip()
            console().print(f"{said}, by {one.way}", highlight=False)
    failed = [one for one in told if one.problem]
    for one in failed:
        said = f"{one.code} could not be told by {one.way}: {one.problem}"
        logs.complain(said, "alert_untold", problem=one.code)
    if unreachable:
        logs.complain(unreachable, "ended", error="StoreError", exit_code=1)
    if failed or unreachable:
        raise typer.Exit(1)


def _tested(ways: Sequence[Way], now: datetime) -> list[Told]:
    alert = Alert("", "no_run_succeeds", "test", now)
    told = {**event("firing", alert, "this is a test; nothing is wrong", now), "type": "alert.test"}
    return [Told("test", alert.code, alert.about, way.name, way.tell(told)) for way in ways]


def _told(settings: Settings, ways: Sequence[Way], now: datetime) -> tuple[list[Told], str]:
    """What was told, and why the database could not be asked, "" where it could."""
    here = FileMemory(settings.alerts.state_file)
    pace = pace_of(settings)
    try:
        with store_of(settings) as store:
            told = tell(store, settings, ways, now)
    except StoreError as error:
        amiss = Problem("database_unreachable", str(error))
        return carry_out(here, ways, [amiss], now, pace), amiss.said
    return [*told, *carry_out(here, ways, [], now, pace)], ""


def pace_of(settings: Settings) -> Pace:
    """How the settings want alerts to be paced."""
    chosen = settings.alerts
    remind = timedelta(hours=chosen.remind_hours) if chosen.remind_hours else None
    return Pace(timedelta(minutes=chosen.calm_minutes), remind)


def tell(store: Store, settings: Settings, ways: Sequence[Way], now: datetime) -> list[Told]:
    """Tell by each of *ways* what is due to be told; nothing where another is at it.

    Raises:
        StoreError: The database cannot be asked.

    """
    found = _problems(store, settings, now)
    try:
        with store.alerts.turn(f"{socket.gethostname()}:{os.getpid()}") as lease:
            return carry_out(_Stored(store.alerts, lease), ways, found, now, pace_of(settings))
    except (LeaseHeldError, LeaseLostError):
        return []


def _problems(store: Store, settings: Settings, now: datetime) -> list[Problem]:
    from review.health import model_in_use
    from store.backups_kept import last_backup

    folder = settings.backup.folder
    backed_up = last_backup(folder) if folder else None
    refused = model_in_use(settings)[1]
    return problems(store.counts(), settings, now, refused=refused, last_backup=backed_up)


def carry_out(
    memory: Memory, ways: Sequence[Way], found: Sequence[Problem], now: datetime, pace: Pace
) -> list[Told]:
    """Tell what is due, then record it; a way that fails holds up no other, and tries again."""
    told, known = [], memory.standing()
    for way in ways:
        for step in steps(way.name, known, found, now, pace):
            after = step.after
            if step.tell is not None:
                if step.before is None and step.untold is not None:
                    memory.keep(step.untold)  # so that it has one id, whenever it is told
                problem = way.tell(step.tell)
                what = str(step.tell["type"]).removeprefix("alert.")
                data = step.tell["data"]
                told.append(Told(what, data["code"], data["about"], way.name, problem))
                after = step.untold if problem else step.after
                _log(told[-1])
            _record(memory, step.before, after)
    names = {way.name for way in ways}
    for alert in known:
        if alert.way not in names:  # a way that the settings no longer have
            memory.forget(alert)
    return told


def _log(told: Told) -> None:
    event, way = "alert_untold" if told.problem else "alert_told", told.way.partition(":")[0]
    extra = {"event": event, "what": told.what, "problem": told.code, "way": way}
    answer = told.problem if told.problem.startswith(("HTTP ", "SMTP ")) else None
    log.info("alert", extra={**extra, "answer": answer})


def _record(memory: Memory, before: Alert | None, after: Alert | None) -> None:
    if after is not None and after != before:
        memory.keep(after)
    elif after is None and before is not None:
        memory.forget(before)


@dataclass(frozen=True, slots=True)
class _Stored:
    alerts: Alerts
    lease: Lease

    def standing(self) -> list[Alert]:
        return self.alerts.standing()

    def keep(self, alert: Alert) -> None:
        self.alerts.keep(self.lease, alert)

    def forget(self, alert: Alert) -> None:
        self.alerts.forget(self.lease, alert)


@dataclass(frozen=True, slots=True)
class FileMemory:
    """What was told without a database; the file is there only while something stands."""

    path: Path

    def standing(self) -> list[Alert]:
        try:
            rows = json.loads(self.path.read_text(encoding="utf-8"))
            return [_alert(row) for row in rows]
        except (OSError, ValueError, TypeError, KeyError):
            return []  # told once too often rather than never

    def keep(self, alert: Alert) -> None:
        self._write([*self._others(alert), alert])

    def forget(self, alert: Alert) -> None:
        self._write(self._others(alert))

    def _others(self, alert: Alert) -> list[Alert]:
        same = (alert.way, alert.code, alert.about)
        return [one for one in self.standing() if (one.way, one.code, one.about) != same]

    def _write(self, left: Iterable[Alert]) -> None:
        rows = [asdict(alert) for alert in left]
        try:
            if not rows:
                self.path.unlink(missing_ok=True)
                return
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self.path.parent, prefix=".alerts-", delete=False
            ) as part:
                json.dump(rows, part, default=datetime.isoformat)
            Path(part.name).replace(self.path)
        except OSError as error:
            with suppress(OSError, UnboundLocalError):
                Path(part.name).unlink()
            msg = f"alerts.state_file {self.path} cannot be written: {error.strerror}"
            raise SettingsError(msg) from None


def _alert(row: dict[str, Any]) -> Alert:
    since, *moments = (
        value and datetime.fromisoformat(value)
        for value in (row["since"], row["told_at"], row["well_since"])
    )
    return Alert(row["way"], row["code"], row["about"], since, row["told"], *moments)
