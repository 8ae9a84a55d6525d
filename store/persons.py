"""Whom an erasure or a subject access is about, and what of the store is theirs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Select, or_, select

from store.blanking import Words
from store.columns import clean
from store.conversations import asks_of
from store.errors import RefusedError, SealBrokenError
from store.rows import AT_ONCE
from store.schema import (
    cases,
    clients,
    decisions,
    messages,
    sessions,
    therapist_addresses,
    therapists,
)

Kind = Literal["client", "therapist"]
KINDS: Final = ("client", "therapist")


@dataclass(frozen=True, slots=True)
class Person:
    """A client or a therapist, with all by which they are found. Of addresses, theirs alone."""

    kind: Kind
    id: str
    names: tuple[str, ...] = field(default=(), repr=False)
    addresses: tuple[str, ...] = field(default=(), repr=False)
    sessions: tuple[str, ...] = ()

    def words(self, lines: Collection[str] = (), *, near: bool = False) -> Words:
        """What they are known by in texts; *near*, in their own mails, by each name alone."""
        names = {*self.names, *(" ".join(reversed(name.split())) for name in self.names)}
        names |= {", ".join(reversed(name.split(maxsplit=1))) for name in self.names}
        if near:
            names |= {part for name in self.names for part in name.split() if len(part) > 2}
        return Words((*names, *self.addresses), (self.id, *self.sessions), lines)


@dataclass(frozen=True, slots=True)
class Theirs:
    """Numbers of what is about a person; ``shared`` mails are about somebody else as well."""

    cases: frozenset[int]
    messages: frozenset[int]
    shared: frozenset[int]


def person(
    connection: Connection,
    kind: Kind,
    number: str,
    names: Iterable[str] = (),
    addresses: Iterable[str] = (),
) -> Person:
    """What the registry knows of a person, and what is told of them besides.

    Raises:
        RefusedError: The id is empty, or an address is none.

    """
    if not number.strip():
        raise RefusedError(f"give the id of the {kind}")
    told = Person(
        kind,
        clean(number),
        tuple(filter(None, (clean(name).strip() for name in names))),
        tuple(_address(address) for address in addresses),
    )
    return (_client if kind == "client" else _therapist)(connection, told)


def _address(typed: str) -> str:
    address = clean(typed).strip().lower()
    if "@" not in address:
        raise RefusedError("an address has an @")
    return address


def _client(connection: Connection, told: Person) -> Person:
    row = connection.execute(select(clients).where(clients.c.client_id == told.id)).one_or_none()
    owned = select(sessions.c.session_id).where(sessions.c.client_id == told.id)
    if row is not None:
        told = replace(
            told,
            # One name alone is anybody's.
            names=(*told.names, *_whole_name(row.first_name, row.last_name)),
            addresses=(*told.addresses, *filter(None, (row.email,))),
        )
    return _unique(told, connection.scalars(owned))


def _whole_name(first: str, last: str) -> tuple[str, ...]:
    return (f"{first} {last}",) if first and last else ()


def _therapist(connection: Connection, told: Person) -> Person:
    query = select(therapists).where(therapists.c.therapist_id == told.id)
    row = connection.execute(query).one_or_none()
    owned = select(sessions.c.session_id).where(sessions.c.therapist_id == told.id)
    here = therapist_addresses.c.therapist_id == told.id
    mine = set(connection.scalars(select(therapist_addresses.c.address).where(here)))
    others = select(therapist_addresses.c.address).where(
        therapist_addresses.c.address.in_(mine), ~here
    )
    mine -= set(connection.scalars(others))  # a practice's desk writes for its other therapists
    if row is not None:
        told = replace(told, names=(*told.names, row.name))
    told = replace(told, addresses=(*told.addresses, *sorted(mine)))
    return _unique(told, connection.scalars(owned))


def _unique(told: Person, owned: Iterable[str]) -> Person:
    return replace(
        told,
        names=tuple(dict.fromkeys(filter(None, told.names))),
        addresses=tuple(dict.fromkeys(told.addresses)),
        sessions=tuple(sorted(owned)),
    )


def theirs(connection: Connection, who: Person) -> Theirs:
    """The cases and mails about *who*: whole cases, and whatever they wrote themselves."""
    conditions = [(cases.c.sender, who.addresses)]
    if who.kind == "client":
        conditions += [(cases.c.client_id, (who.id,)), (cases.c.session_id, who.sessions)]
    else:
        conditions += [(cases.c.therapist_id, (who.id,))]
    found = {
        number
        for column, values in conditions
        for number in _scalars(connection, select(cases.c.id), column, values)
    }
    mails = set(_scalars(connection, select(messages.c.id), messages.c.sender, who.addresses))
    mails |= mails_of(connection, found)
    beside = cases_of(connection, mails)
    shared = {mail for mail in mails if beside.get(mail, set()) - found}
    return Theirs(frozenset(found), frozenset(mails), frozenset(shared))


def mails_of(connection: Connection, numbers: Collection[int]) -> set[int]:
    """The mails of cases, those among them that another case tells of too."""
    return {mail for mails in _mails_by_case(connection, numbers).values() for mail in mails}


def cases_of(connection: Connection, mails: Collection[int]) -> dict[int, set[int]]:
    """The cases of each of *mails*."""
    found: dict[int, set[int]] = {}
    query = select(decisions.c.message_id, decisions.c.case_id)
    direct = list(_rows(connection, query, decisions.c.message_id, mails))
    for mail, case_id in direct:
        found.setdefault(mail, set()).add(case_id)
    return found


def _mails_by_case(connection: Connection, numbers: Collection[int]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    query = select(decisions.c.case_id, decisions.c.message_id, decisions.c.request)
    for case_id, mail, request in _rows(connection, query, decisions.c.case_id, numbers):
        own = found.setdefault(case_id, set())
        own.update({mail} if mail is not None else ())
        with suppress(SealBrokenError):  # nobody can read it, ourselves included
            own.update(number for number, _ in asks_of(request, ()))
    return found


def _scalars(
    connection: Connection,
    query: Select[Any],
    column: ColumnElement[Any],
    values: Collection[Any],
) -> Iterator[Any]:
    for (value,) in _rows(connection, query, column, values):
        yield value


def _rows(
    connection: Connection,
    query: Select[Any],
    column: ColumnElement[Any],
    values: Collection[Any],
) -> Iterator[Any]:
    wanted = sorted(values)
    for start in range(0, len(wanted), AT_ONCE):
        yield from connection.execute(query.where(column.in_(wanted[start : start + AT_ONCE])))


def among(column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Whether *column* is one of *values*, however many they are."""
    parts = [values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE)]
    return or_(*(column.in_(part) for part in parts)) if parts else column.in_(())
