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
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import Final

from review.access import passwords
from review.access.provider import Identity, Provider, ProviderError, asked_with
from store import RefusedError, Store
from store.access_log import Access
from store.accounts import ROLES, Role, Session, User

#: Failures that cost nothing: of one name from one address, of one address, of one name.
FREE_PAIR, FREE_ADDRESS, FREE_NAME = 5, 20, 50
FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(minutes=15)
FORGET_AFTER: Final = timedelta(hours=24)
#: How long somebody may take at the provider, and an invitation may lie about.
LEAVING_LASTS: Final = timedelta(minutes=10)
INVITATION_LASTS: Final = timedelta(hours=24)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Door:
    """How people come in; with the clock as a value."""

    store: Store
    https: bool = False
    home: str = ""  # the address of the page, where it is known better than from requests
    port: int | None = None  # where the address has one that is not https's own
    provider: Provider | None = None
    passwords: bool = True  # whether they open the page as well
    idle: timedelta = timedelta(minutes=30)
    longest: timedelta = timedelta(hours=12)
    clock: Callable[[], datetime] = _utc_now

    @property
    def cookie(self) -> str:
        """The session's cookie; the prefix makes browsers insist on Secure and on our host.

        It has the port, for browsers hand cookies to whatever else the same host serves.
        """
        port = f"-{self.port}" if self.port else ""
        return f"__Host-fit-triage{port}" if self.https else f"fit-triage{port}"

    @property
    def visitor_cookie(self) -> str:
        """What the form token of somebody is made from who is not signed in yet."""
        return f"{self.cookie}-visitor"

    @property
    def leaving_cookie(self) -> str:
        """What somebody who went to the provider is known by when they come back."""
        return f"{self.cookie}-leaving"

    @property
    def known_cookie(self) -> str:
        """What a browser is known by in which somebody has signed in by password before."""
        return f"{self.cookie}-known"


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


def come_by_password(
    door: Door, name: str, password: str, address: str, known: str = ""
) -> str | Held | None:
    """A new session's id; None alike for no such user, a disabled one, and a wrong password.

    It takes the same work for each of them, so that nobody learns who has an account. *known* is
    what ``known_browser`` gave: then what others got wrong, there or by that name, holds nobody up.
    """
    found = _checked(door, name, password, address, known)
    return _open(door, found, found.name, found.role) if isinstance(found, User) else found


def known_browser(door: Door, name: str) -> str:
    """What tells a browser of user *name* from a stranger's, until their password changes."""
    found = door.store.accounts.password_hash(name)
    nonce = new_secret()
    return f"{nonce}.{_known_by(nonce, *found)}" if found else ""


def _known_by(nonce: str, user: User, password_hash: str) -> str:
    told = f"known browser {user.id} {nonce}".encode()
    return hmac.new(password_hash.encode(), told, hashlib.sha256).hexdigest()


def _checked(
    door: Door, name: str, password: str, address: str, known: str = ""
) -> User | Held | None:
    now, accounts = door.clock(), door.store.accounts
    found = accounts.password_hash(name)
    nonce, _, proof = known.partition(".")
    if found and hmac.compare_digest(_known_by(nonce, *found).encode(), proof.encode()):
        keys: Mapping[str, int] = {f"known {_short(nonce, 16)}": FREE_PAIR}
    else:
        keys = throttled_by(name, address)
    if until := accounts.attempt(keys, pause, now, FORGET_AFTER):
        return Held(until)
    fits = passwords.fits(found[1] if found else passwords.NOBODYS, password)
    if found is None or not fits:
        role = found[0].role if found else ""
        who = found[0].name if found else ""  # what was typed may be a password
        door.store.access_log.record(Access(now, who, role, "sign_in_refused"))
        return None
    user, known_hash = found
    shared = {key for key in keys if key.startswith("from ")}
    accounts.forgive(keys.keys() - shared, shared)
    if newer := passwords.renewed(known_hash, password):
        accounts.rehash(user.id, known_hash, newer)
    return user


# The team's provider


def come_by_provider(
    door: Door, secret: str, answer: Mapping[str, str], address: str, invitation: str = ""
) -> str:
    """A new session's id for whoever comes back from the provider with *answer*.

    *secret* is what they left with. With an *invitation* they become its user, whoever the provider
    says they are; otherwise a user is known by issuer and subject alone, never by an address.

    Raises:
        ProviderError: Nobody was let in, and why; it is in the access log as well.

    """
    now, accounts = door.clock(), door.store.accounts
    from_there = {f"from {_short(_network(address), 8)}": FREE_ADDRESS} if address else {}
    if accounts.attempt(from_there, pause, now, FORGET_AFTER):
        raise ProviderError("held")
    try:
        user = _vouched(door, secret, answer, invitation)
    except ProviderError:
        door.store.access_log.record(Access(now, "", "", "sign_in_refused"))
        raise
    accounts.forgive((), from_there.keys())
    return _open(door, user, user.name, user.role)


def _vouched(door: Door, secret: str, answer: Mapping[str, str], invitation: str) -> User:
    provider, now = door.provider, door.clock()
    if provider is None or not secret:
        raise ProviderError("not_ours", "nobody left")
    state, ends_at = hashed(asked_with(secret, "state")), now + LEAVING_LASTS
    if not door.store.accounts.spend(state, now, ends_at=ends_at):
        raise ProviderError("used")
    user = _user_of(door, provider, provider.identity(secret, answer), invitation)
    if user.disabled_at:
        raise ProviderError("disabled")
    return user


def _user_of(door: Door, provider: Provider, identity: Identity, invitation: str) -> User:
    accounts, now = door.store.accounts, door.clock()
    role = _role(provider, identity)
    if provider.gives_roles and role is None:
        raise ProviderError("no_role")
    if invitation:
        _accept(door, identity, invitation)
    user = accounts.known_as(identity.issuer, identity.subject)
    if user is None:
        user = _added(door, provider, identity, role)
    if role and role != user.role and not user.disabled_at:
        accounts.set_role(user.name, role, by="sign-in service", now=now)
        user = replace(user, role=role)
    return user


def _accept(door: Door, identity: Identity, invitation: str) -> None:
    taking = door.store.accounts.invitations.take_for_identity
    try:
        name = taking(hashed(invitation), identity.issuer, identity.subject, door.clock())
    except RefusedError:
        raise ProviderError("taken") from None
    if name is None:
        raise ProviderError("invitation")


def _added(door: Door, provider: Provider, identity: Identity, role: Role | None) -> User:
    if not provider.adds_unknown or role is None:
        raise ProviderError("unknown")
    if not identity.name.strip():
        raise ProviderError("no_name")
    known = identity.issuer, identity.subject
    try:
        door.store.accounts.add(
            identity.name, role, "", by="sign-in service", now=door.clock(), identity=known
        )
    except RefusedError:
        raise ProviderError("name_taken") from None
    user = door.store.accounts.known_as(*known)
    if user is None:
        raise ProviderError("unknown")
    return user


def _role(provider: Provider, identity: Identity) -> Role | None:
    told = provider.role_of(identity)
    return next((role for role in ROLES if role == told), None)


# Invitations


def invite(door: Door, name: str, *, by: str) -> str:
    """A token by which user *name* sets a password or names the provider's account, once."""
    token, now = new_secret(), door.clock()
    ends_at = now + INVITATION_LASTS
    door.store.accounts.invitations.offer(name, hashed(token), by=by, now=now, ends_at=ends_at)
    return token


def come_by_invitation(door: Door, token: str, password: str) -> str | None:
    """A new session's id for somebody who sets their password; None for a link that is over.

    Raises:
        PasswordRefusedError: The password is too easy; the link stays good.

    """
    now, taking = door.clock(), door.store.accounts.invitations
    name = taking.whose(hashed(token), now)
    if name is None:
        return None
    new_hash = passwords.password_hash(password, name)
    taken = taking.take_for_password(hashed(token), new_hash, now)
    user = door.store.accounts.named(taken) if taken else None
    return _open(door, user, user.name, user.role) if user else None


def change_password(door: Door, name: str, old: str, new: str, address: str) -> str | Held | None:
    """A new session's id for whoever knows their *old* password; every other session ends.

    None where it is not the old one, ``Held`` after too many attempts.

    Raises:
        PasswordRefusedError: The new one is too easy.

    """
    now, accounts = door.clock(), door.store.accounts
    new_hash = passwords.password_hash(new, name)
    found = _checked(door, name, old, address)
    if found is None or isinstance(found, Held):
        return found
    accounts.set_password(name, new_hash, by=name, now=now)
    return _open(door, found, found.name, found.role)


def throttled_by(name: str, address: str) -> Mapping[str, int]:
    """Under what an attempt is counted, with how many failures each has free: pair, address, name.

    Names are cut to 16 bits of their hash: people type passwords into the wrong field, and this
    must not tell them to whoever reads the database. Without an address ("") the name alone
    counts: all who come through a proxy that keeps addresses to itself are not one person.
    """
    who = _short(name.strip().casefold(), 4)
    by_name = {f"as {who}": FREE_NAME}
    if not address:
        return by_name
    where = _short(_network(address), 8)
    return {f"both {who} {where}": FREE_PAIR, f"from {where}": FREE_ADDRESS, **by_name}


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
