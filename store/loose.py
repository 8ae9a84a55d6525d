"""Bytes of mails that no message was made of: just fetched, or in quarantine."""

from __future__ import annotations

import email
from collections.abc import Iterator
from contextlib import suppress

from sqlalchemy import Connection, exists, select

from store.blanking import Words
from store.errors import SealBrokenError
from store.raws import content_of
from store.schema import messages, raws
from store.sealing import ring_of


def loose_raws(connection: Connection, words: Words) -> Iterator[str]:
    """The digests of those in which any of *words* stands, as far as a look inside can tell."""
    ring = ring_of(connection.dialect)
    read = exists().where(messages.c.digest == raws.c.digest)
    for digest in list(connection.scalars(select(raws.c.digest).where(~read))):
        row = connection.execute(select(raws).where(raws.c.digest == digest)).one_or_none()
        with suppress(SealBrokenError):  # nobody can read it, ourselves included
            if row is not None and words.within(readable(content_of(row, ring))):
                yield digest


def readable(content: bytes) -> str:
    """All that may be text in a mail, decoded as far as that goes without reading it properly."""
    found = [content.decode("utf-8", "replace")]
    # What could not be read may break any reader: what it gives out until then is taken.
    with suppress(Exception):
        for part in email.message_from_bytes(content).walk():
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                found.append(payload.decode("utf-8", "replace"))
    return "\n".join(found)
