"""A real SMTP server on 127.0.0.1 (aiosmtpd) that takes letters, refuses, or hangs up on demand."""
# ruff: noqa: ARG002, N802 - what the methods are called with is aiosmtpd's to say

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session


@dataclass
class SmtpServer:
    """``answers`` are given instead of 250, by command: "MAIL", "RCPT", "DATA", "end".

    An answer of "" hangs up without a word; "end" is the one to the whole letter. Letters hung up
    on at "end" were taken, or dropped where ``drops``.
    """

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    drops: bool = False
    letters: list[bytes] = field(default_factory=list)
    tos: list[str] = field(default_factory=list)
    logins: list[tuple[str, bytes]] = field(default_factory=list)
    password: str = "hunter2"
    token: str = "good-token"
    at_end: Any = None  # called when a letter is whole, before the answer

    @property
    def messages(self) -> list[EmailMessage]:
        return [message_from_bytes(each, policy=policy.default) for each in self.letters]  # type: ignore[misc]

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self._answer("MAIL", server)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self._answer("RCPT", server)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        said = self.answers.get("end", "250 taken")
        if said.startswith("2") or (not said and not self.drops):
            self.letters.append(bytes(envelope.content or b""))
            self.tos += envelope.rcpt_tos
        if self.at_end is not None:
            self.at_end()
        return self._answer("end", server)

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        self.logins.append((mechanism, data.password))
        return AuthResult(success=data.password == self.password.encode(), handled=False)

    def _answer(self, what: str, server: SMTP) -> str:
        said = self.answers.get(what, "250 fine")
        if not said:
            server.transport.abort()
        return said or "250 never heard"


class _Smtp(SMTP):
    async def smtp_DATA(self, arg: str) -> None:
        ours: SmtpServer = self.event_handler
        said = ours.answers.get("DATA")
        if said is None:
            await super().smtp_DATA(arg)
        elif said:
            await self.push(said)
        else:
            self.transport.abort()

    async def auth_XOAUTH2(self, _: SMTP, args: list[str]) -> Any:
        import base64

        ours: SmtpServer = self.event_handler
        words = base64.b64decode(args[1])
        ours.logins.append(("XOAUTH2", words))
        if f"auth=Bearer {ours.token}\1".encode() in words:
            return AuthResult(success=True)
        await self.push("334 eyJzdGF0dXMiOiI0MDAifQ==")
        await self._reader.readline()
        return AuthResult(success=False, handled=False)


class _Controller(Controller):
    def factory(self) -> SMTP:
        return _Smtp(self.handler, **self.SMTP_kwargs)

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # it was asked for any
        super()._trigger_server()


@contextlib.contextmanager
def smtp_server(*, tls: ssl.SSLContext | None = None, login: bool = False) -> Iterator[SmtpServer]:
    """Serve until the ``with`` ends; *tls* makes STARTTLS needed, *login* a login."""
    server = SmtpServer()
    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": 0, "ident": "test"}
    if tls is not None:
        options |= {"tls_context": tls, "require_starttls": True}
    if login:
        options |= {
            "authenticator": server.authenticate,
            "auth_required": True,
            "auth_require_tls": tls is not None,
        }
    controller = _Controller(server, **options)
    controller.start()
    try:
        server.port = controller.port
        yield server
    finally:
        controller.stop()
