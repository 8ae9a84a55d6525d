#!/usr/bin/env python3
"""How fast an archive is read again: one process, a process pool, and one and two Dask workers.

usage: bench_retriage.py [--messages N] [--with-transformer] [--ways one,pool-2,dask-1,dask-2]

The archive is an mbox of corpus messages under many ids. Each way reads all of it with the real
program and must come to the same counts. Memory is the proportional set size of all processes of a
way together (scheduler and nannies among them), sampled while it runs; processor time is theirs
too, and the figure to go by where the machine has other work to do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

from bench import FIT_TRIAGE, family, pss_kb
from corpus_mail import AUTHSERV_ID, mail
from services.dask_cluster import dask_cluster, wait_until

WAYS = ("one", "pool-1", "pool-2", "dask-1", "dask-2")
DISTINCT = 5_000
_LOOK_S = 0.25
#: Asking for the memory of all processes takes some 70 ms, a fifth of a core if done at each look.
_MEMORY_EVERY = 20
LOT = 200


@dataclass
class Measured:
    way: str
    seconds: float
    peak_mb: float
    processor_s: float
    read: dict[str, object]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--messages", type=int, default=200_000)
    arguments.add_argument("--with-transformer", action="store_true", help="ten times as long")
    arguments.add_argument("--ways", default=",".join(WAYS))
    arguments.add_argument("--alone", nargs=2, metavar=("SPEC", "OUT"), help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    os.environ["FIT_TRIAGE_FAST"] = str(not chosen.with_transformer).lower()
    os.environ["FIT_TRIAGE_AUTHSERV_ID"] = AUTHSERV_ID
    if chosen.alone:
        read_alone(*chosen.alone)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FIT_TRIAGE_DATABASE_URL"] = f"sqlite:///{folder}/none.sqlite3"
        bench(Path(folder), chosen.messages, chosen.ways.split(","))


def bench(folder: Path, count: int, ways: Sequence[str]) -> None:
    archive = folder / "archive.mbox"
    size = write_archive(archive, count)
    console = Console(width=120)
    console.print(f"{count} messages, {size / count:.0f} bytes on average, {os.cpu_count()} cores")
    done = []
    for way in ways:
        done.append(measured(way, f"mbox:{archive}", folder / way))
        console.print(f"{way}: {count / done[-1].seconds:.0f} messages/s")
    if len({json.dumps(one.read, sort_keys=True) for one in done}) != 1:
        sys.exit("the ways do not come to the same counts")
    names = ("way", "messages/s", "seconds", "against one process", "processor", "peak memory")
    table = Table(*names, "Parquet")
    for one in done:
        speed_up = f"{done[0].seconds / one.seconds:.2f}"
        written = sum(path.stat().st_size for path in (folder / one.way).glob("part-*"))
        table.add_row(
            one.way, f"{count / one.seconds:.0f}", f"{one.seconds:.1f}", speed_up,
            f"{1000 * one.processor_s / count:.2f} ms each", f"{one.peak_mb:.0f} MB",
            f"{written / 1e6:.0f} MB",
        )  # fmt: skip
    console.print(table)
    by_way = {one.way: one.seconds for one in done}
    if {"dask-1", "dask-2"} <= by_way.keys():
        console.print(f"from 1 to 2 workers: {by_way['dask-1'] / by_way['dask-2']:.2f} times")


def write_archive(path: Path, count: int) -> int:
    """An mbox of *count* messages: some thousand distinct ones, again and again with other ids."""
    distinct = [
        re.sub(rb"^(>*From )", rb">\1", one.replace(b"\r\n", b"\n"), flags=re.MULTILINE)
        for one in mail(min(count, DISTINCT))
    ]
    with path.open("wb") as stream:
        for number in range(count):
            again, place = divmod(number, len(distinct))
            content = distinct[place].replace(b"Message-ID: <", b"Message-ID: <%d." % again, 1)
            stream.write(b"From x@y Thu Jan  1 00:00:00 2026\n" + content.rstrip() + b"\n\n")
    return path.stat().st_size


def measured(way: str, spec: str, out: Path) -> Measured:
    kind, _, number = way.partition("-")
    if kind == "one":
        return run(way, [sys.executable, __file__, "--alone", spec, str(out)], ())
    command = [str(FIT_TRIAGE), "retriage", "--json", "--source", spec, "--out", str(out)]
    if kind == "pool":
        os.environ["FIT_TRIAGE_WORKERS"] = number
        return run(way, command, ())
    folder = out.with_suffix(".cluster")
    folder.mkdir()
    with dask_cluster(folder, int(number)) as cluster:
        wait_until(lambda: cluster.logs().count("Registered to") == int(number), "no workers")
        pids = [cluster.scheduler.pid, *(nanny.pid for nanny in cluster.nannies)]
        return run(way, [*command, "--scheduler", cluster.address], pids)


def run(way: str, command: Sequence[str], others: Sequence[int]) -> Measured:
    begun, peak, ended = time.perf_counter(), [0], threading.Event()
    before = {pid: ticks(pid) for root in others for pid in family(root)}
    used: dict[int, int] = {}

    def look(pid: int) -> None:
        for moment in itertools.count():
            if ended.wait(_LOOK_S):
                return
            every = {one for root in (pid, *others) for one in family(root)}
            if moment % _MEMORY_EVERY == 0:
                peak[0] = max(peak[0], sum(map(pss_kb, every)))
            for one in every:
                used[one] = max(used.get(one, 0), ticks(one) - before.get(one, 0))

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watch = threading.Thread(target=look, args=(process.pid,))
        watch.start()
        output, _ = process.communicate()
        seconds = time.perf_counter() - begun
        ended.set()
        watch.join()
    if process.returncode:
        sys.exit(f"{way} ended with {process.returncode}")
    processor_s = sum(used.values()) / os.sysconf("SC_CLK_TCK")
    return Measured(way, seconds, peak[0] / 1024, processor_s, json.loads(output)["read"])


def ticks(pid: int) -> int:
    """Processor time of a process so far, 0 for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def read_alone(spec: str, out: str) -> None:
    """All parts one after the other in this very process, which no message may harm."""
    from dataclasses import asdict

    from ingest.parts import messages_of, parts_of
    from ingest.sources import Access
    from ingest.workers import collect_garbage_rarely
    from pipeline import Reading, understand
    from review.part_files import Counts, write_part
    from review.rereading import row_of
    from settings import read_settings

    settings, counts = read_settings(), Counts()
    reading = Reading(settings.parsing(), settings.model, fast=settings.fast)
    collect_garbage_rarely()
    Path(out).mkdir()
    for part in parts_of(spec, Access()):
        rows, size = [], 0
        for lot in lots(messages_of(part, Access())):
            size += sum(len(raw.content) for raw in lot)
            rows += [
                row_of(raw, made) for raw, made in zip(lot, understand(reading, lot), strict=True)
            ]
        counts += write_part(Path(out), part.key, rows, size)
    sys.stdout.write(json.dumps({"read": asdict(counts)}))


def lots(messages: Iterator) -> Iterator[list]:
    return iter(lambda: list(islice(messages, LOT)), [])


if __name__ == "__main__":
    main()
