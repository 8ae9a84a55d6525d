"""The booking registry as ``triage`` asks it: by id or address, each answer fetched once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, exists, func, select

from store.columns import AnyRow, clean
from store.rows import AT_ONCE
from store.schema import cases, clients, registry_imports, sessions, therapist_addresses, therapists
from store.words import folded
from triage.records import Client, Email, Request, Session, Therapist

_SESSION = (
    sessions.c.session_id,
    sessions.c.therapist_id,
    sessions.c.client_id,
    sessions.c.starts_at,
    sessions.c.stage,
    sessions.c.status,
)
_LISTS: Final = (
    "emails",
    "delegates",
    "approaches",
    "issues",
    "experience",
    "languages",
    "places",
)


#: Left unconfirmed, and no case of the therapist's own side is about it. Cases are looked up by
#: their session, never by the therapist, who may have had thousands: an expression has no index.
_LEFT_SO: Final = (sessions.c.status == "unconfirmed") & ~exists().where(
    cases.c.session_id == sessions.c.session_id,
    func.coalesce(cases.c.therapist_id, "") == sessions.c.therapist_id,
    cases.c.authenticated,
)


@dataclass(slots=True)
class Shelf:
    """The therapists who take new clients, kept from batch to batch until the next import."""

    # In one piece, so that threads never see the therapists of one import under another's number.
    open_therapists: tuple[int, tuple[Therapist, ...]] = (-1, ())


@dataclass(slots=True)
class RegistryDirectory:
    """A ``triage.records.Directory``; remembers every answer, so use one for one batch."""

    _reading: Callable[[], AbstractContextManager[Connection]]
    _shelf: Shelf
    _generation: int | None = None
    _sessions: dict[str, Session | None] = field(default_factory=dict)
    _sessions_of: dict[str, tuple[Session, ...]] = field(default_factory=dict)
    _therapists: dict[str, Therapist | None] = field(default_factory=dict)
    _ids_at: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _clients: dict[str, Client | None] = field(default_factory=dict)
    _unconfirmed: dict[str, tuple[datetime, ...]] = field(default_factory=dict)
    _as_of: datetime | None = None

    @property
    def known(self) -> bool:
        return self._latest_import() > 0

    @property
    def as_of(self) -> datetime | None:
        self._latest_import()
        return self._as_of

    def session(self, session_id: str) -> Session | None:
        if session_id not in self._sessions:
            self._load_sessions([session_id])
        return self._sessions[session_id]

    def sessions_of(self, therapist_id: str) -> Sequence[Session]:
        if therapist_id not in self._sessions_of:
            self._load_sessions_of([therapist_id])
        return self._sessions_of[therapist_id]

    def therapist(self, therapist_id: str) -> Therapist | None:
        if therapist_id not in self._therapists:
            self._load_therapists([therapist_id])
        return self._therapists[therapist_id]

    def therapists_at(self, address: str) -> Sequence[Therapist]:
        if address not in self._ids_at:
            self._load_addresses([address])
        found = (self.therapist(therapist_id) for therapist_id in self._ids_at[address])
        return tuple(therapist for therapist in found if therapist)

    def client(self, client_id: str) -> Client | None:
        if client_id not in self._clients:
            self._load_clients([client_id])
        return self._clients[client_id]

    def open_therapists(self) -> Sequence[Therapist]:
        generation, found = self._shelf.open_therapists
        if generation != self._latest_import():
            query = (
                select(therapists)
                .where(therapists.c.open_to_new, therapists.c.gone_at.is_(None))
                .order_by(therapists.c.therapist_id)
            )
            with self._reading() as connection:
                found = tuple(therapist_from(row) for row in connection.execute(query))
            self._shelf.open_therapists = self._latest_import(), found
        return found

    def unconfirmed(self, therapist_id: str) -> Sequence[datetime]:
        if therapist_id not in self._unconfirmed:
            self._load_unconfirmed([therapist_id])
        return self._unconfirmed[therapist_id]

    def prefetch(self, readings: Sequence[tuple[Email, Sequence[Request]]]) -> None:
        """Fetch in one go what linking these messages will ask for."""
        if not self.known:
            return
        addresses = {email.sender.email for email, _ in readings}
        wanted = {name for _, asks in readings for ask in asks for name in ask.session_ids}
        self._load_sessions(wanted - self._sessions.keys())
        self._load_addresses(addresses - self._ids_at.keys())
        found = [session for name in wanted if (session := self._sessions[name])]
        owners = {session.therapist_id for session in found}
        writers = {owner for address in addresses for owner in self._ids_at[address]}
        self._load_therapists((owners | writers) - self._therapists.keys())
        self._load_unconfirmed(writers - self._unconfirmed.keys())
        undecided = {
            owner
            for email, asks in readings
            if not all(any(self._sessions[i] for i in ask.session_ids) for ask in asks)
            for owner in self._ids_at[email.sender.email]
        }
        self._load_sessions_of(undecided - self._sessions_of.keys())
        found += [session for owner in undecided for session in self._sessions_of[owner]]
        self._load_clients({session.client_id for session in found} - self._clients.keys())

    def prefetch_people(self, therapist_ids: Iterable[str], client_ids: Iterable[str]) -> None:
        """Fetch these therapists and clients in one go."""
        self._load_therapists({name for name in therapist_ids if name} - self._therapists.keys())
        self._load_clients({name for name in client_ids if name} - self._clients.keys())

    def _latest_import(self) -> int:
        if self._generation is None:
            with self._reading() as connection:
                self._generation = connection.scalar(select(func.max(registry_imports.c.id))) or 0
                self._as_of = connection.scalar(sessions_as_of())
        return self._generation

    def _load_sessions(self, names: Iterable[str]) -> None:
        names = list(names)
        self._sessions.update(dict.fromkeys(names))
        for row in self._rows(_SESSION, sessions.c.session_id, sessions.c.gone_at, names):
            self._sessions[row[0]] = Session(*row)

    def _load_sessions_of(self, owners: Iterable[str]) -> None:
        owners = list(owners)
        found: dict[str, list[Session]] = defaultdict(list)
        for row in self._rows(_SESSION, sessions.c.therapist_id, sessions.c.gone_at, owners):
            found[row[1]].append(Session(*row))
        for owner in owners:
            ordered = sorted(found[owner], key=lambda item: (item.starts_at, item.session_id))
            self._sessions_of[owner] = tuple(ordered)

    def _load_unconfirmed(self, owners: Iterable[str]) -> None:
        owners = list(owners)
        found: dict[str, list[datetime]] = defaultdict(list)
        columns = (sessions.c.therapist_id, sessions.c.starts_at)
        gone = sessions.c.gone_at
        for owner, start in self._rows(columns, sessions.c.therapist_id, gone, owners, _LEFT_SO):
            found[owner].append(start)
        self._unconfirmed.update((owner, tuple(sorted(found[owner]))) for owner in owners)

    def _load_therapists(self, names: Iterable[str]) -> None:
        names = list(names)
        self._therapists.update(dict.fromkeys(names))
        columns = tuple(therapists.c)
        for row in self._rows(columns, therapists.c.therapist_id, therapists.c.gone_at, names):
            self._therapists[row.therapist_id] = therapist_from(row)

    def _load_addresses(self, addresses: Iterable[str]) -> None:
        addresses = list(addresses)
        self._ids_at.update(dict.fromkeys(addresses, ()))
        columns = (therapist_addresses.c.address, therapist_addresses.c.therapist_id)
        named = [address for address in addresses if address]
        for address, owner in self._rows(columns, therapist_addresses.c.address, None, named):
            self._ids_at[address] = tuple(sorted((*self._ids_at[address], owner)))

    def _load_clients(self, names: Iterable[str]) -> None:
        names = list(names)
        self._clients.update(dict.fromkeys(names))
        columns = (
            clients.c.client_id,
            clients.c.first_name,
            clients.c.last_name,
            clients.c.email,
        )
        for row in self._rows(columns, clients.c.client_id, clients.c.gone_at, names):
            self._clients[row[0]] = Client(*row)

    def _rows(
        self,
        columns: Sequence[ColumnElement[Any]],
        key: ColumnElement[Any],
        gone_at: ColumnElement[Any] | None,
        values: Sequence[str],
        *conditions: ColumnElement[bool],
    ) -> Iterator[AnyRow]:
        # A value that no database can hold stands in none: asking with it cleaned would find
        # something else than was meant.
        values = [value for value in values if clean(value) is value]
        for start in range(0, len(values), AT_ONCE):
            some = values[start : start + AT_ONCE]
            query = select(*columns).where(key.in_(some), *conditions)
            if gone_at is not None:
                query = query.where(gone_at.is_(None))
            with self._reading() as connection:
                yield from connection.execute(query).all()


def sessions_as_of() -> Select[Any]:
    """When sessions were last imported."""
    return select(func.max(registry_imports.c.imported_at)).where(
        registry_imports.c.kind == "sessions"
    )


def unconfirmed_by_therapist(
    connection: Connection, since: datetime, until: datetime
) -> dict[str, int]:
    """How many sessions each therapist left unconfirmed between two moments, nobody told."""
    lately = (sessions.c.starts_at >= since) & (sessions.c.starts_at < until)
    query = (
        select(sessions.c.therapist_id, func.count())
        .where(_LEFT_SO, lately, sessions.c.gone_at.is_(None))
        .group_by(sessions.c.therapist_id)
    )
    return {str(owner): int(count) for owner, count in connection.execute(query)}


def therapists_named(connection: Connection, typed: str, limit: int) -> list[Therapist]:
    """Therapists with the id *typed*, or whose name holds words that begin with its words."""
    wanted = list(folded(typed))
    names = connection.execute(select(therapists.c.therapist_id, therapists.c.name)).all()
    found = [
        row.therapist_id
        for row in names
        if row.therapist_id.casefold() == typed.strip().casefold() or _named(row.name, wanted)
    ]
    query = select(therapists).where(therapists.c.therapist_id.in_(found[:AT_ONCE]))
    rows = connection.execute(query.order_by(therapists.c.name).limit(limit))
    return [therapist_from(row) for row in rows]


def _named(name: str, wanted: Sequence[str]) -> bool:
    words = list(folded(name)) if wanted else []
    return bool(words) and all(any(word.startswith(w) for word in words) for w in wanted)


def therapist_from(row: AnyRow) -> Therapist:
    """The ``Therapist`` of a row of ``therapists``."""
    lists = {name: tuple(row.lists[name]) for name in _LISTS}
    return Therapist(
        therapist_id=row.therapist_id, name=row.name, open_to_new=row.open_to_new, **lists
    )
