"""What a person filters the queues by: from an address to a question, and back as chips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from review.desk import one_of
from review.terminal import MISSING
from review.web import words
from store import NOBODY, Place, Wanted
from triage.labels import BLOCKERS, STATES
from triage.records import Directory

#: The names of all filters, as they stand in an address. None of their values is a word of a mail
#: or a client's name: addresses are kept in logs.
FILTERS: Final = (
    "queue", "state", "blocker", "due", "assignee", "therapist", "confidence", "closed",
)  # fmt: skip
#: Whoever is at the page; no user can be called so.
ME: Final = "@me"
_DUE: Final = {"2": "2 hours", "8": "8 hours", "24": "a day", "72": "three days"}
_CONFIDENCE: Final[Mapping[str, tuple[str, tuple[float, float]]]] = {
    "low": ("under 70%", (0.0, 0.7)),
    "middle": ("70–90%", (0.7, 0.9)),
    "high": ("over 90%", (0.9, 2.0)),
}
_LARGEST: Final = 1 << 62  # of what any database takes for a number


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is on, in words, and the filters that are left without it."""

    label: str
    left: Mapping[str, str]

    @property
    def address(self) -> str:
        return address_of(self.left)


def address_of(chosen: Mapping[str, str]) -> str:
    """Where the queues are shown with these filters."""
    return f"/queues?{urlencode(chosen)}" if chosen else "/queues"


def chosen_in(asked: Mapping[str, Any]) -> dict[str, str]:
    """The filters that are on in an address or a form."""
    found = {name: str(asked.get(name, "")).strip()[:200] for name in FILTERS}
    return {name: value for name, value in found.items() if value}


def wanted_by(chosen: Mapping[str, str], me: str, now: datetime) -> Wanted:
    """The question that *chosen* filters make.

    Raises:
        UsageProblemError: A code is unknown.
        ValueError: A number is none, or out of all bounds.

    """
    due = float(chosen["due"]) if "due" in chosen else None
    if due is not None and not 0 <= due <= 24 * 366:
        raise ValueError("no such time")
    sure = chosen.get("confidence")
    if sure is not None and sure not in _CONFIDENCE:
        raise ValueError("no such confidence")
    assignee = chosen.get("assignee")
    return Wanted(
        queue=one_of("queue", chosen.get("queue")),
        state=one_of("state", chosen.get("state")),
        blocker=one_of("blocker", chosen.get("blocker")),
        due_before=None if due is None else now + timedelta(hours=due),
        assignee=me if assignee == ME else assignee,
        therapist_id=chosen.get("therapist"),
        confidence=_CONFIDENCE[sure][1] if sure else None,
        include_closed="closed" in chosen,
    )


def chips(chosen: Mapping[str, str], directory: Directory) -> list[Chip]:
    """The filters that are on but for the queue, which its tab shows."""
    return [
        Chip(_label(name, value, directory), {n: v for n, v in chosen.items() if n != name})
        for name, value in chosen.items()
        if name != "queue"
    ]


def _label(name: str, value: str, directory: Directory) -> str:
    therapist = directory.therapist(value) if name == "therapist" else None
    said = {
        "state": f"State: {words.STATES.get(value, value)}",
        "blocker": f"In the way: {MISSING.get(value, value)}",
        "due": f"Due within {_DUE.get(value, f'{value} hours')}",
        "assignee": f"With {({ME: 'me', NOBODY: 'nobody'}).get(value, value)}",
        "therapist": f"Therapist: {therapist.name if therapist else value}",
        "confidence": f"Kind {_CONFIDENCE.get(value, (value,))[0]} sure",
        "closed": "Closed as well",
    }
    return said[name]


def options() -> dict[str, list[tuple[str, str]]]:
    """What each list of the filter form offers, as codes and words."""
    return {
        "state": [(code, words.STATES[code]) for code in STATES],
        "blocker": [(code, MISSING.get(code, code)) for code in BLOCKERS],
        "due": list(_DUE.items()),
        "confidence": [(code, said) for code, (said, _) in _CONFIDENCE.items()],
        "assignee": [(ME, "Me"), (NOBODY, "Nobody")],
    }


def place_written(place: Place) -> str:
    """A place as the address of the next page holds it."""
    due = place.deadline.isoformat() if place.deadline else ""
    rank = 2 if place.is_closed else int(place.safeguarding)
    return f"{rank}_{place.priority}_{place.case_id}_{due}"


def place_read(written: str) -> Place | None:
    """The place that ``place_written`` wrote, None where there is none.

    Raises:
        ValueError: It was not written so.

    """
    if not written:
        return None
    rank, priority, number, due = written.split("_")
    moment = datetime.fromisoformat(due.replace(" ", "+")) if due else None
    if moment and moment.tzinfo is None:
        raise ValueError("a time without its zone")
    place = Place(rank == "1", int(priority), moment, int(number))
    if max(place.case_id, abs(place.priority)) > _LARGEST:
        raise ValueError("no such place")
    return replace(place, is_closed=rank == "2")
