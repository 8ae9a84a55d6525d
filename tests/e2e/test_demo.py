"""The main job as a stranger sees it first: the sample mailbox in, the queues out."""

import json
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from ingest.sample import write_sample

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def shown(folder: Path) -> str:
    return fit_triage(folder, "demo", "--folder", str(folder))


@pytest.fixture(scope="module")
def cases(folder: Path, shown: str) -> list[dict]:
    assert shown
    return [json.loads(line) for line in fit_triage(folder, "queue", "--json").splitlines()]


def fit_triage(folder: Path, *arguments: str) -> str:
    url = f"sqlite:///{folder / 'fit-triage.sqlite3'}"
    environment = {**os.environ, "FIT_TRIAGE_DATABASE_URL": url}
    done = subprocess.run(
        [FIT_TRIAGE, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_demo_shows_each_queue_and_says_how_to_go_on(shown: str) -> None:
    for words in ("cancellation (", "referral (", "enquiry (", "what is missing", "deadline"):
        assert words in shown
    assert "show CASE" in shown
    assert "in the browser  review" in shown


def test_the_figures_of_the_demo_add_up(shown: str) -> None:
    found = re.search(
        r"fetched (\d+) = queued (\d+) \+ general (\d+) \+ quarantined (\d+)"
        r" \+ already known (\d+)",
        shown,
    )

    assert found is not None
    fetched, *parts = map(int, found.groups())
    assert fetched >= 80
    assert fetched == sum(parts)
    assert "DOES NOT ADD UP" not in shown


def test_safeguarding_is_on_top_and_never_ready(cases: list[dict]) -> None:
    flagged = [case["safeguarding"] for case in cases]

    assert any(flagged)
    assert flagged == sorted(flagged, reverse=True)
    assert all(case["state"] != "ready" for case in cases if case["safeguarding"])


def test_what_is_ready_meets_every_rule(cases: list[dict]) -> None:
    ready = [case for case in cases if case["state"] == "ready"]

    assert ready
    for case in ready:
        assert case["sender_authenticated"]
        assert case["client_notification"] == "discussed"
        assert case["blockers"] == []
        assert case["session_id"]


def test_a_referral_comes_with_alternatives_and_their_reasons(cases: list[dict]) -> None:
    offered = [case["alternatives"] for case in cases if case["kind"] == "referral"]

    assert any(len(alternatives) == 3 for alternatives in offered)
    assert all(option["why"] for alternatives in offered for option in alternatives)


def test_drafts_ask_for_what_is_missing(cases: list[dict]) -> None:
    waiting = [case for case in cases if case["state"] in {"awaiting_client", "awaiting_details"}]

    assert waiting
    assert all(case["draft"] and case["draft"]["body"] for case in waiting)
    assert all("{{" not in case["draft"]["body"] for case in waiting)


def test_a_case_can_be_shown_from_its_mail_to_its_draft(folder: Path, cases: list[dict]) -> None:
    waiting = next(case for case in cases if case["state"] == "awaiting_client")

    shown = fit_triage(folder, "show", str(waiting["case_id"]))

    assert "message" in shown
    assert "why" in shown
    assert "draft (not sent)" in shown
    assert waiting["session_id"] in shown


def test_a_case_tells_how_it_went_for_people_and_for_programs(
    folder: Path, cases: list[dict]
) -> None:
    number = str(max(cases, key=lambda case: len(case["message_ids"]))["case_id"])

    shown = fit_triage(folder, "case", number)
    told = json.loads(fit_triage(folder, "case", number, "--json"))

    assert "how it went" in shown
    assert len(told["decisions"]) == len(told["messages"]) > 1
    assert told["contradictions"] == [] or "contradictions" in shown


def test_the_demo_points_at_a_case_of_each_kind(folder: Path, shown: str) -> None:
    found = dict(re.findall(r"Worth a look  show (\d+): (.+)", shown))
    numbers = {what: number for number, what in found.items()}

    assert len(numbers) == 4
    [grown] = [n for what, n in numbers.items() if what.startswith("a thread that went")]
    told = json.loads(fit_triage(folder, "case", grown, "--json"))
    states = [made["state"] for made in told["decisions"]]
    assert (states[0], states[-1]) == ("awaiting_client", "ready")


def test_the_demo_shows_one_approval_and_all_that_it_would_send(folder: Path, shown: str) -> None:
    [number] = re.findall(r"What approving case (\d+) would do and send", shown)
    _, _, said = shown.partition("What approving case")

    for words in ("session.cancel HT-", "to the client", "to the therapist", "Dear ", "Subject: "):
        assert words in said
    told = json.loads(fit_triage(folder, "case", number, "--json"))
    assert (told["state"], told["outbox"]) == ("ready", [])
    assert told["approval"]["refused"] is None


def test_what_lapses_before_the_office_opens_again_is_a_view(
    folder: Path, cases: list[dict]
) -> None:
    due = min(case["deadline"] for case in cases if case["deadline"])
    morning = due[:10] + "T10:00"

    lines = fit_triage(folder, "queue", "--lapsing", "--now", morning, "--json").splitlines()

    found = [json.loads(line) for line in lines]
    assert due in {case["deadline"] for case in found}
    assert all(case["deadline"][:10] == due[:10] for case in found)
    assert all(case["escalation"]["level"] for case in found)


def test_a_second_demo_of_the_day_finds_nothing_new(folder: Path, shown: str) -> None:
    again = fit_triage(folder, "demo", "--folder", str(folder))

    assert "fetched 0 = queued 0" in again
    assert again.count("│") == shown.count("│")


def test_the_sample_can_be_explained_without_a_database(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, date(2026, 3, 2))

    lines = fit_triage(tmp_path, "explain", str(sample.maildir), "--json").splitlines()

    found = [json.loads(line) for line in lines]
    assert len(found) >= 80
    for message in found:
        for request in message["requests"]:
            for finding in request["findings"]:
                if finding["part"] in {"subject", "new_text"}:
                    words = message[finding["part"]][finding["start"] : finding["end"]]
                    assert words == finding["text"]
    assert not (tmp_path / "fit-triage.sqlite3").exists()


def test_a_quick_reading_leaves_the_transformer_out(tmp_path: Path) -> None:
    mail = tmp_path / "one.eml"
    mail.write_bytes(
        b"From: ada@therapist.example\r\nTo: support@platform.example\r\nSubject: HT-123456\r\n"
        b"Message-ID: <1@therapist.example>\r\nDate: Mon, 02 Mar 2026 09:00:00 +0000\r\n\r\n"
        b"Please cancel HT-123456, we are no fit. I have talked it over with the client.\r\n"
    )

    full, quick = (
        json.loads(fit_triage(tmp_path, *options, "explain", str(mail), "--json"))
        for options in ((), ("--fast",))
    )

    assert full["requests"][0]["kind"] == quick["requests"][0]["kind"] == "cancellation"
    assert full["requests"][0]["findings"] != quick["requests"][0]["findings"]
