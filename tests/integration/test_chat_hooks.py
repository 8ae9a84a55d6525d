"""Webhooks of the live chat: believed when signed, kept until the conversation is retrieved."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from services.intercom import MORNING, TOKEN, Workspace, a_conversation, a_part, workspace
from starlette.testclient import TestClient

from ingest.livechat_hooks import MAX_BYTES
from ingest.sources import Access, open_source
from review.calls import Calls, Hearing
from review.hooks import PATH, served
from review.terminal import SourceReport
from settings import SourceSettings
from store import Store, StoreError, Tally, open_store

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
SECRETS = ("old-client-secret", "client-secret")
ASK = "<p>Please cancel HT-218834 for Imogen, she needs ERP.</p>"
FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"


@pytest.fixture
def store(blank_sqlite: Path, tmp_path: Path) -> Iterator[Store]:
    copy = shutil.copy(blank_sqlite, tmp_path / "store.sqlite3")
    with open_store(f"sqlite:///{copy}") as opened:
        yield opened


@pytest.fixture
def chat() -> Iterator[Workspace]:
    with workspace() as running:
        yield running


def client(store: Store, secrets=SECRETS) -> TestClient:
    return TestClient(served(store, lambda: secrets, lambda: NOW), raise_server_exceptions=False)


def a_webhook(topic: str = "conversation.user.replied", item: object = None) -> bytes:
    about = a_conversation("501", ASK) if item is None else item
    told = {
        "type": "notification_event", "app_id": "abc", "id": "notif_1", "delivery_attempts": 1,
        "topic": topic, "data": {"type": "notification_event_data", "item": about},
    }  # fmt: skip
    return json.dumps(told).encode()


def signed(body: bytes, secret: str = "client-secret") -> dict[str, str]:
    made = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    return {"X-Hub-Signature": f"sha1={made}", "Content-Type": "application/json"}


def waits(store: Store) -> list[int]:
    return sorted(store.chat_calls.waiting())


# --- what is taken --------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("topic", ["conversation.user.created", "conversation.user.replied"])
def test_a_signed_webhook_is_a_note_of_the_conversation(store: Store, secret, topic) -> None:
    body = a_webhook(topic)

    answer = client(store).post(PATH, content=body, headers=signed(body, secret))

    assert (answer.status_code, answer.text) == (200, "")
    assert waits(store) == [501]


def test_a_webhook_repeated_or_replayed_is_one_note(store: Store) -> None:
    body = a_webhook()

    for _ in range(5):
        client(store).post(PATH, content=body, headers=signed(body))

    assert dict(store.chat_calls.waiting()) == {501: 5}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"[]", 400), (b"null", 400), (b"{", 400), (b"[" * 90_000, 400),
        (b'{"topic": 7}', 400),
        (b'{"topic": "ping", "data": {"item": {"type": "ping"}}}', 200),
        (b'{"topic": "conversation.user.replied"}', 200),
        (a_webhook("conversation.admin.closed"), 200),
        (a_webhook(item={"type": "conversation", "id": "../me"}), 200),
        (a_webhook(item={"type": "conversation", "id": "9" * 30}), 200),
        (a_webhook(item=[1]), 200),
    ],
)  # fmt: skip
def test_what_tells_of_no_conversation_leaves_nothing(store: Store, body, status) -> None:
    answer = client(store).post(PATH, content=body, headers=signed(body))

    assert answer.status_code == status
    assert waits(store) == []


@pytest.mark.parametrize(
    "signature",
    ["", "sha1=", "sha1=" + "0" * 40, "sha256=" + "0" * 64, "sha1=" + "\u00e9" * 40, "none"],
)
def test_a_forged_webhook_is_refused_and_leaves_nothing(store: Store, signature: str) -> None:
    headers = {"X-Hub-Signature": signature.encode("latin-1")}

    answer = client(store).post(PATH, content=a_webhook(), headers=headers)

    assert answer.status_code == 401
    assert waits(store) == []


def test_without_secrets_nobody_is_believed(store: Store) -> None:
    body = a_webhook()

    answer = client(store, ()).post(PATH, content=body, headers=signed(body, ""))

    assert answer.status_code == 401


def test_a_body_that_is_too_large_is_not_read_to_its_end(store: Store) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while read < 40 * MAX_BYTES:
            read += 1 << 20
            yield b"x" * (1 << 20)

    huge = b"x" * (MAX_BYTES + 1)
    stated = client(store).post(PATH, content=huge, headers=signed(huge))
    unstated = client(store).post(PATH, content=endless(), headers=signed(b"x"))

    assert (stated.status_code, unstated.status_code) == (413, 413)


def test_a_database_that_cannot_be_used_makes_the_webhook_come_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(store.chat_calls, "hear", refuse)
    body = a_webhook()

    assert client(store).post(PATH, content=body, headers=signed(body)).status_code == 503


def test_the_other_side_finds_out_that_we_are_there_and_nothing_else(store: Store) -> None:
    ours = client(store)

    assert ours.head(PATH).status_code == 200
    assert ours.get(PATH).status_code == 405
    assert {ours.get(path).status_code for path in ("/", "/queues", "/sign-in", "/docs")} == {404}


# --- what becomes of it ---------------------------------------------------------------------------


def retrieved(store: Store, chat: Workspace, known=lambda _: set()) -> list[str]:
    calls = Calls(store, lambda _: Access(password=TOKEN, allow_plaintext=True, backoff_s=0.01))
    spec = SourceSettings(url=chat.url, allow_plaintext=True)
    with open_source(chat.url, calls.access(spec)) as source:
        found = [raw for batch in source.batches(None, known) for raw in batch.messages]
        calls.answered([SourceReport(source.name, Tally())])
    return [raw.content.decode() for raw in found]


def test_a_conversation_that_the_search_does_not_show_yet_is_retrieved_and_the_note_goes(
    store: Store, chat: Workspace
) -> None:
    chat.put(a_conversation("501", ASK), a_conversation("502", "<p>Hello</p>"))
    chat.unlisted = {"501"}
    store.chat_calls.hear(501, NOW)

    found = retrieved(store, chat)

    assert len(found) == 2
    assert waits(store) == []


def test_what_is_called_and_listed_comes_once(store: Store, chat: Workspace) -> None:
    chat.put(a_conversation("501", ASK))
    store.chat_calls.hear(501, NOW)

    found = retrieved(store, chat)

    assert len(found) == 1
    assert chat.asked("/conversations/501") == 1


def test_a_call_for_a_conversation_that_is_gone_is_answered_with_nothing(
    store: Store, chat: Workspace
) -> None:
    store.chat_calls.hear(777, NOW)

    assert retrieved(store, chat) == []
    assert waits(store) == []


def test_a_call_that_comes_while_the_conversation_is_retrieved_stays(store_url: str) -> None:
    with open_store(store_url) as store:
        for conversation in (501, 502):
            store.chat_calls.hear(conversation, NOW)
        seen = store.chat_calls.waiting()
        store.chat_calls.hear(501, NOW + timedelta(seconds=1))

        store.chat_calls.forget(seen)

        assert dict(store.chat_calls.waiting()) == {501: 2}


@pytest.mark.parametrize("problem", ["HTTP 500", "another run is at work here; left to it"])
def test_a_call_stays_until_a_run_has_come_to_its_end(store: Store, problem: str) -> None:
    store.chat_calls.hear(501, NOW)
    calls = Calls(store, lambda _: Access())
    calls.access(SourceSettings(url="livechat+https://api.intercom.io")).called()

    calls.answered([SourceReport("livechat+https://api.intercom.io", Tally(), problem)])
    calls.answered([SourceReport("maildir:x", Tally())])

    assert waits(store) == [501]


def test_whoever_watches_is_woken_once_for_each_call(store: Store) -> None:
    woken: list[int] = []
    hearing = Hearing(store, lambda: woken.append(1))
    store.chat_calls.hear(501, NOW)
    hearing._look()
    hearing._look()
    store.chat_calls.hear(501, NOW)
    hearing._look()

    assert len(woken) == 2


def test_a_webhook_is_answered_within_seconds_by_who_watches_though_its_service_is_killed(
    chat: Workspace, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'killed.sqlite3'}"
    (tmp_path / "secret").write_text("client-secret\n")
    config = tmp_path / "fit-triage.toml"
    config.write_text(
        f'database_url = "{url}"\nfast = true\nworkers = 1\n'
        f'[livechat]\nwebhook_secret_files = ["{tmp_path / "secret"}"]\n'
        f'[[sources]]\nurl = "{chat.url}"\nallow_plaintext = true\n'
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    with open_store(url):
        pass
    with (
        started(config, "livechat", "hooks", "--listen", place) as service,
        started(config, "watch", "--rounds", "2") as watch,
    ):
        try:
            first_look = watch.stdout.readline()
            chat.put(a_conversation("501", ASK, a_part("7", "<p>Any news?</p>", at=MORNING + 60)))
            chat.unlisted = {"501"}
            answer = rung(f"http://{place}{PATH}", a_webhook())
            service.kill()
            said = first_look + watch.communicate(timeout=120)[0] + service.communicate()[0]
        finally:
            service.kill()
            watch.kill()

    assert (answer, watch.returncode) == (200, 0), said
    with open_store(url) as store:
        assert store.counts().messages == 2
        assert waits(store) == []
    assert "Imogen" not in said


def started(config: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "FIT_TRIAGE_LIVECHAT__TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [str(FIT_TRIAGE), "--config", str(config), *arguments],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def rung(address: str, body: bytes) -> int:
    for _ in range(400):
        try:
            return requests.post(address, data=body, headers=signed(body), timeout=5).status_code
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError("the service did not start")
