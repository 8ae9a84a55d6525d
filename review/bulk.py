"""One action on many cases: what it would do to each, each done by itself, all taken back.

Nothing here knows a rule of the platform: each case goes the way of ``review.acting``, decided
again as of now and held up by the same gates. What is left out in bulk stands in ``barred``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from review import acting
from review.acting import Acted
from store import CaseStory, ConflictError, RefusedError, Store
from store.bulks import Bulk, BulkStep, Outcome
from store.stubborn import stubborn
from triage.effects import Sending
from triage.gate import GATE, Refused
from triage.verdicts import Action, Verdict

if TYPE_CHECKING:
    from triage.conversation import Rules

#: What may be done to many at once: nothing that needs words or a choice for each case by itself.
#: Setting fields right, choosing whom to recommend, confirming the Guarantee (rule 5: case by case)
#: and passing over a rule are a person's look at one case.
ACTIONS: Final[tuple[Action, ...]] = (
    "approve", "send_back", "note_reason", "assign", "snooze", "general", "dismiss",
)  # fmt: skip
#: How many at a time: what a person can still read through before they say yes.
MOST: Final = 200

_UNKNOWN: Final = Refused("case", "there is no such case", ())


@dataclass(frozen=True, slots=True)
class Trial:
    """What an action would do to one case; ``story`` is None where there is no such case."""

    case_id: int
    story: CaseStory | None
    acted: Acted


def barred(story: CaseStory) -> Refused | None:
    """Why a case is never acted on together with others."""
    row = story.case
    if row.decision.safeguarding or row.request.risk == "urgent":
        gate = GATE["urgent_risk"]
        return Refused("urgent_risk", f"never in bulk: {gate.why}", (gate.instead,))
    return None


def rehearse(store: Store, bulk: Bulk, rules: Rules, sending: Sending) -> Iterable[Trial]:
    """What *bulk* would do to each of its cases as they are now, with nothing stored."""
    for step in bulk.steps:
        story = store.case(step.case_id)
        if story is None:
            yield Trial(step.case_id, None, Acted("", 0, refused=_UNKNOWN))
            continue
        verdict = _verdict(bulk, step, rules.now)
        refused = barred(story)
        if refused:
            row = story.case
            acted = Acted(row.decision.state, row.version, refused=refused)
        else:
            acted = acting.rehearse(store, story, verdict, rules, sending)
        yield Trial(step.case_id, story, acted)


def carry_out(store: Store, bulk: Bulk, rules: Callable[[], Rules], sending: Sending) -> None:
    """Do to each case what *bulk* asks for, where nothing came of it yet.

    *bulk* is as ``Bulks.begin`` gave it. Each case is a transaction of its own; where this stops in
    the middle, the same again goes on from there, and no case is acted on twice.
    """
    for step in bulk.steps:
        if not step.outcome:
            stubborn(partial(_settle, store, bulk, step, rules, sending))


def take_back(store: Store, bulk: Bulk, by: str, now: datetime) -> None:
    """Undo all of *bulk* that can still be undone, the last case first; why not is kept."""
    for step in reversed(bulk.steps):
        if step.outcome == "done" and step.undone != "undone":
            store.bulks.undone(bulk.token, [replace(step, undone=_undone(store, step, by, now))])


def _settle(
    store: Store, bulk: Bulk, step: BulkStep, rules: Callable[[], Rules], sending: Sending
) -> None:
    store.bulks.settle(bulk.token, _done(store, bulk, step, rules(), sending))


def _done(store: Store, bulk: Bulk, step: BulkStep, rules: Rules, sending: Sending) -> BulkStep:
    story = store.case(step.case_id)
    if story is None:
        return _refused(step, _UNKNOWN)
    refused = barred(story) if story.case.version == step.version else None
    if refused:
        return _refused(step, refused)
    verdict = _verdict(bulk, step, rules.now)
    acted = acting.act(store, story, verdict, rules, sending, version=step.version)
    if acted.refused:
        return _refused(step, acted.refused)
    before = [f"Left before, and not again: {key}" for key in acted.sent_before]
    return replace(
        step,
        outcome="done",
        told=(*acted.remarks, *before),
        new_version=acted.version,
        undo_until=min((item.not_before for item in acted.outgoing), default=None),
    )


def _refused(step: BulkStep, refused: Refused) -> BulkStep:
    outcome: Outcome = "changed" if refused.rule == "version" else "refused"
    return replace(step, outcome=outcome, rule=refused.rule, told=(refused.why, *refused.allowed))


def _verdict(bulk: Bulk, step: BulkStep, now: datetime) -> Verdict:
    """No override, no correction: those are a person's look at one case."""
    return Verdict(
        step.case_id, bulk.action, bulk.by, now, reason=bulk.reason, details=bulk.details
    )


def _undone(store: Store, step: BulkStep, by: str, now: datetime) -> str:
    """What becomes of ``BulkStep.undone``."""
    try:
        store.undo(step.case_id, by, now, version=step.new_version)
    except ConflictError as error:
        mine = (error.action, error.version) == ("undo", (step.new_version or 0) + 1)
        return "undone" if mine else str(error)
    except RefusedError as error:
        return str(error)
    return "undone"
