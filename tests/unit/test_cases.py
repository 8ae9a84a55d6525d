from __future__ import annotations

from dataclasses import replace

import pytest
from casework import an_email

from triage.cases import base_subject, merge, merged, split, which
from triage.records import Finding, OpenCase, Request

MARIAN = "marian@oldroyd.example"
CASE = OpenCase(
    case_id=1,
    sender=MARIAN,
    authenticated=True,
    therapist_id="T-MARIAN",
    session_id="HT-218834",
    client_id="C-IMOGEN",
    state="awaiting_client",
    request=Request("cancellation", session_ids=("HT-218834",), client_ref="Imogen"),
    message_ids=("<1@x>",),
)
OTHER = replace(
    CASE,
    case_id=2,
    session_id="HT-210001",
    client_id="C-SARAH",
    request=Request("cancellation", session_ids=("HT-210001",), client_ref="Sarah M"),
)


def joined(request, *, cases=(CASE, OTHER), ids=("T-MARIAN",), **email):
    found = which(cases, an_email(**{"message_id": "<9@x>", **email}), request, ids)
    return found.case_id if found else None


def test_the_session_number_finds_its_case():
    assert joined(Request("update", session_ids=("HT-210001",))) == 2


def test_a_reply_finds_the_case_of_its_thread():
    assert joined(Request("update"), cases=(CASE,), in_reply_to="<1@x>") == 1
    assert joined(Request("update"), cases=(CASE,), references=("<0@x>", "<1@x>")) == 1


def test_the_client_finds_the_case_in_a_mail_of_its_own():
    assert joined(Request("update", client_ref="Imogen Hart")) == 1
    assert joined(Request("withdrawal", client_ref="Sarah")) == 2


def test_in_a_thread_of_two_clients_the_named_one_counts_and_otherwise_nobody_guesses():
    assert joined(Request("update", client_ref="Sarah"), in_reply_to="<1@x>") == 2
    assert joined(Request("update"), in_reply_to="<1@x>") is None


@pytest.mark.parametrize(
    "email",
    [
        {"sender": "x@elsewhere.example", "ids": ()},
        {"sender": "ruth@still.example", "ids": ("T-RUTH",)},
        {"sender": MARIAN, "authenticated": False},
        {"sender": MARIAN, "automatic": "auto-replied"},
    ],
)
def test_nobody_else_joins_whatever_they_name(email):
    asked = Request("update", session_ids=("HT-218834",), client_ref="Imogen")

    assert joined(asked, in_reply_to="<1@x>", **email) is None


def test_a_case_that_was_begun_without_a_vouched_for_sender_takes_nobody_in():
    forged = replace(CASE, authenticated=False)

    assert joined(Request("update", session_ids=("HT-218834",)), cases=(forged,)) is None


def test_a_delegate_joins_the_therapists_case():
    asked = Request("update", session_ids=("HT-218834",))

    assert joined(asked, sender="desk@o.example", ids=("T-RUTH", "T-MARIAN")) == 1


def test_without_a_registry_the_same_vouched_for_address_joins():
    bare = replace(CASE, therapist_id="", session_id="")

    assert joined(Request("update"), cases=(bare,), ids=(), in_reply_to="<1@x>") == 1
    assert (
        joined(Request("update"), cases=(bare,), ids=(), in_reply_to="<1@x>", sender="y@x.example")
        is None
    )


def test_mails_without_a_message_id_are_no_thread():
    nameless = replace(CASE, message_ids=("",))

    assert joined(Request("update"), cases=(nameless,), message_id="", in_reply_to="") is None


def test_thanks_and_other_matters_in_the_thread_stay_out_of_the_case():
    assert joined(Request("other"), cases=(CASE,), in_reply_to="<1@x>") is None


def test_a_new_ask_about_another_session_of_the_same_client_is_another_case():
    asked = Request("cancellation", session_ids=("HT-218999",), client_ref="Imogen")

    assert joined(asked, cases=(CASE,), in_reply_to="<1@x>") is None


def test_two_asks_in_one_mail_are_two_cases():
    asked = Request("note_reason", client_ref="Imogen", fit_reasons=("format",))

    assert joined(asked, cases=(CASE,), message_id="<1@x>") is None
    assert joined(CASE.request, cases=(CASE,), message_id="<1@x>") == 1


# --- merging -------------------------------------------------------------------------------------

ASKED = Request(
    "cancellation",
    session_ids=("HT-218834",),
    client_ref="Imogen",
    fit_reasons=("unspecified",),
    presenting_issues=("ocd",),
    client_notification="planned",
    confidence=0.9,
    findings=(Finding("client_notification", "planned", None, "model:x", 0.6),),
)


def test_an_update_adds_and_overrides():
    told = Finding("client_notification", "discussed", None, "model:x", 0.95)
    update = Request(
        "update",
        fit_reasons=("approach_mismatch",),
        presenting_issues=("anxiety",),
        client_notification="discussed",
        notification_evidence="we talked",
        confidence=0.8,
        findings=(told,),
    )

    whole = merged(ASKED, update)

    assert whole.kind == "cancellation"
    assert whole.confidence == 0.9
    assert whole.fit_reasons == ("approach_mismatch",)
    assert whole.presenting_issues == ("ocd", "anxiety")
    assert (whole.client_notification, whole.notification_evidence) == ("discussed", "we talked")
    assert whole.confidence_in("client_notification") == 0.95


def test_saying_less_again_takes_nothing_back():
    discussed = replace(ASKED, client_notification="discussed")

    assert merged(discussed, Request("update")).client_notification == "discussed"
    informed = Request("update", client_notification="informed")
    assert merged(discussed, informed).client_notification == "discussed"


def test_a_mail_on_another_matter_adds_the_danger_it_tells_of_and_nothing_else():
    words = Finding("risk", "urgent", None, "rule:risk", 0.9)
    danger = Request("other", client_ref="Bea", risk="urgent", findings=(words,))

    whole = merged(ASKED, danger)

    assert whole == replace(ASKED, risk="urgent", findings=(*ASKED.findings, words))
    assert merged(whole, danger) == merged(whole, Request("other")) == whole


def test_a_withdrawal_freezes_and_remembers_what_was_asked():
    whole = merge(replace(CASE, request=ASKED), Request("withdrawal", confidence=0.9))

    assert whole.kind == "withdrawal"
    assert [f.value for f in whole.findings if f.label == "taken_back"] == ["cancellation"]


@pytest.mark.parametrize(
    ("later", "says"),
    [
        (Request("update", client_notification="not_informed"), "told and a later one"),
        (Request("update", session_ids=("HT-210001",)), "another session"),
        (Request("update", client_ref="Devinder"), "another client"),
        (Request("enquiry"), "seems unsure"),
    ],
)
def test_what_cannot_both_be_so_is_kept_as_a_contradiction(later, says):
    case = replace(CASE, request=replace(ASKED, client_notification="discussed"))

    found = [f.value for f in merge(case, later).findings if f.label == "contradiction"]

    assert len(found) == 1
    assert says in found[0]


def test_a_number_that_was_never_found_is_replaced_without_a_fuss():
    case = replace(CASE, session_id="", request=replace(ASKED, session_ids=("HT-218843",)))

    whole = merge(case, Request("update", session_ids=("HT-218834",)))

    assert whole.session_ids == ("HT-218834",)
    assert not [f for f in whole.findings if f.label == "contradiction"]


def test_several_sessions_to_cancel_are_one_ask_each():
    asked = Request("cancellation", session_ids=("HT-100001", "HT-100002"))

    assert [r.session_ids for r in split(asked)] == [("HT-100001",), ("HT-100002",)]
    assert split(replace(asked, kind="referral")) == (replace(asked, kind="referral"),)


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("Re: RE: Fwd: Booking", "Booking"),
        ("AW: Re[2]: Booking", "Booking"),
        ("Booking\r\n re: x", "Booking re: x"),
        ("Reflections on today", "Reflections on today"),
        ("", ""),
    ],
)
def test_the_base_of_a_subject(subject, base):
    assert base_subject(subject) == base
