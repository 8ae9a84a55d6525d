"""Stored cases with a person's verdict, as values."""

from datetime import UTC, datetime, timedelta

from models.handover import Judgement, StoredCase
from triage.records import Address, Authentication, Decision, Email, Request
from triage.verdicts import Correction, Verdict

NOON = datetime(2025, 11, 3, 12, tzinfo=UTC)
READ = Request(
    kind="cancellation",
    session_ids=("HT-204518",),
    fit_reasons=("availability",),
    client_notification="informed",
    notification_evidence="I told her",
)


def an_email(number: int, sender: str = "") -> Email:
    return Email(
        message_id=f"m{number}",
        sender=Address("Jo Penhallow", sender or f"jo{number}@practice.example"),
        reply_to=(),
        recipients=(),
        authentication=Authentication(passed=True, reason="dmarc"),
        sent_at=NOON,
        subject="Cancel HT-204518",
        new_text=f"I told her. Evenings no longer work, number {number}.",
        quoted_text="",
        signature="",
    )


def a_case(number: int, action: str = "approve", *, sender: str = "", by: str = "ann", **more):
    corrections = tuple(Correction(n, getattr(READ, n), v) for n, v in more.items())
    at = NOON + timedelta(minutes=number)
    verdict = Verdict(number, action, by, at, corrections=corrections)
    return StoredCase(
        case_id=number,
        emails=(an_email(number, sender),),
        request=READ,
        decision=Decision("cancellation", "ready", (), None, 3, ()),
        reader_version="0.2.2",
        judgements=(Judgement(verdict, READ, "0.2.2"),),
    )
