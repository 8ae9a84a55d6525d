"""Logging in to IMAP: with a password, or with an access token (XOAUTH2; OAUTHBEARER, RFC 7628)."""

from __future__ import annotations

import base64
import imaplib
import re
from collections.abc import Callable
from typing import Any

from imapclient.exceptions import LoginError

from ingest.imap_failures import FAILURES, described, says_no, says_not_now
from ingest.sources import Access, AccessTokens, LoginRefusedError, SourceError, SourceSpecError

Client = Any  # imapclient is untyped


def log_in(
    client: Client, name: str, user: str, access: Access, *, reconnect: Callable[[], Client]
) -> None:
    """Log *client* in as *user* to the source *name*.

    A refused access token is replaced once, on a line that *reconnect* gives. Raises
    ``LoginRefusedError`` only where the server has heard and refused; a line cut during login and
    an overloaded server are a ``SourceError``.
    """
    try:
        if access.tokens is None:
            _with_password(client, name, user, access)
        else:
            _with_token(client, user, access, access.tokens, reconnect)
    except FAILURES as error:
        raise _failure(error, name, access) from None


def _with_password(client: Client, name: str, user: str, access: Access) -> None:
    password = access.password
    if re.search(r"[\0\r\n]", user + password):
        raise SourceSpecError(f"{name}: user and password must not hold line breaks")
    if client.has_capability("LOGINDISABLED"):
        raise SourceError(f"{name}: the server takes no password without TLS; use imaps://")
    access.before_login()
    if user.isascii() and password.isascii():
        client.login(user, password)
    else:  # LOGIN is for ASCII alone
        client.sasl_login("PLAIN", lambda _: f"\0{user}\0{password}".encode())


def _failure(error: BaseException, name: str, access: Access) -> SourceError:
    """Tell refused credentials from a line cut during LOGIN and from an overloaded server.

    imapclient raises ``LoginError`` for all three; what it wraps tells them apart.
    """
    cause = (isinstance(error, LoginError) and error.__context__) or error
    if not says_no(cause) or says_not_now(cause):
        return SourceError(f"{name}: {described(cause)} while logging in")
    needed = (
        "user and password must be those of an IMAP account allowed to log in with a password"
        if access.tokens is None
        else "IMAP must be on for this user, and the application allowed to read this mailbox"
    )
    return LoginRefusedError(f"{name}: {described(cause)} this login; {needed}")


# Access tokens


def _with_token(
    client: Client,
    user: str,
    access: Access,
    tokens: AccessTokens,
    reconnect: Callable[[], Client],
) -> None:
    token = tokens.current()
    access.before_login()
    try:
        _send_token(client, user, token)
    except FAILURES as error:
        other = tokens.renewed(token) if says_no(error) and not says_not_now(error) else None
        if other is None:
            raise
        # Some servers hang up after a refusal, and others have not heard of it yet.
        fresh = reconnect()
        access.before_login()
        _send_token(fresh, user, other)


def _send_token(client: Client, user: str, token: str) -> None:
    """Authenticate by the better mechanism that is offered.

    The token goes with the command itself where the server takes that (SASL-IR, RFC 4959).
    """
    if re.search(r"[\0\x01\r\n]", user):
        raise SourceSpecError("the login user must not hold control characters")
    mechanism, first, farewell = _mechanism(client, user, token)
    imap = client._imap  # noqa: SLF001 - imapclient's own would answer a refusal with the token
    if client.has_capability("SASL-IR"):
        initial = base64.b64encode(first).decode("ascii")
        imap.literal = _answers(farewell)
        _check(imap, *imap._simple_command("AUTHENTICATE", f"{mechanism} {initial}"))  # noqa: SLF001
    else:
        words = iter([first])
        _check(imap, *imap.authenticate(mechanism, lambda _: next(words, farewell)))


def _mechanism(client: Client, user: str, token: str) -> tuple[str, bytes, bytes]:
    """The mechanism's name, what it says, and how it takes note of a refusal."""
    if client.has_capability("AUTH=OAUTHBEARER"):
        name = user.replace("=", "=3D").replace(",", "=2C")
        return "OAUTHBEARER", f"n,a={name},\1auth=Bearer {token}\1\1".encode(), b"\1"
    if client.has_capability("AUTH=XOAUTH2"):
        return "XOAUTH2", f"user={user}\1auth=Bearer {token}\1\1".encode(), b""
    raise SourceError("the server takes no access token (neither OAUTHBEARER nor XOAUTH2)")


def _answers(word: bytes) -> Any:  # noqa: ANN401 - imaplib wants it in its own wrapping
    return imaplib._Authenticator(lambda _: word).process  # noqa: SLF001


def _check(imap: Any, status: str, data: list[bytes]) -> None:  # noqa: ANN401
    if status != "OK":
        raise imap.error(data[-1])
    imap.state = "AUTH"
