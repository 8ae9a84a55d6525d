"""What a person types to act on a case, what they are told, and what the store then holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from casework.scenarios import email_from, office, registry, request_from, wording
from click.testing import Result
from store_samples import registry_file
from typer.testing import CliRunner

from review.commands import app
from review.desk import Desk, UsageProblemError
from store import open_store
from triage.conversation import Rules, hear
from triage.matter import Thresholds
from triage.records import MessageKey

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)
MAILS: tuple[dict[str, Any], ...] = (
    {"ask": "complete cancellation", "but": {"alternatives_requested": True}},
    {
        "ask": "complete cancellation",
        "but": {
            "session_ids": ["HT-210002"],
            "client_ref": "Sarah Malik",
            "client_notification": "not_informed",
        },
    },
    {
        "ask": "complete cancellation",
        "from": "Ruth",
        "but": {"session_ids": ["HT-330001"], "client_ref": "Priya", "risk": "urgent"},
    },
)

Typed = Callable[..., Result]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Types a command; the store holds a ready case, one that waits for the client, one urgent."""
    url = f"sqlite:///{tmp_path / 'cases.sqlite3'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", url)
    known = registry(known=True)

    def row(value: Any) -> dict[str, Any]:
        fields = {name: getattr(value, name) for name in value.__slots__}
        return {**fields, "open_to_new": "yes" if fields.get("open_to_new") else "no"}

    with open_store(url) as store:
        store.import_registry(
            therapists=registry_file(map(row, known.therapists)),
            clients=registry_file(map(row, known.clients)),
            sessions=registry_file(map(row, known.sessions)),
            now=NOW,
        )
        rules = Rules(NOW, office(), Thresholds(), wording())
        for number, mail in enumerate(MAILS, start=1):
            email = email_from({"now": NOW.replace(tzinfo=None)}, mail, number)
            digest = hashlib.sha256(str(number).encode()).hexdigest()
            with store.batch(now=NOW) as memory:
                outcomes = hear(email, [request_from(mail)], memory, rules)
                memory.add(MessageKey("maildir:x", "", 1, number), digest, email, outcomes)

    def run(*arguments: str, now: str = "2025-11-04T10:05") -> Result:
        told = [*arguments, "--now", now] if now else list(arguments)
        return CliRunner().invoke(app, told, obj=Desk(SimpleNamespace()))  # type: ignore[arg-type]

    return run


def told(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_number_alone_shows_the_case_as_before(typed: Typed) -> None:
    for command in (("case", "1"), ("case", "show", "1"), ("show", "1")):
        shown = typed(*command)

        assert shown.exit_code == 0, shown.exception
        assert "case 1, version 1" in shown.stdout
        assert "approving it now" in shown.stdout
        assert "Your session on Thursday 6 November at 7pm has been cancelled" in shown.stdout


def test_approving_says_what_leaves_and_until_when_it_can_be_undone(typed: Typed) -> None:
    done = typed("case", "approve", "1", "--by", "anna")

    assert done.exit_code == 0, done.stderr
    assert "case 1: done" in done.stdout
    assert "session.cancel HT-218834" in done.stdout
    assert "to the client (cancelled), imogen@client.example" in done.stdout
    assert "Tue 04 Nov 10:05:30, unless undone" in done.stdout


def test_a_rehearsal_shows_the_letters_and_does_nothing(typed: Typed) -> None:
    tried = typed("case", "approve", "1", "--dry-run")

    assert tried.exit_code == 0
    assert "Dear Imogen" in tried.stdout
    assert "Dear Marian" in tried.stdout
    after = told(typed("case", "1", "--json"))
    assert (after["state"], after["version"], after["outbox"]) == ("ready", 1, [])


def test_a_refusal_names_the_rule_and_what_is_allowed(typed: Typed) -> None:
    plain = typed("case", "approve", "2", "--by", "anna")
    for_programs = typed("case", "approve", "2", "--by", "anna", "--json")

    assert plain.exit_code == for_programs.exit_code == 2
    assert "refused (client_not_told): rule 1" in plain.stderr
    assert "override client_not_told with a written reason" in plain.stderr
    assert told(for_programs)["refused"]["rule"] == "client_not_told"
    assert told(typed("case", "2", "--json"))["version"] == 1


def test_an_override_is_written_down_and_listed_for_a_second_look(typed: Typed) -> None:
    override = ("--override", "client_not_told")
    assert typed("case", "approve", "2", "--by", "anna", *override).exit_code == 2

    done = typed("case", "approve", "2", "--by", "anna", *override, "--reason", "She rang us.")
    listed = typed("case", "overrides", now="")
    rows = typed("case", "overrides", "--json", now="")

    assert done.exit_code == 0, done.stderr
    assert "anna: approve, passing over: client not told. She rang us." in listed.stdout
    assert told(rows)["overrides"] == ["client_not_told"]
    assert "passing over: client not told" in typed("show", "2").stdout


def test_urgent_risk_is_passed_by_no_override(typed: Typed) -> None:
    tried = typed("case", "approve", "3", "--override", "urgent_risk", "--reason", "Sure.")

    assert tried.exit_code == 2
    assert "no override passes this" in tried.stderr
    assert "safeguarding steps" in tried.stderr


def test_a_double_click_is_one_action_and_somebody_elses_click_a_conflict(typed: Typed) -> None:
    click = ("case", "approve", "1", "--by", "anna", "--version", "1")
    first = told(typed(*click, "--json"))
    second = told(typed(*click, "--json"))
    other = typed("case", "dismiss", "1", "--by", "ben", "--version", "1")

    assert first["refused"] is None
    assert second["refused"] is None
    assert first["version"] == second["version"] == 2
    assert other.exit_code == 2
    assert "changed by anna (approve)" in other.stderr
    assert len(told(typed("case", "1", "--json"))["outbox"]) == 4


def test_an_action_can_be_taken_back_until_it_leaves(typed: Typed) -> None:
    typed("case", "approve", "1", "--by", "anna")

    undone = typed("case", "undo", "1", "--by", "anna", now="2025-11-04T10:05:10")
    late = typed("case", "approve", "1", "--by", "anna", now="2025-11-04T10:06")
    too_late = typed("case", "undo", "1", "--by", "anna", now="2025-11-04T11:00")

    assert undone.exit_code == 0, undone.stderr
    assert "case 1: ready" in undone.stdout
    assert "Will not leave: session.cancel:HT-218834" in undone.stdout
    assert late.exit_code == 0
    assert too_late.exit_code == 2
    assert "too late to undo" in too_late.stderr


def test_fields_are_set_right_beside_what_the_program_had_read(typed: Typed) -> None:
    done = typed(
        "case", "correct", "2", "client_notification=discussed", "fit_reasons=availability,format"
    )
    shown = told(typed("case", "2", "--json"))

    assert done.exit_code == 0, done.exception
    assert shown["state"] == "ready"
    assert shown["fit_reasons"] == ["availability", "format"]
    [verdict] = shown["verdicts"]
    assert {c["field"]: c["before"] for c in verdict["corrections"]} == {
        "client_notification": "not_informed",
        "fit_reasons": ["approach_mismatch"],
    }


@pytest.mark.parametrize("typo", ["colour=red", "kind=order", "kind", "session_ids=12"])
def test_a_wrong_correction_says_what_is_allowed(typed: Typed, typo: str) -> None:
    tried = typed("case", "correct", "2", typo)

    assert tried.exit_code != 0
    assert isinstance(tried.exception, UsageProblemError) or "allowed" in tried.stderr
    assert told(typed("case", "2", "--json"))["version"] == 1


def test_the_draft_goes_back_in_ones_own_words(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("Dear Marian, please ring Sarah first.\n", "utf-8")

    done = typed("case", "send-back", "2", "--by", "anna", "--body", "words.txt", "--json")

    [letter] = told(done)["outgoing"]
    assert letter["payload"]["body"] == "Dear Marian, please ring Sarah first.\n"
    assert letter["payload"]["to"] == "marian@oldroyd.example"
    assert letter["payload"]["in_reply_to"] == "<2@scenario.example>"
    assert letter["payload"]["subject"] == "Re: My new client"


def test_an_edited_letter_comes_from_a_file(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Imogen, we will ring you.\n", "utf-8")
    edit = ("--edit", "client_cancelled=letter.txt")

    done = told(typed("case", "approve", "1", *edit, "--recommend", "T-OMAR", "--json"))
    typo = typed("case", "approve", "1", "--edit", "client=letter.txt")

    texts = {item["action"]: item["payload"].get("body") for item in done["outgoing"]}
    assert texts["client_cancelled"] == "Dear Imogen, we will ring you.\n"
    assert isinstance(typo.exception, UsageProblemError)
    assert "client_cancelled" in str(typo.exception)


def test_the_rest_of_what_staff_do_with_a_case(typed: Typed) -> None:
    steps = (
        (("assign", "2", "ben"), "awaiting_client"),
        (("snooze", "2", "--until", "2025-11-05T09:00"), "awaiting_client"),
        (("note", "2"), "done"),
        (("reopen", "2"), "awaiting_client"),
        (("withdraw", "2", "--no-letters"), "withdrawn"),
        (("reopen", "2"), "awaiting_client"),
        (("general", "2"), "dismissed"),
        (("reopen", "2"), "awaiting_client"),
        (("dismiss", "2", "--reason", "Twice."), "dismissed"),
        (("guarantee", "1"), "ready"),
        (("refer", "1", "T-OMAR"), "done"),
    )
    for (action, *rest), state in steps:
        done = typed("case", action, *rest, "--by", "anna", "--json")

        assert done.exit_code == 0, (action, done.stderr, done.exception)
        assert told(done)["state"] == state, action
    assert told(typed("case", "2", "--json"))["assignee"] == "ben"


def test_a_case_that_is_not_there_is_wrong_use(typed: Typed) -> None:
    for command in (
        ("case", "99"),
        ("case", "approve", "99"),
        ("case", "correct", "99", "kind=other"),
    ):
        tried = typed(*command)

        assert isinstance(tried.exception, UsageProblemError)
        assert "there is no case 99" in str(tried.exception)


def test_queues_tell_programs_the_version_and_who_has_it(typed: Typed) -> None:
    typed("case", "assign", "1", "ben", "--by", "anna")

    rows = [json.loads(line) for line in typed("queue", "--json").stdout.splitlines()]

    found = {row["case_id"]: (row["version"], row["assignee"]) for row in rows}
    assert found[1] == (2, "ben")
    assert found[2] == (1, None)


def test_a_case_that_no_mail_holds_up_has_nothing_to_release(typed: Typed) -> None:
    done = typed("case", "release", "1", "--by", "anna", "--reason", "x")

    assert done.exit_code == 2
    assert "nothing of this case is held" in done.stderr
