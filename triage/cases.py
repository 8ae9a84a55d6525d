"""One case per therapist and ask, however many mails: who joins it, and what they add."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from triage.labels import RISKS
from triage.names import likeness, written
from triage.records import Email, Finding, OpenCase, Request

_LOOSE: Final = frozenset({"update", "withdrawal"})
_TOLD: Final = frozenset({"discussed", "informed"})
_UNTOLD: Final = frozenset({"not_informed", "planned", "asks_team"})
_SINGLE: Final = (
    "client_ref",
    "session_time",
    "session_stage",
    "client_notification",
    "client_agreement",
)
_SETS: Final = (
    "session_ids",
    "fit_reasons",
    "presenting_issues",
    "required_approaches",
    "required_experience",
)
_PREFIXES: Final = re.compile(
    r"^\s*(?:(?:re|fwd?|aw|wg|sv|antw|tr)(?:\[\d+\])?\s*:\s*)+", re.IGNORECASE
)
_SAME_NAME: Final = 0.6
_TOLD_AND_NOT: Final = "An earlier mail says the client was told and a later one that they were not"
_ANOTHER_SESSION: Final = "A later mail names another session"
_ANOTHER_CLIENT: Final = "A later mail names another client"
_NOW_UNSURE: Final = "The therapist asked for it and now seems unsure"
_ASKED_AGAIN: Final = "A request taken back is made again"
#: What a contradiction between mails is about: a person's word on that field settles it.
CONTRADICTIONS: Final = {
    _TOLD_AND_NOT: "client_notification",
    _ANOTHER_SESSION: "session_ids",
    _ANOTHER_CLIENT: "client_ref",
    _NOW_UNSURE: "kind",
    _ASKED_AGAIN: "kind",
}


def base_subject(subject: str) -> str:
    """A subject without its stacked "Re:", "Fwd:", "AW:" and line breaks."""
    return _PREFIXES.sub("", " ".join(subject.split()))


# --- which open case a request belongs to --------------------------------------------------------


def which(
    candidates: Sequence[OpenCase], email: Email, request: Request, sender_ids: Collection[str]
) -> OpenCase | None:
    """The open case that *request* continues, or None: then it begins its own.

    Only the same authenticated side joins: the server vouches for both mails, and the sender writes
    for the case's therapist (*sender_ids* are the therapists this address may speak for; where no
    registry was imported, the same address). Beyond that the session, the thread or the client must
    agree; a subject never counts. Where two cases fit equally, none is chosen.
    """
    if not email.authentication.passed or request.kind == "other" or email.automatic:
        return None
    own = [
        case
        for case in candidates
        if _same_side(case, email, sender_ids) and not _other_ask_of_same_mail(case, email, request)
    ]
    by_session = [case for case in own if _same_session(case, request)]
    if by_session:
        return by_session[0] if len(by_session) == 1 else _narrowed(by_session, email, request)
    own = [case for case in own if not _another_matter(case, request)]
    threaded = [case for case in own if _same_thread(case, email)]
    if threaded:
        return _narrowed(threaded, email, request)
    return _by_client(own, email, request)


def with_session(
    candidates: Sequence[OpenCase],
    email: Email,
    request: Request,
    sender_ids: Collection[str],
    session_id: str,
) -> OpenCase | None:
    """The one open case on a session that *request*, which names none, was found to be about."""
    if not email.authentication.passed or request.kind == "other" or email.automatic:
        return None
    found = [
        case
        for case in candidates
        if case.session_id == session_id
        and _same_side(case, email, sender_ids)
        and not _other_ask_of_same_mail(case, email, request)
    ]
    return found[0] if len(found) == 1 else None


def may_mean(
    case: OpenCase, email: Email, request: Request, sender_ids: Collection[str], client: str
) -> bool:
    """Whether a mail may speak of *case*; wider than ``which``, for what is only stopped by it.

    Its session's number or its thread will do, whoever writes. Of its own side, and of the client
    (whose address is *client*), so will the client's name, or nothing at all where the mail takes
    something back or speaks of danger: "please leave it after all" names nobody.
    """
    if _same_session(case, request):
        return True
    if _another_matter(case, request) and request.risk != "urgent":
        return False
    if _same_thread(case, email):
        return True
    side = email.authentication.passed and _same_side(case, email, sender_ids)
    by_client = bool(client) and email.sender.email.casefold() == client.casefold()
    pressing = request.kind == "withdrawal" or request.risk == "urgent"
    unnamed = not request.session_ids and not _named(request)
    return (side or by_client) and (_same_client(case, request) or (pressing and unnamed))


def concerns(one: OpenCase, other: OpenCase) -> bool:
    """Whether two cases of one side share a thread, a session or a client's name."""
    threads = {*one.message_ids, *one.answers} & {*other.message_ids, *other.answers}
    mine = {one.session_id, *one.request.session_ids}
    sessions = mine & {other.session_id, *other.request.session_ids}
    return bool((threads | sessions) - {""}) or _same_client(one, other.request)


def _same_side(case: OpenCase, email: Email, sender_ids: Collection[str]) -> bool:
    if not case.authenticated:
        return False
    if case.therapist_id:
        return case.therapist_id in sender_ids
    return bool(case.sender) and case.sender == email.sender.email


def _other_ask_of_same_mail(case: OpenCase, email: Email, request: Request) -> bool:
    """Two asks in one mail are two cases; the same mail read again only finds what it said."""
    known = bool(email.message_id) and email.message_id in case.message_ids
    return known and merge(case, request) != case.request


def _same_session(case: OpenCase, request: Request) -> bool:
    named = {case.session_id, *case.request.session_ids} - {""}
    return not named.isdisjoint(request.session_ids)


def _same_thread(case: OpenCase, email: Email) -> bool:
    before = {email.in_reply_to, *email.references} - {""}
    return not before.isdisjoint(case.message_ids)


def _named(request: Request) -> str:
    """The client as named, or "" where the words name nobody."""
    reference = request.client_ref or ""
    return reference if written(reference) else ""


def _same_client(case: OpenCase, request: Request) -> bool:
    mine, theirs = _named(request), _named(case.request)
    return bool(mine and theirs) and alike(mine, theirs)


def _another_matter(case: OpenCase, request: Request) -> bool:
    """Whether both name a client, or a new ask a session, and it is not the case's."""
    new_ask = request.kind not in _LOOSE
    if new_ask and request.session_ids and case.session_id:
        return True  # the same session was looked for before
    named = bool(_named(request) and _named(case.request))
    return named and not _same_client(case, request)


def alike(one: str, other: str) -> bool:
    """Whether two written names may well be one person's."""
    return _alike(one, other) >= _SAME_NAME


def _alike(one: str, other: str) -> float:
    if one == other:
        return 1.0
    first, _, last = one.rpartition(" ")
    there = likeness(other, first or last, last if first else "")
    first, _, last = other.rpartition(" ")
    return max(there, likeness(one, first or last, last if first else ""))


def _narrowed(cases: Sequence[OpenCase], email: Email, request: Request) -> OpenCase | None:
    """One of several that fit: the one thread, the one client; else nobody guesses."""
    if len(cases) == 1:
        return cases[0]
    for agrees in (
        [case for case in cases if _same_client(case, request)],
        [case for case in cases if _same_thread(case, email)],
    ):
        if len(agrees) == 1:
            return agrees[0]
    return None


def _by_client(own: Sequence[OpenCase], email: Email, request: Request) -> OpenCase | None:
    named = [case for case in own if _same_client(case, request) and _same_ask(case, request)]
    if named:
        return _narrowed(named, email, request)
    return None


def _same_ask(case: OpenCase, request: Request) -> bool:
    """A new ask about the same client joins unless it is dated otherwise."""
    if request.kind in _LOOSE:
        return True
    mine, theirs = request.session_time, case.request.session_time
    return not (mine and theirs) or mine[:10] == theirs[:10]


# --- what a further mail adds --------------------------------------------------------------------


def merge(case: OpenCase, request: Request) -> Request:
    """The case's request with what a further mail says: sets grow, later statements override.

    A withdrawal takes the whole back; what was asked before is kept as a finding "taken_back". Risk
    never falls by mail, and is all that a mail on another matter adds. What contradicts the case so
    far is kept as findings "contradiction". Merging the same request again changes nothing.
    """
    return merged(case.request, request, settled_session=case.session_id)


def merged(earlier: Request, later: Request, *, settled_session: str = "") -> Request:
    """``merge`` on bare requests; *settled_session* is the id the registry already confirmed."""
    if later.kind == "other":
        return _endangered(earlier, later)
    changes: dict[str, object] = {
        "kind": _kind(earlier, later),
        "confidence": _confidence(earlier, later),
        "session_ids": _session_ids(earlier, later, settled_session),
        "fit_reasons": _reasons(earlier, later),
        "risk": max(earlier.risk, later.risk, key=RISKS.index),
        "alternatives_requested": earlier.alternatives_requested or later.alternatives_requested,
        "guarantee_asked": earlier.guarantee_asked or later.guarantee_asked,
    }
    for name in ("presenting_issues", "required_approaches", "required_experience"):
        changes[name] = _union(getattr(earlier, name), getattr(later, name))
    overridden = [name for name in _SINGLE if getattr(later, name) not in (None, "", "unknown")]
    if (earlier.client_notification, later.client_notification) == ("discussed", "informed"):
        overridden.remove("client_notification")  # saying less again takes nothing back
    changes.update({name: getattr(later, name) for name in overridden})
    if "client_notification" in overridden:
        changes["notification_evidence"] = later.notification_evidence
    contradictions = _contradictions(earlier, later, settled_session)
    changes["findings"] = _findings(earlier, later, overridden, contradictions)
    return replace(earlier, **changes)  # type: ignore[arg-type]  # names and types as in Request


def _endangered(earlier: Request, later: Request) -> Request:
    """*earlier* with the danger that a mail on another matter tells of, and with nothing else."""
    if RISKS.index(later.risk) <= RISKS.index(earlier.risk):
        return earlier
    found = (f for f in later.findings if f.label == "risk")
    findings = tuple(dict.fromkeys((*earlier.findings, *found)))
    return replace(earlier, risk=later.risk, findings=findings)


def _kind(earlier: Request, later: Request) -> str:
    """An update changes no ask; an ask that grew unsure stays what it was, as a contradiction."""
    if later.kind == "update" or (later.kind == "enquiry" and earlier.kind not in _LOOSE):
        return earlier.kind
    return later.kind


def _confidence(earlier: Request, later: Request) -> float:
    """That of the mail which decided the kind."""
    if later.kind == earlier.kind:
        return max(earlier.confidence, later.confidence)
    return later.confidence if _kind(earlier, later) == later.kind else earlier.confidence


def _session_ids(earlier: Request, later: Request, settled: str) -> tuple[str, ...]:
    """A later id replaces one never found in the registry, and stands beside one that was."""
    if not later.session_ids:
        return earlier.session_ids
    if settled and settled not in later.session_ids:
        return _union(earlier.session_ids or (settled,), later.session_ids)
    return later.session_ids


def _reasons(earlier: Request, later: Request) -> tuple[str, ...]:
    union = _union(earlier.fit_reasons, later.fit_reasons)
    named = tuple(code for code in union if code != "unspecified")
    return named or union


def _union(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _contradictions(earlier: Request, later: Request, settled: str) -> list[str]:
    """What cannot both be so, in words, without naming anybody."""
    found = []
    if earlier.client_notification in _TOLD and later.client_notification in _UNTOLD:
        found.append(_TOLD_AND_NOT)
    if later.session_ids and settled and settled not in later.session_ids:
        found.append(_ANOTHER_SESSION)
    if _named(earlier) and _named(later) and _alike(_named(earlier), _named(later)) < _SAME_NAME:
        found.append(_ANOTHER_CLIENT)
    if later.kind == "enquiry" and earlier.kind in ("cancellation", "referral"):
        found.append(_NOW_UNSURE)
    if earlier.kind == "withdrawal" and later.kind not in _LOOSE:
        found.append(_ASKED_AGAIN)
    return found


def _findings(
    earlier: Request, later: Request, overridden: Sequence[str], contradictions: Sequence[str]
) -> tuple[Finding, ...]:
    """Both mails' findings, without those behind a statement that a later one replaced."""
    replaced = set(overridden) | ({"session_ids"} if later.session_ids else set())
    if "client_notification" in replaced:
        replaced.add("notification_evidence")
    if later.kind != "update":
        replaced.add("kind")
    kept = [f for f in earlier.findings if f.label not in replaced or f in later.findings]
    noted = [Finding("contradiction", words, None, "rule:merge", 1.0) for words in contradictions]
    if later.kind == "withdrawal" and earlier.kind not in _LOOSE:
        noted.append(Finding("taken_back", earlier.kind, None, "rule:merge", 1.0))
    return tuple(dict.fromkeys((*kept, *later.findings, *noted)))


def split(request: Request) -> tuple[Request, ...]:
    """One request per session where several are to be cancelled or noted: one effect each."""
    if request.kind not in ("cancellation", "note_reason") or len(request.session_ids) < 2:
        return (request,)
    return tuple(replace(request, session_ids=(session_id,)) for session_id in request.session_ids)
