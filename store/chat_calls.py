"""Conversations that a webhook told of, until they have been retrieved."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, select, update

from store.chat_schema import chat_calls
from store.database import Database, insert_new


class ChatCalls:
    """What ``Store`` keeps of webhooks: a conversation's number, and nothing that was said."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hear(self, conversation: int, now: datetime) -> None:
        """Something happened in *conversation*: on disk once this returns, however often told."""
        with self._database.writing() as connection:
            mine = chat_calls.c.conversation == conversation
            grown = update(chat_calls).where(mine).values(times=chat_calls.c.times + 1)
            if not connection.execute(grown).rowcount:
                new = {"conversation": conversation, "times": 1, "heard_at": now}
                connection.execute(insert_new(connection, chat_calls, **new))

    def waiting(self) -> Mapping[int, int]:
        """Conversations to retrieve, and how often each was told of by now."""
        with self._database.reading() as connection:
            query = select(chat_calls.c.conversation, chat_calls.c.times)
            return {row.conversation: row.times for row in connection.execute(query)}

    def forget(self, retrieved: Mapping[int, int]) -> None:
        """Those of *retrieved*, as ``waiting`` gave them, that nobody told of again meanwhile."""
        if not retrieved:
            return
        with self._database.writing() as connection:
            for conversation, times in sorted(retrieved.items()):
                mine = chat_calls.c.conversation == conversation
                connection.execute(delete(chat_calls).where(mine, chat_calls.c.times == times))
