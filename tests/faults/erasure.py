"""Somebody is erased, and whoever erases them is killed: at any statement, and at any moment.

Until the commit nothing may have happened, after it all of it has; and whoever does it again ends
with no word of theirs in the database's files. As a program (``-m faults.erasure``) it forks the
erasures that are to be killed.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faults.bench import KINDS, MIGRATING, TESTS, Ended, Kind, Lane, Row, Trial
from faults.oracle import connected

#: Of the control: words that are left where the files are not washed.
UNWASHED = "found in files that were not washed"


# --- the program ----------------------------------------------------------------------------------


def _erase(url: str, at: int, told: str, *, washes: bool) -> None:
    """Erase the client, killed at statement *at* (0: never); says how many statements it took."""
    from sqlalchemy import Engine, event

    from store import open_store
    from store.washing import wash

    count = itertools.count(1)
    seen = [0]

    @event.listens_for(Engine, "before_cursor_execute")
    def strike(*_: Any) -> None:
        seen[0] = next(count)
        if seen[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_store(url) as store:
        now = datetime.now(UTC)
        store.erasures.erase("client", "C1", by="boss", reason="request", now=now)
        if washes and not wash(store.erasures.database):
            store.erasures.washed(datetime.now(UTC))
    Path(told).write_text(str(seen[0]))


def _serve() -> None:
    """For each line of input fork an erasure, kill it where told, and say how it ended."""
    import store.store
    import store.washing  # noqa: F401 - likewise

    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if not pid:
            code = 5
            try:
                _erase(job["url"], job["at"], job["told"], washes=job["washes"])
                code = 0
            finally:
                os._exit(code)
        if job["after_s"]:
            time.sleep(job["after_s"])
            os.kill(pid, signal.SIGKILL)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


# --- the trials -----------------------------------------------------------------------------------


@dataclass
class Forks:
    """The program, running; databases with a person in them, to be copied."""

    process: subprocess.Popen[str]
    filled: dict[Kind, str] = field(default_factory=dict)
    statements: dict[Kind, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self, lane: Lane, url: str, at: int = 0, after_s: float = 0, *, washes: bool = True
    ) -> Ended:
        told = lane.folder / "statements"
        job = {"url": url, "at": at, "after_s": after_s, "told": str(told), "washes": washes}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.lock:
            started = time.monotonic()
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
            code = int(self.process.stdout.readline())
            return Ended(code, seconds=time.monotonic() - started)


@contextmanager
def forks() -> Iterator[Forks]:
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    process = subprocess.Popen(
        [sys.executable, "-m", "faults.erasure"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    try:
        yield Forks(process)
    finally:
        process.communicate(timeout=10)


def killed(lane: Lane, count: int, seed: int = 57) -> Row:
    """Half of them at a statement, half at any moment; on both databases in turn."""
    made: list[Forks] = []
    chance = random.Random(seed)

    def ready() -> Forks:
        with MIGRATING:
            if not made:
                made.append(lane.bench.at_end.enter_context(forks()))
                for kind in KINDS:
                    _fill(lane, made[0], kind)
        return made[0]

    shares = [(KINDS[n % 2], chance.random(), n % 4 < 2) for n in range(count)]
    tries = [
        lambda lane, share=share: kill(lane, ready(), *share)  # each on its own lane
        for share in shares
    ]
    tries.append(lambda lane: unwashed(lane, ready()))
    return Row("erasing is killed, and done again", "57", tries, must_note=UNWASHED)


def _fill(lane: Lane, made: Forks, kind: Kind) -> None:
    from privacy_samples import filled

    from store import open_store

    url = lane.bench.postgres.database()
    if kind == "sqlite":
        url = f"sqlite:///{lane.bench.folder / 'filled.sqlite3'}"
    with open_store(url) as store:
        filled(store)
    made.filled[kind] = url
    ended = made.run(lane, _copy(lane, made, kind))
    assert ended.code == 0, ended
    made.statements[kind] = int((lane.folder / "statements").read_text())


def _copy(lane: Lane, made: Forks, kind: Kind) -> str:
    if kind == "postgres":
        return lane.bench.postgres.copy(made.filled[kind])
    for file in lane.folder.glob("person.sqlite3*"):
        file.unlink()
    target = lane.folder / "person.sqlite3"
    shutil.copy(made.filled[kind].removeprefix("sqlite:///"), target)
    return f"sqlite:///{target}"


def kill(lane: Lane, made: Forks, kind: Kind, share: float, at_statement: bool) -> Trial:  # noqa: FBT001 - a point of a table
    trial = Trial()
    url = _copy(lane, made, kind)
    whole = _rows(url)
    if at_statement:
        ended = made.run(lane, url, at=1 + int(share * made.statements[kind]))
    else:
        ended = made.run(lane, url, after_s=0.02 + share * 0.4)
    trial.saw(ended)
    left = _rows(url)
    done = left["erasures"] == 1
    if not done and left != whole:
        trial.violations.append("I3 half of an erasure is stored")
    trial.noted["killed before the commit"] += not done
    again = made.run(lane, url)
    trial.saw(again)
    trial.recovery_s = again.seconds
    if again.code:
        trial.violations.append(f"I5 erasing again ends with {again.code}")
    trial.violations += _judged(lane, url)
    return trial


def unwashed(lane: Lane, made: Forks) -> Trial:
    """The control: what the database itself leaves behind must be found."""
    from privacy_samples import PLACES

    trial = Trial()
    url = _copy(lane, made, "sqlite")
    trial.saw(made.run(lane, url, washes=False))
    trial.noted[UNWASHED] += len(_found(lane, url, PLACES))
    return trial


def _rows(url: str) -> dict[str, int]:
    tables = ("messages", "cases", "decisions", "verdicts", "outbox", "clients", "sessions",
              "raws", "quarantine", "tombstones", "erasures", "audit")  # fmt: skip
    with connected(url) as connection:
        return {
            table: connection.execute(f"SELECT count(*) AS n FROM {table}").fetchone()["n"]
            for table in tables
        }


def _judged(lane: Lane, url: str) -> list[str]:
    from privacy_samples import PLACES

    rows, found = _rows(url), _found(lane, url, PLACES)
    told = []
    if (rows["erasures"], rows["messages"], rows["clients"], rows["raws"]) != (1, 1, 1, 0):
        told.append(f"erased other than once and whole: {rows}")
    if found:
        told.append(f"words of somebody erased are in the files: {sorted(found)}")
    return told


def _found(lane: Lane, url: str, words: tuple[str, ...]) -> set[str]:
    if url.startswith("sqlite"):
        files = list(lane.folder.glob("person.sqlite3*"))
    else:
        with connected(url) as connection:
            connection.commit()
            connection.autocommit = True
            connection.execute("CHECKPOINT")
            query = "SELECT oid FROM pg_database WHERE datname = current_database()"
            oid = connection.execute(query).fetchone()["oid"]
        [folder] = lane.bench.postgres.home.glob(f"**/base/{oid}")
        files = [one for one in folder.iterdir() if one.is_file()]
    contents = [one.read_bytes() for one in files]
    return {word for word in words if any(word.encode() in one for one in contents)}


if __name__ == "__main__":
    _serve()
