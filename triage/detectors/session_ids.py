"""Session ids as people write them, and which of them the message is about.

Canonical is ``HT-`` and six digits; ``six_digits`` finds them. An id that is corrected, or named
as another, unaffected session, is kept with a flag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from triage.detectors.kept_sessions import is_taken_back, takes_back, words_that_keep
from triage.detectors.mention import Mention
from triage.detectors.six_digits import session_numbers
from triage.language import Reading
from triage.records import Part

_SPELLED: Final = "zero|oh|nought|one|two|three|four|five|six|seven|eight|nine"
_VALUE_OF: Final = dict(zip(_SPELLED.split("|"), "000123456789", strict=True))

_SPOKEN = re.compile(rf"\b(?:(?:{_SPELLED})[\s,-]+){{5}}(?:{_SPELLED})\b", re.IGNORECASE)
_SPOKEN_HINT: Final = re.compile(r"\b(?:zero|oh|nought|nine|six|seven) (?:\w+ )", re.IGNORECASE)

#: The number before was wrong: between it and the next one stands one of these.
_CORRECTION = re.compile(
    r"\b(?:wait|i mean|i meant|meant|make that|scratch that|correction|beg (?:your )?pardon"
    r"|no,? look|my mistake"
    r"|typo|ignore (?:that|the first)|hang on|or rather|should (?:read|be|say|have been)"
    r"|the right one"
    r"|the correct|sorry,? (?:no|that'?s|it'?s|it is|its|i)|no,? sorry|no,? it'?s"
    r"|apologies,? (?:it'?s|that'?s|i)|hold on|wrong (?:one|number|id|ref)"
    r"|mistake in (?:the )?(?:number|id)|oops|whoops)\b",
    re.IGNORECASE,
)
#: "I typed …; the right one is …": this number, though before, is the wrong one.
_MISTYPED = re.compile(
    r"(?:\bnot|\binstead of|\brather than|\btyped|\bwrote|\bgave"
    r"|\bgave you|\bneither|\bnor|\bgiven you|\bquoted|\bput"
    r"|\bmistakenly|\bin error)[\s\W]{0,3}(?:was |is )?$",
    re.IGNORECASE,
)
_WRONG = re.compile(r"\bwrong\b", re.IGNORECASE)
_NOT_THIS = re.compile(r"\bn(?:ot|either|or)\W{0,3}$", re.IGNORECASE)
_RIGHT_ONE = re.compile(
    r"\b(?:right|correct|should|meant|sorry|mistake|wrong|instead|actually|typo)\b"
    r"|\b(?:it'?s|it is)\W{0,3}$",
    re.IGNORECASE,
)

#: Only these make a lone id none of the matter: "leave that one in" may concern the last session.
_SOMEBODY_ELSES = re.compile(
    r"(?:that'?s|is|was|it'?s|belongs to) (?:some(?:one|body) else|another client)", re.IGNORECASE
)
_SUBJECT_DISOWNED = re.compile(
    r"\b(?:not (?:this|the|that) (?:one|number|session|id|booking)?\s*(?:in|from) the (?:subject"
    r"|title|heading)"
    r"|(?:first|other|wrong) (?:number|one|id) in the subject|ignore the (?:number|id|one"
    r"|ref)[\w ]{0,12} in the (?:subject|title))",
    re.IGNORECASE,
)
_AUTOMATIC = re.compile(
    r"\s*(?:re: )?(?:automatic(?:ally)? (?:reply|response)|auto[- ]?(?:reply|response)"
    r"|out of (?:the )?office)",
    re.IGNORECASE,
)
_MACHINE_ABOUT_SESSION = re.compile(
    r"\s*(?:undeliver|delivery |mail delivery|returned mail|accepted|declined|tentative)",
    re.IGNORECASE,
)
_REPLY = re.compile(r"\s*(?:re|fwd?|aw|sv) ?:", re.IGNORECASE)
_EXAMPLE = re.compile(r"(?:for example|for instance|e\.?g\.?|such as)[\s\W]*$", re.IGNORECASE)


_MOST: Final = 100  # ids in one message; a longer list is data, not a request


class _Found(NamedTuple):
    part: Part
    first: int
    last: int
    value: str
    rule: str


def session_ids(reading: Reading) -> tuple[Mention, ...]:
    """Every session id that the sender's words hold or point at, flagged where it is not the
    matter.

    Flags: "corrected" (a slip of the pen that the text puts right), "other_session" (named as
    another, unaffected session), "quoted" (stands in quoted text that the new text points at).
    Automatic mail yields none.
    """
    if _is_automatic_reply(reading):
        return ()
    found = [*_in_part(reading, "subject"), *_in_part(reading, "new_text")][:_MOST]
    mentions = [_mention(reading, f, found) for f in found]
    return _settle(mentions) or tuple(_pointed_at(reading))


def _is_automatic_reply(reading: Reading) -> bool:
    """Whether a machine echoes our own subject; a bounce or a calendar answer names a session."""
    subject = reading.folded["subject"].text
    if _AUTOMATIC.match(subject):
        return True
    return bool(reading.email.automatic) and not _MACHINE_ABOUT_SESSION.match(subject)


def _in_part(reading: Reading, part: Part) -> Iterator[_Found]:
    text = reading.folded[part].text
    candidates = [
        _Found(part, n.first, n.last, f"HT-{n.digits}", n.rule) for n in session_numbers(text)
    ]
    if _SPOKEN_HINT.search(text):
        for m in _SPOKEN.finditer(text):
            value = "".join(_VALUE_OF[w] for w in re.findall(r"[a-z]+", m[0].lower()))
            candidates.append(_Found(part, *m.span(), f"HT-{value}", "spoken"))
    return iter(sorted(candidates, key=lambda f: f.first))


def _mention(reading: Reading, found: _Found, everything: list[_Found]) -> Mention:
    text = reading.folded[found.part].text
    following = [f for f in everything if f.part == found.part and f.first > found.first]
    stop = following[0].first if following else len(text)
    before, after = text[max(0, found.first - 45) : found.first], text[found.last : stop]
    flags = set()
    at = reading.sentence_at(found.part, found.first)
    others = {f.value for f in everything} - {found.value}
    if (others and _is_corrected(before, after, following, found)) or (
        found.part == "subject" and _is_disowned_subject(reading, found, everything)
    ):
        flags.add("corrected")
    elif words := words_that_keep(
        text, found.first, [(f.first, f.last) for f in (found, *following)]
    ):
        by_slip = _MISTYPED.search(before) or _WRONG.search(reading.sentences[at].text)
        if by_slip or not is_taken_back(reading.sentences[at].text):
            flags.add("other_session")
            if _SOMEBODY_ELSES.search(words):
                flags.add("surely_other")
    return Mention(
        "session_ids",
        found.value,
        reading.span(found.part, found.first, found.last),
        at,
        f"session_ids.{found.rule}",
        {"prefixed": 0.99, "link": 0.99, "spoken": 0.9}.get(found.rule, 0.93),
        frozenset(flags),
    )


def _is_disowned_subject(reading: Reading, found: _Found, everything: list[_Found]) -> bool:
    """Whether the new text turns from the subject's id: in words, or by others in a reply."""
    in_text = {f.value for f in everything if f.part == "new_text"}
    if found.value in in_text or not in_text:
        return False
    if _SUBJECT_DISOWNED.search(reading.folded["new_text"].text):
        return True
    subject = reading.folded["subject"].text
    return _REPLY.match(subject) is not None and "remind" in subject.lower()


def _is_corrected(before: str, after: str, following: list[_Found], found: _Found) -> bool:
    if following and following[0].value != found.value:
        between = after[:110]
        if len(after) <= 110 and _CORRECTION.search(between):
            return True
    if not _MISTYPED.search(before):
        return False
    return bool(_RIGHT_ONE.search(before + after[:80]) or _NOT_THIS.search(before))


def _settle(mentions: list[Mention]) -> tuple[Mention, ...]:
    """One verdict per id: a correction holds for every mention; "unaffected" needs another id."""
    corrected = {m.value for m in mentions if "corrected" in m.flags}
    unaffected = {m.value for m in mentions if "other_session" in m.flags} - corrected
    left = {m.value for m in mentions} - corrected - unaffected
    if unaffected and not left:
        surely = {m.value for m in mentions if "surely_other" in m.flags}
        unaffected &= surely
    return tuple(
        replace(
            m,
            flags=frozenset(
                f
                for f, values in (("corrected", corrected), ("other_session", unaffected))
                if m.value in values
            ),
        )
        for m in mentions
    )


#: The new text speaks of what stands below: a request, a booking, both of them.
_POINTS_BELOW = re.compile(
    r"\b(?:(?:session|booking|appointment|request|cancellation|message|email|mail|one|it|that|this"
    r"|both|all|two|three"
    r"|those|these)(?: (?:i|we|you) \w+)?(?: (?:of (?:the )?(?:ones )?|that'?s |is |just |quoted "
    r"|mentioned |forwarded ))?"
    r"[\s(]{1,2}below|(?:cancel|scrap|ignore|disregard|withdraw|see) (?:the )?below"
    r"|(?:yes|okay|ok|agreed|correct|as per|re|regarding) (?:to )?(?:all of |the lot |all )?"
    r"(?:the )?below"
    r"|questions? below|(?:number|ref(?:erence)?|id)\b[^.\n]{0,40} below)\b",
    re.IGNORECASE,
)
#: What answers questions about a session is about that session.
_ANSWERS = re.compile(
    r"\banswer(?:s|ing)? (?:to )?(?:your|both|all)\b"
    r"|\banswers (?:inline|beneath|below|between)\b"
    r"|\byour (?:two|three|four|both|other|first|second|last|[2-9])"
    r" (?:questions?|points?|queries)\b"
    r"|\b(?:yes|no) to (?:(?:the|your) )?(?:first|second|third|both)\b|\brespond to your\b",
    re.IGNORECASE,
)
_NOT_BELOW = re.compile(
    r"below (?:is|was|belongs?|are)\b[^.\n]{0,30}\b(?:other|another|else|different|not)\b"
    r"|alternatives|mention(?:ed)? below",
    re.IGNORECASE,
)
_PLURAL_BELOW = re.compile(
    r"\b(?:both|all|two|three|those|these|bookings|sessions|requests)\b[^.\n]{0,25}\bbelow\b",
    re.IGNORECASE,
)
#: "1 yes", "(b) no", "The second: …", "Second one's off": answers, item by item, to a list.
_ORDINALS: Final = {
    word: number
    for number, words in enumerate(
        ("first|1st|1|a", "second|2nd|2|b", "third|3rd|3|c", "fourth|4|d"), 1
    )
    for word in words.split("|")
}
_ITEM_ANSWER = re.compile(
    r"(?:^|\n|[.!?;,] +|\bfor )(?:(?:and |as for |no\.? ?|number |re |on |with )?(?:the )?)"
    r"\(?(first|second|third|fourth|[1-4](?:st|nd|rd)?|[a-d](?=[):]))"
    r"(?: one)?(?:'s\b|[.):,-]|\s(?=(?:yes|no|can|please|pls|is|stays|cancel|keep|i|leave|go|goes"
    r"|one|has(?:n'?t)?|was|does(?:n'?t)?|knows|i'?ve|is(?:n'?t)?)\b))",
    re.IGNORECASE,
)
#: "The second one below", "The lower one, please": one of those that are listed.
_ONE_OF_THEM = re.compile(
    r"\bthe (?P<below>first|second|third|fourth|top|upper|bottom|lower|last|latter|former)"
    r"(?: one| booking| session)?(?: of the (?:two|three|four))? below\b"
    r"|(?:^|\n|[.!?:] |\b(?:it'?s|it is|i mean|i meant) )the (?P<alone>first|second|third|fourth"
    r"|top|upper|bottom|lower|latter|former)(?: one| booking| session)?"
    r"(?:,? (?:and )?not the |,? (?:that )?i (?:mean|meant)\b|[.]|,? (?:please|sorry)\b)",
    re.IGNORECASE,
)
_THE_OTHER_TOO = re.compile(r"\bthe one (?:beneath|underneath|above)\b", re.IGNORECASE)
_FROM_THE_END: Final = frozenset(("bottom", "lower", "last", "latter"))
#: "Cancel 1, please", and "2 is fine".
_ITEM_VERB = re.compile(
    r"\b(?:cancel|scrap|keep|leave|drop|remove) (?:no\.? ?|number )?([1-4])\b(?![:.]\d| ?[ap]m)",
    re.IGNORECASE,
)
_LIST_LINE = re.compile(
    r"^[>\s]*(?:\(?([1-9a-d])[.):]|[-*])[^\n]*?HT[- ]?(\d{3} ?\d{3})", re.IGNORECASE | re.MULTILINE
)
_ALREADY = re.compile(
    r"\balready\b|\bstays?\b|\bkeep\b|\bas (?:i wrote|it is|is)\b|\bconfirmed\b|\bis fine\b",
    re.IGNORECASE,
)


def _pointed_at(reading: Reading) -> Iterator[Mention]:
    """Ids that stand only in quoted text, where the new text plainly points at them."""
    quoted = reading.folded["quoted_text"].text
    if not quoted:
        return
    found = [
        f
        for f in _in_part(reading, "quoted_text")
        if f.rule != "bare" and not _EXAMPLE.search(quoted[max(0, f.first - 20) : f.first])
    ]
    ids = list(dict.fromkeys(f.value for f in found))
    if not ids:
        return
    text = reading.folded["new_text"].text
    for way in (_one_of_them, _below, _answered, _item_by_item):
        if chosen := way(text, quoted, ids):
            for value, at in chosen:
                yield _quoted(reading, found, value, at)
            return


Chosen = list[tuple[str, int]]  # ids, each with where in the new text it is pointed at


def _one_of_them(text: str, _: str, ids: list[str]) -> Chosen:
    one = _ONE_OF_THEM.search(text)
    if one is None or len(ids) < 2 or _THE_OTHER_TOO.search(text):
        return []
    word = (one["below"] or one["alone"]).lower()
    place = len(ids) - 1 if word in _FROM_THE_END else _ORDINALS.get(word, 1) - 1
    return [(value, one.start()) for value in ids[place : place + 1]]


def _below(text: str, _: str, ids: list[str]) -> Chosen:
    below = _POINTS_BELOW.search(text)
    if below is None or _NOT_BELOW.search(text):
        return []
    wanted = ids if _PLURAL_BELOW.search(text) else ids[:1]
    return [(value, below.start()) for value in wanted]


def _answered(text: str, _: str, ids: list[str]) -> Chosen:
    answer = _ANSWERS.search(text) if len(ids) == 1 else None
    return [(ids[0], answer.start())] if answer else []


def _item_by_item(text: str, quoted: str, ids: list[str]) -> Chosen:
    listed = ["HT-" + m[2].replace(" ", "") for m in _LIST_LINE.finditer(quoted)]
    order = list(dict.fromkeys(listed)) if len(set(listed)) > 1 else ids
    answers = [
        (m, _ORDINALS[m[1].lower()])
        for pattern in (_ITEM_VERB, _ITEM_ANSWER)
        for m in pattern.finditer(text)
    ]
    if len(answers) > 1 and len(order) == 1:  # numbered questions about one session
        return [(order[0], answers[0][0].start(1))]
    if len(order) < 2 or not answers or (len(answers) < 2 and not listed):
        return []
    return [(order[n - 1], m.start(1)) for m, n in answers if n <= len(order)]


def _quoted(reading: Reading, found: list[_Found], value: str, at: int) -> Mention:
    place = next(f for f in found if f.value == value)
    sentence = reading.sentence_at("new_text", at)
    flags = {"quoted"}
    if _ALREADY.search(reading.sentences[sentence].text) and not takes_back(
        reading.sentences[sentence].text
    ):
        flags.add("other_session")
    span = reading.span("quoted_text", place.first, place.last)
    return Mention(
        "session_ids", value, span, sentence, "session_ids.quoted", 0.85, frozenset(flags)
    )
