"""A server that nobody may ever reach, and that remembers whoever does.

The browser is told that every host on earth lies at its port, so that a connection alone, opened
ahead of any request, is seen as well; hosts hold the number of the mail that named them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DOMAIN: Final = "evil.test"
_HOST: Final = re.compile(rf"c(\d+)\.{re.escape(DOMAIN)}")
#: What it serves is hostile too: a picture that would run and load if it were a document.
_PICTURE: Final = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="%s">'
    b'<image href="https://c0.evil.test/inner"/></svg>'
)


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody came: which mail's host they asked for, and what they told of themselves."""

    number: int  # 0 where no mail's host was named
    is_tls: bool
    head: str  # the request's first line and its header lines, "" for a bare connection

    def is_ours(self) -> bool:
        """Whether a mail may have led here; browsers call home by themselves, by other names."""
        return bool(self.number) or not (self.head or self.is_tls)

    def tells(self) -> list[str]:
        """Header lines that tell where the reader is, or who."""
        lines = self.head.split("\r\n")[1:]
        named = ("referer:", "cookie:", "origin:", "authorization:", "sec-fetch-site: same-")
        return [line for line in lines if line.lower().startswith(named)]


@dataclass
class Canary:
    port: int
    contacts: list[Contact] = field(default_factory=list)


@contextlib.contextmanager
def running_canary() -> Iterator[Canary]:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:
        canary = Canary(listening.getsockname()[1])
        context = _tls()
        threading.Thread(target=_accept, args=(listening, canary, context), daemon=True).start()
        yield canary
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, canary: Canary, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            line, _ = listening.accept()
            threading.Thread(target=_serve, args=(line, canary, context), daemon=True).start()


def _serve(line: socket.socket, canary: Canary, context: ssl.SSLContext) -> None:
    is_tls, hello, head = False, "", ""
    line.settimeout(2)
    with contextlib.suppress(OSError):
        is_tls = line.recv(1, socket.MSG_PEEK) == b"\x16"
        if is_tls:
            hello = line.recv(4096, socket.MSG_PEEK).decode("latin-1")
            line = context.wrap_socket(line, server_side=True)
        head = line.recv(65536).decode("latin-1").partition("\r\n\r\n")[0]
        body = _PICTURE % (b"console.log(/HIT-%d/.source)" % _number(head))
        line.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: image/svg+xml\r\nAccess-Control-Allow-Origin: *\r\n"
            b"Set-Cookie: seen=1; SameSite=None; Secure\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
    line.close()
    canary.contacts.append(Contact(_number(head) or _number(hello), is_tls, head))


def _number(text: str) -> int:
    found = _HOST.search(text)
    return int(found[1]) if found else 0


def _tls() -> ssl.SSLContext:
    """With a certificate of its own making, which the browser is told to accept."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"*.{DOMAIN}")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=9))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "both.pem"
        path.write_bytes(made.public_bytes(pem) + private)
        context.load_cert_chain(path)
    return context
