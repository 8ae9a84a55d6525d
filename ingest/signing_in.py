"""The first refresh token: a person signs in once, and it goes straight into its file.

Two ways, neither of which needs a browser on this machine: a code typed at the provider's page
(device authorization, RFC 8628; Microsoft), or an address opened elsewhere whose answer is pasted
here (authorization code with PKCE, RFC 6749 4.1 and 7636, sent to a loopback address as RFC 8252
7.3 has it; Google, whose device flow opens no mailbox). No token is shown, logged or in an error.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from ingest.oauth import OAuth, check_address, granted, identified, post
from ingest.sources import LoginRefusedError, SourceError, SourceSpecError
from ingest.token_file import Grant, TokenFile

#: Where a device asks for its code, and where a browser is sent; Microsoft's goes by tenant.
DEVICE_PAGES: Final[Mapping[str, str]] = {
    "microsoft": "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/devicecode",
}
BROWSER_PAGES: Final[Mapping[str, str]] = {
    "google": "https://accounts.google.com/o/oauth2/v2/auth",
}
#: Nobody listens there: the person copies the address at which the browser ends.
_BACK_TO: Final = "http://127.0.0.1:8085/"
_INTERVAL_S: Final = 5  # RFC 8628 3.5: where the provider names none, and by what it grows
_LONGEST_S: Final = 1800


@dataclass(frozen=True, slots=True)
class Invitation:
    """Where the person goes, the code to type there, and what the provider knows it by."""

    page: str
    code: str
    device_code: str = field(repr=False)
    interval_s: float
    lives_s: float


def invitation(oauth: OAuth, page: str) -> Invitation:
    """Ask at *page*, the provider's device authorization endpoint, for a code to be typed.

    Raises as ``TokenSource`` does, and ``SourceError`` where the token's file cannot be written.
    """
    _check_room(oauth)
    asked = replace(oauth, token_url=page)
    check_address(asked)
    from oauthlib.common import urlencode

    scope = [("scope", oauth.scope)] if oauth.scope else []
    status, text = post(asked, urlencode([("client_id", oauth.client_id), *scope]))
    try:
        given = json.loads(text)
        found = Invitation(
            str(given.get("verification_uri") or given["verification_url"]),
            str(given["user_code"]),
            str(given["device_code"]),
            float(given.get("interval") or _INTERVAL_S),
            float(given.get("expires_in") or _LONGEST_S),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        granted(asked, status, text)  # says what the provider refuses, if that is what it does
        raise SourceError(f"{urlsplit(page).hostname} gives no code to sign in with") from None
    if not (found.page + found.code).isprintable():
        raise SourceError(f"{urlsplit(page).hostname} gives a code that cannot be typed")
    return found


def wait_for_person(
    oauth: OAuth, invited: Invitation, pause: Callable[[float], None] = time.sleep
) -> None:
    """Ask until the person has signed in, and put the refresh token into its file.

    Raises as ``TokenSource`` does, and ``LoginRefusedError`` where the person declines or the code
    ends first.
    """
    from oauthlib.oauth2 import DeviceClient

    body = DeviceClient(oauth.client_id).prepare_request_body(
        device_code=invited.device_code, **identified(oauth)
    )
    interval_s, ends = invited.interval_s, time.monotonic() + min(invited.lives_s, _LONGEST_S)
    while time.monotonic() < ends:
        pause(interval_s)
        try:
            status, text = post(oauth, body)
        except SourceError:
            interval_s *= 2  # RFC 8628 3.5: after a broken line ask less often
            continue
        code = _error_in(text)
        if code == "slow_down":
            interval_s += _INTERVAL_S
        elif code in {"access_denied", "expired_token"}:
            raise LoginRefusedError(f"nobody signed in ({code}); start again")
        elif code != "authorization_pending":
            _save(oauth, status, text)
            return
    raise LoginRefusedError("nobody signed in before the code ended; start again")


@dataclass(frozen=True, slots=True)
class Visit:
    """The address that the person opens, and by what the answer is known as theirs."""

    address: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)


def visit(oauth: OAuth, page: str, user: str) -> Visit:
    """An address under *page* at which *user* allows us to read their mail."""
    _check_room(oauth)
    from oauthlib.oauth2 import WebApplicationClient

    client = WebApplicationClient(oauth.client_id)
    state, verifier = secrets.token_urlsafe(24), client.create_code_verifier(64)
    address = client.prepare_request_uri(
        page,
        redirect_uri=_BACK_TO,
        scope=oauth.scope,
        state=state,
        code_challenge=client.create_code_challenge(verifier, "S256"),
        code_challenge_method="S256",
        login_hint=user,
        access_type="offline",  # Google's words for a refresh token, …
        prompt="consent",  # … and for one though an earlier one is out
    )
    return Visit(str(address), state, verifier)


def come_back(oauth: OAuth, visited: Visit, address: str) -> None:
    """Exchange what *address*, at which the browser ended, brings, and save the refresh token.

    Raises as ``TokenSource`` does; ``SourceSpecError`` where it is another visit's or no answer,
    and ``LoginRefusedError`` where the person declined.
    """
    from oauthlib.oauth2 import WebApplicationClient

    answer = {name: words[0] for name, words in parse_qs(urlsplit(address.strip()).query).items()}
    if not secrets.compare_digest(answer.get("state", "").encode(), visited.state.encode()):
        raise SourceSpecError(
            "that address does not answer this sign-in; copy it whole, or begin anew"
        )
    if "code" not in answer:
        raise LoginRefusedError("nobody signed in (the provider was told no); start again")
    body = WebApplicationClient(oauth.client_id).prepare_request_body(
        code=answer["code"],
        redirect_uri=_BACK_TO,
        code_verifier=visited.verifier,
        **identified(oauth),
    )
    _save(oauth, *post(oauth, body))


def _error_in(text: str) -> Any:  # noqa: ANN401 - whatever the provider wrote there
    try:
        return json.loads(text).get("error")
    except (ValueError, AttributeError):
        return None


def _file(oauth: OAuth) -> TokenFile:
    if oauth.refresh_token_file is None:
        raise SourceSpecError("signing in is for the flow refresh_token, with a refresh_token_file")
    return TokenFile(oauth.refresh_token_file)


def _check_room(oauth: OAuth) -> None:
    file = _file(oauth)
    with file.locked(2 * oauth.timeout_s), file.room():
        pass  # better now than when the person has signed in


def _save(oauth: OAuth, status: int, text: str) -> None:
    answer = granted(oauth, status, text)
    if not answer.refresh_token:
        raise LoginRefusedError(
            "the provider gave no refresh token; is offline_access in the scope?"
        )
    file = _file(oauth)
    with file.locked(2 * oauth.timeout_s), file.room() as room:
        room.save(answer.following(Grant(""), time.time()))
