"""An OpenID provider on 127.0.0.1, in a process of its own, with RSA keys of its own.

It does what the specifications ask: discovery, the authorization code flow with PKCE (S256 is
demanded), codes that work once, ID tokens signed with RS256, UserInfo, and an announced way to sign
out. Whoever comes is signed in as ``person`` at once. Tests make it err by ``errs``: a set of
the names in ``_token`` and its neighbours.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import pytest

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

CLIENT_ID, CLIENT_SECRET = "fit-triage-test", "a-secret-of-the-client"


@dataclass
class OpenIdProvider:
    """The running provider, as tests speak to it."""

    issuer: str
    process: subprocess.Popen[bytes]

    def set(self, *errs: str, **person: Any) -> None:
        """What it does wrong from now on, and who comes: the claims about them."""
        answer = httpx.post(f"{self.issuer}/control", json={"errs": errs, "person": person})
        assert answer.status_code == 200

    def visited(self, address: str) -> str:
        """Where the browser is sent that went to *address*."""
        answer = httpx.get(address, follow_redirects=False)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@contextlib.contextmanager
def running_openid_provider(host: str = "127.0.0.1") -> Iterator[OpenIdProvider]:
    """Serve until the ``with`` ends; it stops as well when its standard input is closed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, Path(__file__), str(port), host], stdin=subprocess.PIPE
    )
    provider = OpenIdProvider(f"http://{host}:{port}", process)
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{provider.issuer}/.well-known/openid-configuration")
                break
            assert process.poll() is None, "the provider did not start"
            time.sleep(0.05)
        yield provider
    finally:
        provider.stop()
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="session")
def shared_openid_provider() -> Iterator[OpenIdProvider]:
    with running_openid_provider() as provider:
        yield provider


@pytest.fixture
def openid_provider(shared_openid_provider: OpenIdProvider) -> OpenIdProvider:
    """The provider, erring in nothing; ana is at it."""
    shared_openid_provider.set(sub="subject-of-ana", preferred_username="Ana", groups=["leads"])
    return shared_openid_provider


# The provider itself


@dataclass
class _House:
    issuer: str
    errs: set[str] = field(default_factory=set)
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "nobody"})
    keys: list[Any] = field(default_factory=list)  # the newest signs
    visits: dict[str, dict[str, str]] = field(default_factory=dict)  # by code
    people: dict[str, dict[str, Any]] = field(default_factory=dict)  # by access token


def _app(issuer: str) -> Starlette:
    from starlette.applications import Starlette
    from starlette.routing import Route

    app = Starlette(
        routes=[
            Route("/.well-known/openid-configuration", _metadata),
            Route("/keys", _keys),
            Route("/authorize", _authorize),
            Route("/token", _redeem, methods=["POST"]),
            Route("/me", _userinfo),
            Route("/control", _control, methods=["POST"]),
        ]
    )
    app.state.house = _House(issuer)
    _new_key(app.state.house)
    return app


def _new_key(house: _House) -> None:
    from joserfc.jwk import RSAKey

    named = {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"}
    house.keys.append(RSAKey.generate_key(2048, named))


def _of(request: Request) -> _House:
    house: _House = request.app.state.house
    return house


async def _control(request: Request) -> Any:
    from starlette.responses import JSONResponse

    house, told = _of(request), await request.json()
    house.errs, house.person = set(told["errs"]), told["person"] or house.person
    if "rotated" in house.errs:  # as after a theft: the old key is gone at once
        house.keys.clear()
        _new_key(house)
    return JSONResponse({})


async def _metadata(request: Request) -> Any:
    from starlette.responses import JSONResponse

    house = _of(request)
    at = house.issuer
    found = {
        "issuer": "https://other.example" if "issuer" in house.errs else at,
        "authorization_endpoint": f"{at}/authorize",
        "token_endpoint": f"{at}/token",
        "jwks_uri": f"{at}/keys",
        "userinfo_endpoint": f"{at}/me",
        "end_session_endpoint": f"{at}/bye",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }
    if "no_sign_out" in house.errs:
        del found["end_session_endpoint"]
    return JSONResponse(found, 500 if "broken" in house.errs else 200)


async def _keys(request: Request) -> Any:
    from starlette.responses import JSONResponse

    return JSONResponse({"keys": [key.as_dict(private=False) for key in _of(request).keys]})


async def _authorize(request: Request) -> Any:
    from starlette.responses import PlainTextResponse, RedirectResponse

    house, asked = _of(request), dict(request.query_params)
    whole = {"client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge"}
    if not whole <= asked.keys() or asked["code_challenge_method"] != "S256":
        return PlainTextResponse("not a whole request", 400)
    back = {"state": asked["state"], "iss": house.issuer}
    if "wrong_state" in house.errs:
        back["state"] = "x" * 43
    if "wrong_iss" in house.errs:
        back["iss"] = "https://other.example"
    if "no_iss" in house.errs:
        del back["iss"]
    if "denied" in house.errs:
        back |= {"error": "access_denied", "error_description": "canary@practice.example"}
    else:
        back["code"] = secrets.token_urlsafe(24)
        house.visits[back["code"]] = asked
    return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 302)


async def _redeem(request: Request) -> Any:
    from starlette.responses import JSONResponse

    house = _of(request)
    form = await request.form()
    asked = {name: str(value) for name, value in form.items()}
    if "redirected" in house.errs:
        return JSONResponse({}, 307, headers={"Location": "http://127.0.0.1:9/token"})
    if not _is_client(request):
        return JSONResponse({"error": "invalid_client"}, 401)
    code = asked.get("code", "")
    visit = (house.visits.get if "codes_stay_good" in house.errs else house.visits.pop)(code, None)
    challenge = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
    is_same = visit is not None and (
        _base64(challenge) == visit["code_challenge"]
        and asked.get("redirect_uri") == visit["redirect_uri"]
    )
    if visit is None or not is_same:
        told = {"error": "invalid_grant", "error_description": "canary@practice.example"}
        return JSONResponse(told, 400)
    access_token = secrets.token_urlsafe(24)
    house.people[access_token] = house.person
    tokens = {"access_token": access_token, "token_type": "Bearer", "expires_in": 300}
    if "no_id_token" not in house.errs:
        tokens["id_token"] = _id_token(house, visit, access_token)
    return JSONResponse(tokens)


def _is_client(request: Request) -> bool:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return scheme == "Basic" and base64.b64decode(value).decode() == f"{CLIENT_ID}:{CLIENT_SECRET}"


async def _userinfo(request: Request) -> Any:
    from starlette.responses import JSONResponse

    house = _of(request)
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token not in house.people:
        return JSONResponse({}, 401)
    told = dict(house.people[token])
    if "other_userinfo" in house.errs:
        told["sub"] = "somebody-else"
    return JSONResponse(told)


def _id_token(house: _House, visit: dict[str, str], access_token: str) -> str:
    now = int(time.time())
    person = {"sub": house.person["sub"]} if "by_userinfo" in house.errs else house.person
    half = hashlib.sha256(access_token.encode()).digest()[:16]
    claims = {
        **person, "iss": house.issuer, "aud": visit["client_id"], "nonce": visit["nonce"],
        "iat": now, "exp": now + 300, "at_hash": _base64(half),
    }  # fmt: skip
    wrong = {
        "wrong_nonce": {"nonce": "of-another-sign-in"},
        "wrong_audience": {"aud": "another-client", "azp": visit["client_id"]},
        "wrong_party": {"aud": [visit["client_id"], "other"], "azp": "other"},
        "wrong_issuer": {"iss": "https://other.example"},
        "expired": {"iat": now - 4000, "exp": now - 3600},
        "slow_clock": {"iat": now + 30, "exp": now + 330},
        "fast_clock": {"exp": now - 30},
        "far_future": {"iat": now + 3600, "exp": now + 7200},
        "wrong_at_hash": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    }
    for name, changed in wrong.items():
        if name in house.errs:
            claims |= changed
    for name in ("nonce", "exp", "aud", "sub", "iss"):
        if f"no_{name}_claim" in house.errs:
            del claims[name]
    return _signed(house, claims)


def _signed(house: _House, claims: dict[str, Any]) -> str:
    """By the newest key; or in one of the ways in which forgers have got past libraries."""
    from joserfc import jwt
    from joserfc.jwk import RSAKey

    key = house.keys[-1]
    header = {"alg": "RS256", "kid": key.kid}
    body = _base64(json.dumps(claims).encode())
    if "alg_none" in house.errs:
        return f"{_base64(json.dumps({'alg': 'none', 'kid': key.kid}).encode())}.{body}."
    if "hmac_with_public_key" in house.errs:
        import hmac

        head = _base64(json.dumps({"alg": "HS256", "kid": key.kid}).encode())
        mac = hmac.new(key.as_pem(private=False), f"{head}.{body}".encode(), hashlib.sha256)
        return f"{head}.{body}.{_base64(mac.digest())}"
    if "hmac_with_client_secret" in house.errs:
        import hmac

        head = _base64(json.dumps({"alg": "HS256"}).encode())
        mac = hmac.new(CLIENT_SECRET.encode(), f"{head}.{body}".encode(), hashlib.sha256)
        return f"{head}.{body}.{_base64(mac.digest())}"
    if "foreign_key" in house.errs:
        key = RSAKey.generate_key(2048, {"kid": key.kid})
    if "own_key_in_header" in house.errs:
        key = RSAKey.generate_key(2048, {"kid": "mine"})
        header = {"alg": "RS256", "jwk": key.as_dict(private=False)}
    signed = jwt.encode(header, claims, key)
    if "changed_afterwards" in house.errs:
        head, _, mac = signed.split(".")
        forged = _base64(json.dumps({**claims, "sub": "subject-of-bo"}).encode())
        return f"{head}.{forged}.{mac}"
    return signed


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _serve(port: int, host: str) -> None:
    import threading

    import uvicorn

    config = uvicorn.Config(
        _app(f"http://{host}:{port}"), "127.0.0.1", port, log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)

    def until_closed() -> None:
        os.read(0, 1)
        server.should_exit = True

    threading.Thread(target=until_closed, daemon=True).start()
    server.run()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])
