"""Webhooks of a live chat: whether one is genuine, and which conversation it tells of.

A webhook rings, and the conversation is retrieved from the API: there is one way in which words
come in, and a webhook that is lost costs time and no message, for the next run finds the same. Its
body is not stored.

Source: Intercom's "Signed notifications": ``X-Hub-Signature: sha1=`` and the HMAC-SHA1 of the body
under the app's client secret, in hexadecimal; and its webhook topics.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

from ingest import livechat

#: Of a body: conversations of 500 parts. Who receives it refuses more unread.
MAX_BYTES: Final = 5 * 1024 * 1024
#: The topics upon which a conversation holds words of somebody outside that we have not read. All
#: others, such as what the team says, assigns or closes, are taken and change nothing.
TOPICS: Final = frozenset({"conversation.user.created", "conversation.user.replied"})
_SIGNATURE: Final = re.compile(r"sha1=([0-9a-f]{40})", re.ASCII)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


class GarbledWebhookError(Exception):
    """What was signed is none of the notifications that are described."""


def may_be_signed(signature: str) -> bool:
    """Whether *signature* has the form of one; before anything else is read."""
    return _SIGNATURE.fullmatch(signature) is not None


def is_genuine(body: bytes, signature: str, secrets: Sequence[str]) -> bool:
    """Whether *signature*, the header's value, was made over *body* with one of *secrets*.

    Several secrets are for changing them. Takes the same time wherever the signature differs.
    """
    stated = _SIGNATURE.fullmatch(signature)
    if stated is None:
        return False
    made = [hmac.new(secret.encode(), body, hashlib.sha1).hexdigest() for secret in secrets]
    return any([hmac.compare_digest(one, stated[1]) for one in made])  # noqa: C419 - asks all


def told_of(body: bytes) -> int | None:
    """The conversation that a genuine webhook asks us to look at, None for one that does not.

    The same for every repetition of it; asking again for what is known does no harm.

    Raises:
        GarbledWebhookError: It is no notification.

    """
    try:
        value = livechat.loads(body)
    except ValueError:
        raise GarbledWebhookError("no JSON") from None
    if not isinstance(value, Mapping) or not isinstance(value.get("topic"), str):
        raise GarbledWebhookError("no notification")
    if value["topic"] not in TOPICS:
        return None
    data = value.get("data")
    item = data.get("item") if isinstance(data, Mapping) else None
    number = str(item.get("id")) if isinstance(item, Mapping) else ""
    return int(number) if _NUMBER.fullmatch(number) else None
