"""Real runs in processes that can be killed, forked from one that has everything imported.

A run is `pipeline.run_sources` with one thing replaced: instead of the models a stand-in reads each
message as one fixed request, so that no process loads spaCy. Jobs come as JSON lines on standard
input; see ``Job``.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import logging
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self

#: Where a run can be struck, in the order in which a batch passes them. ``run`` names the whole.
STAGES = (
    "opened", "connected", "fetched", "kept", "parsed", "deciding", "decided", "flushing",
    "flushed", "committed", "releasing", "finishing",
)  # fmt: skip


#: What a run imports by and by.
_WANTED = (
    "psycopg", "sqlalchemy.dialects.postgresql.psycopg", "ingest.imap", "ingest.parsing",
    "pipeline", "triage.alternatives", "triage.cases", "triage.linking", "triage.policy",
    "triage.replies",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One run, and what is to strike it: ``at`` the k-th time at a stage, ``action`` is done."""

    url: str
    spec: str
    password: str = "x"
    size: int = 2  # messages in a batch
    timeout_s: float = 2.0
    max_message_bytes: int = 25 * 2**20
    at: tuple[str, int] | None = None
    action: str = "kill"
    more: str = ""  # for the action
    traced: bool = False  # wait for a tracer before anything is done
    bug: str = ""
    lease_s: float = 600
    shift_s: float = 0  # by how much the clock is wrong
    now: str = "2026-11-22T12:00:00+00:00"
    retry: bool = False  # `quarantine retry` of everything instead of a run
    backup_to: str = ""  # folder: `backup` instead of a run
    restore_from: str = ""  # file: `restore` into ``url`` instead of a run
    acknowledged: str = ""  # file that tells how many messages the run called stored
    limits: dict[str, int] = field(default_factory=dict)  # of resources: {"NOFILE": 20}


def run_job(job: Job) -> dict[str, Any]:
    """Do *job* in this process; what came of it."""
    started = time.monotonic()
    result: dict[str, Any] = {"problems": [], "failed": False, "refused": False, "error": ""}
    try:
        result |= _run(job)
    except Exception as error:  # noqa: BLE001 - whatever it is, the campaign must know
        expected = type(error).__name__ in {"StoreError", "SourceError"}
        result |= {"error": f"{type(error).__name__}: {error}", "uncaught": not expected}
    result["seconds"] = time.monotonic() - started
    result["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result


def _run(job: Job) -> dict[str, Any]:
    import pipeline
    from faults.planted import plant
    from ingest.sources import Access
    from settings import Settings, SourceSettings
    from store import open_store

    _shift_clock(job.shift_s)
    hit = _stages(job)
    plant(job.bug)
    pipeline.LEASE = timedelta(seconds=job.lease_s)
    pipeline.reading_workers = lambda _: StandIn(hit)
    source = SourceSettings(url=job.spec)
    settings = Settings(
        batch_size=job.size, imap_timeout=job.timeout_s, sources=(source,), workers=1
    )
    access = Access(
        password=job.password,
        allow_plaintext=True,
        timeout_s=job.timeout_s,
        backoff_s=0.01,
        max_message_bytes=job.max_message_bytes,
    )
    Settings.access_to = lambda _self, _source: access
    now = datetime.fromisoformat(job.now)
    if job.backup_to or job.restore_from:
        return _kept_safe(job, now, hit)

    def stored(tally: Any) -> None:
        if job.acknowledged:
            Path(job.acknowledged).write_text(str(tally.fetched))
        hit("committed")

    with open_store(job.url, migrate=False) as store:
        hit("opened")
        if job.retry:
            pipeline.retry_quarantined(settings, store, store.quarantined(), now)
            return {}
        reports = pipeline.run_sources(settings, [source], store, now, progress=stored)
    return {
        "problems": [report.problem for report in reports if report.problem],
        "failed": any(report.failed for report in reports),
        "refused": any(report.refused for report in reports),
        "tally": [asdict(report.tally) for report in reports],
    }


def _kept_safe(job: Job, now: datetime, hit: Callable[[str], None]) -> dict[str, Any]:
    from store.backups import back_up, restore

    hit("opened")
    if job.backup_to:
        back_up(job.url, Path(job.backup_to), now)
    else:
        restore(Path(job.restore_from), job.url, "ops", now)
    return {}


class StandIn:
    """Parses as workers do, and reads every message as one request of its own."""

    def __init__(self, hit: Callable[[str], None]) -> None:
        self._hit = hit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, items: Sequence[Any]) -> Callable[[], list[Any]]:
        return lambda: [self._read(raw) for raw in items]

    def _read(self, raw: Any) -> Any:
        import pipeline
        from triage.records import Request

        parsed = pipeline._parse(pipeline.Reading(), raw)
        self._hit("parsed")
        if isinstance(parsed, pipeline.Unreadable):
            return parsed
        ask = Request(kind="cancellation", session_ids=(f"HT-{int(raw.digest[:6], 16):08}",))
        return pipeline.Understood(parsed, (ask,), "stand-in")


# Striking


def _stages(job: Job) -> Callable[[str], None]:
    """Put a call of ``hit`` where each stage is; gives ``hit``."""
    import pipeline
    from ingest.imap import ImapSource
    from store import Lease, Store
    from store.batch import Batch

    counts: Counter[str] = Counter()

    def hit(stage: str) -> None:
        counts[stage] += 1
        if job.at == (stage, counts[stage]):
            _strike(job)

    _around(ImapSource, "__enter__", after=partial(hit, "connected"))
    _around(Store, "keep_raw", before=partial(hit, "fetched"), after=partial(hit, "kept"))
    _around(pipeline, "record_message", partial(hit, "deciding"), partial(hit, "decided"))
    _around(Batch, "flush", before=partial(hit, "flushing"), after=partial(hit, "flushed"))
    _around(Lease, "release", before=partial(hit, "releasing"))
    _around(Store, "finish_run", before=partial(hit, "finishing"))
    return hit


def _around(
    owner: Any,
    name: str,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
) -> None:
    original = getattr(owner, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        before()
        result = original(*args, **options)
        after()
        return result

    setattr(owner, name, wrapped)


def _strike(job: Job) -> None:
    if job.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif job.action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif job.action == "end_backends":
        _end_backends(job.url, kill=job.more == "kill")
    elif job.action == "kill_processes":
        for pid in _imap_processes(int(job.more)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    elif job.action == "kill_one":
        os.kill(int(job.more), signal.SIGKILL)
    elif job.action == "kill_group":
        os.killpg(int(job.more), signal.SIGKILL)
    elif job.action == "expunge":
        _expunge(job)
    elif job.action == "abort_disk":  # as the kernel does after an error: read-only from now on
        subprocess.run(["mount", "-o", "remount,abort", job.more], check=True)


def _end_backends(url: str, *, kill: bool) -> None:
    """End all other sessions of the database; after SIGKILL the server recovers as from a crash."""
    import psycopg

    query = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        pids = [row[0] for row in connection.execute(query)]
        for pid in pids:
            if kill:
                os.kill(pid, signal.SIGKILL)
            else:
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))


def _imap_processes(master: int) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (process / "stat").read_text()
            command, _, rest = status.partition("(")[2].rpartition(")")
            if command == "imap" and int(rest.split()[1]) == master:
                found.append(int(process.name))
    return found


def _expunge(job: Job) -> None:
    import imaplib
    from urllib.parse import urlsplit

    place = urlsplit(job.spec)
    client = imaplib.IMAP4(place.hostname or "", place.port or 143, timeout=10)
    client.login(place.username or "", job.password)
    client.select("INBOX")
    client.uid("STORE", job.more, "+FLAGS.SILENT", r"(\Deleted)")
    client.expunge()
    client.logout()


def _shift_clock(seconds: float) -> None:
    """Have all of our modules see another time of day; the machine's clock stays as it is."""
    if not seconds:
        return
    shift = timedelta(seconds=seconds)

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + shift

    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in {"ingest", "store", "pipeline"} and hasattr(module, "datetime"):
            module.datetime = Shifted


# The nest


def main() -> None:
    """Fork a process for each job line; answer ``wait`` lines with what became of them."""
    _warm_up(sys.argv[1])
    pipes: dict[int, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "warm" in order:
            answer: dict[str, Any] = run_job(Job(**order["warm"]))
        elif "job" in order:
            told, tell = os.pipe()
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                os.close(told)
                _child(order["job"], tell)
            os.close(tell)
            pipes[pid] = told
            answer = {"pid": pid}
        else:
            pid = order["wait"]
            answer = _outcome(pid, pipes, order["seconds"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _outcome(pid: int, pipes: dict[int, int], seconds: float) -> dict[str, Any]:
    """How the process ended, if it does so in time; one that hangs is killed and said to hang."""
    handle = os.pidfd_open(pid)
    ended, _, _ = select.select([handle], [], [], seconds)
    os.close(handle)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    told = os.fdopen(pipes.pop(pid), "rb")
    with told:
        result = json.loads(told.read() or b"{}")
    return {"code": os.waitstatus_to_exitcode(status), "hung": not ended, **result}


def _child(given: dict[str, Any], tell: int) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if given.get("at"):
        given["at"] = tuple(given["at"])
    job = Job(**given)
    deadline = time.monotonic() + 10
    while job.traced and not _is_traced():
        time.sleep(0.0005)
        if time.monotonic() > deadline:
            os._exit(6)
    for name, most in job.limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    result = run_job(job)
    os.write(tell, json.dumps(result).encode())
    code = 5 if result.get("uncaught") else 4 if result["error"] else 3 if result["failed"] else 0
    os._exit(code)


def _is_traced() -> bool:
    status = Path("/proc/self/status").read_text()
    return "\nTracerPid:\t0\n" not in status


def _warm_up(log: str) -> None:
    """Import and make once what every run needs, so that a fork costs milliseconds."""
    logging.basicConfig(filename=log, level=logging.DEBUG)
    for name in _WANTED:
        importlib.import_module(name)
    # What SQLAlchemy makes of our statements is most of a short run's work; a warm run leaves it.
    import store.store

    store.store.open_database = lru_cache(store.store.open_database)
    from settings import Settings

    wording = Settings().wording()
    Settings.wording = lambda _: wording
    Settings().office_hours(datetime.now(UTC))


if __name__ == "__main__":
    main()
