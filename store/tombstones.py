"""Tombstones: keyed digests by which what was erased is known again, and kept out.

A digest tells nobody without the key what was erased, and with the key only whoever can name it.
Mail is kept out by its bytes; by Message-ID, writer and time, where its bytes have changed on the
way; and, where it had arrived before the erasure but was not yet stored, by whom it is about.
What comes later is new, and stored as ever.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, delete, exists, select, text, update

from store.blanking import reduced
from store.database import insert_new
from store.erasure_schema import tombstone_key, tombstones
from store.rows import AT_ONCE, Rows
from store.schema import raws
from triage.records import Email, Outcome

#: What a digest is of. "raw" is a mail's SHA-256, "copy" what stays of it when bytes change.
Kind = Literal["client", "therapist", "session", "address", "message", "copy", "raw"]
_Mark = tuple[Kind, str]


class Tombstones:
    """What was erased, asked within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._key: bytes | None = None  # b"" where nothing was ever erased

    def laid(self, marks: Iterable[tuple[Kind, str]]) -> dict[tuple[Kind, str], datetime]:
        """Those of *marks* that were erased, and when."""
        if not self._any():
            return {}
        wanted = {mark_of(self._key or b"", *mark): mark for mark in marks if mark[1]}
        found: dict[tuple[Kind, str], datetime] = {}
        for some in _slices(list(wanted)):
            query = select(tombstones.c.mark, tombstones.c.laid_at)
            rows = self._connection.execute(query.where(tombstones.c.mark.in_(some)))
            found.update((wanted[mark], at) for mark, at in rows)
        return found

    def values(self, kind: Kind, values: Iterable[str]) -> set[str]:
        """Those of *values* that were erased."""
        return {value for _, value in self.laid((kind, value) for value in values)}

    def lay(
        self, marks: Iterable[tuple[Kind, str]], now: datetime, erasure_id: int | None
    ) -> list[str]:
        """Keep these out from now on; the digests, for the report."""
        self._key = key = self._key or key_of(self._connection)
        wanted = {mark_of(key, kind, value): kind for kind, value in marks if value}
        rows = [
            {"mark": mark, "kind": kind, "erasure_id": erasure_id, "laid_at": now, "blocked": 0}
            for mark, kind in sorted(wanted.items())
        ]
        for start in range(0, len(rows), AT_ONCE):
            insert = insert_new(self._connection, tombstones)
            self._connection.execute(insert, rows[start : start + AT_ONCE])
        return sorted(wanted)

    def turned_away(self, kind: Kind, values: Iterable[str], now: datetime) -> None:
        """Count that these tried to come back."""
        key = self._key or key_of(self._connection)
        for some in _slices([mark_of(key, kind, value) for value in values]):
            again = update(tombstones).where(tombstones.c.mark.in_(some))
            count = {"blocked": tombstones.c.blocked + 1, "blocked_at": now}
            self._connection.execute(again.values(**count))

    def _any(self) -> bool:
        if self._key is None:
            query = select(tombstone_key.c.key).where(exists(select(tombstones.c.mark)))
            self._key = self._connection.scalar(query) or b""
        return bool(self._key)


def mark_of(key: bytes, kind: Kind, value: str) -> str:
    """The digest by which *value* is known again to whoever has *key*."""
    return hmac.digest(key, f"{kind}\n{value}".encode("utf-8", "replace"), "sha256").hex()


def key_of(connection: Connection) -> bytes:
    """The key of this database, made with it."""
    made = insert_new(connection, tombstone_key, id=1, key=secrets.token_bytes(32))
    connection.execute(made)
    key: bytes = connection.execute(select(tombstone_key.c.key)).scalar_one()
    return key


def copy_of(message_id: str, sender: str, sent_at: datetime) -> str:
    """What stays of a mail however it is fetched; a Message-ID alone anybody may repeat."""
    return f"{message_id}\n{sender}\n{sent_at.isoformat()}" if message_id else ""


def may_be_kept(
    connection: Connection, rows: Sequence[Mapping[str, Any]], now: datetime
) -> list[Mapping[str, Any]]:
    """Those *rows* of ``raws`` that were not erased; an erasure waits until they are stored."""
    if connection.dialect.name != "sqlite":  # where writers do not take turns of themselves
        connection.execute(text("LOCK TABLE raws IN ROW EXCLUSIVE MODE"))
    known = Tombstones(connection)
    gone = known.values("raw", [row["digest"] for row in rows])
    if gone:
        known.turned_away("raw", gone, now)
    return [row for row in rows if row["digest"] not in gone]


def erased_people(connection: Connection) -> dict[str, Callable[[object], bool]]:
    """By column of the registry, whether a value is of somebody who was erased; none: nobody was.

    A session is so where its client or therapist is: its own number may be given out again.
    """
    kinds: tuple[Kind, ...] = ("client", "therapist")
    query = select(tombstones.c.kind, tombstones.c.mark).where(tombstones.c.kind.in_(kinds))
    laid: dict[str, set[str]] = {}
    for kind, mark in connection.execute(query):
        laid.setdefault(kind, set()).add(mark)
    key = key_of(connection) if laid else b""

    def is_of(kind: Kind) -> Callable[[object], bool]:
        return lambda value: isinstance(value, str) and mark_of(key, kind, value) in laid[kind]

    return {f"{kind}_id": is_of(kind) for kind in kinds if kind in laid}


class Gate:
    """Lets the mails of one batch in, or what is left of them."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection, self._now = connection, now
        self._known = Tombstones(connection)
        self._barred: set[str] = set()
        self._raws: set[str] = set()

    def barred(self, digests: Collection[str]) -> set[str]:
        """Those of *digests* that were erased."""
        found = self._known.values("raw", digests)
        self._barred |= found
        return found

    def let_in(
        self, digest: str, email: Email, outcomes: Iterable[Outcome]
    ) -> tuple[Email, tuple[Outcome, ...]] | None:
        """The mail with what is not about anybody erased, None where nothing is left of it."""
        asked = tuple(Outcome(*outcome) for outcome in outcomes)
        gone = self._about_the_erased(digest, email, asked)
        if not gone:
            return email, asked
        self._raws.add(digest)
        if all(gone):
            self._barred.add(digest)
            return None
        left = [one for one, is_gone in zip(asked, gone, strict=True) if not is_gone]
        spans = [f.span for one in left for f in (one.said or one.request).findings if f.span]
        lost = [
            f.span
            for one, is_gone in zip(asked, gone, strict=True)
            for f in (one.said or one.request).findings
            if is_gone and f.span
        ]
        return reduced(email, spans, lost), tuple(left)

    def _about_the_erased(
        self, digest: str, email: Email, outcomes: Sequence[Outcome]
    ) -> list[bool]:
        """For each outcome whether it goes; empty where none does."""
        copy: _Mark = ("copy", copy_of(email.message_id, email.sender.email, email.sent_at))
        writer: _Mark = ("address", email.sender.email)
        thread: set[_Mark] = {("message", one) for one in (email.in_reply_to, *email.references)}
        persons = [_persons(one) for one in outcomes]
        found = self._known.laid({copy, writer, *thread}.union(*persons))
        if not found:
            return []
        arrived = self._connection.scalar(select(raws.c.received_at).where(raws.c.digest == digest))
        late = {mark for mark, at in found.items() if at > (arrived or email.sent_at)}
        if copy in found or writer in late:
            return [True] * max(len(outcomes), 1)
        gone = [
            bool(late & about) or (one.facts.session is None and bool(late & thread))
            for one, about in zip(outcomes, persons, strict=True)
        ]
        return gone if any(gone) else []

    def settle(self, rows: Rows) -> None:
        """Take what was barred out of what is to be written, and count it."""
        if not (self._barred or self._raws):
            return
        rows.places = [
            (key, "", "erased") if digest in self._barred else (key, digest, outcome)
            for key, digest, outcome in rows.places
        ]
        kept = rows.quarantined.items()
        rows.quarantined = {n: row for n, row in kept if row["digest"] not in self._barred}
        gone = sorted(self._barred | self._raws)
        self._known.lay([("raw", digest) for digest in gone], self._now, None)
        self._known.turned_away("raw", gone, self._now)
        for some in _slices(gone):
            self._connection.execute(delete(raws).where(raws.c.digest.in_(some)))


def _persons(outcome: Outcome) -> set[_Mark]:
    """Whom an outcome is about."""
    facts, request = outcome.facts, outcome.said or outcome.request
    found: set[_Mark] = {("session", name) for name in request.session_ids}
    if facts.client:
        found.add(("client", facts.client.client_id))
    if facts.therapist:
        found.add(("therapist", facts.therapist.therapist_id))
    if facts.session:
        found |= {("session", facts.session.session_id), ("client", facts.session.client_id)}
    return found


def _slices(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE)]
