"""What the data team types about thresholds: `fit-triage models thresholds`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import plain_errors, print_table

if TYPE_CHECKING:
    from models.thresholds import Found


def thresholds(
    predictions: Annotated[
        Path, typer.Option(help="A folder of left-out predictions (`models evaluate --out`).")
    ],
    corpus_folder: Annotated[
        Path | None, typer.Option("--corpus", help="Instead of the corpora that ship.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """From which confidence on errors stay below what their cost allows; nothing is trained."""
    from models.corpus import load_corpus
    from models.predictions import read_predictions
    from models.thresholds import COSTS, SURE, fit

    with plain_errors():
        corpus = load_corpus(corpus_folder) if corpus_folder else load_corpus()
        found = fit(corpus, read_predictions(predictions, corpus))
    if as_json:
        rows = [{**one.as_json(), "error_is": COSTS[one.decision].error} for one in found]
        typer.echo(json.dumps({"confidence": SURE, "decisions": rows}, indent=1))
        return
    print_table(
        ["decision", "an error is", "checks", "bound", "threshold", "released", "error", ""],
        [_row(one, COSTS[one.decision].error) for one in found],
        title=f"What may go unchecked, each bound kept with {SURE:.0%} confidence",
        width=150,
    )
    for name, cost in COSTS.items():
        typer.echo(f"{name:8} {cost.error}, worth {cost.checks}: {cost.why}")


def _row(one: Found, error: str) -> list[object]:
    from models.thresholds import NEVER

    measured = one.threshold is not None
    threshold = "none" if one.threshold == NEVER else "as before" if not measured else one.threshold
    share = f"{one.released:.1%} of {one.answers}" if one.decision != "urgent" else "any"
    return [
        one.decision, error, one.cost, f"{one.bound:.1%}", threshold,
        share if measured else "", f"{one.error:.1%}" if measured else "", one.why,
    ]  # fmt: skip
