"""`fit-triage alerts`: each problem told once, by real ways, whatever happens in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from services.smtp_server import smtp_server
from services.webhook_receiver import webhook_receiver
from store_samples import NOW, SOURCE, email, key, outcome, registry_file, session
from typer.testing import CliRunner, Result

from review.alert_ways import Event, ways_of
from review.alerts import tell
from review.commands import app
from review.desk import Desk
from settings import Settings, SettingsError
from settings.upkeep import AlertSettings, BackupSettings
from store import Store, Tally, open_store
from store.alerts import Alert

#: A program of operations' own: it keeps what it is told, and fails while a file says so.
PROGRAM = """\
import os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
with (folder / "told.jsonl").open("a") as file:
    file.write(sys.stdin.read())
(folder / "environment").write_text(" ".join(os.environ))
sys.exit((folder / "fails").exists())
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("review.health.model_in_use", lambda _: ("made-up", ""))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """All is well: a run an hour ago, a registry of today."""
    with open_store(store_url) as opened:
        ran = NOW - timedelta(hours=1)
        opened.finish_run(opened.start_run([SOURCE], ran), Tally(), ran)
        opened.import_registry(sessions=registry_file([session()]), now=NOW)
        yield opened


def command_in(folder: Path) -> tuple[str, ...]:
    program = folder / "pager.py"
    program.write_text(PROGRAM)
    return (sys.executable, str(program), str(folder))


def told(folder: Path) -> list[dict[str, Any]]:
    file = folder / "told.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def looked(store: Store, settings: Settings, minutes: float) -> list[str]:
    found = tell(store, settings, ways_of(settings), NOW + timedelta(minutes=minutes))
    return [f"{one.what} {one.code}{f' ({one.problem})' if one.problem else ''}" for one in found]


def test_a_program_is_told_once_and_once_more_when_it_is_over(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIT_TRIAGE_IMAP_PASSWORD", "hunter2")
    settings = Settings(alerts=AlertSettings(command=command_in(tmp_path), calm_minutes=10))
    assert looked(store, settings, 0) == []
    with store.batch(now=NOW) as batch:
        batch.quarantine(key(1), "d1", "empty")

    early, due, again = (looked(store, settings, minutes) for minutes in (1, 17, 30))
    assert (early, due, again) == ([], ["firing quarantine"], [])
    [first] = told(tmp_path)
    assert first["type"] == "alert.firing"
    assert first["data"]["alert"] == "FitTriageQuarantine"
    assert first["data"]["runbook"] == "docs/operations.md#mail-in-quarantine"
    assert "FIT_TRIAGE_IMAP_PASSWORD" not in (tmp_path / "environment").read_text()

    with store.batch(now=NOW, actor="retry") as batch:
        batch.add(key(1), "d1", email(1), [outcome()])
    assert [looked(store, settings, minutes) for minutes in (40, 45, 50, 55)] == [
        [], [], ["recovered quarantine"], []
    ]  # fmt: skip
    assert [event["type"] for event in told(tmp_path)] == ["alert.firing", "alert.recovered"]
    assert told(tmp_path)[-1]["data"]["lasted_seconds"] == 39 * 60
    assert store.alerts.standing() == []


def test_a_way_that_fails_is_tried_again_and_holds_up_no_other(
    store: Store, tmp_path: Path
) -> None:
    with webhook_receiver() as receiver:
        settings = Settings(
            alerts=AlertSettings(
                command=command_in(tmp_path),
                webhook_url=receiver.url,
                webhook_secrets=receiver.shared_secret,
                allow_loopback_http=True,
            ),
            backup=BackupSettings(folder=tmp_path),
        )
        receiver.statuses = [503]
        first, second, third = (looked(store, settings, minutes) for minutes in (0, 5, 10))

    assert first == ["firing backup_old", "firing backup_old (HTTP 503)"]
    assert (second, third) == (["firing backup_old"], [])
    assert len(told(tmp_path)) == 1
    assert receiver.forged == 0
    assert len(receiver.effects) == 1
    assert len({headers["webhook-id"] for headers in receiver.headers}) == 1


def test_mail_goes_to_each_address_and_nobody_answers_it(store: Store, tmp_path: Path) -> None:
    with smtp_server() as server:
        settings = Settings(
            alerts=AlertSettings(mail_to="ops@clinic.example lead@clinic.example"),
            backup=BackupSettings(folder=tmp_path),
            mail={
                "sender": "fit-triage <support@clinic.example>",
                "server": f"smtp://127.0.0.1:{server.port}",
                "allow_plaintext": True,
            },
        )
        server.answers["RCPT"] = "450 later"
        failed = looked(store, settings, 0)
        del server.answers["RCPT"]
        went, over = (looked(store, settings, minutes) for minutes in (5, 10))

    assert failed == ["firing backup_old (SMTP 450)"] * 2
    assert (went, over) == (["firing backup_old"] * 2, [])
    assert server.tos == ["ops@clinic.example", "lead@clinic.example"]
    letter = message_from_bytes(server.letters[0], policy=policy.default)
    assert letter["Subject"] == "fit-triage: backup_old needs a person"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert "docs/operations.md#the-last-backup-is-old" in letter.get_content()
    assert len({message_from_bytes(one)["Message-ID"] for one in server.letters}) == 2


@pytest.mark.usefixtures("store")
def test_of_several_machines_one_tells(store_url: str, tmp_path: Path) -> None:
    settings = Settings(
        alerts=AlertSettings(command=command_in(tmp_path)), backup=BackupSettings(folder=tmp_path)
    )
    start = threading.Barrier(4)

    def machine() -> None:
        with open_store(store_url) as own:
            start.wait(30)
            for minutes in range(3):
                looked(own, settings, minutes)

    threads = [threading.Thread(target=machine) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [event["data"]["code"] for event in told(tmp_path)] == ["backup_old"]


def test_who_is_killed_after_telling_tells_again_under_the_same_id(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    settings = Settings(
        alerts=AlertSettings(command=command_in(tmp_path)), backup=BackupSettings(folder=tmp_path)
    )
    child = os.fork()
    if child == 0:  # it dies between telling and recording
        with open_store(store_url) as own:
            keep = own.alerts.keep
            own.alerts.keep = (  # type: ignore[method-assign]
                lambda lease, alert: os._exit(9) if alert.told else keep(lease, alert)
            )
            looked(own, settings, 0)
        os._exit(0)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 9
    assert looked(store, settings, 1) == ["firing backup_old"]
    assert looked(store, settings, 2) == []
    first, second = told(tmp_path)
    assert first["id"] == second["id"]


def test_what_a_way_was_told_is_forgotten_with_the_way(store: Store, tmp_path: Path) -> None:
    folder = BackupSettings(folder=tmp_path)
    one = Settings(alerts=AlertSettings(command=command_in(tmp_path)), backup=folder)
    looked(store, one, 0)
    other = Settings(alerts=AlertSettings(command=("true",)), backup=folder)

    class Elsewhere:
        name = "elsewhere"

        def tell(self, _: Event) -> str:
            return ""

    tell(store, other, [Elsewhere()], NOW + timedelta(minutes=5))

    assert [(alert.way, alert.code) for alert in store.alerts.standing()] == [
        ("elsewhere", "backup_old")
    ]


# --- as it is typed -------------------------------------------------------------------------------


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, ["alerts", *words], obj=Desk(None))  # type: ignore[arg-type]


def configured(folder: Path, url: str) -> None:
    words = json.dumps(list(command_in(folder)))
    (folder / "fit-triage.toml").write_text(
        f'database_url = "{url}"\n[alerts]\ncommand = {words}\ncalm_minutes = 0\n'
    )


def test_without_anybody_to_tell_the_command_says_what_to_set() -> None:
    assert isinstance(typed().exception, SettingsError)


def test_a_test_reaches_everybody_and_stands_nowhere(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    configured(tmp_path, store_url)

    done = typed("--test")

    assert done.exit_code == 0, done.output
    [event] = told(tmp_path)
    assert event["type"] == "alert.test"
    assert store.alerts.standing() == []


def test_a_database_that_cannot_be_asked_is_told_once_and_that_it_can_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    configured(tmp_path, f"sqlite:///{home}/mail.sqlite3")
    start = datetime.now(UTC)

    def at(minutes: float) -> int:
        return typed("--now", (start + timedelta(minutes=minutes)).isoformat()).exit_code

    codes = [at(minutes) for minutes in (0, 4, 6, 30)]
    unreachable = [event["type"] for event in told(tmp_path)]
    assert (tmp_path / "fit-triage-alerts.json").exists()
    home.mkdir()
    with open_store(f"sqlite:///{home}/mail.sqlite3") as opened:
        opened.finish_run(opened.start_run([SOURCE], start), Tally(), start)
        opened.import_registry(sessions=registry_file([session()]), now=start)
    codes += [at(minutes) for minutes in (35, 40)]

    assert codes == [1, 1, 1, 1, 0, 0]
    assert unreachable == ["alert.firing"]
    events = told(tmp_path)
    assert [event["type"] for event in events] == ["alert.firing", "alert.recovered"]
    assert {event["data"]["code"] for event in events} == {"database_unreachable"}
    assert not (tmp_path / "fit-triage-alerts.json").exists()


def test_an_alert_that_stands_is_what_was_stored(store: Store) -> None:
    alert = Alert("command", "quarantine", "", NOW, 1, NOW, NOW + timedelta(minutes=3))
    with store.alerts.turn("here") as lease:
        store.alerts.keep(lease, Alert("command", "quarantine", "", NOW))
        store.alerts.keep(lease, alert)
        stood = store.alerts.standing()
        store.alerts.forget(lease, alert)

    assert stood == [alert]
    assert store.alerts.standing() == []


def test_the_program_itself_tells(tmp_path: Path) -> None:
    configured(tmp_path, f"sqlite:///{tmp_path}/mail.sqlite3")
    words = [Path(sys.executable).parent / "fit-triage", "alerts", "--test", "--json"]

    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["what"] == "test"
    assert len(told(tmp_path)) == 1
