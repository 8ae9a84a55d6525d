"""Runs that overlap, sleep or live at another time; databases that fail; mail that harms."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from services.postgres import Postgres

from faults.bench import (
    CANARIES,
    KINDS,
    MIGRATING,
    Ended,
    Kind,
    Lane,
    Row,
    Trial,
    as_kept,
    empty,
    letter,
    recovered,
)
from faults.oracle import State, connected, judged
from faults.worker import STAGES, Job

# Runs among each other


def overlapping(runs: int, at_once: int = 4) -> Row:
    tries = [lambda lane, n=n: overlap(lane, KINDS[n % 2], at_once) for n in range(runs // at_once)]
    return Row(f"{at_once} runs at once", "38", tries)


def overlap(lane: Lane, kind: Kind, at_once: int) -> Trial:
    trial = Trial()
    job = lane.job(lane.fresh(kind), size=1)
    pids = [lane.nest.start(job) for _ in range(at_once)]
    ended = [lane.nest.wait(pid) for pid in pids]
    trial.saw(*ended)
    if any(one.code for one in ended):
        errors = {one.error or str(one.problems) for one in ended if one.code}
        trial.violations.append(f"I5 a run beside others fails: {sorted(errors)}")
    trial.noted["left to another"] += sum(bool(one.problems) for one in ended)
    trial.violations += judged(job.url, lane.mails)
    return trial


def stopped(count: int) -> Row:
    points = [("kept", 1), ("kept", 2), ("connected", 1), ("committed", 1), ("fetched", 2)]
    tries = [
        lambda lane, n=n: stop_and_go_on(lane, KINDS[n % 2], points[n // 2 % len(points)])
        for n in range(count)
    ]
    return Row("the holder sleeps past its lease, and wakes", "39", tries)


def stop_and_go_on(lane: Lane, kind: Kind, at: tuple[str, int], bug: str = "") -> Trial:
    """While the next run holds the lease, nothing of the one that slept may be stored."""
    trial = Trial()
    job = lane.job(lane.fresh(kind), size=1, bug=bug, lease_s=0.2, timeout_s=20)
    sleeper = lane.nest.start(Job(**{**asdict(job), "at": at, "action": "stop"}))
    _wait_until_stopped(sleeper)
    time.sleep(0.25)
    # The next one falls asleep as well, so that the first would be first to store.
    next_job = Job(**{**asdict(job), "at": ("kept", 1), "action": "stop", "lease_s": 60})
    second = lane.nest.start(next_job)
    _wait_until_stopped(second)
    before = _stored(job.url)
    os.kill(sleeper, signal.SIGCONT)
    first = lane.nest.wait(sleeper)
    after = _stored(job.url)
    os.kill(second, signal.SIGCONT)
    trial.saw(first, lane.nest.wait(second))
    if before != after:
        trial.violations.append("I2 a run stores mail after another has taken over")
    trial.noted["told that it was overtaken"] += any("taken over" in p for p in first.problems)
    return recovered(lane, trial, Job(**{**asdict(job), "lease_s": 60}), lane.mails)


def _stored(url: str) -> tuple[int, int, int]:
    state = State.of(url)
    return len(state.messages), len(state.places), len(state.audit)


def _wait_until_stopped(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TZ":
                return
        except OSError:
            return
        time.sleep(0.002)


def stale_owners(count: int) -> Row:
    tries = [lambda lane, n=n: stale_owner(lane, KINDS[n % 2]) for n in range(count)]
    return Row("a killed holder whose process number lives again", "40", tries)


def stale_owner(lane: Lane, kind: Kind) -> Trial:
    """The lease names a process that is alive and well, but is not the holder."""
    trial = Trial()
    job = lane.job(lane.fresh(kind), size=1)
    trial.saw(lane.run(Job(**{**asdict(job), "at": ("committed", 2)})))
    with connected(job.url) as connection:
        owner = f"{os.uname().nodename}:{os.getpid()}"
        connection.execute(f"UPDATE leases SET owner = '{owner}'")
        connection.commit()
    recovered(lane, trial, job, lane.mails)
    if trial.recovery_s > 5:
        trial.violations.append("I5 a process number is believed")
    return trial


def wrong_clocks(count: int) -> Row:
    year = 365 * 86400.0
    shifts = [3600.0, -3600.0, year, -year, -56.8 * year, 11.2 * year, 86400.0, -1.0]
    tries = [
        lambda lane, n=n: wrong_clock(lane, KINDS[n % 2], shifts[n // 2 % len(shifts)])
        for n in range(count)
    ]
    return Row("killed under a clock wrong by an hour to 57 years", "41", tries)


def wrong_clock(lane: Lane, kind: Kind, shift_s: float) -> Trial:
    trial = Trial()
    job = lane.job(lane.fresh(kind), size=1)
    trial.saw(lane.run(Job(**{**asdict(job), "shift_s": shift_s, "at": ("committed", 2)})))
    trial.violations += judged(job.url, lane.mails, complete=False)
    return recovered(lane, trial, job, lane.mails)


# Databases that fail


def backends_ended(count: int, killed: int) -> Row:
    chance = random.Random(7)
    points = [(stage, chance.randint(1, 3)) for stage in STAGES for _ in range(3)]
    chance.shuffle(points)
    tries = [
        lambda lane, n=n: end_backends(lane, points[n % len(points)], kill=n < killed)
        for n in range(count)
    ]
    return Row("PostgreSQL ends or kills the backend", "7", tries)


def end_backends(lane: Lane, at: tuple[str, int], *, kill: bool) -> Trial:
    trial = Trial()
    with _own_postgres(lane) if kill else _shared(lane) as url:
        job = lane.job(url, size=1)
        how = {"at": at, "action": "end_backends", "more": "kill" if kill else ""}
        trial.saw(lane.run(Job(**{**asdict(job), **how})))
        _until_it_answers(url)
        trial.violations += judged(url, lane.mails, complete=False)
        return recovered(lane, trial, job, lane.mails)


def restarts(count: int) -> Row:
    ways = [signal.SIGQUIT, signal.SIGINT]
    tries = [lambda lane, n=n: restart(lane, n, ways[n % 2]) for n in range(count)]
    return Row("PostgreSQL restarts under load (immediate, fast)", "8", tries)


def restart(lane: Lane, seed: int, how: signal.Signals) -> Trial:
    trial = Trial()
    delay = random.Random(seed).uniform(0, 0.15)
    with _own_postgres(lane) as url:
        job = lane.job(url, size=1)
        pid = lane.nest.start(job)
        time.sleep(delay)
        server, _ = _OWN[lane.number]
        server.stop(how)
        server.start()
        trial.saw(lane.nest.wait(pid))
        trial.violations += judged(url, lane.mails, complete=False)
        return recovered(lane, trial, job, lane.mails)


_OWN: dict[int, tuple[Postgres, str]] = {}


@contextmanager
def _own_postgres(lane: Lane) -> Iterator[str]:
    """A server that no other lane's trials suffer with."""
    from services.postgres import running_postgres

    if lane.number not in _OWN:
        manager = running_postgres()
        server = manager.__enter__()
        with MIGRATING:
            _OWN[lane.number] = server, server.database()
        lane.bench.at_end.callback(manager.__exit__, None, None, None)
        lane.bench.at_end.callback(_OWN.pop, lane.number)
    _, url = _OWN[lane.number]
    empty(url)
    yield url


@contextmanager
def _shared(lane: Lane) -> Iterator[str]:
    yield lane.fresh("postgres")


def _until_it_answers(url: str) -> None:
    import psycopg

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            State.of(url)
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return


def busy(count: int, writers: int = 8) -> Row:
    tries = [lambda lane: beside_writers(lane, writers)] * count
    return Row(f"SQLite beside {writers} writers and a reader", "11", tries)


def beside_writers(lane: Lane, writers: int) -> Trial:
    trial = Trial()
    job = lane.job(lane.fresh("sqlite"), size=1)
    stop = threading.Event()
    threads = [threading.Thread(target=_write, args=(job.url, stop)) for _ in range(writers)]
    with connected(job.url) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()  # holds its snapshot
        for thread in threads:
            thread.start()
        ended = lane.run(job)
        stop.set()
        for thread in threads:
            thread.join(10)
    trial.saw(ended)
    trial.noted["done beside them"] += ended.well
    trial.violations += judged(job.url, lane.mails, complete=ended.well)
    return recovered(lane, trial, job, lane.mails)


def _write(url: str, stop: threading.Event) -> None:
    path = url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path, timeout=0.05, isolation_level=None)
    while not stop.is_set():
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE ledger SET id = id")
            time.sleep(0.005)
            connection.execute("COMMIT")
        except sqlite3.OperationalError:
            time.sleep(0.001)
        time.sleep(0.002)
    connection.close()


def failing_disks(count: int, call: str, error: str, matrix: str) -> Row:
    limits = {"pwrite64": 90, "fdatasync": 20}
    step = max(1, count // limits[call])
    numbers = [1 + n // step % limits[call] for n in range(count)]
    kinds = ["+", ""]  # for good; once
    tries = [
        lambda lane, n=n, how=kinds[i % 2]: failing_disk(lane, call, f"error={error}:when={n}{how}")
        for i, n in enumerate(numbers)
    ]
    return Row(f"{call} gives {error}", matrix, tries)


def failing_disk(lane: Lane, call: str, fault: str) -> Trial:
    trial = Trial()
    job = lane.job(lane.fresh("sqlite"), size=2)
    ended: Ended = lane.run_struck(job, call, fault)
    trial.saw(ended)
    trial.noted["said so"] += "database" in ended.error
    trial.violations += judged(job.url, lane.mails, complete=ended.well)
    return recovered(lane, trial, job, lane.mails)


# Mail that harms


def harmful_mail(repeats: int = 1) -> Row:
    tries = [lambda lane, kind=kind: harm(lane, kind) for kind in KINDS] * repeats
    return Row("mail that harms, before mail that does not", "45, 46, 55", tries)


def harm(lane: Lane, kind: Kind) -> Trial:
    trial = Trial()
    content = [*HARMFUL.values(), *SAME, letter(1), letter(2)]
    box = lane.bench.dovecot.mailbox(content)
    mails = as_kept(lane.bench, box)
    job = lane.job(lane.fresh(kind), box=box, size=4, timeout_s=20)
    recovered(lane, trial, job, mails)
    state = State.of(job.url)
    stored = {row["digest"] for row in state.messages}
    harmless = [mail for mail in mails if mail.content in {letter(1), letter(2), *SAME}]
    if any(mail.digest not in stored for mail in harmless):
        trial.violations.append("I5 harmless mail is held up by mail that harms")
    trial.noted["set aside"] += len(state.quarantine)
    return trial


_HEAD = f"From: a@x.example\r\nSubject: {CANARIES[0]}\r\n".encode()
#: By what is wrong with it.
HARMFUL: dict[str, bytes] = {
    "nested parts share a boundary": _HEAD
    + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
    + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\n'
    + b"please cancel session 123\r\n--b--\r\n--b--\r\n",
    "NUL": _HEAD + b"Message-ID: <n\0ul@x>\r\n\r\nPlease \0 cancel HT-100001.\r\n",
    "lone surrogate": _HEAD
    + b'Content-Type: text/plain; charset="utf-8"\r\n\r\n\xed\xa0\x80 cancel HT-100002.\r\n',
    "surrogate from UTF-7": _HEAD
    + b'Content-Type: text/plain; charset="utf-7"\r\n\r\n+2AA- cancel HT-100003.\r\n',
    "one line of 10 MB": _HEAD + b"\r\n" + b"x" * 10_000_000 + b"\r\n",
    "unknown charset": _HEAD
    + b'Content-Type: text/plain; charset="klingon"\r\n\r\ncaf\xe9 HT-100004.\r\n',
    "100,000 encoded words": b"From: a@x.example\r\nSubject:"
    + b"\r\n =?utf-8?q?x?=" * 100_000
    + b"\r\n\r\ncancel HT-100005.\r\n",
    "5,000 levels": _HEAD
    + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(5000)
    ),
    "tags 20,000 deep": _HEAD
    + b"Content-Type: text/html\r\n\r\n"
    + b"<div>" * 20_000
    + b"cancel HT-100006\r\n",
    "two senders": b"From: a@x.example\r\nFrom: b@y.example\r\n\r\ncancel HT-100007\r\n",
    "bare CR in the head": b"Subject: x\rFrom: c@z.example\r\nFrom: a@x.example\r\n\r\nHT-18\r\n",
    "nothing": b"\r\n",
    "no head": b"just words\r\n",
    "date beyond the calendar": _HEAD + b"Date: Fri, 99 Foo 99999 99:99:99 +9999\r\n\r\nHT-1\r\n",
    "a header of 1 MB": b"X: " + b"y" * 1_000_000 + b"\r\n" + _HEAD + b"\r\nHT-100009\r\n",
}
#: The same Message-ID over other words, and the same words under another Message-ID.
SAME = (
    b"From: a@x.example\r\nMessage-ID: <same@x>\r\n\r\nPlease cancel HT-200001.\r\n",
    b"From: a@x.example\r\nMessage-ID: <same@x>\r\n\r\nPlease cancel HT-200002.\r\n",
    b"From: a@x.example\r\nMessage-ID: <other@x>\r\n\r\nPlease cancel HT-200002.\r\n",
)
