"""A slice of ``make fuzz``: damaged messages go all the way to what is understood of them."""

from fuzz_parse import CPU_LIMIT, campaign

from models.features import Featuriser, Shape
from models.reading import load_reader


def test_damaged_messages_are_understood_in_time_and_lose_no_word():
    tally = campaign(400, seed="slice", reader=load_reader())

    assert tally.failures == []
    assert tally.outcomes["understood"] == tally.outcomes["parsed"] > 200
    assert max(tally.slowest.values()) < CPU_LIMIT


def test_half_a_contraction_alone_on_its_line_is_a_word_like_any_other():
    featuriser = Featuriser.fit(["I have n't told her", "I do n't know her yet"], Shape())

    before = featuriser.transform(["told her"]).toarray().tolist()
    featuriser.transform(["do\nn't tell him, 'll or 's either"])

    assert featuriser.transform(["told her"]).toarray().tolist() == before
