"""Access tokens for mailboxes that take no password (Google Workspace, Microsoft 365).

Three flows: client credentials (RFC 6749 4.4), where the application itself may read the mailbox;
a refresh token (6), given once by a person who signed in; and a service account's signed assertion
(RFC 7523, ``ingest/service_account.py``). A token is kept until shortly before it ends. No token or
secret is ever logged, shown, or part of an error; what a provider says is reduced to its error
code. oauthlib writes and reads the messages, requests carries them; both are loaded only when a
token is really asked for.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit

from ingest.service_account import GRANT_TYPE, assertion, service_key
from ingest.sources import LoginRefusedError, SourceError, SourceSpecError
from ingest.token_file import Grant, TokenFile

Flow = Literal["client_credentials", "refresh_token", "service_account"]

PROVIDERS: Final[Mapping[str, str]] = {
    "google": "https://oauth2.googleapis.com/token",
    "microsoft": "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
}
#: Scopes that allow IMAP. Google has no client-credentials flow with a secret.
SCOPES: Final[Mapping[tuple[str, Flow], str]] = {
    ("google", "refresh_token"): "https://mail.google.com/",
    ("google", "service_account"): "https://mail.google.com/",
    ("microsoft", "client_credentials"): "https://outlook.office365.com/.default",
    ("microsoft", "refresh_token"): (
        "https://outlook.office.com/IMAP.AccessAsUser.All offline_access"
    ),
}

_EARLY_S: Final = 300  # a token is replaced so long before it ends, and at the latest …
_EARLY_PART: Final = 0.25  # … when this part of a short life is left
_LIFE_IF_UNTOLD_S: Final = 300
_LARGEST_ANSWER: Final = 64 * 1024
_BUSY: Final = frozenset({408, 425, 429})
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

#: What an error code means, and what to do (RFC 6749 5.2, OpenID Connect Core 3.1.2.6).
_GRANT_IS_DEAD = (
    "the refresh token is refused: expired, revoked, or of another client; sign in again "
    "(fit-triage sign-in), which renews {refresh_token_file}"
)
_CLIENT_IS_REFUSED = (
    "client id or secret are refused; has the secret expired? Make a new one and put it into "
    "{client_secret_file}"
)
_CAUSES: Final[Mapping[str, str]] = {
    "invalid_grant": _GRANT_IS_DEAD,
    "interaction_required": _GRANT_IS_DEAD,
    "login_required": _GRANT_IS_DEAD,
    "consent_required": _GRANT_IS_DEAD,
    "invalid_client": _CLIENT_IS_REFUSED,
    "unauthorized_client": _CLIENT_IS_REFUSED,
    "invalid_scope": "the scope is refused; grant the application access to IMAP, or correct scope",
}
#: The same of a service account, which has no secret and whom nobody signed in.
_CAUSES_OF_ACCOUNTS: Final[Mapping[str, str]] = {
    "invalid_grant": (
        "the service account's assertion is refused: the mailbox {mailbox} is none, the key in "
        "{key_file} was deleted, or this machine's clock is wrong"
    ),
    "unauthorized_client": (
        "the service account may not act for this mailbox; grant its client id domain-wide "
        "delegation for the scope {scope}"
    ),
}
_NOT_NOW: Final = frozenset({"server_error", "temporarily_unavailable", "slow_down"})


@dataclass(frozen=True, slots=True)
class OAuth:
    """How to get access tokens for a mailbox; it names the files with secrets, and holds none."""

    flow: Flow
    token_url: str
    client_id: str
    scope: str = ""
    client_secret_file: Path | None = None
    refresh_token_file: Path | None = None
    key_file: Path | None = None  # of the service account
    mailbox: str = ""  # whom the service account acts for
    timeout_s: float = 30
    allow_loopback_http: bool = False  # for tests


class TokenSource:
    """Access tokens for one mailbox, for all threads of this process.

    Every method may raise ``SourceError``: the provider cannot be reached, and asking later may
    help; ``LoginRefusedError``: a person must act.
    """

    def __init__(self, oauth: OAuth, clock: Callable[[], float] = time.time) -> None:
        check_address(oauth)
        if oauth.flow == "service_account":
            service_key(_needed(oauth.key_file, "the flow service_account needs a key_file"))
        self._oauth = oauth
        self._clock = clock
        self._lock = threading.Lock()
        self._access_token, self._renew_at = "", 0.0
        self._just_issued = ""
        self._unsaved: Grant | None = None  # came, but could not be written

    def __repr__(self) -> str:
        return f"TokenSource({self._oauth.flow})"

    def current(self) -> str:
        """A token that should be good, asked for only where none is left or it ends soon."""
        with self._lock:
            if self._access_token and self._clock() < self._renew_at:
                self._just_issued = ""
                return self._access_token
            return self._renew("")

    def renewed(self, refused: str) -> str | None:
        """Another token than *refused*, which the mail server did not take.

        None where that one had just been issued: then it is not its age, and another one of the
        same kind would only look like somebody trying keys.
        """
        with self._lock:
            if refused == self._just_issued:
                return None
            return self._renew(refused)

    def _renew(self, refused: str) -> str:
        if self._oauth.flow == "refresh_token":
            self._renew_by_file(refused)
        else:
            answer = _ask(self._oauth, "")
            self._keep(answer.access_token, self._clock() + answer.usable_s, issued=True)
        return self._access_token

    def _renew_by_file(self, refused: str) -> None:
        path = self._oauth.refresh_token_file
        file = TokenFile(_needed(path, "the flow refresh_token needs a refresh_token_file"))
        with file.locked(2 * self._oauth.timeout_s):
            grant = self._unsaved or file.read()
            usable = grant.access_token not in {"", refused} and self._clock() < grant.renew_at
            if usable and self._unsaved is None:  # another process has been quicker
                self._keep(grant.access_token, grant.renew_at, issued=False)
                return
            with file.room() as room:
                if not usable:
                    answer = _ask(self._oauth, grant.refresh_token)
                    grant = answer.following(grant, self._clock())
                self._unsaved = grant
                room.save(grant)
                self._unsaved = None
        self._keep(grant.access_token, grant.renew_at, issued=True)

    def _keep(self, token: str, renew_at: float, *, issued: bool) -> None:
        self._access_token, self._renew_at = token, renew_at
        self._just_issued = token if issued else ""


@cache
def token_source(oauth: OAuth) -> TokenSource:
    """The one source of tokens for *oauth* in this process, so that what it keeps is kept.

    Raises ``SourceSpecError`` where the address of the provider is not allowed.
    """
    return TokenSource(oauth)


def refresh_token_ends_at(oauth: OAuth, lifetime_s: float | None) -> float | None:
    """When the refresh token ends, in seconds since the epoch; None where nobody says.

    The provider's word counts, else *lifetime_s* from when the token came. Asks nobody. Raises
    ``SourceSpecError`` where the file cannot be read.
    """
    if oauth.flow != "refresh_token" or oauth.refresh_token_file is None:
        return None
    grant = TokenFile(oauth.refresh_token_file).read()
    if grant.ends_at:
        return grant.ends_at
    return grant.given_at + lifetime_s if lifetime_s else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider gave: an access token, for how long, and perhaps a new refresh token."""

    access_token: str = field(repr=False)
    usable_s: float
    refresh_token: str = field(default="", repr=False)
    refresh_ends_in_s: float = 0

    def following(self, grant: Grant, now: float) -> Grant:
        """What is to be kept once this answer has come in place of *grant*."""
        rotated = self.refresh_token not in {"", grant.refresh_token}
        ends_at = now + self.refresh_ends_in_s if self.refresh_ends_in_s else 0.0
        return Grant(
            refresh_token=self.refresh_token or grant.refresh_token,
            access_token=self.access_token,
            renew_at=now + self.usable_s,
            given_at=now if rotated else grant.given_at,
            ends_at=ends_at or (0.0 if rotated else grant.ends_at),
        )


def _needed(file: Path | None, otherwise: str) -> Path:
    if file is None:
        raise SourceSpecError(otherwise)
    return file


def check_address(oauth: OAuth) -> None:
    """Raise ``SourceSpecError`` where secrets must not be sent to ``token_url``."""
    url = urlsplit(oauth.token_url)
    loopback = oauth.allow_loopback_http and url.hostname in _LOOPBACK
    if url.scheme != "https" and not (url.scheme == "http" and loopback):
        raise SourceSpecError("token_url must begin with https://, for secrets are sent there")
    if not url.hostname or url.username or url.password:
        raise SourceSpecError("token_url must name a host, and no user or password")


def _ask(oauth: OAuth, refresh_token: str) -> Answer:
    """Ask the provider for an access token, once."""
    return granted(oauth, *post(oauth, _request_body(oauth, refresh_token)))


def granted(oauth: OAuth, status: int, text: str) -> Answer:
    """The tokens in what the provider answered; raises as ``TokenSource`` does where are none."""
    if status in _BUSY or status >= 500:
        raise SourceError(f"{_who(oauth)} is not able to give a token now (HTTP {status})")
    if 300 <= status < 400:
        raise SourceError(f"{_who(oauth)} sends us elsewhere (HTTP {status}); correct token_url")
    answer = _parsed(oauth, text)
    if isinstance(answer, SourceError):
        raise answer
    return answer


def _request_body(oauth: OAuth, refresh_token: str) -> str:
    if oauth.flow == "service_account":
        key_file = _needed(oauth.key_file, "the flow service_account needs a key_file")
        signed = assertion(
            key_file, mailbox=oauth.mailbox, audience=oauth.token_url, scope=oauth.scope
        )
        return urlencode({"grant_type": GRANT_TYPE, "assertion": signed})
    from oauthlib.oauth2 import BackendApplicationClient

    client = BackendApplicationClient(oauth.client_id)
    identity = {**identified(oauth), "scope": oauth.scope or None}
    if oauth.flow == "client_credentials":
        return str(client.prepare_request_body(**identity))
    identity["client_id"] = oauth.client_id
    return str(client.prepare_refresh_body(refresh_token=refresh_token, **identity))


def identified(oauth: OAuth) -> dict[str, Any]:
    """By what oauthlib makes a request say who asks."""
    if oauth.client_secret_file is None:
        return {"include_client_id": True}
    return {"include_client_id": True, "client_secret": _secret(oauth.client_secret_file)}


def _secret(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        raise SourceSpecError(f"client secret file {file}: {why}") from None


def post(oauth: OAuth, body: str) -> tuple[int, str]:
    """What ``token_url`` answers to *body*: the HTTP status, and no more than tokens may take."""
    import requests
    from urllib3.exceptions import HTTPError

    until = time.monotonic() + oauth.timeout_s
    try:
        with requests.post(
            oauth.token_url,
            data=body,
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            auth=lambda request: request,  # or requests would look for a password in ~/.netrc
            proxies={"no_proxy": _host(oauth)} if oauth.token_url.startswith("http:") else None,
            timeout=oauth.timeout_s,
            allow_redirects=False,  # secrets go to the address that was configured, or nowhere
            stream=True,
        ) as response:
            content = b""
            while len(content) < _LARGEST_ANSWER and (part := response.raw.read1(_LARGEST_ANSWER)):
                content += part
                if time.monotonic() > until:  # requests' own timeout is for each wait alone
                    raise requests.Timeout
            return response.status_code, content.decode("utf-8", "replace")
    except (requests.RequestException, HTTPError, OSError) as error:
        problem = f"{_who(oauth)} cannot be reached ({_unreachable(error)})"
    # Raised here and not above: those errors hold the request, and with it our secret.
    raise SourceError(problem)


def _unreachable(error: BaseException) -> str:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return type(error).__name__


def _parsed(oauth: OAuth, text: str) -> Answer | SourceError:
    from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error

    client = BackendApplicationClient(oauth.client_id)
    try:
        # No scope is passed: providers may name the granted one in other words than we asked.
        return _answer(oauth, client.parse_request_body_response(text))
    except OAuth2Error as error:
        code = str(error.error)
    except (ValueError, TypeError, AttributeError, LookupError):
        code = ""
    return _failure(oauth, code, text)


def _answer(oauth: OAuth, given: Mapping[str, Any]) -> Answer | SourceError:
    token, refresh_token = given["access_token"], given.get("refresh_token") or ""
    if not all(re.fullmatch(r"[\x21-\x7e]*", each) for each in (token, refresh_token)) or not token:
        return SourceError(f"{_who(oauth)} gives something that is no token")
    if str(given.get("token_type", "bearer")).lower() != "bearer":
        return SourceError(f"{_who(oauth)} gives a token that is no bearer token")
    life = float(given.get("expires_in") or _LIFE_IF_UNTOLD_S)
    ends_in = float(given.get("refresh_token_expires_in") or 0)
    return Answer(token, life - min(_EARLY_S, life * _EARLY_PART), refresh_token, ends_in)


def _failure(oauth: OAuth, code: str, text: str) -> SourceError:
    """What a refusal means. The provider's description is not shown: it may name people."""
    if not re.fullmatch(r"[a-z_]{3,40}", code) or code == "missing_token":
        return SourceError(f"{_who(oauth)} gives an answer that holds no token")
    if code in _NOT_NOW:
        return SourceError(f"{_who(oauth)} is not able to give a token now ({code})")
    number = re.search(r"AADSTS\d{4,8}", text)  # Microsoft's own codes, which its help explains
    shown = f"{code}, {number[0]}" if number else code
    causes = _CAUSES
    if oauth.flow == "service_account":
        causes = {**_CAUSES, **_CAUSES_OF_ACCOUNTS}
    meaning = causes.get(code, "the request is refused").format(**asdict(oauth))
    return LoginRefusedError(f"{_who(oauth)}: {meaning} ({shown})")


def _who(oauth: OAuth) -> str:
    return f"the token endpoint at {_host(oauth)}"


def _host(oauth: OAuth) -> str:
    return urlsplit(oauth.token_url).hostname or ""
