"""Mails that belong together, decided in the order they were written, whatever order they came in.

A mail later than everything it may belong to joins its open case and the decision is made again:
the ordinary path, which looks at nothing but the case. A mail that was written earlier than one
already here, or that one here answers, makes the whole conversation be told again from its first
mail, so that the outcome is that of mails arriving in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Final, Protocol

from triage.alternatives import rank
from triage.cases import concerns, merge, which, with_session
from triage.corrections import marked, marks_of, stands_after
from triage.deadlines import OfficeHours
from triage.limits import Limits, unconfirmed_lately
from triage.linking import link
from triage.matter import Thresholds
from triage.policy import decide
from triage.records import (
    ARRIVING,
    NO_ASK,
    CaseFacts,
    Decision,
    Directory,
    Email,
    Finding,
    OpenCase,
    Outcome,
    Request,
    Said,
)
from triage.replies import Wording, draft_reply
from triage.splitting import Place, as_put, bonds_of, joined_by_word
from triage.threads import ENDED, continued, in_order_of_writing, opened


@dataclass(frozen=True, slots=True)
class Rules:
    """What decisions rest on beside the message and the registry."""

    now: datetime
    office: OfficeHours
    certain_from: Thresholds
    wording: Wording
    limits: Limits = field(default_factory=Limits)


class Memory(Protocol):
    """What deciding on a message may ask of the store."""

    @property
    def directory(self) -> Directory: ...

    def open_cases(
        self,
        sender: str,
        therapist_ids: Iterable[str] = (),
        session_ids: Iterable[str] = (),
        thread_ids: Iterable[str] = (),
    ) -> Sequence[OpenCase]: ...

    def said(self, cases: Sequence[OpenCase]) -> Sequence[Said]:
        """Every ask of these cases as its own mail put it."""


def hear(email: Email, asks: Sequence[Request], memory: Memory, rules: Rules) -> list[Outcome]:
    """What becomes of each of a message's *asks*; more than that where it comes out of order.

    Two asks of one mail are two cases. Outcomes without an ask of this message close a case that
    turned out to belong to another, or decide one again that lost a mail.
    """
    writers = tuple(t.therapist_id for t in memory.directory.therapists_at(email.sender.email))
    threads = (email.in_reply_to, *email.references)
    named = tuple(name for ask in asks for name in ask.session_ids)
    found = _found(email, asks, memory, rules)
    candidates = memory.open_cases(email.sender.email, writers, (*named, *found), threads)
    asks, repeats = as_put(email, asks, candidates, memory.said)
    around = _around(email, asks, found, candidates, writers)
    if any(_out_of_order(email, case) for case in around):
        return _told_again(email, asks, repeats, around, memory, rules)
    return _in_turn(email, asks, candidates, memory.directory, rules)


def _found(email: Email, asks: Sequence[Request], memory: Memory, rules: Rules) -> tuple[str, ...]:
    """Sessions that asks without a number are certainly about: a case may be open on them."""
    if not email.authentication.passed:
        return ()
    linked = (
        link(email, ask, memory.directory, None, rules.now).session
        for ask in asks
        if not ask.session_ids and ask.kind != "other"
    )
    return tuple(session.session_id for session in linked if session)


def _in_turn(
    email: Email,
    asks: Sequence[Request],
    candidates: Sequence[OpenCase],
    directory: Directory,
    rules: Rules,
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for number, ask in enumerate(asks):
        taken = {outcome.joined_case_id for outcome in outcomes}
        left = [case for case in candidates if case.case_id not in taken]
        outcomes.append(_decided(email, ask, number, left, directory, rules))
    return outcomes


def _decided(
    email: Email,
    ask: Request,
    number: int,
    candidates: Sequence[OpenCase],
    directory: Directory,
    rules: Rules,
) -> Outcome:
    """Join a request to its open case, link it to the registry, apply the rules, draft a reply."""
    writers = tuple(t.therapist_id for t in directory.therapists_at(email.sender.email))
    case = which(candidates, email, ask, writers)
    request = merge(case, ask) if case else ask
    facts = link(email, request, directory, case, rules.now)
    if case is None and facts.session and not ask.session_ids:
        case = with_session(candidates, email, ask, writers, facts.session.session_id)
        if case:
            request = merge(case, ask)
            facts = link(email, request, directory, case, rules.now)
    facts, decision = _judged(email, request, facts, directory, rules)
    return Outcome(request, facts, decision, case.case_id if case else None, ask, number)


def judge(
    email: Email, request: Request, case: OpenCase | None, directory: Directory, rules: Rules
) -> tuple[CaseFacts, Decision]:
    """The facts and the decision on a whole *request* as of now, *email* being its latest mail.

    What every mail gets; also what a case gets anew when a person acts on it.
    """
    facts = link(email, request, directory, case, rules.now)
    return _judged(email, request, facts, directory, rules)


def _judged(
    email: Email, request: Request, facts: CaseFacts, directory: Directory, rules: Rules
) -> tuple[CaseFacts, Decision]:
    facts = replace(
        facts,
        unconfirmed=unconfirmed_lately(facts, directory, rules.limits, rules.now),
        registry_as_of=directory.as_of,
    )
    decision = decide(
        email,
        request,
        facts,
        rules.now,
        rules.office,
        certain_from=rules.certain_from,
        limits=rules.limits,
    )
    decision = replace(decision, alternatives=rank(request, facts, directory))
    draft = draft_reply(email, request, facts, decision, rules.wording)
    return facts, replace(decision, draft=draft)


# --- mails that come out of order ----------------------------------------------------------------


def _around(
    email: Email,
    asks: Sequence[Request],
    found: Sequence[str],
    candidates: Sequence[OpenCase],
    writers: Sequence[str],
) -> list[OpenCase]:
    """The cases of the same side that the mail may touch, and those that these may touch."""
    if not email.authentication.passed or email.automatic:
        return []
    own = [
        case
        for case in candidates
        if case.authenticated
        and (case.therapist_id in writers or case.sender == email.sender.email)
    ]
    asked = [replace(ask, session_ids=(*ask.session_ids, *found)) for ask in asks]
    reached = [opened(NO_ASK, email, ask, _NOTHING, "check") for ask in asked]
    around: list[OpenCase] = []
    while reached:
        last = reached.pop()
        near = [case for case in own if case not in around and concerns(case, last)]
        around += near
        reached += near
    return sorted(around, key=lambda case: case.case_id)


_NOTHING: Final = CaseFacts(registry_known=True, sender_is="stranger")


def _out_of_order(email: Email, case: OpenCase) -> bool:
    answered = bool(email.message_id) and email.message_id in case.answers
    return answered or (case.latest_at is not None and email.sent_at <= case.latest_at)


@dataclass(slots=True)
class _Told:
    """One case of a conversation as it stands after the mails told so far."""

    outcome: Outcome
    case: OpenCase
    said: list[Said]


def _told_again(
    email: Email,
    asks: Sequence[Request],
    repeats: Mapping[int, frozenset[Place]],
    around: Sequence[OpenCase],
    memory: Memory,
    rules: Rules,
) -> list[Outcome]:
    """The outcome of all mails of the cases *around* and this one, told in order."""
    arriving = [Said(email, ask, (ARRIVING, number)) for number, ask in enumerate(asks)]
    spoken = [(case, mark) for case in around for mark in marks_of(case.request)]
    said = memory.said(around)
    bonds = {**bonds_of(around, said), **{(ARRIVING, n): them for n, them in repeats.items()}}
    told = _retold([*said, *arriving], spoken, bonds, memory.directory, rules)
    homes = {place: case.case_id for case in around for place in case.asks}
    kept: dict[int, _Told] = {}
    outcomes = []
    for one in told:
        earlier = sorted({homes[ask.place] for ask in one.said if ask.place in homes} - kept.keys())
        case_id = earlier[0] if earlier else None
        if case_id is not None:
            kept[case_id] = one
        if outcome := _changed(one, case_id, around):
            outcomes.append(outcome)
    for case in around:
        if case.case_id not in kept:
            home = next(i for i, one in kept.items() if case.asks[0] in one.case.asks)
            outcomes.append(_gone_into(kept[home], home, case))
    # The message's own asks first, in its order; what else changed on their account follows.
    return sorted(outcomes, key=lambda o: (o.ask == NO_ASK, o.ask))


def tell_as_one(
    said: Sequence[Said],
    spoken: Iterable[tuple[OpenCase, Finding]],
    directory: Directory,
    rules: Rules,
) -> tuple[Outcome, OpenCase]:
    """The one case that all these asks are, as a person said, and the outcome of its last mail.

    What people left on the cases before is told again where they *spoke*. The case has no number.
    """
    together = frozenset(ask.place for ask in said)
    [one] = _retold(said, spoken, dict.fromkeys(together, together), directory, rules)
    return one.outcome, one.case


def _retold(
    said: Iterable[Said],
    spoken: Iterable[tuple[OpenCase, Finding]],
    bonds: Mapping[Place, frozenset[Place]],
    directory: Directory,
    rules: Rules,
) -> list[_Told]:
    """Every mail in its turn, and what people set right where they *spoke* between the mails.

    *bonds* say which asks a person put into one case: there they are told, whatever they look like.
    """
    told: list[_Told] = []
    left = list(spoken)
    for _, group in groupby(in_order_of_writing(list(said)), key=lambda ask: ask.place[0]):
        mail = list(group)
        taken = [one for one in (_bonded(told, ask, bonds) for ask in mail) if one]
        for ask in mail:
            home = _bonded(told, ask, bonds)
            outcome = _ask_told(told, ask, home, taken, directory, rules)
            taken.append(_tell(told, ask, outcome))
        left = [one for one in left if not _spoken(told, *one, directory, rules)]
    return told


def _bonded(
    told: Sequence[_Told], ask: Said, bonds: Mapping[Place, frozenset[Place]]
) -> _Told | None:
    """The case that holds an ask which a person said is one with *ask*."""
    others = bonds.get(ask.place, frozenset())
    return next((one for one in told if others & {*one.case.asks}), None)


def _ask_told(
    told: Sequence[_Told],
    ask: Said,
    home: _Told | None,
    taken: Sequence[_Told],
    directory: Directory,
    rules: Rules,
) -> Outcome:
    """The outcome of one ask: where a person put it, or where it goes by itself."""
    email, request, number = ask.email, ask.request, ask.place[1]
    if home is None:
        left = [one.case for one in told if one not in taken and one.case.state not in ENDED]
        return _decided(email, request, number, left, directory, rules)
    writers = tuple(t.therapist_id for t in directory.therapists_at(email.sender.email))
    case = home.case
    if which([case], email, request, writers) is None:
        case, request = joined_by_word(case, request, directory.client)
    whole = merge(case, request)
    facts, decision = judge(email, whole, case, directory, rules)
    return Outcome(whole, facts, decision, case.case_id, ask.request, number)


def _spoken(
    told: Sequence[_Told], case: OpenCase, mark: Finding, directory: Directory, rules: Rules
) -> bool:
    """Set right what a person set right, once all mails that they had before them are told."""
    known = {*case.asks[: max(stands_after(mark), 1)]}
    one = next((one for one in told if known <= {*one.case.asks}), None)
    if one is None:
        return False
    request = marked(one.case.request, mark, after_asks=len(one.case.asks))
    facts, decision = judge(one.said[-1].email, request, one.case, directory, rules)
    one.case = continued(one.case, one.said[-1].email, request, facts, decision.state)
    one.outcome = one.outcome._replace(request=request, facts=facts, decision=decision)
    return True


def _tell(told: list[_Told], ask: Said, outcome: Outcome) -> _Told:
    state = outcome.decision.state
    if outcome.joined_case_id is None:
        case = opened(len(told), ask.email, outcome.request, outcome.facts, state)
        told.append(_Told(outcome, replace(case, asks=(ask.place,)), [ask]))
        return told[-1]
    one = told[outcome.joined_case_id]
    case = continued(one.case, ask.email, outcome.request, outcome.facts, state)
    one.case = replace(case, asks=(*one.case.asks, ask.place))
    one.outcome, one.said = outcome, [*one.said, ask]
    return one


def _changed(one: _Told, case_id: int | None, around: Sequence[OpenCase]) -> Outcome | None:
    """The outcome to store for a case told again, None where nothing came of it."""
    own = next((ask for ask in one.said if ask.place[0] == ARRIVING), None)
    before = next((case for case in around if case.case_id == case_id), None)
    if own is None and before is not None and before.asks == one.case.asks:
        return None
    return one.outcome._replace(
        joined_case_id=case_id,
        said=own.request if own else None,
        ask=own.place[1] if own else NO_ASK,
        case=one.case,
    )


def _gone_into(one: _Told, home: int, case: OpenCase) -> Outcome:
    """Close a case whose mails turned out to belong to another."""
    why = f"Part of case {home}: an earlier mail of it arrived later."
    return part_of_another(one.outcome, case, why)


def part_of_another(whole: Outcome, case: OpenCase, why: str) -> Outcome:
    """*case* closed because its mails belong to the one that came to be *whole*."""
    decision = replace(
        whole.decision,
        state="dismissed",
        blockers=(),
        deadline=None,
        priority=4,
        safeguarding=False,
        guarantee="",
        reasons=(why,),
        draft=None,
        alternatives=(),
    )
    closed = replace(case, state="dismissed")
    return Outcome(case.request, whole.facts, decision, case.case_id, ask=NO_ASK, case=closed)
