"""An archive read again on a real Dask cluster, whose processes are killed while it is."""

import hashlib
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults import clusters
from rereading_jobs import (
    KILLS_ITS_READER,
    KILLS_THE_WORKER,
    KillsTheScheduler,
    ends_twice,
    letters,
    light_workers,
    mbox_of,
)
from services.dask_cluster import DaskCluster, dask_cluster, wait_until

from ingest.cluster import ClusterError, Tls, cluster_at
from ingest.parts import Part, parts_of
from ingest.sources import Access, SourceSpecError
from review.part_files import path_of, rows_in
from review.rereading import Job, let_go
from review.sharing_out import reread

PART = 4  # messages


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    with dask_cluster(folder, allowed_failures=0) as running:
        yield running


def job(folder: Path, *, slowly_s: float = 0.0) -> Job:
    folder.mkdir(exist_ok=True)
    return Job(folder.name, folder, light_workers(slowly_s), 2**20)


def cut(spec: str, count: int) -> list[Part]:
    """An mbox in small parts."""
    [whole] = parts_of(spec, Access())
    return [
        Part(whole.archive, whole.stretch, skip=first, take=PART) for first in range(0, count, PART)
    ]


def read_all(job: Job, parts: list[Part], address: str, *, resume: bool = False) -> list[Part]:
    done = []
    with cluster_at(address, Tls()) as hands:
        try:
            done += [part for part, _ in reread(job, parts, hands, resume=resume)]
        finally:
            hands.everywhere(let_go, job.run)
    return done


def digests(job: Job, done: list[Part]) -> Counter[str]:
    rows = [row for part in done for row in rows_in(path_of(job.folder, part.key))]
    return Counter(row["digest"] for row in rows)


def each_once(contents: list[bytes]) -> Counter[str]:
    return Counter(hashlib.sha256(content).hexdigest() for content in contents)


def test_workers_killed_in_mid_run_lose_nothing_and_double_nothing(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    contents = letters(60)
    spec = mbox_of(tmp_path / "archive.mbox", contents)
    slow = job(tmp_path / "out", slowly_s=0.01)
    before = cluster.workers()

    def kill() -> None:
        for pid in before:
            wait_until(lambda: any(slow.folder.glob("part-*")), "nothing is read")
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)

    killer = threading.Thread(target=kill)
    killer.start()
    done = read_all(slow, cut(spec, len(contents)), cluster.address)
    killer.join()

    assert digests(slow, done) == each_once(contents)
    assert len(before) == 2
    assert not set(before) & set(cluster.workers())


def test_a_message_that_kills_its_reader_is_set_aside_and_the_worker_lives(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    contents = letters(12, odd={5: KILLS_ITS_READER})
    spec = mbox_of(tmp_path / "archive.mbox", contents)
    wait_until(lambda: len(cluster.workers()) == 2, "the workers have not come back")
    before, given = cluster.workers(), job(tmp_path / "out")

    done = read_all(given, cut(spec, len(contents)), cluster.address)

    rows = [row for part in done for row in rows_in(path_of(given.folder, part.key))]
    aside = {row["digest"]: row["cause"] for row in rows if row["cause"]}
    assert aside == {hashlib.sha256(contents[5]).hexdigest(): "killed_reader"}
    assert digests(given, done) == each_once(contents)
    assert cluster.workers() == before


def test_a_message_that_kills_every_worker_is_found_and_set_aside_and_the_rest_is_read(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    contents = letters(12, odd={4: KILLS_THE_WORKER})
    spec = mbox_of(tmp_path / "archive.mbox", contents)
    given = job(tmp_path / "out")

    done = read_all(given, cut(spec, len(contents)), cluster.address)

    rows = [row for part in done for row in rows_in(path_of(given.folder, part.key))]
    aside = {row["digest"]: row["cause"] for row in rows if row["cause"]}
    assert aside == {hashlib.sha256(contents[4]).hexdigest(): "killed_worker"}
    assert digests(given, done) == each_once(contents)


def test_a_task_that_is_lost_while_its_result_is_fetched_is_not_waited_for_in_vain(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    with cluster_at(cluster.address, Tls()) as hands:
        wait_until(lambda: len(cluster.workers()) == 2, "the workers have not come back")
        waiting = hands.executor.submit(ends_twice, tmp_path / "done-once")
        done, _ = wait([waiting], timeout=60)

        assert done == {waiting}
        assert hands.outcome(waiting) is None


def test_a_scheduler_that_is_lost_while_a_result_is_fetched_is_said_to_be_gone(
    cluster: DaskCluster,
) -> None:
    with cluster_at(cluster.address, Tls()) as hands:
        waiting = hands.executor.submit(KillsTheScheduler, cluster.scheduler.pid)

        with pytest.raises(ClusterError, match="the scheduler of the cluster is gone"):
            hands.outcome(waiting)

    cluster.end()
    cluster.start_scheduler()
    cluster.start_worker()


def test_after_the_scheduler_is_killed_the_rest_is_read_on_another(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    contents = letters(40)
    spec = mbox_of(tmp_path / "archive.mbox", contents)
    slow, parts, first = job(tmp_path / "out", slowly_s=0.01), cut(spec, 40), []

    def lose_the_scheduler() -> None:
        with cluster_at(cluster.address, Tls()) as hands:
            for part, _ in reread(slow, parts, hands, resume=False):
                first.append(part)
                if len(first) == 1:
                    cluster.scheduler.kill()

    with pytest.raises(ClusterError):
        lose_the_scheduler()
    cluster.end()
    cluster.start_scheduler()
    cluster.start_worker()
    written = {path: path.stat().st_mtime_ns for path in slow.folder.glob("part-*")}
    done = read_all(slow, parts, cluster.address, resume=True)

    assert digests(slow, done) == each_once(contents)
    assert (
        written.items()
        <= {path: path.stat().st_mtime_ns for path in slow.folder.glob("part-*")}.items()
    )
    assert written


def test_the_fault_campaign_finds_messages_that_are_lost(
    cluster: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clusters._clusters, 0, cluster)
    lane = SimpleNamespace(number=0, folder=tmp_path)

    sound = clusters.kill_one(lane, "worker", 0.1)
    with_a_bug = clusters.kill_one(lane, "worker", 0.1, lost=1)

    assert (sound.violations, sound.kills) == ([], 1)
    assert with_a_bug.violations == ["I1 6 messages of the archive in no row"]


def test_no_word_of_a_mail_is_in_what_the_cluster_says(cluster: DaskCluster) -> None:
    said = cluster.logs()

    assert "distributed" in said
    assert "CANARY" not in said
    assert "therapist" not in said


def test_a_cluster_that_is_not_there_is_said_in_one_line() -> None:
    nowhere = cluster_at("tcp://127.0.0.1:9", Tls(), patience_s=0.5)
    with pytest.raises(ClusterError, match="no scheduler of a cluster answers"), nowhere:
        pass
    with pytest.raises(SourceSpecError, match="tls"), cluster_at("tls://127.0.0.1:9", Tls()):
        pass
