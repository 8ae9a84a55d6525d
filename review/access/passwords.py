"""Passwords: argon2id by argon2-cffi with RFC 9106's second choice (64 MiB, three passes)."""

from __future__ import annotations

import threading
import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST: Final = 12  # characters; there is no rule about kinds of characters (NIST SP 800-63B-4)
LONGEST: Final = 1024

_HASHER: Final = PasswordHasher()
#: Each hashing takes 64 MiB: a crowd at the door must not take the machine's memory.
_AT_ONCE: Final = threading.BoundedSemaphore(2)

#: What a password is checked against where there is no user, so that it takes as long. It is the
#: hash of random bytes that nobody kept.
NOBODYS: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$8lNJI1K5A5HOFrq1Rir8/w$"
    "sYJK4tqMyhN6YYULHNp+srCLuTcawB8q/8bwu6Nhi+U"
)


class PasswordRefusedError(ValueError):
    """The password is too easy to guess; the message says what is asked for."""


def password_hash(password: str, name: str = "") -> str:
    """The hash to keep of a new password of *name*.

    Raises:
        PasswordRefusedError: It is too short, too long, or holds the name.

    """
    plain = _plain(password)
    if not SHORTEST <= len(plain) <= LONGEST:
        raise PasswordRefusedError(f"a password has {SHORTEST} to {LONGEST} characters")
    if name and name.casefold() in plain.casefold():
        raise PasswordRefusedError("a password does not hold the name of its user")
    if len(set(plain)) < 5:
        raise PasswordRefusedError("a password has at least five different characters")
    with _AT_ONCE:
        return _HASHER.hash(plain)


def fits(known_hash: str, password: str) -> bool:
    """Whether *password* is the one of *known_hash*; takes the same time whatever it is."""
    with _AT_ONCE:
        try:
            return _HASHER.verify(known_hash, _plain(password)[: LONGEST + 1])
        except (VerificationError, InvalidHashError):
            return False


def renewed(known_hash: str, password: str) -> str | None:
    """The hash by today's settings, None where *known_hash* has them."""
    if not _HASHER.check_needs_rehash(known_hash):
        return None
    with _AT_ONCE:
        return _HASHER.hash(_plain(password))


def _plain(password: str) -> str:
    """One form for one password, whichever keyboard wrote its accents."""
    return unicodedata.normalize("NFKC", password.encode("utf-8", "replace").decode())
