#!/usr/bin/env python3
"""How fast a run is, stage by stage and end to end, on a real Dovecot filled from the corpora.

usage: bench.py [--messages N] [--database URL] [--fast]

Beside our figures stand mail-parser alone on the same bytes and the bare IMAP download. Memory is
the proportional set size of all our processes together, sampled while the run is on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

from corpus_mail import AUTHSERV_ID, mail
from services.dovecot import Dovecot, Mailbox, running_dovecot

from ingest.parsing import ParseOptions, parse
from ingest.sources import Access, open_source
from pipeline import Reading, Understood, record, understand
from settings import read_settings
from store import open_store
from triage.records import MessageKey, RawMessage

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"
STAGE_SAMPLE = 2_000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--messages", type=int, default=10_000)
    arguments.add_argument("--database", default="", help="empty: a new SQLite file")
    arguments.add_argument("--fast", action="store_true", help="read without the transformer")
    chosen = arguments.parse_args()
    if chosen.fast:
        os.environ["FIT_TRIAGE_FAST"] = "true"  # for the runs; the stages read it below
    with running_dovecot() as dovecot, tempfile.TemporaryDirectory() as folder:
        bench(dovecot, Path(folder), chosen.messages, chosen.database)


def bench(dovecot: Dovecot, folder: Path, count: int, database: str) -> None:
    table = Table("what", "messages", "messages/s", "seconds", "peak memory", title="bench")
    contents = list(mail(count))
    size = sum(map(len, contents)) / len(contents)
    Console().print(f"{count} messages of {size:.0f} bytes on average, {os.cpu_count()} cores")
    full = dovecot.mailbox(contents)
    full.uids()  # Dovecot indexes new files at the first visit; that is not ours to measure

    for name, seconds, number in stages(full, contents[:STAGE_SAMPLE], dovecot, folder):
        table.add_row(name, str(number), f"{number / seconds:.0f}", f"{seconds:.2f}", "")
    boxes = [(full, count)]
    if count > 1000:
        small = dovecot.mailbox(contents[:1000])
        small.uids()
        boxes.insert(0, (small, 1000))
    for box, number in boxes:
        url = database or f"sqlite:///{folder}/{number}.sqlite3"
        done = timed_run(box, url)
        rate = f"[bold]{number / done.seconds:.0f}[/]"
        memory = f"{done.peak_mb:.0f} MB"
        table.add_row("end to end", str(number), rate, f"{done.seconds:.2f}", memory)
        Console().print(done.output.strip())
    again = timed_run(full, database or f"sqlite:///{folder}/{count}.sqlite3")
    table.add_row(
        "run that finds nothing new", "0", "", f"{again.seconds:.2f}", f"{again.peak_mb:.0f} MB"
    )
    Console().print(table)


def stages(
    box: Mailbox, contents: Sequence[bytes], dovecot: Dovecot, folder: Path
) -> Iterator[tuple[str, float, int]]:
    """Each stage alone, on one core, as (name, seconds, messages)."""
    with clock() as bare:
        downloaded = bare_download(box)
    yield "bare IMAP download (imapclient)", bare.seconds, downloaded
    with clock() as fetch:
        fetched = list(fetched_from(box, dovecot))
    yield "fetch", fetch.seconds, len(fetched)
    messages = [raw_message(content, number) for number, content in enumerate(contents, 1)]
    with clock() as alone:
        mail_parser_alone(contents)
    yield "mail-parser alone", alone.seconds, len(contents)
    options = ParseOptions(authserv_id=AUTHSERV_ID)
    with clock() as parsing:
        emails = [parse(raw, options) for raw in messages]
    yield "parse", parsing.seconds, len(emails)
    reading = Reading(options, fast=read_settings().fast)
    with clock() as load:
        understand(reading, messages[:1])
    yield "load the model (once a process)", load.seconds, 1
    with clock() as both:
        reads = understand(reading, messages)
    yield "understand", max(both.seconds - parsing.seconds, 1e-9), len(reads)
    yield from store_stages(messages, reads, folder)


def store_stages(messages, reads, folder: Path) -> Iterator[tuple[str, float, int]]:
    from ingest.sources import Batch
    from triage.records import Cursor

    now = datetime.now(UTC)
    rules = read_settings().rules(now)
    with open_store(f"sqlite:///{folder}/stages.sqlite3") as store:
        with clock() as keeping:
            for start in range(0, len(messages), 200):
                store.keep_raw(messages[start : start + 200])
        yield "keep the bytes", keeping.seconds, len(messages)
        with clock() as deciding:
            for start in range(0, len(messages), 200):
                part = tuple(messages[start : start + 200])
                with store.batch(now=now) as memory:
                    batch = Batch(part, (), Cursor("bench", "", 1, part[-1].key.uid))
                    record(batch, reads[start : start + 200], memory, rules)
        assert all(isinstance(read, Understood) for read in reads)
        yield "decide and store", deciding.seconds, len(messages)


def raw_message(content: bytes, number: int) -> RawMessage:
    digest = hashlib.sha256(content).hexdigest()
    return RawMessage(MessageKey("bench", "", 1, number), datetime.now(UTC), digest, content)


def fetched_from(box: Mailbox, dovecot: Dovecot) -> Iterator[RawMessage]:
    access = Access(password=dovecot.password, ca_file=dovecot.ca_file)
    with open_source(box.spec(), access) as source:
        for batch in source.batches(None, lambda _: set()):
            yield from batch.messages


def bare_download(box: Mailbox) -> int:
    """What imapclient needs for the same bytes, and nothing else."""
    import ssl

    from imapclient import IMAPClient

    context = ssl.create_default_context(cafile=box.server.ca_file)
    client = IMAPClient("127.0.0.1", port=box.server.port, ssl_context=context)
    client.login(box.user, box.server.password)
    client.select_folder("INBOX", readonly=True)
    uids = client.search()
    for start in range(0, len(uids), 200):
        client.fetch(uids[start : start + 200], ["BODY.PEEK[]"])
    client.logout()
    return len(uids)


def mail_parser_alone(contents: Sequence[bytes]) -> None:
    import mailparser

    for content in contents:
        found = mailparser.parse_from_bytes(content)
        found.text_plain, found.text_html, found.headers, found.attachments  # noqa: B018 - read


@dataclass
class Clock:
    seconds: float = 0.0


@contextmanager
def clock() -> Iterator[Clock]:
    measured = Clock()
    begin = time.perf_counter()
    yield measured
    measured.seconds = time.perf_counter() - begin


@dataclass
class Done:
    seconds: float
    output: str
    peak_mb: float = 0.0


@dataclass
class Watch:
    """The most that a process and its descendants held together."""

    pid: int
    peak_kb: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self.stop.wait(0.1):
            self.peak_kb = max(self.peak_kb, sum(map(pss_kb, family(self.pid))))


def timed_run(box: Mailbox, database: str) -> Done:
    """One `fit-triage run` as a scheduler starts it."""
    environment = {
        **os.environ,
        "FIT_TRIAGE_DATABASE_URL": database,
        "FIT_TRIAGE_AUTHSERV_ID": AUTHSERV_ID,
        "FIT_TRIAGE_IMAP_PASSWORD": box.server.password,
        "FIT_TRIAGE_IMAP_CA_FILE": box.server.ca_file,
    }
    begin = time.perf_counter()
    command = [FIT_TRIAGE, "run", "--source", box.spec()]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        watch = Watch(process.pid)
        thread = threading.Thread(target=watch.look)
        thread.start()
        output, _ = process.communicate()
        seconds = time.perf_counter() - begin
        watch.stop.set()
        thread.join()
    if process.returncode:
        sys.exit(f"the run ended with {process.returncode}: {output}")
    return Done(seconds, output, watch.peak_kb / 1024)


def family(pid: int) -> list[int]:
    """*pid* and its descendants."""
    found = [pid]
    for one in found:
        with suppress(OSError):  # a thread or process that has ended meanwhile
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found


def pss_kb(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(
        (int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0
    )


if __name__ == "__main__":
    main()
