"""Pictures that a mail brings along for its own HTML, as addresses that need no loading."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.message import Message
from typing import Final

from ingest import attachments

#: First bytes of what browsers show as dots alone. SVG is a document, whatever its label says.
_RASTER: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_MOST_BYTES: Final = 4 * 2**20  # of all pictures of a mail together


@dataclass(frozen=True, slots=True)
class HtmlForm:
    """The HTML of a message as it was sent, and its own pictures by what the HTML calls them."""

    source: str = ""
    pictures: dict[str, str] = field(default_factory=dict)  # Content-ID to data: address


def brought_along(parts: Iterable[Message | bytes]) -> dict[str, str]:
    """``data:`` addresses by Content-ID, as far as there is room; dots alone, by their bytes."""
    found: dict[str, str] = {}
    room = _MOST_BYTES
    for part in parts:
        name = "" if isinstance(part, bytes) else str(part.get("content-id", "")).strip(" <>\t\r\n")
        if not name or name in found:
            continue
        content = attachments.content_of(part)
        kind = next((kind for magic, kind in _RASTER if content.startswith(magic)), "")
        if kind and len(content) <= room:
            room -= len(content)
            found[name] = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return found
