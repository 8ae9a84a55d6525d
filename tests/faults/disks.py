"""Disks that fill up or turn read-only: small ones of our own, for root alone."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from services.postgres import running_postgres

from faults.bench import MIGRATING, Lane, Row, Trial, Try, recovered
from faults.oracle import judged
from faults.worker import Job

IS_ROOT = os.geteuid() == 0
_IMAGE_MB = 12
_BUSY_S = 20.0


def for_root(tries: list[Try]) -> list[Try]:
    def left_out(_: Lane) -> Trial:
        trial = Trial()
        trial.noted["left out: only root can mount"] = len(tries)
        return trial

    return tries if IS_ROOT else [left_out]


@contextmanager
def mounted(lane: Lane, what: Path | str, name: str, *options: str) -> Iterator[Path]:
    """The disk *what* in a folder of *lane*, until the ``with`` ends."""
    at = lane.folder / name
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", *options, str(what), str(at)], check=True)
    try:
        yield at
    finally:
        _let_go(at)


def _let_go(at: Path) -> None:
    # Busy for a moment, where another lane forks while a file of this disk is open here.
    deadline = time.monotonic() + _BUSY_S
    while (
        done := subprocess.run(["umount", str(at)], check=False, capture_output=True)
    ).returncode:
        if time.monotonic() > deadline:
            raise RuntimeError(done.stderr.decode())
        time.sleep(0.05)


@contextmanager
def image_disk(lane: Lane) -> Iterator[Path]:
    """An ext4 in a file, with an empty database on it that would outlive a power cut."""
    image = lane.folder / "disk.img"
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(_IMAGE_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard", str(image)], check=True)
    with mounted(lane, image, "disk", "-o", "loop") as disk:
        shutil.copy(lane.bench.template, disk / "mail.sqlite3")
    with mounted(lane, image, "disk", "-o", "loop,commit=300") as disk:
        yield disk


@contextmanager
def after_power_cut(lane: Lane) -> Iterator[Path]:
    """What of ``image_disk`` would be there if the power went now."""
    copy = lane.folder / "copy.img"
    shutil.copyfile(lane.folder / "disk.img", copy)
    with mounted(lane, copy, "copy", "-o", "loop") as disk:
        yield disk


# Full, and read-only


def turned_read_only(count: int) -> Row:
    points = [(stage, n) for stage in ("fetched", "kept", "flushed", "committed") for n in (1, 2)]
    tries: list[Try] = [
        lambda lane, at=at: turn_read_only(lane, at)
        for at in itertools.islice(itertools.cycle(points), count)
    ]
    return Row("the disk turns read-only in mid-run (SQLite)", "15", for_root(tries))


def turn_read_only(lane: Lane, at: tuple[str, int]) -> Trial:
    """The kernel does so to a disk with an error; the run ends and says why."""
    trial = Trial()
    with image_disk(lane) as disk:
        url = f"sqlite:///{disk}/mail.sqlite3"
        job = lane.job(url, size=1)
        struck = {**asdict(job), "at": at, "action": "abort_disk", "more": str(disk)}
        ended = lane.run(Job(**struck))
        trial.saw(ended)
        if ended.well or "database" not in ended.error:
            trial.violations.append("a run on a read-only disk does not say so")
    # As an administrator does it: away with the mount, and again.
    with mounted(lane, lane.folder / "disk.img", "disk", "-o", "loop"):
        trial.violations += judged(url, lane.mails, complete=False)
        return recovered(lane, trial, job, lane.mails)


def full(count: int) -> Row:
    tries: list[Try] = [lambda lane, n=n: fill_up(lane, 40 * n) for n in range(count)]
    return Row("a disk with little room left, then with more (SQLite)", "12", for_root(tries))


def fill_up(lane: Lane, room_kb: int) -> Trial:
    """The database's own disk has so much room left: what does not fit comes with the next run."""
    trial = Trial()
    with mounted(lane, "tmpfs", "full", "-t", "tmpfs", "-o", "size=4m") as disk:
        shutil.copy(lane.bench.template, disk / "mail.sqlite3")
        free = shutil.disk_usage(disk).free
        (disk / "ballast").write_bytes(bytes(max(0, free - (room_kb << 10))))
        job = lane.job(f"sqlite:///{disk}/mail.sqlite3", size=1)
        ended = lane.run(job)
        trial.saw(ended)
        trial.noted["fitted"] += ended.well
        if not ended.well and "database" not in ended.error:
            trial.violations.append("a run on a full disk does not say so")
        (disk / "ballast").unlink()
        trial.violations += judged(job.url, lane.mails, complete=ended.well)
        return recovered(lane, trial, job, lane.mails)


def server_full(count: int) -> Row:
    tries: list[Try] = [lambda lane, n=n: fill_server(lane, 100 * n) for n in range(count)]
    return Row("a server's disk with little room left, then with more", "12", for_root(tries))


def fill_server(lane: Lane, room_kb: int) -> Trial:
    """PostgreSQL's own disk is full: it refuses, or ends itself and is started again."""
    trial = Trial()
    with mounted(lane, "tmpfs", "server", "-t", "tmpfs", "-o", "size=160m,mode=711") as disk:
        for folder in (lane.bench.folder, lane.folder):  # PostgreSQL's own user passes through
            folder.chmod(0o711)
        with running_postgres(disk) as server:
            with MIGRATING:
                url = server.database()
            job = lane.job(url, size=1)
            with (disk / "ballast").open("wb") as ballast:
                free = shutil.disk_usage(disk).free
                os.posix_fallocate(ballast.fileno(), 0, max(1, free - (room_kb << 10)))
            ended = lane.run(job)
            trial.saw(ended)
            trial.noted["fitted"] += ended.well
            if not ended.well and "database" not in ended.error:
                trial.violations.append("a run on a full disk does not say so")
            (disk / "ballast").unlink()
            if server.process.poll() is not None:
                trial.noted["server ended"] += 1
                server.start()
            trial.violations += judged(url, lane.mails, complete=ended.well)
            return recovered(lane, trial, job, lane.mails)
