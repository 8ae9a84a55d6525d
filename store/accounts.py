"""Who may come in: users, their sessions, one-time links, and how often signing in failed.

Passwords come here hashed, and ids of sessions and links as well: nothing that opens a door is
kept. Changes of accounts are on the audit trail.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, select, update

from store.access_invitations import Invitations
from store.access_schema import (
    entry_links,
    invitations,
    sign_in_failures,
    spent_answers,
    users,
    web_sessions,
)
from store.columns import AnyRow
from store.database import Database, insert_new
from store.errors import RefusedError
from store.writing import Turn

Role = Literal["staff", "lead", "data", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

#: A session's last use is written down no oftener than this: else every page would be a write.
SEEN_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class User:
    id: int
    name: str
    role: Role
    created_at: datetime
    password_at: datetime
    disabled_at: datetime | None
    issuer: str | None = None  # who they are for an OpenID provider: both or neither
    subject: str | None = None
    has_password: bool = True


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in; ``user_id`` is None for whoever came by a one-time link."""

    user_id: int | None
    name: str
    role: Role
    ends_at: datetime
    has_new_role: bool = False  # since its id was given out


class Accounts:
    """Every question about who may come in, and every change of it. Names ignore case."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.invitations = Invitations(database)

    # Users

    def users(self) -> list[User]:
        """All users by name, disabled ones too."""
        with self._database.reading() as connection:
            return [_user(row) for row in connection.execute(select(users).order_by(users.c.name))]

    def has_users(self) -> bool:
        """Whether there is anybody who may sign in; then links open nothing."""
        with self._database.reading() as connection:
            return bool(connection.scalar(select(exists().where(users.c.disabled_at.is_(None)))))

    def password_hash(self, name: str) -> tuple[User, str] | None:
        """A user who may sign in, with the hash to check against; None for anybody else."""
        query = select(users).where(
            users.c.name == _key(name), users.c.disabled_at.is_(None), users.c.password_hash != ""
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (_user(row), row.password_hash)

    def named(self, name: str) -> User | None:
        """The user of that name, disabled or not."""
        return self._one(users.c.name == _key(name))

    def numbered(self, user_id: int) -> User | None:
        return self._one(users.c.id == user_id)

    def known_as(self, issuer: str, subject: str) -> User | None:
        """Who somebody is here whom the provider *issuer* calls *subject*, disabled or not."""
        return self._one((users.c.issuer == issuer) & (users.c.subject == subject))

    def _one(self, which: ColumnElement[bool]) -> User | None:
        with self._database.reading() as connection:
            row = connection.execute(select(users).where(which)).one_or_none()
        return None if row is None else _user(row)

    def add(
        self,
        name: str,
        role: Role,
        password_hash: str,
        *,
        by: str,
        now: datetime,
        identity: tuple[str, str] | None = None,
    ) -> None:
        """Add a user; without a password ("") they come by an invitation or their provider.

        *identity* is issuer and subject, where an OpenID provider vouches for them.

        Raises:
            RefusedError: There is one of that name, or none is given.

        """
        if not _key(name):
            raise RefusedError("a user needs a name")
        issuer, subject = identity or (None, None)
        row: dict[str, str | None] = {
            "name": _key(name), "role": role, "password_hash": password_hash,
        }  # fmt: skip
        row |= {"issuer": issuer, "subject": subject}
        with self._database.writing() as connection:
            turn = Turn(connection, by, now)
            taken = connection.scalar(select(users.c.id).where(users.c.name == row["name"]))
            if taken is not None:
                raise RefusedError("there is a user of that name; `users list` shows all")
            values = {**row, "created_at": now, "password_at": now}
            number = connection.scalar(insert(users).values(values).returning(users.c.id))
            turn.tell("user_added", None, user_id=number, role=role)
            turn.end()

    def set_role(
        self, name: str, role: Role, *, by: str, now: datetime, keeps_admin: bool = False
    ) -> None:
        """Give a user another role, from their next click on.

        With *keeps_admin* the last admin who may sign in stays one (``RefusedError``).
        """
        self._change(name, "user_role", by, now, {"role": role}, keeps_admin=keeps_admin)

    def set_password(self, name: str, password_hash: str, *, by: str, now: datetime) -> None:
        """Give a user another password; who is signed in with the old one is signed out."""
        values = {"password_hash": password_hash, "password_at": now}
        self._change(name, "user_password", by, now, values, signs_out=True)

    def rehash(self, user_id: int, old: str, new: str) -> None:
        """Keep the same password under newer settings, unless it was changed meanwhile."""
        same = (users.c.id == user_id) & (users.c.password_hash == old)
        with self._database.writing() as connection:
            connection.execute(update(users).where(same).values(password_hash=new))

    def disable(self, name: str, *, by: str, now: datetime, keeps_admin: bool = False) -> None:
        """Keep a user out from their next click on; what they did stays under their name.

        *keeps_admin* as with ``set_role``.
        """
        values = {"disabled_at": now}
        self._change(
            name, "user_disabled", by, now, values, signs_out=True, keeps_admin=keeps_admin
        )

    def enable(self, name: str, *, by: str, now: datetime) -> None:
        """Let a disabled user in again."""
        self._change(name, "user_enabled", by, now, {"disabled_at": None})

    def _change(
        self,
        name: str,
        event: str,
        by: str,
        now: datetime,
        values: Mapping[str, Any],
        *,
        signs_out: bool = False,
        keeps_admin: bool = False,
    ) -> None:
        with self._database.writing() as connection:
            turn = Turn(connection, by, now)
            query = select(users).where(users.c.name == _key(name))
            found = connection.execute(query).one_or_none()
            if found is None:
                raise RefusedError("there is no user of that name; `users list` shows all")
            is_admin = found.role == "admin" and found.disabled_at is None
            if keeps_admin and is_admin and not _other_admin(connection, found.id):
                raise RefusedError("nobody else could manage users; make another admin first")
            connection.execute(update(users).where(users.c.id == found.id).values(**values))
            if signs_out:
                for table in (web_sessions, invitations):
                    connection.execute(delete(table).where(table.c.user_id == found.id))
            turn.tell(event, None, user_id=found.id, role=values.get("role"))
            turn.end()

    # Sessions

    def start_session(self, id_hash: str, session: Session, now: datetime) -> None:
        """Begin a session; those that have run out are cleared away."""
        with self._database.writing() as connection:
            connection.execute(delete(web_sessions).where(web_sessions.c.ends_at <= now))
            row = {"user_id": session.user_id, "name": session.name, "role": session.role}
            times = {"started_at": now, "seen_at": now, "ends_at": session.ends_at}
            connection.execute(insert(web_sessions).values(id_hash=id_hash, **row, **times))

    def session(
        self, id_hash: str, now: datetime, idle: timedelta, *, is_use: bool = True
    ) -> Session | None:
        """Whose session this is, None where it ended, idled out, or its user is disabled.

        A link's session counts only as long as nobody can sign in by password. *is_use* is false
        for what a page asks by itself: it keeps no session alive.
        """
        query = (
            select(web_sessions, users.c.role.label("role_now"), users.c.disabled_at)
            .join_from(web_sessions, users, isouter=True)
            .where(web_sessions.c.id_hash == id_hash)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or now >= row.ends_at or now - row.seen_at >= idle or row.disabled_at:
            return None
        if row.user_id is None and self.has_users():
            return None
        if is_use and now - row.seen_at >= SEEN_EVERY:
            with self._database.writing() as connection:
                mine = web_sessions.c.id_hash == id_hash
                connection.execute(update(web_sessions).where(mine).values(seen_at=now))
        role = row.role_now or row.role
        return Session(row.user_id, row.name, role, row.ends_at, has_new_role=role != row.role)

    def renew_session(self, old_hash: str, new_hash: str, role: Role) -> bool:
        """Give a session another id and note its role now; False where somebody was quicker."""
        with self._database.writing() as connection:
            mine = web_sessions.c.id_hash == old_hash
            renewed = update(web_sessions).where(mine).values(id_hash=new_hash, role=role)
            return connection.execute(renewed).rowcount == 1

    def end_session(self, id_hash: str) -> None:
        """Sign out: the session's id opens nothing any more."""
        with self._database.writing() as connection:
            connection.execute(delete(web_sessions).where(web_sessions.c.id_hash == id_hash))

    # One-time links

    def offer_link(self, id_hash: str, name: str, role: Role, *, ends_at: datetime) -> None:
        """Let whoever shows this link come in, once; links and their sessions before it end."""
        with self._database.writing() as connection:
            connection.execute(delete(entry_links))
            connection.execute(delete(web_sessions).where(web_sessions.c.user_id.is_(None)))
            row = {"name": name, "role": role, "ends_at": ends_at}
            connection.execute(insert(entry_links).values(id_hash=id_hash, **row))

    def take_link(self, id_hash: str, now: datetime) -> tuple[str, Role] | None:
        """Use a link up: the name and role it was made for, None where it opens nothing."""
        fresh = entry_links.c.used_at.is_(None) & (entry_links.c.ends_at > now)
        mine = entry_links.c.id_hash == id_hash
        with self._database.writing() as connection:
            if connection.scalar(select(exists().where(users.c.disabled_at.is_(None)))):
                return None
            taken = update(entry_links).where(mine, fresh).values(used_at=now)
            row = connection.execute(
                taken.returning(entry_links.c.name, entry_links.c.role)
            ).one_or_none()
        return None if row is None else (row.name, row.role)

    # Answers of a provider

    def spend(self, state_hash: str, now: datetime, *, ends_at: datetime) -> bool:
        """Use a provider's answer up; False where it was used before."""
        with self._database.writing() as connection:
            connection.execute(delete(spent_answers).where(spent_answers.c.ends_at <= now))
            row = {"state_hash": state_hash, "ends_at": ends_at}
            added = insert_new(connection, spent_answers).returning(spent_answers.c.state_hash)
            return connection.scalar(added.values(row)) is not None

    # Failed attempts

    def attempt(
        self,
        keys: Mapping[str, int],
        wait: Callable[[int], timedelta],
        now: datetime,
        forget_after: timedelta,
    ) -> datetime | None:
        """Count an attempt to sign in as failed before it is tried; None where it may be tried.

        Counted first, so that guesses sent all at once are held up like those one after another.

        Args:
            keys: Under what it counts, with how many failures each has free.
            wait: The pause after so many failures beyond the free ones.
            now: The time.
            forget_after: Since the last failure, until a count begins anew.

        Returns:
            From when on it may be tried again, where it may not now; then nothing was counted.

        """
        if not keys:
            return None
        with self._database.writing() as connection:
            old = sign_in_failures.c.last_at <= now - forget_after
            connection.execute(delete(sign_in_failures).where(old))
            _add_missing(connection, sorted(keys), now)
            query = select(sign_in_failures).where(sign_in_failures.c.key.in_(keys))
            rows = connection.execute(query.order_by("key").with_for_update()).all()
            until: list[datetime] = [
                row.last_at + wait(row.failures - keys[row.key])
                for row in rows
                if row.failures >= keys[row.key]
            ]
            if until and max(until) > now:
                return max(until)
            connection.execute(
                update(sign_in_failures)
                .where(sign_in_failures.c.key.in_(keys))
                .values(failures=sign_in_failures.c.failures + 1, last_at=now)
            )
        return None

    def forgive(self, cleared: Collection[str], spared: Collection[str]) -> None:
        """The attempt succeeded: begin *cleared* anew, and take it alone from *spared*."""
        count = sign_in_failures.c.failures
        with self._database.writing() as connection:
            connection.execute(
                update(sign_in_failures)
                .where(sign_in_failures.c.key.in_(spared), count > 0)
                .values(failures=count - 1)
            )
            gone = sign_in_failures.c.key.in_(cleared)
            connection.execute(delete(sign_in_failures).where(gone))

    def failing(self) -> int:
        """How many counts of failed attempts are kept at present."""
        with self._database.reading() as connection:
            return int(connection.scalar(select(func.count()).select_from(sign_in_failures)) or 0)


def _add_missing(connection: Connection, keys: Collection[str], now: datetime) -> None:
    rows = [{"key": key, "failures": 0, "last_at": now} for key in keys]
    connection.execute(insert_new(connection, sign_in_failures), rows)


def _other_admin(connection: Connection, user_id: int) -> bool:
    others = (users.c.role == "admin") & users.c.disabled_at.is_(None) & (users.c.id != user_id)
    return bool(connection.scalar(select(exists().where(others))))


def _key(name: str) -> str:
    return name.strip().casefold()


def _user(row: AnyRow) -> User:
    values = {name: getattr(row, name) for name in User.__slots__ if name != "has_password"}
    return User(**values, has_password=bool(row.password_hash))
