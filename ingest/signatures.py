"""Where a signature begins, and which lines are gateways' and phones' rather than anybody's.

The convention is that of the corpora: the closing ("Kind regards", and a short name right under it)
is the sender's own text; the block under it, with full name, letters, phone or practice, is the
signature. Prose is never signature unless it is a legal notice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_EXACT_DELIMITER = re.compile(r"^--\s*$")
_LOOSE_DELIMITER = re.compile(r"^\s*(?:-{3,}|_{2,}|[—–]{1,3}|={3,}|\*{3,}|~{3,}|(?:- ){2,}-?)\s*$")
_MAX_SIGNATURE_LINES = 14  # after a loose delimiter; after the exact one any number
_MAX_PROSE_LINES = 6
_MAX_NOTICE_LINES = 60
_MAX_BLOCK = 8_000  # characters of a paragraph that are looked at

_PHONE = re.compile(
    r"(?:\+|\b0|\(0?)\d[\d\s().-]{6,}\d\b|(?i:\b(?:tel|phone|mob(?:ile)?|fax|t|m|f|"
    r"ph)\b\.?:?\s*[+(]?\d)|\(\d{3}\)\s?\d{3}"
)
_LINK = re.compile(
    r"(?i)\bhttps?://|\bwww\.|[\w.+-]+@[\w-]+\.\w|\b[\w-]+\.(?:example|co\.uk|com|org|net|uk)\b"
)
_CREDENTIAL = re.compile(
    r"\b(?:MBACP|BACP|UKCP|BABCP|HCPC|BPS|NCPS|NCS|COSCA|BPC|ACAT|ACC|UKAHPP|IACP|AFT|CPsychol|"
    r"DClinPsych?|DClinPsy|PsychD|PhD|Ph\.D|MSc|MA|BSc|BA|PGDip|MBPsS|FBACP|RMN|RGN|MRCPsych|"
    r"EMDR Europe|"
    r"Dipl?\.|reg\.|Reg\.|Accred|accredited|Accredited|registered|Registered|Registrant|Snr)\b"
)
_TITLE = re.compile(
    r"(?i)\b(?:counsell(?:or|ing)|psychotherap(?:ist|y|eut\w*)|therap(?:ist|y|ies|eut\w*)|"
    r"psychologist|"
    r"psychiatrist|supervisor|director|manager|administrator|officer|assistant|practice|"
    r"consult(?:ant|ing)|"
    r"practitioner|coach|team|president|ceo|founder|coordinator|resourcer|engineer|developer|"
    r"pronouns|she/her|he/him|they/them|mobile|office|street|road|clinic|centre|rooms?|online|"
    r"ltd|llp|inc|gmbh|limited|hours|mon|tues?|weds?|thurs?|fri|appointments?)\b"
)
_PROSE = re.compile(
    r"(?i)\b(?:i(?!\))|i'm|i've|i'd|i'll|we|we're|we've|you|he|he's|she|she's|they|him|her|it|"
    r"it's|me|my|please|pls|could|can|"
    r"would|will|have|has|had|was|were|don't|isn't|want|wants|need|needs|told|cancel|know|if|"
    r"because|but)\b"
)
# Legal and list notices: the one kind of prose that is nobody's. Only phrases that a person writing
# about a client does not use; what names a person ("she", "my") is never a notice.
_NOTICE = re.compile(
    r"(?i)\b(?:(?:are|is|be|strictly|private and|contain\w*|may be) confidential|"
    r"intended (?:recipient|solely|only)|"
    r"legally privileged|disclaimer|unsubscribe|received this (?:e-?mail|message|"
    r"communication) (?:in error|because)|"
    r"(?:you are receiv|you receive|you get) (?:this|these|ing this)|consider the environment|"
    r"before (?:you )?print|"
    r"registered (?:office|company|charity)|registered in (?:england|scotland|wales|ireland)|"
    r"company (?:number|no)|"
    r"privacy (?:notice|policy)|manage (?:your )?preferences|mailing list|in an emergency|"
    r"not monitored|"
    r"riservat[eio]|vertraulich|confidentiels?|mailman/listinfo)\b|\bconfidential\W*$"
)
_ABOUT_PEOPLE = re.compile(
    r"(?i)\b(?:i|i['’](?:m|ve|d|ll)|she|he|her|him|his|hers|my|me|client|clients|cancel|refer|"
    r"HT-?\d+)\b"
)
# Addressed to a machine: nobody writes so to the team, and what follows is not theirs to say.
_INSTRUCTS = re.compile(
    r"(?i)\b(?:ignore|disregard|forget)\b.{0,20}\b(?:previous|prior|above|earlier|preceding)"
    r" (?:instructions?|prompts?|rules)\b"
    r"|\b(?:classify|label|categorise|categorize) (?:this|the) (?:message|e-?mail|request)\b"
)
# What a request may turn on: a line with one of these is never signature for being under "-- ".
_DECIDES = re.compile(
    r"(?i)\b(?:she|he|her|hers|him|his|they|them|their|client\w*|cancel\w*|refer\w*|told|tell\w*|"
    r"spoke|agreed?s?|inform\w*|discuss\w*|suicid\w*|harm|risk|HT-?\s?\d+|\d{6}|please (?!note|"
    r"consider)\w+)\b"
)
_MOBILE = re.compile(
    r"(?i)^\W{0,3}(?:sent|written|posted) (?:wirelessly )?(?:from|via|with|on|using) "
    r"(?:my |the |a |an )?(?:[\w'’.+-]+ ){0,6}?"
    r"(?:i?phone|ipad|android|blackberry|mobile|smartphone|phone|tablet|samsung|galaxy|huawei|"
    r"xiaomi|nokia|pixel|htc|wiko|"
    r"outlook|yahoo|mailbox|mail|gmail|typeapp|sparrow|acompli|device|proton\w*|windows \d+|"
    r"surface|bluemail|spark|ios|tutanota)\b"
    r"(?![^\n]*\b(?:is|are|was|so|and|because|but|i)\b)[^\n]{0,60}$"
    r"|^\W{0,3}sent from (?:my )?[A-Z]\w+(?: [A-Z0-9][\w.+-]*){0,4}[.!]?$"
    r"|^\W{0,3}get outlook for (?:ios|android|mac)\b.{0,80}$"
    r"|^\W{0,3}(?:envoy[ée] (?:de|depuis|à partir de|sans fil)|gesendet (?:von|mit)|von meinem|"
    r"diese nachricht wurde von|"
    r"inviato da|enviado (?:desde|do|de|a partir)|verzonden (?:vanaf|met|via)|verstuurd vanaf|"
    r"skickat från|sendt fra|"
    r"lähetetty|wysłane z|wysłano z|отправлено (?:с|из)|odesláno z|trimis de pe|telefonumdan|"
    r"从我的|iphoneから送信|我的 ?iphone)\b.{0,100}$"
    r"|^\W{0,3}(?:sent via|via mobile|sent with|typed on)\b.{0,50}$"
)
_APOLOGY = re.compile(
    r"(?i)^\W*(?:please )?(?:excuse|forgive|apolog(?:ies|ise) for)\b.{0,60}\b(?:typos?|brevity|"
    r"spelling)\b.{0,40}$"
)
_BANNER = re.compile(
    r"(?i)^\W*(?:\[?(?:caution|warning|attention|external(?: e-?mail| sender| message)?|notice|"
    r"important)\]?\s*[:!-]\W*)*"
    r"(?:\[?external\]?\W*$|caution\W*$|external (?:e-?mail|sender|message)\b|(?:this|"
    r"the)? ?(?:e-?mail|message) "
    r"(?:originated|was sent|is|has been sent|came|has come|comes) from (?:an? )?(?:outside|"
    r"external)|"
    r"(?:you|some people who received this message) don['’]t often get e?-?mail from|"
    r"(?:do not|don['’]t|never) (?:click|open|follow|reply)\b.{0,80}(?:link|attachment)|"
    r"(?:please )?(?:use caution|exercise caution|be careful|think before)\b.{0,80}(?:link|"
    r"attachment|open|click)|"
    r"learn why this is important|unless you (?:recogni[sz]e|trust|know)|"
    r"and know the content is safe)"
)
_CAUTION_START = re.compile(
    r"(?i)^\W*(?:caution|\[?external\]?|warning|attention)\b[^a-z]{0,4}.{0,200}\b(?:outside|"
    r"external|originated|organi[sz]ation|attachments?|links?)\b"
)

SIGN_OFF = re.compile(
    r"(?i)^\W*(?:(?:with|my|our|and|all|the|very|many|kind(?:est)?|best|warm(?:est)?|good|every|"
    r"sincere(?:st)?|"
    r"much|lots of|so|again|in|yours|thanks?|thank you|thx|ta|a|of|love|cheers|regards?|wishes|"
    r"wish|rgds|"
    r"sincerely|faithfully|truly|respectfully|cordially|greetings|warmth|appreciation|advance|"
    r"muchly|"
    r"everyone|team|hug|xx?|x|you|for now|bw|kr|mvh|mfg|lg|vg|br|"
    r"viele|grüße|gruß|freundlichen|mit|beste|liebe|herzliche|cordialement|bien|à|vous|saludos|"
    r"cordiales|un|abrazo|"
    r"cordiali|saluti|met|vriendelijke|groet|groeten|med|vennlig|vänlig|hilsen|hälsning|"
    r"hälsningar|venlig|pozdrawiam|"
    r"serdecznie|atentamente|atenciosamente|obrigad[oa]|gracias|merci|grazie|danke|mange|takk|"
    r"tack|tak)\b[\s,.!&–-]*)+\W*$"
)
_NAME_WORD = r"(?:[A-ZÀ-ÖØ-ÞŁŚŻŹĆÓĘĄА-Я][\w'’.-]*|de|van|der|von|al|el|bin|la|le|du|di|da|del|ap|ó)"
_NAME_LINE = re.compile(
    rf"^\W{{0,2}}(?:(?:Dr|Mr|Mrs|Ms|Prof|Revd?|"
    rf"Miss)\.? )?{_NAME_WORD}(?:[ -]{_NAME_WORD}){{0,4}}[.,]?$"
)
_AFTER_NAME = re.compile(r"[,|(–-]| {2,}")
_LIST_ITEM = re.compile(r"\s*(?:[-*•]|\d+[.)])\s")
_DASH_NAME = re.compile(r"^\s*[-–—]\s?[^\W\d][\w.'’]{1,20}(?: [A-Z][\w.'’-]{1,20})?[.,!]?\s*$")


def is_mobile(line: str) -> bool:
    """A line a phone or mail program adds by itself."""
    return len(line) <= 160 and bool(_MOBILE.match(line) or _APOLOGY.match(line))


def banner_end(lines: Sequence[str]) -> int:
    """How many lines at the top are a gateway's warning about external mail; 0 for none."""
    end = 0
    for index, line in enumerate(lines[:14]):
        words = line.strip(" \t*-_=|#>[]")
        if not words:
            continue
        if (len(line) <= 600 and (_BANNER.match(line) or _CAUTION_START.match(line))) or (
            end and end == index and _continues_banner(line)
        ):
            end = index + 1
        else:
            break
    while end and end < len(lines) and not lines[end].strip(" \t*-_=|#>"):
        end += 1
    return end


def _continues_banner(line: str) -> bool:
    return bool(
        re.search(r"(?i)\b(?:links?|attachments?|sender|content is safe|recogni[sz]e)\b", line)
    ) and not re.search(r"(?i)\b(?:hi|hello|dear|client|session)\b", line)


def start(
    lines: Sequence[str], sender: str = "", *, is_whole_text: bool = True
) -> tuple[int, bool]:
    """The line at which the signature of this piece of new text begins, and whether in doubt.

    ``len(lines)`` where there is none. The first line of a text is never its signature; that of a
    piece below a quote may be.
    """
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    first = next((i for i in range(end) if lines[i].strip()), end)
    lowest = first + 1 if is_whole_text else first
    delimiter, doubtful = _delimiter(lines, lowest, end)
    if delimiter is not None:
        return delimiter, doubtful
    at = _block_start(lines, lowest, end, sender)
    return (at if at < end else len(lines)), doubtful


def _delimiter(lines: Sequence[str], lowest: int, end: int) -> tuple[int | None, bool]:
    """The topmost delimiter with only signature under it, and whether one had prose under it."""
    doubtful = False
    filled = _last_filled(lines, lowest, end)
    for place, index in enumerate(filled):
        exact = _EXACT_DELIMITER.match(lines[index]) is not None
        if not exact and not _LOOSE_DELIMITER.match(lines[index]):
            continue
        rest = [lines[i] for i in filled[place + 1 :]]
        if exact and (may_be_signature(rest) or _decides_nothing(rest)):
            return index, False
        if may_be_signature(rest) and (_has_evidence(rest) or _few_short(rest)):
            return index, False
        doubtful = doubtful or exact
    return None, doubtful


def _decides_nothing(block: Sequence[str]) -> bool:
    """A few lines under "-- " whose prose is of the "I do not work on Fridays" kind."""
    return len(block) <= _MAX_PROSE_LINES and not any(_DECIDES.search(line) for line in block)


def _last_filled(lines: Sequence[str], lowest: int, end: int) -> list[int]:
    """The numbers of the last lines that say anything: a signature is no longer than that."""
    found: list[int] = []
    for index in range(end - 1, lowest - 1, -1):
        if lines[index].strip():
            found.append(index)
            if len(found) > _MAX_NOTICE_LINES:
                break
    return found[::-1]


def may_be_signature(block: Sequence[str]) -> bool:
    """Whether no line of it is the sender's prose, apart from legal notices."""
    prose = 0
    noticed = False
    filled = [line for line in block if line.strip()]
    if len(filled) > _MAX_NOTICE_LINES:
        return False
    for line in filled:
        if _INSTRUCTS.search(line):
            break
        noticed = (noticed or bool(_NOTICE.search(line))) and not _ABOUT_PEOPLE.search(line)
        prose += not noticed and _is_prose(line)
    return prose == 0


def _is_prose(line: str) -> bool:
    words = line.split()
    return (
        len(words) >= 5
        and bool(_PROSE.search(line))
        and not (is_mobile(line) or _LINK.search(line))
    )


def _has_evidence(block: Sequence[str]) -> bool:
    return any(
        p.search(line) for line in block for p in (_PHONE, _LINK, _CREDENTIAL, _TITLE, _NOTICE)
    ) or any(is_mobile(line) for line in block)


def _few_short(block: Sequence[str]) -> bool:
    filled = [line for line in block if line.strip()]
    return 0 < len(filled) <= 4 and all(
        len(line) <= 40 and len(line.split()) <= 5 for line in filled
    )


def _block_start(lines: Sequence[str], lowest: int, end: int, sender: str) -> int:
    """Walks paragraphs from the bottom up for as long as each can only be signature."""
    at = end
    while at > lowest:
        top = at
        while top and lines[top - 1].strip():
            top -= 1
        begin = _within(lines[top:at], sender, is_first=top < lowest)
        if begin is None:
            break
        at = top + begin
        if begin:
            return at
        while at > lowest and not lines[at - 1].strip():
            at -= 1
    return _first_filled(lines, at, end)


def _first_filled(lines: Sequence[str], at: int, end: int) -> int:
    while at < end and not lines[at].strip():
        at += 1
    return at


def _within(paragraph: Sequence[str], sender: str, *, is_first: bool) -> int | None:
    """Where in the last paragraph so far a signature begins: 0 for all of it, None for nowhere."""
    if _is_block(paragraph, sender) and not is_first:
        return 0
    for offset in range(max(1, len(paragraph) - _MAX_SIGNATURE_LINES - 2), len(paragraph)):
        rest = paragraph[offset:]
        above = paragraph[offset - 1]
        closes = len(above) <= 80 and SIGN_OFF.match(above) is not None
        if closes and len(rest[0]) <= 200:
            kept = 1 if _NAME_LINE.match(rest[0].strip()) and not _full_name(rest[0], sender) else 0
            if rest[kept:] and _is_block(rest[kept:], sender):
                return offset + kept
        if all(is_mobile(line) for line in rest) or (len(rest) == 1 and _DASH_NAME.match(rest[0])):
            return offset
        if _full_name(rest[0], sender) and _is_block(rest, sender):
            return offset
    return None


def _is_block(paragraph: Sequence[str], sender: str) -> bool:
    """Whether a paragraph can only be signature: a notice, or short lines with a positive sign."""
    if len(paragraph) > _MAX_NOTICE_LINES:
        return False
    text = " ".join(paragraph)[:_MAX_BLOCK]
    if _NOTICE.search(text):
        return not _ABOUT_PEOPLE.search(text)
    return not _reads_as_text(paragraph) and _is_signed(paragraph, text, sender)


def _reads_as_text(paragraph: Sequence[str]) -> bool:
    """Prose, a question, a list, a heading or a closing: the sender's own, whatever else it has."""
    return (
        len(paragraph) > _MAX_SIGNATURE_LINES
        or any(
            len(line) > 110 or _is_prose(line) or line.rstrip().endswith(("?", ":"))
            for line in paragraph
        )
        or SIGN_OFF.match(paragraph[0]) is not None
        or (_LIST_ITEM.match(paragraph[0]) is not None and not _DASH_NAME.match(paragraph[0]))
    )


def _is_signed(paragraph: Sequence[str], text: str, sender: str) -> bool:
    if all(is_mobile(line) for line in paragraph):
        return True
    if len(paragraph) == 1 and _DASH_NAME.match(paragraph[0]):
        return True
    first = paragraph[0].strip()
    if _full_name(first, sender):
        # A name alone closes a letter as often as it signs one: it stays the sender's own.
        return len(paragraph) > 1 or _NAME_LINE.match(first) is None
    named = _NAME_LINE.match(_AFTER_NAME.split(first)[0].strip()) is not None
    signs = sum(bool(p.search(text)) for p in (_PHONE, _LINK, _CREDENTIAL, _TITLE))
    return named and signs >= (1 if len(paragraph) > 1 or _CREDENTIAL.search(text) else 2)


def _full_name(line: str, sender: str) -> bool:
    """Whether the line begins with the sender's name, first and last, or initials of the first."""
    wanted = [word.strip(".,").lower() for word in sender.split() if word[:1].isalpha()]
    wanted = [
        word for word in wanted if word not in {"dr", "mr", "mrs", "ms", "prof", "rev", "miss"}
    ]
    if len(wanted) < 2 or len(line) > 110:
        return False
    found = [word.strip(".,()|").lower() for word in line.split()[:7]]
    return any(  # titles of any language may come first
        word[:1] == wanted[0][:1] and wanted[-1] in found[at + 1 : at + 4]
        for at, word in enumerate(found[:3])
        if word
    )
