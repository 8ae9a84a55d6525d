"""The table of what was told to whoever is on call.

Apart from ``store/schema.py`` only for length; the same metadata and migrations.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from store.columns import CleanText, UtcTime
from store.schema import messages, metadata

# One row for each problem that stands, and each way in which it is told; gone once it is over.
alerts = Table(
    "alerts",
    metadata,
    Column("way", Text, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("about", CleanText, primary_key=True),  # "" or a number in the settings
    Column("since", UtcTime, nullable=False),
    Column("told", Integer, nullable=False),  # how often in this episode
    Column("told_at", UtcTime),
    Column("well_since", UtcTime),
)

# By this it is counted what a run has stored, when it ends.
Index("ix_messages_run_id", messages.c.run_id)
