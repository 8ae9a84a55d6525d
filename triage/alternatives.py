"""Who else in the directory may suit the client, with the reasons and what each of them lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from triage.phrasing import in_words
from triage.records import Alternative, CaseFacts, Directory, Request, Therapist

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
}

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
        _weighed(therapist, needs)
        for therapist in directory.open_therapists()
        if not _tied(therapist, request, facts) and _may_fill_the_gap(therapist, request, needs)
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


def _tied(therapist: Therapist, request: Request, facts: CaseFacts) -> bool:
    """The therapist themself, or too close to them for the reason given."""
    own = facts.therapist
    if own is None or therapist.therapist_id == own.therapist_id:
        return True
    if facts.session and therapist.therapist_id == facts.session.therapist_id:
        return True
    shares_office = not set(therapist.delegates).isdisjoint(own.delegates)
    return "conflict_of_interest" in request.fit_reasons and shares_office


def _may_fill_the_gap(therapist: Therapist, request: Request, needs: _Needs) -> bool:
    offered = _offered(therapist)
    if not _INDISPENSABLE & {*request.required_experience} <= offered["experience"]:
        return False
    gaps = {_SAME_GAP[reason] for reason in request.fit_reasons if reason in _SAME_GAP}
    return all(not offered[side].isdisjoint(needs[side]) for side in gaps if side in needs)


def _weighed(therapist: Therapist, needs: _Needs) -> Alternative:
    """Share of the stated needs that are met, each side by its weight."""
    offered = _offered(therapist)
    total = sum(_WEIGHTS[side] for side in needs) or 1.0
    score = 0.0
    why: list[str] = []
    lacks: list[str] = []
    for side, codes in needs.items():
        met = [code for code in codes if code in offered[side]]
        score += _WEIGHTS[side] / total * len(met) / len(codes)
        why += [_OFFERS[side].format(in_words(code)) for code in met]
        lacks += [in_words(code) for code in codes if code not in offered[side]]
    return Alternative(
        therapist.therapist_id, therapist.name, round(score, 3), tuple(why), tuple(lacks)
    )
