"""Shadow readings: what a candidate model makes of a message beside the model in use.

Nothing is decided by them. What differs is told by field and by what it would cost people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from triage.records import Request

Cost = Literal[
    "told_more",  # the client is taken as told, or as having discussed it, by the candidate alone
    "told_less",  # the reverse
    "urgent_unseen",  # present danger that the candidate does not see
    "urgent_seen",  # that it alone sees
    "queue",
    "state",
    "other",
]
Right = Literal["champion", "candidate", "neither"]

#: The worst first.
COSTS: Final[tuple[Cost, ...]] = get_args(Cost)
RIGHTS: Final[tuple[Right, ...]] = get_args(Right)
#: What says something only of asks that need the team.
OF_ASKS: Final = (
    "client_ref",
    "session_time",
    "session_stage",
    "fit_reasons",
    "presenting_issues",
    "required_approaches",
    "required_experience",
    "client_agreement",
    "alternatives_requested",
    "guarantee_asked",
)
#: What is compared; "asks" differs where one side found an ask that the other did not.
FIELDS: Final = (
    "asks",
    "client_notification",
    "risk",
    "queue",
    "state",
    "kind",
    "session_ids",
    *OF_ASKS,
)
#: Fields whose values are people's words or numbers; the others are codes.
PERSONAL: Final = frozenset(("session_ids", "client_ref", "session_time"))


@dataclass(frozen=True, slots=True)
class Stand:
    """One ask as a model read it, and where the rules would put it."""

    request: Request
    queue: str
    state: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One ask as both read it; None where that model found no such ask."""

    champion: Stand | None
    candidate: Stand | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which the two differ. ``ask`` counts the pairs of the message from 0.

    A value is a code, a list of them, a flag, or None where there is none.
    """

    field: str
    ask: int
    champion: str | list[str] | bool | None
    candidate: str | list[str] | bool | None
    cost: Cost


def without_words(one: Difference) -> Difference:
    """The difference for whoever may not read mail: that there is one, and codes."""
    if one.field not in PERSONAL:
        return one
    return Difference(one.field, one.ask, None, None, one.cost)
