import numpy as np
import pytest

from models.features import Featuriser, Shape, WordTable, fold_words, weigh

KNOWN = frozenset(("i", "told", "him", "her", "about", "the", "session", "have", "heard", "not"))
TEXTS = ["I told her about the session.", "They have not heard.", "I told her about the session!"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I told her", "I told him"),
        ("I told Imran", "I told Sarah"),
        ("I haven't told him", "I havent told her"),
        ("I’ve told her", "I've told her"),
        ("booked for 6.30pm", "booked for 11am"),
        ("on Tuesday", "on Weds"),
        ("about HT-204518", "about ht 318240"),
    ],
)
def test_what_differs_only_in_whom_or_when_looks_alike(one, other):
    assert fold_words(one, KNOWN) == fold_words(other, KNOWN)


def test_not_having_told_looks_unlike_having_told():
    assert fold_words("I have told her", KNOWN) != fold_words("I haven't told her", KNOWN)


def test_a_sentence_counts_each_of_its_features_once():
    featuriser = Featuriser.fit(TEXTS, Shape(rarest=1))

    rows = featuriser.transform(["told told told her"])

    assert set(rows.data) == {1.0}


def test_rows_do_not_depend_on_what_else_is_in_the_batch():
    featuriser = Featuriser.fit(TEXTS, Shape(rarest=1))

    together = featuriser.transform([*TEXTS, "unheard of"])
    alone = [featuriser.transform([text]) for text in [*TEXTS, "unheard of"]]

    for row, single in zip(together, alone, strict=True):
        assert (row != single).nnz == 0


def test_a_stream_of_made_up_words_does_not_fill_the_memory_nor_change_a_row():
    featuriser = Featuriser.fit(TEXTS, Shape(rarest=1))
    featuriser._table = WordTable(capacity=50)
    before = featuriser.transform(TEXTS)

    for n in range(40):
        featuriser.transform([f"xq{n}a xq{n}b xq{n}c"])

    assert len(featuriser._table) < 100
    assert (featuriser.transform(TEXTS) != before).nnz == 0


def test_a_word_without_end_costs_no_more_than_a_long_one():
    featuriser = Featuriser.fit(TEXTS, Shape(rarest=1))

    featuriser.transform(["x" * 2_000_000])

    assert max(len(grams) for grams in featuriser._table._grams) < 50


def test_an_empty_text_is_an_empty_row_and_weighs_nothing():
    featuriser = Featuriser.fit(TEXTS, Shape(rarest=1))
    idf = np.ones(len(featuriser), dtype=np.float32)

    weighed = weigh(featuriser.transform(["", TEXTS[0], ""]), idf)

    lengths = np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel()
    assert lengths[1] == pytest.approx(1)
    assert np.isfinite(weighed.data).all()
