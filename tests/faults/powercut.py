"""Computers that lose their power: what was called stored must still be there.

A power cut is modelled as the loss of everything not yet synced: an ext4 on a loop image that
flushes by itself only every five minutes is copied while it is mounted, and the copy is read; what
the program has not synced still lies in the kernel's memory, and the image has nothing of it. Torn
sectors and reordered writes are not modelled; that takes a device mapper.

Each database has a control: the same cuts where commits wait for no disk must lose some of what
was called stored, or the cuts show nothing.
"""

from __future__ import annotations

import itertools
import os
import select
import shutil
import signal
import sqlite3
import subprocess
from dataclasses import asdict
from pathlib import Path

from services.postgres import Postgres, running_postgres, start_on

from faults.bench import MAILS, MIGRATING, Lane, Row, Trial, Try, recovered
from faults.disks import after_power_cut, for_root, image_disk, mounted
from faults.oracle import State, connected, judged
from faults.worker import Job

_LOST = "I1 mail that was called stored is gone with the power"
#: Of a row of controls: what at least one of its trials must find.
LOSSES = "cuts that lost mail called stored"
_SERVER_MB = 320


def cuts(count: int) -> Row:
    """On SQLite, as every connection of ours is: WAL with synchronous=FULL."""
    points = [
        (size, stage, number)
        for size in (1, 2, 5)
        for stage in ("committed", "flushing", "flushed", "kept", "deciding", "finishing")
        for number in range(1, 1 + (1 if stage == "finishing" else -(-len(MAILS) // size)))
    ]
    calls = [(call, number) for call in ("pwrite64", "fdatasync") for number in range(1, 60, 3)]
    tries: list[Try] = [
        *(lambda lane, at=at, size=size: power_cut(lane, at, size) for size, *at in points),
        *(lambda lane, c=call, n=n: power_cut(lane, (c, n), 2, in_call=True) for call, n in calls),
    ]
    chosen = list(itertools.islice(itertools.cycle(tries), count))
    return Row("the power goes after a kill (SQLite)", "5", for_root(chosen))


def cuts_unsynced(count: int) -> Row:
    """The control: synchronous=NORMAL, which leaves commits to the kernel's leisure."""
    points = [("committed", number) for number in range(1, 1 + len(MAILS))]
    tries: list[Try] = [
        lambda lane, at=at: _control(power_cut(lane, at, 1, bug="commits not synced"))
        for at in itertools.islice(itertools.cycle(points), count)
    ]
    title = "control: the power goes, with synchronous=NORMAL"
    return Row(title, "5", for_root(tries), must_note=LOSSES)


def _control(trial: Trial) -> Trial:
    """What must not be lost elsewhere is what is looked for here; all else holds here as well."""
    trial.noted[LOSSES] += _LOST in trial.violations
    trial.violations = [one for one in trial.violations if one != _LOST]
    return trial


def power_cut(
    lane: Lane, at: tuple[str, int] | list[object], size: int = 2, *, bug: str = "",
    in_call: bool = False,
) -> Trial:  # fmt: skip
    """What the run called stored must be on the disk, whole; the next run goes on from there."""
    trial = Trial()
    told = lane.folder / "acknowledged"
    told.write_text("0")
    with image_disk(lane) as disk:
        url = f"sqlite:///{disk}/mail.sqlite3"
        job = lane.job(url, size=size, bug=bug, acknowledged=str(told))
        if in_call:
            call, number = at
            ended = lane.run_struck(job, str(call), f"signal=SIGKILL:when={number}")
        else:
            ended = lane.run(Job(**{**asdict(job), "at": tuple(at)}))
        trial.saw(ended)
        with after_power_cut(lane) as copy:
            url = f"sqlite:///{copy}/mail.sqlite3"
            trial.violations += _whole(copy / "mail.sqlite3")
            return _judged_after(lane, trial, job, url, told)


def _judged_after(lane: Lane, trial: Trial, job: Job, url: str, told: Path) -> Trial:
    """Look at what outlived the cut, and let a run go on from there."""
    trial.violations += judged(url, lane.mails, complete=False)
    called, stored = int(told.read_text()), len(State.of(url).places)
    trial.noted["messages called stored"] += called
    if stored < called:
        trial.violations.append(_LOST)
    after = Job(**{**asdict(job), "url": url, "acknowledged": "", "bug": ""})
    return recovered(lane, trial, after, lane.mails)


def _whole(file: Path) -> list[str]:
    connection = sqlite3.connect(file)
    try:
        [[verdict]] = connection.execute("PRAGMA integrity_check").fetchall()
    finally:
        connection.close()
    return [] if verdict == "ok" else ["I3 SQLite finds its file damaged"]


# PostgreSQL


def server_cuts(count: int) -> Row:
    tries: list[Try] = [
        lambda lane, at=at: server_cut(lane, at)
        for at in itertools.islice(itertools.cycle(_server_points()), count)
    ]
    return Row("the power goes after a kill (PostgreSQL)", "6", for_root(tries))


def server_cuts_unsynced(count: int) -> Row:
    """The control: a server that was told to answer before it has synced."""
    points = [("committed", number) for number in range(1, 1 + len(MAILS))]
    tries: list[Try] = [
        lambda lane, at=at: _control(server_cut(lane, at, unsynced=True))
        for at in itertools.islice(itertools.cycle(points), count)
    ]
    title = "control: the power goes, with synchronous_commit=off"
    return Row(title, "6", for_root(tries), must_note=LOSSES)


def _server_points() -> list[tuple[str, int]]:
    stages = ("committed", "flushing", "flushed", "kept", "deciding")
    return [
        *((stage, number) for stage in stages for number in range(1, 1 + len(MAILS))),
        ("finishing", 1),
    ]


def server_cut(lane: Lane, at: tuple[str, int], *, unsynced: bool = False) -> Trial:
    """The run is killed, and the server's whole computer goes with it; another starts the copy."""
    trial = Trial()
    told = lane.folder / "acknowledged"
    told.write_text("0")
    base, home_name, database = _cluster(lane)
    shutil.copyfile(base, lane.folder / "disk.img")
    with mounted(lane, lane.folder / "disk.img", "disk", "-o", "loop,commit=300") as disk:
        server = start_on(disk / home_name)
        try:
            url = server.url(database)
            if unsynced:
                _answer_before_syncing(url, database)
            job = lane.job(url, size=1, acknowledged=str(told))
            trial.saw(lane.run(Job(**{**asdict(job), "at": at})))
        finally:
            _end_all(server)
        with after_power_cut(lane) as copy:
            again = start_on(copy / home_name)
            try:
                return _judged_after(lane, trial, job, again.url(database), told)
            finally:
                _end_all(again)


def _answer_before_syncing(url: str, database: str) -> None:
    with connected(url) as connection:
        connection.execute(f'ALTER DATABASE "{database}" SET synchronous_commit = off')
        # What the server would sync by itself within a fifth of a second shall not be in time.
        connection.execute("SELECT 1")
        connection.commit()
        connection.autocommit = True
        connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        connection.execute("SELECT pg_reload_conf()")


def _cluster(lane: Lane) -> tuple[Path, str, str]:
    """An image with a server's data and an empty database of ours, made once for each lane.

    Gives the image, the folder of the server on it, and the database's name.
    """
    base = lane.folder / "cluster.img"
    told = lane.folder / "cluster"
    if not told.exists():
        for folder in (lane.bench.folder, lane.folder):  # PostgreSQL's own user passes through
            folder.chmod(0o711)
        with base.open("wb") as file:
            file.truncate(_SERVER_MB << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard", str(base)], check=True)
        with (
            mounted(lane, base, "base", "-o", "loop") as disk,
            running_postgres(disk, keep=True) as server,
        ):
            with MIGRATING:
                name = server.database().partition("@/")[2].partition("?")[0]
            home = server.home.name
            server.stop(signal.SIGINT)  # with a checkpoint, as before any cut
        told.write_text(f"{home} {name}")
    home, name = told.read_text().split()
    return base, home, name


def _end_all(server: Postgres) -> None:
    """Kill the server as no power cut could more suddenly, and wait until its disk is free."""
    pids = _children(server.process.pid)
    for pid in (server.process.pid, *pids):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    server.process.wait(10)
    for pid in pids:
        _gone(pid)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _gone(pid: int, within_s: float = 10) -> None:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    select.select([handle], [], [], within_s)
    os.close(handle)
