"""What is held on a person, as a folder to be looked through and then given to them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from review.desk import AsJson, UsageProblemError, console, print_json, store_of
from review.privacy import Addresses, By, Client, Names, Therapist
from review.typed import login
from store import Store

if TYPE_CHECKING:
    from store.held import Held
    from store.persons import Kind

_READ_ME: Final = """What is held on one person
==========================

held.txt   everything in words; held.json the same for programs
mails/     each mail: its text as it was read, and where it is about nobody else its original (.eml)
manifest.json  the digest of each file

Somebody has to look through it before it is given away. Blocks (\N{FULL BLOCK}) stand where a mail
is about somebody else; colleagues are not named. To be looked at first:
"""


def subject_access(
    context: typer.Context,
    to: Annotated[Path, typer.Option(help="A folder; a new one is made in it.")],
    client: Client = "",
    therapist: Therapist = "",
    *,
    name: Names = None,
    address: Addresses = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Write everything that is held on a client or a therapist into a folder of its own."""
    from store.held import held_on, on_record

    if bool(client) == bool(therapist):
        raise UsageProblemError("give --client or --therapist")
    kind: Kind = "client" if client else "therapist"
    now, who = datetime.now(UTC), by or login()
    with store_of(context.obj.settings()) as store:
        database = store.erasures.database
        held = held_on(database, kind, client or therapist, name or (), address or ())
        _on_the_log(store, held, who, now)
        on_record(database, held, kind, who, now)
        path = write(held, to, now)
    told = {"folder": str(path), "cases": len(held.cases), "mails": len(held.mails)}
    if as_json:
        print_json({**told, "to_review": sorted(held.to_review)})
        return
    console().print(f"{path}: {told['cases']} cases, {told['mails']} mails", highlight=False)
    if held.to_review:
        console().print(f"{len(held.to_review)} mails to be looked at: see README.txt")


def _on_the_log(store: Store, held: Held, by: str, now: datetime) -> None:
    """Before anything is written: what cannot be recorded is not given."""
    from store.access_log import Access

    for case_id in held.cases:
        store.access_log.record(Access(now, by, "", "export", case_id))


def write(held: Held, folder: Path, now: datetime) -> Path:
    """The folder, whole or not there, for our user alone."""
    from review.export_files import becoming

    name = f"fit-triage-subject-access-{now:%Y%m%dT%H%M%SZ}"
    with becoming(folder, name) as part:
        (part / "mails").mkdir(mode=0o700)
        digests = {}
        for file, content in _files(held):
            _put(part / file, content)
            digests[file] = hashlib.sha256(content).hexdigest()
        manifest = {"made_at": now.isoformat(), "sha256": digests}
        _put(part / "manifest.json", _json(manifest))
    return folder / name


def _put(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _files(held: Held) -> Iterator[tuple[str, bytes]]:
    review = "\n".join(f"  mail {number}: {why}" for number, why in held.to_review.items())
    yield "README.txt", f"{_READ_ME}{review or '  nothing'}\n".encode()
    yield "held.json", _json(held.told)
    yield "held.txt", "\n".join(_lines(held.told)).encode()
    for mail in held.told["mails"]:
        yield f"mails/{mail['number']:06d}.txt", _letter(mail).encode()
    for number, content in held.originals.items():
        yield f"mails/{number:06d}.eml", content


def _letter(mail: Mapping[str, Any]) -> str:
    parts = (mail["new_text"], mail["signature"], mail["quoted_text"])
    head = f"From: {mail['sender']}\nDate: {mail['sent_at']}\nSubject: {mail['subject']}"
    return "\n\n".join((head, *filter(None, parts))) + "\n"


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _lines(value: Any, depth: int = 0) -> Iterator[str]:  # noqa: ANN401 - JSON
    """A JSON value as an indented outline; what is empty is left out."""
    indent = "  " * depth
    if isinstance(value, Mapping):
        for name, item in value.items():
            if isinstance(item, Mapping | list | tuple) and item:
                yield f"{indent}{str(name).replace('_', ' ')}:"
                yield from _lines(item, depth + 1)
            elif item not in ("", None, [], {}):
                shown = str(item).replace("\n", f"\n{indent}    ")
                yield f"{indent}{str(name).replace('_', ' ')}: {shown}"
    elif isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, Mapping | list | tuple):
                yield f"{indent}-"
                yield from _lines(item, depth + 1)
            else:
                yield f"{indent}- {item}"
