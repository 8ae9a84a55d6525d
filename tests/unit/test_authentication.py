"""Who really sent it: nothing forged is ever shown as authenticated."""

import base64
import hashlib
import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from ingest import authentication
from ingest.parsing import ParseOptions, parse
from triage.records import MessageKey, RawMessage

SERVER = "mx.support.example"
OWN = f"Authentication-Results: {SERVER}; dmarc=pass header.from=therapist.example\r\n"
FROM = "From: Ann Lee <ann@therapist.example>\r\n"
REST = (
    "To: support@therapy.example\r\nSubject: Cancel\r\nDate: Mon, 3 Nov 2025 10:00:00 +0000\r\n"
    "Message-ID: <1@therapist.example>\r\n\r\nPlease cancel.\r\n"
)


def read(head, *, server=SERVER, rest=REST, **options):
    content = head.encode("utf-8", "surrogateescape") + rest.encode()
    raw = RawMessage(
        MessageKey("s", "INBOX", 1, 1),
        datetime(2025, 11, 3, tzinfo=UTC),
        hashlib.sha256(content).hexdigest(),
        content,
    )
    return parse(raw, ParseOptions(authserv_id=server, **options))


@pytest.mark.parametrize(
    "results",
    [
        "dmarc=pass header.from=therapist.example",
        "dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=Therapist.Example",
        "dkim=pass header.d=therapist.example header.s=a header.b=x",
        "dkim=pass header.i=@mail.therapist.example",
        "spf=pass smtp.mailfrom=bounces.therapist.example; dkim=none",
        "spf=pass (ok) smtp.mailfrom=ann@therapist.example; dmarc=none",
        'spf=fail smtp.mailfrom=x.example; dmarc=pass header.from="therapist.example"',
    ],
)
def test_the_trusted_servers_word_for_the_from_domain_is_believed(results):
    email = read(f"Authentication-Results: {SERVER};\r\n {results}\r\n{FROM}")

    assert email.authentication.passed, email.authentication.reason


def test_without_a_trusted_server_nobody_is_believed():
    email = read(OWN + FROM, server="")

    assert not email.authentication.passed
    assert email.authentication.reason == "no trusted server is configured"


FORGED = f"Authentication-Results: {SERVER}; dmarc=pass header.from=therapist.example\r\n"
RECEIVED = f"Received: from x (x [192.0.2.1]) by {SERVER}; Mon, 3 Nov 2025 10:00:00 +0000\r\n"
FAILED = f"Authentication-Results: {SERVER}; dmarc=fail header.from=therapist.example\r\n"

# The sender's side of "Composition Kills" (Chen et al., USENIX Security 2020), the differential
# cases that parsers disagree about, and forged results.
SPOOFS = {
    "dmarc failed": FAILED + FROM,
    "forged result under the server's own": FAILED + FORGED + FROM,
    "forged result under a trace": FAILED + RECEIVED + FORGED + FROM,
    "forged result under one of another server": "Authentication-Results: relay.example; "
    "dmarc=fail header.from=therapist.example\r\n" + FORGED + FROM,
    "another server's result": OWN.replace(SERVER, "mx.evil.example") + FROM,
    "server's name as a prefix": OWN.replace(SERVER, SERVER + ".evil.example") + FROM,
    "server's name in a comment": f"Authentication-Results: evil.example ({SERVER}); "
    "dmarc=pass header.from=therapist.example\r\n" + FROM,
    "pass inside a comment": f"Authentication-Results: {SERVER}; dmarc=fail "
    "(; dmarc=pass header.from=therapist.example) header.from=therapist.example\r\n" + FROM,
    "pass inside a quoted string": f"Authentication-Results: {SERVER}; dmarc=fail "
    'reason="; dmarc=pass header.from=therapist.example" header.from=therapist.example\r\n' + FROM,
    "unbalanced comment": f"Authentication-Results: {SERVER} (; dmarc=pass "
    "header.from=therapist.example\r\n" + FROM,
    "forged result under an undecided one": f"Authentication-Results: {SERVER}; spf=fail "
    "smtp.mailfrom=evil.example; dkim=none; dmarc=none\r\n"
    f"Authentication-Results: {SERVER}; dkim=pass header.d=therapist.example; "
    "spf=pass smtp.mailfrom=therapist.example; dmarc=pass header.from=therapist.example\r\n" + FROM,
    "forged result under the sender's own field": f"Authentication-Results: {SERVER}; "
    "spf=fail smtp.mailfrom=evil.example\r\nX-Spam: no\r\n" + FORGED + FROM,
    "dmarc for another domain": OWN.replace("therapist.example", "evil.example") + FROM,
    "a semicolon in the signer's domain": f"Authentication-Results: {SERVER}; "
    "dkim=pass header.d=therapist.example;.evil.example\r\n" + FROM,
    "a parenthesis in the envelope sender": f"Authentication-Results: {SERVER}; "
    "spf=pass smtp.mailfrom=ann@therapist.example(.evil.example\r\n" + FROM,
    "a quoted address as the envelope sender's local part": f"Authentication-Results: {SERVER}; "
    'spf=pass smtp.mailfrom="ann@therapist.example;"@evil.example\r\n' + FROM,
    "two signers in one result": f"Authentication-Results: {SERVER}; "
    "dkim=pass header.d=evil.example header.d=therapist.example\r\n" + FROM,
    "two From domains in one result": f"Authentication-Results: {SERVER}; "
    "dmarc=pass header.from=evil.example header.from=therapist.example\r\n" + FROM,
    "Resent-From": OWN + "Resent-From: ann@therapist.example\r\nFrom: evil@evil.example\r\n",
    "dmarc without a domain": f"Authentication-Results: {SERVER}; dmarc=pass\r\n" + FROM,
    "dkim of another domain": f"Authentication-Results: {SERVER}; "
    "dkim=pass header.d=evil.example\r\n" + FROM,
    "dkim of a look-alike": f"Authentication-Results: {SERVER}; "
    "dkim=pass header.d=eviltherapist.example\r\n" + FROM,
    "dkim of a shared suffix": f"Authentication-Results: {SERVER}; dkim=pass header.d=co.uk\r\n"
    "From: ann@therapist.co.uk\r\n",
    "spf of the sender's own domain": f"Authentication-Results: {SERVER}; "
    "spf=pass smtp.mailfrom=evil@evil.example\r\n" + FROM,
    "spf of the HELO name only": f"Authentication-Results: {SERVER}; "
    "spf=pass smtp.helo=therapist.example\r\n" + FROM,
    "null envelope sender": f"Authentication-Results: {SERVER}; "
    "spf=pass smtp.mailfrom=<>\r\n" + FROM,
    "contradicting results": OWN + FAILED + FROM,
    "two From headers": OWN + FROM + "From: evil@evil.example\r\n",
    "two From headers, reversed": OWN + "From: evil@evil.example\r\n" + FROM,
    "two addresses in From": OWN + "From: ann@therapist.example, evil@evil.example\r\n",
    "From with a space before the colon": OWN + "From : ann@therapist.example\r\n"
    "From: evil@evil.example\r\n",
    "folded From name": OWN + "From\r\n : evil@evil.example\r\n" + FROM,
    "bare CR splits a header": OWN + "Subject: x\rFrom: ann@therapist.example\r\n"
    "From: evil@evil.example\r\n",
    "bare CR alone": OWN + "X: y\rFrom: ann@therapist.example\r\n",
    "NUL in From": OWN + "From: ann@therapist.example\0 <evil@evil.example>\r\n",
    "NUL in another header": OWN + FROM + "X: a\0b\r\n",
    "two angle addresses": OWN + "From: <ann@therapist.example><evil@evil.example>\r\n",
    "address, then another": OWN + "From: <ann@therapist.example>evil@evil.example\r\n",
    "route address": OWN + "From: <@evil.example,@x.example:ann@therapist.example>\r\n",
    "address as the name": OWN + 'From: "evil@evil.example" <ann@therapist.example>\r\n',
    "encoded address as the name": OWN.replace("therapist", "evil")
    + "From: =?utf-8?Q?ann=40therapist.example?= <x@evil.example>\r\n",
    "one encoded word": OWN + "From: =?utf-8?Q?Ann_<ann=40therapist.example>?=\r\n",
    "quoted pairs": OWN + 'From: "Ann\\" <evil@evil.example>, " <ann@therapist.example>\r\n',
    "comment around": OWN + "From: ann@therapist.example(<evil@evil.example>)\r\n",
    "group syntax": OWN + "From: a: ann@therapist.example, evil@evil.example;\r\n",
    "no From": OWN + "Sender: ann@therapist.example\r\n",
    "empty From": OWN + "From: \r\nReply-To: ann@therapist.example\r\n",
    "Reply-To only": OWN + "Reply-To: ann@therapist.example\r\n",
    "look-alike letters": OWN + "From: ann@therаpist.example\r\n",
    "a line that is no header": OWN + "garbage\r\n" + FROM,
}


@pytest.mark.parametrize("head", SPOOFS.values(), ids=SPOOFS.keys())
def test_a_spoof_is_never_shown_as_authenticated(head):
    email = read(head)

    assert not email.authentication.passed
    assert email.authentication.reason
    assert "@" not in email.authentication.reason


def test_lines_that_end_in_bare_carriage_returns_are_not_authenticated():
    head = (OWN + FROM).replace("\r\n", "\r")

    email = read(head, rest=REST.replace("\r\n", "\r"))

    assert email.sender.email == "ann@therapist.example"
    assert not email.authentication.passed


def test_reply_to_is_never_the_sender():
    email = read(OWN + FROM + "Reply-To: other@evil.example\r\n")

    assert email.sender.email == "ann@therapist.example"
    assert [address.email for address in email.reply_to] == ["other@evil.example"]


@pytest.fixture(scope="module")
def signing_key(tmp_path_factory):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("making a signing key needs openssl")
    private = tmp_path_factory.mktemp("key") / "key.pem"
    make = [openssl, "genrsa", "-traditional", "-out", str(private), "2048"]
    subprocess.run(make, check=True, capture_output=True)
    show = [openssl, "rsa", "-in", str(private), "-pubout", "-outform", "DER"]
    public = subprocess.run(show, check=True, capture_output=True).stdout
    return private.read_bytes(), public


@pytest.fixture
def signed(signing_key):
    import dkim

    private, public = signing_key
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)

    def sign(domain, *, length=False, head=FROM):
        content = (head + REST).encode()
        field = dkim.sign(content, b"s1", domain.encode(), private, length=length)
        return field.decode() + head

    return sign, lambda _name, **_: record


def test_a_signature_of_the_from_domain_vouches_where_no_server_does(signed):
    sign, lookup = signed

    email = read(sign("therapist.example"), check_dkim=True, dnsfunc=lookup)

    assert email.authentication.passed, email.authentication.reason


@pytest.mark.parametrize("case", ["other domain", "length", "changed body", "second From"])
def test_a_signature_that_proves_too_little_does_not_vouch(signed, case):
    sign, lookup = signed
    head = sign("evil.example" if case == "other domain" else "therapist.example",
                length=case == "length")  # fmt: skip
    if case == "second From":
        head = "From: evil@evil.example\r\n" + head
    rest = REST + "More.\r\n" if case == "changed body" else REST

    email = read(head, rest=rest, check_dkim=True, dnsfunc=lookup)

    assert not email.authentication.passed


@pytest.mark.parametrize(
    ("domain", "from_domain", "expected"),
    [
        ("a.example", "a.example", True),
        ("mail.a.example", "a.example", True),
        ("a.example", "mail.a.example", True),
        ("b.a.example", "c.a.example", False),
        ("example", "a.example", False),
        ("org.uk", "a.org.uk", False),
        ("nota.example", "a.example", False),
        ("", "a.example", False),
    ],
)
def test_domains_align_only_when_one_stands_above_the_other(domain, from_domain, expected):
    assert authentication.aligned(domain, from_domain) is expected
