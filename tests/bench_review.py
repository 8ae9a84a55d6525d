#!/usr/bin/env python3
"""How fast the review page is with a million stored items: the server's own time, page by page.

usage: bench_review.py [--size N] [--open N] [--database sqlite|postgres] [--times N] [--folder DIR]

The sample mailbox is read, decided and partly acted on by the program itself; the rows that come
of it are then laid down again and again under other numbers, sessions, people and words, straight
into the tables. Requests go through the whole application, door and access log included; the time
is taken around it. Bytes as served (``raws``) are left out: none of these pages reads them.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import re
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parent))

from corpus_mail import corpus_records
from services.postgres import running_postgres
from starlette.testclient import TestClient

from ingest.sample import write_sample
from ingest.sources import Access, open_source
from pipeline import Reading, record_message, understand
from review import acting
from review.access.door import Door, hashed, new_secret
from review.desk import Desk, import_files
from review.serving import review_page
from settings import read_settings
from store import Store, open_store
from store.accounts import Session
from triage.verdicts import Verdict

DAY = date(2026, 3, 3)
#: Words that stand in one case of so many.
RARE, OFTEN = 10_000, 3
THERAPISTS, CLIENTS = 5_000, 200_000
_AT_ONCE = 5_000
_SYLLABLES = (
    "an", "bel", "cor", "da", "el", "fin", "gra", "ho", "il", "jo", "ka", "lu", "mar", "ne", "ol",
    "pe", "qui", "ro", "sa", "ti", "ur", "va", "wen", "xi", "yo", "za",
)  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--size", type=int, default=1_000_000, help="stored messages and cases")
    arguments.add_argument("--open", type=int, default=20_000, help="how many of them wait")
    arguments.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    arguments.add_argument("--times", type=int, default=100, help="requests of each kind")
    arguments.add_argument("--folder", type=Path, default=None, help="where there is room")
    chosen = arguments.parse_args()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="bench-review-", dir=chosen.folder))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if chosen.database == "sqlite":
            url, server = f"sqlite:///{folder}/bench.sqlite3", 0
        else:
            postgres = stack.enter_context(running_postgres(chosen.folder or Path("/tmp")))
            url, server = postgres.database(), postgres.process.pid
        bench(url, folder, chosen.size, min(chosen.open, chosen.size), chosen.times, server)


def bench(
    url: str, folder: Path, size: int, waiting: int, times: int, server: int
) -> list[Measured]:
    begin = time.perf_counter()
    now = lay_down(url, folder, size, waiting)
    say(f"{size} cases, {waiting} open, laid down in {time.perf_counter() - begin:.0f} s")
    say(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n{HEAD}")
    gc.collect()
    gc.freeze()  # what was made for the rows is none of the page's
    with open_store(url) as store:
        return Drive(store, now, size, waiting, server).measure(times)


# --- the rows -------------------------------------------------------------------------------------


@dataclass
class Unit:
    """A case as the program stored it, with all that hangs on it; JSON columns as text."""

    rows: dict[str, list[dict[str, Any]]]
    names: Mapping[str, str]  # what is replaced in every text, by what it is


TABLES = ("messages", "cases", "decisions", "verdicts", "audit")


def lay_down(url: str, folder: Path, size: int, waiting: int) -> datetime:
    """Fill the database at *url*; the time at which it is as it is."""
    now, waits, closed, registry = seeds(folder)
    opened = open_store(url)
    opened.close()
    writer: Writer = (SqliteWriter if url.startswith("sqlite") else PostgresWriter)(url)
    with writer:
        made = Maker(now, registry, size)
        writer.add({"therapists": made.therapists(), "clients": made.clients()})
        for start in range(0, size, _AT_ONCE):
            some: dict[str, list[dict[str, Any]]] = {}
            for number in range(start + 1, min(start + _AT_ONCE, size) + 1):
                is_open = number > size - waiting
                units = waits if is_open else closed
                made.lay(units[number % len(units)], number, some)
            writer.add(some)
        writer.finish(made.ledger)
    return now


def seeds(folder: Path) -> tuple[datetime, list[Unit], list[Unit], dict[str, list[dict[str, Any]]]]:
    """The sample's cases as they wait, and as they are once somebody has closed them."""
    sample = write_sample(folder / "sample", DAY)
    with open_source(f"maildir:{sample.maildir}", Access()) as source:
        raws = [raw for batch in source.batches(None, lambda _: set()) for raw in batch.messages]
    settings = read_settings(None).model_copy(
        update={"authserv_id": sample.authserv_id, "fast": True}
    )
    reads = understand(Reading(settings.parsing(), fast=True), raws)
    rules = settings.rules(sample.now)
    with open_store(f"sqlite:///{folder}/seed.sqlite3") as store:
        import_files(store, sample.sessions, sample.therapists, sample.clients, sample.now)
        with store.batch(now=sample.now) as memory:
            for raw, read in zip(raws, reads, strict=True):
                record_message(raw, read, memory, rules)
        waits = units(folder / "seed.sqlite3", "open")
        for row in store.queue(include_closed=True):
            story = store.case(row.case_id)
            verdict = Verdict(
                row.case_id, "dismiss", "anna", sample.now, reason="Settled by phone."
            )
            acting.act(store, story, verdict, rules, acting.sending_of(settings))
        closed = units(folder / "seed.sqlite3", "state = 'dismissed'")
    with sqlite3.connect(folder / "seed.sqlite3") as connection:
        registry = {
            name: fetched(connection, f"SELECT * FROM {name}") for name in ("therapists", "clients")
        }
    return sample.now, waits, closed, registry


def units(path: Path, which: str) -> list[Unit]:
    with sqlite3.connect(path) as connection:
        return [
            unit(connection, row)
            for row in fetched(connection, f"SELECT * FROM cases WHERE {which}")
        ]


def unit(connection: sqlite3.Connection, case: dict[str, Any]) -> Unit:
    number = case["id"]
    decisions = fetched(connection, f"SELECT * FROM decisions WHERE case_id = {number} ORDER BY id")
    ids = {row["message_id"] for row in decisions if row["message_id"]}
    listed = ",".join(map(str, ids)) or "0"
    rows = {
        "messages": fetched(
            connection, f"SELECT * FROM messages WHERE id IN ({listed}) ORDER BY id"
        ),
        "cases": [case],
        "decisions": decisions,
        "verdicts": fetched(connection, f"SELECT * FROM verdicts WHERE case_id = {number}"),
        "audit": fetched(connection, f"SELECT * FROM audit WHERE case_id = {number}"),
    }
    for row in decisions:  # where each ask stands names messages by their numbers
        request = json.loads(row["request"])
        asks = ",".join(f"[@{m}@,{a}]" for m, a in request.pop("asks", []) if m in ids)
        told = json.dumps(request, ensure_ascii=False)
        row["request"] = f'{told[:-1]},"asks":[{asks}]}}'
    sender = rows["messages"][0]["sender"] if rows["messages"] else ""
    names = {"sender": sender, "session": case["session_id"], "therapist": case["therapist_id"],
             "client": case["client_id"]}  # fmt: skip
    return Unit(rows, {name: value for name, value in names.items() if len(value) > 2})


def fetched(connection: sqlite3.Connection, query: str) -> list[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


@dataclass
class Maker:
    """Lays units down under other numbers and names; the same seed gives the same rows."""

    now: datetime
    registry: dict[str, list[dict[str, Any]]]
    size: int
    chance: random.Random = field(default_factory=lambda: random.Random(11))
    ledger: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        said = Counter(
            word
            for record in corpus_records()
            for word in re.findall(r"[a-z]+", record["new_text"].lower())
        )
        # Made once: choosing words by how often they are used is most of the work.
        words, weights = list(said), list(said.values())
        self.said = [self.chance.choices(words, weights, k=30) for _ in range(3_000)]
        self.therapists_made = min(THERAPISTS, max(20, self.size // 20))
        self.clients_made = min(CLIENTS, self.size)

    def therapists(self) -> list[dict[str, Any]]:
        known = self.registry["therapists"]
        return [
            {**known[n % len(known)], "therapist_id": therapist_id(n), "name": name_of(n),
             "fingerprint": str(n)}
            for n in range(self.therapists_made)
        ]  # fmt: skip

    def clients(self) -> list[dict[str, Any]]:
        for n in range(self.clients_made):
            first, last = name_of(n + 7_000_000).split()
            yield {"client_id": f"C{n:06d}", "first_name": first, "last_name": last, "email": "",
                   "fingerprint": str(n), "gone_at": None}  # fmt: skip

    def lay(self, unit: Unit, number: int, into: dict[str, list[dict[str, Any]]]) -> None:
        owner, client = number % self.therapists_made, number % self.clients_made
        new = {"sender": f"t{owner}@practice.example", "session": session_id(number),
               "therapist": therapist_id(owner), "client": f"C{client:06d}"}  # fmt: skip
        swap = [(old, new[name]) for name, old in unit.names.items()]
        ids: dict[str, dict[int, int]] = {}
        for table in TABLES:
            ids[table] = {}
            for row in unit.rows[table]:
                self.ledger[table] += 1
                ids[table][row["id"]] = number if table == "cases" else self.ledger[table]
        shift = timedelta(minutes=self.chance.randrange(60 * 24 * 30))
        for table in TABLES:
            for row in unit.rows[table]:
                made = {name: replaced(value, swap) for name, value in row.items()}
                made["id"] = ids[table][row["id"]]
                for column, target in (
                    ("case_id", "cases"), ("message_id", "messages"), ("decision_id", "decisions"),
                    ("new_decision_id", "decisions"),
                ):  # fmt: skip
                    if column in row and isinstance(row[column], int):
                        made[column] = ids[target].get(row[column])
                self._own(table, made, number, ids["messages"], shift)
                into.setdefault(table, []).append(made)
        if unit.names.get("session"):
            into.setdefault("sessions", []).append(self._session(new, shift))

    def _own(
        self,
        table: str,
        row: dict[str, Any],
        number: int,
        messages: Mapping[int, int],
        shift: timedelta,
    ) -> None:
        if table == "messages":
            row["digest"] = f"{row['id']:064x}"
            row["message_id"] = f"<{row['id']}@bench.example>"
            row["new_text"] += " " + self._said(number)
        elif table == "verdicts":
            row["key"] = f"{row['id']:064x}"
        elif table == "decisions":
            for old, new in messages.items():
                row["request"] = row["request"].replace(f"@{old}@", str(new))
        elif table == "cases" and row["deadline"]:
            due = datetime.fromisoformat(row["deadline"]) + shift
            row["deadline"] = due.isoformat(timespec="microseconds")

    def _said(self, number: int) -> str:
        words = list(self.chance.choice(self.said))
        first, last = name_of(number % self.clients_made + 7_000_000).split()
        words[3:3] = [first, last]
        if number % RARE == RARE - 1 or number == self.size:
            words.append("quetzal")
        if number % OFTEN == 0:
            words.append("wednesdays")
        return " ".join(words)

    def _session(self, new: Mapping[str, str], shift: timedelta) -> dict[str, Any]:
        starts = (self.now + shift).astimezone(UTC).isoformat(timespec="microseconds")
        people = {"therapist_id": new["therapist"], "client_id": new["client"]}
        booked = {"session_id": new["session"], **people, "starts_at": starts}
        return {
            **booked, "stage": "initial", "status": "confirmed", "fingerprint": "", "gone_at": None,
        }  # fmt: skip


def replaced(value: object, swap: Sequence[tuple[str, str]]) -> object:
    if not isinstance(value, str) or len(value) < 4:
        return value
    for old, new in swap:
        value = value.replace(old, new)
    return value


def therapist_id(number: int) -> str:
    return f"T{number:05d}"


def session_id(number: int) -> str:
    return f"BK-{number:07d}"


def name_of(number: int) -> str:
    parts, left = [], number * 2_654_435_761 + 97
    for _ in range(5):
        left, place = divmod(left, len(_SYLLABLES))
        parts.append(_SYLLABLES[place])
    return f"{''.join(parts[:2]).title()} {''.join(parts[2:]).title()}"


class Writer:
    """Rows straight into the tables; the index is made once they are there."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def add(self, rows: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def finish(self, ledger: Counter[str]) -> None:
        raise NotImplementedError

    connection: Any


_FILL = "INSERT INTO case_texts SELECT case_id, open, words FROM case_words"
_COUNTERS = (
    "UPDATE ledger SET message_id = {messages}, case_id = {cases}, decision_id = {decisions}, "
    "audit_id = {audit}"
)


class SqliteWriter(Writer):
    def __init__(self, url: str) -> None:
        self.connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        run = self.connection.execute
        run("PRAGMA synchronous = 0")
        run("PRAGMA cache_size = -800000")
        found = run(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'case_texts%'"
        )
        self.triggers = list(found)
        for name, _ in self.triggers:
            run(f"DROP TRIGGER {name}")

    def add(self, rows: Mapping[str, Any]) -> None:
        self.connection.execute("BEGIN")
        for table, given in rows.items():
            some = list(given)
            names = list(some[0])
            marks = ",".join("?" * len(names))
            quoted = ",".join(f'"{name}"' for name in names)
            self.connection.executemany(
                f"INSERT INTO {table} ({quoted}) VALUES ({marks})",
                (tuple(row.values()) for row in some),
            )
        self.connection.execute("COMMIT")

    def finish(self, ledger: Counter[str]) -> None:
        self.connection.execute(_COUNTERS.format(**ledger))
        self.connection.execute(_FILL)
        for _, statement in self.triggers:
            self.connection.execute(statement)
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class PostgresWriter(Writer):
    _QUIET = ("messages", "cases", "decisions", "therapists", "clients")

    def __init__(self, url: str) -> None:
        import psycopg

        self.connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        for table in self._QUIET:
            self.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'case_texts'"
        self.indexes = [row for row in self.connection.execute(query) if "gin" in row[1]]
        for name, _ in self.indexes:
            self.connection.execute(f"DROP INDEX {name}")

    def add(self, rows: Mapping[str, Any]) -> None:
        for table, given in rows.items():
            some = list(given)
            names = ",".join(f'"{name}"' for name in some[0])
            with self.connection.cursor().copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in some:
                    copy.write_row(tuple(row.values()))

    def finish(self, ledger: Counter[str]) -> None:
        run = self.connection.execute
        run(_COUNTERS.format(**ledger))
        run(
            "SELECT setval(pg_get_serial_sequence('verdicts', 'id'), %s)",
            (max(ledger["verdicts"], 1),),
        )
        run("SET maintenance_work_mem = '512MB'")
        run(_FILL)
        for _, statement in self.indexes:
            run(statement)
        for table in self._QUIET:
            run(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        run("VACUUM ANALYZE")  # as autovacuum would have by then


# --- the requests ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """Milliseconds of each request: by the clock, and of processors at work."""

    what: str
    taken: tuple[float, ...]
    worked: tuple[float, ...]


def percentile(share: float, values: Sequence[float]) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def worked(server: int) -> float:
    """Seconds of processor time of this process and of the PostgreSQL *server* and its backends."""
    total = time.process_time()
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split() if server else []
    for process in children:
        with suppress(OSError):  # it has ended meanwhile
            total += int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9
    return total


class Timed:
    """Takes the time that the application needs for each request."""

    def __init__(self, app: Any, server: int) -> None:
        self.app, self.server, self.taken, self.worked = app, server, 0.0, 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        at_work, begin = worked(self.server), time.perf_counter()
        try:
            await self.app(scope, receive, send)
        finally:
            self.taken = 1000 * (time.perf_counter() - begin)
            self.worked = 1000 * (worked(self.server) - at_work)


class Drive:
    """Somebody who leads a team, at the page."""

    def __init__(
        self, store: Store, now: datetime, size: int, waiting: int, server: int = 0
    ) -> None:
        self.size, self.waiting, self.chance = size, waiting, random.Random(5)
        door = Door(store, clock=lambda: now)
        page = review_page(Desk(SimpleNamespace()), read_settings(None), door, ["localhost"])
        self.timed = Timed(page, server)
        self.client = TestClient(self.timed, base_url="http://localhost", follow_redirects=False)
        secret = new_secret()
        session = Session(None, "anna", "lead", now + timedelta(hours=9))
        store.accounts.start_session(hashed(secret), session, now)
        self.client.cookies.set(door.cookie, secret)
        self.csrf = re.search(r'name="csrf" value="([^"]*)"', self.get("/queues"))[1]

    def get(self, address: str) -> str:
        answer = self.client.get(address)
        if answer.status_code != 200:
            raise SystemExit(f"{address}: {answer.status_code}")
        return answer.text

    def post(self, address: str, **fields: Any) -> str:
        answer = self.client.post(address, data={"csrf": self.csrf, **fields})
        if answer.status_code not in {200, 303}:
            raise SystemExit(f"{address}: {answer.status_code}\n{answer.text[:2000]}")
        return answer.text

    def measure(self, times: int) -> list[Measured]:
        measured = []
        for what, ask in self.requests():
            ask()  # once for what is loaded by first use
            found = []
            for _ in range(times):
                ask()
                found.append((self.timed.taken, self.timed.worked))
            taken, at_work = zip(*found, strict=True)
            measured.append(Measured(what, taken, at_work))
            say(row(measured[-1]))
        return measured

    def requests(self) -> Iterator[tuple[str, Callable[[], object]]]:
        def page(address: str) -> Callable[[], object]:
            return lambda: self.get(address)

        def words(typed: Callable[[], str], **filters: str) -> Callable[[], object]:
            return lambda: self.post("/search", words=typed(), **filters)

        yield "queue, first page", page("/queues")
        yield "queue of referrals", page("/queues?queue=referral")
        yield "queue, deep", self.deep("/queues", 40)
        yield "closed as well, deep", page(f"/queues?closed=1&after=2_0_{self.size // 2}_")
        for asked in (
            "state=check", "blocker=client_not_told", "due=24", "assignee=@me", "assignee=@nobody",
            "assignee=bert", "confidence=low", "confidence=middle&state=ready&due=72",
        ):  # fmt: skip
            yield f"filter {asked}", page(f"/queues?{asked}")
        yield "filter state=dismissed", page("/queues?state=dismissed")
        yield "filter state=withdrawn (none)", page("/queues?state=withdrawn")
        yield (
            "filter therapist, closed too",
            lambda: self.get(
                f"/queues?therapist={therapist_id(self.chance.randrange(20))}&closed=1"
            ),
        )
        yield "filter assignee=bert, closed too (none)", page("/queues?assignee=bert&closed=1")
        yield "filter confidence=low, closed too", page("/queues?confidence=low&closed=1")

        def number() -> int:
            return self.chance.randrange(1, self.size + 1)

        yield "search, rare word", words(lambda: "quetzal")
        yield "search, word of a third", words(lambda: "wednesdays")
        yield "search, word of nearly all", words(lambda: "client")
        yield "search, beginning of many words", words(lambda: "cancell")
        yield "search, name in full", words(lambda: name_of(number() % 200_000 + 7_000_000))
        yield "search, beginning of a name", words(lambda: name_of(number() % 20)[:4])
        yield "search, session", words(lambda: session_id(number()))
        yield "search, rare and common", words(lambda: "quetzal client session")
        yield "search, common words", words(lambda: "client session wednesdays")
        yield "search, phrase", words(lambda: '"cancel the session"')
        yield "search, nothing fits", words(lambda: "xylophonist")
        yield "search, with filters", words(lambda: "wednesdays", state="check", confidence="low")
        yield (
            "search, page of closed ones",
            words(lambda: "wednesdays", after=f"2_0_{self.size // 2}_"),
        )
        yield "case, open", lambda: self.get(f"/cases/{self.some_open()}")
        yield (
            "case, closed",
            lambda: self.get(f"/cases/{self.chance.randrange(1, self.size - self.waiting + 1)}"),
        )
        yield "save, assign", self.save("assign", assignee="anna")
        yield "save, dismiss", self.save("dismiss", reason="Settled by phone.")
        yield "health", page("/health")

    def deep(self, address: str, pages: int) -> Callable[[], object]:
        following = address
        for _ in range(pages):
            found = re.search(r'href="([^"]*after=[^"]*)"', self.get(following))
            if not found:
                break
            following = found[1].replace("&amp;", "&")
        return lambda: self.get(following)

    def some_open(self) -> int:
        return self.chance.randrange(self.size - self.waiting + 1, self.size + 1)

    def save(self, action: str, **fields: str) -> Callable[[], object]:
        waiting = iter(random.Random(len(action)).sample(
            range(self.size - self.waiting + 1, self.size + 1), self.waiting
        ))  # fmt: skip

        def saved() -> None:
            for case in waiting:
                shown = self.get(f"/cases/{case}")
                if f'action="/cases/{case}/{action}"' not in shown:
                    continue
                version = re.search(r'name="version" value="(\d+)"', shown)[1]
                told = {"csrf": self.csrf, "version": version, **fields}
                answer = self.client.post(f"/cases/{case}/{action}", data=told)
                if answer.status_code == 303:  # danger is not dismissed
                    return

        return saved


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def row(one: Measured) -> str:
    taken = (statistics.median(one.taken), percentile(0.95, one.taken), max(one.taken))
    at_work = (statistics.median(one.worked), percentile(0.95, one.worked))
    return f"| {one.what} | " + " | ".join(f"{value:.0f}" for value in (*taken, *at_work)) + " |"


HEAD = "| ms | p50 | p95 | max | p50 at work | p95 at work |\n|---|---|---|---|---|---|"


if __name__ == "__main__":
    main()
