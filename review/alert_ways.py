"""The ways in which alerts reach people: a program of theirs, a signed webhook, e-mail."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from review.outcomes import Arrived, Fate
from settings import Settings, SettingsError
from triage.records import OUTGOING_HEADERS

if TYPE_CHECKING:
    from review.smtp import Server
    from review.webhooks import Endpoint

Event = Mapping[str, Any]
_SUBJECTS: Final = {
    "alert.firing": "needs a person",
    "alert.reminder": "still needs a person",
    "alert.recovered": "is well again",
    "alert.test": "a test",
}


class Way(Protocol):
    """One way of telling. Nothing about the world outside is raised."""

    @property
    def name(self) -> str:
        """What this way's alerts are remembered under."""

    def tell(self, event: Event) -> str:
        """Tell of *event*; why that failed, in codes, "" where it did not."""


def ways_of(settings: Settings) -> list[Way]:
    """All that are configured, in one order. Raises SettingsError where one is wrong."""
    chosen = settings.alerts
    found: list[Way] = []
    if chosen.command:
        found.append(Command(chosen.command, chosen.timeout))
    if chosen.webhook_url:
        found.append(_webhook(settings))
    found.extend(_mails(settings))
    return found


@dataclass(frozen=True, slots=True)
class Command:
    """A program that is given the event as JSON on its standard input; 0 says that it is told."""

    arguments: tuple[str, ...]
    timeout_s: float
    name: str = "command"

    def tell(self, event: Event) -> str:
        # Our own passwords are nothing for it; what it needs otherwise is in the environment.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FIT_TRIAGE_")}
        try:
            done = subprocess.run(  # noqa: S603 - operations' own words, no shell
                self.arguments,
                input=json.dumps(event).encode() + b"\n",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=self.timeout_s,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "no answer in time"
        except OSError as error:
            return f"cannot be started ({type(error).__name__})"
        return f"ended with {done.returncode}" if done.returncode else ""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A POST signed by Standard Webhooks; told again it has the same id."""

    endpoint: Endpoint
    name: str = "webhook"

    def tell(self, event: Event) -> str:
        from review.webhooks import post

        return _why_not(post(self.endpoint, event["id"], event))


def _webhook(settings: Settings) -> Webhook:
    from review.webhooks import Endpoint, EndpointError

    chosen = settings.alerts
    ca_file = str(chosen.webhook_ca_file or "")
    try:
        return Webhook(Endpoint(chosen.webhook_url, chosen.secrets(), ca_file, chosen.timeout))
    except EndpointError as error:
        raise SettingsError(f"alerts: {error}") from None


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter to one address; told again it has the same Message-ID."""

    server: Server = field(repr=False)
    sender: Address
    to: str

    @property
    def name(self) -> str:
        return f"mail:{self.to}"

    def tell(self, event: Event) -> str:
        from review.smtp import send

        return _why_not(send(self.server, self._letter(event)))

    def _letter(self, event: Event) -> EmailMessage:
        told = event["data"]
        message = EmailMessage(policy=SMTP)
        message["From"] = self.sender
        message["To"] = Address(addr_spec=self.to)
        message["Subject"] = f"fit-triage: {told['code']} {_SUBJECTS[event['type']]}"
        message["Date"] = format_datetime(datetime.fromisoformat(event["timestamp"]))
        own = hashlib.sha256(f"{event['id']} {self.to}".encode()).hexdigest()[:32]
        message["Message-ID"] = f"<{own}@{self.sender.domain}>"
        for name, value in OUTGOING_HEADERS.items():
            message[name] = value
        body = "".join(f"{name}: {value}\n" for name, value in told.items())
        message.set_content(body, cte="quoted-printable")
        return message


def _mails(settings: Settings) -> Iterator[Mail]:
    from review.letters import LetterError, sender_address
    from review.ways_out import mail_server

    addresses = settings.alerts.mail_to.split()
    if not addresses:
        return
    server = mail_server(settings)
    try:
        sender = sender_address(settings.mail.sender)
        for to in addresses:
            yield Mail(server, sender, sender_address(to).addr_spec)
    except LetterError:
        msg = "alerts.mail_to and mail.sender must be addresses such as support@clinic.example"
        raise SettingsError(msg) from None


def _why_not(fate: Fate) -> str:
    return "" if isinstance(fate, Arrived) else fate.note
