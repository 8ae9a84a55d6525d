"""Backups that are cut short, and the way back while the mailbox has moved on.

A backup is whole or not there; a database that was restored is settled or cannot be used; and the
next run fetches what came since, once.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from faults.bench import KINDS, Kind, Lane, Row, Trial, Try, as_kept, letter, recovered
from faults.oracle import Mail, State, connected, judged
from faults.worker import Job

_NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
#: What a copy consists of, as the kernel sees it: SQLite's pages, PostgreSQL's answers, and the
#: steps by which a file comes under its name.
_CALLS: dict[Kind, tuple[str, ...]] = {
    "sqlite": ("pwrite64", "fsync", "link", "unlink", "write", "openat"),
    "postgres": ("sendto", "recvfrom", "fsync", "link", "unlink", "clone,vfork", "wait4"),
}


def restored(count: int) -> Row:
    """A database of an hour ago, and mail that came, was renumbered or taken away since."""
    ways = ("", "renumbered", "expunged")
    tries: list[Try] = [
        lambda lane, n=n: an_hour_ago(lane, KINDS[n % 2], ways[n // 2 % len(ways)])
        for n in range(count)
    ]
    return Row("a database restored to an hour ago, the mailbox has moved on", "56", tries)


def an_hour_ago(lane: Lane, kind: Kind, since: str = "", bug: str = "") -> Trial:
    trial = Trial()
    url = lane.fresh(kind)
    box = lane.bench.dovecot.mailbox([letter(n) for n in range(3)])
    job = lane.job(url, box=box, size=2)
    recovered(lane, trial, job, before := as_kept(lane.bench, box))
    with _folder(lane) as folder:
        trial.saw(lane.run(replace(job, backup_to=str(folder))))
        [path] = _named(folder)
        box.fill([letter(n) for n in range(3, 7)], start=1_790_000_100)
        recovered(lane, trial, job, as_kept(lane.bench, box))
        if since == "renumbered":
            box.forget_uids()
        elif since == "expunged":
            box.expunge(box.uids()[:1])
        now = as_kept(lane.bench, box)
        with _new_place(lane, kind) as there:
            back = replace(job, url=there)
            trial.saw(lane.run(replace(back, restore_from=str(path), bug=bug)))
            trial.noted["restored"] += _is_settled(there)
            if not _is_settled(there):
                trial.violations.append("I2 a restored database may send again what has left")
            return _going_on(lane, trial, back, now, gone=before)


def backups_killed(count: int) -> Row:
    return Row("kill -9 during a backup", "56", _struck(count, backup_killed))


def restorations_killed(count: int) -> Row:
    return Row("kill -9 during a restoration", "56", _struck(count, restoration_killed))


def _struck(count: int, trial: object) -> list[Try]:
    """Early calls one by one, where little is done; then ever wider apart."""
    numbers = [1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 29, 38, 50, 66, 87, 115]
    points = [(kind, call, number) for number in numbers for kind in KINDS for call in _CALLS[kind]]
    return [
        lambda lane, point=point: trial(lane, *point)  # type: ignore[operator]  # one of the two
        for point in itertools.islice(itertools.cycle(points), count)
    ]


def backup_killed(lane: Lane, kind: Kind, call: str, number: int) -> Trial:
    """What is there under its name and with its manifest can be restored; the next one is whole."""
    trial = Trial()
    url = lane.fresh(kind)
    job = lane.job(url)
    recovered(lane, trial, job, lane.mails)
    with _folder(lane) as folder:
        taking = replace(job, backup_to=str(folder))
        trial.saw(lane.run_struck(taking, call, f"signal=SIGKILL:when={number}"))
        trial.noted["whole all the same"] += len(_whole(trial, folder))
        later = (_NOW + timedelta(minutes=1)).isoformat()
        again = lane.run(replace(taking, now=later))
        trial.saw(again)
        if not again.well:
            trial.violations.append("I5 no backup can be taken after one that was killed")
        elif _whole(trial, folder):
            with _new_place(lane, kind) as there:
                path = str(_named(folder)[-1])
                trial.saw(lane.run(replace(job, url=there, restore_from=path)))
                _going_on(lane, trial, replace(job, url=there), lane.mails)
    trial.violations += judged(url, lane.mails)
    return trial


def restoration_killed(lane: Lane, kind: Kind, call: str, number: int) -> Trial:
    """It is settled, or nobody can run on it; in a new place it goes well."""
    trial = Trial()
    job = lane.job(lane.fresh(kind))
    recovered(lane, trial, job, lane.mails)
    with _folder(lane) as folder:
        trial.saw(lane.run(replace(job, backup_to=str(folder))))
        [path] = _named(folder)
        with _new_place(lane, kind) as there:
            back = replace(job, url=there, restore_from=str(path))
            trial.saw(lane.run_struck(back, call, f"signal=SIGKILL:when={number}"))
            trial.violations += _unsettled(lane, job, there)
        with _new_place(lane, kind) as there:
            again = lane.run(replace(back, url=there))
            trial.saw(again)
            if not (again.well and _is_settled(there)):
                trial.violations.append("I5 no restoration goes well after one that was killed")
            _going_on(lane, trial, replace(job, url=there), lane.mails)
    return trial


def _unsettled(lane: Lane, job: Job, there: str) -> Iterator[str]:
    """Whether a run goes well on a database that was restored and never settled."""
    held = _rows(there)
    if held and not _is_settled(there) and lane.run(replace(job, url=there)).well:
        yield "I2 a run begins on a half restored database: what has left may leave again"
    if held and _is_settled(there):
        yield from _but_for_numbers(judged(there, lane.mails, complete=False), there)


def _going_on(lane: Lane, trial: Trial, job: Job, mails: list[Mail], **more: Any) -> Trial:
    """Let a run follow on a restored database."""
    followed = recovered(lane, Trial(), job, mails, **more)
    trial.violations += _but_for_numbers(followed.violations, job.url)
    trial.runs += followed.runs
    trial.slowest_s = max(trial.slowest_s, followed.slowest_s)
    trial.recovery_s = max(trial.recovery_s, followed.recovery_s)
    return trial


def _but_for_numbers(violations: list[str], url: str) -> list[str]:
    """Numbers go on further up, so that none names two things; until one is given they do not fit.

    Elsewhere that is a violation, here it must be so.
    """
    [row] = State.of(url).ledger
    skipped = row["message_id"] % 10_000 == 0 and row["message_id"] > 0
    line = "I3 the ledger does not fit the table messages"
    return [one for one in violations if one != line or not skipped]


# --- places ---------------------------------------------------------------------------------------


@contextmanager
def _folder(lane: Lane) -> Iterator[Path]:
    folder = lane.folder / "backups"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _new_place(lane: Lane, kind: Kind) -> Iterator[str]:
    """The address of a database that is not there yet, or holds nothing."""
    if kind == "sqlite":
        with _places(lane) as folder:
            yield f"sqlite:///{folder}/restored.sqlite3"
        return
    url = lane.bench.postgres.empty_database()
    try:
        yield url
    finally:
        lane.bench.postgres.drop(url)


@contextmanager
def _places(lane: Lane) -> Iterator[Path]:
    folder = lane.folder / "restored"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    yield folder


def _named(folder: Path) -> list[Path]:
    """Backups under their names, with or without a manifest."""
    return sorted(one for one in folder.glob("fit-triage-*") if one.suffix != ".json")


def _whole(trial: Trial, folder: Path) -> list[Path]:
    """Those that the program would restore; each is looked at."""
    from store import StoreError
    from store.backups import read_manifest

    found = []
    for path in _named(folder):
        if not path.with_name(f"{path.name}.json").exists():
            continue
        try:
            read_manifest(path)
        except StoreError:
            trial.violations.append("I3 a backup under its name is not whole")
        else:
            found.append(path)
    return found


def _rows(url: str) -> int:
    """How many messages lie there, as far as anybody can tell."""
    if url.startswith("sqlite") and not Path(url.removeprefix("sqlite:///")).exists():
        return 0
    try:
        return len(State.of(url).messages)
    except Exception:  # noqa: BLE001 - no tables, no database: nothing that could be used
        return 0


def _is_settled(url: str) -> bool:
    with connected(url) as connection:
        query = "SELECT count(*) AS n FROM audit WHERE event = 'restored'"
        return bool(connection.execute(query).fetchone()["n"])
