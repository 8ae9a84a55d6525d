"""Which release is in use, since when and by whom: promotion, rollback and the way here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from models.registry import ModelRefusedError, promote, promoted

_HISTORY: Final = "PROMOTIONS.jsonl"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the release in use. ``before`` is what was in use until then, "" for none."""

    action: Literal["promote", "rollback"]
    version: str
    before: str
    at: str  # ISO 8601, UTC
    by: str


def put_into_use(version: str, by: str, releases: Path) -> Step:
    """Use *version* from now on. Asks no gate: see ``gates.gate_report``.

    Raises ModelRefusedError where the release cannot be loaded.
    """
    return _step("promote", version, by, releases)


def roll_back(by: str, releases: Path) -> Step:
    """Use the release again that was in use before the present one was promoted.

    Raises ModelRefusedError where there is none, or it cannot be loaded by this program.
    """
    now = promoted(releases)
    back = next(
        (s for s in reversed(history(releases)) if s.action == "promote" and s.version == now), None
    )
    if back is None or not back.before:
        raise ModelRefusedError(f"no release is on record that was in use before {now}")
    return _step("rollback", back.before, by, releases)


def history(releases: Path) -> list[Step]:
    """Every change of the release in use, oldest first."""
    try:
        lines = (releases / _HISTORY).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [Step(**json.loads(line)) for line in lines if line.strip()]


def latest_steps(releases: Path) -> Mapping[str, Step]:
    """By version, when it last came into use."""
    return {step.version: step for step in history(releases)}


def _step(action: Literal["promote", "rollback"], version: str, by: str, releases: Path) -> Step:
    try:
        before = promoted(releases)
    except ModelRefusedError:
        before = ""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    step = Step(action, version, before, at, by)
    promote(version, releases)
    with (releases / _HISTORY).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(step)) + "\n")
    return step
