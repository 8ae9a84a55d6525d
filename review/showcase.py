"""What a newcomer should look at first in the demo: one case of each kind, and one approval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from store import Store
from triage.effects import Sending

if TYPE_CHECKING:
    from triage.conversation import Rules

GROWN = "a thread that went from awaiting_client to ready"


def worth_a_look(store: Store) -> Iterator[tuple[int, str]]:
    """Case numbers with what they show; what the mailbox has none of is left out."""
    rows = store.queue(include_closed=True)
    threads = sorted(
        (row for row in rows if row.decision.state == "ready" and len(row.message_ids) > 1),
        key=lambda row: row.decision.queue != "cancellation",
    )
    grown = (row.case_id for row in threads if "awaiting_client" in _states(store, row.case_id))
    found = {
        "safeguarding, on top of everything": (r.case_id for r in rows if r.decision.safeguarding),
        GROWN: grown,
        "a referral with three alternatives": (
            r.case_id
            for r in sorted(rows, key=lambda row: row.decision.state != "ready")
            if r.decision.queue == "referral"
            and len(r.decision.alternatives) == 3
            and not r.decision.safeguarding
        ),
        "too late to cancel, its reason noted": (
            r.case_id for r in rows if r.decision.state == "noted"
        ),
    }
    for what, cases in found.items():
        case_id = next(iter(cases), None)
        if case_id is not None:
            yield case_id, what


def _states(store: Store, case_id: int) -> list[str]:
    story = store.case(case_id)
    return [made.decision.state for made in story.decisions] if story else []


def print_approval(
    console: Console, store: Store, case_id: int, rules: Rules, sending: Sending
) -> None:
    """What one click on a case would do and send, letters and all; nothing is done."""
    from review import acting
    from review.case_printing import leaving_lines, print_letters

    story = store.case(case_id)
    if story is None:
        return
    approval = acting.deeds(store, story, rules, sending).approval
    console.print(
        Text(f"What approving case {case_id} would do and send (nothing is done yet)", style="bold")
    )
    for line in leaving_lines(approval.outgoing):
        console.print(Text(f"  - {line}"))
    print_letters(console, approval.outgoing)
