"""The asks of a case as their own mails put them, kept beside what they were merged into.

The column ``request`` of a decision holds the whole case so far. Beside the request's fields stand
``ask``, which of the message's asks it decided, ``asks``, where each ask of the case stands in the
order of writing, and ``said``, the ask alone where it differs from the whole. Rows of the first
version have none of them: each then counts as what its message said. Where ``reread`` stands, the
ask was read again by another reader, and counts as that one put it from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from store.rows import AT_ONCE, Rows
from store.schema import decisions, messages
from store.sealing import is_unopened
from store.values import email_from, request_from, request_json
from triage.records import (
    ERASED_IN_PART,
    NO_ASK,
    Email,
    OpenCase,
    Outcome,
    Request,
    Said,
)

_Place = tuple[int, int]
#: Marks what another reader made of an ask that was decided before.
REREAD: Final = "reread"


class _Row(NamedTuple):
    case_id: int
    message_id: int
    request: Mapping[str, Any]


def conversation_json(outcome: Outcome, asks: Iterable[_Place]) -> dict[str, object]:
    """The request as merged, and what tells it from what its own mail said."""
    kept = {**request_json(outcome.request), "ask": outcome.ask, "asks": [list(a) for a in asks]}
    if outcome.said is not None and outcome.said != outcome.request:
        kept["said"] = request_json(outcome.said)
    return kept


def asks_of(request: Mapping[str, Any], message_ids: Iterable[int]) -> tuple[_Place, ...]:
    """Where a case's asks stand by its latest decision; *message_ids* are all of its messages."""
    if not is_unopened(request) and "asks" in request:
        return tuple((message_id, ask) for message_id, ask in request["asks"])
    return tuple((message_id, 0) for message_id in dict.fromkeys(message_ids))


def said_in(connection: Connection, pending: Rows, cases: Sequence[OpenCase]) -> list[Said]:
    """Every ask of *cases*, those of *pending* rows among them."""
    places = [(case.case_id, place) for case in cases for place in case.asks]
    numbers = sorted({number for _, (number, _) in places})
    rows = [*_stored_decisions(connection, numbers), *_pending_decisions(pending, numbers)]
    mails = _emails(connection, pending, numbers)
    said: dict[object, Mapping[str, Any]] = {}
    damaged = {row.message_id for row in rows if is_unopened(row.request)}
    for row in rows:
        if is_unopened(row.request):
            continue
        key: object = (row.message_id, row.request.get("ask", 0))
        if "ask" not in row.request:
            key = ("first version", row.case_id, row.message_id)
        said.setdefault(key, row.request)
        if REREAD in row.request:
            said["read again", row.message_id, row.request["ask"]] = row.request
    found = []
    for case_id, (number, ask) in places:
        request = (
            said.get(("read again", number, ask))
            or said.get(("first version", case_id, number))
            or said.get((number, ask))
        )
        if request is None and (number in damaged or _is_erased(mails.get(number))):
            continue  # the case is told without what nobody can read any more
        request = request or said[number, ask]
        found.append(Said(mails[number], request_from(request.get("said", request)), (number, ask)))
    return found


def _is_erased(mail: Email | None) -> bool:
    """Whether asks of a mail may have gone with another case."""
    return mail is None or ERASED_IN_PART in mail.defects


def said_by_message(
    connection: Connection, numbers: Sequence[int], reader_version: str
) -> dict[int, tuple[Request, ...]]:
    """By message its asks as that reader put them, in their order; none where it did not read."""
    found: dict[int, dict[object, Request]] = {}
    for start in range(0, len(numbers), AT_ONCE):
        query = (
            select(decisions.c.case_id, decisions.c.message_id, decisions.c.request)
            .where(decisions.c.message_id.in_(numbers[start : start + AT_ONCE]))
            .where(decisions.c.reader_version == reader_version)
            .order_by(decisions.c.id)
        )
        for row in connection.execute(query):
            if row.request.get("ask") == NO_ASK:
                continue
            key = row.request.get("ask", ("first version", row.case_id))
            said = row.request.get("said", row.request)
            found.setdefault(row.message_id, {}).setdefault(key, request_from(said))
    return {number: tuple(asks.values()) for number, asks in found.items()}


def _stored_decisions(connection: Connection, numbers: Sequence[int]) -> list[_Row]:
    found = []
    for start in range(0, len(numbers), AT_ONCE):
        query = (
            select(decisions.c.case_id, decisions.c.message_id, decisions.c.request)
            .where(decisions.c.message_id.in_(numbers[start : start + AT_ONCE]))
            .order_by(decisions.c.id)
        )
        found += [_Row(*row) for row in connection.execute(query)]
    return found


def _pending_decisions(pending: Rows, numbers: Sequence[int]) -> list[_Row]:
    wanted = set(numbers)
    rows = (_Row(r["case_id"], r["message_id"], r["request"]) for r in pending.decisions)
    return [row for row in rows if row.message_id in wanted]


def _emails(connection: Connection, pending: Rows, numbers: Sequence[int]) -> dict[int, Any]:
    wanted = set(numbers)
    mails = {
        r["id"]: email_from(SimpleNamespace(**r)) for r in pending.messages if r["id"] in wanted
    }
    left = [number for number in numbers if number not in mails]
    for start in range(0, len(left), AT_ONCE):
        query = select(messages).where(messages.c.id.in_(left[start : start + AT_ONCE]))
        mails.update((row.id, email_from(row)) for row in connection.execute(query))
    return mails
