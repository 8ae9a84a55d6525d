"""How the data team's commands speak: a bar while they work, tables, errors as one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from models.extras import MissingExtraError

if TYPE_CHECKING:
    from models.handover import Archive


@contextmanager
def plain_errors() -> Iterator[None]:
    """What the user can put right becomes one line and exit code 2."""
    from models.corpus import CorpusError
    from models.registry import ModelRefusedError

    try:
        yield
    except (CorpusError, MissingExtraError, ModelRefusedError) as error:
        typer.echo(f"fit-triage: {error}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def progress(steps: int, first: str = "reading the corpora") -> Iterator[Callable[[str], None]]:
    """A bar on standard error; what it is told stands beside it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(first, total=steps)
        yield lambda step: bar.update(task, advance=1, description=step)
        bar.update(task, completed=steps, description="done")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", width: int = 0
) -> None:
    """A table on standard output; numbers with three places, never cut to fit a pipe."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title or None)
    for row in rows:
        table.add_row(*(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row))
    Console(width=max(width, 100)).print(table)


def write_text(path: Path, text: str) -> None:
    """Write *text*, making the folders that lead there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def archive_of(context: typer.Context) -> Archive:
    """What the store holds, from whoever runs these commands as part of the whole program."""
    found = getattr(context.obj, "archive", None)
    if found is None:
        raise typer.BadParameter("the store is known to `fit-triage models …` alone")
    archive: Archive = found()
    return archive
