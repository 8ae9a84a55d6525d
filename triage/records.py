"""The nouns: every value that crosses a folder boundary.

All are frozen. Times are aware; text is Unicode without NULs or lone surrogates (``ingest`` sees to
that), so that any of them can be stored on every database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol

from triage.labels import Agreement, Kind, Notification, Queue, Risk, Stage, State

Part = Literal["subject", "new_text", "quoted_text"]


@dataclass(frozen=True, slots=True, order=True)
class MessageKey:
    """Where a message was seen: one place in one mailbox. Two keys may hold the same mail."""

    source: str
    folder: str
    uidvalidity: int
    uid: int


@dataclass(frozen=True, slots=True)
class RawMessage:
    """The bytes as served, before anybody has tried to read them."""

    key: MessageKey
    received_at: datetime
    digest: str  # lower-case hex SHA-256 of content: says "same mail" wherever it was seen
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a folder has been read: everything up to ``uid`` under ``uidvalidity`` is ours.

    ``since`` is set where a folder is read "from now on": older mail is none of ours.
    """

    source: str
    folder: str
    uidvalidity: int
    uid: int
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Address:
    name: str
    email: str  # lower-case addr-spec, "" when the header held none


@dataclass(frozen=True, slots=True)
class Authentication:
    """Whether the receiving server vouches for the sender's address, and why (not).

    ``passed`` is true only when the trusted server's own verdict covers the From domain.
    """

    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attachment as listed. ``text`` is a document's, where reading those is switched on.

    No detector looks at ``text``: a questionnaire is the client's statement, not the sender's.
    """

    name: str
    content_type: str
    size: int  # bytes after transfer decoding
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Email:
    """One message, read. ``new_text`` alone is the sender's own statement."""

    message_id: str
    sender: Address
    reply_to: tuple[Address, ...]
    recipients: tuple[Address, ...]
    authentication: Authentication
    sent_at: datetime
    subject: str
    new_text: str
    quoted_text: str
    signature: str
    attachments: tuple[Attachment, ...] = ()
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    automatic: str = ""  # named reason such as "auto-replied", "bounce", "list"; "" for a person
    defects: tuple[str, ...] = ()  # every repair that reading needed, as a code
    channel: Literal["email", "chat"] = "email"


@dataclass(frozen=True, slots=True)
class Span:
    """Words in one part of a message: ``getattr(email, part)[start:end] == text``."""

    part: Part
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing noticed, the words it rests on, and who noticed it.

    ``label`` is a field of the guideline ("session_ids", "fit_reasons", "risk", …), ``value`` one
    of its codes or the resolved value. ``source`` is "rule:NAME" or "model:NAME@VERSION".
    ``confidence`` is the probability that the value is right, in 0..1.
    """

    label: str
    value: str
    span: Span | None
    source: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Request:
    """One ask about one client, in the fields of the guideline.

    ``confidence`` is the probability that ``kind`` is right; the other fields carry theirs on their
    findings.
    """

    kind: Kind
    session_ids: tuple[str, ...] = ()
    client_ref: str | None = None
    session_time: str | None = None  # local "YYYY-MM-DDTHH:MM" or "YYYY-MM-DD"
    session_stage: Stage = "unknown"
    fit_reasons: tuple[str, ...] = ()
    presenting_issues: tuple[str, ...] = ()
    required_approaches: tuple[str, ...] = ()
    required_experience: tuple[str, ...] = ()
    client_notification: Notification = "unknown"
    notification_evidence: str = ""
    client_agreement: Agreement = "unknown"
    alternatives_requested: bool = False
    guarantee_asked: bool = False
    risk: Risk = "none"
    confidence: float = 1.0
    findings: tuple[Finding, ...] = ()

    def confidence_in(self, label: str) -> float:
        """The lowest confidence among the findings behind *label*; 1.0 where there are none."""
        return min((f.confidence for f in self.findings if f.label == label), default=1.0)


@dataclass(frozen=True, slots=True)
class Session:
    """A booked session as the booking registry knows it."""

    session_id: str
    therapist_id: str
    client_id: str
    starts_at: datetime
    stage: Literal["initial", "ongoing"]
    status: Literal["unconfirmed", "confirmed", "cancelled", "held"]


@dataclass(frozen=True, slots=True)
class Therapist:
    therapist_id: str
    name: str
    emails: tuple[str, ...]
    delegates: tuple[str, ...]  # addresses of administrators who may write for the therapist
    approaches: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()
    experience: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    open_to_new: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    client_id: str
    first_name: str
    last_name: str
    email: str


class Directory(Protocol):
    """What the booking registry can be asked. Unknown ids give None or nothing, never an error."""

    @property
    def known(self) -> bool:
        """Whether any registry was ever imported; without one nothing can be checked."""

    def session(self, session_id: str) -> Session | None: ...

    def sessions_of(self, therapist_id: str) -> Sequence[Session]: ...

    def therapist(self, therapist_id: str) -> Therapist | None: ...

    def therapists_at(self, address: str) -> Sequence[Therapist]:
        """Therapists with this address (lower case), as their own or as a delegate's."""

    def client(self, client_id: str) -> Client | None: ...

    def open_therapists(self) -> Sequence[Therapist]:
        """All therapists who take new clients."""

    def unconfirmed(self, therapist_id: str) -> Sequence[datetime]:
        """Starts of the sessions registered as unconfirmed that no case of theirs is about."""

    @property
    def as_of(self) -> datetime | None:
        """When sessions were last imported, None where they never were."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A session that may be the one meant; for a person to choose, never applied."""

    session_id: str
    score: float
    why: str


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What the registry and the open case say about a request, gathered before deciding.

    ``sender_is`` tells how the sender's address stands to ``session`` (or, where there is none, to
    the directory): "owner" of the session, "delegate" of its owner, another "therapist", or a
    "stranger".
    """

    registry_known: bool  # False while no registry was ever imported: nothing can be checked
    sender_is: Literal["owner", "delegate", "therapist", "stranger"]
    therapist: Therapist | None = None
    session: Session | None = None
    client: Client | None = None
    unknown_ids: tuple[str, ...] = ()  # ids in the request that the registry does not hold
    proposals: tuple[Proposal, ...] = ()
    open_case: OpenCase | None = None
    disagreements: tuple[str, ...] = ()  # where the message and the registry differ, in words
    unconfirmed: int = 0  # this therapist's sessions left so lately, with nobody told
    registry_as_of: datetime | None = None  # when its sessions were last imported


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A case that a further mail may join: what is known so far, and from whom.

    ``sender`` is the address of the therapist's side that opened it, ``authenticated`` whether the
    receiving server vouched for it then. ``asks`` says where each of its asks stands: the store's
    number of the message and which of that message's asks it is, in the order of writing.
    """

    case_id: int
    sender: str
    authenticated: bool
    therapist_id: str
    session_id: str
    client_id: str
    state: State
    request: Request
    message_ids: tuple[str, ...]
    answers: tuple[str, ...] = ()  # Message-IDs that its mails reply to or refer to
    latest_at: datetime | None = None  # when the last of its mails was sent
    asks: tuple[tuple[int, int], ...] = ()


#: Among a message's defects where words of it were erased since: nothing is learned from the rest.
ERASED_IN_PART: Final = "erased_in_part"

#: What every mail of ours carries: no program answers it, and we know it when it comes back.
OUTGOING_HEADERS: Final[Mapping[str, str]] = {
    "X-Fit-Triage": "1",
    "Auto-Submitted": "auto-generated",  # RFC 3834
    "X-Auto-Response-Suppress": "All",  # Exchange's own
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A reply for a person to read, change and send; nothing sends it by itself."""

    to: str
    subject: str
    body: str
    in_reply_to: str
    references: tuple[str, ...]
    template: str


@dataclass(frozen=True, slots=True)
class Alternative:
    """A therapist to recommend, and why."""

    therapist_id: str
    name: str
    score: float
    why: tuple[str, ...]
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy makes of a request, with its reasons in words."""

    queue: Queue
    state: State
    blockers: tuple[str, ...]
    deadline: datetime | None  # aware UTC; the moment by which a person must have acted
    priority: int  # 0 is the most urgent
    reasons: tuple[str, ...]
    safeguarding: bool = False
    guarantee: Literal["", "proposed", "confirmed"] = ""  # confirmed by a person alone
    draft: Draft | None = None
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """One ask as its own mail put it, and where it stands (see ``OpenCase.asks``)."""

    email: Email
    request: Request
    place: tuple[int, int]


class Outcome(NamedTuple):
    """What was made of one request; the case it joins, or None for a case of its own.

    ``request`` is the whole case so far, ``said`` the ask alone where that differs. ``case`` is
    given where a conversation was told again: the case as it stands then, its id still to be set.
    """

    request: Request
    facts: CaseFacts
    decision: Decision
    joined_case_id: int | None = None
    said: Request | None = None
    ask: int = 0
    case: OpenCase | None = None


#: Where an ask of the arriving message stands before the store has given that message a number.
ARRIVING: Final = 0
#: The ask of a decision that was made again because of a mail of another case.
NO_ASK: Final = -1


def request_fields(request: Request) -> Mapping[str, object]:
    """The request in the guideline's fields, ready for JSON: lists for sets, no findings."""
    return {
        "kind": request.kind,
        "session_ids": list(request.session_ids),
        "client_ref": request.client_ref,
        "session_time": request.session_time,
        "session_stage": request.session_stage,
        "fit_reasons": list(request.fit_reasons),
        "presenting_issues": list(request.presenting_issues),
        "required_approaches": list(request.required_approaches),
        "required_experience": list(request.required_experience),
        "client_notification": request.client_notification,
        "notification_evidence": request.notification_evidence,
        "client_agreement": request.client_agreement,
        "alternatives_requested": request.alternatives_requested,
        "guarantee_asked": request.guarantee_asked,
        "risk": request.risk,
    }
