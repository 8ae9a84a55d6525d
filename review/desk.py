"""What every command shares: settings, the engine, the store, and how to print."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol
from zoneinfo import ZoneInfo

import typer

from ingest.sources import ALLOWED_SPECS, Access, Source
from review import logs
from settings import Settings, SettingsError, SourceSettings, Start, read_settings
from store import (
    ImportReport,
    Quarantined,
    Store,
    Tally,
    open_store,
    read_registry_file,
    registry_queries,
)
from store.registry import Kind
from triage.labels import BLOCKERS, QUEUES, STATES
from triage.records import Email, RawMessage, Request

if TYPE_CHECKING:
    from rich.console import Console

    from models.handover import Archive
    from review.terminal import SourceReport

LONDON: Final = ZoneInfo("Europe/London")
#: A log file or a pipe has no width of its own; 80 columns would cut the tables.
_WIDTH: Final = 140


class UsageProblemError(Exception):
    """A command was asked for something it cannot do; the message says what is allowed."""


class Run(Protocol):
    def __call__(
        self,
        settings: Settings,
        specs: Sequence[SourceSettings],
        store: Store,
        now: datetime,
        *,
        limit: int | None = None,
        dry_run: bool = False,
        start: Callable[[Source], Start] | None = None,
        progress: Callable[[Tally], None] = ...,
        workers: Any = None,  # noqa: ANN401 - the engine's own, from `Engine.workers`
        access: Callable[[SourceSettings], Access] | None = None,
        stopped: Callable[[], bool] = ...,
    ) -> list[SourceReport]: ...


@dataclass(frozen=True, slots=True)
class Engine:
    """What ``pipeline.py`` can do for a command."""

    run: Run
    explain: Callable[
        [Settings, Iterable[RawMessage]],
        Iterator[tuple[RawMessage, Email | str, tuple[Request, ...]]],
    ]
    retry: Callable[[Settings, Store, Sequence[Quarantined], datetime], Tally]
    workers: Callable[[Settings], AbstractContextManager[Any]]  # to be kept warm between runs


@dataclass(frozen=True, slots=True)
class Desk:
    """What every command is handed."""

    engine: Engine
    config: Path | None = None
    fast: bool = False  # whatever the settings say
    log: logs.How | None = None  # likewise

    def settings(self, **changed: object) -> Settings:
        """The settings, and from now on the log as they want it."""
        changed |= {"fast": True} if self.fast else {}
        found = read_settings(self.config).model_copy(
            update={name: value for name, value in changed.items() if value is not None}
        )
        logs.write(self.log or found.log)
        return found

    def archive(self) -> Archive:
        """What the store holds, for the data team's commands."""
        from review.learning import archive_at

        return archive_at(self)


def moment(text: str) -> datetime:
    """An ISO time; without an offset it is Europe/London."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no ISO time such as 2026-03-02T09:30") from None
    return when if when.tzinfo else when.replace(tzinfo=LONDON)


Now = Annotated[
    datetime | None, typer.Option("--now", parser=moment, metavar="ISO", help="Clock to go by.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of tables.")]


def mailboxes(settings: Settings, named: Iterable[str] | None) -> tuple[SourceSettings, ...]:
    """The mailboxes *named* on the command line, else the configured ones; at least one.

    One that is named as it is configured keeps what the settings say of it.
    """
    configured = {spec.url: spec for spec in settings.sources}
    specs = tuple(configured.get(url) or SourceSettings(url=url) for url in named or ())
    specs = specs or settings.sources
    if not specs:
        msg = f"no mailbox to read: give --source or `sources` in the settings; {ALLOWED_SPECS}"
        raise SettingsError(msg)
    return specs


@contextmanager
def store_of(settings: Settings, *, scratch: bool = False) -> Iterator[Store]:
    """The store; for a rehearsal before there is any, one that is thrown away."""
    database = settings.database_url
    new = (
        database.startswith("sqlite:///") and not Path(database.removeprefix("sqlite:///")).exists()
    )
    with ExitStack() as stack:
        if scratch and new:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            database = f"sqlite:///{folder}/rehearsal.sqlite3"
        yield stack.enter_context(open_store(database, keys=settings.encryption.place()))


@contextmanager
def counting(unit: str) -> Iterator[Callable[[Tally], None]]:
    """A line that counts, where somebody watches; a scheduler's log stays clean."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), "{task.completed} {task.description}", TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(unit, total=None)
        yield lambda tally: bar.update(task, completed=tally.fetched)


def import_files(
    store: Store,
    sessions: Path | None,
    therapists: Path | None,
    clients: Path | None,
    now: datetime,
    *,
    full: bool = True,
) -> list[ImportReport]:
    return store.import_registry(
        sessions=read_registry_file(sessions, "sessions") if sessions else None,
        therapists=read_registry_file(therapists, "therapists") if therapists else None,
        clients=read_registry_file(clients, "clients") if clients else None,
        now=now,
        full=full,
    )


def queries_to_run(
    settings: Settings, sql: str | None, asked: Sequence[Path | None]
) -> tuple[str, Mapping[Kind, Path]]:
    """Where the registry is and what to ask there: as typed, else as configured.

    *asked* are the files for sessions, therapists and clients.
    """
    known = settings.registry
    url = sql or known.database_url.get_secret_value()
    if not any(asked):
        asked = (known.sessions_query, known.therapists_query, known.clients_query)
    kinds: tuple[Kind, ...] = ("sessions", "therapists", "clients")
    queries = {kind: path for kind, path in zip(kinds, asked, strict=True) if path}
    if not (url and queries):
        msg = "give at least one of --sessions, --therapists, --clients, or --sql with queries"
        raise UsageProblemError(msg)
    if sql and re.match(r"[^/]*//[^/@]*:[^/@]*@", sql):
        name = "FIT_TRIAGE_REGISTRY__DATABASE_URL"
        raise UsageProblemError(f"--sql must hold no password: others see it; set {name} instead")
    return url, queries


def import_queries(
    store: Store, url: str, queries: Mapping[Kind, Path], now: datetime, *, full: bool
) -> list[ImportReport]:
    with registry_queries(url, queries) as found:
        return store.import_registry(
            sessions=found.get("sessions"),
            therapists=found.get("therapists"),
            clients=found.get("clients"),
            now=now,
            full=full,
        )


def one_of(field: str, value: str | None) -> str | None:
    """*value* if it is a code of *field*; a misspelt filter would show an empty queue."""
    allowed = {"queue": QUEUES, "state": STATES, "blocker": BLOCKERS}[field]
    if value is not None and value not in allowed:
        raise UsageProblemError(f"{field} {value!r} is unknown; allowed: {', '.join(allowed)}")
    return value


def console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDTH)


def print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
