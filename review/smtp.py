"""Letters sent over SMTP, each at most once; the only module that speaks SMTP.

Nothing tells a sender for certain that a letter was not taken, once the last line of its content
is out and the answer is missing (RFC 5321, 4.5.3.2.6 and 6.1; RFC 1047). So that last line is held
back until the attempt is marked on disk: a letter whose mark is not there was never handed over,
and is sent again; one whose mark is there and whose answer is not, is never sent again by itself.
"""

from __future__ import annotations

import base64
import re
import smtplib
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from functools import partial
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from ingest.sources import AccessTokens, LoginRefusedError, SourceError
from review.letters import LetterError, letter
from review.outcomes import Arrived, Fate, NotNow, Perhaps, Refused
from store import OutboxRow

_PORTS: Final = {"smtps": 465, "smtp": 587}
#: The mark that the point of no return is reached.
_HANDED_OVER: Final = "handing over"
_NO_ANSWER: Final = "no answer after the letter was handed over"


class ServerSpecError(ValueError):
    """``mail.server`` cannot be understood; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Server:
    """An SMTP server and how to log in there; no ``user`` is no login."""

    host: str
    port: int
    tls: bool  # from the first byte; otherwise STARTTLS, which is required
    user: str = ""
    password: str = field(default="", repr=False)
    tokens: AccessTokens | None = field(default=None, repr=False)
    ca_file: str = ""
    allow_plaintext: bool = False
    timeout_s: float = 30


class SentMail(Protocol):
    def __call__(self, message_id: str) -> bool:
        """Whether a letter is among the sent mail; may raise ``SourceError``."""


def parse_server(spec: str) -> tuple[str, str, int, bool]:
    """User, host, port, and whether TLS is from the first byte."""
    try:
        url = urlsplit(spec)
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    if url.scheme not in _PORTS or not url.hostname or url.password or url.path.strip("/"):
        raise ServerSpecError(
            "mail.server is smtps://user@host[:465] or smtp://user@host[:587], no password in it"
        )
    user = unquote(url.username or "")
    return user, url.hostname, port or _PORTS[url.scheme], url.scheme == "smtps"


class Post:
    """Sends letters; one connection each, for they are few."""

    most = 1

    def __init__(self, server: Server, sender: Address, has_sent: SentMail | None = None) -> None:
        self._server, self._sender, self._has_sent = server, sender, has_sent
        self.domain = sender.domain

    def carry(self, rows: Sequence[OutboxRow], note: Callable[[str], None]) -> Fate:
        [row] = rows
        try:
            message = letter(row, self._sender)
        except LetterError as error:
            return Refused(str(error))
        fate = send(self._server, message, note)
        return self._looked_for(row) if isinstance(fate, Perhaps) else fate

    def interrupted(self, rows: Sequence[OutboxRow]) -> Fate:
        [row] = rows
        if row.note != _HANDED_OVER:
            return NotNow("interrupted before it was handed over", at_once=True)
        return self._looked_for(row)

    def check(self) -> None:
        """Connect and log in; raises what a person can mend as ``SourceError``."""
        try:
            with _line(self._server):
                pass
        except _FAILURES as error:
            raise SourceError(f"SMTP: {_failed(error).note}") from None

    def _looked_for(self, row: OutboxRow) -> Fate:
        """The sent mail may prove that it went; nothing proves that it did not."""
        if self._has_sent is not None:
            with suppress(SourceError):
                if self._has_sent(row.message_id):
                    return Arrived("found among the sent mail")
        return Perhaps(_NO_ANSWER)


def send(
    server: Server, message: EmailMessage, note: Callable[[str], None] = lambda _: None
) -> Fate:
    """Hand *message* over, from its one sender to its one reader; *note* is told just before."""
    sender, to = (message[name].addresses[0].addr_spec for name in ("From", "To"))
    try:
        with _line(server) as line:
            return _transaction(line, sender, to, message.as_bytes(), note)
    except _FAILURES as error:
        return _failed(error)


_FAILURES = (smtplib.SMTPException, SourceError, OSError, ValueError)


@contextmanager
def _line(server: Server) -> Iterator[smtplib.SMTP]:
    line = _connected(server)
    try:
        yield line
        with suppress(Exception):  # the letter's fate is known; a bad farewell must not undo it
            line.quit()
    finally:
        line.close()  # in the middle of a letter without a word, so that it is dropped


def _connected(server: Server) -> smtplib.SMTP:
    line: smtplib.SMTP
    if server.tls:
        context = _tls(server)
        line = smtplib.SMTP_SSL(server.host, server.port, timeout=server.timeout_s, context=context)
    else:
        line = smtplib.SMTP(server.host, server.port, timeout=server.timeout_s)
    try:
        line.ehlo_or_helo_if_needed()
        if not server.tls and not server.allow_plaintext:
            line.starttls(context=_tls(server))  # raises where the server does not offer it
            line.ehlo()
        if server.user:
            _log_in(line, server)
    except BaseException:
        line.close()
        raise
    return line


def _tls(server: Server) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=server.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _log_in(line: smtplib.SMTP, server: Server) -> None:
    if server.tokens is None:
        line.login(server.user, server.password)
        return
    token = server.tokens.current()
    code, _ = _send_token(line, server.user, token)
    if code == 535 and (other := server.tokens.renewed(token)):
        code, _ = _send_token(line, server.user, other)
    if code != 235:
        raise smtplib.SMTPAuthenticationError(code, "")


def _send_token(line: smtplib.SMTP, user: str, token: str) -> tuple[int, bytes]:
    words = f"user={user}\1auth=Bearer {token}\1\1".encode()
    code, said = line.docmd("AUTH", "XOAUTH2 " + base64.b64encode(words).decode("ascii"))
    if code == 334:  # an error in base64, which wants to be noted before the refusal comes
        code, said = line.docmd("")
    return code, said


def _transaction(
    line: smtplib.SMTP, sender: str, to: str, content: bytes, note: Callable[[str], None]
) -> Fate:
    """One letter; whatever fails before the last line is out leaves it unsent for certain."""
    for command in (partial(line.mail, sender), partial(line.rcpt, to)):
        code, _ = command()
        if not 200 <= code < 300:
            return _answered(code)
    code, _ = line.docmd("DATA")
    if code != 354:
        return _answered(code)
    line.send(re.sub(rb"(?m)^\.", b"..", content))  # RFC 5321, 4.5.2; it ends in a line break
    note(_HANDED_OVER)
    line.send(b".\r\n")  # where this raises, nobody has seen a whole letter
    try:
        code, _ = line.getreply()
    except (smtplib.SMTPException, OSError, ValueError):
        return Perhaps(_NO_ANSWER)
    if 200 <= code < 300:
        return Arrived(f"SMTP {code}")
    return _answered(code) if 400 <= code < 600 else Perhaps(_NO_ANSWER)


def _answered(code: int) -> Fate:
    """A refusal: 4xx may be mended by waiting (RFC 5321, 4.2.1); 421 ends the line as well."""
    note = f"SMTP {code}"
    return Refused(note) if 500 <= code < 600 else NotNow(note, pauses=code == 421)


def _failed(error: BaseException) -> NotNow:
    """A failure before anything was handed over; without the server's words, which may be mail."""
    match error:
        case smtplib.SMTPAuthenticationError() | LoginRefusedError():
            note = "login refused"
        case smtplib.SMTPNotSupportedError():
            note = "the server offers no TLS, or no login"
        case ssl.SSLCertVerificationError():
            note = "certificate not trusted"
        case TimeoutError():
            note = "no answer in time"
        case smtplib.SMTPResponseException():
            note = f"SMTP {error.smtp_code}"
        case SourceError():
            note = "no access token"
        case _:
            note = f"no connection ({type(error).__name__})"
    return NotNow(note, pauses=True)
