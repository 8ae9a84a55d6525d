"""One batch: what was read and decided, collected in memory and stored in a single transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, update

from store.audit import AuditEvent, sealed_row
from store.conversations import conversation_json, said_in
from store.directory import RegistryDirectory
from store.holding import Leaving, Stopped, hold_case, stop, told_of
from store.joining import OpenCases, load, standing_of
from store.ledger import take_turn
from store.rows import Rows, lost_places, present, set_aside
from store.schema import ledger, messages
from store.tombstones import Gate
from store.values import decision_json, details_json, facts_json
from triage.records import (
    NO_ASK,
    Cursor,
    Email,
    MessageKey,
    OpenCase,
    Outcome,
    Request,
    Said,
    Therapist,
)
from triage.threads import continued, opened

if TYPE_CHECKING:
    from triage.holding import Hold

#: A message with several requests counts as the first of these that one of them is in.
_PRESSING: Final = ("cancellation", "referral", "enquiry", "general", "quarantine")


class Batch:
    """Everything added here is stored together when the batch ends, or not at all.

    A batch holds the writer's turn from its first moment: fetch, keep and read messages before it.
    """

    def __init__(
        self,
        connection: Connection,
        directory: RegistryDirectory,
        *,
        now: datetime,
        run_id: int | None,
        actor: str,
    ) -> None:
        self.directory = directory
        self._connection = connection
        self._now, self._run_id, self._actor = now, run_id, actor
        self._turn = take_turn(connection)
        self._open_cases = OpenCases(connection, now)
        self._leaving = Leaving(connection)
        self._gate = Gate(connection, now)
        self._is_stored: dict[str, bool] = {}
        self._set_aside: dict[str, int] = {}
        self._lost: dict[MessageKey, int] | None = None
        self._rows = Rows()

    def prefetch(
        self, readings: Sequence[tuple[Email, Sequence[Request]]], digests: Iterable[str] = ()
    ) -> None:
        """Fetch in one query per table what deciding on these messages will ask for."""
        self._look_up(digests)
        self.directory.prefetch(readings)
        marks = {
            ("session", name) for _, asks in readings for ask in asks for name in ask.session_ids
        }
        for email, _ in readings:
            marks.add(("sender", email.sender.email))
            marks.update(("thread", name) for name in (email.in_reply_to, *email.references))
            writers = self.directory.therapists_at(email.sender.email)
            marks.update(("therapist", writer.therapist_id) for writer in writers)
            marks.update(("sender", address) for address in _side(writers))
        self._open_cases.prefetch(marks)

    def seen(self, digest: str) -> bool:
        """Whether the same mail is in the store already, from this or any other folder."""
        self._look_up([digest])
        return self._is_stored[digest] or digest in self._set_aside

    def open_cases(
        self,
        sender: str,
        therapist_ids: Iterable[str] = (),
        session_ids: Iterable[str] = (),
        thread_ids: Iterable[str] = (),
    ) -> list[OpenCase]:
        """The open cases that share the sender, a therapist, a session or a thread, oldest first.

        Cases that this batch has made are among them. Sharing a session or thread proves nothing:
        a stranger can name both.
        """
        marks = [("sender", sender)]
        marks += [("sender", at) for at in _side(self.directory.therapists_at(sender))]
        marks += [("therapist", name) for name in therapist_ids]
        marks += [("session", name) for name in session_ids]
        marks += [("thread", name) for name in thread_ids]
        return self._open_cases.candidates(marks)

    def said(self, cases: Sequence[OpenCase]) -> list[Said]:
        """Every ask of these cases as its own mail put it, those of this batch among them."""
        return said_in(self._connection, self._rows, cases)

    def add(
        self,
        key: MessageKey,
        digest: str,
        email: Email,
        outcomes: Iterable[Outcome],
        *,
        reader_version: str = "",
        holds: Iterable[Hold] = (),
    ) -> tuple[int, ...]:
        """Store a message with what was decided on each of its requests; the ids of its cases.

        What was still to leave because of the cases in *holds* waits for a person from here on. A
        message that is in the store already adds nothing but the place it was seen at. A
        quarantined one leaves quarantine.
        """
        self._look_up([digest])
        admitted = self._gate.let_in(digest, email, outcomes)
        if self._is_stored[digest] or admitted is None:
            self._leaves_quarantine(key, digest)
            self.already_known(key, digest)
            return ()
        email, outcomes = admitted
        message_id = self._add_message(digest, email, outcomes)
        self._rows.places.append((key, digest, "stored"))
        again = self._leaves_quarantine(key, digest)
        self._tell("retried" if again else "received", message_id=message_id, digest=digest)
        stopped = [stop(self._connection, hold, message_id, self._now) for hold in holds]
        numbers = tuple(
            self._add_outcome(message_id, email, told_of(outcome, stopped), reader_version)
            for outcome in outcomes
        )
        for one in stopped:
            self._hold(one, message_id, numbers)
        return numbers

    def leaving(self, email: Email, outcomes: Sequence[Outcome]) -> list[OpenCase]:
        """The cases around a message of which something that a person decided has yet to leave."""
        writers = self.directory.therapists_at(email.sender.email)
        return self._leaving.around(email, outcomes, {one.therapist_id for one in writers})

    def _hold(self, one: Stopped, message_id: int, numbers: Sequence[int]) -> None:
        case_id = one.hold.case_id
        event = "held" if one.is_in_time else "too_late"
        self._tell(event, case_id=case_id, message_id=message_id, **one.detail)
        if one.is_in_time:
            self._turn.decision_id += 1
            number = self._turn.decision_id
            hold_case(self._connection, self._rows, one, number, numbers, self._now)
            self._open_cases.forget(case_id)

    def already_known(self, key: MessageKey, digest: str) -> None:
        """Remember that mail we have was seen at *key* too; nothing else comes of it."""
        self._rows.places.append((key, digest, "known"))

    def vanished(self, key: MessageKey, why: str = "vanished") -> None:
        """Put *key* behind us though its bytes were never had: it was deleted before we came."""
        self._leaves_quarantine(key)
        self._rows.places.append((key, "", why))
        self._tell("vanished", why=why, uid=key.uid, uidvalidity=key.uidvalidity)

    def quarantine(self, key: MessageKey, digest: str, cause: str, detail: str = "") -> None:
        """Set a message aside that could not be read; again, to count one more attempt.

        *digest* is "" for a message whose bytes could not be had.
        """
        if digest:
            self._leaves_quarantine(key)  # lost before, unreadable now
        number = self._quarantine_number(key, digest)
        self._tell("quarantined" if number is None else "retry_failed", digest=digest, cause=cause)
        row = {"cause": cause, "detail": detail, "tried_at": self._now}
        if number in self._rows.quarantined:
            self._rows.quarantined[number].update(row)
        elif number is not None:
            self._rows.requarantined[number] = {"the_id": number, **row}
        else:
            number = self._enters_quarantine(key, digest)
            self._rows.places.append((key, digest, "quarantined"))
            self._rows.quarantined[number] = {
                "id": number,
                "digest": digest or None,
                "place": (key.source, key.folder),
                "uidvalidity": key.uidvalidity,
                "uid": key.uid,
                "attempts": 1,
                "quarantined_at": self._now,
                **row,
            }

    def advance(self, cursor: Cursor, *, back: bool = False) -> None:
        """Move the folder's cursor; under one UIDVALIDITY *back* only where so told."""
        self._rows.cursors[cursor.source, cursor.folder] = (cursor, back)

    def flush(self) -> None:
        """Write all that was collected; called once, by the end of the batch."""
        for key, before, digest in self._rows.taken_places(self._connection):
            uid = {"uid": key.uid, "uidvalidity": key.uidvalidity}
            self._tell("uid_reused", before=before, digest=digest, **uid)
        self._gate.settle(self._rows)
        self._rows.write(self._connection, self._run_id)
        turn = self._turn
        self._connection.execute(
            update(ledger).values(
                message_id=turn.message_id,
                case_id=turn.case_id,
                decision_id=turn.decision_id,
                quarantine_id=turn.quarantine_id,
                audit_id=turn.audit_id,
                audit_hash=turn.audit_hash,
            )
        )

    def _look_up(self, digests: Iterable[str]) -> None:
        new = [digest for digest in dict.fromkeys(digests) if digest not in self._is_stored]
        if new:
            stored = present(self._connection, messages.c.digest, new) | self._gate.barred(new)
            self._is_stored.update((digest, digest in stored) for digest in new)
            self._set_aside.update(set_aside(self._connection, new))

    def _quarantine_number(self, key: MessageKey, digest: str) -> int | None:
        if digest:
            self._look_up([digest])
            return self._set_aside.get(digest)
        return self._lost_places().get(key)

    def _enters_quarantine(self, key: MessageKey, digest: str) -> int:
        self._turn.quarantine_id += 1
        if digest:
            self._set_aside[digest] = self._turn.quarantine_id
        else:
            self._lost_places()[key] = self._turn.quarantine_id
        return self._turn.quarantine_id

    def _leaves_quarantine(self, key: MessageKey, digest: str = "") -> bool:
        number = self._set_aside.pop(digest, None) or self._lost_places().pop(key, None)
        if number is None:
            return False
        if self._rows.quarantined.pop(number, None) is None:
            self._rows.requarantined.pop(number, None)
            self._rows.released.append(number)
        return True

    def _lost_places(self) -> dict[MessageKey, int]:
        if self._lost is None:
            self._lost = lost_places(self._connection)
        return self._lost

    def _add_message(self, digest: str, email: Email, outcomes: Sequence[Outcome]) -> int:
        self._is_stored[digest] = True
        self._turn.message_id += 1
        queues = {outcome.decision.queue for outcome in outcomes if outcome.ask != NO_ASK}
        self._rows.messages.append(
            {
                "id": self._turn.message_id,
                "digest": digest,
                "message_id": email.message_id,
                "sender": email.sender.email,
                "authenticated": email.authentication.passed,
                "sent_at": email.sent_at,
                "stored_at": self._now,
                "queue": next((queue for queue in _PRESSING if queue in queues), "general"),
                "automatic": email.automatic,
                "channel": email.channel,
                "subject": email.subject,
                "new_text": email.new_text,
                "quoted_text": email.quoted_text,
                "signature": email.signature,
                "details": details_json(email),
                "run_id": self._run_id,
            }
        )
        return self._turn.message_id

    def _add_outcome(
        self, message_id: int, email: Email, outcome: Outcome, reader_version: str
    ) -> int:
        joined = outcome.joined_case_id
        before = self._case(joined) if joined else None
        case = self._case_after(message_id, email, outcome, before)
        for number in _moved_in(before, case, message_id) if outcome.case else ():
            self._add_decision(number, outcome._replace(ask=NO_ASK), case, reader_version)
        own = message_id if outcome.ask != NO_ASK else case.asks[-1][0]
        self._add_decision(own, outcome, case, reader_version)
        self._open_cases.put(case)
        self._put_case(case, email, outcome, new=not joined)
        self._tell(
            "joined" if joined else "decided",
            case_id=case.case_id,
            message_id=own,
            decision_id=self._turn.decision_id,
            queue=outcome.decision.queue,
            state=outcome.decision.state,
        )
        return case.case_id

    def _add_decision(
        self, message_id: int, outcome: Outcome, case: OpenCase, reader_version: str
    ) -> None:
        self._turn.decision_id += 1
        self._rows.decisions.append(
            {
                "id": self._turn.decision_id,
                "case_id": case.case_id,
                "message_id": message_id,
                "decided_at": self._now,
                "reader_version": reader_version,
                "request": conversation_json(outcome, case.asks),
                "facts": facts_json(outcome.facts),
                "decision": decision_json(outcome.decision),
            }
        )

    def _case(self, case_id: int) -> OpenCase:
        found = self._open_cases.get(case_id)
        if found is None:
            [found] = load(self._connection, [case_id])
        return found

    def _case_after(
        self, message_id: int, email: Email, outcome: Outcome, before: OpenCase | None
    ) -> OpenCase:
        self._turn.case_id += before is None
        case_id = before.case_id if before else self._turn.case_id
        if outcome.case:
            asks = tuple((number or message_id, ask) for number, ask in outcome.case.asks)
            return replace(outcome.case, case_id=case_id, asks=asks)
        told = (email, outcome.request, outcome.facts, outcome.decision.state)
        case = continued(before, *told) if before else opened(case_id, *told)
        return replace(case, asks=(*case.asks, (message_id, outcome.ask)))

    def _put_case(self, case: OpenCase, email: Email, outcome: Outcome, *, new: bool) -> None:
        changes = {
            **_standing(case, outcome),
            "sender": case.sender,
            "authenticated": case.authenticated,
            "sender_authenticated": email.authentication.passed,
            "changed_at": self._now,
            "decision_id": self._turn.decision_id,
        }
        rows = self._rows
        if new:
            first = {"id": case.case_id, "opened_at": self._now, "version": 1}
            rows.new_cases[case.case_id] = {**first, **changes}
        elif case.case_id in rows.new_cases:
            rows.new_cases[case.case_id].update(changes)
        else:
            rows.changed_cases[case.case_id] = {"the_id": case.case_id, **changes}

    def _tell(
        self,
        event: str,
        *,
        case_id: int | None = None,
        message_id: int | None = None,
        **detail: object,
    ) -> None:
        turn = self._turn
        turn.audit_id += 1
        happened = AuditEvent(
            turn.audit_id, self._now, self._actor, event, case_id, message_id, detail
        )
        row = sealed_row(turn.audit_hash, happened)
        turn.audit_hash = str(row["hash"])
        self._rows.audit.append(row)


def _standing(case: OpenCase, outcome: Outcome) -> dict[str, object]:
    return {
        **standing_of(outcome.decision),
        "kind": outcome.request.kind,
        "confidence": outcome.request.confidence,
        "session_id": case.session_id,
        "therapist_id": case.therapist_id,
        "client_id": case.client_id,
    }


def _side(writers: Iterable[Therapist]) -> set[str]:
    """Every address from which somebody may write for one of these therapists."""
    return {address for writer in writers for address in (*writer.emails, *writer.delegates)}


def _moved_in(before: OpenCase | None, case: OpenCase, message_id: int) -> list[int]:
    """Messages that a retold conversation brought into *case* from another."""
    here = {number for number, _ in before.asks} if before else set()
    numbers = dict.fromkeys(number for number, _ in case.asks)
    return [number for number in numbers if number not in here and number != message_id]
