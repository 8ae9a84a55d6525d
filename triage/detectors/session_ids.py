"""Session ids as people write them."""

from __future__ import annotations

import re

from triage.detectors.mention import Mention
from triage.language import Reading

_CANONICAL = re.compile(r"\bHT[-\s_.:#]{0,3}(\d(?:[ \n-]?\d){5})(?![\d])", re.IGNORECASE)


def session_ids(reading: Reading) -> tuple[Mention, ...]:
    """The session ids of the message; first version."""
    found = []
    for part in ("subject", "new_text"):
        for m in _CANONICAL.finditer(reading.folded[part].text):  # type: ignore[index]
            value = "HT-" + re.sub(r"\D", "", m[1])
            span = reading.span(part, m.start(), m.end())  # type: ignore[arg-type]
            at = reading.sentence_at(part, m.start())  # type: ignore[arg-type]
            found.append(Mention("session_ids", value, span, at, "session_ids"))
    return tuple(found)
