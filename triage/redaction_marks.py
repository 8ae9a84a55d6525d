"""Addresses, numbers and dates that lead to somebody: where they stand in a text.

Patterns for the United Kingdom. They err towards too much: a number of nine digits that is no
date is taken for a telephone number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

Kind = Literal[
    "NAME", "PLACE", "EMAIL", "LINK", "HANDLE", "ID", "SESSION", "NHS NUMBER", "PHONE", "NUMBER",
    "ADDRESS", "DATE",
]  # fmt: skip


class Mark(NamedTuple):
    """Offsets of what is to go, and its kind."""

    start: int
    end: int
    kind: Kind


_TOP: Final = r"(?:com|org|net|uk|io|me|info|eu|ie|co|example|test|therapy|clinic|health|care)"
_EMAIL: Final = re.compile(
    r"(?<![\w.+%'-])[\w.+%'-]{1,64} ?(?:@|\(at\)|\[at\]) ?[\w-]{1,63}"
    r"(?:(?: ?(?:\(dot\)|\[dot\]) ?|\.)[\w-]{1,63}){0,6}"
    rf"|(?<![\w.+-])[\w.+-]{{1,64}} at [\w-]{{1,63}}(?: dot [\w-]{{1,63}}){{0,4}} dot {_TOP}\b"
    rf"|(?<![\w.+-])[\w.+-]{{1,64}} at [\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{0,4}}\.{_TOP}\b",
    re.IGNORECASE,
)
_LINK: Final = re.compile(
    rf"\b(?:https?|ftp)://\S*[^\s.,;:!?)\]>\"']|\bwww\.[^\s,;)>\"']+[^\s.,;:!?)\]>\"']"
    rf"|(?<![\w.-])(?:[a-z0-9-]{{1,63}}\.){{1,6}}{_TOP}\b(?:/[^\s,;)>\"']*)?",
    re.IGNORECASE,
)
_HANDLE: Final = re.compile(r"(?<![\w.])@[A-Za-z]\w{2,}")
_SESSION: Final = re.compile(
    r"\bHT[\s#:._/-]*(?:no\.?\s*)?\d(?:[\s._-]?\d){2,7}(?!\d)|(?<!\w)#\s?\d{3,8}\b", re.IGNORECASE
)
_LABELLED: Final = re.compile(
    r"\b(?:session|booking|appointment|ref(?:erence)?|client|case|account|membership|member"
    r"|registration|reg|policy|invoice|order|ticket|id)\.?"
    r"(?:[ -](?:no|nr|number|id|ref|reference|code|is))*[.:]?[ ]?[#:]?[ ]?"
    r"((?=[\w/-]*\d{3})[\w/-]+\d\w*|[a-z]{1,4}-?\d{2,})",
    re.IGNORECASE,
)
_CODE: Final = re.compile(r"\b[A-Z]{1,5}[-/ ]?\d{4,}[A-Z]?\b|\b[a-z]{1,5}-?\d{5,}\b")
_NHS: Final = re.compile(r"(?<![\d+])\d{3}[ -]?\d{3}[ -]?\d{4}(?!\d)")
_INSURANCE: Final = re.compile(
    r"\b[A-CEGHJ-PR-TW-Z]{2} ?(?:\d ?){6}[A-D]\b", re.IGNORECASE
)  # National Insurance
_PHONE: Final = re.compile(
    r"(?<![\w.])(?:\(?(?:\+|00) ?\(?\d|\(?0|\(\d)[\d ().\[\]/–-]{6,22}\d(?!\d)"
    r"(?: ?(?:x|ext\.?) ?\d+)?"
)
_RUN: Final = re.compile(r"(?<![\w.£$€])\d(?:(?: ?[()-] ?|[ .])?\d){8,}(?!\d)")
_DIGIT: Final = r"(?:zero|oh?|nought|one|two|three|four|five|six|seven|eight|nine|\d{1,6})"
_SPOKEN: Final = re.compile(
    rf"\b(?:(?:double|triple|treble)[ -])?{_DIGIT}"
    rf"(?:[ ,.-]{{1,3}}(?:(?:double|triple|treble)[ -])?{_DIGIT}){{5,}}\b",
    re.IGNORECASE,
)
_SPOKEN_DIGITS: Final = 8  # fewer are a list of hours or of sessions
_DATE_LIKE: Final = re.compile(
    r"(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d\d"
)
_BANK: Final = re.compile(r"\bsort code\W{0,4}(\d\d[ -]?\d\d[ -]?\d\d)\b", re.IGNORECASE)
_LONG: Final = re.compile(r"(?<![\w£$€,])(?<!\d\.)(?:\d{5,}|\d{3} \d{3}(?! ?\d))(?![\d%])")
_MACHINE: Final = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_MONTH: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DATE: Final = (
    rf"(?:\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}\.?,? ?(?:(?:19|20)\d\d|'?\d\d)\b"
    rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d\d\b"
    r"|\d{1,2}[./ -]\d{1,2}[./ -](?:(?:19|20)\d\d|\d\d)\b|(?:19|20)\d\d-\d\d-\d\d)"
)
_BORN: Final = re.compile(
    r"\b(?:d\.?o\.?b\b\.?|date of birth|birth ?date|birthday|born)\W{0,4}"
    r"(?:(?:is|was|on|in)\W{1,2})*"
    rf"({_DATE}|\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}\b)",
    re.IGNORECASE,
)
_ANY_DATE: Final = re.compile(rf"(?<![\w/]){_DATE}(?![\w/])", re.IGNORECASE)
_YEAR: Final = re.compile(r"(?:19|20)\d\d")

_POSTCODE: Final = r"(?i:GIR ?0AA|[A-PR-UWYZ][A-HK-Y]?\d[A-Z\d]?[ \n]?\d[ABD-HJLNP-UW-Z]{2})"
_CAP: Final = r"[A-ZÀ-ÞĀ-ɏ][\w'.-]{0,30}"  # bounded, as all of these: mail may be hostile
_STREETS: Final = (
    "Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Close|Cl|Drive|Dr|Court|Ct|Crescent|Cres|Place|Pl|Terrace"
    "|Gardens?|Gdns|Way|Grove|Square|Sq|Hill|Mews|Row|Walk|Park|Green|Rise|View|Parade|Wharf|Quay"
    "|Yard|Villas?|Mount|Embankment|Estate|House|Heights|Cottages?|Path|Vale|Wood|Common|Gate"
    "|Bridge|Fold|Croft|Meadows?|Fields?|Orchard|Ridge|Passage|Circus|Alley|Harbour|Shore|Ville"
    "|Stravenue|Junction|Junctions|Lodge|Mansions|Point|Tower|Buildings"
)
_NO_STREET: Final = r"(?!(?:Initial|The|In|At|On|From|To|Near)\b)"
_NUMBERED: Final = r"(?:(?:Flat|Unit|Apartment|Apt|Studio|Suite|Room)\.? ?\d*[A-Za-z]?,?[ \n])?"
_ADDRESS: Final = re.compile(
    # 14a Beech Road, or Rose Cottage; then town and county up to the postcode
    rf"{_NUMBERED}(?:\b\d{{1,4}}[A-Za-z]?(?:[-/]\d{{1,4}})?,?[ \n](?:{_CAP}[ ]){{0,4}}?"
    rf"(?:{_CAP})[ ](?:{_STREETS})\b\.?"
    rf"|\b(?:{_NO_STREET}{_CAP}[ ]){{1,3}}(?:Street|Road|Avenue|Lane|Close|Crescent"
    r"|Terrace|Gardens|Grove|Mews|Drive|Cottage)\b)"
    rf"(?:,?\s{{1,2}}{_CAP}(?:[ -](?:{_CAP}|upon|on|le|by|in|the|under))*){{0,3}}?,?\s{{1,2}}"
    rf"{_POSTCODE}\b"
)
#: Whatever it is called, up to a postcode: "6 Cook Flat, Hall Mission, East Grinstead RH19 1AA".
_UP_TO_CODE: Final = re.compile(
    rf"\b(?:(?:{_CAP}|\d{{1,4}}[A-Za-z]?(?:[-/]\d+)?|upon|on|le|by|in|the|under|of)"
    r"(?:,?[ ]|,?\n)){1,10}"
    rf"(?<=[ \n]){_POSTCODE}\b"
)
_STREET: Final = re.compile(
    rf"{_NUMBERED}(?:\b\d{{1,4}}[A-Za-z]?(?:[-/]\d{{1,4}})?,?[ \n](?:{_CAP}[ ]){{0,4}}?"
    rf"(?:{_CAP})[ ](?:{_STREETS})\b(?!')"
    rf"|\b(?:{_NO_STREET}{_CAP}[ ]){{1,3}}(?:Street|Road|Avenue|Lane|Crescent"
    r"|Terrace|Mews|Cottage)\b(?!'))"
)
_SMALL_STREET: Final = re.compile(
    r"\b(?:(?:flat|unit) \d+\w?,? )?\d{1,4}[a-z]?,? (?:[a-z'-]+ ){1,3}"
    r"(?:road|street|avenue|lane|crescent|terrace|grove|mews|gardens)\b"
)
_FLAT: Final = re.compile(r"\b(?:Flat|Apartment|Apt)\.? ?\d+[A-Za-z]?\b", re.IGNORECASE)
_CODED: Final = re.compile(rf"\b{_POSTCODE}\b", re.IGNORECASE)
#: What is counted, not lived at: "2 sessions lane" is nobody's address.
_COUNTED: Final = re.compile(
    r"\d+ (?:sessions?|weeks?|months?|years?|days?|hours?|minutes?|mins|people)\b", re.IGNORECASE
)


def marks(text: str, year: int) -> list[Mark]:
    """Everything but names that leads to somebody, in order, none overlapping another.

    *year* is that of writing: a whole date that lies two years or more before it is somebody's
    history, not an appointment.
    """
    found: list[Mark] = []
    taken = bytearray(len(text))
    for finder in _FINDERS:
        for mark in finder(text, year):
            if mark.start < mark.end and not any(taken[mark.start : mark.end]):
                found.append(mark)
                taken[mark.start : mark.end] = b"\1" * (mark.end - mark.start)
    return sorted(found)


_Finder = Callable[[str, int], Iterator[Mark]]


def _plain(pattern: re.Pattern[str], kind: Kind, group: int = 0) -> _Finder:
    def find(text: str, _: int) -> Iterator[Mark]:
        for match in pattern.finditer(text):
            yield Mark(*match.span(group), kind)

    return find


def _dates(text: str, year: int) -> Iterator[Mark]:
    for match in _ANY_DATE.finditer(text):
        said = _YEAR.search(match[0])
        if said and int(said[0]) <= year - 2:
            yield Mark(*match.span(), "DATE")


def _nhs(text: str, _: int) -> Iterator[Mark]:
    for match in _NHS.finditer(text):
        before = text[max(0, match.start() - 24) : match.start()].lower()
        if "nhs" in before or _is_nhs_number(re.sub(r"\D", "", match[0])):
            yield Mark(*match.span(), "NHS NUMBER")


def _is_nhs_number(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (modulus 11)."""
    if digits[0] == "0":
        return False
    rest = 11 - sum(int(d) * (10 - place) for place, d in enumerate(digits[:9])) % 11
    return rest % 11 == int(digits[9]) and rest != 10


def _phones(text: str, _: int) -> Iterator[Mark]:
    for pattern in (_PHONE, _RUN):
        for match in pattern.finditer(text):
            digits = sum(c.isdigit() for c in match[0])
            if 9 <= digits <= 17 and not _DATE_LIKE.search(match[0]):
                yield Mark(*match.span(), "PHONE")


def _spoken(text: str, _: int) -> Iterator[Mark]:
    for match in _SPOKEN.finditer(text):
        words = re.findall(r"[a-z]+|\d", match[0].lower())
        if len(words) >= _SPOKEN_DIGITS and any(word.isalpha() for word in words):
            yield Mark(*match.span(), "PHONE")


def _small_streets(text: str, _: int) -> Iterator[Mark]:
    for match in _SMALL_STREET.finditer(text):
        if not _COUNTED.match(match[0]):
            yield Mark(*match.span(), "ADDRESS")


_FINDERS: Final[tuple[_Finder, ...]] = (
    _plain(_EMAIL, "EMAIL"),
    _plain(_LINK, "LINK"),
    _plain(_HANDLE, "HANDLE"),
    _plain(_MACHINE, "LINK"),
    _plain(_BORN, "DATE", 1),
    _dates,
    _plain(_SESSION, "SESSION"),
    _nhs,
    _plain(_INSURANCE, "NUMBER"),
    _plain(_BANK, "NUMBER", 1),
    _phones,
    _spoken,
    _plain(_ADDRESS, "ADDRESS"),
    _plain(_UP_TO_CODE, "ADDRESS"),
    _plain(_STREET, "ADDRESS"),
    _small_streets,
    _plain(_CODED, "ADDRESS"),
    _plain(_FLAT, "ADDRESS"),
    _plain(_LABELLED, "ID", 1),
    _plain(_CODE, "ID"),
    _plain(_LONG, "NUMBER"),
)
