from dataclasses import replace

import pytest

from models.corpus import email_of, load_corpus
from models.reading import Reader, load_reader, rules_only
from triage.records import Email, Request

BASE = {
    "id": "m1",
    "from_name": "Ada Quill",
    "from_email": "ada@quill.example",
    "sent": "2025-11-03T10:42:00+00:00",
    "subject": "HT-218834",
    "signature": "",
    "quoted": "",
}


def mail(text: str, **fields: str) -> Email:
    return email_of({**BASE, "new_text": text, **fields})


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader()


@pytest.fixture(scope="module")
def corpus_mail() -> list[Email]:
    return [example.email for example in load_corpus().examples[::12]]


@pytest.fixture(scope="module")
def readings(reader, corpus_mail) -> list[tuple[Request, ...]]:
    return reader.read(corpus_mail)


def test_a_plain_cancellation_is_read_in_all_its_parts(reader):
    email = mail(
        "Please cancel HT-218834. Her questionnaire says OCD and she asks for ERP, in which I am"
        " not trained. I rang her yesterday and we talked through why; she agrees and is happy for"
        " you to find her somebody else. Could you suggest another therapist who offers ERP?"
    )

    [[request]] = reader.read([email])

    assert request.kind == "cancellation"
    assert request.session_ids == ("HT-218834",)
    assert request.client_notification == "discussed"
    assert "talked through why" in request.notification_evidence
    assert "approach_mismatch" in request.fit_reasons
    assert "ocd" in request.presenting_issues
    assert "erp" in request.required_approaches
    assert request.alternatives_requested


def test_asking_the_team_to_tell_the_client_beats_a_plan(reader):
    email = mail(
        "Please cancel HT-218834, the gambling is outside my competence. I had meant to ring him"
        " tonight, but would you please let him know for me that it is cancelled?"
    )

    [[request]] = reader.read([email])

    assert request.client_notification == "asks_team"


def test_telling_a_supervisor_is_not_telling_the_client(reader):
    email = mail(
        "Please cancel HT-218834, the gambling is outside my competence. I talked it through with"
        " my supervisor on Monday and she agrees."
    )

    [[request]] = reader.read([email])

    assert request.client_notification not in {"discussed", "informed"}


def test_quoted_mail_never_counts_as_the_senders_own_statement(reader):
    new = "Please cancel HT-218834, the gambling is outside my competence."
    quoted = "On Monday Ada wrote:\n> I told her and we talked it all through, she agrees.\n> CBT"

    [alone], [with_history] = reader.read([mail(new), mail(new, quoted=quoted)])

    assert with_history.client_notification == alone.client_notification
    assert with_history.client_agreement == alone.client_agreement
    assert with_history.required_approaches == alone.required_approaches


def test_automatic_mail_is_one_other_request(reader):
    email = replace(mail("Please cancel HT-218834."), automatic="auto-replied")

    [requests] = reader.read([email])

    assert [r.kind for r in requests] == ["other"]


@pytest.mark.parametrize("text", ["", "   \n", "?", "👍", "x" * 50_000, "HT-204518 " * 500])
def test_every_message_has_a_request_however_odd(reader, text):
    [requests] = reader.read([mail(text, subject="")])

    assert requests
    assert all(0 <= r.confidence <= 1 for r in requests)


def test_nothing_to_read_is_nothing_read(reader):
    assert reader.read([]) == []


def test_how_messages_are_batched_changes_nothing(reader, corpus_mail, readings):
    together = readings[::4]

    one_by_one = [requests for email in corpus_mail[::4] for requests in reader.read([email])]

    assert [[r.kind for r in m] for m in together] == [[r.kind for r in m] for m in one_by_one]
    for m, n in zip(together, one_by_one, strict=True):
        for a, b in zip(m, n, strict=True):
            assert replace(a, confidence=0, findings=()) == replace(b, confidence=0, findings=())
            assert a.confidence == pytest.approx(b.confidence, abs=2e-3)


def test_every_finding_points_at_words_of_the_message(corpus_mail, readings):
    for email, requests in zip(corpus_mail, readings, strict=True):
        for finding in (f for r in requests for f in r.findings):
            assert finding.source.startswith(("rule:", "model:"))
            assert 0 <= finding.confidence <= 1
            if finding.span is not None:
                part = getattr(email, finding.span.part)
                assert part[finding.span.start : finding.span.end] == finding.span.text


def test_evidence_stands_in_the_message_and_only_where_something_was_said(corpus_mail, readings):
    for email, requests in zip(corpus_mail, readings, strict=True):
        for request in requests:
            told = request.client_notification != "unknown"
            assert bool(request.notification_evidence) == told
            assert request.notification_evidence in email.subject + "\n" + email.new_text


def test_the_guidelines_hold_for_kinds_that_call_for_nothing(readings):
    for requests in readings:
        for request in requests:
            if request.kind in {"other", "withdrawal"}:
                assert request.fit_reasons == ()
                assert request.client_notification == "unknown"
            if request.kind in {"cancellation", "referral", "note_reason"}:
                assert request.fit_reasons


def test_without_a_model_everything_goes_to_a_person(corpus_mail):
    for requests in rules_only().read(corpus_mail):
        assert requests
        assert all(r.confidence <= 0.2 for r in requests)
        assert all(f.confidence <= 0.2 for r in requests for f in r.findings)


def test_danger_is_answered_long_before_it_is_the_likeliest():
    import numpy as np

    from models.answers import choose_risk, choose_told

    assert choose_risk(np.array([0.7, 0.15, 0.15]))[0] == "urgent"
    assert choose_risk(np.array([0.7, 0.28, 0.02]))[0] == "none"
    assert choose_told(np.array([0.35, 0.25, 0.2, 0.1, 0.05, 0.05]), 0.7) == "planned"
    assert choose_told(np.array([0.5, 0.25, 0.1, 0.1, 0.0, 0.05]), 0.7) == "discussed"
