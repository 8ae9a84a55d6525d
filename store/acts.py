"""What the store does for people's decisions, and for what leaves the system because of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from store import leases, merging, outbox, splitting, verdicts
from store.database import Database
from store.holding import is_held
from store.outbox import OutboxRow, Sending
from store.splitting import Split
from store.verdicts import Change, StoredVerdict, Undone
from store.writing import Turn
from triage.labels import State
from triage.records import CaseFacts, Decision, Request
from triage.regrouping import Regrouped, Told
from triage.verdicts import Channel, Outgoing, Verdict


class Acts:
    """What ``Store`` does for people and for deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def act(
        self,
        verdict: Verdict,
        *,
        version: int,
        state: State | None,
        request: Request | None,
        decision: Decision | None,
        outgoing: Sequence[Outgoing],
        now: datetime,
        facts: CaseFacts | None = None,
    ) -> int:
        """Store a person's verdict and all that follows from it, or nothing; the new version.

        What is None stays as it is; *facts* are given where a correction changed whom the case is
        about. The same verdict on the same *version* twice (a double click) is stored once.
        "assign" takes ``assignee`` from the verdict's details, "snooze" an ISO time ``until``.

        Raises:
            ConflictError: The case is no longer at *version*; it names who came first.
            AlreadyOutError: Some of *outgoing* is on its way or has left already.
            RefusedError: There is no such case.

        """
        change = Change(state, request, decision, facts)
        with self._database.writing() as connection:
            return verdicts.act(connection, verdict, change, outgoing, version=version, now=now)

    def undo(self, case_id: int, by: str, now: datetime, *, version: int | None = None) -> Undone:
        """Take the last verdict about a case back, with all that it was to send.

        *version* is the one that the person looked at; without one it is whatever the case is at.

        Raises:
            ConflictError: The case is no longer at *version*.
            RefusedError: Nothing to take back, or some of it has left, or its time has come.

        """
        with self._database.writing() as connection:
            last = verdicts.last_of(connection, case_id)
            if last is not None and last.action in merging.REGROUPING:
                row = verdicts.case_row(connection, case_id)
                if not is_held(connection, row.decision_id):
                    return merging.undo(connection, last, by, now, version)
            return verdicts.undo(connection, case_id, by, now, version)

    def told(self, case_id: int) -> Told | None:
        """A case with every ask that its mails made, to be told again; None where there is none."""
        with self._database.reading() as connection:
            return splitting.told(connection, case_id)

    def repeated(self, verdict: Verdict, version: int) -> Split | None:
        """What this very split or merge led to before; None where *version* is the case's still.

        Raises:
            ConflictError: Somebody, or a new mail, changed the case since.

        """
        with self._database.reading() as connection:
            return splitting.repeated(connection, verdict, version)

    def split(
        self,
        verdict: Verdict,
        made: Regrouped,
        *,
        version: int,
        reader_version: str,
        now: datetime,
    ) -> Split:
        """Store that a mail of the case holds another ask, and the cases that come of it.

        Raises:
            ConflictError: The case is no longer at *version*.

        """
        with self._database.writing() as connection:
            return splitting.split(
                connection, verdict, made, reader_version, version=version, now=now
            )

    def merge(
        self,
        verdict: Verdict,
        made: Regrouped,
        *,
        versions: tuple[int, int],
        is_settled: bool,
        now: datetime,
    ) -> Split:
        """Store that the case of *verdict* is the same ask as another, and went into it.

        *versions* are those of the case that goes and of the one that stays; *is_settled* says
        whether that one stays as it is, for what it asks for has begun to leave.

        Raises:
            ConflictError: One of the cases is no longer at its version.
            RefusedError: A mail holds up what is still to leave.

        """
        with self._database.writing() as connection:
            return merging.merge(
                connection, verdict, made, versions=versions, is_settled=is_settled, now=now
            )

    def has_begun(self, case_id: int, now: datetime) -> bool:
        """Whether what a case asks for has begun to leave, or is done with nothing to wait for.

        Raises:
            RefusedError: There is no such case.

        """
        with self._database.reading() as connection:
            return merging.settled(connection, case_id, now)

    def merged_into(self, case_id: int) -> int | None:
        """The case that this one went into, None where it is a case of its own."""
        with self._database.reading() as connection:
            return splitting.merged_into(connection, case_id)

    def attachment_taken(
        self, message_id: int, number: int, *, case_id: int | None, by: str, now: datetime
    ) -> None:
        """Put on record that *by* is being given attachment *number* (from 0) of a message."""
        with self._database.writing() as connection:
            turn = Turn(connection, by, now)
            turn.tell("attachment_taken", case_id, message_id, number=number)
            turn.end()

    def verdicts(
        self,
        since: datetime | None = None,
        *,
        case_id: int | None = None,
        include_undone: bool = False,
    ) -> list[StoredVerdict]:
        """What people decided, from *since* on, in order; for learning and for a case's history."""
        with self._database.reading() as connection:
            return verdicts.stored_verdicts(
                connection, since=since, case_id=case_id, include_undone=include_undone
            )

    def outbox(
        self,
        state: str | Collection[str] | None = None,
        *,
        channel: Channel | None = None,
        case_id: int | None = None,
        ids: Collection[int] | None = None,
        limit: int | None = None,
    ) -> list[OutboxRow]:
        """What is to leave or has left, oldest first."""
        states = (state,) if isinstance(state, str) else state or ()
        with self._database.reading() as connection:
            return outbox.outbox_rows(
                connection, states=states, channel=channel, case_id=case_id, ids=ids, limit=limit
            )

    def channels_due(self, now: datetime) -> set[Channel]:
        """The channels for which something is due, or was left in mid-flight."""
        with self._database.reading() as connection:
            return outbox.channels_due(connection, now)

    def settle_by_hand(
        self, ids: Collection[int], by: str, now: datetime, *, has_left: bool
    ) -> list[OutboxRow]:
        """A person's word on dead and uncertain rows: they have left, or are to be tried again.

        Raises:
            RefusedError: One of them is not there, or needs no word.

        """
        with self._database.writing() as connection:
            return outbox.settle_by_hand(connection, ids, by, now, has_left=has_left)

    @contextmanager
    def sending(self, channel: Channel, owner: str, ttl: timedelta) -> Iterator[Sending]:
        """The right to send what waits for *channel*, one deliverer at a time.

        Raises:
            LeaseHeldError: Another deliverer is at work on this channel.

        """
        with leases.take(self._database, f"outbox {channel}", owner, ttl) as lease:
            yield Sending(self._database, lease, channel)
