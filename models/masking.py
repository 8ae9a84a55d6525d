"""Pseudonyms by keyed hashing, and free text with names, addresses and numbers masked.

Keyed (BLAKE2b, RFC 7693), because a plain hash of an address or a six-digit id is found again by
trying them all. Who has no key gets one that lasts as long as the process, so that nothing can be
matched with anything later.

Masking text errs towards too much. It is a help for those who label, not a proof: a client may be
recognised by what happened to them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from models.corpus import Corpus
    from triage.redaction import Vocabulary

_DIGITS: Final = 6
_PLACES: Final = (
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "[address]"),
    (re.compile(r"(?:https?://|www\.)\S+"), "[link]"),
    (re.compile(r"\b[A-Za-z]{1,2}\d[A-Za-z\d]? ?\d[A-Za-z]{2}\b"), "[postcode]"),
    (re.compile(r"(?<!\w)\+?\d(?:[\s()-]?\d){8,}"), "[phone]"),
)
_SESSION: Final = re.compile(r"\bht[-\s]?(\d{5,6})\b|#(\d{5,6})\b", re.IGNORECASE)
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
#: What may precede the first word of a sentence.
_OPENS: Final = re.compile(r"(?:^|[.!?:\n>\"“(*•-])\s*$")
_CALENDAR: Final = frozenset(
    (
        "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
        "january", "february", "march", "april", "may", "june", "july", "august", "september",
        "october", "november", "december", "mon", "tue", "tues", "wed", "thu", "thurs", "fri",
        "sat", "sun",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """The same value gives the same pseudonym under the same *key*, and tells nothing else."""

    key: bytes

    def of(self, value: str, kind: str) -> str:
        """A pseudonym of *value*; "" for none. The same value of another *kind* gets another."""
        if not value:
            return ""
        digest = hashlib.blake2b(f"{kind}\0{value.lower()}".encode(), key=self.key, digest_size=8)
        return digest.hexdigest()

    def session(self, session_id: str) -> str:
        """A session id of the same shape, so that rules still see one."""
        number = int(self.of(session_id.upper(), "session") or "0", 16) % 10**_DIGITS
        return f"HT-{number:0{_DIGITS}d}" if session_id else ""


def mask(
    text: str, pseudonyms: Pseudonyms, *, names: Collection[str], common: Collection[str]
) -> str:
    """*text* without names, addresses, telephone numbers, links and postcodes.

    *names* are masked wherever they stand. Of other words in capitals only those stay that begin a
    sentence and are *common* (lower-case words of the language), are days or months, or stand in
    capitals throughout, as "CBT" does.
    """
    for pattern, instead in _PLACES:
        text = pattern.sub(instead, text)
    text = _SESSION.sub(lambda m: pseudonyms.session(f"HT-{m[1] or m[2]}"), text)
    hidden = {part.lower() for name in names for part in _WORD.findall(name) if len(part) > 1}

    def masked(match: re.Match[str]) -> str:
        word = match.group()
        lower = word.lower()
        if lower.removesuffix("'s").removesuffix("’s") in hidden:
            return "[name]"
        if word[0].islower() or lower in _CALENDAR or word in {"I", "HT"} or word[:2] in _FIRST:
            return word
        if word.isupper() and len(word) > 1:
            return word
        opens = _OPENS.search(text, max(match.start() - 8, 0), match.start()) is not None
        return word if opens and lower in common else "[name]"

    return re.sub(r"\[name\](?:[ -]\[name\])+", "[name]", _WORD.sub(masked, text))


#: "I'm", "I've" and their like.
_FIRST: Final = ("I'", "I’")


def common_words() -> frozenset[str]:
    """Words that the corpora write in lower case: no names."""
    from models.corpus import load_corpus
    from models.features import known_words

    corpus = load_corpus()
    texts = [e.email.new_text for e in corpus.examples] + [s.text for s in corpus.sentences]
    return frozenset(known_words(texts))


def vocabulary(registered: Iterable[str] = (), *, without: str = "") -> Vocabulary:
    """What redaction knows of words; *registered* are names, *without* a corpus file left out."""
    from models.corpus import load_corpus
    from models.features import known_words
    from models.views import load_language
    from triage.redaction import Vocabulary

    language, corpus = load_language(), load_corpus()
    texts = [e.email.new_text for e in corpus.examples if e.file != without]
    everyday = set(known_words([*texts, *(s.text for s in corpus.sentences)]))
    everyday -= _names_in(corpus) - language.names["common"] - language.names["openers"]
    names = language.patterns["given_names"]
    everyday_too = language.patterns["common_words"]["words"].split()
    clinical = language.names["common"].difference(everyday_too)
    return Vocabulary.of(
        language.names, names, everyday=everyday, registered=registered, clinical=clinical
    )


def _names_in(corpus: Corpus) -> set[str]:
    """The words of senders and clients, for some of the messages write them small."""
    senders = (e.email.sender.name for e in corpus.examples)
    clients = (r.client_ref or "" for e in corpus.examples for r in e.requests)
    return {word.lower() for name in (*senders, *clients) for word in _WORD.findall(name)}
