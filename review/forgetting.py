"""The report of an erasure: what went, and what is left where no program of ours can reach."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from review.desk import UsageProblemError
from store import Store

if TYPE_CHECKING:
    from settings import Settings
    from store.erasing import Erased


def report_of(
    settings: Settings,
    store: Store,
    erased: Erased,
    unwashed: Sequence[str],
    models: Path | None,
) -> dict[str, Any]:
    """What there is to say about an erasure, in numbers; it names nobody.

    Its ``marks`` are digests that this database alone can make: with them the erasure is repeated
    after an older backup was restored (``erase --again``).
    """
    from models.provenance import trained_on

    trained = trained_on(erased.cases, models)
    copies = _backups(settings.backup.folder, erased.at)
    given = [one for one in store.exports.made() if one.id in erased.exports]
    told = {
        "erasure": erased.number,
        "at": erased.at.isoformat(),
        "kind": erased.kind,
        "gone": erased.gone,
        "changed": erased.changed,
        "cases": erased.cases,
        "left_before": erased.left,
        "exports": [
            {
                "id": one.id,
                "at": one.at.isoformat(),
                "recipient": one.wish.recipient,
                "expires_at": one.wish.expires_at.isoformat(),
                "deleted_at": one.deleted_at.isoformat() if one.deleted_at else None,
            }
            for one in given
        ],
        "models": trained,
        "backups": copies,
        "files_washed": not unwashed,
        "marks": store.erasures.marks(erased.number),
    }
    return {**told, "not_erased": _not_erased(told, unwashed)}


def _not_erased(told: Mapping[str, Any], unwashed: Sequence[str]) -> list[str]:
    """What a person has yet to do, or must know."""
    lines = [f"database files: {line}" for line in unwashed]
    if told["left_before"]:
        lines.append(
            f"{len(told['left_before'])} messages had left, or may have, for the platform or by "
            "mail: erase them there"
        )
    lines += [f"export {one['id']} may hold some of it" for one in told["exports"]]
    lines += [
        f"model {name} learned from {'some' if rows < 0 else rows} of it: train another"
        for name, rows in told["models"].items()
    ]
    lines += [f"backup {name} was made before: let it expire" for name in told["backups"]]
    lines.append(
        "backups kept elsewhere, folders that `retriage`, `export` and `subject-access` wrote, the "
        "mailbox, the platform and the server's own log"
    )
    return lines


def _backups(folder: Path | None, at: datetime) -> list[str]:
    """Backups that were made before *at*, by the name of their file."""
    found = []
    for path in sorted(folder.glob("*.json")) if folder else ():
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if datetime.fromisoformat(told["made_at"]).astimezone(UTC) <= at:
                found.append(str(told["file"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # some other file
    return found


def write_report(report: Mapping[str, Any], folder: Path) -> Path:
    """The report as a file for our user alone, there once it is whole; again, the newer one."""
    path = folder / f"fit-triage-erasure-{report['erasure']:06d}.json"
    part = path.with_name(f".{path.name}.part")
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    try:
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        raise UsageProblemError(f"{path} cannot be written: {error.strerror}") from None
    return path


def marks_in(path: Path) -> list[str]:
    """The digests of a report."""
    try:
        marks = json.loads(path.read_text(encoding="utf-8"))["marks"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageProblemError(f"{path} is no report of an erasure") from None
    return [str(mark) for mark in marks]
