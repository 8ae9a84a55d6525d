"""Runs that are killed, stopped, overtaken or doubled: nothing lost, twice or torn."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from services import missing
from services.postgres import Postgres, running_postgres
from sqlalchemy import text
from store_samples import NOW, SOURCE, email, key, outcome, raw_message

from store import LeaseHeldError, LeaseLostError, Store, StoreError, leases, open_store
from store.leases import Lease
from triage.records import Cursor

MINUTE = timedelta(minutes=1)
TESTS = Path(__file__).parents[1]

#: A run over 40 messages, four in a batch, as ``pipeline`` does it; says "done" at its end.
RUN = """
import sys
from store_samples import NOW, SOURCE, email, outcome, raw_message
from datetime import timedelta
from store import open_store
from triage.records import Cursor

with open_store(sys.argv[1]) as store, store.lease(SOURCE, "run", timedelta(minutes=1)) as lease:
    print("holding", flush=True)
    start = store.cursor(SOURCE, "INBOX")
    new = [raw_message(uid) for uid in range(1 + (start.uid if start else 0), 41)]
    for some in (new[i : i + 4] for i in range(0, len(new), 4)):
        store.keep_raw(some)
        with store.batch(lease, now=NOW) as batch:
            for raw in some:
                if batch.seen(raw.digest):
                    batch.already_known(raw.key, raw.digest)
                else:
                    batch.add(raw.key, raw.digest, email(raw.key.uid), [outcome()])
            batch.advance(Cursor(SOURCE, "INBOX", 7, some[-1].key.uid))
        sys.stdin.readline() if "step" in sys.argv else None
print("done", flush=True)
"""


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


@contextmanager
def running(url: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    with subprocess.Popen(
        [sys.executable, "-c", RUN, url, *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def assert_whole(store: Store, messages: int | None = None) -> None:
    """Invariants I1-I3 and I7, from the tables themselves."""
    with store._database.reading() as connection:

        def count(query: str) -> int:
            return connection.scalar(text(query))

        stored = count("SELECT count(*) FROM messages")
        assert count("SELECT count(DISTINCT digest) FROM messages") == stored
        assert count("SELECT count(*) FROM cases") == stored
        assert count("SELECT count(*) FROM decisions") == stored
        assert count("SELECT count(*) FROM places") == stored
        assert count("SELECT count(*) FROM audit") == 2 * stored
        lacking = "digest NOT IN (SELECT digest FROM raws)"
        assert count(f"SELECT count(*) FROM messages WHERE {lacking}") == 0
        assert (count("SELECT max(uid) FROM folders") or 0) == stored
    assert messages in (None, stored)
    assert store.first_broken_audit_row() is None


def test_a_run_killed_between_raw_and_commit_is_carried_on_by_the_next(store: Store) -> None:
    raw = raw_message(1)
    store.keep_raw([raw])

    def die_in_mid_batch() -> None:
        with store.batch(now=NOW) as batch:
            batch.add(raw.key, raw.digest, email(1), [outcome()])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die_in_mid_batch()

    assert store.raw(raw.digest) == raw.content
    assert store.known([raw.key]) == set()
    store.keep_raw([raw])
    with store.batch(now=NOW) as batch:
        batch.add(raw.key, raw.digest, email(1), [outcome()])
        batch.advance(Cursor(SOURCE, "INBOX", 7, 1))
    assert_whole(store, 1)


def test_a_second_run_is_refused_while_the_first_is_at_work(store: Store, store_url: str) -> None:
    with open_store(store_url) as second:
        with store.lease(SOURCE, "first", MINUTE) as held:
            with pytest.raises(LeaseHeldError, match="another run is at work on"):
                second.lease(SOURCE, "second", MINUTE)
            with second.lease("imaps://other@mail.example", "second", MINUTE):
                pass
        with second.lease(SOURCE, "second", MINUTE) as later:
            assert later.token > held.token


def test_what_a_run_brings_after_it_was_overtaken_is_refused(store: Store, store_url: str) -> None:
    slow = store.lease(SOURCE, "slow", timedelta(0))
    with open_store(store_url) as other, other.lease(SOURCE, "quick", MINUTE) as quick:
        with pytest.raises(LeaseLostError), store.batch(slow, now=NOW) as batch:
            batch.add(key(1), "d1", email(1), [outcome()])
        with pytest.raises(LeaseLostError):
            slow.renew()
        slow.release()

        with other.batch(quick, now=NOW) as batch:
            batch.add(key(1), "d1", email(1), [outcome()])

    assert store.counts().messages == 1


def test_a_late_run_that_nobody_overtook_may_still_store(store: Store) -> None:
    with store.lease(SOURCE, "slow", timedelta(0)) as lease, store.batch(lease, now=NOW) as batch:
        batch.add(key(1), "d1", email(1), [outcome()])

    assert store.counts().messages == 1


def test_the_holder_that_overtook_a_sleeper_is_not_taken_for_dead(
    store: Store, store_url: str
) -> None:
    sleeper = store.lease(SOURCE, "sleeper", timedelta(0))
    with (
        open_store(store_url) as second,
        open_store(store_url) as third,
        second.lease(SOURCE, "second", MINUTE),
    ):
        sleeper.release()  # and with it the only sign of life

        with pytest.raises(LeaseHeldError):
            third.lease(SOURCE, "third", MINUTE)


def test_nobody_gets_a_lease_without_a_sign_while_another_comes_or_goes(store_url: str) -> None:
    """A killed holder without a sign could not be told from one who lives."""
    with open_store(store_url) as one, open_store(store_url) as other:
        coming = leases._sign(one._database, SOURCE)
        with pytest.raises(LeaseHeldError):
            other.lease(SOURCE, "other", MINUTE)
        assert coming is not None
        coming.close()

        with other.lease(SOURCE, "other", MINUTE) as held:
            assert held._sign is not None


def test_of_threads_that_ask_at_the_same_moment_one_gets_the_lease(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = os.open
    # A thread that loses its turn right before the lock file is opened, as on a busy machine.
    monkeypatch.setattr(os, "open", lambda *given: (time.sleep(0.05), opening(*given))[1])
    start = threading.Barrier(4)
    held: list[Lease] = []

    def ask() -> None:
        start.wait(30)
        with suppress(LeaseHeldError):
            held.append(store.lease(SOURCE, "one of four", MINUTE))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(held) == 1
    held[0].release()


def test_a_killed_run_gives_way_to_the_next_at_once(store: Store, store_url: str) -> None:
    with running(store_url, "step") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        with pytest.raises(LeaseHeldError):
            store.lease(SOURCE, "next", MINUTE)
        process.kill()
        process.wait(10)

        lease = _taken_within(store, 5)

    lease.release()


def _taken_within(store: Store, seconds: float):
    # A server notices a broken connection in its own time.
    deadline = time.monotonic() + seconds
    while True:
        try:
            return store.lease(SOURCE, "next", MINUTE)
        except LeaseHeldError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def test_a_stopped_run_that_wakes_up_stores_nothing_more(store: Store, store_url: str) -> None:
    with running(store_url, "step") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        while not store.counts().messages:
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        with store._database.writing() as connection:
            connection.execute(text("UPDATE leases SET expires_at = '2020-01-01 00:00:00+00:00'"))

        with store.lease(SOURCE, "next", MINUTE):
            process.send_signal(signal.SIGCONT)
            process.stdin.write("\n" * 40)
            process.stdin.flush()
            _, errors = process.communicate(timeout=30)

    assert "LeaseLostError" in errors
    assert process.returncode == 1
    assert_whole(store, 4)


def test_a_run_killed_at_any_moment_is_finished_by_the_next_ones(
    store: Store, store_url: str
) -> None:
    # Wide enough to hit raw, batch and commit alike; the campaign kills at every system call.
    chance = random.Random(20261122)
    kills = 0
    for _ in range(8):
        with running(store_url) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.06))
            process.kill()
            kills += process.wait(10) == -signal.SIGKILL
        _taken_within(store, 5).release()
        assert_whole(store)

    with running(store_url) as process:
        output, errors = process.communicate(timeout=60)

    assert output.endswith("done\n"), errors
    assert kills
    assert_whole(store, 40)


def test_overlapping_runs_share_out_the_work_without_doubling_any(
    store: Store, store_url: str
) -> None:
    with ExitStack() as stack:
        runs = [stack.enter_context(running(store_url)) for _ in range(4)]
        told = [process.communicate(timeout=120) for process in runs]

    for output, errors in told:
        assert output.endswith("done\n") or "LeaseHeldError" in errors
    assert any(output.endswith("done\n") for output, _ in told)
    assert_whole(store, 40)


def under_strace(url: str, program: str, call: str, fault: str) -> subprocess.CompletedProcess[str]:
    """Run *program* with *fault* injected into the system call *call*."""
    strace = shutil.which("strace")
    if strace is None:
        missing("strace", "strace")
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    return subprocess.run(
        [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
         f"inject={call}:{fault}", sys.executable, "-c", program, url],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_sqlite_survives_a_kill_at_each_write_of_a_commit(tmp_path: Path, call: str) -> None:
    # A slice: the campaign takes every number.
    url = f"sqlite:///{tmp_path / 'killed.sqlite3'}"
    open_store(url).close()
    kills = 0
    for number in range(1, 200, 17):
        done = under_strace(url, RUN, call, f"signal=SIGKILL:when={number}")
        kills += done.returncode != 0
        with open_store(url) as store:
            assert_whole(store)
            if store.counts().messages == 40:
                break

    with open_store(url) as store:
        assert_whole(store)
    assert kills


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "error", "line"),
    [
        ("pwrite64", "ENOSPC", "cannot grow: no space is left on the disk"),
        ("fdatasync", "EIO", "could not be read or written: the disk reports an error"),
    ],
)
def test_a_failing_disk_ends_the_run_with_its_cause_and_nothing_torn(
    tmp_path: Path, call: str, error: str, line: str
) -> None:
    url = f"sqlite:///{tmp_path / 'failing.sqlite3'}"
    open_store(url).close()

    done = under_strace(url, RUN, call, f"error={error}:when=14+")

    assert done.returncode == 1
    assert line in done.stderr
    with open_store(url) as store:
        assert_whole(store)
        assert store.counts().messages < 40


@pytest.mark.slow
def test_a_migration_killed_at_any_write_is_done_by_the_next_start(tmp_path: Path) -> None:
    program = "import sys; from store import open_store; open_store(sys.argv[1]).close()"
    kills = 0
    for number in range(1, 60, 6):
        url = f"sqlite:///{tmp_path / f'{number}.sqlite3'}"
        kills += (
            under_strace(url, program, "pwrite64", f"signal=SIGKILL:when={number}").returncode != 0
        )

        with open_store(url) as store:
            assert store.counts().messages == 0

    assert kills > 1


@pytest.mark.postgres
def test_a_batch_whose_connection_is_ended_is_stored_by_the_next(postgres: Postgres) -> None:
    raw = raw_message(1)
    with open_store(postgres.database()) as store:
        store.keep_raw([raw])

        def lose_the_connection() -> None:
            with store.batch(now=NOW) as batch:
                batch.add(raw.key, raw.digest, email(1), [outcome()])
                with store._database.writing() as other:
                    other.execute(
                        text(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        )
                    )

        with pytest.raises(StoreError, match=r"cannot be reached|stopped"):
            lose_the_connection()
        assert store.known([raw.key]) == set()

        with store.batch(now=NOW) as batch:
            batch.add(raw.key, raw.digest, email(1), [outcome()])
            batch.advance(Cursor(SOURCE, "INBOX", 7, 1))
        assert_whole(store, 1)


@pytest.mark.postgres
@pytest.mark.usefixtures("postgres")  # so that it is skipped where there is none
def test_a_crashed_server_costs_a_run_but_no_mail() -> None:
    raw = raw_message(1)
    with running_postgres() as server, open_store(server.database(), wait=2) as store:
        store.keep_raw([raw])

        def lose_the_server() -> None:
            with store.batch(now=NOW) as batch:
                batch.add(raw.key, raw.digest, email(1), [outcome()])
                server.stop(signal.SIGQUIT)

        with pytest.raises(StoreError, match=r"cannot be reached|stopped"):
            lose_the_server()
        server.start()

        with store.batch(now=NOW) as batch:
            batch.add(raw.key, raw.digest, email(1), [outcome()])
            batch.advance(Cursor(SOURCE, "INBOX", 7, 1))
        assert_whole(store, 1)
