"""When the session in question is, in whatever way people say it.

Days and clock times are found apart, then joined; of several times the one said of the session is
chosen, not that of a call, a message or a deadline.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from math import exp
from typing import Final
from zoneinfo import ZoneInfo

from triage.detectors.clocks import Clock, clock_after, clocks, part_after, settled
from triage.detectors.days import Day, days, is_too_late
from triage.detectors.mention import Mention
from triage.language import Reading
from triage.records import Part

LONDON: Final = ZoneInfo("Europe/London")

_RECURRING = re.compile(
    r"\b(?:every|each|weekly|fortnightly|usually|regular(?:ly)?|alternate|only (?:do|free"
    r"|available|works?)|can do|available|free on"
    r"|can (?:only )?(?:make|manage)|prefers?|evenings? or|or (?:sat|sun)|if possible|any time"
    r"|hours are)\b[^.\n]{0,18}$"
    r"|\b(?<!as )usual(?: slot| time)?(?: on| of| is)?\s(?:a )?$"
)
#: "Thursday 5pm weekly", "Monday at 3 each week".
_RECURRING_AFTER = re.compile(
    r"[\s,(]*(?:(?:each|every)(?: other)? (?:week|fortnight|month)\b|weekly\b|fortnightly\b)"
)
#: Not when the session is: when somebody was or will be told, or by when an answer is wanted.
_CONTACT = re.compile(
    r"\b(?:told|tell(?:ing)?|rang|ring(?:ing)?|(?:tele)?phon(?:ed?|ing)|call(?:ed|ing)?|spoke|speak(?:ing)?"
    r"|talk(?:ed|ing)?|messag(?:e|ed|ing)|msg(?:ed)?|dm'?d|text(?:ed|ing)?"
    r"|email(?:ed|ing)?|e-mailed|mailed|wr(?:ote|ite|iting|itten)|sent|left (?:a|her|him|them)"
    r"|let (?:her|him|them) know|break it|supervis(?:ion|or)|meeting with|discuss(?:ed)?"
    r"|asked|request(?:ed)?|replied|answered|read|opened|saw (?:the|your|his|her|their) (?:form"
    r"|saq|questionnaire|message|email)|reach(?:ed|able)?|booked (?:in )?(?:on|last)"
    r"|emailed|reminder|your (?:email|message|mail|reply|note)|office|closed|away|back (?:on|at"
    r"|in)|training|dentist|holiday|annual leave|since|webinar|interview)\b[^.\n;:(]{0,45}$"
)
#: "yesterday evening I wrote", "Tomorrow I'll ring her".
_CONTACT_AFTER = re.compile(
    r"[,\s]*(?:and )?(?:i|we|she|he|they)(?:'ve|'ll|'m|'d| have| will| am| shall"
    r"| had)?(?: \w+)?? (?:told|tell(?:ing)?|r[ai]ng(?:ing)?|phon(?:ed?|ing)|call(?:ed|ing)?|spoke"
    r"|speak(?:ing)?|talk(?:ed|ing)?|messag(?:e|ed|ing)|text(?:ed|ing)?|email(?:ed|ing)?|wr(?:ote"
    r"|ite|iting)|sent|send(?:ing)?|asked|tried|try|left)\b"
)
_DEADLINE = re.compile(
    r"\b(?:by|before|until|till|til|after|since|between|no later than|than)[\s(]*(?:my |the |our "
    r"|her |his |this |next |last |then |end of )?$"
)
_SESSION = re.compile(
    r"\b(?:sessions?|booking|booked|appointment|appt|slot|consultation|intake|initial|first|1st"
    r"|meeting|meet|hour|cancel\w*|take (?:it |him |her |them )?off|remove|pull"
    r"|release|new (?:client|one|lady|man|chap|guy|lad|person|gentleman|booking|couple)|due"
    r"|down for|scheduled|seeing|see (?:him|her|them)|lapsed|expired|unconfirmed|next one|last one"
    r"|final|newbie)\b"
)
_ID_NEAR = re.compile(r"HT ?-? ?\d|#\d{6}|\b\d{6}\b|/sessions/")
_MY_HANDLE = re.compile(
    r"\b(?:my|the|his|her|their|our|your|today'?s|tomorrow'?s|this (?:morning|afternoon"
    r"|evening)'?s|\w+day'?s)\s$"
)

#: "today: the 9am".
_HANDLE_WITHIN: Final = re.compile(
    r"\b(?:my|the|his|her|their|our|your) \d{1,2}(?:[:.]\d\d)? ?(?:am|pm|o'?clock)\b"
)


def session_times(reading: Reading) -> tuple[Mention, ...]:
    """Every time that the subject and new text name, resolved, as "YYYY-MM-DDTHH:MM" or
    "YYYY-MM-DD".

    ``confidence`` says how likely it is the session's own time rather than that of a call, a
    message or a deadline; ``triage.detectors.chosen_time`` picks the best. Flags: "recurring",
    "contact", "deadline", "handle" ("my 9am").
    """
    sent = reading.email.sent_at.astimezone(LONDON)
    found: list[Mention] = []
    before: list[Day] = []
    parts: tuple[Part, ...] = ("subject", "new_text")
    for part in parts:
        found += _in_part(reading, part, sent, before)
    return tuple(found)


def unsettled(day: Day) -> set[str]:
    """What a day's name leaves open, as flags: "weekday", which week; "of_month", which month."""
    return {day.open} if day.open else set()


def _in_part(reading: Reading, part: Part, sent: datetime, before: list[Day]) -> Iterator[Mention]:
    text = reading.folded[part].text
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter whose lower case is longer; keep the offsets
        lowered = text
    bounds = [s.first for s in reading.sentences if s.part == part]
    late = is_too_late(lowered)
    named = _dated(lowered, bounds, days(lowered, text, bounds, sent), before, sent)
    told = [
        c for c in clocks(lowered) if not any(d.first < c.last and c.first < d.last for d in named)
    ]
    for joined in join(lowered, bounds, named, told, before, sent):
        day = joined[2]
        if part == "subject" or day.clock is None:
            before.append(day)
        yield _mention(reading, part, lowered, sent, joined, late=late)


Joined = tuple[int, int, Day, tuple[int, int] | None]


def join(
    text: str,
    bounds: list[int],
    named: list[Day],
    told: list[Clock],
    before: list[Day],
    sent: datetime,
) -> Iterator[Joined]:
    """Days with their clock times, in order: where each begins and ends, day and clock time."""
    partners = _partners(text, bounds, named, told)
    used = {id(c) for c in partners.values()}
    joined: list[Joined] = []
    for n, day in enumerate(named):
        clock = partners.get(n) or clock_after(text, day.last)
        if clock is not None:
            joined.append(_with_clock(text, day, clock))
        elif _SAME_TIME.match(text, day.last):
            last = next((j[3] for j in reversed(joined) if j[3]), None)
            joined.append((day.first, day.last, day, last))
        else:
            joined.append((day.first, day.last, day, day.clock))
    for clock in told:
        if id(clock) not in used and (not clock.loose or _DOTTED.match(text, clock.first)):
            joined += _alone(text, bounds, clock, joined, before, sent)
    return iter(sorted(joined, key=lambda j: j[0]))


def _partners(
    text: str, bounds: list[int], named: list[Day], told: list[Clock]
) -> dict[int, Clock]:
    """Each day's clock time, the closest pairs first."""
    pairs = []
    for n, day in enumerate(named):
        for clock in told:
            gap = _gap(text, bounds, day, clock, named)
            if gap is not None:
                pairs.append((gap, n, clock))
    chosen: dict[int, Clock] = {}
    taken: set[int] = set()
    for _, n, clock in sorted(pairs, key=lambda p: p[0]):
        if n not in chosen and id(clock) not in taken:
            chosen[n] = clock
            taken.add(id(clock))
    return chosen


def _announced(text: str, bounds: list[int], behind: list[Joined], sent: datetime) -> list[Joined]:
    """Those that may be the day of sessions told below: not gone by, and not that of a call."""
    if is_too_late(text):
        return behind
    return [
        j
        for j in behind
        if j[2].day >= sent.date() and not _is_of_contact(text, bounds, j[0], j[1])
    ]


def _is_of_contact(text: str, bounds: list[int], first: int, last: int) -> bool:
    at = bisect_right(bounds, first)
    begin, end = (bounds[at - 1] if at else 0), (bounds[at] if at < len(bounds) else len(text))
    before, after = text[max(begin, first - 60) : first], text[last : min(end, last + 45)]
    return _tells_of_contact(before, after)


def _dated(
    text: str, bounds: list[int], named: list[Day], before: list[Day], sent: datetime
) -> list[Day]:
    """*named*, where a Monday that seems gone by is the one ahead that the message dates."""
    today = sent.date()
    dated = [d for d in (*before, *named) if not (d.open or d.recurring) and d.day >= today]
    known = {d.day.weekday(): d.day for d in dated}
    return [
        replace(day, day=known[day.day.weekday()])
        if day.open == "weekday"
        and day.day < today
        and day.day.weekday() in known
        and not _is_of_contact(text, bounds, day.first, day.last)
        else day
        for day in named
    ]


_FAR: Final = 40
_CLOSE: Final = 14
_LINK_BACK = re.compile(
    r"[\s,(]*(?:(?:o'?clock|sharp|start|slot|in the \w+|at night|session|appointment|on|of|for|this"
    r"|,)\s?)*(?:the )?"
)
#: A form: "Date: 19/03/26", and on the next line "Time: 12.15".
_TIME_BELOW = re.compile(r"[ .,;]*\n[^\n:]{0,20}time ?: *")
_IN_PART = re.compile(r"^ in the \w+")
_ID_BETWEEN = re.compile(
    r"\(?(?:\b(?:session|booking|ref|no|id)\b[.:]? ?)*(?:ht ?-? ?|#)?\d{6}\b\)?"
)
_DOTTED = re.compile(r"\d\d?\.[0-5]\d\b")
_SAME_TIME = re.compile(r"[\s,(]*(?:at (?:the )?)?same (?:time|hour)")


def _gap(text: str, bounds: list[int], day: Day, clock: Clock, named: list[Day]) -> int | None:
    """Characters between the two, or None where they do not belong together."""
    ahead = clock.first >= day.last
    low, high = (day.last, clock.first) if ahead else (clock.last, day.first)
    if not 0 <= high - low < 2 * _FAR:
        return None
    between = _ID_BETWEEN.sub("", text[low:high])  # "my 9am 204518 tomorrow"
    if len(between) >= _FAR:
        return None
    if ("\n" in between and not _TIME_BELOW.fullmatch(between)) or any(
        low < d.first < high for d in named
    ):
        return None
    if not ahead and not _LINK_BACK.fullmatch(between):
        return None
    if not ahead:
        between = _IN_PART.sub("", between)  # "at 7 in the evening on the 1st"
    if len(between) > _CLOSE and (clock.loose or _breaks(bounds, low, high)):
        return None
    return high - low


def _breaks(bounds: list[int], low: int, high: int) -> bool:
    return bisect_right(bounds, high) != bisect_right(bounds, low)


def _with_clock(text: str, day: Day, clock: Clock) -> Joined:
    first, last = min(day.first, clock.first), max(day.last, clock.last)
    return first, last, day, settled(clock, day.part or part_after(text, clock.last))


def _alone(
    text: str,
    bounds: list[int],
    clock: Clock,
    joined: list[Joined],
    before: list[Day],
    sent: datetime,
) -> Iterator[Joined]:
    """A clock time with no day beside it: of the last day named, else of today ("my 9am")."""
    if any(j[3] and j[3][0] % 12 == clock.hour % 12 and j[3][1] == clock.minute for j in joined):
        return  # "the 8am" again
    behind = [j for j in joined if j[0] < clock.first and not j[2].recurring]
    behind = _announced(text, bounds, behind, sent) or behind
    open_days = [j[2] for j in behind if j[3] is None]
    open_days = open_days or [d for d in before if not d.recurring][-1:]
    if not open_days and behind and any(0 <= clock.first - b <= 2 for b in bounds):
        open_days = [behind[-1][2]]  # "Monday 16th: 9am, Lena. 3.15pm, Bogdan."
    part = part_after(text, clock.last)
    is_handle = _MY_HANDLE.search(text[max(0, clock.first - 12) : clock.first]) is not None
    near_id = _ID_NEAR.search(text[max(0, clock.first - 20) : clock.last + 20]) is not None
    if clock.loose and not (open_days and near_id):
        return
    if open_days and not (is_handle and not before):
        day = Day(clock.first, clock.last, open_days[-1].day, part, open=open_days[-1].open)
    elif is_handle or part or near_id:
        day = Day(clock.first, clock.last, sent.date(), part)
    else:
        return
    yield clock.first, clock.last, day, settled(clock, part)


def _mention(
    reading: Reading, part: Part, text: str, sent: datetime, joined: Joined, *, late: bool
) -> Mention:
    first, last, day, clock = joined
    at = reading.sentence_at(part, first)
    sentence = reading.sentences[at]
    before = text[max(sentence.first, first - 60) : first]
    after = text[last : min(sentence.last, last + 45)]
    flags = _flags(day, before, after)
    if clock is not None and (_MY_HANDLE.search(before) or _HANDLE_WITHIN.search(text[first:last])):
        flags.add("handle")
    value = day.day.isoformat() + (f"T{clock[0]:02}:{clock[1]:02}" if clock else "")
    confidence = _confidence(
        part, day, clock, sent, (before, after, sentence.text), flags, late=late
    )
    span = reading.span(part, first, last)
    return Mention("session_time", value, span, at, "session_time", confidence, frozenset(flags))


def _flags(day: Day, before: str, after: str) -> set[str]:
    flags = unsettled(day)
    if day.recurring or _RECURRING.search(before) or _RECURRING_AFTER.match(after):
        flags.add("recurring")
    if _tells_of_contact(before, after):
        flags.add("contact")
    if _DEADLINE.search(before):
        flags.add("deadline")
    return flags


def _tells_of_contact(before: str, after: str) -> bool:
    """Whether the words round a day make it that of a call or message, not of a session."""
    about = max((m.start() for p in (_SESSION, _ID_NEAR) for m in p.finditer(before)), default=-1)
    contact = _CONTACT.search(before)
    led = contact is not None and contact.start() > about
    return led or _CONTACT_AFTER.match(after) is not None


#: Weights of a logistic regression over the corpora (is this mention the session's time?), rounded;
#: "final" came later and is set by hand (docs/decisions.md).
WEIGHTS: Final = {
    "bias": -0.8,
    "clock": 1.6,
    "subject": 1.8,
    "contact": -1.2,
    "deadline": -0.9,
    "id_near": 0.7,
    "id_in_sentence": 0.5,
    "session_before": 0.8,
    "session_after": 0.4,
    "for": 1.5,
    "new": 1.2,
    "final": 2.0,
    "past": -1.9,
    "past_late": -0.5,
    "long_past": -0.7,
    "today": -1.5,
    "far": -2.0,
}
#: "our ending is", "the 18th will be our last": a referral asks when the last session is.
_FINAL = re.compile(
    r"\b(?:final(?: session| hour| meeting| appointment)?"
    r"|last (?:session|hour|one|meeting|appointment)|(?:our|her|his|their) (?:last|ending|goodbye)"
    r"|(?:we|and i)(?:'ll| will| shall)? (?:finish|end|close|stop))"
    r"(?: (?:is|was|will be|falls|to be|would be))?(?: (?:on|for|due))?[:,]? (?:the )?$"
)
_FINAL_AFTER = re.compile(
    r"[^.;\n]{0,25}\b(?:is|as|be) (?:our|the|her|his|their|my|a) "
    r"(?:very )?(?:last|final|goodbye|ending)\b(?! (?:night|week|month|time|thing|straw)\b)"
)
_NEW = re.compile(r"\b(?:first|initial|new)\b")
_FOR = re.compile(r"\bfor\s(?:the )?$")


def _confidence(
    part: Part,
    day: Day,
    clock: tuple[int, int] | None,
    sent: datetime,
    words: tuple[str, str, str],
    flags: set[str],
    *,
    late: bool,
) -> float:
    """The probability that this is the session's own time."""
    before, after, sentence = words
    ahead = (day.day - sent.date()).days
    is_final = ahead >= 0 and bool(_FINAL.search(before) or _FINAL_AFTER.match(after))
    signs = {
        "clock": clock is not None,
        "subject": part == "subject",
        "contact": "contact" in flags,
        "deadline": "deadline" in flags,
        "id_near": bool(_ID_NEAR.search(before) or _ID_NEAR.search(after)),
        "id_in_sentence": _ID_NEAR.search(sentence) is not None,
        "session_before": _SESSION.search(before) is not None,
        "session_after": _SESSION.search(after) is not None,
        "for": _FOR.search(before) is not None,
        "new": _NEW.search(before) is not None or _NEW.search(after) is not None,
        "final": is_final,
        "past": ahead < 0 and not late,
        "past_late": ahead < 0 and late,
        "long_past": ahead < -_LONG_PAST,
        "today": ahead == 0 and not late,
        "far": ahead > _FAR_AHEAD and not is_final,
    }
    score = WEIGHTS["bias"] + sum(WEIGHTS[sign] for sign, holds in signs.items() if holds)
    return 1 / (1 + exp(-score))


_LONG_PAST: Final = 3  # days
_FAR_AHEAD: Final = 14  # days
