"""Two asks in one mail and two cases of one ask, put right by clicks in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from services.staffed_page import ReadSample, Staffed

from review.splitting import reader_of
from store import CaseRow


@pytest.fixture(autouse=True, scope="module")
def reader_is_there(read_sample: ReadSample) -> None:
    """As in a page that has split before: loading the models is no part of what is looked at."""
    reader_of(read_sample.settings)


def is_ready(row: CaseRow) -> bool:
    return row.decision.state == "ready" and row.request.kind == "cancellation"


def unfold(page: Page, words: str) -> None:
    page.locator("summary", has_text=words).click()


def test_a_mail_is_split_by_ticking_its_sentences_and_whole_again_after_an_undo(
    staffed: Staffed,
) -> None:
    case, page = staffed.case(is_ready), staffed.person()
    page.goto(f"/cases/{case.case_id}")
    unfold(page, "This mail holds another ask")
    sentences = page.get_by_role("group", name="Which sentences").get_by_role("checkbox")
    expect(sentences.nth(2)).to_be_visible()

    sentences.nth(1).check()
    page.get_by_role("button", name="Make it a case of its own").click()

    expect(page.locator("#notice")).to_have_text("The other ask is a case of its own.")
    other = page.get_by_role("link", name=re.compile(r"^case \d+$"))
    expect(other).to_have_count(1)
    number = int(other.inner_text().split()[1])
    other.click()
    expect(page.get_by_role("link", name=f"case {case.case_id}")).to_be_visible()

    page.goto(f"/cases/{case.case_id}")
    page.get_by_role("button", name="Undo the last step").click()

    expect(page.locator("#notice")).to_have_text("Taken back.")
    assert staffed.state(case.case_id) == "ready"
    assert staffed.state(number) == "dismissed"
    page.goto(f"/cases/{number}")
    expect(page).to_have_url(re.compile(rf"/cases/{case.case_id}$"))


def test_the_case_of_a_split_is_merged_back_and_leads_to_the_other(staffed: Staffed) -> None:
    case, page = staffed.case(is_ready), staffed.person()
    page.goto(f"/cases/{case.case_id}")
    unfold(page, "This mail holds another ask")
    page.get_by_role("group", name="Which sentences").get_by_role("checkbox").nth(1).check()
    page.get_by_role("button", name="Make it a case of its own").click()
    other = page.get_by_role("link", name=re.compile(r"^case \d+$"))
    number = int(other.inner_text().split()[1])

    other.click()
    unfold(page, "Another case is the same ask")
    page.get_by_label("Or another, by its number").fill(str(case.case_id))
    page.get_by_role("button", name="Merge").click()

    expect(page.locator("#notice")).to_have_text("The two cases are one.")
    expect(page).to_have_url(re.compile(rf"/cases/{case.case_id}\?done=merge$"))
    assert staffed.state(number) == "dismissed"
    assert staffed.state(case.case_id) != "dismissed"
