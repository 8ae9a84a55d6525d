"""What readers of archives are given to do in tests; here, since a worker must import it."""

import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing import parent_process
from pathlib import Path

from ingest.parsing import UnreadableEmailError, parse
from ingest.workers import Workers, ordinary_mail, process_pool
from pipeline import Read, Understood, Unreadable
from triage.records import RawMessage, Request

KILLS_ITS_READER = b"This kills its reader."
KILLS_THE_WORKER = b"This kills the worker."


def read_lightly(slowly_s: float, messages: Sequence[RawMessage]) -> list[Read]:
    """Parse, understand nothing, and die over what says so."""
    time.sleep(slowly_s * len(messages))
    return [_read(raw) for raw in messages]


def _read(raw: RawMessage) -> Read:
    if KILLS_ITS_READER in raw.content:
        os.kill(os.getpid(), signal.SIGKILL)
    if KILLS_THE_WORKER in raw.content:
        time.sleep(0.5)  # a nanny gives up a worker that is killed while it starts
        os.kill(parent_process().pid, signal.SIGKILL)
        time.sleep(60)  # and we end with it
    try:
        email = parse(raw)
    except UnreadableEmailError as error:
        return Unreadable(error.cause)
    return Understood(email, (Request("other", confidence=0.9),), "light")


def light_workers(slowly_s: float = 0.0) -> Workers[RawMessage, Read]:
    pool = partial(process_pool, 1, ("ingest.parsing",))
    harmless = [ordinary_mail()]
    return Workers(partial(read_lightly, slowly_s), given_up, pool, harmless=harmless)


def given_up(_: RawMessage) -> Read:
    return Unreadable("killed_reader")


def mbox_of(path: Path, contents: Sequence[bytes]) -> str:
    """An mbox with these messages, as a source is named."""
    line = b"From x@y Thu Jan  1 00:00:00 2026\n"
    path.write_bytes(b"".join(line + content + b"\n" for content in contents))
    return f"mbox:{path}"


def letters(count: int, *, odd: dict[int, bytes] | None = None) -> list[bytes]:
    """Small mails, some of them with other words in them."""
    words = odd or {}
    return [
        b"From: Ann <ann@therapist.example>\nSubject: CANARY-%d\nMessage-ID: <%d@therapist>\n"
        b"Date: Mon, 05 Jan 2026 10:00:00 +0000\n\nCANARY words. %b\n"
        % (number, number, words.get(number, b"Please cancel."))
        for number in range(count)
    ]


class KillsWhoeverSendsIt:
    """A result that takes its worker with it on the way to whoever waits for it."""

    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)


class KillsTheScheduler:
    """A result that takes the scheduler with it on the way to whoever waits for it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def __reduce__(self):
        os.kill(self.pid, signal.SIGKILL)
        return KillsTheScheduler, (self.pid,)


def ends_twice(done_once: Path) -> KillsWhoeverSendsIt:
    """Be done the first time, but be lost before the result is fetched; kill the next worker."""
    time.sleep(0.5)  # see above: whoever is killed too early does not come back
    if done_once.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    done_once.touch()
    return KillsWhoeverSendsIt()
