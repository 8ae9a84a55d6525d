"""What stands in the way of acting on a case: what a person may pass over, how, and what never."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from triage.labels import BLOCKERS
from triage.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Gate:
    """One blocker: whether a person may pass over it by name with a written reason, and why (not).

    ``instead`` is what can be done about it. With ``second_review`` somebody else looks at every
    time it was passed over.
    """

    passable: bool
    why: str
    instead: str
    second_review: bool = False


#: Every blocker, and whether an override may pass it. What says *never* has a way of its own, which
#: takes a look at the matter and not one more click.
GATE: Final[Mapping[str, Gate]] = {
    "urgent_risk": Gate(
        passable=False,
        why="somebody may be in danger, and the safeguarding steps come before any booking",
        instead="follow the safeguarding steps; when the danger is assessed, correct risk with a"
        " written reason",
    ),
    "sender_unverified": Gate(
        passable=False,
        why="nobody knows that it is the therapist who asks",
        instead="send back: the letter asks them to write from the address on their account",
    ),
    "not_session_owner": Gate(
        passable=False,
        why="the session is another therapist's, and only its own therapist may give it up",
        instead="correct session_ids to the one meant, send back, or dismiss",
    ),
    "session_unknown": Gate(
        passable=False,
        why="without a session on record there is nothing to act on",
        instead="correct session_ids to the one meant, or send back to ask for the number",
    ),
    "session_ambiguous": Gate(
        passable=False,
        why="the wrong client might lose a session",
        instead="correct session_ids to the one meant, or send back to ask for the number",
    ),
    "session_past": Gate(
        passable=False,
        why="it is too late to cancel that session",
        instead="note the reason",
    ),
    "client_not_told": Gate(
        passable=True,
        why="rule 1: the client must know before anything is cancelled",
        instead="send back to ask the therapist to tell them",
        second_review=True,
    ),
    "reasons_not_discussed": Gate(
        passable=True,
        why="rule 1: the client must have had the reasons talked through",
        instead="send back to ask the therapist to talk them through",
        second_review=True,
    ),
    "client_disagrees": Gate(
        passable=True,
        why="rule 3: an ending is agreed, not imposed",
        instead="talk to the therapist first",
        second_review=True,
    ),
    "reason_missing": Gate(
        passable=True, why="rule 4: the reason is not given", instead="send back to ask for it"
    ),
    "issues_missing": Gate(
        passable=True,
        why="rule 4: what the client needs help with is not said",
        instead="send back to ask for it",
    ),
    "needs_missing": Gate(
        passable=True,
        why="rule 4: the approach or experience needed is not said",
        instead="send back to ask for it",
    ),
    "low_confidence": Gate(
        passable=True,
        why="the reading is not sure enough to act on unseen",
        instead="read the message and correct, or confirm, the fields in doubt",
    ),
    "contradiction": Gate(
        passable=True,
        why="two things that were said cannot both be so",
        instead="find out which, and correct the field",
    ),
}


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an action is not carried out: the rule, in words what it protects, what can be done."""

    rule: str  # a blocker's code, or a short name
    why: str
    allowed: tuple[str, ...]  # actions or steps, in words

    def __str__(self) -> str:
        allowed = f"; allowed: {', '.join(self.allowed)}" if self.allowed else ""
        return f"refused ({self.rule}): {self.why}{allowed}"


def held_up(
    blockers: Iterable[str], holding: Collection[str], overrides: Collection[str], reason: str
) -> Refused | None:
    """The first of *blockers* that stands in the way of an action held up by *holding*; or None.

    What may not be passed is told before what may.
    """
    unknown = [code for code in overrides if code not in BLOCKERS]
    if unknown:
        why = f"there is no blocker {unknown[0]!r} to pass over"
        return Refused("override", why, BLOCKERS)
    standing = sorted((b for b in blockers if b in holding), key=lambda b: GATE[b].passable)
    for code in standing:
        gate = GATE[code]
        if not gate.passable:
            never = " (no override passes this)" if code in overrides else ""
            return Refused(code, gate.why + never, (gate.instead,))
        if code not in overrides:
            ways = (gate.instead, f"override {code} with a written reason")
            return Refused(code, gate.why, ways)
    if standing and not reason.strip():
        why = f"passing over {', '.join(standing)} needs a written reason"
        return Refused("override", why, ("give a reason",))
    return None


def for_second_review(verdict: Verdict) -> tuple[str, ...]:
    """What *verdict* passed over that somebody else should look at again."""
    return tuple(code for code in verdict.overrides if code in GATE and GATE[code].second_review)
