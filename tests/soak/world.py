"""Everything a team has, on this machine: mail server, database, platform, program, and a disk."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from faults.disks import IS_ROOT
from faults.oracle import connected
from services.cutting_proxy import CuttingProxy, cutting_proxy
from services.dovecot import Dovecot, Mailbox, running_dovecot
from services.postgres import Postgres, running_postgres
from services.webhook_receiver import Receiver, webhook_receiver
from store_samples import registry_file

from soak.services import TESTS, Memory, Schedule, Service, Tending, command

Kind = Literal["sqlite", "postgres"]
#: Sessions in the registry; mails ask about them in turn.
SESSIONS = 4000
_DISK_MB = 4096


@dataclass
class World:
    """What troubles strike and people use. ``postgres`` is None on SQLite."""

    folder: Path
    disk: Path
    dovecot: Dovecot
    proxy: CuttingProxy
    box: Mailbox
    postgres: Postgres | None
    url: str
    receiver: Receiver
    settings: Path
    environment: dict[str, str]
    port: int
    watch: Service
    page: Service
    schedule: Schedule
    memory: Memory
    tending: Tending

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``fit-triage`` with *words*, to its end."""
        return subprocess.run(
            command(self.settings, *words), env=self.environment, capture_output=True, text=True,
            check=False, timeout=300,
        )  # fmt: skip

    def counts(self) -> tuple[int, int]:
        """How many mails are stored, and how many are set aside. Raises what its driver raises."""
        query = (
            "SELECT (SELECT count(*) FROM messages) AS a, (SELECT count(*) FROM quarantine) AS b"
        )
        with connected(self.url) as connection:
            row = connection.execute(query).fetchone()
            return row["a"], row["b"]

    def revive(self) -> None:
        """Start the database's server again should it have ended, as a service manager does."""
        if self.postgres is not None and self.postgres.process.poll() is not None:
            with contextlib.suppress(RuntimeError):  # the disk may still be full
                self.postgres.start()


@contextlib.contextmanager
def world(kind: Kind) -> Iterator[World]:
    """Start all of it, and end all of it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        folder.chmod(0o755)  # PostgreSQL's user passes through
        disk = stack.enter_context(_disk(folder / "disk"))
        dovecot = stack.enter_context(running_dovecot())
        proxy = stack.enter_context(cutting_proxy(dovecot.plain_port))
        receiver = stack.enter_context(webhook_receiver())
        postgres = stack.enter_context(running_postgres(disk)) if kind == "postgres" else None
        url = postgres.database() if postgres else f"sqlite:///{disk}/mail.sqlite3"
        box = dovecot.mailbox()
        settings = _settings(folder, url, box, proxy, receiver)
        _registry(url)
        made = _programs(folder, settings, box, receiver)
        world = World(
            folder, disk, dovecot, proxy, box, postgres, url, receiver, settings, **made
        )  # fmt: skip
        world.tending.start()
        try:
            yield world
        finally:
            world.tending.resting.set()
            for service in (world.watch, world.page):
                service.stop(5)
            world.schedule.kill()
            world.tending.stopped.set()
            world.tending.join(10)


@contextlib.contextmanager
def _disk(at: Path) -> Iterator[Path]:
    """A file system of our own for the database, so that it can be full; for root alone."""
    at.mkdir()
    if not IS_ROOT:
        yield at
        return
    options = f"size={_DISK_MB}m,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def _settings(
    folder: Path, url: str, box: Mailbox, proxy: CuttingProxy, receiver: Receiver
) -> Path:
    file = folder / "fit-triage.toml"
    file.write_text(
        f'database_url = "{url}"\nfast = true\nworkers = 1\nbatch_size = 20\nimap_timeout = 5\n'
        f'authserv_id = "mx.support.example"\n'
        f'[[sources]]\nurl = "imap://{box.user}@127.0.0.1:{proxy.port}/INBOX"\n'
        f"allow_plaintext = true\n"
        f"[watch]\ninterval = 5\n"
        f'[outbox]\nwebhook_url = "{receiver.url}"\nallow_loopback_http = true\n'
        f"undo_seconds = 1\nwebhook_timeout = 5\n"
        # The fast reading is rarely sure; here all that counts is that cases get ready.
        "[certainty]\nkind = 0.3\ntold = 0.3\nsession = 0.3\n"
    )
    return file


def _registry(url: str) -> None:
    """A therapist, a client and a session of next week for each number."""
    from store import open_store

    now = datetime.now(UTC)
    lists = ("delegates", "approaches", "issues", "experience", "languages", "places")
    blank = {"open_to_new": "yes", **dict.fromkeys(lists, ())}
    therapists = [
        {**blank, "therapist_id": f"T-{n}", "name": f"Thera N{n}", "emails": (sender(n),)}
        for n in range(SESSIONS)
    ]
    clients = [
        {"client_id": f"C-{n}", "first_name": f"Given{n}", "last_name": f"Family{n}",
         "email": f"c{n}@client.example"}
        for n in range(SESSIONS)
    ]  # fmt: skip
    sessions = [
        {"session_id": session(n), "therapist_id": f"T-{n}", "client_id": f"C-{n}",
         "starts_at": now + timedelta(days=10), "stage": "initial", "status": "confirmed"}
        for n in range(SESSIONS)
    ]  # fmt: skip
    with open_store(url) as store:
        store.import_registry(
            therapists=registry_file(therapists),
            clients=registry_file(clients),
            sessions=registry_file(sessions),
            now=now,
        )


def session(number: int) -> str:
    return f"HT-{600_000 + number}"


def sender(number: int) -> str:
    return f"t{number}@practice{number}.example"


def _programs(folder: Path, settings: Path, box: Mailbox, receiver: Receiver) -> dict[str, object]:
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = {
        **os.environ,
        "PYTHONPATH": paths,
        "FIT_TRIAGE_IMAP_PASSWORD": box.password,
        "FIT_TRIAGE_OUTBOX__WEBHOOK_SECRETS": receiver.shared_secret,
    }
    port = _free_port()
    watch = Service("watch", command(settings, "watch"), environment, folder / "watch.log")
    served = command(settings, "review", "--port", str(port), "--by", "soak")
    page = Service("page", served, environment, folder / "page.log")
    schedule = Schedule(command(settings, "run"), environment, folder / "run.log", every_s=20)
    memory = Memory((watch, page))
    tending = Tending((watch, page), schedule, memory)
    return {
        "environment": environment, "port": port, "watch": watch, "page": page,
        "schedule": schedule, "memory": memory, "tending": tending,
    }  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait(seconds: float, world: World) -> None:
    """Pass time, and look after the database's server meanwhile."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        world.revive()
        time.sleep(min(left, 0.25))
