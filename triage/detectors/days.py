"""Days as people name them, resolved against the day of sending.

"Thursday 6th", "next Tues", "a week on Monday", "tmrw", "the 23rd", "6/11", "24.09.", "2025-11-06".
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final, Literal

from triage.detectors.clocks import clock_after, clock_near
from triage.detectors.dates import Tense, date_behind, date_matches, read_date

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MISSPELT: Final = {"tus": "tue", "wen": "wed", "thr": "thu"}
#: "mornings" are one of many; "Thursday evenings session" only lacks its apostrophe.
_PART: Final = (
    r"(?:\s+(?P<part>morning|afternoon|evening|eve|night|lunchtime|teatime)"
    r"(?:(?P<parts>s\b(?! (?:session|slot|app|booking|client|first|initial|new)))|s?\b))?"
)

_WEEKDAY = re.compile(
    r"\b(?P<name>mon(?:day)?|tue(?:s(?:day)?)?|tuseday|wed(?:s|nesday)?|wednes|wensday|wendesday"
    r"|thu(?:r(?:s(?:day)?)?)?|thurday|thrusday|fri(?:day)?|sat(?:urday)?|saterday|sun(?:day)?)"
    r"(?:(?P<plural>s)\b(?!')|'?s)?\b\.?"
    r"(?:,?\s+(?P<post>(?:of |in )?(?:next|this) week\b|week\b"
    r"|fortnight|coming|next\b|last\b|just gone|gone|after next"
    r"|past\b(?! \w+ (?:o'?clock|in))))?" + _PART
)
#: What stands before a weekday and says which one.
_WHICH = re.compile(
    r"\b((?:next|this) week(?:'?s|,| on|, on)?(?!\s*\n)"
    r"|(?:a |one )?(?:week|fortnight) (?:on|from|this|next)"
    r"|(?:two|2) weeks (?:on|from)|(?:this|the) coming"
    r"|this past"
    r"|coming|this|next|last|past|following|every|every other|each|most|alternate|on a"
    r"|both|first thing)\s+(?:the )?$"
)
_AGAIN_AND_AGAIN: Final = frozenset(
    ("every", "every other", "each", "most", "alternate", "on a")  # "we meet on a Thursday"
)
#: Behind a date: ", a Thursday", " (Thursday)".
_WEEKDAY_BEHIND = re.compile(
    r"(?:(?P<apart>,? ?\(|,? an? |, )| )(?P<name>(?:mon|tues?|wed(?:nes|s)?|thu(?:rs?)?|fri"
    r"|sat(?:ur)?|sun)(?:day)?)\b(?!')\)?,?"
)
_RELATIVE = re.compile(
    r"\b(?P<words>(?:today|tomorrow) (?:week|fortnight)\b|today|tonight|tonite"
    r"|this (?:morning|afternoon|evening|lunchtime)|(?:the )?day (?:after tomorrow"
    r"|before yesterday)"
    r"|tom+or+ow|tmrw|tmw|tmr|tomoz|2mor+ow?|yesterday|last (?:night|evening)"
    r"|in (?:an|one|half an|two|2|three|3) hours?"
    r"|(?:(?:a|one|1) week|(?:a |one |1 )?fortnight) (?:today|tomorrow)"
    r"|in (?:two|three|four|five|2|3|4|5) (?:days|weeks)(?:'? time)?|in a fortnight"
    r"|in a (?:day|week)'?s time"
    r"|same (?:day|evening|morning|afternoon))(?:'?s)?\b" + _PART
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
    found += date_matches(lowered)
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
    found = read_date(m, kind, today, tense)
    if found is None:
        return None
    clock = (int(m["h"]), int(m["m"])) if kind == "iso" and m["h"] else None
    day = Day(m.start(), m.end(), found, clock=clock)
    return _with_weekday(m, kind, lowered, today, tense, day)


def _with_weekday(
    m: re.Match[str], kind: str, lowered: str, today: date, tense: Tense, day: Day
) -> Day:
    """*day* with the weekday told behind it: "the 14th (Thursday)" is one day and not two."""
    monthless = kind in {"nth", "spelled"}
    if monthless:
        day = replace(day, open="of_month")
    beside = _WEEKDAY_BEHIND.match(lowered, m.end())
    if beside is None:
        return day
    number = _number_of(beside["name"])
    if day.day.weekday() == number:
        return replace(day, last=beside.end(), open="")
    fitting = read_date(m, kind, today, tense, number) if monthless and beside["apart"] else None
    return replace(day, day=fitting, last=beside.end(), open="") if fitting else day


def _weekday(m: re.Match[str], lowered: str, text: str, today: date, tense: Tense) -> Day | None:
    which = _WHICH.search(lowered, max(0, m.start() - 22), m.start())
    pre = which[1] if which else ""
    name = m["name"]
    if name in {"sat", "sun", "wed", "mon"} and not _is_day_name(m, lowered, text, pre):
        return None
    number = _number_of(name)
    first = which.start() if which else m.start()
    part = m["part"] or ""
    if dated := date_behind(lowered, m.end(), today, number):
        return Day(first, dated[1], dated[0], part)
    if (
        (m["plural"] and name.endswith("day"))
        or (m["parts"] and pre != "both")
        or pre in _AGAIN_AND_AGAIN
    ):
        return Day(first, m.end(), _named_day(today, number, "", "", "ahead"), part, recurring=True)
    if pre or m["post"]:
        return Day(first, m.end(), _named_day(today, number, pre, m["post"] or "", tense), part)
    if number == today.weekday() and tense != "behind" and _TODAY.search(lowered):
        return Day(first, m.end(), today, part)  # "Friday's client: off, please. He is due tonight"
    return Day(first, m.end(), _named_day(today, number, "", "", tense), part, open="weekday")


_SOMEBODY = re.compile(r"\b(?:has|had|have|i|we|he|she|they|who|just)\s\Z")


def _number_of(name: str) -> int:
    return _WEEKDAYS.index(_MISSPELT.get(name[:3], name[:3]))


def _is_day_name(m: re.Match[str], lowered: str, text: str, pre: str) -> bool:
    """Whether "sat", "sun", "wed" or "mon" is a day here and no verb or name."""
    if pre or m["post"] or m["part"]:
        return True
    before = lowered[max(0, m.start() - 10) : m.start()]
    if m["name"] == "sat" and _SOMEBODY.search(before):
        return False  # "her score has sat at 16"
    if re.match(
        r"[\s,.]*(?:\d|at \d|the \d|noon|half|quarter|am\b|pm\b|\)|$)",
        lowered[m.end() : m.end() + 12],
    ):
        return True
    capital = text[m.start()].isupper() and not text.isupper()
    opens = re.search(r"(?:^|[.!?\n]\s*)$", before)
    return bool((capital and not opens) or re.search(r"\b(?:on|for|ahead|until|by|til)\s$", before))


def _named_day(today: date, number: int, pre: str, post: str, tense: Tense) -> date:  # noqa: PLR0911 - one per way of saying it
    ahead = today + timedelta((number - today.weekday() - 1) % 7 + 1)
    behind = today - timedelta((today.weekday() - number - 1) % 7 + 1)
    if "next week" in pre + post or pre == "next":
        return today + timedelta(7 + number - today.weekday())
    if "this week" in pre + post:
        return today + timedelta(number - today.weekday())
    if post in {"week", "after next"} or pre.endswith(("week on", "week from", "week this")):
        return ahead + timedelta(7)
    if post == "fortnight" or pre.endswith(
        ("fortnight on", "fortnight from", "weeks on", "weeks from")
    ):
        return ahead + timedelta(14)
    if pre in {"last", "past", "this past"} or post in {"last", "gone", "just gone", "past"}:
        return behind
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
        named = [d for d in seen if not d.recurring]
        ahead = [d for d in named if d.day >= sent.date()]  # "I wrote last night. The same day …"
        last = next(reversed(ahead or named), None)
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
