"""What a team does beyond one case at a time: many at once, side by side, as leads, as admins."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect
from services.staffed_page import Staffed

from store import CaseRow


def is_ready(row: CaseRow) -> bool:
    return row.decision.state == "ready" and row.request.kind == "cancellation"


def is_untold(row: CaseRow) -> bool:
    return row.decision.blockers == ("client_not_told",) and row.request.kind == "cancellation"


def at_case(page: Page, case: CaseRow) -> Page:
    page.goto(f"/cases/{case.case_id}")
    return page


def test_many_cases_are_approved_after_a_preview_that_leaves_out_what_is_held_up(
    staffed: Staffed,
) -> None:
    ready, untold = staffed.case(is_ready), staffed.case(is_untold)
    page = staffed.person()
    page.goto("/queues")

    for case in (ready, untold):
        page.locator(f'input[form="bulk"][value="{case.case_id}"]').check()
    page.get_by_label("With those ticked").select_option("Approve")
    page.get_by_role("button", name="Preview", exact=True).click()
    expect(page.locator("#will-title")).to_have_text("What would happen (1)")
    expect(page.locator("#wont-title")).to_have_text("Held up, and left out (1)")
    assert staffed.state(ready.case_id) == "ready"
    page.get_by_role("button", name="Approve: those ticked").click()
    expect(page.locator(".notice")).to_have_text("1 of 1 done.")
    done = staffed.state(ready.case_id)
    page.get_by_role("button", name="Undo all of it").click()

    expect(page.locator("main table")).to_contain_text("Taken back")
    assert done == "done"
    assert [staffed.state(one.case_id) for one in (ready, untold)] == ["ready", "awaiting_client"]


def test_two_people_on_one_case_see_each_other(staffed: Staffed) -> None:
    case = staffed.case(is_ready)
    anna = at_case(staffed.person("anna"), case)
    expect(anna.locator("[data-people]")).to_be_empty()

    ben = at_case(staffed.person("ben"), case)

    expect(ben.locator("[data-people]")).to_contain_text("anna")


def test_a_filter_is_kept_as_a_view_and_opened_again(staffed: Staffed) -> None:
    page = staffed.person()
    page.goto("/queues?queue=referral")
    page.locator("details.filters summary").click()
    page.get_by_label("State").select_option("Ready")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_label("Filters that are on")).to_contain_text("Ready")

    page.locator("details.views summary").click()
    page.get_by_label("Keep these filters as").fill("Referrals to send")
    page.get_by_role("button", name="Keep").click()
    page.goto("/queues")
    page.locator("details.views summary").click()
    page.get_by_role("link", name="Referrals to send").click()

    expect(page).to_have_url(re.compile("queue=referral"))
    expect(page.locator(".line .state-ready").first).to_be_visible()
    expect(page.locator(".line .state-awaiting_client")).to_have_count(0)


def test_a_mail_with_two_asks_becomes_two_cases_that_can_be_merged_again(staffed: Staffed) -> None:
    case = staffed.case(is_ready)
    page = at_case(staffed.person(), case)
    page.locator("summary", has_text="This mail holds another ask").click()
    split = page.locator('form[action$="/split"]').first

    split.get_by_label(case.session_id).last.check()
    split.get_by_role("button").click()
    expect(page.locator("main")).to_contain_text("The other ask is a case of its own.")
    at_case(page, case).locator("#grouping-title ~ p").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.locator("summary", has_text="Another case is the same ask").click()
    page.locator("#merge-number").fill(str(case.case_id))
    page.locator('form[action$="/merge"]').get_by_role("button").click()

    expect(page.locator("main")).to_contain_text("The two cases are one.")


def test_an_override_gets_its_second_look_from_somebody_else(staffed: Staffed) -> None:
    page = at_case(staffed.person("anna", "lead"), staffed.case(is_untold))
    page.locator("#approve summary", has_text="Override").click()
    page.locator("#approve").get_by_role("checkbox").first.check()
    page.locator("#approve").get_by_label("Why, in writing").fill("She rang us herself.")
    page.get_by_role("button", name="Approve all the same").click()
    expect(page.locator("main")).to_contain_text("Approved.")
    page.goto("/second-looks")
    expect(page.locator(".look")).to_contain_text("You decided this yourself")

    lead = staffed.person("lena", "lead")
    lead.goto("/overview")
    lead.get_by_role("link", name=re.compile("second look")).click()
    lead.get_by_label("In words").fill("Rang her as well: it is so.")
    lead.get_by_role("button", name="It was right").click()

    expect(lead.locator(".set-right")).to_contain_text("It was right, lena")
    expect(lead.locator("#waiting-title")).to_contain_text("0")


def test_a_lead_reads_the_figures_and_takes_them_along(staffed: Staffed) -> None:
    page = staffed.person(role="lead")
    page.goto("/queues")

    page.get_by_role("link", name="Overview").click()
    expect(page.locator("main svg").first).to_be_visible()
    page.get_by_text("The figures as a table").first.click()
    expect(page.get_by_role("table").first).to_be_visible()
    with page.expect_download() as coming:
        page.get_by_role("link", name="CSV").first.click()

    assert coming.value.suggested_filename.endswith(".csv")
    page.get_by_role("link", name="Access log").click()
    expect(page.get_by_role("table")).to_contain_text("overview")


def test_an_admin_lets_somebody_in_who_chooses_their_own_password(staffed: Staffed) -> None:
    admin = staffed.person("root", "admin")
    admin.goto("/users")
    admin.get_by_label("Name").fill("nina")
    admin.get_by_role("button", name="Add and make a link").click()
    link = admin.get_by_label("The link").input_value()

    nina = staffed.visitor().new_page()
    nina.goto(link)
    for field in nina.locator('input[type="password"]').all():
        field.fill("a sentence nobody else would say")
    nina.get_by_role("button").last.click()
    if nina.get_by_label("Name").count():
        nina.get_by_label("Name").fill("nina")
        nina.get_by_label("Password").fill("a sentence nobody else would say")
        nina.keyboard.press("Enter")

    expect(nina.locator(".person")).to_contain_text("nina")
    expect(admin.get_by_role("row", name="nina")).to_contain_text("active")
