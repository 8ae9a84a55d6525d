#!/usr/bin/env python3
"""How fast messages are understood once they are parsed: in one process, and on all cores at once.

usage: bench_reading.py [--messages N] [--release VERSION] [--fast]

Messages of ``t1`` to ``t12``, the same every time, in batches as a run reads them. Each figure is
of a process of its own, started anew: loading the model, its peak memory, messages a second. Leave
the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from models.corpus import CORPUS_FOLDER, load_messages
from models.reading import load_reader
from triage.records import Email

BATCH = 100
PATIENCE = 300  # seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """What one process took: seconds to load and to read, and its peak memory."""

    load: float
    read: float
    peak_mb: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--messages", type=int, default=600, help="for each process")
    arguments.add_argument("--release", help="default: the one in use")
    arguments.add_argument("--fast", action="store_true", help="read without the transformer")
    chosen = arguments.parse_args()
    emails = sample(chosen.messages)
    cores = os.cpu_count() or 1
    table = Table("processes", "messages/s", "model loaded", "peak memory each", title="reading")
    for processes in dict.fromkeys((1, cores)):
        found = side_by_side(processes, emails, chosen.release, fast=chosen.fast)
        rate = sum(len(emails) / one.read for one in found)
        load, peak = max(one.load for one in found), max(one.peak_mb for one in found)
        table.add_row(str(processes), f"[bold]{rate:.0f}[/]", f"{load:.2f} s", f"{peak:.0f} MB")
    Console().print(f"{len(emails)} messages for each process, {cores} cores")
    Console().print(table)


def sample(count: int) -> list[Email]:
    paths = sorted(CORPUS_FOLDER.glob("t*.jsonl"))
    emails = [example.email for path in paths for example in load_messages(path)]
    random.Random(0).shuffle(emails)
    return emails[:count]


def side_by_side(
    processes: int, emails: list[Email], release: str | None, *, fast: bool
) -> list[Measured]:
    """What each of so many processes took, all of which began to read at the same moment."""
    context = multiprocessing.get_context("spawn")  # nothing is inherited: each loads for itself
    start = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, _begin, (start,)) as pool:
        jobs = [pool.submit(measure, emails, release, fast=fast) for _ in range(processes)]
        return [job.result() for job in jobs]


def _begin(start) -> None:
    global _start  # noqa: PLW0603 - a barrier reaches a worker only when it is started
    _start = start


def measure(emails: list[Email], release: str | None, *, fast: bool) -> Measured:
    begin = time.perf_counter()
    reader = load_reader(release, fast=fast)
    load = time.perf_counter() - begin
    reader.read(emails[:8])  # first use of the network and of the vocabulary
    _start.wait(PATIENCE)
    begin = time.perf_counter()
    for start in range(0, len(emails), BATCH):
        reader.read(emails[start : start + BATCH])
    read = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(load, read, peak)


if __name__ == "__main__":
    main()
