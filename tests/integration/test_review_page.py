"""The review page as a browser is served it: every page, every action, and what it refuses."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from casework.scenarios import email_from, office, registry, request_from, wording
from guard_standing_in import Guard, Person
from services.postgres import Postgres
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from store_samples import registry_file

from review.access.walls import walled
from review.desk import Desk
from review.web.app import web_app
from settings import Settings
from store import Store, Tally, open_store
from triage.conversation import Rules, hear
from triage.holding import holds
from triage.matter import Thresholds
from triage.records import Attachment, Finding, MessageKey, RawMessage, Span

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \"'>&amp; {{ 7*7 }}"
HTML_MAIL = (
    "<p>Please <b>cancel</b>.</p><script>alert(1)</script><img src='https://evil.example/x.gif'>"
    "<a href='https://evil.example/'>a link</a><form action='/'><input name=a></form>"
    "<style>@import url(https://evil.example/a.css)</style><p style='display:none'>hidden</p>"
)
MAILS: tuple[dict[str, Any], ...] = (
    {"ask": "complete cancellation", "but": {"alternatives_requested": True}},
    {
        "ask": "complete cancellation",
        "but": {
            "session_ids": ["HT-210002"],
            "client_ref": "Sarah Malik",
            "client_notification": "not_informed",
        },
    },
    {
        "ask": "complete cancellation",
        "from": "Ruth",
        "but": {"session_ids": ["HT-330001"], "client_ref": "Priya", "risk": "urgent"},
    },
)
READY, UNTOLD, URGENT = 1, 2, 3


def keep(store: Store, number: int, mail: dict[str, Any]) -> None:
    """A case of *mail*, whose words are hostile and whose bytes hold HTML and an attachment."""
    asked = request_from(mail)
    email = email_from({"now": NOW.replace(tzinfo=None)}, mail, number)
    text = f"I told her on Monday. {HOSTILE}"
    email = replace(
        email, subject=f"Fit {HOSTILE}", new_text=text, quoted_text=f"> {HOSTILE}",
        attachments=(Attachment('q"uestion.html', "text/html", 20),),
    )  # fmt: skip
    told = Span("new_text", 0, 21, text[:21])
    found = Finding("client_notification", asked.client_notification, told, "rule:told", 0.97)
    asked = replace(asked, findings=(*asked.findings, found))
    content = _bytes_of(number)
    digest = hashlib.sha256(content).hexdigest()
    key = MessageKey("maildir:x", "", 1, number)
    store.keep_raw([RawMessage(key, NOW, digest, content)])
    with store.batch(now=NOW) as memory:
        rules = Rules(NOW, office(), Thresholds(), wording())
        memory.add(key, digest, email, hear(email, [asked], memory, rules))


def _bytes_of(number: int) -> bytes:
    message = EmailMessage()
    message["From"], message["Subject"] = "ana@practice.example", f"Fit {number}"
    message.set_content("Please cancel.")
    message.add_alternative(HTML_MAIL, subtype="html")
    message.add_attachment(
        b"<script>alert(3)</script>", maintype="text", subtype="html", filename='q"uestion.html'
    )
    return bytes(message)


def filled(url: str) -> Store:
    known = registry(known=True)

    def row(value: Any) -> dict[str, Any]:
        fields = {name: getattr(value, name) for name in value.__slots__}
        return {**fields, "open_to_new": "yes" if fields.get("open_to_new") else "no"}

    store = open_store(url)
    store.import_registry(
        therapists=registry_file(map(row, known.therapists)),
        clients=registry_file(map(row, known.clients)),
        sessions=registry_file(map(row, known.sessions)),
        now=NOW,
    )
    for number, mail in enumerate(MAILS, start=1):
        keep(store, number, mail)
    return store


class Page:
    """A person at the page."""

    def __init__(self, store: Store, name: str = "anna") -> None:
        self.store, self.retried = store, []
        engine = SimpleNamespace(retry=self._retry)
        app = web_app(
            Desk(engine),  # type: ignore[arg-type]
            store,
            Settings(),
            guard=[Middleware(Guard, person=Person(name, "staff"))],
            clock=lambda: NOW,
        )
        self.client = TestClient(walled(app, hosts=["testserver"]), follow_redirects=False)

    def _retry(self, _settings: object, _store: object, chosen: list[Any], _now: object) -> Tally:
        self.retried += [item.id for item in chosen]
        return Tally(fetched=len(chosen), queued=len(chosen))

    def see(self, address: str) -> str:
        answer = self.client.get(address)
        assert answer.status_code == 200, answer.text
        return answer.text

    def form(self, case: int) -> dict[str, Any]:
        page = self.see(f"/cases/{case}")
        found = {n: re.search(rf'name="{n}" value="([^"]*)"', page) for n in ("csrf", "version")}
        return {name: match[1] for name, match in found.items() if match}

    def does(self, case: int, action: str, **fields: Any) -> Any:
        told = {name.replace("__", ":"): value for name, value in fields.items()}
        return self.client.post(f"/cases/{case}/{action}", data={**self.form(case), **told})

    def state(self, case: int) -> str:
        story = self.store.case(case)
        assert story
        return story.case.decision.state


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with filled(f"sqlite:///{tmp_path / 'page.sqlite3'}") as store:
        yield Page(store)


# --- what is shown --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "/queues",
        "/queues?queue=cancellation&state=ready&due=72&closed=1",
        "/queues?queue=referral",
        "/queues?blocker=client_not_told&assignee=anna",
        "/cases/1",
        "/cases/3",
        "/cases/999",
        "/cases/1/messages/1/html",
        "/cases/1/messages/1/original",
        "/cases/1/messages/1/attachments/0",
        "/queues?state=nonsense",
        "/nowhere",
        "/quarantine",
        "/health",
        "/keys",
        "/static/app.js",
        "/static/app.css",
    ],
)
def test_every_answer_names_what_a_browser_may_load_and_none_fails(
    page: Page, address: str
) -> None:
    answer = page.client.get(address)

    assert answer.status_code < 500
    assert "default-src" in answer.headers["content-security-policy"]
    assert "unsafe-inline" not in answer.headers["content-security-policy"] or "/html" in address
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_danger_stands_above_everything_else(page: Page) -> None:
    shown = page.see("/queues")

    assert shown.index('href="/cases/3"') < shown.index('href="/cases/1"')
    assert "Safeguarding first" in shown


def test_tabs_count_and_filters_leave_out_what_does_not_fit(page: Page) -> None:
    shown = page.see("/queues?blocker=client_not_told&queue=cancellation")

    assert 'Cancellations <span class="count">3</span>' in shown
    assert shown.count('href="/cases/2"') == 1
    assert 'href="/cases/1"' not in shown


def test_search_finds_words_of_a_mail_and_keeps_them_out_of_addresses(page: Page) -> None:
    token = page.form(READY)["csrf"]

    found = page.client.post("/search", data={"csrf": token, "words": "monday HT-210002"})
    nothing = page.client.post("/search", data={"csrf": token, "words": "zebra 100%"})

    assert 'href="/cases/2"' in found.text
    assert 'href="/cases/1"' not in found.text
    assert "words=" not in found.text
    assert "No case holds all of these words" in nothing.text


def test_pages_follow_each_other_without_a_gap(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("review.web.queues.PAGE", 1)
    address, seen = "/queues", []

    while address:
        section = page.see(address).partition('id="list-title"')[2]
        seen += re.findall(r'href="/cases/(\d+)"', section)
        following = re.search(r'href="([^"]*after=[^"]*)"', section)
        address = html.unescape(following[1]) if following else ""

    others = [row.case_id for row in page.store.queue() if not row.decision.safeguarding]
    assert seen == [str(case_id) for case_id in others]


def test_nothing_of_a_hostile_mail_becomes_markup(page: Page) -> None:
    for address in ("/cases/1", "/queues"):
        shown = page.see(address)

        assert "<script>alert" not in shown
        assert "<img" not in shown
        assert "49" not in re.findall(r"\b49\b", shown)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.see("/cases/1")


def test_evidence_is_marked_in_the_text_by_its_kind(page: Page) -> None:
    shown = page.see("/cases/1")

    mark = re.search(r'<mark class="ev ev-told" title="([^"]*)"[^>]*>([^<]*)</mark>', shown)
    assert mark
    assert mark[2] == "I told her on Monday."
    assert "97% sure" in mark[1]


def test_the_checklist_says_what_blocks_and_what_to_do_instead(page: Page) -> None:
    shown = page.see("/cases/2")

    assert "Not met:" in shown
    assert "the client must know before anything is cancelled" in shown
    assert "Approving is held up" in shown
    assert "The reasons were discussed with the client" not in shown  # nobody can say
    assert "The reasons were discussed with the client" in page.see("/cases/1")


def test_html_mail_is_shown_in_a_scriptless_frame_that_loads_nothing(page: Page) -> None:
    assert "<iframe sandbox title" in page.see("/cases/1")

    frame = page.client.get("/cases/1/messages/1/html")

    policy = frame.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "sandbox" in policy
    assert "allow-" not in policy
    assert "<b>cancel</b>" in frame.text
    assert "hidden" in frame.text
    for forbidden in ("script", "evil.example", "<img", "<form", "<input", "href", "@import"):
        assert forbidden not in frame.text


def test_an_attachment_can_only_be_saved_and_who_took_it_is_on_record(page: Page) -> None:
    answer = page.client.get("/cases/1/messages/1/attachments/0")

    assert answer.content == b"<script>alert(3)</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith('attachment; filename="')
    story = page.store.case(1)
    assert story
    assert ("anna", "attachment_taken") in [(e.actor, e.event) for e in story.audit]


def test_a_message_of_another_case_is_not_shown(page: Page) -> None:
    for what in ("html", "original", "attachments/0"):
        assert page.client.get(f"/cases/1/messages/2/{what}").status_code == 404


# --- what people do -------------------------------------------------------------------------------


def test_approving_closes_the_case_and_says_what_leaves(page: Page) -> None:
    answer = page.does(READY, "approve", has_letters="1", letters="1")

    assert answer.status_code in {200, 303}, answer.text
    assert page.state(READY) == "done"
    assert "session.cancel" in {row.action for row in page.store.outbox(case_id=READY)}
    assert "session.cancel" in page.see("/cases/1")


def test_without_letters_only_the_platform_is_told(page: Page) -> None:
    page.does(READY, "approve", has_letters="1")

    assert {row.channel for row in page.store.outbox(case_id=READY)} == {"platform"}


def test_a_letter_goes_in_the_words_a_person_gave_it(page: Page) -> None:
    draft = page.store.case(UNTOLD).case.decision.draft  # type: ignore[union-attr]
    assert draft

    page.does(UNTOLD, "send_back", body="Dear Ana,\r\nplease ring me.\r\n", was__body=draft.body)

    [sent] = page.store.outbox(case_id=UNTOLD)
    assert sent.payload["body"] == "Dear Ana,\nplease ring me."


def test_a_letter_left_as_it_was_goes_as_it_was(page: Page) -> None:
    draft = page.store.case(UNTOLD).case.decision.draft  # type: ignore[union-attr]
    assert draft

    page.does(UNTOLD, "send_back", body=draft.body.replace("\n", "\r\n"), was__body=draft.body)

    assert [row.payload["body"] for row in page.store.outbox()] == [draft.body]


@pytest.mark.parametrize(
    ("action", "fields", "state"),
    [
        ("note_reason", {"reason": "for the record"}, "done"),
        ("general", {}, "dismissed"),
        ("dismiss", {"reason": "twice"}, "dismissed"),
        ("withdraw", {"has_letters": "1"}, "withdrawn"),
        ("assign", {"assignee": "ben"}, "ready"),
        ("snooze", {"until": "2025-11-04T12:00"}, "ready"),
        ("correct", {"field": "kind", "value__kind": "referral"}, None),
        ("refer", {"chooses": "1", "others": "T-9999"}, "ready"),
    ],
)
def test_each_action_is_one_post(page: Page, action: str, fields: dict, state: str | None) -> None:
    answer = page.does(READY, action, **fields)

    assert answer.status_code in ({422} if action == "refer" else {200, 303}), answer.text
    assert state in {None, page.state(READY)}


def test_a_case_is_referred_to_those_who_were_chosen(page: Page) -> None:
    story = page.store.case(READY)
    assert story
    chosen = [one.therapist_id for one in story.case.decision.alternatives][:1]
    assert chosen

    page.does(READY, "refer", chooses="1", alternative=chosen)

    rows = {row.action: row.payload for row in page.store.outbox(case_id=READY)}
    assert rows["client.refer"]["alternatives"] == chosen


def test_what_was_done_can_be_undone_and_what_was_closed_reopened(page: Page) -> None:
    page.does(READY, "dismiss")
    assert page.does(READY, "undo").status_code == 303
    assert page.state(READY) == "ready"

    page.does(READY, "dismiss")
    page.does(READY, "reopen")
    assert page.state(READY) == "ready"


def test_what_a_later_mail_holds_up_is_released_with_a_reason(page: Page) -> None:
    page.does(READY, "approve")
    withdrawn = {"ask": "withdrawal", "but": {"session_ids": ["HT-218834"]}}
    email = email_from({"now": NOW.replace(tzinfo=None)}, withdrawn, 9)
    rules = Rules(NOW, office(), Thresholds(), wording())
    with page.store.batch(now=NOW) as memory:
        outcomes = hear(email, [request_from(withdrawn)], memory, rules)
        leaving = memory.leaving(email, outcomes)
        found = holds(email, outcomes, leaving, memory.directory, rules)
        memory.add(MessageKey("maildir:x", "", 1, 9), "d9", email, outcomes, holds=found)

    seen = page.see(f"/cases/{READY}")
    unsaid = page.does(READY, "release")
    released = page.does(READY, "release", reason="Rang her: it was about another client.")

    assert "A later mail holds this up" in seen
    assert "HELD: a later mail speaks against it" in seen
    assert 'action="/cases/1/approve"' not in seen
    assert (unsaid.status_code, released.status_code) == (422, 303)
    assert page.state(READY) == "done"
    assert "Released: it leaves now." in page.see(f"/cases/{READY}?done=release")


def test_a_field_set_right_shows_what_had_been_read(page: Page) -> None:
    page.does(READY, "correct", field="fit_reasons", value__fit_reasons=["availability"])

    shown = page.see("/cases/1")
    assert "Set right; read as:" in shown
    assert "set by anna" in shown


def test_a_value_that_a_field_cannot_have_is_refused_with_what_was_typed(page: Page) -> None:
    answer = page.does(READY, "correct", field="session_ids", value__session_ids="12 & 34")

    assert answer.status_code == 422
    assert "HT- and six digits" in answer.text
    assert page.store.case(READY).case.version == 1  # type: ignore[union-attr]


def test_the_client_gate_is_passed_by_name_and_with_a_written_reason_only(page: Page) -> None:
    refused = page.does(UNTOLD, "approve")
    wordless = page.does(UNTOLD, "approve", override="client_not_told")
    assert (refused.status_code, wordless.status_code) == (422, 422)
    assert page.state(UNTOLD) != "done"

    page.does(UNTOLD, "approve", override="client_not_told", reason="rang her myself")

    assert page.state(UNTOLD) == "done"
    [deed] = page.store.verdicts(case_id=UNTOLD)
    assert (deed.verdict.overrides, deed.verdict.reason) == (
        ("client_not_told",),
        "rang her myself",
    )


def test_no_override_passes_danger(page: Page) -> None:
    answer = page.does(URGENT, "approve", override="urgent_risk", reason="looks fine")

    assert answer.status_code == 422
    assert page.state(URGENT) == "check"
    assert "Override" not in page.see("/cases/3")


# --- two people, two clicks -----------------------------------------------------------------------


def test_the_second_of_two_people_is_told_who_was_quicker_and_loses_no_words(page: Page) -> None:
    ben = Page(page.store, "ben")
    seen = ben.form(UNTOLD)
    page.does(UNTOLD, "dismiss", reason="twice")

    late = ben.client.post(
        f"/cases/{UNTOLD}/send_back", data={**seen, "body": "My <b>own</b> words", "was:body": "x"}
    )

    assert late.status_code == 409
    assert "Somebody was quicker" in late.text
    assert "anna" in late.text
    assert "My &lt;b&gt;own&lt;/b&gt; words" in late.text
    assert page.store.outbox() == []


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("approve", {}),
        ("dismiss", {"reason": "twice"}),
        ("assign", {"assignee": "anna"}),
        ("snooze", {"until": "2025-11-04T12:00"}),
        ("correct", {"field": "fit_reasons", "value:fit_reasons": ["availability"]}),
    ],
)
def test_a_form_posted_twice_acts_once(page: Page, action: str, fields: dict) -> None:
    form = {**page.form(READY), **fields}

    answers = [page.client.post(f"/cases/{READY}/{action}", data=form) for _ in range(2)]

    assert [answer.status_code for answer in answers] in ([303, 303], [200, 200], [200, 303])
    assert len(page.store.verdicts(case_id=READY)) == 1


def test_undo_posted_twice_takes_one_step_back(page: Page) -> None:
    page.does(READY, "assign", assignee="ben")
    page.does(READY, "dismiss")
    form = page.form(READY)

    answers = [page.client.post(f"/cases/{READY}/undo", data=form) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert page.store.case(READY).case.assignee == "ben"  # type: ignore[union-attr]


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/search", "/cases/1/dismiss", "/quarantine/retry"])
def test_nothing_is_done_without_the_token_of_a_form(page: Page, address: str) -> None:
    answer = page.client.post(address, data={"csrf": "wrong", "version": "1", "id": "1"})

    assert answer.status_code == 403
    assert page.state(READY) == "ready"


@pytest.mark.parametrize("action", [*("approve", "dismiss", "undo", "correct")])
def test_nothing_is_done_by_following_a_link(page: Page, action: str) -> None:
    assert page.client.get(f"/cases/1/{action}").status_code == 405


def test_a_form_that_makes_no_sense_is_refused(page: Page) -> None:
    token = page.form(READY)["csrf"]

    for data, action in (({"version": "x"}, "dismiss"), ({"version": "1"}, "fly")):
        answer = page.client.post(f"/cases/1/{action}", data={"csrf": token, **data})
        assert answer.status_code in {400, 404}
    nowhere = page.client.post("/cases/99/dismiss", data={"csrf": token, "version": "1"})
    assert nowhere.status_code == 404


def test_quarantine_names_causes_and_retries_what_was_chosen(page: Page) -> None:
    with page.store.batch(now=NOW) as memory:
        key = MessageKey("maildir:x", "", 1, 90)
        memory.quarantine(key, "ab" * 32, "too_deep", "")
    assert "too_deep" in page.see("/quarantine")
    token = page.form(READY)["csrf"]

    answer = page.client.post("/quarantine/retry", data={"csrf": token, "cause": "too_deep"})

    assert answer.status_code == 200
    assert len(page.retried) == 1


@pytest.mark.postgres
def test_the_page_works_on_postgresql_as_well(postgres: Postgres) -> None:
    with filled(postgres.database()) as store:
        page = Page(store)
        token = page.form(READY)["csrf"]

        found = page.client.post("/search", data={"csrf": token, "words": "MONDAY ht-210002"})
        page.does(READY, "approve")

        assert 'href="/cases/2"' in found.text
        assert page.state(READY) == "done"
