"""Sessions that are named and are to stay as they are: beside one that goes, or after all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

#: Said after an id: this session is not the matter.
_UNAFFECTED_AFTER = re.compile(
    r"^(?P<between>[^.;\n]{0,60}?)(?:\b(?:leave|keep) (?:it|that|this|her|him|them|well|those|as)\b"
    r"(?! to my| informed| posted| updated| in the loop)"
    r"|\bstays? (?:put|as|in|on|mine|with me|where|exactly)\b|\bstaying\b|\bcarr(?:y|ies|ying) on\b"
    r"|\b(?:that'?s|is|was|it'?s|for|belongs to) (?:some(?:one|body) else|(?:an)?other client)"
    r"|\bdifferent (?:client|session)"
    r"|\b(?:un|not )(?:affected|changed|related)\b|\bdon'?t (?:touch|cancel)\b"
    r"|\bnot (?:that|this) one\b"
    r"|\bgoes ahead\b"
    r"|\bnothing (?:further|more|to do)\b|\bis (?:fine|ok|okay|not affected|all right)\b"
    r"|\bthat one'?s fine\b"
    r"|\bon the invoice\b|\bas (?:it )?(?:is|normal|planned|usual|booked)\b|\bis confirmed\b"
    r"|\bgoing ahead\b"
    r"|\b(?:still (?:on|stands)|(?:should|must|can|will|may|is to) (?:stay|remain|stand|go ahead"
    r"|be kept))\b(?= *(?:[.,;)\n]|$|please|as))"
    r"|\b(?:to stay|stays|remains|stands)\b(?= *(?:[.,;)\n]|$))|\bis not to be\b"
    r"|\bi(?:'?m| am) keeping\b"
    r"|\bis to keep\b|\b(?:that|this) one i keep\b|\ball stand\b"
    r"|^[^.;\n]{0,40}?: (?:leave|keep)\b|\bno action\b|\byou'?ve already got\b"
    r"|(?<!n't )\b(?:leave|let) (?:him|her|them|it) (?:be|alone)\b"
    r"|[–-] ?keep\b|\bshould be left\b"
    r"|\b(?:all good|fine), (?:leave|keep)\b"
    r"|\bno change|\bwhere it is\b|\bwas there first\b|\bas it stands\b)",
    re.IGNORECASE,
)
#: This says so only where nothing is called off: "cancel HT-204518, she's happy with that".
_KEPT_SOFTLY = re.compile(
    r"^[^.;\n]{0,60}?(?:\b(?:(?:s?he|they)(?:'s|'re)|is) (?:mine|coming (?:as|on)"
    r"|(?:quite |very |perfectly )?(?:content|happy))\b"
    r"|(?<!think )\b(?:i'?ll|i (?:will|shall)) (?:gladly |happily |still )?(?:see|keep|hold)\b)",
    re.IGNORECASE,
)
#: The word beside it in a list: "HT-540122 Craig, 4.40. Fine.", "HT-551002 | Ms Farrow | KEEP".
_KEPT_IN_LIST = re.compile(
    r"[^\n]{0,60}?(?:(?:[.,:|)–-]|  ) ?(?:keep|stays?|staying|leave(?: be)?|no change)"
    r"|[.:|] ?fine)(?: (?:please|of course))? ?(?:[.;|(!\n]|,(?! but\b| \w+ please)|\Z)",
    re.IGNORECASE,
)
_CALLED_OFF = re.compile(r"\b(?:cancel\w*|remove|refer|off|scrap|end)\b", re.IGNORECASE)
_CLOSE: Final = 40  # characters
_ENDS = re.compile(r"[.!?;\n]")
_SERIES = re.compile(r"[ ,/&+]*(?:and )?")
_AND = re.compile(r"[/&+]|\band\b")
#: Said of it in a sentence of its own.
_STAYS = re.compile(
    r"\b(?:that|this) one (?:stays|remains|stands|is (?:staying|fine)"
    r"|i(?:'m| am) keeping)\b",
    re.IGNORECASE,
)
#: Said before it.
_UNAFFECTED_BEFORE = re.compile(
    r"(?:\bleave|\bkeep|\bi'?m keeping"
    r"|\bdon'?t touch|\bdo not touch|\bapart from|\bexcept(?: for)?|\bother than|\bunlike"
    r"|\bnot to be confused with|\bmuddle [\w ]{0,12}with|\bconfused? [\w ]{0,12}with"
    r"|\bmix [\w ]{0,12}with"
    r"|\bnot(?: the)?|\binstead of|\brather than|\bleave [\w' ]{0,20}alone|\bcarr(?:y"
    r"|ies) on as is|\bas they are"
    r"|\bas it is|\bstays? put)(?:[^\w\n]{0,3}|:\s{0,3})(?:session |booking |number |ref )?\Z",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\b(?:scrap|changed my mind|un-?cancel|take (?:it|that|this|my \w+) back|as you were"
    r"|disregard|withdraw\w*"
    r"|take back|tear up|the reverse|crossed wires"
    r"|ignore (?:my|what|that)|false alarm|after all|reinstate|forget (?:my|what|the request)"
    r"|bin (?:it|that|my))\b",
    re.IGNORECASE,
)
#: What was asked before: to keep such a session is to take that back, and a request.
_EARLIER = re.compile(
    r"\b(?:i|we) (?:asked|wrote|sent|requested|emailed|put in)\b"
    r"|\b(?:my|the|yesterday'?s|\w+day'?s|this morning'?s) (?:cancell?ation|request|voicemail)\b",
    re.IGNORECASE,
)


def words_that_keep(text: str, first: int, ids: Sequence[tuple[int, int]]) -> str:
    """The words that say that the session named at *first* of *text* is to stay, or "".

    *ids* are where its id and those behind it begin and end.
    """
    begin, end = _behind_series(text, ids)
    before, said = text[max(0, first - 45) : first], text[begin:end]
    kept = (
        _kept_behind(before, said)
        or _UNAFFECTED_BEFORE.search(before)
        or _STAYS.search(said)
        or _kept_in_list(text[begin : end + 1])
    )
    return kept[0] if kept else ""


def takes_back(sentence: str) -> bool:
    """Whether *sentence* takes back, in words of its own, what was asked before."""
    return _TAKEN_BACK.search(sentence) is not None


def is_taken_back(sentence: str) -> bool:
    """Whether a session that *sentence* keeps was to go before: to keep it is a request, then."""
    return takes_back(sentence) or _EARLIER.search(sentence) is not None


def _behind_series(text: str, ids: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Where that begins and ends which "HT-1, HT-2 and HT-3 stay" says of each of them."""
    ends = [*(first for first, _ in ids[1:]), len(text)]
    places = [(last, end) for (_, last), end in zip(ids, ends, strict=True)]
    series = [*takewhile(lambda place: _SERIES.fullmatch(text, *place), places)]
    joined = [n for n, place in enumerate(series, 1) if _AND.search(text, *place)]
    return places[joined[-1] if joined else 0]


def _kept_in_list(after: str) -> re.Match[str] | None:
    kept = _KEPT_IN_LIST.match(after)
    return kept if kept and not _CALLED_OFF.search(after.split("\n", 1)[0]) else None


def _kept_behind(before: str, said: str) -> re.Match[str] | None:
    """Words behind the id; far behind, or weak, only where its sentence calls nothing off."""
    kept = _UNAFFECTED_AFTER.search(said)
    if kept and len(kept["between"]) <= _CLOSE:
        return kept
    sentence = _ENDS.split(before)[-1] + " " + _ENDS.split(said)[0]
    return None if _CALLED_OFF.search(sentence) else kept or _KEPT_SOFTLY.search(said)
