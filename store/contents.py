"""What each column holds, so that nothing that was said about anybody is forgotten when they are.

Every column that can hold text or bytes stands here; a test walks through the tables and asks for
the others. Erasing goes by this table: rows that hang on a case or a mail go with it, and where a
row stays, its ``words`` are gone through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from sqlalchemy import JSON, Boolean, Column, Float, Integer, LargeBinary, Table

from store.columns import UtcTime
from store.tables import metadata

#: words: of or about people, gone through wherever the row stays.
#: raw: bytes as served; they go, for nobody can take a sentence out of them.
#: derived: made from words by a program; the row goes when those change.
#: person: a name, address or id by which somebody is found; the row goes with them.
#: staff: colleagues, our own mailboxes and machines, and the people we give things to.
#: code: a word of ours, a number, a digest. secret: a key.
Holds = Literal["words", "raw", "derived", "person", "staff", "code", "secret"]

_HELD: Final[Mapping[str, str]] = {
    "access_log": "who:staff role:code kind:code hash:code",
    "access_log_end": "hash:code",
    "alerts": "way:code code:code about:code",
    "audit": "actor:staff event:code detail:code hash:code",
    "bulk_steps": "token:code outcome:code rule:code told:words undone:words",
    "bulks": "token:code by:staff action:code reason:words details:words",
    "cases": "queue:code state:code blockers:code kind:code session_id:person "
    "therapist_id:person client_id:person sender:person guarantee:code",
    "clients": "client_id:person first_name:person last_name:person email:person fingerprint:code",
    "corrections": "field:code before:words after:words",
    "decisions": "reader_version:code request:words facts:words decision:words",
    "entry_links": "id_hash:code name:staff role:code",
    "erasures": "by:staff kind:code reason:code told:code",
    "export_secrets": "secret:secret",
    "exports": "by:staff role:code recipient:staff what:code format:code reason:words "
    "folder:staff files:code manifest_sha256:code",
    "folders": "source:staff folder:staff",
    "invitations": "id_hash:code made_by:staff",
    "leases": "name:staff owner:staff",
    "ledger": "audit_hash:code",
    "marks": "assignee:staff",
    "messages": "digest:code message_id:code sender:words queue:code automatic:code channel:code "
    "subject:words new_text:words quoted_text:words signature:words details:words words:derived",
    "outbox": "key:code channel:code action:code session_id:code payload:words message_id:code "
    "state:code note:code",
    "places": "digest:code outcome:code",
    "presence": "visit:code who:staff writing:code",
    "quarantine": "digest:code cause:code detail:words",
    "raws": "digest:code codec:code content:raw",
    "registry_imports": "kind:code",
    "runs": "status:code sources:staff",
    "saved_views": "owner:staff name:words filters:words",
    "sealing": "salt:code writing:code",
    "sealing_keys": "id:code proof:code",
    "second_looks": "by:staff words:words",
    "session_history": "session_id:person status:code",
    "sessions": "session_id:person therapist_id:person client_id:person stage:code status:code "
    "fingerprint:code",
    "shadow_candidates": "name:staff digest:code problem:code",
    "shadow_readings": "champion:code problem:code pairs:derived differences:derived fields:code",
    "shadow_verdicts": "field:code side:code by:staff words:words",
    "sign_in_failures": "key:code",
    "spent_answers": "state_hash:code",
    "therapist_addresses": "address:person therapist_id:person",
    "therapists": "therapist_id:person name:person lists:person fingerprint:code",
    "tombstone_key": "key:secret",
    "tombstones": "mark:code kind:code",
    "users": "name:staff role:code password_hash:secret issuer:staff subject:staff",
    "verdicts": "key:code action:code by:staff reason:words overrides:code details:words "
    "before:words",
    "web_sessions": "id_hash:code name:staff role:code",
}

#: Tables that hang on a case by its number and by nothing that the database knows of.
LOOSE: Final = ("presence", "bulk_steps", "texts_gone")


def held() -> Iterator[tuple[Table, Column[object], Holds | None]]:
    """Every column that can hold text or bytes, with what it holds; None where nobody has said."""
    for table in metadata.sorted_tables:
        said = dict(one.split(":") for one in _HELD.get(table.name, "").split())
        for column in table.c:
            if _can_hold_words(column):
                yield table, column, said.get(column.name)  # type: ignore[misc]  # a test holds it


def columns_with(kind: Holds) -> dict[Table, list[str]]:
    """The columns that hold *kind*, by table."""
    found: dict[Table, list[str]] = {}
    for table, column, holds in held():
        if holds == kind:
            found.setdefault(table, []).append(column.name)
    return found


def unknown() -> set[str]:
    """Names in the table above that no table has."""
    there = {f"{table.name}.{column.name}" for table, column, _ in held()}
    said = {f"{t}.{one.split(':')[0]}" for t, words in _HELD.items() for one in words.split()}
    return said - there


def _can_hold_words(column: Column[object]) -> bool:
    kind = column.type
    return isinstance(kind, LargeBinary | JSON) or not isinstance(
        kind, Integer | Boolean | Float | UtcTime
    )
