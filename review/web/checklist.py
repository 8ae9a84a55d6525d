"""The platform's rules as a list with ticks: what is met, what blocks, and why it matters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from triage.gate import GATE
from triage.labels import Kind
from triage.policy import RULES

#: What is so where the blocker does not stand; in the order in which people look at it.
_MET: Final = {
    "urgent_risk": "Nobody is in present danger",
    "sender_unverified": "The sender is who they say they are",
    "not_session_owner": "The session is the sender's own",
    "session_unknown": "The session is on record",
    "session_ambiguous": "It is clear which session is meant",
    "session_past": "There is time to act",
    "client_not_told": "The client has been told",
    "reasons_not_discussed": "The reasons were discussed with the client",
    "client_disagrees": "The client does not object",
    "reason_missing": "The reason is given",
    "issues_missing": "The presenting issues are given",
    "needs_missing": "The approach or experience needed is given",
    "low_confidence": "The reading is sure enough",
    "contradiction": "Nothing contradicts anything else",
}

#: Of what nothing can be said while one of these blocks.
_MOOT: Final = {
    "reasons_not_discussed": {"client_not_told"},
    "client_disagrees": {"client_not_told"},
    "not_session_owner": {"sender_unverified", "session_unknown", "session_ambiguous"},
    "session_ambiguous": {"session_unknown"},
    "session_past": {"session_unknown", "session_ambiguous"},
}


@dataclass(frozen=True, slots=True)
class Check:
    """One rule; ``why`` and ``instead`` are said where it blocks."""

    code: str
    words: str
    standing: Literal["met", "blocks", "not asked"]
    passable: bool
    why: str
    instead: str


def checklist(kind: Kind, blockers: Iterable[str]) -> list[Check]:
    """Every rule, what blocks first; what nobody asks of *kind*, or nobody can know, says so."""
    standing = set(blockers)
    checks = [_check(code, kind, standing) for code in _MET]
    order = {"blocks": 0, "met": 1, "not asked": 2}
    return sorted(checks, key=lambda check: order[check.standing])


def _check(code: str, kind: Kind, standing: set[str]) -> Check:
    gate = GATE[code]
    asked = any(kind in rule.kinds and code in rule.blockers for rule in RULES)
    moot = bool(_MOOT.get(code, set()) & standing)
    state: Literal["met", "blocks", "not asked"] = "met" if asked and not moot else "not asked"
    if code in standing:
        state = "blocks"
    return Check(code, _MET[code], state, gate.passable, gate.why, gate.instead)
