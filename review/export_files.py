"""Files of an export: written out of sight, whole when their folder has its name.

Everything is for our user alone: folder 0700, files 0600. The folder takes its name by one
``rename`` after every byte is on the disk, so that whoever is killed leaves nothing under it.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, TypeAlias

from store import StoreError
from store.exports import Format, Written
from triage.spreadsheets import formula_safe

if TYPE_CHECKING:
    import pyarrow as pa

Value: TypeAlias = str | int | float | bool | None
Row: TypeAlias = Mapping[str, Value]
Kind: TypeAlias = Literal["text", "int", "float", "bool"]
MANIFEST: Final = "manifest.json"
_ROWS_AT_ONCE: Final = 1_000
_PART: Final = ".{name}.part"


class ExportFolderError(StoreError):
    """An export cannot be written or deleted; the message is one line that names the place."""


@dataclass(frozen=True, slots=True)
class Table:
    """What one file holds: its columns by name, with their kinds and what they mean."""

    name: str
    columns: Mapping[str, Kind]


@contextmanager
def becoming(folder: Path, name: str) -> Iterator[Path]:
    """A new folder *name* in *folder*, filled out of sight; there when the ``with`` ends well.

    What an earlier export left there that was killed is removed first.

    Raises:
        ExportFolderError: There is no such folder, no room, or something of that name.

    """
    part = folder / _PART.format(name=name)
    try:
        sweep(folder)
        part.mkdir(mode=0o700)
        with _locked(part):
            yield part
            _to_disk(part)
            if (folder / name).exists():  # a folder is renamed onto an empty one without a word
                raise ExportFolderError(f"{folder / name} is there already")
            part.rename(folder / name)
        _to_disk(folder)
    except OSError as error:
        raise ExportFolderError(f"{folder} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sweep(folder: Path) -> int:
    """Remove what killed exports left in *folder*; how many. Who is still at work is left alone."""
    removed = 0
    for part in folder.glob(_PART.format(name="fit-triage-export-*")):
        with suppress(OSError), _locked(part):
            shutil.rmtree(part)
            removed += 1
    return removed


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The lock of whoever fills *folder*; the kernel drops it when they die.

    Raises BlockingIOError where somebody else holds it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def write_table(folder: Path, table: Table, rows: Iterable[Row], form: Format) -> Written:
    """Write *rows* into a file of *folder*, on the disk when this returns."""
    name = f"{table.name}.{form}"
    counted = _Counted(rows)
    write = {"csv": _write_csv, "jsonl": _write_lines, "parquet": _write_parquet}[form]
    with _private(folder / name) as stream:
        write(stream, table, counted)
    return Written(name, counted.rows, *_size_and_digest(folder / name))


def write_manifest(folder: Path, told: Mapping[str, object]) -> str:
    """Write the manifest; its SHA-256."""
    with _private(folder / MANIFEST) as stream:
        stream.write((json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode())
    return _size_and_digest(folder / MANIFEST)[1]


def delete(folder: Path, names: Iterable[str]) -> bool:
    """Delete an export's files and its folder; False where they were gone before.

    Raises:
        ExportFolderError: They cannot be deleted, or somebody put other files beside them.

    """
    if not folder.parent.is_dir():
        raise ExportFolderError(f"{folder.parent} is not there: is it on another machine or disk?")
    part = folder.with_name(_PART.format(name=folder.name))
    try:
        was_there = folder.is_dir() and not folder.is_symlink()
        if was_there:
            for name in (*names, MANIFEST):
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()
        shutil.rmtree(part, ignore_errors=True)
        _to_disk(folder.parent)
    except OSError as error:
        raise ExportFolderError(f"{folder} cannot be deleted: {error.strerror}") from None
    return was_there


class _Counted:
    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows, self.rows = iter(rows), 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.rows += 1
            yield row


@contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        yield stream
        stream.flush()
        os.fsync(handle)


def _write_csv(stream: BinaryIO, table: Table, rows: Iterable[Row]) -> None:
    """As RFC 4180 has it, in UTF-8 with a byte order mark, without which Excel guesses."""
    text = io.TextIOWrapper(stream, "utf-8-sig", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(table.columns)
    writer.writerows([_cell(row[name]) for name in table.columns] for row in rows)
    text.detach()  # else it would close what its owner is still to sync


def _cell(value: Value) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    return formula_safe(value) if isinstance(value, str) else value


def _write_lines(stream: BinaryIO, table: Table, rows: Iterable[Row]) -> None:
    for row in rows:
        told = {name: row[name] for name in table.columns}
        stream.write((json.dumps(told, ensure_ascii=False) + "\n").encode())


def _write_parquet(stream: BinaryIO, table: Table, rows: Iterable[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(table)
    rest = iter(rows)
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        while page := list(islice(rest, _ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist([dict(row) for row in page], schema=schema))


def _schema(table: Table) -> pa.Schema:
    import pyarrow as pa

    types = {"text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    return pa.schema([(name, types[kind]) for name, kind in table.columns.items()])


def _size_and_digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return path.stat().st_size, digest


def _to_disk(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def names_of(files: Sequence[Written]) -> list[str]:
    return [file.name for file in files]
