"""What breaks during a soak: each trouble strikes, lasts, and clears up after itself."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from faults.disks import IS_ROOT
from faults.oracle import connected

from soak.program import LEASE_S
from soak.services import Service
from soak.world import World, wait

#: Strikes *world* and gives what it did, in a few words.
Trouble = Callable[[World, random.Random], str]


def run_killed(world: World, chance: random.Random) -> str:
    """A scheduled run ends at any of its moments."""
    until = time.monotonic() + 25
    begun = world.schedule.started
    while world.schedule.started == begun and time.monotonic() < until:
        wait(0.1, world)
    wait(chance.uniform(0.2, 5), world)
    return "kill -9" if world.schedule.kill() else "was done before"


def reader_killed(world: World, chance: random.Random) -> str:
    """A process that reads mails for `watch` dies."""
    if world.watch.process is None:
        return "nobody there"
    children = [
        int(pid)
        for pid in _below(world.watch.process.pid)
        if "resource_tracker" not in _command(pid)
    ]
    if not children:
        return "nobody there"
    with suppress(ProcessLookupError):
        os.kill(chance.choice(children), signal.SIGKILL)
    return f"one of {len(children)}"


def sessions_killed(world: World, _: random.Random) -> str:
    """Dovecot's processes that serve sessions die."""
    pids = world.dovecot.imap_processes()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return f"{len(pids)} sessions"


def mail_server_killed(world: World, chance: random.Random) -> str:
    """Dovecot dies with all its processes, and is away for a while."""
    away = chance.uniform(1, 6)
    os.killpg(world.dovecot.process.pid, signal.SIGKILL)
    world.dovecot.process.wait(10)
    wait(away, world)
    world.dovecot.start()
    return f"away for {away:.0f} s"


def mail_line_stalls(world: World, chance: random.Random) -> str:
    """New connections to the mail server fall silent somewhere."""
    at = chance.randrange(1, 6000)
    world.proxy.strike("stall", "down", at)
    wait(12, world)
    world.proxy.strike(None)
    return f"after {at} bytes, for 12 s"


def mail_line_cut(world: World, chance: random.Random) -> str:
    """New connections to the mail server are reset somewhere."""
    way = chance.choice(("down", "up"))
    at = chance.randrange(1, 6000 if way == "down" else 300)
    world.proxy.strike("cut", way, at)  # type: ignore[arg-type]  # one of the two
    wait(10, world)
    world.proxy.strike(None)
    return f"{way} after {at} bytes, for 10 s"


def watch_sleeps(world: World, _: random.Random) -> str:
    """`watch` is stopped for longer than its lease lasts, and wakes when others have gone on."""
    return _asleep(world, world.watch, LEASE_S + 5)


def page_sleeps(world: World, _: random.Random) -> str:
    return _asleep(world, world.page, 6)


def _asleep(world: World, service: Service, seconds: float) -> str:
    service.signal(signal.SIGSTOP)
    wait(seconds, world)
    service.signal(signal.SIGCONT)
    return f"for {seconds:.0f} s"


def watch_killed(world: World, _: random.Random) -> str:
    world.watch.signal(signal.SIGKILL)
    return "kill -9"


def page_killed(world: World, _: random.Random) -> str:
    world.page.signal(signal.SIGKILL)
    return "kill -9"


def platform_fails(world: World, chance: random.Random) -> str:
    """The receiver of webhooks answers wrongly, late or not at all."""
    way = chance.choice(("hang_up", "answer_lost", "slow", "500"))
    if way == "500":
        world.receiver.statuses = [500, 503, 429, 500]
    else:
        world.receiver.delay_s = 8
        world.receiver.trouble = way  # type: ignore[assignment]  # one of the three
        wait(12, world)
        world.receiver.trouble = ""
    return way


def disk_full(world: World, chance: random.Random) -> str:
    """Nothing more fits on the database's disk for a while."""
    ballast = world.disk / "ballast"
    room = chance.choice((0, 0, 64 << 10, 1 << 20))
    size = shutil.disk_usage(world.disk).free - room
    with ballast.open("wb") as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
    try:
        wait(12, world)
    finally:
        ballast.unlink()
    return f"{room >> 10} KiB left for 12 s"


def clock_wrong(world: World, chance: random.Random) -> str:
    """A scheduled run has a clock that is wrong.

    It delivers nothing: a webhook signed at another hour is refused, and then waits until the time
    that this clock says, which is after any soak.
    """
    shift = chance.choice(("+1h", "-1h", "+1d"))
    world.schedule.prefix = ("env", "FIT_TRIAGE_OUTBOX__WITH_RUNS=false", "faketime", "-f", shift)
    return f"next run {shift}"


# --- databases ------------------------------------------------------------------------------------


def database_locked(world: World, _: random.Random) -> str:
    """Somebody else holds what everybody needs to write."""
    seconds = 7
    with connected(world.url) as connection:
        if world.postgres is None:
            connection.isolation_level = None
            connection.execute("BEGIN IMMEDIATE")
        else:
            connection.execute("SELECT * FROM ledger FOR UPDATE")
        wait(seconds, world)
        connection.execute("ROLLBACK")
    return f"for {seconds} s"


def database_crashes(world: World, chance: random.Random) -> str:
    return _restarted(world, signal.SIGQUIT, chance.uniform(0, 5))


def database_restarts(world: World, chance: random.Random) -> str:
    return _restarted(world, signal.SIGINT, chance.uniform(0, 5))


def _restarted(world: World, how: signal.Signals, away: float) -> str:
    assert world.postgres is not None
    world.postgres.stop(how)
    time.sleep(away)
    world.revive()
    return f"{how.name}, away for {away:.0f} s"


def backends_ended(world: World, chance: random.Random) -> str:
    """The server ends all sessions; or one is killed, after which it recovers as from a crash."""
    kill = chance.random() < 0.4
    query = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    with connected(world.url) as connection:
        pids = [row["pid"] for row in connection.execute(query)]
        for pid in () if kill else pids:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
    if kill and pids:  # which ends everybody's session, ours as well if it were still open
        with suppress(ProcessLookupError):
            os.kill(chance.choice(pids), signal.SIGKILL)
        return "kill -9 of one"
    return f"{len(pids)} ended"


def _below(pid: int) -> list[int]:
    with suppress(OSError):
        tasks = list(os.scandir(f"/proc/{pid}/task"))
        return [
            int(child)
            for task in tasks
            for child in open(f"{task.path}/children").read().split()  # noqa: PTH123
        ]
    return []


def _command(pid: int) -> str:
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        return file.read().decode(errors="replace")
    return ""


# --- which, and when ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deck:
    """Every trouble once, in an order of chance, then all of them again."""

    troubles: tuple[Trouble, ...]
    early: tuple[Trouble, ...]  # end what is watched for growth: in the first half alone

    def deal(self, chance: random.Random, *, is_early: Callable[[], bool]) -> Iterator[Trouble]:
        while True:
            deck = list(self.troubles + (self.early if is_early() else ()))
            chance.shuffle(deck)
            for trouble in deck:
                if trouble not in self.early or is_early():
                    yield trouble


def deck_for(world: World) -> Deck:
    anywhere = (
        run_killed, run_killed, reader_killed, sessions_killed, mail_server_killed,
        mail_line_stalls, mail_line_cut, watch_sleeps, page_sleeps, platform_fails,
        database_locked,
    )  # fmt: skip
    server = (database_crashes, database_restarts, backends_ended) if world.postgres else ()
    disk = (disk_full,) if IS_ROOT else ()
    clock = (clock_wrong,) if shutil.which("faketime") else ()
    return Deck((*anywhere, *server, *disk, *clock), (watch_killed, page_killed))


def told(trouble: Trouble) -> str:
    return trouble.__name__.replace("_", " ")
