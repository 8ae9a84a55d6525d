"""New text apart from quoted text and signature."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_ATTRIBUTION = re.compile(r"(?m)^(?:On\b.{5,200}\bwrote:|-{2,} ?Original Message ?-{2,})\s*$")


@dataclass(frozen=True, slots=True)
class Split:
    """A text in three. When in doubt text is new, and the doubt is among ``defects``."""

    new_text: str
    quoted_text: str
    signature: str
    defects: tuple[str, ...] = ()


def split(text: str, *, sender: str = "", signature_lines: Collection[int] = ()) -> Split:
    """*text* apart: what its sender wrote, what they quoted, and how they signed."""
    cut = _ATTRIBUTION.search(text)
    top, quoted = (text[: cut.start()], text[cut.start() :]) if cut else (text, "")
    body, _, signature = top.partition("\n-- \n")
    return Split(body.strip(), quoted.strip(), signature.strip())
