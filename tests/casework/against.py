"""Mails that come after a complete cancellation was approved, and whether they speak against it.

Written as in ``tests/data/scenarios``; "email" changes the mail itself.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from casework import an_email
from triage.records import Email

WITHDRAWN: Final[dict[str, Any]] = {"ask": "withdrawal", "but": {"session_ids": ["HT-218834"]}}
SPEAKS_AGAINST: Final[dict[str, dict[str, Any]]] = {
    "it is taken back by number": WITHDRAWN,
    "it is taken back in the thread": {"ask": "withdrawal", "answers": True},
    "it is taken back, and nothing named": {"ask": "withdrawal"},
    "it is perhaps taken back": {"ask": "withdrawal", "answers": True, "but": {"confidence": 0.4}},
    "taken back from an address that nobody vouches for": {
        **WITHDRAWN,
        "email": {"authentication": an_email(authenticated=False).authentication},
    },
    "present danger": {"ask": "update", "answers": True, "but": {"risk": "urgent"}},
    "present danger, and nothing named": {"ask": "other", "but": {"risk": "urgent"}},
    "present danger, from the client": {
        "ask": "other",
        "but": {"risk": "urgent"},
        "email": {"sender": replace(an_email().sender, email="imogen@client.example")},
    },
    "the client was not told after all": {
        "ask": "update",
        "answers": True,
        "but": {"client_notification": "not_informed"},
    },
    "the client does not agree": {
        "ask": "update",
        "answers": True,
        "but": {"client_agreement": "declines"},
    },
    "another session is meant": {
        "ask": "update",
        "answers": True,
        "but": {"session_ids": ["HT-219999"]},
    },
    "the therapist is unsure now": {"ask": "enquiry", "answers": True},
    "nobody knows what is asked": {"ask": "other", "answers": True, "but": {"confidence": 0.3}},
}
SAYS_NOTHING_AGAINST: Final[dict[str, dict[str, Any]]] = {
    "the same once more": {"ask": "complete cancellation"},
    "a further need": {"ask": "update", "answers": True, "but": {"required_approaches": ["cbt"]}},
    "thanks": {"ask": "other", "answers": True},
    "another client's session": {
        "ask": "complete cancellation",
        "but": {"session_ids": ["HT-210002"], "client_ref": "Sarah Malik"},
    },
    "another client's session is taken back": {
        "ask": "withdrawal",
        "but": {"session_ids": ["HT-210002"], "client_ref": "Sarah Malik"},
    },
    "a machine's answer": {"ask": "update", "answers": True, "email": {"automatic": "auto"}},
    "danger to somebody else's client": {
        "ask": "complete cancellation",
        "but": {"session_ids": ["HT-330001"], "client_ref": "Priya", "risk": "urgent"},
        "email": {"sender": replace(an_email().sender, email="ruth@stillwaters.example")},
    },
}


def email_of(mail: dict[str, Any], number: int, now: datetime) -> Email:
    email = an_email(
        message_id=f"<{number}@oldroyd.example>",
        in_reply_to="<1@oldroyd.example>" if mail.get("answers") else "",
        sent_at=now + timedelta(seconds=number),
    )
    return replace(email, **mail.get("email", {}))
