"""What must hold, looked at from outside: a mailbox's bytes, the database's tables, the log.

It shares no code with what it judges: it speaks SQL to tables by name, and seals the audit trail by
its own reading of how that is documented.
"""

from __future__ import annotations

import hashlib
import imaplib
import json
import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

TABLES = (
    "raws", "folders", "places", "messages", "cases", "decisions", "quarantine", "audit", "runs",
    "leases", "ledger",
)  # fmt: skip


@dataclass(frozen=True)
class Mail:
    """A message as the server keeps it."""

    uidvalidity: int
    uid: int
    content: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def mailbox_as_kept(port: int, user: str, password: str) -> list[Mail]:
    """Every message of an INBOX, by the standard library's client."""
    client = imaplib.IMAP4("127.0.0.1", port, timeout=30)
    try:
        client.login(user, password)
        client.select("INBOX", readonly=True)
        [validity] = client.untagged_responses["UIDVALIDITY"]
        _, answer = client.uid("FETCH", "1:*", "(UID BODY.PEEK[])")
        pairs = [part for part in answer if isinstance(part, tuple)]
        return [
            Mail(int(validity), int(re.search(rb"UID (\d+)", head)[1]), body)  # type: ignore[index]
            for head, body in pairs
        ]
    finally:
        client.logout()


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A connection to the database at *url*, with rows as mappings."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()
    else:
        import psycopg
        from psycopg.rows import dict_row

        place = urlsplit(url.replace("+psycopg", ""))
        host = parse_qs(place.query)["host"][0]
        with psycopg.connect(
            host=host, user=place.username, dbname=place.path[1:], row_factory=dict_row
        ) as connection:
            connection.execute("SET timezone = 'UTC'")
            connection.execute("SET lock_timeout = '20s'")  # a hang shall be seen, not shared
            yield connection


@dataclass
class State:
    """All rows of all tables."""

    rows: dict[str, list[dict[str, Any]]]

    @classmethod
    def of(cls, url: str) -> State:
        with connected(url) as connection:
            return cls(
                {
                    table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
                    for table in TABLES
                }
            )

    def __getattr__(self, table: str) -> list[dict[str, Any]]:
        return self.rows[table]


def judged(
    url: str,
    present: Collection[Mail],
    *,
    gone: Collection[Mail] = (),
    complete: bool = True,
    taken_back: bool = False,
) -> list[str]:
    """Every violation of I1-I3 and I5-I7, each a line that begins with the invariant's name.

    Args:
        url: The database.
        present: What the mailbox holds.
        gone: What it once held, and may or may not have been read.
        complete: Whether a run has ended well since the last fault.
        taken_back: Whether the server has taken numbers back, so that places may lie beyond.

    """
    state = State.of(url)
    found = [
        *_bytes(state, {mail.digest for mail in (*present, *gone)}),
        *_once(state),
        *_whole(state),
        *_acknowledged(state, present, taken_back=taken_back),
        *_audit(state),
    ]
    if complete:
        found += [*_lost(state, present), *_settled(state), *_conserved(state)]
    return found


def _bytes(state: State, ever: Collection[str]) -> Iterator[str]:
    for row in state.raws:
        content = zlib.decompress(bytes(row["content"]))
        if hashlib.sha256(content).hexdigest() != row["digest"]:
            yield "I1 kept bytes do not have the digest that they are kept under"
        if hashlib.sha256(content).hexdigest() not in ever:
            yield "I1 bytes are kept that never lay in the mailbox"
    kept = {row["digest"] for row in state.raws}
    for row in (*state.messages, *state.quarantine):
        if row["digest"] and row["digest"] not in kept:
            yield "I1 a message is stored without its bytes"


def _once(state: State) -> Iterator[str]:
    contents = {
        row["digest"]: hashlib.sha256(zlib.decompress(bytes(row["content"]))).digest()
        for row in state.raws
    }
    stored = Counter(
        contents.get(row["digest"], row["digest"])
        for row in (*state.messages, *state.quarantine)
        if row["digest"]
    )
    for count in stored.values():
        if count > 1:
            yield f"I2 one mail is stored {count} times"
    asked = Counter(row["message_id"] for row in state.decisions)
    for row in state.messages:
        if asked[row["id"]] > 1:
            yield f"I2 one request is decided {asked[row['id']]} times"


def _whole(state: State) -> Iterator[str]:
    messages = {row["digest"]: row["id"] for row in state.messages}
    told = Counter((row["event"], row["message_id"]) for row in state.audit)
    yield from _messages_whole(state, messages, told)
    yield from _places_whole(state, messages)
    cases = {row["id"] for row in state.cases}
    for row in state.decisions:
        if row["message_id"] not in messages.values() or row["case_id"] not in cases:
            yield "I3 a decision is stored without its message or case"
        if told["decided", row["message_id"]] + told["joined", row["message_id"]] == 0:
            yield "I3 a decision is stored without its audit row"
    for row in state.ledger:
        for column, table in (("message_id", "messages"), ("audit_id", "audit")):
            if row[column] != max((each["id"] for each in state.rows[table]), default=0):
                yield f"I3 the ledger does not fit the table {table}"


def _messages_whole(
    state: State, messages: Mapping[str, int], told: Mapping[tuple[str, int], int]
) -> Iterator[str]:
    decided = {row["message_id"] for row in state.decisions}
    placed = {row["digest"] for row in state.places}
    # A number used twice keeps its first place, and the audit trail tells of the second.
    reused = [json.loads(r["detail"]) for r in state.audit if r["event"] == "uid_reused"]
    placed |= {detail["digest"] for detail in reused}
    for digest, number in messages.items():
        if number not in decided:
            yield "I3 a message is stored without a decision"
        if told["received", number] + told["retried", number] != 1:
            yield "I3 a message is stored without its audit row"
        if digest not in placed:
            yield "I3 a message is stored without its place"


def _places_whole(state: State, messages: Collection[str]) -> Iterator[str]:
    aside = {row["digest"] for row in state.quarantine if row["digest"]}
    lost = {(r["folder_id"], r["uidvalidity"], r["uid"]) for r in state.quarantine}
    for row in state.places:
        where = (row["folder_id"], row["uidvalidity"], row["uid"])
        digest = row["digest"]
        if digest and digest not in messages and digest not in aside:
            yield "I3 a place is behind us whose message is not stored"
        if not digest and row["outcome"] == "quarantined" and where not in lost:
            yield "I3 a place is behind us as lost, but not in quarantine"


def _acknowledged(state: State, present: Collection[Mail], *, taken_back: bool) -> Iterator[str]:
    for folder in state.folders:
        behind = {
            row["uid"]
            for row in state.places
            if (row["folder_id"], row["uidvalidity"]) == (folder["id"], folder["uidvalidity"])
        }
        reached = folder["uid"] if folder["uid"] is not None else 0
        if any(
            mail.uidvalidity == folder["uidvalidity"]
            and mail.uid <= reached
            and mail.uid not in behind
            for mail in present
        ):
            yield "I3 the cursor is past mail that is not stored"
        if behind and max(behind) > reached and not taken_back:
            yield "I3 mail is stored that the cursor has not reached"


def _audit(state: State) -> Iterator[str]:
    previous, rows = "0" * 64, sorted(state.audit, key=lambda row: row["id"])
    for number, row in enumerate(rows, 1):
        at = row["at"] if isinstance(row["at"], datetime) else datetime.fromisoformat(row["at"])
        told = [
            row["id"], at.astimezone(UTC).isoformat(), row["actor"], row["event"],
            row["case_id"], row["message_id"], row["detail"],
        ]  # fmt: skip
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        seal = hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()
        if row["id"] != number or row["hash"] != seal:
            yield "I7 the audit trail is broken"
            return
        previous = seal
    if any(row["audit_hash"] != previous for row in state.ledger):
        yield "I7 the audit trail ends elsewhere than the ledger says"


def _lost(state: State, present: Iterable[Mail]) -> Iterator[str]:
    stored = {row["digest"] for row in (*state.messages, *state.quarantine)}
    contents = {
        hashlib.sha256(zlib.decompress(bytes(row["content"]))).hexdigest()
        for row in state.raws
        if row["digest"] in stored
    }
    told = {(row["uidvalidity"], row["uid"]) for row in state.places if not row["digest"]}
    for mail in present:
        if mail.digest not in contents and (mail.uidvalidity, mail.uid) not in told:
            yield "I1 a mail is lost"


def _settled(state: State) -> Iterator[str]:
    for row in state.leases:
        if row["owner"]:
            yield "I5 a lease is held though nobody is at work"


def _conserved(state: State) -> Iterator[str]:
    parts = ("queued", "general", "quarantined", "already_known")
    by_run = Counter(row["run_id"] for row in state.messages)
    for row in state.runs:
        if "does not add up" in row["status"] or (
            row["status"] == "done" and row["fetched"] != sum(row[part] for part in parts)
        ):
            yield "I6 a run does not add up"
        if row["status"] == "done" and by_run[row["id"]] != row["queued"] + row["general"]:
            yield "I6 a run has stored other than it counted"


def told(text: str, canaries: Iterable[str]) -> list[str]:
    """Which secrets a log holds (I8)."""
    return ["I8 the log holds words of a mail" for canary in canaries if canary in text]
