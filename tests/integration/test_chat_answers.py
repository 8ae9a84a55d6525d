"""Answers to a live chat: each posted once, by a person's click, into the right conversation."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from outgoing_samples import approve, states
from services.intercom import ADMIN, MORNING, TOKEN, Workspace, a_conversation, a_part, workspace
from services.staffed_page import NO_PASSWORD
from starlette.testclient import TestClient

import pipeline
from review.acting import act, sending_of
from review.delivery import Delivered, deliver
from review.desk import Desk, import_files
from review.serving import review_page
from review.ways_out import carriers
from settings import LivechatSettings, MailSettings, Settings, SourceSettings
from store import Store, open_store
from triage.verdicts import Outgoing, Verdict

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
ASK = "<p>Please cancel HT-218834, she needs ERP for her OCD, which I do not offer.</p>"
TOLD = "<p>I have now talked it through with her: she knows why and agrees to cancel HT-218834.</p>"
WORDS = "Thank you, Marian.\n\nDoes she know? < 48 hours & all that:\nplease tell her first."
FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"


@pytest.fixture
def chat() -> Iterator[Workspace]:
    with workspace() as served:
        yield served


@pytest.fixture
def store(blank_sqlite: Path, tmp_path: Path) -> Iterator[Store]:
    copy = shutil.copy(blank_sqlite, tmp_path / "store.sqlite3")
    with open_store(f"sqlite:///{copy}") as opened:
        yield opened


def settings_for(chat: Workspace, **changes: object) -> Settings:
    own = {"token": TOKEN, "identity_verified": True, "admin_id": ADMIN["id"], **changes}
    return Settings(
        workers=1,
        fast=True,
        sources=(SourceSettings(url=chat.url, allow_plaintext=True),),
        livechat=LivechatSettings(**own),
    )


def an_answer(number: int = 501, part: str = "source-40501", **changes: object) -> Outgoing:
    payload = {
        "to": "",
        "subject": "Re: your message",
        "body": WORDS,
        "in_reply_to": f"<{part}.{number}@livechat.invalid>",
        "references": [f"<{number}@livechat.invalid>"],
    }
    plain = Outgoing("chat", "awaiting_client", f"mail:{number}:awaiting_client:1", payload, NOW)
    return replace(plain, **changes)


def send(store: Store, chat: Workspace, now: datetime = NOW, *, known=None) -> Delivered | None:
    ways = carriers(settings_for(chat), known or set)
    return next(iter(deliver(store, ways, lambda: now)), None)


# --- one answer -----------------------------------------------------------------------------------


def test_an_answer_is_posted_as_the_teammate_word_for_word(store: Store, chat: Workspace) -> None:
    chat.put(a_conversation("501", ASK))
    approve(store, an_answer(), at=NOW)

    report = send(store, chat)

    assert report is not None
    assert report.sent == 1
    assert chat.replies == [
        {"message_type": "comment", "type": "admin", "admin_id": ADMIN["id"], "body": WORDS}
    ]
    assert states(store) == ["sent"]
    assert send(store, chat, LATER) is None


def test_an_answer_whose_own_answer_was_lost_is_not_posted_again(
    store: Store, chat: Workspace
) -> None:
    chat.put(a_conversation("501", ASK))
    chat.posts_lost = 1
    approve(store, an_answer(), at=NOW)

    send(store, chat)
    send(store, chat, LATER)

    assert len(chat.replies) == 1
    assert [row.note for row in store.outbox()] == ["found in the conversation"]


def test_an_answer_that_never_arrived_is_tried_again_after_a_while(
    store: Store, chat: Workspace
) -> None:
    chat.put(a_conversation("501", ASK))
    chat.answers = [0, 0, "hang_up"]
    approve(store, an_answer(), at=NOW)

    send(store, chat)
    send(store, chat, NOW + timedelta(minutes=3))
    too_soon = len(chat.replies)
    send(store, chat, NOW + timedelta(minutes=6))

    assert too_soon == 0
    assert len(chat.replies) == 1
    assert states(store) == ["sent"]


def test_an_answer_that_cannot_be_told_from_another_is_left_to_a_person(
    store: Store, chat: Workspace
) -> None:
    chat.put(a_conversation("501", ASK))
    chat.posts_lost = 1
    chat.on_reply = lambda: chat.conversations["501"]["conversation_parts"]["conversation_parts"][
        -1
    ].update(body="<p>Thank you.</p>")
    approve(store, an_answer(), at=NOW)

    send(store, chat)
    send(store, chat, LATER)

    assert len(chat.replies) == 1
    assert states(store) == ["uncertain"]


@pytest.mark.parametrize("trouble", [429, 500, 503, "cut", "garbage"])
def test_whatever_happens_to_the_line_an_answer_is_there_once(
    store: Store, chat: Workspace, trouble
) -> None:
    chat.put(a_conversation("501", ASK))
    chat.answers = [0, 0, trouble]
    approve(store, an_answer(), at=NOW)

    for hours in range(1, 4):
        send(store, chat, NOW + timedelta(hours=hours))

    assert len(chat.replies) == 1
    assert states(store) == ["sent"]


@pytest.mark.parametrize(
    ("answers", "note"),
    [([0, 404], "refused: HTTP 404"), ([0, 0, 422], "refused: HTTP 422")],
)
def test_an_answer_that_is_refused_for_good_waits_for_a_person(
    store: Store, chat: Workspace, answers, note: str
) -> None:
    chat.put(a_conversation("501", ASK))
    chat.answers = list(answers)
    approve(store, an_answer(), at=NOW)

    send(store, chat)

    [row] = store.outbox()
    assert (row.state, chat.replies) == ("dead", [])
    assert row.note.startswith(note)


def test_an_answer_never_goes_into_a_conversation_that_does_not_hold_the_question(
    store: Store, chat: Workspace
) -> None:
    chat.put(a_conversation("501", ASK))
    approve(store, an_answer(part="source-99999"), at=NOW)

    send(store, chat)

    assert chat.replies == []
    assert [row.state for row in store.outbox()] == ["dead"]


def test_an_answer_waits_until_what_came_meanwhile_has_been_read(
    store: Store, chat: Workspace
) -> None:
    chat.put(a_conversation("501", ASK, a_part("7", "<p>Stop, she agreed!</p>", at=MORNING + 60)))
    approve(store, an_answer(), at=NOW)

    send(store, chat, known=lambda _: set())
    unread = states(store)
    send(store, chat, LATER)

    assert unread == ["waiting"]
    assert len(chat.replies) == 1


def test_words_that_somebody_pasted_by_hand_meanwhile_are_not_posted_again(
    store: Store, chat: Workspace
) -> None:
    by_hand = a_part(
        "8",
        "<p>Thank you, Marian.</p><p>Does she know? &lt; 48 hours &amp; all that: please tell her "
        "first.</p>",
        author=ADMIN,
        at=int(NOW.timestamp()) + 30,
    )
    chat.put(a_conversation("501", ASK, by_hand))
    approve(store, an_answer(), at=NOW)

    send(store, chat)

    assert chat.replies == []
    assert states(store) == ["sent"]


def test_a_deliverer_killed_before_it_could_write_down_that_it_posted(
    chat: Workspace, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'killed.sqlite3'}"
    chat.put(a_conversation("501", ASK))
    with open_store(url) as store:
        approve(store, an_answer(), at=NOW)
    config = tmp_path / "fit-triage.toml"
    config.write_text(
        f'database_url = "{url}"\n[livechat]\nadmin_id = "{ADMIN["id"]}"\n'
        f'[[sources]]\nurl = "{chat.url}"\nallow_plaintext = true\n'
    )
    environment = {**os.environ, "FIT_TRIAGE_LIVECHAT__TOKEN": TOKEN}
    command = [str(FIT_TRIAGE), "--config", str(config), "deliver"]
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    chat.on_reply = lambda: os.kill(first.pid, signal.SIGKILL)

    killed = first.wait(60)
    chat.on_reply = lambda: None
    second = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=60
    )

    with open_store(url) as store:
        [row] = store.outbox()
    assert killed == -signal.SIGKILL
    assert second.returncode == 0, second.stderr
    assert (row.state, row.note) == ("sent", "found in the conversation")
    assert len(chat.replies) == 1


# --- from the chat to a person and back -----------------------------------------------------------


@dataclass
class Here:
    """Reads in this process: what is read is not at issue, and processes take seconds to start."""

    settings: Settings

    def start(self, messages):
        reading = pipeline.Reading(self.settings.parsing(), fast=True)
        found = pipeline.understand(reading, messages)
        return lambda: found


def run(settings: Settings, store: Store, now: datetime = NOW) -> None:
    reports = pipeline.run_sources(settings, settings.sources, store, now, workers=Here(settings))
    assert [report.problem for report in reports if report.failed] == []


def a_registry(store: Store, folder: Path) -> None:
    (folder / "sessions.csv").write_text(
        "session_id,therapist_id,client_id,starts_at,stage,status\n"
        "HT-218834,T-1,C-1,2026-03-05T18:00,initial,confirmed\n"
    )
    (folder / "therapists.csv").write_text(
        "therapist_id,name,emails,delegates,approaches,issues,experience,languages,places,"
        "open_to_new\nT-1,Marian Oldroyd,marian@oldroyd.example,,,,,,,no\n"
    )
    (folder / "clients.csv").write_text(
        "client_id,first_name,last_name,email\nC-1,Imogen,Hart,imogen@hart.example\n"
    )
    names = (folder / f"{name}.csv" for name in ("sessions", "therapists", "clients"))
    import_files(store, *names, NOW)


class Page:
    """The review page with somebody of the staff at it."""

    def __init__(self, settings: Settings, store: Store, now: datetime = NOW) -> None:
        from review.access.door import Door, form_token, hashed, new_secret
        from store.accounts import Session

        door = Door(store, clock=lambda: now)
        page = review_page(Desk(SimpleNamespace()), settings, door, ["testserver"])
        self.client = TestClient(page, follow_redirects=False)
        store.accounts.add("anna", "staff", NO_PASSWORD, by="root", now=now)
        secret, user = new_secret(), store.accounts.named("anna")
        session = Session(user.id, "anna", "staff", now + timedelta(hours=8))
        store.accounts.start_session(hashed(secret), session, now)
        self.client.cookies.set(door.cookie, secret)
        self.csrf = form_token(secret)

    def get(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, **form: object):
        return self.client.post(path, data={"csrf": self.csrf, **form})


def test_a_chat_is_read_shown_answered_by_a_click_and_answered_once(
    store: Store, chat: Workspace, tmp_path: Path
) -> None:
    a_registry(store, tmp_path)
    chat.put(a_conversation("501", ASK))
    settings = settings_for(chat)
    run(settings, store)
    page = Page(settings, store)
    [case] = store.queue()

    queue, shown = page.get("/queues"), page.get(f"/cases/{case.case_id}")
    done = page.post(
        f"/cases/{case.case_id}/send_back", version=case.version, body=WORDS, **{"was:body": ""}
    )
    too_early = deliver(store, carriers(settings, store.known), lambda: NOW)
    deliver(store, carriers(settings, store.known), lambda: NOW + timedelta(minutes=1))
    deliver(store, carriers(settings, store.known), lambda: LATER)

    assert "live chat" in queue
    assert case.decision.state == "awaiting_client"
    assert "Send into the chat" in shown
    assert 'data-copy="body"' in shown
    assert done.status_code == 303
    assert too_early == []
    assert [reply["body"] for reply in chat.replies] == [WORDS]
    assert "live chat: to the therapist" in page.get(f"/cases/{case.case_id}")
    run(settings, store, LATER)
    assert store.counts().messages == 1


def test_within_the_undo_window_nothing_of_an_answer_leaves(
    store: Store, chat: Workspace, tmp_path: Path
) -> None:
    a_registry(store, tmp_path)
    chat.put(a_conversation("501", ASK))
    settings = settings_for(chat)
    run(settings, store)
    page = Page(settings, store)
    [case] = store.queue()
    page.post(f"/cases/{case.case_id}/send_back", version=case.version)

    undone = page.post(f"/cases/{case.case_id}/undo", version=case.version + 1)
    deliver(store, carriers(settings, store.known), lambda: LATER)

    assert undone.status_code == 303
    assert (states(store), chat.replies) == (["taken_back"], [])


def test_where_nothing_is_posted_the_answer_is_there_to_copy(
    store: Store, chat: Workspace, tmp_path: Path
) -> None:
    a_registry(store, tmp_path)
    chat.put(a_conversation("501", ASK))
    settings = settings_for(chat, admin_id="")
    run(settings, store)
    page = Page(settings, store)
    [case] = store.queue()

    shown = page.get(f"/cases/{case.case_id}")
    done = page.post(f"/cases/{case.case_id}/send_back", version=case.version)

    assert "I have put it there" in shown
    assert "Send into the chat" not in shown
    assert done.status_code == 200
    assert "copy the answer there" in done.text
    assert case.decision.draft is not None
    assert case.decision.draft.body.splitlines()[0] in done.text
    assert store.outbox() == []


def test_what_is_to_be_copied_stays_on_the_closed_case(
    store: Store, chat: Workspace, tmp_path: Path
) -> None:
    a_registry(store, tmp_path)
    chat.put(a_conversation("501", ASK, a_part("7", TOLD, at=MORNING + 60)))
    settings = settings_for(chat, admin_id="")
    run(settings, store)
    page = Page(settings, store)
    [case] = store.queue()
    before = page.get(f"/cases/{case.case_id}")

    done = page.post(
        f"/cases/{case.case_id}/approve",
        version=case.version,
        has_letters="1",
        letters="1",
        **{"text:done": "Dear Marian, it is done.", "was:text:done": "Dear Marian"},
    )

    assert 'name="text:done"' in before
    assert "Dear Marian, it is done." in done.text
    assert "Dear Marian, it is done." in page.get(f"/cases/{case.case_id}")
    assert [row.channel for row in store.outbox()] == ["platform", "drafts"]


def test_a_later_message_in_the_chat_that_speaks_against_it_holds_the_answer_back(
    store: Store, chat: Workspace, tmp_path: Path
) -> None:
    a_registry(store, tmp_path)
    chat.put(a_conversation("501", ASK, a_part("7", TOLD, at=MORNING + 60)))
    settings = settings_for(chat)
    run(settings, store)
    [case] = store.queue()
    story = store.case(case.case_id)
    verdict = Verdict(case.case_id, "approve", "anna", NOW)
    acted = act(store, story, verdict, settings.rules(NOW), sending_of(settings))
    stop = "<p>Stop please, do not cancel HT-218834 after all: she wants to keep it.</p>"
    chat.put(
        a_conversation(
            "501", ASK, a_part("7", TOLD, at=MORNING + 60), a_part("9", stop, at=MORNING + 7200)
        )
    )

    waiting = deliver(store, {"chat": carriers(settings, store.known)["chat"]}, lambda: LATER)
    run(settings, store, LATER)
    deliver(store, {"chat": carriers(settings, store.known)["chat"]}, lambda: LATER)

    assert acted.refused is None
    assert [item.channel for item in acted.outgoing] == ["platform", "drafts", "chat"]
    assert [report.later for report in waiting] == [1]
    assert chat.replies == []
    assert {row.channel: row.state for row in store.outbox()} == {
        "platform": "held",
        "drafts": "held",
        "chat": "held",
    }


def test_what_may_be_in_the_chat_and_is_held_up_is_for_a_person_to_find_out(
    store: Store, chat: Workspace, tmp_path: Path
) -> None:
    a_registry(store, tmp_path)
    chat.put(a_conversation("501", ASK, a_part("7", TOLD, at=MORNING + 60)))
    settings = settings_for(chat)
    run(settings, store)
    [case] = store.queue()
    verdict = Verdict(case.case_id, "approve", "anna", NOW)
    act(store, store.case(case.case_id), verdict, settings.rules(NOW), sending_of(settings))
    chat.answers = [0, 0, "hang_up"]
    deliver(store, {"chat": carriers(settings, store.known)["chat"]}, lambda: LATER)
    stop = "<p>Stop please, do not cancel HT-218834 after all: she wants to keep it.</p>"
    chat.put(
        a_conversation(
            "501", ASK, a_part("7", TOLD, at=MORNING + 60), a_part("9", stop, at=MORNING + 7200)
        )
    )

    run(settings, store, LATER)

    assert {row.channel: row.state for row in store.outbox()} == {
        "platform": "held",
        "drafts": "held",
        "chat": "uncertain",
    }


def test_a_mail_that_calls_itself_part_of_a_conversation_is_answered_by_mail(
    store: Store, chat: Workspace, tmp_path: Path
) -> None:
    a_registry(store, tmp_path)
    chat.put(a_conversation("501", "<p>Hello</p>"))
    for part in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / part).mkdir(parents=True)
    (tmp_path / "Maildir" / "new" / "1772440000.1.host").write_bytes(
        b"Authentication-Results: mx.support.example; dmarc=pass header.from=oldroyd.example\r\n"
        b"From: Marian Oldroyd <marian@oldroyd.example>\r\nSubject: HT-218834\r\n"
        b"Message-ID: <source-40501.501@livechat.invalid>\r\n"
        b"Date: Mon, 2 Mar 2026 08:00:00 +0000\r\n\r\n"
        b"Please cancel HT-218834, she needs ERP for her OCD, which I do not offer.\r\n"
    )
    settings = settings_for(chat).model_copy(
        update={
            "sources": (
                SourceSettings(url=chat.url, allow_plaintext=True),
                SourceSettings(url=f"maildir:{tmp_path / 'Maildir'}"),
            ),
            "authserv_id": "mx.support.example",
            "mail": MailSettings(),
        }
    )
    run(settings, store)
    [case] = store.queue()
    verdict = Verdict(case.case_id, "send_back", "anna", NOW)

    acted = act(store, store.case(case.case_id), verdict, settings.rules(NOW), sending_of(settings))

    assert [(one.channel, one.payload["to"]) for one in acted.outgoing] == [
        ("drafts", "marian@oldroyd.example")
    ]
