"""HTML from strangers, made harmless: a short list of elements, no attribute that reaches out."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from ingest.pictures import HtmlForm

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
#: "*" is named because nh3 has attributes of its own for all elements where it is not.
_ATTRIBUTES: Final = {"*": set[str](), "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}}

#: A public host by name: no address in numbers, nothing of the reader's own network.
_OUTSIDE: Final = re.compile(
    r"https://(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]+(?::\d{1,5})?(?:[/?#][!-~]{0,2000})?", re.IGNORECASE
)
#: Dots alone: SVG is a document.
_INLINE: Final = re.compile(r"data:image/(?:png|jpeg|gif);base64,[A-Za-z0-9+/=]+")

_MOST_WITH_PICTURES: Final = 6 * 2**20

_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:12px;overflow-wrap:anywhere}"
    "table{border-collapse:collapse}td,th{padding:2px 6px;vertical-align:top}"
    "blockquote{margin:0 0 0 8px;padding-left:10px;border-left:3px solid #999}"
    "img{max-width:100%;height:auto}"
)
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">
<title>Message</title>
<style>{style}</style>
</head><body>{body}</body></html>
"""


def frame_policy(*, outside: bool = False) -> str:
    """The CSP of a frame's document, with pictures from *outside* or without.

    It has no script, no origin and no style but ours, whatever is in it.
    """
    return (
        f"{_loads(outside=outside)}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'; sandbox"
    )


def _loads(*, outside: bool) -> str:
    ours = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    pictures = "https: data:" if outside else "data:"
    return f"default-src 'none'; style-src 'sha256-{ours}'; img-src {pictures}"


def sanitised(
    source: str, pictures: Mapping[str, str] | None = None, *, outside: bool = False
) -> str:
    """*source* with nothing left in it that runs, loads, links, submits or hides.

    Styles go too: what a sender hid shows. Links lose their address and keep their words. Pictures
    stay where they are in *pictures*, by Content-ID, or in the mail's own HTML, or, if asked for,
    at an https address *outside*.
    """
    import nh3

    brought = pictures or {}
    # One list for all mail where there is none to show: then an element less can be wrong.
    shows = outside or bool(brought) or "data:image/" in source
    return nh3.clean(
        source,
        tags={*_ELEMENTS, "img"} if shows else set(_ELEMENTS),
        clean_content_tags=set(_GONE_WITH_CONTENT),
        attributes={
            **{name: set(allowed) for name, allowed in _ATTRIBUTES.items()},
            **({"img": {"src", "alt"}} if shows else {}),
        },
        attribute_filter=partial(_kept, brought, outside=outside),
        url_schemes={"https", "cid", "data"} if shows else set(),
        strip_comments=True,
        link_rel=None,
    )


def _kept(
    brought: Mapping[str, str], element: str, attribute: str, value: str, *, outside: bool
) -> str | None:
    """The value that an attribute keeps, None for none."""
    if (element, attribute) != ("img", "src"):
        return value
    if value[:4].lower() == "cid:":
        return brought.get(unquote(value[4:]))
    fits = _INLINE.fullmatch(value) or (outside and _OUTSIDE.fullmatch(value))
    return value if fits else None


def body_of(form: HtmlForm, *, outside: bool = False) -> str:
    """What a frame shows of *form*: sanitised, or why not. For a worker, whatever it may cost."""
    from ingest.html import beyond_limits, lightened

    light = lightened(form.source)  # pictures in it count apart from its words
    if beyond_limits(light):
        return "<p>The HTML form is too long to be shown. Take the original instead.</p>"
    source = form.source if len(form.source) <= _MOST_WITH_PICTURES else light
    safe = sanitised(source, form.pictures, outside=outside)
    return safe or "<p>This message has no HTML form.</p>"


def framed(body: str, *, outside: bool = False) -> str:
    """A whole document around *body*, which is ``body_of`` a mail, under ``frame_policy``."""
    return _PAGE.format(policy=_loads(outside=outside), style=_STYLE, body=body)
