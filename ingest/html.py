"""HTML mail to readable text: paragraphs, lists, tables; quotes as lines that begin with "> ".

The result is for reading and for ``ingest.quoting``, never for display as HTML: no markup survives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING

from ingest.limits import MAX_HTML_BYTES, MAX_HTML_DEPTH

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_RULE = "_" * 32  # what Outlook writes in plain text for the line above a quoted message

_BLOCKS = frozenset(
    (
        "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dir",
        "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2",
        "h3", "h4", "h5", "h6", "header", "hr", "legend", "li", "main", "menu", "nav", "ol",
        "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
        "ul",
    )
)  # fmt: skip
# Blocks with an empty line before and after.
_SPACED = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "pre"))
_UNSEEN = frozenset(
    (
        "script", "style", "head", "title", "template", "noscript", "object", "embed", "applet",
        "iframe", "math", "svg", "select", "textarea", "base", "link", "meta",
        "-comment", "!doctype", "xml", "audio", "video", "canvas",
    )
)  # fmt: skip
# What some mail programs show of those.
_SAYS_SOMETHING = frozenset(
    ("noscript", "object", "iframe", "math", "svg", "select", "textarea", "template", "canvas")
)
_VOID = frozenset(
    (
        "br", "hr", "img", "input", "area", "base", "col", "embed", "link", "meta", "param",
        "source", "track", "wbr",
    )
)  # fmt: skip
_OPTIONAL_END = frozenset(
    (
        "p", "li", "td", "th", "tr", "dd", "dt", "option", "thead", "tbody", "tfoot",
        "colgroup",
    )
)  # fmt: skip

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
_ANY_TAG = re.compile(r"<[^<>]{0,10000}>")
_NO_TEXT = re.compile(
    r"(?is)<!--.*?(?:-->|\Z)|<(style|script|head|title)\b[^<>]{0,1000}>.*?(?:</\1\b[^<>]{0,100}>|\Z)"
)
_WORD = re.compile(r"[^\W\d_]{3,}")
_BREAKING_TAG = re.compile(r"(?i)</?(?:br|p|div|tr|li|h[1-6]|table|ul|ol|blockquote|hr)\b")
_HIDDEN = re.compile(
    r"(?i)display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all"
    r"|font-size\s*:\s*0+(?:\.0+)?(?:px|pt|em|rem|%)?\s*(?:[;!]|$)"
)
_NO_MARGIN = re.compile(r"(?i)(?:^|;)\s*margin(?:-bottom)?\s*:\s*0")
_INDENT_ONLY = re.compile(r"(?i)border(?:-left)?\s*:\s*(?:none|0)|margin-left\s*:\s*\.?\d*in")
_QUOTE_CLASS = re.compile(
    r"(?i)\b(?:x_)?(?:gmail_quote|gmail_extra_quote|cite|yahoo_quoted|iosymail|protonmail_quote|"
    r"tutanota_quote|moz-cite|mimestream_quote|zmail_extra)\b"
)
_ATTRIBUTION_CLASS = re.compile(r"(?i)\b(?:x_)?(?:gmail_attr|moz-cite-prefix)\b")
_WHOLE_QUOTE_CLASS = re.compile(r"(?i)\byahoo_quoted\b")
_SIGNATURE = re.compile(
    r"(?i)^(?:x_)*(?:gmail_signature|moz-signature|signature|applemailsignature|mail_signature|"
    r"ms-outlook-mobile-signature|protonmail_signature_block|tutanota_signature|"
    r"mobile_signature|signature_block)$"
)
_ATTRIBUTION_END = re.compile(r"(?:[:：]|>|wrote|\d)\s*$")


@dataclass(slots=True)
class Rendered:
    """Text of an HTML part. ``signature_lines`` are line numbers in a signature's own element."""

    text: str
    signature_lines: frozenset[int] = frozenset()
    defects: tuple[str, ...] = ()


def to_text(html: str) -> Rendered:
    """Readable text of *html*; never raises, and takes time linear in its length.

    HTML beyond the limits, which would cost a parser minutes, is stripped of its tags instead, and
    with them of all that tells quoted and hidden words from others. Pictures within do not count.
    """
    html = lightened(html)
    if beyond := beyond_limits(html):
        return Rendered(_stripped(html), defects=(beyond,))
    from selectolax.lexbor import LexborHTMLParser

    body = LexborHTMLParser(html.replace("\0", "")).body
    if body is None:
        return Rendered(_stripped(html))
    writer = _Writer()
    _walk(body, writer)
    rendered = writer.rendered()
    if _is_broken(html) and _swallows(html, rendered.text):
        rendered.defects = tuple(dict.fromkeys([*rendered.defects, "hidden_text"]))
    return rendered


def beyond_limits(html: str) -> str:
    """Which limit *html* is beyond, as a code of ``CAUSES``; "" where parsers take it in time."""
    if len(html) > MAX_HTML_BYTES:
        return "html_too_large"
    return "html_too_deep" if _depth(html) > MAX_HTML_DEPTH else ""


#: Of a file that stands in the HTML itself; the words are elsewhere.
_PICTURE = re.compile(r"data:[\w.+/-]{0,60};base64,[\w+/=%]+")


def lightened(html: str) -> str:
    """*html* without the bytes of such files, where it would be too large with them."""
    return _PICTURE.sub("data:", html) if len(html) > MAX_HTML_BYTES else html


def _is_broken(html: str) -> bool:
    return html.count('"') % 2 == 1 or html.count("<") != html.count(">")


def _swallows(html: str, text: str) -> bool:
    """Whether a tag or a quotation mark that is never closed has swallowed words."""
    words = set(_WORD.findall(glance(html).lower()))
    return not words <= set(_WORD.findall(text.lower()))


def glance(html: str) -> str:
    """The words of *html*, without paragraphs or quotes: enough to compare, and quick."""
    return unescape(_ANY_TAG.sub(" ", _NO_TEXT.sub(" ", html[:MAX_HTML_BYTES])))


def _depth(html: str) -> int:
    """How deep elements can nest at most. An end tag that closes nothing does not count."""
    opened: dict[str, int] = {}
    depth = deepest = 0
    for closing, tag in _TAG.findall(html):
        name = tag.lower()
        if name in _VOID or name in _OPTIONAL_END:
            continue
        if not closing:
            opened[name] = opened.get(name, 0) + 1
            depth += 1
            deepest = max(deepest, depth)
        elif opened.get(name):
            opened[name] -= 1
            depth -= 1
    return deepest


def _stripped(html: str) -> str:
    broken = _BREAKING_TAG.sub(lambda m: "\n" + m[0], html)
    return unescape(_ANY_TAG.sub("", broken))


@dataclass(slots=True)
class _Writer:
    lines: list[tuple[int, str]] = field(default_factory=list)
    current: list[str] = field(default_factory=list)
    signature: set[int] = field(default_factory=set)
    defects: list[str] = field(default_factory=list)
    quote_depth: int = 0
    signature_depth: int = 0
    preformatted: int = 0
    wants_gap: bool = False
    has_space: bool = False

    def write(self, text: str) -> None:
        if self.preformatted:
            first, *rest = text.split("\n")
            self.put(first)
            for line in rest:
                self.end_line()
                self.put(line)
            return
        words = text.replace("\u00a0", " ").split() if "\u00a0" in text else text.split()
        if not words:
            self.has_space = bool(self.current) or "\u00a0" in text
            if "\u00a0" in text and not self.current:
                self.current.append("")  # a paragraph of one hard space is an empty line
            return
        if self.current and (self.has_space or text[0].isspace()):
            self.current.append(" ")
        self.put(" ".join(words))
        self.has_space = text[-1].isspace()

    def put(self, text: str) -> None:
        if self.wants_gap and not self.current and text:
            self.wants_gap = False
            if self.lines and self.lines[-1][1]:
                self.lines.append((min(self.quote_depth, self.lines[-1][0]), ""))
        self.current.append(text)

    def end_line(self) -> None:
        if self.signature_depth:
            self.signature.add(len(self.lines))
        self.lines.append((self.quote_depth, "".join(self.current).rstrip()))
        self.current.clear()
        self.has_space = False

    def new_block(self, *, spaced: bool = False) -> None:
        if self.current:
            self.end_line()
        self.has_space = False
        self.wants_gap = self.wants_gap or spaced

    def rendered(self) -> Rendered:
        self.new_block()
        prefixed = [
            (">" * depth + " " + line if line else ">" * depth) if depth else line
            for depth, line in self.lines
        ]
        defects = tuple(dict.fromkeys(self.defects))
        return Rendered("\n".join(prefixed), frozenset(self.signature), defects)


def _walk(body: LexborNode, writer: _Writer) -> None:
    """Depth first without recursion; every element entered is left again."""
    open_effects: list[tuple[LexborNode, _Effect]] = []
    node: LexborNode | None = body.child
    while node is not None:
        tag = node.tag or ""
        descends = False
        if tag == "-text":
            writer.write(node.text_content or "")
        elif tag in _UNSEEN:
            if tag in _SAYS_SOMETHING and (node.text() or "").strip():
                writer.defects.append("hidden_text")
        else:
            effect = _enter(node, tag, writer)
            if effect is not None and node.child is not None:
                open_effects.append((node, effect))
                descends = True
            elif effect is not None:
                _leave(effect, writer)
        if descends:
            node = node.child
            continue
        while node is not None and node.next is None:
            node = open_effects[-1][0] if open_effects else None
            if open_effects:
                _leave(open_effects.pop()[1], writer)
        node = node.next if node is not None else None


@dataclass(slots=True)
class _Effect:
    tag: str
    spaced: bool = False
    quotes: int = 0
    signs: int = 0


def _enter(node: LexborNode, tag: str, writer: _Writer) -> _Effect | None:
    """Begin an element; None where nothing in it is seen."""
    if tag == "br":
        writer.end_line()
        return None
    effect = _Effect(tag)
    attributes = node.attributes if tag in _ATTRIBUTED or tag in _BLOCKS else _NONE
    if attributes:
        style = attributes.get("style") or ""
        if style and _HIDDEN.search(style):
            if (node.text() or "").strip():
                writer.defects.append("hidden_text")
            return None
        marks = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
        if marks != " " and tag in _CONTAINERS:
            effect.signs = int(any(_SIGNATURE.match(mark) for mark in marks.split()))
            if _ATTRIBUTION_CLASS.search(marks) or _WHOLE_QUOTE_CLASS.search(marks):
                effect.quotes = 1
        if tag == "p":
            effect.spaced = not ("Mso" in marks or _NO_MARGIN.search(style))
    if tag == "img":
        _write_image(attributes, writer)
        return None
    if tag in _BLOCKS:
        _begin_block(node, tag, effect, writer)
    return effect


_NONE: dict[str, str | None] = {}
_ATTRIBUTED = frozenset(("span", "img", "font", "a"))
_CONTAINERS = frozenset(("div", "span", "p", "table", "section", "td", "pre"))


def _begin_block(node: LexborNode, tag: str, effect: _Effect, writer: _Writer) -> None:
    if tag in {"td", "th"}:
        if writer.current and writer.current[-1] != "\t":
            writer.current.append("\t")
        writer.has_space = False
        return
    if (tag in _SPACED and tag != "p") or (tag == "p" and not node.attributes):
        effect.spaced = True
    writer.new_block(spaced=effect.spaced)
    if tag == "blockquote":
        effect.quotes += _is_quote(node, writer)
    elif tag == "li":
        writer.put(_bullet(node))
    elif tag == "hr":
        writer.put(_RULE)
    elif tag == "pre":
        writer.preformatted += 1
    writer.quote_depth += effect.quotes
    writer.signature_depth += effect.signs


def _leave(effect: _Effect, writer: _Writer) -> None:
    if effect.tag not in _BLOCKS:
        return
    if effect.tag in {"td", "th"}:
        writer.has_space = False
        return
    writer.new_block(spaced=effect.spaced)
    if effect.tag == "pre":
        writer.preformatted -= 1
    writer.quote_depth -= effect.quotes
    writer.signature_depth -= effect.signs


def _is_quote(node: LexborNode, writer: _Writer) -> int:
    """Whether a blockquote quotes another message, or is only how a line was indented.

    What nothing marks as a quote stays the sender's own words, and the doubt is recorded.
    """
    attributes = node.attributes
    if attributes.get("type") == "cite" or "cite" in attributes:
        return 1
    style = attributes.get("style") or ""
    if _QUOTE_CLASS.search(attributes.get("class") or ""):
        return 1
    if _INDENT_ONLY.search(style):
        return 0
    if "border-left" in style or writer.quote_depth:
        return 1
    above = next((line for _, line in reversed(writer.lines) if line), "")
    if _ATTRIBUTION_END.search(above) and re.search(r"\d", above):
        return 1
    writer.defects.append("quote_doubtful")
    return 0


def _bullet(node: LexborNode) -> str:
    parent = node.parent
    if parent is None or parent.tag != "ol":
        return "- "
    number, before = 1, node.prev
    while before is not None and number < 100:
        number += before.tag == "li"
        before = before.prev
    return f"{number}. "


def _write_image(attributes: dict[str, str | None], writer: _Writer) -> None:
    """Emoji that webmail sends as pictures are words; other pictures say nothing."""
    text = attributes.get("alt") or ""
    if text and len(text) <= 8 and not text.isascii():
        writer.write(text)
