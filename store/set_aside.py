"""What is known of messages in quarantine without a look inside, and what became of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from store.database import Database
from store.rows import AT_ONCE
from store.schema import decisions, messages, raws
from store.writing import Turn


@dataclass(frozen=True, slots=True)
class Became:
    """A message that left quarantine: where it went, and its cases."""

    queue: str
    case_ids: tuple[int, ...]


class SetAside:
    """What ``Store`` does for the quarantine page."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sizes(self, digests: Collection[str]) -> Mapping[str, int]:
        """Bytes as served, by digest; those that are not kept are left out."""
        found: dict[str, int] = {}
        wanted = sorted(digests)
        with self._database.reading() as connection:
            for start in range(0, len(wanted), AT_ONCE):
                some = raws.c.digest.in_(wanted[start : start + AT_ONCE])
                rows = connection.execute(select(raws.c.digest, raws.c.size).where(some))
                found.update((digest, size) for digest, size in rows)
        return found

    def became(self, digests: Collection[str]) -> Mapping[str, Became]:
        """Where messages with these digests are now, by digest; unread ones are left out."""
        cases: defaultdict[tuple[str, str], dict[int, None]] = defaultdict(dict)
        wanted = sorted(digests)
        with self._database.reading() as connection:
            for start in range(0, len(wanted), AT_ONCE):
                query = (
                    select(messages.c.digest, messages.c.queue, decisions.c.case_id)
                    .join_from(messages, decisions, decisions.c.message_id == messages.c.id)
                    .where(messages.c.digest.in_(wanted[start : start + AT_ONCE]))
                    .order_by(decisions.c.id)
                )
                for digest, queue, case_id in connection.execute(query):
                    cases[digest, queue][case_id] = None
        return {digest: Became(queue, tuple(ids)) for (digest, queue), ids in cases.items()}

    def taken(self, number: int, by: str, now: datetime) -> None:
        """Put on record that *by* is being given the bytes of a message in quarantine."""
        with self._database.writing() as connection:
            turn = Turn(connection, by, now)
            turn.tell("quarantine_taken", None, quarantine_id=number)
            turn.end()
