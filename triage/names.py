"""People's names as others write them: full, short, initials, titles, with accents or slips."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rapidfuzz.distance import OSA

_TITLES: Final = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "miss",
        "mx",
        "dr",
        "doctor",
        "prof",
        "professor",
        "sir",
        "dame",
        "lady",
        "lord",
        "rev",
        "reverend",
        "fr",
        "sister",
        "master",
        "major",
        "captain",
    ]
)
_FILLERS: Final = frozenset(
    [
        "a",
        "an",
        "and",
        "my",
        "our",
        "the",
        "new",
        "client",
        "clients",
        "patient",
        "am",
        "pm",
        "at",
        "on",
        "of",
        "son",
        "daughter",
        "mother",
        "father",
        "morning",
        "afternoon",
        "evening",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "mon",
        "tue",
        "tues",
        "wed",
        "weds",
        "thu",
        "thur",
        "thurs",
        "fri",
        "sat",
        "sun",
    ]
)
#: Short forms that no rule of spelling gives. Others are prefixes ("Sam") or slips.
_SHORT_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "abigail": ("gail", "abby"),
    "alexander": ("sandy", "sasha", "xander"),
    "alexandra": ("sandra", "sasha"),
    "andrew": ("drew", "andy"),
    "anthony": ("tony",),
    "catherine": ("kate", "katie", "cathy"),
    "charles": ("charlie", "chuck"),
    "christine": ("tina",),
    "christopher": ("kit", "topher"),
    "dorothy": ("dot", "dottie"),
    "edward": ("ted", "ned", "eddie"),
    "elizabeth": ("liz", "beth", "betty", "lizzie", "bess", "libby"),
    "francesca": ("fran", "frankie"),
    "harold": ("harry",),
    "henry": ("harry", "hal"),
    "james": ("jim", "jimmy", "jamie"),
    "jennifer": ("jenny", "jen"),
    "john": ("jack", "johnny"),
    "joseph": ("joe", "joey"),
    "katherine": ("kate", "kathy", "katie", "kit"),
    "lawrence": ("larry", "laurie"),
    "leonard": ("lenny", "len"),
    "louise": ("lou", "lulu"),
    "margaret": ("maggie", "meg", "peggy", "greta"),
    "mary": ("molly", "polly"),
    "michael": ("mike", "mick", "micky"),
    "oluwaseun": ("seun",),
    "patricia": ("trish", "pat", "patsy"),
    "rebecca": ("becky", "bex", "becca"),
    "richard": ("dick", "rick", "rich"),
    "robert": ("bob", "bobby", "rob", "bert"),
    "sarah": ("sally", "sal"),
    "susan": ("sue", "suzie"),
    "theodore": ("ted", "teddy", "theo"),
    "victoria": ("tori", "vicky", "vix"),
    "william": ("bill", "billy", "will", "liam"),
}
_TOGETHER: Final = re.compile(r"\s(?:and|&|\+)\s", re.IGNORECASE)
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class WrittenName:
    """The naming words of a reference, folded: letters alone are initials."""

    words: tuple[str, ...]
    titled: bool  # "Mrs Begum": a lone word is then a surname
    capitalised: bool  # written as a name, so that a mismatch means something


def one_slip(one: str, other: str) -> bool:
    """Whether one wrong, missing, doubled or swapped character tells the two apart."""
    return one != other and OSA.distance(one, other, score_cutoff=1) <= 1


def fold(text: str) -> str:
    """Lower case, accents and apostrophes removed, for comparing names."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in decomposed if c.isalpha() or c in " -").replace("-", " ").strip()


@lru_cache(maxsize=4096)
def written(reference: str) -> WrittenName | None:
    """Read "Mrs P. Begum", "J.P.", "my Sarah M"; None for what names nobody ("my 6pm")."""
    words: list[str] = []
    titled = capitalised = False
    for match in _WORD.finditer(re.sub(r"['’]s\b", "", reference)):
        word = match.group()
        plain = fold(word)
        if plain in _TITLES:
            titled = True
        elif plain not in _FILLERS:
            initials = word.isupper() and 2 <= len(word) <= 3 and "." not in reference
            words += list(plain) if initials else [plain.replace(" ", "-")]
            capitalised = capitalised or word[0].isupper()
    return WrittenName(tuple(words), titled, capitalised) if words else None


@lru_cache(maxsize=65536)
def likeness(reference: str, first_name: str, last_name: str) -> float:
    """How well a written name fits a person, 0..1.

    1.0 is first and last name in full, 0.9 one of them with the other's initial, 0.7 to 0.75 one of
    them alone, 0.6 initials only; short forms and single slips take off a tenth or so. Of several
    people ("Sarah and Tom") the likest counts. 0.0 means that it names somebody else, or nobody.
    """
    firsts, lasts = tuple(fold(first_name).split()), tuple(fold(last_name).split())
    people = [written(part) for part in _TOGETHER.split(reference)]
    return max((_one(name, firsts, lasts) for name in people if name), default=0.0)


def _one(name: WrittenName, firsts: tuple[str, ...], lasts: tuple[str, ...]) -> float:
    if len(name.words) == 1:
        return _one_word(name.words[0], firsts, lasts, titled=name.titled)
    straight = _pair(name.words, firsts, lasts)
    return max(straight, _pair(name.words[::-1], firsts, lasts) * 0.97)


def _one_word(word: str, firsts: tuple[str, ...], lasts: tuple[str, ...], *, titled: bool) -> float:
    first, last = _best(word, firsts), _best(word, lasts)
    if len(word) == 1:
        return 0.35 if (first or last) and (not titled or last) else 0.0
    return max(first * (0.6 if titled else 0.7), last * 0.75)


def _pair(words: tuple[str, ...], firsts: tuple[str, ...], lasts: tuple[str, ...]) -> float:
    """Two or more words: the first against first names, the last against last names."""
    initials = (len(words[0]) == 1) + (len(words[-1]) == 1)
    return (1.0, 0.9, 0.6)[initials] * min(_best(words[0], firsts), _best(words[-1], lasts))


def _best(word: str, parts: tuple[str, ...]) -> float:
    """The likest of a name's parts; of a double-barrelled word either half may be the one used."""
    halves = word.split("-")
    return max((_same(half, part) for half in halves for part in parts), default=0.0)


def _same(word: str, part: str) -> float:
    if word == part or (min(len(word), len(part)) == 1 and word[0] == part[0]):
        return 1.0
    if min(len(word), len(part)) <= 1:
        return 0.0
    short = word in _SHORT_FORMS.get(part, ()) or part in _SHORT_FORMS.get(word, ())
    if short or word.replace("ph", "f") == part.replace("ph", "f"):
        return 0.9
    if len(word) >= 3 and (part.startswith(word) or word.startswith(part)):
        return 0.88
    if min(len(word), len(part)) >= 4 and one_slip(word, part):
        return 0.85
    return 0.0
