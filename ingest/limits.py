"""The cheap look at the bytes before any parser sees them, and the repairs that parsers need.

Mail parsers and HTML parsers have inputs that cost them minutes; every limit here bounds one of
those. A scan is a few C-speed passes over the bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_BYTES = 25 * 1024 * 1024
MAX_HEADER_BYTES = 256 * 1024
MAX_HEADER_LINES = 1_000
MAX_ENCODED_WORDS = 500
MAX_LINES = 500_000  # 25 MB of base64 has 330,000; the parser takes about 1 µs for each
MAX_LINES_TIMES_DEPTH = 2_000_000  # as it asks every level about every line
MAX_PARTS = 200
MAX_DEPTH = 20
MAX_HTML_BYTES = 512 * 1024
MAX_HTML_DEPTH = 200

#: Why a message could not be read, for staff. The code is what is stored and counted.
CAUSES = {
    "empty": "The message holds no bytes, or nothing but blanks.",
    "too_large": "The message is larger than 25 MB.",
    "headers_too_large": "The header block is larger than 256 kB.",
    "too_many_headers": "The header block has more than 1,000 lines.",
    "too_many_encoded_words": "The headers hold more than 500 encoded words.",
    "too_many_lines": "The message has more lines than can be read in time.",
    "too_many_parts": "The message has more than 200 parts.",
    "too_deep": "The parts of the message are nested more than 20 levels deep.",
    "html_too_large": "The text is HTML of more than 512 kB.",
    "html_too_deep": "The text is HTML whose tags are nested more than 200 levels deep.",
    "nothing_to_read": "There is neither text, nor a subject, nor an attachment in the message.",
    "not_a_conversation": "It is no conversation, or no part of one, in the chat's own form.",
    "parser_failed": "The parser gave up on the message.",
}


class UnreadableEmailError(Exception):
    """A message that cannot be read; ``cause`` is a key of ``CAUSES``.

    Carries no content, address or name, so it may be logged.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(CAUSES[cause])
        self.cause = cause

    def __reduce__(self) -> tuple[type[UnreadableEmailError], tuple[str]]:
        return (type(self), (self.cause,))  # it crosses from worker processes


@dataclass(frozen=True, slots=True)
class Normalised:
    """Bytes that parsers agree on. ``ambiguous`` names what made them disagree before."""

    content: bytes
    header_end: int
    defects: tuple[str, ...]
    ambiguous: tuple[str, ...]


_BLANKS = b" \t\r\n\0\x0b\x0c"
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_BARE_CR = re.compile(rb"\r(?!\n)")
# As in the standard library's feedparser: a header block ends at the first line that is neither a
# field, nor its continuation, nor an mbox "From " line.
_END_OF_HEADERS = re.compile(rb"(?m)^(?!From |[!-9;-~]*[ \t]*:|[ \t])")
_MAX_GARBLED = 30
_BLANK_LINE = re.compile(rb"\n\r?\n")
_KNOWN_FIELD = re.compile(
    rb"(?mi)^(?:from|to|subject|date|message-id|received|mime-version|content-type|return-path):"
)
_SPACED_NAME = re.compile(rb"(?m)^([!-9;-~]+)[ \t]+:")
_MULTIPART = re.compile(
    rb"(?i)\ncontent-type:[ \t]*(?:\r?\n[ \t]+)?(multipart|message)/"
    rb"((?:[^\r\n]|\r?\n[ \t]){0,2000})"
)
_BOUNDARY = re.compile(rb"(?i)boundary[*0]*[ \t]*=\s*(?:\"([^\"]{1,250})\"|([^\s;\"]{1,250}))")


def normalised(content: bytes) -> Normalised:
    """*content* with one kind of line end and a clean header block, every repair named.

    Raises ``UnreadableEmailError`` where a limit is passed.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableEmailError("too_large")
    content, defects = _without_wrapping(content)
    if not content:
        raise UnreadableEmailError("empty")
    content, ambiguous = _one_line_end(content)
    content, end, garbled = _header_block(content)
    ambiguous += garbled
    header = content[:end]
    if b"\0" in header:
        header = header.replace(b"\0", b"")
        ambiguous = (*ambiguous, "nul_in_headers")
    if b"\r" in header and _BARE_CR.search(header):
        header = _BARE_CR.sub(b" ", header)
        ambiguous = (*ambiguous, "bare_cr_in_headers")
    _check_headers(header)
    if b" :" in header or b"\t:" in header:
        header = _SPACED_NAME.sub(rb"\1:", header)
    if header != content[:end]:
        content = header + content[end:]
    return Normalised(content, len(header), defects + ambiguous, ambiguous)


def _without_wrapping(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Without byte order mark and leading blanks, which make parsers see a body first."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            if encoding != "utf-8":
                content = content.decode(encoding, "replace").encode("utf-8", "replace")
            return content.removeprefix(b"\xef\xbb\xbf").lstrip(_BLANKS), ("byte_order_mark",)
    if content[:1] not in _BLANKS:
        return content, ()
    return content.lstrip(_BLANKS), ("leading_blanks",)


def _one_line_end(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    if b"\r" not in content:
        return content, ()
    if b"\r\r\n" in content:
        content = content.replace(b"\r\r\n", b"\r\n")
    newlines = content.count(b"\n")
    bare = content.count(b"\r") - content.count(b"\r\n")
    # A few bare CRs are an attack or an accident inside a line; many are line ends.
    if bare and bare > 10 * newlines:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return content, ("cr_line_ends",)
    return content, ()


def _header_block(content: bytes) -> tuple[bytes, int, tuple[str, ...]]:
    """The content, where its header block ends, and whether lines in the block were no fields.

    A parser ends the block at such a line and takes the fields after it, often From and Subject,
    for body. Where known fields follow before the next blank line it is made a continuation.
    """
    garbled: tuple[str, ...] = ()
    end = _end_of_headers(content, 0)
    for _ in range(_MAX_GARBLED):
        blank = content[end : end + 2] in {b"", b"\n", b"\r\n"} or content[end : end + 1] == b"\n"
        if blank or end > MAX_HEADER_BYTES or not _fields_follow(content, end):
            break
        garbled = ("header_garbled",)
        content = content[:end] + b" " + content[end:]
        end = _end_of_headers(content, end)
    return content, end, garbled


def _end_of_headers(content: bytes, start: int) -> int:
    found = _END_OF_HEADERS.search(content, start)
    return found.start() if found else len(content)


def _fields_follow(content: bytes, at: int) -> bool:
    rest = content[at : at + 8_000]
    gap = _BLANK_LINE.search(rest)
    return len(_KNOWN_FIELD.findall(rest[: gap.start() if gap else len(rest)])) >= 2


def _check_headers(header: bytes) -> None:
    if len(header) > MAX_HEADER_BYTES:
        raise UnreadableEmailError("headers_too_large")
    if header.count(b"\n") > MAX_HEADER_LINES:
        raise UnreadableEmailError("too_many_headers")
    if header.count(b"=?") > MAX_ENCODED_WORDS:
        raise UnreadableEmailError("too_many_encoded_words")


def check_structure(content: bytes) -> None:
    """Raise ``UnreadableEmailError`` for too many parts or too deep nesting.

    Follows declared boundaries and their delimiter lines as a parser would, without parsing.
    """
    lines = content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")
    if lines > MAX_LINES:
        raise UnreadableEmailError("too_many_lines")
    events = _events(content)
    if lines * min(len(events), MAX_DEPTH) <= MAX_LINES_TIMES_DEPTH and len(events) < MAX_DEPTH:
        return
    if lines * _deepest(events) > MAX_LINES_TIMES_DEPTH:
        raise UnreadableEmailError("too_many_lines")


def _deepest(events: list[tuple[int, bytes, bool, bool]]) -> int:
    stack: list[bytes] = []
    parts = deepest = 0
    for _, boundary, closes, opens in sorted(events):
        if opens:
            stack.append(boundary)
            deepest = max(deepest, len(stack))
            if len(stack) > MAX_DEPTH:
                raise UnreadableEmailError("too_deep")
        elif boundary in stack:
            while stack[-1] != boundary:
                stack.pop()
            if closes:
                stack.pop()
            parts += not closes
            if parts > MAX_PARTS:
                raise UnreadableEmailError("too_many_parts")
    return deepest


def _events(content: bytes) -> list[tuple[int, bytes, bool, bool]]:
    """(position, boundary, closes, opens) of every declaration and every delimiter line."""
    events: list[tuple[int, bytes, bool, bool]] = []
    declared: set[bytes] = set()
    start = content[:14].lower() == b"content-type: "
    for found in _MULTIPART.finditer(b"\n" + content if start else content):
        name = _BOUNDARY.search(found[2])
        boundary = (name[1] or name[2]).rstrip() if name else b""
        if boundary:
            declared.add(boundary)
        events.append((found.start(), boundary, False, True))
        if len(events) > MAX_PARTS:
            raise UnreadableEmailError("too_many_parts")
    at = content.find(b"\n--") if events else -1
    while at >= 0:
        line_end = content.find(b"\n", at + 1)
        line = content[at + 3 : line_end if line_end >= 0 else len(content)][:260].rstrip()
        for token, closes in ((line, False), (line.removesuffix(b"--"), True)):
            if token in declared:
                events.append((at, token, closes and token != line, False))
                break
        if len(events) > 3 * MAX_PARTS + MAX_DEPTH:
            raise UnreadableEmailError("too_many_parts")
        at = content.find(b"\n--", at + 3)
    return events
