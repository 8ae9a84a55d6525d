"""An archive read again on a Dask cluster of which a worker, nanny or scheduler is killed.

The cluster of a lane lives from trial to trial, mended by hand as a service manager would. What was
read is judged by the files alone: each message in exactly one row, whatever was run again.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from rereading_jobs import letters, light_workers, mbox_of
from services.dask_cluster import DaskCluster, dask_cluster, wait_until

from faults.bench import Lane, Row, Trial
from ingest.cluster import ClusterError, Tls, cluster_at
from ingest.parts import Part, parts_of
from ingest.sources import Access
from review.part_files import path_of, rows_in
from review.rereading import Job
from review.sharing_out import reread

_MESSAGES = 48
_PART = 6
_SLOWLY_S = 0.02
_VICTIMS = ("worker", "nanny", "scheduler", "worker twice")

_clusters: dict[int, DaskCluster] = {}
_one_at_a_time = threading.Lock()


def killed(count: int) -> Row:
    chance = random.Random(44)
    plans = [(_VICTIMS[n % len(_VICTIMS)], chance.uniform(0, 1.0)) for n in range(count)]
    tries = [lambda lane, plan=plan: kill_one(lane, *plan) for plan in plans]
    return Row("a worker, nanny or scheduler of the cluster is killed", "44", tries)


def kill_one(lane: Lane, victim: str, after_s: float, *, lost: int = 0) -> Trial:
    """*lost* plants a bug: so many parts are taken for read that are not."""
    trial, begun = Trial(runs=1), time.monotonic()
    with tempfile.TemporaryDirectory(dir=lane.folder) as name:
        folder, cluster = Path(name), _mended(lane)
        contents = letters(_MESSAGES)
        spec = mbox_of(folder / "archive.mbox", contents)
        job = Job(folder.name, folder, light_workers(_SLOWLY_S), 2**20)
        [whole] = parts_of(spec, Access())
        parts = [
            Part(whole.archive, whole.stretch, skip=n, take=_PART)
            for n in range(0, _MESSAGES, _PART)
        ]
        killer = threading.Thread(target=_kill, args=(cluster, victim, folder, after_s, trial))
        killer.start()
        done = _read(job, parts, cluster, resume=False)
        killer.join()
        if done is None:
            recovering = time.monotonic()
            done = _read(job, parts, _mended(lane), resume=True)
            trial.recovery_s = time.monotonic() - recovering
            trial.noted["gone on with"] += 1
        trial.violations += _judged(job, (done or [])[lost:], contents)
    trial.slowest_s = time.monotonic() - begun
    return trial


def _read(job: Job, parts: list[Part], cluster: DaskCluster, *, resume: bool) -> list[Part] | None:
    """The parts that are read in the end, None where the cluster was lost on the way."""
    try:
        with cluster_at(cluster.address, Tls(), patience_s=60) as hands:
            return [part for part, _ in reread(job, parts, hands, resume=resume)]
    except ClusterError:
        return None


def _kill(cluster: DaskCluster, victim: str, folder: Path, after_s: float, trial: Trial) -> None:
    deadline = time.monotonic() + 20
    while not any(folder.glob("part-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(after_s)
    pids = {
        "worker": cluster.workers()[:1],
        "worker twice": cluster.workers()[:2],
        "nanny": [cluster.nannies[0].pid],
        "scheduler": [cluster.scheduler.pid] if cluster.scheduler else [],
    }[victim]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        trial.kills += 1
        trial.noted[victim] += 1
    if victim == "nanny":
        cluster.nannies.pop(0).wait()
        cluster.start_worker()


def _mended(lane: Lane) -> DaskCluster:
    """The lane's cluster, with a scheduler and two workers that live."""
    with _one_at_a_time:
        cluster = _clusters.get(lane.number)
        if cluster is None:
            folder = lane.folder / "dask"
            folder.mkdir()
            starting = dask_cluster(folder)
            cluster = _clusters[lane.number] = starting.__enter__()
            atexit.register(starting.__exit__, None, None, None)
    if cluster.scheduler is None or cluster.scheduler.poll() is not None:
        cluster.end()
        cluster.start_scheduler()
    cluster.nannies = [nanny for nanny in cluster.nannies if _lives(nanny)]
    while len(cluster.nannies) < 2:
        cluster.start_worker()
    wait_until(lambda: len(cluster.workers()) == 2, "no workers came")
    return cluster


def _lives(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


def _judged(job: Job, done: list[Part], contents: list[bytes]) -> list[str]:
    rows = [row for part in done for row in rows_in(path_of(job.folder, part.key))]
    found = Counter(row["digest"] for row in rows)
    wanted = Counter(hashlib.sha256(content).hexdigest() for content in contents)
    violations = []
    if lost := wanted - found:
        violations.append(f"I1 {lost.total()} messages of the archive in no row")
    if doubled := found - wanted:
        violations.append(f"I2 {doubled.total()} rows too many")
    if blamed := [row["cause"] for row in rows if row["cause"]]:
        violations.append(f"I3 {len(blamed)} messages blamed for what was killed")
    return violations
