"""Attachments named, typed and measured, and their bytes for whoever asks.

To be listed their content is never decoded but for the first bytes, which tell the type more surely
than the label does.
"""

from __future__ import annotations

import re
from email.message import Message

from ingest import charset, transfer
from triage.records import Attachment

# First bytes that tell a type more surely than its label does.
_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"{\\rtf", "application/rtf"),
    (b"\xd0\xcf\x11\xe0", "application/x-ole-storage"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!", "application/vnd.rar"),
    (b"7z\xbc\xaf", "application/x-7z-compressed"),
    (b"\x1f\x8b", "application/gzip"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x78\x9f\x3e\x22", "application/ms-tnef"),
    (b"BEGIN:VCALENDAR", "text/calendar"),
    (b"BEGIN:VCARD", "text/vcard"),
    (b"ID3", "audio/mpeg"),
    (b"<svg", "image/svg+xml"),
)
# Containers whose magic is only that of their wrapping: a more exact label is believed.
_WRAPPED = {
    "application/zip": ("officedocument", "opendocument", "epub", "zip", "java-archive"),
    "application/x-ole-storage": ("msword", "ms-", "outlook"),
}


_NAME_AS_WRITTEN = re.compile(
    r"(?i)(?:file)?name\*?=\s*(?:\"([^\"\r\n]{1,300})|([^\";\r\n]{1,300}))"
)


def filename(part: Message) -> str:
    """The name a part goes by, decoded and on one line; "" where it has none."""
    try:
        name = part.get_filename() or ""
    except (ValueError, TypeError, LookupError, AttributeError, UnicodeError):
        name = "\ufffd"
    if "\ufffd" in name:  # raw 8-bit or broken RFC 2231: the bytes as written say more
        raw = {key.lower(): str(value) for key, value in part.raw_items()}
        for field_name in ("content-disposition", "content-type"):
            if found := _NAME_AS_WRITTEN.search(raw.get(field_name, "")):
                name = found[1] or found[2]
                break
    decoded, _ = charset.decode_header(str(name))
    return charset.clean_line(decoded)[0][:255]


def listed(part: Message, kind: str) -> tuple[Attachment, tuple[str, ...]]:
    """*part*, of declared type *kind*, as an attachment, and codes of what is odd about it."""
    if kind.startswith("message/") or part.is_multipart():
        name = filename(part) or _subject_inside(part) or "unnamed"
        nested = ("nested_message",) if kind == "message/rfc822" else ()
        return Attachment(name, kind, _nested_size(part)), nested
    payload = transfer.payload_of(part)
    data = transfer.as_bytes(payload) if isinstance(payload, str) else b""
    encoding = _encoding(part)
    if encoding == "base64":
        start, size = transfer.base64_bytes(data[:120])[0], _base64_size(data)
    else:
        content, _ = transfer.undo(data, encoding)
        start, size = content[:64], len(content)
    found = sniffed(start, kind)
    odd = ("tnef_attachment",) if found == "application/ms-tnef" else ()
    return Attachment(filename(part) or "unnamed", found, size), odd


def content_of(found: Message | bytes) -> bytes:
    """The bytes behind an attachment as listed; a nested message as it was sent.

    Decodes as far as the bytes allow. Raises ``ValueError`` for a nested message too damaged to be
    put together again.
    """
    if isinstance(found, bytes):
        return found
    payload = transfer.payload_of(found)
    if isinstance(payload, str):
        return transfer.undo(transfer.as_bytes(payload), _encoding(found))[0]
    inner = payload[0] if isinstance(payload, list) and len(payload) == 1 else found
    try:
        return inner.as_bytes() if isinstance(inner, Message) else b""
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(type(error).__name__) from None  # its words would quote the message


def _encoding(part: Message) -> str:
    return str(part.get("content-transfer-encoding", "")).strip().lower()


def sniffed(start: bytes, declared: str) -> str:
    """The type that the first bytes show, else the declared one."""
    head = start.lstrip(b" \r\n\t\xef\xbb\xbf") if start[:1] in b" \r\n\t\xef" else start
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            exact = any(word in declared for word in _WRAPPED.get(kind, ()))
            return declared if exact else kind
    return declared or "application/octet-stream"


def _base64_size(data: bytes) -> int:
    blanks = sum(data.count(blank) for blank in (b"\n", b"\r", b" ", b"\t"))
    padding = data[-8:].count(b"=")
    return max(0, (len(data) - blanks) * 3 // 4 - padding)


def _nested_size(part: Message) -> int:
    size, stack = 0, [part]
    while stack:
        message = stack.pop()
        size += sum(len(name) + len(str(value)) + 4 for name, value in message.raw_items())
        payload = transfer.payload_of(message)
        if isinstance(payload, list):
            stack.extend(child for child in payload if isinstance(child, Message))
        elif isinstance(payload, str):
            size += len(payload)
    return size


def _subject_inside(part: Message) -> str:
    payload = transfer.payload_of(part)
    inner = payload[0] if isinstance(payload, list) and payload else None
    if not isinstance(inner, Message) or "subject" not in inner:
        return ""
    return charset.clean_line(charset.decode_header(str(inner["subject"]))[0])[0][:255]
