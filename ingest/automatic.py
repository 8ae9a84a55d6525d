"""Whether a program wrote a message, and which kind.

Headers that only programs write decide alone (RFC 3834 Auto-Submitted, RFC 3464 reports, RFC 2919
List-Id). A sign that people's mail can carry as well, such as a subject or a Precedence, needs a
second one beside it: a person's mail must never be taken for automatic.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from email.message import Message
from itertools import islice
from typing import Final

from ingest.headers import Headers, addresses_inside
from ingest.transfer import payload_of

_OWN_FIELD: Final = "x-fit-triage"  # of triage.records.OUTGOING_HEADERS
_REPORT_PARTS = frozenset(("message/delivery-status", "message/disposition-notification"))
_MAX_LOOKS = 50  # parts of a report that are looked at
_MAX_REPORTED = 10
_MAX_COPY = 200_000  # characters of a plain bounce
_ID = re.compile(r"<[^<>\s\x00-\x20\x7f-\uffff]{1,900}@[^<>\s\x00-\x20\x7f-\uffff]{1,90}>")
_COPIED_ID = re.compile(r"(?im)^[ \t>]{0,4}message-id:[ \t]*(?:\r?\n[ \t]+)?(<[^<>\s]{1,990}>)")

_SYSTEM_SENDER = re.compile(
    r"^(?:mailer-daemon|postmaster|mail-daemon|mailerdaemon|mail\.daemon|mdaemon|"
    r"microsoftexchange[0-9a-f]+)@"
)
_UNANSWERED_SENDER = re.compile(
    r"^(?:no-?_?reply|do-?not-?_?reply|noreply[\w.+-]*|notifications?|bounces?|auto-?reply|"
    r"autoresponder|newsletter|mailing|news)(?:[+._-][\w.+-]*)?@"
)
_OUT_OF_OFFICE = re.compile(
    r"(?i)^\W*(?:(?:re|aw|sv|vs|antw|odp|r)\s*:\s*)?\W*(?:"
    r"out[- ]of[- ](?:the[- ])?office|automatic reply|auto(?:matic)?[- ]?(?:reply|response|"
    r"antwort)\b|"
    r"on (?:annual )?leave\s*:|annual leave auto|vacation (?:reply|response|notice)|holiday auto|"
    r"abwesenheit|automatische antwort|abwesend|r[ée]ponse automatique|absence du bureau|"
    r"(?:absent|absence)\s*:|respuesta autom[áa]tica|fuera de (?:la )?oficina|"
    r"resposta autom[áa]tica|"
    r"fora do escrit[óo]rio|risposta automatica|fuori sede|fuori ufficio|automatisch antwoord|"
    r"afwezigheid|niet aanwezig|automatiskt svar|frånvaro|fraværende|autosvar|automatisk svar|"
    r"automaattinen vastaus|poissa|odpowied[źz] automatyczna|autoodpowied|automatick[áa] odpov|"
    r"automatikus v[áa]lasz|automatski odgovor|răspuns automat|otomatik yan[ıi]t|автоответ|"
    r"автоматический ответ|自動返信|自動回覆|自动回复|자동 ?응답)"
)
_BOUNCE_SUBJECT = re.compile(
    r"(?i)undeliver(?:ed|able)|delivery (?:status notification|failure|has failed|incomplete)|"
    r"returned mail|mail delivery (?:failed|failure|system)|failure notice|message not delivered|"
    r"unzustellbar|non remis|no se ha podido entregar"
)
_LIST_HEADERS = ("list-id", "list-post", "list-unsubscribe", "list-help", "list-subscribe")
_CAMPAIGN = (
    "x-campaign",
    "x-campaignid",
    "x-mailgun-sid",
    "x-mc-user",
    "feedback-id",
    "x-csa-complaints",
)
_PRECEDENCE = {"bulk": "bulk", "junk": "bulk", "list": "list", "auto_reply": "auto-replied"}


def reason(
    headers: Headers,
    sender: str,
    subject: str,
    types: Sequence[str],
    own_addresses: Collection[str] = (),
) -> str:
    """The named reason, or "" for mail that a person wrote.

    *types* are the content types of the message in order, its own first. *own_addresses*, lower
    case, are those that we send from: no answer to mail from them is ever wanted.

    Reasons: "auto-replied", "auto-generated", "auto-notified", "bounce", "disposition",
    "out-of-office", "list", "bulk", "own-mail".
    """
    return (
        _own(headers, sender, own_addresses)
        or _report(headers, sender, subject, types)
        or _auto_submitted(headers, subject)
        or _auto_reply_headers(headers, subject)
        or _list_or_bulk(headers, sender)
        or _null_path(headers, sender, subject)
    )


def _own(headers: Headers, sender: str, own_addresses: Collection[str]) -> str:
    """Our own mail, come back. A web form that sends from our address names its writer elsewhere.

    A therapist's reply does not carry the field: programs copy the text of a mail, not its headers.
    """
    if _OWN_FIELD in headers:
        return "own-mail"
    answers_go_to = addresses_inside(" ".join(headers.raw("reply-to"))) or [sender]
    is_ours = sender in own_addresses and set(answers_go_to) <= set(own_addresses)
    return "own-mail" if is_ours else ""


def reported_ids(message: Message) -> tuple[str, ...]:
    """Message-IDs of the mails that a bounce or receipt is about (RFC 3464, RFC 6522, RFC 8098).

    From the copy or the headers that the report returns, or from its fields; where it is plain
    text, from the copy below its words.
    """
    found: dict[str, None] = {}
    for part in islice(message.walk(), 1, _MAX_LOOKS):
        kind = str(part.get("content-type", "text/plain")).split(";")[0].strip().lower()
        if kind in _REPORT_PARTS or kind == "message/rfc822":
            fields = (part, *_below(part))
            stated = (value for one in fields for name, value in one.raw_items() if _names(name))
            found.update(dict.fromkeys(_ids(" ".join(map(str, stated)))))
        if kind == "text/rfc822-headers" or (kind == "text/plain" and not found):
            found.update(dict.fromkeys(_copied_ids(part)))
    if not message.is_multipart():
        found.update(dict.fromkeys(_copied_ids(message)))
    return tuple(found)[:_MAX_REPORTED]


def _below(part: Message) -> list[Message]:
    payload = payload_of(part)
    return [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []


def _names(field: str) -> bool:
    return field.lower() in {"message-id", "original-message-id", "x-original-message-id"}


def _ids(text: str) -> list[str]:
    return [found for found in _ID.findall(text) if found.isascii()]


def _copied_ids(part: Message) -> list[str]:
    payload = payload_of(part)
    text = payload[:_MAX_COPY] if isinstance(payload, str) else ""
    return _ids(" ".join(_COPIED_ID.findall(text)))


def _report(headers: Headers, sender: str, subject: str, types: Sequence[str]) -> str:
    top = types[0] if types else ""
    if top == "multipart/report":
        return (
            "disposition"
            if "disposition-notification" in headers.plain("content-type")
            else "bounce"
        )
    if "message/delivery-status" in types[:4] or "x-failed-recipients" in headers:
        return "bounce"
    if _SYSTEM_SENDER.match(sender):
        return (
            "bounce"
            if _BOUNCE_SUBJECT.search(subject) or sender[:6] in {"mailer", "mail-d"}
            else ""
        )
    return ""


def _auto_submitted(headers: Headers, subject: str) -> str:
    """RFC 3834 section 5, RFC 5436 section 2.7.1. Anything but "no" is automatic."""
    value = headers.plain("auto-submitted").split(";")[0].split("(")[0].strip()
    if not value or value == "no":
        return ""
    if value == "auto-replied" and _OUT_OF_OFFICE.search(subject):
        return "out-of-office"
    if value in {"auto-replied", "auto-generated", "auto-notified"}:
        return value
    return "auto-generated" if value.startswith("auto") else ""


def _auto_reply_headers(headers: Headers, subject: str) -> str:
    away = bool(_OUT_OF_OFFICE.search(subject))
    named = any(
        headers.plain(name) not in {"", "no", "false"}
        for name in (
            "x-autoreply",
            "x-autorespond",
            "x-autoresponder",
            "x-vacation",
            "x-autoreply-from",
        )
    )
    if named:
        return "out-of-office" if away else "auto-replied"
    # Exchange sets the suppression header on people's mail as well; with "All" or the subject of an
    # absence beside it, it is a program's.
    suppressed = headers.plain("x-auto-response-suppress")
    if away and (suppressed or headers.plain("precedence") or _null(headers)):
        return "out-of-office"
    if away and not headers.ids("references", "in-reply-to"):
        return ""
    if away and not subject.lower().startswith(("re:", "aw:", "sv:")):
        return "out-of-office"
    return ""


def _list_or_bulk(headers: Headers, sender: str) -> str:
    precedence = _PRECEDENCE.get(headers.plain("precedence").strip(), "")
    listed = sum(name in headers for name in _LIST_HEADERS)
    if "list-id" in headers or listed >= 2:
        campaign = any(name in headers for name in _CAMPAIGN) or "list-post" not in headers
        return "bulk" if campaign and "list-unsubscribe" in headers else "list"
    unanswered = bool(_UNANSWERED_SENDER.match(sender))
    campaign = any(name in headers for name in _CAMPAIGN)
    if precedence == "auto-replied":
        return precedence
    if precedence and (listed or unanswered or campaign or _null(headers)):
        return precedence
    if listed and (unanswered or campaign):
        return "bulk"
    return "auto-generated" if unanswered and (campaign or precedence or _null(headers)) else ""


def _null(headers: Headers) -> bool:
    return bool(headers.raw("return-path")) and headers.plain("return-path") == "<>"


def _null_path(headers: Headers, sender: str, subject: str) -> str:
    """A null envelope sender (RFC 5321 section 4.5.5) marks notices; alone it is a weak sign."""
    if not _null(headers):
        return ""
    if _SYSTEM_SENDER.match(sender) or _BOUNCE_SUBJECT.search(subject):
        return "bounce"
    if _UNANSWERED_SENDER.match(sender):
        return "auto-generated"
    return ""
