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
#: "ruby tues 5pm", "KAT R IS OFF": whether it is a first name the list tells.
_NAMED_HASTILY = re.compile(
    r"(?<![\w@/.'-])([^\W\d_]{3,})(?:(?: [b-hj-mo-tvz])(?![\w']))?(?![\w@]|'[^s\W])", re.IGNORECASE
)
#: A greeting of the reader is over: who is named next may be somebody else.
_GREETED = re.compile(
    r"\b(?:hi|hiya|hello|hey|morning|afternoon|evening)\b[^\w\n]*[,.!][^\w\n]*$", re.IGNORECASE
)
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
#: What a client does.
_DOES: Final = (
    r"is|was|has|had|knows?|wants?|wanted|asked|asks|said|says|told|rang|replied|came|comes|needs?"
    r"|booked|agreed|agrees|won't|isn't|hasn't|doesn't|didn't|writes|wrote|put|mentioned|turned"
    r"|started|sees|thinks?|feels?"
)
_FOLLOWS = re.compile(
    rf"'s\b|'d\b|'ll\b|\"? ?[,(:;)]|\s(?:{_DOES}|and i\b|and me\b|would|will|about|who|whom|whose"
    r"|to|on|at|first|herself|himself|-|myself|does|did|might|may|can|could|should)\b"
    r"|\s-|\.?\s*$|\.",
    re.IGNORECASE,
)
#: "Morning! Owen has two booked": who does something behind a greeting is not who is greeted.
_NOT_GREETED = re.compile(rf"'s \w| (?:{_DOES})\b")
_PLACE = re.compile(r"\b(?:in|at|near|via|on|round|around|into|outside|to) $", re.IGNORECASE)
_ENOUGH: Final = 0.9
#: What being in the list of first names counts for where no capital tells a name.
_LISTED: Final = 0.5


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
    given: frozenset[str]  # first names, whatever letters they are written in
    openers: frozenset[str]
    other_people: frozenset[str]
    lower: frozenset[str]  # words that the message also writes small, but first names
    endings: frozenset[str]  # the names that sign it

    @classmethod
    def of(cls, reading: Reading) -> _Known:
        words = reading.names
        sender = (
            reading.email.sender.name + " " + re.sub(r"[._@-]", " ", reading.email.sender.email)
        )
        own = re.findall(r"[a-zà-ÿĀ-ɏ'-]{3,}", f"{sender} {reading.email.signature[:60]}".lower())
        text = reading.folded["new_text"].text
        not_names = words["not_names"] | frozenset(own)
        given = words["given"] - not_names
        return cls(
            not_names,
            words["seldom_names"],
            words["common"] - given,
            given,
            words["openers"],
            words["other_people"],
            frozenset(re.findall(r"(?<![\w'])[a-zà-ÿĀ-ɏ]{3,}", text)) - given,
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
        yield from _named_hastily(text, part, taken, known)
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
    yield from _named_hastily(text, part, taken, known)


def _named_hastily(
    text: str, part: Part, taken: list[tuple[int, int]], known: _Known
) -> Iterator[_Seen]:
    """First names that capitals do not tell, in small letters or in a message all in capitals."""
    shouted = text.isupper()
    for m in _NAMED_HASTILY.finditer(text):
        name, first, last = m[1].lower(), m.start(), m.end()
        if _is_genitive(name, known):  # "arnies 5pm"
            name, last = name[:-1], m.end(1) - 1
        if name not in known.given or not (shouted or m[1].islower()):
            continue
        if any(first < end and start < last for start, end in taken):
            continue
        weight = -1.0
        if not _is_somebody_else(_before(text, first), known):
            opens, signs = _opens(text, first), name in known.endings
            weight = _weight_where_it_stands(text, part, first, last, opens=opens, signs=signs)
            weight += 0.0 if signs else _LISTED
        yield _Seen(part, first, last, text[first:last], weight)


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
    opens = _opens(text, first)
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
    before = _before(text, first)
    name = words[0].lower()
    family = re.search(r"\bthe $", before, re.IGNORECASE) is not None  # "the Martins"
    if len(words) == 1 and _is_genitive(name, known) and not family:
        name, last = name[:-1], last - 1  # "Elizabeths 9am"
    named = text[first:last]
    acts = _GREETED.search(before) and _NOT_GREETED.match(text[last:])
    if not acts and _is_somebody_else(before, known):
        return _Seen(part, first, last, named, -1.0)
    alone = len(words) == 1 and name.strip(".") in known.seldom_names
    if alone or (name in known.common and (opens or not _LEADS.search(before))):
        return None
    signs = name in known.endings
    weight = _weight_where_it_stands(text, part, first, last, opens=opens, signs=signs)
    if name in known.given and not signs and (opens or part == "subject"):
        weight += _LISTED
    return _Seen(part, first, last, named, weight)


def _before(text: str, first: int) -> str:
    return text[max(0, first - 24) : first].rsplit("\n", 1)[-1]


def _opens(text: str, first: int) -> bool:
    before = text[max(0, first - 4) : first]
    return first == 0 or re.search(r"(?:^|[\n.!?:]\s*|^\W*)[\W\d]*$", before) is not None


def _is_somebody_else(before: str, known: _Known) -> bool:
    led = re.findall(r"[a-z]+", before.lower())[-1:]
    return any(w in known.other_people for w in led) or _PLACE.search(before) is not None


def _weight_where_it_stands(
    text: str, part: Part, first: int, last: int, *, opens: bool, signs: bool
) -> float:
    weight = 0.0 if signs else 0.4
    follows = _FOLLOWS.match(text[last : last + 14]) is not None
    if opens:
        weight += 0.8 if follows else -0.4
    else:
        weight += 1.2 * bool(_LEADS.search(_before(text, first))) + 0.6 * follows
    if re.search(r"\w \w\.?$", text[first:last]):
        weight += 1.2  # "Sarah M"
    return weight * 0.8 if part == "subject" else weight


def _is_genitive(name: str, known: _Known) -> bool:
    """Whether it is a first name and an "s" whose apostrophe was not typed."""
    is_word = name in known.given or name in known.common or name in known.openers
    return name.endswith("s") and name[:-1] in known.given and not is_word


def _is_no_name(word: str, known: _Known, *, opens: bool) -> bool:
    lowered = word.lower().strip(".")
    if lowered in known.not_names or lowered in known.openers or lowered in known.lower:
        return True
    if lowered.startswith(_TENS):  # "Eighty-four, and lost his wife"
        return True
    return lowered.endswith(_NO_NAME_ENDINGS) or (opens and lowered.endswith("ly"))


_TENS: Final = (
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"
)  # fmt: skip
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
