"""When the session in question is, in whatever way people say it.

Days and clock times are found apart, then joined; both are resolved against the day the message was
sent, in Europe/London. What is left open the way people leave it open: "at 4" is in the afternoon, "at
10" in the morning, "Tuesday" the next one unless the sentence looks back.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from triage.detectors.mention import Mention
from triage.language import Reading
from triage.records import Part

LONDON: Final = ZoneInfo("Europe/London")

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_HOURS: Final = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_HOUR_OF: Final = {w: n for n, w in enumerate(_HOURS.split("|"), 1)}
_MINUTES_OF: Final = {
    "five": 5, "ten": 10, "quarter": 15, "twenty": 20, "twenty-five": 25, "twenty five": 25, "half": 30,
}  # fmt: skip

_WEEKDAY = (
    r"(?P<wd>mon(?:day)?|tue(?:s(?:day)?)?|tuseday|wed(?:s|nesday)?|wednes|wensday|wendesday|thu(?:r(?:s(?:day)?)?)?"
    r"|thurday|thrusday|fri(?:day)?|sat(?:urday)?|saterday|sun(?:day)?)(?P<plural>s(?=\b(?!')))?(?:'?s)?\b\.?"
)
_MONTH = (
    r"(?P<{0}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = re.compile(
    r"(?=[0-9a-y])(?:"
    r"(?P<iso>\b20\d\d-[01]\d-[0-3]\d\b)(?:t(?P<isotime>[0-2]\d:[0-5]\d))?"
    r"|\b(?:(?P<pre>(?:a |one )?(?:week|fortnight) (?:on|from|this|next)|two weeks on|(?:this|the) coming|this past|coming"
    r"|this|next|last|past|following|every|each|most|first thing|alternate)\s+)?"
    + _WEEKDAY
    + r"(?:,?\s+(?P<post>week\b|fortnight|coming|next\b|last\b|just gone|gone|past\b(?! \w+ (?:o'?clock|in))|after next))?"
    r"(?:\s+(?P<wpart>morning|afternoon|evening|eve|night|lunchtime|teatime)s?\b)?"
    r"|\b(?P<rel>(?:today|tomorrow) (?:week|fortnight)|today|tonight|tonite|todays|this (?:morning|afternoon|evening|lunchtime)|(?:the )?day after tomorrow"
    r"|tomorrow|tomorow|tommorow|tommorrow|tomorows?|tmrws?|tmw|tmr|tomoz|2moro|2morrow|yesterday|last (?:night|evening)|the day before yesterday"
    r"|in (?:an|one|half an|two|2|three|3) hours?(?:'?s? time)?|(?:in )?(?:a|one|1) (?:week|fortnight) (?:today|tomorrow|yesterday)|(?:today|tomorrow) (?:week|fortnight)"
    r"|in (?:two|three|four|five|2|3|4|5) (?:days|weeks)'?(?: time)?|in a (?:fortnight|(?:day|week|fortnight)'?s time)|(?:the )?same (?:day|evening|morning|afternoon))(?:'?s)?\b"
    r"(?:\s+(?P<rpart>morning|afternoon|evening|night|lunchtime|teatime)\b)?"
    r"|(?<![\d£./:])\b(?P<d1>[0-3]?\d)(?:st|nd|rd|th)?(?:\s+(?:of\s+)?|-)?(?:day of )?"
    + _MONTH.format("m1")
    + r"(?:,?\s+(?P<y1>20\d\d)\b)?"
    r"|\b" + _MONTH.format("m2") + r"\s+(?:the\s+)?(?P<d2>[0-3]?\d)(?:st|nd|rd|th)?\b(?![:.]\d|\d)"
    r"|(?<![\d£./:-])\b(?P<d3>[0-3]?\d)/(?P<m3>[01]?\d)(?:/(?P<y3>(?:20)?\d\d))?\b(?![/\d])"
    r"|(?<![\d£./:-])\b(?P<d4>[0-3]?\d)\.(?P<m4>[01]?\d)\.(?P<y4>(?:20)?\d\d\b)?(?!\d)"
    r"|\b(?:the )?(?P<d5>[0-3]?\d)(?:st|nd|rd|th)\b(?! (?:session|time|week|appointment|birthday|year|century|meeting|month|floor|of (?:six|eight|ten|twelve|\d)))"
    r"|\bthe (?P<d6>[12]\d|3[01])\b(?=[,.) ]*(?:$|\n|at\b|when\b|and\b|is\b|off\b))"
    r"|\b(?:the )?(?P<spoken>(?:(?:twenty|thirty)[ -](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|eleventh|twelfth"
    r"|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth))\b)",
)
#: Straight after a weekday: "6th", "the 23", "9 October", "25/1", "20.06", "13".
_DATE_AFTER = re.compile(
    r"[\s,(]*(?:the\s+)?(?:(?P<d>[0-3]?\d)(?:(?P<ord>st|nd|rd|th)\b)?(?:\s*(?:of\s+)?"
    + _MONTH.format("mon")
    + r")?"
    r"(?:[/.](?P<m>[01]?\d)\b(?!\s*[ap]\.?m))?\.?(?:[\s/]*(?P<y>20\d\d)\b)?)(?!\d|\s*[ap]\.?m\b|[:.]\d\d|h\b|\s*o'?clock)",
    re.IGNORECASE,
)
_AMPM = r"(?:\s?(?P<{0}>[ap])\.?m\b\.?)"
_CLOCK = re.compile(
    r"(?<![\d£$€./:-])\b(?P<h1>[01]?\d|2[0-4])(?:[:.h](?P<n1>[0-5]\d))?\s?(?:(?P<ap1>[ap])\.?m\b\.?|h\b|(?P<oc>o'?clock\b))"
    r"|(?<![\d£$€./:-])\b(?P<h2>[01]?\d|2[0-3])(?P<sep>[:.h])(?P<n2>[0-5]\d)\b(?![.:/]\d|\s?[%])"
    r"|(?:\b(?:at|was|for|my|the|her|his) )?\b(?:a )?(?P<mw>half|quarter|five|ten|twenty(?:[- ]five)?)(?: (?P<dir>past|to))? (?P<hw>"
    + _HOURS
    + r"|(?:[1-9]|1[0-2])\b(?![:.%]))\b(?! (?:years|months|weeks|sessions|minutes|of|people|times|days))"
    + _AMPM.format("ap3")
    + "?"
    r"|\b(?P<hw4>"
    + _HOURS
    + r")(?: (?P<thirty>thirty|fifteen|forty-five))? ?(?:(?P<oc4>o'?clock)|"
    + _AMPM.format("ap4")
    + r"|(?=in the (?:morning|afternoon|evening|forenoon)|at night|tonight|this (?:morning|afternoon|evening)|(?<!\bone )tomorrow|(?<!\bone )today))"
    r"|\b(?P<noon>(?:12 )?noon|midday|midnight)\b"
    r"|(?:\bat|@|\bfrom|\bwas|\bfor|\bmy|\bthe|\bhis|\bher|\btheir)\s(?!(?<!at )one\b)(?P<h5>[1-9]|1\d|2[0-3]|"
    + _HOURS
    + r")\b(?![:.,]?\d|\s?(?:%|o'?clock|[ap]\.?m\b|st\b|nd\b|rd\b|th\b|-|years?|months?|weeks?|days?|sessions?|minutes?|mins?|hours?|people|of\b|or\b|times?|and a half|who|whole|separate|clients?|different|children|kids|questions?|things?|points?|reasons?|years|stone|the latest|least|most|past|to (?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\d)))"
    r"(?P<loose>)"
    r"|(?<![\w£.,:/#-])(?P<h6>[1-9]|1[0-2])(?= (?:tonight|today|tomorrow|tmrw|yesterday|this (?:morning|afternoon|evening)|in the (?:morning|afternoon|evening)|at night))",
)
#: Straight after a day: "Thursday 5.30", "Fri 4", "Weds 3rd 1330", "Monday at five", "mon quarter to".
_CLOCK_AFTER = re.compile(
    r"[\s,(/@|-]*(?:at |from |@ ?|for )?(?!(?<!at )one\b)(?:(?P<hh>[01]\d|2[0-3])(?P<nn>[0-5][05])|(?P<h>[1-9]|1\d|2[0-3])|(?<=at )(?P<hw>"
    + _HOURS
    + r"))\b(?![:.,/-]?\d|\s?(?:[%/]|st\b|nd\b|rd\b|th\b|-|years?|months?|weeks?|sessions?|minutes?|mins?|hours?|people|of\b|or\b|times?|who|clients?|past\b|(?:"
    "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)))",
    re.IGNORECASE,
)
_PART_AFTER = re.compile(
    r"[\s,(]*(?:(?:in|during) the |at |this |that |tomorrow |yesterday |on \w+day )?(?P<p>morning|afternoon|evening|forenoon|night|tonight)\b",
    re.IGNORECASE,
)
_SAME_TIME = re.compile(r"[\s,(]*(?:at (?:the )?)?same (?:time|hour)", re.IGNORECASE)

_PAST = re.compile(
    r"\b(?:was|were|had|has (?:now )?(?:passed|lapsed|expired|gone)|lapsed|expired|missed|went|ran out|didn'?t|did not|gone|saw"
    r"|met|finished|happened|took place|came|talked|told|spoke|tried|rang|sent|wrote|messaged|emailed|unconfirmed|timed out|dropped"
    r"|held|came up|passed|already)\b",
    re.IGNORECASE,
)
_OUTRIGHT_PAST = re.compile(
    r"\b(?:was|were|had|met|saw|took place|happened|missed|lapsed|expired|last|past|didn'?t)\b", re.IGNORECASE
)
_FUTURE = re.compile(
    r"\b(?:will|shall|'ll|going to|is (?:to|due|booked|down)|cancel|next|coming|upcoming|booked for|due (?:on|at|to)|before|until"
    r"|please|pls|off|can'?t|cannot|new|not yet|meant to|supposed to|are down|am seeing|i'?m seeing|pull|remove|release|stands?|keep(?:ing)?)\b",
    re.IGNORECASE,
)
_RECURRING = re.compile(
    r"\b(?:every|each|weekly|fortnightly|usually|regular(?:ly)?|alternate|only (?:do|free|available|works?)|can do|available|free on"
    r"|can (?:only )?(?:make|manage)|prefers?|evenings? or|or (?:sat|sun)|if possible|any time|hours are)\b[^.\n]{0,18}$",
    re.IGNORECASE,
)
#: Not when the session is: when somebody was or will be told, or by when an answer is wanted.
_CONTACT = re.compile(
    r"\b(?:told|tell(?:ing)?|rang|ring(?:ing)?|phon(?:ed?|ing)|call(?:ed|ing)?|spoke|speak(?:ing)?|talk(?:ed|ing)?|messag(?:e|ed|ing)|msg(?:ed)?|dm'?d|text(?:ed|ing)?"
    r"|email(?:ed|ing)?|e-mailed|mailed|wr(?:ote|ite|iting|itten)|sent|left (?:a|her|him|them)|let (?:her|him|them) know|break it|supervis(?:ion|or)|meeting with|discuss(?:ed)?"
    r"|asked|request(?:ed)?|replied|answered|read|opened|saw (?:the|your|his|her|their) (?:form|saq|questionnaire|message|email)|reach(?:ed|able)?|booked (?:in )?(?:on|last)"
    r"|emailed|reminder|your (?:email|message|mail|reply|note)|office|closed|away|back (?:on|at|in)|training|dentist|holiday|annual leave|since|webinar|interview)\b[^.\n;:(]{0,45}$",
    re.IGNORECASE,
)
#: "yesterday evening I wrote", "Tomorrow I'll ring her".
_CONTACT_AFTER = re.compile(
    r"[,\s]*(?:and )?(?:i|we|she|he|they)(?:'ve|'ll|'m|'d| have| will| am| shall| had)?(?: \w+)?? (?:told|tell(?:ing)?|r[ai]ng(?:ing)?|phon(?:ed?|ing)|call(?:ed|ing)?|spoke"
    r"|speak(?:ing)?|talk(?:ed|ing)?|messag(?:e|ed|ing)|text(?:ed|ing)?|email(?:ed|ing)?|wr(?:ote|ite|iting)|sent|send(?:ing)?|asked|tried|try|left)\b",
    re.IGNORECASE,
)
_TOO_LATE = re.compile(
    r"\b(?:too late|expired?|lapsed?|unconfirmed|for the (?:record|file|log)|ran out|run out|on (?:the )?record|on file|timed out|after the (?:fact|event)"
    r"|missed|never confirmed|didn'?t confirm|not confirmed|no-?show|gone past|has passed|went by|came and went|dropped off)\b",
    re.IGNORECASE,
)
_DEADLINE = re.compile(
    r"\b(?:by|before|until|till|til|after|since|between|no later than|than)[\s(]*(?:my |the |our |her |his |this |next |last |then |end of )?$",
    re.IGNORECASE,
)
_SESSION = re.compile(
    r"\b(?:sessions?|booking|booked|appointment|appt|slot|consultation|intake|initial|first|1st|meeting|meet|hour|cancel\w*|take (?:it |him |her |them )?off|remove|pull"
    r"|release|new (?:client|one|lady|man|chap|guy|lad|person|gentleman|booking|couple)|due|down for|scheduled|seeing|see (?:him|her|them)|lapsed|expired|unconfirmed|next one|last one|final|newbie)\b",
    re.IGNORECASE,
)
_ID_NEAR = re.compile(r"HT ?-? ?\d|#\d{6}|\b\d{6}\b|/sessions/", re.IGNORECASE)
_MY_HANDLE = re.compile(
    r"\b(?:my|the|his|her|their|our|your|today'?s|tomorrow'?s|this (?:morning|afternoon|evening)'?s|\w+day'?s)\s$",
    re.IGNORECASE,
)
_VERB_SAT: Final = frozenset(("sat", "sun", "wed"))


_Tense = Literal["ahead", "behind", "nearest"]


@dataclass(frozen=True, slots=True)
class _Day:
    first: int
    last: int
    day: date
    part: str = ""
    vague: str = ""  # "recurring", "same"
    clock: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Clock:
    first: int
    last: int
    hour: int
    minute: int
    sure: bool  # whether morning or afternoon is said
    loose: bool  # a bare number that is a time only beside a day


def session_times(reading: Reading) -> tuple[Mention, ...]:
    """Every time that the subject and new text name, resolved, as "YYYY-MM-DDTHH:MM" or "YYYY-MM-DD".

    ``confidence`` says how likely it is the session's own time rather than that of a call, a message
    or a deadline; ``choose`` picks the best. Flags: "recurring", "contact", "deadline", "handle" ("my
    9am").
    """
    sent = reading.email.sent_at.astimezone(LONDON)
    found: list[Mention] = []
    before: list[_Day] = []
    parts: tuple[Part, ...] = ("subject", "new_text")
    for part in parts:
        found += _in_part(reading, part, sent, before)
    return tuple(found)


def choose(mentions: Sequence[Mention]) -> Mention | None:
    """The mention that most likely tells when the session is, or None.

    Among mentions of the same day the one with a clock time is taken.
    """
    named = [m for m in mentions if m.label == "session_time"]
    times = [m for m in named if "recurring" not in m.flags]
    best = max(times, key=lambda m: m.confidence, default=None)
    if best is None or best.confidence < _ENOUGH:
        return None
    if "T" in best.value:
        return best
    clocked = [m for m in times if m.value.startswith(best.value + "T") and m.confidence >= _ENOUGH]
    if clocked:
        return max(clocked, key=lambda m: m.confidence)
    weekday = date.fromisoformat(best.value).weekday()
    for m in named:  # "Thursdays at noon … this Thursday"
        day, _, clock = m.value.partition("T")
        if clock and "recurring" in m.flags and date.fromisoformat(day).weekday() == weekday:
            return replace(best, value=f"{best.value}T{clock}")
    return best


_ENOUGH: Final = 0.3


def _in_part(reading: Reading, part: Part, sent: datetime, before: list[_Day]) -> Iterator[Mention]:
    text = reading.folded[part].text
    bounds = [s.first for s in reading.sentences if s.part == part]
    days = _days(text, bounds, sent)
    clocks = _clocks(text, days)
    for first, last, day, clock in _join(text, bounds, days, clocks, before, sent):
        if part == "subject" or day.clock is None:
            before.append(day)
        yield _mention(reading, part, first, last, day, clock)


# --- days -----------------------------------------------------------------------------------------


def _days(text: str, bounds: list[int], sent: datetime) -> list[_Day]:
    days: list[_Day] = []
    too_late = _TOO_LATE.search(text) is not None
    for m in _DAY.finditer(_lower(text)):
        if days and m.start() < days[-1].last:
            continue
        tense = "nearest" if too_late else ("behind" if _looks_back(text, bounds, m) else "ahead")
        day = _day(text, m, sent, days, tense)
        if day is not None:
            days.append(day)
    return days


def _lower(text: str) -> str:
    """Lower case of the same length, so that offsets stay."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text


def _looks_back(text: str, bounds: list[int], m: re.Match[str]) -> bool:
    """Whether the clause speaks of the past: the nearest tense word before decides, else behind.

    A day with its clock time is an appointment, which lies ahead unless said otherwise outright.
    """
    begin = bounds[max(bisect_right(bounds, m.start()) - 1, 0)] if bounds else 0
    clause = text[max(begin, m.start() - 70) : m.start()]
    if _CLOCK_AFTER.match(text, m.end()) or _CLOCK.search(text, m.end(), m.end() + _CLOSE):
        return _OUTRIGHT_PAST.search(clause[-32:]) is not None
    past = max((p.end() for p in _PAST.finditer(clause)), default=-1)
    future = max((p.end() for p in _FUTURE.finditer(clause)), default=-1)
    if past >= 0 or future >= 0:
        return past > future
    behind = text[m.end() : m.end() + 50].split("\n", 1)[0]
    first_past, first_future = _PAST.search(behind), _FUTURE.search(behind)
    if first_past is None:
        return False
    return first_future is None or first_past.start() < first_future.start()


def _day(text: str, m: re.Match[str], sent: datetime, seen: list[_Day], tense: _Tense) -> _Day | None:
    today = sent.date()
    if m["wd"]:
        return _weekday(text, m, today, tense)
    if m["rel"]:
        return _relative(m, sent, seen)
    if m["iso"]:
        clock = tuple(map(int, m["isotime"].split(":"))) if m["isotime"] else None
        try:
            day = date.fromisoformat(m["iso"])
        except ValueError:
            return None
        return _Day(m.start(), m.end(), day, clock=clock)  # type: ignore[arg-type]
    for n in "1234":
        if m[f"d{n}"]:
            year = m[f"y{n}"] if n != "2" else None
            found = _date(today, int(m[f"d{n}"]), _month(m[f"m{n}"]), year)
            return found and _Day(m.start(), m.end(), found)
    number = int(m["d5"] or m["d6"] or _spoken_number(m["spoken"]))
    found = _day_of_month(today, number, tense)
    return found and _Day(m.start(), m.end(), found)


_TEENS: Final = (
    "tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
_UNITS: Final = "first second third fourth fifth sixth seventh eighth ninth".split()


def _spoken_number(words: str) -> int:
    tens, _, unit = words.replace("-", " ").partition(" ")
    if unit:
        return (20 if tens == "twenty" else 30) + _UNITS.index(unit) + 1
    return 30 if tens == "thirtieth" else 10 + _TEENS.index(tens)


def _month(name: str) -> int:
    return int(name) if name.isdigit() else _MONTHS.index(name[:3].lower()) + 1


_RECENT: Final = timedelta(days=14)


def _date(today: date, day: int, month: int, year: str | None) -> date | None:
    """The date; without a year the one nearest to *today*."""
    years = [int(year) % 100 + 2000] if year else [today.year - 1, today.year, today.year + 1]
    dates = []
    for y in years:
        try:
            dates.append(date(y, month, day))
        except ValueError:
            continue
    return min(dates, key=lambda d: abs(d - today), default=None)


def _day_of_month(today: date, day: int, tense: _Tense, weekday: int | None = None) -> date | None:
    """Such a day of a month near *today*; *weekday* must fit where one is given."""
    candidates = []
    for shift in (-1, 0, 1, 2):
        month = today.month - 1 + shift
        try:
            candidates.append(date(today.year + month // 12, month % 12 + 1, day))
        except ValueError:
            continue
    if weekday is not None:
        candidates = [d for d in candidates if d.weekday() == weekday]
    if weekday is not None or tense == "nearest":
        return min(candidates, key=lambda d: abs(d - today), default=None)
    behind = [d for d in candidates if d <= today]
    if tense == "behind" and behind and today - behind[-1] <= _RECENT:
        return behind[-1]
    return next((d for d in candidates if d >= today), None)


def _weekday(text: str, m: re.Match[str], today: date, tense: _Tense) -> _Day | None:
    name = m["wd"].lower()
    if name in _VERB_SAT and not _is_day_name(text, m):
        return None
    number = _WEEKDAYS.index(name[:3])
    pre = " ".join((m["pre"] or "").lower().split())
    post = (m["post"] or "").lower()
    part = (m["wpart"] or "").lower()
    after = _DATE_AFTER.match(text, m.end())
    dated = after and _dated_weekday(today, number, after, text)
    if after and dated:
        return _Day(m.start(), after.end(), dated, part)
    plural = bool(m["plural"]) and name.endswith("day")
    if plural or pre in {"every", "each", "most", "alternate"}:
        return _Day(m.start(), m.end(), _named_day(today, number, "", "", "ahead"), part, "recurring")
    return _Day(m.start(), m.end(), _named_day(today, number, pre, post, tense), part)


def _is_day_name(text: str, m: re.Match[str]) -> bool:
    """Whether "sat", "sun" or "wed" is a day here and no verb."""
    if m["pre"] or m["post"] or m["wpart"]:
        return True
    follows = text[m.end() : m.end() + 12]
    if re.match(r"[\s,.]*(?:\d|at \d|the \d|noon|half|quarter|am\b|pm\b|\)|$)", follows):
        return True
    before = text[max(0, m.start() - 10) : m.start()].lower()
    capital = (
        text[m.start("wd")].isupper() and not text.isupper() and not re.search(r"(?:^|[.!?]\s*)$", before)
    )
    return capital or bool(re.search(r"\b(?:on|for|ahead|until|by|til)\s$", before))


def _dated_weekday(today: date, number: int, after: re.Match[str], text: str) -> date | None:
    """The date behind a weekday, where it is one: "Thursday 6th", but not "Thursday 6"."""
    day = int(after["d"])
    if after["mon"]:
        return _date(today, day, _month(after["mon"]), after["y"])
    if after["m"]:
        found = _date(today, day, int(after["m"]), after["y"]) if int(after["m"]) else None
        return found if found and found.weekday() == number else None
    found = _day_of_month(today, day, "ahead", number)
    if after["ord"]:
        return found or _day_of_month(today, day, "ahead")
    said_the = "the" in text[after.start() : after.start("d")].lower()
    return (
        found if found and (said_the or day > 12 or _CLOCK_AFTER.match(text, after.end())) else None
    )


def _named_day(today: date, number: int, pre: str, post: str, tense: _Tense) -> date:
    ahead = today + timedelta((number - today.weekday() - 1) % 7 + 1)
    behind = today - timedelta((today.weekday() - number - 1) % 7 + 1)
    if post in {"week", "after next"} or pre.endswith(("week on", "week from", "week this")):
        return ahead + timedelta(7)
    if (
        post == "fortnight"
        or pre.endswith(("fortnight on", "fortnight from"))
        or pre == "two weeks on"
    ):
        return ahead + timedelta(14)
    if pre in {"last", "past", "this past"} or post in {"last", "gone", "just gone", "past"}:
        return behind
    if pre == "next":
        monday = today - timedelta(today.weekday())
        return monday + timedelta(7 + number)
    if "coming" in (pre + post) or post == "next" or (pre == "this" and number > today.weekday()):
        return ahead
    if tense == "nearest":
        return min(today + timedelta((number - today.weekday() + 3) % 7 - 3), ahead)
    return behind if tense == "behind" else ahead


def _relative(m: re.Match[str], sent: datetime, seen: list[_Day]) -> _Day | None:
    words = " ".join(m["rel"].lower().split())
    part = (m["rpart"] or "").lower()
    today = sent.date()
    if "hour" in words:
        return _in_hours(m, sent, words)
    if "same" in words:
        last = next((d for d in reversed(seen) if not d.vague), None)
        return last and _Day(m.start(), m.end(), last.day, words.split()[-1].replace("day", ""))
    shift = _shift(words)
    if not part:
        part = "night" if "night" in words or "tonite" in words else ""
        part = next((p for p in ("morning", "afternoon", "evening") if p in words), part)
    return _Day(m.start(), m.end(), today + timedelta(shift), part)


def _shift(words: str) -> int:
    """How many days from the day of sending."""
    if words.startswith(("today", "tonight", "tonite", "this")) and "week" not in words:
        return 0
    tomorrow = "tom" in words or "tm" in words or "2mo" in words
    base = 1 if tomorrow else (-1 if "yesterday" in words else 0)
    if "day after" in words:
        return 2
    if "day before" in words:
        return -2
    if words.startswith("last"):
        return -1
    if words.endswith(("day week", "row week", "fortnight")) and words.startswith(("today", "tom")):
        return base + (14 if "fort" in words else 7)
    counted = re.search(r"\b(a|one|1|two|2|three|3|four|4|five|5) (day|week|fortnight)", words)
    if counted is None:
        return base
    number = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}.get(counted[1])
    unit = {"day": 1, "week": 7, "fortnight": 14}[counted[2]]
    return base + (number or int(counted[1])) * unit


def _in_hours(m: re.Match[str], sent: datetime, words: str) -> _Day:
    hours = (
        0.5 if "half" in words else {"two": 2, "2": 2, "three": 3, "3": 3}.get(words.split()[1], 1)
    )
    then = sent + timedelta(hours=hours)
    then += timedelta(minutes=(-then.minute + 7) % 15 - 7)  # people mean the nearest quarter
    return _Day(m.start(), m.end(), then.date(), clock=(then.hour, then.minute))


# --- clock times ----------------------------------------------------------------------------------


def _clocks(text: str, days: list[_Day]) -> list[_Clock]:
    taken = [(d.first, d.last) for d in days]
    clocks = []
    for m in _CLOCK.finditer(_lower(text)):
        if any(m.start() < last and first < m.end() for first, last in taken):
            continue
        clock = _clock(m)
        if clock is not None:
            clocks.append(clock)
    return clocks


def _clock(m: re.Match[str]) -> _Clock | None:
    if m["noon"]:
        return _Clock(
            m.start(), m.end(), 0 if "midn" in m["noon"].lower() else 12, 0, sure=True, loose=False
        )
    half = (m["ap1"] or m["ap3"] or m["ap4"] or "").lower()
    minute = 0
    if m["h1"]:
        hour, minute = int(m["h1"]), int(m["n1"] or 0)
    elif m["h2"]:
        hour, minute = int(m["h2"]), int(m["n2"])
    elif m["mw"]:
        hour, minute = _spoken(m)
    elif m["hw4"]:
        hour = _HOUR_OF[m["hw4"].lower()]
        minute = {"thirty": 30, "fifteen": 15, "forty-five": 45}.get((m["thirty"] or "").lower(), 0)
    else:
        said = (m["h5"] or m["h6"]).lower()
        hour = _HOUR_OF.get(said) or int(said)
    if hour > 23 or hour < 0:
        return None
    if half:
        hour = hour % 12 + (12 if half == "p" else 0) if hour <= 12 else hour
    on_24 = hour > 12 or (m["h2"] is not None and (len(m["h2"]) == 2 and m["h2"][0] == "0"))
    start = m.start(next((g for g in ("h5", "mw") if m[g]), 0))
    loose = m["h5"] is not None or (m["h2"] is not None and m["sep"] == ".")
    return _Clock(start, m.end(), hour, minute, sure=bool(half) or on_24 or hour == 0, loose=loose)


def _spoken(m: re.Match[str]) -> tuple[int, int]:
    said = m["hw"].lower()
    hour = _HOUR_OF.get(said) or int(said)
    minutes = _MINUTES_OF[m["mw"].lower()]
    if (m["dir"] or "").lower() == "to":
        return (hour - 1) or 12, 60 - minutes
    if m["dir"] or minutes == 30:
        return hour, minutes
    return -1, 0  # "ten six" is no time


def _settle_half(clock: _Clock, part: str) -> tuple[int, int]:
    """Morning or afternoon: as said, else as sessions are: 8 to 12 by day, 1 to 7 in the afternoon."""
    hour = clock.hour
    if clock.sure or hour > 12:
        return hour, clock.minute
    if part in {"morning", "forenoon"}:
        return hour % 12 if hour == 12 else hour, clock.minute
    if part in {"afternoon", "evening", "eve", "night", "tonight", "teatime"}:
        return hour % 12 + 12, clock.minute
    return (hour + 12 if hour <= 7 else hour), clock.minute


# --- days and clock times together ----------------------------------------------------------------

_Joined = tuple[int, int, _Day, tuple[int, int] | None]


def _join(
    text: str,
    bounds: list[int],
    days: list[_Day],
    clocks: list[_Clock],
    before: list[_Day],
    sent: datetime,
) -> Iterator[_Joined]:
    partners = _partners(text, bounds, days, clocks)
    used = {id(c) for c in partners.values()}
    joined: list[_Joined] = []
    for n, day in enumerate(days):
        partner = partners.get(n)
        if partner is not None:
            joined.append(_with_clock(text, day, partner))
            continue
        tight = _CLOCK_AFTER.match(text, day.last)
        if tight:
            joined.append(_with_clock(text, day, _tight_clock(tight)))
        elif _SAME_TIME.match(text, day.last):
            last = next((j[3] for j in reversed(joined) if j[3]), None)
            joined.append((day.first, day.last, day, last))
        else:
            joined.append((day.first, day.last, day, day.clock))
    for clock in clocks:
        if id(clock) not in used and not clock.loose:
            joined += _alone(text, clock, joined, before, sent)
    return iter(sorted(joined, key=lambda j: j[0]))


def _tight_clock(m: re.Match[str]) -> _Clock:
    if m["hh"]:
        return _Clock(m.start("hh"), m.end(), int(m["hh"]), int(m["nn"]), sure=True, loose=True)
    said = m["h"] or m["hw"]
    hour = _HOUR_OF.get(said.lower()) or int(said)
    start = m.start("h") if m["h"] else m.start("hw")
    return _Clock(start, m.end(), hour, 0, sure=hour > 12, loose=True)


def _partners(text: str, bounds: list[int], days: list[_Day], clocks: list[_Clock]) -> dict[int, _Clock]:
    """Each day's clock time, the closest pairs first."""
    pairs = []
    for n, day in enumerate(days):
        for clock in clocks:
            gap = _gap(text, bounds, day, clock, days)
            if gap is not None:
                pairs.append((gap, n, clock))
    chosen: dict[int, _Clock] = {}
    taken: set[int] = set()
    for _, n, clock in sorted(pairs, key=lambda p: p[0]):
        if n not in chosen and id(clock) not in taken:
            chosen[n] = clock
            taken.add(id(clock))
    return chosen


def _gap(text: str, bounds: list[int], day: _Day, clock: _Clock, days: list[_Day]) -> int | None:
    """Characters between the two, or None where they do not belong together."""
    ahead = clock.first >= day.last
    low, high = (day.last, clock.first) if ahead else (clock.last, day.first)
    if not 0 <= high - low < _FAR:
        return None
    between = text[low:high]
    if "\n" in between or any(low < d.first < high for d in days):
        return None
    if not ahead and not _LINK_BACK.fullmatch(between):
        return None
    if high - low > _CLOSE and (clock.loose or _breaks(bounds, low, high)):
        return None
    return high - low


_FAR: Final = 40
_LINK_BACK = re.compile(
    r"[\s,(]*(?:(?:o'?clock|slot|in the \w+|at night|session|appointment|on|of|this|,)\s?)*(?:the )?", re.IGNORECASE
)
_CLOSE: Final = 14


def _breaks(bounds: list[int], low: int, high: int) -> bool:
    return bisect_right(bounds, high) != bisect_right(bounds, low)


def _with_clock(text: str, day: _Day, clock: _Clock) -> _Joined:
    after = _PART_AFTER.match(text, clock.last)
    part = day.part or (after["p"].lower() if after else "")
    first, last = min(day.first, clock.first), max(day.last, clock.last)
    return first, last, day, _settle_half(clock, part)


def _alone(
    text: str, clock: _Clock, joined: list[_Joined], before: list[_Day], sent: datetime
) -> Iterator[_Joined]:
    """A clock time with no day beside it: of the last day named without one, else of today ("my 9am")."""
    if any(j[3] and j[3][0] % 12 == clock.hour % 12 and j[3][1] == clock.minute for j in joined):
        return  # "the 8am" again
    behind = [j for j in joined if j[0] < clock.first and not j[2].vague]
    open_days = [j[2] for j in behind if j[3] is None] or [d for d in before if not d.vague][-1:]
    after = _PART_AFTER.match(text, clock.last)
    part = after["p"].lower() if after else ""
    is_handle = _MY_HANDLE.search(text[max(0, clock.first - 12) : clock.first]) is not None
    if open_days and not (is_handle and not before):
        day = open_days[-1]
    elif is_handle or part or _ID_NEAR.search(text[max(0, clock.first - 20) : clock.last + 20]):
        day = _Day(clock.first, clock.last, sent.date(), part)
    else:
        return
    yield (
        clock.first,
        clock.last,
        _Day(clock.first, clock.last, day.day, part),
        _settle_half(clock, part),
    )


# --- whose time it is -----------------------------------------------------------------------------


def _mention(
    reading: Reading, part: Part, first: int, last: int, day: _Day, clock: tuple[int, int] | None
) -> Mention:
    text = reading.folded[part].text
    at = reading.sentence_at(part, first)
    sentence = reading.sentences[at]
    before = text[max(sentence.first, first - 60) : first]
    after = text[last : min(sentence.last, last + 45)]
    flags = set()
    if day.vague == "recurring" or _RECURRING.search(before):
        flags.add("recurring")
    about = max((m.start() for p in (_SESSION, _ID_NEAR) for m in p.finditer(before)), default=-1)
    contact = _CONTACT.search(before)
    if (contact and contact.start() > about) or _CONTACT_AFTER.match(after):
        flags.add("contact")
    if _DEADLINE.search(before):
        flags.add("deadline")
    if clock is not None and _MY_HANDLE.search(before):
        flags.add("handle")
    value = day.day.isoformat() + (f"T{clock[0]:02}:{clock[1]:02}" if clock else "")
    score = 0.35 + 0.2 * (clock is not None) + 0.1 * (part == "subject")
    score += 0.2 * bool(_ID_NEAR.search(before) or _ID_NEAR.search(after))
    score += 0.15 * (about >= 0 or _SESSION.search(after) is not None)
    score -= (
        0.35 * ("contact" in flags) + 0.35 * ("deadline" in flags) + 0.5 * ("recurring" in flags)
    )
    confidence = min(max(score, 0.02), 0.97)
    span = reading.span(part, first, last)
    return Mention("session_time", value, span, at, "session_time", confidence, frozenset(flags))
