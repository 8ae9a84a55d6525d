"""The body of a message: its text, its HTML where there is no text, and its attachments.

Works on the tree that the standard library's bytes parser builds, with accessors of its own that
never raise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser

from ingest import attachments, charset, html, transfer
from ingest.limits import MAX_DEPTH, MAX_HTML_BYTES, MAX_PARTS, UnreadableEmailError
from ingest.pictures import HtmlForm, brought_along
from triage.records import Attachment

_MAX_TEXT = 1_000_000  # characters of text that are read; nobody writes more to a support team
_LONG = 400  # characters beyond which a text around the parts is more than a hint to old programs
_FIELDS_OF_PARTS = frozenset(
    ("from", "to", "cc", "bcc", "subject", "date", "sender", "received", "importance", "priority")
)
_STUB = 200  # characters below which a text part is compared with its HTML sibling
_WORD = re.compile(r"[^\W\d_]{3,}")
_SAYS_NOTHING = re.compile(
    r"(?i)(?:view|read|see)[^.\n]{0,60}(?:html|browser|online)|does not support html|html[- ]"
    r"(?:format|e?-?mail|version|capable|enabled)|<html|^\W*$"
)
_BOILERPLATE = re.compile(
    r"(?i)mime|multi-?part|mehrteilig|mail (?:client|reader|program)|does not (?:support|"
    r"understand)"
)
_LOOKS_LIKE_HTML = re.compile(r"(?i)\A\s*(?:<!doctype html|<html[\s>]|<\?xml[^>]{0,200}>\s*<html)")
_BOUNDARY_LINE = re.compile(r"(?m)^--(\S[^\r\n]{0,200}?)[ \t]*\r?\n(?=[!-9;-~]+:|\r?\n)")
_PGP_HEAD = re.compile(
    r"-----BEGIN PGP SIGNED MESSAGE-----\n(?:[A-Za-z-]{1,30}: ?[^\n]{0,200}\n){0,10}\n?"
)
_PARAMETER = re.compile(r"(?i);\s*([a-z-]+)\*?\d*\*?\s*=\s*(?:\"([^\"]*)\"|([^\s;]+))")


@dataclass(slots=True)
class Body:
    """Text as chosen, and what else the message carried. ``is_html`` tells what ``text`` was."""

    text: str = ""
    signature_lines: frozenset[int] = frozenset()
    attachments: list[Attachment] = field(default_factory=list)
    contents: list[Message | bytes] = field(default_factory=list)  # behind each attachment
    defects: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)  # content types in order, containers too
    outside: list[str] = field(default_factory=list)  # raw text that stands in no part


@dataclass(slots=True)
class _Piece:
    kind: str  # "plain", "html" or "other"
    part: Message
    alternative: int  # the multipart/alternative it is in; 0 for none


def html_form(message: Message) -> HtmlForm:
    """The first HTML part of *message* as it was sent, with the pictures that came along."""
    body = Body()
    marked = [piece.part for piece in _pieces(message, body) if piece.kind == "html"]
    if not marked:
        return HtmlForm()
    return HtmlForm(_text_of(marked[0], Body()), brought_along(body.contents))


def read(message: Message) -> Body:
    """The body of *message*, which the standard library's compat32 parser has built.

    Raises ``UnreadableEmailError`` for a tree beyond the limits, and nothing else.
    """
    body = Body()
    pieces = list(_pieces(message, body))
    texts: list[str] = []
    signature: set[int] = set()
    for chosen in _chosen(pieces, body):
        offset = sum(text.count("\n") + 2 for text in texts)
        signature |= {offset + line for line in chosen.signature_lines}
        texts.append(chosen.text)
    _read_outside(texts, body)
    body.text = "\n\n".join(texts)
    body.signature_lines = frozenset(signature)
    return body


def _read_outside(texts: list[str], body: Body) -> None:
    """Text around the parts, which mail programs do not show: read where there is no other."""
    outside = charset.decode(transfer.as_bytes("\n".join(body.outside)))[0].strip()
    silent = not "".join(texts).strip()
    if not outside or (_is_boilerplate(outside) and not silent):
        return
    body.defects.append("text_outside_parts")
    if silent:
        texts[:] = [_cleaned(html.Rendered(outside), body).text]


def _is_boilerplate(text: str) -> bool:
    return len(text) < _LONG and _BOILERPLATE.search(text) is not None


def _note_outside(part: Message, body: Body, *, inside: bool) -> None:
    """Keep what the standard library's parser puts aside: around parts, and among their headers."""
    around = [getattr(part, name) or "" for name in ("preamble", "epilogue")]
    if inside:
        around += [getattr(defect, "line", None) or "" for defect in part.defects]
        around += [
            f"{name}: {value}"
            for name, value in part.raw_items()
            if "-" not in name and name.lower() not in _FIELDS_OF_PARTS
        ]
    body.outside += [text for text in around if text.strip() and not _is_boilerplate(text)]


def _pieces(message: Message, body: Body) -> Iterator[_Piece]:
    """Body parts in order; everything else goes to the attachments."""
    stack: list[tuple[Message, int, int]] = [(message, 0, 0)]
    seen = texts = 0
    while stack:
        part, depth, alternative = stack.pop()
        seen += 1
        if seen > MAX_PARTS:
            raise UnreadableEmailError("too_many_parts")
        if depth > MAX_DEPTH:
            raise UnreadableEmailError("too_deep")
        kind = _content_type(part)
        body.types.append(kind)
        if not kind.startswith("message/"):
            _note_outside(part, body, inside=depth > 0)
        if part is message and kind in {"text/plain", "text/html"}:
            # The whole message is this text, whatever its label says about showing it.
            if _is_attached(part) and attachments.filename(part):
                _list(part, kind, body)
            yield _Piece("html" if kind == "text/html" else "plain", part, 0)
        elif kind.startswith("multipart/") and not _is_attached(part):
            group = seen if kind == "multipart/alternative" else alternative
            children = _children(part, body)
            if children is None:
                yield _Piece("plain", part, 0)
                texts += _says_something(part)
            else:
                stack.extend((child, depth + 1, group) for child in reversed(children))
        elif (role := _role(part, kind, first=not texts)) == "attachment":
            _list(part, kind, body)
        else:
            texts += role != "other" and _says_something(part)
            yield _Piece(role, part, alternative)


def _list(part: Message, kind: str, body: Body) -> None:
    attachment, odd = attachments.listed(part, kind)
    body.attachments.append(attachment)
    body.contents.append(part)
    body.defects.extend(odd)


def _children(part: Message, body: Body) -> list[Message] | None:
    """The parts of a multipart; inferred where the boundary was lost; None where there are none."""
    payload = transfer.payload_of(part)
    if isinstance(payload, list):
        return [child for child in payload if isinstance(child, Message)]
    found = _BOUNDARY_LINE.search(payload) if isinstance(payload, str) else None
    if found is None or not isinstance(payload, str):
        body.defects.append("multipart_without_parts")
        return None
    boundary = transfer.as_bytes(found[1].removesuffix("--"))
    rebuilt = b'Content-Type: multipart/mixed; boundary="' + boundary.replace(b'"', b"") + b'"\n\n'
    whole = BytesParser().parsebytes(rebuilt + transfer.as_bytes(payload))
    inner = whole.get_payload()
    if not isinstance(inner, list):
        body.defects.append("multipart_without_parts")
        return None
    body.defects.append("boundary_inferred")
    _note_outside(whole, body, inside=False)
    return [child for child in inner if isinstance(child, Message)]


def _says_something(part: Message) -> bool:
    payload = transfer.payload_of(part)
    return isinstance(payload, str) and not payload[:2_000].isspace() and bool(payload)


def _role(part: Message, kind: str, *, first: bool) -> str:
    """What a leaf is: "plain" or "html" body text, "other" text, or an "attachment".

    A named text part is body where the sender shows it inline or it comes first.
    """
    if _is_attached(part) or not kind.startswith("text/"):
        return "attachment"
    named = bool(attachments.filename(part))
    shown = first or str(part.get("content-disposition", "")).lower().startswith("inline")
    if kind in {"text/plain", "text/html"}:
        role = "html" if kind == "text/html" else "plain"
        return role if shown or not named else "attachment"
    if named or kind in {"text/calendar", "text/rtf", "text/vcard", "text/x-vcard"}:
        return "attachment"
    return "other"


def _is_attached(part: Message) -> bool:
    return str(part.get("content-disposition", "")).strip().lower().startswith("attachment")


def _content_type(part: Message) -> str:
    try:
        return part.get_content_type().lower()
    except (ValueError, TypeError, AttributeError, IndexError):
        return "text/plain"


def _chosen(pieces: list[_Piece], body: Body) -> Iterator[html.Rendered]:
    """One reading per alternative, every other text in order; unknown text types only alone."""
    usable = [piece for piece in pieces if piece.kind != "other"]
    if not usable and pieces:
        body.defects.append("text_from_unknown_type")
        usable = pieces
    for piece in pieces:
        if piece not in usable:
            _list(piece.part, _content_type(piece.part), body)
    done: set[int] = set()
    for piece in usable:
        group = piece.alternative
        if group in done:
            continue
        siblings = [p for p in usable if p.alternative == group] if group else [piece]
        if group:
            done.add(group)
        elif len(usable) == 2 and {p.kind for p in usable} == {"plain", "html"}:
            siblings = usable
            if not _say_the_same(usable):
                siblings = [piece]
            else:
                done.add(0)
        yield from _readings(siblings, body)


def _say_the_same(pair: list[_Piece]) -> bool:
    """Whether text and HTML sent side by side are two forms of one text."""
    plain, marked = sorted(pair, key=lambda piece: piece.kind, reverse=True)
    words = _text_of(plain.part, Body()).split()
    other = set(html.to_text(_text_of(marked.part, Body())).text.split())
    return not words or sum(word in other for word in words) >= 0.8 * len(words)


def _readings(siblings: list[_Piece], body: Body) -> Iterator[html.Rendered]:
    plain = [_plain(piece.part, body) for piece in siblings if piece.kind != "html"]
    marked = [piece for piece in siblings if piece.kind == "html"]
    text = "\n\n".join(rendered.text for rendered in plain)
    words = len(text.strip())
    says_nothing = _SAYS_NOTHING.search(text) is not None
    if marked and (says_nothing or words < _STUB):
        readings = [_html(piece.part, body) for piece in marked]
        shown = sum(len(rendered.text.strip()) for rendered in readings)
        if shown > 2 * words + 20 or (shown and says_nothing):
            _compare(text, "\n".join(rendered.text for rendered in readings), body)
            yield from map(_separable, readings)
            return
    for piece in marked:
        source = html.lightened(_text_of(piece.part, Body()))
        if len(source) > MAX_HTML_BYTES:  # then it is not compared to its end
            body.defects.append("html_too_large")
        _compare(html.glance(source), text, body)
    yield from map(_separable, plain)


def _separable(rendered: html.Rendered) -> html.Rendered:
    """*rendered*, unless its HTML went beyond the limits: then nothing tells whose words it holds.

    Raises ``UnreadableEmailError``. The form that is not read may be as large as it likes.
    """
    for cause in ("html_too_large", "html_too_deep"):
        if cause in rendered.defects:
            raise UnreadableEmailError(cause)
    return rendered


def _compare(unread: str, read: str, body: Body) -> None:
    """Flag a form of the text that says more than the one read, be it by one word: "not" is one.

    A tolerance by share would hide single words: the short ones, alike in any two texts, water it
    down. Of 100 public messages with both forms 17 differ, 16 of them by more than one in twenty.
    """
    if set(_WORD.findall(unread.lower())).difference(_WORD.findall(read.lower())):
        body.defects.append("alternative_differs")


def _html(part: Message, body: Body) -> html.Rendered:
    source = _text_of(part, body)
    rendered = html.to_text(source) if "<" in source else html.Rendered(source)
    body.defects.extend(rendered.defects)
    return _cleaned(rendered, body)


def _plain(part: Message, body: Body) -> html.Rendered:
    text = _text_of(part, body)
    if _LOOKS_LIKE_HTML.match(text) and "</" in text:
        body.defects.append("html_in_text")
        return _cleaned(html.to_text(text), body)
    if "begin " in text:
        text = _without_uuencoded(text, body)
    rendered = _cleaned(html.Rendered(text), body)
    content_type = str(part.get("content-type", ""))
    if "flowed" in content_type.lower():
        parameters = {
            m[1].lower(): (m[2] or m[3] or "").lower() for m in _PARAMETER.finditer(content_type)
        }
        if parameters.get("format") == "flowed":
            rendered.text = unflowed(rendered.text, joins=parameters.get("delsp") == "yes")
    if "-----BEGIN PGP SIGNED" in rendered.text:
        rendered.text = _PGP_HEAD.sub("", rendered.text)
        rendered.text = rendered.text.split("\n-----BEGIN PGP SIGNATURE-----")[0]
        body.defects.append("signed_inline")
    return rendered


def _cleaned(rendered: html.Rendered, body: Body) -> html.Rendered:
    if len(rendered.text) > _MAX_TEXT:
        rendered.text = rendered.text[:_MAX_TEXT]
        body.defects.append("text_cut")
    rendered.text, repairs = charset.clean(rendered.text)
    body.defects.extend(repairs)
    return rendered


def _text_of(part: Message, body: Body) -> str:
    payload = transfer.payload_of(part)
    data = transfer.as_bytes(payload) if isinstance(payload, str) else b""
    encoding = str(part.get("content-transfer-encoding", ""))
    if encoding:
        data, repairs = transfer.undo(data, encoding)
        body.defects.extend(repairs)
    text, repairs = charset.decode(data, _declared_charset(part))
    body.defects.extend(repairs)
    return text


def _declared_charset(part: Message) -> str:
    value = str(part.get("content-type", ""))
    at = value.lower().find("charset")
    if at < 0:
        return ""
    named = re.match(
        r"(?i)charset\*?\d*\*?\s*[=:]\s*[\"']?([^\s;\"'>]{1,60})", value[at : at + 200]
    )
    return named[1].split("'")[0] if named else ""


def _without_uuencoded(text: str, body: Body) -> str:
    blocks, around = transfer.uuencoded(text.encode("utf-8", "surrogateescape"))
    for name, content in blocks:
        body.attachments.append(
            Attachment(
                charset.clean_line(name)[0], attachments.sniffed(content[:64], ""), len(content)
            )
        )
        body.contents.append(content)
        body.defects.append("uuencoded_file")
    return around.decode("utf-8", "replace") if blocks else text


def unflowed(text: str, *, joins: bool = False) -> str:
    """Paragraphs of a format=flowed text (RFC 3676) as single lines, quote depths kept.

    *joins* is the DelSp parameter: the space at a soft break is not part of the text.
    """
    paragraphs: list[list[str]] = []
    open_depth = -1
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        content = line[depth:].removeprefix(" ")
        flows = content.endswith(" ") and content != "-- "
        kept = content[:-1] if flows and joins else content
        if open_depth == depth and content != "-- ":
            paragraphs[-1].append(kept)
        else:
            paragraphs.append([">" * depth + (" " if depth else "") + kept])
        open_depth = depth if flows else -1
    return "\n".join("".join(pieces) for pieces in paragraphs)
