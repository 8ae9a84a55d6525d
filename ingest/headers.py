"""Header fields read by accessors that never raise: text, ids, dates, addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime

from ingest import charset

_MAX_VALUE = 65_536  # characters of one field that are looked at
_MAX_REFERENCES = 100
_ID = re.compile(r"<[^<>\s]{1,990}>")
_EARLIEST = datetime(1985, 1, 1, tzinfo=UTC)
_COMMENT = re.compile(r"\([^()]*\)")
_FRACTION = re.compile(r"(?<=:\d\d)\.\d{1,9}")
_ISO_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?(?:\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?"
)
_ADDR_SPEC = re.compile(r"[^\s<>()\[\]\\,;:\"@]{1,64}@[A-Za-z0-9\u0080-\U0010ffff.-]{1,253}")


class Headers:
    """The top header block: raw values by lower-case name, in order, topmost first."""

    def __init__(self, message: Message) -> None:
        self._values: dict[str, list[str]] = {}
        self.ordered: list[tuple[str, str]] = []  # (lower-case name, raw value), topmost first
        self.defects: list[str] = []
        for name, value in message.raw_items():
            text = str(value)
            if len(text) > _MAX_VALUE:
                text = text[:_MAX_VALUE]
                self.defects.append("header_cut")
            self._values.setdefault(name.lower(), []).append(text)
            self.ordered.append((name.lower(), text))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def names(self) -> Iterable[str]:
        return self._values.keys()

    def raw(self, name: str) -> list[str]:
        """Every value of *name* as stored, topmost first."""
        return self._values.get(name, [])

    def text(self, name: str) -> str:
        """The topmost value of *name*: decoded, on one line, safe to store; "" when absent."""
        values = self._values.get(name)
        if not values:
            return ""
        decoded, repairs = charset.decode_header(values[0])
        line, cleaned = charset.clean_line(decoded)
        self.defects += repairs + cleaned
        return line

    def plain(self, name: str) -> str:
        """The topmost value of *name* for matching: unfolded, lower case, not decoded."""
        values = self._values.get(name)
        return charset.unfold(values[0]).lower() if values else ""

    def ids(self, *names: str) -> tuple[str, ...]:
        """Message ids in those fields, "<…>" each, in order, without repeats."""
        found: dict[str, None] = {}
        for name in names:
            for value in self._values.get(name, ()):
                line = charset.clean_line(value)[0]
                marked = _ID.findall(line)
                bare = [f"<{word}>" for word in line.split() if "@" in word] if not marked else []
                found.update(dict.fromkeys(marked or bare))
        return tuple(found)[-_MAX_REFERENCES:]


def sent_at(headers: Headers, received_at: datetime) -> datetime:
    """When the sender says it was sent, in UTC; else when a server, else when we received it.

    A zone-less date is read as UTC. Each fallback is a defect; the date is a claim, not evidence.
    """
    values = headers.raw("date")
    stated = _date(values[0]) if values else None
    if stated is not None:
        moment, has_zone = stated
        if not has_zone:
            headers.defects.append("date_without_zone")
        if moment > received_at + timedelta(days=1):
            headers.defects.append("date_in_future")
        return moment
    headers.defects.append("date_unreadable" if values else "date_missing")
    for trace in headers.raw("received"):
        dated = _date(trace.rpartition(";")[2])
        if dated is not None:
            headers.defects.append("date_from_trace")
            return dated[0]
    return received_at.astimezone(UTC)


def _date(value: str) -> tuple[datetime, bool] | None:
    """(moment in UTC, whether it had a zone), or None for what is no date."""
    value = charset.unfold(value)[:200]
    for candidate in (value, _FRACTION.sub("", _COMMENT.sub(" ", value))):
        try:
            moment = parsedate_to_datetime(candidate)
        except (ValueError, OverflowError, TypeError, IndexError, AttributeError):
            continue
        has_zone = moment.tzinfo is not None or "-0000" in value
        return _plausible(moment if moment.tzinfo else moment.replace(tzinfo=UTC), has_zone)
    try:
        return _iso_date(value)
    except (ValueError, OverflowError):
        return None


def _plausible(moment: datetime, has_zone: bool) -> tuple[datetime, bool] | None:  # noqa: FBT001 - a pair
    try:
        return (moment.astimezone(UTC), has_zone) if moment >= _EARLIEST else None
    except OverflowError:
        return None


def _iso_date(value: str) -> tuple[datetime, bool] | None:
    found = _ISO_DATE.search(value)
    if found is None:
        return None
    moment = datetime.fromisoformat(
        "{}-{}-{}T{}:{}:{}".format(*found.groups(default="00")[:6])
    ).replace(tzinfo=UTC)
    zone = found[7]
    if zone and zone != "Z":
        shift = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        moment += shift if zone[0] == "-" else -shift
    return _plausible(moment, zone is not None)


def addresses(values: Iterable[str]) -> list[tuple[str, str]]:
    """(name, address) pairs as the standard library sees them; nothing it rejects.

    Newer ones reject the whole of a header that a stray line has come into; then its first line
    counts.
    """
    found = []
    for value in values:
        pairs = _pairs(charset.unfold(value)) or _pairs(value.split("\n", 1)[0])
        found += [(charset.decode_header(name)[0], spec) for name, spec in pairs]
    return found


def _pairs(value: str) -> list[tuple[str, str]]:
    try:
        return [(name, spec) for name, spec in getaddresses([value]) if "@" in spec]
    except (ValueError, IndexError, AttributeError, TypeError, RecursionError):
        return []


def addresses_inside(text: str) -> list[str]:
    """Anything in *text* that has the form of an address, lower case; no more than a hint."""
    return [spec.lower().rstrip(".") for spec in _ADDR_SPEC.findall(text[:_MAX_VALUE])]
