"""A Dask cluster of real processes on 127.0.0.1, whose process numbers are known: to be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).parents[1]


@dataclass
class DaskCluster:
    folder: Path
    environment: dict[str, str]
    scheduler: subprocess.Popen[bytes] | None = None
    nannies: list[subprocess.Popen[bytes]] = field(default_factory=list)
    address: str = ""
    started: int = 0

    def start_scheduler(self, *options: str) -> str:
        """Start one, the first or the next; its address."""
        self.started += 1
        told = self.folder / f"scheduler-{self.started}.json"
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(told), *options,
        )  # fmt: skip
        wait_until(told.exists, "no scheduler came")
        wait_until(lambda: told.read_text().rstrip().endswith("}"), "no address came")
        self.address = json.loads(told.read_text())["address"]
        return self.address

    def start_worker(self, *options: str) -> subprocess.Popen[bytes]:
        """One worker of one thread under a nanny, which starts it again when it is killed."""
        nanny = self._start(
            "worker", self.address, "--nworkers", "1", "--nthreads", "1", "--no-dashboard",
            "--host", "127.0.0.1", "--local-directory", str(self.folder / "scratch"),
            "--death-timeout", "60", *options,
        )  # fmt: skip
        self.nannies.append(nanny)
        return nanny

    def workers(self) -> list[int]:
        """The process numbers of the workers that live, nannies left out."""
        return [pid for nanny in self.nannies for pid in workers_of(nanny.pid)]

    def logs(self) -> str:
        """All that scheduler, nannies and workers have said."""
        return "".join(path.read_text("utf-8", "replace") for path in self.folder.glob("*.log"))

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        name = f"{command[0]}-{time.monotonic_ns()}.log"
        with (self.folder / name).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                env=self.environment, stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip

    def end(self) -> None:
        for process in (*self.nannies, self.scheduler):
            if process and process.poll() is None:
                family = workers_of(process.pid)
                process.send_signal(signal.SIGKILL)
                process.wait()
                for pid in family:
                    wait_until(lambda pid=pid: not is_alive(pid), "a worker outlives its nanny")
        self.nannies.clear()


@contextmanager
def dask_cluster(
    folder: Path, workers: int = 2, *, allowed_failures: int = 3, **environment: str
) -> Iterator[DaskCluster]:
    """A scheduler and so many workers, set up as in docs/scale.md; they import what tests can."""
    settings = {
        "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
        "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "500ms",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
        "PYTHONPATH": str(TESTS),
    }
    cluster = DaskCluster(folder, {**os.environ, **settings, **environment})
    try:
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker()
        wait_until(lambda: len(cluster.workers()) == workers, "no workers came")
        yield cluster
    finally:
        cluster.end()


def workers_of(nanny: int) -> list[int]:
    """The worker that runs below a nanny: its child that is no resource tracker."""
    found = []
    with suppress(OSError):  # whatever has ended while we look
        for thread in Path(f"/proc/{nanny}/task").iterdir():  # a nanny starts them in one
            children = map(int, (thread / "children").read_text().split())
            found += [
                pid
                for pid in children
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, words: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(words)
        time.sleep(0.02)
