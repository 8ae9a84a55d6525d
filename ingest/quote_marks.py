"""What tells that quoted text begins: attribution lines, header blocks, dividers.

In the languages that mail programs come in.

Each recogniser looks at a few lines at one place and takes time linear in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_MAX_ATTRIBUTION = 500  # characters; longer lines are prose
_REACH = 6  # lines an attribution may run over
_MAX_HEADER_LINES = 14


@dataclass(frozen=True, slots=True)
class Mark:
    """Lines ``start`` to ``end`` (exclusive) introduce a quote.

    ``lead`` counts the characters of the first line that come before the mark and are the sender's.
    A "weak" attribution only counts when marked lines follow.
    """

    start: int
    end: int
    kind: Literal["attribution", "weak", "header", "divider", "forward"]
    lead: int = 0


# --- "On … wrote:" ------------------------------------------------------------------------------

_VERBS = (
    r"wrote|writes|sent|said|has written|schrieb|geschrieben|hat geschrieben|(?:a|ont) [ée]crit|"
    r"escribi[óo]|ha escrito|escreveu|ha scritto|scrisse|schreef|(?:het )?volgende geschreven|"
    r"skrev|skreiv|kirjoitti|napisał(?:\(a\)|a)?|napsal(?:\(a\)|a)?|napísal|написала?|пишет|писал|"
    r"написав|yazdı|şunu yazdı|írta|a scris|ha escrit|va escriure|je napisao|je napisal|έγραψε|"
    r"đã viết|menulis|写道|寫道|さんは書きました|のメッセージ|님이 작성|כתב|كتب|rašė|rakstīja|"
    r"kirjutas|pisze|пише|написа"
)
_VERB_LINE = re.compile(
    rf"(?i)(?:{_VERBS})\b ?(?:\([a-z]\))?\s*[:：]?\s*(?:[-_*]{{2,}}\s*)?[:：]?\s*$"
)
_OPENING = re.compile(
    r"(?i)^[>\s*\"'(-]*(?:on|in|at|am|vom|le|il|el|em|op|den|de|dne|dnia|w dniu|w|på|ons?dag|vào|"
    r"pada|a|la|in data|il giorno|v|на|от|у|στις|בתאריך|في|\d{4}年|在|于)\b"
)
_DATE = re.compile(
    # 11/09/2026, 17-feb.-2015
    r"(?i)\b\d{1,4}\s?[./-]\s?(?:\d{1,2}|[a-zé]{3,9}\.?)\s?[./-]\s?\d{1,4}\b"
    r"|\b\d{1,2}(?:st|nd|rd|th|\.|º)?,?\s+(?:de\s+|di\s+)?[^\W\d]{3,12}\.?,?\s*(?:de\s+)?\d{4}\b"
    r"|\b[^\W\d]{3,12}\.?\s+\d{1,2}(?:st|nd|rd|th)?,?\s+\d{4}\b"  # April 3, 2012
    r"|\d{1,2}\s+tháng\s+\d{1,2},?\s+\d{4}|\d{4}\s*년|\d{4}年\d{1,2}月\d{1,2}日"
    r"|\b[^\W\d]{3,12},?\s+\d{1,2}\s+[^\W\d]{3,12}\.?(?:\s|,|$)"  # Mon, 3 Nov (no year)
)
_CLOCK = re.compile(r"\b\d{1,2}\s?[:.h]\s?\d{2}\b|(?i:\b\d{1,2}\s?[ap]\.?m\b)")
_ADDRESS = re.compile(r"[\w.+'-]{1,64}@[\w-]{1,63}\.[\w.-]{1,190}|@[\w-]+\.\w+")
# People report what people wrote: "On 3 Nov at 19:30 she wrote:" introduces the sender's own words.
_BY_PRONOUN = re.compile(
    r"(?i)\b(?:i|we|he|she|they|you|it|who|client|clients?['’]s? \w+|which|that|and|then|just|also|"
    r"to (?:me|us|him|her|them|say))\s+(?:have |had |has )?(?:then |also |just |finally )?"
    r"(?:wrote|sent|said|writes|(?:has )?written)\s*:?\s*$"
)
# Webmail without a verb: "26.06.2014, 14:41, "Alexander L" <abc@example.com>:"
_VERB_INSIDE = re.compile(rf"(?i)\b(?:{_VERBS})\b.{{0,300}}[:：]\s*$")
_TAIL = re.compile(r">\s*[:：]?\s*$|@[^()\s]{1,190}\)\s*:\s*$")
_DATED_ADDRESS = re.compile(
    r"<[^<>]{0,80}@[^<>]{0,190}>\s*[:：]?\s*$|\([^()\s]{1,64}@[^()\s]{1,190}\)\s*:\s*$"
)
_STARTS_DATED = re.compile(
    r"^[\s*]*(?:[^\W\d]{2,12}[,.]{0,2}\s+){0,2}"  # a weekday, in any language
    r"\d{1,4}(?:[./:-]\d|\.?,?\s+[^\W\d]{3,12}\.?[\s,]|年)"
)
# What stands before an attribution that shares the sender's last line: "reply On Wed, Apr 4 …".
_SHARED = re.compile(
    r"(?i)(?:[-\s]{3}|[.!?…\w]\s)(?=on\s+(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6},?\s)"
)
_FRAMED = re.compile(rf"(?i)^\s*-{{2,}}(?!-).{{0,300}}?\b(?:{_VERBS})\s*:?\s*-{{2,}}\s*$")


def attribution_at(lines: Sequence[str], index: int) -> Mark | None:
    """The attribution that ends on line *index*, with wherever above it began."""
    line = lines[index]
    if len(line) > _MAX_ATTRIBUTION:
        return None
    if _VERB_LINE.search(line):
        return _with_verb(lines, index)
    if _TAIL.search(line) and ("@" in line or len(line) < 40):
        return _without_verb(lines, index)
    if line.rstrip().endswith((":", "：")) and len(line) < 160 and _evidence(line) >= 2:
        if _OPENING.match(line) and _VERB_INSIDE.search(line):
            return Mark(index, index + 1, "attribution")
        return Mark(index, index + 1, "weak") if _STARTS_DATED.match(line) else None
    return None


def _with_verb(lines: Sequence[str], index: int) -> Mark | None:
    """The strongest reading of the lines that end at *index*: the nearest strong, else weak one."""
    joined = ""
    weak: Mark | None = None
    for start in range(index, max(-1, index - _REACH), -1):
        part = lines[start]
        joined = f"{part.strip()} {joined}".strip()
        if len(joined) > _MAX_ATTRIBUTION or (start < index and _ends_sentence(part)):
            break
        kind = "attribution" if _FRAMED.match(joined) else _kind(part, joined)
        if kind == "attribution":
            return Mark(start, index + 1, kind)
        if start == index and (shared := _shared(part)) is not None:
            return Mark(start, index + 1, "attribution", lead=shared)
        if kind == "weak" and (weak is None or _OPENING.match(part)):
            weak = Mark(start, index + 1, "weak")
    return weak


def _kind(part: str, joined: str) -> Literal["attribution", "weak", ""]:
    """What *joined* is, were *part* its first line."""
    evidence = _evidence(joined)
    opens = _OPENING.match(part) or _STARTS_DATED.match(part)
    if opens and evidence >= 2 and not _BY_PRONOUN.search(joined):
        return "attribution"
    if opens and (evidence or joined.endswith((":", "："))):
        return "weak"
    return (
        "weak" if "<" in joined and _ADDRESS.search(joined) and part.strip()[:1] not in "<>" else ""
    )


def _evidence(joined: str) -> int:
    """How much of what mail programs write is there: a date, a time of day, an address."""
    return sum(bool(p.search(joined)) for p in (_DATE, _CLOCK, _ADDRESS))


def _shared(line: str) -> int | None:
    for found in _SHARED.finditer(line):
        rest = line[found.end() :]
        if _evidence(rest) >= 2:
            return found.start() + (0 if found[0].isspace() or "-" in found[0] else 1)
    return None


def _ends_sentence(line: str) -> bool:
    return line.rstrip().endswith((".", "!", "?")) and not _ADDRESS.search(line)


def _without_verb(lines: Sequence[str], index: int) -> Mark | None:
    joined = ""
    for start in range(index, max(-1, index - 3), -1):
        part = lines[start].strip()
        joined = f"{part} {joined}".strip()
        if not part or len(joined) > _MAX_ATTRIBUTION:
            return None
        opens = _STARTS_DATED.match(part) or (_OPENING.match(part) and _VERB_INSIDE.search(joined))
        if opens and _evidence(joined) >= 2 and _DATED_ADDRESS.search(joined):
            colon = joined.endswith((":", "："))
            timed = _CLOCK.search(joined) is not None
            return Mark(start, index + 1, "attribution" if colon and timed else "weak")
    return None


# --- header blocks ------------------------------------------------------------------------------

_ROLES = {
    "from": r"from|von|de|da|van|fra|från|od|от|від|lähettäjä|gönderen|kimden|mittente|remitente|"
    r"afzender|exp[ée]diteur|feladó|de la|发件人|發件人|寄件者|差出人|보낸 ?사람|de parte de|από|"
    r"מאת|من",
    "date": r"sent|date|gesendet(?: am)?|datum|envoy[ée](?: le)?|date d['’]envoi|enviado(?: em|"
    r" el)?|fecha|data|inviato|"
    r"verzonden|sendt|dato|skickat|wysłano|data wysłania|дата|отправлено|lähetetty|päivämäärä|"
    r"päiväys|gönderildi|"
    r"tarih|odesláno|elküldve|trimis|发送时间|發送日期|日期|送信日時|보낸 ?날짜|message du|"
    r"ημερομηνία|ngày",
    "to": r"to|an|à|a|para|aan|til|till|do|кому|vastaanottaja|kime|komu|címzett|către|destinatario|"
    r"destinat[áa]ri[oa]|收件人|宛先|받는 ?사람|pour|προς|đến",
    "cc": r"cc|bcc|kopie|copie(?: [àa])?|kopia|kopi|kopio|cópia|копия|副本|bilgi|dw|másolat|"
    r"c\.c\.|抄送",
    "subject": r"subject|betreff|objet|asunto|assunto|oggetto|onderwerp|emne|ämne|temat|тема|aihe|"
    r"konu|předmět|predmet|tárgy|subiect|主题|主題|件名|제목|sujet|θέμα|re|chủ đề",
    "other": r"reply-to|importance|priority|attachments?|organi[sz]ation|resent-from|sender|"
    r"anlagen?|"
    r"pi[èe]ces jointes|mailed-by|signed-by|message-id|received|x-mailer|mime-version|"
    r"content-type|priorit[ée]t?|allegati",
}
_FIELD = re.compile(
    r"(?i)^[>\s*_]*(?:" + "|".join(f"(?P<{role}>{names})" for role, names in _ROLES.items()) + r")"
    r"[*_]*\s*[:：][*_]*\s*(?P<value>.*)$"
)

_INNER_FIELD = re.compile(
    r"(?i)\S\s+\**(?:"
    + "|".join(_ROLES[role] for role in ("date", "to", "subject"))
    + r")\**\s*:\**\s+\S"
)

_SOLE_ADDRESS = re.compile(r"^[^<>@]{0,80}<?[\w.+'-]{1,64}@[\w.-]{3,190}>?\s*$")


def header_block_at(lines: Sequence[str], index: int) -> Mark | None:
    """A block of From:, Sent:, To:, Subject: as mail programs put above what they quote.

    Two fields suffice where an address is among them, else three, one of them From; people head
    lists of their own with "Date:" and "To:".
    """
    first = _FIELD.match(lines[index]) if len(lines[index]) <= 2_000 else None
    if first is None:
        return None
    end, roles = _fields_from(lines, index)
    if first["from"] and _second_field(first["value"]):
        roles.add("date")
    roles.discard("other")
    block = " ".join(lines[index:end])
    addressed = _ADDRESS.search(block) is not None
    if not roles & {"from", "date"}:
        return None
    if roles == {"from"}:  # alone it is a quote's heading only where it holds nothing else
        after_gap = index > 0 and not lines[index - 1].strip()
        enough = after_gap and _SOLE_ADDRESS.match(first["value"]) is not None
    elif len(roles) == 2:
        enough = addressed or ("from" in roles and _evidence(block) >= 2)
    else:
        enough = addressed or "from" in roles
    return Mark(index, end, "header") if enough else None


def _fields_from(lines: Sequence[str], index: int) -> tuple[int, set[str]]:
    """Where the fields that begin at *index* end, wrapped lines included, and their roles."""
    roles: set[str] = set()
    end = index
    for at in range(index, min(len(lines), index + _MAX_HEADER_LINES)):
        line = lines[at][:2_000]
        field = _FIELD.match(line)
        if field is not None:
            roles |= {role for role in _ROLES if field[role]}
            end = at + 1
        elif not line.strip(" >*"):
            if not (at + 1 < len(lines) and _FIELD.match(lines[at + 1][:2_000])):
                break
        elif _continues(line) and at - end < 3:
            end = at + 1
        elif at > end:  # two lines that are no fields: the body has begun
            break
    return end, roles


def _second_field(line: str) -> bool:
    """Whether a field stands after another on one line, as when HTML lost its line breaks."""
    return len(line) <= 1_000 and _INNER_FIELD.search(line) is not None


def _continues(line: str) -> bool:
    return line[:1] in " \t" or line.lstrip("> ").startswith("<") or "@" in line[:200]


# --- dividers -----------------------------------------------------------------------------------

_MESSAGE_WORDS = (
    r"(?:original(?:nachricht)?|reply|urspr(?:ü|ue)ngliche|antwort|oprindelig|opprinnelig|"
    r"ursprungligt|"
    r"original|originele|oorspronkelijk|d['’]origine|originale|mensaje|mensagem|wiadomość|"
    r"оригинальное|"
    r"исходное|alkuper[äa]inen|původní|eredeti|mesaj|原始|元の|원본)"
)
_FORWARD_WORDS = (
    r"forwarded|weitergeleitet|transf[ée]r[ée]|r[ée]exp[ée]di[ée]|reenviad|encaminhad|inoltrat|"
    r"doorgestuurd|videresendt|vidarebefordra|przekazan|пересылаем|пересланн|edelleenlähet|"
    r"välitett|"
    r"iletilen|přeposlan|továbbított|redirecționat|转发|轉寄|転送|전달"
)
_MESSAGE_NOUN = (
    r"(?:message|mail|e-mail|nachricht|meddelelse|besked|melding|meddelande|bericht|mensaje|"
    r"mensagem|"
    r"messaggio|сообщение|письмо|wiadomość|viesti|zpráva|üzenet|mesaj[ıi]?|邮件|郵件|メッセージ|"
    r"메시지)"
)
_DIVIDER = re.compile(
    rf"(?i)^[>\s]*[-_=*~]{{2,}}(?![-_=*~])\s*(?:{_MESSAGE_WORDS}\s*{_MESSAGE_NOUN}|"
    rf"{_MESSAGE_NOUN}\s+"
    rf"{_MESSAGE_WORDS}|originalnachricht)\s*[-_=*~]{{2,}}\s*$"
)
_FORWARD = re.compile(
    rf"(?i)^[>\s]*[-_=*~]{{2,}}(?![-_=*~]).{{0,40}}(?:{_FORWARD_WORDS}).{{0,80}}[-_=*~]{{2,}}\s*$"
    rf"|^[>\s]*(?:begin forwarded message|anfang der weitergeleiteten|d[ée]but du message|"
    rf"inizio messaggio|"
    rf"inicio del mensaje|begin doorgestuurd|in[íi]cio da mensagem|vidarebefordrat brev|"
    rf"start på videresendt)"
    rf"[^:]{{0,40}}[:：]\s*$"
)
#: A line that only divides: what Outlook, lists and gateways draw.
RULE_LINE = re.compile(r"^[\s>]*(?:[-_=*~#—–]\s?){3,}\s*$")


def divider_at(lines: Sequence[str], index: int) -> Mark | None:
    line = lines[index]
    if len(line) > 200:
        return None
    if _FORWARD.match(line):
        return Mark(index, index + 1, "forward")
    return Mark(index, index + 1, "divider") if _DIVIDER.match(line) else None


_VERB_ENDS = (
    "wrote", "writes", "sent", "said", "written", "schrieb", "geschrieben", "écrit", "ecrit",
    "scritto", "escribió", "escribio", "escrito", "escreveu", "scrisse", "schreef", "skrev",
    "skreiv", "kirjoitti", "napisał", "napisała", "napisał(a)", "napsal", "napsala", "написал",
    "написала", "пишет", "писал", "написав", "yazdı", "írta", "scris", "escrit", "escriure",
    "napisao", "έγραψε", "viết", "menulis", "写道", "寫道", "さんは書きました", "のメッセージ",
    "작성", "כתב", "كتب", "rašė", "rakstīja", "kirjutas", "pisze", "пише", "написа",
)  # fmt: skip


def is_worth_a_look(line: str) -> bool:
    """A cheap test that dismisses most lines: what ``mark_at`` finds has one of these signs."""
    text = line.strip(" \t")
    return (
        text[-1:] in ":：>)-*_=~"
        or text[:1] in "-_=*~>"
        or ":" in text[:48]
        or "：" in text[:48]
        or text[-16:].lower().endswith(_VERB_ENDS)
    )


def mark_at(lines: Sequence[str], index: int) -> Mark | None:
    """Whatever introduces a quote at line *index*; None for an ordinary line."""
    if not is_worth_a_look(lines[index]):
        return None
    return divider_at(lines, index) or attribution_at(lines, index) or header_block_at(lines, index)
