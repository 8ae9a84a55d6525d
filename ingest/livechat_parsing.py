"""One part of a conversation to an ``Email``: hop 3 for live chat.

What the writer wrote is the new text, what stood in the conversation before it is quoted. Ids of
conversation and parts become those of a thread, so that a conversation joins one case as a thread
of mails does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ingest import charset, html, livechat, quoting
from ingest.limits import UnreadableEmailError
from triage import chats
from triage.records import Address, Attachment, Authentication, Email, RawMessage

_MARKUP: Final = re.compile(r"</?[A-Za-z!][^<>]*>")
_ID: Final = re.compile(r"[\w.-]{1,80}", re.ASCII)
_MAIL_ID: Final = re.compile(r"<[^<>\s]{1,250}>")
_ADDRESS: Final = re.compile(r"[^@\s<>,;]{1,64}@[^@\s<>,;]{1,255}")
_MAX_TEXT: Final = 1_000_000  # characters, as in mail
_BEYOND_LIMITS: Final = ("html_too_large", "html_too_deep")


def parse_part(raw: RawMessage, *, identity_verified: bool) -> Email:
    """*raw*, one part of a conversation as ``livechat.messages_in`` made it, read.

    *identity_verified*: operations say that the workspace enforces identity verification, and that
    it covers the addresses. Raises ``UnreadableEmailError`` with a cause.
    """
    about, part, before = _opened(raw)
    author = livechat.author_of(part)
    text, marked, defects = _text(_body(part))
    name = _line(author.get("name"))
    split = quoting.split(text, sender=name, signature_lines=marked)
    files = tuple(_attachment(file) for file in livechat.listed(part, "attachments"))
    if not text.strip() and not files:
        raise UnreadableEmailError("nothing_to_read")
    earlier = [_message_id(about, one) for one in before if isinstance(one, Mapping)]
    sent_at = livechat.moment(part.get("created_at"))
    cut = ("conversation_cut",) if about.get("is_cut") else ()
    undated = () if sent_at else ("date_missing",)
    return Email(
        message_id=_message_id(about, part),
        sender=Address(name, _address(author.get("email"))),
        reply_to=(),
        recipients=(),
        authentication=_judged(about, part, identity_verified=identity_verified),
        sent_at=sent_at or raw.received_at,
        subject="",  # a conversation's title is the team's or a machine's, not the writer's
        new_text=split.new_text,
        quoted_text="\n\n".join(filter(None, (split.quoted_text, _conversation(before)))),
        signature=split.signature,
        attachments=files,
        in_reply_to=earlier[-1] if earlier else "",
        references=(_root(about), *earlier, *_mail_ids(part)),
        defects=tuple(dict.fromkeys((*defects, *split.defects, *undated, *cut))),
        channel="chat",
    )


def _opened(raw: RawMessage) -> tuple[livechat.JSON, livechat.JSON, Sequence[Any]]:
    try:
        envelope = livechat.loads(raw.content)
    except ValueError:
        raise UnreadableEmailError("not_a_conversation") from None
    about, part = (
        envelope.get(name) if isinstance(envelope, Mapping) else None
        for name in ("conversation", "part")
    )
    if not isinstance(about, Mapping) or not isinstance(part, Mapping):
        raise UnreadableEmailError("not_a_conversation")
    return about, part, livechat.listed(envelope, "before")


def _body(part: livechat.JSON) -> str:
    body = part.get("body")
    if body is not None and not isinstance(body, str):
        raise UnreadableEmailError("not_a_conversation")
    return body or ""


def _text(body: str) -> tuple[str, frozenset[int], tuple[str, ...]]:
    """The words of a body, which is HTML from the API and plain text in some exports."""
    if _MARKUP.search(body) is None:
        text, defects = charset.clean(body[:_MAX_TEXT])
        return text, frozenset(), (*defects, *(("text_cut",) if len(body) > _MAX_TEXT else ()))
    rendered = html.to_text(body)
    for cause in _BEYOND_LIMITS:
        if cause in rendered.defects:
            raise UnreadableEmailError(cause)
    text, defects = charset.clean(rendered.text)
    return text, rendered.signature_lines, (*rendered.defects, *defects)


def _judged(
    about: livechat.JSON, part: livechat.JSON, *, identity_verified: bool
) -> Authentication:
    """Whether the channel proves who wrote *part*; ``docs/decisions.md`` says why so."""
    author = livechat.author_of(part)
    checks = (
        (author.get("type") != "user", "chat: the writer was not signed in"),
        (not _address(author.get("email")), "chat: the writer has no address"),
        (about.get("type") != "conversation", "chat: it did not begin in the messenger"),
        ("email_message_metadata" in part, "chat: this part came by mail, which is not checked"),
        ("app_package_code" in part, "chat: this part was written by a program for the user"),
        ("identity_off" in about, "chat: the workspace does not verify who its users are"),
        (not identity_verified, "chat: the settings do not say that identities are verified"),
    )
    doubt = next((reason for holds, reason in checks if holds), "")
    reason = doubt or "chat: signed in, and the workspace verifies identities"
    return Authentication(passed=not doubt, reason=reason)


def _conversation(before: Sequence[Any]) -> str:
    """What stood there before, as a mail program would quote it."""
    told = []
    for part in before:
        if isinstance(part, Mapping) and isinstance(part.get("body"), str):
            when = livechat.moment(part.get("created_at"))
            who = _line(livechat.author_of(part).get("name")) or "somebody"
            lines = plain(part["body"]).splitlines()
            head = f"{when:%d %b %Y %H:%M} UTC, {who}:" if when else f"{who}:"
            told.append("\n".join([head, *(f"> {line}".rstrip() for line in lines)]))
    return "\n\n".join(told)


def plain(body: str) -> str:
    """The words of a body alone; a stand-in for one that is too large."""
    try:
        return _text(body)[0]
    except UnreadableEmailError:  # of an earlier part, which is set aside for itself
        return "[too large to be read]"


def _attachment(file: object) -> Attachment:
    if not isinstance(file, Mapping):
        return Attachment("", "application/octet-stream", 0)
    size = file.get("filesize")
    kind = _line(file.get("content_type")) or "application/octet-stream"
    is_size = isinstance(size, int) and size > 0
    return Attachment(_line(file.get("name"))[:255], kind, int(size) if is_size else 0)  # type: ignore[arg-type]


def _root(about: livechat.JSON) -> str:
    return chats.root_id(_named(about.get("id")))


def _message_id(about: livechat.JSON, part: livechat.JSON) -> str:
    return chats.message_id(_named(about.get("id")), _named(part.get("id")))


def _named(value: object) -> str:
    """An id that may stand in a Message-ID: as it is, or its hash where it is odd."""
    text = str(value)
    return text if _ID.fullmatch(text) else str(livechat.number(text.encode("utf-8", "replace")))


def _mail_ids(part: livechat.JSON) -> tuple[str, ...]:
    """The Message-ID of a part that came as a mail: the same words may lie in the mailbox too."""
    by_mail = part.get("email_message_metadata")
    stated = by_mail.get("message_id") if isinstance(by_mail, Mapping) else None
    return tuple(_MAIL_ID.findall(stated)[:1]) if isinstance(stated, str) else ()


def _line(value: object) -> str:
    return charset.clean_line(value)[0] if isinstance(value, str) else ""


def _address(value: object) -> str:
    address = _line(value).lower()
    return address if _ADDRESS.fullmatch(address) else ""
