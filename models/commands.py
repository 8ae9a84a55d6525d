"""What the data team types: train, evaluate, list."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.measures import Report

models_app = typer.Typer(help="The classifiers: train, evaluate, list.", no_args_is_help=True)

Seed = Annotated[int, typer.Option(help="The same seed and corpora give the same model.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

#: Rows of the table, and what each must reach in this version ("<" where less is better).
_SHOWN: Final = {
    "kind_macro_f1": "0.88",
    "message_kinds_exact": "",
    "client_notification_macro_f1": "0.78",
    "session_ids_message_exact": "0.97",
    "fit_reasons_micro_f1": "0.62",
    "presenting_issues_micro_f1": "0.75",
    "required_approaches_micro_f1": "0.83",
    "required_experience_micro_f1": "0.70",
    "session_stage_macro_f1": "",
    "client_agreement_macro_f1": "",
    "risk_macro_f1": "",
    "alternatives_requested_f1": "",
    "guarantee_asked_f1": "",
    "session_time_accuracy": "",
    "false_clear": "< 4 %",
    "false_clear_of": "",
    "false_discussed": "",
    "urgent_missed": "",
    "urgent_of": "",
    "evidence_f1": "",
    "kind_ece": "",
    "coverage_at_1pct_error": "",
}


@models_app.command()
def train(
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the release; its name is the version.")
    ] = None,
    seed: Seed = 0,
    metrics: Annotated[
        Path | None,
        typer.Option(help="What `models evaluate --json` printed; kept in the manifest."),
    ] = None,
) -> None:
    """Train on all corpora and write a release; it is used once it is promoted or named."""
    from models.corpus import load_corpus
    from models.registry import RELEASED, release
    from models.train import BLOCKS
    from models.train import train as learn
    from models.views import views_of

    with _plain_errors():
        corpus = load_corpus()
        folder = out or RELEASED / f"trained-{corpus.digest[:8]}-{seed}"
        if (folder / "manifest.json").exists():
            raise typer.BadParameter(f"{folder} holds a release already; name another with --out")
        measured = _pooled(metrics) if metrics else {}
        with _progress(BLOCKS + 2) as tell:
            model = learn(corpus, views_of(corpus.examples), seed=seed, tell=tell)
        manifest = release(
            model, folder, version=folder.name, seed=seed, data=corpus.digest, metrics=measured
        )
    typer.echo(f"{manifest.version} written to {folder}; weights {manifest.files['weights.npz']}")


@models_app.command()
def evaluate(
    *,
    leave_one_file_out: Annotated[
        bool, typer.Option(help="Read each corpus file with a model trained without it.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="A folder for predictions (JSON Lines) and tables (CSV).")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """How well messages are read by models that were trained without their file; some minutes."""
    from models import evaluate as evaluation
    from models.corpus import load_corpus
    from models.views import views_of

    if not leave_one_file_out:
        raise typer.BadParameter("only --leave-one-file-out is offered: anything else flatters")
    with _plain_errors():
        corpus = load_corpus()
        with _progress(evaluation.steps(corpus)) as tell:
            views = views_of(corpus.examples)
            found = evaluation.leave_one_file_out(corpus, views, seed=seed, tell=tell)
        if out is not None:
            evaluation.write_predictions(found, out)
            evaluation.write_frames(found, corpus, out)
    if as_json:
        typer.echo(json.dumps(found.reports, indent=1))
    else:
        _print_table(found.reports)


@models_app.command("list")
def list_releases() -> None:
    """The released models; the one in use is marked."""
    from models.registry import ModelRefusedError, promoted, releases

    try:
        in_use = promoted()
    except ModelRefusedError:
        in_use = ""
    for manifest in releases():
        mark = "*" if manifest.version == in_use else " "
        kind = manifest.metrics.get("kind_macro_f1")
        scored = "" if kind is None else f"  kind macro-F1 {kind:.3f}"
        typer.echo(
            f"{mark} {manifest.version}  {manifest.created}  data {manifest.data[:8]}{scored}"
        )


def _pooled(path: Path) -> Report:
    try:
        report: Report = json.loads(path.read_text(encoding="utf-8"))["pooled"]
    except (OSError, ValueError, KeyError, TypeError):
        raise typer.BadParameter(f"{path} is not what `models evaluate --json` prints") from None
    return report


@contextmanager
def _plain_errors() -> Iterator[None]:
    """A corpus that cannot be used becomes one line and exit code 2."""
    from models.corpus import CorpusError

    try:
        yield
    except CorpusError as error:
        typer.echo(f"fit-triage: {error}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def _progress(steps: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error; what it is told stands beside it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("reading the corpora", total=steps)
        yield lambda step: bar.update(task, advance=1, description=step)
        bar.update(task, completed=steps, description="done")


def _print_table(reports: Mapping[str, Report]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "aim", *reports, title="Each file read by a model trained without it")
    for name, aim in _SHOWN.items():
        values = [report[name] for report in reports.values()]
        shown = [f"{v:.3f}" if isinstance(v, float) else str(v) for v in values]
        table.add_row(name, aim, *shown)
    Console(width=max(80, 44 + 8 * len(reports))).print(table)
