import dataclasses
import importlib.util
import random
from pathlib import Path

import pytest

from models.corpus import load_corpus
from models.measures import measure
from triage.labels import CODES, FIT_REASONS, PRESENTING_ISSUES
from triage.records import Request, request_fields

SCORE = Path(__file__).parents[2] / ".." / "shared" / "corpus" / "score.py"


def spoilt(requests: tuple[Request, ...], rng: random.Random) -> tuple[Request, ...]:
    """Requests as a poor reader would give them: wrong codes, requests lost and invented."""
    kept = [r for r in requests if rng.random() > 0.1]
    if rng.random() < 0.1:
        kept.append(Request(kind="enquiry", session_ids=("HT-999999",)))
    for place, request in enumerate(kept):
        changes: dict[str, object] = {"confidence": round(rng.random(), 3)}
        for name, codes in CODES.items():
            if rng.random() < 0.2:
                changes[name] = rng.choice(codes)
        if rng.random() < 0.3:
            changes["fit_reasons"] = (rng.choice(FIT_REASONS),)
            changes["presenting_issues"] = tuple(rng.sample(PRESENTING_ISSUES, 2))
        if rng.random() < 0.2:
            changes |= {"session_ids": (), "session_time": "2025-11-06", "guarantee_asked": True}
            changes |= {"alternatives_requested": True, "notification_evidence": "I told her"}
        kept[place] = dataclasses.replace(request, **changes)
    rng.shuffle(kept)
    return tuple(kept) or (Request(kind="other"),)


def test_measures_agree_with_the_projects_scoring_script():
    if not SCORE.exists():
        pytest.skip("the scoring script lies beside the repository and is not here")
    spec = importlib.util.spec_from_file_location("score", SCORE)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    rng = random.Random(5)
    gold = {f"{e.file}/{e.id}": e.requests for e in load_corpus().examples[::3]}
    predicted = {key: spoilt(requests, rng) for key, requests in gold.items()}

    ours = measure(list(gold.values()), list(predicted.values()))
    theirs = script.score(
        {k: {"requests": [request_fields(r) for r in v]} for k, v in gold.items()},
        {
            k: {"requests": [{**request_fields(r), "confidence": r.confidence} for r in v]}
            for k, v in predicted.items()
        },
    )

    assert ours == pytest.approx(theirs)


def test_reading_everything_right_scores_one_and_harms_nobody():
    gold = [e.requests for e in load_corpus().examples[:200]]

    report = measure(gold, gold)

    assert report["kind_macro_f1"] == report["fit_reasons_micro_f1"] == 1
    assert report["message_kinds_exact"] == report["evidence_f1"] == 1
    assert report["false_clear"] == report["urgent_missed"] == 0


def test_taking_a_client_as_told_who_was_not_is_counted():
    gold = [(Request(kind="cancellation", client_notification="planned"),)]

    report = measure(gold, [(Request(kind="cancellation", client_notification="informed"),)])

    assert (report["false_clear"], report["false_clear_of"]) == (1, 1)
