"""A desk without mailbox or database: mails in, decisions out, for tests of the rules alone.

The directory is a dictionary and cases live in a list, so that a scenario needs milliseconds. The
same scenario files run through the whole program elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files

from triage.acting import CLOSED, Carried, InHand, Sending, carry_out
from triage.conversation import Rules, hear
from triage.deadlines import OfficeHours
from triage.limits import Limits
from triage.matter import Thresholds
from triage.records import (
    NO_ASK,
    Address,
    Authentication,
    CaseFacts,
    Client,
    Decision,
    Email,
    OpenCase,
    Outcome,
    Request,
    Said,
    Session,
    Therapist,
)
from triage.threads import ENDED, continued, opened
from triage.verdicts import Outgoing, Verdict
from triage.wording import Wording


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
    as_of: datetime | None = None

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

    def unconfirmed(self, therapist_id: str) -> Sequence[datetime]:
        own = self.sessions_of(therapist_id)
        return [s.starts_at for s in own if s.status == "unconfirmed"]


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
    limits: Limits = field(default_factory=Limits)
    cases: dict[int, OpenCase] = field(default_factory=dict)
    heard: dict[tuple[int, int], Said] = field(default_factory=dict)
    decided: dict[int, list[Decision]] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)  # by a person
    outbox: dict[str, Outgoing] = field(default_factory=dict)
    before: dict[int, tuple[OpenCase, list[Decision], list[str]]] = field(default_factory=dict)

    def take(self, email: Email, request: Request, now: datetime) -> Handled:
        [handled] = self.take_all(email, [request], now)
        return handled

    def take_all(self, email: Email, asks: Sequence[Request], now: datetime) -> list[Handled]:
        rules = Rules(now, self.office, Thresholds(), self.wording, self.limits)
        message = len({number for number, _ in self.heard}) + 1
        for n, ask in enumerate(asks):
            self.heard[message, n] = Said(email, ask, (message, n))
        handled = []
        for outcome in hear(email, asks, self, rules):
            case = self._kept(outcome, email, message)
            self.cases[case.case_id] = case
            self.decided.setdefault(case.case_id, []).append(outcome.decision)
            self.before.pop(case.case_id, None)
            if outcome.ask != NO_ASK:
                joined = outcome.joined_case_id is not None
                handled.append(
                    Handled(case.case_id, joined, outcome.request, outcome.facts, outcome.decision)
                )
        return handled

    def in_hand(self, case_id: int) -> InHand:
        """The case as a person has it before them."""
        case, made = self.cases[case_id], self.decided[case_id]
        return InHand(case, self.heard[case.asks[-1]].email, made[-1], len(made))

    def act(self, verdict: Verdict, sending: Sending = Sending()) -> Carried:  # noqa: B008 - frozen
        """What a person decides, as the store keeps it: what has left once does not leave again."""
        rules = Rules(verdict.at, self.office, Thresholds(), self.wording, self.limits)
        hand = self.in_hand(verdict.case_id)
        carried = carry_out(hand, verdict, self.registry, rules, sending)
        if carried.refused:
            return carried
        new = [item for item in carried.outgoing if item.key not in self.outbox]
        self.before[verdict.case_id] = (
            hand.case,
            list(self.decided[verdict.case_id]),
            [item.key for item in new],
        )
        self.outbox.update((item.key, item) for item in new)
        self._keep(verdict, carried)
        return replace(carried, outgoing=tuple(new))

    def _keep(self, verdict: Verdict, carried: Carried) -> None:
        number = verdict.case_id
        state = carried.state or self.cases[number].state
        changed = replace(self.cases[number], state=state)
        if carried.request:
            changed = replace(changed, request=carried.request)
        if carried.facts and carried.facts.session:
            found = carried.facts.session
            changed = replace(changed, session_id=found.session_id, client_id=found.client_id)
        self.cases[number] = changed
        if carried.decision:
            self.decided[number].append(replace(carried.decision, state=state))
        (self.closed.add if state in CLOSED else self.closed.discard)(number)

    def undo(self, case_id: int) -> list[str]:
        """Take the last action back; what was to leave because of it."""
        self.cases[case_id], self.decided[case_id], keys = self.before.pop(case_id)
        self.closed.discard(case_id)
        for key in keys:
            del self.outbox[key]
        return keys

    # As ``triage.conversation.Memory``

    @property
    def directory(self) -> Registry:
        return self.registry

    def open_cases(self, *_: object) -> list[OpenCase]:
        open_ones = (case for case in self.cases.values() if case.case_id not in self.closed)
        return [case for case in open_ones if case.state not in ENDED]

    def said(self, cases: Sequence[OpenCase]) -> list[Said]:
        return [self.heard[place] for case in cases for place in case.asks]

    def _kept(self, outcome: Outcome, email: Email, message: int) -> OpenCase:
        case_id = outcome.joined_case_id or len(self.cases) + 1
        if outcome.case:
            asks = tuple((n or message, ask) for n, ask in outcome.case.asks)
            return replace(outcome.case, case_id=case_id, asks=asks)
        begun = (email, outcome.request, outcome.facts, outcome.decision.state)
        before = self.cases.get(case_id)
        case = continued(before, *begun) if before else opened(case_id, *begun)
        return replace(case, asks=(*case.asks, (message, outcome.ask)))
