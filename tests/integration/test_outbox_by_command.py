"""`deliver` and `outbox` as operations type them, and deliverers that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from outgoing_samples import a_letter, approve, cancellation, states
from services.smtp_server import smtp_server
from services.webhook_receiver import Receiver, webhook_receiver
from typer.testing import CliRunner, Result

from review.commands import app
from review.desk import Desk
from store import Store, open_store
from triage.verdicts import Outgoing

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"
JUST_NOW = datetime.now(UTC) - timedelta(minutes=5)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as running:
        yield running


@pytest.fixture
def configured(
    monkeypatch: pytest.MonkeyPatch, store_url: str, receiver: Receiver
) -> Iterator[Store]:
    """A store whose platform channel goes to the receiver, for commands typed here."""
    for name, value in environment(store_url, receiver).items():
        monkeypatch.setenv(name, value)
    with open_store(store_url) as store:
        yield store


def environment(url: str, receiver: Receiver) -> dict[str, str]:
    return {
        "FIT_TRIAGE_DATABASE_URL": url,
        "FIT_TRIAGE_OUTBOX__WEBHOOK_URL": receiver.url,
        "FIT_TRIAGE_OUTBOX__ALLOW_LOOPBACK_HTTP": "true",
        "FIT_TRIAGE_OUTBOX__WEBHOOK_SECRETS": receiver.shared_secret,
    }


def typed(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], obj=Desk(None))  # type: ignore[arg-type]


def due(session_id: str) -> Outgoing:
    return cancellation(session_id, not_before=JUST_NOW)


def test_deliver_sends_what_is_due_and_says_so(configured: Store, receiver: Receiver) -> None:
    approve(configured, due("1001"), at=JUST_NOW)

    first, second = typed("deliver", "--json"), typed("deliver")

    assert json.loads(first.stdout)["sent"] == 1
    assert (first.exit_code, second.exit_code, second.stdout) == (0, 0, "nothing is due\n")
    assert len(receiver.effects) == 1


def test_what_is_stuck_is_listed_and_tried_again_on_a_person_s_word(
    configured: Store, receiver: Receiver
) -> None:
    case_id = approve(configured, due("1001"), due("1002"), at=JUST_NOW)
    receiver.statuses = [422, 422]
    typed("deliver")

    listed = [json.loads(line) for line in typed("outbox", "list", "--json").stdout.splitlines()]
    retried = typed("outbox", "retry", listed[0]["id"], "--by", "ben")
    told = typed("outbox", "sent", listed[1]["id"], "--by", "ben")
    typed("deliver")

    assert [(row["state"], row["note"]) for row in listed] == [("dead", "refused: HTTP 422")] * 2
    assert (retried.exit_code, told.exit_code) == (0, 0)
    assert states(configured) == ["sent", "sent"]
    assert [row["data"]["session_id"] for row in receiver.effects.values()] == ["1001"]
    by_hand = [event for event in configured.case(case_id).audit if event.actor == "ben"]
    assert [event.event for event in by_hand] == ["retried", "sent"]


@pytest.mark.usefixtures("configured")
def test_wrong_words_are_named() -> None:
    assert "state 'lost' is unknown" in str(typed("outbox", "list", "--state", "lost").exception)
    assert "say which, by number" in str(typed("outbox", "retry").exception)
    assert "there is no 7 in the outbox" in str(typed("outbox", "sent", "7").exception)
    assert "no folder" in str(typed("outbox", "export", "--to", "nowhere").exception)


def test_what_waits_can_be_written_to_a_file_instead(configured: Store, tmp_path: Path) -> None:
    approve(configured, due("1001"), at=JUST_NOW)

    done = typed("outbox", "export", "--to", tmp_path)

    [file] = tmp_path.glob("outbox-*.jsonl")
    assert str(file) in done.stdout
    assert json.loads(file.read_text())["data"]["session_id"] == "1001"
    assert states(configured) == ["sent"]


def test_health_tells_what_could_not_leave(
    configured: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIT_TRIAGE_MODEL", "0.0.0")  # none: to load one takes its time
    approve(configured, due("1001"), due("1002"), at=JUST_NOW)
    receiver.statuses = [422, 500]
    typed("deliver")

    report = json.loads(typed("health", "--now", "2126-01-01T00:00").stdout)

    assert report["outbox"]["dead"] == report["outbox"]["waiting"] == 1
    assert any("could not leave and are given up" in issue for issue in report["issues"])
    assert any("waits to leave since" in issue for issue in report["issues"])


def test_without_a_way_out_deliver_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, store_url: str
) -> None:
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", store_url)

    assert "outbox.webhook_url" in str(typed("deliver").exception)


# --- killed ---------------------------------------------------------------------------------------


def killed_when(happened: Callable[[], bool], settings: dict[str, str]) -> None:
    """Start a deliverer and kill it -9 as soon as something has happened."""
    process = subprocess.Popen(
        [FIT_TRIAGE, "deliver"],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    waiting = threading.Event()
    while not happened() and process.poll() is None:
        waiting.wait(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def test_a_deliverer_killed_in_mid_request_costs_no_effect_and_makes_no_second(
    configured: Store, receiver: Receiver, store_url: str
) -> None:
    for number in range(3):
        approve(configured, due(str(number)), at=JUST_NOW)
    receiver.trouble, receiver.delay_s = "slow", 3

    killed_when(lambda: bool(receiver.bodies), environment(store_url, receiver))
    receiver.trouble = ""
    interrupted = states(configured)
    typed("deliver")

    assert interrupted == ["sending", "waiting", "waiting"]
    assert states(configured) == ["sent"] * 3
    assert len(receiver.effects) == 3
    assert len(receiver.bodies) == 4
    assert configured.first_broken_audit_row() is None


def test_a_deliverer_killed_between_hand_over_and_answer_leaves_the_doubt_to_a_person(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = threading.Event()
    with smtp_server() as server, open_store(store_url) as store:
        settings = {
            "FIT_TRIAGE_DATABASE_URL": store_url,
            "FIT_TRIAGE_MAIL__SENDER": "Support <support@platform.example>",
            "FIT_TRIAGE_MAIL__SERVER": f"smtp://127.0.0.1:{server.port}",
            "FIT_TRIAGE_MAIL__ALLOW_PLAINTEXT": "true",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        approve(store, a_letter(1, not_before=JUST_NOW), at=JUST_NOW)
        approve(store, a_letter(2, not_before=JUST_NOW), at=JUST_NOW)
        server.at_end = lambda: hold.wait(60)  # the letter is taken, and nobody says so

        killed_when(lambda: bool(server.letters), settings)
        hold.set()
        server.at_end = None
        typed("deliver")

        assert states(store) == ["uncertain", "sent"]
        assert len(server.letters) == 2
        assert len({message["Message-ID"] for message in server.messages}) == 2


def test_a_deliverer_killed_before_the_hand_over_leaves_no_doubt(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with smtp_server() as server, open_store(store_url) as store:
        approve(store, a_letter(1, not_before=JUST_NOW), at=JUST_NOW)
        with store.sending("mail", "killed", timedelta(minutes=1)) as sending:
            sending.take(datetime.now(UTC), domain="platform.example")
        monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", store_url)
        monkeypatch.setenv("FIT_TRIAGE_MAIL__SENDER", "support@platform.example")
        monkeypatch.setenv("FIT_TRIAGE_MAIL__SERVER", f"smtp://127.0.0.1:{server.port}")
        monkeypatch.setenv("FIT_TRIAGE_MAIL__ALLOW_PLAINTEXT", "true")

        typed("deliver")

        assert states(store) == ["sent"]
        assert len(server.letters) == 1
