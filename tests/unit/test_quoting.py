"""New text apart from quotes and signatures: the words that decide are never thrown away."""

import json
import time
from pathlib import Path

import pytest

from ingest.quoting import split

SHARED = Path(__file__).resolve().parents[3] / "shared"

HISTORY = "> Has the client been told?\n> Please confirm."


@pytest.mark.parametrize(
    "attribution",
    [
        "On Mon, 3 Nov 2025 at 10:00, Therapy Support <support@therapy.example> wrote:",
        "On 3 Nov 2025, at 10:00, Support wrote:",
        "On Mon, 3 Nov 2025 at 10:00, Therapy Support <\nsupport@therapy.example> wrote:",
        "Am 03.11.2025 um 10:00 schrieb Support:",
        "Le lun. 3 nov. 2025 à 10:00, Support <support@therapy.example> a écrit :",
        "El 3 nov 2025, a las 10:00, Support <support@therapy.example> escribió:",
        "Il giorno lun 3 nov 2025 alle ore 10:00 Support <support@therapy.example> ha scritto:",
        "Op 3 november 2025 10:00 schreef Support <support@therapy.example>:",
        "W dniu 3.11.2025 o 10:00, Support <support@therapy.example> napisał(a):",
        "Den 3 november 2025 10:00 skrev Support <support@therapy.example>:",
        "Em seg., 3 de nov. de 2025 às 10:00, Support <support@therapy.example> escreveu:",
        "pn., 3 lis 2025 o 10:00 Support <support@therapy.example> napisał(a):",
        "пн, 3 нояб. 2025 г. в 10:00, Support <support@therapy.example>:",
        "-----Original Message-----",
        "-----Ursprüngliche Nachricht-----",
        (
            "________________________________\nFrom: Support <support@therapy.example>\n"
            "Sent: 03 November 2025 10:00\nTo: Ann Lee\nSubject: Re: HT-100001"
        ),
        (
            "Von: Support <support@therapy.example>\nGesendet: Montag, 3. November 2025 10:00\n"
            "An: Ann Lee\nBetreff: AW: HT-100001"
        ),
        (
            "De : Support <support@therapy.example>\nEnvoyé : lundi 3 novembre 2025 10:00\n"
            "À : Ann Lee\nObjet : HT-100001"
        ),
    ],
)
@pytest.mark.parametrize("history", [HISTORY, "Has the client been told?\nPlease confirm."])
def test_what_a_mail_program_introduces_is_quoted(attribution, history):
    parts = split(f"Yes, I told her on Sunday.\n\n{attribution}\n\n{history}\n")

    assert parts.new_text == "Yes, I told her on Sunday."
    assert "Has the client been told?" in parts.quoted_text


def test_an_answer_between_quoted_lines_is_new():
    text = (
        "On Mon, 3 Nov 2025 at 10:00, Support <s@therapy.example> wrote:\n"
        "> Has the client been told?\n\nYes, on Sunday, by phone.\n\n"
        "> And the reason?\n\nI do not work with psychosis.\n"
    )

    parts = split(text)

    assert parts.new_text == "Yes, on Sunday, by phone.\n\nI do not work with psychosis."


def test_an_answer_right_under_a_long_question_is_new():
    question = (
        "> Have you told the client that you would be asking for the session to be cancelled?"
    )

    parts = split(
        f"On 3 Nov 2025 at 10:00, Support wrote:\n{question}\nyes told her tuesday\n> ok?"
    )

    assert parts.new_text == "yes told her tuesday"


def test_an_answer_below_the_quote_is_new():
    parts = split(f"On 3 Nov 2025 at 10:00, Support wrote:\n{HISTORY}\n\nShe knows.\n")

    assert parts.new_text == "She knows."


def test_the_line_on_top_of_a_forward_is_new_and_the_forwarded_mail_is_not():
    text = (
        "See below, she has agreed.\n\n---------- Forwarded message ---------\n"
        "From: Cara <cara@client.example>\nDate: Mon, 3 Nov 2025 at 09:00\nSubject: us\n\n"
        "I would rather stop.\n"
    )

    parts = split(text)

    assert parts.new_text == "See below, she has agreed."
    assert "I would rather stop." in parts.quoted_text


@pytest.mark.parametrize(
    "text",
    [
        "On 3 Nov 2025 at 19:30 she wrote:\n\nI want to stop.\n\nSo please cancel HT-100001.",
        "On Thursday the client wrote:\n\nNo more sessions please. Cancel HT-100001.",
        "Three to cancel:\n\n>> HT-100001, told her\n\n>> HT-100002, not yet",
        "Date: Wednesday 3 December\nTime: 7pm\nReason: I do not treat OCD",
        "Please cancel.\n\n- Monday\n- Tuesday\n\nI told her on -- Sunday",
        "Two things:\n--\nplease cancel HT-100001, I told her yesterday and she agreed with it",
    ],
)
def test_the_senders_own_words_stay_new_when_in_doubt(text):
    parts = split(text)

    assert parts.quoted_text == ""
    assert parts.signature == ""


def test_doubt_about_a_quote_is_a_defect():
    text = "From: Dr Lee <lee@x.example>\nDate: 3 Nov 2025 10:00\nSubject: Cancel\n\nPlease cancel."

    parts = split(text)

    assert "Please cancel." in parts.new_text
    assert "quote_doubtful" in parts.defects


def test_answers_said_to_be_inside_an_unmarked_quote_are_a_defect():
    parts = split(
        "My answers are below in red.\n\nOn 3 Nov 2025 at 10:00, Support <s@x.example> wrote:\n"
        "Has she been told? Yes she has."
    )

    assert "answers_may_be_inline" in parts.defects


@pytest.mark.parametrize(
    "signature",
    [
        "-- \nAnn Lee MBACP\nTel 01632 960123",
        "Ann Lee MBACP\nIntegrative counsellor, Leeds\n01632 960123",
        "Sent from my iPhone",
        "Get Outlook for iOS<https://aka.ms/o0ukef>",
        (
            "Ann Lee\nUKCP registered\n\nThis email is confidential. If you are not the intended "
            "recipient please delete it."
        ),
        "Von meinem iPhone gesendet",
    ],
)
def test_a_signature_is_set_apart_and_the_closing_stays(signature):
    parts = split(f"Please cancel HT-100001.\n\nKind regards\n\n{signature}\n", sender="Ann Lee")

    assert parts.new_text == "Please cancel HT-100001.\n\nKind regards"
    assert parts.signature.split() == signature.split()


def test_prose_above_a_signature_is_never_part_of_it():
    text = (
        "Please cancel.\n\nShe needs to be monitored, medically, this week, not next; I told her."
        "\n\nAnn Lee, UKCP"
    )

    parts = split(text, sender="Ann Lee")

    assert "I told her." in parts.new_text


def test_a_warning_about_external_mail_is_nobodys_words():
    banner = (
        "CAUTION: This email originated from outside of the organisation. Do not click links or "
        "open attachments unless you recognise the sender."
    )

    parts = split(f"{banner}\n\nHi team, please cancel HT-100001.")

    assert parts.new_text == "Hi team, please cancel HT-100001."
    assert "external_banner" in parts.defects


def test_a_mail_that_is_only_quoted_says_so():
    parts = split(f"On 3 Nov 2025 at 10:00, Support wrote:\n{HISTORY}")

    assert parts.new_text == ""
    assert parts.defects == ("nothing_new",)


def test_every_word_ends_up_in_exactly_one_part():
    text = f"Yes.\n\nAnn Lee MBACP\n01632 960123\n\nOn 3 Nov 2025 at 10:00, S wrote:\n{HISTORY}"

    parts = split(text, sender="Ann Lee")

    together = f"{parts.new_text} {parts.quoted_text} {parts.signature}"
    assert sorted(together.split()) == sorted(text.split())


@pytest.mark.parametrize(
    "unit",
    [
        "On Mon, 3 Nov 2025 at 10:00, x wrote:\n> q\n\na\n", "From: x\n\n",
        "--\nI told you so now\n",
        "thanks\n", "> ", "- ", "x <a@b.example> wrote:\n", "Sent from my ", " ", "_" * 40 + "\n",
    ],
)  # fmt: skip
def test_time_grows_no_faster_than_the_text(unit):
    def seconds(size):
        text = "x\n" + unit * (size // len(unit))
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            split(text)
            best = min(best, time.process_time() - started)
        return best

    once, four_times = seconds(20_000), seconds(80_000)

    assert four_times < 8 * once + 0.02


@pytest.fixture(scope="module")
def reply_pairs():
    path = SHARED / "mail" / "reply_pairs.jsonl"
    if not path.exists():
        pytest.skip("the reply pairs of public libraries are not on this machine")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_public_reply_pairs_are_split_as_their_libraries_expect(reply_pairs):
    from compare_parsers import answer, f1, squeezed

    answers = [(answer(pair), pair["expected"]) for pair in reply_pairs]

    exact = sum(squeezed(got) == squeezed(wanted) for got, wanted in answers) / len(answers)
    assert exact >= 0.88
    assert sum(f1(got, wanted) for got, wanted in answers) / len(answers) >= 0.95


def test_no_evidence_in_the_corpus_is_thrown_away():
    from corpus_mail import corpus_records

    lost = []
    for record in corpus_records():
        parts = (record["new_text"], record["signature"], record["quoted"])
        result = split("\n\n".join(filter(None, parts)), sender=record["from_name"])
        new = " ".join(result.new_text.split())
        for request in record["requests"]:
            evidence = " ".join(request["notification_evidence"].split())
            in_new = evidence in " ".join(record["new_text"].split())
            if evidence and in_new and evidence not in new:
                lost.append(record["id"])

    assert lost == []


def test_office_hours_under_the_signature_delimiter_are_signature():
    parts = split("Please cancel.\n\n-- \nAnn Lee\nI do not check email between sessions.")

    assert parts.new_text == "Please cancel."
    assert parts.defects == ()


def test_a_request_under_the_signature_delimiter_is_new_and_doubted():
    parts = split("Please cancel.\n\n-- \nAnn Lee\nPS: I told her on Sunday that we stop.")

    assert "I told her on Sunday" in parts.new_text
    assert parts.defects == ("signature_doubtful",)
