"""The review page as staff use it: in a real browser, on both databases."""

from __future__ import annotations

from playwright.sync_api import expect
from services.staffed_page import Staffed


def test_a_ready_case_is_approved_and_leaves_the_queue(staffed: Staffed) -> None:
    case = staffed.case(lambda row: row.decision.state == "ready")
    page = staffed.person()
    page.goto("/queues?state=ready")

    page.locator(f'a[href="/cases/{case.case_id}"]').click()
    page.get_by_role("button", name="Approve", exact=True).click()

    expect(page.get_by_role("status")).to_have_text("Approved.")
    page.goto("/queues")
    expect(page.locator(f'a[href="/cases/{case.case_id}"]')).to_have_count(0)
    assert staffed.state(case.case_id) == "done"
