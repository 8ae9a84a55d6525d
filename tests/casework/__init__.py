"""A desk without mailbox or database: mails in, decisions out, for tests of the rules alone.

The directory is a dictionary and cases live in a list, so that a scenario needs milliseconds. The
same scenario files run through the whole program elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files

from triage.alternatives import rank
from triage.cases import merge, which
from triage.deadlines import OfficeHours
from triage.linking import link
from triage.policy import decide
from triage.records import (
    Address,
    Authentication,
    CaseFacts,
    Client,
    Decision,
    Email,
    OpenCase,
    Request,
    Session,
    Therapist,
)
from triage.replies import Wording, draft_reply

CLOSED = frozenset({"done", "withdrawn", "dismissed"})


def shipped_wording() -> Wording:
    folder = files("triage") / "templates"
    return Wording.from_sources({p.name: p.read_text("utf-8") for p in folder.iterdir()})


@dataclass(frozen=True)
class Registry:
    """A ``Directory`` held in memory."""

    sessions: tuple[Session, ...] = ()
    therapists: tuple[Therapist, ...] = ()
    clients: tuple[Client, ...] = ()
    known: bool = True

    def session(self, session_id: str) -> Session | None:
        return next((s for s in self.sessions if s.session_id == session_id), None)

    def sessions_of(self, therapist_id: str) -> Sequence[Session]:
        return [s for s in self.sessions if s.therapist_id == therapist_id]

    def therapist(self, therapist_id: str) -> Therapist | None:
        return next((t for t in self.therapists if t.therapist_id == therapist_id), None)

    def therapists_at(self, address: str) -> Sequence[Therapist]:
        return [t for t in self.therapists if address in (*t.emails, *t.delegates)]

    def client(self, client_id: str) -> Client | None:
        return next((c for c in self.clients if c.client_id == client_id), None)

    def open_therapists(self) -> Sequence[Therapist]:
        return [t for t in self.therapists if t.open_to_new]


def an_email(
    sender: str = "marian@oldroyd.example",
    *,
    name: str = "Marian Oldroyd",
    message_id: str = "<1@oldroyd.example>",
    in_reply_to: str = "",
    references: Iterable[str] = (),
    authenticated: bool = True,
    subject: str = "My new client",
    text: str = "",
    automatic: str = "",
    sent_at: datetime = datetime(2025, 11, 4, 10, tzinfo=UTC),
) -> Email:
    return Email(
        message_id=message_id,
        sender=Address(name, sender),
        reply_to=(),
        recipients=(Address("Support", "support@platform.example"),),
        authentication=Authentication(authenticated, "dmarc=pass" if authenticated else "none"),
        sent_at=sent_at,
        subject=subject,
        new_text=text,
        quoted_text="",
        signature="",
        in_reply_to=in_reply_to,
        references=tuple(references),
        automatic=automatic,
    )


@dataclass(frozen=True)
class Handled:
    """What became of one request: its case, the facts and the decision with its draft."""

    case_id: int
    joined: bool
    request: Request
    facts: CaseFacts
    decision: Decision


@dataclass
class Desk:
    """Takes requests one after the other, as the pipeline does, and keeps the cases."""

    registry: Registry
    office: OfficeHours = field(default_factory=OfficeHours)
    wording: Wording = field(default_factory=shipped_wording)
    cases: dict[int, OpenCase] = field(default_factory=dict)

    def take(self, email: Email, request: Request, now: datetime) -> Handled:
        open_cases = [c for c in self.cases.values() if c.state not in CLOSED]
        sender_ids = {t.therapist_id for t in self.registry.therapists_at(email.sender.email)}
        case = which(open_cases, email, request, sender_ids)
        whole = merge(case, request) if case else request
        facts = link(email, whole, self.registry, case, now)
        decision = decide(email, whole, facts, now, self.office)
        decision = replace(
            decision,
            draft=draft_reply(email, whole, facts, decision, self.wording),
            alternatives=rank(whole, facts, self.registry),
        )
        case_id = case.case_id if case else len(self.cases) + 1
        self.cases[case_id] = _kept(case_id, case, email, whole, facts, decision)
        return Handled(case_id, case is not None, whole, facts, decision)


def _kept(
    case_id: int,
    case: OpenCase | None,
    email: Email,
    request: Request,
    facts: CaseFacts,
    decision: Decision,
) -> OpenCase:
    owned = facts.session if facts.sender_is in ("owner", "delegate") else None
    return OpenCase(
        case_id=case_id,
        sender=case.sender if case else email.sender.email,
        authenticated=case.authenticated if case else email.authentication.passed,
        therapist_id=facts.therapist.therapist_id if facts.therapist else "",
        session_id=owned.session_id if owned else "",
        client_id=owned.client_id if owned else "",
        state=decision.state,
        request=request,
        message_ids=(*(case.message_ids if case else ()), email.message_id),
    )
