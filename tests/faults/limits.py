"""Machines without room: memory, open files, temporary folder, output. The real command is run.

Whatever a machine lacks, no mail is blamed for it: nothing goes to quarantine, and once there is
room the next run does it all.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from services.dovecot import Mailbox

from faults.bench import CANARIES, KINDS, LONGEST_S, Ended, Kind, Lane, Row, Trial, Try
from faults.disks import for_root
from faults.oracle import State, judged, told

FIT_TRIAGE = str(Path(sys.executable).parent / "fit-triage")
_MB = 1 << 20
#: Start-up with all models included; a mailbox that is silent takes no part in it.
_PATIENCE_S = 4 * LONGEST_S
#: Done; the world is unavailable; Python's own, where it cannot write its last words.
_CODES = (0, 1, 120)


def out_of_memory(count: int) -> Row:
    sizes = [700, 150, 100, 200, 300, 400, 500, 600, 800, 1000, 1500, 2500]
    tries: list[Try] = [
        lambda lane, n=n, kind=kind: without(lane, kind, f"--as={sizes[n % len(sizes)] * _MB}")
        for n, kind in zip(range(count), itertools.cycle(KINDS), strict=False)
    ]
    return Row("so many MB of memory and no more", "16", tries)


def out_of_files(count: int) -> Row:
    tries: list[Try] = [
        lambda lane, n=n, kind=kind: without(lane, kind, f"--nofile={6 + 2 * (n % 15)}")
        for n, kind in zip(range(count), itertools.cycle(KINDS), strict=False)
    ]
    return Row("so many open files and no more", "17", tries)


def without(lane: Lane, kind: Kind, limit: str) -> Trial:
    return _in_need(lane, kind, ["prlimit", limit], can_speak=True)


def nowhere_to_write(count: int) -> Row:
    """The folders for temporary files are full, and the output goes to a full disk."""
    # A place that the program itself lies in cannot be covered: it would be gone, not full.
    places = [p for p in ("/tmp", "/var/tmp") if not FIT_TRIAGE.startswith(f"{p}/")]
    full = (
        f"for place in {' '.join(places)}; do mount -t tmpfs -o size=4k tmpfs $place; "
        "head -c 9999 /dev/zero >$place/ballast; done; cd /proc; "
    )
    ways: list[list[str]] = [
        ["unshare", "-m", "sh", "-c", f'{full} exec "$@" 2>/dev/null', "sh"],
        ["sh", "-c", 'exec "$@" >/dev/full', "sh"],
        ["sh", "-c", 'exec "$@" >/dev/full 2>/dev/full', "sh"],
    ]
    tries: list[Try] = [
        lambda lane, n=n, kind=kind: _in_need(lane, kind, ways[n % len(ways)])
        for n, kind in zip(range(count), itertools.cycle(KINDS), strict=False)
    ]
    return Row("no room for temporary files or for output", "13", for_root(tries))


def _in_need(lane: Lane, kind: Kind, prefix: list[str], *, can_speak: bool = False) -> Trial:
    trial = Trial()
    url = lane.fresh(kind)
    ended = by_command(lane, url, prefix, can_speak=can_speak)
    trial.saw(ended)
    trial.noted["done all the same"] += ended.well
    trial.violations += judged(url, lane.mails, complete=False)
    if blamed := State.of(url).quarantine:
        causes = ", ".join(sorted({str(row["cause"]) for row in blamed}))
        trial.violations.append(f"I5 mail is blamed for what the machine lacks: {causes}")
    started = time.monotonic()
    after = by_command(lane, url)
    trial.saw(after)
    trial.recovery_s = time.monotonic() - started
    if not after.well:
        trial.violations.append(f"I5 the run after it ends with {after.code}")
    trial.violations += judged(url, lane.mails)
    return trial


def by_command(
    lane: Lane,
    url: str,
    prefix: list[str] | None = None,
    *,
    can_speak: bool = True,
    box: Mailbox | None = None,
    reading: str = "fast = true\n",
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """``fit-triage run`` on the lane's mailbox or *box*, started through *prefix*.

    A run that fails and *can_speak* is to say why in a line of its own. *reading* are further
    settings.
    """
    box = box or lane.box
    settings = lane.folder / "fit-triage.toml"
    spec = f"imap://{box.user}@127.0.0.1:{lane.bench.dovecot.plain_port}/INBOX"
    settings.write_text(
        f'database_url = "{url}"\n{reading}workers = 1\n'
        f'[[sources]]\nurl = "{spec}"\nallow_plaintext = true\n'
    )
    command = [*(prefix or []), FIT_TRIAGE, "--config", str(settings), "run"]
    around = {**os.environ, "FIT_TRIAGE_IMAP_PASSWORD": box.password, **(environment or {})}
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, env=around, capture_output=True, text=True, errors="replace",
            check=False, timeout=_PATIENCE_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Ended(code=-9, hung=True)
    said = done.stdout + done.stderr
    explained = not can_speak or "\nfit-triage: " in f"\n{done.stderr}"
    return Ended(
        code=done.returncode,
        problems=tuple(told(said, CANARIES)),
        error="" if explained or not done.returncode else said.strip().rpartition("\n")[2],
        uncaught=done.returncode not in _CODES or (done.returncode != 0 and not explained),
        seconds=time.monotonic() - started,
    )
