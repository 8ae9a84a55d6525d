"""What a person's action on a case means: a table of actions by state, and what each does.

Nothing is stored or sent here. ``carry_out`` takes the case as the person saw it, decides it again
as of now with the same policy, and returns what is to become of it and what is to leave the system;
or why not, and what can be done instead. What may be passed over stands in ``gate.GATE``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from triage.conversation import Rules, judge
from triage.corrections import CorrectionError, checked, corrected
from triage.effects import Sending
from triage.gate import GATE, Refused, held_up
from triage.labels import State
from triage.leaving import (
    UNKNOWN_TO_US,
    approve,
    confirm_guarantee,
    edited,
    note,
    refer,
    send_back,
    to_be_copied,
    to_the_therapist,
)
from triage.records import Directory, Request
from triage.replies import draft_reply
from triage.splitting import went_into
from triage.step import Carried, InHand, Step, closed, refuse
from triage.verdicts import Action, Verdict

__all__ = [
    "CLOSED",
    "MOVES",
    "OPEN",
    "Carried",
    "InHand",
    "Sending",
    "allowed",
    "carry_out",
    "preview",
]

OPEN: Final[frozenset[State]] = frozenset(
    {"ready", "awaiting_client", "awaiting_details", "check", "noted"}
)
CLOSED: Final[frozenset[State]] = frozenset({"done", "withdrawn", "dismissed"})

#: What holds up a note: whose session it is, and what there is to note. The client gate does not.
_NOTING: Final = frozenset(
    {
        "urgent_risk",
        "sender_unverified",
        "not_session_owner",
        "session_unknown",
        "session_ambiguous",
        "reason_missing",
    }
)
_EVERYTHING: Final = frozenset(GATE)
_DANGER: Final = frozenset({"urgent_risk"})
_NOTHING: Final[frozenset[str]] = frozenset()

#: What may be done while a later mail holds up what was to leave; besides taking it back.
_WHILE_HELD: Final[tuple[Action, ...]] = ("release", "assign")
_HELD: Final = Refused(
    "held",
    "a later mail stopped what was to leave: first say what becomes of that",
    ("release, with a written reason", "undo"),
)


@dataclass(frozen=True, slots=True)
class Move:
    """From which states an action may be taken, and which blockers hold it up."""

    states: frozenset[State]
    held_by: frozenset[str]
    does: Callable[[Step], Carried]


def carry_out(
    hand: InHand,
    verdict: Verdict,
    directory: Directory,
    rules: Rules,
    sending: Sending = Sending(),  # noqa: B008 - frozen
) -> Carried:
    """What *verdict* makes of the case in *hand*, as of ``rules.now``.

    Corrections that come with an action are made first. The case is decided again before anything
    is done, so that what was ready yesterday is not carried out after its session has passed.
    """
    refused = _about_the_verdict(hand, verdict)
    if refused:
        return Carried(refused=refused)
    move = MOVES[verdict.action]
    if hand.held and verdict.action not in _WHILE_HELD:
        return Carried(refused=_HELD)
    if hand.case.state not in move.states:
        return Carried(refused=_not_in_this_state(hand, verdict.action))
    try:
        corrections = checked(verdict.corrections)
    except CorrectionError as error:
        return Carried(refused=Refused("correct", str(error), ()))
    asks = max(len(hand.case.asks), 1)
    request = corrected(hand.case.request, corrections, verdict.by, after_asks=asks)
    facts, fresh = judge(hand.email, request, hand.case, directory, rules)
    if refused := held_up(
        fresh.blockers, _holding(move, hand, request), verdict.overrides, verdict.reason
    ):
        return Carried(refused=refused)
    return move.does(Step(hand, verdict, directory, rules, sending, request, facts, fresh))


def allowed(state: State, *, held: bool = False) -> tuple[Action, ...]:
    """The actions that a case in *state* may see, whatever may then hold them up."""
    if held:
        return (*_WHILE_HELD, "undo")
    found = (name for name, move in MOVES.items() if state in move.states)
    return (*(name for name in found if name != "release"), "undo")


def preview(
    hand: InHand,
    directory: Directory,
    rules: Rules,
    sending: Sending = Sending(),  # noqa: B008 - frozen
) -> Carried:
    """What approving the case now would do and send, or why it would be refused."""
    trial = Verdict(hand.case.case_id, "approve", "preview", rules.now)
    return carry_out(hand, trial, directory, rules, sending)


def _holding(move: Move, hand: InHand, request: Request) -> frozenset[str]:
    late = hand.case.state == "noted" or request.kind == "note_reason"
    return _NOTING if move.does is approve and late else move.held_by


def _about_the_verdict(hand: InHand, verdict: Verdict) -> Refused | None:
    if home := went_into(hand.case.request):
        why = f"it went into case {home}"
        return Refused("part_of", why, (f"look at case {home}", "undo, in that case"))
    if verdict.action not in MOVES:
        return Refused("undo", "taking a step back is done where it is stored", ())
    if not verdict.by.strip() or "@" in verdict.by:
        return Refused("by", "an action needs the name of who takes it, not an address", ())
    lowered = hand.case.request.risk == "urgent" and any(
        one.field == "risk" and one.after != "urgent" for one in verdict.corrections
    )
    if lowered and verdict.action != "correct":
        why = "that the danger is past is a decision of its own, not part of another"
        return Refused("urgent_risk", why, ("correct risk with a written reason, then look again",))
    if lowered and not verdict.reason.strip():
        return Refused(
            "urgent_risk", "lowering the risk needs a written reason", ("give a reason",)
        )
    return None


def _not_in_this_state(hand: InHand, action: Action) -> Refused:
    state = hand.case.state
    states = MOVES[action].states
    where = {OPEN: "open", CLOSED: "closed"}.get(states) or " or ".join(sorted(states))
    why = f"{action} is for a case that is {where}; this one is {state}"
    return Refused("state", why, allowed(state))


# --- what stays in the house ---------------------------------------------------------------------


def _correct(step: Step) -> Carried:
    """Set fields right, and decide again; without any, just decide again."""
    return Carried(step.fresh.state, step.request, step.fresh, step.facts)


def _reopen(step: Step) -> Carried:
    """Decided again as of now; what the policy itself closes is a person's to look at."""
    fresh = step.fresh
    said = (*fresh.reasons, f"Reopened by {step.verdict.by}.")
    state: State = "check" if fresh.state in CLOSED else fresh.state
    decision = replace(fresh, state=state, reasons=said)
    return Carried(state, step.request, decision, step.facts)


def _general(step: Step) -> Carried:
    said = [f"Left to the ordinary inbox by {step.verdict.by}."]
    decision = replace(closed(step, "dismissed", said), queue="general")
    return Carried("dismissed", step.request, decision)


def _dismiss(step: Step) -> Carried:
    said = [f"Dismissed by {step.verdict.by}. {step.verdict.reason}".rstrip()]
    return Carried("dismissed", step.request, closed(step, "dismissed", said))


def _withdraw(step: Step) -> Carried:
    said = [f"Taken back for the therapist by {step.verdict.by}."]
    decision = closed(step, "withdrawn", said)
    if UNKNOWN_TO_US & {*step.fresh.blockers} or not step.details.get("letters", True):
        return Carried("withdrawn", step.request, decision)
    answer = draft_reply(step.hand.email, step.request, step.facts, decision, step.rules.wording)
    told = to_the_therapist(step, edited(step, answer)) if answer else Carried()
    done = Carried("withdrawn", step.request, decision, None, told.outgoing, told.remarks)
    return to_be_copied(done, told)


def _snooze(step: Step) -> Carried:
    until = step.details.get("until")
    until = datetime.fromisoformat(until) if isinstance(until, str) else until
    if not isinstance(until, datetime) or until.tzinfo is None or until <= step.rules.now:
        return refuse("until", "say until when: a time to come, with its zone")
    due = step.fresh.deadline
    if due and step.rules.now < due < until:
        return refuse(
            "deadline", "it would sleep through its own deadline", f"until {due.isoformat()}"
        )
    return Carried()


def _assign(step: Step) -> Carried:
    """Give the case to somebody; to "" for nobody."""
    who = step.details.get("assignee")
    if not isinstance(who, str) or "@" in who:
        return refuse("assignee", "name the person it is for, not an address")
    return Carried()


def _elsewhere(step: Step) -> Carried:
    """Of more than this one case: see ``regrouping``."""
    why = f"to {step.verdict.action} cases takes all of them into account"
    return refuse(step.verdict.action, why)


def _release(step: Step) -> Carried:
    """Let what a later mail stopped leave after all; the case is again as it was before."""
    before = step.hand.held
    if before is None:
        return refuse("held", "nothing of this case is held", *allowed(step.hand.case.state))
    if not step.verdict.reason.strip():
        return refuse("held", "a mail came that speaks against it: say why it goes all the same")
    said = f"Released by {step.verdict.by}. {step.verdict.reason}"
    return Carried(before.state, None, replace(before, reasons=(*before.reasons, said)))


#: Actions by the states they may be taken from, the blockers that hold them up, and what they do.
MOVES: Final[Mapping[Action, Move]] = {
    "approve": Move(OPEN, _EVERYTHING, approve),
    "refer": Move(OPEN - {"noted"}, _EVERYTHING, refer),
    "send_back": Move(OPEN, _NOTHING, send_back),
    "note_reason": Move(OPEN, _NOTING, note),
    "correct": Move(OPEN, _NOTHING, _correct),
    "general": Move(OPEN, _DANGER, _general),
    "dismiss": Move(OPEN, _DANGER, _dismiss),
    "withdraw": Move(OPEN, _DANGER, _withdraw),
    "reopen": Move(CLOSED, _NOTHING, _reopen),
    "snooze": Move(OPEN, _DANGER, _snooze),
    "assign": Move(OPEN, _NOTHING, _assign),
    "confirm_guarantee": Move(frozenset({"ready", "done"}), _DANGER, confirm_guarantee),
    "release": Move(OPEN, _NOTHING, _release),
    "split": Move(OPEN, _NOTHING, _elsewhere),
    "merge": Move(OPEN | {"done"}, _NOTHING, _elsewhere),
}
