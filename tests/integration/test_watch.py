"""`fit-triage watch` on a real Dovecot: mail is found at once, whatever servers do."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest
from services.cutting_proxy import CuttingProxy, cutting_proxy
from services.dovecot import Dovecot, Mailbox, running_dovecot
from services.postgres import running_postgres
from services.scripted_imap import scripted_imap
from services.token_server import token_server

from ingest.idle import IdleLine, Listener
from ingest.pace import Pace
from ingest.sources import Access, ImapAddress, SourceError
from store import open_store

pytestmark = [pytest.mark.dovecot, pytest.mark.usefixtures("installed_dovecot")]

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"
PROMPT_S = 6  # on a machine with other work; alone it is a fraction of a second


def mail(number: int) -> bytes:
    return b"From: t%d@example.org\r\nSubject: mail %d\r\n\r\nHello.\r\n" % (number, number)


class Watch:
    """A running `fit-triage watch`, its lines, and its database."""

    def __init__(
        self,
        folder: Path,
        boxes: list[str],
        server: Dovecot,
        *,
        last: str = "",
        url: str = "",
        **watch: float,
    ) -> None:
        """Settings of the watch by name; *last* stands below the last of *boxes*."""
        self.url = url or f"sqlite:///{folder}/triage.sqlite3"
        self.file = folder / "fit-triage.toml"
        sources = "".join(f'[[sources]]\nurl = "{box}"\nallow_plaintext = true\n' for box in boxes)
        options = "".join(f"{name} = {str(value).lower()}\n" for name, value in watch.items())
        self.file.write_text(
            f'database_url = "{self.url}"\nfast = true\nworkers = 1\nbatch_size = 20\n'
            f'imap_timeout = 5\nimap_ca_file = "{server.ca_file}"\n'
            f"{sources}{last}\n[watch]\n{options}"
        )
        self.environment = {**os.environ, "FIT_TRIAGE_IMAP_PASSWORD": server.password}
        self.lines: list[str] = []
        self.errors: list[str] = []

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [FIT_TRIAGE, "--config", self.file, "watch"], env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.readers = [
            threading.Thread(target=_collect, args=(stream, into))
            for stream, into in (
                (self.process.stdout, self.lines),
                (self.process.stderr, self.errors),
            )
        ]
        for reader in self.readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Ask it to stop; its exit code, and how many seconds it took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(timeout=60), time.monotonic() - begun

    def until(self, holds: Callable[[], bool], within_s: float = 60) -> float:
        """How many seconds it took until *holds*."""
        begun = time.monotonic()
        while not holds():
            assert self.process.poll() is None, self.errors
            assert time.monotonic() - begun < within_s, (self.lines, self.errors)
            time.sleep(0.02)
        return time.monotonic() - begun

    def fetched(self) -> int:
        return sum(int(re.search(r"fetched (\d+)", line)[1]) for line in self.lines)

    def listening(self) -> None:
        """Wait until the first look is over, and the one after listening has begun."""
        self.until(lambda: len(self.lines) >= 2)
        time.sleep(3.2)  # bursts of mail are one look: let the next one be at once


def _collect(stream: Iterator[str], into: list[str]) -> None:
    for line in stream:
        into.append(line)  # noqa: PERF402 - others look at it meanwhile


def run_beside(watch: Watch) -> subprocess.CompletedProcess[str]:
    command = [FIT_TRIAGE, "--config", watch.file, "run"]
    return subprocess.run(
        command, env=watch.environment, text=True, capture_output=True, check=False
    )


def test_new_mail_is_read_as_soon_as_the_server_tells_of_it(
    dovecot: Dovecot, tmp_path: Path
) -> None:
    box = dovecot.mailbox([mail(1)])
    with Watch(tmp_path, [box.spec()], dovecot, interval=3600) as watch:
        watch.listening()
        box.append(mail(2))

        took_s = watch.until(lambda: watch.fetched() == 2)
        code, _ = watch.stop()

    assert took_s < PROMPT_S
    assert code == 0
    assert watch.errors == []
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:]{8}Z  fetched \d+ = ", each) for each in watch.lines)


def test_mail_is_found_by_looking_where_nobody_tells_of_it(
    dovecot: Dovecot, tmp_path: Path
) -> None:
    box = dovecot.mailbox([mail(1)])
    with Watch(tmp_path, [box.spec()], dovecot, interval=1, idle=False) as watch:
        watch.until(lambda: watch.fetched() == 1)
        box.append(mail(2))

        watch.until(lambda: watch.fetched() == 2, within_s=15)

        assert watch.stop()[0] == 0


def test_a_mailbox_that_fails_holds_up_no_other_and_is_not_hammered(
    dovecot: Dovecot, tmp_path: Path
) -> None:
    good = dovecot.mailbox([mail(1)])
    (tmp_path / "password").write_text("wrong")
    wrong = f'password_file = "{tmp_path}/password"'
    specs = [good.spec("Missing"), good.spec(), dovecot.mailbox().spec()]
    with Watch(tmp_path, specs, dovecot, last=wrong, interval=1, idle=False) as watch:
        watch.until(lambda: len(watch.lines) >= 8)

        code, _ = watch.stop()

    assert code == 0
    assert watch.fetched() == 1
    assert "2 of 3 mailboxes could not be read" in watch.lines[0]
    assert len([line for line in watch.errors if "user and password" in line]) == 1
    assert any("no folder 'Missing'" in line for line in watch.errors)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order_when_asked_to_while_it_waits(
    dovecot: Dovecot, tmp_path: Path, number: signal.Signals
) -> None:
    box = dovecot.mailbox()
    with Watch(tmp_path, [box.spec()], dovecot, interval=3600) as watch:
        watch.until(lambda: len(watch.lines) >= 2)

        code, took_s = watch.stop(number)

    assert code == 0
    assert took_s < PROMPT_S
    assert watch.errors == []


def test_it_stops_after_the_batch_at_hand_and_the_next_run_goes_on(
    dovecot: Dovecot, tmp_path: Path
) -> None:
    box = dovecot.mailbox([mail(n) for n in range(400)])
    with Watch(tmp_path, [box.spec()], dovecot, interval=3600, idle=False) as watch:
        watch.until((tmp_path / "triage.sqlite3").exists)
        with open_store(watch.url) as store:
            watch.until(lambda: store.counts().messages + store.counts().quarantined > 0)

            code, _ = watch.stop()
            stored = store.counts().messages + store.counts().quarantined
            last = store.counts().last_run
            held = store.lease(f"{box.spec()} INBOX", "a test", timedelta(minutes=1))
            held.release()
    rest = run_beside(watch)

    assert code == 0
    assert 0 < stored < 400, "it was meant to be stopped in the middle"
    assert last.status == "done"
    assert watch.fetched() == stored
    assert f"fetched {400 - stored} = " in rest.stdout


def test_a_server_that_is_restarted_is_listened_to_again(tmp_path: Path) -> None:
    with running_dovecot() as dovecot:
        box = dovecot.mailbox([mail(1)])
        with Watch(tmp_path, [box.spec()], dovecot, interval=2) as watch:
            watch.listening()

            dovecot.stop()
            watch.until(lambda: any("could not be read" in line for line in watch.lines))
            dovecot.start()
            box.append(mail(2))

            watch.until(lambda: watch.fetched() == 2)
            assert watch.stop()[0] == 0


@pytest.mark.postgres
@pytest.mark.usefixtures("postgres")  # which skips where there is none
def test_a_database_that_is_restarted_is_used_again(dovecot: Dovecot, tmp_path: Path) -> None:
    with running_postgres() as postgres:
        box = dovecot.mailbox([mail(1)])
        url = postgres.database()
        with Watch(tmp_path, [box.spec()], dovecot, url=url, interval=1, idle=False) as watch:
            watch.until(lambda: watch.fetched() == 1)

            postgres.stop()
            box.append(mail(2))
            watch.until(lambda: bool(watch.errors))
            postgres.start()

            watch.until(lambda: watch.fetched() == 2)
            assert watch.stop()[0] == 0

    assert all(line.startswith("fit-triage: database ") for line in watch.errors), watch.errors


def test_a_mailbox_that_another_run_holds_is_left_to_it_and_looked_at_again(
    dovecot: Dovecot, tmp_path: Path
) -> None:
    box = dovecot.mailbox([mail(1)])
    watch = Watch(tmp_path, [box.spec()], dovecot, interval=1, idle=False)
    with open_store(watch.url) as store:
        with store.lease(f"{box.spec()} INBOX", "another run", timedelta(minutes=1)), watch:
            watch.until(lambda: len(watch.lines) >= 2)
            assert watch.stop()[0] == 0
        with Watch(tmp_path, [box.spec()], dovecot, interval=1, idle=False) as again:
            again.until(lambda: again.fetched() == 1)

    assert all("left to another run" in line for line in watch.lines)
    assert watch.errors == []


def test_scheduled_runs_beside_it_store_every_message_once(
    dovecot: Dovecot, tmp_path: Path
) -> None:
    box = dovecot.mailbox([mail(0)])
    with Watch(tmp_path, [box.spec()], dovecot, interval=1) as watch:
        watch.until(lambda: watch.fetched() == 1)
        for first in range(1, 41, 10):
            for number in range(first, first + 10):
                box.append(mail(number))
            beside = run_beside(watch)
            assert beside.returncode == 0, beside.stderr

        with open_store(watch.url) as store:
            watch.until(lambda: store.counts().messages + store.counts().quarantined >= 41)
            time.sleep(2)
            assert watch.stop()[0] == 0
            counts = store.counts()
            broken = store.first_broken_audit_row()

    assert counts.messages + counts.quarantined == 41
    assert broken is None


def test_a_token_that_is_revoked_while_watching_is_replaced(tmp_path: Path) -> None:
    with token_server() as tokens, running_dovecot(check_url=tokens.check_url) as dovecot:
        box = dovecot.mailbox([mail(1)])
        tokens.username = box.user
        (tmp_path / "secret").write_text(tokens.client_secret)
        oauth = (
            f'[sources.oauth]\nflow = "client_credentials"\ntoken_url = "{tokens.url}"\n'
            f'client_id = "{tokens.client_id}"\nclient_secret_file = "{tmp_path}/secret"\n'
            "allow_loopback_http = true"
        )
        with Watch(tmp_path, [box.spec()], dovecot, last=oauth, interval=3600) as watch:
            watch.listening()
            tokens.revoke_access()
            box.append(mail(2))

            watch.until(lambda: watch.fetched() == 2)
            assert watch.stop()[0] == 0

    assert len(tokens.asked) == 2  # all logins of the first two looks and the listener shared one
    assert watch.errors == []


# One line that listens


@contextlib.contextmanager
def line_through(proxy: CuttingProxy, box: Mailbox) -> Iterator[IdleLine]:
    address = ImapAddress(box.user, "127.0.0.1", proxy.port, "INBOX", tls=False)
    with IdleLine(address, Access(password=box.password, timeout_s=1)) as line:
        yield line


def test_a_line_that_has_gone_silent_is_given_up(dovecot: Dovecot) -> None:
    box = dovecot.mailbox()
    heard: list[float] = []
    with cutting_proxy(dovecot.plain_port) as proxy:
        with line_through(proxy, box) as line:
            line.listen(lambda: heard.append(0), renew_s=1, stopped=lambda: bool(heard))
        proxy.strike("stall", "down", proxy.passed["down"] - 60)  # in what follows upon IDLE
        begun = time.monotonic()

        with (
            pytest.raises(SourceError, match="no answer in time"),
            line_through(proxy, box) as line,
        ):
            line.listen(lambda: None, renew_s=1, stopped=lambda: False)

    assert time.monotonic() - begun < 10


def test_a_line_that_is_cut_is_noticed_at_once(dovecot: Dovecot) -> None:
    box = dovecot.mailbox()
    begun: list[float] = []

    with cutting_proxy(dovecot.plain_port) as proxy, line_through(proxy, box) as line:

        def cut() -> None:
            begun.append(time.monotonic())
            line._client.socket().shutdown(0)

        with pytest.raises(SourceError):
            line.listen(cut, renew_s=300, stopped=lambda: False)

    assert time.monotonic() - begun[0] < PROMPT_S


def test_a_server_without_idle_is_not_listened_to() -> None:
    rung: list[int] = []
    pace = Pace()
    pace.went_well()
    with scripted_imap({}) as server:
        address = ImapAddress("support", "127.0.0.1", server.port, "INBOX", tls=False)
        listener = Listener(
            address,
            lambda: Access(password="x", timeout_s=5),
            lambda: rung.append(1),
            pace,
            renew_s=5,
            stop=threading.Event(),
        )
        listener.start()
        listener.join(10)

        assert not listener._thread.is_alive()
    assert rung == []
    assert not any("IDLE" in line for line in server.lines)


def test_a_mailbox_that_cannot_be_read_is_not_listened_to() -> None:
    stop = threading.Event()
    with scripted_imap({}) as server:
        address = ImapAddress("support", "127.0.0.1", server.port, "INBOX", tls=False)
        listener = Listener(address, Access, lambda: None, Pace(), renew_s=5, stop=stop)
        listener.start()
        time.sleep(1)
        stop.set()
        listener.join(5)

    assert server.lines == []
