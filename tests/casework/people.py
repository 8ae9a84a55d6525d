"""The scenarios in which a person acts, as values, and how what came of it is checked.

How they are written stands at the top of ``tests/data/scenarios/people/approving.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Protocol

import pytest

from casework import Desk, Handled
from casework.scenarios import FOLDER, check, clock, local, take
from triage.corrections import correction
from triage.gate import Refused
from triage.records import Decision, Request
from triage.verdicts import Outgoing, Verdict


@dataclass(frozen=True)
class Did:
    """What came of an action, wherever it was taken."""

    state: str
    decision: Decision
    outgoing: tuple[Outgoing, ...] = ()
    remarks: tuple[str, ...] = ()
    refused: Refused | None = None


class Office(Protocol):
    """Where scenarios play: in memory, or on a database."""

    def hear(self, scenario: dict[str, Any], mail: dict[str, Any], number: int) -> Handled: ...

    def request(self, case_id: int) -> Request: ...

    def act(self, verdict: Verdict) -> Did: ...

    def undo(self, case_id: int, verdict: Verdict) -> Did: ...


@dataclass(frozen=True)
class InMemory:
    desk: Desk

    def hear(self, scenario: dict[str, Any], mail: dict[str, Any], number: int) -> Handled:
        return take(self.desk, scenario, mail, number)

    def request(self, case_id: int) -> Request:
        return self.desk.cases[case_id].request

    def act(self, verdict: Verdict) -> Did:
        carried = self.desk.act(verdict)
        hand = self.desk.in_hand(verdict.case_id)
        told = carried.outgoing, carried.remarks, carried.refused
        return Did(hand.case.state, hand.decision, *told)

    def undo(self, case_id: int, verdict: Verdict) -> Did:  # noqa: ARG002 - the store's needs the name
        self.desk.undo(case_id)
        hand = self.desk.in_hand(case_id)
        return Did(hand.case.state, hand.decision)


def acted_scenarios() -> list[Any]:
    return [
        pytest.param(scenario, id=f"{path.stem}: {scenario['name']}")
        for path in sorted((FOLDER / "people").glob("*.toml"))
        for scenario in tomllib.loads(path.read_text("utf-8"))["scenario"]
    ]


def play(office: Office, scenario: dict[str, Any]) -> None:
    """Every step of *scenario* in its order, each checked."""
    for number, step in enumerate(scenario["step"], start=1):
        if "act" in step:
            done = do(office, scenario, step)
            check_deed(done, step["expect"])
        else:
            check(office.hear(scenario, step, number), step["expect"])


def do(office: Office, scenario: dict[str, Any], step: dict[str, Any]) -> Did:
    case_id = step.get("case", 1)
    verdict = verdict_from(scenario, step, office.request(case_id))
    return office.undo(case_id, verdict) if step["act"] == "undo" else office.act(verdict)


def verdict_from(scenario: dict[str, Any], step: dict[str, Any], request: Request) -> Verdict:
    details = {
        name: step[name]
        for name in ("alternatives", "assignee", "body", "letters", "texts")
        if name in step
    }
    if "until" in step:
        details["until"] = local(step["until"]).astimezone(UTC)
    return Verdict(
        case_id=step.get("case", 1),
        action=step["act"],
        by=step.get("by", "anna"),
        at=clock(scenario, step),
        corrections=tuple(correction(request, n, v) for n, v in step.get("set", {}).items()),
        reason=step.get("reason", ""),
        overrides=tuple(step.get("overrides", ())),
        details=details,
    )


def leaves(outgoing: Iterable[Outgoing]) -> list[str]:
    return [
        f"{item.action} {item.session_id}"
        if item.channel == "platform"
        else f"{item.action} to {item.payload['to']}"
        for item in outgoing
    ]


def letter(outgoing: Iterable[Outgoing], *, to_client: bool) -> str:
    return "\n".join(
        f"{item.payload['subject']}\n{item.payload['body']}"
        for item in outgoing
        if item.channel != "platform" and item.action.startswith("client_") == to_client
    )


def check_deed(done: Did, expected: dict[str, Any]) -> None:
    seen: dict[str, Any] = {
        "state": done.state,
        "queue": done.decision.queue,
        "blockers": sorted(done.decision.blockers),
        "guarantee": done.decision.guarantee,
        "leaves": sorted(leaves(done.outgoing)),
        "refused": done.refused.rule if done.refused else "",
        "template": done.decision.draft.template if done.decision.draft else "none",
    }
    wanted = {name: value for name, value in expected.items() if name in seen}
    wanted = {"refused": "", "leaves": [], **wanted}
    for name in ("blockers", "leaves"):
        if name in wanted:
            wanted[name] = sorted(wanted[name])
    assert {name: seen[name] for name in wanted} == wanted, done.refused
    texts = {
        "client": letter(done.outgoing, to_client=True),
        "therapist": letter(done.outgoing, to_client=False),
        "allowed": " / ".join(done.refused.allowed) if done.refused else "",
        "remarks": " / ".join(done.remarks),
        "because": " / ".join(done.decision.reasons),
    }
    for name, text in texts.items():
        for words in expected.get(f"{name}_says", []):
            assert words in text, (name, text)
        for words in expected.get(f"{name}_never", []):
            assert words.lower() not in text.lower(), (name, text)
    unknown = set(expected) - set(seen) - {f"{n}_{w}" for n in texts for w in ("says", "never")}
    assert not unknown, unknown
