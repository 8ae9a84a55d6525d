"""The tables of what was exported to whom. Apart from ``store/schema.py`` only for length."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Table, Text

from store.columns import CleanText, Id, JsonText, UtcTime
from store.schema import metadata

# Each export from the moment somebody asks for it; outlives its files.
exports = Table(
    "exports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("by", CleanText, nullable=False),
    Column("role", Text, nullable=False),  # "" where no users are set up
    Column("recipient", CleanText, nullable=False),
    Column("what", JsonText, nullable=False),
    Column("format", Text, nullable=False),
    Column("with_text", Boolean, nullable=False),
    Column("reason", CleanText, nullable=False),
    Column("since", UtcTime),
    Column("until", UtcTime),
    Column("expires_at", UtcTime, nullable=False),
    Column("folder", CleanText, nullable=False),  # "" where it went through the review page
    Column("secret_id", BigInteger, nullable=False),
    Column("files", JsonText, nullable=False),  # name, rows, bytes and SHA-256 of each
    Column("manifest_sha256", Text, nullable=False),  # "" until it is whole
    Column("deleted_at", UtcTime),
    Index("ix_exports_expires_at", "expires_at"),
    sqlite_autoincrement=True,
)

# What pseudonyms are made with; the newest counts, so that another one ends all joining.
export_secrets = Table(
    "export_secrets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("made_at", UtcTime, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
