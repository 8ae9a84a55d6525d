"""Things that are to leave, made the way they are made: by a person's verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count

from store_samples import NOW, email, key, outcome

from store import Store
from triage.verdicts import Outgoing, Verdict

_NUMBERS = count(1000)


def approve(store: Store, *outgoing: Outgoing, at: datetime = NOW) -> int:
    """A new case, approved with *outgoing*; its number."""
    number = next(_NUMBERS)
    with store.batch(now=at) as batch:
        [case_id] = batch.add(key(number), f"d{number}", email(number), [outcome()])
    verdict = Verdict(case_id, "approve", "anna", at)
    store.act(
        verdict, version=1, state="done", request=None, decision=None, outgoing=outgoing, now=at
    )
    return case_id


def cancellation(session_id: str = "1001", **changes: object) -> Outgoing:
    plain = Outgoing(
        channel="platform",
        action="session.cancel",
        key=f"session.cancel:{session_id}",
        payload={"reasons": ["outside_competence"], "initial": True},
        not_before=NOW,
        session_id=session_id,
    )
    return replace(plain, **changes)


def a_letter(number: int = 1, **changes: object) -> Outgoing:
    payload = {
        "to": "ana@practice.example",
        "to_name": "Ana Reid",
        "subject": "Re: Session 1001 – cancelled",
        "body": "Dear Ana,\n\nThe session is cancelled.\n.\nFrom the team – with thanks\n" * 3,
        "in_reply_to": "<1@mail.example>",
        "references": ["<first@mail.example>", "<1@mail.example>"],
    }
    plain = Outgoing("mail", "cancelled", f"mail:{number}:cancelled:1", payload, NOW)
    return replace(plain, **changes)


def states(store: Store) -> Sequence[str]:
    return [row.state for row in store.outbox()]
