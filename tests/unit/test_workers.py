import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import pytest
from worker_jobs import (
    dies_at_once,
    double,
    double_hugely,
    double_or_die,
    double_slowly,
    never_lives,
    process_id,
    reach_out,
)

from ingest.workers import CHUNK, NoWorkersError, Workers, process_pool

POOL = partial(process_pool, 1)


def test_what_comes_back_is_in_the_order_of_what_was_given() -> None:
    numbers = list(range(3 * CHUNK + 7))

    with Workers(double, lambda _: -1, POOL) as workers:
        first, second = workers.start(numbers), workers.start(numbers[:3])

        assert first() == [2 * number for number in numbers]
        assert second() == [0, 2, 4]


def test_a_message_that_kills_its_worker_is_given_up_and_the_others_go_on() -> None:
    with Workers(double_or_die, lambda item: f"gave up on {item}", POOL) as workers:
        found = workers.start([1, 2, -3, 4])()
        later = workers.start([5])()

    assert found == [2, 4, "gave up on -3", 8]
    assert later == [10]


def test_a_message_that_takes_for_ever_is_given_up() -> None:
    with Workers(
        double_slowly, lambda item: f"gave up on {item}", POOL, cpu_seconds=0.5
    ) as workers:
        found = workers.start([1, -2, 3])()

    assert found == [2, "gave up on -2", 6]


def test_no_message_is_blamed_where_an_ordinary_one_finds_no_room_either() -> None:
    with (
        Workers(double, lambda _: -1, POOL, harmless=[8], starved={4, 16}.__contains__) as workers,
        pytest.raises(NoWorkersError),
    ):
        workers.start([1, 2, 3])()


def test_a_message_alone_without_room_keeps_what_became_of_it() -> None:
    with Workers(double, lambda _: -1, POOL, harmless=[8], starved={4}.__contains__) as workers:
        found = workers.start([1, 2, 3])()

    assert found == [2, 4, 6]


def test_a_message_cannot_take_all_the_memory() -> None:
    with Workers(double_hugely, lambda _: -1, POOL) as workers:
        found = workers.start([1, -2, 3])()

    assert found == [2, -1, 6]


@pytest.mark.parametrize("work", [never_lives, dies_at_once])
def test_no_message_is_blamed_where_no_worker_can_live(work: Callable[..., list[int]]) -> None:
    given_up: list[int] = []

    with Workers(work, given_up.append, POOL) as workers, pytest.raises(NoWorkersError):
        workers.start([1, 2, 3])()

    assert given_up == []


def test_where_no_process_can_be_started_that_is_said() -> None:
    def full() -> Executor:
        raise OSError(28, "No space left on device")

    with (
        Workers(double, lambda _: -1, full) as workers,
        pytest.raises(NoWorkersError, match="No space left on device"),
    ):
        workers.start([1])


def test_workers_live_below_a_limit_set_by_others() -> None:
    program = (
        "import resource, sys; sys.path.insert(0, 'tests')\n"
        "from worker_jobs import double\n"
        "from ingest.workers import process_pool\n"
        "if __name__ == '__main__':\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "    print(process_pool(1).submit(double, [4]).result())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.stdout == "[8]\n", done.stderr


def test_nothing_starts_before_the_first_message() -> None:
    started = []

    with Workers(double, lambda _: -1, lambda: started.append(1) or POOL()) as workers:
        assert workers.start([])() == []

    assert started == []


def test_workers_end_with_a_killed_parent() -> None:
    program = (
        "import os, signal, sys; sys.path.insert(0, 'tests')\n"
        "from worker_jobs import process_id\n"
        "from ingest.workers import process_pool\n"
        "if __name__ == '__main__':\n"
        "    print(process_pool(1).submit(process_id, [1]).result()[0], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    worker = int(done.stdout)

    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not Path(f"/proc/{worker}").exists()
    assert process_id([1]) == [os.getpid()]


def test_what_kills_is_tried_once_more_with_plainer_work() -> None:
    with Workers(double_or_die, lambda _: 0, POOL, plainer=process_id) as workers:
        found = workers.start([1, -2, 3])()

    assert (found[0], found[2]) == (2, 6)
    assert found[1] > 1  # by a process of its own


def test_a_message_reaches_nobody_while_it_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with Workers(reach_out, lambda _: [], POOL) as workers:
            [found] = workers.start([port])()
        with Workers(reach_out, lambda _: [], partial(process_pool, 1, online=True)) as workers:
            [allowed] = workers.start([port])()

    assert found[:3] == ["no network while mail is read"] * 3
    # Where the kernel gives nobody a namespace of their own, Python's calls alone are refused.
    assert found[3] == "no way" or os.geteuid() != 0
    assert allowed == ["reached"] * 4
