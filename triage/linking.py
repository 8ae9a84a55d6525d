"""From what a message says to what the booking registry knows, with doubt kept as proposals.

A session id that somebody wrote is checked, never trusted; a session without an id is taken as the
one meant only where the therapist's own client *and* the time agree and nothing else comes near.
Everything short of that is a ranked proposal for a person. Strangers are linked to nothing but the
session they name, so that a person can see whose it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from triage.deadlines import local_date, local_time, london
from triage.names import likeness, one_slip, written
from triage.records import (
    CaseFacts,
    Client,
    Directory,
    Email,
    OpenCase,
    Proposal,
    Request,
    Session,
    Therapist,
)

Standing = Literal["owner", "delegate", "therapist", "stranger"]

#: From this score a session found without an id is taken as the one meant.
CERTAIN: Final = 0.95
#: A second candidate this near to the first leaves the choice to a person.
_MARGIN: Final = 0.2
_PROPOSED_FROM: Final = 0.3
_PROPOSALS: Final = 5
#: Below this likeness a name that was written as a name points at somebody else.
_NAMES_SOMEBODY_ELSE: Final = 0.3
_LOOK_BACK: Final = timedelta(days=60)
_HANDLE: Final = re.compile(r"\b(\d{1,2})(?:[:.](\d{2}))?\s*(am|pm)?\b", re.IGNORECASE)


def link(
    email: Email, request: Request, directory: Directory, open_case: OpenCase | None, now: datetime
) -> CaseFacts:
    """Everything the registry and the open case say about *request*, before anything is decided.

    ``session`` is set where the request names one that exists (whoever owns it; ``sender_is`` says
    how the sender stands to it), where the open case holds it, or where it was resolved with
    certainty. Otherwise it is None and ``proposals`` holds the likeliest, best first. Without an
    imported registry nothing but the open case is returned.
    """
    if not directory.known:
        return CaseFacts(registry_known=False, sender_is="stranger", open_case=open_case)
    side = tuple(directory.therapists_at(email.sender.email)) if email.sender.email else ()
    ids = request.session_ids or _ids_of(open_case)
    known, unknown = _looked_up(ids, side, directory)
    session = _the_one(known, request, now)
    proposals: tuple[Proposal, ...] = ()
    if session is None and len(known) > 1:
        proposals = tuple(Proposal(s.session_id, 0.5, "one of several named") for s in known)
    elif session is None and side:
        ranked = _candidates(request, side, directory, now)
        session = None if ids else _certain(email, ranked)
        proposals = () if session else _proposals(ranked, ids)
    elif session and side and session.therapist_id not in _ids(side):
        proposals = _proposals(_candidates(request, side, directory, now), ids)
    return _facts(email, request, directory, session, side, unknown, proposals, open_case)


def standing(email: Email, side: Sequence[Therapist], session: Session | None) -> Standing:
    """How the sender's address stands to *session*, or to the directory where there is none."""
    if not side:
        return "stranger"
    address = email.sender.email
    if session is None:
        return "therapist" if any(address in t.emails for t in side) else "delegate"
    owner = next((t for t in side if t.therapist_id == session.therapist_id), None)
    if owner is None:
        return "therapist"
    return "owner" if address in owner.emails else "delegate"


def _facts(
    email: Email,
    request: Request,
    directory: Directory,
    session: Session | None,
    side: Sequence[Therapist],
    unknown: tuple[str, ...],
    proposals: tuple[Proposal, ...],
    open_case: OpenCase | None,
) -> CaseFacts:
    sender_is = standing(email, side, session)
    own = sender_is in ("owner", "delegate")
    # Never the owner of a session that somebody else names: cases are joined by this therapist.
    therapist = side[0] if len(side) == 1 else None
    if session and own:
        therapist = directory.therapist(session.therapist_id)
    client = directory.client(session.client_id) if session else None
    return CaseFacts(
        registry_known=True,
        sender_is=sender_is,
        therapist=therapist,
        session=session,
        client=client,
        unknown_ids=unknown,
        proposals=proposals,
        open_case=open_case,
        disagreements=_disagreements(request, session, client, directory)
        if session and own
        else (),
    )


def _looked_up(
    ids: Sequence[str], side: Sequence[Therapist], directory: Directory
) -> tuple[list[Session], tuple[str, ...]]:
    """The sessions named, and the ids that are none.

    Among several, somebody else's count as unknown; where all are, one stands for them.
    """
    found = {i: directory.session(i) for i in ids}
    own = [s for s in found.values() if s and s.therapist_id in _ids(side)]
    foreign = [s for s in found.values() if s and s not in own]
    known = own or foreign[:1]
    return known, tuple(i for i, s in found.items() if s is None or s not in known)


def _ids(side: Iterable[Therapist]) -> frozenset[str]:
    return frozenset(t.therapist_id for t in side)


def _ids_of(open_case: OpenCase | None) -> tuple[str, ...]:
    return (open_case.session_id,) if open_case and open_case.session_id else ()


def _the_one(known: Sequence[Session], request: Request, now: datetime) -> Session | None:
    """The one session meant among those named; a referral's several sessions mean one client."""
    if len(known) == 1:
        return known[0]
    pairs = {(s.therapist_id, s.client_id) for s in known}
    if request.kind == "referral" and len(pairs) == 1:
        return _nearest(known, now)
    return None


def _nearest(sessions: Sequence[Session], now: datetime) -> Session:
    """The next session to come, or else the last one held."""
    to_come = [s for s in sessions if s.starts_at > now and s.status != "cancelled"]
    if to_come:
        return min(to_come, key=lambda s: s.starts_at)
    return max(sessions, key=lambda s: s.starts_at)


# --- without an id: who, when, which stage -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Candidate:
    session: Session
    name: float
    time: float
    score: float
    why: str


def _candidates(
    request: Request, side: Sequence[Therapist], directory: Directory, now: datetime
) -> list[_Candidate]:
    """The sender's own sessions that may be meant, best first."""
    found = []
    for therapist in side:
        sessions = _plausible(directory.sessions_of(therapist.therapist_id), request, now)
        names: dict[str, float] = {}
        for session in sessions:
            if session.client_id not in names:
                client = directory.client(session.client_id)
                names[session.client_id] = name_fit(request, client) if client else 0.0
            candidate = _weigh(session, names[session.client_id], request)
            if candidate.score >= _PROPOSED_FROM or _near_id(session, request):
                found.append(candidate)
    return sorted(found, key=lambda c: (-c.score, c.session.starts_at, c.session.session_id))


def _plausible(sessions: Sequence[Session], request: Request, now: datetime) -> Sequence[Session]:
    """Not cancelled and near enough in time; of a client to refer only the nearest session."""
    live = [s for s in sessions if s.status != "cancelled"]
    if request.kind != "referral" or request.session_time:
        return [s for s in live if s.starts_at > now - _LOOK_BACK]
    by_client: dict[str, list[Session]] = {}
    for session in live:
        by_client.setdefault(session.client_id, []).append(session)
    return [_nearest(group, now) for group in by_client.values()]


def _weigh(session: Session, name: float, request: Request) -> _Candidate:
    """Score a session by what is stated.

    What is stated and differs counts against it. Certain are: at that very time, a client whose
    initials fit at least; on that day, a client whose name fits; and for a referral, which is about
    a client, one named in full. A name or a time alone is a proposal.
    """
    time = time_fit(request, session)
    stage = request.session_stage
    named = written(request.client_ref or "") is not None
    score = 0.5 * name + 0.45 * (time or 0.0)
    if named and ((time == 1.0 and name >= 0.35) or (time == 0.8 and name >= 0.7)):
        score = 0.96 + 0.03 * name
    elif request.kind == "referral" and name == 1.0:
        score = 0.96
    elif (named and name == 0.0) or time == 0.0:
        score *= 0.7  # what is stated and differs may have been misread: worth a look, no more
    if stage not in ("unknown", session.stage):
        score *= 0.9
    return _Candidate(session, name, time or 0.0, score, _why(name, time, stage == session.stage))


def _why(name: float, time: float | None, same_stage: bool) -> str:  # noqa: FBT001 - private
    said = []
    if name:
        said.append("client's full name fits" if name == 1.0 else "client's name may fit")
    if time:
        said.append("time fits" if time == 1.0 else "day fits")
    if same_stage:
        said.append("stage fits")
    return ", ".join(said) or "own session"


#: What was meant for a session id and has a digit too few or too many.
_SPOILED_ID = re.compile(r"\bHT[-\s]?(?:\d{2,5}|\d{7,9})\b", re.IGNORECASE)


def _certain(email: Email, ranked: Sequence[_Candidate]) -> Session | None:
    """The best candidate, where it is beyond doubt and the server vouches for the sender.

    A number that is no session's is a doubt: which one was meant is for a person to say.
    """
    if not ranked or not email.authentication.passed or ranked[0].score < CERTAIN:
        return None
    if _SPOILED_ID.search(f"{email.subject}\n{email.new_text}"):
        return None
    if len(ranked) > 1 and ranked[1].score > ranked[0].score - _MARGIN:
        return None
    return ranked[0].session


def _proposals(ranked: Sequence[_Candidate], ids: Sequence[str]) -> tuple[Proposal, ...]:
    """Near misses of an id that was written come first: a slip of one digit or two swapped."""
    offered = []
    for candidate in ranked:
        own = candidate.session.session_id
        if own in ids:
            continue
        slip = next((i for i in ids if one_slip(own, i)), None)
        if slip:
            score = max(candidate.score, 0.8)
            offered.append(Proposal(own, round(score, 3), f"one slip away from {slip}"))
        elif candidate.score >= _PROPOSED_FROM:
            offered.append(Proposal(own, round(candidate.score, 3), candidate.why))
    return tuple(sorted(offered, key=lambda p: -p.score)[:_PROPOSALS])


def _near_id(session: Session, request: Request) -> bool:
    return any(one_slip(session.session_id, i) for i in request.session_ids)


# --- does what was written fit what is registered ------------------------------------------------


def name_fit(request: Request, client: Client) -> float:
    """How well the client as written fits a registered client, 0..1 (see ``names.likeness``)."""
    reference = request.client_ref
    return likeness(reference, client.first_name, client.last_name) if reference else 0.0


def time_fit(request: Request, session: Session) -> float | None:
    """1.0 where the stated time is the session's, 0.8 for the day alone, 0.0 where it differs.

    None where nothing is stated. "My 6pm" counts as the hour of the day.
    """
    start = session.starts_at.astimezone(london())
    if stated := local_time(request.session_time):
        return 1.0 if abs(stated - start) <= timedelta(minutes=10) else 0.0
    hour = _hour_fits(request.client_ref, start)
    if day := local_date(request.session_time):
        return 0.0 if day != start.date() or hour is False else 1.0 if hour else 0.8
    return None if hour is None else 0.5 if hour else 0.0


def _hour_fits(handle: str | None, start: datetime) -> bool | None:
    if not handle or not (match := _HANDLE.search(handle)):
        return None
    hour, minute = int(match[1]), int(match[2] or 0)
    same_hour = (
        hour == start.hour if (match[3] is None and hour > 12) else hour % 12 == (start.hour % 12)
    )
    afternoon = match[3].lower() == "pm" if match[3] else start.hour >= 12
    return same_hour and minute == start.minute and afternoon == (start.hour >= 12)


def _disagreements(
    request: Request, session: Session, client: Client | None, directory: Directory
) -> tuple[str, ...]:
    """Where the session named is not what the message says about it: perhaps the number is wrong.

    A time that differs is mostly a time misread, unless it is that of another session of the same
    therapist.
    """
    found = []
    name = written(request.client_ref or "")
    if client and name and name.capitalised and name_fit(request, client) < _NAMES_SOMEBODY_ELSE:
        found.append("The client named in the message is not the client of that session.")
    booked = request.kind in ("cancellation", "note_reason")
    if booked and time_fit(request, session) == 0.0:
        others = directory.sessions_of(session.therapist_id)
        if any(time_fit(request, other) == 1.0 for other in others):
            found.append("The time given in the message is that of another session.")
    return tuple(found)
