"""Which words are which ask: what holds however a mail is cut and whatever is put together."""

from __future__ import annotations

from dataclasses import replace

from casework import an_email
from casework.scenarios import registry
from casework.splitting import DANGER, IMOGEN, RULES, SARAH, TOLD, UNTOLD, WHY, said_by
from hypothesis import example, given
from hypothesis import strategies as st

from triage.conversation import tell_as_one
from triage.gate import Refused
from triage.language import sentences_of
from triage.records import Email, Finding, Request, Said, Span
from triage.regrouping import Regrouped, Told, cut, merge, split
from triage.splitting import Halves, halves, held_back, numbered, one_ask, only, placed

REGISTRY = registry(known=True)
GATE = {"client_not_told", "reasons_not_discussed"}
SENTENCES = (IMOGEN, TOLD, WHY, SARAH, UNTOLD, DANGER)
CHARACTERS = st.sampled_from("aB. \n!?:,;’“—\u200béÅ7\t\r")
MAILS = st.lists(st.sampled_from(SENTENCES), min_size=2, max_size=6, unique=True)


def told_of(*mails: tuple[int, Email]) -> Told:
    """The case of these mails, read by the stand-in, as a person would have it before them."""
    said = [Said(email, said_by(email.new_text)[0], (n, 0)) for n, email in mails]
    outcome, case = tell_as_one(said, (), REGISTRY, RULES)
    case = replace(case, case_id=mails[0][0], request=outcome.request)
    return Told(case, outcome.decision, 1, tuple(said))


def mail(number: int, *words: str) -> tuple[int, Email]:
    email = an_email(message_id=f"<{number}@x>", text=" ".join(words), subject="My clients")
    return number, email


def divided(told: Told, chosen: set[int]) -> Regrouped | Refused:
    made = cut(told, chosen)
    if isinstance(made, Refused):
        return made
    read = [said_by(one.new_text) for one in made.mails()]
    return split(told, made, read, REGISTRY, RULES, "mari")


# --- words ---------------------------------------------------------------------------------------


@given(st.text(CHARACTERS, max_size=60), st.text(CHARACTERS, max_size=200), st.data())
def test_every_sentence_is_in_one_half_and_none_in_both(
    subject: str, text: str, data: st.DataObject
) -> None:
    email = an_email(subject=subject, text=text)
    sentences = sentences_of(email)
    chosen = data.draw(st.sets(st.sampled_from(range(1, len(sentences) + 1)))) if sentences else ()

    made = halves(email, (), chosen, may_take_all=False)

    if isinstance(made, Refused):
        return
    for one in sentences:
        holding = [
            any(p == one.part and a <= one.start and one.end <= b for p, a, b in half)
            for half in (made.chosen, made.rest)
        ]
        assert holding == [one.index + 1 in chosen, one.index + 1 not in chosen]


@given(st.text(CHARACTERS, max_size=200), st.data())
def test_what_is_left_after_two_cuts_is_what_was_in_neither(text: str, data: st.DataObject) -> None:
    email = an_email(subject="One thing.", text=text)
    numbers = [n for n, _ in numbered(email)]
    first = data.draw(st.sets(st.sampled_from(numbers), min_size=1))
    made = halves(email, (), first, may_take_all=False)
    if isinstance(made, Refused):
        return

    left = [n for n, _ in numbered(email, made.rest)]

    assert left == [n for n in numbers if n not in first]
    assert [n for n, _ in numbered(email, made.chosen)] == sorted(first)


@given(st.lists(st.sampled_from(SENTENCES), min_size=3, max_size=6), st.data())
def test_evidence_stands_in_the_whole_mail_where_it_stood_in_the_part(
    words: list[str], data: st.DataObject
) -> None:
    email = an_email(text=" ".join(words))
    made = halves(email, (), {len(words), 2}, may_take_all=False)
    assert isinstance(made, Halves)
    part = only(email, made.chosen, quoted=False)
    start = data.draw(st.integers(0, len(part.new_text) - 1))
    end = data.draw(st.integers(start, len(part.new_text)))
    found = Finding("risk", "x", Span("new_text", start, end, part.new_text[start:end]), "r", 1.0)

    [back] = placed(Request("other", findings=(found,)), email, made.chosen).findings

    if back.span:
        told = back.span
        assert email.new_text[told.start : told.end] == told.text
        assert any(a <= told.start and told.end <= b for _, a, b in made.chosen)
        assert part.new_text[start:end].startswith(told.text)


def test_a_part_is_read_without_what_was_quoted_and_without_the_subject() -> None:
    email = replace(mail(1, IMOGEN, SARAH)[1], quoted_text="> HT-218834")
    made = halves(email, (), {3}, may_take_all=False)
    assert isinstance(made, Halves)

    chosen, rest = only(email, made.chosen, quoted=False), only(email, made.rest, quoted=True)

    assert (chosen.subject, chosen.new_text, chosen.quoted_text) == ("", SARAH, "")
    assert (rest.subject, rest.new_text, rest.quoted_text) == ("My clients", IMOGEN, "> HT-218834")


# --- the client gate -----------------------------------------------------------------------------


@given(MAILS, st.sets(st.integers(2, 7), min_size=1, max_size=3))
def test_no_cut_opens_the_client_gate(words: list[str], chosen: set[int]) -> None:
    before = told_of(mail(1, *words))

    made = divided(before, chosen)

    if isinstance(made, Refused):
        return
    after = [made.first, *made.others]
    knowing = [one for one in after if one.outcome.request.client_notification == "discussed"]
    apart = {words[n - 2] for n in chosen} & {IMOGEN, SARAH}
    if GATE & {*before.decision.blockers} and len(apart) != 1:
        assert not knowing
    for one in knowing:
        own = [piece for piece in made.pieces if piece.said.place in one.case.asks]
        text = " ".join(only(p.said.email, p.words, quoted=False).new_text for p in own)
        assert TOLD in text
        assert UNTOLD not in text
    assert len(knowing) <= 1


@given(MAILS, st.sets(st.integers(2, 7), min_size=1, max_size=3))
def test_no_cut_makes_a_case_less_dangerous(words: list[str], chosen: set[int]) -> None:
    before = told_of(mail(1, *words))

    made = divided(before, chosen)

    if isinstance(made, Regrouped):
        assert made.first.outcome.request.risk == before.case.request.risk


@given(MAILS, MAILS)
@example([IMOGEN, WHY], [TOLD, WHY])
@example([TOLD, WHY], [IMOGEN, WHY])
@example([IMOGEN, TOLD], [WHY, DANGER])
def test_no_merge_opens_the_client_gate_by_what_was_said_of_nobody_or_another(
    one: list[str], other: list[str]
) -> None:
    first, second = told_of(mail(1, *one)), told_of(mail(2, *other))

    made = merge(second, first, REGISTRY, RULES, "mari", settled=False)

    if isinstance(made, Refused):
        return
    whole = made.first.outcome
    if whole.request.client_notification in ("discussed", "informed"):
        named = [words for words in (one, other) if TOLD in words and {IMOGEN, SARAH} & {*words}]
        anonymous = not {IMOGEN, SARAH} & {*one, *other}
        assert named or (anonymous and TOLD in one)
    assert whole.request.risk == max(
        first.case.request.risk, second.case.request.risk, key=("none", "urgent").index
    )
    assert made.others[0].outcome.decision.state == "dismissed"
    assert made.others[0].outcome.decision.draft is None


def test_what_is_held_back_is_never_more_told_than_before() -> None:
    told, unsaid = Request("cancellation", client_notification="discussed"), Request("cancellation")

    assert held_back(told, unsaid).client_notification == "unknown"
    assert held_back(unsaid, told) == unsaid
    assert held_back(told, replace(unsaid, client_agreement="declines")).client_agreement == (
        "declines"
    )


def test_a_mark_of_one_ask_keeps_its_places_and_who_said_so() -> None:
    mark = one_ask([(2, 0), (1, 0)], "mari")

    assert (mark.value, mark.source) == ("[[1, 0], [2, 0]]", "person:mari")
