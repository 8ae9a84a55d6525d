"""Whatever order the mails of a thread come in, the case ends the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

from casework import Desk, Registry, an_email
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.records import Client, Email, OpenCase, Request, Said, Session, Therapist
from triage.threads import ENDED, in_order_of_writing

NOW = datetime(2025, 11, 5, 9, tzinfo=UTC)
BEGAN = datetime(2025, 11, 4, 10, tzinfo=UTC)
REGISTRY = Registry(
    sessions=tuple(
        Session(i, "T-MARIAN", c, NOW + timedelta(days=d), "initial", "confirmed")
        for i, c, d in (("HT-218834", "C-IMOGEN", 2), ("HT-218900", "C-SARAH", 3))
    ),
    therapists=(
        Therapist(
            "T-MARIAN", "Marian Oldroyd", ("marian@oldroyd.example",), ("desk@oldroyd.example",)
        ),
    ),
    clients=(
        Client("C-IMOGEN", "Imogen", "Hart", ""),
        Client("C-SARAH", "Sarah", "Malik", ""),
    ),
)
ASK = Request(
    "cancellation",
    session_ids=("HT-218834",),
    client_ref="Imogen",
    fit_reasons=("approach_mismatch",),
    presenting_issues=("ocd",),
    required_approaches=("erp",),
)
TOLD = Request("update", client_notification="discussed")
NOT_YET = Request("update", client_notification="not_informed")
TAKEN_BACK = Request("withdrawal")
OTHER_ASK = replace(ASK, session_ids=("HT-218900",), client_ref="Sarah")

Mail = tuple[Email, tuple[Request, ...]]


def mail(number: int, *asks: Request, answers: int = 0, sender: str = "", **changes) -> Mail:
    before = {"in_reply_to": f"<{answers}@x>"} if answers else {}
    who = {"sender": sender} if sender else {}
    sent_at = BEGAN + timedelta(hours=number)
    email = an_email(message_id=f"<{number}@x>", sent_at=sent_at, **before, **who, **changes)
    return email, asks


def outcome(mails: Sequence[Mail]) -> list[object]:
    desk = Desk(REGISTRY)
    for email, asks in mails:
        desk.take_all(email, asks, NOW)
    return standing(desk.cases.values())


def standing(cases) -> list[object]:
    """Every case that mail may still change, without the number it happened to get."""
    left = [replace(case, case_id=0, asks=(), answers=()) for case in cases if _lives(case)]
    return sorted(left, key=lambda case: (case.message_ids, case.session_id))


def _lives(case: OpenCase) -> bool:
    return case.state not in ENDED


def same_in_any_order(*mails: Mail) -> list[object]:
    first = outcome(mails)
    for order in permutations(mails):
        assert outcome(order) == first, [email.message_id for email, _ in order]
    return first


def test_an_update_that_comes_before_its_request_is_taken_in():
    [case] = same_in_any_order(mail(1, ASK), mail(2, TOLD, answers=1))

    assert case.state == "ready"
    assert case.message_ids == ("<1@x>", "<2@x>")


def test_what_was_said_last_counts_and_not_what_came_last():
    [case] = same_in_any_order(
        mail(1, ASK), mail(2, NOT_YET, answers=1), mail(3, TOLD, answers=2), mail(4, TOLD)
    )[:1]

    assert case.request.client_notification == "discussed"
    assert case.state == "ready"


def test_a_withdrawal_that_overtook_its_request_still_takes_it_back():
    [case] = same_in_any_order(
        mail(1, ASK), mail(2, TOLD, answers=1), mail(3, TAKEN_BACK, answers=2)
    )

    assert case.state == "withdrawn"


def test_a_request_taken_back_and_made_again_goes_to_a_person_in_any_order():
    [case] = same_in_any_order(
        mail(1, replace(ASK, client_notification="discussed")),
        mail(2, TAKEN_BACK, answers=1),
        mail(3, replace(ASK, client_notification="discussed"), answers=2),
    )

    assert case.state == "check"


def test_a_reply_with_a_wrong_clock_never_comes_before_what_it_answers():
    ask, told = mail(1, ASK), mail(2, TOLD, answers=1)
    early = replace(told[0], sent_at=BEGAN - timedelta(days=300))

    [case] = same_in_any_order(ask, (early, told[1]), mail(3, NOT_YET, answers=2))

    assert case.message_ids == ("<1@x>", "<2@x>", "<3@x>")


def test_mails_that_answer_each_other_in_a_circle_have_one_order_all_the_same():
    one = an_email(message_id="<1@x>", in_reply_to="<2@x>", sent_at=BEGAN)
    two = an_email(message_id="<2@x>", in_reply_to="<1@x>", sent_at=BEGAN)
    said = [Said(one, ASK, (1, 0)), Said(two, TOLD, (2, 0))]

    assert in_order_of_writing(said) == in_order_of_writing(said[::-1])


def test_a_mail_of_two_asks_and_the_words_about_each():
    found = same_in_any_order(
        mail(1, ASK, OTHER_ASK),
        mail(2, replace(TOLD, client_ref="Sarah"), answers=1),
        mail(3, replace(TOLD, session_ids=("HT-218834",))),
    )

    assert [case.state for case in found] == ["ready", "ready"]


WORDS = st.sampled_from(
    [
        (ASK,),
        (OTHER_ASK,),
        (ASK, OTHER_ASK),
        (TOLD,),
        (NOT_YET,),
        (TAKEN_BACK,),
        (replace(TOLD, client_ref="Sarah"),),
        (replace(ASK, session_ids=()),),
        (replace(ASK, session_ids=(), session_time="2025-11-07T09:00", client_ref="I. Hart"),),
        (Request("enquiry", client_ref="Imogen"),),
        (Request("other"),),
        (Request("other", confidence=0.4),),
        (Request("update", risk="urgent"),),
    ]
)


@st.composite
def threads(draw) -> list[Mail]:
    size = draw(st.integers(2, 6))
    mails = []
    for number in range(1, size + 1):
        answers = draw(st.integers(0, number - 1))
        sender = draw(st.sampled_from(["", "", "desk@oldroyd.example", "x@elsewhere.example"]))
        trusted = draw(st.sampled_from([True, True, True, False]))
        words = draw(WORDS)
        mails.append(mail(number, *words, answers=answers, sender=sender, authenticated=trusted))
    return mails


@given(threads(), st.data())
@settings(max_examples=100, deadline=None)
def test_the_order_of_arrival_never_changes_where_a_thread_ends(mails, data):
    order = data.draw(st.permutations(mails))

    assert outcome(order) == outcome(mails)
