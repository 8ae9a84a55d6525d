import numpy as np
import pytest
from turning_mail import at, everywhere, example, hear, view_of

from models.corpus import Quotes
from models.encoder import OF_SENTENCES
from models.heads import TURNS
from models.targets import turn_targets
from models.turning import learn_turns, noticed_in, turn_features, turned
from models.views import View
from triage.grouping import group
from triage.records import Request
from triage.turns import OPENINGS, Turns, openings


def groups_at(view: View, opens: tuple[str, ...], many: tuple[str, ...] = ()):
    turns = Turns(
        frozenset(at(view, words) for words in opens), frozenset(at(view, words) for words in many)
    )
    return group(view.reading, view.mentions, turns)


def test_two_clients_in_half_sentences_are_two_requests_where_the_second_begins():
    view = view_of(
        "Ending with Marek, HT-204518, he has plateaued since Christmas. Told him on Monday."
        " Reet too, HT-204533, same story. Have not told her yet."
    )

    first, second = groups_at(view, ("Reet too",))

    assert (first.session_ids, second.session_ids) == (("HT-204518",), ("HT-204533",))
    assert at(view, "Told him") in first.own
    assert at(view, "Have not told her") in second.own


def test_where_nothing_turns_there_is_one_request_with_all_sessions():
    view = view_of("Please cancel HT-204518 and HT-204533. They are the same couple.")

    [only] = groups_at(view, ())

    assert only.session_ids == ("HT-204518", "HT-204533")


def test_one_session_among_several_clients_is_that_of_the_client_named_before_it():
    view = view_of(
        "Mr Snell and Mrs Kwan (HT-204518, Tuesday at 2) are both new and neither is for me."
    )

    first, second = groups_at(view, (), many=("Mr Snell",))

    assert (first.client_ref, first.session_ids) == ("Mr Snell", ())
    assert (second.client_ref, second.session_ids) == ("Mrs Kwan", ("HT-204518",))


def test_sessions_named_together_at_first_go_to_their_requests_in_order():
    view = view_of(
        "HT-204518 and HT-204533 both need to go. The ten o'clock wants EMDR."
        " The two o'clock I know from church."
    )

    first, second = groups_at(view, ("The two o'clock",))

    assert (first.session_ids, second.session_ids) == (("HT-204518",), ("HT-204533",))


def test_one_sentence_that_names_several_opens_a_request_for_each():
    view = view_of("Please cancel HT-204518 and HT-204533. Neither client has been told.")

    found = groups_at(view, (), ("Please cancel",))

    assert [one.session_ids for one in found] == [("HT-204518",), ("HT-204533",)]
    assert all(at(view, "Neither client") in one.sentences for one in found)


def test_a_request_begins_at_the_first_sentence_that_names_it_alone():
    view = view_of("HT-204518 and HT-204533. Cancel HT-204518. He is told. Move HT-204533 on.")
    requests = (
        Request("cancellation", session_ids=("HT-204518",), confidence=1.0),
        Request("referral", session_ids=("HT-204533",), confidence=1.0),
    )

    wanted = turn_targets(example(view, *requests), view)

    assert np.flatnonzero(wanted[:, 0]).tolist() == [at(view, "Move HT-204533")]
    assert not wanted[:, 1].any()


def test_of_a_message_with_one_request_no_sentence_turns():
    view = view_of("Cancel HT-204518. It was never confirmed.")

    wanted = turn_targets(example(view, Request("cancellation", confidence=1.0)), view)

    assert wanted.shape == (len(view.reading.sentences), len(TURNS))
    assert not wanted.any()


def test_where_the_labels_name_nothing_of_a_request_nobody_knows_where_it_begins():
    view = view_of("My invoice is wrong. Cancel HT-204518.")
    requests = (
        Request("other", confidence=1.0),
        Request("cancellation", session_ids=("HT-204518",), confidence=1.0),
    )

    wanted = turn_targets(example(view, *requests), view)

    assert np.isnan(wanted[at(view, "My invoice")]).all()


def test_where_another_matter_is_raised_is_learned_and_what_stands_beside_it_left_open():
    view = view_of("Cancel HT-204518. My invoice is wrong. It was due in May.", subject="")
    requests = (
        Request("cancellation", session_ids=("HT-204518",), confidence=1.0),
        Request("other", confidence=1.0),
    )
    quotes = (Quotes(kind="Cancel HT-204518"), Quotes(kind="My invoice is wrong"))

    raised = turn_targets(example(view, *requests, quotes=quotes), view)[:, TURNS.index("raises")]

    assert [raised[at(view, words)] for words in ("Cancel", "My invoice")] == [0, 1]
    assert np.isnan(raised[at(view, "It was due")])


@pytest.mark.parametrize("subject", ["", "hello"])
@pytest.mark.parametrize("text", ["", "Cancel HT-204518.\n\nAlso, my invoice is wrong."])
def test_every_sentence_has_what_bears_on_its_turning(text, subject):
    view = view_of(text, subject)
    count = len(view.reading.sentences)
    said = {name: np.full((count, width), -4, np.float32) for name, width in OF_SENTENCES.items()}

    features = turn_features(said, noticed_in(view))

    assert features.shape[0] == count
    assert features.shape[1] > 2 * len(OPENINGS)
    assert np.isfinite(features).all()


def noticed(text: str, words: str, subject: str = "hello") -> set[str]:
    view = view_of(text, subject)
    row = openings(view.reading, view.mentions)[at(view, words)]
    return {name for name, value in zip(OPENINGS, row, strict=True) if value}


def test_also_and_a_new_name_are_noticed_as_a_turn():
    text = "Cancel Jess M, HT-204518, please. Also Dean, who is off to Bali, so we end."

    assert {"adds a matter", "names one more", "adds and names one more"} <= noticed(text, "Dean")
    assert not noticed(text, "Jess M") & {"adds a matter", "names one more"}


def test_the_other_client_is_noticed_without_any_name():
    text = "HT-204518 wants a doctor to look at his pills. My other one is family of a friend."

    assert {"adds a matter", "speaks of another"} <= noticed(text, "My other one")


def test_what_follows_a_bare_number_is_noticed_as_an_item():
    text = "1.\nCancel HT-204518 on Monday.\n2.\nRefer on Wendy, nine sessions."

    assert "after a bare number" in noticed(text, "Refer on Wendy")


def test_a_subject_that_counts_is_noticed_in_every_sentence():
    assert "the subject tells of several" in noticed("Cancel HT-204518.", "Cancel", "Two clients")
    assert "the subject tells of several" not in noticed("Cancel HT-204518.", "Cancel", "Sunday")


def test_where_the_rules_see_one_request_what_was_learned_may_see_more():
    view = view_of("Jess wants EMDR and I do not offer it. Dean is off to Bali, so we end.")
    turning, said = everywhere(view)

    assert len(view.groups) == 1
    assert len(turned(turning, view, said, hear)[0].groups) == 2


def test_where_the_rules_see_several_requests_their_split_stands():
    view = view_of("1. Please cancel HT-204518. She wants EMDR.\n2. Please refer on HT-204533.")
    turning, said = everywhere(view)

    assert len(view.groups) == 2
    assert turned(turning, view, said, hear)[0] is view


def test_where_messages_turn_is_learned_and_told_of_messages_unseen():
    seen = view_of("Jess wants EMDR, no. Dean is off to Bali.", subject="hello")
    split = view_of("1. Please cancel HT-204518. She wants EMDR.\n2. Please refer on HT-204533.")
    one = (Request("cancellation", client_ref="Jess", confidence=1.0),)
    two = (*one, Request("referral", client_ref="Dean", confidence=1.0))
    ids = (
        Request("cancellation", session_ids=("HT-204518",), confidence=1.0),
        Request("referral", session_ids=("HT-204533",), confidence=1.0),
    )
    views = [seen, split] * 4
    examples = [example(seen, *two), example(split, *ids)] * 4
    silent = [everywhere(view)[1] for view in views]

    turning, messages = learn_turns(examples, views, silent, np.arange(8) // 2, seed=0)

    assert turning.ranking is None
    assert len(turned(turning, seen, silent[0], hear)[0].groups) == 2
    assert [message.view for message in messages] == views
    likely = messages[0].likely[:, 0]
    assert likely.argmax() == at(seen, "Dean is off")
    assert likely.max() > 0.5
