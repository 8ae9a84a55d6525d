"""Mailboxes opened with OAuth2 access tokens: a real Dovecot that asks a token endpoint of ours."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import ssl
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from imapclient import IMAPClient
from services.cutting_proxy import cutting_proxy
from services.dovecot import Dovecot, Mailbox, running_dovecot
from services.token_server import TokenServer, token_server

from ingest.imap_login import log_in
from ingest.oauth import OAuth, TokenSource, token_source
from ingest.signing_in import come_back, invitation, visit, wait_for_person
from ingest.sources import (
    Access,
    LoginRefusedError,
    Source,
    SourceError,
    SourceSpecError,
    open_source,
)
from ingest.token_file import TokenFile
from review.problems import ending
from settings import read_settings

pytestmark = pytest.mark.dovecot

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"


def mail(number: int) -> bytes:
    return b"From: t%d@example.org\r\nSubject: mail %d\r\n\r\nHello.\r\n" % (number, number)


@pytest.fixture(scope="module")
def server(installed_dovecot: None) -> Iterator[tuple[TokenServer, Dovecot]]:  # noqa: ARG001
    with token_server() as tokens, running_dovecot(check_url=tokens.check_url) as dovecot:
        yield tokens, dovecot


@pytest.fixture
def dovecot(server: tuple[TokenServer, Dovecot]) -> Dovecot:
    return server[1]


@pytest.fixture
def tokens(server: tuple[TokenServer, Dovecot]) -> TokenServer:
    """The endpoint as new, but for what it has issued."""
    tokens = server[0]
    fresh = TokenServer(tokens.port, client_secret=tokens.client_secret)
    for name in ("lifetime_s", "refresh_lifetime_s", "rotates", "trouble", "delay_s", "drip_s"):
        setattr(tokens, name, getattr(fresh, name))
    tokens.client_id = f"fit-triage-{secrets.token_hex(4)}"
    tokens.asked.clear()
    tokens.revoke_all()
    return tokens


@pytest.fixture
def box(tokens: TokenServer, dovecot: Dovecot) -> Mailbox:
    box = dovecot.mailbox([mail(n) for n in range(3)])
    tokens.username = box.user
    return box


@pytest.fixture
def grant(tokens: TokenServer, tmp_path: Path) -> OAuth:
    """A refresh token as operations put it into its file."""
    (tmp_path / "secret").write_text(tokens.client_secret + "\n")
    (tmp_path / "refresh").write_text(tokens.sign_in() + "\n")
    return OAuth(
        flow="refresh_token",
        token_url=tokens.url,
        client_id=tokens.client_id,
        scope="imap",
        client_secret_file=tmp_path / "secret",
        refresh_token_file=tmp_path / "refresh",
        timeout_s=5,
        allow_loopback_http=True,
    )


def source(box: Mailbox, tokens: TokenSource, spec: str = "", **changes: object) -> Source:
    access = Access(ca_file=box.server.ca_file, timeout_s=10, tokens=tokens, backoff_s=0.05)
    return open_source(spec or box.spec(), replace(access, **changes))


def count(box: Mailbox, tokens: TokenSource) -> int:
    with source(box, tokens) as opened:
        return opened.count()


def nothing_known(_keys: object) -> set[object]:
    return set()


# Logging in


@pytest.mark.parametrize("mechanism", ["xoauth2", "oauthbearer"])
def test_a_server_that_offers_one_mechanism_is_logged_in_to_by_it(
    tokens: TokenServer, grant: OAuth, mechanism: str
) -> None:
    with running_dovecot(check_url=tokens.check_url, mechanisms=mechanism) as dovecot:
        box = dovecot.mailbox([mail(1)])
        tokens.username = box.user

        assert count(box, TokenSource(grant)) == 1

        log = (dovecot.home / "dovecot-info.log").read_text()
    assert f"method={mechanism.upper()}" in log


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("username", ["", "somebody else"])
def test_a_server_without_initial_responses_is_logged_in_to_and_may_refuse(
    box: Mailbox, tokens: TokenServer, grant: OAuth, mechanism: str, username: str
) -> None:
    access = Access(tokens=TokenSource(grant))
    tokens.username = username or box.user
    context = ssl.create_default_context(cafile=box.server.ca_file)
    with IMAPClient("127.0.0.1", box.server.port, ssl_context=context) as client:
        client._cached_capabilities = (b"IMAP4REV1", b"AUTH=" + mechanism.encode())

        def attempt() -> None:
            log_in(client, "box", box.user, access, reconnect=lambda: client)

        if username:
            with pytest.raises(LoginRefusedError, match="AUTHENTICATIONFAILED"):
                attempt()
        else:
            attempt()
            assert client.select_folder("INBOX", readonly=True)[b"EXISTS"] == 3


def test_the_login_user_may_differ_from_the_address_of_a_shared_mailbox(
    box: Mailbox, grant: OAuth
) -> None:
    spec = box.spec().replace(box.user, "support@clinic.example")

    with source(box, TokenSource(grant), spec, user=box.user) as opened:
        [batch] = opened.batches(None, nothing_known)

    assert [message.key.source for message in batch.messages] == [spec] * 3


def test_a_token_that_the_server_refuses_is_replaced_once(
    box: Mailbox, tokens: TokenServer, grant: OAuth
) -> None:
    held = TokenSource(grant)
    assert count(box, held) == 3
    tokens.revoke_access()

    assert count(box, held) == 3

    assert len(tokens.asked) == 2


def test_a_user_that_no_token_opens_is_refused_without_hammering(
    box: Mailbox, tokens: TokenServer, grant: OAuth
) -> None:
    tokens.username = "somebody else"
    held = TokenSource(grant)
    before = tokens.checked

    with pytest.raises(LoginRefusedError, match="allowed to read this mailbox"):
        count(box, held)
    with pytest.raises(LoginRefusedError):
        count(box, held)

    assert len(tokens.asked) == 2
    assert tokens.checked - before == 3  # a new token once; a kept token, and another in its place


def test_a_token_that_ends_while_mail_is_read_is_replaced_and_no_message_is_missed(
    tokens: TokenServer, dovecot: Dovecot, grant: OAuth
) -> None:
    sent = [mail(n) + b"x" * 20_000 for n in range(20)]
    box = dovecot.mailbox(sent)
    tokens.username = box.user
    with cutting_proxy(dovecot.port) as proxy:
        proxy.strike("cut", "down", 150_000)
        spec = box.spec().replace(str(dovecot.port), str(proxy.port))
        found = []
        with source(box, TokenSource(grant), spec) as opened:
            proxy.strike(None)
            for batch in opened.batches(None, nothing_known, size=4):
                found += [message.content for message in batch.messages]
                tokens.revoke_access()

    assert found == sent
    assert len(tokens.asked) == 2


# Keeping tokens


def test_one_token_serves_many_runs_until_shortly_before_it_ends(
    tokens: TokenServer, grant: OAuth
) -> None:
    now = datetime.now(UTC).timestamp()
    tokens.lifetime_s = 3600

    early = {TokenSource(grant, lambda at=now + s: at).current() for s in (0, 60, 3290)}
    late = TokenSource(grant, lambda: now + 3400).current()

    assert len(early) == 1
    assert late not in early
    assert len(tokens.asked) == 2


@pytest.mark.parametrize("lifetime_s", [4, None])
def test_a_token_of_short_or_untold_life_is_used_more_than_once(
    tokens: TokenServer, grant: OAuth, lifetime_s: float | None
) -> None:
    tokens.lifetime_s = lifetime_s
    held = TokenSource(grant)

    assert held.current() == held.current()


def test_client_credentials_are_used_without_any_file_being_written(
    box: Mailbox, tokens: TokenServer, grant: OAuth, tmp_path: Path
) -> None:
    grant = replace(grant, flow="client_credentials", refresh_token_file=None)
    before = sorted(tmp_path.iterdir())
    held = token_source(grant)

    assert count(box, held) == count(box, token_source(replace(grant))) == 3

    assert [(asked["grant_type"], asked["scope"]) for asked in tokens.asked] == [
        ("client_credentials", "imap")
    ]
    assert sorted(tmp_path.iterdir()) == before


RENEW_AND_DIE = """
import os, signal, sys
from pathlib import Path
from ingest.oauth import OAuth, TokenSource

secret, refresh, url, client, call, moment = sys.argv[1:]
real = getattr(os, call, None)

def dies(*words):
    if moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*words)
    os.kill(os.getpid(), signal.SIGKILL)

if real is not None:
    setattr(os, call, dies)
TokenSource(OAuth("refresh_token", url, client, "imap", Path(secret), Path(refresh),
                  allow_loopback_http=True)).current()
os.kill(os.getpid(), signal.SIGKILL)
"""


def renew_and_die(grant: OAuth, call: str = "none", moment: str = "") -> None:
    """A process that renews and is killed at the system *call*, or right after it has renewed."""
    files = [str(grant.client_secret_file), str(grant.refresh_token_file)]
    words = [*files, grant.token_url, grant.client_id, call, moment]
    process = subprocess.run(
        [sys.executable, "-c", RENEW_AND_DIE, *words], check=False, cwd=Path(__file__).parents[2]
    )
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("call", "moment"), [("rename", "after"), ("none", "")])
def test_a_rotated_refresh_token_is_on_disk_before_the_access_token_is_used(
    box: Mailbox, tokens: TokenServer, grant: OAuth, call: str, moment: str
) -> None:
    renew_and_die(grant, call, moment)
    tokens.revoke_access()  # so that the next one must renew, with the rotated token
    seen = count(box, TokenSource(grant))

    assert seen == 3
    assert len({asked["refresh_token"] for asked in tokens.asked}) == len(tokens.asked)


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "ftruncate", "fsync", "rename"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_at_any_moment_leaves_a_whole_token_file_and_no_lock(
    tokens: TokenServer, grant: OAuth, call: str, moment: str
) -> None:
    tokens.rotates = False  # or a kill before the renaming would be the provider's to forgive

    renew_and_die(grant, call, moment)
    kept = TokenFile(grant.refresh_token_file).read()
    token = TokenSource(grant).current()

    assert kept.refresh_token in tokens.issued
    assert token in tokens.issued
    assert not list(grant.refresh_token_file.parent.glob("*.new"))


def test_the_token_file_is_for_its_owner_alone_and_a_link_to_it_stays_one(
    grant: OAuth, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "refresh"
    grant.refresh_token_file.rename(real)
    grant.refresh_token_file.symlink_to(real)
    real.chmod(0o644)

    TokenSource(grant).current()

    assert grant.refresh_token_file.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert not list(tmp_path.rglob("*.new"))


def test_a_provider_that_does_not_rotate_keeps_its_refresh_token(
    tokens: TokenServer, grant: OAuth
) -> None:
    tokens.rotates = False
    before = TokenFile(grant.refresh_token_file).read()

    TokenSource(grant).current()
    after = TokenFile(grant.refresh_token_file).read()

    assert after.refresh_token == before.refresh_token
    assert after.given_at == before.given_at


def test_where_the_new_token_could_not_be_saved_the_old_one_is_not_spent(
    tokens: TokenServer, grant: OAuth
) -> None:
    draft = grant.refresh_token_file.with_name(".refresh.new")
    draft.mkdir()  # for root every folder is writable; this is not

    with pytest.raises(SourceError, match="cannot be replaced"):
        TokenSource(grant).current()

    assert tokens.asked == []
    draft.rmdir()
    assert TokenSource(grant).current()


def test_a_token_that_came_and_could_not_be_saved_is_saved_before_it_is_used(
    tokens: TokenServer, grant: OAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = TokenSource(grant)
    with monkeypatch.context() as broken:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        broken.setattr(os, "fsync", full)
        with pytest.raises(SourceError, match="No space left"):
            held.current()

    token = held.current()

    assert len(tokens.asked) == 1
    assert TokenFile(grant.refresh_token_file).read().access_token == token


def test_runs_that_start_together_renew_once(tokens: TokenServer, grant: OAuth) -> None:
    tokens.delay_s = 0.3
    found: list[str] = []
    runs = [
        threading.Thread(target=lambda: found.append(TokenSource(grant).current()))
        for _ in range(6)
    ]

    for run in runs:
        run.start()
    for run in runs:
        run.join(20)

    assert len(found) == 6
    assert len(set(found)) == len(tokens.asked) == 1


# Refusals


@pytest.mark.parametrize(
    ("refuse", "said"),
    [
        (lambda t, _: t.revoke_all(), ["refresh token is refused", "sign in again", "AADSTS70008"]),
        (
            lambda _, g: g.client_secret_file.write_text("other"),
            ["secret are refused", "AADSTS7000215"],
        ),
        (lambda t, _: setattr(t, "trouble", (400, b'{"error":"invalid_scope"}')), ["scope"]),
        (lambda t, _: setattr(t, "trouble", (403, b'{"error":"disabled_client"}')), ["disabled"]),
    ],
)
def test_a_refusal_says_what_to_do(
    tokens: TokenServer,
    grant: OAuth,
    refuse: Callable[[TokenServer, OAuth], object],
    said: list[str],
) -> None:
    refuse(tokens, grant)

    with pytest.raises(LoginRefusedError) as caught:
        TokenSource(grant).current()

    assert all(words in str(caught.value) for words in said), str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "trouble",
    [
        (503, b"Service Unavailable"),
        (429, b'{"error":"slow_down"}'),
        (400, b'{"error":"temporarily_unavailable"}'),
        (302, b""),
        (200, b"<html>Sign in to the hotel's network</html>"),
        (200, b'{"token_type":"Bearer"}'),
        (200, b'{"token_type":"mac","access_token":"x"}'),
        (200, b'{"access_token":"a\\r\\nb"}'),
        (200, b'{"access_token":7}'),
        (200, b'{"access_token":"x","expires_in":"soon"}'),
        (200, b"[1]"),
        (400, b'{"error":{"code":1}}'),
        (200, b"\xff\xfe"),
    ],
)
def test_an_endpoint_in_trouble_is_no_refusal(
    tokens: TokenServer, grant: OAuth, trouble: tuple[int, bytes]
) -> None:
    tokens.trouble = trouble

    with pytest.raises(SourceError) as caught:
        TokenSource(grant).current()

    assert not isinstance(caught.value, LoginRefusedError)
    assert "token endpoint at 127.0.0.1" in str(caught.value)
    assert len(tokens.asked) == 1


def test_an_endpoint_that_is_not_there_or_silent_is_named(
    tokens: TokenServer, grant: OAuth
) -> None:
    with pytest.raises(SourceError, match="cannot be reached"):
        TokenSource(replace(grant, token_url="http://127.0.0.1:9/token")).current()
    tokens.delay_s = 2
    with pytest.raises(SourceError, match="no answer in time"):
        TokenSource(replace(grant, timeout_s=0.3)).current()
    tokens.delay_s, tokens.drip_s = 0, 0.05
    with pytest.raises(SourceError, match="no answer in time"):
        TokenSource(replace(grant, timeout_s=0.5)).current()


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://login.example/token", True),
        ("http://127.0.0.1/token", False),
        ("https://user:word@login.example/token", False),
        ("ftp://login.example/token", False),
        ("google", False),
    ],
)
def test_secrets_are_sent_over_tls_alone(grant: OAuth, url: str, *, loopback: bool) -> None:
    with pytest.raises(SourceSpecError, match="token_url"):
        TokenSource(replace(grant, token_url=url, allow_loopback_http=loopback))


# Secrets stay secret


def test_no_token_or_secret_gets_into_logs_or_errors(
    box: Mailbox, tokens: TokenServer, grant: OAuth, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    held = TokenSource(grant)
    said = [repr(held), repr(grant), repr(Access(tokens=held))]

    def attempt() -> None:
        try:
            count(box, held)
        except SourceError as error:
            said.append("".join(traceback.format_exception(error)) + repr(error))

    attempt()
    said.append(repr(TokenFile(grant.refresh_token_file).read()))
    tokens.revoke_access()
    tokens.username = "somebody else"
    attempt()
    tokens.revoke_all()
    attempt()
    tokens.trouble = (302, b"")
    attempt()
    grant.refresh_token_file.write_text("{" + tokens.issued[-1])
    held._access_token = ""
    attempt()

    assert len(said) == 8, "a login was meant to fail and did not"
    everything = "\n".join([caplog.text, *said])
    for secret in [*tokens.issued, tokens.client_secret]:
        assert secret not in everything
        assert secret[8:30] not in everything


# Service accounts


@pytest.fixture(scope="module")
def key_pair() -> tuple[str, str]:
    """A private and its public key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    key = generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


@pytest.fixture
def account(tokens: TokenServer, box: Mailbox, key_pair: tuple[str, str], tmp_path: Path) -> OAuth:
    """A service account that may act for the mailbox, its key as Google's console gives it."""
    address = f"reader-{secrets.token_hex(4)}@project.iam.example"
    tokens.service_accounts[address] = key_pair[1]
    tokens.delegated.add((address, "https://mail.example/"))
    file = tmp_path / "account.json"
    known = {"type": "service_account", "client_email": address, "private_key_id": "key-7"}
    file.write_text(json.dumps({**known, "private_key": key_pair[0]}))
    file.chmod(0o640)
    return OAuth(
        flow="service_account",
        token_url=tokens.url,
        client_id="",
        scope="https://mail.example/",
        key_file=file,
        mailbox=box.user,
        timeout_s=5,
        allow_loopback_http=True,
    )


def test_a_service_account_reads_a_mailbox_in_the_place_of_its_owner(
    box: Mailbox, tokens: TokenServer, account: OAuth, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    tokens.signed.clear()
    held = token_source(account)

    assert count(box, held) == count(box, token_source(replace(account))) == 3

    [claims] = tokens.signed
    assert claims["sub"] == box.user
    assert claims["aud"] == tokens.url
    assert 0 < claims["exp"] - claims["iat"] <= 3600
    assert claims["header"] == {"alg": "RS256", "typ": "JWT", "kid": "key-7"}
    assert set(tokens.asked[0]) == {"grant_type", "assertion"}
    assert sorted(tmp_path.iterdir()) == before


def test_a_service_accounts_token_is_replaced_once_where_the_server_refuses_it(
    box: Mailbox, tokens: TokenServer, account: OAuth
) -> None:
    held = TokenSource(account)
    assert count(box, held) == 3
    tokens.revoke_access()

    assert count(box, held) == 3

    assert len(tokens.asked) == 2


@pytest.mark.parametrize(
    ("refuse", "said"),
    [
        (lambda t, _: setattr(t, "username", "x"), ["mailbox", "is none", "clock is wrong"]),
        (lambda t, _: t.service_accounts.clear(), ["key in", "account.json was deleted"]),
        (lambda t, _: t.delegated.clear(), ["domain-wide", "https://mail.example/"]),
        (
            lambda _, a: a.key_file.write_text(
                '{"client_email": "a@b", "private_key_id": "k", "private_key": "canary"}'
            ),
            ["account.json holds no private RSA key"],
        ),
        (lambda _, a: a.key_file.write_text("canary"), ["no service account's key"]),
        (lambda _, a: a.key_file.write_text('{"private_key": "canary"}'), ["client_email"]),
        (lambda _, a: a.key_file.unlink(), ["account.json: No such file"]),
        (lambda _, a: a.key_file.chmod(0o644), ["open to others (mode 0644)", "chmod 0640"]),
        (lambda _, a: a.key_file.chmod(0o660), ["open to others (mode 0660)"]),
    ],
)
def test_what_keeps_a_service_account_out_is_told_and_no_key_is_shown(
    tokens: TokenServer,
    account: OAuth,
    key_pair: tuple[str, str],
    refuse: Callable[[TokenServer, OAuth], object],
    said: list[str],
) -> None:
    held = TokenSource(account)
    refuse(tokens, account)

    with pytest.raises(SourceError) as caught:
        held.current()

    told = "".join(traceback.format_exception(caught.value))
    assert all(words in str(caught.value) for words in said), str(caught.value)
    assert isinstance(caught.value, LoginRefusedError | SourceSpecError)
    assert "canary" not in told
    assert key_pair[0].splitlines()[3] not in told + repr(held) + repr(account)


def test_a_run_with_a_service_account_needs_no_client_id_and_keeps_no_token(
    box: Mailbox, tokens: TokenServer, account: OAuth, key_pair: tuple[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "fit-triage.toml"
    file.write_text(
        f'database_url = "sqlite:///{tmp_path}/triage.sqlite3"\nfast = true\nworkers = 1\n'
        f'imap_ca_file = "{box.server.ca_file}"\n'
        f'[[sources]]\nurl = "{box.spec()}"\n[sources.oauth]\nflow = "service_account"\n'
        f'token_url = "{account.token_url}"\nkey_file = "{account.key_file}"\n'
        f'scope = "{account.scope}"\nallow_loopback_http = true\n'
    )

    command = [FIT_TRIAGE, "--config", file, "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    account.key_file.chmod(0o604)
    open_to_all = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "fetched 3" in done.stdout
    assert open_to_all.returncode == 2
    assert "open to others" in open_to_all.stderr
    kept = (tmp_path / "triage.sqlite3").read_bytes()
    for secret in [*tokens.issued, key_pair[0].splitlines()[3]]:
        assert secret not in done.stdout + done.stderr + open_to_all.stderr
        assert secret.encode() not in kept


# Signing in


@pytest.fixture
def signing_in(grant: OAuth, tokens: TokenServer) -> OAuth:
    """As *grant*, with no token yet."""
    assert grant.refresh_token_file
    grant.refresh_token_file.unlink()
    tokens.person.clear()
    tokens.device_code = ""
    return grant


def test_a_person_signs_in_by_a_code_typed_elsewhere(
    box: Mailbox, tokens: TokenServer, signing_in: OAuth
) -> None:
    pauses: list[float] = []
    invited = invitation(signing_in, tokens.url.replace("/token", "/devicecode"))
    tokens.person += ["authorization_pending", "slow_down", "authorization_pending"]

    wait_for_person(signing_in, invited, pauses.append)

    assert (invited.page, invited.code) == ("https://sign-in.example/device", "WDJB-MJHT")
    assert pauses == [0.01, 0.01, 5.01, 5.01]
    assert stat.S_IMODE(signing_in.refresh_token_file.stat().st_mode) == 0o600
    assert count(box, TokenSource(signing_in)) == 3
    assert [asked["grant_type"].rpartition(":")[2] for asked in tokens.asked] == ["device_code"] * 4
    assert tokens.device_code not in repr(invited)


@pytest.mark.parametrize("heard", ["access_denied", "expired_token"])
def test_a_person_who_does_not_sign_in_leaves_no_file(
    tokens: TokenServer, signing_in: OAuth, heard: str
) -> None:
    invited = invitation(signing_in, tokens.url.replace("/token", "/devicecode"))
    tokens.person += ["authorization_pending", heard]

    with pytest.raises(LoginRefusedError, match="nobody signed in"):
        wait_for_person(signing_in, invited, lambda _: None)

    assert not signing_in.refresh_token_file.exists()


def test_a_person_is_asked_only_where_their_token_can_be_kept(
    tokens: TokenServer, signing_in: OAuth
) -> None:
    signing_in.refresh_token_file.with_name(".refresh.new").mkdir()

    with pytest.raises(SourceError, match="cannot be replaced"):
        invitation(signing_in, tokens.url.replace("/token", "/devicecode"))
    with pytest.raises(SourceError, match="cannot be replaced"):
        visit(signing_in, "https://sign-in.example/", "somebody")

    assert tokens.device_code == ""


def test_a_person_signs_in_by_a_browser_elsewhere_and_pastes_its_answer(
    box: Mailbox, tokens: TokenServer, signing_in: OAuth
) -> None:
    visited = visit(signing_in, "https://sign-in.example/", "support@clinic.example")
    answer = tokens.agree(visited.address)

    come_back(signing_in, visited, f" {answer}\n")

    assert "login_hint=support%40clinic.example" in visited.address
    assert count(box, TokenSource(signing_in)) == 3


def test_an_answer_that_is_not_this_persons_is_not_taken(
    tokens: TokenServer, signing_in: OAuth
) -> None:
    visited = visit(signing_in, "https://sign-in.example/", "somebody")
    other = visit(signing_in, "https://sign-in.example/", "somebody")
    answer = tokens.agree(visited.address)

    for wrong in ("", "hello", tokens.agree(other.address)):
        with pytest.raises(SourceSpecError, match="does not answer this sign-in"):
            come_back(signing_in, visited, wrong)
    with pytest.raises(LoginRefusedError, match="told no"):
        come_back(signing_in, visited, f"http://127.0.0.1/?error=x&state={visited.state}")
    with pytest.raises(LoginRefusedError) as caught:
        come_back(signing_in, replace(visited, verifier="x" * 43), answer)

    assert "canary" not in str(caught.value)
    assert not signing_in.refresh_token_file.exists()


def test_signing_in_by_command_opens_the_mailbox(
    box: Mailbox, tokens: TokenServer, signing_in: OAuth, tmp_path: Path
) -> None:
    command = [FIT_TRIAGE, "--config", configured(tmp_path, box, signing_in)]
    at = ["--device", tokens.url.replace("/token", "/devicecode")]

    nowhere = subprocess.run([*command, "sign-in", "imap://x"], capture_output=True, check=False)
    signed = subprocess.run([*command, "sign-in", *at], capture_output=True, text=True, check=False)
    done = subprocess.run([*command, "run"], capture_output=True, text=True, check=False)

    assert nowhere.returncode == 2
    assert signed.returncode == 0, signed.stderr
    assert "Open https://sign-in.example/device anywhere, type WDJB-MJHT" in signed.stdout
    assert "fetched 3" in done.stdout, done.stderr
    for secret in tokens.issued:
        assert secret not in signed.stdout + signed.stderr


# As operations use it


def configured(tmp_path: Path, box: Mailbox, grant: OAuth, more: str = "") -> Path:
    file = tmp_path / "fit-triage.toml"
    file.write_text(
        f'database_url = "sqlite:///{tmp_path}/triage.sqlite3"\nfast = true\nworkers = 1\n'
        f'imap_ca_file = "{box.server.ca_file}"\n'
        f'[[sources]]\nurl = "{box.spec()}"\n[sources.oauth]\nflow = "refresh_token"\n'
        f'token_url = "{grant.token_url}"\nclient_id = "{grant.client_id}"\n'
        f'client_secret_file = "{grant.client_secret_file}"\n'
        f'refresh_token_file = "{grant.refresh_token_file}"\nallow_loopback_http = true\n{more}'
    )
    return file


def test_a_run_reads_a_mailbox_that_takes_no_password(
    box: Mailbox, tokens: TokenServer, grant: OAuth, tmp_path: Path
) -> None:
    file = configured(tmp_path, box, grant)
    command = [FIT_TRIAGE, "--config", file, "run"]
    named = [*command, "--source", box.spec()]  # keeps what the settings say of it

    first = subprocess.run(named, capture_output=True, text=True, check=False)
    tokens.revoke_all()
    second = subprocess.run(command, capture_output=True, text=True, check=False)

    assert first.returncode == 0, first.stderr
    assert "fetched 3" in first.stdout
    assert second.returncode == 1
    assert "sign in again" in second.stderr
    kept = (tmp_path / "triage.sqlite3").read_bytes()
    for secret in [*tokens.issued, tokens.client_secret]:
        assert secret not in first.stdout + first.stderr + second.stdout + second.stderr
        assert secret.encode() not in kept


def test_health_tells_two_weeks_ahead_that_a_refresh_token_ends(
    box: Mailbox, tokens: TokenServer, grant: OAuth, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    tokens.refresh_lifetime_s = 20 * 86_400
    TokenSource(grant).current()
    settings = read_settings(configured(tmp_path, box, grant))

    early = list(ending(settings, now))
    [late] = ending(settings, now + timedelta(days=7))

    assert early == []
    assert late.said.startswith("source 1: its refresh token ends on ")


def test_health_tells_of_an_end_that_only_the_settings_know(
    box: Mailbox, grant: OAuth, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    more = f"refresh_token_days = 90\nexpires_on = {(now + timedelta(days=60)).date()}\n"
    settings = read_settings(configured(tmp_path, box, grant, more))

    found = [list(ending(settings, now + timedelta(days=days))) for days in (0, 50, 80)]

    assert [len(each) for each in found] == [0, 1, 2]
    assert "client secret or consent" in found[1][0].said
