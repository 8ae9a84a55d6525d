import dataclasses

import numpy as np
import pytest
from predictions_made import read_with_errors, small_corpus

from models.comparing import COMPARED, compare
from models.corpus import CorpusError
from models.measures import measure, tally


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus") / "c", lines=60)


def test_a_model_compared_with_itself_is_neither_better_nor_worse(corpus):
    evaluation = read_with_errors(corpus, 0.2)

    found = compare(corpus, evaluation, evaluation)

    assert [d.measure for d in found.differences] == list(COMPARED)
    assert {d.finding for d in found.differences} == {"not distinguishable"}
    assert found.messages == 120


def test_a_model_with_far_fewer_errors_is_found_better_and_the_other_worse(corpus):
    good, poor = read_with_errors(corpus, 0.02), read_with_errors(corpus, 0.5)

    ahead, behind = compare(corpus, good, poor), compare(corpus, poor, good)

    for name in ("kind_macro_f1", "fit_reasons_micro_f1", "false_clear"):
        assert ahead.of(name).finding == "better"
        assert behind.of(name).finding == "worse"
    assert ahead.of("false_clear").difference < 0


def test_one_error_more_in_a_hundred_messages_is_not_called_a_difference(corpus):
    first, second = read_with_errors(corpus, 0.1), read_with_errors(corpus, 0.1)
    file = corpus.files[0]
    key, requests = next(iter(second.predicted[file].items()))
    second.predicted[file][key] = (dataclasses.replace(requests[0], kind="other"), *requests[1:])

    found = compare(corpus, first, second)

    assert found.of("kind_macro_f1").difference != 0
    assert found.of("kind_macro_f1").finding == "not distinguishable"


def test_models_that_read_different_files_cannot_be_compared(corpus):
    evaluation = read_with_errors(corpus, 0.1)
    halves = [
        dataclasses.replace(evaluation, predicted={file: messages})
        for file, messages in evaluation.predicted.items()
    ]

    with pytest.raises(CorpusError, match="no message in common"):
        compare(corpus, *halves)


def test_the_same_comparison_gives_the_same_figures(corpus):
    good, poor = read_with_errors(corpus, 0.05), read_with_errors(corpus, 0.2)

    assert compare(corpus, good, poor) == compare(corpus, good, poor)


def test_a_message_that_counts_twice_counts_as_if_it_stood_there_twice(corpus):
    evaluation = read_with_errors(corpus, 0.3)
    gold = [e.requests for e in corpus.examples]
    read = [evaluation.predicted[e.file][e.id] for e in corpus.examples]
    times = np.random.default_rng(1).integers(0, 3, size=len(gold))

    weighted = tally(gold, read).reports(times[None, :].astype(float))

    doubled = measure(
        [g for g, n in zip(gold, times, strict=True) for _ in range(n)],
        [r for r, n in zip(read, times, strict=True) for _ in range(n)],
    )
    found = {name: value[0] for name, value in weighted.items()}
    coverage = "coverage_at_1pct_error"  # equally sure answers are released together
    assert {k: v for k, v in found.items() if k != coverage} == pytest.approx(
        {k: v for k, v in doubled.items() if k != coverage}
    )
