"""The tables of what was erased: that it was, never what it was.

Apart from ``store/schema.py`` only for length; the same metadata and migrations.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text

from store.columns import CleanText, Id, JsonText, UtcTime
from store.schema import metadata

# One row, made with the database: digests of what was erased are keyed with it.
tombstone_key = Table(
    "tombstone_key",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False),
)

# Keyed digests of what must not come back, and how often it tried.
tombstones = Table(
    "tombstones",
    metadata,
    Column("mark", Text, primary_key=True),
    Column("kind", Text, nullable=False, index=True),
    Column("erasure_id", BigInteger),  # NULL where its time was up
    Column("laid_at", UtcTime, nullable=False),
    Column("blocked", Integer, nullable=False),
    Column("blocked_at", UtcTime),
)

# What was erased, in numbers; ``washed_at`` once no trace is left in the database's files.
erasures = Table(
    "erasures",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("by", CleanText, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),  # one of a few codes
    Column("told", JsonText, nullable=False),  # counts, and numbers of cases
    Column("washed_at", UtcTime),
    sqlite_autoincrement=True,
)

# Closed cases whose words went because their time was up.
texts_gone = Table(
    "texts_gone",
    metadata,
    Column("case_id", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
)
