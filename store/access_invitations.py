"""Invitations: a link by which a user sets their own password, or names their provider's account.

So nobody types a password of somebody else's, and the same link is how a forgotten one is reset.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, insert, select, update

from store.access_schema import invitations, users, web_sessions
from store.database import Database
from store.errors import RefusedError
from store.writing import Turn


class Invitations:
    """The newest link of each user counts, once; none opens anything for a disabled user."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def offer(self, name: str, id_hash: str, *, by: str, now: datetime, ends_at: datetime) -> None:
        """Make a link for a user; it takes the place of an earlier one.

        Raises:
            RefusedError: There is no such user, or they are disabled.

        """
        key = name.strip().casefold()
        with self._database.writing() as connection:
            turn = Turn(connection, by, now)
            query = select(users.c.id).where(users.c.name == key, users.c.disabled_at.is_(None))
            number = connection.scalar(query)
            if number is None:
                raise RefusedError("there is no user of that name who may sign in")
            connection.execute(delete(invitations).where(invitations.c.user_id == number))
            row = {"id_hash": id_hash, "user_id": number, "made_by": by, "ends_at": ends_at}
            connection.execute(insert(invitations).values(row))
            turn.tell("user_invited", None, user_id=number)
            turn.end()

    def whose(self, id_hash: str, now: datetime) -> str | None:
        """The name of the user whom a link is for, None where it opens nothing; uses nothing up."""
        with self._database.reading() as connection:
            return connection.scalar(select(users.c.name).where(*_good(id_hash, now)))

    def take_for_password(self, id_hash: str, password_hash: str, now: datetime) -> str | None:
        """Use a link up to set the password; the user's name, None where it opens nothing."""
        values = {"password_hash": password_hash, "password_at": now}
        return self._take(id_hash, "user_password", values, now)

    def take_for_identity(
        self, id_hash: str, issuer: str, subject: str, now: datetime
    ) -> str | None:
        """Use a link up to say whom the provider means by the user; None as above.

        Raises:
            RefusedError: The provider's account belongs to another user; the link stays good.

        """
        values = {"issuer": issuer, "subject": subject}
        return self._take(id_hash, "user_identity", values, now)

    def _take(
        self, id_hash: str, event: str, values: Mapping[str, Any], now: datetime
    ) -> str | None:
        with self._database.writing() as connection:
            query = select(users.c.id, users.c.name).where(*_good(id_hash, now))
            found = connection.execute(query).one_or_none()
            if found is None:
                return None
            turn = Turn(connection, found.name, now)
            gone = delete(invitations).where(invitations.c.id_hash == id_hash)
            if not connection.execute(gone).rowcount:  # somebody was quicker
                return None
            if "subject" in values:
                same = [users.c[name] == values[name] for name in ("issuer", "subject")]
                if connection.scalar(select(exists().where(*same, users.c.id != found.id))):
                    raise RefusedError("the provider's account belongs to another user here")
            connection.execute(update(users).where(users.c.id == found.id).values(**values))
            connection.execute(delete(web_sessions).where(web_sessions.c.user_id == found.id))
            turn.tell(event, None, user_id=found.id, by_invitation=True)
            turn.end()
            return str(found.name)


def _good(id_hash: str, now: datetime) -> tuple[Any, ...]:
    return (
        invitations.c.id_hash == id_hash,
        invitations.c.ends_at > now,
        users.c.id == invitations.c.user_id,
        users.c.disabled_at.is_(None),
    )
