"""Webhooks of a live chat: whether one is genuine, and which messages it tells of.

A webhook rings, and what it tells of is fetched from the API (``ConversationApi.fetch``): there is
one way in which words come in, and a webhook that is lost costs time and no message, for the next
run finds the same. Its body is not stored.

Source: Intercom's "Signed notifications": ``X-Hub-Signature: sha1=`` and the HMAC-SHA1 of the body
under the app's client secret, in hexadecimal.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

from ingest import livechat
from ingest.sources import Known
from triage.records import MessageKey

MAX_BYTES: Final = 5 * 1024 * 1024  # of a body; who receives it refuses more unread


class ForgedWebhookError(Exception):
    """The signature is not that of any of our secrets: nothing in it is to be believed."""


def is_genuine(body: bytes, signature: str, secrets: Sequence[str]) -> bool:
    """Whether *signature*, the header's value, was made over *body* with one of *secrets*.

    Several secrets are for changing them. Takes the same time wherever the signature differs.
    """
    stated = re.fullmatch(r"sha1=([0-9a-f]{40})", signature)
    if stated is None:
        return False
    made = [hmac.new(secret.encode(), body, hashlib.sha1).hexdigest() for secret in secrets]
    return any([hmac.compare_digest(one, stated[1]) for one in made])  # noqa: C419 - asks all


def told_of(
    body: bytes, signature: str, secrets: Sequence[str], *, source: str, known: Known
) -> tuple[MessageKey, ...]:
    """The messages that a webhook tells of and the caller's memory does not hold.

    *source* is the ``name`` of the workspace's source, whose ``fetch`` gives the messages. Nothing
    for a repetition, for what the team wrote, and for whatever is about no conversation. Intercom
    repeats what is not answered within seconds: answer first, then fetch.

    Raises:
        ForgedWebhookError: The signature is wrong, or there is no secret to check it with.

    """
    if not is_genuine(body, signature, secrets):
        raise ForgedWebhookError("the signature of a live-chat webhook is wrong")
    try:
        value = livechat.loads(body)
    except ValueError:
        return ()
    data = value.get("data") if isinstance(value, Mapping) else None
    item = data.get("item") if isinstance(data, Mapping) else None
    if not isinstance(item, Mapping) or item.get("type") != "conversation":
        return ()
    told = [raw.key for raw in livechat.messages_in(item, source) if raw.key.uidvalidity]
    stored = known(told)
    return tuple(key for key in dict.fromkeys(told) if key not in stored)
