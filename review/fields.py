"""The JSON that other programs rely on: queues, cases, readings, quarantine, runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from review.terminal import SourceReport, contradictions, total
from store import CaseRow, CaseStory, Quarantined
from triage.records import Email, Finding, Request, request_fields


def queue_json(row: CaseRow) -> dict[str, Any]:
    """One case in the fields that other programs rely on (``queue --json``)."""
    decision, draft = row.decision, row.decision.draft
    return {
        "case_id": row.case_id,
        "queue": decision.queue,
        "state": decision.state,
        "blockers": list(decision.blockers),
        "session_id": row.session_id or None,
        "therapist_id": row.therapist_id or None,
        "client_id": row.client_id or None,
        "deadline": decision.deadline.isoformat() if decision.deadline else None,
        "safeguarding": decision.safeguarding,
        "sender_authenticated": row.sender_authenticated,
        "sender_is": row.sender_is,
        "proposals": [
            {"session_id": p.session_id, "score": p.score, "why": p.why} for p in row.proposals
        ],
        "guarantee": decision.guarantee,
        "alternatives": [
            {
                "therapist_id": a.therapist_id,
                "name": a.name,
                "score": a.score,
                "why": list(a.why),
                "lacks": list(a.lacks),
            }
            for a in decision.alternatives
        ],
        "reasons": list(decision.reasons),
        "draft": {
            "to": draft.to,
            "subject": draft.subject,
            "body": draft.body,
            "in_reply_to": draft.in_reply_to,
            "references": list(draft.references),
        }
        if draft
        else None,
        "message_ids": list(row.message_ids),
        "channels": list(row.channels),
        "version": row.version,
        "assignee": row.assignee or None,
        "snoozed_until": row.snoozed_until.isoformat() if row.snoozed_until else None,
        **request_fields(row.request),
        "confidence": row.request.confidence,
    }


def explain_json(file: str, email: Email, requests: Iterable[Request]) -> dict[str, Any]:
    """One message as ``explain --json`` gives it."""
    return {
        "file": file,
        "message_id": email.message_id,
        "subject": email.subject,
        "new_text": email.new_text,
        "automatic": email.automatic,
        "requests": [
            {
                **request_fields(request),
                "confidence": request.confidence,
                "findings": [_finding_json(finding) for finding in request.findings],
            }
            for request in requests
        ],
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    span = finding.span
    return {
        "label": finding.label,
        "value": finding.value,
        "part": span.part if span else None,
        "start": span.start if span else None,
        "end": span.end if span else None,
        "text": span.text if span else "",
        "source": finding.source,
        "confidence": round(finding.confidence, 4),
    }


def case_json(story: CaseStory) -> dict[str, Any]:
    """A whole case: as in its queue, its mails, every decision, and its audit trail."""
    return {
        **queue_json(story.case),
        "findings": [_finding_json(finding) for finding in story.case.request.findings],
        "contradictions": contradictions(story.case),
        "messages": [
            {
                "message_id": message.email.message_id,
                "sent_at": message.email.sent_at.isoformat(),
                "sender": message.email.sender.email,
                "authentication": message.email.authentication.reason,
                "subject": message.email.subject,
                "new_text": message.email.new_text,
                "quoted_text": message.email.quoted_text,
                "defects": list(message.email.defects),
                "attachments": [asdict(item) for item in message.email.attachments],
            }
            for message in story.messages
        ],
        "decisions": [
            {
                "decided_at": decision.decided_at.isoformat(),
                "reader_version": decision.reader_version,
                "state": decision.decision.state,
                "blockers": list(decision.decision.blockers),
                "reasons": list(decision.decision.reasons),
            }
            for decision in story.decisions
        ],
        "audit": [{"at": row.at.isoformat(), "event": row.event} for row in story.audit],
    }


def unreadable_json(file: str, cause: str) -> dict[str, Any]:
    """A message that ``explain`` could not read: no requests, and why."""
    return {
        "file": file,
        "message_id": "",
        "subject": "",
        "new_text": "",
        "automatic": "",
        "requests": [],
        "unreadable": cause,
    }


def quarantined_json(item: Quarantined) -> dict[str, Any]:
    return {
        "id": item.id,
        "digest": item.digest,
        "cause": item.cause,
        "attempts": item.attempts,
        "quarantined_at": item.quarantined_at.isoformat(),
        "tried_at": item.tried_at.isoformat(),
        "source": item.key.source,
        "folder": item.key.folder,
        "uid": item.key.uid,
    }


def run_json(reports: list[SourceReport]) -> dict[str, Any]:
    """What a run did, mailbox by mailbox and in all."""
    return {
        **asdict(total(reports)),
        "adds_up": total(reports).adds_up,
        "sources": [{"source": r.source, **asdict(r.tally), "problem": r.problem} for r in reports],
    }
