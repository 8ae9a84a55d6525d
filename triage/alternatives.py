"""Who else in the directory may suit the client, with the reasons and what each of them lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from triage.deadlines import london
from triage.phrasing import in_words, listed
from triage.records import Alternative, CaseFacts, Directory, Request, Session, Therapist

_SHOWN: Final = 3

#: How much each side of the need weighs where all are stated; what is not stated weighs nothing.
_WEIGHTS: Final[dict[str, float]] = {"issues": 0.4, "approaches": 0.35, "experience": 0.25}

_OFFERS: Final[dict[str, str]] = {
    "issues": "works with {}",
    "approaches": "offers {}",
    "experience": "has experience: {}",
}

#: A reason that says what was missing here: whoever lacks that whole side has the same gap.
_SAME_GAP: Final[dict[str, str]] = {
    "outside_competence": "issues",
    "approach_mismatch": "approaches",
    "client_group": "experience",
    "service_not_offered": "approaches",
}

#: What a place, a shared language or the hour weighs beside the stated needs.
_BESIDE: Final = 0.1

#: Needs that no other strength makes up for: somebody without them is not suggested at all.
_INDISPENSABLE: Final = frozenset(
    {
        "children_adolescents",
        "couples",
        "families",
        "female_therapist",
        "in_person",
        "male_therapist",
    }
)

_Needs = Mapping[str, tuple[str, ...]]


def rank(request: Request, facts: CaseFacts, directory: Directory) -> tuple[Alternative, ...]:
    """The three best therapists open to new clients, best first; () where nobody asks for any.

    Asked for by a referral, or where the message asks the team to find somebody, and only once it
    is known whose client it is; a request taken back asks for nobody. Left out are the
    therapist themself, colleagues who share an administrator with them where a conflict of interest
    is the reason, those with the very gap that is the reason, and those who fit in nothing. Equal
    scores are ordered by therapist id.
    """
    wanted = request.kind == "referral" or request.alternatives_requested
    frozen = request.kind == "withdrawal"
    if frozen or not wanted or facts.therapist is None:
        return ()
    needs = _needs(request)
    found = [
        _weighed(therapist, needs, _beside(therapist, request, facts))
        for therapist in directory.open_therapists()
        if not tied(therapist, request, facts)
        and _may_fill_the_gap(therapist, request, needs, facts)
    ]
    ranked = sorted((a for a in found if a.why), key=lambda a: (-a.score, a.therapist_id))
    return tuple(ranked[:_SHOWN])


def _needs(request: Request) -> _Needs:
    stated = {
        "issues": request.presenting_issues,
        "approaches": request.required_approaches,
        "experience": request.required_experience,
    }
    return {side: codes for side, codes in stated.items() if codes}


def _offered(therapist: Therapist) -> dict[str, frozenset[str]]:
    """What a therapist lists; rooms somewhere are experience of meeting in person."""
    experience = {*therapist.experience}
    if therapist.places:
        experience.add("in_person")
    if len(therapist.languages) > 1:
        experience.add("language")
    return {
        "issues": frozenset(therapist.issues),
        "approaches": frozenset(therapist.approaches),
        "experience": frozenset(experience),
    }


def tied(therapist: Therapist, request: Request, facts: CaseFacts) -> bool:
    """Whether it is the therapist themself, or somebody too close to them for the reason given."""
    own = facts.therapist
    if own is None or therapist.therapist_id == own.therapist_id:
        return True
    if facts.session and therapist.therapist_id == facts.session.therapist_id:
        return True
    shares_office = not set(therapist.delegates).isdisjoint(own.delegates)
    return "conflict_of_interest" in request.fit_reasons and shares_office


def _may_fill_the_gap(
    therapist: Therapist, request: Request, needs: _Needs, facts: CaseFacts
) -> bool:
    offered = _offered(therapist)
    if not _INDISPENSABLE & {*request.required_experience} <= offered["experience"]:
        return False
    if _speaks_no_more(therapist, request, facts):
        return False
    gaps = {_SAME_GAP[reason] for reason in request.fit_reasons if reason in _SAME_GAP}
    return all(not offered[side].isdisjoint(needs[side]) for side in gaps if side in needs)


def _speaks_no_more(therapist: Therapist, request: Request, facts: CaseFacts) -> bool:
    """Whether language is the reason and this one speaks none that the therapist does not."""
    stated = "language_culture" in request.fit_reasons and "language" in request.required_experience
    own = facts.therapist.languages if facts.therapist else ()
    return stated and set(therapist.languages) <= set(own)


def _beside(
    therapist: Therapist, request: Request, facts: CaseFacts
) -> list[tuple[bool, str, str]]:
    """What counts beside the stated needs: met or not, why it speaks for somebody, what lacks.

    The client could come to the therapist's rooms, speak their language, keep the hour they have.
    """
    own, needs, found = facts.therapist, request.required_experience, []
    if own and own.places and "in_person" in needs:
        near = set(therapist.places) & set(own.places)
        where = listed(own.places)
        found.append((bool(near), f"meets in {where}", f"rooms in {where}"))
    common = {"English"}
    if own and "language" in needs and "language_culture" not in request.fit_reasons:
        spoken = [language for language in own.languages if language not in common]
        if spoken:
            shared = not set(spoken).isdisjoint(therapist.languages)
            found.append((shared, f"speaks {listed(spoken)}", listed(spoken)))
    if facts.session and "evening_weekend" not in needs and _off_hours(facts.session):
        offers = "evening_weekend" in therapist.experience
        found.append((offers, "has evening or weekend times", "evening or weekend times"))
    return found


def _off_hours(session: Session) -> bool:
    start = session.starts_at.astimezone(london())
    return start.weekday() >= 5 or start.hour >= 18


def _weighed(
    therapist: Therapist, needs: _Needs, beside: Sequence[tuple[bool, str, str]]
) -> Alternative:
    """Share of the stated needs that are met, each side by its weight; what is beside them last."""
    offered = _offered(therapist)
    total = sum(_WEIGHTS[side] for side in needs) + _BESIDE * len(beside) or 1.0
    score = 0.0
    why: list[str] = []
    lacks: list[str] = []
    for side, codes in needs.items():
        met = [code for code in codes if code in offered[side]]
        score += _WEIGHTS[side] / total * len(met) / len(codes)
        why += [_OFFERS[side].format(in_words(code)) for code in met]
        lacks += [in_words(code) for code in codes if code not in offered[side]]
    if why:  # none of this makes somebody suit who meets no need
        score += _BESIDE / total * sum(met for met, _, _ in beside)
        why += [words for met, words, _ in beside if met]
        lacks += [words for met, _, words in beside if not met]
    return Alternative(
        therapist.therapist_id, therapist.name, round(score, 3), tuple(why), tuple(lacks)
    )


def in_a_line(found: Alternative) -> str:
    """An alternative as staff read it, with what speaks for it and what it lacks."""
    lacks = f"; lacks {', '.join(found.lacks)}" if found.lacks else ""
    return f"{found.name} ({found.therapist_id}): {'; '.join(found.why)}{lacks}"
