"""Two programs that serve the same mailboxes on one PostgreSQL, as on two machines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from services.postgres import Postgres

from store import Store, open_store

pytestmark = [pytest.mark.postgres]

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"


def deliver(maildir: Path, number: int) -> None:
    for part in ("new", "cur", "tmp"):
        (maildir / part).mkdir(parents=True, exist_ok=True)
    content = f"From: t{number}@example.org\r\nSubject: mail {number}\r\n\r\nHello.\r\n"
    whole = maildir / "tmp" / f"{number}"
    whole.write_text(content)
    whole.rename(maildir / "new" / f"{1_790_000_000 + number}.{number}.host")


@contextmanager
def watching(folder: Path, url: str, boxes: list[Path]) -> Iterator[subprocess.Popen[bytes]]:
    file = folder / "fit-triage.toml"
    sources = "".join(f'[[sources]]\nurl = "maildir:{box}"\n' for box in boxes)
    settings = f'database_url = "{url}"\nfast = true\nworkers = 1\nstart = "history"\n'
    file.write_text(f"{settings}{sources}[watch]\ninterval = 1\n")
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [FIT_TRIAGE, "--config", file, "watch"], stdout=said, stderr=said
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)


def read_by(store: Store, subjects: set[str], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if subjects <= {*stored(store)}:
            return True
        time.sleep(0.1)
    return False


def stored(store: Store) -> list[str]:
    numbers = store.exported.numbers("messages", None, None)
    return sorted(store.message(number).email.subject for number in numbers)


def test_two_programs_share_mailboxes_and_when_one_is_killed_the_other_reads_on(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.database()
    boxes = [tmp_path / "one", tmp_path / "other"]
    for number, box in enumerate(boxes):
        deliver(box, number)
    folders = [tmp_path / name for name in ("here", "there")]
    for folder in folders:
        folder.mkdir()

    with (
        open_store(url) as store,
        watching(folders[0], url, boxes) as first,
        watching(folders[1], url, boxes),
    ):
        assert read_by(store, {"mail 0", "mail 1"})
        os.kill(first.pid, signal.SIGKILL)
        for number in (2, 3, 4):
            deliver(boxes[number % 2], number)
        assert read_by(store, {f"mail {number}" for number in range(5)})
        time.sleep(2.5)  # two rounds more: nothing comes twice

        assert stored(store) == [f"mail {number}" for number in range(5)]
        assert store.first_broken_audit_row() is None
    said = "".join((folder / "said").read_text() for folder in folders)
    assert "Traceback" not in said
