"""Forgetting people, keeping nothing longer than said, and telling people what is held on them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from review.desk import (
    AsJson,
    Desk,
    Now,
    UsageProblemError,
    console,
    counting,
    print_json,
    store_of,
)
from review.typed import login
from store import Store

if TYPE_CHECKING:
    from rich.console import Console

    from store.erasing import Erased
    from store.persons import Kind

Client = Annotated[str, typer.Option("--client", help="Id of a client, as in the registry.")]
Therapist = Annotated[str, typer.Option("--therapist", help="Id of a therapist.")]
Names = Annotated[list[str] | None, typer.Option("--name", help="Look for this name too.")]
Addresses = Annotated[list[str] | None, typer.Option("--address", help="And this address.")]
By = Annotated[str, typer.Option(help="Who asks for it; your login name if left out.")]


def erase(
    context: typer.Context,
    client: Client = "",
    therapist: Therapist = "",
    *,
    name: Names = None,
    address: Addresses = None,
    reason: Annotated[str, typer.Option(help="One of a few codes; see docs/privacy.md.")] = "",
    again: Annotated[
        list[Path] | None,
        typer.Option(help="Repeat the erasures of these reports, after a restore."),
    ] = None,
    to: Annotated[Path, typer.Option(help="Folder for the report.")] = Path(),
    models: Annotated[Path | None, typer.Option(help="Folder of releases; else ours.")] = None,
    by: By = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a client or a therapist for good, and let nothing of them come back.

    Says first what would go. The same again, after a stop anywhere, ends the same.
    """
    from review.forgetting import report_of, write_report
    from store.erasing import REASONS

    settings = context.obj.settings()
    if reason not in REASONS:
        raise UsageProblemError(f"--reason is one of {', '.join(REASONS)}")
    if not to.is_dir():
        raise UsageProblemError(f"there is no folder {to} for the report")
    with store_of(settings) as store:
        for kind, number in _people(store, client, therapist, again):
            wish: dict[str, Any] = {
                "names": name or (),
                "addresses": address or (),
                "by": by or login(),
                "reason": reason,
            }
            trial = _erased(store, kind, number, wish, dry_run=True)
            if dry_run or not as_json:
                _show(trial, dry_run=True, as_json=as_json)
            if dry_run or not (yes or _agreed()):
                continue
            erased = _erased(store, kind, number, wish, dry_run=False)
            unwashed = washed(store)
            report = report_of(settings, store, erased, unwashed, models)
            path = write_report(report, to)
            if as_json:
                print_json({**report, "report": str(path)})
            else:
                _tell(console(), report, path)


def _people(
    store: Store, client: str, therapist: str, again: Sequence[Path] | None
) -> list[tuple[Kind, str]]:
    from review.forgetting import marks_in

    if bool(client) + bool(therapist) + bool(again) != 1:
        raise UsageProblemError("give --client or --therapist, or --again with reports")
    if again:
        marks = [mark for path in again for mark in marks_in(path)]
        return store.erasures.named_by(marks)
    return [("client", client)] if client else [("therapist", therapist)]


def _erased(
    store: Store, kind: Kind, number: str, wish: Mapping[str, Any], *, dry_run: bool
) -> Erased:
    from store import Tally

    with counting("rows") as progress:
        return store.erasures.erase(
            kind,
            number,
            **wish,
            now=datetime.now(UTC),
            dry_run=dry_run,
            progress=lambda count: progress(Tally(fetched=count)),
        )


def washed(store: Store) -> list[str]:
    """Wash the database's files; what could not be done."""
    from store.washing import wash

    now = datetime.now(UTC)
    left = wash(store.erasures.database)
    if not left:
        store.erasures.washed(now)
    return left


def _agreed() -> bool:
    return not sys.stdin.isatty() or typer.confirm("Erase this for good?", err=True)


def _show(erased: Erased, *, dry_run: bool, as_json: bool) -> None:
    told = {"gone": erased.gone, "changed": erased.changed, "cases": erased.cases}
    if as_json:
        print_json({"dry_run": dry_run, **told, "left": erased.left, "exports": erased.exports})
        return
    say = console()
    for what, counts in (("would go", erased.gone), ("would be cut", erased.changed)):
        for table, count in sorted(counts.items()):
            say.print(f"{count:>7} {table.replace('_', ' ')} {what}", highlight=False)
    if erased.is_nothing:
        say.print("nothing of them is here")


def _tell(say: Console, report: Mapping[str, Any], path: Path) -> None:
    say.print(f"erased, number {report['erasure']}; report: {path}", highlight=False)
    for line in report["not_erased"]:
        say.print(f"  {line}", style="yellow", highlight=False)


def purge(
    context: typer.Context,
    now: Now = None,
    by: By = "",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is due.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what has been kept as long as the settings say; made for a scheduler."""
    from store.retention import KINDS
    from store.retention import purge as purge_due

    desk: Desk = context.obj
    settings, clock = desk.settings(), now or datetime.now(UTC)
    kept = settings.retention
    days = {kind: getattr(kept, f"{kind}_days") for kind in KINDS}
    with store_of(settings) as store:
        database = store.erasures.database
        done = list(purge_due(database, days, by or "purge", clock, dry_run=dry_run))
        deleted = not dry_run and any(one.count for one in done)
        unwashed = washed(store) if deleted or _is_unwashed(store, dry_run=dry_run) else []
        told = [{"kind": one.kind, "due": one.count, "gone": dict(one.gone)} for one in done]
    if as_json:
        print_json({"dry_run": dry_run, "purged": told, "not_washed": unwashed})
        return
    say = console()
    for one in done:
        what = "due" if dry_run else "purged"
        say.print(f"{one.count:>7} {one.kind} {what}, from before {one.before:%Y-%m-%d}")
    if not done:
        say.print("nothing is set to be deleted: see [retention] in docs/settings.md", markup=False)
    for line in unwashed:
        say.print(line, style="yellow")


def _is_unwashed(store: Store, *, dry_run: bool) -> bool:
    return not dry_run and any(one.washed_at is None for one in store.erasures.made())
