"""Registry files: CSV and Parquet, row by row, each with the line it stands on."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from store.errors import StoreError
from store.registry import COLUMNS, Kind, RegistryFile

_ROWS_AT_ONCE = 10_000


def read_registry_file(path: Path, kind: Kind) -> RegistryFile:
    """The rows of a CSV or Parquet file of *kind*; its columns are checked at once.

    The line is that of the file for CSV, the number of the row for Parquet. Further columns are
    ignored.

    Raises:
        StoreError: There is no such file, it is of neither sort, or lacks a column.

    """
    if not path.is_file():
        raise StoreError(f"registry file {path} does not exist")
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise StoreError(f"registry file {path} is neither; allowed are {', '.join(readers)}")
    return RegistryFile(path.name, reader(path, kind))


def _check_columns(path: Path, kind: Kind, found: Iterable[str]) -> None:
    missing = [name for name in COLUMNS[kind] if name not in set(found)]
    if missing:
        raise StoreError(
            f"registry file {path} lacks {', '.join(missing)}; "
            f"{kind} needs the columns {', '.join(COLUMNS[kind])}"
        )


def _read_csv(path: Path, kind: Kind) -> Iterator[tuple[int, Mapping[str, object]]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        _check_columns(path, kind, _header(path, csv.reader(lines)))
    return _csv_rows(path, kind)


def _header(path: Path, rows: Iterator[list[str]]) -> list[str]:
    try:
        return next(rows, [])
    except (UnicodeDecodeError, csv.Error):
        raise StoreError(f"registry file {path} is no CSV in UTF-8") from None


def _csv_rows(path: Path, kind: Kind) -> Iterator[tuple[int, Mapping[str, object]]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, restval="")
        try:
            for row in rows:
                yield rows.line_num, {name: row[name] for name in COLUMNS[kind]}
        except (UnicodeDecodeError, csv.Error):
            raise StoreError(
                f"registry file {path} is no CSV in UTF-8 after line {rows.line_num}"
            ) from None


def _read_parquet(path: Path, kind: Kind) -> Iterator[tuple[int, Mapping[str, object]]]:
    import pyarrow as pa  # a third of a second, for this sort of file alone
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except (pa.ArrowException, OSError):
        raise StoreError(f"registry file {path} is no Parquet file") from None
    _check_columns(path, kind, file.schema_arrow.names)
    return _parquet_rows(file, kind)


def _parquet_rows(file: object, kind: Kind) -> Iterator[tuple[int, Mapping[str, object]]]:
    number = 0
    batches = file.iter_batches(_ROWS_AT_ONCE, columns=list(COLUMNS[kind]))  # type: ignore[attr-defined]  # pyarrow is untyped
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield number, row
