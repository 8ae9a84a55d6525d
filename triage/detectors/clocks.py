"""Clock times as people say them: "7pm", "18h", "half six", "ten to nine", "noon", "at four",
"0930".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_HOURS: Final = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_LATE_HOURS: Final = "thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty"
_HOUR_OF: Final = {w: n for n, w in enumerate(f"{_HOURS}|{_LATE_HOURS}".split("|"), 1)}
_MINUTES: Final = {
    "five": 5,
    "ten": 10,
    "quarter": 15,
    "twenty": 20,
    "twenty five": 25,
    "five and twenty": 25,
    "half": 30,
}
_AMPM: Final = r"\s?(?P<half>[ap])\.?m\b\.?"
#: A number with one of these behind it counts something else than hours.
_NO_HOUR: Final = (
    r"(?![:.,/-]?\d|\s?(?:[%/]|st\b|nd\b|rd\b|th\b|-|years?|months?|weeks?|days?"
    r"|sessions?(?! #?\d{6})"
    r"|minutes?|mins?|hours?"
    r"|people|of\b|or\b|times?|who|clients?|and a half|whole|separate|different|children|kids"
    r"|questions?|things?"
    r"|points?|reasons?|stone|more|past\b|to (?:"
    + _HOURS
    + r"|\d)|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)))"
)

#: "7pm", "7.30 p.m.", "18h", "10 o'clock", "19:00", "9.15".
_NUMERIC = re.compile(
    r"\d(?<![\w£$€./:-]\d)(?<![\d],\d)\d?(?:(?P<sep>[:.h])(?P<m>[0-5]\d))?"
    r"(?:" + _AMPM + r"|(?P<h>h\b)|\s?(?P<oclock>o'? ?clock\b)"
    r"|(?(m)(?:\s?h(?:ou)?rs?)?\b(?![.:/]\d|\s?%|\s?(?:million|k\b|per cent))|(?!)))"
)
#: "730pm", "1145am".
_COMPACT = re.compile(
    r"(?<![\w£$€.,/:#-])(?P<hour>1[0-2]|0?[1-9])(?P<min>[0-5]\d)\s?(?P<half>[ap])\.?m\b\.?"
)
#: "half six", "half 7am", "quarter to seven", "ten past nine", "10 past 9", "five and twenty to 4".
_SPOKEN = re.compile(
    r"\b(?P<min>half|quarter|five and twenty|five|ten|twenty(?:[- ]five)?"
    r"|(?:5|10|20|25)(?= (?:past|to)))(?: (?P<dir>past|to))? (?P<hour>"
    + _HOURS
    + r"|(?:[1-9]|1[0-2])(?!\d))(?:\b|(?=[ap]\.?m\b))"
    r"(?![:.%]\d| (?:years|months|weeks|sessions|minutes|of|people|times|days|hours)\b)(?:"
    + _AMPM
    + r")?"
)
#: "six fifteen", "twelve thirty"; also a number of other things, so a time only beside a day.
_WORDS = re.compile(
    r"\b(?P<hour>"
    + _HOURS
    + r")[ -](?P<min>thirty|fifteen|forty[- ]five)\b(?! ?(?:[ap]\.?m\b|in the\b|tonight|tomorrow))"
)
#: The clock of other languages, word by word: "at hours 18", "at 19 hours", "fifteen hours thirty".
_HOURS_SAID = re.compile(
    r"\b(?:hours? (?P<after>1\d|2[0-3])\b|at (?:the )?(?P<before>1\d|2[0-3]|"
    + _LATE_HOURS
    + r") hours\b(?: (?:and )?(?P<min>thirty|fifteen|half|30|15)\b)?)"
)
#: "0900 Friday", "1730 hrs".
_MILITARY = re.compile(
    r"\b(?P<at>(?<=at )|(?<=@)|(?<=@ ))?(?P<hh>[01]\d|2[0-3])(?P<mm>[0-5][05])"
    r"(?: ?(?:h|hrs|hours)\b|(?= (?:(?:on|for|this|next|the|week(?:'?s)?,?) ){0,3}"
    r"(?:mon|tues?|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|tom"
    r"|in (?:a|two|three) |an? (?:week|fortnight)|coming "
    r"|tmr|tod|\d\d?(?:st|nd|rd|th|/\d|\.\d|-\d| ?(?:of )?"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))))"
    r"|(?(at)\b(?!\s?[\d%]|[:.,/-]\d| (?:words|people|pounds|steps))|(?!)))"
)
#: "nine o'clock", "seven thirty pm", "eight in the evening", "four tomorrow".
_WORD = re.compile(
    r"\b(?P<hour>" + _HOURS + r")(?:[ -](?P<min>thirty|fifteen|forty[- ]five))? ?"
    r"(?:(?P<oclock>o'? ?clock)|"
    + _AMPM
    + r"|(?=in the (?:morning|afternoon|evening|forenoon)|at night)"
    r"|(?<!\bone )(?=tonight|this (?:morning|afternoon|evening)|tomorrow|today))"
)
_NOON = re.compile(r"\b(?:12 )?noon\b|\bmidday\b|\bmidnight\b")
#: "at 4", "for 6", "my 9", "at four"; not "the one", "for two weeks".
_BARE = re.compile(
    r"(?:\b(?P<by>at|from|was|for|my|the|his|her|their) |(?<!\w)@ ?)"
    r"(?P<hour>1\d|2[0-3]|[1-9]|"
    + _HOURS
    + r")(?:-?ish)?\b"
    + _NO_HOUR
    + r"(?!\s?(?:[ap]\.?m\b|o'?clock|h\b))"
)
#: "9 this morning", "8 tonight".
_BESIDE_DAY = re.compile(
    r"\d(?<![\w£.,:/#-]\d)\d?(?= (?:tonight|today|tomorrow|tmrw|yesterday|this (?:morning"
    r"|afternoon|evening)"
    r"|in the (?:morning|afternoon|evening)|at night))"
)
#: Straight after a day: "Thursday 5", "Fri 4", "Weds 3rd 1330", "Monday at five".
_AFTER_DAY = re.compile(
    r"(?:\),? (?=\d{4}\b)|[\s,(/@|-]*)"
    r"(?:at |from |@ ?|for )?(?:(?P<hh>[01]\d|2[0-3])(?P<mm>[0-5][05])\b"
    r"|(?P<hour>[1-9]\b|1\d\b|2[0-3]\b|(?<=at )(?:" + _HOURS + r")\b))" + _NO_HOUR
)
_PART_AFTER = re.compile(
    r"[\s,(]*(?:(?:in|during) the |at |this |that |tomorrow |yesterday |on \w+day )?"
    r"(?P<part>morning|afternoon|evening|forenoon|night|tonight)\b"
)
_END_OF_HOUR: Final = (
    r"(?P<h{0}>\d\d?)(?:[:.](?P<m{0}>[0-5]\d))?"
    r"(?:\s?(?P<half{0}>[ap])\.?m\b\.?|\s?h(?:rs)?\b)?"
)
#: "5-5:50pm", "from 7pm to 8pm", "14:00 - 14:50", "between 2 and 3": it begins at the first.
_RANGE = re.compile(
    r"(?<![\w£$€.,:/#+-])(?:from |(?P<between>between ))?"
    + _END_OF_HOUR.format(1)
    + r"(?(between) and |\s?(?:-|\b(?:to|till?|until)\b)\s?)"
    + _END_OF_HOUR.format(2)
    + r"(?!\w)"
    + _NO_HOUR
)
#: "Could it be moved from 5 to 6?" tells of two sessions, "I'm free from 2 to 4" of none.
_NO_SESSION = re.compile(
    r"\b(?:mov|chang|shift|switch|swap|bring|push|reschedul)\w*\b[^.\n]{0,30}$"
    r"|\b(?:free|available|availability|reach me|ring me|call me|hours are)\b[^.\n]{0,12}$"
)
_LONGEST: Final = 150  # minutes of a session; what is longer are office hours
_MOST: Final = 100  # clock times in one message
_MORNING: Final = frozenset(("morning", "forenoon"))
_LATER: Final = frozenset(("afternoon", "evening", "eve", "night", "tonight", "teatime"))


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock time at ``first:last`` of the folded text."""

    first: int
    last: int
    hour: int
    minute: int
    sure: bool  # whether the words say which half of the day
    loose: bool  # a bare number, which is a time only beside a day


def clocks(lowered: str) -> list[Clock]:
    """The clock times that *lowered* names, in order, none inside another."""
    found = [_range(lowered, m) for m in _RANGE.finditer(lowered)]
    found += [_numeric(m) for m in _NUMERIC.finditer(lowered)]
    found += [_compact(m) for m in _COMPACT.finditer(lowered)]
    found += [_spoken(m) for m in _SPOKEN.finditer(lowered)]
    found += [_word(m) for m in _WORD.finditer(lowered)]
    found += [_word(m, loose=True) for m in _WORDS.finditer(lowered)]
    found += [_said_in_hours(m) for m in _HOURS_SAID.finditer(lowered)]
    for m in _MILITARY.finditer(lowered):
        hour, minute = int(m["hh"]), int(m["mm"])
        found.append(Clock(m.start(), m.end(), hour, minute, sure=True, loose=False))
    for m in _NOON.finditer(lowered):
        hour = 0 if "night" in m[0] else 12
        found.append(Clock(m.start(), m.end(), hour, 0, sure=True, loose=False))
    for m in _BARE.finditer(lowered):
        if m["hour"] == "one" and m["by"] not in {"at", None}:
            continue
        hour = _number(m["hour"])
        found.append(Clock(m.start("hour"), m.end(), hour, 0, sure=hour > 12, loose=True))
    for m in _BESIDE_DAY.finditer(lowered):
        hour = int(m[0])
        if hour < 24:
            found.append(Clock(m.start(), m.end(), hour, 0, sure=hour > 12, loose=False))
    return _apart(sorted((c for c in found if c), key=lambda c: (c.first, -c.last)))[:_MOST]


def clock_after(lowered: str, at: int) -> Clock | None:
    """The bare number straight after a day, as a clock time."""
    m = _AFTER_DAY.match(lowered, at)
    if m is None:
        return None
    if m["hh"]:
        return Clock(m.start("hh"), m.end(), int(m["hh"]), int(m["mm"]), sure=True, loose=True)
    hour = _number(m["hour"])
    return Clock(m.start("hour"), m.end(), hour, 0, sure=hour > 12, loose=True)


def clock_near(lowered: str, at: int, reach: int) -> bool:
    """Whether a full clock time begins within *reach* characters behind *at*."""
    stop = at + reach + 8
    return any(
        (m := pattern.search(lowered, at, stop)) is not None and m.start() <= at + reach
        for pattern in (_NUMERIC, _COMPACT, _SPOKEN, _WORD, _NOON)
    )


def part_after(lowered: str, at: int) -> str:
    """The part of day named straight after a clock time, or ""."""
    m = _PART_AFTER.match(lowered, at)
    return m["part"] if m else ""


def settled(clock: Clock, part: str) -> tuple[int, int]:
    """Morning or afternoon: as said, else as sessions are, 8 to 12 by day and 1 to 7 after noon."""
    hour = clock.hour
    if clock.sure or hour > 12:
        return hour, clock.minute
    if part in _MORNING:
        return (0 if hour == 12 else hour), clock.minute
    if part in _LATER:
        return hour % 12 + 12, clock.minute
    return (hour + 12 if hour <= 7 else hour), clock.minute


def _number(said: str) -> int:
    return _HOUR_OF.get(said) or int(said)


def _apart(found: list[Clock]) -> list[Clock]:
    kept: list[Clock] = []
    for clock in found:
        if not kept or clock.first >= kept[-1].last:
            kept.append(clock)
    return kept


def _numeric(m: re.Match[str]) -> Clock | None:
    digits = re.match(r"\d+", m[0])[0]  # type: ignore[index]
    hour, minute = int(digits), int(m["m"] or 0)
    if m["half"] and hour <= 12:
        hour = hour % 12 + (12 if m["half"] == "p" else 0)
    if hour > 23:
        return None
    sure = bool(m["half"]) or hour > 12 or digits.startswith("0")
    return Clock(
        m.start(), m.end(), hour, minute, sure=sure, loose=m["sep"] == "." and not m["half"]
    )


def _compact(m: re.Match[str]) -> Clock:
    hour = int(m["hour"]) % 12 + (12 if m["half"] == "p" else 0)
    return Clock(m.start(), m.end(), hour, int(m["min"]), sure=True, loose=False)


def _range(lowered: str, m: re.Match[str]) -> Clock | None:
    """When it begins, where it is as long as a session is."""
    hour, end = int(m["h1"]), int(m["h2"])
    minute = int(m["m1"] or 0)
    lasts = (end - hour) * 60 + int(m["m2"] or 0) - minute
    lasts = lasts % 720 if max(hour, end) <= 12 else lasts
    if max(hour, end) > 23 or not 0 < lasts <= _LONGEST:
        return None
    if _NO_SESSION.search(lowered[max(0, m.start() - 45) : m.start()]):
        return None
    half = m["half1"] or m["half2"]
    if half and hour <= 12:
        later = (half == "p") != (not m["half1"] and hour % 12 > end % 12)  # "11-12.30pm"
        hour = hour % 12 + (12 if later else 0)
    sure = bool(half) or hour > 12 or m["h1"].startswith("0")
    plain = not half and ":" not in m[0]
    return Clock(m.start(), m.end(), hour, minute, sure=sure, loose=plain)


def _spoken(m: re.Match[str]) -> Clock | None:
    minutes = _MINUTES.get(m["min"].replace("-", " ")) or int(m["min"])
    hour = _number(m["hour"])
    if m["dir"] == "to":
        hour, minutes = (hour - 1) or 12, 60 - minutes
    elif not m["dir"] and minutes != 30:
        return None  # "ten six" is no time
    if m["half"]:
        hour = hour % 12 + (12 if m["half"] == "p" else 0)
    return Clock(m.start(), m.end(), hour, minutes, sure=bool(m["half"]), loose=False)


def _word(m: re.Match[str], *, loose: bool = False) -> Clock:
    hour = _HOUR_OF[m["hour"]]
    minute = {"thirty": 30, "fifteen": 15}.get(m["min"] or "", 45 if m["min"] else 0)
    half = m.groupdict().get("half")
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return Clock(m.start(), m.end(), hour, minute, sure=bool(half), loose=loose)


def _said_in_hours(m: re.Match[str]) -> Clock:
    hour = _number(m["after"] or m["before"])
    minute = {None: 0, "fifteen": 15, "15": 15}.get(m["min"], 30)
    return Clock(m.start(), m.end(), hour, minute, sure=True, loose=False)
