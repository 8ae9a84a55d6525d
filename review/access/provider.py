"""Signing in by a team's OpenID provider: authorization code flow with PKCE, state and nonce.

Authlib speaks OAuth and checks the claims, joserfc the signature, requests carries both; all three
are imported only when somebody really signs in that way. Nothing of what is asked is kept here:
state, nonce and PKCE's verifier are all made from one secret, which only the browser has.
Sources: OpenID Connect Core 1.0, 3.1; Discovery 1.0, 4; RFC 7636; RFC 9207; RFC 9700, 2.1.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from settings import SettingsError, SignInSettings

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

#: Signed with a key that only the provider has. Never "none", nor HMAC: whoever knows the public
#: key, or the client secret, could sign for the provider.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384")
_METADATA_LASTS: Final = timedelta(hours=1)
#: Nobody can make us ask the provider for its keys oftener than this.
_ASK_AGAIN_AFTER: Final = timedelta(seconds=10)
_LARGEST_ANSWER: Final = 1 << 20

_TRY_AGAIN: Final = "Start again from the sign-in page."
#: What a person is told, by the code that the log has.
PROBLEMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unreachable": "The sign-in service cannot be reached just now. Try again in a moment.",
        "refused_there": "The sign-in service did not let you in. Nothing was changed here.",
        "not_ours": f"This sign-in was not begun in this browser, or is too old. {_TRY_AGAIN}",
        "used": f"This sign-in was used already. {_TRY_AGAIN}",
        "code_refused": f"The sign-in service did not confirm this sign-in. {_TRY_AGAIN}",
        "client_refused": (
            "The sign-in service does not accept this page's own credentials. Tell whoever "
            "runs fit-triage: client_id or client_secret_file is wrong or has expired."
        ),
        "misconfigured": (
            "The sign-in service is not what the settings say. Tell whoever runs fit-triage."
        ),
        "token": (
            "The sign-in service's answer could not be verified, so nobody was signed in. "
            f"{_TRY_AGAIN} If it happens again, tell whoever runs fit-triage."
        ),
        "unknown": "You have no user here yet. Ask an admin of fit-triage for an invitation.",
        "no_name": "The sign-in service does not say your name. Ask an admin for an invitation.",
        "name_taken": (
            "There is a user of your name here already who does not sign in this way. If that is "
            "you, ask an admin for an invitation, and open it."
        ),
        "no_role": "None of your groups may open this page. Ask whoever keeps them.",
        "disabled": "Your user here is disabled. Ask an admin of fit-triage.",
        "held": "Too many attempts from where you are. Wait a few minutes, then try again.",
        "invitation": "This invitation was used, or its time is over. Ask an admin for a new one.",
        "taken": "That account belongs to another user here. Ask an admin of fit-triage.",
    }
)


class ProviderError(Exception):
    """Nobody was signed in; ``code`` is a key of ``PROBLEMS``, ``detail`` codes for the log."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code} ({detail})" if detail else code)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the provider vouches for. Only issuer and subject together name somebody."""

    issuer: str
    subject: str
    name: str = field(default="", repr=False)
    groups: tuple[str, ...] = field(default=(), repr=False)


def asked_with(secret: str, what: str) -> str:
    """The ``state``, ``nonce`` or ``verifier`` of a sign-in: 256 bits that tell nothing of it."""
    made = hmac.new(secret.encode(), f"openid {what}".encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(made).rstrip(b"=").decode()


class Provider:
    """One OpenID provider, for all threads; what it says of itself is kept for an hour.

    *home* is the address of the review page, to which it sends people back.

    Every method may raise ``ProviderError``.
    """

    def __init__(
        self,
        settings: SignInSettings,
        home: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self.home, self._clock = settings, home.rstrip("/"), clock
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._metadata_at = self._keys_at = datetime.min.replace(tzinfo=UTC)

    @property
    def answer_at(self) -> str:
        """Where the provider sends people back to; it must be told of this address."""
        return f"{self.home}/sign-in/answer"

    @property
    def label(self) -> str:
        return self._settings.label

    @property
    def adds_unknown(self) -> bool:
        """Whether somebody without a user gets one."""
        return self._settings.unknown == "add"

    @property
    def gives_roles(self) -> bool:
        """Whether groups say who may do what, rather than the users page."""
        return bool(self._settings.roles)

    def role_of(self, identity: Identity) -> str | None:
        """The role of the first group in the settings that somebody is in."""
        fitting = (role for group, role in self._settings.roles.items() if group in identity.groups)
        return next(fitting, None)

    def address(self, secret: str) -> str:
        """Where the browser is to go."""
        url, _ = self._session().create_authorization_url(
            self._endpoint("authorization_endpoint"),
            state=asked_with(secret, "state"),
            nonce=asked_with(secret, "nonce"),
            code_verifier=asked_with(secret, "verifier"),
        )
        return str(url)

    def sign_out_address(self) -> str | None:
        """Where somebody ends their session at the provider, None where it has no such page."""
        if not self._known().get("end_session_endpoint"):
            return None
        asked = {"client_id": self._settings.client_id, "post_logout_redirect_uri": f"{self.home}/"}
        return f"{self._endpoint('end_session_endpoint')}?{urlencode(asked)}"

    def identity(self, secret: str, answer: Mapping[str, str]) -> Identity:
        """Who came back with *answer*, which are the parameters of the address they came to."""
        if not hmac.compare_digest(
            asked_with(secret, "state").encode(), answer.get("state", "").encode()
        ):
            raise ProviderError("not_ours", "state")
        known = self._known()
        issuer_told = answer.get("iss")
        if issuer_told is None and known.get("authorization_response_iss_parameter_supported"):
            raise ProviderError("token", "iss missing in answer")
        if issuer_told not in {None, known["issuer"]}:
            raise ProviderError("token", "iss of answer")
        if "error" in answer:
            raise ProviderError("refused_there", _code(answer["error"]))
        tokens = self._redeemed(answer.get("code", ""), asked_with(secret, "verifier"))
        claims = self._verified(tokens, asked_with(secret, "nonce"))
        return self._identity(claims, tokens)

    # What the provider says of itself

    def _known(self) -> Mapping[str, Any]:
        with self._lock:
            age = self._clock() - self._metadata_at
            if not self._metadata and age < _ASK_AGAIN_AFTER:
                raise ProviderError("unreachable", "a moment ago")
            if not self._metadata or age >= _METADATA_LASTS:
                self._metadata_at = self._clock()
                self._metadata = {}
                issuer = self._settings.issuer
                found = self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if found.get("issuer") != issuer:
                    raise ProviderError("misconfigured", "issuer")
                self._metadata = found
            return self._metadata

    def _endpoint(self, name: str) -> str:
        address = self._known().get(name)
        if not isinstance(address, str):
            raise ProviderError("misconfigured", name)
        parts = urlsplit(address)
        if parts.scheme != "https" and not self._settings.allow_loopback_http:
            raise ProviderError("misconfigured", name)
        return address

    def _keys_of(self, *, newer: bool) -> KeySet:
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        address = self._endpoint("jwks_uri")
        with self._lock:
            may_ask = self._clock() - self._keys_at >= _ASK_AGAIN_AFTER
            if self._keys is None or (newer and may_ask):
                found = self._get(address)
                try:
                    self._keys = KeySet.import_key_set(found)  # type: ignore[arg-type] # checked there
                except (JoseError, ValueError, KeyError, TypeError):
                    raise ProviderError("misconfigured", "jwks") from None
                self._keys_at = self._clock()
            return self._keys

    # What it says of a person

    def _redeemed(self, code: str, verifier: str) -> Mapping[str, Any]:
        import requests
        from authlib.integrations.base_client import OAuthError

        try:
            with self._session() as session:
                tokens = session.fetch_token(
                    self._endpoint("token_endpoint"), grant_type="authorization_code", code=code,
                    redirect_uri=self.answer_at, code_verifier=verifier,
                )  # fmt: skip
        except OAuthError as error:
            refused = error.error in {"invalid_client", "unauthorized_client"}
            problem = "client_refused" if refused else "code_refused", _code(str(error.error))
        except (requests.RequestException, ValueError) as error:
            problem = "unreachable", type(error).__name__
        else:
            if isinstance(tokens.get("id_token"), str):
                return dict(tokens)
            problem = "token", "no id_token"
        # Raised here and not above: those errors hold the request, and with it our secret.
        raise ProviderError(*problem)

    def _verified(self, tokens: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import JoseError

        client_id, issuer = self._settings.client_id, self._settings.issuer
        try:
            token = self._opened(tokens["id_token"])
            claims = CodeIDToken(
                token.claims, token.header,
                options={
                    "iss": {"essential": True, "value": issuer},
                    "aud": {"essential": True, "value": client_id},
                    "sub": {"essential": True},
                },
                params={
                    "nonce": nonce, "client_id": client_id,
                    "access_token": tokens.get("access_token"),
                },
            )  # fmt: skip
            now = int(self._clock().timestamp())
            claims.validate(now=now, leeway=int(self._settings.clock_skew))
        except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
            detail = getattr(error, "claim", None) or type(error).__name__
            problem = ProviderError("token", _code(str(detail)))
        else:
            if isinstance(claims["sub"], str):
                return dict(claims)
            problem = ProviderError("token", "sub")
        raise problem

    def _opened(self, id_token: str) -> Any:  # noqa: ANN401 - joserfc's own, for two lines
        from joserfc import jwt
        from joserfc.errors import JoseError

        algorithms = list(_ALGORITHMS)
        try:
            return jwt.decode(id_token, self._keys_of(newer=False), algorithms=algorithms)
        except (JoseError, ValueError):  # its keys may have changed since
            return jwt.decode(id_token, self._keys_of(newer=True), algorithms=algorithms)

    def _identity(self, claims: Mapping[str, Any], tokens: Mapping[str, Any]) -> Identity:
        """Some providers tell names and groups only to who asks for them (Core, 5.4)."""
        named, grouped = self._settings.name_claim, self._settings.groups_claim
        wanted = {named} | ({grouped} if self.gives_roles else set())
        if not wanted <= claims.keys() and self._known().get("userinfo_endpoint"):
            more = self._get(
                self._endpoint("userinfo_endpoint"), bearer=str(tokens.get("access_token", ""))
            )
            if more.get("sub") != claims["sub"]:
                raise ProviderError("token", "sub of userinfo")
            claims = {**more, **claims}
        name, groups = claims.get(named), claims.get(grouped)
        groups = [groups] if isinstance(groups, str) else groups
        return Identity(
            self._settings.issuer,
            claims["sub"],
            name if isinstance(name, str) else "",
            tuple(group for group in groups if isinstance(group, str))
            if isinstance(groups, list)
            else (),
        )

    # The line

    def _session(self) -> Any:  # noqa: ANN401 - authlib is not typed
        from authlib.integrations.requests_client import OAuth2Session

        try:
            secret = self._settings.client_secret()
        except SettingsError:
            raise ProviderError("misconfigured", "client_secret_file") from None
        taught = self._known().get("token_endpoint_auth_methods_supported", [])
        by_form = "client_secret_basic" not in taught and "client_secret_post" in taught
        return self._polite(
            OAuth2Session(
                self._settings.client_id,
                secret or None,
                token_endpoint_auth_method="client_secret_post" if secret and by_form else None,
                scope=self._settings.scope,
                redirect_uri=self.answer_at,
                code_challenge_method="S256",
                default_timeout=self._settings.timeout,
            )
        )

    def _polite(self, session: Any) -> Any:  # noqa: ANN401 - requests is not typed
        session.max_redirects = 0  # secrets go to the address that is announced, or nowhere
        session.trust_env = not self._settings.allow_loopback_http
        session.verify = str(self._settings.ca_file or "") or True
        return session

    def _get(self, address: str, *, bearer: str = "") -> dict[str, Any]:
        import json

        import requests
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json"}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        try:
            with (
                self._polite(requests.Session()) as session,
                session.get(
                    address, headers=headers, timeout=self._settings.timeout, stream=True
                ) as answer,
            ):
                answer.raise_for_status()
                content = answer.raw.read(_LARGEST_ANSWER, decode_content=True)
                found = json.loads(content)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            problem = type(error).__name__
        else:
            if isinstance(found, dict):
                return found
            problem = "no object"
        raise ProviderError("unreachable", problem)


def _code(text: str) -> str:
    """A provider's code as a log may hold it: what is none might name somebody."""
    is_code = len(text) <= 40 and text.isascii() and text.replace("_", "").isalnum()
    return text if is_code else "?"
