"""The scenario files in ``tests/data/scenarios``, as values.

How a scenario is written stands at the top of ``tests/data/scenarios/registry.toml``.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from casework import Desk, Handled, Registry, an_email, shipped_wording
from triage.deadlines import OfficeHours
from triage.labels import CODE_SETS, CODES
from triage.records import Client, Email, Finding, Request, Session, Therapist

FOLDER = Path(__file__).parents[1] / "data" / "scenarios"
LONDON = ZoneInfo("Europe/London")


@cache
def shared() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "registry.toml").read_text("utf-8"))


def local(moment: datetime) -> datetime:
    return moment.replace(tzinfo=LONDON)


def registry(*, known: bool) -> Registry:
    data = shared()
    lists = ("emails", "delegates", "approaches", "issues", "experience", "languages", "places")
    return Registry(
        sessions=tuple(
            Session(**{**row, "starts_at": local(row["starts_at"])}) for row in data["session"]
        ),
        therapists=tuple(
            Therapist(**{**row, **{k: tuple(row.get(k, ())) for k in lists}})
            for row in data["therapist"]
        ),
        clients=tuple(Client(**row) for row in data["client"]),
        known=known,
    )


def request_from(mail: dict[str, Any]) -> Request:
    fields = dict(shared()["ask"][mail["ask"]], **mail.get("but", {}))
    for name, value in fields.items():
        allowed = CODE_SETS.get(name) or CODES.get(name)
        named = value if isinstance(value, list) else [value]
        assert allowed is None or set(named) <= set(allowed), f"{name}: {value}"
    request = Request(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
    doubts = (("client_notification", "told_confidence"), ("session_ids", "id_confidence"))
    findings = tuple(
        Finding(label, "", None, "model:scenario", mail[key])
        for label, key in doubts
        if key in mail
    )
    return replace(request, findings=findings)


def scenarios() -> list[Any]:
    return [
        pytest.param(scenario, id=f"{path.stem}: {scenario['name']}")
        for path in sorted(FOLDER.glob("*.toml"))
        for scenario in tomllib.loads(path.read_text("utf-8")).get("scenario", [])
    ]


def office() -> OfficeHours:
    return OfficeHours(holidays=frozenset(shared()["office"]["holidays"]))


def clock(scenario: dict[str, Any], mail: dict[str, Any]) -> datetime:
    return local(mail.get("now", scenario.get("now", shared()["office"]["now"]))).astimezone(UTC)


def email_from(scenario: dict[str, Any], mail: dict[str, Any], number: int) -> Email:
    """The mail as parsed; those of one moment were written a second apart."""
    who = shared()["people"][mail.get("from", "Marian")]
    return an_email(
        who["email"],
        name=who["name"],
        message_id=f"<{number}@scenario.example>",
        in_reply_to=f"<{mail['answers']}@scenario.example>" if "answers" in mail else "",
        authenticated=mail.get("authenticated", True),
        subject=mail.get("subject", "My new client"),
        text=mail.get("text", ""),
        automatic=mail.get("automatic", ""),
        sent_at=clock(scenario, mail) + timedelta(seconds=number),
    )


def take(desk: Desk, scenario: dict[str, Any], mail: dict[str, Any], number: int) -> Handled:
    email = email_from(scenario, mail, number)
    return desk.take(email, request_from(mail), clock(scenario, mail))


@cache
def wording() -> Any:
    return shipped_wording()


def check(handled: Handled, expected: dict[str, Any]) -> None:
    decision, draft = handled.decision, handled.decision.draft
    seen: dict[str, Any] = {
        "queue": decision.queue,
        "state": decision.state,
        "blockers": sorted(decision.blockers),
        "safeguarding": decision.safeguarding,
        "guarantee": decision.guarantee == "proposed",
        "priority": decision.priority,
        "case": handled.case_id,
        "session": handled.facts.session.session_id if handled.facts.session else "",
        "proposals": [p.session_id for p in handled.facts.proposals],
        "alternatives": [a.therapist_id for a in decision.alternatives],
        "template": draft.template if draft else "none",
        "deadline": decision.deadline.astimezone(LONDON).replace(tzinfo=None)
        if decision.deadline
        else "none",
    }
    wanted = {k: v for k, v in expected.items() if not k.endswith(("says", "never", "because"))}
    wanted["blockers"] = sorted(expected.get("blockers", []))
    assert {k: seen[k] for k in wanted} == wanted
    body = draft.body if draft else ""
    for words in expected.get("says", []):
        assert words in body
    for words in expected.get("never", []):
        assert words.lower() not in body.lower()
    for words in expected.get("because", []):
        assert any(words in reason for reason in decision.reasons), decision.reasons
