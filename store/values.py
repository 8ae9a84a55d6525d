"""The records of ``triage`` as JSON and back, for the columns that hold them whole.

Written out field by field: this runs for every finding of every message, and a generic walk takes
several times as long. Unknown fields of older rows are ignored, missing ones take their default.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from store.columns import AnyRow
from store.sealing import is_unopened
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
    Proposal,
    Request,
    Span,
    request_fields,
)

_SETS = (
    "session_ids",
    "fit_reasons",
    "presenting_issues",
    "required_approaches",
    "required_experience",
)


def request_json(request: Request) -> dict[str, object]:
    return {
        **request_fields(request),
        "confidence": request.confidence,
        "findings": [_finding_json(finding) for finding in request.findings],
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    span = finding.span
    return {
        "label": finding.label,
        "value": finding.value,
        "span": None if span is None else [span.part, span.start, span.end, span.text],
        "source": finding.source,
        "confidence": finding.confidence,
    }


#: Said of what is sealed and does not open.
DAMAGED: Final = (
    "What is stored about this is damaged and cannot be opened: read the mail in the mailbox, and "
    "tell operations (`fit-triage keys verify`)."
)


def request_from(stored: Mapping[str, Any]) -> Request:
    if is_unopened(stored):
        return Request("other", confidence=0.0)
    fields = {name: value for name, value in stored.items() if name in Request.__slots__}
    fields.update({name: tuple(fields.get(name, ())) for name in _SETS})
    fields["findings"] = tuple(_finding_from(item) for item in stored.get("findings", ()))
    return Request(**fields)


def _finding_from(stored: Mapping[str, Any]) -> Finding:
    span = stored["span"]
    return Finding(
        stored["label"],
        stored["value"],
        None if span is None else Span(*span),
        stored["source"],
        stored["confidence"],
    )


def facts_json(facts: CaseFacts) -> dict[str, object]:
    """What the decision rested on; whole registry rows stay in the registry."""
    return {
        "registry_known": facts.registry_known,
        "sender_is": facts.sender_is,
        "therapist_id": facts.therapist.therapist_id if facts.therapist else "",
        "session_id": facts.session.session_id if facts.session else "",
        "client_id": client_id(facts),
        "unknown_ids": list(facts.unknown_ids),
        "disagreements": list(facts.disagreements),
        "proposals": [
            {"session_id": item.session_id, "score": item.score, "why": item.why}
            for item in facts.proposals
        ],
    }


def client_id(facts: CaseFacts) -> str:
    if facts.client:
        return facts.client.client_id
    return facts.session.client_id if facts.session else ""


def proposals_from(stored: Mapping[str, Any]) -> tuple[Proposal, ...]:
    if is_unopened(stored):
        return ()
    return tuple(Proposal(**item) for item in stored.get("proposals", ()))


def decision_json(decision: Decision) -> dict[str, object]:
    draft = decision.draft
    return {
        "queue": decision.queue,
        "state": decision.state,
        "blockers": list(decision.blockers),
        "deadline": None if decision.deadline is None else decision.deadline.isoformat(),
        "priority": decision.priority,
        "reasons": list(decision.reasons),
        "safeguarding": decision.safeguarding,
        "guarantee": decision.guarantee,
        "draft": None if draft is None else _draft_json(draft),
        "alternatives": [_alternative_json(item) for item in decision.alternatives],
    }


def _draft_json(draft: Draft) -> dict[str, object]:
    return {
        "to": draft.to,
        "subject": draft.subject,
        "body": draft.body,
        "in_reply_to": draft.in_reply_to,
        "references": list(draft.references),
        "template": draft.template,
    }


def _alternative_json(item: Alternative) -> dict[str, object]:
    return {
        "therapist_id": item.therapist_id,
        "name": item.name,
        "score": item.score,
        "why": list(item.why),
        "lacks": list(item.lacks),
    }


def decision_from(stored: Mapping[str, Any]) -> Decision:
    if is_unopened(stored):
        return Decision("cancellation", "check", ("low_confidence",), None, 0, (DAMAGED,))
    draft, deadline = stored["draft"], stored["deadline"]
    return Decision(
        queue=stored["queue"],
        state=stored["state"],
        blockers=tuple(stored["blockers"]),
        deadline=None if deadline is None else datetime.fromisoformat(deadline),
        priority=stored["priority"],
        reasons=tuple(stored["reasons"]),
        safeguarding=stored["safeguarding"],
        guarantee=stored["guarantee"],
        draft=None
        if draft is None
        else Draft(**{**draft, "references": tuple(draft["references"])}),
        alternatives=tuple(
            Alternative(**{**item, "why": tuple(item["why"]), "lacks": tuple(item["lacks"])})
            for item in stored["alternatives"]
        ),
    )


def _attachment_json(item: Attachment) -> list[object]:
    return [item.name, item.content_type, item.size, *([item.text] if item.text else [])]


def details_json(email: Email) -> dict[str, object]:
    """The fields of *email* that have no column of their own."""
    return {
        "sender_name": email.sender.name,
        "reply_to": [[item.name, item.email] for item in email.reply_to],
        "recipients": [[item.name, item.email] for item in email.recipients],
        "authentication": email.authentication.reason,
        "attachments": [_attachment_json(item) for item in email.attachments],
        "in_reply_to": email.in_reply_to,
        "references": list(email.references),
        "defects": list(email.defects),
    }


_NO_DETAILS: Final[Mapping[str, Any]] = {
    "sender_name": "", "reply_to": (), "recipients": (), "authentication": "", "attachments": (),
    "in_reply_to": "", "references": (), "defects": ("damaged_in_store",),
}  # fmt: skip


def email_from(row: AnyRow) -> Email:
    """The ``Email`` of a row of ``messages``."""
    details = _NO_DETAILS if is_unopened(row.details) else row.details
    return Email(
        message_id=row.message_id,
        sender=Address(details["sender_name"], row.sender),
        reply_to=tuple(Address(*item) for item in details["reply_to"]),
        recipients=tuple(Address(*item) for item in details["recipients"]),
        authentication=Authentication(row.authenticated, details["authentication"]),
        sent_at=row.sent_at.astimezone(UTC),
        subject=row.subject,
        new_text=row.new_text,
        quoted_text=row.quoted_text,
        signature=row.signature,
        attachments=tuple(Attachment(*item) for item in details["attachments"]),
        in_reply_to=details["in_reply_to"],
        references=tuple(details["references"]),
        automatic=row.automatic,
        defects=tuple(details["defects"]),
        channel=row.channel,
    )
