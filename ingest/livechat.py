"""Live chat taken apart: one conversation, as Intercom describes it, to one raw message per part.

A part that somebody outside wrote becomes a message; what the team or a bot wrote stands in it as
what came before. The bytes kept are the part's own fields and what it answers, in one fixed form:
the same part is the same bytes whether an export, the API or both brought it. What changes without
anybody writing (read marks, assignments, tags) is left out, and so are the addresses of files,
which are keys that expire.

Source: Intercom API 2.15, schemas ``conversation``, ``conversation_part``, ``conversation_source``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from triage.records import MessageKey, RawMessage

SCHEMES: Final = ("livechat", "livechat+https", "livechat+http")
#: Who writes for the platform. Anybody else is outside, known or not, so that no words are lost.
OURS: Final = frozenset({"admin", "bot", "operator", "system", "team", "workflow"})
_PART: Final = ("id", "part_type", "body", "created_at", "app_package_code")
_AUTHOR: Final = ("type", "id", "name", "email", "from_ai_agent")
_FILE: Final = ("name", "content_type", "filesize")
_BEFORE_PARTS: Final = 40
_BEFORE_CHARACTERS: Final = 40_000
_LATEST: Final = 253_402_300_799  # the last second of the year 9999

JSON = Mapping[str, Any]


def is_chat(source: str) -> bool:
    """Whether messages of the source of this name are parts of conversations."""
    return source.partition(":")[0] in SCHEMES


def loads(content: bytes) -> Any:  # noqa: ANN401 - JSON
    """The JSON value in *content*; ``ValueError`` for whatever is none, however it is made."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def compact(value: object) -> bytes:
    """*value* in the one form in which it is kept and compared."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def messages_in(
    conversation: object, source: str, *, identity_off: bool = False
) -> list[RawMessage]:
    """What people outside wrote in *conversation*, in order of writing.

    A part that has been deleted or says nothing gives nothing. What is no conversation at all is
    handed over whole, to be set aside by whoever parses it. *identity_off*: the workspace itself
    says that it does not verify who its users are.
    """
    if not isinstance(conversation, Mapping) or not isinstance(conversation.get("source"), Mapping):
        return [_raw(MessageKey(source, "", 0, number(compact(conversation))), None, conversation)]
    found = list(parts_of(conversation))
    about = _about(conversation, identity_off=identity_off)
    conversation_number = numbered(conversation.get("id"))
    messages = []
    for place, part in enumerate(found):
        if is_message(part):
            envelope = {
                "conversation": about,
                "part": _kept(part, conversation),
                "before": _before(found[:place]),
            }
            key = MessageKey(source, "", conversation_number, uid_of(part))
            messages.append(_raw(key, _moment(part, conversation), envelope))
    return messages


def untouched(key: MessageKey, content: bytes) -> RawMessage:
    """Bytes that are no conversation, kept as they came."""
    return RawMessage(key, datetime.now(UTC), hashlib.sha256(content).hexdigest(), content)


def number(name: bytes) -> int:
    """63 bits of SHA-256: fits every database's integers, and two alike are not to be feared."""
    return int.from_bytes(hashlib.sha256(name).digest()[:8]) >> 1


def numbered(conversation_id: object) -> int:
    """A conversation's id as a number: itself where it is one, so that it can be asked for."""
    text = str(conversation_id)
    if text.isascii() and text.isdigit() and int(text[:19]) > 0 and len(text) < 19:
        return int(text)
    return number(text.encode("utf-8", "surrogatepass"))


def moment(value: object) -> datetime | None:
    """A time as the API writes it, seconds since 1970."""
    is_time = isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LATEST
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) and is_time else None


def listed(value: object, key: str) -> Sequence[Any]:
    """The list that *value* holds under *key*; empty where there is none."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, list) else ()


def author_of(part: object) -> JSON:
    author = part.get("author") if isinstance(part, Mapping) else None
    return author if isinstance(author, Mapping) else {}


def is_ours(part: object) -> bool:
    """Whether the team or one of its machines wrote *part*."""
    author = author_of(part)
    return author.get("type") in OURS or bool(author.get("from_ai_agent"))


def is_cut(conversation: JSON) -> bool:
    """Whether earlier parts are left out: the API gives the last 500."""
    parts = conversation.get("conversation_parts")
    total = parts.get("total_count") if isinstance(parts, Mapping) else None
    return isinstance(total, int) and total > len(listed(parts, "conversation_parts"))


def parts_of(conversation: JSON) -> Iterator[Any]:
    """The first message and all later parts, in the order of writing."""
    source = conversation["source"]
    # Its own number comes from another series than those of the parts.
    yield {
        **source,
        "id": f"source-{source.get('id')}",
        "created_at": conversation.get("created_at"),
        "part_type": "comment",
    }
    later = listed(conversation.get("conversation_parts"), "conversation_parts")
    in_order = [(_seconds(part), place, part) for place, part in enumerate(later)]
    yield from (part for _, _, part in sorted(in_order, key=lambda entry: entry[:2]))


def _seconds(part: object) -> int:
    when = moment(part.get("created_at")) if isinstance(part, Mapping) else None
    return int(when.timestamp()) if when else 0


def is_message(part: object) -> bool:
    """Whether somebody outside said something in *part*."""
    if not isinstance(part, Mapping):
        return True  # for a person to look at
    if part.get("redacted") is True or is_ours(part):
        return False
    body = part.get("body")
    return bool(body.strip() if isinstance(body, str) else body) or bool(
        listed(part, "attachments")
    )


def _about(conversation: JSON, *, identity_off: bool) -> dict[str, object]:
    source = conversation["source"]
    about = {
        "id": conversation.get("id"),
        "type": source.get("type"),
        "delivered_as": source.get("delivered_as"),
    }
    if is_cut(conversation):
        about["is_cut"] = True
    if identity_off:
        about["identity_off"] = True
    return about


def _kept(part: object, conversation: JSON) -> object:
    if not isinstance(part, Mapping):
        return part
    author = author_of(part)
    kept = _chosen(part, _PART) | {"author": _chosen(author, _AUTHOR)}
    kept["attachments"] = [
        _chosen(file, _FILE) if isinstance(file, Mapping) else file
        for file in listed(part, "attachments")
    ]
    by_mail = part.get("email_message_metadata")
    if isinstance(by_mail, Mapping):
        kept["email_message_metadata"] = {"message_id": by_mail.get("message_id")}
    for contact in listed(conversation.get("contacts"), "contacts"):
        if isinstance(contact, Mapping) and contact.get("id") == author.get("id"):
            kept["external_id"] = contact.get("external_id")
    return kept


def _chosen(value: JSON, names: Sequence[str]) -> dict[str, Any]:
    return {name: value[name] for name in names if value.get(name) is not None}


def _before(parts: Sequence[Any]) -> list[dict[str, Any]]:
    """What stood there already, the latest of it: never the team's notes, which no one else saw."""
    kept: list[dict[str, Any]] = []
    room = _BEFORE_CHARACTERS
    for part in reversed(parts):
        if not isinstance(part, Mapping) or part.get("part_type") == "note":
            continue
        body = part.get("body")
        if not isinstance(body, str) or not body.strip() or part.get("redacted") is True:
            continue
        room -= len(body)
        if room < 0 or len(kept) == _BEFORE_PARTS:
            break
        author = _chosen(author_of(part), ("type", "name"))
        kept.append(_chosen(part, ("id", "created_at", "body")) | {"author": author})
    return kept[::-1]


def _moment(part: object, conversation: JSON) -> datetime | None:
    own = moment(part.get("created_at")) if isinstance(part, Mapping) else None
    return own or moment(conversation.get("updated_at")) or moment(conversation.get("created_at"))


def uid_of(part: object) -> int:
    """What stands for *part* in a message's key."""
    name = part.get("id") if isinstance(part, Mapping) else None
    return number(compact(part) if name is None else str(name).encode("utf-8", "surrogatepass"))


def _raw(key: MessageKey, at: datetime | None, value: object) -> RawMessage:
    content = compact(value)
    return RawMessage(key, at or datetime.now(UTC), hashlib.sha256(content).hexdigest(), content)
