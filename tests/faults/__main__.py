"""``make faults``: the whole campaign, or with ``SCALE=0.02`` a slice of it; a table at the end.

``ONLY=power,commits`` runs some rows or families alone. Which rows of the matrix there are, and
which not, is in the package's docstring.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from faults import (
    backups,
    clocks,
    clusters,
    commits,
    disks,
    erasure,
    exports,
    kills,
    limits,
    lines,
    migrations,
    model_files,
    powercut,
    runs,
    scripts,
)
from faults.bench import Bench, Row, running_bench

#: Families of rows. ``make faults ONLY=kills,power`` runs one of them and a single row.
FAMILIES = (
    "kills", "lines", "scripts", "runs", "powercut", "disks", "clocks", "models", "backups",
    "limits", "commits", "migrations", "erasure", "exports", "clusters",
)  # fmt: skip


def rows(bench: Bench, scale: float, only: tuple[str, ...]) -> Iterator[Row]:
    """Every row at *scale* whose name or family is in *only*; at 1 as the campaign aims at."""

    def some(count: int) -> int:
        return max(2, round(count * scale))

    families: dict[str, dict[str, Callable[[], Row]]] = {
        "kills": {
            "calls-sqlite": lambda: kills.at_system_calls(bench.lanes[0], "sqlite", some(900)),
            "calls-postgres": lambda: kills.at_system_calls(bench.lanes[0], "postgres", some(600)),
            "stages": lambda: kills.at_stages(some(480)),
            "twice": lambda: kills.while_recovering(some(200)),
        },
        "lines": {
            "cut-down": lambda: lines.every_byte_cut(bench.lanes[0], "down", scale),
            "cut-up": lambda: lines.every_byte_cut(bench.lanes[0], "up", scale),
            "stalls": lambda: lines.stalls(some(100)),
            "pieces": lambda: lines.in_pieces(some(10)),
            "bits": lambda: lines.bits_turned(some(400)),
            "renumbered": lambda: lines.renumbered(some(20)),
            "expunged": lambda: lines.expunged(some(40)),
            "servers": lambda: lines.servers_killed(some(100)),
            "masters": lambda: lines.masters_killed(some(40)),
        },
        "scripts": {
            "misbehaviour": lambda: scripts.misbehaviour(max(1, round(3 * scale))),
            "garbled": lambda: scripts.garbled(some(10_000)),
        },
        "runs": {
            "overlapping": lambda: runs.overlapping(max(8, some(200))),
            "stopped": lambda: runs.stopped(some(50)),
            "stale-owners": lambda: runs.stale_owners(some(20)),
            "clocks-killed": lambda: runs.wrong_clocks(some(32)),
            "backends": lambda: runs.backends_ended(some(100), some(10)),
            "restarts": lambda: runs.restarts(some(40)),
            "busy": lambda: runs.busy(some(20)),
            "no-space": lambda: runs.failing_disks(some(180), "pwrite64", "ENOSPC", "12"),
            "no-sync": lambda: runs.failing_disks(some(60), "fdatasync", "EIO", "14"),
            "harmful": lambda: runs.harmful_mail(max(1, round(3 * scale))),
        },
        "powercut": {
            "power": lambda: powercut.cuts(some(500)),
            "power-control": lambda: powercut.cuts_unsynced(some(20)),
            "power-postgres": lambda: powercut.server_cuts(some(100)),
            "power-postgres-control": lambda: powercut.server_cuts_unsynced(some(20)),
        },
        "disks": {
            "full": lambda: disks.full(some(48)),
            "full-postgres": lambda: disks.server_full(some(24)),
            "read-only": lambda: disks.turned_read_only(some(24)),
        },
        "clocks": {
            "clocks-wrong": lambda: clocks.wrong(some(16)),
            "clocks-jump": lambda: clocks.jumping(some(24)),
        },
        "models": {
            "model-whole": lambda: model_files.whole(1),
            "model-files": lambda: model_files.damaged(some(29)),
            "model-bits": lambda: model_files.bits(some(40)),
            "model-memory": lambda: model_files.no_room(some(6)),
        },
        "backups": {
            "restored": lambda: backups.restored(some(24)),
            "backup-killed": lambda: backups.backups_killed(some(160)),
            "restore-killed": lambda: backups.restorations_killed(some(160)),
        },
        "limits": {
            "memory": lambda: limits.out_of_memory(some(24)),
            "files": lambda: limits.out_of_files(some(30)),
            "nowhere": lambda: limits.nowhere_to_write(some(6)),
        },
        "erasure": {
            "erasure-killed": lambda: erasure.killed(bench.lanes[0], some(400)),
        },
        "exports": {
            "exports-sqlite": lambda: exports.killed(bench.lanes[0], "sqlite", some(300)),
            "exports-postgres": lambda: exports.killed(bench.lanes[0], "postgres", some(150)),
        },
        "migrations": {
            "migrations-killed": lambda: migrations.killed(some(600)),
            "migrations-at-once": lambda: migrations.at_once(some(60)),
            "migrations-older": lambda: migrations.older(some(10)),
        },
        "clusters": {
            "cluster": lambda: clusters.killed(some(100)),
        },
        "commits": {
            "commit-lost": lambda: commits.lost(some(500)),
            "deadlock": lambda: commits.deadlocks(some(30)),
            "serialisable": lambda: commits.serialisable(some(20)),
        },
    }
    known = {*families, *(name for family in families.values() for name in family)}
    if unknown := set(only) - known:
        there_are = ", ".join(sorted(known))
        sys.exit(f"no row or family {', '.join(sorted(unknown))}; there are {there_are}")
    for family, members in families.items():
        for name, make in members.items():
            if family in only or name in only:
                yield make()


def untouched(bench: Bench, before: list[list[bytes]]) -> Row:
    tries = [
        lambda _, lane=lane, seen=seen: lines.mailbox_untouched(lane, seen)
        for lane, seen in zip(bench.lanes, before, strict=True)
    ]
    return Row("the mailboxes are as they were", "I4", tries)


def main() -> int:
    scale = float(os.environ.get("SCALE", "1"))
    only = tuple(filter(None, os.environ.get("ONLY", "").split(","))) or FAMILIES
    console = Console(width=150)
    started = time.monotonic()
    done: list[Row] = []
    with running_bench(int(os.environ.get("LANES", "3"))) as bench:
        before = [lane.box.snapshot() for lane in bench.lanes]
        for row in (*rows(bench, scale, only), untouched(bench, before)):
            bench.do(row)
            done.append(row)
            bad = len(row.result.violations)
            console.print(
                f"{row.title}: {row.trials} trials, {bad} violations, {row.seconds:.0f} s"
            )
            for violation in sorted(set(row.result.violations)):  # at once: the rest takes long
                console.print(f"  {violation}")
    report(console, done, time.monotonic() - started)
    return 1 if any(row.result.violations for row in done) else 0


def report(console: Console, done: list[Row], seconds: float) -> None:
    names = ("matrix", "fault", "trials", "runs", "kills", "violations", "slowest run",
             "longest recovery", "noted")  # fmt: skip
    table = Table(*names, title="Fault campaign", title_justify="left")
    for row in done:
        result = row.result
        noted = ", ".join(f"{what}: {count}" for what, count in result.noted.items() if count)
        counts = (row.trials, result.runs, result.kills, len(result.violations))
        times = (f"{result.slowest_s:.2f} s", f"{result.recovery_s:.2f} s")
        table.add_row(row.matrix, row.title, *map(str, counts), *times, noted)
    console.print(table)
    trials = sum(row.trials for row in done)
    runs_made, killed = (sum(getattr(r.result, what) for r in done) for what in ("runs", "kills"))
    slowest = max(row.result.slowest_s for row in done)
    console.print(
        f"{trials} trials, {runs_made} runs, {killed} kills in {seconds:.0f} s; "
        f"slowest run {slowest:.1f} s"
    )
    for row in done:
        for violation in sorted(set(row.result.violations)):
            count = row.result.violations.count(violation)
            console.print(f'[bold red]{count} times[/] in "{row.title}": {violation}')


if __name__ == "__main__":
    sys.exit(main())
