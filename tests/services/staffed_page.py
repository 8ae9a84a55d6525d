"""The review page on the sample mailbox, served as ``fit-triage review`` serves it.

The mailbox is read once for all tests of a run, and each test works on its own copy of the
database that came of it. The clock stands still at the sample's own quarter to eleven.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ingest.sample import Sample, write_sample
from ingest.sources import Access, open_source
from pipeline import Read, Reading, record_message, understand
from review.access import passwords
from review.access.door import Door, hashed, new_secret
from review.desk import Desk, import_files
from review.serving import review_page
from services.browser import PATIENCE
from services.postgres import Postgres
from settings import Settings, read_settings
from store import CaseRow, KeyPlace, Store, Tally, open_store
from store.accounts import Role, Session, User
from triage.records import RawMessage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

#: A Tuesday in term, so that nothing is special about the days around it.
DAY = date(2026, 3, 3)
_SOURCE = "maildir:sample"
#: The hash of what nobody knows: people of the tests are signed in without it.
NO_PASSWORD = passwords.NOBODYS


@dataclass(frozen=True, slots=True)
class ReadSample:
    """The sample mailbox, every message of it understood; the slow part of filling a database."""

    sample: Sample
    raws: tuple[RawMessage, ...]
    reads: tuple[Read, ...]

    @property
    def settings(self) -> Settings:
        return read_settings(None).model_copy(
            update={"authserv_id": self.sample.authserv_id, "fast": True}
        )

    def fill(self, url: str, keys: KeyPlace | None = None) -> None:
        """Put registry and mailbox into a new database, as a run would."""
        now = self.sample.now
        sample = self.sample
        with open_store(url, keys=keys) as store:
            import_files(store, sample.sessions, sample.therapists, sample.clients, now)
            store.keep_raw(self.raws)
            rules = self.settings.rules(now)
            with store.batch(now=now) as memory:
                for raw, read in zip(self.raws, self.reads, strict=True):
                    record_message(raw, read, memory, rules)


@pytest.fixture(scope="session")
def read_sample(tmp_path_factory: pytest.TempPathFactory) -> ReadSample:
    """Read by whichever process of the run comes first; the others take what it kept."""
    own = tmp_path_factory.getbasetemp()
    folder = own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own
    kept = folder / "read-sample.pickle"
    with (folder / "read-sample.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(_read(folder / "sample")))
    found: ReadSample = pickle.loads(kept.read_bytes())
    return found


def _read(folder: Path) -> ReadSample:
    sample = write_sample(folder, DAY)
    with open_source(f"maildir:{sample.maildir}", Access()) as source:
        batches = list(source.batches(None, lambda _: set(), size=500))
    raws = tuple(
        replace(raw, key=replace(raw.key, source=_SOURCE))
        for batch in batches
        for raw in batch.messages
    )
    parsing = read_settings(None).model_copy(update={"authserv_id": sample.authserv_id}).parsing()
    return ReadSample(sample, raws, tuple(understand(Reading(parsing, fast=True), raws)))


@pytest.fixture(scope="session")
def filled_sqlite(read_sample: ReadSample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "fit-triage.sqlite3"
    read_sample.fill(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def filled_postgres(read_sample: ReadSample, postgres: Postgres) -> str:
    url = postgres.database()
    read_sample.fill(url)
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def filled_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database with the sample mailbox in it, of each kind in turn."""
    if request.param == "sqlite":
        copy = tmp_path / "fit-triage.sqlite3"
        shutil.copy(request.getfixturevalue("filled_sqlite"), copy)
        yield f"sqlite:///{copy}"
        return
    filled = request.getfixturevalue("filled_postgres")
    server: Postgres = request.getfixturevalue("postgres")
    url = server.copy(filled)
    yield url
    server.drop(url)


@dataclass
class Staffed:
    """A served review page, and browsers for the people at it."""

    address: str
    door: Door
    browser: Browser

    @property
    def store(self) -> Store:
        return self.door.store

    def visitor(self, **options: Any) -> BrowserContext:
        """A browser of somebody who is not signed in."""
        context = self.browser.new_context(base_url=self.address, locale="en-GB", **options)
        context.set_default_timeout(PATIENCE)
        return context

    def person(self, name: str = "anna", role: Role = "staff", **options: Any) -> Page:
        """A new browser in which *name* is signed in, a user from now on, at a blank page."""
        context = self.visitor(**options)
        now, secret = self.door.clock(), new_secret()
        user = self._user(name, role)
        session = Session(user.id, name, role, now + timedelta(hours=8))
        self.store.accounts.start_session(hashed(secret), session, now)
        context.add_cookies([{"name": self.door.cookie, "value": secret, "url": self.address}])
        return context.new_page()

    def _user(self, name: str, role: Role) -> User:
        accounts = self.store.accounts
        known = {user.name: user for user in accounts.users()}
        if name not in known:
            accounts.add(name, role, NO_PASSWORD, by="root", now=self.door.clock())
            known = {user.name: user for user in accounts.users()}
        return known[name]

    def case(self, which: Any) -> CaseRow:
        """The first case of the queues that *which* holds for."""
        found = next(filter(which, self.store.queue(include_closed=True)), None)
        assert found is not None, "the sample mailbox has no such case"
        return found

    def state(self, case_id: int) -> str:
        story = self.store.case(case_id)
        assert story is not None
        return story.case.decision.state


@pytest.fixture
def staffed(filled_url: str, read_sample: ReadSample, chromium: Browser) -> Iterator[Staffed]:
    """The page at work, with nobody signed in yet."""
    import uvicorn

    with open_store(filled_url) as store:
        door = Door(store, clock=lambda: read_sample.sample.now.astimezone(UTC))
        app = review_page(_desk(), read_sample.settings, door, ["127.0.0.1"])
        config = uvicorn.Config(app, "127.0.0.1", 0, log_level="error", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            staffed = Staffed(_address(server, thread), door, chromium)
            yield staffed
            for context in chromium.contexts:
                context.close()
        finally:
            server.should_exit = True
            thread.join(30)


def _address(server: Any, thread: threading.Thread) -> str:
    while not server.started:
        assert thread.is_alive(), "the review page did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    return f"http://127.0.0.1:{port}"


def _desk() -> Desk:
    """As the command line has it, but that what is retried is read in this process."""
    return Desk(SimpleNamespace(retry=_retry))  # type: ignore[arg-type]


def _retry(settings: Settings, store: Store, chosen: Any, now: datetime) -> Tally:
    tally, rules = Tally(), settings.rules(now)
    for one in chosen:
        raw = RawMessage(one.key, now, one.digest, store.raw(one.digest) or b"")
        [read] = understand(Reading(settings.parsing(), fast=True), [raw])
        with store.batch(now=now, actor="retry") as memory:
            tally = tally + record_message(raw, read, memory, rules, again=True)
    return tally
