"""Folding, sentences and phrases: what every rule stands on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading_mail import groups, language, mail, noticed, read

from triage.language import fold
from triage.sentences import split


def sentences(text):
    return [s.text for s in read(text).sentences]


def test_sentences_end_where_people_end_them():
    text = (
        "Hi team,\n\nDr. Menon rang at 6.30pm. She can't see M. any more!"
        " Ref. HT-204518, e.g. Friday."
    )

    assert sentences(text) == [
        "Hi team,",
        "Dr. Menon rang at 6.30pm.",
        "She can't see M. any more!",
        "Ref. HT-204518, e.g. Friday.",
    ]


def test_bullets_and_short_lines_are_sentences():
    assert sentences("- told: no\n- next: CBT\nThanks\nJo") == [
        "- told: no",
        "- next: CBT",
        "Thanks",
        "Jo",
    ]


def test_an_initial_before_a_new_sentence_ends_one():
    assert sentences("I am ending with A.K. He knows. I see E. and her sister.") == [
        "I am ending with A.K.",
        "He knows.",
        "I see E. and her sister.",
    ]


def test_a_line_that_a_mail_program_broke_is_read_as_one():
    text = (
        "Please cancel the first session of my new client, who would rather be\n"
        "seen by somebody who works in person, and who has been told by me\n"
        "yesterday."
    )

    assert len(sentences(text)) == 1


def test_a_long_line_without_punctuation_is_read_as_the_sentences_it_holds():
    run_on = (
        "Please cancel HT-204518 on Friday with the new client She wants EMDR for her flashbacks"
        " and it is nothing that I am trained in I have told her why and what I would suggest and"
        " she sees it Could you find somebody for her"
    )

    assert sentences(run_on) == [
        "Please cancel HT-204518 on Friday with the new client",
        "She wants EMDR for her flashbacks and it is nothing that I am trained in",
        "I have told her why and what I would suggest and she sees it",
        "Could you find somebody for her",
    ]


def test_a_long_sentence_with_its_punctuation_stays_whole():
    whole = (
        "Owing to my father's stroke I'm relocating to Pune on 30 June for an unknown period,"
        " and so the Tuesday client whom I have seen since the spring needs somebody who can see"
        " her in the evenings and who would not mind The Hague's time zone."
    )

    assert sentences(whole) == [whole]


def test_a_sentence_points_at_the_words_as_written():
    text = "She\u200b’s been told.\r\nPlease cancel it."

    for sentence in read(text).sentences:
        words = text[sentence.start : sentence.end]
        assert fold(words).text == sentence.text


def test_a_document_of_spacy_has_our_sentence_boundaries():
    doc = language().doc("Dr. Menon rang. She’s ill.\nThanks")

    assert [s.text.strip() for s in doc.sents] == ["Dr. Menon rang.", "She's ill.", "Thanks"]


def test_look_alike_letters_and_invisible_ones_read_as_what_they_look_like():
    assert fold("Сanсеl\u00ad HT\u2011204518\u200f “now”").text == 'Cancel HT-204518 "now"'


@given(st.text(max_size=300))
def test_every_folded_letter_is_known_in_the_original(text):
    folded = fold(text)

    for first, last in split(folded.text):
        start, end = folded.place(first, last)
        assert 0 <= start < end <= len(text)


@given(st.text(max_size=200), st.text(max_size=80))
def test_no_text_makes_the_rules_fail(text, subject):
    found = groups(text, subject=subject)

    assert found
    for mention in noticed(text, subject=subject):
        part = getattr(mail(text, subject=subject), mention.span.part)
        assert part[mention.span.start : mention.span.end] == mention.span.text


def test_a_very_long_message_is_read_in_bounded_time():
    text = "HT-204518 Monday 9am 204519 no not Thursday 4pm Imogen " * 20_000

    assert groups(text)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("Our ref: QX TEAPOT 17", False),
        ("Your ref: LP/AD/22", False),
        ("Sent from my phone", False),
        ("Your ref: HT-204518", True),
        ("Your ref: 204518", True),
        ("Our ref: please cancel Dan too", True),
    ],
)
def test_a_line_of_a_letterhead_or_telephone_is_nobodys_words_but_an_id_is(line, kept):
    text = f"Please cancel.\n\n{line}"

    assert sentences(text) == ["Please cancel.", *([line] if kept else [])]
