"""A slice of ``make fuzz``: damaged messages go all the way to what is understood of them."""

from fuzz_parse import CPU_LIMIT, campaign

from models.reading import load_reader


def test_damaged_messages_are_understood_in_time_and_lose_no_word():
    tally = campaign(400, seed="slice", reader=load_reader())

    assert tally.failures == []
    assert tally.outcomes["understood"] == tally.outcomes["parsed"] > 200
    assert max(tally.slowest.values()) < CPU_LIMIT
