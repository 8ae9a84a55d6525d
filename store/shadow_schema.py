"""The tables of shadow readings: what a candidate model makes of mail that the one in use has read.

Apart from ``store/schema.py`` only for length; the same metadata and migrations. No other table
refers to these, and each row goes with its message: whoever erases a message deletes its readings
first, and their verdicts before those.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)

from store.columns import CleanText, Id, SealedJson, SealedText, UtcTime
from store.schema import metadata

#: What names a row where its words are sealed.
_READ: Final = ("candidate_id", "message_id")
_JUDGED: Final = ("reading_id", "field", "ask")

# A candidate is its release, byte for byte: another digest is another candidate.
shadow_candidates = Table(
    "shadow_candidates",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", CleanText, nullable=False),
    Column("digest", Text, nullable=False),  # of its manifest; "" where that could not be read
    Column("first_at", UtcTime, nullable=False),
    Column("tried_at", UtcTime, nullable=False, index=True),
    Column("problem", Text, nullable=False),  # of the latest try, as a code; "" for none
    UniqueConstraint("name", "digest", name="uq_shadow_candidates_name_digest"),
    sqlite_autoincrement=True,
)

# What a candidate made of a message: once, whoever tries again.
shadow_readings = Table(
    "shadow_readings",
    metadata,
    Column("id", Id, primary_key=True),
    Column("candidate_id", ForeignKey("shadow_candidates.id"), nullable=False),
    Column("message_id", ForeignKey("messages.id"), nullable=False, index=True),
    Column("champion", CleanText, nullable=False),  # version of the reader it is compared with
    Column("stored_at", UtcTime, nullable=False),  # of the message
    Column("read_at", UtcTime, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("problem", Text, nullable=False),  # why there is no reading, as a code; "" for none
    Column("pairs", SealedJson("shadow_readings.pairs", _READ), nullable=False),
    Column("differences", SealedJson("shadow_readings.differences", _READ), nullable=False),
    Column("fields", Text, nullable=False),  # ";field;field;" of the differences
    Column("worst", Integer, nullable=False),  # place of the worst cost, the worst first
    UniqueConstraint(
        "candidate_id", "message_id", name="uq_shadow_readings_candidate_id_message_id"
    ),
    Index("ix_shadow_readings_worst", "candidate_id", "worst", "message_id"),
    sqlite_autoincrement=True,
)

# Append-only: which of the two a person finds right about a field; the latest counts.
shadow_verdicts = Table(
    "shadow_verdicts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("reading_id", ForeignKey("shadow_readings.id"), nullable=False, index=True),
    Column("field", Text, nullable=False),
    Column("ask", Integer, nullable=False),
    Column("side", Text, nullable=False),
    Column("by", CleanText, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("words", SealedText("shadow_verdicts.words", _JUDGED), nullable=False),
    sqlite_autoincrement=True,
)
