"""Programs kept alive as a service manager keeps them, and how much memory they take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from scipy.stats import theilslopes

TESTS = Path(__file__).parents[1]
#: Before a program that ended is started again.
_PAUSE_S = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


def command(settings: Path, *words: str) -> list[str]:
    """``fit-triage`` with *words*; it does not outlive the thread that starts it."""
    program = [sys.executable, "-m", "soak.program", "--config", str(settings), *words]
    return ["setpriv", "--pdeathsig", "KILL", *program]


@dataclass
class Service:
    """A program that runs until it is told otherwise; ``tend`` starts it again once it ended."""

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    ends: Counter[str] = field(default_factory=Counter)  # how it ended, and how often
    process: subprocess.Popen[bytes] | None = None
    _again_at: float = 0.0

    def tend(self) -> None:
        if self.process is not None and (code := self.process.poll()) is not None:
            self.ends[how(code)] += 1
            self.process, self._again_at = None, time.monotonic() + _PAUSE_S
        if self.process is None and time.monotonic() >= self._again_at:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    self.words, env=dict(self.environment), stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def stop(self, within_s: float = 30) -> str:
        """Ask it to end, and make it; how it ended."""
        if self.process is None:
            return "not running"
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(within_s)
        self.signal(signal.SIGKILL)
        return how(self.process.wait(10))


@dataclass
class Schedule:
    """Runs as a scheduler starts them, one at a time; a hung one is killed and told."""

    words: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    every_s: float
    ends: Counter[str] = field(default_factory=Counter)
    process: subprocess.Popen[bytes] | None = None
    prefix: tuple[str, ...] = ()  # of the next one alone
    started: int = 0
    _begun: float = 0.0

    def tend(self, longest_s: float = 120) -> None:
        if self.process is not None:
            self._look(longest_s)
        elif time.monotonic() - self._begun >= self.every_s:
            self.start()

    def start(self) -> None:
        prefix, self.prefix = self.prefix, ()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, *self.words], env=dict(self.environment), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.started, self._begun = self.started + 1, time.monotonic()

    def kill(self) -> bool:
        process = self.process
        if process is None or process.poll() is not None:
            return False
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return True

    def _look(self, longest_s: float) -> None:
        assert self.process is not None
        code = self.process.poll()
        if code is None and time.monotonic() - self._begun > longest_s:
            self.kill()
            self.process.wait(10)
            self.ends["hung"] += 1
        elif code is not None:
            self.ends[how(code)] += 1
        else:
            return
        self.process = None


def how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


# --- memory ---------------------------------------------------------------------------------------


@dataclass
class Memory:
    """Resident memory of services over time, in MB; each of their processes by itself."""

    services: Sequence[Service]
    every_s: float = 5.0
    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _due: float = 0.0

    def look(self, moment: float) -> None:
        if moment < self._due:
            return
        self._due = moment + self.every_s
        for service in self.services:
            if service.process is not None and service.process.poll() is None:
                for pid, held in resident(service.process.pid).items():
                    own = pid == service.process.pid
                    name = f"{service.name} {pid}" if own else f"{service.name}'s-child {pid}"
                    self.samples.setdefault(name, []).append((moment, held))

    def now(self, service: Service) -> float:
        """MB that *service* and its children hold together at this moment."""
        return sum(resident(service.process.pid).values()) if service.process else 0.0


def resident(pid: int) -> dict[int, float]:
    """MB that a process and each below it hold; nothing once it is gone.

    Each by itself: a child that is killed and comes back is no growth of the whole.
    """
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    pids, held = [pid], {}
    while pids:
        one = pids.pop()
        pids += children.get(one, [])
        with suppress(OSError):
            pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
            held[one] = pages * _PAGE / 2**20
    return held


def growth(samples: Sequence[tuple[float, float]], since: float) -> tuple[float, float]:
    """MB an hour over what lies after *since*, and the MB at its end.

    The slope is the median of the slopes between any two samples (Theil and Sen): a process that
    grows does so wherever one looks, while one step up, after which all is flat, is no slope.
    """
    late = [(moment, held) for moment, held in samples if moment >= since]
    if len(late) < 3:
        return 0.0, late[-1][1] if late else 0.0
    moments, held = zip(*late, strict=True)
    return float(theilslopes(held, moments).slope) * 3600, held[-1]


class Tending(threading.Thread):
    """Looks after services and schedule until told to stop; all of them die with it."""

    def __init__(self, services: Sequence[Service], schedule: Schedule, memory: Memory) -> None:
        super().__init__(name="tending")
        self._services, self._schedule, self._memory = services, schedule, memory
        self._begun = time.monotonic()
        self.stopped = threading.Event()
        self.resting = threading.Event()  # no new run, no restart
        self.failed: list[str] = []

    def run(self) -> None:
        while not self.stopped.wait(0.1):
            try:
                if not self.resting.is_set():
                    for service in self._services:
                        service.tend()
                    self._schedule.tend()
                self._memory.look(time.monotonic() - self._begun)
            except Exception as error:  # noqa: BLE001 - a soak without tending proves nothing
                self.failed.append(f"{type(error).__name__}: {error}")
