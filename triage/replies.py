"""Draft replies: what a kind, competent colleague would write, for a person to read and send.

The words are Jinja2 templates (``triage/templates/*.j2``, or operations' own copies) rendered in
its sandbox; this module decides who may be answered, with which template, and what it may know.
Somebody who is not the session's own, authenticated side never gets words that depend on whether a
session exists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from triage.cases import base_subject
from triage.names import written
from triage.phrasing import listed, moment_in_words, stated_time
from triage.records import CaseFacts, Decision, Draft, Email, Request

if TYPE_CHECKING:
    from jinja2 import Template

#: Every template that a draft can come from. Those beginning with "_" are parts of these.
TEMPLATES: Final = (
    "awaiting_client",
    "awaiting_details",
    "done",
    "enquiry",
    "noted",
    "safeguarding",
    "session_needed",
    "verify_sender",
    "withdrawn",
)
_PARTS: Final = ("_letter", "_asks")
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


class WordingError(ValueError):
    """A template is missing, does not parse, or asks for a value that drafts do not have."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The templates of one house style: plain text, so it travels between processes."""

    sources: tuple[tuple[str, str], ...]

    @classmethod
    def from_sources(cls, sources: Mapping[str, str]) -> Wording:
        """From file name ("enquiry.j2", or just "enquiry") to Jinja2 source.

        Every template is rendered once with sample values, so that a slip in an edited template
        shows at the start and not when somebody needs the draft.

        Raises:
            WordingError: naming the template and, where known, the line.

        """
        files = {f"{name.removesuffix('.j2')}.j2": text for name, text in sources.items()}
        missing = [f"{name}.j2" for name in (*TEMPLATES, *_PARTS) if f"{name}.j2" not in files]
        if missing:
            raise WordingError(f"missing templates: {', '.join(missing)}")
        wording = cls(tuple(sorted(files.items())))
        for name in TEMPLATES:
            for values in _samples():
                _render(wording, name, values)
        return wording


@dataclass(frozen=True, slots=True)
class Values:
    """All that a template may know, as ``reply``. Text is "" where there is nothing to say."""

    greeting: str  # "Dear Marian" without the comma, or "Hello"
    topic: str  # "your session with Imogen on Thursday 6 November"
    client: str  # by the first name where the therapist gave one, or "your client"
    them: str  # the client, right after the topic
    kind: str
    notification: str
    stage: str
    missing: tuple[str, ...]  # codes: reason, issues, needs, session, in the order to ask
    numbers: str  # session numbers as written that could not be matched
    deadline: str  # "Wednesday 5 November at 4pm"
    reason: bool  # a reason was given
    late: bool  # too late to cancel
    to_come: bool  # late or not, the session had not started when the message was sent
    alternatives: bool
    guarantee_asked: bool
    concern: bool


def draft_reply(
    email: Email, request: Request, facts: CaseFacts, decision: Decision, wording: Wording
) -> Draft | None:
    """A reply to the sender for a person to send, or None where a person should write their own.

    Never to a machine or a no-reply address; always to the From address and never to Reply-To.
    """
    name = template_for(email, request, facts, decision)
    if name is None or not _may_be_answered(email):
        return None
    return Draft(
        to=email.sender.email,
        subject=_subject(email.subject),
        body=_render(wording, name, _values(email, request, facts, decision, name)),
        in_reply_to=email.message_id,
        references=_references(email),
        template=name,
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


# --- Jinja2 --------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _compiled(sources: tuple[tuple[str, str], ...]) -> dict[str, Template]:
    from jinja2 import DictLoader, StrictUndefined, TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=DictLoader(dict(sources)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # plain text mail, never HTML
        auto_reload=False,
    )
    try:
        return {name: environment.get_template(name) for name in dict(sources)}
    except TemplateSyntaxError as error:
        raise WordingError(
            f"template {error.name}, line {error.lineno}: {error.message}"
        ) from error


def _render(wording: Wording, name: str, values: Values) -> str:
    from jinja2 import TemplateError

    try:
        text = _compiled(wording.sources)[f"{name}.j2"].render(reply=values)
    except TemplateError as error:
        raise WordingError(f"template {name}: {error.message}") from error
    lines = [
        re.sub(r"(?<!\.)\.\.(?!\.)", ".", " ".join(line.split()))  # "Sarah M." may end a sentence
        for line in text.strip().splitlines()
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _samples() -> list[Values]:
    """Values that reach every branch of the templates as shipped."""
    samples = []
    asks: tuple[tuple[str, ...], ...] = ((), ("reason",), ("reason", "issues", "needs", "session"))
    for notification in (
        "unknown",
        "not_informed",
        "planned",
        "asks_team",
        "informed",
        "discussed",
    ):
        for missing in asks:
            for kind in ("cancellation", "referral", "enquiry", "note_reason"):
                full = len(missing) > 1
                samples.append(
                    Values(
                        greeting="Dear Alex",
                        topic="your session with Sam",
                        client="Sam",
                        them="them",
                        kind=kind,
                        notification=notification,
                        stage="initial" if full else "ongoing",
                        missing=missing,
                        numbers="HT-000000" if full else "",
                        deadline="Monday 3 November at 4pm" if full else "",
                        reason=full,
                        late=kind == "note_reason",
                        to_come=full,
                        alternatives=full,
                        guarantee_asked=full,
                        concern=full,
                    )
                )
    return samples
