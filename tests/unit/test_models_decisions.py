from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.corpus import load_corpus
from models.decisions import fit_decision, fit_softmax, sure_features
from models.evidence import gather
from models.heads import COUNTS
from models.registry import RELEASED, load, promoted
from models.train import Model
from models.views import views_of
from triage.labels import KINDS

OLDER = Path(RELEASED / "0.2.2")  # from before there was a decision how sure the kind is


@pytest.fixture(scope="module")
def views():
    return views_of(load_corpus().examples[::25])


def kinds_of(model: Model, views) -> np.ndarray:
    from models.decisions import kind_features

    decisions, _, scores = model.read(views, fast=True)
    return decisions.kind.log_probabilities(kind_features(gather(views, scores)))


def test_a_release_from_before_is_as_sure_as_its_likeliest_kind(views):
    from models.answers import weigh_up

    model, _ = load(OLDER, fast=True)
    decisions, _, scores = model.read(views, fast=True)

    found = weigh_up(decisions, gather(views, scores))

    assert decisions.sure is None
    assert np.allclose(found.sure, found.kind.max(axis=1))


def test_how_sure_a_kind_is_is_a_decision_of_its_own(views):
    from models.answers import weigh_up

    model, _ = load(RELEASED / promoted(), fast=True)
    decisions, _, scores = model.read(views, fast=True)

    found = weigh_up(decisions, gather(views, scores))
    without = weigh_up(replace(decisions, sure=None), gather(views, scores))

    assert not np.allclose(found.sure, without.sure)
    assert np.array_equal(found.kind, without.kind)


def test_of_a_message_with_one_request_nothing_is_asked_about_others(views):
    alone = [view for view in views if len(view.groups) == 1]
    model, _ = load(RELEASED / promoted(), fast=True)
    _, _, scores = model.read(alone, fast=True)
    evidence = gather(alone, scores)
    count = {name: np.log(np.full((len(alone), 2), 0.5, np.float32)) for name in COUNTS}

    features = sure_features(kinds_of(model, alone), count, evidence)

    each = 1 + len(COUNTS) + 1 + len(KINDS) + evidence.plain.shape[1]
    assert features.shape[1] > each
    assert not features[:, each:].any()


def test_what_is_said_of_rows_left_out_does_not_come_from_their_own_labels():
    chance = np.random.default_rng(3)
    features = chance.normal(size=(200, 150)).astype(np.float32)  # which say nothing at all
    wanted = chance.integers(0, 2, 200)
    blocks = np.repeat(np.arange(4), 50)

    decision, unseen = fit_decision(("false", "true"), features, wanted, blocks, seed=0)

    seen = decision.log_probabilities(features)
    assert (seen.argmax(axis=1) == wanted).mean() > 0.65
    assert (unseen.argmax(axis=1) == wanted).mean() < 0.6


def test_rows_of_which_nothing_is_known_are_asked_about_and_not_learned_from():
    features = np.eye(4, dtype=np.float32)[np.tile(np.arange(4), 30)]
    wanted = np.where(features[:, 3] > 0, -1, features[:, 0] > 0).astype(np.int64)
    blocks = np.repeat(np.arange(3), 40)

    decision, unseen = fit_decision(("false", "true"), features, wanted, blocks, seed=0)

    assert unseen.shape == (120, 2)
    assert decision.log_probabilities(features[:3]).argmax(axis=1).tolist() == [1, 0, 0]


def test_rows_that_count_less_pull_less():
    features = np.ones((80, 1), np.float32)  # all alike, and their labels differ
    wanted = np.repeat([0, 1], 40)
    blocks = np.tile(np.arange(4), 20)
    light = np.where(wanted == 1, 0.25, 1.0).astype(np.float32)

    decision, _ = fit_decision(("no", "yes"), features, wanted, blocks, seed=0, weights=light)

    likely = np.exp(decision.log_probabilities(features[:1]))[0, 1]
    assert likely == pytest.approx(0.2, abs=0.03)


def test_an_answer_that_is_always_the_same_is_learned_as_such():
    features = np.asarray([[0.0], [1.0], [2.0]], np.float32)

    decision = fit_softmax(("no", "yes"), features, np.zeros(3, np.int64), 1.0, seed=0)

    assert np.exp(decision.log_probabilities(features))[:, 0] == pytest.approx([1, 1, 1], abs=1e-4)
