"""A person's word on which words are which ask: a mail cut in two, and two cases that are one.

Nothing is read or stored here. What was said of a client counts for the other half, or for the
other case, only where both are known to speak of the same client; so neither cutting nor joining
opens the client gate by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

from triage.cases import alike, merged
from triage.corrections import GUARANTEE, LABEL, ONE_ASK, marks_of
from triage.gate import GATE, Refused
from triage.labels import RISKS
from triage.language import Sentence, sentences_of
from triage.names import written
from triage.records import (
    Client,
    Email,
    Finding,
    OpenCase,
    Part,
    Request,
    Said,
    Span,
)

#: A stretch of one part of a mail: ``getattr(email, part)[start:end]``.
Stretch = tuple[Part, int, int]
Place = tuple[int, int]

#: Says on a closed case which case it went into; its value is that case's number.
PART_OF: Final = "part_of"
#: Says that a field is not as its words alone would have it; its value is the field.
CAREFUL: Final = "careful"
#: Where asks made by a cut stand before the store has given them numbers: after all others.
CUT: Final = 1_000_000
_OF_THE_CLIENT: Final = ("client_notification", "notification_evidence", "client_agreement")
_PARTS: Final[tuple[Part, ...]] = ("subject", "new_text")
#: From "may count as told" to "said not to be told"; the later one holds the gate more firmly.
_LEAST_TOLD: Final = ("discussed", "informed", "planned", "asks_team", "unknown", "not_informed")
_LEAST_AGREED: Final = ("agrees", "unknown", "declines")


# --- a mail cut in two ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Halves:
    """A mail cut in two: every sentence of it is in one of them, none in both.

    ``rest`` is empty where a case of several mails loses this one whole.
    """

    chosen: tuple[Stretch, ...]
    rest: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """An ask as read in a part of its mail, and the words that the part has."""

    said: Said
    words: tuple[Stretch, ...]


def halves(
    email: Email, own: Sequence[Stretch], chosen: Collection[int], *, may_take_all: bool
) -> Halves | Refused:
    """Cut what a case has of *email* (all of it where *own* is empty) by sentences.

    *chosen* are numbers of sentences as ``numbered`` gives them, from 1.
    """
    sentences = {n: s for n, s in enumerate(sentences_of(email), start=1) if _within(s, own)}
    strange = sorted({*chosen} - sentences.keys())
    if strange:
        first, last = min(sentences, default=0), max(sentences, default=0)
        why = f"there is no sentence {strange[0]} of this case in that mail"
        return Refused("sentences", why, (f"sentences {first} to {last}",))
    if not any(sentences[n].part == "new_text" for n in chosen):
        return Refused("sentences", "choose the sentences of the other ask", ())
    left = [s for n, s in sentences.items() if n not in chosen]
    if not any(s.part == "new_text" for s in left):
        if not may_take_all:
            why = "nothing would be left for this case: then there is nothing to split"
            return Refused("sentences", why, ("leave it the sentences of its own ask",))
        left = []
    taken = [s for s in sentences.values() if s.index + 1 in chosen or not left]
    return Halves(_stretches(taken), _stretches(left))


def numbered(email: Email, own: Sequence[Stretch] = ()) -> list[tuple[int, Sentence]]:
    """The sentences of what a case has of *email*, subject first, with the numbers people see."""
    return [(n, s) for n, s in enumerate(sentences_of(email), start=1) if _within(s, own)]


def _within(sentence: Sentence, own: Sequence[Stretch]) -> bool:
    return not own or any(
        part == sentence.part and start <= sentence.start and sentence.end <= end
        for part, start, end in own
    )


def _stretches(sentences: Iterable[Sentence]) -> tuple[Stretch, ...]:
    """Neighbours as one stretch, with what stands between them."""
    found: list[Stretch] = []
    before = -1
    for one in sentences:
        if found and one.index == before + 1 and found[-1][0] == one.part:
            found[-1] = (one.part, found[-1][1], one.end)
        else:
            found.append((one.part, one.start, one.end))
        before = one.index
    return tuple(found)


_BETWEEN: Final = "\n\n"  # so that no two stretches are read as one sentence


def only(email: Email, words: Sequence[Stretch], *, quoted: bool) -> Email:
    """*email* as if nothing but *words* had been written in it."""
    texts: dict[str, str] = {
        part: _BETWEEN.join(getattr(email, part)[a:b] for name, a, b in words if name == part)
        for part in _PARTS
    }
    return replace(
        email,
        subject=texts["subject"],
        new_text=texts["new_text"],
        quoted_text=email.quoted_text if quoted else "",
    )


def placed(request: Request, email: Email, words: Sequence[Stretch]) -> Request:
    """*request*, read in ``only(email, words)``, with its evidence where it stands in *email*."""
    found = tuple(replace(f, span=_placed(f.span, email, words)) for f in request.findings)
    return replace(request, findings=found)


def _placed(span: Span | None, email: Email, words: Sequence[Stretch]) -> Span | None:
    if span is None or span.part not in _PARTS:
        return span
    text: str = getattr(email, span.part)
    at = 0
    for part, start, end in words:
        if part != span.part:
            continue
        if at <= span.start < at + end - start:
            first = start + span.start - at
            last = min(start + span.end - at, end)  # evidence over a gap is told up to the gap
            return Span(span.part, first, last, text[first:last])
        at += end - start + len(_BETWEEN)
    return None


# --- what was said of the client -----------------------------------------------------------------


def known_same(
    one: Request, one_client: Client | None, other: Request, other_client: Client | None
) -> bool:
    """Whether two asks are known to be about one client: session, record, or name."""
    if {*one.session_ids} & {*other.session_ids}:
        return True
    if one_client and other_client:
        return one_client.client_id == other_client.client_id
    mine, theirs = _names(one, one_client), _names(other, other_client)
    return any(alike(a, b) for a in mine for b in theirs)


def known_apart(
    one: Request, one_client: Client | None, other: Request, other_client: Client | None
) -> bool:
    """Whether two asks are known to be about two clients; neither is where one names nobody."""
    if known_same(one, one_client, other, other_client):
        return False
    if one_client and other_client:
        return True
    return bool(_names(one, one_client) and _names(other, other_client))


def _names(request: Request, client: Client | None) -> list[str]:
    said = request.client_ref or ""
    known = f"{client.first_name} {client.last_name}".strip() if client else ""
    return [name for name in (said if written(said) else "", known) if name]


def without_news(request: Request) -> Request:
    """*request* without what it says of the client's knowing and agreeing; a mark says so."""
    if request.client_notification == request.client_agreement == "unknown":
        return request
    kept = tuple(f for f in request.findings if f.label not in _OF_THE_CLIENT)
    bare = replace(
        request,
        client_notification="unknown",
        notification_evidence="",
        client_agreement="unknown",
        findings=kept,
    )
    return _marked(bare, "client_notification")


def is_careful(request: Request) -> bool:
    """Whether a field was put more carefully than the ask's own words have it."""
    return any(finding.label == CAREFUL for finding in request.findings)


def held_back(request: Request, *others: Request) -> Request:
    """*request* with no more said of the client than in any of *others*."""
    for other in others:
        if _firmness(other) > _firmness(request):
            bare = without_news(request)
            bare = bare if is_careful(bare) else _marked(bare, "client_notification")
            news = tuple(f for f in other.findings if f.label in _OF_THE_CLIENT)
            request = replace(
                bare,
                client_notification=other.client_notification,
                client_agreement=other.client_agreement,
                findings=(*bare.findings, *(replace(f, span=None) for f in news)),
            )
    return request


def _firmness(request: Request) -> tuple[int, int]:
    return (
        _LEAST_TOLD.index(request.client_notification),
        _LEAST_AGREED.index(request.client_agreement),
    )


def no_less_risk(request: Request, before: Request) -> Request:
    """*request* with the danger that was read *before*: cutting a mail ends none."""
    risk = max(request.risk, before.risk, key=RISKS.index)
    if risk == request.risk:
        return request
    found = tuple(replace(f, span=None) for f in before.findings if f.label == "risk")
    return _marked(replace(request, risk=risk, findings=(*request.findings, *found)), "risk")


def _marked(request: Request, field: str) -> Request:
    mark = Finding(CAREFUL, field, None, "rule:splitting", 1.0)
    return replace(request, findings=(*request.findings, mark))


def joined_by_word(
    case: OpenCase, request: Request, client: Callable[[str], Client | None]
) -> tuple[OpenCase, Request]:
    """A case and an ask that only a person's word puts into it, ready to be merged.

    Where not both are known to speak of one client, only what the side said that names one counts.
    """
    mine = client(case.client_id) if case.client_id else None
    if case.session_id and case.session_id in request.session_ids:
        return case, request
    if known_same(case.request, mine, request, None):
        return case, request
    named = bool(request.session_ids or _names(request, None))
    if named and not (case.session_id or _names(case.request, mine)):
        return replace(case, request=without_news(case.request)), request
    return case, without_news(request)


# --- two cases that are one ----------------------------------------------------------------------


def one_ask(places: Iterable[Place], by: str) -> Finding:
    """The mark by which every retelling finds the asks of *places* in one case."""
    return Finding(ONE_ASK, json.dumps(sorted(map(list, places))), None, f"person:{by}", 1.0)


def bonds_of(
    cases: Iterable[OpenCase], said: Sequence[Said] = ()
) -> Mapping[Place, frozenset[Place]]:
    """With which others each ask was said to be one; further copies of their mails along with it.

    *said* are the asks of the cases, for finding those.
    """
    emails = {one.place: one.email for one in said}
    found: dict[Place, frozenset[Place]] = {}
    for case in cases:
        for mark in case.request.findings:
            if mark.label == ONE_ASK:
                places = frozenset((number, ask) for number, ask in json.loads(mark.value))
                mails = [emails[place] for place in places if place in emails]
                places |= {
                    place
                    for place in case.asks
                    if place in emails and any(_same_words(emails[place], one) for one in mails)
                }
                found |= {place: places | found.get(place, frozenset()) for place in places}
    return found


def as_put(
    email: Email,
    asks: Sequence[Request],
    cases: Sequence[OpenCase],
    said: Callable[[Sequence[OpenCase]], Sequence[Said]],
) -> tuple[Sequence[Request], dict[int, frozenset[Place]]]:
    """The asks of a further copy of a mail, as a person split or put together those of the first.

    With each the places of the asks that it repeats. Mail that is not here word for word, or that
    nobody touched, gives its own *asks*.
    """
    here = [case for case in cases if case.authenticated and email.message_id in case.message_ids]
    if not (email.message_id and email.authentication.passed and bonds_of(here)):
        return asks, {}
    found: list[Request] = []
    places: dict[int, frozenset[Place]] = {}
    for case in here:
        own = [one for one in said([case]) if _same_words(one.email, email)]
        if own:
            places[len(found)] = frozenset(one.place for one in own)
            found.append(reduce(merged, (one.request for one in own)))
    return (found, places) if found else (asks, {})


def _same_words(one: Email, other: Email) -> bool:
    return (one.message_id, one.subject, one.new_text) == (
        other.message_id,
        other.subject,
        other.new_text,
    )


def part_of(request: Request, case_id: int, by: str) -> Request:
    """*request* of a closed case, marked with the case that it went into."""
    mark = Finding(PART_OF, str(case_id), None, f"person:{by}", 1.0)
    return replace(request, findings=(*request.findings, mark))


def went_into(request: Request) -> int | None:
    """The case that a closed one went into, None where it is a case of its own."""
    return next((int(f.value) for f in request.findings if f.label == PART_OF), None)


def not_one(
    one: OpenCase, other: OpenCase, clients: tuple[Client | None, Client | None]
) -> Refused | None:
    """Why two cases cannot be one ask, or None. *clients* are theirs on record."""
    if one.case_id == other.case_id:
        return Refused("case", "a case cannot go into itself", ("name the other case",))
    if not (one.authenticated and other.authenticated):
        return Refused("sender_unverified", GATE["sender_unverified"].why, ("dismiss one of them",))
    same_side = (
        one.therapist_id == other.therapist_id
        if one.therapist_id or other.therapist_id
        else bool(one.sender) and one.sender == other.sender
    )
    if not same_side:
        why = "they are of two therapists, and nobody's mail may speak for another's session"
        return Refused("not_session_owner", why, ("dismiss one of them",))
    if one.session_id and other.session_id and one.session_id != other.session_id:
        why = "they are about two sessions: each is decided, and cancelled, by itself"
        return Refused("session", why, ("correct session_ids of the one that was misread",))
    if known_apart(one.request, clients[0], other.request, clients[1]):
        why = "they are about two clients: what one was told does not count for the other"
        return Refused("client", why, ("correct client_ref or session_ids of the one misread",))
    return None


def spoken_of(
    one: OpenCase, other: OpenCase, clients: tuple[Client | None, Client | None]
) -> list[tuple[OpenCase, Finding]]:
    """What people left on *one* that stands when it is one with *other*; *clients* are theirs.

    Not a danger assessed before *other* told of a greater one, nor what a client was told where
    *one* does not say who that is.
    """
    same = bool(one.session_id) and one.session_id == other.session_id
    same = same or known_same(one.request, clients[0], other.request, clients[1])
    named = bool(one.session_id or _names(one.request, clients[0]))
    return [
        (one, mark)
        for mark in marks(one.request)
        if not _outdone(mark, other.request) and (same or named or not _of_the_client(mark))
    ]


def marks(request: Request) -> Iterable[Finding]:
    """What people left on a request, in their order; not that asks are one: that is told anew."""
    return (mark for mark in marks_of(request) if mark.label != ONE_ASK)


def _outdone(mark: Finding, request: Request) -> bool:
    if mark.label != LABEL:
        return False
    told = json.loads(mark.value)
    return told["field"] == "risk" and RISKS.index(request.risk) > RISKS.index(told["value"])


def _of_the_client(mark: Finding) -> bool:
    return mark.label == GUARANTEE or json.loads(mark.value)["field"] in _OF_THE_CLIENT
