"""Dates told by their numbers: "9 October", "25/1", "24.09.", "2025-11-06", "the twenty first".

Apart from weekdays and "tomorrow": a date needs no word of which week is meant, at most the tense.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final, Literal

from triage.detectors.clocks import clock_after

#: Which way an undated day lies: as the tense says, or the nearest one where it is too late anyway.
Tense = Literal["ahead", "behind", "nearest"]

_MONTHS: Final = re.findall(r"\w+", "jan feb mar apr may jun jul aug sep oct nov dec")
_MONTH: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY_MONTH = re.compile(
    r"\d(?<![\d£./:]\d)\d?(?:st|nd|rd|th)?(?:\s+(?:of\s+)?|-)?(?:day of )?(?P<month>"
    + _MONTH
    + r")"
    r"(?:,?\s+(?P<year>20\d\d)\b)?"
)
_MONTH_DAY = re.compile(
    r"\b(?P<month>" + _MONTH + r")\s+(?:the\s+)?(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b(?![:.]\d|\d)"
)
_NUMERIC = re.compile(
    r"\d(?<![\d£./:-]\d)\d?(?:/(?P<m1>[01]?\d)(?:/(?P<y1>(?:20)?\d\d))?\b(?![/\d])"
    r"|\.(?P<m2>[01]?\d)\.(?P<y2>(?:20)?\d\d\b)?(?!\d)|-(?P<m3>[01]?\d)-(?P<y3>20\d\d)\b)"
)
_ISO = re.compile(r"20\d\d(?<!\d20\d\d)-[01]\d-[0-3]\d\b(?:[t ](?P<h>[0-2]\d):(?P<m>[0-5]\d))?")
_NTH = re.compile(
    r"\d(?<![\w£./:-]\d)\d?(?:st|nd|rd|th)\b"
    r"(?! (?:session|time|week|app(?:t|ointment)?\b|mtg|intro|visit|go\b|birthday"
    r"|year|century|meeting|month|floor|email|one\b)"
    r"|(?: of|/)(?: six| eight| ten| twelve|\d| \d))"
)
_THE_NUMBER = re.compile(r"\bthe ([12]\d|3[01])\b(?=[,.) ]*(?:$|\n|at\b|when\b|and\b|is\b|off\b))")
_UNITS: Final = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
]
_TEENS: Final = [
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
]
_SPELLED = re.compile(
    rf"\bthe (?P<n>(?:twenty|thirty)[ -](?:{'|'.join(_UNITS)})|{'|'.join(_TEENS)}|thirtieth)\b"
)
#: Straight after a weekday: "6th", "the 23", "9 October", "25/1", "20.06", "13".
_DATE_AFTER = re.compile(
    r"(?:-(?=\d\d?(?:st|nd|rd|th))|[\s,(]*)(?P<the>the\s+)?"
    r"(?P<d>[0-3]?\d)(?:(?P<nth>st|nd|rd|th)\b)?(?:\s*(?:of\s+)?(?P<month>" + _MONTH + r"))?"
    r"(?:[/.](?P<m>[01]?\d)\b(?:[/.](?P<yy>\d\d)\b)?(?!\s*[ap]\.?m))?\.?(?:[\s/]*(?P<year>20\d\d)\b)?"
    r"(?!\d|\s*[ap]\.?m\b|[:.]\d\d|h(?:\b|\d)|\s*o'?clock)"
)
_MONTH_BEHIND = re.compile(r"[\s,(]{1,3}(?:the )?(?=[a-z])")
_RECENT: Final = timedelta(days=14)
_A_WEEK: Final = 7  # days


def date_matches(lowered: str) -> Iterator[tuple[re.Match[str], str]]:
    """What looks like a date in *lowered*, and of which kind: see ``read_date``."""
    for pattern, kind in (
        (_ISO, "iso"),
        (_DAY_MONTH, "date"),
        (_MONTH_DAY, "date"),
        (_NUMERIC, "numeric"),
        (_NTH, "nth"),
        (_THE_NUMBER, "nth"),
        (_SPELLED, "spelled"),
    ):
        for m in pattern.finditer(lowered):
            yield m, kind


def read_date(
    m: re.Match[str], kind: str, today: date, tense: Tense, weekday: int | None = None
) -> date | None:
    """The date that one of ``date_matches`` means.

    One without a month ("nth", "spelled") is the nearest that *tense*, or *weekday*, allows.
    """
    if kind == "iso":
        return _valid(int(m[0][:4]), int(m[0][5:7]), int(m[0][8:10]))
    groups = m.groupdict()
    number = int(groups.get("day") or (re.search(r"\d+", m[0]) or "0")[0])
    if kind == "date":
        return _dated(today, number, _month(m["month"]), groups.get("year"))
    if kind == "numeric":
        month = int(m["m1"] or m["m2"] or m["m3"])
        return _dated(today, number, month, m["y1"] or m["y2"] or m["y3"])
    number = _spelled(m["n"]) if kind == "spelled" else number
    return _day_of_month(today, number, tense, weekday)


def date_behind(lowered: str, at: int, today: date, weekday: int) -> tuple[date, int] | None:
    """The date behind a weekday, and where it ends: "Thursday 6th", but not "Thursday 6"."""
    if named := _MONTH_BEHIND.match(lowered, at):  # "Thursday, January 29th"
        m = _MONTH_DAY.match(lowered, named.end())
        found = m and read_date(m, "date", today, "ahead")
        if m and found:
            return found, m.end()
    after = _DATE_AFTER.match(lowered, at)
    found = after and _date_beside(today, weekday, after, lowered)
    return (found, after.end()) if after and found else None


def _valid(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _month(name: str) -> int:
    return _MONTHS.index(name[:3]) + 1


def _spelled(words: str) -> int:
    tens, _, unit = words.replace("-", " ").partition(" ")
    if unit:
        return (20 if tens == "twenty" else 30) + _UNITS.index(unit) + 1
    return 30 if tens == "thirtieth" else 10 + _TEENS.index(tens)


def _dated(today: date, day: int, month: int, year: str | None) -> date | None:
    """The date; without a year the one nearest to *today*."""
    years = [int(year) % 100 + 2000] if year else [today.year - 1, today.year, today.year + 1]
    found = [d for d in (_valid(y, month, day) for y in years) if d]
    return min(found, key=lambda d: abs(d - today), default=None)


def _day_of_month(today: date, day: int, tense: Tense, weekday: int | None = None) -> date | None:
    """Such a day of a month near *today*; *weekday* must fit where one is given."""
    found = []
    for shift in (-1, 0, 1, 2):
        month = today.month - 1 + shift
        candidate = _valid(today.year + month // 12, month % 12 + 1, day)
        if candidate and weekday in {None, candidate.weekday()}:
            found.append(candidate)
    if weekday is not None or tense == "nearest":  # as far either way, it is still to come
        return min(found, key=lambda d: (abs(d - today), d < today), default=None)
    behind = [d for d in found if d <= today]
    if tense == "behind" and behind and today - behind[-1] <= _RECENT:
        return behind[-1]
    return next((d for d in found if d >= today), None)


def _date_beside(today: date, number: int, after: re.Match[str], lowered: str) -> date | None:
    """The date behind a weekday, where it is one: "Thursday 6th", but not "Thursday 6".

    Unless the coming Thursday is the 6th: an hour is its number once in thirty times.
    """
    day = int(after["d"])
    if after["month"]:
        return _dated(today, day, _month(after["month"]), after["year"])
    if after["m"]:
        found = _dated(today, day, int(after["m"]), after["year"] or after["yy"])
        return found if found and found.weekday() == number else None
    found = _day_of_month(today, day, "ahead", number)
    if after["nth"]:
        return found or _day_of_month(today, day, "ahead")
    is_hour = lowered.startswith("-", after.end())  # "Thursday 3-4"
    is_coming = found is not None and 0 <= (found - today).days <= _A_WEEK
    beside = is_coming or clock_after(lowered, after.end())
    is_date = after["the"] or day > 12 or (not is_hour and beside)
    return found if is_date else None
