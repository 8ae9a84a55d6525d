"""What people decide about a case, and what leaves the system because of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

#: What a person may do with a case. Only the first four can make something leave the system.
Action = Literal[
    "approve",  # carry out what the case asks: cancel, or note
    "refer",  # recommend the chosen alternatives
    "send_back",  # send the draft to the therapist
    "note_reason",  # put the reason on record, nothing to cancel
    "correct",  # set fields of the request right
    "general",  # not a fit matter: leave it to the ordinary inbox
    "dismiss",
    "withdraw",
    "reopen",
    "snooze",
    "assign",
    "confirm_guarantee",
    "split",  # this mail holds another ask
    "merge",  # another case is the same ask
    "release",  # let leave what a later mail held up
    "undo",
]
#: Where something goes: to the booking platform, as mail over SMTP, into the Drafts folder, or into
#: a live chat as an answer.
Channel = Literal["platform", "mail", "drafts", "chat"]
#: What the booking platform is told; see docs/operations.md for the payloads.
PLATFORM_ACTIONS: Final = ("session.cancel", "session.note", "client.refer", "guarantee.propose")


@dataclass(frozen=True, slots=True)
class Correction:
    """A field of the request that a person set right. Values as ``request_fields`` has them."""

    field: str  # of the guideline, such as "client_notification"
    before: object  # what the model had said
    after: object


@dataclass(frozen=True, slots=True)
class Verdict:
    """One person's decision about one case; stored beside the model's, never over it."""

    case_id: int
    action: Action
    by: str  # user name, never an address
    at: datetime  # aware
    corrections: tuple[Correction, ...] = ()
    reason: str = ""  # written words; an override of a blocker is refused without
    overrides: tuple[str, ...] = ()  # blockers passed over by name
    details: Mapping[str, object] = field(default_factory=dict)  # until, assignee, alternatives, …


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Something that is to leave the system, exactly once for each ``key``."""

    channel: Channel
    action: str  # one of PLATFORM_ACTIONS, or the template's name of a mail
    key: str  # idempotency: "session.cancel:HT-204518", "mail:<case>:<template>:<decision>"
    payload: Mapping[str, object]  # ready for JSON
    not_before: datetime  # aware; until then it can be undone
    session_id: str | None = None
