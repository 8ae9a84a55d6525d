"""Exports: who may have what, on record before it is read, whole or not there, gone in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from models.masking import Pseudonyms
from review.access.rights import MAY, Right
from review.export_files import (
    ExportFolderError,
    Table,
    becoming,
    delete,
    names_of,
    write_manifest,
    write_table,
)
from review.export_rows import Telling
from store import RefusedError, Store
from store.access_log import Access
from store.exports import Export, Wish, Written, checked

if TYPE_CHECKING:
    from review.export_rows import Redact

Standing = Literal["there", "expired", "deleted", "moved away", "never finished", "handed out"]
_NAME: Final = "fit-triage-export-{number:06d}-{moment:%Y%m%dT%H%M%SZ}"


@dataclass(frozen=True, slots=True)
class Made:
    """An export that is whole."""

    number: int
    folder: Path
    files: tuple[Written, ...]
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class Purged:
    """What became of an expired export; ``problem`` is "" where its files are gone."""

    number: int
    was_there: bool
    problem: str = ""


def role_of(store: Store, by: str, *, with_text: bool) -> str:
    """The role by which *by* may export, "" where no users are set up and nobody is turned away.

    Raises:
        RefusedError: There are users, and none of that name who may.

    """
    users = [user for user in store.accounts.users() if user.disabled_at is None]
    if not users:
        return ""
    right: Right = "export_text" if with_text else "export_pseudonymised"
    found = next((user for user in users if user.name == by.strip().casefold()), None)
    if found is None or right not in MAY[found.role]:
        may = " or ".join(role for role, rights in MAY.items() if right in rights)
        what = "free text" if with_text else "this"
        raise RefusedError(f"{by} may not export {what}: name a user with role {may} by --by")
    return found.role


def export(store: Store, wish: Wish, now: datetime) -> Made:
    """Write what *wish* asks for into a new folder under ``wish.folder``, for our user alone.

    It is on the audit trail and in the access log before anything is read, and once more, with
    counts and the SHA-256 of the manifest, before the files are under their name.

    Raises:
        RefusedError: *wish* lacks a recipient, or a reason for free text.
        ExportFolderError: It cannot be written; nothing of it is left.

    """
    checked(wish, now)
    target = Path(wish.folder)
    if not target.is_dir():
        raise ExportFolderError(f"there is no folder {target}")
    store.access_log.record(Access(now, wish.by, wish.role, "export"))
    number, key = store.exports.begin(wish, now)
    name = folder_name(number, now)
    with becoming(target, name) as part:
        files, manifest = fill(part, store, wish, number, key, now)
        store.exports.finish(number, files, manifest, wish.by, datetime.now(UTC))
    return Made(number, target / name, files, manifest)


def folder_name(number: int, at: datetime) -> str:
    return _NAME.format(number=number, moment=at.astimezone(UTC))


def fill(
    folder: Path, store: Store, wish: Wish, number: int, key: bytes, now: datetime
) -> tuple[tuple[Written, ...], str]:
    """Write the files and the manifest; what they are, and the manifest's SHA-256."""
    telling = Telling(Pseudonyms(key), redactor(store) if wish.with_text else None)
    tables = [telling.table(what) for what in wish.what]
    files = tuple(
        write_table(
            folder, table, telling.rows(store.exported, what, wish.since, wish.until), wish.format
        )
        for what, table in zip(wish.what, tables, strict=True)
    )
    return files, write_manifest(folder, manifest_of(wish, number, now, tables, files))


def manifest_of(
    wish: Wish, number: int, now: datetime, tables: list[Table], files: tuple[Written, ...]
) -> dict[str, object]:
    """What the manifest says: who gave what to whom, when, why and until when."""
    return {
        "export": number,
        "made_at": now.astimezone(UTC).isoformat(),
        "made_by": wish.by,
        "recipient": wish.recipient,
        "reason": wish.reason,
        "expires_at": wish.expires_at.astimezone(UTC).isoformat(),
        "since": _iso(wish.since),
        "until": _iso(wish.until),
        "format": wish.format,
        "pseudonymised": True,
        "redacted_text": wish.with_text,
        "files": [
            {**asdict(file), "columns": dict(table.columns)}
            for file, table in zip(files, tables, strict=True)
        ],
    }


def redactor(store: Store) -> Redact:
    """What redacts free text, knowing every name of the registry."""
    from models.masking import vocabulary
    from triage.redaction import redact

    words = vocabulary(store.exported.registered_names())

    def redacted(
        texts: Sequence[str], *, names: Sequence[str], ids: Sequence[str], said_on: datetime
    ) -> tuple[str, ...]:
        return redact(texts, words, names=names, ids=ids, year=said_on.year).texts

    return redacted


def standing_of(one: Export, now: datetime) -> Standing:
    """Where an export's files are, as far as can be seen from here."""
    if one.deleted_at is not None:
        return "deleted"
    if not one.manifest_sha256:
        return "never finished"
    if not one.wish.folder:
        return "handed out"
    if not (place_of(one) / "manifest.json").is_file():
        return "moved away"
    return "expired" if one.wish.expires_at <= now else "there"


def place_of(one: Export) -> Path:
    return Path(one.wish.folder) / folder_name(one.id, one.at)


def purge_expired(store: Store, by: str, now: datetime) -> Iterator[Purged]:
    """Delete every export that is past its expiry, each on record; as they go.

    What went through the review page is not ours to delete. A folder that cannot be reached stays
    due.
    """
    for one in store.exports.made(expired_at=now):
        if not one.wish.folder:
            continue
        try:
            was_there = delete(place_of(one), names_of(one.files))
        except ExportFolderError as error:
            yield Purged(one.id, was_there=False, problem=str(error))
            continue
        store.exports.deleted(one.id, by, now, was_there=was_there)
        yield Purged(one.id, was_there)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
