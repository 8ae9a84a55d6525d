import pytest
from predictions_made import read_with_errors, small_corpus

from models.curves import Costs, cheapest, costs, coverage, released_at, reliability
from models.slices import answers_frame, coleman_liau, mistakes, slices_frame, wilson


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus") / "c")


@pytest.fixture(scope="module")
def evaluation(corpus):
    return read_with_errors(corpus, 0.2)


def test_every_message_is_in_exactly_one_part_of_each_slice(corpus, evaluation):
    frame = slices_frame(corpus, evaluation)

    by_slice = frame.groupby("slice")["messages"].sum()
    assert set(by_slice) == {80}
    assert set(by_slice.index) >= {"role", "length", "reading level", "session id", "requests"}
    assert (frame["low"] <= frame["message_kinds_exact"]).all()
    assert (frame["message_kinds_exact"] <= frame["high"]).all()


def test_reading_level_tells_short_plain_sentences_from_long_learned_ones():
    plain = "I saw her. She is sad. I told her to go on. He ran to us."
    learned = (
        "Notwithstanding considerable therapeutic experience, contraindications necessitate "
        "transferring responsibility immediately."
    )

    assert coleman_liau(plain) < 5
    assert coleman_liau(learned) > 9


def test_few_observations_give_a_wide_interval_that_stays_within_bounds():
    assert wilson(3, 3)[1] == 1
    assert wilson(3, 3)[0] < 0.5 < wilson(300, 300)[0]
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("count", range(1, 60))
def test_an_interval_holds_the_share_that_was_seen(count):
    for hits in range(count + 1):
        low, high = wilson(hits, count)

        assert 0 <= low <= hits / count <= high <= 1


def test_releasing_everything_has_the_error_of_all_answers(corpus, evaluation):
    answers = answers_frame(corpus, evaluation)

    curve = coverage(answers)

    assert curve["coverage"].iloc[-1] == 1
    assert curve["error"].iloc[-1] == pytest.approx(1 - answers["right"].mean())
    assert (curve["error"] <= curve["error_high"]).all()
    assert curve["threshold"].is_monotonic_decreasing
    assert released_at(answers, 1.0) == 1
    assert released_at(answers, 0.0) < 1


def test_reliability_counts_every_answer_once(corpus, evaluation):
    answers = answers_frame(corpus, evaluation, "risk")

    assert reliability(answers)["count"].sum() == len(answers)


def test_dearer_errors_release_less(corpus, evaluation):
    answers = answers_frame(corpus, evaluation)

    cheap, dear = cheapest(answers, Costs(wrong=1.5)), cheapest(answers, Costs(wrong=500))

    assert dear["automated"] < cheap["automated"]
    assert costs(answers, Costs(wrong=500))["cost"].max() > 1


def test_the_surest_errors_come_first_and_without_anybodys_words(corpus, evaluation):
    worst = mistakes(corpus, evaluation, "kind", most=5)

    assert worst["sure"].is_monotonic_decreasing
    assert (worst["labelled"] != worst["predicted"]).all()
    assert "text" not in worst.columns
    assert mistakes(corpus, evaluation, "kind", most=1, text=True)["text"].str.len().gt(10).all()
