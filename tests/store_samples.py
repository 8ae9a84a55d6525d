"""Values for the store's tests, built by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from store import Outcome
from store.registry import RegistryFile
from triage.records import (
    Address,
    Alternative,
    Attachment,
    Authentication,
    CaseFacts,
    Decision,
    Draft,
    Email,
    Finding,
    MessageKey,
    Proposal,
    RawMessage,
    Request,
    Span,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SOURCE = "imaps://support@mail.example"


def key(uid: int, *, folder: str = "INBOX", uidvalidity: int = 7) -> MessageKey:
    return MessageKey(SOURCE, folder, uidvalidity, uid)


def raw_message(uid: int, *, text: str = "", uidvalidity: int = 7) -> RawMessage:
    content = f"Message-ID: <{uid}@mail.example>\r\n\r\n{text or uid}".encode()
    digest = hashlib.sha256(content).hexdigest()
    return RawMessage(key(uid, uidvalidity=uidvalidity), NOW, digest, content)


def email(name: object, *, sender: str = "ana@practice.example", **changes: object) -> Email:
    plain = Email(
        message_id=f"<{name}@mail.example>",
        sender=Address("Ana", sender),
        reply_to=(Address("", "office@practice.example"),),
        recipients=(Address("Support", "support@platform.example"),),
        authentication=Authentication(passed=True, reason="dmarc=pass"),
        sent_at=NOW - timedelta(minutes=5),
        subject="Session 1001",
        new_text="Please cancel session 1001. She knows why.",
        quoted_text="> earlier",
        signature="Ana",
        attachments=(Attachment("saq.pdf", "application/pdf", 100),),
        references=("<first@mail.example>",),
        defects=("bad-date",),
    )
    return replace(plain, **changes)


REQUEST = Request(
    kind="cancellation",
    session_ids=("1001",),
    client_ref="Jo",
    fit_reasons=("outside_competence",),
    confidence=0.97,
    findings=(
        Finding("session_ids", "1001", Span("new_text", 22, 26, "1001"), "rule:session-id", 0.99),
        Finding("kind", "cancellation", None, "model:kind@1", 0.97),
    ),
)
DECISION = Decision(
    queue="cancellation",
    state="awaiting_client",
    blockers=("reasons_not_discussed", "needs_missing"),
    deadline=NOW + timedelta(days=1),
    priority=2,
    reasons=("The client does not know the reasons yet.",),
    guarantee="proposed",
    draft=Draft("ana@practice.example", "Re: x", "Dear Ana", "<1@x>", ("<1@x>",), "client"),
    alternatives=(Alternative("T2", "Bo", 0.8, ("works with OCD",), ("evenings",)),),
)
FACTS = CaseFacts(
    registry_known=False,
    sender_is="stranger",
    proposals=(Proposal("1002", 0.6, "the client's name"),),
)


def outcome(
    request: Request = REQUEST,
    joined: int | None = None,
    facts: CaseFacts = FACTS,
    **decided: object,
) -> Outcome:
    return Outcome(request, facts, replace(DECISION, **decided), joined)


THERAPISTS = (
    {
        "therapist_id": "T1",
        "name": "Ana Reid",
        "emails": "Ana@practice.example;ana@home.example",
        "delegates": "desk@practice.example",
        "approaches": "cbt;erp",
        "issues": "ocd",
        "experience": "",
        "languages": "English;Polish",
        "places": "Leeds",
        "open_to_new": "no",
    },
    {
        "therapist_id": "T2",
        "name": "Bo Lind",
        "emails": "bo@practice.example",
        "delegates": "desk@practice.example",
        "approaches": "",
        "issues": "",
        "experience": "couples",
        "languages": "",
        "places": "",
        "open_to_new": "yes",
    },
)
CLIENTS = ({"client_id": "C1", "first_name": "Jo", "last_name": "May", "email": "Jo@x.example"},)


def session(session_id: str = "1001", /, **changes: str) -> dict[str, str]:
    plain = {
        "session_id": session_id,
        "therapist_id": "T1",
        "client_id": "C1",
        "starts_at": "2026-12-01T18:00",
        "stage": "initial",
        "status": "unconfirmed",
    }
    return {**plain, **changes}


def registry_file(rows: Iterable[dict[str, str]], name: str = "file.csv") -> RegistryFile:
    return RegistryFile(name, enumerate(rows, 2))
