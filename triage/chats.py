"""Where a live chat is answered: a part's Message-ID names its conversation and itself."""

from __future__ import annotations

import re
from typing import Final

#: RFC 2606: nobody's domain, so no mail carries it by itself.
DOMAIN: Final = "livechat.invalid"
_PART: Final = re.compile(
    rf"<([\w.-]{{1,80}})\.([1-9][0-9]{{0,17}})@{re.escape(DOMAIN)}>", re.ASCII
)


def root_id(conversation: str) -> str:
    """The Message-ID that stands for a whole conversation."""
    return f"<{conversation}@{DOMAIN}>"


def message_id(conversation: str, part: str) -> str:
    """The Message-ID of one part."""
    return f"<{part}.{conversation}@{DOMAIN}>"


def place_of(message_id: str) -> tuple[int, str] | None:
    """Conversation and part that a Message-ID names; None for one that nobody could ask for.

    A mail may carry such an id as well: only where the channel is known to be a chat is it one.
    """
    found = _PART.fullmatch(message_id)
    return (int(found[2]), found[1]) if found else None
