"""The demo against what a person makes of each message of the sample."""

import json
import os
import subprocess
import sys
from email import message_from_bytes, policy
from importlib.resources import files
from pathlib import Path

import pytest

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"
SAMPLE = files("ingest.sample")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("judged")


@pytest.fixture(scope="module")
def cases(folder: Path) -> list[dict]:
    environment = {
        **os.environ,
        "FIT_TRIAGE_DATABASE_URL": f"sqlite:///{folder}/fit-triage.sqlite3",
    }

    def run(*arguments: str) -> str:
        return subprocess.run(
            [FIT_TRIAGE, *arguments], env=environment, capture_output=True, check=True, text=True
        ).stdout

    run("demo", "--folder", str(folder))
    lines = run("queue", "--json", "--closed") + run("queue", "--json", "--queue", "general")
    return [json.loads(line) for line in lines.splitlines()]


@pytest.fixture(scope="module")
def judged(folder: Path, cases: list[dict]) -> list[tuple[str, str, dict]]:
    """File, Message-ID and request of everything in the sample that a person gave a state."""
    assert cases
    rendered = {
        path.name.partition(".")[2]: path for path in (folder / "Maildir" / "new").iterdir()
    }
    found = []
    for line in (SAMPLE / "expected.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        raw = rendered[record["file"]].read_bytes()
        message_id = str(
            message_from_bytes(raw, policy=policy.compat32)["Message-ID"] or ""
        ).strip()
        found += [
            (record["file"], message_id, ask) for ask in record["requests"] if ask.get("state")
        ]
    return found


def case_of(cases: list[dict], message_id: str, ask: dict) -> dict | None:
    """The case that one message's request ended in."""
    mine = [case for case in cases if message_id in case["message_ids"]]
    named = [c for c in mine if c["session_id"] in ask["session_ids"]]
    return (named or mine or [None])[0]


def allowed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def test_nothing_is_ready_that_a_person_would_hold_back(
    cases: list[dict], judged: list[tuple[str, str, dict]]
) -> None:
    ready = [
        (file, ask["state"])
        for file, message_id, ask in judged
        if (case := case_of(cases, message_id, ask)) and case["state"] == "ready"
    ]

    assert len(ready) >= 10
    assert [file for file, state in ready if "ready" not in allowed(state)] == []


def test_no_urgent_risk_of_the_sample_goes_unseen(
    cases: list[dict], judged: list[tuple[str, str, dict]]
) -> None:
    urgent = [
        (file, case_of(cases, message_id, ask))
        for file, message_id, ask in judged
        if ask.get("risk") == "urgent"
    ]

    assert urgent
    assert [file for file, case in urgent if not (case and case["safeguarding"])] == []


def test_most_cases_end_where_a_person_would_put_them(
    cases: list[dict], judged: list[tuple[str, str, dict]]
) -> None:
    outcomes = [
        (file, ask["state"], case and case["state"])
        for file, message_id, ask in judged
        for case in [case_of(cases, message_id, ask)]
    ]

    elsewhere = [outcome for outcome in outcomes if outcome[2] not in allowed(outcome[1])]
    assert len(elsewhere) <= len(outcomes) // 5, elsewhere
