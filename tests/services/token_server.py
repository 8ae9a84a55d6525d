"""A token endpoint on 127.0.0.1, and what a mail server asks to check a token (RFC 7662).

It behaves as large providers do: a refresh token may be used once, using it twice revokes all that
came of it, and access tokens end. What it has been asked is remembered, to be looked at by tests.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_NUMBERS = itertools.count(1)


@dataclass
class TokenServer:
    """One client, whose tokens open the mailbox of ``username``."""

    port: int
    client_id: str = "fit-triage-test"
    client_secret: str = field(default_factory=lambda: f"secret-{secrets.token_hex(8)}")
    username: str = ""
    lifetime_s: float | None = 3600  # None: the endpoint does not say
    refresh_lifetime_s: float | None = None  # None: the endpoint does not say
    rotates: bool = True
    trouble: tuple[int, bytes] | None = None  # status and body, instead of any answer
    delay_s: float = 0
    drip_s: float = 0  # between two bytes of an answer
    asked: list[dict[str, str]] = field(default_factory=list)  # of the token endpoint
    checked: int = 0
    issued: list[str] = field(default_factory=list)  # every secret given out: canaries
    service_accounts: dict[str, str] = field(default_factory=dict)  # address: public key, PEM
    delegated: set[tuple[str, str]] = field(default_factory=set)  # (account's address, scope)
    signed: list[dict[str, Any]] = field(default_factory=list)  # claims and header believed
    person: list[str] = field(default_factory=list)  # what the device flow hears before a yes
    device_code: str = ""
    _visits: dict[str, dict[str, str]] = field(default_factory=dict)
    _access: dict[str, float] = field(default_factory=dict)
    _refresh: set[str] = field(default_factory=set)
    _spent: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/token"

    @property
    def check_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/introspect"

    def sign_in(self) -> str:
        """A first refresh token, as a person gets it by signing in."""
        token = self._new("refresh")
        self._refresh.add(token)
        return token

    def revoke_access(self) -> None:
        self._access.clear()

    def revoke_all(self) -> None:
        self._access.clear()
        self._refresh.clear()

    def note(self, asked: dict[str, str]) -> None:
        """Remember a request, unless it comes late from the client of an earlier test."""
        if asked.get("client_id") == self.client_id:
            self.asked.append(asked)

    def token(self, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if asked.get("grant_type") == JWT_BEARER:
            return self._by_assertion(asked)
        self.note(asked)
        if (asked.get("client_id"), asked.get("client_secret")) != (
            self.client_id,
            self.client_secret,
        ):
            return 401, {"error": "invalid_client", "error_description": "AADSTS7000215: canary"}
        given: dict[str, Any] = {"token_type": "Bearer", "access_token": self._new("access")}
        refusal = self._refusal(asked, given)
        if refusal:
            return 400, {"error": refusal, "error_description": "AADSTS70008: canary"}
        return 200, self._lasting(given)

    def _refusal(self, asked: dict[str, str], given: dict[str, Any]) -> str:
        """Why nothing is given, or "" and a refresh token in *given* where there is one."""
        kind = asked.get("grant_type")
        if kind == "client_credentials":
            return ""
        if kind == "refresh_token":
            return "" if self._renew(asked.get("refresh_token", ""), given) else "invalid_grant"
        if kind == DEVICE_CODE and self.person:
            return self.person.pop(0)
        if kind == DEVICE_CODE:
            signed_in = asked.get("device_code") == self.device_code
        else:
            signed_in = kind == "authorization_code" and self._redeems(asked)
        if signed_in:
            given["refresh_token"] = self.sign_in()
        return "" if signed_in else "invalid_grant"

    def _by_assertion(self, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """A token for the mailbox that a service account names, if all it says is proven.

        RFC 7523 3: signed by the issuer, for us, and not for long; the scope among the claims and
        the refusals are Google's way.
        """
        self.asked.append(asked)
        assertion = asked.get("assertion", "")
        try:
            issuer = jwt.decode(assertion, options={"verify_signature": False})["iss"]
            claims = jwt.decode(
                assertion, self.service_accounts[issuer], algorithms=["RS256"], audience=self.url,
                options={"require": ["iss", "sub", "aud", "exp", "iat", "scope"]},
            )  # fmt: skip
        except (jwt.PyJWTError, KeyError):
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT canary"}
        if claims["exp"] - claims["iat"] > 3600 or claims["sub"] != self.username:
            return 400, {"error": "invalid_grant", "error_description": "Invalid user canary"}
        if (issuer, claims["scope"]) not in self.delegated:
            return 401, {"error": "unauthorized_client", "error_description": "canary"}
        self.signed.append({**claims, "header": jwt.get_unverified_header(assertion)})
        return 200, self._lasting({"token_type": "Bearer", "access_token": self._new("access")})

    def _lasting(self, given: dict[str, Any]) -> dict[str, Any]:
        life = 3600 if self.lifetime_s is None else self.lifetime_s
        self._access[given["access_token"]] = time.time() + life
        if self.lifetime_s is not None:
            given["expires_in"] = self.lifetime_s
        return given

    def invite(self, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """A code for a person to type (RFC 8628 3.2)."""
        if asked.get("client_id") != self.client_id:
            return 400, {"error": "unauthorized_client", "error_description": "canary"}
        self.device_code = self._new("device")
        page = "https://sign-in.example/device"
        known = {"device_code": self.device_code, "user_code": "WDJB-MJHT"}
        return 200, {**known, "verification_uri": page, "expires_in": 900, "interval": 0.01}

    def agree(self, address: str) -> str:
        """What a browser is sent back to when the person at *address* has said yes."""
        asked = {name: words[0] for name, words in parse_qs(urlsplit(address).query).items()}
        code = self._new("code")
        self._visits[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'state': asked['state'], 'code': code})}"

    def _redeems(self, asked: dict[str, str]) -> bool:
        """Whether it is who asked for the code (RFC 7636 4.6), for the first time."""
        visit = self._visits.pop(asked.get("code", ""), {})
        hashed = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
        same = visit.get("redirect_uri") == asked.get("redirect_uri")
        return same and proof == visit.get("code_challenge") and visit["scope"] == "imap"

    def _renew(self, old: str, given: dict[str, Any]) -> bool:
        if old in self._spent:  # somebody has stolen it: nobody gets in any more
            self.revoke_all()
        if old not in self._refresh:
            return False
        if self.rotates:
            self._refresh.remove(old)
            self._spent.add(old)
            given["refresh_token"] = self.sign_in()
        if self.refresh_lifetime_s is not None:
            given["refresh_token_expires_in"] = self.refresh_lifetime_s
        return True

    def introspect(self, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.checked += 1
        active = self._access.get(asked.get("token", ""), 0) > time.time()
        return 200, {"active": active, "username": self.username} if active else {"active": False}

    def _new(self, kind: str) -> str:
        token = f"canary-{kind}-{next(_NUMBERS)}-{secrets.token_urlsafe(24)}"
        self.issued.append(token)
        return token


@contextlib.contextmanager
def token_server() -> Iterator[TokenServer]:
    """Serve until the ``with`` ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        server = TokenServer(http.server_port)
        http.tokens = server  # type: ignore[attr-defined]
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        tokens: TokenServer = self.server.tokens  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        if self.path == "/introspect":
            self._answer(*tokens.introspect(asked))
            return
        if self.path == "/devicecode":
            self._answer(*tokens.invite(asked))
            return
        time.sleep(tokens.delay_s)
        if tokens.trouble is not None:
            tokens.note(asked)
            self._send(*tokens.trouble)
        else:
            self._answer(*tokens.token(asked))

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, json.dumps(content).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if 300 <= status < 400:
            self.send_header("Location", "http://127.0.0.1:9/token")
        self.end_headers()
        drip_s = self.server.tokens.drip_s  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            for part in (bytes([byte]) for byte in content) if drip_s else (content,):
                self.wfile.write(part)
                time.sleep(drip_s)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass
