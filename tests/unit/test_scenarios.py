"""Every scenario file in ``tests/data/scenarios``, run through link, join, merge, decide, draft.

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
from triage.policy import RULES
from triage.records import Client, Finding, Request, Session, Therapist

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


def take(desk: Desk, scenario: dict[str, Any], mail: dict[str, Any], number: int) -> Handled:
    now = local(mail.get("now", scenario.get("now", shared()["office"]["now"])))
    who = shared()["people"][mail.get("from", "Marian")]
    email = an_email(
        who["email"],
        name=who["name"],
        message_id=f"<{number}@scenario.example>",
        in_reply_to=f"<{mail['answers']}@scenario.example>" if "answers" in mail else "",
        authenticated=mail.get("authenticated", True),
        subject=mail.get("subject", "My new client"),
        text=mail.get("text", ""),
        automatic=mail.get("automatic", ""),
        sent_at=now.astimezone(UTC),
    )
    return desk.take(email, request_from(mail), now.astimezone(UTC))


@pytest.mark.parametrize("scenario", scenarios())
def test_scenario(scenario: dict[str, Any]) -> None:
    desk = Desk(registry(known=scenario.get("registry", True)), office(), wording())

    for number, mail in enumerate(scenario["mail"], start=1):
        handled = take(desk, scenario, mail, number)

        check(handled, mail["expect"])


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


def test_every_rule_and_every_blocker_has_a_scenario() -> None:
    desk_reasons: set[str] = set()
    blockers: set[str] = set()
    for param in scenarios():
        (scenario,) = param.values
        desk = Desk(registry(known=scenario.get("registry", True)), office(), wording())
        for number, mail in enumerate(scenario["mail"], start=1):
            decision = take(desk, scenario, mail, number).decision
            desk_reasons.update(decision.reasons)
            blockers.update(decision.blockers)

    unused = [r.name for r in RULES if r.reason not in desk_reasons and r.name != "anything else"]
    assert unused == []
    assert blockers == {code for rule in RULES for code in rule.blockers}


def test_a_mail_read_twice_changes_nothing() -> None:
    for param in scenarios():
        (scenario,) = param.values
        desk = Desk(registry(known=scenario.get("registry", True)), office(), wording())
        for number, mail in enumerate(scenario["mail"], start=1):
            first = take(desk, scenario, mail, number)
            if first.decision.state in {"withdrawn", "dismissed"} or not mail.get("replay", True):
                continue
            again = take(desk, scenario, mail, number)

            if again.joined:
                assert replace(again.decision, draft=None) == replace(first.decision, draft=None)


def test_a_decision_changes_only_with_the_clock_where_a_deadline_passes() -> None:
    for param in scenarios():
        (scenario,) = param.values
        mail = scenario["mail"][0]
        moved = {**mail, "now": mail.get("now", shared()["office"]["now"]) + timedelta(seconds=1)}
        known = scenario.get("registry", True)
        first = take(Desk(registry(known=known), office(), wording()), scenario, mail, 1).decision
        later = take(Desk(registry(known=known), office(), wording()), scenario, moved, 1).decision
        if "now" not in scenario and first.state != later.state:
            raise AssertionError(scenario["name"])
