"""The table of conversations that somebody has told us to look at.

Apart from ``store/schema.py`` only for length; the same metadata and migrations.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table

from store.columns import UtcTime
from store.schema import metadata

# Forgotten once the conversation has been retrieved. ``times`` grows with each call, so that one
# that comes while it is being retrieved is not forgotten with it.
chat_calls = Table(
    "chat_calls",
    metadata,
    Column("conversation", BigInteger, primary_key=True, autoincrement=False),
    Column("times", Integer, nullable=False),
    Column("heard_at", UtcTime, nullable=False),
)
