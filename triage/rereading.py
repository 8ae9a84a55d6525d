"""An open case with what another reader makes of its mails: what would change, and may it.

Both readings are told by the same rules at the same time, so that a difference is the readers' and
never the clock's or the registry's. What a person should see first is left to one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from triage.conversation import Rules, tell_as_one
from triage.records import Decision, Directory, OpenCase, Outcome, Request, request_fields
from triage.regrouping import Told
from triage.splitting import Place
from triage.threads import ENDED

#: Why a case is not decided again, in the order of asking.
Left = Literal["text", "asks", "split", "other_case", "safeguarding", "would_close"]

#: Words of the sender, which another reader may cut elsewhere: no difference by themselves.
_WORDS: Final = frozenset({"notification_evidence"})
_SHOWN: Final = ("queue", "state", "blockers", "deadline", "priority", "safeguarding")


@dataclass(frozen=True, slots=True)
class Again:
    """A case as it stands by the other reader, beside how it stood; ``left`` is why it stays."""

    case: OpenCase
    outcome: Outcome
    before: Decision
    kinds: tuple[str, str]
    changed: tuple[str, ...]  # fields of the request and of the decision
    asks: Mapping[Place, Request]  # those that the other reader read otherwise
    left: Left | None = None


def differing(before: Sequence[Request], after: Sequence[Request]) -> list[str] | None:
    """The fields in which two readings of a mail differ; None where its asks are not as many."""
    if len(before) != len(after):
        return None
    found = (
        name for one, other in zip(before, after, strict=True) for name in _differing(one, other)
    )
    return list(dict.fromkeys(found))


def _differing(one: Request, other: Request) -> list[str]:
    before, after = request_fields(one), request_fields(other)
    return [name for name in before if name not in _WORDS and before[name] != after[name]]


def decided_again(
    told: Told, read: Mapping[int, Sequence[Request]], directory: Directory, rules: Rules
) -> Again | None:
    """A case with the mails in *read* (by number) read otherwise; None where nothing comes of it.

    The mails stay together as they are. Each is given with all its asks, in their order.
    """
    asks = {
        one.place: read[one.place[0]][one.place[1]]
        for one in told.said
        if one.place[0] in read and one.place[1] < len(read[one.place[0]])
    }
    said = [replace(one, request=asks.get(one.place, one.request)) for one in told.said]
    before, _ = tell_as_one(told.said, (), directory, rules)
    outcome, case = tell_as_one(said, (), directory, rules)
    changed = _changed(before, outcome)
    if not changed:
        return None
    case = replace(case, case_id=told.case.case_id)
    kinds = (told.case.request.kind, outcome.request.kind)
    again = Again(case, outcome, told.decision, kinds, changed, asks)
    return replace(again, left=_left(told, again))


def _changed(before: Outcome, after: Outcome) -> tuple[str, ...]:
    one, other = before.decision, after.decision
    decided = [name for name in _SHOWN if getattr(one, name) != getattr(other, name)]
    return tuple(dict.fromkeys([*_differing(before.request, after.request), *decided]))


def _left(told: Told, again: Again) -> Left | None:
    """Why a person should see the case first."""
    now, then = again.case, told.case
    about = ("session_id", "therapist_id", "client_id")
    if told.words:
        return "split"
    if any(getattr(now, name) != getattr(then, name) for name in about):
        return "other_case"
    if told.decision.safeguarding and not again.outcome.decision.safeguarding:
        return "safeguarding"
    if again.outcome.decision.state in ENDED:
        return "would_close"
    return None
