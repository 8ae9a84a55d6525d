"""What the data team types about labels: select, doubts, frame, and ``labels export|import``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.terminal import archive_of, plain_errors, print_table, write_text

if TYPE_CHECKING:
    import pandas as pd

    from models.formats import Format
    from models.handover import StoredCase
    from models.masking import Pseudonyms
    from models.selection import Candidate
    from triage.records import Email

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Messages = Annotated[
    Path | None, typer.Option("--messages", help="JSON Lines as the corpora; else the store.")
]
FormatName = Annotated[str, typer.Argument(help="label-studio, argilla, prodigy or spacy.")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="Secret for pseudonyms that are to match later ones."),
]

labels_app = typer.Typer(help="Labels to annotation tools and back.", no_args_is_help=True)


def select(
    context: typer.Context,
    number: Annotated[int, typer.Option(min=1, help="How many messages.")] = 20,
    messages: Messages = None,
    out: Annotated[
        Path | None, typer.Option(help="Write them as JSON Lines, ready for `labels export`.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed chooses the same.")] = 0,
    *,
    as_json: AsJson = False,
) -> None:
    """What to label next: unsure, rare, disputed between rules and model, and some by lot.

    Messages of the store are written with names masked and senders as pseudonyms.
    """
    from models.corpus import load_corpus
    from models.selection import known_labels
    from models.selection import select as choose

    with plain_errors():
        records = _records(messages) if messages else list(_masked(_unjudged(context)))
        known = known_labels(r for e in load_corpus().examples for r in e.requests)
        picks = choose(_candidates(records), known, number, seed=seed)
    if out is not None:
        chosen = {pick.id for pick in picks}
        _write_records(out, (record for record in records if record["id"] in chosen))
    if as_json:
        rows = [
            {"id": p.id, "chosen_by": p.chosen_by, "score": p.score, "why": p.why} for p in picks
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    title = f"{len(picks)} of {len(records)} messages"
    print_table(
        ["message", "chosen by", "why"], [[p.id, p.chosen_by, p.why] for p in picks], title=title
    )


def doubts(
    predictions: Annotated[Path, typer.Argument(help="Left-out predictions.")],
    out: Annotated[Path | None, typer.Option(help="All of them, as CSV.")] = None,
    corpus_folder: Annotated[
        Path | None, typer.Option("--corpus", help="Instead of the corpora that ship.")
    ] = None,
    most: Annotated[int, typer.Option(help="How many of each field are shown.")] = 5,
) -> None:
    """Labels that are probably wrong: models that never saw the message are sure of others."""
    from models.corpus import load_corpus
    from models.doubts import doubts_frame
    from models.predictions import read_predictions

    with plain_errors():
        corpus = load_corpus(corpus_folder) if corpus_folder else load_corpus()
        found = doubts_frame(corpus, read_predictions(predictions, corpus))
    if out is not None:
        write_text(out, _for_spreadsheets(found).to_csv(index=False))
    shown = found.groupby("field", sort=False).head(most).drop(columns="file")
    rows = [list(row) for row in shown.itertuples(index=False)]
    print_table(list(shown.columns), rows, title=f"{len(found)} doubted labels", width=150)


def frame(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="A .parquet or .csv file.")],
    key_file: KeyFile = None,
) -> None:
    """Stored messages, what was read in them and what people decided, pseudonymised.

    Free text comes with `fit-triage export --with-text`, which puts on record who asked and why.
    """
    from models.frames import stored_frame

    found = stored_frame(archive_of(context).cases(), _key(key_file))
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".parquet":
        found.to_parquet(out, index=False)
    else:
        _for_spreadsheets(found).to_csv(out, index=False)
    typer.echo(f"{len(found)} cases in {out}")


@labels_app.command("export")
def export_labels(
    format_name: FormatName,
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    messages: Annotated[Path, typer.Option("--messages", help="JSON Lines as the corpora.")],
    *,
    labelled: Annotated[
        bool, typer.Option("--labelled", help="With the labels that the messages have.")
    ] = False,
) -> None:
    """Messages for an annotation tool, with the model's answers as suggestions."""
    from models.corpus import load_messages
    from models.exchange import tasks_of
    from models.reading import load_reader

    with plain_errors():
        form = _format(format_name)
        reader = load_reader()
        examples = load_messages(messages)
        read = reader.read([example.email for example in examples])
        suggestions = {e.id: requests for e, requests in zip(examples, read, strict=True)}
        tasks = tasks_of(examples, suggestions, version=reader.version, labelled=labelled)
        out.parent.mkdir(parents=True, exist_ok=True)
        form.write(tasks, out)
    typer.echo(f"{len(tasks)} requests of {len(examples)} messages in {out}")


@labels_app.command("import")
def import_labels(
    format_name: FormatName,
    source: Annotated[Path, typer.Argument(help="What the tool exported.")],
    out: Annotated[Path, typer.Argument(help="The corpus file to write.")],
    messages: Annotated[Path, typer.Option("--messages", help="The messages as exported.")],
) -> None:
    """What people labelled, as a corpus file; every label is checked."""
    from models.corpus import load_messages
    from models.exchange import apply

    with plain_errors():
        try:
            records = apply(_format(format_name).read(source), _records(messages))
        except (KeyError, ValueError, TypeError) as error:
            raise typer.BadParameter(f"{source}: {error}") from None
        _write_records(out, records)
        load_messages(out)
    typer.echo(f"{len(records)} labelled messages in {out}")


def _for_spreadsheets(found: pd.DataFrame) -> pd.DataFrame:
    """*found* with nothing in it that a spreadsheet would calculate."""
    from triage.spreadsheets import formula_safe

    return found.map(lambda value: formula_safe(value) if isinstance(value, str) else value)


def _format(name: str) -> Format:
    from models.formats import FORMATS

    if name not in FORMATS:
        raise typer.BadParameter(f"{name!r} is no form; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def _records(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream if line.strip()]


def _write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    write_text(path, "".join(lines))


def _candidates(records: Sequence[Mapping[str, Any]]) -> list[Candidate]:
    from models.corpus import email_of
    from models.reading import load_reader, rules_only
    from models.selection import Candidate

    emails = [email_of(record) for record in records]
    by_model, by_rules = load_reader().read(emails), rules_only().read(emails)
    return [
        Candidate(record["id"], record["from_email"], model, rules)
        for record, model, rules in zip(records, by_model, by_rules, strict=True)
    ]


def _unjudged(context: typer.Context) -> Iterator[StoredCase]:
    """Stored cases that no person has decided anything about."""
    return (case for case in archive_of(context).cases() if not case.judgements)


def _masked(cases: Iterable[StoredCase]) -> Iterator[dict[str, Any]]:
    """The last mail of each case in the form of the corpora, without names and addresses."""
    import secrets

    from models.masking import Pseudonyms, common_words

    pseudonyms, common = Pseudonyms(secrets.token_bytes(16)), common_words()
    seen: set[str] = set()
    for case in cases:
        email = case.emails[-1]
        if email.message_id in seen or email.automatic:
            continue
        seen.add(email.message_id)
        names = [email.sender.name, case.request.client_ref or ""]
        yield _masked_record(email, f"case-{case.case_id}", pseudonyms, names, common)


def _masked_record(
    email: Email, name: str, pseudonyms: Pseudonyms, names: Sequence[str], common: frozenset[str]
) -> dict[str, Any]:
    from models.masking import mask
    from triage.records import Request, request_fields

    subject, text = (
        mask(words, pseudonyms, names=names, common=common)
        for words in (email.subject, email.new_text)
    )
    return {
        "id": name,
        "from_name": "",
        "from_email": f"{pseudonyms.of(email.sender.email, 'sender')}@masked.example",
        "role": "therapist",
        "sent": email.sent_at.isoformat(),
        "subject": subject,
        "new_text": text,
        "signature": "",
        "quoted": "",
        "reply_to": None,
        "requests": [dict(request_fields(Request(kind="other")))],
    }


def _key(path: Path | None) -> bytes:
    return path.read_bytes().strip()[:64] if path else b""
