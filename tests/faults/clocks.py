"""Clocks that are wrong or jump while the real command runs, by libfaketime; ours alone, not the
machine's.

What is read is ordered by numbers, and leases go by the database's clock or by locks: whatever the
clock says, nothing is lost or doubled, and the next run with a good one goes on at once.
"""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

from faults.bench import KINDS, Kind, Lane, Row, Trial, Try
from faults.limits import by_command
from faults.oracle import judged

#: As libfaketime takes them: so much off, or a moment from which the clock runs on. Those are
#: seconds before a clock goes forward, goes back, and runs out of 31 bits.
CLOCKS = (
    "+1h", "-1h", "+365d", "-365d", "@1970-01-01 00:10:00", "@2038-01-19 03:14:03",
    "@2026-03-29 00:59:56", "@2026-10-25 00:59:56",
)  # fmt: skip
#: From one to another in the middle of a run.
_JUMPS = (
    ("+0", "-1h"), ("+0", "+1h"), ("+0", "+365d"), ("+0", "-365d"),
    ("+365d", "-365d"), ("@2038-01-19 03:14:03", "@1970-01-01 00:10:00"),
)  # fmt: skip


def library() -> Path | None:
    """libfaketime for many threads, where it is installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def wrong(count: int) -> Row:
    points = [((clock,), kind) for clock in CLOCKS for kind in KINDS]
    return Row("the real command with a wrong clock", "41", _tries(points, count))


def jumping(count: int) -> Row:
    points = [(jump, kind) for jump in _JUMPS for kind in KINDS]
    return Row("a clock that jumps while the real command runs", "41", _tries(points, count))


def _tries(points: list[tuple[tuple[str, ...], Kind]], count: int) -> list[Try]:
    found = library()
    if found is None:
        return [_left_out]
    return [
        lambda lane, n=n, clocks=clocks, kind=kind: at_another_time(
            lane, kind, found, clocks, 0.5 + n % 7 / 2
        )
        for n, (clocks, kind) in enumerate(itertools.islice(itertools.cycle(points), count))
    ]


def _left_out(_: Lane) -> Trial:
    trial = Trial()
    trial.noted["left out: libfaketime is not installed"] += 1
    return trial


def at_another_time(
    lane: Lane, kind: Kind, faketime: Path, clocks: tuple[str, ...], after_s: float
) -> Trial:
    """A run with the first of *clocks*, and with the next *after_s*; then one with a good clock."""
    trial = Trial()
    url = lane.fresh(kind)
    told = lane.folder / "clock"
    told.write_text(clocks[0])
    environment = {
        "LD_PRELOAD": str(faketime),
        "FAKETIME_TIMESTAMP_FILE": str(told),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # no real clock does that
        "TZ": "UTC",
    }
    timers = [threading.Timer(after_s, _put, (told, clock)) for clock in clocks[1:]]
    for timer in timers:
        timer.start()
    ended = by_command(lane, url, environment=environment)
    for timer in timers:
        timer.cancel()
    trial.saw(ended)
    trial.noted["done by the wrong clock"] += ended.well
    trial.violations += judged(url, lane.mails, complete=ended.well)
    after = by_command(lane, url)
    trial.saw(after)
    trial.recovery_s = after.seconds
    if not after.well:
        trial.violations.append(f"I5 the run after it ends with {after.code}")
    trial.violations += judged(url, lane.mails)
    return trial


def _put(told: Path, clock: str) -> None:
    """Change the clock in one step: half a line would be no time at all."""
    beside = told.with_name("clock.new")
    beside.write_text(clock)
    os.replace(beside, told)  # noqa: PTH105 - that it is one step is what counts
