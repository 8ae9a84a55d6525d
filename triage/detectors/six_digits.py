"""Which six digits of a text are a session's number.

What looks alike (invoices, tickets, telephones, codes, amounts, longer numbers) is never taken.
Apart from what an id's mention means, as the two change for different reasons: here it is a day
or clock time written against the digits ("482913 14/5", "at 9 482913") that must not cost a
session its number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_DIGITS: Final = r"\d(?:(?:[ -]| {0,3}\n{1,2})?\d){5}(?!\d)"
#: "HT-204518", "ht 204 518", "HT no. 204518", "HT-\n204518".
_WITH_PREFIX = re.compile(
    rf"(?<![a-z0-9])h\.?t\.?(?:[ \n]?(?:no\.?|nr\.?|number|id))?[-\s_.:#/]{{0,4}}({_DIGITS})",
    re.IGNORECASE,
)
#: A link to a session, also one that its mail program broke in two.
_LINK = re.compile(
    r"/(?:sessions?|bookings?|appointments?)/\s?(?:HT-?)?(\d{6})(?!\d)", re.IGNORECASE
)
#: Six digits with nothing at all between them and a letter, a digit or a sign of money.
_BARE = re.compile(
    r"(?:(?<![\w£$€+])(?:#|nr\.?|no\.?)\s?|(?<![\w£$€+]))(\d{6}|\d{3}[ -]\d{3})(?![\w£$€%])",
    re.IGNORECASE,
)

_MONTH: Final = r"(?:jan|feb|mar|apr|may|june?\b|july?\b|aug|sep|oct|nov|dec)[a-z]{0,6}"
_CLOCK: Final = r"[012]?\d(?:[:.h][0-5]\d)?"
#: A day or clock time in figures that cannot be the rest of a longer number.
_WHEN: Final = (
    rf"(?:[0-3]?\d(?:st|nd|rd|th)\b|[0-3]?\d ?(?:of )?{_MONTH}(?: 20\d\d)?\b"
    r"|20\d\d-[01]\d-[0-3]\d\b|[0-3]?\d-[01]?\d-20\d\d\b"
    r"|[0-3]?\d/[01]?\d(?:/(?:20)?\d\d)?\b(?!/)|[0-3]?\d\.[01]?\d\.(?:(?:20)?\d\d\b|(?!\d))"
    rf"|(?:{_CLOCK} ?(?:-|to) ?)?{_CLOCK} ?(?:[ap]\.?m\b\.?|h(?:rs|ours)?\b|o'? ?clock)"
    r"|[012]?\d[:.h][0-5]\d\b(?![.,:/]\d)|(?:09|1\d|2[0-3])[0-5][05]\b(?![ -]\d))"
)
#: A day or hour in words, and names, which a stroke may tie to the digits.
_DAY_WORD: Final = (
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}|tom\w{4,6}|to(?:day|night)|noon|midday|half"
    r"|quarter|next|this|on|at|for|the)\b"
)
_TIED: Final = rf"(?:{_DAY_WORD}|{_MONTH} [0-3]?\d(?!\d)|{_WHEN})"
_AFTER = re.compile(
    rf"(?: ?[ /|@:;.,-] ?{_TIED}|/(?:[A-Z][a-z]{{2}}|[A-Z]\.|\d{{6}}(?!\d)))", re.IGNORECASE
)
_BEFORE = re.compile(
    rf"(?:(?<![\d.,:/£$€+)-])(?:{_WHEN}|{_MONTH} (?:[0-3]?\d(?:,? 20\d\d)?|20\d\d)"
    r"|(?:\b(?:at|from|for)|day|@) ?[012]?\d)|\b(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6})"
    r" ?[ /|:;.,=-] ?\(?\Z"
    r"|(?:^|\s)(?:[a-z']{3,}|[a-z]|(?:[a-z]\.){1,3})/\Z|(?<!\d)\d{6}/\Z|[a-z],\Z",
    re.IGNORECASE,
)
#: "id:", "ref.", "session:": what follows is a number of ours, however close it stands.
_CUE = re.compile(
    r"(?:#|\b(?:id|nr|no|ref|reference|number|session|sess|booking|appointment|appt)"
    r"\.?\s?[:.=-]?)\s?\Z",
    re.IGNORECASE,
)
#: More of the same number, or what makes it a part of something else.
_LONGER_BEFORE = re.compile(r"(?:[.,/:-]|\d[ -]|\(0\d{2,5}\)\s?)\Z")
#: A number from abroad, or four digits beside pieces of three: a telephone's, and no hour.
_DIALLED_BEFORE = re.compile(r"\+\d[\d ()-]*\Z")
_FOUR_BEFORE = re.compile(r"\d{4}[ -]\Z")
_FOUR_AFTER = re.compile(r"[ -]\d{4}(?!\d)")
_LONGER_AFTER = re.compile(r"[/-]\w|[.,:]\d| \d{2}")
#: With its letters before it and nothing between its digits it is told from more numbers.
_LONGER_AFTER_PREFIX = re.compile(r"-\d{2}|[.,:/]\d")
_LONGER_AFTER_PIECES = re.compile(r"[ -]\d{2}|[.,:/]\d")

#: What stands shortly before a number and makes it no session.
_OTHER_NUMBER = re.compile(
    r"(?<![a-z])(?:invoices?|inv|tickets?|case|polic(?:y|ies)|insurance|registration|registered|reg"
    r"|member(?:ship)?"
    r"|bacp|ukcp|hcpc|ncps|bps|bpc|babcp|nmc|gmc|ncs|dbs|(?:free)?phone|telephone|tel|mobile|mob"
    r"|whatsapp|text"
    r"|ring(?: me)?|call(?: me)?|sort ?code|account|acc(?:oun)?t?|(?:pass|access|post|zip|discount"
    r"|promo|use|pin|door"
    r"|security|verification|auth\w*) ?code|code|passcode|password|pin|course|order|receipt"
    r"|transaction|payment"
    r"|vat|utr|zoom|teams|samaritans|dated?|version|fax|parcel|tracking|docket|statement"
    r"|licen[cs]e)"
    r"(?:\b[\s\W]{0,4}(?:id|no|nr|nos|number|numbers|ref|reference|me|on|is|was|at|of|to|the|your"
    r"|our|my|us)?){0,3}[\s\W]{0,3}$",
    re.IGNORECASE,
)
#: "116 123" is that of the Samaritans, "100 000 people" a count.
_HELPLINES: Final = frozenset(("116 123", "116 111", "116-123"))
_COUNTED = re.compile(
    r" (?:people|users|members|words|steps|miles|pounds|euros?|views|visits|times\b"
    r"|of\b(?! (?:the )?\d| \w+day))",
    re.IGNORECASE,
)
_REACH: Final = 40  # characters before a number that say what it is


class Number(NamedTuple):
    """A session's six digits at ``first:last``, and by which rule ("prefixed", "link", "bare")."""

    first: int
    last: int
    digits: str
    rule: str


def session_numbers(text: str) -> Iterator[Number]:
    """The numbers of sessions in folded *text*, none inside another; not in order."""
    taken: list[tuple[int, int]] = []
    unsubscribe = "unsubscribe" in text.lower()  # bulk mail is full of other numbers
    for pattern, rule in ((_WITH_PREFIX, "prefixed"), (_LINK, "link"), (_BARE, "bare")):
        for m in pattern.finditer(text):
            if any(m.start() < last and first < m.end() for first, last in taken):
                continue
            if rule == "prefixed" and _goes_on(text, m):
                continue
            if rule == "bare" and (unsubscribe or not _is_session_number(text, m)):
                continue
            taken.append(m.span())
            first = m.end() - len(m[0].lstrip())  # a number that opens a line is of that line
            yield Number(first, m.end(), re.sub(r"\D", "", m[1]), rule)


def _goes_on(text: str, m: re.Match[str]) -> bool:
    """Whether the digits behind "HT" are the beginning of a longer number."""
    longer = _LONGER_AFTER_PREFIX if m[1].isdigit() else _LONGER_AFTER_PIECES
    return longer.match(text, m.end()) is not None and not _is_time_after(text, m)


def _is_time_after(text: str, m: re.Match[str]) -> bool:
    if not m[1].isdigit() and _FOUR_AFTER.match(text, m.end()):
        return False
    return _AFTER.match(text, m.end()) is not None


def _is_time_before(before: str, m: re.Match[str]) -> bool:
    if _DIALLED_BEFORE.search(before) or (not m[1].isdigit() and _FOUR_BEFORE.search(before)):
        return False
    return bool(_CUE.search(before) or _BEFORE.search(before))


def _is_session_number(text: str, m: re.Match[str]) -> bool:
    before = text[max(0, m.start(1) - _REACH) : m.start(1)]
    if _OTHER_NUMBER.search(before.rsplit("\n", 1)[-1]):
        return False
    if _LONGER_BEFORE.search(before) and not _is_time_before(before, m):
        return False
    if _LONGER_AFTER.match(text, m.end()) and not _is_time_after(text, m):
        return False
    return m[1] not in _HELPLINES and _COUNTED.match(text, m.end()) is None
