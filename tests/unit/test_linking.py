from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from casework import Registry, an_email
from hypothesis import given
from hypothesis import strategies as st

from triage.linking import link
from triage.names import likeness, written
from triage.records import Client, OpenCase, Request, Session, Therapist

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)
MARIAN = Therapist("T-MARIAN", "Marian Oldroyd", ("marian@oldroyd.example",), ("desk@o.example",))
RUTH = Therapist("T-RUTH", "Ruth Hale", ("ruth@still.example",), ("desk@o.example",))


def session(number, client, day, hour, *, owner="T-MARIAN", stage="initial", status="confirmed"):
    starts_at = datetime(2025, 11, day, hour, tzinfo=UTC)
    return Session(f"HT-{number}", owner, client, starts_at, stage, status)


REGISTRY = Registry(
    sessions=(
        session(218834, "C-IMOGEN", 6, 19),
        session(218800, "C-SARAH-M", 10, 9),
        session(218801, "C-SARAH-A", 12, 12),
        session(218802, "C-DEV", 1, 18, stage="ongoing", status="held"),
        session(218803, "C-DEV", 13, 18, stage="ongoing"),
        session(330001, "C-PRIYA", 7, 15, owner="T-RUTH"),
    ),
    therapists=(MARIAN, RUTH),
    clients=(
        Client("C-IMOGEN", "Imogen", "Hart", ""),
        Client("C-SARAH-M", "Sarah", "Mitchell", ""),
        Client("C-SARAH-A", "Sarah", "Malik", ""),
        Client("C-DEV", "Devinder", "Kaur", ""),
        Client("C-PRIYA", "Priya", "Nair", ""),
    ),
)


def linked(request, email=None, registry=REGISTRY, case=None):
    return link(email or an_email(), request, registry, case, NOW)


def found(request, **more):
    facts = linked(request, **more)
    return facts.session.session_id if facts.session else ""


def test_a_known_id_of_the_senders_own_session_is_taken():
    facts = linked(Request("cancellation", session_ids=("HT-218834",)))

    assert facts.session
    assert facts.session.session_id == "HT-218834"
    assert facts.sender_is == "owner"
    assert facts.client
    assert facts.client.first_name == "Imogen"


def test_an_administrator_is_recognised_as_a_delegate():
    facts = linked(Request("update", session_ids=("HT-330001",)), an_email("desk@o.example"))

    assert facts.sender_is == "delegate"
    assert facts.therapist == RUTH


def test_a_near_miss_is_proposed_and_never_applied():
    facts = linked(Request("cancellation", session_ids=("HT-218843",)))

    assert facts.session is None
    assert facts.unknown_ids == ("HT-218843",)
    assert facts.proposals[0].session_id == "HT-218834"
    assert "one slip away" in facts.proposals[0].why


def test_a_near_miss_that_hits_somebody_elses_session_proposes_ones_own():
    registry = replace(
        REGISTRY, sessions=(*REGISTRY.sessions, session(218843, "C-PRIYA", 7, 9, owner="T-RUTH"))
    )

    facts = linked(Request("cancellation", session_ids=("HT-218843",)), registry=registry)

    assert facts.sender_is == "therapist"
    assert facts.therapist == MARIAN
    assert facts.proposals[0].session_id == "HT-218834"


def test_a_stranger_is_offered_nothing():
    asked = Request("cancellation", client_ref="Imogen Hart", session_time="2025-11-06T19:00")

    facts = linked(asked, an_email("x@elsewhere.example"))

    assert (facts.session, facts.proposals, facts.client) == (None, (), None)


@pytest.mark.parametrize(
    ("client", "time"),
    [
        ("Imogen", "2025-11-06T19:00"),
        ("Imogen Hart", "2025-11-06T19:00"),
        ("I.H.", "2025-11-06T19:00"),
        ("I.", "2025-11-06T19:00"),
        ("Imogen", "2025-11-06"),
        ("Mrs Hart", "2025-11-06T19:00"),
        ("Imogen H.", "2025-11-06T19:05"),
        ("imogen", "2025-11-06T19:00"),
        ("Hart, Imogen", "2025-11-06T19:00"),
    ],
)
def test_client_and_time_together_settle_which_session(client, time):
    assert found(Request("cancellation", client_ref=client, session_time=time)) == "HT-218834"


@pytest.mark.parametrize("written_id", ["HT-21883", "ht 2188345"])
def test_beside_a_number_that_is_no_sessions_the_one_found_is_only_proposed(written_id):
    asked = Request("cancellation", client_ref="Imogen", session_time="2025-11-06T19:00")
    text = f"Please cancel {written_id}, Imogen, Thursday 7pm."

    facts = linked(asked, replace(an_email(), new_text=text))

    assert facts.session is None
    assert facts.proposals[0].session_id == "HT-218834"


@pytest.mark.parametrize(
    ("client", "time"),
    [
        ("Imogen Hart", None),
        (None, "2025-11-06T19:00"),
        ("my 7pm", "2025-11-06"),
        ("Sarah", "2025-11-06T19:00"),
        ("Imogen", "2025-11-07T19:00"),
        ("Sarah M", None),
        ("I.", "2025-11-06"),
    ],
)
def test_short_of_that_it_is_a_proposal_or_nothing(client, time):
    assert found(Request("cancellation", client_ref=client, session_time=time)) == ""


def test_an_address_that_nobody_vouches_for_settles_nothing():
    asked = Request("cancellation", client_ref="Imogen", session_time="2025-11-06T19:00")

    facts = linked(asked, an_email(authenticated=False))

    assert facts.session is None
    assert facts.proposals[0].session_id == "HT-218834"


def test_proposals_are_ranked_best_first():
    asked = Request("cancellation", client_ref="Sarah Mitchell", session_stage="initial")

    facts = linked(asked)

    assert [p.session_id for p in facts.proposals] == ["HT-218800"]
    scores = [p.score for p in linked(replace(asked, client_ref="Sarah M")).proposals]
    assert scores == sorted(scores, reverse=True)


def test_a_referral_of_a_client_named_in_full_takes_the_next_session():
    assert found(Request("referral", client_ref="Devinder Kaur")) == "HT-218803"


def test_a_referral_that_names_two_sessions_of_one_client_takes_the_next():
    asked = Request("referral", session_ids=("HT-218802", "HT-218803"))

    assert found(asked) == "HT-218803"


def test_the_open_case_supplies_the_session_of_an_update():
    case = OpenCase(
        case_id=1,
        sender="marian@oldroyd.example",
        authenticated=True,
        therapist_id="T-MARIAN",
        session_id="HT-218834",
        client_id="C-IMOGEN",
        state="awaiting_client",
        request=Request("cancellation"),
        message_ids=("<1@x>",),
    )

    assert found(Request("cancellation"), case=case) == "HT-218834"


def test_another_client_than_the_sessions_is_a_disagreement():
    asked = Request("cancellation", session_ids=("HT-218834",), client_ref="Devinder")

    assert len(linked(asked).disagreements) == 1


def test_the_time_of_another_session_is_a_disagreement_and_any_other_time_is_a_slip():
    asked = Request("cancellation", session_ids=("HT-218834",), session_time="2025-11-12T12:00")

    assert len(linked(asked).disagreements) == 1
    assert linked(replace(asked, session_time="2025-11-06T18:00")).disagreements == ()


def test_a_name_that_fits_at_another_time_is_still_proposed():
    asked = Request("cancellation", client_ref="Imogen H", session_time="2025-11-05T19:00")

    assert [p.session_id for p in linked(asked).proposals] == ["HT-218834"]


@pytest.mark.parametrize("reference", ["Imogen", "my 7pm", "the new client", "Mrs Hart", None])
def test_a_reference_that_may_be_the_client_is_no_disagreement(reference):
    asked = Request("cancellation", session_ids=("HT-218834",), client_ref=reference)

    assert linked(asked).disagreements == ()


def test_a_cancelled_session_is_not_proposed():
    registry = replace(
        REGISTRY, sessions=tuple(replace(s, status="cancelled") for s in REGISTRY.sessions)
    )

    assert linked(Request("cancellation", client_ref="Imogen"), registry=registry).proposals == ()


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "first", "last"),
    [
        ("Sarah M", "Sarah", "Mitchell"),
        ("S.M.", "Sarah", "Mitchell"),
        ("SM", "Sarah", "Mitchell"),
        ("Siobhan", "Siobhán", "O'Dowd"),
        ("Mr O’Dowd", "Siobhán", "O'Dowd"),
        ("Mrs Nakamura-Bell", "Yuki", "Nakamura-Bell"),
        ("Ms Nakamura", "Yuki", "Nakamura-Bell"),
        ("Liz", "Elizabeth", "Farrow"),
        ("Sam W", "Samantha", "Wright"),
        ("Stefan", "Stephan", "Meyer"),
        ("Tom and Sarah", "Sarah", "Mitchell"),
        ("Mr R. Achterhuis", "Rob", "Achterhuis"),
        ("Mitchell, Sarah", "Sarah", "Mitchell"),
        ("Sarah's", "Sarah", "Mitchell"),
    ],
)
def test_a_name_is_known_in_its_many_forms(reference, first, last):
    assert likeness(reference, first, last) >= 0.55


@pytest.mark.parametrize(
    ("reference", "first", "last"),
    [
        ("Sarah Jones", "Sarah", "Mitchell"),
        ("T.M.", "Sarah", "Mitchell"),
        ("Mr T.", "Sarah", "Mitchell"),
        ("Ana", "Ian", "Grey"),
        ("my 6pm", "Amy", "Pmbroke"),
        ("the young widow", "Sarah", "Mitchell"),
    ],
)
def test_another_name_is_not_taken_for_it(reference, first, last):
    assert likeness(reference, first, last) < 0.3


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_likeness_is_a_share_whatever_is_written(reference, first, last):
    assert 0.0 <= likeness(reference, first, last) <= 1.0
    written(reference)
