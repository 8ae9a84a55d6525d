"""Everything that is held on one person, gathered to be given to them.

What is not theirs is left out: colleagues' names, and of mails that are about somebody else as well
all but the sentences about them. Those mails are named, for a person to look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Table, select

from store.access_schema import access_log
from store.blanking import Words, masked, masked_any, only
from store.columns import AnyRow
from store.contents import columns_with
from store.database import Database
from store.errors import SealBrokenError
from store.outgoing_schema import corrections, outbox, second_looks, verdicts
from store.persons import Kind, Person, Theirs, among, person, theirs
from store.raws import content_of
from store.schema import (
    audit,
    cases,
    clients,
    decisions,
    messages,
    raws,
    session_history,
    sessions,
    therapist_addresses,
    therapists,
)
from store.sealing import ring_of
from store.sweeping import spans_of
from store.writing import Turn

_PARTS: Final = ("subject", "new_text", "quoted_text")
#: In place of a colleague's name.
COLLEAGUE: Final = "a colleague"
#: Ours, and of no use to anybody else.
_LEFT_OUT: Final = frozenset(("fingerprint", "hash", "token", "version", "new_version", "key"))


@dataclass(frozen=True, slots=True)
class Held:
    """What is held, ready for JSON; ``originals`` are the mails' bytes, by their numbers.

    ``to_review`` are mails that are about somebody else as well, by number, with why.
    """

    told: dict[str, Any]
    cases: tuple[int, ...]
    mails: tuple[int, ...]
    originals: Mapping[int, bytes]
    to_review: Mapping[int, str]


def held_on(
    database: Database,
    kind: Kind,
    number: str,
    names: Iterable[str] = (),
    addresses: Iterable[str] = (),
) -> Held:
    """All of a person as of one moment.

    Raises:
        RefusedError: There is no id, or an address is none.

    """
    with database.reading() as connection:
        who = person(connection, kind, number, names, addresses)
        mine = theirs(connection, who)
        mails = [_mail(connection, who, mine, one) for one in sorted(mine.messages)]
        whole = [mail["number"] for mail in mails if not mail["cut"]]
        told = {
            "registry": _registry(connection, who),
            "cases": _cases(connection, who, mine),
            "mails": mails,
            "looked_at": _looks(connection, mine),
        }
        return Held(
            told=told,
            cases=tuple(sorted(mine.cases)),
            mails=tuple(sorted(mine.messages)),
            originals=dict(_originals(connection, whole)),
            to_review={mail["number"]: mail["cut"] for mail in mails if mail["cut"]},
        )


def _registry(connection: Connection, who: Person) -> dict[str, Any]:
    own = (sessions.c.client_id if who.kind == "client" else sessions.c.therapist_id) == who.id
    asked: dict[str, tuple[Table, Any]] = {
        "sessions": (sessions, own),
        "history": (session_history, among(session_history.c.session_id, who.sessions)),
    }
    if who.kind == "client":
        asked["client"] = (clients, clients.c.client_id == who.id)
    else:
        asked["therapist"] = (therapists, therapists.c.therapist_id == who.id)
        here = therapist_addresses.c.therapist_id == who.id
        asked["addresses"] = (therapist_addresses, here)
    return {name: _rows(connection, *what) for name, what in asked.items()}


def _cases(connection: Connection, who: Person, mine: Theirs) -> list[dict[str, Any]]:
    told = [_case(connection, one) for one in sorted(mine.cases)]
    if who.kind == "client":
        return told
    others = _clients_of(connection, who)
    return [masked_any(one, others) for one in told]


def _case(connection: Connection, number: int) -> dict[str, Any]:
    given = select(verdicts.c.id).where(verdicts.c.case_id == number)
    [case] = _rows(connection, cases, cases.c.id == number)
    return {
        **case,
        "decisions": _rows(connection, decisions, decisions.c.case_id == number),
        "verdicts": _rows(connection, verdicts, verdicts.c.case_id == number),
        "corrections": _rows(connection, corrections, corrections.c.verdict_id.in_(given)),
        "second_looks": _rows(connection, second_looks, second_looks.c.verdict_id.in_(given)),
        "sent": _rows(connection, outbox, outbox.c.case_id == number),
        "events": _rows(connection, audit, audit.c.case_id == number),
    }


def _looks(connection: Connection, mine: Theirs) -> list[dict[str, Any]]:
    return _rows(connection, access_log, among(access_log.c.case_id, sorted(mine.cases)))


def _rows(connection: Connection, table: Table, condition: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - SQL
    staff = {*columns_with("staff").get(table, ())}
    key = list(table.primary_key)
    rows = connection.execute(select(table).where(condition).order_by(*key))
    return [
        {
            name: COLLEAGUE if name in staff and value else _plain(value)
            for name, value in row._mapping.items()  # noqa: SLF001 - SQLAlchemy's public name for it
            if name not in _LEFT_OUT
        }
        for row in rows
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401 - of any column
    return value.isoformat() if isinstance(value, datetime) else value


# --- mails ----------------------------------------------------------------------------------------


def _mail(connection: Connection, who: Person, mine: Theirs, number: int) -> dict[str, Any]:
    row = connection.execute(select(messages).where(messages.c.id == number)).one()
    details, cut = row.details, _why_cut(row, who, mine)
    told = {
        "number": row.id,
        "message_id": row.message_id,
        "sent_at": row.sent_at.isoformat(),
        "sender": row.sender,
        "recipients": details["recipients"],
        "attachments": [] if cut else details["attachments"],
        "signature": row.signature,
        "cut": cut,
    }
    if number in mine.shared and who.kind == "client":
        return told | _about_them(connection, row, mine)
    others = _clients_of(connection, who) if cut else None
    texts = {part: getattr(row, part) for part in _PARTS}
    return told | ({p: masked(t, others) for p, t in texts.items()} if others else texts)


def _why_cut(row: AnyRow, who: Person, mine: Theirs) -> str:
    if who.kind == "therapist" and row.sender not in who.addresses:
        return "written by somebody else"
    if who.kind == "client" and row.id in mine.shared:
        return "about another client as well"
    return ""


def _about_them(connection: Connection, row: AnyRow, mine: Theirs) -> dict[str, str]:
    """The sentences on which asks about them rest, and none about anybody else."""
    keep: dict[str, list[tuple[int, int]]] = {part: [] for part in _PARTS}
    lose: dict[str, list[tuple[int, int]]] = {part: [] for part in _PARTS}
    query = select(decisions.c.case_id, decisions.c.request)
    for case_id, request in connection.execute(query.where(decisions.c.message_id == row.id)):
        places = keep if case_id in mine.cases else lose
        for part, start, end, words in spans_of(request):
            if getattr(row, part)[start:end] == words:
                places[part].append((start, end))
    return {part: only(getattr(row, part), keep[part], lose[part]) for part in _PARTS}


def _clients_of(connection: Connection, who: Person) -> Words:
    query = select(clients.c.first_name, clients.c.last_name, clients.c.email)
    query = query.join_from(clients, sessions, sessions.c.client_id == clients.c.client_id)
    rows = connection.execute(query.where(sessions.c.therapist_id == who.id).distinct()).all()
    return Words({value for row in rows for value in row if len(value) > 1}, ())


def _originals(connection: Connection, numbers: Iterable[int]) -> Iterable[tuple[int, bytes]]:
    ring = ring_of(connection.dialect)
    for number in numbers:
        query = select(raws).join_from(raws, messages, messages.c.digest == raws.c.digest)
        row = connection.execute(query.where(messages.c.id == number)).one_or_none()
        try:
            if row is not None:
                yield number, content_of(row, ring)
        except SealBrokenError:  # its text is there; of the bytes nobody can say more
            continue


def on_record(database: Database, held: Held, kind: Kind, by: str, now: datetime) -> None:
    """Put on the audit trail that a person was given what is held on them."""
    with database.writing() as connection:
        turn = Turn(connection, by, now)
        counts = {"cases": len(held.cases), "mails": len(held.mails)}
        turn.tell("subject_access", None, kind=kind, to_review=len(held.to_review), **counts)
        turn.end()
