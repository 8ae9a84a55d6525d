"""Service accounts: the application signs for itself, in place of a person who signs in.

A signed assertion (JWT, RFC 7523 2.1) names the account that asks, the mailbox it asks for and
where; the token endpoint gives an access token for it. Google calls this domain-wide delegation.
PyJWT signs, with cryptography; both are loaded only when a token is really asked for.
"""

from __future__ import annotations

import json
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ingest.sources import SourceSpecError

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: Long enough for a clock that is some minutes late; providers allow an hour.
_LIVES_S: Final = 600


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """The key of a service account, as Google's console gives it out as JSON."""

    account: str  # its address, the assertion's issuer
    key_id: str = field(repr=False)
    private_key: str = field(repr=False)  # PEM


def service_key(file: Path) -> ServiceKey:
    """The key in *file*.

    Raises ``SourceSpecError`` where it cannot be read, holds no such key, or may be read by others
    than its owner and group or written by others than its owner. No error shows what is in it.
    """
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        raise SourceSpecError(f"key file {file}: {why}") from None
    if mode & (stat.S_IWGRP | stat.S_IRWXO):
        raise SourceSpecError(
            f"key file {file} is open to others (mode {stat.S_IMODE(mode):04o}), and whoever reads "
            "it can read the mailbox: chmod 0640 or 0600"
        )
    try:
        known = json.loads(text)
        found = ServiceKey(known["client_email"], known["private_key_id"], known["private_key"])
    except (ValueError, LookupError, TypeError):
        found = None
    if found is None or not all(map(_is_text, (found.account, found.key_id, found.private_key))):
        raise SourceSpecError(
            f"key file {file} is no service account's key; it must be the JSON file that was "
            "downloaded, with client_email, private_key_id and private_key"
        )
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def assertion(file: Path, *, mailbox: str, audience: str, scope: str) -> str:
    """A signed request for access to *mailbox*, good for some minutes, for *audience* alone.

    Raises ``SourceSpecError`` as ``service_key`` does, and where the key is no key to sign with.
    """
    import jwt

    key = service_key(file)
    now = int(time.time())
    claims = {"iss": key.account, "sub": mailbox, "aud": audience, "scope": scope}
    try:
        return jwt.encode(
            {**claims, "iat": now, "exp": now + _LIVES_S},
            key.private_key,
            algorithm="RS256",
            headers={"kid": key.key_id},
        )
    except (jwt.PyJWTError, ValueError, TypeError):
        pass
    # Raised here and not above: those errors may hold the key.
    raise SourceSpecError(f"key file {file} holds no private RSA key that can be used")
