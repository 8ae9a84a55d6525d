"""Bytes to text that can be stored anywhere, whatever charset the sender claimed.

The ladder: declared charset, its alias, UTF-8, then Windows-1252 (or, for text that is mostly
non-Latin, a guess by charset-normalizer). Each rung below the first is reported as a defect.
"""

from __future__ import annotations

import codecs
import functools
import re

from ingest import transfer

# Names seen in real mail that Python does not know, or knows too narrowly: the vendor's superset
# is taken where the plain name is routinely used for it (WHATWG Encoding Standard, "labels").
ALIASES = {
    "ansi_x3.4-1968": "cp1252",
    "ascii": "ascii",
    "chinese": "gb18030",
    "cp-850": "cp850",
    "default": "ascii",
    "euc-cn": "gb18030",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-1": "cp1252",
    "iso-8859-8-i": "iso8859_8",
    "iso-8859-8-e": "iso8859_8",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "iso8859-1": "cp1252",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "euc-kr": "cp949",
    "latin-1": "cp1252",
    "latin1": "cp1252",
    "macintosh": "mac_roman",
    "shift-jis": "cp932",
    "shift_jis": "cp932",
    "sjis": "cp932",
    "tis-620": "cp874",
    "unicode-1-1-utf-7": "utf_7",
    "us-ascii": "ascii",
    "utf8mb4": "utf_8",
    "windows-31j": "cp932",
    "windows-874": "cp874",
    "windows-949": "cp949",
    "x-mac-roman": "mac_roman",
    "x-sjis": "cp932",
    "x-windows-949": "cp949",
    "visual": "iso8859_8",
}

# Python "text" codecs that are no charsets; a sender may not choose them.
_NO_CHARSETS = {"idna", "mbcs", "oem", "palmos", "punycode", "raw-unicode-escape", "undefined"}
_NO_CHARSETS |= {"unicode-escape", "unicode-internal"}

# Any byte string decodes in these, so a clean UTF-8 reading of 8-bit text is the better evidence.
_ACCEPTS_ANYTHING = {"cp1250", "cp1251", "cp1252", "cp1254", "iso8859-1", "iso8859-15", "iso8859-2"}

_GUESS_SAMPLE = 20_000  # bytes; a guess gets no better, only slower, beyond
_NON_LATIN_SHARE = 0.25  # of high bytes, above which text is taken for non-Latin script


@functools.lru_cache(maxsize=256)
def codec_named(declared: str) -> str | None:
    """The Python codec for a charset label as written in mail, or None where there is none."""
    label = declared.strip().strip("\"'<>").lower().removeprefix("charset=").strip("\"' ;,")
    label = ALIASES.get(label, label)
    for name in (label, label.removeprefix("x-"), label.replace("windows", "cp").replace("-", "")):
        try:
            info = codecs.lookup(name)
        except (LookupError, ValueError, UnicodeError):
            continue
        # CPython marks its bytes-to-bytes and text-to-text codecs with this flag alone.
        if info._is_text_encoding and info.name not in _NO_CHARSETS:  # noqa: SLF001
            return info.name
    return None


def decode(data: bytes, declared: str = "") -> tuple[str, tuple[str, ...]]:
    """Text of *data*, and a code for each repair made.

    Never raises. A declared charset that the bytes contradict loses to UTF-8 where that reads
    cleanly ("charset_wrong"); what nothing reads becomes Windows-1252 ("text_damaged").
    """
    if b"\x1b" in data and data.isascii() and re.search(rb"\x1b[$(][@BJI]", data):
        japanese = _strictly(data, "iso2022_jp_ext", "iso2022_jp_3")
        damaged = ("text_damaged",) if "\ufffd" in japanese else ()
        return japanese, (*_unless(declared, "iso-2022"), *damaged)
    codec = codec_named(declared) if declared else "ascii"
    defects: tuple[str, ...] = () if codec else ("charset_unknown",)
    if data.isascii() and codec in {None, "ascii", "utf-8", *_ACCEPTS_ANYTHING}:
        return data.decode("ascii"), defects
    if codec and codec.startswith(("utf-16", "utf-32")) and b"\0" not in data:
        codec, defects = "utf-8", ("charset_wrong",)
    if codec in _ACCEPTS_ANYTHING and (text := _utf8(data)) is not None:
        return text, ("charset_wrong",)
    if codec and codec != "ascii":
        try:
            return data.decode(codec), defects
        except (UnicodeError, ValueError):
            defects = ("charset_wrong",)
    elif declared and not defects:
        defects = ("charset_wrong",)
    if (text := _utf8(data)) is not None:
        return text, defects or ("charset_missing",)
    return _best_effort(data, codec), (*defects, "text_damaged")


def _unless(declared: str, expected: str) -> tuple[str, ...]:
    return () if declared.strip("\"' ").lower().startswith(expected) else ("charset_wrong",)


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _strictly(data: bytes, *candidates: str) -> str:
    for name in candidates:
        try:
            return data.decode(name)
        except (UnicodeError, ValueError):
            continue
    return data.decode(candidates[0], "replace")


def _best_effort(data: bytes, codec: str | None) -> str:
    """Damaged text: the declared codec where only a little is broken, else a guess."""
    if codec and codec not in {"ascii", "utf-16", "utf-32", "utf-7"}:
        text = data.decode(codec, "replace")
        if text.count("\ufffd") * 50 <= len(text):
            return text
    high = sum(1 for byte in data[:_GUESS_SAMPLE] if byte > 0x7F)
    if high > _NON_LATIN_SHARE * min(len(data), _GUESS_SAMPLE) and (text := _guessed(data)):
        return text
    return data.decode("cp1252", "replace")


def _guessed(data: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_GUESS_SAMPLE], threshold=0.3).best()
    return data.decode(best.encoding, "replace") if best else ""


# --- headers -----------------------------------------------------------------------------------

_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,64})\?([BbQq])\?([^\r\n]{0,4000}?)\?=")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_FOLD = re.compile(r"[ \t]*(?:\r\n|\r|\n)[ \t]*")


def unfold(value: str) -> str:
    return _FOLD.sub(" ", value).strip() if "\n" in value or "\r" in value else value.strip()


def decode_header(value: str) -> tuple[str, tuple[str, ...]]:
    """A header value as text; *value* as the standard library's parser stores it.

    Bytes beyond ASCII arrive there as surrogates. Words of one charset that touch are joined before
    decoding, as senders split characters between them; time is linear in the length.
    """
    value = unfold(value)
    if "=?" not in value:
        return _raw_text(value)
    pieces: list[str] = []
    defects: list[str] = []
    pending, pending_charset, at = b"", "", 0
    for word in _ENCODED_WORD.finditer(value):
        charset = word[1].partition("*")[0].lower()  # RFC 2231 lets a language follow
        between = value[at : word.start()]
        joined = at and not between.strip()
        if pending_charset and (charset != pending_charset or not joined):
            pieces.append(_text_of(pending, pending_charset, defects))
            pending = b""
        if not joined:
            pieces.append(_raw_text(between, defects)[0])
        pending += _word_bytes(word[2], word[3])
        pending_charset, at = charset, word.end()
    if pending_charset:
        pieces.append(_text_of(pending, pending_charset, defects))
    pieces.append(_raw_text(value[at:], defects)[0])
    return "".join(pieces), tuple(dict.fromkeys(defects))


def _word_bytes(encoding: str, text: str) -> bytes:
    data = text.encode("ascii", "surrogateescape") if _encodable(text) else text.encode()
    if encoding in "Qq":
        return _HEX.sub(lambda m: bytes.fromhex(m[1].decode()), data.replace(b"_", b" "))
    return transfer.base64_bytes(data)[0]


def _encodable(text: str) -> bool:
    return all(ord(c) < 0x80 or 0xDC80 <= ord(c) <= 0xDCFF for c in text)


def _text_of(data: bytes, charset: str, defects: list[str]) -> str:
    text, found = decode(data, charset)
    defects.extend(found)
    return text


def _raw_text(value: str, defects: list[str] | None = None) -> tuple[str, tuple[str, ...]]:
    if value.isascii():
        return value, ()
    if not _encodable(value):
        return value, ()
    text, _ = decode(value.encode("ascii", "surrogateescape"))
    found = ("header_not_encoded",)
    if defects is not None:
        defects.extend(found)
    return text, found


# --- what no database and no reader should meet -------------------------------------------------

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200c\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef]"
)
# A joiner holds emoji and some scripts together; between Latin letters it only hides.
_STRAY_JOINER = re.compile("(?<![\u0600-\U0001ffff])\u200d|\u200d(?![\u0600-\U0001ffff])")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LINE_BREAK = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")


def clean(text: str) -> tuple[str, tuple[str, ...]]:
    """*text* with line feeds for line ends, and nothing in it that a reader could not see.

    NULs, control characters, lone surrogates, zero-width and direction-changing characters go.

    Typographic spaces become plain ones silently; what else is removed is reported.
    """
    if "\r" in text or not text.isascii() or "\x0b" in text or "\x0c" in text:
        text = _LINE_BREAK.sub("\n", text)
    defects = []
    if not text.isascii():
        text = _SPACE.sub(" ", text)
        visible = _STRAY_JOINER.sub("", _INVISIBLE.sub("", text))
        if len(visible) != len(text):
            defects.append("invisible_characters")
            text = visible
    if _CONTROL.search(text):
        defects.append("control_characters")
        text = _CONTROL.sub(lambda m: "\ufffd" if m[0] >= "\ud800" else "", text)
    return text, tuple(defects)


def clean_line(text: str) -> tuple[str, tuple[str, ...]]:
    """As ``clean``, for what must stay on one line: subjects, names, ids."""
    text, defects = clean(text)
    return " ".join(text.split()), defects
