"""Draft replies: what a kind, competent colleague would write, for a person to read and send.

The words are templates (see ``wording``); this module decides which therapist may be answered, with
which template, and what it may know. Letters to clients are in ``client_letters``.
Somebody who is not the session's own, authenticated side never gets words that depend on whether a
session exists.
"""

from __future__ import annotations

import re
from typing import Final

from triage.cases import base_subject
from triage.names import written
from triage.phrasing import listed, moment_in_words, stated_time
from triage.records import CaseFacts, Decision, Draft, Email, Request
from triage.wording import TEMPLATES, Values, Wording, WordingError, render

__all__ = [
    "TEMPLATES",
    "Wording",
    "WordingError",
    "draft_reply",
    "greeting",
    "own_words",
    "template_for",
]

_NO_REPLY: Final = re.compile(
    r"^(?:(?:.*[-_.+])?(?:no|do-?not|dont|never)[-_.]?reply(?:[-_.+].*)?|mailer-daemon|postmaster"
    r"|bounces?(?:[-_.+].*)?|notifications?|auto(?:mated|reply)?)@",
    re.IGNORECASE,
)
_ORGANISATIONS: Final = frozenset((
    "admin", "administration", "associates", "care", "center", "centre", "clinic", "counseling",
    "counselling", "dept", "desk", "enquiries", "group", "health", "hello", "info", "limited",
    "llp", "ltd", "mail", "mailbox", "office", "practice", "psychology", "psychotherapy",
    "reception", "rooms", "secretary", "service", "services", "support", "team", "therapies",
    "therapist", "therapy", "wellbeing",
))  # fmt: skip
#: What may be echoed as a name to whoever the From header names: letters, and no link or markup.
_GIVEN_NAME: Final = re.compile(r"[^\W\d_]{1,30}(?:['’\-][^\W\d_]{1,30}){0,3}")
_KEPT_REFERENCES: Final = 20
_SUBJECT_LENGTH: Final = 200


def draft_reply(
    email: Email, request: Request, facts: CaseFacts, decision: Decision, wording: Wording
) -> Draft | None:
    """A reply to the sender for a person to send, or None where a person should write their own.

    Never to a machine or a no-reply address; always to the From address and never to Reply-To. A
    chat's draft is to nobody: it is text to copy.
    """
    name = template_for(email, request, facts, decision)
    if name is None or not _may_be_answered(email):
        return None
    return Draft(
        to=_answered_at(email),
        subject=_subject(email.subject),
        body=render(wording, name, _values(email, request, facts, decision, name)),
        in_reply_to=email.message_id,
        references=_references(email),
        template=name,
    )


def own_words(email: Email, body: str) -> Draft | None:
    """A reply in a person's own words, where no prepared ones are right; None to a machine."""
    if not _may_be_answered(email):
        return None
    return Draft(
        to=_answered_at(email),
        subject=_subject(email.subject),
        body=body,
        in_reply_to=email.message_id,
        references=_references(email),
        template="own_words",
    )


def template_for(
    email: Email, request: Request, facts: CaseFacts, decision: Decision
) -> str | None:
    """Which template answers a decision; None where no prepared words are right."""
    if email.automatic or decision.queue in ("general", "quarantine"):
        return None
    if decision.safeguarding:
        known = facts.registry_known and facts.sender_is != "stranger"
        return "safeguarding" if known and email.authentication.passed else None
    if "sender_unverified" in decision.blockers:
        return "verify_sender"
    state = _state_in_words(request, decision)
    if state in ("awaiting_client", "awaiting_details", "done", "noted", "withdrawn"):
        return "enquiry" if request.kind == "enquiry" else state
    return "session_needed" if _only_the_session_is_missing(facts, decision) else None


_GATE: Final = frozenset({"client_not_told", "reasons_not_discussed"})
_ASKED: Final = {"reason_missing": "reason", "issues_missing": "issues", "needs_missing": "needs"}
_SESSION_CODES: Final = frozenset({"session_unknown", "session_ambiguous", "not_session_owner"})


def _state_in_words(request: Request, decision: Decision) -> str:
    """The state that the reply may show: somebody else's session reads like one nobody has."""
    blockers = set(decision.blockers)
    if "not_session_owner" not in blockers:
        return decision.state
    if request.kind == "enquiry" or _GATE & blockers:
        return "awaiting_client"
    return "awaiting_details" if blockers & set(_ASKED) else "check"


def _only_the_session_is_missing(facts: CaseFacts, decision: Decision) -> bool:
    """Whether asking for the number would settle it."""
    held_up = {"contradiction", "client_disagrees", "low_confidence"} & set(decision.blockers)
    in_question = bool(_SESSION_CODES & set(decision.blockers))
    return decision.state == "check" and facts.registry_known and in_question and not held_up


def _answered_at(email: Email) -> str:
    """The address, "" for a chat: it is answered where it was asked, by words to copy."""
    return "" if email.channel == "chat" else email.sender.email


def _may_be_answered(email: Email) -> bool:
    if email.channel == "chat":
        return not email.automatic
    address = email.sender.email
    return bool(address) and not _NO_REPLY.match(address)


# --- what the words may know ---------------------------------------------------------------------


def _values(
    email: Email, request: Request, facts: CaseFacts, decision: Decision, name: str
) -> Values:
    client = _client_as_named(request)
    topic = _topic(request, client)
    own = facts.session if facts.sender_is in ("owner", "delegate") else None
    return Values(
        greeting=greeting(email.sender.name),
        topic=topic,
        client=_for_short(client) or "your client",
        them="them" if client or topic == "your client" else "your client",
        kind=request.kind,
        notification=request.client_notification,
        stage=own.stage if own else request.session_stage,
        missing=_missing(facts, decision, name),
        numbers=listed(_unmatched(request, facts)),
        deadline=moment_in_words(decision.deadline) if own and decision.deadline else "",
        reason=bool(set(request.fit_reasons) - {"unspecified"}),
        late="session_past" in decision.blockers or request.kind == "note_reason",
        to_come=own is not None and own.status != "cancelled" and own.starts_at > email.sent_at,
        alternatives=request.alternatives_requested,
        guarantee_asked=request.guarantee_asked,
        concern=request.risk == "concern",
        in_chat=email.channel == "chat",
    )


def _unmatched(request: Request, facts: CaseFacts) -> tuple[str, ...]:
    """Numbers to ask about, alike for one that is unknown and one that is somebody else's."""
    if facts.unknown_ids or (facts.session and facts.sender_is not in ("owner", "delegate")):
        return request.session_ids
    return ()


def _missing(facts: CaseFacts, decision: Decision, name: str) -> tuple[str, ...]:
    missing = [word for code, word in _ASKED.items() if code in decision.blockers]
    unlinked = _SESSION_CODES & set(decision.blockers)
    if facts.registry_known and unlinked:
        missing.append("session")
    return tuple(missing) if name != "noted" else ()


def _client_as_named(request: Request) -> str:
    """The client in the therapist's own words, where those are a name."""
    reference = " ".join((request.client_ref or "").split()).strip("'\"“”‘’ ")
    name = written(reference)
    return reference if name and name.capitalised and reference[:3].lower() != "my " else ""


def _for_short(client: str) -> str:
    """Imogen for Imogen H., as one would go on writing; titles, initials and pairs stay whole."""
    name, first = written(client), client.partition(" ")[0]
    plain = name is not None and not name.titled and len(name.words) == 2
    return first if plain and len(first.strip(".")) > 1 and first.isalpha() else client


def _topic(request: Request, client: str) -> str:
    when = stated_time(request.session_time)
    on_when = f" on {when}" if when else ""
    if request.kind == "referral":
        return f"your work with {client or 'your client'}"
    if client:
        return f"your session with {client}{on_when}"
    if len(request.session_ids) == 1:
        return f"session {request.session_ids[0]}{on_when}"
    return f"your session{on_when}" if when else "your client"


def greeting(name: str) -> str:
    """How to begin: Dear Marian; Dear Dr Okafor for title and surname alone; Hello to an office."""
    plain = " ".join(re.sub(r"\(.*?\)|[\"“”]", " ", name).split())
    if "," in plain:
        last, _, first = plain.partition(",")
        plain = last if _is_credential(first) else f"{first.strip()} {last.strip()}"
    words = [w for w in plain.split() if not _is_credential(w)]
    if not words or "@" in plain or _ORGANISATIONS & {w.lower().strip(".") for w in words}:
        return "Hello"
    title = words[0].rstrip(".") if words[0].rstrip(".").lower() in _TITLES else ""
    rest = words[1:] if title else words
    first = next((w for w in rest if len(w.strip(".")) > 1), "")
    if not _GIVEN_NAME.fullmatch(first):
        return "Hello"
    return f"Dear {title} {_cased(first)}" if title and len(rest) == 1 else f"Dear {_cased(first)}"


_TITLES: Final = frozenset(["mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "rev"])


def _is_credential(word: str) -> bool:
    """Whether it is letters after a name (MBACP, BSc) and not a name written in capitals."""
    letters = re.sub(r"[^A-Za-z]", "", word.strip())
    return bool(
        re.fullmatch(
            r"(?:MBACP|UKCP|BACP|BABCP|HCPC|NCPS|BPC|COSRT|Accred|Reg|Hons"
            r"|BA|BSc|MA|MSc|MPhil|PhD|DClinPsy|PGDip|Dip\w*|CPsychol)+",
            letters,
        )
    )


def _cased(word: str) -> str:
    """Names all in capitals or all small get one capital; others stay as their owner has them."""
    return word.title() if word.isupper() or word.islower() else word


def _subject(subject: str) -> str:
    base = base_subject(subject)[:_SUBJECT_LENGTH].rstrip()
    return f"Re: {base}" if base else "Re: your message"


def _references(email: Email) -> tuple[str, ...]:
    """RFC 5322 section 3.6.4, kept to the first and the latest where a thread grew long."""
    before = email.references or ((email.in_reply_to,) if email.in_reply_to else ())
    chain = tuple(dict.fromkeys(r for r in (*before, email.message_id) if r))
    if len(chain) <= _KEPT_REFERENCES:
        return chain
    return chain[:1] + chain[1 - _KEPT_REFERENCES :]
