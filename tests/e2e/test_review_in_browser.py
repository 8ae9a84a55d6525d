"""The review page as staff use it: in a real browser, on both databases."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from services.staffed_page import Staffed

from review.access import passwords
from store import CaseRow

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"
PASSWORD = "a sentence nobody else would say"


def is_ready(row: CaseRow) -> bool:
    return row.decision.state == "ready" and row.request.kind == "cancellation"


def is_untold(row: CaseRow) -> bool:
    return row.decision.blockers == ("client_not_told",) and row.request.kind == "cancellation"


def has_three_alternatives(row: CaseRow) -> bool:
    return row.decision.state == "ready" and len(row.decision.alternatives) == 3


def at_case(page: Page, case: CaseRow) -> Page:
    page.goto(f"/cases/{case.case_id}")
    return page


def told(page: Page, words: str) -> None:
    expect(page.locator("#notice")).to_have_text(words)


def form_of(page: Page, action: str) -> Locator:
    return page.locator(f'form[action$="/{action}"]')


def unfold_the_rest(page: Page) -> None:
    page.locator("summary", has_text="Note the reason, put aside").click()


def in_lists(page: Page, case: CaseRow) -> Locator:
    return page.locator(f'.line-link[href="/cases/{case.case_id}"]')


def waiting_outside(staffed: Staffed, case: CaseRow) -> list[str]:
    return [row.action for row in staffed.store.outbox(case_id=case.case_id)]


# --- coming in ------------------------------------------------------------------------------------


def test_the_link_that_the_command_prints_lets_one_person_in_once(
    filled_sqlite: Path, chromium: Browser, tmp_path: Path
) -> None:
    database = tmp_path / "fit-triage.sqlite3"
    database.write_bytes(filled_sqlite.read_bytes())
    environment = {**os.environ, "FIT_TRIAGE_DATABASE_URL": f"sqlite:///{database}"}
    command = [FIT_TRIAGE, "review", "--port", str(_free_port()), "--by", "anna"]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as served:
        try:
            assert served.stdout
            link = served.stdout.readline().removeprefix("Open ").strip()
            page, second = (chromium.new_context().new_page() for _ in range(2))
            _once_it_answers(lambda: page.goto(link))

            page.get_by_role("button", name="Open the review page").click()
            second.goto(link)
            second.get_by_role("button", name="Open the review page").click()

            expect(page.locator(".person")).to_contain_text("anna")
            expect(page.locator(".line").first).to_be_visible()
            expect(second.locator("main")).to_contain_text("This link has been used")
        finally:
            served.send_signal(signal.SIGINT)
            served.wait(20)
            for context in chromium.contexts:
                context.close()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _once_it_answers(visit: Callable[[], object]) -> None:
    from playwright.sync_api import Error

    for _ in range(200):
        with contextlib.suppress(Error):
            visit()
            return
        time.sleep(0.05)  # the link is printed a moment before the page can be had
    visit()


def test_staff_sign_in_by_password_where_they_wanted_to_go_and_sign_out(staffed: Staffed) -> None:
    case = staffed.case(is_ready)
    staffed.store.accounts.add(
        "anna", "staff", passwords.password_hash(PASSWORD), by="root", now=staffed.door.clock()
    )
    page = at_case(staffed.visitor().new_page(), case)

    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill("not this one")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("Name or password is not right.")
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(rf"/cases/{case.case_id}$"))
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    at_case(page, case)
    expect(page).to_have_url(re.compile("/sign-in"))


# --- deciding -------------------------------------------------------------------------------------


def test_a_ready_case_is_approved_leaves_the_queue_and_comes_back_when_undone(
    staffed: Staffed,
) -> None:
    case = staffed.case(is_ready)
    page = staffed.person()
    page.goto("/queues?queue=cancellation&state=ready")
    in_lists(page, case).click()

    page.locator("#approve").get_by_role("button", name="Approve").click()
    told(page, "Approved.")
    approved = staffed.state(case.case_id), waiting_outside(staffed, case)
    page.goto("/queues")
    expect(in_lists(page, case)).to_have_count(0)
    at_case(page, case).get_by_role("button", name="Undo the last step").click()
    told(page, "Taken back.")

    page.goto("/queues")
    expect(in_lists(page, case)).to_have_count(1)
    assert approved[0] == "done"
    assert "session.cancel" in approved[1]
    assert {row.state for row in staffed.store.outbox(case_id=case.case_id)} == {"taken_back"}


def test_a_double_click_approves_once(staffed: Staffed) -> None:
    case = staffed.case(is_ready)
    page = at_case(staffed.person(), case)

    page.locator(".bar").get_by_role("button", name="Approve").dblclick()

    told(page, "Approved.")
    assert len(staffed.store.verdicts(case_id=case.case_id)) == 1
    assert waiting_outside(staffed, case).count("session.cancel") == 1


def test_a_letter_is_sent_back_in_the_words_that_a_person_gave_it(staffed: Staffed) -> None:
    case = staffed.case(is_untold)
    page = at_case(staffed.person(), case)

    letter = page.get_by_label("Letter", exact=True)
    drafted = letter.input_value()
    letter.fill(drafted.replace("Dear", "Hello"))
    page.get_by_role("button", name="Send back").click()

    told(page, "The letter to the therapist is on its way.")
    [sent] = [row.payload["body"] for row in staffed.store.outbox(case_id=case.case_id)]
    assert sent.startswith("Hello")
    assert drafted.startswith("Dear")


def test_the_gate_stops_an_approval_until_somebody_overrides_it_with_a_reason(
    staffed: Staffed,
) -> None:
    case = staffed.case(is_untold)
    page = at_case(staffed.person(), case)
    approve = form_of(page, "approve")

    expect(approve).to_contain_text("Approving is held up: rule 1")
    expect(page.locator(".bar").get_by_role("button", name="Approve")).to_have_count(0)
    approve.locator("summary", has_text="Override").click()
    approve.get_by_role("checkbox").check()
    approve.get_by_role("button", name="Approve all the same").click()
    expect(page.get_by_role("alert")).to_contain_text("needs a written reason")
    assert staffed.state(case.case_id) == "awaiting_client"

    at_case(page, case)
    approve.locator("summary", has_text="Override").click()
    approve.get_by_role("checkbox").check()
    approve.get_by_label("Why, in writing").fill("She rang us herself this morning.")
    approve.get_by_role("button", name="Approve all the same").click()
    expect(page.locator("main")).to_contain_text("Approved.")

    [kept] = staffed.store.verdicts(case_id=case.case_id)
    assert kept.verdict.overrides == ("client_not_told",)
    assert kept.verdict.reason == "She rang us herself this morning."


def test_whom_to_recommend_is_chosen_among_the_alternatives(staffed: Staffed) -> None:
    case = staffed.case(has_three_alternatives)
    first, second, third = (one.therapist_id for one in case.decision.alternatives)
    page = at_case(staffed.person(), case)
    refer = form_of(page, "refer")

    refer.locator(f'[value="{second}"]').uncheck()
    refer.get_by_role("button").last.click()

    expect(page.locator("main")).to_contain_text("Recommended.")
    rows = {row.action: row.payload for row in staffed.store.outbox(case_id=case.case_id)}
    assert rows["client.refer"]["alternatives"] == [first, third]


def test_every_kind_of_field_is_set_right_beside_what_the_model_said(staffed: Staffed) -> None:
    case = staffed.case(is_ready)
    page = at_case(staffed.person(), case)

    def correct(label: str) -> Locator:
        field = page.locator(".field", has=page.locator(f'dt:text-is("{label}")'))
        field.locator("summary").click()
        return field

    boxes = correct("Presenting issues")
    boxes.get_by_role("checkbox").first.set_checked(True)
    boxes.get_by_role("checkbox").last.set_checked(True)
    boxes.get_by_role("button", name="Set right").click()
    told(page, "Corrected; the case was decided again.")
    choice = correct("Initial or ongoing")
    choice.get_by_role("combobox").select_option("Ongoing")
    choice.get_by_role("button", name="Set right").click()
    told(page, "Corrected; the case was decided again.")
    words = correct("Client, as named")
    words.get_by_role("textbox").fill("Jo B")
    words.get_by_role("button", name="Set right").click()

    told(page, "Corrected; the case was decided again.")
    expect(page.locator(".set-right")).to_have_count(3)
    expect(page.locator(".set-right").first).to_contain_text("Set right; read as:")
    expect(page.locator(".fields")).to_contain_text("set by anna")
    assert [one.verdict.action for one in staffed.store.verdicts(case_id=case.case_id)] == (
        ["correct"] * 3
    )


def test_a_case_is_taken_handed_over_and_put_aside(staffed: Staffed) -> None:
    case = staffed.case(is_ready)
    page = at_case(staffed.person(), case)

    page.get_by_role("button", name="Take this case").click()
    told(page, "Assigned.")
    expect(page.locator(".case-head")).to_contain_text("with anna")
    page.get_by_role("button", name="Give it back").click()
    expect(page.locator(".case-head")).not_to_contain_text("with anna")
    unfold_the_rest(page)
    page.get_by_label("Assign to").fill("lena")
    page.get_by_role("button", name="Assign", exact=True).click()
    expect(page.locator(".case-head")).to_contain_text("with lena")
    unfold_the_rest(page)
    page.get_by_label("Put aside until").fill("2026-03-03T15:00")
    page.get_by_role("button", name="Put aside").click()

    told(page, "Put aside.")
    expect(page.locator(".case-head")).to_contain_text("aside until Tue 3 Mar, 15:00")


def test_a_case_is_closed_in_each_way_and_reopened_each_time(staffed: Staffed) -> None:
    case = staffed.case(is_ready)
    page = at_case(staffed.person(), case)
    ways = {
        "Note the reason": ("The reason is noted.", "done"),
        "Not about fit": ("Left to the ordinary inbox.", "dismissed"),
        "Withdraw": ("Withdrawn.", "withdrawn"),
        "Dismiss": ("Dismissed.", "dismissed"),
    }

    for button, (said, state) in ways.items():
        unfold_the_rest(page)
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.locator("main")).to_contain_text(said)
        assert staffed.state(case.case_id) == state
        at_case(page, case)
        page.get_by_role("button", name="Reopen").click()
        told(page, "Reopened.")

    assert staffed.state(case.case_id) not in {"done", "dismissed", "withdrawn"}


def test_the_guarantee_is_confirmed_by_a_person(staffed: Staffed) -> None:
    case = staffed.case(lambda row: is_ready(row) and row.decision.guarantee == "proposed")
    page = at_case(staffed.person(), case)

    page.get_by_role("button", name="Confirm the Guarantee").click()

    expect(page.locator("main")).to_contain_text("The Guarantee is confirmed.")
    assert "guarantee.propose" in waiting_outside(staffed, case)


def test_who_comes_second_is_told_what_changed_and_keeps_their_own_words(staffed: Staffed) -> None:
    case = staffed.case(is_ready)
    anna, ben = (at_case(staffed.person(name), case) for name in ("anna", "ben"))

    anna.locator("#approve").get_by_role("button", name="Approve").click()
    told(anna, "Approved.")
    unfold_the_rest(ben)
    ben.get_by_label("Note the reason: nothing is cancelled").fill("Only noted, I would say.")
    ben.get_by_role("button", name="Note the reason").click()

    expect(ben.get_by_role("heading", level=1)).to_have_text("Somebody was quicker")
    expect(ben.locator("main")).to_contain_text("anna")
    expect(ben.locator(".typed")).to_contain_text("Only noted, I would say.")
    ben.get_by_role("link", name="Look at the case as it is now").click()
    expect(ben.locator(".case-head")).to_contain_text("Done")
    assert len(staffed.store.verdicts(case_id=case.case_id)) == 1


# --- reading --------------------------------------------------------------------------------------


def test_a_message_shows_its_evidence_its_history_its_form_and_its_files(
    staffed: Staffed, tmp_path: Path
) -> None:
    def has(row: CaseRow, part: str) -> bool:
        story = staffed.store.case(row.case_id)
        return bool(story) and any(getattr(one.email, part) for one in story.messages)

    page = at_case(staffed.person(), staffed.case(lambda row: has(row, "quoted_text")))

    mark = page.locator("mark.ev").first
    assert re.search(r"\(\d+% sure\)", mark.get_attribute("title") or "")
    quoted = page.locator("details.quoted").first
    expect(quoted.locator(".mail-text")).to_be_hidden()
    quoted.locator("summary").click()
    expect(quoted.locator(".mail-text")).to_be_visible()
    page.locator("details.formatted summary").first.click()
    framed = page.frame_locator("details.formatted iframe").first
    expect(framed.locator("body")).not_to_be_empty()
    with page.expect_download() as coming:
        page.get_by_role("link", name="Save the original message").first.click()
    coming.value.save_as(tmp_path / "original.eml")
    at_case(page, staffed.case(lambda row: has(row, "attachments")))
    with page.expect_download() as coming:
        page.locator(".attachments a").first.click()
    coming.value.save_as(tmp_path / "attachment")

    assert b"From:" in (tmp_path / "original.eml").read_bytes()
    assert (tmp_path / "attachment").stat().st_size > 0


def test_search_finds_a_case_by_a_name_and_keeps_the_name_out_of_the_address(
    staffed: Staffed,
) -> None:
    case = staffed.case(is_ready)
    page = staffed.person()
    page.goto("/queues")

    page.get_by_role("searchbox").fill(case.session_id)
    page.keyboard.press("Enter")

    expect(in_lists(page, case)).to_have_count(1)
    assert case.session_id not in page.url
    page.get_by_role("searchbox").fill("zebra nobody wrote")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator(".line")).to_have_count(0)


def test_what_could_not_be_read_is_tried_again_and_health_says_how_it_stands(
    staffed: Staffed,
) -> None:
    page = staffed.person()
    page.goto("/health")
    expect(page.locator(".lights").get_by_role("row", name="Quarantined")).to_contain_text("1")

    page.get_by_role("link", name="Quarantine", exact=True).click()
    page.get_by_role("button", name=re.compile("^Retry all")).first.click()

    expect(page.get_by_role("status")).to_be_visible()


# --- without a mouse, without scripts -------------------------------------------------------------


def test_the_whole_job_is_done_by_keys_alone(staffed: Staffed) -> None:
    page = staffed.person()
    page.goto("/queues?queue=cancellation&state=ready")
    press = page.keyboard.press

    press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    press("j")
    press("j")
    press("k")
    expect(page.locator("[data-open]").first).to_be_focused()
    for _ in range(page.locator(".safeguarding .line").count()):
        press("j")
    press("Enter")
    expect(page.locator(".case-head")).to_contain_text("Ready")
    page.wait_for_load_state()  # keys work once the script is there
    number = int(page.url.rpartition("/")[2])
    press("c")
    expect(page.locator("#fields-title")).to_be_focused()
    press("s")
    expect(page.locator("#body")).to_be_focused()
    page.keyboard.type("a?jn/u")  # in a letter, a key is a letter
    expect(page.locator("#body")).to_have_value("a?jn/u")
    press("Tab")
    press("a")
    expect(page.locator("[data-key=a]")).to_be_focused()
    press("Enter")
    told(page, "Approved.")
    page.wait_for_load_state()
    press("z")
    expect(page.get_by_role("button", name="Undo the last step")).to_be_focused()
    press("u")

    expect(page).to_have_url(re.compile(r"/queues\?queue=cancellation"))
    page.wait_for_load_state()
    press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    assert staffed.state(number) == "done"  # z alone takes nothing back


@pytest.mark.parametrize("held", ["Control", "Alt", "Meta"])
def test_keys_with_control_alt_or_meta_are_left_to_the_browser(staffed: Staffed, held: str) -> None:
    page = at_case(staffed.person(), staffed.case(is_ready))
    page.locator("#mails-title").evaluate("e => e.closest('section').focus()")

    for key in "mcz":
        page.keyboard.press(f"{held}+{key}")

    expect(page.locator("section:focus")).to_have_count(1)


def test_without_scripts_a_case_is_approved_all_the_same(staffed: Staffed) -> None:
    case = staffed.case(is_ready)
    page = staffed.person(java_script_enabled=False)
    page.goto("/queues?state=ready")

    in_lists(page, case).click()
    page.locator("#approve").get_by_role("button", name="Approve").click()

    told(page, "Approved.")
    assert staffed.state(case.case_id) == "done"
