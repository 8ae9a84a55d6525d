"""Redaction as a reader of the export meets it. How much it finds is measured elsewhere."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.masking import vocabulary
from triage.redaction import Redacted, Vocabulary, redact
from triage.redaction_marks import marks


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    return vocabulary(["Wren Halloran", "Ikechi", "Young"])


def said(text: str, words: Vocabulary, **known: list[str]) -> str:
    [out] = redact((text,), words, year=2026, **known).texts
    return out


def test_a_person_has_one_placeholder_whatever_form_of_the_name_is_used(words: Vocabulary) -> None:
    out = redact(
        ("Sarah Mitchell", "Sarah's mum Ngozi rang. sarah mitchell agrees, Mrs Mitchell too."),
        words,
        year=2026,
    )

    assert out.texts == (
        "[NAME1]", "[NAME1]'s mum [NAME2] rang. [NAME1] agrees, Mrs [NAME1] too."
    )  # fmt: skip
    assert out.replaced["NAME"] == 5


@pytest.mark.parametrize(
    "phone",
    [
        "07700 900123", "07700900123", "+44 7700 900123", "+44 (0)7700 900 123", "(020) 7946 0018",
        "0117-496-0182",
        "00447700900123", "07 70 09 00 12 3", "7700 900123",
        "oh seven seven double oh nine oh oh one two three",
        "07700.900.123", "020 7946 0018 ext 12",
    ],
)  # fmt: skip
def test_telephone_numbers_go_however_they_are_grouped_or_spoken(
    phone: str, words: Vocabulary
) -> None:
    assert said(f"Ring me on {phone}, mornings.", words) == "Ring me on [PHONE1], mornings."


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("at 14 Beech Road, Leeds LS1 4AB today", "at [ADDRESS1] today"),
        ("at Flat 3, 14a St Mark's Court, Ely, CB7 4ab.", "at [ADDRESS1]."),
        ("my postcode is sw1a 1aa", "my postcode is [ADDRESS1]"),
        ("she lives at 9 old mill lane", "she lives at [ADDRESS1]"),
        ("to x.y+z@mail.example or x (at) mail (dot) example", "to [EMAIL1] or [EMAIL2]"),
        ("see https://beech.example/a?b=c and beech-therapy.co.uk", "see [LINK1] and [LINK2]"),
        ("DOB 3/4/1984, born on 12th May 1990", "DOB [DATE1], born on [DATE2]"),
        ("NHS no 943 476 5919", "NHS no [NHS NUMBER1]"),
        ("HT-204518 and ht 204 518, then #8812", "[SESSION1] and [SESSION1], then [SESSION2]"),
        ("client ref C-10023", "client ref [ID1]"),
        ("from 192.0.2.7", "from [LINK1]"),
    ],
)  # fmt: skip
def test_addresses_dates_of_birth_and_ids_go(text: str, out: str, words: Vocabulary) -> None:
    assert said(text, words) == out


def test_what_the_store_knows_of_a_case_goes_in_any_form(words: Vocabulary) -> None:
    text = "wren and ikechi know. Grace, c7 and S1001 too. Xyzzy"

    out = said(text, words, names=["Grace Adeyemi"], ids=["C7", "S1001"])

    assert out == "[NAME1] and [NAME2] know. [NAME3], [ID1] and [ID2] too. [NAME4]"


@pytest.mark.parametrize(
    "text",
    [
        "She has OCD and asks for ERP, EMDR or Compassion Focused Therapy; PHQ-9 is 17.",
        "Initial Session on Thursday 5 March 2026 at 17:30, £60, 50 minutes.",
        "Will you cancel? May I suggest Gestalt? Hope that helps.",
        "Jungian or Kleinian work, in English or Gaelic, after two years of Sertraline.",
        "Cancellation Of Initial Session For Fit",
        "PLEASE CANCEL. SHE WANTS CBT TODAY",
        "Plan B is a referral; type A and vitamin D do not matter. A friend told me.",
        "2026-03-05 17:30 to 2026-03-12 18:00; 1. 2. 3. 4. 5. 6. 7. 8. 9. 10.",
    ],
)
def test_what_the_work_is_about_stays(text: str, words: Vocabulary) -> None:
    assert said(text, words) == text


def test_names_hidden_behind_what_nobody_sees_go_too(words: Vocabulary) -> None:
    out = said("My client Sa\u200brah, Ѕаrаh or Sarah\u00a0Quill", words)

    assert out == "My client [NAME1], [NAME1] or [NAME1]"


@given(st.text(max_size=400))
def test_no_text_breaks_it_and_marks_never_overlap(text: str) -> None:
    found = marks(text, 2026)

    assert all(one.end <= other.start for one, other in itertools.pairwise(found))


@given(text=st.text(alphabet="AaBb1 .,'@-\n(0\u200bé", max_size=200))
def test_redacting_gives_a_text_for_a_text(text: str, words: Vocabulary) -> None:
    out = redact((text, ""), words, year=2026)

    assert isinstance(out, Redacted)
    assert len(out.texts) == 2


@pytest.mark.parametrize(
    "piece", ["A", "a.", "A.", "1 ", "one ", "12 Abc Def, ", "x@", "HT ", "B. "]
)
def test_hostile_text_takes_no_longer_than_its_length_says(piece: str, words: Vocabulary) -> None:
    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        began = time.process_time()
        redact((text,), words, year=2026)
        return time.process_time() - began

    assert seconds(16_000) < 20 * max(seconds(4_000), 0.02)
