"""What is left of hostile HTML, told by two parsers that are not the sanitiser's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hostile.mutating import mutants
from hostile.vectors import vectors
from selectolax.lexbor import LexborHTMLParser

from ingest.parsing import html_form
from review.web.sanitised import sanitised
from triage.records import MessageKey, RawMessage

_ALLOWED = (
    "abbr b blockquote br caption code dd del div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins li ol p "
    "pre q s small span strong sub sup table tbody td tfoot th thead tr u ul html head body"
)
ELEMENTS = frozenset(_ALLOWED.split())
NOW = datetime(2026, 11, 22, tzinfo=UTC)
ATTRIBUTES = {"colspan", "rowspan", "src", "alt"}


class _Names(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str, str]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {(tag, "", "")} | {(tag, name, value or "") for name, value in attrs}

    def handle_comment(self, data: str) -> None:
        self.found.add(("a comment", "", data))


def seen_by_python(html: str) -> set[tuple[str, str, str]]:
    names = _Names()
    names.feed(html)
    names.close()
    return names.found


def seen_by_lexbor(html: str) -> set[tuple[str, str, str]]:
    nodes = LexborHTMLParser(html).css("*")
    return {(str(node.tag), "", "") for node in nodes} | {
        (str(node.tag), name, value or "")
        for node in nodes
        for name, value in node.attributes.items()
    }


def hostile() -> Iterator[str]:
    yield from (one.html for one in vectors() if len(one.html) < 20_000)
    for mail in mutants(11, 1_500):
        raw = mail.raw(lambda text: text)
        key = MessageKey("x", "", 1, 1)
        yield html_form(RawMessage(key, NOW, "", raw)).source


@pytest.mark.parametrize("outside", [False, True])
def test_only_what_is_allowed_is_left_of_hostile_html(*, outside: bool) -> None:
    for html in hostile():
        left = sanitised(html.replace("@U@", "https://c1.evil.test/p"), outside=outside)

        for tag, name, value in seen_by_python(left) | seen_by_lexbor(left):
            assert tag in ELEMENTS, (tag, left)
            assert not name or name in ATTRIBUTES, (name, left)
            assert name != "src" or (outside and value.startswith("https://")), left
