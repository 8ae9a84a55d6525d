"""What comes of it when a person says that a mail holds another ask, or that two cases are one.

As with every action nothing is stored here. Each case is told again from its mails by the same
rules, what people set right in its place between them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from triage.cases import alike
from triage.cases import split as by_session
from triage.conversation import Rules, part_of_another, tell_as_one
from triage.corrections import ONE_ASK
from triage.gate import Refused
from triage.linking import link
from triage.records import Client, Decision, Directory, Email, OpenCase, Outcome, Request, Said
from triage.splitting import (
    CUT,
    Halves,
    Piece,
    Place,
    Stretch,
    halves,
    held_back,
    is_careful,
    known_apart,
    marks,
    no_less_risk,
    not_one,
    one_ask,
    only,
    part_of,
    placed,
    spoken_of,
)
from triage.threads import in_order_of_writing


@dataclass(frozen=True, slots=True)
class Told:
    """A case with all that was said in it.

    ``words`` are those of the asks that are not of their whole mail. ``siblings`` are the other
    cases of its mails.
    """

    case: OpenCase
    decision: Decision
    version: int
    said: tuple[Said, ...]
    words: Mapping[Place, tuple[Stretch, ...]] = field(default_factory=dict)
    siblings: tuple[OpenCase, ...] = ()


@dataclass(frozen=True, slots=True)
class Retold:
    """A case as it is to stand; a new one has the number 0."""

    case: OpenCase
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Regrouped:
    """The case in hand as it is to stand, then the others that this concerns.

    ``pieces`` are asks that nobody had before: their places are still to be numbered.
    """

    first: Retold
    others: tuple[Retold, ...]
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """One mail of a case, and how it is to be cut."""

    message: int
    email: Email
    halves: Halves

    def mails(self) -> list[Email]:
        """What is to be read anew: the chosen words, and the rest where there is one."""
        found = [only(self.email, self.halves.chosen, quoted=False)]
        if self.halves.rest:
            found.append(only(self.email, self.halves.rest, quoted=True))
        return found


_CAREFUL: Final = (
    "What was said of the client or of danger may be the other's: it was taken the careful way,"
    " until somebody corrects it."
)


# --- another ask in a mail -----------------------------------------------------------------------


def cut(told: Told, sentences: Collection[int], message: int | None = None) -> Cut | Refused:
    """Take *sentences* (numbers from 1) out of what the case has of one of its mails.

    *message* is the store's number of that mail; the only one where left out.
    """
    mails = {ask.place[0]: ask.email for ask in told.said}
    if message is None and len(mails) == 1:
        message = next(iter(mails))
    if message not in mails:
        numbers = ", ".join(str(number) for number in mails)
        return Refused("message", "say which mail of the case is meant", (f"messages {numbers}",))
    email = mails[message]
    taken = halves(email, own_words(told, message), sentences, may_take_all=len(mails) > 1)
    return taken if isinstance(taken, Refused) else Cut(message, email, taken)


def own_words(told: Told, message: int) -> tuple[Stretch, ...]:
    """The words of a mail that a case has; () for all of them."""
    places = [ask.place for ask in told.said if ask.place[0] == message]
    found = [told.words.get(place, ()) for place in places]
    return tuple(stretch for words in found for stretch in words) if all(found) else ()


def split(
    told: Told,
    made: Cut,
    read: Sequence[Sequence[Request]],
    directory: Directory,
    rules: Rules,
    by: str,
) -> Regrouped | Refused:
    """The case without the words that were cut out, and the case that those are.

    *read* is what a reader made of ``made.mails()``. Where the rest turns out to hold several asks
    and the mail had been taken for one, each is a case.
    """
    chosen = _asks(read[0])
    if len(chosen) != 1:
        why = "those sentences hold several asks; a case is about one"
        return Refused("several", why, ("choose the sentences of one, then split again",))
    if taken := _told_of_elsewhere(chosen[0], told, made):
        why = f"case {taken.case_id} is about that session, in this mail, already"
        return Refused("session", why, (f"look at case {taken.case_id}",))
    rest = _rest(told, made, read[1]) if made.halves.rest else []
    pieces = _pieces(told, made, rest, chosen, directory, rules)
    first = _first(told, made, pieces[:1] if rest else [], directory, rules, by)
    others = pieces[1:] if rest else pieces
    opened = tuple(_opened(piece, directory, rules, by) for piece in others)
    return Regrouped(first, opened, tuple(pieces))


def _asks(read: Sequence[Request]) -> list[Request]:
    """The asks of fit, one for each session; what else stands beside them is no case here."""
    asks = [ask for request in read for ask in by_session(request)]
    return [ask for ask in asks if ask.kind != "other"] or asks[:1]


def _told_of_elsewhere(ask: Request, told: Told, made: Cut) -> OpenCase | None:
    for case in told.siblings:
        ids = {case.session_id, *case.request.session_ids} - {""}
        if ids & {*ask.session_ids} and any(number == made.message for number, _ in case.asks):
            return case
    return None


def _rest(told: Told, made: Cut, read: Sequence[Request]) -> list[Request]:
    """What is left: the case's own ask first, the others only where no case is about them yet."""
    asks = _asks(read)
    own = max(asks, key=lambda ask: _nearness(ask, told.case))
    alone = not any(number == made.message for case in told.siblings for number, _ in case.asks)
    return [own, *(ask for ask in asks if ask is not own and alone)]


def _nearness(ask: Request, case: OpenCase) -> tuple[bool, bool, bool]:
    ids = {case.session_id, *case.request.session_ids} - {""}
    name, known = ask.client_ref or "", case.request.client_ref or ""
    return (
        bool(ids & {*ask.session_ids}),
        bool(name and known) and alike(name, known),
        ask.kind == case.request.kind,
    )


def _pieces(
    told: Told,
    made: Cut,
    rest: Sequence[Request],
    chosen: Sequence[Request],
    directory: Directory,
    rules: Rules,
) -> list[Piece]:
    """The asks with their words: what is left, what was chosen, what else was found in the rest."""
    before = [ask.request for ask in told.said if ask.place[0] == made.message]
    told_so = [
        *((ask, made.halves.rest) for ask in rest[:1]),
        *((ask, made.halves.chosen) for ask in chosen),
        *((ask, made.halves.rest) for ask in rest[1:]),
    ]
    asks = _apart([ask for ask, _ in told_so], before, made.email, directory, rules)
    if rest:
        for earlier in before:
            asks[0] = no_less_risk(asks[0], earlier)
    return [
        Piece(Said(made.email, placed(ask, made.email, words), (made.message, CUT + n)), words)
        for n, (ask, (_, words)) in enumerate(zip(asks, told_so, strict=True))
    ]


def _apart(
    asks: Sequence[Request],
    before: Sequence[Request],
    email: Email,
    directory: Directory,
    rules: Rules,
) -> list[Request]:
    """*asks*, each with news of its own only where it is known to have a client of its own."""
    clients = [_client_of(email, ask, directory, rules) for ask in asks]
    found = []
    for n, ask in enumerate(asks):
        same = [
            other
            for m, other in enumerate(asks)
            if m != n and not known_apart(ask, clients[n], other, clients[m])
        ]
        saying = [other for other in same if other.client_notification != "unknown"]
        found.append(held_back(ask, *(before if same else ()), *saying))
    return found


def _client_of(email: Email, ask: Request, directory: Directory, rules: Rules) -> Client | None:
    facts = link(email, ask, directory, None, rules.now)
    if facts.client or not facts.session:
        return facts.client
    return directory.client(facts.session.client_id)


def _first(
    told: Told,
    made: Cut,
    rest: Sequence[Piece],
    directory: Directory,
    rules: Rules,
    by: str,
) -> Retold:
    """The case in hand, told again with what is left to it of the mail."""
    places: list[Place] = []
    for place in told.case.asks:
        places += [place] if place[0] != made.message else [piece.said.place for piece in rest]
    known = replace(told.case, asks=tuple(dict.fromkeys(places)))
    said = [ask for ask in told.said if ask.place[0] != made.message]
    spoken = [(known, mark) for mark in marks(told.case.request)]
    outcome, case = tell_as_one([*said, *(piece.said for piece in rest)], spoken, directory, rules)
    why = f"Split by {by}: other words of a mail are a case of their own."
    return _as_one(replace(case, case_id=told.case.case_id), outcome, by, why)


def _opened(piece: Piece, directory: Directory, rules: Rules, by: str) -> Retold:
    outcome, case = tell_as_one([piece.said], (), directory, rules)
    return _as_one(replace(case, case_id=0), outcome, by, f"Split off by {by}.")


def _as_one(case: OpenCase, outcome: Outcome, by: str, why: str) -> Retold:
    """The case with its mark that a person put these asks together, and the reason in words."""
    mark = one_ask(case.asks, by)
    request = replace(outcome.request, findings=(*outcome.request.findings, mark))
    said = (why, _CAREFUL) if is_careful(request) else (why,)
    decision = replace(outcome.decision, reasons=(*outcome.decision.reasons, *said))
    changed = outcome._replace(request=request, decision=decision)
    return Retold(replace(case, request=request), changed)


# --- two cases that are one ask ------------------------------------------------------------------


def merge(
    gone: Told, kept: Told, directory: Directory, rules: Rules, by: str, *, settled: bool
) -> Regrouped | Refused:
    """*gone* closed, and *kept* with the mails of both, decided again.

    Where *kept* is *settled* (what it asks for has begun to leave) it stays as it is.
    """
    clients = (_on_record(gone.case, directory), _on_record(kept.case, directory))
    if refused := not_one(gone.case, kept.case, clients):
        return refused
    said = in_order_of_writing([*kept.said, *gone.said])
    spoken = [
        *spoken_of(kept.case, gone.case, clients[::-1]),
        *spoken_of(gone.case, kept.case, clients),
    ]
    outcome, case = tell_as_one(said, spoken, directory, rules)
    number = kept.case.case_id
    why = f"Case {gone.case.case_id} is the same ask, says {by}."
    if settled:
        case = replace(kept.case, asks=tuple(ask.place for ask in said))
        outcome = outcome._replace(request=kept.case.request, decision=kept.decision)
    whole = _as_one(replace(case, case_id=number), outcome, by, why)
    closed = part_of_another(whole.outcome, gone.case, f"Part of case {number}, says {by}.")
    request = part_of(gone.case.request, number, by)
    left = replace(gone.case, state="dismissed", request=request)
    return Regrouped(whole, (Retold(left, closed._replace(request=request)),))


def _on_record(case: OpenCase, directory: Directory) -> Client | None:
    return directory.client(case.client_id) if case.client_id else None


def renumbered(one: Retold, places: Mapping[Place, Place]) -> Retold:
    """The case with its new asks at the *places* that the store has for them."""
    asks = tuple(places.get(place, place) for place in one.case.asks)
    marked = [f for f in one.outcome.request.findings if f.label == ONE_ASK]
    kept = tuple(f for f in one.outcome.request.findings if f.label != ONE_ASK)
    bonds = tuple(one_ask(asks, mark.source.removeprefix("person:")) for mark in marked)
    request = replace(one.outcome.request, findings=(*kept, *bonds))
    return Retold(replace(one.case, asks=asks), one.outcome._replace(request=request))
