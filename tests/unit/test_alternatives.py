from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from casework import Registry
from measure_alternatives import directory, gold, ndcg
from measure_alternatives import ranked as ranked_for

from triage.alternatives import rank
from triage.records import CaseFacts, Request, Session, Therapist

OWN = Therapist(
    "T-OWN", "Own", ("own@x.example",), ("desk@x.example",), ("emdr",), ("ocd",), open_to_new=True
)


def therapist(name, **offers):
    defaults = {"approaches": ("emdr",), "issues": ("trauma_ptsd",), "open_to_new": True}
    return Therapist(f"T-{name}", name, (f"{name}@x.example",), (), **{**defaults, **offers})


BEST = therapist(
    "best", issues=("trauma_ptsd", "childhood_abuse"), experience=("trauma_specialist",)
)
GOOD = therapist("good")
PART = therapist("part", approaches=("cbt",))
FULL = therapist("full", open_to_new=False)
NONE = therapist("none", approaches=("coaching",), issues=("gambling",))
ASKED = Request(
    "referral",
    presenting_issues=("trauma_ptsd", "childhood_abuse"),
    required_approaches=("emdr",),
    required_experience=("trauma_specialist",),
)
FACTS = CaseFacts(registry_known=True, sender_is="owner", therapist=OWN)


def ranked(request=ASKED, *others):
    registry = Registry(therapists=(OWN, NONE, FULL, PART, GOOD, BEST, *others))
    return rank(request, FACTS, registry)


def test_the_best_come_first_with_what_they_offer_and_lack():
    best, good, part = ranked()

    assert [best.name, good.name, part.name] == ["best", "good", "part"]
    assert best.why == (
        "works with trauma and PTSD", "works with childhood abuse", "offers EMDR",
        "has experience: trauma",
    )  # fmt: skip
    assert best.lacks == ()
    assert good.lacks == ("childhood abuse", "trauma")
    assert best.score == 1.0 > good.score > part.score


def test_the_therapist_themself_and_those_who_are_full_are_never_suggested():
    names = {a.name for a in ranked()}

    assert names.isdisjoint({"Own", "full", "none"})


def test_nobody_with_the_same_gap_is_suggested():
    same_gap = replace(ASKED, fit_reasons=("approach_mismatch",))

    assert [a.name for a in ranked(same_gap)] == ["best", "good"]


def test_a_conflict_of_interest_leaves_out_the_same_office():
    neighbour = replace(therapist("a-neighbour"), delegates=("desk@x.example",))
    conflict = replace(ASKED, fit_reasons=("conflict_of_interest",))

    assert "a-neighbour" in {a.name for a in ranked(ASKED, neighbour)}
    assert "a-neighbour" not in {a.name for a in ranked(conflict, neighbour)}


@pytest.mark.parametrize("need", ["female_therapist", "in_person", "couples"])
def test_some_needs_are_made_up_for_by_nothing_else(need):
    asked = replace(ASKED, required_experience=(need,))
    places = ("Leeds",) if need == "in_person" else ()
    fitting = therapist("fitting", experience=(need,), places=places)

    assert [a.name for a in ranked(asked, fitting)] == ["fitting"]


def test_nobody_is_suggested_where_nobody_asked():
    assert ranked(replace(ASKED, kind="cancellation")) == ()
    assert len(ranked(replace(ASKED, kind="cancellation", alternatives_requested=True))) == 3


def test_without_any_stated_need_nobody_can_be_suggested():
    assert ranked(Request("referral")) == ()


def test_until_it_is_known_whose_client_it_is_nobody_is_suggested():
    registry = Registry(therapists=(OWN, BEST))

    assert rank(ASKED, replace(FACTS, therapist=None), registry) == ()


def test_the_place_the_language_and_the_hour_count_beside_the_needs():
    own = replace(OWN, places=("Leeds",), languages=("English", "Polish"))
    evening = datetime(2025, 11, 6, 19, tzinfo=UTC)
    session = Session("HT-1", "T-OWN", "C-1", evening, "ongoing", "confirmed")
    facts = replace(FACTS, therapist=own, session=session)
    asked = replace(ASKED, required_experience=("in_person", "language"))
    shared = {"languages": ("English", "Polish"), "experience": ("in_person",)}
    near = therapist("near", places=("Leeds",), **shared)
    far = therapist("far", places=("York",), languages=("English", "Urdu"))
    late = therapist("late", **{**shared, "experience": ("in_person", "evening_weekend")})

    found = rank(asked, facts, Registry(therapists=(own, far, near, late)))

    assert [a.name for a in found][-1] == "far"
    by_name = {a.name: a for a in found}
    assert {"meets in Leeds", "speaks Polish"} <= set(by_name["near"].why)
    assert "evening or weekend times" in by_name["near"].lacks
    assert "has evening or weekend times" in by_name["late"].why
    assert "rooms in Leeds" in by_name["late"].lacks


def test_where_language_is_the_reason_nobody_with_the_same_languages_is_suggested():
    own = replace(OWN, languages=("English",))
    asked = replace(ASKED, required_experience=("language",), fit_reasons=("language_culture",))
    same = therapist("same", languages=("English",))
    other = therapist("other", languages=("English", "Urdu"))

    found = rank(asked, replace(FACTS, therapist=own), Registry(therapists=(own, same, other)))

    assert [a.name for a in found] == ["other"]


def test_a_request_taken_back_asks_for_nobody():
    assert ranked(replace(ASKED, kind="withdrawal", alternatives_requested=True)) == ()


def test_the_ranking_agrees_with_what_a_person_judged():
    known = directory()
    scores = [
        ndcg([a.therapist_id for a in ranked_for(ask, known)], ask["suits"]) for ask in gold()
    ]

    assert sum(scores) / len(scores) >= 0.93
