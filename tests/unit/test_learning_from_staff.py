import dataclasses

import pytest
from cases_judged import READ, a_case, an_email
from predictions_made import small_corpus

from models.feedback import (
    COLLEAGUE_CAP,
    FREE,
    SENDER_CAP,
    collect,
    guard_findings,
    with_staff,
    write_rows,
)
from triage.records import Request


def test_an_approved_reading_becomes_a_row_that_says_whose_it_is():
    (row,) = collect([a_case(7)]).rows

    assert row.example.requests == (READ,)
    assert (row.by, row.cases, row.version) == ("ann", (7,), "0.2.2")
    assert row.at == "2025-11-03T12:07:00+00:00"
    assert "practice.example" not in str(row.provenance())
    assert "told her" not in str(row.provenance())


def test_a_correction_is_what_is_learned():
    case = a_case(1, "correct", fit_reasons=["approach_mismatch"], kind="referral")

    (row,) = collect([case]).rows

    assert row.example.requests[0].fit_reasons == ("approach_mismatch",)
    assert row.example.requests[0].kind == "referral"
    assert row.corrected == ("fit_reasons", "kind")


def test_a_reading_set_right_first_and_approved_then_is_learned_as_set_right():
    corrected = a_case(1, "correct", client_notification="discussed", fit_reasons=["format"])
    (first,) = corrected.judgements
    read = dataclasses.replace(READ, client_notification="discussed", fit_reasons=("format",))
    approval = dataclasses.replace(first.verdict, action="approve", by="ben", corrections=())
    approved = dataclasses.replace(first, verdict=approval, request=read)

    both = collect([dataclasses.replace(corrected, judgements=(first, approved))])
    only = dataclasses.replace(
        first, verdict=dataclasses.replace(first.verdict, corrections=first.verdict.corrections[1:])
    )
    again = dataclasses.replace(
        approved, request=dataclasses.replace(READ, fit_reasons=("format",))
    )
    (row,) = collect([dataclasses.replace(corrected, judgements=(only, again))]).rows

    # The words that were read stood for another answer: they may not be taught as saying this one.
    assert both.left_out == {"no words marked for who told the client": 1}
    assert (row.corrected, row.by, row.version) == (("fit_reasons",), "ben", "0.2.2")


def test_what_is_left_to_the_ordinary_inbox_is_learned_as_no_fit_matter():
    (row,) = collect([a_case(1, "general")]).rows

    assert row.example.requests == (Request(kind="other", session_ids=("HT-204518",)),)


def test_telling_nobody_which_words_said_it_teaches_nothing():
    without = collect([a_case(1, "correct", client_notification="discussed")])
    words = "I told her. Evenings no longer work"
    marked = collect(
        [a_case(1, "correct", client_notification="discussed", notification_evidence=words)]
    )

    assert without.rows == ()
    assert without.left_out == {"no words marked for who told the client": 1}
    assert marked.rows[0].example.requests[0].notification_evidence == words


@pytest.mark.parametrize("action", ["snooze", "assign", "dismiss", "withdraw", "reopen"])
def test_setting_a_case_aside_says_nothing_about_its_reading(action):
    assert collect([a_case(1, action)]).left_out == {"nobody has settled it": 1}


def test_half_a_mail_is_not_learned_from():
    one = dataclasses.replace(a_case(1), asks=2)
    merged = dataclasses.replace(a_case(2), emails=(an_email(2), an_email(3)))

    found = collect([one, merged])

    assert found.rows == ()
    assert found.left_out == {"another ask of the mail is open": 1, "several mails in one case": 1}


def test_one_sender_cannot_decide_what_a_class_means():
    flood = [a_case(n, "general", sender="troll@bad.example") for n in range(100, 200)]
    honest = [a_case(n, "general") for n in range(20)]

    found = collect([*flood, *honest])

    by_sender = [row.example.email.sender.email for row in found.rows]
    trolls = by_sender.count("troll@bad.example")
    assert FREE < trolls <= SENDER_CAP * len(by_sender)
    assert len(by_sender) - trolls == 20
    assert found.left_out["too many of one sender or colleague"] == 100 - trolls
    assert guard_findings([row.provenance() for row in found.rows]) == []


def test_one_colleague_among_several_cannot_decide_what_a_class_means():
    clicks = [a_case(n, by="mallory") for n in range(100, 160)]
    found = collect([*clicks, *(a_case(n, by=f"colleague{n % 3}") for n in range(12))])

    names = [row.by for row in found.rows]
    assert names.count("mallory") <= COLLEAGUE_CAP * len(names)


def test_rows_above_the_cap_are_found_in_a_releases_provenance():
    rows = [row.provenance() for row in collect([a_case(n) for n in range(10)]).rows]

    poisoned = rows + [dict(rows[0]) for _ in range(9)]

    assert guard_findings(rows) == []
    assert guard_findings(poisoned) == [
        "one sender has too large a share of client_notification:informed"
    ]


def test_a_model_of_staffs_rows_says_so_in_its_data(tmp_path):
    corpus = small_corpus(tmp_path / "c", ("t1",), 20)
    collected = collect([a_case(n) for n in range(3)])

    taught = with_staff(corpus, collected.rows)
    write_rows(collected, tmp_path)

    assert len(taught.examples) == 23
    assert taught.digest != corpus.digest
    assert with_staff(corpus, ()) is corpus
    assert "case" in (tmp_path / "staff_rows.json").read_text("utf-8")


def test_a_mail_of_which_words_were_erased_teaches_nothing():
    case = a_case(1)
    cut = dataclasses.replace(case.emails[0], defects=("erased_in_part",))

    found = collect([dataclasses.replace(case, emails=(cut,))])

    assert found.rows == ()
    assert found.left_out == {"words of it were erased": 1}
