"""A case in a person's hand, what an action on it may look at, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from triage.conversation import Rules
from triage.effects import Sending
from triage.gate import GATE, Refused
from triage.labels import State
from triage.records import CaseFacts, Decision, Directory, Draft, Email, OpenCase, Request
from triage.verdicts import Outgoing, Verdict


@dataclass(frozen=True, slots=True)
class InHand:
    """A case as a person has it before them.

    ``held`` is given where a later mail stopped what was to leave: how the case stood before.
    """

    case: OpenCase
    email: Email  # the latest of its mails
    decision: Decision  # as the person sees it
    decision_id: int = 0
    held: Decision | None = None
    earlier: tuple[Email, ...] = ()  # all others of its mails


@dataclass(frozen=True, slots=True)
class Carried:
    """What is to become of a case; None leaves that as it is. With ``refused`` nothing is.

    ``remarks`` say what a person should know all the same, such as that nobody could be written to;
    ``to_copy`` are answers that a person has to put into the live chat.
    """

    state: State | None = None
    request: Request | None = None
    decision: Decision | None = None
    facts: CaseFacts | None = None  # where the case was decided again
    outgoing: tuple[Outgoing, ...] = ()
    remarks: tuple[str, ...] = ()
    to_copy: tuple[Draft, ...] = ()
    refused: Refused | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Everything that an action may look at."""

    hand: InHand
    verdict: Verdict
    directory: Directory
    rules: Rules
    sending: Sending
    request: Request  # as corrected
    facts: CaseFacts  # as the registry has them now
    fresh: Decision  # decided again as of now

    @property
    def details(self) -> Mapping[str, Any]:
        return self.verdict.details

    @property
    def not_before(self) -> datetime:
        return self.rules.now + self.sending.undo

    @property
    def noting(self) -> bool:
        """Whether the person saw a case with nothing left to cancel."""
        return self.hand.case.state == "noted" or self.request.kind == "note_reason"


def closed(step: Step, state: State, said: list[str]) -> Decision:
    return replace(
        step.fresh,
        state=state,
        blockers=(),
        deadline=None,
        priority=4 if state == "dismissed" else 3,
        reasons=(*step.fresh.reasons, *said),
        draft=None,
    )


def no_session() -> Carried:
    gate = GATE["session_unknown"]
    return refuse("session_unknown", gate.why, gate.instead)


def refuse(rule: str, why: str, *instead: str) -> Carried:
    return Carried(refused=Refused(rule, why, instead))
