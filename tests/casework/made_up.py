"""Made-up registry and requests of every kind, for property tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from casework import Registry
from triage.labels import (
    AGREEMENTS,
    FIT_REASONS,
    KINDS,
    NOTIFICATIONS,
    PRESENTING_ISSUES,
    REQUIRED_APPROACHES,
    RISKS,
    STAGES,
)
from triage.matter import Thresholds
from triage.records import Client, Finding, Request, Session, Therapist

NOW = datetime(2025, 11, 5, 10, tzinfo=UTC)
MARIAN, DESK, RUTH = "marian@oldroyd.example", "desk@oldroyd.example", "ruth@still.example"
SENDERS = (MARIAN, DESK, RUTH, "alex@elsewhere.example")
IDS = ("HT-218834", "HT-218835", "HT-218836", "HT-218837", "HT-999999")
CERTAIN = Thresholds()


def session(n: int, owner: str, hours: float, status: str) -> Session:
    return Session(IDS[n], owner, f"C-{n}", NOW + timedelta(hours=hours), "initial", status)


REGISTRY = Registry(
    sessions=(
        session(0, "T-MARIAN", 48, "confirmed"),
        session(1, "T-MARIAN", -30, "held"),
        session(2, "T-MARIAN", 72, "cancelled"),
        session(3, "T-RUTH", 48, "confirmed"),
    ),
    therapists=(
        Therapist("T-MARIAN", "Marian", (MARIAN,), (DESK,)),
        Therapist("T-RUTH", "Ruth", (RUTH,), ()),
    ),
    clients=tuple(
        Client(f"C-{n}", first, "Hart", "")
        for n, first in enumerate(("Imogen", "Devinder", "Sarah", "Tom"))
    ),
)
sure = st.sampled_from([0.3, 0.75, 1.0])


@st.composite
def requests(draw: st.DrawFn) -> Request:
    def some(codes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(draw(st.lists(st.sampled_from(codes[:4]), max_size=2, unique=True)))

    told = draw(st.sampled_from([*NOTIFICATIONS, "discussed", "discussed"]))
    return Request(
        draw(st.sampled_from([*KINDS, "cancellation", "cancellation"])),
        session_ids=tuple(draw(st.lists(st.sampled_from(IDS), max_size=2, unique=True))),
        client_ref=draw(st.sampled_from([None, "Imogen", "Imogen Hart", "Tom H", "my 10am"])),
        session_time=draw(st.sampled_from([None, "2025-11-07T10:00", "2025-11-07"])),
        session_stage=draw(st.sampled_from(STAGES)),
        fit_reasons=some((*FIT_REASONS[:3], "unspecified")),
        presenting_issues=some(PRESENTING_ISSUES),
        required_approaches=some(REQUIRED_APPROACHES),
        client_notification=told,
        client_agreement=draw(st.sampled_from(AGREEMENTS)),
        risk=draw(st.sampled_from([*RISKS, "none", "none"])),
        confidence=draw(sure),
        findings=(
            Finding("client_notification", told, None, "model:x", draw(sure)),
            Finding("session_ids", "", None, "model:x", draw(sure)),
        ),
    )


COMPLETE = Request(
    "cancellation",
    session_ids=IDS[:1],
    client_ref="Imogen",
    fit_reasons=("approach_mismatch",),
    presenting_issues=("ocd",),
    required_approaches=("erp",),
    client_notification="discussed",
)
