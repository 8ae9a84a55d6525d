"""What operations type: quarantine, registry, health, and a check of everything."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from review.desk import (
    AsJson,
    Desk,
    Now,
    UsageProblemError,
    console,
    import_files,
    import_queries,
    moment,
    print_json,
    queries_to_run,
    store_of,
)

quarantine_app = typer.Typer(help="Messages that could not be read.", no_args_is_help=True)
registry_app = typer.Typer(help="The booking registry.", no_args_is_help=True)


@quarantine_app.command("list")
def quarantine_list(context: typer.Context, *, as_json: AsJson = False) -> None:
    """What could not be read, since when and why."""
    from review.fields import quarantined_json
    from review.terminal import print_quarantine

    with store_of(context.obj.settings()) as store:
        found = store.quarantined()
    if as_json:
        for item in found:
            print_json(quarantined_json(item))
    else:
        print_quarantine(console(), found)


@quarantine_app.command("retry")
def quarantine_retry(
    context: typer.Context,
    ids: Annotated[
        list[int] | None, typer.Argument(help="As `quarantine list` gives them.")
    ] = None,
    cause: Annotated[str | None, typer.Option(help="All set aside for this cause.")] = None,
    before: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="ISO", help="All set aside before.")
    ] = None,
    now: Now = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
) -> None:
    """Read messages again, from the bytes kept; what succeeds leaves quarantine."""
    from review.terminal import tally_line

    desk: Desk = context.obj
    if not (everything or ids or cause or before):
        raise UsageProblemError("say which: an id, --cause, --before or --all")
    settings = desk.settings()
    with store_of(settings) as store:
        chosen = store.quarantined(ids=ids or None, cause=cause, before=before)
        if not chosen:
            raise UsageProblemError("nothing in quarantine fits; `quarantine list` shows what is")
        tally = desk.engine.retry(settings, store, chosen, now or datetime.now(UTC))
    console().print(tally_line(tally))


_Query = Annotated[Path | None, typer.Option(help="File with one SELECT, for --sql.")]


@registry_app.command("import")
def registry_import(
    context: typer.Context,
    sessions: Annotated[Path | None, typer.Option(help="CSV or Parquet.")] = None,
    therapists: Annotated[Path | None, typer.Option(help="CSV or Parquet.")] = None,
    clients: Annotated[Path | None, typer.Option(help="CSV or Parquet.")] = None,
    sql: Annotated[
        str | None, typer.Option(metavar="URL", help="The platform's database; no password here.")
    ] = None,
    now: Now = None,
    *,
    sessions_query: _Query = None,
    therapists_query: _Query = None,
    clients_query: _Query = None,
    changes: Annotated[bool, typer.Option("--changes", help="They hold changes only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the booking registry up to these files, or to what the queries find.

    Bad rows are named and left out. Without any option the queries of the settings are run.
    """
    from review.terminal import print_import

    files = (sessions, therapists, clients)
    asked = (sessions_query, therapists_query, clients_query)
    settings, clock = context.obj.settings(), now or datetime.now(UTC)
    if any(files) and (sql or any(asked)):
        raise UsageProblemError("give files or queries, not both at once")
    with store_of(settings) as store:
        if any(files):
            reports = import_files(store, *files, clock, full=not changes)
        else:
            url, queries = queries_to_run(settings, sql, asked)
            reports = import_queries(store, url, queries, clock, full=not changes)
    if as_json:
        print_json([asdict(report) for report in reports])
    else:
        print_import(console(), reports)


@registry_app.command("unconfirmed")
def registry_unconfirmed(
    context: typer.Context, now: Now = None, *, as_json: AsJson = False
) -> None:
    """Therapists who left sessions unconfirmed with nobody told, and whom it may pause."""
    from triage.limits import unconfirmed_remark

    settings, clock = context.obj.settings(), now or datetime.now(UTC)
    limits = settings.limits()
    with store_of(settings) as store:
        found = store.unconfirmed(clock - limits.window, clock)
        directory = store.directory()
        for therapist_id, count in sorted(found.items(), key=lambda item: (-item[1], item[0])):
            remark = unconfirmed_remark(count, limits)
            therapist = directory.therapist(therapist_id)
            name = therapist.name if therapist else ""
            if as_json:
                level = "pause" if count >= limits.pause_at else "warn" if remark else ""
                row = {"therapist_id": therapist_id, "unconfirmed": count, "level": level}
                print_json({**row, "name": name, "remark": remark})
            elif remark:
                console().print(f"{therapist_id}  {name}: {remark}", highlight=False)


def health(
    context: typer.Context,
    now: Now = None,
    *,
    alive: Annotated[
        bool, typer.Option("--alive", help="Only whether the database answers; says nothing.")
    ] = False,
) -> None:
    """Figures for monitoring, as JSON. Exit code 1 where something needs a person."""
    from review.health import health_report

    settings = context.obj.settings()
    clock = now or datetime.now(UTC)
    with store_of(settings) as store:
        if alive:
            store.runs(1)
            return
        report = health_report(store, settings, clock)
    print_json(report)
    if not report["healthy"]:
        raise typer.Exit(1)


def check(context: typer.Context) -> None:
    """Try settings, database, model and every mailbox, and say what is wrong with each."""
    from review.health import checks

    findings = list(checks(context.obj.settings()))
    for name, problem in findings:
        console().print(f"{'ok  ' if not problem else 'FAIL'}  {name}  {problem}", highlight=False)
    if any(problem for _, problem in findings):
        raise typer.Exit(1)
