"""A program's mail is called so with its reason; a person's mail never for one weak sign."""

import hashlib
from datetime import UTC, datetime
from email.message import Message

import pytest

from ingest import automatic
from ingest.headers import Headers
from ingest.parsing import ParseOptions, parse
from triage.records import OUTGOING_HEADERS, MessageKey, RawMessage


def read(text, **options):
    content = text.encode()
    key, digest = MessageKey("s", "INBOX", 1, 1), hashlib.sha256(content).hexdigest()
    raw = RawMessage(key, datetime(2025, 11, 3, tzinfo=UTC), digest, content)
    return parse(raw, ParseOptions(**options))


def reason(fields, *, sender="ann@therapist.example", subject="Cancel", types=("text/plain",)):
    message = Message()
    for name, value in fields.items():
        message[name] = value
    return automatic.reason(Headers(message), sender, subject, types)


@pytest.mark.parametrize(
    ("fields", "more", "expected"),
    [
        ({"Auto-Submitted": "auto-replied"}, {}, "auto-replied"),
        ({"Auto-Submitted": "auto-replied"}, {"subject": "Out of office"}, "out-of-office"),
        ({"Auto-Submitted": "auto-generated (rejected)"}, {}, "auto-generated"),
        ({"Auto-Submitted": "auto-notified; owner-email=a@b"}, {}, "auto-notified"),
        ({"X-Autoreply": "yes"}, {}, "auto-replied"),
        ({"X-Auto-Response-Suppress": "All"}, {"subject": "Automatic reply: 1"}, "out-of-office"),
        ({"Precedence": "auto_reply"}, {}, "auto-replied"),
        ({"Precedence": "bulk"}, {"subject": "Abwesenheitsnotiz: HT-1"}, "out-of-office"),
        ({}, {"types": ("multipart/report",)}, "bounce"),
        ({"Content-Type": "multipart/report; report-type=disposition-notification"},
         {"types": ("multipart/report",)}, "disposition"),
        ({"X-Failed-Recipients": "a@b"}, {}, "bounce"),
        ({}, {"sender": "mailer-daemon@x.example"}, "bounce"),
        ({"Return-Path": "<>"}, {"sender": "postmaster@x.example",
                                 "subject": "Undeliverable: HT-1"}, "bounce"),
        ({"List-Id": "<l.x.example>", "List-Post": "<mailto:l@x.example>"}, {}, "list"),
        ({"List-Unsubscribe": "<mailto:u@x>", "List-Id": "<n.x.example>"}, {}, "bulk"),
        ({"Precedence": "bulk", "List-Unsubscribe": "<mailto:u@x>"}, {}, "bulk"),
        ({"List-Unsubscribe": "<mailto:u@x>"}, {"sender": "newsletter@x.example"}, "bulk"),
        ({"X-Fit-Triage": "draft"}, {}, "own-mail"),
    ],
)  # fmt: skip
def test_a_program_says_what_it_is(fields, more, expected):
    assert reason(fields, **more) == expected


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ({}, {}),
        ({"Auto-Submitted": "no"}, {}),
        ({"Precedence": "bulk"}, {}),
        ({"Precedence": "list"}, {}),
        ({"Return-Path": "<>"}, {}),
        ({"X-Auto-Response-Suppress": "OOF, AutoReply"}, {}),
        ({"List-Unsubscribe": "<mailto:u@x>"}, {}),
        ({}, {"subject": "Out of office next week, please cancel HT-100001"}),
        ({}, {"subject": "Annual leave: please cancel HT-100001"}),
        ({"In-Reply-To": "<1@x>"}, {"subject": "Re: Out of office"}),
        ({"X-Autoreply": "no"}, {}),
        ({}, {"sender": "noreply@therapist.example"}),
        ({}, {"sender": "postmaster@therapist.example", "subject": "Cancel HT-100001"}),
        ({}, {"subject": "Undeliverable promises, please cancel"}),
    ],
)
def test_a_person_with_one_weak_sign_stays_a_person(fields, more):
    assert reason(fields, **more) == ""


@pytest.mark.parametrize(
    "subject",
    ["Réponse automatique : HT-1", "Respuesta automática: HT-1", "Automatisch antwoord: HT-1",
     "Automatische Antwort: HT-1", "Risposta automatica: HT-1", "Odpowiedź automatyczna: HT-1",
     "Автоматический ответ: HT-1", "Resposta automática: HT-1", "自動返信: HT-1"],
)  # fmt: skip
def test_absences_are_known_in_other_languages(subject):
    assert reason({"Auto-Submitted": "auto-replied"}, subject=subject) == "out-of-office"


# --- our own mail, and what comes back of it

OURS = frozenset({"support@therapy.example"})


def test_mail_of_ours_is_known_by_its_header():
    fields = "".join(f"{name}: {value}\n" for name, value in OUTGOING_HEADERS.items())

    email = read(f"From: someone@else.example\n{fields}\nWe have cancelled it.\n")

    assert email.automatic == "own-mail"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("From: Support <Support@therapy.example>\n", "own-mail"),
        ("From: support@therapy.example\nReply-To: support@therapy.example\n", "own-mail"),
        ("From: support@therapy.example\nReply-To: ann@therapist.example\n", ""),
        ("From: ann@therapist.example\n", ""),
    ],
)
def test_mail_from_our_own_address_is_ours_unless_answers_go_elsewhere(fields, expected):
    email = read(f"{fields}Subject: Session\n\nPlease cancel.\n", own_addresses=OURS)

    assert email.automatic == expected


NOTICE = "<77.notice@therapy.example>"
REPORT = (
    "From: MAILER-DAEMON@mx.example\nSubject: Undelivered Mail Returned to Sender\n"
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
    "--b\nContent-Type: text/plain\n\nIt could not be delivered.\n\n"
    "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n"
    "Final-Recipient: rfc822; ann@therapist.example\nAction: failed\n\n"
)


@pytest.mark.parametrize(
    "message",
    [
        f"{REPORT}--b\nContent-Type: message/rfc822\n\nSubject: x\nMessage-ID: {NOTICE}\n\n--b--",
        f"{REPORT}--b\nContent-Type: text/rfc822-headers\n\nMessage-ID:\n {NOTICE}\n\n--b--\n",
        f"From: mailer-daemon@mx.example\nSubject: Failed\n\nA copy:\n\nMessage-Id: {NOTICE}\n\nhi",
    ],
)
def test_a_bounce_refers_to_the_mail_that_came_back(message):
    email = read(message)

    assert email.automatic == "bounce"
    assert email.references == (NOTICE,)


def test_a_persons_mail_refers_to_nothing_that_stands_in_its_text():
    email = read(f"From: ann@therapist.example\n\nMessage-ID: {NOTICE}\n\nPlease cancel.\n")

    assert email.references == ()
