"""HTML from strangers, made harmless: a short list of elements, no attribute that reaches out."""

from __future__ import annotations

from typing import Final

#: For a frame's own document. It has no script, no origin, and loads nothing, whatever is in it.
FRAME_CSP: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)

_ELEMENTS: Final = frozenset(
    (
        "abbr", "b", "blockquote", "br", "caption", "code", "dd", "del", "div", "dl", "dt", "em",
        "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "ins", "li", "ol", "p", "pre", "q", "s",
        "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead",
        "tr", "u", "ul",
    )
)  # fmt: skip
_GONE_WITH_CONTENT: Final = frozenset(
    (
        "script", "style", "title", "template", "noscript", "iframe", "object", "embed", "svg",
        "math", "select", "textarea", "audio", "video", "canvas", "applet", "frameset", "noembed",
        "noframes", "plaintext", "xmp",
    )
)  # fmt: skip
_ATTRIBUTES: Final = {"td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}}

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">
<title>Message</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;margin:12px;overflow-wrap:anywhere}}
table{{border-collapse:collapse}}td,th{{padding:2px 6px;vertical-align:top}}
blockquote{{margin:0 0 0 8px;padding-left:10px;border-left:3px solid #999}}</style>
</head><body>{body}</body></html>
"""


def sanitised(source: str) -> str:
    """*source* with nothing left in it that runs, loads, links, submits or hides.

    Styles go too: what a sender hid shows. Links lose their address and keep their words.
    """
    import nh3

    return nh3.clean(
        source,
        tags=set(_ELEMENTS),
        clean_content_tags=set(_GONE_WITH_CONTENT),
        attributes={name: set(allowed) for name, allowed in _ATTRIBUTES.items()},
        url_schemes=set(),
        strip_comments=True,
        link_rel=None,
    )


def framed(source: str) -> str:
    """A whole document with *source* sanitised in it, for a frame under ``FRAME_CSP``."""
    return _PAGE.format(body=sanitised(source) or "<p>This message has no HTML form.</p>")
