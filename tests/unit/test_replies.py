from __future__ import annotations

import pickle
import re
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files

import pytest
from casework import an_email, shipped_wording
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.deadlines import OfficeHours
from triage.policy import decide
from triage.records import Address, CaseFacts, Request, Session, Therapist
from triage.replies import draft_reply, greeting
from triage.wording import CLIENT_TEMPLATES, PARTS, TEMPLATES, Values, Wording, WordingError, render

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)
WORDING = shipped_wording()
SESSION = Session(
    "HT-218834",
    "T-MARIAN",
    "C-IMOGEN",
    datetime(2025, 11, 6, 19, tzinfo=UTC),
    "initial",
    "confirmed",
)
MARIAN = Therapist("T-MARIAN", "Marian Oldroyd", ("marian@oldroyd.example",), ())
FACTS = CaseFacts(registry_known=True, sender_is="owner", therapist=MARIAN, session=SESSION)
ASKED = Request(
    "cancellation",
    session_ids=("HT-218834",),
    client_ref="Imogen",
    session_time="2025-11-06T19:00",
    fit_reasons=("approach_mismatch",),
    presenting_issues=("self_harm",),
    required_approaches=("dbt",),
    client_notification="not_informed",
    risk="concern",
)


def draft(email=None, request=ASKED, facts=FACTS, wording=WORDING):
    email = email or an_email()
    return draft_reply(
        email, request, facts, decide(email, request, facts, NOW, OfficeHours()), wording
    )


def sources():
    folder = files("triage") / "templates"
    return {p.name: p.read_text("utf-8") for p in folder.iterdir()}


def test_a_draft_answers_the_from_address_and_nobody_else():
    email = replace(an_email(), reply_to=(Address("", "elsewhere@example.net"),))

    reply = draft(email)

    assert reply.to == "marian@oldroyd.example"
    assert "elsewhere" not in reply.body


def test_a_draft_stays_in_its_thread_without_stacking_subjects():
    email = an_email(
        message_id="<3@x>",
        in_reply_to="<2@x>",
        references=("<1@x>", "<2@x>"),
        subject="RE: Fw: Imogen",
    )

    reply = draft(email)

    assert reply.subject == "Re: Imogen"
    assert reply.in_reply_to == "<3@x>"
    assert reply.references == ("<1@x>", "<2@x>", "<3@x>")


def test_a_thread_without_references_is_kept_by_what_it_answers():
    assert draft(an_email(message_id="<3@x>", in_reply_to="<2@x>")).references == ("<2@x>", "<3@x>")


def test_a_very_long_thread_keeps_its_first_and_its_latest():
    email = an_email(message_id="<99@x>", references=[f"<{n}@x>" for n in range(60)])

    references = draft(email).references

    assert len(references) == 20
    assert (references[0], references[-1]) == ("<0@x>", "<99@x>")


def test_a_hostile_subject_cannot_add_headers():
    reply = draft(an_email(subject="Hello\r\nBcc: all@example.net " + "x" * 999))

    assert "\n" not in reply.subject
    assert "\r" not in reply.subject
    assert len(reply.subject) < 210


@pytest.mark.parametrize(
    "address",
    [
        "no-reply@clinic.example", "noreply@clinic.example", "do-not-reply@c.example",
        "bookings-noreply@c.example", "mailer-daemon@c.example", "postmaster@c.example",
        "bounces+123@c.example", "",
    ],
)  # fmt: skip
def test_nobody_answers_a_machine(address):
    assert draft(replace(an_email(), sender=Address("Clinic", address))) is None


def test_a_chat_without_an_address_still_gets_text_to_copy():
    chat = replace(an_email(), channel="chat", sender=Address("Marian Oldroyd", ""))

    assert draft(chat).to == ""
    assert "answer here and we will cancel" in draft(chat).body


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("notification", ["not_informed", "discussed"])
@pytest.mark.parametrize("kind", ["cancellation", "referral", "enquiry"])
def test_nobody_is_asked_in_a_chat_to_reply_to_an_email(name, notification, kind):
    asked = Values(
        "Dear Marian", "your session", "Imogen", "them", kind, notification, "initial",
        ("reason",), "", "", reason=True, late=False, to_come=True, alternatives=True,
        guarantee_asked=True, concern=False, in_chat=True,
    )  # fmt: skip

    words = render(WORDING, name, asked)

    assert "this email" not in words
    assert "an email" not in words


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("Marian Oldroyd", "Dear Marian"),
        ("MARIAN OLDROYD", "Dear Marian"),
        ("marian", "Dear Marian"),
        ("Oldroyd, Marian", "Dear Marian"),
        ("Marian Oldroyd MBACP", "Dear Marian"),
        ("Marian Oldroyd, BSc (Hons)", "Dear Marian"),
        ("Dr Ruth Pemberton-Hale", "Dear Ruth"),
        ("Dr. Okafor", "Dear Dr Okafor"),
        ("J. Smith", "Dear Smith"),
        ("Siân McKenna", "Dear Siân"),
        ("Stillwaters Therapy", "Hello"),
        ("Reception", "Hello"),
        ("info@clinic.example", "Hello"),
        ("", "Hello"),
        ("123", "Hello"),
        ("http://win.example/now", "Hello"),
        ("<b>Marian</b>", "Hello"),
    ],
)
def test_people_are_greeted_as_they_would_expect(name, begins):
    assert greeting(name) == begins


@given(st.text(max_size=60))
def test_whatever_the_name_the_greeting_is_one_plain_line(name):
    assert re.fullmatch(r"Hello|Dear (\w+ )?[\w'’\-]+", greeting(name))


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_whatever_is_written_as_client_or_subject_the_draft_is_one_letter(client, subject):
    reply = draft(an_email(subject=subject), replace(ASKED, client_ref=client))

    assert reply.body.startswith("Dear Marian,\n")
    assert reply.body.endswith("Kind regards,\nThe support team\n")
    assert len(reply.subject.splitlines()) == 1


def test_no_clinical_detail_is_repeated():
    body = draft().body.lower()

    for word in ("self-harm", "self harm", "dbt", "risk", "mismatch"):
        assert word not in body


def test_the_guarantee_is_never_promised():
    body = draft(request=replace(ASKED, guarantee_asked=True)).body

    assert "case by case" in body
    assert "guarantee" not in body.lower()


def test_only_what_is_missing_is_asked():
    asked = replace(ASKED, client_notification="discussed", required_approaches=())

    body = draft(request=asked).body

    assert body.count("?") == 1
    assert "which approach or experience" in body


@pytest.mark.parametrize(
    ("written", "goes_on"),
    [
        ("Imogen H.", "Imogen"),
        ("Imogen Hart", "Imogen"),
        ("Mrs Hart", "Mrs Hart"),
        ("I.H.", "I.H."),
        ("the Harts", "the Harts"),
        ("my 7pm", "your client"),
    ],
)
def test_a_client_is_named_as_the_therapist_named_them(written, goes_on):
    body = draft(request=replace(ASKED, client_ref=written)).body

    assert f"Before we cancel the session, {goes_on} needs to hear from you" in body
    assert ".." not in body


def test_a_carried_out_request_is_confirmed():
    decision = decide(an_email(), ASKED, FACTS, NOW, OfficeHours())

    done = draft_reply(an_email(), ASKED, FACTS, replace(decision, state="done"), WORDING)

    assert "We have cancelled your session with Imogen" in done.body
    assert "does not affect your badges" in done.body


def test_wording_travels_to_other_processes():
    again = pickle.loads(pickle.dumps(WORDING))

    assert again == WORDING
    assert draft(wording=again) == draft()


def test_operations_can_edit_the_wording():
    edited = {**sources(), "_letter.j2": sources()["_letter.j2"].replace("support team", "desk")}

    assert "The desk" in draft(wording=Wording.from_sources(edited)).body


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("enquiry.j2", "{% if %}", "enquiry.j2, line 1"),
        ("noted.j2", "{{ reply.clinet }}", "noted"),
        ("noted.j2", "{{ ''.__class__.__mro__ }}", "noted"),
        ("withdrawn.j2", "{% extends 'gone.j2' %}", "gone.j2"),
    ],
)
def test_a_slip_in_an_edited_template_shows_at_the_start(name, source, said):
    with pytest.raises(WordingError, match=said):
        Wording.from_sources({**sources(), name: source})


def test_a_missing_template_is_named():
    with pytest.raises(WordingError, match=r"missing templates: enquiry\.j2"):
        Wording.from_sources({k: v for k, v in sources().items() if k != "enquiry.j2"})


def test_every_template_is_shipped_and_none_besides():
    assert set(sources()) == {f"{name}.j2" for name in (*TEMPLATES, *CLIENT_TEMPLATES, *PARTS)}
