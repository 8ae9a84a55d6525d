"""The platform's rules as one ordered table, and the decision made by it.

To change what happens to a message, change a row of ``RULES``; what a row can ask stands in
``matter``. Rules are numbered in the comments as under "The platform's rules" in
``docs/glossary.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from triage import matter as ask
from triage.deadlines import OfficeHours, deadline, office_time
from triage.labels import FIT_KINDS, Kind, Queue, State
from triage.limits import Limits
from triage.matter import BOOKED, Matter, Thresholds, weigh
from triage.records import CaseFacts, Decision, Email, Request
from triage.remarks import remarks

__all__ = ["RULES", "Rule", "Thresholds", "decide", "queue_of"]

_DUE_SOON: Final = timedelta(hours=8)  # office time: about one working day


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: for requests of these ``kinds``, ``when`` it holds, this is the outcome and why.

    ``queue`` None means the queue of the request's kind.
    """

    name: str
    kinds: frozenset[Kind]
    when: Callable[[Matter], bool]
    state: State
    blockers: tuple[str, ...]
    reason: str
    queue: Queue | None = None


# --- the table -----------------------------------------------------------------------------------

ANY: Final[frozenset[Kind]] = frozenset((*FIT_KINDS, "other"))  # type: ignore[arg-type]  # are kinds
FIT: Final[frozenset[Kind]] = ANY - {"other"}
OTHER: Final[frozenset[Kind]] = frozenset({"other"})
WITHDRAWAL: Final[frozenset[Kind]] = frozenset({"withdrawal"})
LOOSE: Final[frozenset[Kind]] = frozenset({"withdrawal", "update"})
NOTE: Final[frozenset[Kind]] = frozenset({"note_reason"})
ENQUIRY: Final[frozenset[Kind]] = frozenset({"enquiry"})
ASKS: Final[frozenset[Kind]] = frozenset({"cancellation", "referral"})
GATED: Final[frozenset[Kind]] = ASKS | ENQUIRY

#: Read from the top: the first row that holds decides queue and state. Every row that holds adds
#: its blockers and its reason, so that a person sees all that is in the way at once.
RULES: Final[tuple[Rule, ...]] = (
    # Danger comes before everything, whoever wrote and whatever else holds.
    # `general` is left to another inbox, so what would lie there is brought before the team.
    Rule(
        "urgent risk in another matter", OTHER, ask.urgent, "check", ("urgent_risk",),
        "The message is not about fit, but speaks of present danger.", "enquiry",
    ),
    Rule(
        "urgent risk", ANY, ask.urgent, "check", ("urgent_risk",),
        "The message speaks of present danger. A person follows the safeguarding steps first.",
    ),
    # What a machine wrote is nobody's statement.
    Rule(
        "automatic mail", ANY, ask.automatic, "dismissed", (),
        "Sent by a machine: it counts as nobody's word and is not answered.", "general",
    ),
    # Doubt never drops mail: only a sure "other" leaves the fit queues unseen.
    Rule(
        "no fit by its words", OTHER, ask.says_no_fit, "check", ("contradiction",),
        "Read as another matter, and yet it says that somebody is no fit.", "general",
    ),
    Rule(
        "not a fit matter", OTHER, ask.of_no_concern, "dismissed", (),
        "Not about fit: left to the ordinary support inbox.", "general",
    ),
    Rule(
        "perhaps not a fit matter", OTHER, ask.kind_is_uncertain, "check", ("low_confidence",),
        "It is not sure that this is no fit matter.", "general",
    ),
    # Whatever rules alone have read, and be it that something is missing, may be read wrongly.
    Rule(
        "read by rules alone", FIT, ask.read_by_rules_alone, "check", ("low_confidence",),
        "No model has read it: a person does.",
    ),
    # Rule 9: the team is reached from the therapist's own address.
    Rule(
        "sender not vouched for", FIT, ask.sender_not_vouched_for, "check", ("sender_unverified",),
        "The receiving server does not vouch for the sender's address.",
    ),
    Rule(
        "sender unknown", FIT, ask.sender_unknown, "check", ("sender_unverified",),
        "The address belongs to no therapist or delegate on record.",
    ),
    Rule(
        "session of somebody else", FIT, ask.session_of_somebody_else, "check",
        ("not_session_owner",),
        "The sender is neither that session's therapist nor their delegate.",
    ),
    # A request taken back is acted on no more.
    Rule(
        "withdrawal", WITHDRAWAL, ask.takes_back_open_case, "withdrawn", (),
        "The therapist takes the request back: nothing will be done.",
    ),
    Rule(
        "perhaps a withdrawal", WITHDRAWAL, ask.may_take_back_open_case, "check",
        ("low_confidence",),
        "The message may take the request back: it is frozen until a person has looked.",
    ),
    Rule(
        "nothing open to join", LOOSE, ask.nothing_open_to_join, "check", ("contradiction",),
        "It refers to an earlier request, but no open case of this sender fits.",
    ),
    # Rule 8 and rule 6: too late to act on, the reason is still put on record.
    Rule(
        "already cancelled", BOOKED, ask.already_cancelled, "noted", ("session_past",),
        "That session is cancelled already: there is nothing left to cancel.",
    ),
    Rule(
        "late, but perhaps another session", BOOKED, ask.late_but_another_session, "check",
        ("session_past", "contradiction"),
        "Too late for that session, but the message may mean another one.",
    ),
    Rule(
        "late, without a reason", BOOKED, ask.late_without_reason, "awaiting_details",
        ("session_past", "reason_missing"),
        "Too late to cancel; without a reason there is nothing to put on record.",
    ),
    Rule(
        "too late to act", BOOKED, ask.late, "noted", ("session_past",),
        "The session has passed or starts before the office can act: the reason is noted.",
    ),
    Rule(
        "note on a session still to come", NOTE, ask.to_come, "check", ("contradiction",),
        "Written as too late, but the session is still to come: it may yet be cancelled.",
    ),
    Rule(
        "note without a reason", NOTE, ask.note_without_reason, "awaiting_details",
        ("reason_missing",), "Without a reason there is nothing to put on record.",
    ),
    Rule(
        "note on no session found", NOTE, ask.session_not_found, "check", ("session_unknown",),
        "The session whose record the reason belongs to was not found.",
    ),
    Rule(
        "note on an uncertain session", NOTE, ask.session_undecided, "check",
        ("session_ambiguous",), "More than one session may be meant: a person chooses.",
    ),
    Rule(
        "perhaps a note", NOTE, ask.note_is_uncertain, "check", ("low_confidence",),
        "It is not sure what is asked.",
    ),
    Rule(
        "note for the record", NOTE, ask.nothing_to_check_against, "noted", (),
        "The reason is noted as written; no registry was imported to find the session in.",
    ),
    # Rule 2: unsure, or the questionnaire is unclear: talk to the client before asking to cancel.
    Rule(
        "talk to the client first", ENQUIRY, ask.not_discussed, "awaiting_client", (),
        "The therapist is asking or unsure: the next step is a talk with the client.",
    ),
    Rule(
        "asked after talking", ENQUIRY, ask.discussed, "awaiting_details", (),
        "The client and the therapist have talked: the therapist tells us what they decided.",
    ),
    # Rule 1, the client gate: the client knows and the reasons were talked through. Rule 3 as well.
    Rule(
        "client not told", GATED, ask.not_told, "awaiting_client", ("client_not_told",),
        "Nothing says that the therapist has told the client.",
    ),
    Rule(
        "reasons not discussed", GATED, ask.only_informed, "awaiting_client",
        ("reasons_not_discussed",),
        "The client has been told, but nothing says that the reasons were talked through.",
    ),
    # Rule 4: what the team needs to say whether it has a suitable alternative.
    Rule(
        "reason missing", ASKS, ask.reason_missing, "awaiting_details", ("reason_missing",),
        "The message gives no reason why the fit is not right.",
    ),
    Rule(
        "issues missing", ASKS, ask.issues_missing, "awaiting_details", ("issues_missing",),
        "The message does not say what the client needs help with.",
    ),
    Rule(
        "needs missing", ASKS, ask.needs_missing, "awaiting_details", ("needs_missing",),
        "The message does not say which approach or experience the client needs.",
    ),
    # Complete, but not sure: a person looks.
    Rule(
        "kind uncertain", GATED, ask.kind_is_uncertain, "check", ("low_confidence",),
        "It is not sure what is asked.",
    ),
    Rule(
        "told, perhaps", ASKS, ask.told_is_uncertain, "check", ("low_confidence",),
        "The client seems to have been told, but the words are not certain.",
    ),
    Rule(
        "session, perhaps", FIT, ask.session_is_uncertain, "check", ("low_confidence",),
        "The session number was read with little certainty.",
    ),
    Rule(
        "mails disagree", FIT, ask.mails_disagree, "check", ("contradiction",),
        "The messages of this case contradict each other.",
    ),
    Rule(
        "registry disagrees", FIT, ask.registry_disagrees, "check", ("contradiction",),
        "The message and the registry differ about the session.",
    ),
    Rule(
        "no registry", ASKS, ask.nothing_to_check_against, "check", ("session_unknown",),
        "No booking registry was imported: nobody has checked that this session exists.",
    ),
    Rule(
        "session not found", ASKS, ask.session_not_found, "check", ("session_unknown",),
        "The session was not found in the booking registry.",
    ),
    Rule(
        "a session number not found", ASKS, ask.some_ids_unknown, "check", ("session_unknown",),
        "One of the session numbers was not found in the booking registry.",
    ),
    Rule(
        "session uncertain", ASKS, ask.session_undecided, "check", ("session_ambiguous",),
        "More than one session may be meant: a person chooses.",
    ),
    # Rule 3: an ending is agreed, not imposed.
    Rule(
        "client disagrees", ASKS, ask.client_disagrees, "check", ("client_disagrees",),
        "The client does not agree: a person talks to the therapist before anything is done.",
    ),
    Rule(
        "ready", ASKS, ask.always, "ready", (),
        "Every rule is met: a person can carry it out with one click.",
    ),
    # Only an addition to a case that is itself a loose end comes this far.
    Rule(
        "anything else", ANY, ask.always, "check", ("low_confidence",),
        "No rule covers this: a person looks.",
    ),
)  # fmt: skip

#: Rows that decide only when nothing above them holds, and otherwise have nothing to say.
_LAST_RESORTS: Final = frozenset({"ready", "anything else"})

_QUEUES: Final[dict[str, Queue]] = {
    "cancellation": "cancellation",
    "note_reason": "cancellation",
    "referral": "referral",
    "enquiry": "enquiry",
    "other": "general",
}


def decide(
    email: Email,
    request: Request,
    facts: CaseFacts,
    now: datetime,
    office: OfficeHours,
    *,
    certain_from: Thresholds = Thresholds(),  # noqa: B008 - frozen
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Decision:
    """Queue, state, all blockers and all reasons for one request, as of *now*.

    *request* is the whole case so far (see ``cases.merge``). Draft and alternatives are left empty:
    ``replies.draft_reply`` and ``alternatives.rank`` add them. The same values always give the same
    decision.
    """
    matter = weigh(email, request, facts, now, office, certain_from)
    fired = _fired(matter)
    first = fired[0]
    due = None if matter.late or first.state in ("noted", "dismissed") else _due(matter, office)
    proposed = _guarantee(matter, first.state)
    return Decision(
        queue=first.queue or queue_of(request, facts),
        state=first.state,
        blockers=tuple(dict.fromkeys(code for rule in fired for code in rule.blockers)),
        deadline=due,
        priority=_priority(matter, first.state, due, office),
        reasons=(*(rule.reason for rule in fired), *remarks(matter, proposed, limits)),
        safeguarding=request.risk == "urgent",
        guarantee=proposed,
    )


def queue_of(request: Request, facts: CaseFacts) -> Queue:
    """The queue of a request's kind; a withdrawal stays where the request was."""
    if queue := _QUEUES.get(ask.taken_back(request) or request.kind):
        return queue
    return "referral" if _stage(request, facts) == "ongoing" else "cancellation"


def _fired(matter: Matter) -> list[Rule]:
    kind = matter.request.kind
    fired: list[Rule] = []
    for rule in RULES:
        if kind in rule.kinds and rule.when(matter):
            if fired and rule.name in _LAST_RESORTS:
                continue
            fired.append(rule)
    return fired


def _due(matter: Matter, office: OfficeHours) -> datetime | None:
    """Office notice before a session to come, wherever its start is known from."""
    if matter.start is None or matter.start <= matter.now:
        return None
    return deadline(matter.start, office)


def _priority(matter: Matter, state: State, due: datetime | None, office: OfficeHours) -> int:
    """0 urgent risk; 1 due within a working day; 2 open fit work; 3 settled; 4 not about fit."""
    if ask.urgent(matter):
        return 0
    if state in ("dismissed", "noted", "withdrawn") or matter.request.kind == "other":
        return 4 if state == "dismissed" else 3
    near = due is not None and due - matter.now < timedelta(days=14)
    if near and due and office_time(matter.now, due, office) <= _DUE_SOON:
        return 1
    return 2


def _stage(request: Request, facts: CaseFacts) -> str:
    return facts.session.stage if facts.session else request.session_stage


def _guarantee(matter: Matter, state: State) -> Literal["", "proposed", "confirmed"]:
    """Rule 5, for a person to confirm: an initial session, a fit reason, and a client who knows."""
    if any(f.label == "guarantee" for f in matter.request.findings):
        return "confirmed"  # a person's word, which no later mail takes back
    told = matter.request.client_notification in ("discussed", "informed")
    fits = matter.request.kind == "cancellation" and told and not ask.no_reason(matter)
    trusted = not (
        ask.sender_not_vouched_for(matter)
        or ask.sender_unknown(matter)
        or ask.session_of_somebody_else(matter)
    )
    initial = _stage(matter.request, matter.facts) == "initial"
    open_state = state in ("ready", "awaiting_client", "awaiting_details", "check")
    doubtful = (
        ask.urgent(matter) or ask.automatic(matter) or matter.late or ask.client_disagrees(matter)
    )
    if fits and trusted and initial and open_state and not doubtful:
        return "proposed"
    return ""
