"""A case from the store into a person's hand, and what they decide about it back into the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from store import (
    AlreadyOutError,
    CaseStory,
    ConflictError,
    OutboxRow,
    RefusedError,
    Store,
    StoredVerdict,
)
from store.joining import HELD
from triage.effects import Sending
from triage.gate import Refused
from triage.records import Decision, Draft, OpenCase
from triage.verdicts import Outgoing, Verdict

if TYPE_CHECKING:
    from settings import Settings
    from triage.conversation import Rules
    from triage.step import Carried, InHand


@dataclass(frozen=True, slots=True)
class Acted:
    """What came of an action; where it was ``refused`` nothing was stored.

    ``sent_before`` are keys of what had left for the same session already and does not leave again.
    """

    state: str
    version: int
    outgoing: tuple[Outgoing, ...] = ()
    remarks: tuple[str, ...] = ()
    sent_before: tuple[str, ...] = ()
    refused: Refused | None = None
    cases: tuple[int, ...] = ()  # that a split opened, or that the case went into
    to_copy: tuple[Draft, ...] = ()  # answers that a person has to put into the live chat


def sending_of(settings: Settings) -> Sending:
    """Letters are sent where a mail server is set, and else put among the drafts.

    Answers to a chat are posted where that is set up, and else copied by a person.
    """
    undo = timedelta(seconds=settings.outbox.undo_seconds)
    return Sending("mail" if settings.mail.server else "drafts", undo, settings.answers_chats)


def take_up(story: CaseStory) -> InHand:
    """The case as *story* shows it."""
    from triage.step import InHand

    row = story.case
    case = OpenCase(
        case_id=row.case_id,
        sender=row.sender,
        authenticated=row.sender_authenticated,
        therapist_id=row.therapist_id,
        session_id=row.session_id,
        client_id=row.client_id,
        state=row.decision.state,
        request=row.request,
        message_ids=row.message_ids,
        asks=tuple((message.id, 0) for message in story.messages),  # one of each mail
    )
    *earlier, latest = (message.email for message in story.messages)
    held = before_held(story)
    return InHand(case, latest, row.decision, row.decision_id, held, tuple(earlier))


def before_held(story: CaseStory) -> Decision | None:
    """How the case stood before a later mail held up what was to leave, None where none did."""
    made = {one.id: one for one in story.decisions}
    if made[story.case.decision_id].reader_version != HELD:
        return None
    return next(one.decision for one in reversed(story.decisions) if one.reader_version != HELD)


def rehearse(
    store: Store, story: CaseStory, verdict: Verdict, rules: Rules, sending: Sending
) -> Acted:
    """What *verdict* would do, with nothing stored."""
    from triage.acting import carry_out

    carried = carry_out(take_up(story), verdict, store.directory(), rules, sending)
    state = carried.state or story.case.decision.state
    told = carried.outgoing, carried.remarks
    refused, copies = carried.refused, carried.to_copy
    return Acted(state, story.case.version, *told, refused=refused, to_copy=copies)


@dataclass(frozen=True, slots=True)
class Deeds:
    """What people did about a case, what left because of it, and what approving it would do."""

    verdicts: tuple[StoredVerdict, ...]
    outbox: tuple[OutboxRow, ...]
    approval: Acted
    allowed: tuple[str, ...]  # actions that the case may see in its state


def deeds(store: Store, story: CaseStory, rules: Rules, sending: Sending) -> Deeds:
    """All of that, as of ``rules.now``."""
    from triage.acting import allowed

    case_id = story.case.case_id
    trial = Verdict(case_id, "approve", "nobody", rules.now)
    return Deeds(
        tuple(store.verdicts(case_id=case_id, include_undone=True)),
        tuple(store.outbox(case_id=case_id)),
        rehearse(store, story, trial, rules, sending),
        allowed(story.case.decision.state, held=before_held(story) is not None),
    )


def act(
    store: Store,
    story: CaseStory,
    verdict: Verdict,
    rules: Rules,
    sending: Sending,
    *,
    version: int | None = None,
) -> Acted:
    """Carry *verdict* out on the case as *story* shows it, or say why not.

    *version* is the one that the person looked at; without one it is the story's. A case that has
    changed since is not touched.
    """
    from triage.acting import carry_out

    seen = story.case.version if version is None else version
    carried = carry_out(take_up(story), verdict, store.directory(), rules, sending)
    standing = Acted(story.case.decision.state, story.case.version)
    if carried.refused and seen == story.case.version:
        return Acted(standing.state, standing.version, refused=carried.refused)
    try:
        return _stored(store, verdict, carried, seen, rules.now, standing.state)
    except ConflictError as error:
        refused = Refused("version", str(error), ("look at the case again",))
    except RefusedError as error:
        refused = Refused("store", str(error), ())
    return Acted(standing.state, standing.version, refused=refused)


def _stored(
    store: Store, verdict: Verdict, carried: Carried, version: int, now: datetime, before: str
) -> Acted:
    """Store it all; without what had left for the session before, which leaves once."""
    outgoing = carried.outgoing
    gone: tuple[str, ...] = ()
    while True:
        try:
            number = store.act(
                verdict,
                version=version,
                state=carried.state,
                request=carried.request,
                decision=carried.decision,
                outgoing=outgoing,
                now=now,
                facts=carried.facts,
            )
        except AlreadyOutError as error:
            outgoing = tuple(item for item in outgoing if item.key not in error.keys)
            gone = (*gone, *error.keys)
            continue
        state = carried.state or before
        return Acted(state, number, outgoing, carried.remarks, gone, to_copy=carried.to_copy)


def undo(store: Store, case_id: int, by: str, now: datetime) -> Acted:
    """Take the last step about a case back, with all that has not begun to leave."""
    try:
        undone = store.undo(case_id, by, now)
    except RefusedError as error:
        return Acted("", 0, refused=Refused("undo", str(error), ("reopen",)))
    story = store.case(case_id)
    state = story.case.decision.state if story else ""
    kept = () if undone.restored else ("A mail came since: the case stays as that left it.",)
    said = (f"Taken back: {undone.action}.", *(f"Will not leave: {k}" for k in undone.taken_back))
    return Acted(state, undone.version, remarks=(*said, *kept))
