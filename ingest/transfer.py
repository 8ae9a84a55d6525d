"""Content-Transfer-Encodings, undone as far as the bytes allow. Nothing here raises."""

from __future__ import annotations

import binascii
import re
from email.message import Message

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_SPACED_WORDS = re.compile(rb"(?<=[^\s])[ \t](?=[^\s])")
_LONG_WORD = 24
_MORE_AFTER_PADDING = re.compile(rb"=[=\s]*[A-Za-z0-9+/]")
_PADDING = re.compile(rb"=[=\s]*")
_UU_BEGIN = re.compile(rb"(?m)^begin[ \t]+[0-7]{3,4}[ \t]+([^\r\n]{1,255}?)[ \t]*\r?$")
_UU_LINE = re.compile(rb"[\x20-\x60]{1,90}")


def payload_of(part: Message) -> object:
    """The payload as parsed: parts, or text with its 8-bit bytes as surrogates.

    ``get_payload`` would decode those with the declared charset, replacing what that cannot read.
    """
    return vars(part).get("_payload")


def as_bytes(payload: str) -> bytes:
    """The bytes behind text whose 8-bit bytes are surrogates."""
    try:
        return payload.encode("ascii", "surrogateescape")
    except UnicodeEncodeError:
        return payload.encode("utf-8", "surrogatepass")


def undo(data: bytes, encoding: str) -> tuple[bytes, tuple[str, ...]]:
    """The bytes before transfer encoding, and a code for each repair.

    *encoding* is the header as written; broken spellings ("7-bit", "quoted-printable;") count.
    """
    name = encoding.split(";", maxsplit=1)[0].strip().strip("\"'").lower().replace(" ", "")
    if name in {"", "7bit", "8bit", "binary", "7-bit", "8-bit", "none"}:
        return data, ()
    if name in {"quoted-printable", "quotedprintable", "qp"}:
        return binascii.a2b_qp(data), ()
    if name in {"base64", "base-64"}:
        return _base64_body(data)
    if name in {"x-uuencode", "uuencode", "x-uue", "uue"}:
        blocks, _ = uuencoded(data)
        return (blocks[0][1], ()) if blocks else (data, ("transfer_encoding_wrong",))
    return data, ("transfer_encoding_unknown",)


def base64_bytes(data: bytes) -> tuple[bytes, bool]:
    """What *data* encodes, and whether foreign characters or a cut had to be forgiven."""
    if _MORE_AFTER_PADDING.search(data):
        # Blocks encoded one by one and joined: the standard library stops after the first.
        found = [base64_bytes(block) for block in _PADDING.split(data)]
        return b"".join(block for block, _ in found), True
    try:
        return binascii.a2b_base64(data.strip(), strict_mode=False), False
    except binascii.Error:
        kept = _NOT_BASE64.sub(b"", data)
        kept = kept[: len(kept) - (len(kept) % 4 == 1)]
        return binascii.a2b_base64(kept + b"=="), True


def _base64_body(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    lines = data.split()
    foreign = sum(1 for line in lines if not _BASE64_LINE.fullmatch(line))
    if foreign * 2 > len(lines) or _is_prose(data, lines):  # plain text under a false label
        return data, ("transfer_encoding_wrong",)
    if not foreign:
        decoded, damaged = base64_bytes(data)
        return decoded, ("base64_damaged",) if damaged else ()
    # A list or gateway has put its own plain lines before or after: keep both.
    wrapped = data.splitlines()
    encoded = [line for line in wrapped if _BASE64_LINE.fullmatch(line.strip())]
    plain = [line for line in wrapped if line.strip() and not _BASE64_LINE.fullmatch(line.strip())]
    decoded, _ = base64_bytes(b"\n".join(encoded))
    return decoded + b"\n" + b"\n".join(plain), ("base64_damaged",)


def _is_prose(data: bytes, words: list[bytes]) -> bool:
    """Words without any punctuation would pass for base64; nobody encodes in so short pieces."""
    spaces = len(_SPACED_WORDS.findall(data))
    return spaces * 2 > len(words) and max(map(len, words)) < _LONG_WORD


def uuencoded(data: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """Files uuencoded inside a text, as (name, content), and the text around them."""
    blocks: list[tuple[str, bytes]] = []
    around: list[bytes] = []
    at = 0
    while (begin := _UU_BEGIN.search(data, at)) is not None:
        end = data.find(b"\nend", begin.end())
        content = _uu_lines(data[begin.end() : end if end >= 0 else len(data)])
        if end < 0 or content is None:
            break
        blocks.append((begin[1].decode("utf-8", "replace"), content))
        around.append(data[at : begin.start()])
        line_end = data.find(b"\n", end + 1)
        at = line_end + 1 if line_end >= 0 else len(data)
    around.append(data[at:])
    return blocks, b"".join(around)


def _uu_lines(data: bytes) -> bytes | None:
    decoded = []
    for line in data.split(b"\n"):
        line = line.rstrip(b"\r")  # noqa: PLW2901 - the line without its ending
        if not line.strip():
            continue
        if not _UU_LINE.fullmatch(line):
            return None
        try:
            decoded.append(binascii.a2b_uu(line))
        except binascii.Error:  # trailing blanks lost or added on the way: RFC-less, but common
            length = ((line[0] - 32) & 63) * 4 // 3 + 4
            try:
                decoded.append(binascii.a2b_uu(line[: length // 4 * 4 + 1]))
            except binascii.Error:
                return None
    return b"".join(decoded)
