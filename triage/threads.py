"""A case from mail to mail, and mails in the order they were written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from triage.labels import State
from triage.records import CaseFacts, Email, OpenCase, Request, Said

#: What no mail joins any more. A request that a mail took back may be spoken of again.
ENDED: Final = frozenset({"done", "dismissed"})


def opened(
    case_id: int, email: Email, request: Request, facts: CaseFacts, state: State
) -> OpenCase:
    """The case that begins with this mail."""
    empty = OpenCase(
        case_id=case_id,
        sender=email.sender.email,
        authenticated=email.authentication.passed,
        therapist_id="",
        session_id="",
        client_id="",
        state=state,
        request=request,
        message_ids=(),
    )
    return continued(empty, email, request, facts, state)


def continued(
    case: OpenCase, email: Email, request: Request, facts: CaseFacts, state: State
) -> OpenCase:
    """*case* after a further mail of it: *request* is the whole so far, *facts* the latest."""
    session, client = facts.session, facts.client
    client_id = client.client_id if client else session.client_id if session else ""
    # Without a registry the sender's word is all there is; the decision says so.
    named = () if facts.registry_known else request.session_ids
    session_id = session.session_id if session else named[0] if len(named) == 1 else ""
    answered = {email.in_reply_to, *email.references} - {""}
    sent = [when for when in (case.latest_at, email.sent_at) if when]
    return replace(
        case,
        therapist_id=facts.therapist.therapist_id if facts.therapist else case.therapist_id,
        session_id=session_id or case.session_id,
        client_id=client_id or case.client_id,
        state=state,
        request=request,
        message_ids=tuple(dict.fromkeys((*case.message_ids, email.message_id))),
        answers=tuple(dict.fromkeys((*case.answers, *sorted(answered)))),
        latest_at=max(sent),
    )


def in_order_of_writing(said: Sequence[Said]) -> list[Said]:
    """By the time of sending; a reply never comes before what it answers, whatever its clock."""
    mails = {ask.place[0]: ask.email for ask in said}
    by_id: dict[str, list[int]] = {}
    for number, email in mails.items():
        if email.message_id:
            by_id.setdefault(email.message_id, []).append(number)
    before = {
        number: [
            earlier
            for name in {email.in_reply_to, *email.references} - {email.message_id}
            for earlier in by_id.get(name, ())
        ]
        for number, email in mails.items()
    }
    after = {number: (email.sent_at, 0) for number, email in mails.items()}
    for _ in mails:  # as often as the longest chain may need; mails that claim a circle end too
        after = {
            number: max([after[number], *((after[n][0], after[n][1] + 1) for n in before[number])])
            for number in mails
        }

    def place(ask: Said) -> tuple[tuple[datetime, int], datetime, str, str, int]:
        email = ask.email
        return after[ask.place[0]], email.sent_at, email.message_id, email.new_text, ask.place[1]

    return sorted(said, key=place)
