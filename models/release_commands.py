"""What the data team types about releases: compare, report, promote, rollback, list."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.live_commands import compare_on_live_mail, day_of
from models.terminal import plain_errors, print_table, write_text

if TYPE_CHECKING:
    from models.corpus import Corpus
    from models.gates import GateReport
    from models.handover import LiveReadings
    from models.predictions import Evaluation

Releases = Annotated[
    Path | None, typer.Option("--releases", help="The folder of releases, if not the program's.")
]
By = Annotated[str, typer.Option("--by", help="Who decides; else the account's name.")]
CorpusFolder = Annotated[
    Path | None, typer.Option("--corpus", help="Instead of the corpora that ship.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def compare(
    context: typer.Context,
    candidate: Annotated[
        str, typer.Argument(help="A release, or a folder of predictions; live, a candidate.")
    ] = "",
    champion: Annotated[str, typer.Argument(help="Likewise; else the release in use.")] = "",
    releases: Releases = None,
    corpus_folder: CorpusFolder = None,
    named: Annotated[
        str, typer.Option("--candidate", help="The same, by name; live, else the latest.")
    ] = "",
    since: Annotated[
        date | None, typer.Option(parser=day_of, metavar="DAY", help="Live mail stored since.")
    ] = None,
    *,
    live: Annotated[
        bool, typer.Option("--live", help="On live mail, as shadow runs have read it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Do two models differ by more than luck? On the same left-out predictions, or on live mail."""
    from models.comparing import compare as compared
    from models.registry import promoted

    candidate = candidate or named
    if live:
        with plain_errors():
            compare_on_live_mail(context, candidate, champion, since, as_json=as_json)
        return
    if not candidate:
        raise typer.BadParameter("say which candidate; only live mail has a latest one")
    with plain_errors():
        corpus = _corpus(corpus_folder)
        folder = _releases(releases)
        champion = champion or promoted(folder)
        ours, theirs = (_evaluation(corpus, name, folder) for name in (candidate, champion))
        found = compared(corpus, ours, theirs)
    if as_json:
        rows = [
            {
                "measure": d.measure,
                "candidate": d.candidate,
                "champion": d.champion,
                "difference": d.difference,
                "low": d.low,
                "high": d.high,
                "finding": d.finding,
            }
            for d in found.differences
        ]
        typer.echo(json.dumps({"messages": found.messages, "differences": rows}, indent=1))
        return
    print_table(
        ["measure", champion, candidate, "difference", "95 %", "finding"],
        [
            (
                d.measure,
                d.champion,
                d.candidate,
                f"{d.difference:+.3f}",
                f"{d.low:+.3f} .. {d.high:+.3f}",
                d.finding,
            )
            for d in found.differences
        ],
        title=f"{candidate} against {champion} on the same {found.messages} messages",
    )


def report(
    release: Annotated[str, typer.Argument(help="A release, or a folder of predictions.")],
    out: Annotated[Path, typer.Argument(help="The HTML page to write.")],
    releases: Releases = None,
    corpus_folder: CorpusFolder = None,
) -> None:
    """One HTML page about a release, from its stored predictions; nothing is trained."""
    from models.report import report_html

    with plain_errors():
        corpus = _corpus(corpus_folder)
        found = _evaluation(corpus, release, _releases(releases))
        page = report_html(
            corpus, found, composed=corpus_folder is None, title=f"How {release} reads"
        )
        write_text(out, page)
    typer.echo(f"{out} written")


def promote(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The release to use from now on.")],
    by: By = "",
    releases: Releases = None,
    corpus_folder: CorpusFolder = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Use a release, if it passes every gate. Exit code 2 if it does not; nothing changes then."""
    from models.gates import gate_report, write_report
    from models.promotions import put_into_use

    with plain_errors():
        corpus = _corpus(corpus_folder)
        folder = _releases(releases)
        if not (folder / name / "manifest.json").exists():
            raise typer.BadParameter(f"{folder} holds no release {name}")
        found = gate_report(corpus, name, folder, _live(context, name, folder))
        write_report(found, folder / name, who(by))
        _show(found, as_json=as_json)
        if not found.passed:
            typer.echo(f"fit-triage: {name} is not promoted", err=True)
            raise typer.Exit(2)
        step = put_into_use(name, who(by), folder)
    typer.echo(f"{name} is in use; before: {step.before or 'none'}", err=as_json)


def rollback(by: By = "", releases: Releases = None) -> None:
    """Use the release again that was in use before the present one."""
    from models.promotions import roll_back

    with plain_errors():
        step = roll_back(who(by), _releases(releases))
    typer.echo(f"{step.version} is in use again; before: {step.before}")


def list_releases(releases: Releases = None, *, as_json: AsJson = False) -> None:
    """The released models, oldest first; the one in use is marked."""
    from models.promotions import latest_steps
    from models.registry import ModelRefusedError, promoted
    from models.registry import releases as released

    folder = _releases(releases)
    try:
        in_use = promoted(folder)
    except ModelRefusedError:
        in_use = ""
    steps = latest_steps(folder)
    rows = []
    for manifest in released(folder):
        step, kind = steps.get(manifest.version), manifest.metrics.get("kind_macro_f1")
        rows.append(
            {
                "version": manifest.version,
                "in_use": manifest.version == in_use,
                "created": manifest.created,
                "data": manifest.data[:8],
                "kind_macro_f1": kind,
                "gates": _gates(folder / manifest.version),
                "after": step.before if step else "",
                "since": step.at if step else "",
                "by": step.by if step else "",
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        scored = (
            "" if row["kind_macro_f1"] is None else f"  kind macro-F1 {row['kind_macro_f1']:.3f}"
        )
        used = (
            f"  {row['since']} by {row['by']} after {row['after'] or 'none'}" if row["by"] else ""
        )
        gates = f"  gates {row['gates']}" if row["gates"] else ""
        mark = "*" if row["in_use"] else " "
        typer.echo(
            f"{mark} {row['version']}  {row['created']}  data {row['data']}{scored}{gates}{used}"
        )


def who(by: str) -> str:
    """The name that a change of releases is recorded under."""
    import getpass

    try:
        return by or getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return "unknown"


def _releases(folder: Path | None) -> Path:
    from models.registry import RELEASED

    return folder or RELEASED


def _corpus(folder: Path | None) -> Corpus:
    from models.corpus import load_corpus

    return load_corpus(folder) if folder else load_corpus()


def _evaluation(corpus: Corpus, name: str, releases: Path) -> Evaluation:
    """The stored predictions of a release, or those in the folder *name*."""
    from models.gates import EVALUATION
    from models.predictions import read_predictions

    kept = releases / name / EVALUATION
    return read_predictions(kept if kept.is_dir() else Path(name), corpus)


def _live(context: typer.Context, name: str, releases: Path) -> LiveReadings | None:
    """What shadow runs have stored of this very release; None where there is no store."""
    from models.registry import ModelRefusedError, promoted
    from models.shadow import digest_of, version_of

    archive = getattr(context.obj, "archive", None)
    try:
        champion = version_of(promoted(releases), releases)
    except ModelRefusedError:
        return None
    if archive is None:
        return None
    found: LiveReadings | None = archive().shadows(
        version_of(name, releases), champion, digest=digest_of(releases / name)
    )
    return found


def _gates(release: Path) -> str:
    from models.gates import REPORT

    try:
        passed = json.loads((release / REPORT).read_text(encoding="utf-8"))["passed"]
    except (OSError, ValueError, KeyError):
        return ""
    return "passed" if passed else "not passed"


def _show(found: GateReport, *, as_json: bool) -> None:
    if as_json:
        gates = [{"name": g.name, "passed": g.passed, "why": g.why} for g in found.gates]
        typer.echo(json.dumps({"passed": found.passed, "gates": gates}, indent=1))
        return
    print_table(
        ["gate", "", "why"],
        [[g.name, "passed" if g.passed else "NOT PASSED", g.why] for g in found.gates],
        title=f"{found.version} against {found.champion or 'no champion'}",
        width=130,
    )
