"""PostgreSQL that loses a commit or its answer, or gives another writer the way."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.losing_proxy import Lost, losing_proxy

from faults.bench import Lane, Row, Trial, Try, as_kept, letter, recovered
from faults.oracle import State, connected, judged

#: More COMMITs than a run over five mails makes, one in a batch.
_COMMITS = 17


def lost(count: int) -> Row:
    ways: tuple[Lost, ...] = ("reply", "request")
    points = [(way, at) for at in range(1, 1 + _COMMITS) for way in ways]
    tries: list[Try] = [
        lambda lane, way=way, at=at: lose(lane, way, at)
        for way, at in itertools.islice(itertools.cycle(points), count)
    ]
    return Row("the answer to a COMMIT is lost, or the COMMIT", "9", tries)


def lose(lane: Lane, way: Lost, at: int) -> Trial:
    """Whoever hears no answer cannot know whether it is stored; the next run does by the keys."""
    trial = Trial()
    url = lane.fresh("postgres")
    server = lane.bench.postgres.home
    with losing_proxy(server) as proxy:
        before, _, _ = url.partition("?")
        proxy.lose(way, at)
        ended = lane.run(lane.job(f"{before}?host={proxy.folder}", size=1))
        trial.saw(ended)
        trial.noted[f"{way} lost"] += proxy.struck
        trial.noted["run ended well all the same"] += proxy.struck and ended.well
    trial.violations += judged(url, lane.mails, complete=False)
    return recovered(lane, trial, lane.job(url, size=1), lane.mails)


# Others in the way


def deadlocks(count: int) -> Row:
    tries: list[Try] = [lambda lane, n=n: deadlock(lane, 1 + n % 3) for n in range(count)]
    return Row("deadlock with another writer, three times at most", "10", tries)


def deadlock(lane: Lane, times: int, bug: str = "") -> Trial:
    """Somebody takes rows in the other order; PostgreSQL ends our transaction, not theirs."""
    trial = Trial()
    url = lane.fresh("postgres")
    with _set(url, "deadlock_timeout = '200ms'"):
        stop = threading.Event()
        met: list[int] = []
        other = threading.Thread(target=_in_the_way, args=(url, times, stop, met))
        other.start()
        ended = lane.run(lane.job(url, size=1, timeout_s=20, bug=bug))
        stop.set()
        other.join(30)
    trial.saw(ended)
    trial.noted["times in the way"] += len(met)
    trial.noted["done in the same run"] += ended.well and bool(met)
    if not ended.well:
        trial.violations.append("I5 a run gives up over a deadlock")
    trial.violations += judged(url, lane.mails, complete=ended.well)
    return recovered(lane, trial, lane.job(url, size=1), lane.mails)


def _in_the_way(url: str, times: int, stop: threading.Event, met: list[int]) -> None:
    """Hold the ledger's row, then ask for the lease's, which a batch takes first."""
    with connected(url) as connection:
        # PostgreSQL ends whoever looks for a deadlock first, and looks once in each wait.
        connection.execute("SET deadlock_timeout = '60s'")
        connection.commit()
        while len(met) < times and not stop.is_set():
            connection.execute("SELECT * FROM ledger FOR UPDATE")
            if _somebody_waits(connection, stop):
                connection.execute("SELECT * FROM leases FOR UPDATE")
                met.append(1)
            connection.rollback()
            stop.wait(0.01)


def _somebody_waits(connection: Any, stop: threading.Event) -> bool:
    query = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted"
    for _ in range(20):
        if connection.execute(query).fetchone()["n"]:
            return True
        stop.wait(0.005)
    return False


def serialisable(count: int, at_once: int = 3) -> Row:
    tries: list[Try] = [lambda lane: serialised(lane, at_once)] * count
    return Row(f"{at_once} mailboxes at once, all transactions serialisable", "10", tries)


def serialised(lane: Lane, at_once: int) -> Trial:
    """A database whose administrator has made every transaction serialisable."""
    trial = Trial()
    url = lane.fresh("postgres")
    boxes = [
        lane.bench.dovecot.mailbox([letter(100 * n + i) for i in range(5)]) for n in range(at_once)
    ]
    mails = [mail for box in boxes for mail in as_kept(lane.bench, box)]
    with _set(url, "default_transaction_isolation = 'serializable'"):
        jobs = [lane.job(url, box=box, size=1, timeout_s=20) for box in boxes]
        ended = [lane.nest.wait(pid) for pid in [lane.nest.start(job) for job in jobs]]
    trial.saw(*ended)
    if not all(one.well for one in ended):
        trial.violations.append("I5 a run gives up over a serialisation failure")
    for job in jobs:
        trial.saw(lane.run(job))
    digests = {row["digest"] for row in State.of(url).messages}
    if digests != {mail.digest for mail in mails}:
        trial.violations.append("I1 mail is lost")
    return trial


@contextmanager
def _set(url: str, setting: str) -> Iterator[None]:
    """Have *setting* hold for every new session of the database, while the ``with`` lasts."""
    name = url.partition("?")[0].rpartition("/")[2]

    def alter(what: str) -> None:
        with connected(url) as connection:
            connection.execute(f'ALTER DATABASE "{name}" {what}')

    alter(f"SET {setting}")
    try:
        yield
    finally:
        alter("RESET ALL")
