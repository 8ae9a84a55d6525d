"""A real PostgreSQL on a private socket, with its own data folder and production settings.

``running_postgres`` serves benchmarks and fault campaigns as well as tests: it needs no pytest.
Everything it starts is stopped when the ``with`` ends, or with the process that started it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from services import missing

_USER = "postgres"


@dataclass
class Postgres:
    """The running server; ask it for a fresh database each time."""

    home: Path
    process: subprocess.Popen[bytes]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)
    _has_template: bool = False

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{_USER}@/{database}?host={quote(str(self.home))}"

    def empty_database(self) -> str:
        """The address of a new database without any table."""
        return self._create("template0")

    def database(self) -> str:
        """The address of a new database with the current schema; a copy, so it takes no time."""
        if not self._has_template:
            from store.store import open_store

            self._execute('CREATE DATABASE "migrated" TEMPLATE template0')
            open_store(self.url("migrated")).close()
            self._has_template = True
        return self._create("migrated")

    def copy(self, url: str) -> str:
        """The address of a new database with all that is in the one at *url*, which nobody uses."""
        return self._create(url.partition("@/")[2].partition("?")[0])

    def drop(self, url: str) -> None:
        """Remove the database at *url*, whoever is still connected to it."""
        name = url.partition("@/")[2].partition("?")[0]
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT cuts its clients off, SIGQUIT is a crash, SIGTERM waits."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(timeout=30)

    def start(self) -> None:
        """Start it again on the same data."""
        self.process = _serve(self.home)
        _wait_until_it_answers(self)

    def _create(self, template: str) -> str:
        name = f"db{next(self._numbers)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(
            host=str(self.home), user=_USER, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)


def start_on(home: Path) -> Postgres:
    """A server on the data that another one left below *home*; the caller stops it."""
    server = Postgres(home, _serve(home))
    _wait_until_it_answers(server)
    return server


@contextlib.contextmanager
def running_postgres(folder: Path | None = None, *, keep: bool = False) -> Iterator[Postgres]:
    """Start a PostgreSQL of our own and stop it at the end, its data thrown away unless *keep*.

    Its data lie in memory where there is enough; name a *folder* on a disk to measure with one.
    """
    # The socket lies in it, and the path of a socket must be short.
    home = Path(tempfile.mkdtemp(prefix="postgres-", dir=folder or _roomy()))
    try:
        if os.geteuid() == 0:
            account = pwd.getpwnam(_USER)
            os.chown(home, account.pw_uid, account.pw_gid)
        options = ["-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [*_as_server(), _program("initdb"), "-D", str(home / "data"), *options],
            check=True, capture_output=True, cwd=home,
        )  # fmt: skip
        server = Postgres(home, _serve(home))
        try:
            _wait_until_it_answers(server)
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # nobody will want its data
    finally:
        if not keep:
            shutil.rmtree(home, ignore_errors=True)


def _roomy() -> str:
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30 else "/tmp"


def _serve(home: Path) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(home),
        "shared_buffers": "64MB",
        "max_connections": "60",
        "recovery_init_sync_method": "syncfs",  # one call instead of one for each file
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (home / "server.log").open("ab") as log:
        return subprocess.Popen(
            [*_as_server(), _program("postgres"), "-D", str(home / "data"), *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home,
        )  # fmt: skip


def _as_server() -> list[str]:
    """PostgreSQL refuses to run as root; and it shall not outlive a killed test run."""
    end_with_us = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() != 0:
        return end_with_us
    return [*end_with_us, f"--reuid={_USER}", f"--regid={_USER}", "--init-groups"]


def _program(name: str) -> str:
    [*_, newest] = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(newest)


def _wait_until_it_answers(server: Postgres) -> None:
    import psycopg

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(psycopg.OperationalError):
            server._execute("SELECT 1")
            return
        time.sleep(0.02)
    raise RuntimeError((server.home / "server.log").read_text()[-2000:])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for all tests of a run; ask it for a fresh ``database`` each."""
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        missing("PostgreSQL", "postgresql")
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def blank_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new SQLite database, made once, for it takes a tenth of a second: copy it."""
    from store import open_store

    path = tmp_path_factory.mktemp("blank") / "blank.sqlite3"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh database, of each kind in turn."""
    if request.param == "sqlite":
        blank = request.getfixturevalue("blank_sqlite")
        yield f"sqlite:///{shutil.copy(blank, tmp_path / 'fit-triage.sqlite3')}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.database()
    yield url
    server.drop(url)  # each takes 10 MB of the machine's memory
