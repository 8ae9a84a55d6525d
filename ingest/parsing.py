"""One raw message to an ``Email``: hop 3.

The bytes are repaired and bounded (``limits``) and parsed once by the standard library's compat32
bytes parser, the only one that never raised over 7,900 real and malformed messages. mail-parser
reads the address fields from that tree, as its scanner recovers damaged mailboxes; where it and the
standard library differ about From, the sender is not believed. What it gets wrong is replaced:
bodies, charsets, nested messages and attachments by ``bodies``, dates and encoded words by
``headers`` and ``charset``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC
from email.message import Message
from email.parser import BytesParser
from typing import Literal

from ingest import (
    attachments,
    authentication,
    automatic,
    bodies,
    charset,
    documents,
    headers,
    livechat,
    quoting,
)
from ingest.authentication import DnsLookup
from ingest.headers import Headers
from ingest.limits import CAUSES, Normalised, UnreadableEmailError, check_structure, normalised
from ingest.pictures import HtmlForm
from triage.records import Address, Attachment, Authentication, Email, RawMessage

__all__ = ["CAUSES", "ParseOptions", "UnreadableEmailError", "attachment_content", "parse"]

_ADDRESS_FIELDS = ("from", "reply-to", "to", "cc")
_REPORTS = frozenset(("bounce", "disposition"))
_MAX_ADDRESSES = 500


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """What operations decide about reading a message.

    *authserv_id* names the receiving server whose Authentication-Results are believed; "" believes
    nobody. *check_dkim* verifies the sender's own signature where that server did not vouch; it
    asks DNS, through *dnsfunc* where given. Mail from *own_addresses* is our own. *documents* says
    whether attached PDF and Word files are read as text; "deadly" marks them all as unreadable, for
    a message whose documents ended the process that read them. *chat_identity_verified* says that
    the live chat's workspace proves who its users are, addresses included.
    """

    authserv_id: str = ""
    check_dkim: bool = False
    own_addresses: frozenset[str] = frozenset()
    documents: Literal["unread", "read", "deadly"] = "unread"
    dnsfunc: DnsLookup | None = None
    chat_identity_verified: bool = False


_PLAIN = ParseOptions()


def parse(raw: RawMessage, options: ParseOptions = _PLAIN) -> Email:
    """*raw*, read. Every repair is a code of ``ingest.defects.DEFECTS`` in ``Email.defects``.

    Raises ``UnreadableEmailError``, with a cause, and nothing else, whatever the bytes.
    """
    try:
        if livechat.is_chat(raw.key.source):
            from ingest.livechat_parsing import parse_part

            return parse_part(raw, identity_verified=options.chat_identity_verified)
        return _parse(raw, options)
    except UnreadableEmailError:
        raise
    except Exception:  # noqa: BLE001 - a poison message must not hold up the mail behind it
        # The cause is dropped on purpose: parser errors quote the message.
        raise UnreadableEmailError("parser_failed") from None


def attachment_content(raw: RawMessage, number: int) -> tuple[Attachment, bytes] | None:
    """Attachment *number* (from 0) of a message as ``parse`` lists them, with its bytes.

    None where there is no such attachment or its bytes cannot be had. The bytes are as the sender
    wrote them: nothing has looked into them, and nothing here opens them.
    """
    try:
        body = bodies.read(_tree(raw)[1])
        return body.attachments[number], attachments.content_of(body.contents[number])
    except Exception:  # noqa: BLE001 - as in ``parse``, and for the same reason
        return None


def html_form(raw: RawMessage) -> HtmlForm:
    """The HTML form of a message as it was sent, empty where it has none.

    Never to be shown unsanitised.
    """
    try:
        return bodies.html_form(_tree(raw)[1])
    except Exception:  # noqa: BLE001 - as in ``parse``, and for the same reason
        return HtmlForm()


def _tree(raw: RawMessage) -> tuple[Normalised, Message]:
    source = normalised(raw.content)
    check_structure(source.content)
    return source, BytesParser().parsebytes(source.content)


def _parse(raw: RawMessage, options: ParseOptions) -> Email:
    source, message = _tree(raw)
    fields = Headers(message)
    people = _people(message, fields)
    body = bodies.read(message)
    subject = fields.text("subject")
    split = quoting.split(
        body.text, sender=people.sender.name, signature_lines=body.signature_lines
    )
    if not (body.text.strip() or subject or body.attachments):
        raise UnreadableEmailError("nothing_to_read")
    reason = automatic.reason(
        fields, people.sender.email, subject, body.types, options.own_addresses
    )
    about = automatic.reported_ids(message) if reason in _REPORTS else ()
    doubts = (*source.ambiguous, *people.doubts)
    listed, unread = _with_text(body, options)
    found = [*source.defects, *people.defects, *body.defects, *split.defects, *unread]
    return Email(
        message_id=_message_id(fields, raw),
        sender=people.sender,
        reply_to=people.reply_to,
        recipients=people.recipients,
        authentication=_judged(raw, fields, people.sender.email, doubts, options),
        sent_at=headers.sent_at(fields, raw.received_at.astimezone(UTC)),
        subject=subject,
        new_text=split.new_text,
        quoted_text=split.quoted_text,
        signature=split.signature,
        attachments=listed,
        in_reply_to=next(iter(fields.ids("in-reply-to")), ""),
        references=fields.ids("references") + about,
        automatic=reason,
        defects=tuple(dict.fromkeys([*found, *fields.defects])),
    )


def _message_id(fields: Headers, raw: RawMessage) -> str:
    stated = fields.ids("message-id")[:1]
    if stated:
        return stated[0]
    fields.defects.append("message_id_missing")
    return f"<{raw.digest}@digest.invalid>"


def _with_text(
    body: bodies.Body, options: ParseOptions
) -> tuple[tuple[Attachment, ...], tuple[str, ...]]:
    """The attachments, documents among them with their text where that is wanted."""
    if options.documents == "unread":
        return tuple(body.attachments), ()
    listed: list[Attachment] = []
    unread: list[str] = []
    may_read = documents.MAX_DOCUMENTS if options.documents == "read" else 0
    for attachment, found in zip(body.attachments, body.contents, strict=True):
        kind = documents.kind_of(attachment.name, attachment.content_type)
        if kind and may_read:
            may_read -= 1
            text, defects = documents.text_of(attachments.content_of(found), kind)
            attachment = replace(attachment, text=text)  # noqa: PLW2901 - the same, and more of it
            unread += defects
        elif kind:
            unread.append("document_unread")
        listed.append(attachment)
    return tuple(listed), tuple(unread)


def _judged(
    raw: RawMessage, fields: Headers, sender: str, doubts: tuple[str, ...], options: ParseOptions
) -> Authentication:
    verdict = authentication.authenticate(fields, sender, options.authserv_id, doubts)
    if verdict.passed or doubts or not options.check_dkim:
        return verdict
    own = authentication.dkim_check(raw.content, sender, options.dnsfunc)
    if own.passed:
        return own
    return Authentication(passed=False, reason=f"{verdict.reason}; {own.reason}")


@dataclass(frozen=True, slots=True)
class _People:
    sender: Address
    reply_to: tuple[Address, ...]
    recipients: tuple[Address, ...]
    doubts: tuple[str, ...]  # codes of authentication.DOUBTS
    defects: tuple[str, ...]


def _people(message: Message, fields: Headers) -> _People:
    """Who wrote to whom, by mail-parser, checked against the standard library for From."""
    read = _mail_parser_reading(message)
    own = headers.addresses(fields.raw("from")[:1])
    theirs = read.get("from", own)
    doubts = _doubts(fields, own, theirs)
    found = theirs or own
    sender = _address(*found[0]) if found else Address("", "")
    if not sender.email:
        sender = _salvaged(fields, sender)
    defects = ("from_missing",) if not sender.email else ("from_ambiguous",) if doubts else ()
    others = {
        name: _addresses(read.get(name) or headers.addresses(fields.raw(name)))
        for name in ("reply-to", "to", "cc")
    }
    return _People(sender, others["reply-to"], others["to"] + others["cc"], tuple(doubts), defects)


def _doubts(
    fields: Headers, own: list[tuple[str, str]], theirs: list[tuple[str, str]]
) -> list[str]:
    """Whatever lets two programs show two senders for this message."""
    values = fields.raw("from")
    mine = [spec.lower() for _, spec in own]
    other = [spec.lower() for _, spec in theirs]
    # An address in the display name is what some programs show: it must not be another's.
    mentioned = (
        set(headers.addresses_inside(charset.decode_header(values[0])[0])) if values else set()
    )
    checks = (
        ("from_many_headers", len(values) > 1),
        ("from_missing", not mine and not other),
        ("from_many_addresses", len(mine) > 1 or len(other) > 1),
        ("from_disputed", mine != other),
        ("from_disputed", bool(mentioned - set(mine))),
        ("from_odd", any(not _is_plain(spec) for spec in mine)),
    )
    return [code for code, found in checks if found]


def _is_plain(spec: str) -> bool:
    return spec.isascii() and headers.addresses_inside(spec) == [spec.lower().rstrip(".")]


def _salvaged(fields: Headers, sender: Address) -> Address:
    """An address from a From header that no parser accepts, for display: it is never believed."""
    inside = headers.addresses_inside(fields.text("from"))
    return Address(sender.name or fields.text("from"), inside[0] if inside else "")


def _mail_parser_reading(message: Message) -> dict[str, list[tuple[str, str]]]:
    """(name, address) pairs by field, as mail-parser recovers them; empty where it gives up.

    It gets a copy with the address fields alone: its own walk of the body would cost twice the rest
    of parsing and is not used.
    """
    from mailparser import MailParser

    logging.getLogger("mailparser").setLevel(logging.CRITICAL + 1)  # it logs header text
    light = Message(policy=message.policy)
    for name, value in message.raw_items():
        if name.lower() in _ADDRESS_FIELDS:
            light.set_raw(name, value)
    try:
        mail = MailParser(light)
        read = {"from": mail.from_, "reply-to": mail.reply_to, "to": mail.to, "cc": mail.cc}
    except Exception:  # noqa: BLE001 - it raises at least five undocumented types on damaged mail
        return {}
    return {name: [pair for pair in pairs if "@" in pair[1]] for name, pairs in read.items()}


def _addresses(pairs: Iterable[tuple[str, str]]) -> tuple[Address, ...]:
    found = [_address(name, spec) for name, spec in list(pairs)[:_MAX_ADDRESSES]]
    return tuple(address for address in found if address.email)


def _address(name: str, spec: str) -> Address:
    shown, _ = charset.clean_line(charset.decode_header(name)[0] if "=?" in name else name)
    address, _ = charset.clean_line(spec)
    return Address(shown, address.lower())
