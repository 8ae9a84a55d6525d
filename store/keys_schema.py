"""The tables of how a database is sealed: by which keys, and which of them writes.

Apart from ``store/schema.py`` only for length; the same metadata and migrations. Nothing in them is
secret: a key's id and what proves it are made from the key one way only.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, Table, Text

from store.columns import UtcTime
from store.schema import metadata

# One row, from the first time that a key was used; none where nothing was ever sealed.
sealing = Table(
    "sealing",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("salt", Text, nullable=False),  # hexadecimal; two databases have no subkey in common
    Column("writing", Text, nullable=False),  # the key's id; "" where new rows are plain
    Column("takes_plain", Boolean, nullable=False),  # whether rows of before are plain still
    Column("cleaned", Boolean, nullable=False),  # whether old words are gone from free pages too
    Column("words", Boolean, nullable=False),  # whether words are indexed, as what stands for them
)

# The keys without which some of the rows cannot be read.
sealing_keys = Table(
    "sealing_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("proof", Text, nullable=False),  # a known text under this key
    Column("since", UtcTime, nullable=False),
)
