"""Who may do what: the roles, their rights, and what each route needs.

Two tables say it all. ``MAY`` gives rights to roles; ``TABLE`` names the right that each route
needs and what it leaves in the access log. A route that is not in it is closed to everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from store.access_log import Looked
from store.accounts import ROLES, Role

Right = Literal[
    "enter",  # for everybody, signed in or not: the door and what it is painted with
    "ring",  # for no person: a machine that signs each of its requests, on a service of its own
    "be_here",  # for everybody who is signed in: help, signing out
    "see_cases",  # queues, search, cases with the words of people, attachments
    "see_presence",  # who is at which case; no words of a case
    "act",  # decide about cases; the client gate's override asks for a reason and a second look
    "see_overview",  # figures of the whole team, and overrides to look at again
    "see_quarantine",  # causes and numbers of what could not be read; no words
    "retry_quarantine",
    "see_health",
    "see_pseudonymised",  # rows without names, addresses and free text
    "export_pseudonymised",
    "export_text",  # the same with redacted words of people, for a reason on record
    "see_shadow",  # where a candidate model reads otherwise; words only for who sees cases
    "judge_shadow",  # say which of the two is right: on the audit trail
    "read_access_log",
    "manage_users",
]
__all__ = ["MAY", "RIGHTS", "ROLES", "TABLE", "Needs", "Person", "Right", "needs"]
RIGHTS: Final[tuple[Right, ...]] = get_args(Right)

_STAFF: Final[frozenset[Right]] = frozenset(
    ("see_cases", "see_presence", "act", "see_quarantine", "retry_quarantine", "see_health")
)
_DATA: Final[frozenset[Right]] = frozenset(
    ("see_pseudonymised", "export_pseudonymised", "see_shadow")
)
_EVERYBODY: Final[frozenset[Right]] = frozenset(("enter", "be_here"))

#: Why each role has no more than this is in docs/decisions.md.
MAY: Final[Mapping[Role, frozenset[Right]]] = MappingProxyType(
    {
        "staff": _EVERYBODY | _STAFF,
        "lead": _EVERYBODY | _STAFF | _DATA | {"see_overview", "read_access_log", "judge_shadow"},
        "data": _EVERYBODY | _DATA | {"export_text"},
        "admin": _EVERYBODY | {"manage_users", "see_health", "see_quarantine", "retry_quarantine"},
    }
)


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever is signed in."""

    name: str
    role: Role

    def may(self, right: Right) -> bool:
        return right in MAY[self.role]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a route asks of whoever comes, and what it leaves in the access log."""

    right: Right
    records: Looked | None
    by_itself: bool  # asked by the page, not by a person: keeps no session alive


def needs(right: Right, *, records: Looked | None = None, by_itself: bool = False) -> Needs:
    """One line of ``TABLE``."""
    return Needs(right, records, by_itself)


#: By the route's name.
TABLE: Final[Mapping[str, Needs]] = MappingProxyType(
    {
        "sign_in": needs("enter"),
        "enter": needs("enter"),
        "static": needs("enter"),
        "provider": needs("enter"),
        "answer": needs("enter"),
        "invitation": needs("enter"),
        "livechat_hook": needs("ring", by_itself=True),  # review/hooks.py; never on the page
        "sign_out": needs("be_here"),
        "password": needs("be_here"),
        "users": needs("manage_users"),
        "user_add": needs("manage_users"),  # changes of users are on the audit trail
        "user_change": needs("manage_users"),
        "access_log": needs("read_access_log", records="access_log"),
        "access_log_export": needs("read_access_log", records="export"),
        "_start": needs("be_here"),
        "keys": needs("be_here"),
        "queues": needs("see_cases", records="list"),
        "filter": needs("see_cases", records="list"),
        "search": needs("see_cases", records="search"),
        "view_save": needs("act"),  # filters under a name; nothing of a case
        "view_delete": needs("act"),
        "case": needs("see_cases", records="view"),
        "html": needs("see_cases", records="view"),
        "pictures": needs("see_cases", records="pictures"),
        "original": needs("see_cases", records="original"),
        "attachment": needs("see_cases", records="attachment"),
        "bulk": needs("act", records="list"),
        "bulk_do": needs("act"),  # each of its verdicts is on the audit trail
        "bulk_result": needs("act", records="list"),
        "bulk_rest": needs("act"),
        "bulk_undo": needs("act"),
        "presence": needs("see_presence", by_itself=True),
        "presences": needs("see_presence", by_itself=True),
        "act": needs("act"),  # each verdict is on the audit trail
        "quarantine": needs("see_quarantine"),
        "retry": needs("retry_quarantine"),
        "taken": needs("see_cases", records="original"),  # from quarantine: words of people
        "health": needs("see_health"),
        "health_json": needs("see_health"),
        "exports": needs("see_pseudonymised", records="list"),
        "export_rows": needs("export_pseudonymised", records="export"),
        "export_text": needs("export_text", records="export"),
        "overview": needs("see_overview", records="overview"),
        "figures_csv": needs("see_overview", records="export"),
        "second_looks": needs("see_overview", records="list"),
        "second_look": needs("see_overview"),  # each look is on the audit trail
        "shadows": needs("see_shadow", records="list"),
        "shadow_csv": needs("see_shadow", records="export"),
        "shadow_verdict": needs("judge_shadow", records="list"),  # a refusal shows the list
    }
)
