"""What mail programs, keyboards and mischief do to a message never makes it read less safely."""

import random
from functools import cache

import pytest
from disguises import DISGUISES, SEEN, UNSEEN
from measure_robustness import SAFETY, flips, less_safe, sample

from models.reading import load_reader
from triage.labels import CODES
from triage.language import fold
from triage.records import Request

MESSAGES = 40
#: Where what a reader sees is less than it was, so many of MESSAGES may be read less safely. It is
#: measured, not wished for; ``measure_robustness.py`` gives the rates on more messages.
ROOM = {"upper case": 2, "lower case": 2, "no punctuation": 8}


@cache
def the_reader():
    return load_reader(fast=True)


@cache
def found():
    return flips(the_reader(), sample(MESSAGES))


@pytest.mark.parametrize("name", UNSEEN)
def test_what_nobody_sees_never_makes_a_message_less_safe(name):
    assert dict(found()[name]) == {"any": 0, "harm": 0}


@pytest.mark.parametrize("name", SEEN)
def test_careless_writing_rarely_makes_a_message_less_safe(name):
    assert found()[name]["any"] <= ROOM[name]


def test_every_answer_has_its_place_in_the_order_of_safety():
    for field, order in SAFETY.items():
        assert set(order) == set(CODES[field])


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ({"client_notification": "planned"}, {"client_notification": "informed"}, True),
        ({"client_notification": "discussed"}, {"client_notification": "unknown"}, False),
        ({"risk": "urgent"}, {"risk": "concern"}, True),
        ({"session_ids": ("HT-204518",)}, {"session_ids": ()}, True),
        ({}, {"kind": "other"}, True),
        ({"confidence": 0.5}, {"kind": "other"}, False),
    ],
)
def test_less_safe_means_what_the_table_says(before, after, worse):
    was = Request(**({"kind": "cancellation", "client_notification": "unknown"} | before))
    now = Request(**({"kind": "cancellation", "client_notification": "unknown"} | before | after))

    assert bool(list(less_safe([was], [now]))) is worse


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("HТ-204518 cаnсеl", "HT-204518 cancel"),
        ("οur сliеnt τold us", "our client told us"),
        ("ﬁnd the diﬃcult one", "find the difficult one"),
        ("ｃａｎｃｅｌ", "cancel"),
        ("can\u200bcel\u00ad", "cancel"),
        ("дым", "дым"),  # nothing in it passes for Latin
    ],
)
def test_letters_are_read_as_what_they_look_like(written, read):
    assert fold(written).text == read


@pytest.mark.parametrize("name", [n for n in UNSEEN if "look-alikes" in n or n == "ligatures"])
def test_offsets_lead_back_to_the_letters_as_written(name):
    for example in sample(10):
        disguised = DISGUISES[name](example.email, random.Random(3))
        folded = fold(disguised.new_text)

        place = folded.text.find("session")
        if place >= 0:
            start, end = folded.place(place, place + 7)
            assert fold(disguised.new_text[start:end]).text.startswith("session")
