"""Shadow readings made by hand on what a store holds: quicker than reading with two models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from models.shadow import differences, paired
from store import Store
from store.shadow_rows import Shadowed, ToShadow
from triage.records import Finding, Request, Span
from triage.shadows import Stand

#: What the mail of these readings says, and what nobody without the right to read mail may see.
WORDS = "she knows all about it"
NAME = "Zenobia Quartermain"
SESSION = "HT-777123"


def asked(**changes: object) -> Request:
    """A cancellation whose words are WORDS."""
    found = Finding("client_notification", "informed", Span("new_text", 0, 22, WORDS), "m", 0.9)
    plain = Request(
        kind="cancellation",
        session_ids=(SESSION,),
        client_ref=NAME,
        fit_reasons=("outside_competence",),
        client_notification="informed",
        notification_evidence=WORDS,
        findings=(found,),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def stand(queue: str = "cancellation", state: str = "ready", **changes: object) -> Stand:
    return Stand(asked(**changes), queue, state)


#: Pairs of readings, the one in use first; the worst is last, to be sorted.
READ: Sequence[tuple[Stand, Stand]] = (
    (stand(), stand()),
    (stand(), stand(fit_reasons=("approach_mismatch", "format"))),
    (stand(), stand(client_ref=None, session_ids=())),
    (stand(), stand(state="awaiting_details")),
    (stand(), stand(queue="referral", kind="referral")),
    (stand(risk="urgent"), stand()),
    (stand(), stand(client_notification="unknown", notification_evidence="")),
    (stand(client_notification="planned"), stand(client_notification="discussed")),
)


def shadowed(message: ToShadow, theirs: Stand, ours: Stand, champion: str) -> Shadowed:
    pairs = paired([theirs], [ours])
    known = message.message_id, champion, message.stored_at
    return Shadowed(*known, 0.01, tuple(pairs), tuple(differences(pairs)))


def lay_shadows(store: Store, now: datetime, champion: str, name: str = "next") -> int:
    """Give the newest messages the readings of READ, and one more a failure; the candidate."""
    number = store.shadows.candidate(name, "d" * 64, now)
    wanted = len(READ) + 1
    found = store.shadows.unread(number, champion, share=1, limit=wanted, below=None)
    *some, last = found
    rows = [shadowed(one, *both, champion) for one, both in zip(some, READ, strict=False)]
    failed = Shadowed(last.message_id, champion, last.stored_at, 0.0, problem="killed_reader")
    store.shadows.add(None, number, [*rows, failed], now)
    return number
