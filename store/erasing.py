"""Erasing a person: everything about them, in one transaction, and tombstones in its place.

Killed before the commit nothing has happened; after it, only the database's files are left to be
washed (``store.washing``), which may be done again and again. Mail that is about somebody else as
well stays without what is not clearly about them; its bytes go, for they cannot be cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, delete, func, insert, select, text, update

from store.blanking import BLOCK, Words, blocked, only, without
from store.cascade import cascade
from store.columns import AnyRow
from store.database import Database
from store.erasure_schema import erasures, tombstones
from store.exports_schema import exports
from store.loose import loose_raws
from store.outgoing_schema import outbox
from store.persons import Kind, Person, Theirs, among, cases_of, mails_of, person, theirs
from store.presence_schema import bulk_steps, bulks
from store.schema import (
    cases,
    clients,
    decisions,
    messages,
    places,
    quarantine,
    raws,
    session_history,
    sessions,
    therapist_addresses,
    therapists,
)
from store.sweeping import (
    Found,
    change_row,
    look_through,
    respan,
    rewrite_mail,
    spans_of,
    sweep,
    without_words,
)
from store.tombstones import Tombstones, copy_of, key_of, mark_of
from store.writing import Turn

#: Why somebody is erased, as Article 17(1) of the GDPR has it; codes, for words may name people.
Reason = Literal[
    "request", "no_longer_needed", "consent_withdrawn", "objection", "unlawful", "legal_obligation"
]
REASONS: Final[tuple[str, ...]] = get_args(Reason)
_PARTS: Final = ("subject", "new_text", "quoted_text")
#: What may have reached somebody outside.
_OUT: Final = ("sent", "sending", "uncertain")


@dataclass(frozen=True, slots=True)
class Erased:
    """What went, in numbers. ``number`` is 0 where it was only tried.

    ``gone`` and ``changed`` count rows by table, ``left`` are effects that had left before, and
    ``exports`` those given out that may hold some of it.
    """

    number: int
    at: datetime
    kind: Kind
    gone: dict[str, int]
    changed: dict[str, int]
    cases: list[int]
    left: list[dict[str, Any]]
    exports: list[int]
    washed_at: datetime | None = None

    @property
    def is_nothing(self) -> bool:
        return not (self.gone or self.changed)


class _TriedError(Exception):
    """Ends a trial: its transaction is rolled back."""


class Erasures:
    """What ``Store`` does for people who are to be forgotten."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def erase(
        self,
        kind: Kind,
        number: str,
        *,
        names: Iterable[str] = (),
        addresses: Iterable[str] = (),
        by: str,
        reason: str,
        now: datetime,
        dry_run: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Erased:
        """Erase a person, or with *dry_run* find out what would go; the same again does no harm.

        *names* and *addresses* are looked for besides those of the registry.

        Raises:
            RefusedError: There is no id, or an address is none.

        """
        with self.database.reading() as connection:
            who = person(connection, kind, number, names, addresses)
            found = Found()
            mine = theirs(connection, who).messages
            for count in look_through(connection, who.words(), mine, found):
                progress(count)
        with suppress(_TriedError), self.database.writing() as connection:
            erased = _Erasing(connection, who, found, by, now).all(reason)
            if dry_run:
                raise _TriedError
        return replace(erased, number=0) if dry_run else erased

    def named_by(self, marks: Collection[str]) -> list[tuple[Kind, str]]:
        """Whom an earlier erasure was of, where they are here again: a backup was restored."""
        wanted = set(marks)
        people: tuple[tuple[Kind, tuple[Any, ...]], ...] = (
            ("client", (clients.c.client_id, sessions.c.client_id, cases.c.client_id)),
            ("therapist", (therapists.c.therapist_id, sessions.c.therapist_id)),
        )
        with self.database.writing() as connection:
            key = key_of(connection)
            return [
                (kind, one)
                for kind, columns in people
                for one in sorted({one for c in columns for one in _all(connection, c)})
                if mark_of(key, kind, one) in wanted
            ]

    def made(self) -> list[Erased]:
        """Every erasure on record, newest first."""
        with self.database.reading() as connection:
            rows = connection.execute(select(erasures).order_by(erasures.c.id.desc()))
            return [_erased(row) for row in rows]

    def marks(self, number: int) -> list[str]:
        """The digests that were laid by an erasure: by them it can be repeated after a restore."""
        query = select(tombstones.c.mark).where(tombstones.c.erasure_id == number)
        with self.database.reading() as connection:
            return list(connection.scalars(query.order_by(tombstones.c.mark)))

    def washed(self, now: datetime) -> None:
        """Put on record that no trace is left in the database's files of what was erased so far."""
        with self.database.writing() as connection:
            due = update(erasures).where(erasures.c.washed_at.is_(None), erasures.c.at <= now)
            connection.execute(due.values(washed_at=now))


def _erased(row: AnyRow) -> Erased:
    return Erased(row.id, row.at, row.kind, **row.told, washed_at=row.washed_at)


class _Erasing:
    """One erasure within its transaction."""

    def __init__(
        self, connection: Connection, who: Person, found: Found, by: str, now: datetime
    ) -> None:
        self._connection, self._who, self._found, self._now = connection, who, found, now
        self._by = by
        self._turn = Turn(connection, by, now)
        if connection.dialect.name != "sqlite":  # whoever keeps bytes now is waited for
            connection.execute(text("LOCK TABLE raws IN SHARE ROW EXCLUSIVE MODE"))
        self._gone: Counter[str] = Counter()
        self._changed: Counter[str] = Counter()
        self._marks: set[tuple[Any, str]] = set()

    def all(self, reason: str) -> Erased:
        mine, words = theirs(self._connection, self._who), self._who.words()
        for _ in look_through(self._connection, words, mine.messages, self._found):
            pass  # what came since it was looked through the first time
        left, given = self._left(mine.cases), self._exports(mine)
        touched = self._change_mails(mine, words)
        self._bury_mails(mine.messages - mine.shared)
        self._delete_cases(mine)
        self._changed.update(sweep(self._connection, self._found, words))
        self._say_less(touched - mine.cases)
        self._delete_bytes(words)
        self._delete_registry()
        before = self._before()
        if before is not None and not (+self._gone or +self._changed):
            return before
        told = {
            "gone": dict(+self._gone),
            "changed": dict(+self._changed),
            "cases": sorted(mine.cases),
            "left": left,
            "exports": given,
        }
        return self._record(reason, told)

    def _before(self) -> Erased | None:
        """The erasure of the same person that was made before."""
        key = key_of(self._connection)
        mark = tombstones.c.mark == mark_of(key, self._who.kind, self._who.id)
        query = select(erasures).join(tombstones, tombstones.c.erasure_id == erasures.c.id)
        row = self._connection.execute(query.where(mark)).one_or_none()
        return None if row is None else _erased(row)

    def _record(self, reason: str, told: dict[str, Any]) -> Erased:
        row = {"at": self._now, "by": self._by, "kind": self._who.kind, "reason": reason}
        added = insert(erasures).returning(erasures.c.id)
        number = int(self._connection.scalars(added, [{**row, "told": told}]).one())
        self._turn.tell(
            "erased",
            None,
            erasure_id=number,
            kind=self._who.kind,
            reason=reason,
            gone=told["gone"],
            changed=told["changed"],
        )
        self._turn.end()
        Tombstones(self._connection).lay(self._marks, self._now, number)
        return Erased(number, self._now, self._who.kind, **told)

    def _left(self, case_ids: Collection[int]) -> list[dict[str, Any]]:
        columns = (outbox.c.id, outbox.c.case_id, outbox.c.channel, outbox.c.action, outbox.c.state)
        query = select(*columns).where(outbox.c.state.in_(_OUT))
        query = query.where(among(outbox.c.case_id, sorted(case_ids)))
        return [dict(row._mapping) for row in self._connection.execute(query.order_by(outbox.c.id))]  # noqa: SLF001 - SQLAlchemy's public name for it

    def _exports(self, mine: Theirs) -> list[int]:
        here = among(cases.c.id, sorted(mine.cases))
        first, last = self._connection.execute(
            select(func.min(cases.c.opened_at), func.max(cases.c.changed_at)).where(here)
        ).one()
        if first is None:
            return []
        query = select(exports.c.id).where(
            exports.c.at >= first,
            exports.c.since.is_(None) | (exports.c.since <= last),
            exports.c.until.is_(None) | (exports.c.until > first),
        )
        return list(self._connection.scalars(query.order_by(exports.c.id)))

    # --- mails that stay --------------------------------------------------------------------------

    def _change_mails(self, mine: Theirs, words: Words) -> set[int]:
        """Take out of mails that stay what is about the person; the cases that tell of them."""
        copies = Words((), (), self._found.lines)
        answering = self._found.answering
        near = self._who.words(near=True)
        touched: set[int] = set()
        for number in sorted(mine.shared):
            touched |= self._rewrite(number, partial(self._what_is_others, mine=mine, near=near))
        for number in sorted((self._found.mails | answering) - mine.messages):
            less = partial(without_words, words=words, copies=copies, quotes=number in answering)
            touched |= self._rewrite(number, less)
        return touched

    def _rewrite(self, number: int, texts: Callable[[AnyRow], dict[str, Any]]) -> set[int]:
        row = self._connection.execute(
            select(messages).where(messages.c.id == number)
        ).one_or_none()
        if row is None:
            return set()
        rewrite_mail(self._connection, number, texts(row))
        self._changed["messages"] += 1
        self._bury(row.digest)
        self._marks.add(("copy", copy_of(row.message_id, row.sender, row.sent_at)))
        return cases_of(self._connection, [number])[number]

    def _what_is_others(self, row: AnyRow, mine: Theirs, near: Words) -> dict[str, Any]:
        """The sentences of a shared mail on which asks of others rest, and no ask of theirs."""
        keep: dict[str, list[tuple[int, int]]] = {part: [] for part in _PARTS}
        lose = {part: near.within(getattr(row, part)) for part in _PARTS}
        query = select(decisions.c.case_id, decisions.c.request)
        told = self._connection.execute(query.where(decisions.c.message_id == row.id))
        for case_id, request in told:
            places = lose if case_id in mine.cases else keep
            for part, start, end, words in spans_of(request):
                if getattr(row, part)[start:end] == words:
                    places[part].append((start, end))
        texts = {part: only(getattr(row, part), keep[part], lose[part]) for part in _PARTS}
        writer = BLOCK if row.sender in self._who.addresses else row.sender
        details = {**row.details, "attachments": []}
        if writer == BLOCK:
            details |= {"sender_name": "", "reply_to": []}
        return {
            **texts,
            "sender": writer,
            "signature": without(row.signature, near),
            "details": details,
        }

    def _say_less(self, case_ids: Collection[int]) -> None:
        """Take out of decisions what no mail of theirs says any more."""
        there = {
            number: " ".join(
                " ".join(row)
                for row in self._connection.execute(
                    select(messages.c.subject, messages.c.new_text, messages.c.quoted_text).where(
                        among(messages.c.id, sorted(mails_of(self._connection, [number])))
                    )
                )
            )
            for number in case_ids
        }
        self._changed["decisions"] += respan(self._connection, case_ids, there)

    # --- what goes --------------------------------------------------------------------------------

    def _delete_cases(self, mine: Theirs) -> None:
        steps = among(bulk_steps.c.case_id, sorted(mine.cases))
        tokens = set(self._connection.scalars(select(bulk_steps.c.token).where(steps)))
        doomed = {cases: mine.cases, messages: mine.messages - mine.shared}
        self._gone.update(cascade(self._connection, doomed))
        for token in sorted(tokens):
            here = bulks.c.token == token
            beside = select(bulk_steps.c.case_id).where(bulk_steps.c.token == token).limit(1)
            if self._connection.scalar(beside) is None:
                self._gone["bulks"] += self._connection.execute(delete(bulks).where(here)).rowcount
                continue
            row = self._connection.execute(select(bulks).where(here)).one()
            less = change_row(bulks, row, {"reason": blocked(row.reason), "details": {}})
            self._connection.execute(less)
            self._changed["bulks"] += 1

    def _bury_mails(self, numbers: Collection[int]) -> None:
        for number in sorted(numbers):
            row = self._connection.execute(select(messages).where(messages.c.id == number)).one()
            self._marks.add(("message", row.message_id))
            self._marks.add(("copy", copy_of(row.message_id, row.sender, row.sent_at)))
            self._bury(row.digest)
            there = places.c.digest == row.digest
            forgotten = update(places).where(there).values(digest="", outcome="erased")
            self._changed["places"] += self._connection.execute(forgotten).rowcount

    def _bury(self, digest: str) -> None:
        self._marks.add(("raw", digest))
        gone = self._connection.execute(delete(raws).where(raws.c.digest == digest))
        self._gone["raws"] += gone.rowcount

    def _delete_bytes(self, words: Words) -> None:
        """Mail that nobody has read yet, or could not, and that names them."""
        for digest in loose_raws(self._connection, words):
            self._bury(digest)
            there = quarantine.c.digest == digest
            gone = self._connection.execute(delete(quarantine).where(there))
            self._gone["quarantine"] += gone.rowcount
            there = places.c.digest == digest
            forgotten = update(places).where(there).values(digest="", outcome="erased")
            self._changed["places"] += self._connection.execute(forgotten).rowcount

    def _delete_registry(self) -> None:
        who = self._who
        self._marks.add((who.kind, who.id))
        self._marks |= {("session", name) for name in who.sessions}
        self._marks |= {("address", address) for address in who.addresses}
        own = (sessions.c.client_id if who.kind == "client" else sessions.c.therapist_id) == who.id
        for table, condition in (
            (session_history, among(session_history.c.session_id, who.sessions)),
            (sessions, own),
            *(
                ((clients, clients.c.client_id == who.id),)
                if who.kind == "client"
                else (
                    (therapist_addresses, therapist_addresses.c.therapist_id == who.id),
                    (therapists, therapists.c.therapist_id == who.id),
                )
            ),
        ):
            self._gone[table.name] += self._connection.execute(
                delete(table).where(condition)
            ).rowcount


def _all(connection: Connection, column: Any) -> Iterable[str]:  # noqa: ANN401 - of any table
    return connection.scalars(select(column).distinct())
