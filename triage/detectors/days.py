"""Days as people name them, resolved against the day of sending.

"Thursday 6th", "next Tues", "a week on Monday", "tmrw", "the 23rd", "6/11", "24.09.", "2025-11-06".
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Literal

from triage.detectors.clocks import clock_after, clock_near

#: Which way an undated day lies: as the tense says, or the nearest one where it is too late anyway.
Tense = Literal["ahead", "behind", "nearest"]

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MISSPELT: Final = {"tus": "tue", "wen": "wed", "thr": "thu"}
_MONTHS: Final = re.findall(r"\w+", "jan feb mar apr may jun jul aug sep oct nov dec")
_MONTH: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_PART: Final = r"(?:\s+(?P<part>morning|afternoon|evening|eve|night|lunchtime|teatime)s?\b)?"

_WEEKDAY = re.compile(
    r"\b(?P<name>mon(?:day)?|tue(?:s(?:day)?)?|tuseday|wed(?:s|nesday)?|wednes|wensday|wendesday"
    r"|thu(?:r(?:s(?:day)?)?)?|thurday|thrusday|fri(?:day)?|sat(?:urday)?|saterday|sun(?:day)?)"
    r"(?:(?P<plural>s)\b(?!')|'?s)?\b\.?"
    r"(?:,?\s+(?P<post>week\b|fortnight|coming|next\b|last\b|just gone|gone|after next"
    r"|past\b(?! \w+ (?:o'?clock|in))))?" + _PART
)
#: What stands before a weekday and says which one.
_WHICH = re.compile(
    r"\b((?:a |one )?(?:week|fortnight) (?:on|from|this|next)|two weeks on|(?:this|the) coming"
    r"|this past"
    r"|coming|this|next|last|past|following|every|each|most|alternate|first thing)\s+(?:the )?$"
)
_RELATIVE = re.compile(
    r"\b(?P<words>(?:today|tomorrow) (?:week|fortnight)\b|today|tonight|tonite"
    r"|this (?:morning|afternoon|evening|lunchtime)|(?:the )?day (?:after tomorrow"
    r"|before yesterday)"
    r"|tom+or+ow|tmrw|tmw|tmr|tomoz|2mor+ow?|yesterday|last (?:night|evening)"
    r"|in (?:an|one|half an|two|2|three|3) hours?|(?:a|one|1) (?:week|fortnight) (?:today|tomorrow)"
    r"|in (?:two|three|four|five|2|3|4|5) (?:days|weeks)|in a fortnight|in a (?:day|week)'?s time"
    r"|same (?:day|evening|morning|afternoon))(?:'?s)?\b" + _PART
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
    r"|\.(?P<m2>[01]?\d)\.(?P<y2>(?:20)?\d\d\b)?(?!\d))"
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
    r"[\s,(]*(?P<the>the\s+)?(?P<d>[0-3]?\d)(?:(?P<nth>st|nd|rd|th)\b)?(?:\s*(?:of\s+)?(?P<month>"
    + _MONTH
    + r"))?"
    r"(?:[/.](?P<m>[01]?\d)\b(?!\s*[ap]\.?m))?\.?(?:[\s/]*(?P<year>20\d\d)\b)?"
    r"(?!\d|\s*[ap]\.?m\b|[:.]\d\d|h\b|\s*o'?clock)"
)

_PAST = re.compile(
    r"\b(?:was|were|had|has (?:now )?(?:passed|lapsed|expired|gone)|lapsed|expired|missed|went"
    r"|ran out"
    r"|didn'?t|did not|gone|saw|met|finished|happened|took place|came|talked|told|spoke|tried|rang"
    r"|sent"
    r"|wrote|messaged|emailed|unconfirmed|timed out|dropped|held|came up|passed|already)\b"
)
_OUTRIGHT_PAST = re.compile(
    r"\b(?:was|were|had|met|saw|took place|happened|missed|lapsed|expired|last|past|didn'?t)\b"
)
_FUTURE = re.compile(
    r"\b(?:will|shall|'ll|going to|is (?:to|due|booked|down)|cancel|next|coming|upcoming|booked for"
    r"|due (?:on|at|to)|before|until|please|pls|off|can'?t|cannot|new|not yet|meant to|supposed to"
    r"|are down"
    r"|am seeing|i'?m seeing|pull|remove|release|stands?|keep(?:ing)?)\b"
)
_TOO_LATE = re.compile(
    r"\b(?:too late|expired?|lapsed?|unconfirmed|for the (?:record|file|log)|r[au]n out"
    r"|on (?:the )?record"
    r"|on file|timed out|after the (?:fact|event)|missed|never confirmed|didn'?t confirm"
    r"|not confirmed"
    r"|no-?show|gone past|has passed|went by|came and went|dropped off)\b"
)
_TODAY = re.compile(r"\b(?:today|tonight|this (?:morning|afternoon|evening))\b")
_RECENT: Final = timedelta(days=14)
_MOST: Final = 100  # days in one message; beyond it is a calendar, not a request
_NEAR: Final = 14  # characters between a day and its clock time


@dataclass(frozen=True, slots=True)
class Day:
    """A day named at ``first:last`` of the folded text. ``clock`` only where the words imply
    one.
    """

    first: int
    last: int
    day: date
    part: str = ""  # "morning", "evening", …
    recurring: bool = False
    clock: tuple[int, int] | None = None
    open: Literal["", "weekday", "of_month"] = ""  # named without week, or without month


def days(lowered: str, text: str, bounds: list[int], sent: datetime) -> list[Day]:
    """The days that *text* names, in order; *lowered* is its lower case, *bounds* its sentence
    starts.

    *sent* is local time in Europe/London.
    """
    late = is_too_late(lowered)
    seen: list[Day] = []
    for m, kind in _matches(lowered):
        if len(seen) == _MOST:
            break
        if seen and m.start() < seen[-1].last:
            continue
        tense: Tense = "nearest" if late else _tense(lowered, bounds, m)
        day = _resolve(m, kind, lowered, text, sent, seen, tense)
        if day is not None:
            seen.append(day)
    return seen


def is_too_late(lowered: str) -> bool:
    """Whether the message speaks of a session that has gone by or lapsed."""
    return _TOO_LATE.search(lowered) is not None


def _matches(lowered: str) -> Iterator[tuple[re.Match[str], str]]:
    found = [(m, "weekday") for m in _WEEKDAY.finditer(lowered)]
    found += [(m, "relative") for m in _RELATIVE.finditer(lowered)]
    for pattern, kind in (
        (_ISO, "iso"),
        (_DAY_MONTH, "date"),
        (_MONTH_DAY, "date"),
        (_NUMERIC, "numeric"),
        (_NTH, "nth"),
        (_THE_NUMBER, "nth"),
        (_SPELLED, "spelled"),
    ):
        found += [(m, kind) for m in pattern.finditer(lowered)]
    return iter(sorted(found, key=lambda f: (f[0].start(), -f[0].end())))


def _tense(lowered: str, bounds: list[int], m: re.Match[str]) -> Tense:
    """The nearest tense word before the day decides, else the first behind it.

    A day with its clock time is an appointment, which lies ahead unless said otherwise outright.
    """
    begin = bounds[max(bisect_right(bounds, m.start()) - 1, 0)] if bounds else 0
    clause = lowered[max(begin, m.start() - 70) : m.start()]
    if clock_after(lowered, m.end()) or clock_near(lowered, m.end(), _NEAR):
        return "behind" if _OUTRIGHT_PAST.search(clause[-32:]) else "ahead"
    past = max((p.end() for p in _PAST.finditer(clause)), default=-1)
    future = max((p.end() for p in _FUTURE.finditer(clause)), default=-1)
    if past >= 0 or future >= 0:
        return "behind" if past > future else "ahead"
    rest = lowered[m.end() : m.end() + 50].split("\n", 1)[0]
    first_past, first_future = _PAST.search(rest), _FUTURE.search(rest)
    if first_past and (first_future is None or first_past.start() < first_future.start()):
        return "behind"
    return "ahead"


def _resolve(
    m: re.Match[str],
    kind: str,
    lowered: str,
    text: str,
    sent: datetime,
    seen: list[Day],
    tense: Tense,
) -> Day | None:
    today = sent.date()
    if kind == "weekday":
        return _weekday(m, lowered, text, today, tense)
    if kind == "relative":
        return _relative(m, sent, seen)
    if kind == "iso":
        found = _valid(int(m[0][:4]), int(m[0][5:7]), int(m[0][8:10]))
        clock = (int(m["h"]), int(m["m"])) if m["h"] else None
        return Day(m.start(), m.end(), found, clock=clock) if found else None
    if kind == "date":
        groups = m.groupdict()
        day = int(groups.get("day") or re.match(r"\d+", m[0])[0])  # type: ignore[index]
        found = _dated(today, day, _month(m["month"]), groups.get("year"))
    elif kind == "numeric":
        day = int(re.match(r"\d+", m[0])[0])  # type: ignore[index]
        found = _dated(today, day, int(m["m1"] or m["m2"]), m["y1"] or m["y2"])
    else:
        day = _spelled(m["n"]) if kind == "spelled" else int(re.search(r"\d+", m[0])[0])  # type: ignore[index]
        found = _day_of_month(today, day, tense)
        return Day(m.start(), m.end(), found, open="of_month") if found else None
    return Day(m.start(), m.end(), found) if found else None


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
    if weekday is not None or tense == "nearest":
        return min(found, key=lambda d: abs(d - today), default=None)
    behind = [d for d in found if d <= today]
    if tense == "behind" and behind and today - behind[-1] <= _RECENT:
        return behind[-1]
    return next((d for d in found if d >= today), None)


def _weekday(m: re.Match[str], lowered: str, text: str, today: date, tense: Tense) -> Day | None:
    which = _WHICH.search(lowered, max(0, m.start() - 22), m.start())
    pre = which[1] if which else ""
    name = m["name"]
    if name in {"sat", "sun", "wed", "mon"} and not _is_day_name(m, lowered, text, pre):
        return None
    number = _WEEKDAYS.index(_MISSPELT.get(name[:3], name[:3]))
    first = which.start() if which else m.start()
    part = m["part"] or ""
    after = _DATE_AFTER.match(lowered, m.end())
    dated = after and _date_beside(today, number, after, lowered)
    if after and dated:
        return Day(first, after.end(), dated, part)
    if (m["plural"] and name.endswith("day")) or pre in {"every", "each", "most", "alternate"}:
        return Day(first, m.end(), _named_day(today, number, "", "", "ahead"), part, recurring=True)
    if pre or m["post"]:
        return Day(first, m.end(), _named_day(today, number, pre, m["post"] or "", tense), part)
    if number == today.weekday() and tense != "behind" and _TODAY.search(lowered):
        return Day(first, m.end(), today, part)  # "Friday's client: off, please. He is due tonight"
    return Day(first, m.end(), _named_day(today, number, "", "", tense), part, open="weekday")


def _is_day_name(m: re.Match[str], lowered: str, text: str, pre: str) -> bool:
    """Whether "sat", "sun", "wed" or "mon" is a day here and no verb or name."""
    if pre or m["post"] or m["part"]:
        return True
    if re.match(
        r"[\s,.]*(?:\d|at \d|the \d|noon|half|quarter|am\b|pm\b|\)|$)",
        lowered[m.end() : m.end() + 12],
    ):
        return True
    before = lowered[max(0, m.start() - 10) : m.start()]
    capital = text[m.start()].isupper() and not text.isupper()
    opens = re.search(r"(?:^|[.!?\n]\s*)$", before)
    return bool((capital and not opens) or re.search(r"\b(?:on|for|ahead|until|by|til)\s$", before))


def _date_beside(today: date, number: int, after: re.Match[str], lowered: str) -> date | None:
    """The date behind a weekday, where it is one: "Thursday 6th", but not "Thursday 6"."""
    day = int(after["d"])
    if after["month"]:
        return _dated(today, day, _month(after["month"]), after["year"])
    if after["m"]:
        found = _dated(today, day, int(after["m"]), after["year"])
        return found if found and found.weekday() == number else None
    found = _day_of_month(today, day, "ahead", number)
    if after["nth"]:
        return found or _day_of_month(today, day, "ahead")
    is_date = after["the"] or day > 12 or clock_after(lowered, after.end())
    return found if is_date else None


def _named_day(today: date, number: int, pre: str, post: str, tense: Tense) -> date:  # noqa: PLR0911 - one per way of saying it
    ahead = today + timedelta((number - today.weekday() - 1) % 7 + 1)
    behind = today - timedelta((today.weekday() - number - 1) % 7 + 1)
    if post in {"week", "after next"} or pre.endswith(("week on", "week from", "week this")):
        return ahead + timedelta(7)
    if post == "fortnight" or pre.endswith(("fortnight on", "fortnight from", "weeks on")):
        return ahead + timedelta(14)
    if pre in {"last", "past", "this past"} or post in {"last", "gone", "just gone", "past"}:
        return behind
    if pre == "next":
        return today - timedelta(today.weekday()) + timedelta(7 + number)
    if "coming" in pre + post or post == "next" or (pre == "this" and number > today.weekday()):
        return ahead
    if tense == "nearest":
        return min(today + timedelta((number - today.weekday() + 3) % 7 - 3), ahead)
    return behind if tense == "behind" else ahead


def _relative(m: re.Match[str], sent: datetime, seen: list[Day]) -> Day | None:
    words = " ".join(m["words"].split())
    if "hour" in words:
        return _in_hours(m, sent, words)
    if words.startswith("same"):
        last = next((d for d in reversed(seen) if not d.recurring), None)
        return last and Day(m.start(), m.end(), last.day, words[5:].replace("day", ""))
    part = m["part"] or next(
        (p for p in ("morning", "afternoon", "evening", "night", "nite") if p in words), ""
    ).replace("nite", "night")
    if words.endswith("fortnight"):
        part = m["part"] or ""
    return Day(m.start(), m.end(), sent.date() + timedelta(_shift(words)), part)


def _shift(words: str) -> int:
    """How many days from the day of sending."""
    if words.startswith(("last", "yesterday")):
        return -1
    if "day after" in words or "day before" in words:
        return 2 if "after" in words else -2
    base = 1 if "tom" in words or "tm" in words or "2mo" in words else 0
    counted = re.search(r"\b(two|three|four|five|[2-5])? ?(day|week|fortnight)s?\b", words)
    if counted is None:
        return base
    number = {"two": 2, "three": 3, "four": 4, "five": 5}.get(counted[1] or "", 0) or int(
        counted[1] or 1
    )
    return base + number * {"day": 1, "week": 7, "fortnight": 14}[counted[2]]


def _in_hours(m: re.Match[str], sent: datetime, words: str) -> Day:
    hours = (
        0.5 if "half" in words else {"two": 2, "2": 2, "three": 3, "3": 3}.get(words.split()[1], 1)
    )
    then = sent + timedelta(hours=hours)
    then += timedelta(minutes=(-then.minute + 7) % 15 - 7)  # people mean the nearest quarter
    return Day(m.start(), m.end(), then.date(), clock=(then.hour, then.minute))
