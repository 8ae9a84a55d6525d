"""The command line: what operations and staff type, and what they get to see.

Each command reads the settings, opens what it needs and shows the outcome. What runs the batch
itself is handed in by ``pipeline.py`` as an ``Engine``, since nothing may import the entry point.
Exit codes: 0 done, 1 the world is unavailable (a scheduler alerts), 2 wrong use or configuration.
"""

from __future__ import annotations

import errno
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from ingest.sources import Source, SourceError, SourceSpecError
from ingest.workers import NoWorkersError
from models.commands import models_app
from review import logs
from review.alerts import alerts
from review.attachments import attachment
from review.calls import Calls
from review.case_commands import case_app, show
from review.desk import (
    LONDON,
    AsJson,
    Desk,
    Engine,
    Now,
    UsageProblemError,
    console,
    counting,
    import_files,
    mailboxes,
    one_of,
    print_json,
    store_of,
)
from review.export_commands import export_app
from review.hooks import livechat_app
from review.keys import keys_app
from review.metrics import metrics
from review.operations import check, health, quarantine_app, registry_app
from review.outbox import deliver, deliver_after_a_run, outbox_app
from review.privacy import erase, purge
from review.retriage import retriage
from review.runs import runs
from review.safekeeping import audit_app, backup, database_app, restore
from review.serving import review
from review.shadowing import shadow
from review.signing_in import sign_in
from review.split_commands import merge, sentences, split
from review.subject_access import subject_access
from review.users import users_app
from review.watching import watch
from settings import SettingsError, SourceSettings, Start
from store import KeysError, StoreError, open_store
from triage.records import Email

#: What a machine says that has no more room, or whose disk has failed.
_NO_ROOM: Final = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EROFS)
)

app = typer.Typer(
    help="Read the support mailbox and lay out cancellation and referral queues.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print values, and our values are people's mail
)
for command in (sentences, split, merge):
    case_app.command()(command)
app.add_typer(case_app, name="case")
app.add_typer(models_app, name="models")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(registry_app, name="registry")
app.add_typer(outbox_app, name="outbox")
app.add_typer(export_app, name="export")
app.add_typer(users_app, name="users")
app.add_typer(livechat_app, name="livechat")
app.add_typer(audit_app, name="audit")
app.add_typer(database_app, name="database")
app.add_typer(keys_app, name="keys")
models_app.command()(shadow)
app.command()(deliver)
app.command()(show)
app.command()(attachment)
app.command()(watch)
app.command()(review)
app.command("sign-in")(sign_in)
app.command()(health)
app.command()(check)
app.command()(metrics)
app.command()(alerts)
app.command()(runs)
app.command()(retriage)
app.command()(backup)
app.command()(erase)
app.command()(purge)
app.command("subject-access")(subject_access)
app.command()(restore)


def command_line(engine: Engine) -> None:
    """Run the command that was typed; known errors become one line and an exit code."""
    try:
        app(obj=Desk(engine))
    except Exception as error:
        code = _exit_code(error)
        if code is None and logs.is_json():
            logs.crashed(error)
            sys.exit(1)
        if code is None:
            raise
        # A process without memory may have left its last words without the end of their line.
        lead = "\n" if isinstance(error, MemoryError | NoWorkersError) else ""
        typer.echo(lead, err=True, nl=False)
        logs.complain(_line(error), "ended", error=type(error).__name__, exit_code=code)
        sys.exit(code)


def _exit_code(error: Exception) -> int | None:
    """2 for wrong use, 1 where the world is unavailable, None for a bug of ours."""
    if isinstance(error, SettingsError | SourceSpecError | UsageProblemError | KeysError):
        return 2
    if isinstance(error, OSError):
        return 1 if error.errno in _NO_ROOM or "temporary directory" in str(error) else None
    return 1 if isinstance(error, SourceError | StoreError | MemoryError) else None


def _line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "out of memory"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


@app.callback()
def configure(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="Instead of ./fit-triage.toml.")] = None,
    *,
    fast: Annotated[
        bool, typer.Option("--fast", help="Read without the transformer: quicker, less well.")
    ] = False,
    log: Annotated[
        logs.How | None, typer.Option(help="How the log is written on standard error.")
    ] = None,
) -> None:
    logs.write(log or "plain")
    context.obj = Desk(context.obj.engine, config, fast, log)


@app.command()
def run(
    context: typer.Context,
    source: Annotated[list[str] | None, typer.Option(help="Instead of the configured.")] = None,
    now: Now = None,
    start: Annotated[Start | None, typer.Option(help="What a first connection reads.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most, of each mailbox.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do it all, keep nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read what is new in every mailbox, once. Exit code 1: one could not be read."""
    from review.fields import run_json
    from review.terminal import print_reports

    desk: Desk = context.obj
    settings = desk.settings(start=start)
    specs = mailboxes(settings, source)
    with store_of(settings, scratch=dry_run) as store, counting("messages") as progress:
        calls = Calls(store, settings.access_to)
        reports = desk.engine.run(
            settings,
            specs,
            store,
            now or datetime.now(UTC),
            limit=limit,
            dry_run=dry_run,
            start=None if start or not _somebody_watches() else _ask_start,
            progress=progress,
            access=calls.access,
        )
        if not dry_run and limit is None:
            calls.answered(reports)
        if not dry_run:
            deliver_after_a_run(settings, store)
    if as_json:
        print_json(run_json(reports))
    else:
        print_reports(console(), reports, dry_run=dry_run)
    for place, report in enumerate(reports, 1):
        if report.failed:
            told = {"source": place, "refused_login": report.refused}
            logs.complain(report.problem, "source_failed", **told)
    if any(report.failed for report in reports):
        raise typer.Exit(1)


def _somebody_watches() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask_start(source: Source) -> Start:
    """A first connection must not surprise anybody with years of history, nor leave it out."""
    question = f"First connection to {source.name}: read the {source.count()} messages there?"
    with_history = typer.confirm(question + " No begins with what comes from now on", err=True)
    return "history" if with_history else "now"


@app.command()
def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its files.")] = Path("demo"),
) -> None:
    """The main job on the sample mailbox, on SQLite, as of today."""
    from ingest.sample import write_sample
    from review.acting import sending_of
    from review.showcase import GROWN, print_approval, worth_a_look
    from review.terminal import print_queues, print_reports

    desk: Desk = context.obj
    sample = write_sample(folder, datetime.now(LONDON).date())
    database = f"sqlite:///{folder / 'fit-triage.sqlite3'}"
    settings = desk.settings(database_url=database, authserv_id=sample.authserv_id, workers=1)
    specs = [SourceSettings(url=f"maildir:{sample.maildir}")]
    keys = settings.encryption.place()
    with open_store(database, keys=keys) as store, counting("messages") as progress:
        import_files(store, sample.sessions, sample.therapists, sample.clients, sample.now)
        reports = desk.engine.run(settings, specs, store, sample.now, progress=progress)
        print_queues(console(), store.queue(), store.directory(), sample.now)
        shown = list(worth_a_look(store))
        for case_id in [number for number, what in shown if what == GROWN]:
            rules, sending = settings.rules(sample.now), sending_of(settings)
            print_approval(console(), store, case_id, rules, sending)
    print_reports(console(), reports, dry_run=False)
    for case_id, what in shown:
        console().print(f"[dim]Worth a look[/]  show {case_id}: {what}", highlight=False)
    console().print(
        f"[dim]Go on with[/]  {sys.argv[0]} show CASE   [dim]or[/]  case approve CASE --dry-run   "
        "[dim]or in the browser[/]  review   "
        f"[dim]after[/]  export FIT_TRIAGE_DATABASE_URL={database}",
        soft_wrap=True,
        highlight=False,
    )


@app.command()
def queue(
    context: typer.Context,
    name: Annotated[str | None, typer.Option("--queue", help="Only this queue.")] = None,
    state: Annotated[str | None, typer.Option(help="Only cases in this state.")] = None,
    blocker: Annotated[str | None, typer.Option(help="Only cases held up by this.")] = None,
    due: Annotated[float | None, typer.Option(help="Only due within so many hours.")] = None,
    limit: Annotated[int | None, typer.Option(min=1)] = None,
    now: Now = None,
    *,
    lapsing: Annotated[
        bool, typer.Option("--lapsing", help="Only what lapses before the office opens again.")
    ] = False,
    closed: Annotated[bool, typer.Option("--closed", help="Closed cases as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """The queues, most pressing first: deadline, therapist, client, state, what is missing."""
    from review import due as pressing
    from review.fields import queue_json
    from review.terminal import print_queues

    clock, settings = now or datetime.now(UTC), context.obj.settings()
    office, ladder = settings.office_hours(clock), pressing.ladder_of(settings)
    with store_of(settings) as store:
        directory = store.directory()
        rows = store.queue(
            queue=one_of("queue", name),
            state=one_of("state", state),
            blocker=one_of("blocker", blocker),
            due_before=None if due is None else clock + timedelta(hours=due),
            limit=None if lapsing else limit,
            include_closed=closed,
        )
        if lapsing:
            rows = pressing.lapsing(rows, directory, clock, office)[:limit]
        levels = pressing.levels(rows, clock, office, ladder)
        if as_json:
            for row in rows:
                level = pressing.escalation_json(levels[row.case_id], ladder)
                print_json({**queue_json(row), "escalation": level})
            return
        print_queues(console(), rows, directory, clock, only=name, levels=levels)
        for line in pressing.footer(levels, ladder, directory.as_of, clock, settings):
            console().print(line, style="yellow", highlight=False)


@app.command()
def explain(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Message files, folders, Maildirs, mboxes.")],
    *,
    as_json: AsJson = False,
) -> None:
    """What is understood of messages in files, and the words it rests on. Needs no database."""
    from ingest.paths import messages_at
    from review.fields import explain_json, unreadable_json
    from review.terminal import print_explained

    desk: Desk = context.obj
    settings = desk.settings()
    found = messages_at(paths)
    for raw, email, requests in desk.engine.explain(settings, found):
        file = raw.key.source.removeprefix("livechat:")
        if not as_json:
            print_explained(console(), file, email, requests)
        elif isinstance(email, Email):
            print_json(explain_json(file, email, requests))
        else:
            print_json(unreadable_json(file, email))
