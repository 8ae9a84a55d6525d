"""What sealing costs: keeping bytes, deciding and storing, pages of 50 cases, one case, the file.

usage: bench_sealing.py [--messages N] [--rounds N]

Processor time of this process, the best of several rounds in turns, so that a busy machine does
not count; on SQLite.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

from bench import raw_message
from corpus_mail import AUTHSERV_ID, mail

from ingest.parsing import ParseOptions
from ingest.sources import Batch
from pipeline import Reading, record, understand
from settings import read_settings
from store import KeyPlace, Wanted, open_store
from store.resealing import rotate
from triage.records import Cursor


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--messages", type=int, default=2_000)
    arguments.add_argument("--rounds", type=int, default=3)
    chosen = arguments.parse_args()
    raws = [raw_message(content, n) for n, content in enumerate(mail(chosen.messages), 1)]
    reads = understand(Reading(ParseOptions(authserv_id=AUTHSERV_ID), fast=True), raws)
    best: dict[str, dict[str, float]] = {"plain": {}, "sealed": {}}
    with tempfile.TemporaryDirectory() as name:
        place = KeyPlace(Path(name) / "keys")
        place.add()
        for _ in range(chosen.rounds):
            for how, keys in (("plain", None), ("sealed", place)):
                for what, took in measured(raws, reads, Path(name), keys).items():
                    best[how][what] = min(took, best[how].get(what, took))
    table = Table("what", "plain", "sealed", "sealed / plain", title=f"{len(raws)} messages")
    for what, took in best["plain"].items():
        other = best["sealed"][what]
        ratio = f"{other / took:.2f}" if took else ""
        table.add_row(what, f"{took:.3f}", f"{other:.3f}", ratio)
    Console().print(table)


def measured(raws, reads, folder: Path, keys: KeyPlace | None) -> dict[str, float]:  # noqa: C901 - one step after the other
    path = folder / "bench.sqlite3"
    for old in folder.glob("bench.sqlite3*"):
        old.unlink()
    now = datetime.now(UTC)
    rules = read_settings().rules(now)
    found: dict[str, float] = {}
    with open_store(f"sqlite:///{path}", keys=keys) as store:
        parts = [range(n, min(n + 200, len(raws))) for n in range(0, len(raws), 200)]

        def keep() -> None:
            for part in parts:
                store.keep_raw([raws[n] for n in part])

        def decide() -> None:
            for part in parts:
                with store.batch(now=now) as memory:
                    some = tuple(raws[n] for n in part)
                    batch = Batch(some, (), Cursor("bench", "", 1, some[-1].key.uid))
                    record(batch, [reads[n] for n in part], memory, rules)

        def pages() -> None:
            for _ in range(20):
                store.page(Wanted(include_closed=True))

        def cases() -> None:
            for row in shown.rows:
                store.case(row.case_id)

        found["keep the bytes, s"] = took(keep)
        found["decide and store, s"] = took(decide)
        shown = store.page(Wanted(include_closed=True))
        found["a page of 50 cases, ms"] = took(pages) * 1000 / 20
        found["one case, ms"] = took(cases) * 1000 / len(shown.rows)
        words = ("session", "anxiety", "referral", "reschedule")
        search = [Wanted(words=word, include_closed=True) for word in words]
        found["a search, ms"] = took(lambda: [store.page(one) for one in search]) * 1000 / 4
    found["the file, MB"] = path.stat().st_size / 1e6
    if keys:
        begun = time.process_time()
        keys.add()
        rotate(f"sqlite:///{path}", keys)
        rate = len(raws) / (time.process_time() - begun)
        Console().print(f"rotation: {rate:.0f} messages with all that is theirs a second")
    return found


def took(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
