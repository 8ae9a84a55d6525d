"""Letters as they leave: the same bytes at every attempt, threaded, and known as a program's.

No program answers what carries ``OUTGOING_HEADERS``, and we know it when it comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from email.errors import HeaderParseError, MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from ingest.imap_drafts import Letterbox
from ingest.sources import LoginRefusedError, SourceError
from review.outcomes import Arrived, Fate, NotNow, Refused
from store import OutboxRow
from triage.records import OUTGOING_HEADERS

#: A header line may hold 998 bytes; older mails of a long thread are left out of References.
_REFERENCES_AT_MOST = 12


class LetterError(ValueError):
    """The letter cannot be written; the message names the field, never what it holds."""


def sender_address(sender: str) -> Address:
    """``mail.sender`` taken apart; raises ``LetterError`` where it is no address."""
    name, spec = parseaddr(sender)
    return _address(spec, name, "sender")


def letter(row: OutboxRow, sender: Address) -> EmailMessage:
    """The mail that *row* asks for; needs its Message-ID.

    Raises:
        LetterError: A field is missing, or holds what no header may.

    """
    told = row.payload
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = sender
        message["To"] = _address(_text(told, "to"), str(told.get("to_name") or ""), "to")
        message["Subject"] = _text(told, "subject")
        message["Date"] = format_datetime(row.not_before.astimezone(UTC))
        message["Message-ID"] = row.message_id
        if answered := str(told.get("in_reply_to") or ""):
            message["In-Reply-To"] = answered
        if thread := _thread(told, answered):
            message["References"] = " ".join(thread)
        for name, value in OUTGOING_HEADERS.items():
            message[name] = value
        message.set_content(_text(told, "body"), cte="quoted-printable")
        message.as_bytes()  # what cannot be written shows here
    except LetterError:
        raise
    except (ValueError, TypeError, MessageError, LookupError) as error:
        raise LetterError(f"a header cannot be written ({type(error).__name__})") from None
    return message


def _thread(told: Mapping[str, object], answered: str) -> list[str]:
    listed = told.get("references")
    names = [str(name) for name in listed] if isinstance(listed, list | tuple) else []
    if answered and answered not in names:
        names.append(answered)
    if len(names) > _REFERENCES_AT_MOST:  # RFC 5322 3.6.4: the first says where it began
        names = [names[0], *names[1 - _REFERENCES_AT_MOST :]]
    return names


def _text(told: Mapping[str, object], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not value.strip():
        raise LetterError(f"{name} is missing")
    return value


def _address(spec: str, name: str, what: str) -> Address:
    """One address that every server takes: ASCII alone, with a domain."""
    try:
        found = Address(display_name=name, addr_spec=spec)
    except (ValueError, IndexError, HeaderParseError):
        found = Address()
    if not (found.username and found.domain):
        raise LetterError(f"{what} is no address")
    return found


class Drafts:
    """Puts letters among the drafts of the support mailbox, each once."""

    most = 1

    def __init__(self, open_box: Callable[[], Letterbox], sender: Address) -> None:
        self._open_box, self._sender = open_box, sender
        self.domain = sender.domain

    def carry(self, rows: Sequence[OutboxRow], note: Callable[[str], None]) -> Fate:  # noqa: ARG002 - a draft may be tried again at any moment
        [row] = rows
        try:
            content = letter(row, self._sender).as_bytes()
        except LetterError as error:
            return Refused(str(error))
        try:
            with self._open_box() as box:
                new = box.put_draft(row.message_id, content, row.not_before)
        except LoginRefusedError:
            return NotNow("login refused", pauses=True)
        except SourceError as error:
            return NotNow(_short(error), pauses=True)
        return Arrived("put among the drafts" if new else "was among the drafts")

    def interrupted(self, rows: Sequence[OutboxRow]) -> Fate:  # noqa: ARG002 - it is looked for by its Message-ID
        return NotNow("interrupted", at_once=True)

    def check(self) -> None:
        with self._open_box() as box:
            box.folder(b"\\Drafts")


def _short(error: SourceError) -> str:
    """What happened, without the mailbox's name, which is an address."""
    return str(error).rpartition(": ")[2]
