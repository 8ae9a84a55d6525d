"""The door: what opens it, how long it stays open, and how it is shut.

A session's id is 256 random bits that only the browser has; the store knows its hash. The form
token (CSRF) is made from the same bits, so that it ends with the session and needs no keeping.
Sources: OWASP ASVS 5.0, chapters 6 and 7; NIST SP 800-63B-4 for the throttling's order of size.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import Final

from review.access import passwords
from store import Store
from store.access_log import Access
from store.accounts import Role, Session, User

#: Failures that cost nothing: of one name from one address, of one address, of one name.
FREE_PAIR, FREE_ADDRESS, FREE_NAME = 5, 20, 50
FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(minutes=15)
FORGET_AFTER: Final = timedelta(hours=24)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Door:
    """How people come in; with the clock as a value."""

    store: Store
    https: bool = False
    idle: timedelta = timedelta(minutes=30)
    longest: timedelta = timedelta(hours=12)
    clock: Callable[[], datetime] = _utc_now

    @property
    def cookie(self) -> str:
        """The session's cookie; the prefix makes browsers insist on Secure and on our host."""
        return "__Host-fit-triage" if self.https else "fit-triage"

    @property
    def visitor_cookie(self) -> str:
        """What the form token of somebody is made from who is not signed in yet."""
        return f"{self.cookie}-visitor"


@dataclass(frozen=True, slots=True)
class Held:
    """Too many attempts; nothing was tried, whoever they say they are."""

    until: datetime


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def hashed(secret: str) -> str:
    """As the store keeps it. A plain hash will do for 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def form_token(secret: str) -> str:
    """The token that forms carry for whoever holds the cookie *secret*."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


def token_fits(secret: str, given: str) -> bool:
    return hmac.compare_digest(form_token(secret).encode(), given.encode())


# One-time links


def offer_link(
    door: Door, name: str, *, role: Role = "lead", lasts: timedelta = timedelta(minutes=10)
) -> str:
    """A token that lets its bearer in as *name*, once; earlier ones and their sessions end."""
    token = new_secret()
    door.store.accounts.offer_link(hashed(token), name, role, ends_at=door.clock() + lasts)
    return token


def come_by_link(door: Door, token: str) -> str | None:
    """A new session's id for a link's token, None where that opens nothing."""
    taken = door.store.accounts.take_link(hashed(token), door.clock())
    return None if taken is None else _open(door, None, *taken)


# Passwords


def come_by_password(door: Door, name: str, password: str, address: str) -> str | Held | None:
    """A new session's id; None alike for no such user, a disabled one, and a wrong password.

    It takes the same work for each of them, so that nobody learns who has an account.
    """
    now, accounts = door.clock(), door.store.accounts
    keys = throttled_by(name, address)
    if until := accounts.attempt(keys, pause, now, FORGET_AFTER):
        return Held(until)
    found = accounts.password_hash(name)
    fits = passwords.fits(found[1] if found else passwords.NOBODYS, password)
    if found is None or not fits:
        role = found[0].role if found else ""
        who = found[0].name if found else ""  # what was typed may be a password
        door.store.access_log.record(Access(now, who, role, "sign_in_refused"))
        return None
    user, known_hash = found
    pair, by_address, by_name = keys
    accounts.forgive({pair, by_name}, {by_address})
    if newer := passwords.renewed(known_hash, password):
        accounts.rehash(user.id, known_hash, newer)
    return _open(door, user, user.name, user.role)


def throttled_by(name: str, address: str) -> Mapping[str, int]:
    """Under what an attempt is counted, with how many failures each has free: pair, address, name.

    Names are cut to 16 bits of their hash: people type passwords into the wrong field, and this
    must not tell them to whoever reads the database.
    """
    who = _short(name.strip().casefold(), 4)
    where = _short(_network(address), 8)
    return {f"both {who} {where}": FREE_PAIR, f"from {where}": FREE_ADDRESS, f"as {who}": FREE_NAME}


def pause(beyond: int) -> timedelta:
    """How long to wait after so many failures beyond the free ones: doubled each time."""
    doubled: timedelta = FIRST_WAIT * 2 ** min(max(beyond, 0), 10)
    return min(doubled, LONGEST_WAIT)


def _short(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:digits]


def _network(address: str) -> str:
    """An IPv6 subscriber has a whole /64 to choose from."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(int(parsed) >> 64) if isinstance(parsed, IPv6Address) else str(parsed)


def _open(door: Door, user: User | None, name: str, role: Role) -> str:
    now, session_id = door.clock(), new_secret()
    session = Session(user.id if user else None, name, role, now + door.longest)
    door.store.accounts.start_session(hashed(session_id), session, now)
    door.store.access_log.record(Access(now, name, role, "signed_in"))
    return session_id
