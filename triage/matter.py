"""One request with everything a rule may ask about, and the questions that rules ask.

Each question is a function from a ``Matter`` to yes or no; ``policy.RULES`` puts them in order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from triage.deadlines import OfficeHours, local_date, local_time, too_late
from triage.labels import Kind
from triage.records import CaseFacts, Email, Request, Session

#: Kinds about one booked session, which can come too late.
BOOKED: Final[frozenset[Kind]] = frozenset({"cancellation", "note_reason"})
#: What a reading is worth that no model took part in: below every threshold.
BY_RULES_ALONE: Final = 0.1
#: The platform's own words for a client who is not for this therapist.
_NO_FIT: Final = re.compile(
    r"(?:\b(?:no|not|never)\b|n['’]t\b)[^.!?\n]{0,30}\b(?:fit|match|right (?:therapist|person))\b"
    r"|\b(?:poor|bad|wrong) (?:fit|match|therapist)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How sure the reading must be before a rule rests on it; costs are not equal.

    A client wrongly taken as told is worse than ten needless checks, hence ``told`` is highest.
    These numbers stand where a release has recorded none of its own; one above 1 is never reached,
    and then all of that sort is checked. A person's word is certain whatever stands here.
    """

    kind: float = 0.7
    told: float = 0.8
    session: float = 0.7


@dataclass(frozen=True, slots=True)
class Matter:
    """One request with everything that a rule may ask about."""

    email: Email
    request: Request
    facts: CaseFacts
    now: datetime
    certain_from: Thresholds
    own: Session | None  # the session, where the sender is its owner or delegate
    start: datetime | None  # of the session, as registered or, without a registry, as stated
    late: bool  # held, cancelled, started, or too near for the office to act


def weigh(
    email: Email,
    request: Request,
    facts: CaseFacts,
    now: datetime,
    office: OfficeHours,
    certain_from: Thresholds,
) -> Matter:
    """Gather what the rules ask about; *now* against the office decides what is too late."""
    session = facts.session
    own = session if facts.sender_is in ("owner", "delegate") else None
    start = session.starts_at if session else local_time(request.session_time)
    if own:
        gone = own.status in ("held", "cancelled") or too_late(own.starts_at, now, office)
    elif facts.registry_known:
        gone = False  # whose session it is, and which, comes first
    elif start:
        gone = too_late(start, now, office)
    else:
        day = local_date(request.session_time)
        gone = day is not None and day < now.astimezone(office.tz).date()
    # The work with a client is handed on whether or not a session is to come.
    late_to_cancel = gone and request.kind in BOOKED
    return Matter(email, request, facts, now, certain_from, own, start, late_to_cancel)


# --- what a rule can ask -------------------------------------------------------------------------


def always(_: Matter) -> bool:
    return True


def urgent(m: Matter) -> bool:
    return m.request.risk == "urgent"


def automatic(m: Matter) -> bool:
    return bool(m.email.automatic)


def kind_is_certain(m: Matter) -> bool:
    return _said_by_person(m, "kind") or m.request.confidence >= m.certain_from.kind


def of_no_concern(m: Matter) -> bool:
    return kind_is_certain(m) and not urgent(m) and not says_no_fit(m)


def says_no_fit(m: Matter) -> bool:
    """Whether the words of a message speak of no fit, and nobody has said what it asks."""
    words = f"{m.email.subject}\n{m.email.new_text}"
    return not _said_by_person(m, "kind") and _NO_FIT.search(words) is not None


def kind_is_uncertain(m: Matter) -> bool:
    return not kind_is_certain(m)


def read_by_rules_alone(m: Matter) -> bool:
    return not _said_by_person(m, "kind") and m.request.confidence <= BY_RULES_ALONE


def sender_not_vouched_for(m: Matter) -> bool:
    return not m.email.authentication.passed


def sender_unknown(m: Matter) -> bool:
    return m.facts.registry_known and m.facts.sender_is == "stranger"


def session_of_somebody_else(m: Matter) -> bool:
    return m.facts.session is not None and m.own is None


def taken_back(request: Request) -> str:
    """The kind of ask that a withdrawal took back, "" where none was open (see ``cases.merge``)."""
    return next((f.value for f in request.findings if f.label == "taken_back"), "")


def takes_back_open_case(m: Matter) -> bool:
    return bool(taken_back(m.request)) and kind_is_certain(m)


def may_take_back_open_case(m: Matter) -> bool:
    return bool(taken_back(m.request)) and kind_is_uncertain(m)


def nothing_open_to_join(m: Matter) -> bool:
    return not taken_back(m.request)  # an update that joined an ask has become part of that ask


def already_cancelled(m: Matter) -> bool:
    return m.own is not None and m.own.status == "cancelled"


def late(m: Matter) -> bool:
    return m.late


def late_but_another_session(m: Matter) -> bool:
    return m.late and registry_disagrees(m)


def late_without_reason(m: Matter) -> bool:
    return m.late and no_reason(m) and not already_cancelled(m)


def note_without_reason(m: Matter) -> bool:
    return no_reason(m) and m.own is None


def to_come(m: Matter) -> bool:
    return m.own is not None and not m.late


def note_is_uncertain(m: Matter) -> bool:
    return kind_is_uncertain(m) and not m.late


def not_told(m: Matter) -> bool:
    return not m.late and m.request.client_notification not in ("discussed", "informed")


def only_informed(m: Matter) -> bool:
    return not m.late and m.request.client_notification == "informed"


def not_discussed(m: Matter) -> bool:
    return m.request.client_notification != "discussed"


def discussed(m: Matter) -> bool:
    return m.request.client_notification == "discussed"


def no_reason(m: Matter) -> bool:
    return not set(m.request.fit_reasons) - {"unspecified"}


def reason_missing(m: Matter) -> bool:
    return not m.late and no_reason(m)


def issues_missing(m: Matter) -> bool:
    return not m.late and not m.request.presenting_issues


def needs_missing(m: Matter) -> bool:
    request = m.request
    return not m.late and not request.required_approaches and not request.required_experience


def told_is_uncertain(m: Matter) -> bool:
    sure = m.request.confidence_in("client_notification")
    said = _said_by_person(m, "client_notification")
    return discussed(m) and not said and sure < m.certain_from.told


def session_is_uncertain(m: Matter) -> bool:
    # Whose session it is comes first; a doubt about the number of somebody else's would show in
    # the reply that it exists.
    named = m.own is not None and m.own.session_id in m.request.session_ids
    sure = m.request.confidence_in("session_ids")
    return named and not _said_by_person(m, "session_ids") and sure < m.certain_from.session


def _said_by_person(m: Matter, label: str) -> bool:
    findings = m.request.findings
    return any(f.label == label and f.source.startswith("person:") for f in findings)


def mails_disagree(m: Matter) -> bool:
    return any(f.label == "contradiction" for f in m.request.findings)


def registry_disagrees(m: Matter) -> bool:
    return bool(m.facts.disagreements)


def nothing_to_check_against(m: Matter) -> bool:
    return not m.facts.registry_known


def session_not_found(m: Matter) -> bool:
    facts = m.facts
    unlinked = facts.registry_known and facts.session is None
    return unlinked and (bool(facts.unknown_ids) or not facts.proposals)


def session_undecided(m: Matter) -> bool:
    facts = m.facts
    unlinked = facts.registry_known and facts.session is None
    return unlinked and bool(facts.proposals) and not facts.unknown_ids


def some_ids_unknown(m: Matter) -> bool:
    return m.facts.session is not None and bool(m.facts.unknown_ids)


def client_disagrees(m: Matter) -> bool:
    return m.request.client_agreement == "declines"
