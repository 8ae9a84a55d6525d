"""The store: everything that outlives a run, behind one door.

Raw bytes are kept before anybody tries to read them. Message, cursor, case and audit rows commit
together or not at all. What was stored once is never stored twice, whatever is fetched again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from sqlalchemy import func, insert, select

from store import leases
from store.access_log import AccessLog
from store.accounts import Accounts
from store.acts import Acts
from store.alerts import Alerts
from store.audit import first_broken
from store.batch import Batch
from store.bulks import Bulks
from store.chat_calls import ChatCalls
from store.database import (
    Database,
    insert_new,
    migrated,
    open_database,
    refuse_unfinished,
)
from store.directory import (
    RegistryDirectory,
    Shelf,
    therapists_named,
    unconfirmed_by_therapist,
)
from store.erasing import Erasures
from store.exported import Exported
from store.exports import Exports
from store.figures import Overview
from store.keys import KeyPlace
from store.leases import Lease
from store.ledger import take_turn
from store.pages import Page, Place, Wanted, open_counts, page
from store.presence import Presence
from store.queue import (
    CaseRow,
    CaseStory,
    Quarantined,
    StoredMessage,
    case_rows,
    case_story,
    cases_query,
    quarantine_conditions,
    quarantined,
    queue_conditions,
    stored_message,
)
from store.raws import content_of, packed_row, sealed_rows
from store.registry import ImportReport, Kind, RegistryFile, import_rows, tell_imported
from store.rereading import Rereadings
from store.rows import digests_at, present, tell_set_aside
from store.runs import Counts, Run, Tally, counts, finish, run_from, tell_finished, tell_started
from store.schema import folders, messages, quarantine, raws, registry_imports, runs
from store.second_looks import SecondLooks
from store.set_aside import SetAside
from store.shadows import Shadows
from store.tombstones import may_be_kept
from store.unlocking import unlock
from store.views import Views
from triage.records import Cursor, Directory, MessageKey, RawMessage, Therapist


def open_store(
    url: str, *, migrate: bool = True, wait: float = 10.0, keys: KeyPlace | None = None
) -> Store:
    """The store at *url*, ``sqlite:///PATH`` or ``postgresql+psycopg://…``, its schema up to date.

    Args:
        url: Where the database is.
        migrate: Whether an older or empty database may be brought up to date.
        wait: Seconds to wait for another writer before giving up.
        keys: Where the keys are with which texts are sealed; without, the database must be plain.

    Raises:
        StoreError: The database cannot be used; the message is one line saying why.

    """
    database = open_database(url, wait=wait)
    try:
        migrated(database, migrate=migrate)
        refuse_unfinished(database)
        unlock(database, keys)
    except BaseException:
        database.close()
        raise
    return Store(database)


class Store(Acts):
    """Every question to the database and every change of it; safe to share between threads.

    Who may come in is asked of ``accounts``, what they looked at is told to ``access_log``;
    the filters they save are kept by ``views``.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._shelf = Shelf()
        self.accounts = Accounts(database)
        self.access_log = AccessLog(database)
        self.views = Views(database)
        self.overview = Overview(database)
        self.second_looks = SecondLooks(database)
        self.rereadings = Rereadings(database)
        self.shadows = Shadows(database)
        self.set_aside = SetAside(database)
        self.presence = Presence(database)
        self.chat_calls = ChatCalls(database)
        self.bulks = Bulks(database)
        self.erasures = Erasures(database)
        self.alerts = Alerts(database)
        self.exports = Exports(database)
        self.exported = Exported(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    # Runs and leases

    def start_run(self, sources: Iterable[str], now: datetime) -> int:
        """Record that a run begins; its number."""
        named = list(sources)
        row = insert(runs).values(started_at=now, status="running", sources=named)
        with self._database.writing() as connection:
            run_id = int(connection.scalars(row.returning(runs.c.id)).one())
        tell_started(run_id, len(named))
        return run_id

    def finish_run(self, run_id: int, tally: Tally, now: datetime, status: str = "done") -> None:
        """Record how a run ended; a tally that does not add up is said in its status."""
        with self._database.writing() as connection:
            run = finish(connection, run_id, tally, now, status)
        tell_finished(run)

    def runs(self, limit: int = 20) -> list[Run]:
        """The latest runs, newest first."""
        with self._database.reading() as connection:
            query = select(runs).order_by(runs.c.id.desc()).limit(limit)
            return [run_from(row) for row in connection.execute(query)]

    def lease(self, name: str, owner: str, ttl: timedelta) -> Lease:
        """The right to work on *name* (a mailbox), until released or *ttl* after the last batch.

        Raises:
            LeaseHeldError: Another run is at work there.

        """
        return leases.take(self._database, name, owner, ttl)

    # Mail

    def cursor(self, source: str, folder: str) -> Cursor | None:
        """How far a folder was read, None before its first batch."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(folders).where(folders.c.source == source, folders.c.folder == folder)
            ).one_or_none()
        if row is None or row.uidvalidity is None:
            return None
        return Cursor(source, folder, row.uidvalidity, row.uid, row.since)

    def known(self, keys: Iterable[MessageKey]) -> set[MessageKey]:
        """Those of *keys* that are behind us."""
        with self._database.reading() as connection:
            return set(digests_at(connection, keys))

    def same_mail(self, digests: Iterable[str]) -> set[str]:
        """Those of *digests* that are messages or in quarantine: not to be read again."""
        wanted = set(digests)
        with self._database.reading() as connection:
            return present(connection, messages.c.digest, wanted) | present(
                connection, quarantine.c.digest, wanted
            )

    def keep_raw(self, raw_messages: Sequence[RawMessage]) -> None:
        """Commit the bytes as served, before anybody tries to read them; each mail once."""
        now = datetime.now(UTC)
        # In one order for everybody, so that two that keep the same mail cannot deadlock.
        ordered = sorted(raw_messages, key=lambda raw: raw.digest)
        rows = [packed_row(raw, now) for raw in ordered]
        if rows:
            with self._database.writing() as connection:
                if kept := may_be_kept(connection, rows, now):
                    ring = self._database.ring
                    connection.execute(insert_new(connection, raws), sealed_rows(kept, ring))

    def raw(self, digest: str) -> bytes | None:
        """The bytes as served, None where they were never kept or are purged."""
        with self._database.reading() as connection:
            row = connection.execute(select(raws).where(raws.c.digest == digest)).one_or_none()
        return None if row is None else content_of(row, self._database.ring)

    @contextmanager
    def batch(
        self,
        lease: Lease | None = None,
        *,
        now: datetime | None = None,
        run_id: int | None = None,
        actor: str = "run",
    ) -> Iterator[Batch]:
        """One transaction: all that is added commits at its end, or nothing if anything is raised.

        Raises:
            LeaseLostError: *lease* was taken over by another run; nothing was stored.

        """
        with self._database.writing() as connection:
            if lease is not None:
                lease.hold(connection)

            @contextmanager
            def same_connection() -> Iterator[Any]:
                yield connection

            directory = RegistryDirectory(same_connection, self._shelf)
            moment = now or datetime.now(UTC)
            batch = Batch(connection, directory, now=moment, run_id=run_id, actor=actor)
            yield batch
            batch.flush()
        tell_set_aside(batch._rows, run_id)  # noqa: SLF001 - it is done with

    # What people look at

    def queue(
        self,
        *,
        queue: str | None = None,
        state: str | None = None,
        blocker: str | None = None,
        due_before: datetime | None = None,
        limit: int | None = None,
        include_closed: bool = False,
    ) -> list[CaseRow]:
        """Open cases, safeguarding first, then by priority and deadline.

        What is left to the ordinary inbox is listed under ``queue="general"`` alone, but for what
        somebody has to check. Asking for a
        closed state lists closed cases.
        """
        conditions = queue_conditions(
            queue=queue,
            state=state,
            blocker=blocker,
            due_before=due_before,
            include_closed=include_closed,
        )
        with self._database.reading() as connection:
            return case_rows(connection, cases_query(*conditions).limit(limit))

    def page(self, wanted: Wanted, after: Place | None = None, *, size: int = 50) -> Page:
        """The *size* most pressing cases that are *wanted*, from below *after* on."""
        with self._database.reading() as connection:
            return page(connection, wanted, after, size)

    @property
    def mail_is_found_by(self) -> Literal["beginnings", "whole words", "nothing"]:
        """How words of mails are found; sealed ones are indexed by what stands for them, or not."""
        ring = self._database.ring
        if ring is None or not ring.writing:
            return "beginnings"
        return "whole words" if ring.searches else "nothing"

    def open_counts(self, views: Sequence[Wanted] = ()) -> list[dict[str, int]]:
        """How many open cases the queues show, by queue; then how many of them each view does."""
        with self._database.reading() as connection:
            return open_counts(connection, views)

    def case(self, case_id: int) -> CaseStory | None:
        """One case with its messages, decisions and audit rows."""
        with self._database.reading() as connection:
            return case_story(connection, case_id)

    def message(self, message: int | str) -> StoredMessage | None:
        """A message by its number here, or by its Message-ID (the latest, if several claim it)."""
        column = messages.c.id if isinstance(message, int) else messages.c.message_id
        query = select(messages).where(column == message).order_by(messages.c.id.desc()).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else stored_message(row)

    def quarantined(
        self,
        *,
        cause: str | None = None,
        before: datetime | None = None,
        digest: str | None = None,
        ids: Collection[int] | None = None,
    ) -> list[Quarantined]:
        """Messages that could not be read; retry one by ``batch.add`` or ``batch.quarantine``.

        Args:
            cause: Only those set aside for this cause.
            before: Only those set aside before this time.
            digest: Only those whose digest begins so.
            ids: Only those with these numbers.

        """
        conditions = quarantine_conditions(cause=cause, before=before, digest=digest, ids=ids)
        with self._database.reading() as connection:
            return quarantined(connection, *conditions)

    # The booking registry

    def directory(self, people_of: Iterable[CaseRow] = ()) -> Directory:
        """The registry as it is now; remembers what it was asked, so take a new one per task.

        The therapists and clients of the cases *people_of* are fetched in one go.
        """
        directory = RegistryDirectory(self._database.reading, self._shelf)
        rows = list(people_of)
        directory.prefetch_people(
            {row.therapist_id for row in rows}, {row.client_id for row in rows}
        )
        return directory

    def therapists_named(self, typed: str, *, limit: int = 20) -> list[Therapist]:
        """Therapists with this id, or whose name holds words that begin so; by name."""
        with self._database.reading() as connection:
            return therapists_named(connection, typed, limit)

    def import_registry(
        self,
        *,
        therapists: RegistryFile | None = None,
        clients: RegistryFile | None = None,
        sessions: RegistryFile | None = None,
        now: datetime,
        full: bool = True,
    ) -> list[ImportReport]:
        """Bring the registry up to these files, all of them or none.

        Args:
            therapists: Rows with the columns of DESIGN's table, as are the next two.
            clients: The clients.
            sessions: The booked sessions.
            now: The time of the import.
            full: Whether a row that is missing from its file is gone; else files hold changes only.

        Raises:
            StoreError: A full file holds no good row.

        """
        files: dict[Kind, RegistryFile | None] = {
            "therapists": therapists,
            "clients": clients,
            "sessions": sessions,
        }
        with self._database.writing() as connection:
            take_turn(connection)
            reports = [
                import_rows(connection, kind, file, now=now, full=full)
                for kind, file in files.items()
                if file is not None
            ]
        tell_imported(reports)
        return reports

    def unconfirmed(self, since: datetime, until: datetime) -> dict[str, int]:
        """Rule 7: sessions left unconfirmed with nobody told, by therapist id; none is left out."""
        with self._database.reading() as connection:
            return unconfirmed_by_therapist(connection, since, until)

    def registry_age(self, now: datetime) -> timedelta | None:
        """Time since the last import, None where there never was one."""
        with self._database.reading() as connection:
            latest = connection.scalar(select(func.max(registry_imports.c.imported_at)))
        return None if latest is None else now - latest

    # Health

    def counts(self) -> Counts:
        """Figures for ``health``: backlog, quarantine, the last run."""
        with self._database.reading() as connection:
            return counts(connection)

    def first_broken_audit_row(self) -> int | None:
        """The first row of the audit trail that was tampered with, None when it is whole."""
        with self._database.reading() as connection:
            return first_broken(connection)
