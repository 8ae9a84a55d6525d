"""From when on something is worth a remark: sessions left unconfirmed, a registry out of date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from triage.records import CaseFacts, Directory


@dataclass(frozen=True, slots=True)
class Limits:
    """Rule 7's figures, and how old the registry may be.

    ``window`` rolls: sessions left unconfirmed count that started within it. From ``warn_at`` of
    them on there is a warning, from ``pause_at`` on the profile may be paused.
    """

    window: timedelta = timedelta(days=90)
    warn_at: int = 2
    pause_at: int = 4
    stale_after: timedelta = timedelta(hours=36)


def unconfirmed_lately(
    facts: CaseFacts, directory: Directory, limits: Limits, now: datetime
) -> int:
    """Rule 7: how many of the therapist's past sessions were left so, none of them told of."""
    if facts.therapist is None or facts.sender_is not in ("owner", "delegate", "therapist"):
        return 0
    starts = directory.unconfirmed(facts.therapist.therapist_id)
    own = facts.session.starts_at if facts.session else None
    return sum(now - limits.window <= start < now and start != own for start in starts)


def unconfirmed_remark(count: int, limits: Limits) -> str:
    """What rule 7 has to say about *count* sessions, "" below the warning."""
    if count < min(limits.warn_at, limits.pause_at):
        return ""
    days = limits.window.days
    said = f"{count} sessions of this therapist were left unconfirmed in {days} days"
    if count >= limits.pause_at:
        return f"{said}: the profile may be paused (at {limits.pause_at})."
    return f"{said}: at {limits.pause_at} the profile may be paused. Tell them in time."


def is_stale(as_of: datetime | None, limits: Limits, now: datetime) -> bool:
    """Whether sessions were last imported too long ago to be relied on."""
    return as_of is not None and now - as_of > limits.stale_after


def staleness(as_of: datetime | None, limits: Limits, now: datetime) -> str:
    """That the registry is out of date, in words; "" while it is not."""
    if as_of is None or not is_stale(as_of, limits, now):
        return ""
    days = (now - as_of).days
    return f"The booking registry is {f'{days} days' if days > 1 else 'more than a day'} old"
