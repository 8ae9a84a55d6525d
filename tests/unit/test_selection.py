from collections import Counter

from models.selection import PER_SENDER, Candidate, known_labels, select
from triage.records import Finding, Request


def reading(confidence: float = 0.99, **fields) -> Request:
    return Request(kind="cancellation", confidence=confidence, **fields)


KNOWN = Counter({"kind:cancellation": 500, "client_notification:unknown": 300, "risk:none": 900})


def a_candidate(name: str, request: Request, rules: Request | None = None) -> Candidate:
    return Candidate(name, f"{name}@practice.example", (request,), (rules,) if rules else ())


def test_a_selection_mixes_the_unsure_the_rare_the_disputed_and_some_by_lot():
    plain = [a_candidate(f"plain{n}", reading()) for n in range(40)]
    unsure = [a_candidate(f"unsure{n}", reading(0.4 + n / 100)) for n in range(10)]
    rare = [a_candidate(f"rare{n}", reading(presenting_issues=("gambling",))) for n in range(10)]
    disputed = [
        a_candidate(f"disputed{n}", reading(), reading(presenting_issues=("anxiety",)))
        for n in range(10)
    ]

    picks = select([*plain, *unsure, *rare, *disputed], KNOWN, 20)

    assert Counter(pick.chosen_by for pick in picks) == {
        "unsure": 8, "rare": 5, "disagreement": 4, "random": 3,
    }  # fmt: skip
    chosen = {pick.chosen_by: pick for pick in reversed(picks)}
    assert chosen["unsure"].why == "kind read as cancellation, 40% sure"
    assert chosen["rare"].why == "presenting_issues:gambling has 0 examples"
    assert chosen["disagreement"].why == "rules and model differ on presenting_issues:anxiety"
    assert len({pick.id for pick in picks}) == 20


def test_the_same_seed_chooses_the_same_and_another_draws_other_lots():
    candidates = [a_candidate(f"m{n}", reading(0.999)) for n in range(100)]

    first, again, other = (select(candidates, KNOWN, 40, seed=s) for s in (1, 1, 2))

    assert first == again
    assert {p.id for p in first} != {p.id for p in other}


def test_one_sender_does_not_fill_a_selection():
    many = [Candidate(f"m{n}", "one@practice.example", (reading(0.3),)) for n in range(50)]

    assert len(select(many, KNOWN, 20)) == PER_SENDER


def test_an_unsure_answer_about_who_was_told_counts_like_an_unsure_kind():
    doubt = Finding("client_notification", "informed", None, "model:told@1", 0.35)
    told = reading(client_notification="informed", findings=(doubt,))

    picks = select([a_candidate("sure", reading()), a_candidate("told", told)], KNOWN, 3)

    assert picks[0].id == "told"
    assert picks[0].why == "client_notification read as informed, 35% sure"


def test_labels_so_far_are_counted_by_field_and_code():
    known = known_labels([reading(fit_reasons=("format",)), reading()])

    assert known["kind:cancellation"] == 2
    assert known["fit_reasons:format"] == 1
