"""Thresholds keep the bound they state, and abstaining is an answer."""

import json
from dataclasses import replace

import numpy as np
import pytest
from predictions_made import read_with_errors, small_corpus

from models.answers import URGENT
from models.predictions import read_predictions, write_predictions
from models.thresholds import COSTS, NEVER, Sample, certainty, fit, lowest_threshold, released
from settings import CertaintySettings, Settings
from triage.matter import Thresholds
from triage.records import Finding


def drawn(rng, answers, skill=6.0):
    """Answers whose confidence is honest: each is right as often as it says."""
    sure = 1 - rng.beta(1, skill, answers)
    return Sample(sure, rng.random(answers) < sure)


def share_wrong_beyond(threshold, skill=6.0):
    """Of many more answers of the same kind, the share wrong among those released."""
    more = drawn(np.random.default_rng(1), 200_000, skill)
    return 1 - more.right[more.sure >= threshold].mean()


def test_the_bound_holds_over_repeated_draws():
    rng = np.random.default_rng(20261122)

    found = [lowest_threshold(drawn(rng, 1_200), 0.05) for _ in range(60)]

    broken = sum(t < NEVER and share_wrong_beyond(t) > 0.05 for t in found)
    assert broken <= 0.05 * len(found)
    assert sum(t < NEVER for t in found) > 0.5 * len(found), "it abstains where it need not"


def test_overconfidence_is_seen_through():
    rng = np.random.default_rng(4)
    boastful = Sample(rng.uniform(0.97, 1, 1_000), rng.random(1_000) < 0.9)

    assert lowest_threshold(boastful, 0.05) == NEVER


def test_too_few_answers_release_nothing():
    spotless = Sample(np.linspace(0.9, 1, 60), np.ones(60, dtype=bool))

    assert lowest_threshold(spotless, 0.05) == NEVER


def test_a_spotless_record_long_enough_releases_all():
    spotless = Sample(np.linspace(0.9, 1, 400), np.ones(400, dtype=bool))

    assert lowest_threshold(spotless, 0.05) == pytest.approx(0.9)


def test_the_same_answers_give_the_same_threshold():
    sample = drawn(np.random.default_rng(7), 1_000)

    assert lowest_threshold(sample, 0.05) == lowest_threshold(sample, 0.05)


def test_a_dearer_error_is_held_to_a_stricter_bound():
    sample = drawn(np.random.default_rng(8), 3_000, skill=12)

    strict, lenient = (lowest_threshold(sample, bound) for bound in (0.02, 0.1))

    assert lenient < strict


def test_every_cost_is_above_a_needless_check_and_says_why():
    assert COSTS["check"].checks == 1
    assert all(c.why and c.checks >= 10 for name, c in COSTS.items() if name != "check")
    assert COSTS["urgent"].bound == URGENT, "danger is answered where its cost says"


def test_poor_predictions_release_nothing_and_the_release_says_so(tmp_path):
    corpus = small_corpus(tmp_path / "corpus")

    found = {one.decision: one for one in fit(corpus, read_with_errors(corpus, 0.5))}

    assert found["kind"].threshold == NEVER
    assert found["kind"].released == 0
    assert found["session"].threshold is None
    assert certainty(list(found.values()))["kind"] == NEVER


def test_good_predictions_are_released(tmp_path):
    corpus = small_corpus(tmp_path / "corpus", files=("t1", "t2", "t3"), lines=100)

    found = {one.decision: one for one in fit(corpus, read_with_errors(corpus, 0.0))}

    assert found["kind"].threshold < NEVER
    assert found["kind"].error == 0


def test_stored_predictions_keep_how_sure_of_session_and_notification(tmp_path):
    corpus = small_corpus(tmp_path / "corpus")
    made = read_with_errors(corpus, 0.0)
    file, messages = next(iter(made.predicted.items()))
    key, requests = next(iter(messages.items()))
    said = Finding("session_ids", "HT-204518", None, "rule:id", 0.6)
    messages[key] = tuple(replace(r, findings=(said,)) for r in requests)

    write_predictions(made, tmp_path / "kept")
    again = read_predictions(tmp_path / "kept", corpus)

    assert again.predicted[file][key][0].confidence_in("session_ids") == 0.6


def a_release(folder, certainty_of):
    (folder / "9").mkdir(parents=True)
    (folder / "PROMOTED").write_text("9\n", encoding="utf-8")
    fields = {"version": "9"} | ({"certainty": certainty_of} if certainty_of else {})
    (folder / "9" / "manifest.json").write_text(json.dumps(fields), encoding="utf-8")
    return folder


def test_the_policy_takes_what_the_release_has_recorded(tmp_path):
    folder = a_release(tmp_path, {"kind": 0.62, "told": NEVER})

    assert released(folder=folder) == Thresholds(kind=0.62, told=NEVER)
    assert released(folder=folder, fast=True) == Thresholds(told=NEVER)


@pytest.mark.parametrize("certainty_of", [{}, {"weather": 1}])
def test_a_release_without_thresholds_leaves_those_of_today(tmp_path, certainty_of):
    assert released(folder=a_release(tmp_path, certainty_of)) == Thresholds(0.7, 0.8, 0.7)
    assert released(folder=tmp_path / "nowhere") == Thresholds(0.7, 0.8, 0.7)


def test_what_operations_set_goes_before_what_was_released():
    chosen = Settings(certainty=CertaintySettings(told=0.97), model="none-such")

    assert chosen.thresholds() == Thresholds(told=0.97)
