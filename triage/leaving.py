"""The actions by which something leaves the system: effects on the platform, and letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from triage.alternatives import tied
from triage.client_letters import ClientLetter, client_letter, told_too_much
from triage.corrections import GUARANTEE
from triage.effects import effect, profile_impact, to_client, to_therapist
from triage.gate import GATE, Refused
from triage.labels import State
from triage.records import Draft, Finding, Session
from triage.replies import draft_reply, own_words
from triage.step import Carried, Step, closed, no_session, refuse
from triage.verdicts import Outgoing

#: Whoever is not known to be the session's own side gets the letter as prepared, word for word.
UNKNOWN_TO_US: Final = frozenset({"sender_unverified", "not_session_owner"})


def approve(step: Step) -> Carried:
    kind = step.request.kind
    if step.noting:
        return note(step)
    if kind == "cancellation":
        return _cancel(step)
    if kind == "referral":
        return refer(step)
    why = f"a case of kind {kind} asks for nothing that could be carried out"
    return refuse("kind", why, "send_back", "correct", "general", "dismiss", "withdraw")


def _cancel(step: Step) -> Carried:
    chosen = _chosen(step)
    if isinstance(chosen, Refused):
        return Carried(refused=chosen)
    session = step.facts.session
    if session is None:
        return no_session()
    cancel = effect(
        "session.cancel",
        step.hand.case.case_id,
        session,
        step.not_before,
        fit_reasons=list(step.request.fit_reasons),
        profile_impact=profile_impact(session),
        client_told=step.request.client_notification == "discussed",
        overrides=list(step.verdict.overrides),
    )
    effects = [cancel, *([_recommending(step, session, chosen)] if chosen else [])]
    return _with_letters(step, effects, "client_cancelled", chosen)


def refer(step: Step) -> Carried:
    if step.request.kind == "cancellation":
        return _cancel(step)
    if step.request.kind != "referral":
        why = f"others are recommended on a referral or a cancellation, not on {step.request.kind}"
        return refuse("kind", why, "correct")
    chosen = _chosen(step)
    if isinstance(chosen, Refused):
        return Carried(refused=chosen)
    if not chosen:
        why = "a referral needs at least one therapist to recommend"
        return refuse("alternatives", why, "name therapists who take new clients")
    session = step.facts.session
    if session is None:
        return no_session()
    return _with_letters(
        step, [_recommending(step, session, chosen)], "client_alternatives", chosen
    )


def _recommending(step: Step, session: Session, chosen: tuple[str, ...]) -> Outgoing:
    return effect(
        "client.refer",
        step.hand.case.case_id,
        session,
        step.not_before,
        alternatives=list(chosen),
        client_agrees=step.request.client_agreement,
    )


def note(step: Step) -> Carried:
    session = step.facts.session
    to_come = "session_past" not in step.fresh.blockers and session is not None
    if step.verdict.action == "approve" and to_come:
        why = "the session is still to come: it may yet be cancelled"
        return refuse("state", why, "correct (decides again)", "note_reason")
    reasons = [code for code in step.request.fit_reasons if code != "unspecified"]
    if not reasons and not (session and session.status == "cancelled"):
        return refuse("reason_missing", GATE["reason_missing"].why, "correct fit_reasons")
    effects, remarks = [], ["No session is on record to note it on."]
    if session is not None:
        more = {"fit_reasons": reasons, "profile_impact": profile_impact(session)}
        number = step.hand.case.case_id
        effects, remarks = [effect("session.note", number, session, step.not_before, **more)], []
    if to_come:  # the prepared letter says that it was too late
        return _done(
            step, effects, [*remarks, "The session is to come: write to the therapist yourself."]
        )
    return _answered(step, effects, "noted", remarks)


def _with_letters(
    step: Step, effects: list[Outgoing], name: ClientLetter, chosen: tuple[str, ...]
) -> Carried:
    """The effects with the client's letter and the therapist's answer."""
    session = step.facts.session
    if session is None or not step.details.get("letters", True):
        return _done(step, effects, [])
    confirmed = step.fresh.guarantee == "confirmed"
    letter = client_letter(
        name,
        step.request,
        step.facts,
        step.directory,
        step.rules.wording,
        suggested=chosen,
        guarantee=confirmed,
    )
    if letter is None:
        return _answered(
            step, effects, "done", ["The client has no address on record: nobody writes to them."]
        )
    changed = edited(step, letter)
    emails = (step.hand.email, *step.hand.earlier)
    if problem := told_too_much(changed.body, letter.body, emails, step.request):
        return refuse("client letter", f"the letter to the client cannot go: {problem}", "edit it")
    mail = to_client(changed, session, step.sending.channel, step.not_before)
    return _answered(step, [*effects, mail], "done", [])


def _answered(step: Step, effects: list[Outgoing], state: State, remarks: list[str]) -> Carried:
    """The effects with the prepared answer to the therapist that belongs to *state*."""
    if not step.details.get("letters", True):
        return _done(step, effects, remarks)
    blockers = tuple(code for code in step.fresh.blockers if code == "session_past")
    settled = replace(step.fresh, state=state, blockers=blockers)
    answer = draft_reply(step.hand.email, step.request, step.facts, settled, step.rules.wording)
    if answer is None:
        return _done(step, effects, [*remarks, "The therapist cannot be answered by mail."])
    told = to_the_therapist(step, edited(step, answer))
    return to_be_copied(_done(step, [*effects, *told.outgoing], [*remarks, *told.remarks]), told)


def to_be_copied(done: Carried, told: Carried) -> Carried:
    """*done* with what *told* has for a person to copy: it stays on the closed case until then."""
    if not told.to_copy or done.decision is None:
        return done
    kept = replace(done.decision, draft=told.to_copy[0])
    return replace(done, decision=kept, to_copy=told.to_copy)


#: Said beside what a person has to copy.
COPY_IT: Final = "The therapist asked in the live chat: copy the answer there."


def to_the_therapist(step: Step, draft: Draft) -> Carried:
    """*draft* on its way to the therapist, or to be copied into the chat; nothing else."""
    number, decision_id = step.hand.case.case_id, step.hand.decision_id
    channel = step.sending.way_of(draft)
    if channel is None:
        return Carried(remarks=(COPY_IT,), to_copy=(draft,))
    return Carried(outgoing=(to_therapist(draft, number, decision_id, channel, step.not_before),))


def edited(step: Step, draft: Draft) -> Draft:
    """The draft with the words that a person put in its place."""
    texts: Mapping[str, str] = step.details.get("texts", {})
    return replace(draft, body=texts.get(draft.template) or draft.body)


def _chosen(step: Step) -> tuple[str, ...] | Refused:
    """Whom the person chose to recommend; those proposed where nothing was said."""
    named = step.details.get("alternatives")
    if named is None:
        return tuple(one.therapist_id for one in step.fresh.alternatives)
    for therapist_id in named:
        found = step.directory.therapist(therapist_id)
        if found is None or not found.open_to_new or tied(found, step.request, step.facts):
            ranked = tuple(one.therapist_id for one in step.fresh.alternatives)
            why = f"{therapist_id} is not known, takes no new clients, or is too close to this case"
            return Refused("alternatives", why, ranked)
    if step.verdict.action == "refer" and not named:
        return Refused("alternatives", "name at least one therapist to recommend", ())
    return tuple(dict.fromkeys(named))


def _done(step: Step, effects: list[Outgoing], remarks: list[str]) -> Carried:
    passed = [code for code in step.fresh.blockers if code in step.verdict.overrides]
    said = [f"Carried out by {step.verdict.by}."]
    if passed:
        said.append(f"Passed over by {step.verdict.by}: {', '.join(passed)}. {step.verdict.reason}")
    decision = closed(step, "done", said)
    return Carried("done", step.request, decision, outgoing=tuple(effects), remarks=tuple(remarks))


def confirm_guarantee(step: Step) -> Carried:
    is_done = step.hand.case.state == "done"
    seen = step.hand.decision if is_done else step.fresh
    if seen.guarantee != "proposed":
        why = "rule 5: it covers an initial session given up for fit by a client who knows of it"
        if seen.guarantee == "confirmed":
            why = "the Guarantee is confirmed already"
        return refuse("guarantee", why)
    session = step.facts.session
    if session is None:
        return no_session()
    mark = Finding(GUARANTEE, "confirmed", None, f"person:{step.verdict.by}", 1.0)
    request = replace(step.request, findings=(*step.request.findings, mark))
    number = step.hand.case.case_id
    outgoing = [effect("guarantee.propose", number, session, step.not_before)]
    if is_done and step.details.get("letters", True):
        name: ClientLetter = "client_guarantee"
        letter = client_letter(
            name, request, step.facts, step.directory, step.rules.wording, guarantee=True
        )
        if letter:
            outgoing.append(to_client(letter, session, step.sending.channel, step.not_before))
    said = (*seen.reasons, f"Guarantee confirmed by {step.verdict.by}.")
    decision = replace(seen, guarantee="confirmed", reasons=said)
    return Carried(None, request, decision, outgoing=tuple(outgoing))


def send_back(step: Step) -> Carried:
    draft, text = step.hand.decision.draft, str(step.details.get("body") or "")
    stranger = UNKNOWN_TO_US & {*step.fresh.blockers}
    if stranger and (draft is None or text not in ("", draft.body)):
        why = "somebody whom we cannot recognise gets the prepared letter unchanged, or none"
        return refuse(min(stranger), why, "send the draft as it is", "dismiss")
    if draft is None and not text:
        return refuse("draft", "there is no draft to send: write the words yourself", "dismiss")
    letter = draft or own_words(step.hand.email, text)
    letter = letter and replace(letter, body=text or letter.body)
    said = (*step.hand.decision.reasons, f"Sent back to the therapist by {step.verdict.by}.")
    decision = replace(step.hand.decision, draft=None, reasons=said)
    if letter is None:
        return Carried(decision=decision, remarks=("There is nobody at that address to answer.",))
    return replace(to_the_therapist(step, letter), decision=decision)
