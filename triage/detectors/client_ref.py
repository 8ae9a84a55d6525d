"""What the client is called in the message: a name, initials, or a handle such as "my 9am"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from triage.detectors.mention import Mention
from triage.language import Reading
from triage.records import Part

_WORD: Final = (
    r"[A-ZÀ-ÞĀ-ɏ][a-zà-ÿĀ-ɏ]+(?:['-][A-ZÀ-ÞĀ-ɏa-zà-ÿĀ-ɏ][a-zà-ÿĀ-ɏ]+)*|O'[A-Z][a-z]+"
    r"|(?:Mc|Mac|De|La|Le)[A-Z][a-z]+"
)
_TITLED = re.compile(
    r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Rev|Sister|Captain|Major|Fr|Lieutenant-Commander|Sgt|Sir"
    r"|Lady)\b\.?"
    rf"(?: (?:and|&) (?:Mr|Mrs|Ms|Mx)\b\.?)? (?:(?:[A-Z]\.? ?){{0,2}}(?:{_WORD})(?: (?:{_WORD}))?("
    rf"?: [A-Z]\b\.?)?"
    r"|(?:[A-Z]\.){1,3}|[A-Z]\b\.?)"
)
#: "mrs osei-tutu", "MR VANCE": a title tells a name also where capitals tell nothing.
_TITLED_HASTILY = re.compile(
    r"\b(?:mr|mrs|ms|mx)\b\.? ([^\W\d_](?:[\w-]|'(?!s\b)){2,})", re.IGNORECASE
)
#: A greeting of the reader is over: who is named next is somebody else.
_GREETED = re.compile(r"\b(?:hi|hiya|hello|hey|morning|afternoon|evening), *$")
_NAMED = re.compile(
    rf"(?<![\w@/.'-])(?:[A-Z]\. )?(?:{_WORD})(?: (?:[A-Z]\.?(?![\w'])"
    rf"|(?:{_WORD})(?:-(?:{_WORD}))*))?(?![\w@])"
)
_INITIALS = re.compile(
    r"(?<![\w@/.&'-])(?:(?:[A-Z]\.){2,3}|[A-Z]\.[A-Z](?![\w])|[A-HJ-Z]\.(?= [a-z(]|,|:|;|'s|\)| -"
    r"| I | \d)|[A-HJ-Z](?= and I\b|'s\b| & I\b))"
)
_SAID_INITIALS = re.compile(r"\b[Ii]nitials?:? (?:are |is )?((?:[A-Z]\.? ?){2,3})(?![\w'])")
_HANDLE = re.compile(
    r"\b[Mm]y (?:new )?(?:(?:\w+day|tomorrow|today|this morning|this afternoon)(?:'?s)? )?"
    r"(?:\d{1,2}(?:[.:]\d\d)? ?(?:[ap]\.?m\b\.?|o'?clock)|\d{1,2}[.:]\d\d\b|half (?:past )?\w+"
    r"|\w+ o'?clock|noon)"
)
_NOT_A_HANDLE = re.compile(
    r"\b(?:after|before|until|till|since|by|between|from|during)\s$", re.IGNORECASE
)
#: A name stands where these lead to it or follow it.
_LEADS = re.compile(
    r"(?:\b(?:client|clients|named|called|name is|name's|name:|with|see|seeing|seen|saw|tell|told"
    r"|rang|ring|call|phoned?|to"
    r"|messaged?|texted|emailed|about|for|of|re|re:|regarding|cancel|cancelling|is|and|&|from"
    r"|refer|referring|met|meet"
    r"|meeting|ask(?:ed)?|contact|by|lady|gentleman|chap|lad|guy|man|woman|person|girl|boy|one"
    r"|young|concerns?|first|second|third"
    r"|new|keep|keeping|when|that|if|because|so|but|whether|where|then|while|as|i'?ll call|let"
    r"|over|on|did|does|is|has|was)"
    r"|[,(:;/-]|\")\s*\"?$",
    re.IGNORECASE,
)
_FOLLOWS = re.compile(
    r"'s\b|'d\b|'ll\b|\"? ?[,(:;)]|\s(?:is|was|has|had|and i\b|and me\b|knows?|wants?|wanted|asked"
    r"|asks|said|says|told|rang|replied"
    r"|would|came|comes|needs?|booked|agreed|agrees|will|won't|isn't|hasn't|doesn't|didn't|writes"
    r"|wrote|put|mentioned|turned"
    r"|started|sees|thinks?|feels?|about|who|whom|whose|to|on|at|first|herself|himself|-|myself"
    r"|does|did|might|may|can|could|should)\b"
    r"|\s-|\.?\s*$|\.",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:in|at|near|via|on|round|around|into|outside|to) $", re.IGNORECASE)
_ENOUGH: Final = 0.9


@dataclass(frozen=True, slots=True)
class _Seen:
    part: Part
    first: int
    last: int
    text: str
    weight: float


def client_refs(reading: Reading) -> tuple[Mention, ...]:
    """Every place where a client is named; ``value`` is the fullest form of that name in the
    message.

    The sender's own name, salutations, signatures, colleagues and places are left out. Without
    any name a time handle ("my 9am") stands in for it.
    """
    known = _Known.of(reading)
    seen = [s for part in ("subject", "new_text") for s in _in_part(reading, part, known)]
    weights: Counter[str] = Counter()
    fullest: dict[str, str] = {}
    for s in seen:
        key = _key(s.text)
        weights[key] += s.weight  # type: ignore[assignment]
        if len(s.text) > len(fullest.get(key, "")):
            fullest[key] = s.text
    chosen = [s for s in seen if weights[_key(s.text)] >= _ENOUGH]
    if not chosen:
        return tuple(_handles(reading))
    return tuple(_mention(reading, s, fullest[_key(s.text)], weights[_key(s.text)]) for s in chosen)


@dataclass(frozen=True, slots=True)
class _Known:
    """Words that are no client's name in this message."""

    not_names: frozenset[str]
    seldom_names: frozenset[str]  # a surname at best
    common: frozenset[str]  # everyday words
    openers: frozenset[str]
    other_people: frozenset[str]
    lower: frozenset[str]  # words that the message also writes small
    endings: frozenset[str]  # the names that sign it

    @classmethod
    def of(cls, reading: Reading) -> _Known:
        words = reading.names
        sender = (
            reading.email.sender.name + " " + re.sub(r"[._@-]", " ", reading.email.sender.email)
        )
        own = re.findall(r"[a-zà-ÿĀ-ɏ'-]{3,}", f"{sender} {reading.email.signature[:60]}".lower())
        text = reading.folded["new_text"].text
        return cls(
            words["not_names"] | frozenset(own),
            words["seldom_names"],
            words["common"],
            words["openers"],
            words["other_people"],
            frozenset(re.findall(r"(?<![\w'])[a-zà-ÿĀ-ɏ]{3,}", text)),
            frozenset(_endings(text)),
        )


def _endings(text: str) -> Iterator[str]:
    """Short last lines without a full stop sign a mail."""
    lines = [line.strip(" ,.!*-") for line in text.rstrip().rsplit("\n", 4)[1:]]
    for line in reversed(lines):
        if not line:
            continue
        names = line.split()
        if len(names) > 3:
            return
        yield from (n.lower() for n in names)


def _key(name: str) -> str:
    """One key for the forms of a name: "Sarah M", "Sarah"; "Mrs Cho"; "J.P."."""
    bare = re.sub(r"[^\w' -]", "", name)
    parts = bare.split()
    if len(parts) > 3 and parts[1] in {"and", "&"}:
        parts = parts[2:]
    if len(parts) > 1 and re.fullmatch(
        r"Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Rev|Sister|Captain|Major|Fr", parts[0], re.IGNORECASE
    ):
        return parts[-1 if len(parts[-1]) > 1 or len(parts) == 2 else 1].lower()
    return parts[0].lower() if parts and len(parts[0]) > 1 else bare.lower().replace(" ", "")


def _in_part(reading: Reading, part: Part, known: _Known) -> Iterator[_Seen]:
    text = reading.folded[part].text
    taken: list[tuple[int, int]] = []
    if text.isupper() or not text:
        yield from _titled_hastily(text, part, taken, known)
        return
    for m in _TITLED.finditer(text):
        key = _key(m[0])
        if len(key) > 1 and (key in known.not_names or key in known.openers):
            continue
        taken.append(m.span())
        yield _Seen(part, *m.span(), m[0].strip(), _weight_of_titled(text, m, known))
    yield from _titled_hastily(text, part, taken, known)
    for m in _SAID_INITIALS.finditer(text):
        taken.append(m.span(1))
        yield _Seen(part, *m.span(1), m[1].strip(), 3.0)
    for pattern, weigh in ((_NAMED, _weight_of_name), (_INITIALS, _weight_of_initials)):
        for m in pattern.finditer(text):
            if any(m.start() < last and first < m.end() for first, last in taken):
                continue
            seen = weigh(text, part, m, known)
            if seen is not None:
                taken.append((seen.first, seen.last))
                yield seen


def _titled_hastily(
    text: str, part: Part, taken: list[tuple[int, int]], known: _Known
) -> Iterator[_Seen]:
    for m in _TITLED_HASTILY.finditer(text):
        name = m[1].lower()
        free = not any(m.start() < last and first < m.end() for first, last in taken)
        no_name = any(name in words for words in (known.common, known.not_names, known.openers))
        if free and not no_name:
            taken.append(m.span())
            yield _Seen(part, *m.span(), m[0], _weight_of_titled(text, m, known))


def _weight_of_titled(text: str, m: re.Match[str], known: _Known) -> float:
    before = text[max(0, m.start() - 22) : m.start()].lower()
    led = re.findall(r"[a-z]+", before)[-1:]
    if any(word in known.other_people for word in led) and not _GREETED.search(before):
        return -3.0
    return 1.0 if m[0].startswith(("Dr", "Prof")) else 2.5


def _weight_of_name(text: str, part: Part, m: re.Match[str], known: _Known) -> _Seen | None:
    words = m[0].split(" ")
    first, last = m.span()
    opens = (
        re.search(r"(?:^|[\n.!?:]\s*|^\W*)[\W\d]*$", text[max(0, first - 4) : first]) is not None
        or first == 0
    )
    while words and (_is_no_name(words[0], known, opens=opens)):
        first += len(words[0]) + 1
        words, opens = words[1:], False
    if words and len(words[0].strip(".")) == 1 and len(words) == 1:
        return None
    if len(words) > 1 and len(words[-1]) > 2 and _is_no_name(words[-1], known, opens=False):
        last -= len(words[-1]) + 1
        words = words[:-1]
    if not words or first >= last:
        return None
    before, after = text[max(0, first - 24) : first], text[last : last + 14]
    before = before.rsplit("\n", 1)[-1]
    led = re.findall(r"[a-z]+", before.lower())[-1:]
    if any(w in known.other_people for w in led) or _PLACE.search(before):
        return _Seen(part, first, last, " ".join(words), -1.0)
    name = words[0].lower()
    alone = len(words) == 1 and name.strip(".") in known.seldom_names
    if alone or (name in known.common and (opens or not _LEADS.search(before))):
        return None
    weight = 0.0 if name in known.endings else 0.4
    if opens:
        weight += 0.8 if _FOLLOWS.match(after) else -0.4
    else:
        weight += 1.2 * bool(_LEADS.search(before)) + 0.6 * bool(_FOLLOWS.match(after))
    if len(words) > 1 and len(words[1].strip(".")) == 1:
        weight += 1.2  # "Sarah M"
    if part == "subject":
        weight *= 0.8
    return _Seen(part, first, last, " ".join(words), weight)


def _is_no_name(word: str, known: _Known, *, opens: bool) -> bool:
    lowered = word.lower().strip(".")
    if lowered in known.not_names or lowered in known.openers or lowered in known.lower:
        return True
    return lowered.endswith(_NO_NAME_ENDINGS) or (opens and lowered.endswith("ly"))


_NO_NAME_ENDINGS: Final = ("'s", "'t", "'ve", "'ll", "'d", "'re", "'m", "days")


def _weight_of_initials(text: str, part: Part, m: re.Match[str], known: _Known) -> _Seen | None:
    before, after = text[max(0, m.start() - 24) : m.start()], text[m.end() : m.end() + 14]
    if m[0].replace(".", "").lower() in known.not_names:
        return None
    opens_line = re.search(r"(?:^|\n)\W*$", before) is not None or m.start() == 0
    if opens_line and len(m[0]) < 3 and re.match(r"\s?(?:HT|[A-Z])", after):
        return None  # "A. HT-610023": a list
    weight = 1.5 if len(m[0]) > 2 else 0.8
    weight += 0.8 * bool(_LEADS.search(before)) + 0.5 * bool(_FOLLOWS.match(after))
    if text[: m.start()].strip() and text[m.end() :].strip(" .\n") == "":
        weight = 0.0  # it signs the mail
    return _Seen(part, *m.span(), m[0].rstrip(",:; "), weight)


def _mention(reading: Reading, s: _Seen, value: str, weight: float) -> Mention:
    return Mention(
        "client_ref",
        value,
        reading.span(s.part, s.first, s.last),
        reading.sentence_at(s.part, s.first),
        "client_ref",
        min(0.95, 0.45 + weight / 10),
    )


def _handles(reading: Reading) -> Iterator[Mention]:
    parts: tuple[Part, ...] = ("subject", "new_text")
    for part in parts:
        text = reading.folded[part].text
        for m in _HANDLE.finditer(text):
            if _NOT_A_HANDLE.search(text[max(0, m.start() - 9) : m.start()]):
                continue
            span = reading.span(part, *m.span())
            at = reading.sentence_at(part, m.start())
            yield Mention(
                "client_ref", m[0], span, at, "client_ref.handle", 0.6, frozenset(("handle",))
            )
