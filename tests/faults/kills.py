"""Runs that are killed: at system calls, at named stages, and once more while they recover."""

from __future__ import annotations

import itertools
import random

from faults.bench import MAILS, Kind, Lane, Row, Trial, recovered
from faults.oracle import judged
from faults.worker import STAGES

#: What a commit consists of, as the kernel sees it.
CALLS: dict[Kind, tuple[str, ...]] = {
    "sqlite": ("pwrite64", "fdatasync", "ftruncate", "unlink", "fcntl", "openat"),
    "postgres": ("sendto", "recvfrom", "poll"),
}
_SIZES = (1, 2, 3, 5)


def at_system_calls(lane: Lane, kind: Kind, count: int) -> Row:
    matrix = "1" if kind == "sqlite" else "2"
    points = [
        (call, number, size)
        for size in _SIZES
        for call in CALLS[kind]
        for number in range(1, 1 + calls_made(lane, kind, call, size))
    ]
    # All of them where there is room; else spread over all.
    rounds = itertools.islice(itertools.cycle(points), max(count, len(points)))
    chosen = list(rounds) if count >= len(points) else points[:: len(points) // count][:count]
    tries = [lambda lane, point=point: at_call(lane, kind, *point) for point in chosen[:count]]
    title = f"kill -9 at each of {len(points)} {', '.join(CALLS[kind])} ({kind})"
    return Row(title, matrix, tries)


def calls_made(lane: Lane, kind: Kind, call: str, size: int) -> int:
    """How often an undisturbed run makes this system call."""
    told = lane.folder / "calls"
    lane.run_struck(lane.job(lane.fresh(kind), size=size), call, "", told=told)
    return told.read_text().count(f" {call}(")


def at_call(lane: Lane, kind: Kind, call: str, number: int, size: int) -> Trial:
    trial = Trial()
    job = lane.job(lane.fresh(kind), size=size)
    ended = lane.run_struck(job, call, f"signal=SIGKILL:when={number}")
    trial.saw(ended)
    trial.noted["survived"] += not ended.killed
    if ended.killed:
        trial.violations += judged(job.url, lane.mails, complete=False)
    return recovered(lane, trial, job, lane.mails)


def at_stages(count: int) -> Row:
    kinds: tuple[Kind, ...] = ("sqlite", "postgres")
    points = [
        (kind, stage, number, size)
        for size in _SIZES
        for number in range(1, len(MAILS) + 1)
        for stage in STAGES
        for kind in kinds
        if number <= _passed(stage, size)
    ]
    tries = [
        lambda lane, point=point: at_stage(lane, *point)
        for point in itertools.islice(itertools.cycle(points), count)
    ]
    return Row("kill -9 at each named stage, k-th time", "3", tries)


def _passed(stage: str, size: int) -> int:
    """How often an undisturbed run passes *stage*."""
    if stage in {"opened", "connected", "releasing", "finishing"}:
        return 1
    per_message = stage in {"parsed", "deciding", "decided"}
    return len(MAILS) if per_message else -(-len(MAILS) // size)


def at_stage(
    lane: Lane, kind: Kind, stage: str, number: int, size: int = 2, bug: str = ""
) -> Trial:
    trial = Trial()
    job = lane.job(lane.fresh(kind), size=size, bug=bug)
    ended = lane.run(lane.job(job.url, size=size, at=(stage, number), bug=bug))
    trial.saw(ended)
    if ended.killed:
        trial.violations += judged(job.url, lane.mails, complete=False)
    return recovered(lane, trial, job, lane.mails)


def while_recovering(count: int, seed: int = 4) -> Row:
    chance = random.Random(seed)
    kinds: tuple[Kind, ...] = ("sqlite", "postgres")
    tries = []
    for number in range(count):
        kind = kinds[number % 2]
        # The second one strikes what is left to do after the first.
        first = (chance.choice(STAGES[1:10]), chance.randint(1, 4))
        second = (chance.choice(STAGES[:10]), chance.randint(1, 2))
        call, when = chance.choice(CALLS[kind]), chance.randint(1, 60)
        tries.append(
            lambda lane, kind=kind, first=first, second=second, call=call, when=when: twice(
                lane, kind, first, second, call, when
            )
        )
    return Row("kill -9 again while recovering", "4", tries)


def twice(
    lane: Lane,
    kind: Kind,
    first: tuple[str, int],
    second: tuple[str, int],
    call: str,
    when: int,
) -> Trial:
    trial = Trial()
    url = lane.fresh(kind)
    trial.saw(lane.run(lane.job(url, at=first)))
    trial.saw(lane.run(lane.job(url, at=second)))
    trial.saw(lane.run_struck(lane.job(url), call, f"signal=SIGKILL:when={when}"))
    trial.violations += judged(url, lane.mails, complete=False)
    return recovered(lane, trial, lane.job(url), lane.mails)
