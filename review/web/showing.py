"""A case as its page shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ingest.defects import DEFECTS, DOUBTS
from review.acting import Deeds, deeds
from review.case_printing import outbox_lines, verdict_line
from review.web import words
from review.web.checklist import Check, checklist
from review.web.evidence import Piece, pieces
from review.web.grouping import grouping
from review.web.office import Office
from review.web.queues import client_name, therapist_name
from store import CaseStory, StoredMessage
from triage.corrections import FIELDS
from triage.effects import Sending
from triage.gate import GATE
from triage.labels import CODE_SETS, CODES
from triage.leaving import UNKNOWN_TO_US
from triage.records import Directory, Finding, Request, request_fields

_FLAGS: Final = {"True": "Yes", "False": "No"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the request, as read and as set right."""

    name: str
    label: str
    values: tuple[str, ...]
    confidence: float | None  # None where nothing was found
    sources: tuple[str, ...]
    evidence: tuple[str, ...]
    model_said: str  # what a person set right, "" where nobody did
    choices: tuple[tuple[str, str, bool], ...]  # code, words, whether chosen; () for free text
    many: bool
    text: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of the case with its evidence."""

    id: int
    sender: str
    address: str
    authenticated: bool
    authentication: str
    sent_at: datetime
    subject: list[Piece]
    new_text: list[Piece]
    quoted_text: list[Piece]
    signature: str
    attachments: list[tuple[int, str, str, int, str]]  # number, name, type, bytes, its text
    doubts: list[str]
    notes: list[str]
    automatic: str
    channel: str
    latest: bool


@dataclass(frozen=True, slots=True)
class Event:
    """One thing of the case's history."""

    at: datetime
    what: str
    detail: str


def case_page(office: Office, story: CaseStory) -> dict[str, Any]:
    """What the template of a case needs."""
    now, row = office.clock(), story.case
    directory = office.store.directory()
    done = deeds(office.store, story, office.rules(), office.sending)
    decision = row.decision
    return {
        "row": row,
        "decision": decision,
        "left": words.time_left(decision.deadline, now),
        "pressing": words.pressing(decision.deadline, now),
        "therapist": therapist_name(row, directory),
        "client": client_name(row, directory),
        "facts": _facts(story, directory),
        "fields": _fields(row.request, done),
        "checks": checklist(row.request.kind, decision.blockers),
        "letters": _letters(story),
        "events": _events(story, done),
        "audit": story.audit,
        "outbox": outbox_lines(done.outbox),
        "allowed": done.allowed,
        "grouping": grouping(office, story, done.allowed),
        "can_undo": _can_undo(done),
        "approval": _approval(done, office.sending.undo),
        "answer": _answer(story, office.sending),
        "passable": [code for code in decision.blockers if GATE[code].passable],
        "stranger": bool(UNKNOWN_TO_US & set(decision.blockers)),
        "gate": GATE,
        "MET": {check.code: check for check in checklist(row.request.kind, decision.blockers)},
    }


# --- what is known --------------------------------------------------------------------------------


def _facts(story: CaseStory, directory: Directory) -> list[tuple[str, str]]:
    row = story.case
    session = directory.session(row.session_id) if row.session_id else None
    therapist = directory.therapist(row.therapist_id) if row.therapist_id else None
    found = [("Session", row.session_id)]
    if session:
        found += [
            ("Starts", words.at(session.starts_at)),
            ("Stage", session.stage),
            ("Status", session.status),
        ]
    found += [("Therapist", f"{therapist.name} ({therapist.therapist_id})" if therapist else "")]
    if therapist:
        found += [
            ("Takes new clients", "yes" if therapist.open_to_new else "no"),
            ("Offers", _listed(therapist.approaches)),
            ("Works with", _listed(therapist.issues)),
            ("Experience", _listed(therapist.experience)),
            ("Languages", ", ".join(therapist.languages)),
        ]
    found += [
        ("Client", row.client_id),
        ("Written by", _writer(row.sender_is)),
        ("Guarantee", row.decision.guarantee),
    ]
    return [(name, value) for name, value in found if value]


def _writer(sender_is: str) -> str:
    return {
        "owner": "the session's own therapist",
        "delegate": "a delegate of the therapist",
        "therapist": "a therapist whose session it is not, or none is known",
        "stranger": "an address on no record",
    }.get(sender_is, "")


def _listed(codes: Iterable[str]) -> str:
    return ", ".join(words.value_in_words("presenting_issues", code).lower() for code in codes)


# --- the fields -----------------------------------------------------------------------------------


def _fields(request: Request, done: Deeds) -> list[Field]:
    before = {
        one.field: one.before
        for deed in reversed(done.verdicts)
        if not deed.undone_at
        for one in deed.verdict.corrections
    }
    read = request_fields(request)
    return [_field(name, read[name], request, before) for name in FIELDS]


def _field(name: str, value: object, request: Request, before: Mapping[str, object]) -> Field:
    found = [finding for finding in request.findings if finding.label == name]
    sure = request.confidence if name == "kind" else request.confidence_in(name)
    known = bool(found) or name == "kind"
    codes = _codes(value)
    if name == "client_notification" and request.notification_evidence:
        told = [request.notification_evidence]
    else:
        told = [finding.span.text for finding in found if finding.span]
    return Field(
        name=name,
        label=words.FIELDS[name],
        values=tuple(_word(name, code) for code in codes),
        confidence=sure if known else None,
        sources=tuple(dict.fromkeys(words.source_in_words(f.source) for f in found)),
        evidence=tuple(dict.fromkeys(told)),
        model_said=_model_said(name, before),
        choices=_choices(name, codes),
        many=name in CODE_SETS,
        text=" ".join(codes),
    )


def _model_said(name: str, before: Mapping[str, object]) -> str:
    if name not in before:
        return ""
    return ", ".join(_word(name, code) for code in _codes(before[name])) or "nothing"


def _codes(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return [] if value is None else [str(value)]


def _word(name: str, code: str) -> str:
    return _FLAGS.get(code) or words.value_in_words(name, code)


def _choices(name: str, chosen: Sequence[str]) -> tuple[tuple[str, str, bool], ...]:
    if name in ("alternatives_requested", "guarantee_asked"):
        return (("yes", "Yes", "True" in chosen), ("no", "No", "False" in chosen))
    codes = CODE_SETS.get(name) or CODES.get(name, ())
    return tuple((code, _word(name, code), code in chosen) for code in codes)


# --- the mails ------------------------------------------------------------------------------------


def _letters(story: CaseStory) -> list[Letter]:
    """Newest first: what was said last is what staff act on."""
    findings = [f for made in story.decisions for f in made.request.findings]
    latest = story.messages[-1].id
    return [_letter(one, findings, latest=one.id == latest) for one in reversed(story.messages)]


def _letter(message: StoredMessage, findings: Sequence[Finding], *, latest: bool) -> Letter:
    email = message.email
    known = [code for code in email.defects if code in DEFECTS]
    return Letter(
        id=message.id,
        sender=email.sender.name,
        address=email.sender.email,
        authenticated=email.authentication.passed,
        authentication=email.authentication.reason,
        sent_at=email.sent_at,
        subject=pieces(email, "subject", findings),
        new_text=pieces(email, "new_text", findings),
        quoted_text=pieces(email, "quoted_text", findings),
        signature=email.signature,
        attachments=[
            (n, one.name, one.content_type, one.size, one.text)
            for n, one in enumerate(email.attachments)
        ],
        doubts=[DEFECTS[code] for code in known if code in DOUBTS],
        notes=[DEFECTS[code] for code in known if code not in DOUBTS],
        automatic=email.automatic,
        channel=email.channel,
        latest=latest,
    )


# --- what happened, and what would ----------------------------------------------------------------


def _events(story: CaseStory, done: Deeds) -> list[Event]:
    events = [
        Event(one.email.sent_at, f"Mail from {one.email.sender.email}", one.email.subject)
        for one in story.messages
    ]
    for made in story.decisions:
        if made.reader_version != "person":
            blockers = ", ".join(made.decision.blockers).replace("_", " ")
            state = words.STATES.get(made.decision.state, made.decision.state)
            events.append(Event(made.decided_at, f"Decided: {state}", blockers))
    for deed in done.verdicts:
        line = verdict_line(deed.verdict)
        undone = f"taken back {words.at(deed.undone_at)}" if deed.undone_at else ""
        events.append(Event(deed.verdict.at, line.partition("  ")[2] or line, undone))
    return sorted(events, key=lambda event: event.at, reverse=True)


def _can_undo(done: Deeds) -> bool:
    return bool(done.verdicts) and done.verdicts[-1].verdict.action != "undo"


def _approval(done: Deeds, undo: timedelta) -> dict[str, Any]:
    trial = done.approval
    return {
        "refused": trial.refused,
        "lines": [words.leaving(item) for item in trial.outgoing],
        "remarks": trial.remarks,
        "letters": [
            *(
                _draft(one.action, one.payload)
                for one in trial.outgoing
                if one.channel != "platform"
            ),
            *(_draft(one.template, asdict(one)) for one in trial.to_copy),
        ],
        "undo": words.span(undo) if trial.outgoing else "",
    }


def _answer(story: CaseStory, sending: Sending) -> dict[str, Any]:
    """Where the letter to the therapist goes, and what its button is called."""
    email, draft = story.messages[-1].email, story.case.decision.draft
    is_chat = not draft.to if draft else email.channel == "chat"
    posts = is_chat and sending.chats
    button = ("Send into the chat" if posts else "I have put it there") if is_chat else "Send back"
    return {"chat": is_chat, "posts": posts, "button": button, "undo": words.span(sending.undo)}


def _draft(name: str, letter: Mapping[str, object]) -> dict[str, str]:
    names = {
        "client_cancelled": "To the client: cancelled",
        "client_alternatives": "To the client: whom we suggest",
        "client_guarantee": "To the client: the Guarantee",
    }
    title = names.get(name, f"To the therapist: {name.replace('_', ' ')}")
    payload = {field: str(letter[field]) for field in ("to", "subject", "body")}
    return {"template": name, "title": title, **payload}


__all__ = ["Check", "Event", "Field", "Letter", "case_page"]
