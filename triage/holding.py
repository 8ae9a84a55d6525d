"""What a person has decided and has not left yet, against a mail that comes meanwhile.

One rule for everything that can come: the mail is put beside the case as it was decided on, and the
case is judged again by the same policy with and without it. Whatever would have stood in the way of
the person's word, had it come before, stops what has not left, until a person has looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from triage.cases import may_mean, merge
from triage.conversation import Rules, judge
from triage.records import NO_ASK, Decision, Directory, Email, OpenCase, Outcome, Request

_DANGER: Final = "A later mail speaks of present danger."
_TAKEN_BACK: Final = "A later mail takes it back."
_UNSURE: Final = "It is not sure what a later mail asks."


@dataclass(frozen=True, slots=True)
class Hold:
    """Why what is still to leave because of a case must wait for a person."""

    case_id: int
    blockers: tuple[str, ...]
    reasons: tuple[str, ...]
    deadline: datetime | None = None

    def __or__(self, other: Hold) -> Hold:
        """Both at once."""
        return Hold(
            self.case_id,
            tuple(dict.fromkeys((*self.blockers, *other.blockers))),
            tuple(dict.fromkeys((*self.reasons, *other.reasons))),
            self.deadline or other.deadline,
        )


def holds(
    email: Email,
    outcomes: Iterable[Outcome],
    leaving: Sequence[OpenCase],
    directory: Directory,
    rules: Rules,
) -> list[Hold]:
    """Those of the cases *leaving*, of which something is still to leave, that a mail stops.

    *outcomes* are what ``conversation.hear`` made of the mail. Nothing of the mail is believed
    here: a stranger who names a session makes a person look, and no more.
    """
    writers = tuple(one.therapist_id for one in directory.therapists_at(email.sender.email))
    own = [one for one in outcomes if one.ask != NO_ASK]
    found: dict[int, Hold] = {}
    for case in leaving:
        client = directory.client(case.client_id) if case.client_id else None
        address = client.email if client else ""
        for outcome in own:
            ask = _as_said(outcome)
            elsewhere = outcome.joined_case_id not in (None, case.case_id)
            if not ask.session_ids and elsewhere:
                continue
            if not may_mean(case, email, ask, writers, address):
                continue
            if hold := _against(email, ask, case, directory, rules):
                found[case.case_id] = found.get(case.case_id, hold) | hold
    return list(found.values())


def held(decision: Decision, hold: Hold, told: Sequence[str] = ()) -> Decision:
    """*decision* while a person has to look: in ``check``, above all that is not urgent itself.

    *told* says what was stopped and what was not, in words.
    """
    urgent = "urgent_risk" in hold.blockers
    return replace(
        decision,
        state="check",
        blockers=hold.blockers,
        deadline=decision.deadline or hold.deadline,
        priority=0 if urgent else 1,
        reasons=(*decision.reasons, *hold.reasons, *told),
        safeguarding=decision.safeguarding or urgent,
        draft=None,
    )


def _as_said(outcome: Outcome) -> Request:
    """The ask as its own mail put it, with the session that it was found to be about."""
    ask = outcome.said or outcome.request
    session = outcome.facts.session
    if session is None or ask.session_ids:
        return ask
    return replace(ask, session_ids=(session.session_id,))


def _against(
    email: Email, ask: Request, case: OpenCase, directory: Directory, rules: Rules
) -> Hold | None:
    if ask.risk == "urgent":
        return Hold(case.case_id, ("urgent_risk",), (_DANGER,))
    if email.automatic:
        return None
    unsure = ask.confidence < rules.certain_from.kind
    if ask.kind == "other":
        return Hold(case.case_id, ("low_confidence",), (_UNSURE,)) if unsure else None
    whole = merge(case, ask)
    _, before = judge(email, case.request, case, directory, rules)
    _, after = judge(email, whole, case, directory, rules)
    blockers = [code for code in after.blockers if code not in before.blockers]
    reasons = [words for words in after.reasons if words not in before.reasons] if blockers else []
    if ask.kind == "withdrawal":
        blockers, reasons = ["contradiction"], [_TAKEN_BACK]
    elif disagreeing := _contradictions(whole) - _contradictions(case.request):
        blockers = [*blockers, "contradiction"]
        reasons = [*reasons, *(f"{words}." for words in sorted(disagreeing))]
    if unsure:
        blockers, reasons = [*blockers, "low_confidence"], [*reasons, _UNSURE]
    if not blockers:
        return None
    once = tuple(dict.fromkeys(blockers)), tuple(dict.fromkeys(reasons))
    return Hold(case.case_id, *once, after.deadline)


def _contradictions(request: Request) -> set[str]:
    return {one.value for one in request.findings if one.label == "contradiction"}
