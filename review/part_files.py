"""One Parquet file for each part of an archive that was read: whole or not there at all.

A row is a message. The counts of a file stand in its footer, so that who goes on later opens no
rows. Requests quote the mail: the files are health data, for their owner alone to read.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

_COUNTS: Final = b"fit-triage"
_COLUMNS: Final = (
    ("digest", "string"),  # of the bytes; "" where none were had
    ("source", "string"),
    ("uid", "int64"),
    ("received_at", "timestamp[us, tz=UTC]"),
    ("sent_at", "timestamp[us, tz=UTC]"),
    ("cause", "string"),  # why it could not be read, "" where it was
    ("reader_version", "string"),
    ("automatic", "string"),
    ("text", "string"),  # SHA-256 of what was parsed: whether spans fit the text somebody has
    ("kinds", "list<string>"),
    ("requests", "string"),  # JSON
)


@dataclass(frozen=True, slots=True)
class Counts:
    """What was read of an archive, or of a part of it."""

    messages: int = 0
    unreadable: int = 0
    requests: int = 0
    bytes: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)
    causes: Mapping[str, int] = field(default_factory=dict)
    versions: tuple[str, ...] = ()  # of the readers; more than one is a mistake

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.messages + other.messages,
            self.unreadable + other.unreadable,
            self.requests + other.requests,
            self.bytes + other.bytes,
            dict(Counter(self.kinds) + Counter(other.kinds)),
            dict(Counter(self.causes) + Counter(other.causes)),
            tuple(sorted({*self.versions, *other.versions})),
        )

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], size: int) -> Self:
        causes = Counter(row["cause"] for row in rows if row["cause"])
        kinds = Counter(kind for row in rows for kind in row["kinds"])
        versions = {row["reader_version"] for row in rows} - {""}
        return cls(
            len(rows), causes.total(), kinds.total(), size, dict(kinds), dict(causes),
            tuple(sorted(versions)),
        )  # fmt: skip


def path_of(folder: Path, key: str) -> Path:
    """Where the part with this key is, or will be."""
    return folder / f"part-{key}.parquet"


def write_part(folder: Path, key: str, rows: Sequence[Mapping[str, Any]], size: int = 0) -> Counts:
    """Put the part's file in its place, over one of the same part; *size* is bytes read for it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    counts = Counts.of(rows, size)
    kinds = {
        "list<string>": pa.list_(pa.string()),
        "timestamp[us, tz=UTC]": pa.timestamp("us", tz="UTC"),
    }
    fields = [(name, kinds.get(kind, kind)) for name, kind in _COLUMNS]
    schema = pa.schema(fields, metadata={_COUNTS: json.dumps(asdict(counts))})
    table = pa.Table.from_pylist(list(rows), schema=schema)
    # Two that read the same part, since one was thought dead, must not write into one file.
    being_written = folder / f".part-{key}.{os.uname().nodename}.{os.getpid()}"
    handle = os.open(being_written, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as stream:
        pq.write_table(table, stream, compression="zstd")
        stream.flush()
        os.fsync(stream.fileno())
    being_written.replace(path_of(folder, key))
    return counts


def counts_in(path: Path) -> Counts | None:
    """The counts of a part's file; None where it is not there or no whole file of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        stored = json.loads(pq.read_schema(path).metadata[_COUNTS])
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return None
    return Counts(**{**stored, "versions": tuple(stored["versions"])})


def rows_in(path: Path) -> Iterator[dict[str, Any]]:
    """The messages of a part, a thousand of them in memory at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1_000):
            yield from batch.to_pylist()
