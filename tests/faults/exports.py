"""Exports killed at every write, sync and rename: whole and on record, or not under their name.

The export runs in a process of its own, which waits until it is traced, so that no call of its
start is counted.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from faults.bench import Kind, Lane, Row, Trial

#: What an export consists of, as the kernel sees it; the last two are the database's.
CALLS = ("mkdir", "flock", "openat", "write", "fsync", "rename", "unlink", "rmdir")
_OF_DATABASE = {"sqlite": ("pwrite64", "fdatasync"), "postgres": ("sendto", "recvfrom")}
_FORMS = ("csv", "jsonl", "parquet")
_LONGEST_S = 60


def killed(lane: Lane, kind: Kind, count: int) -> Row:
    calls = (*CALLS, *_OF_DATABASE[kind])
    made = {form: calls_made(lane, kind, form, calls) for form in _FORMS}
    points = [
        (form, call, number)
        for call in calls
        for form in _FORMS
        for number in range(1, 1 + made[form][call])
    ]
    every = max(1, len(points) // count)
    chosen = itertools.islice(itertools.cycle(points[::every]), max(count, 1))
    tries = [lambda lane, point=point: kill(lane, kind, *point) for point in chosen]
    return Row(f"an export killed at any of {len(points)} calls ({kind})", "3, 49", tries)


def kill(lane: Lane, kind: Kind, form: str, call: str, number: int) -> Trial:
    """Kill an export at its *number*-th *call*; then look, and export again undisturbed."""
    trial = Trial()
    url, out = prepared(lane, kind)
    code = export(url, out, form, inject=f"{call}:signal=SIGKILL:when={number}")
    trial.runs += 1
    trial.kills += code == -signal.SIGKILL
    trial.violations += judged(url, out)
    began = time.monotonic()
    if export(url, out, form) != 0:
        trial.violations.append("after a killed export none can be made")
    trial.runs += 1
    trial.recovery_s = time.monotonic() - began
    trial.violations += judged(url, out)
    if left := [path for path in out.iterdir() if path.name.startswith(".")]:
        trial.violations.append(f"a killed export leaves {len(left)} unfinished folder")
    return trial


def prepared(lane: Lane, kind: Kind) -> tuple[str, Path]:
    """A database with mail in it, and an empty folder."""
    url = lane.fresh(kind)
    lane.run(lane.job(url))
    out = lane.folder / "exports"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return url, out


def judged(url: str, out: Path) -> list[str]:
    """What is wrong with the folders in *out*, by their manifests and by the record."""
    from store import open_store

    with open_store(url) as store:
        sealed = {export.manifest_sha256 for export in store.exports.made()} - {""}
        broken = store.first_broken_audit_row()
    wrong = ["I7 the audit trail is broken"] if broken is not None else []
    for folder in out.glob("fit-triage-export-*"):
        if not (folder / "manifest.json").is_file():
            wrong.append("I3 an export without its manifest is under its name")
            continue
        content = (folder / "manifest.json").read_bytes()
        if hashlib.sha256(content).hexdigest() not in sealed:
            wrong.append("I7 an export is there of which no record tells")
        told = {file["name"]: file["sha256"] for file in json.loads(content)["files"]}
        there = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.iterdir()
            if path.name != "manifest.json"
        }
        if told != there:
            wrong.append("I3 an export under its name is not what its manifest says")
        if {path.stat().st_mode & 0o777 for path in folder.iterdir()} != {0o600}:
            wrong.append("an export is readable for others")
    return wrong


def calls_made(lane: Lane, kind: Kind, form: str, calls: tuple[str, ...]) -> Counter[str]:
    url, out = prepared(lane, kind)
    log = lane.folder / "export.trace"
    assert export(url, out, form, log=log, calls=calls) == 0
    return Counter(re.findall(r"^(?:\d+ +)?(\w+)\(", log.read_text(), re.MULTILINE))


def export(
    url: str, out: Path, form: str, *, inject: str = "", log: Path | None = None,
    calls: tuple[str, ...] = (),
) -> int:  # fmt: skip
    """Export once, traced where that is asked for; the exit status, negative for a signal."""
    paths = os.pathsep.join((str(Path(__file__).parents[1]), str(Path(__file__).parents[2])))
    stops = "stop" if inject or log else "go"
    worker = subprocess.Popen(
        [sys.executable, "-m", "faults.exports", url, str(out), form, stops],
        env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    if stops == "go":
        return worker.wait(_LONGEST_S)
    os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
    traced = ",".join(calls) or inject.partition(":")[0]
    command = ["strace", "-f", "-p", str(worker.pid), "-e", f"trace={traced}"]
    command += ["-o", str(log or "/dev/null"), *(["-e", f"inject={inject}"] if inject else [])]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        status = Path(f"/proc/{worker.pid}/status")
        while "TracerPid:\t0" in status.read_text():
            assert tracer.poll() is None, "strace could not attach"
            time.sleep(0.005)
        os.kill(worker.pid, signal.SIGCONT)
        return worker.wait(_LONGEST_S)
    finally:
        tracer.terminate()
        tracer.wait(10)


def main() -> None:
    """The export itself, in a process that may be killed."""
    url, out, form, stops = sys.argv[1:]
    import pyarrow.parquet  # noqa: F401 - before the calls are counted

    from review.exporting import export as write
    from store import open_store
    from store.exports import FORMATS, WHAT, Wish

    now = datetime.now(UTC)
    [known] = [one for one in FORMATS if one == form]
    wish = Wish("root", "", "bench", WHAT, known, now + timedelta(days=1), out)
    with open_store(url) as store:
        store.counts()
        if stops == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        write(store, wish, now)


if __name__ == "__main__":
    main()
