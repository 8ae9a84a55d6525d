"""What no rule says but a person should know before acting, in words."""

from __future__ import annotations

from triage.limits import Limits, staleness, unconfirmed_remark
from triage.linking import time_fit
from triage.matter import Matter
from triage.records import CaseFacts, Request


def remarks(matter: Matter, guarantee: str, limits: Limits) -> list[str]:
    """Remarks in the order in which a person needs them."""
    request, facts = matter.request, matter.facts
    said = _about_the_session(request, facts)
    if facts.sender_is == "delegate":
        said.append("Written by a delegate of the therapist.")
    if facts.proposals:
        said.append(f"Nearest: {', '.join(p.session_id for p in facts.proposals)}.")
    if request.kind == "referral" and request.client_agreement == "unknown":
        said.append("The message does not say whether the client agrees: ask when contacting them.")
    if guarantee == "confirmed":
        said.append("The Guarantee is confirmed.")
    elif guarantee:
        said.append(
            "The Guarantee may apply: initial session, fit reason, client told. Confirm it."
        )
    elif request.guarantee_asked:
        said.append("The Guarantee is asked about, but its conditions are not met so far.")
    if request.risk == "concern":
        said.append("Risk is mentioned that matters for matching.")
    if remark := unconfirmed_remark(facts.unconfirmed, limits):
        said.append(remark)
    if stale := staleness(facts.registry_as_of, limits, matter.now):
        said.append(f"{stale}: look the session up before acting.")
    return said


def _about_the_session(request: Request, facts: CaseFacts) -> list[str]:
    said = list(facts.disagreements)
    said += [f"{f.value}." for f in request.findings if f.label == "contradiction"]
    if facts.session and facts.session.session_id not in request.session_ids:
        said.append(f"{facts.session.session_id} was found without being named in the message.")
    if facts.session and not facts.disagreements and time_fit(request, facts.session) == 0.0:
        said.append("The time given in the message is not the time of that session.")
    return said
