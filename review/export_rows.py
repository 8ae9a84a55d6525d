"""What an export says of cases, messages, predictions and verdicts: codes, figures, days.

No name, address, id, moment or word of anybody, but for redacted text where that was asked for.
People, sessions and our own numbers are pseudonyms of the recipient's; rows come in the order of
their pseudonyms, so that two recipients cannot join their files by place either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from models.masking import Pseudonyms
from review.export_files import Kind, Row, Table, Value
from store import CaseRow
from store.exported import Exported, Judged, Prediction, ReadMessage
from store.exports import What
from triage.labels import CODE_SETS, CODES
from triage.records import Request

_READ: Final[Mapping[str, Kind]] = {
    **{f"read.{name}": "text" for name in (*CODES, *CODE_SETS)},
    "read.alternatives_requested": "bool",
    "read.guarantee_asked": "bool",
    "confidence": "float",
}
#: Words of people: that they were corrected is told, not into what.
_PRIVATE: Final = frozenset(
    {"session_ids", "client_ref", "session_time", "notification_evidence", "therapist_id"}
)
_COLUMNS: Final[Mapping[What, Mapping[str, Kind]]] = {
    "cases": {
        "case": "text", "sender": "text", "therapist": "text", "client": "text",
        "session": "text", "opened_on": "text", "changed_on": "text", "mails": "int",
        "authenticated": "bool", "sender_is": "text", "queue": "text", "state": "text",
        "blockers": "text", "safeguarding": "bool", "priority": "int", "guarantee": "text",
        "alternatives": "int", "assignee": "text", **_READ,
    },
    "messages": {
        "message": "text", "cases": "text", "sender": "text", "sent_on": "text",
        "stored_on": "text", "queue": "text", "channel": "text", "automatic": "text",
        "authenticated": "bool", "words": "int", "quoted_words": "int", "attachments": "int",
        "defects": "text",
    },
    "predictions": {
        "prediction": "text", "case": "text", "message": "text", "decided_on": "text",
        "version": "text", **_READ,
    },
    "verdicts": {
        "verdict": "text", "case": "text", "action": "text", "by": "text", "on": "text",
        "overrides": "text", "undone": "bool", "version": "text", "corrected": "text",
        **{f"{when}.{name}": "text" for name in (*CODES, *CODE_SETS) for when in ("was", "is")},
    },
}  # fmt: skip
#: What comes with redacted text.
_TEXTS: Final[Mapping[What, Mapping[str, Kind]]] = {
    "messages": {"subject": "text", "text": "text"},
    "verdicts": {"reason": "text"},
}


class Redact(Protocol):
    def __call__(
        self, texts: Sequence[str], *, names: Sequence[str], ids: Sequence[str], said_on: datetime
    ) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Telling:
    """How rows are told to one recipient; *redact* is None where no text is."""

    pseudonyms: Pseudonyms
    redact: Redact | None = None

    def table(self, what: What) -> Table:
        texts = _TEXTS.get(what, {}) if self.redact else {}
        return Table(what, {**_COLUMNS[what], **texts})

    def rows(
        self, exported: Exported, what: What, since: datetime | None, until: datetime | None
    ) -> Iterator[Row]:
        """Every row of *what*, by pseudonym."""
        kind = what.removesuffix("s")
        numbers = exported.numbers(what, since, until)
        numbers.sort(key=lambda number: self.pseudonyms.of(str(number), kind))
        readers: dict[What, Callable[[], Iterator[Row]]] = {
            "cases": lambda: map(self._case, exported.cases(numbers)),
            "messages": lambda: map(self._message, exported.messages(numbers)),
            "predictions": lambda: map(self._prediction, exported.predictions(numbers)),
            "verdicts": lambda: map(self._verdict, exported.verdicts(numbers)),
        }
        return readers[what]()

    def _number(self, number: int | None, kind: str) -> str:
        return "" if number is None else self.pseudonyms.of(str(number), kind)

    def _case(self, case: CaseRow) -> Row:
        of, decision = self.pseudonyms.of, case.decision
        return {
            "case": self._number(case.case_id, "case"),
            "sender": of(case.sender, "sender"),
            "therapist": of(case.therapist_id, "therapist"),
            "client": of(case.client_id, "client"),
            "session": of(case.session_id, "session"),
            "opened_on": _day(case.opened_at),
            "changed_on": _day(case.changed_at),
            "mails": len(case.message_ids),
            "authenticated": case.sender_authenticated,
            "sender_is": case.sender_is,
            "queue": decision.queue,
            "state": decision.state,
            "blockers": ";".join(decision.blockers),
            "safeguarding": decision.safeguarding,
            "priority": decision.priority,
            "guarantee": decision.guarantee,
            "alternatives": len(decision.alternatives),
            "assignee": of(case.assignee, "colleague"),
            **_read(case.request),
        }

    def _message(self, message: ReadMessage) -> Row:
        stored, email = message.stored, message.stored.email
        row: dict[str, Value] = {
            "message": self._number(stored.id, "message"),
            "cases": ";".join(sorted(self._number(one, "case") for one in message.case_ids)),
            "sender": self.pseudonyms.of(email.sender.email, "sender"),
            "sent_on": _day(email.sent_at),
            "stored_on": _day(stored.stored_at),
            "queue": stored.queue,
            "channel": email.channel,
            "automatic": email.automatic,
            "authenticated": email.authentication.passed,
            "words": len(email.new_text.split()),
            "quoted_words": len(email.quoted_text.split()),
            "attachments": len(email.attachments),
            "defects": ";".join(email.defects),
        }
        if self.redact:
            people = (email.sender, *email.reply_to, *email.recipients)
            row["subject"], row["text"] = self.redact(
                (email.subject, email.new_text),
                names=[*(one.name for one in people), email.signature, *message.known_names],
                ids=message.known_ids,
                said_on=email.sent_at,
            )
        return row

    def _prediction(self, one: Prediction) -> Row:
        return {
            "prediction": self._number(one.id, "prediction"),
            "case": self._number(one.case_id, "case"),
            "message": self._number(one.message, "message"),
            "decided_on": _day(one.at),
            "version": one.reader_version,
            **_read(one.request),
        }

    def _verdict(self, one: Judged) -> Row:
        row: dict[str, Value] = dict.fromkeys(_COLUMNS["verdicts"])
        row |= {
            "verdict": self._number(one.id, "verdict"),
            "case": self._number(one.case_id, "case"),
            "action": one.action,
            "by": self.pseudonyms.of(one.by, "colleague"),
            "on": _day(one.at),
            "overrides": ";".join(one.overrides),
            "undone": one.is_undone,
            "version": one.reader_version,
            "corrected": ";".join(sorted(item.field for item in one.corrections)),
        }
        for item in one.corrections:
            if item.field not in _PRIVATE and f"was.{item.field}" in row:
                row[f"was.{item.field}"] = _coded(item.before)
                row[f"is.{item.field}"] = _coded(item.after)
        if self.redact:
            [row["reason"]] = self.redact((one.reason,), names=[one.by], ids=(), said_on=one.at)
        return row


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def _coded(value: object) -> str:
    return ";".join(sorted(map(str, value))) if isinstance(value, list | tuple) else str(value)


def _read(request: Request) -> Row:
    return {
        **{f"read.{name}": _coded(getattr(request, name)) for name in (*CODES, *CODE_SETS)},
        "read.alternatives_requested": request.alternatives_requested,
        "read.guarantee_asked": request.guarantee_asked,
        "confidence": request.confidence,
    }
