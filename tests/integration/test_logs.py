"""The log for machines holds ids, counts and codes, and no word of anybody's."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from outgoing_samples import approve, cancellation
from services.webhook_receiver import webhook_receiver
from store_samples import NOW, SOURCE, email, key, outcome
from typer.testing import CliRunner, Result

import pipeline
from review import logs
from review.commands import app
from review.delivery import deliver
from review.desk import Desk, Engine
from review.webhooks import Endpoint, Webhooks
from store import LeaseLostError, Tally, open_store

ROOT = Path(__file__).parents[2]
CANARIES = ("Patience", "ogunbanjo@practice.example", "panic attacks", "HT-204518")


class Log:
    """What was written on standard error while the log is written as JSON."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._text = capsys, ""

    def text(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Log]:
    logs.write("json")
    yield Log(capsys)
    logs.write("plain")


def test_whatever_is_logged_no_word_gets_in_and_no_line_is_lost_or_added(log: Log) -> None:
    name, address, words, session = CANARIES
    ours, theirs = logging.getLogger("ingest.imap"), logging.getLogger("chatty")
    evil = f'{words}\r\n{{"event": "run_finished"}}\x1b[31m\u202e'

    ours.warning("%s writes: %s", name, evil, extra={"event": "folder_renumbered"})
    ours.info(evil, extra={"event": words})
    for field in logs.FIELDS:
        ours.info("x", extra={"event": "delivered", field: evil})
        ours.info("x", extra={"event": "delivered", field: name})
        ours.info("x", extra={"event": "delivered", field: [name]})
    ours.info(
        "x", extra={"event": "delivered", "subject": words, "sender": address, "uid": session}
    )
    theirs.warning("%s", words)
    theirs.info("never asked for: %s", words)
    logging.getLogger(address).error(words)
    try:
        int(words)
    except ValueError:
        theirs.exception("failed on %s", name)
        ours.exception("failed on %s", name, extra={"event": "bug"})
    logging.getLogger("py.warnings").warning(words)  # as captured
    logs.complain(f"{address}: refused", "source_failed", source=2, error=name)
    thread = threading.Thread(target=lambda: [][len(words)])
    thread.start()
    thread.join()

    text = log.text()
    assert not [canary for canary in CANARIES if canary in text]
    assert "\x1b" not in text
    assert len(log.lines()) == 2 + 3 * len(logs.FIELDS) + 8
    left_out = [line["left_out"] for line in log.lines() if line["event"] == "delivered"]
    assert left_out == [1] * 3 * len(logs.FIELDS) + [3]
    assert [line for line in log.lines() if line["event"] == "bug"][-1]["error"] == "IndexError"


def test_each_field_takes_what_it_is_for(log: Log) -> None:
    good = {
        "run_id": 7, "adds_up": True, "seconds": 0.25, "cause": "bug:ValueError",
        "answer": "HTTP 503", "channel": "platform", "state": "uncertain",
        "problem": "quarantine", "what": "firing", "way": "mail", "error": "LeaseLostError",
        "lease": "0123456789ab", "schema": "0005", "place": "store/rows.py:12",
        "status": "failed", "kind": "sessions",
    }  # fmt: skip
    assert LeaseLostError

    logging.getLogger("review").info("x", extra={"event": "delivered", **good})

    [line] = log.lines()
    assert good.items() <= line.items()
    assert (line["level"], line["logger"], "left_out" in line) == ("info", "review", False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])


def test_all_that_is_told_has_its_event_and_all_events_are_told() -> None:
    told: set[str] = set()
    for package in ("ingest", "models", "review", "settings", "store"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "import logging" in text:
                told |= set(re.findall(r'"event": "(\w+)"', text))
            told |= set(re.findall(r'complain\([^"]*"(\w+)"', text, re.DOTALL))
            if path.name in {"alerts.py", "delivery.py"}:
                told |= set(re.findall(r'"((?:alert|deliver)\w+)" if', text))
                told |= set(re.findall(r'else "((?:alert|deliver)\w+)"', text))

    assert told - set(logs.EVENTS) <= {"type"}
    assert set(logs.EVENTS) - told == {"library"}


def test_what_the_store_does_is_told(log: Log, store_url: str) -> None:
    with open_store(store_url) as store:
        run = store.start_run([SOURCE], NOW)
        with store.batch(now=NOW, run_id=run) as batch:
            batch.add(key(1), "d1", email(1, new_text=CANARIES[2]), [outcome()])
            batch.quarantine(key(2), "d2", "empty")
        store.finish_run(run, Tally(2, queued=1, quarantined=1), NOW + timedelta(seconds=3))
        bad = store.start_run([SOURCE], NOW)
        store.finish_run(bad, Tally(1, queued=1), NOW)
        lease = store.lease("imaps://ana@practice.example INBOX", "here", timedelta(seconds=-1))
        lease._sign.close()  # type: ignore[union-attr]  # as if we had been stopped
        lease._sign = None
        other = store.lease("imaps://ana@practice.example INBOX", "there", timedelta(hours=1))
        with pytest.raises(LeaseLostError):
            lease.renew()
        other.release()

    told = [line for line in log.lines() if line["event"] != "migrated"]
    assert [line["event"] for line in told] == [
        "run_started", "message_quarantined", "run_finished", "run_started", "run_finished",
        "run_does_not_add_up", "lease_taken_over", "lease_lost",
    ]  # fmt: skip
    quarantined, finished, not_stored = told[1], told[2], told[4]
    assert (quarantined["cause"], quarantined["uid"], quarantined["run_id"]) == ("empty", 2, run)
    assert finished["fetched"] == finished["queued"] + finished["quarantined"] == 2
    assert (finished["stored"], finished["adds_up"], finished["seconds"]) == (1, True, 3.0)
    assert (not_stored["stored"], not_stored["adds_up"]) == (0, False)
    assert told[-1]["lease"] == told[-2]["lease"]
    assert "@" not in log.text()
    assert not [line for line in log.lines() if "left_out" in line]


def test_what_leaves_is_told_by_number(log: Log, store_url: str) -> None:
    with open_store(store_url) as store, webhook_receiver() as receiver:
        case_id = approve(store, cancellation("77"))
        receiver.statuses = [503]
        way = Webhooks(Endpoint(receiver.url, (receiver.shared_secret,)))
        for minutes in (1, 10):
            deliver(store, {"platform": way}, lambda m=minutes: NOW + timedelta(minutes=m))

    failed, sent = (line for line in log.lines() if line["event"].startswith("deliver"))
    assert (failed["event"], failed["state"], failed["answer"]) == (
        "delivery_failed", "later", "HTTP 503",
    )  # fmt: skip
    assert (sent["event"], sent["case_id"], sent["attempts"]) == ("delivered", case_id, 2)


# --- as it is typed -------------------------------------------------------------------------------


def typed(*words: str, engine: object = None) -> Result:
    made = engine or Engine(
        pipeline.run_sources, pipeline.explain, pipeline.retry_quarantined, pipeline.reading_workers
    )
    return CliRunner().invoke(app, [*words], obj=Desk(made))  # type: ignore[arg-type]


@pytest.fixture
def mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder with two mails too large to be read, which costs no time."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "Maildir"
    for name in ("new", "cur", "tmp"):
        (folder / name).mkdir(parents=True)
    for number in (1, 2):
        text = f"From: {CANARIES[0]} <{CANARIES[1]}>\n\n{CANARIES[2]} {CANARIES[3]} " * 50
        (folder / "new" / f"100{number}.x.host").write_text(text)
    (tmp_path / "fit-triage.toml").write_text("max_message_bytes = 1000\n")
    yield f"maildir:{folder}"
    logs.write("plain")


def test_a_run_says_in_ids_and_counts_what_it_did(mailbox: str) -> None:
    done = typed("--log", "json", "run", "--source", mailbox, "--source", "maildir:/no/such/box")

    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.exit_code == 1
    assert [line["event"] for line in told] == [
        "migrated", "run_started", *["message_quarantined"] * 2, "run_finished", "source_failed",
    ]  # fmt: skip
    assert (told[0]["schema_before"], told[1]["sources"]) == ("none", 2)
    assert told[2]["cause"] == "oversize"
    assert (told[4]["fetched"], told[4]["quarantined"], told[4]["status"]) == (2, 2, "failed")
    assert told[5]["source"] == 2
    assert not [line for line in told if "left_out" in line]
    assert not [canary for canary in CANARIES if canary in done.stderr]
    assert "fetched 2 = queued 0" in done.stdout  # what is for people stays as it is


def test_unless_asked_for_nothing_is_added_to_what_people_see(mailbox: str) -> None:
    done = typed("run", "--source", mailbox, "--source", "maildir:/no/such/box")

    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("fit-triage: ")


def test_the_settings_may_ask_for_it_and_whoever_types_overrides_them(mailbox: str) -> None:
    Path("fit-triage.toml").write_text("max_message_bytes = 1000\nlog = 'json'\n")

    first = typed("run", "--source", mailbox)
    second = typed("--log", "plain", "run", "--source", mailbox)

    assert json.loads(first.stderr.splitlines()[0])["event"] == "migrated"
    assert second.stderr == ""


def test_a_bug_is_told_by_its_kind_and_place_alone(
    mailbox: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError(CANARIES[1])

    monkeypatch.setattr(sys, "argv", ["fit-triage", "--log", "json", "run", "--source", mailbox])
    from review.commands import command_line

    with pytest.raises(SystemExit) as ended:
        command_line(SimpleNamespace(run=fails))  # type: ignore[arg-type]

    told = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line]
    assert ended.value.code == 1
    assert (told[-1]["event"], told[-1]["error"]) == ("bug", "KeyError")
    assert told[-1]["place"].startswith("review/commands.py:")
    assert CANARIES[1] not in json.dumps(told)
