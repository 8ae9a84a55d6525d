"""Codes as staff read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from triage.phrasing import in_words
from triage.verdicts import Outgoing

LONDON: Final = ZoneInfo("Europe/London")

TABS: Final[Mapping[str, str]] = {
    "": "All",
    "cancellation": "Cancellations",
    "referral": "Referrals",
    "enquiry": "Enquiries",
    "general": "General",
}

#: By what ``Store.mail_is_found_by`` says.
SEARCH_NOTES: Final[Mapping[str, str]] = {
    "whole words": (
        "Mails are stored encrypted: their words are found whole only, and not as phrases. Names, "
        "addresses and numbers of the registry are found by their beginnings too."
    ),
    "nothing": (
        "Mails are stored encrypted and not searched. Names, addresses and numbers are found."
    ),
}

STATES: Final[Mapping[str, str]] = {
    "ready": "Ready",
    "awaiting_client": "Client first",
    "awaiting_details": "Details missing",
    "check": "Needs a look",
    "noted": "To note",
    "done": "Done",
    "withdrawn": "Withdrawn",
    "dismissed": "Dismissed",
}

KINDS: Final[Mapping[str, str]] = {
    "cancellation": "Cancellation",
    "referral": "Referral",
    "note_reason": "Reason to note",
    "enquiry": "Enquiry",
    "update": "Update",
    "withdrawal": "Taken back",
    "other": "Not about fit",
}

FIELDS: Final[Mapping[str, str]] = {
    "kind": "What is asked",
    "session_ids": "Session numbers",
    "client_ref": "Client, as named",
    "session_time": "Time of the session",
    "session_stage": "Initial or ongoing",
    "fit_reasons": "Reasons",
    "presenting_issues": "Presenting issues",
    "required_approaches": "Approach needed",
    "required_experience": "Experience needed",
    "client_notification": "Client told?",
    "client_agreement": "Client agrees?",
    "alternatives_requested": "Asks for alternatives",
    "guarantee_asked": "Asks about the Guarantee",
    "risk": "Risk",
}

#: In words only where the code with blanks for underscores is not enough.
_VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "kind": KINDS,
    "client_notification": {
        "discussed": "Told, and the reasons discussed",
        "informed": "Told",
        "planned": "Not yet: the therapist will tell them",
        "not_informed": "Not told",
        "asks_team": "Not told: the team is asked to",
        "unknown": "Not said",
    },
    "client_agreement": {"agrees": "Agrees", "declines": "Does not agree", "unknown": "Not said"},
    "session_stage": {"initial": "Initial", "ongoing": "Ongoing", "unknown": "Not said"},
    "risk": {"none": "None mentioned", "concern": "A concern", "urgent": "Urgent: present danger"},
}

#: The kind of evidence that a finding is, for its colour and its word in the text.
EVIDENCE: Final[Mapping[str, tuple[str, str]]] = {
    "client_notification": ("told", "who was told"),
    "client_agreement": ("told", "who was told"),
    "fit_reasons": ("reason", "reason"),
    "presenting_issues": ("issue", "issue"),
    "required_approaches": ("need", "need"),
    "required_experience": ("need", "need"),
    "session_ids": ("id", "session"),
    "client_ref": ("id", "client"),
    "session_time": ("time", "time"),
    "session_stage": ("time", "time"),
    "risk": ("risk", "risk"),
    "kind": ("ask", "ask"),
    "alternatives_requested": ("ask", "ask"),
    "guarantee_asked": ("ask", "ask"),
}

ACTIONS: Final[Mapping[str, str]] = {
    "approve": "Approve",
    "refer": "Recommend therapists",
    "send_back": "Send back",
    "note_reason": "Note the reason",
    "correct": "Correct",
    "general": "Not about fit",
    "dismiss": "Dismiss",
    "withdraw": "Withdraw",
    "reopen": "Reopen",
    "snooze": "Put aside",
    "assign": "Assign",
    "confirm_guarantee": "Confirm the Guarantee",
    "split": "Split",
    "merge": "Merge",
    "release": "Release",
    "undo": "Undo",
}

_EFFECTS: Final[Mapping[str, str]] = {
    "session.cancel": "cancel session",
    "session.note": "put the reason on record for session",
    "client.refer": "recommend the alternatives in place of session",
    "guarantee.propose": "propose the Guarantee for session",
}

#: Said once it is done.
DONE: Final[Mapping[str, str]] = {
    "approve": "Approved.",
    "refer": "Recommended.",
    "send_back": "The letter to the therapist is on its way.",
    "note_reason": "The reason is noted.",
    "correct": "Corrected; the case was decided again.",
    "general": "Left to the ordinary inbox.",
    "dismiss": "Dismissed.",
    "withdraw": "Withdrawn.",
    "reopen": "Reopened.",
    "snooze": "Put aside.",
    "assign": "Assigned.",
    "confirm_guarantee": "The Guarantee is confirmed.",
    "split": "The other ask is a case of its own.",
    "merge": "The two cases are one.",
    "release": "Released: it leaves now.",
    "undo": "Taken back.",
}


def value_in_words(field: str, code: str) -> str:
    """One value of a field, as staff read it."""
    known = _VALUES.get(field, {})
    if code in known:
        return known[code]
    if field in ("session_ids", "client_ref"):
        return code
    if field == "session_time":
        return _session_time(code)
    words = in_words(code)
    return words[:1].upper() + words[1:]


def _session_time(code: str) -> str:
    """A time on the London clock as it is kept, such as 2026-03-05T12:30; else as it stands."""
    try:
        return at(datetime.fromisoformat(code).replace(tzinfo=LONDON))
    except ValueError:
        return code


def at(moment: datetime | None) -> str:
    """A moment on the London clock, as in Tue 4 Nov, 17:30."""
    if moment is None:
        return ""
    local = moment.astimezone(LONDON)
    return f"{local:%a} {local.day} {local:%b}, {local:%H:%M}"


def day(when: date) -> str:
    """A day, as in Tue 4 Nov 2025."""
    return f"{when:%a} {when.day} {when:%b %Y}"


def time_left(due: datetime | None, now: datetime) -> str:
    """How long is left until *due*, or how long ago it was, roughly."""
    if due is None:
        return "no deadline"
    length = span(abs(due - now), least="minutes")
    return f"{length} left" if due >= now else f"overdue by {length}"


def pressing(due: datetime | None, now: datetime) -> str:
    """How a deadline is coloured: "over", "soon" within a day, else ""."""
    if due is None:
        return ""
    if due < now:
        return "over"
    return "soon" if due - now < timedelta(hours=24) else ""


def span(length: timedelta, *, least: Literal["seconds", "minutes"] = "seconds") -> str:
    """A length of time, roughly."""
    minutes = int(length.total_seconds() // 60)
    if minutes < 2 and least == "seconds":
        return f"{int(length.total_seconds())} seconds"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // (24 * 60)} days"


def leaving(item: Outgoing) -> str:
    """What is to leave, as what an approval will do."""
    if item.channel == "platform":
        said = _EFFECTS.get(item.action, f"tell the platform {item.action} of session")
        return f"{said} {item.session_id or ''}".strip()
    whom = "the client" if item.action.startswith("client_") else "the therapist"
    if item.channel == "chat":
        return f"post an answer to {whom} into the live chat"
    how = "send {}" if item.channel == "mail" else "put {} among the drafts"
    return how.format(f"a letter to {whom}")


def source_in_words(source: str) -> str:
    """Who noticed something: a rule, a model of a version, or a person."""
    who, _, name = source.partition(":")
    if who == "person":
        return f"set by {name}"
    return f"{who} {name.replace('_', ' ')}".strip()
