"""Which way to split a message into requests is right."""

from dataclasses import replace

import numpy as np
import pytest
from turning_mail import at, everywhere, example, hear, view_of

from models.corpus import load_corpus
from models.decisions import YES_OR_NO, Decision
from models.reading import load_reader
from models.registry import RELEASED, load, promoted
from models.splits import (
    SURE,
    Choice,
    Chosen,
    Message,
    best,
    choice_among,
    is_right,
    learn_choice,
    learn_ranking,
    way_features,
    ways,
)
from models.tuning import _split_unseen
from models.turning import noticed_in, turned
from models.views import views_of
from triage.records import Request

LISTED = "1. Please cancel HT-204518. She wants EMDR.\n2. Please refer on HT-204533."
PLAIN = "Jess wants EMDR and I do not offer it. Dean is off to Bali, so we end."


def message_of(text: str, **likely: float) -> Message:
    """A message with turns as *likely* as told by a word of their sentence; else there are none."""
    view = view_of(text, subject="hello")
    found = np.zeros((len(view.reading.sentences), 2), np.float32)
    for word, value in likely.items():
        found[at(view, word), 0] = value
    return Message(view, everywhere(view)[1], noticed_in(view), found)


def starts(message: Message) -> list[list[str]]:
    sentences = message.view.reading.sentences
    return [
        [sentences[min(group.own)].text[:4] for group in groups if group.own]
        for groups in ways(message)
    ]


def test_a_message_that_turns_nowhere_has_one_way():
    assert len(ways(message_of(PLAIN))) == 1


def test_the_likelier_of_two_turns_is_tried_before_both():
    message = message_of(PLAIN + " Cara is my niece.", Dean=0.1, Cara=0.6)

    assert starts(message)[1:] == [["Jess", "Cara"], ["Jess", "Dean", "Cara"]]


def test_what_hardly_anything_speaks_for_is_no_way():
    assert len(ways(message_of(PLAIN, Dean=0.01))) == 1


def test_where_rules_see_several_requests_one_request_is_tried_as_well():
    message = message_of(LISTED)

    first, second = ways(message)

    assert first == message.view.groups
    assert (len(first), len(second)) == (2, 1)


def test_a_turn_of_the_rules_may_be_left_out_and_another_taken_in():
    message = message_of(LISTED + "\n3. HT-204577, he is my nephew.", EMDR=0.9)

    counts = [len(groups) for groups in ways(message)]

    assert counts[0] == 3
    assert set(counts) == {1, 2, 3, 4}


@pytest.mark.parametrize("text", [LISTED, PLAIN, "", "Cancel HT-204518 and HT-204533, please."])
def test_every_way_has_as_much_that_bears_on_it(text):
    message = message_of(text)

    rows = [way_features(message, groups, hear(groups)) for groups in ways(message)]

    assert len({row.shape for row in rows}) == 1
    assert np.isfinite(rows).all()


def test_a_way_is_right_when_each_request_of_it_is_one_that_was_labelled():
    view = view_of(LISTED)
    [one] = [groups for groups in ways(message_of(LISTED)) if len(groups) == 1]
    ids = [
        Request("referral", session_ids=(i,), confidence=1.0) for i in ("HT-204518", "HT-204533")
    ]

    assert is_right(example(view, *ids), view, view.groups)
    assert not is_right(example(view, *ids), view, one)
    assert is_right(example(view, ids[0]), view, one)


def choice_of(*ways: tuple[float, float], sizes: tuple[int, ...] = (1, 2, 2)) -> Choice:
    return Choice(np.asarray(ways, np.float32), np.asarray(sizes[: len(ways)]))


ONES = np.ones(6, np.float32)


def test_what_sets_right_ways_apart_from_wrong_ones_of_the_same_message_is_learned():
    choices = [choice_of((high, 5), (high - 1, 5)) for high in (0, 10, 20, 30)]

    ranking = learn_ranking(choices, [[True, False]] * 4, ONES[:4], seed=0)

    assert best(ranking, choice_of((100, 5), (101, 5), (99, 5))).place == 1


def ranking_by_first() -> Decision:
    return Decision(
        YES_OR_NO, np.asarray([[-1, 1], [0, 0]], np.float32) / 2, np.zeros(2, np.float32)
    )


def test_of_ways_that_are_as_good_that_of_the_rules_stands():
    assert best(ranking_by_first(), choice_of((1, 2), (1, 4))).place == 0


@pytest.mark.parametrize(("surer", "chosen"), [(0.5, 0), (1.5, 1)])
def test_clients_whom_the_rules_tell_apart_are_joined_only_where_that_is_clearly_likelier(
    surer, chosen
):
    found = best(ranking_by_first(), choice_of((0, 0), (surer, 0), sizes=(2, 1)))

    assert found.place == chosen


def test_how_likely_more_requests_or_fewer_are_is_told_beside_the_way_taken():
    choice = choice_of((0, 0), (-2, 0), (-3, 0), sizes=(2, 3, 3))

    assert best(ranking_by_first(), choice) == Chosen(0, (-2.0, SURE))


def test_a_message_is_split_by_what_was_learned_from_other_files():
    """In the first file the lower is right, in the others the higher."""
    choices = [choice_of((1, 0), (2, 0))] * 6
    right = [[True, False]] * 2 + [[False, True]] * 4
    blocks = np.asarray([0, 0, 1, 1, 2, 2])

    _, chosen = learn_choice(choices, right, ONES, blocks, seed=0)

    assert [each.place for each in chosen[:2]] == [1, 1]


def ranked_by_count(view, *, more: bool):
    """A turning at every sentence, and a ranking that likes more requests, or fewer."""
    turning, said = everywhere(view)
    message = Message(view, said, noticed_in(view), np.ones((len(said["told"]), 2), np.float32))
    tried = ways(message)
    choice = choice_among(message, tried, [hear(groups) for groups in tried])
    wanted = choice.sizes.max() if more else 1
    ranking = learn_ranking([choice] * 6, [(choice.sizes == wanted).tolist()] * 6, ONES, seed=0)
    return replace(turning, ranking=ranking), said


def test_the_split_of_the_rules_can_be_taken_back():
    view = view_of(LISTED)
    turning, said = ranked_by_count(view, more=False)

    assert len(view.groups) == 2
    assert len(turned(turning, view, said, hear)[0].groups) == 1


def test_the_split_of_the_rules_can_be_split_further():
    view = view_of(LISTED)
    turning, said = ranked_by_count(view, more=True)

    assert len(turned(turning, view, said, hear)[0].groups) > 2


def test_splits_are_learned_from_corpora_and_read_by_the_network_as_they_come_out():
    model, _ = load(RELEASED / promoted())
    every = load_corpus().examples
    several = [e for e in every if len(e.requests) > 1][:8]
    examples = [*several, *[e for e in every if len(e.requests) == 1][:8]]
    views = views_of(examples)
    blocks = np.arange(len(examples)) % 4

    turning, split, unseen = _split_unseen(
        examples, views, [model.encoder] * len(examples), blocks, seed=0
    )

    assert turning.ranking is not None
    assert [len(view.groups) for view in split] == [len(deep.logits["kind"]) for deep in unseen]
    assert all(
        deep.logits["split"].shape == (len(view.groups), 2)
        for view, deep in zip(split, unseen, strict=True)
    )
    assert [len(view.reading.sentences) for view in split] == [
        len(deep.logits["told"]) for deep in unseen
    ]


def test_two_clients_in_one_plain_breath_are_two_requests():
    text = (
        "Please cancel Marek's first session, HT-204518, he needs an addiction specialist and"
        " knows. Yusuf on Thursday is off too, HT-204533, he's my neighbour, not told him yet."
    )

    [requests] = load_reader().read([view_of(text).reading.email])

    assert [r.session_ids for r in requests] == [("HT-204518",), ("HT-204533",)]
