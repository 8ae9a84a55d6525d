"""Where the sentences of a mail begin and end: a table of signs, no model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: Words that open a sentence wherever they have a capital, and those that do after a full stop.
_OPENERS = (
    "He|She|They|We|It|This|That|My|Her|His|Their|The|You|Please|Pls|Could|Can|Would|There|So|But"
    "|And|Not|No|If|As|Thanks|Our|Both|Who|What|Is|Are|Has|Just"
)
_STARTERS = f"{_OPENERS}|I|Session|Booking|First|Second"
#: Where a sentence ends: at a line end, or at closing punctuation that no abbreviation explains.
_END = re.compile(
    r"\n\s*"
    r"|(?:[.!?]+[\"')\]]*|[^\x00-\u2bff\ufe00-\ufe0f]+)[ ]+(?=[\"'(\[*]*[^\s,;.)\-&])"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:[Dd]r|[Mm]rs?|[Mm]s|[Pp]rof|[Rr]ev|[Ss]t|[Ee]\.g|[Ii]\.e|e\.?g|i\.?e|vs|approx|esp"
    r"|incl|nr"
    r"|no|No|ref|Ref|tel|Tel|ext|ca|cf|appt|wk|hrs?|mins?|Weds?|Thurs?|Tues?|Mon|Fri|Sat|Sun|Jan"
    r"|Feb"
    r"|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)|\d)\.$"
)
_INITIAL = re.compile(r"(?:^|[\s(.])[A-Z]\.$")
_STARTER = re.compile(rf"[\"'(\[*]*(?:{_STARTERS})\b")


def split(text: str) -> list[tuple[int, int]]:
    """Offsets of the sentences of folded *text*; blank stretches belong to none.

    Lines end sentences (mail is written in lines), wrapped ones were joined by ``fold``. Titles,
    initials, "e.g.", "6.30pm" and "29.09." do not end one. A long line without any punctuation
    ends one where a capital begins the next.
    """
    bounds: list[tuple[int, int]] = []
    begin = 0
    for end in _END.finditer(text):
        if "\n" not in end[0] and _is_abbreviation(text, end):
            continue
        _keep(bounds, text, begin, end.start() if "\n" in end[0] else end.end())
        begin = end.end()
    _keep(bounds, text, begin, len(text))
    return [piece for bound in bounds for piece in _run_on(text, *bound)]


#: From so many characters on a line without punctuation is looked at as several sentences.
_RUN_ON: Final = 200
#: Where one of them begins. "I" opens a sentence with these verbs alone, and not after a word that
#: goes on with it ("and I have", "what I told her").
_OPENING: Final = re.compile(
    rf"(?<=[a-z0-9)]) (?=(?:{_OPENERS})\b)"
    r"|(?<!\band)(?<!\bbut)(?<!\bthat)(?<!\bwhat)(?<!\bas)(?<!\bif)(?<!\bso)(?<!\bor)(?<!\bthan)"
    r"(?<!\bwhen)(?<!\bwhich)(?<!\bbecause)(?<!\bbefore)(?<!\bafter)(?<!\bsince)(?<!\bwhile)"
    r"(?<=[a-z0-9)]) (?=I(?:'m|'ve|'d|'ll|m|ve| am| have| havent| haven't| had| will| would| told"
    r"| spoke| rang| called| emailed| texted| wrote| do| dont| don't| did| didnt| didn't| cant"
    r"| can't| cannot| think| feel)\b)"
)


def _run_on(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The sentences of a stretch that was written without punctuation; else the stretch itself."""
    if last - first >= _RUN_ON and not _PUNCTUATED.search(text, first, last - 1):
        for opening in _OPENING.finditer(text, first, last):
            yield first, opening.start()
            first = opening.end()
    yield first, last


_PUNCTUATED: Final = re.compile(r"[.,;:!?](?!\d)|(?<!\w)-|[()*]")


def _keep(bounds: list[tuple[int, int]], text: str, first: int, last: int) -> None:
    while first < last and text[first].isspace():
        first += 1
    while last > first and text[last - 1].isspace():
        last -= 1
    if first < last:
        bounds.append((first, last))


def _is_abbreviation(text: str, end: re.Match[str]) -> bool:
    if not end[0].startswith(". "):
        return False
    before = text[max(0, end.start() - 8) : end.start() + 1]
    follows_starter = _STARTER.match(text, end.end()) is not None
    if _INITIAL.search(before):
        return not follows_starter
    if not _ABBREVIATION.search(before):
        return False
    # "I said no. She…" and "at 5. Please…" end; "no. 204518", "Dr. Menon" and "24.09. 17:30" go on.
    if before[-2].isdigit():
        return text[end.end()].isdigit()
    if before.lower().endswith(("no.", "sat.", "sun.", "mar.", "ref.", "nr.")):
        return text[end.end()] in "0123456789#" or text.startswith("HT", end.end())
    return not follows_starter
