"""What leaves the system because of an action: effects on the platform, and letters.

Each effect has one key for its session and each client's letter one for its session, so that
whatever is repeated, by whomever, happens once. Nothing here holds what a therapist wrote but the
letter back to that therapist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from triage.chats import place_of
from triage.records import Draft, Session
from triage.verdicts import Channel, Outgoing


@dataclass(frozen=True, slots=True)
class Sending:
    """How letters leave, and for how long anything can be taken back."""

    channel: Channel = "drafts"
    undo: timedelta = timedelta(minutes=10)
    chats: bool = False  # whether answers can be posted into the live chat

    def way_of(self, draft: Draft) -> Channel | None:
        """How *draft* leaves; None where a person has to carry its words to the chat."""
        if draft.to:
            return self.channel
        return "chat" if self.chats and place_of(draft.in_reply_to) else None


def effect(
    action: str, case_id: int, session: Session, not_before: datetime, **more: object
) -> Outgoing:
    """What the booking platform is told; *more* is codes and ids, ready for JSON."""
    payload: Mapping[str, object] = {
        "case_id": case_id,
        "session_id": session.session_id,
        "therapist_id": session.therapist_id,
        "client_id": session.client_id,
        "stage": session.stage,
        **more,
    }
    key = f"{action}:{session.session_id}"
    return Outgoing("platform", action, key, payload, not_before, session.session_id)


def profile_impact(session: Session) -> str:
    """Rule 6: a first session cancelled for fit, or a note in time or late, does no harm."""
    return "none" if session.stage == "initial" else "as usual"


def to_client(draft: Draft, session: Session, channel: Channel, not_before: datetime) -> Outgoing:
    key = f"mail:{draft.template}:{session.session_id}"
    return _mail(draft, key, channel, not_before, session.session_id)


def to_therapist(
    draft: Draft, case_id: int, decision_id: int, channel: Channel, not_before: datetime
) -> Outgoing:
    """One for each decision: the same letter may be right again after a later one."""
    key = f"mail:{case_id}:{draft.template}:{decision_id}"
    return _mail(draft, key, channel, not_before, None)


def _mail(
    draft: Draft, key: str, channel: Channel, not_before: datetime, session_id: str | None
) -> Outgoing:
    payload: Mapping[str, object] = {
        "to": draft.to,
        "subject": draft.subject,
        "body": draft.body,
        "in_reply_to": draft.in_reply_to,
        "references": list(draft.references),
    }
    return Outgoing(channel, draft.template, key, payload, not_before, session_id)


def letters(outgoing: Sequence[Outgoing]) -> list[Outgoing]:
    """Those of *outgoing* that a person reads."""
    return [item for item in outgoing if item.channel != "platform"]
