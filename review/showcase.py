"""What a newcomer should look at first in the demo: one case of each kind that tells something."""

from __future__ import annotations

from collections.abc import Iterator

from store import Store


def worth_a_look(store: Store) -> Iterator[tuple[int, str]]:
    """Case numbers with what they show; what the mailbox has none of is left out."""
    rows = store.queue(include_closed=True)
    threads = (row for row in rows if row.decision.state == "ready" and len(row.message_ids) > 1)
    grown = (row.case_id for row in threads if "awaiting_client" in _states(store, row.case_id))
    found = {
        "safeguarding, on top of everything": (r.case_id for r in rows if r.decision.safeguarding),
        "a thread that went from awaiting_client to ready": grown,
        "a referral with three alternatives": (
            r.case_id
            for r in rows
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
