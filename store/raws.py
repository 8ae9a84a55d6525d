"""The bytes of mails as served: packed, and sealed where the database has a key."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from store.columns import AnyRow
from store.errors import SealBrokenError
from store.sealing import KeyRing
from triage.records import RawMessage

#: zlib's fastest: mail shrinks to a third, and the disk is waited for longer than the processor.
_COMPRESSION: Final = 1
_PACKED: Final = "zlib"
_NAME: Final = "raws.content"


def packed_row(raw: RawMessage, now: datetime) -> dict[str, Any]:
    """The row of ``raws`` for *raw*, not sealed yet."""
    return {
        "digest": raw.digest,
        "received_at": raw.received_at,
        "kept_at": now,
        "size": len(raw.content),
        "codec": _PACKED,
        "content": zlib.compress(raw.content, _COMPRESSION),
    }


def sealed_rows(rows: Sequence[Mapping[str, Any]], ring: KeyRing | None) -> list[dict[str, Any]]:
    """Such rows as they are stored; in the transaction that stores them, which knows the key."""
    return [{**row, **sealed(row["digest"], row["content"], ring)} for row in rows]


def sealed(digest: str, packed: bytes, ring: KeyRing | None) -> dict[str, Any]:
    """``codec`` and ``content`` of what is packed: how, and by which key it is sealed."""
    if ring is None or not ring.writing:
        return {"codec": _PACKED, "content": packed}
    key_id, content = ring.seal(_NAME, digest, packed)
    return {"codec": codec_of(key_id), "content": content}


def codec_of(key_id: str) -> str:
    """``codec`` of what is sealed with that key; with "", of what is plain."""
    return f"{_PACKED}+{key_id}" if key_id else _PACKED


def packed_in(row: AnyRow, ring: KeyRing | None) -> bytes:
    """What a row (``digest``, ``codec``, ``content``) holds, packed still.

    Raises:
        SealBrokenError: It was changed, was moved, or its key is missing.

    """
    _, _, key_id = row.codec.partition("+")
    if not key_id:
        if ring is None or ring.takes_plain:
            return bytes(row.content)
        raise SealBrokenError(_NAME, row.digest, "it was never sealed")
    if ring is None:
        raise SealBrokenError(_NAME, row.digest, f"there is no key {key_id}")
    return ring.open(key_id, _NAME, row.digest, row.content)


def content_of(row: AnyRow, ring: KeyRing | None) -> bytes:
    """The bytes as served, of such a row."""
    return zlib.decompress(packed_in(row, ring))
