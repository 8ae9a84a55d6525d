"""Where trials take place: services, lanes that work side by side, and what a trial has shown."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from services.cutting_proxy import CuttingProxy, cutting_proxy
from services.dovecot import Dovecot, Mailbox, running_dovecot
from services.postgres import Postgres, running_postgres

from faults.oracle import TABLES, Mail, connected, judged, mailbox_as_kept, told
from faults.worker import Job

Kind = Literal["sqlite", "postgres"]
KINDS: tuple[Kind, ...] = ("sqlite", "postgres")
TESTS = Path(__file__).parents[1]
LONGEST_S = 35.0  # no run may take longer, whatever happens to it
_ENOUGH = 20  # violations in a row of the report; more would not tell more
MIGRATING = threading.Lock()  # Alembic cannot do it in two threads at once
#: Planted in every mail; no log may show one (I8).
CANARIES = ("Quillfeather", "she cries every evening", "canary-note-7731")


@dataclass(frozen=True)
class Ended:
    """How one run ended."""

    code: int
    hung: bool = False
    problems: tuple[str, ...] = ()
    failed: bool = False
    refused: bool = False
    error: str = ""
    uncaught: bool = False
    seconds: float = 0.0
    rss_mb: int = 0
    tally: tuple[dict[str, int], ...] = ()

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def well(self) -> bool:
        return self.code == 0 and not self.problems


class Nest:
    """The process that forks runs; see ``worker``. For one thread at a time."""

    def __init__(self, log: Path) -> None:
        paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.worker", str(log)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip

    def start(self, job: Job) -> int:
        pid: int = self._ask({"job": asdict(job)})["pid"]
        return pid

    def warm(self, job: Job) -> None:
        """Do *job* in the nest itself: what it leaves in memory, all others need not make again."""
        answer = self._ask({"warm": asdict(job)})
        assert not answer["error"], answer

    def wait(self, pid: int, seconds: float = LONGEST_S) -> Ended:
        answer = self._ask({"wait": pid, "seconds": seconds})
        for name in ("problems", "tally"):
            answer[name] = tuple(answer.get(name, ()))
        return Ended(**answer)

    def close(self) -> None:
        self._process.communicate(timeout=10)

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@dataclass
class Lane:
    """What one trial at a time has to itself: a nest, databases, a mailbox, a proxy before it."""

    number: int
    nest: Nest
    folder: Path
    bench: Bench
    box: Mailbox
    mails: list[Mail]
    proxy: CuttingProxy
    # One for its whole life: servers that a thread starts die with it.
    thread: ThreadPoolExecutor
    postgres_url: str

    @property
    def sqlite_url(self) -> str:
        return f"sqlite:///{self.folder / 'mail.sqlite3'}"

    def fresh(self, kind: Kind) -> str:
        """The address of an empty database of *kind*, the same one each time."""
        if kind == "postgres":
            empty(self.postgres_url)
            return self.postgres_url
        for file in self.folder.glob("mail.sqlite3*"):
            file.unlink()
        shutil.copy(self.bench.template, self.folder / "mail.sqlite3")
        return self.sqlite_url

    def job(self, url: str, **changes: Any) -> Job:
        """A run over this lane's mailbox; through its proxy with ``proxied=True``."""
        port = self.bench.dovecot.plain_port
        if changes.pop("proxied", False):
            port = self.proxy.port
        box = changes.pop("box", self.box)
        spec = f"imap://{box.user}@127.0.0.1:{port}/INBOX"
        return Job(**{"url": url, "spec": spec, "password": box.password, **changes})

    def run(self, job: Job) -> Ended:
        return self.nest.wait(self.nest.start(job))

    def run_struck(
        self, job: Job, calls: str, fault: str, *, told: Path = Path("/dev/null")
    ) -> Ended:
        """Run *job* with *fault* put into the system calls *calls* by strace, which are *told*."""
        pid = self.nest.start(Job(**{**asdict(job), "traced": True}))
        command = ["strace", "-f", "-qq", "-o", str(told), "-p", str(pid), "-e", f"trace={calls}"]
        inject = ["-e", f"inject={calls}:{fault}"] if fault else []
        tracer = subprocess.Popen([*command, *inject], stderr=subprocess.DEVNULL)
        try:
            ended = self.nest.wait(pid)
            assert ended.code != 6, "strace could not attach"
            return ended
        finally:
            tracer.terminate()
            tracer.wait(10)

    def recover(self, job: Job) -> tuple[Ended, float]:
        """Run *job*, undisturbed, until it has ended well; how it did, and in how many seconds."""
        started = time.monotonic()
        while True:
            ended = self.run(job)
            # Of a run with a planted bug nobody expects that it ever ends well.
            late = time.monotonic() - started > (1 if job.bug else LONGEST_S)
            # A server may need a moment until it knows that a killed run is gone.
            if ended.well or late:
                return ended, time.monotonic() - started
            time.sleep(0.02)


def empty(url: str) -> None:
    with connected(url) as connection:
        kept = ", ".join(table for table in TABLES if table != "ledger")
        connection.execute("SET session_replication_role = replica")  # the audit trail only grows
        connection.execute(f"TRUNCATE {kept} RESTART IDENTITY CASCADE")
        zero = "message_id = 0, case_id = 0, decision_id = 0, quarantine_id = 0, audit_id = 0"
        connection.execute(f"UPDATE ledger SET {zero}, audit_hash = repeat('0', 64)")


@dataclass
class Trial:
    """What one trial has shown; every violation is a line that begins with the invariant's name."""

    violations: list[str] = field(default_factory=list)
    kills: int = 0
    runs: int = 0
    slowest_s: float = 0.0
    recovery_s: float = 0.0
    noted: Counter[str] = field(default_factory=Counter)

    def saw(self, *ended: Ended) -> None:
        """Count runs, and what no run may do: hang, or end by an error that nobody expects."""
        for one in ended:
            self.runs += 1
            self.kills += one.killed and not one.hung
            self.slowest_s = max(self.slowest_s, one.seconds)
            if one.hung:
                self.violations.append(f"hang of over {LONGEST_S:.0f} s")
            if one.uncaught:
                self.violations.append(f"uncaught {one.error.partition(':')[0]}")
            words = " ".join((one.error, *one.problems))
            self.violations += told(words, CANARIES)
            if one.refused:
                self.noted["called refused"] += 1


Try = Callable[[Lane], Trial]


@dataclass
class Row:
    """A row of the report: which rows of the matrix it stands for, and its trials."""

    title: str
    matrix: str
    tries: Iterable[Try]
    must_note: str = ""  # of a control: what it must have found at least once, or it proves nothing
    result: Trial = field(default_factory=Trial)
    trials: int = 0
    seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, trial: Trial) -> None:
        with self._lock:
            self.trials += 1
            self.result.violations += trial.violations
            self.result.kills += trial.kills
            self.result.runs += trial.runs
            self.result.slowest_s = max(self.result.slowest_s, trial.slowest_s)
            self.result.recovery_s = max(self.result.recovery_s, trial.recovery_s)
            self.result.noted.update(trial.noted)


@dataclass
class Bench:
    """The services, and as many lanes as work side by side."""

    dovecot: Dovecot
    postgres: Postgres
    folder: Path
    template: Path  # an SQLite file with all tables and no row
    log: Path
    lanes: list[Lane] = field(default_factory=list)
    at_end: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def do(self, row: Row) -> None:
        """Carry out all trials of *row*, each on a lane of its own."""
        started = time.monotonic()
        waiting: queue.SimpleQueue[Try | None] = queue.SimpleQueue()
        for each in itertools.chain(row.tries, [None] * len(self.lanes)):
            waiting.put(each)
        for done in [lane.thread.submit(_work, lane, waiting, row) for lane in self.lanes]:
            done.result()
        row.seconds = time.monotonic() - started
        if row.must_note in row.result.noted and not row.result.noted[row.must_note]:
            row.result.violations.append(f"the control proves nothing: no {row.must_note}")
        row.result.violations += told(self.log.read_text(errors="replace"), CANARIES)
        self.log.write_bytes(b"")


def _work(lane: Lane, waiting: queue.SimpleQueue[Try | None], row: Row) -> None:
    while (attempt := waiting.get()) is not None:
        if len(row.result.violations) > _ENOUGH:
            row.result.noted["left out"] += 1
            continue
        try:
            row.add(attempt(lane))
        except Exception as error:  # noqa: BLE001 - a broken trial must not end the campaign
            row.add(Trial([f"broken trial: {type(error).__name__}: {error}"]))


def letter(number: int, body: str = "") -> bytes:
    """A short mail that is like no other; it holds every canary."""
    name, cries, note = CANARIES
    text = body or f"Please cancel HT-{number:06}. {cries}. {note}."
    return (
        f"From: T <t{number}@x.example>\r\nSubject: {name} {number}\r\n"
        f"Message-ID: <{number}@x>\r\n\r\n{text}\r\n"
    ).encode()


MAILS = [letter(number) for number in range(5)]


@contextlib.contextmanager
def running_bench(lanes: int = 2) -> Iterator[Bench]:
    """Start everything, and stop it at the end."""
    with contextlib.ExitStack() as stack:
        memory = Path("/dev/shm")
        parent = memory if memory.is_dir() else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=parent)))
        dovecot = stack.enter_context(running_dovecot())
        postgres = stack.enter_context(running_postgres())
        yield stack.enter_context(bench_on(dovecot, postgres, folder, lanes))


@contextlib.contextmanager
def bench_on(dovecot: Dovecot, postgres: Postgres, folder: Path, lanes: int) -> Iterator[Bench]:
    """A bench on services that run already."""
    from store import open_store

    template = folder / "template.sqlite3"
    open_store(f"sqlite:///{template}").close()
    bench = Bench(dovecot, postgres, folder, template, folder / "log")
    with contextlib.ExitStack() as stack:
        for number in range(lanes):
            bench.lanes.append(_lane(bench, number, stack))
        stack.enter_context(bench.at_end)
        yield bench


def _lane(bench: Bench, number: int, stack: contextlib.ExitStack) -> Lane:
    folder = bench.folder / f"lane{number}"
    folder.mkdir()
    nest = Nest(bench.log)
    stack.callback(nest.close)
    box = bench.dovecot.mailbox(MAILS)
    mails = as_kept(bench, box)
    proxy = stack.enter_context(cutting_proxy(bench.dovecot.plain_port))
    thread = stack.enter_context(ThreadPoolExecutor(1))
    url = bench.postgres.database()
    lane = Lane(number, nest, folder, bench, box, mails, proxy, thread, url)
    kinds: tuple[Kind, ...] = ("sqlite", "postgres")
    for kind in kinds:
        nest.warm(lane.job(lane.fresh(kind)))
    return lane


def as_kept(bench: Bench, box: Mailbox) -> list[Mail]:
    return mailbox_as_kept(bench.dovecot.plain_port, box.user, box.password)


def recovered(
    lane: Lane,
    trial: Trial,
    job: Job,
    mails: Collection[Mail],
    *,
    gone: Collection[Mail] = (),
    taken_back: bool = False,
) -> Trial:
    """Let an undisturbed run of *job* follow, and judge what there is after it."""
    ended, seconds = lane.recover(job)
    trial.saw(ended)
    trial.recovery_s = max(trial.recovery_s, seconds)
    if not ended.well:
        trial.violations.append(f"I5 no run ends well after it: {ended.error or ended.problems}")
    trial.violations += judged(job.url, mails, gone=gone, taken_back=taken_back)
    return trial
