"""`fit-triage runs`: what each run did, and whether its figures agree with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields
from typing import Annotated

import typer

from review.desk import AsJson, Desk, console, print_json, store_of
from store import Run, Tally


def runs(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="So many of the latest.")] = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """The latest runs: what was fetched, what became of it, what is stored of it.

    Exit code 1: one of them does not add up.
    """
    from review.health import run_json

    desk: Desk = context.obj
    with store_of(desk.settings()) as store:
        found = store.runs(limit)
    if as_json:
        for run in found:
            print_json(run_json(run))
    else:
        _print(found)
    if any(run.finished_at and not run.is_reconciled for run in found):
        raise typer.Exit(1)


def _print(found: Sequence[Run]) -> None:
    from rich.table import Table

    names = [field.name.replace("_", " ") for field in fields(Tally)]
    table = Table("run", "began (UTC)", "took", "ended", *names, "stored", "adds up")
    for run in found:
        took = "" if run.seconds is None else f"{run.seconds:.1f} s"
        ended = run.status if run.finished_at else "unfinished"  # at work, or killed
        verdict = ("yes" if run.is_reconciled else "[bold red]NO[/]") if run.finished_at else ""
        stored = "" if run.stored is None else str(run.stored)
        counts = map(str, astuple(run.tally))
        began = f"{run.started_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(run.run_id), began, took, ended, *counts, stored, verdict)
    console().print(table)
