"""spaCy's only home: words, sentences and phrases of a message, read once for every detector.

Text is *folded* before it is tokenised: curly quotes, dashes, odd spaces, look-alike letters and
hard-wrapped lines become their plain forms, invisible characters go. So ``session\u200b 204518``
and ``she’s`` read like what they look like, and every offset is still known in the original.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, Final

from triage.records import Email, Part, Span
from triage.sentences import split

if TYPE_CHECKING:
    from spacy.tokens import Doc

#: Letters of other scripts that look like a Latin one; mail here is English, so they mean it.
_LOOKALIKES = dict(
    zip(
        "аеорсухіјѕԁһոАВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧο",
        "aeopcyxijsdhnABEKMHOPCTYXIJSABEZHIKMNOPTYXo",
        strict=True,
    )
)
#: Less alike: Latin in a word that by now has Latin letters too, or has none but these.
_MAYBE_LATIN = str.maketrans(
    "кмтпгвьїӏԛԝѵѡαειϊίκνρστυχγηωμϲϳϹͿօսցհզɑɡıɩʏᴏᴄᴜᴠᴡᴢѐё",
    "kmtnrbbilqwvwaeiiikvpotuxynwucjCJoughqagiiyocuvwzee",
)
_MIXED_WORD = re.compile(
    r"(?=[\w'-]*[a-zA-Z0-9])[\w'-]*[\u0250-\u058f\u1d00-\u1d7fı][\w'-]*"
    rf"|\b[{''.join(map(chr, _MAYBE_LATIN))}]+\b"
)
_PLAIN = {"‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'", "´": "'", "`": "'", "“": '"', "”": '"'}
_PLAIN |= {"„": '"', "‟": '"', "″": '"', "«": '"', "»": '"', "…": ".", "\t": " "}
_PLAIN |= {"•": "*", "·": "*", "●": "*", "▪": "*", "◦": "*", "‣": "*", "\x0b": "\n", "\x0c": "\n"}
_PLAIN |= {"\u2028": "\n", "\u2029": "\n", "\x85": "\n"}


class _Folding(dict[int, str | None]):
    """A translation table that works out each character once: its plain form, or nothing."""

    def __missing__(self, code: int) -> str | None:
        self[code] = plain = _plain(chr(code))
        return plain


def _plain(character: str) -> str | None:
    known = _PLAIN.get(character) or _LOOKALIKES.get(character)
    if known:
        return known
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    if character == "\r" or category in {"Cf", "Mn", "Me"}:
        return None
    if category in {"Zs", "Pd"}:
        return " " if category == "Zs" else "-"
    compatible = unicodedata.normalize("NFKC", character)
    as_letters = compatible.isascii() and compatible.isalpha() and category[0] == "L"  # "ﬁ"
    return compatible if len(compatible) == 1 or as_letters else character


_FOLDING = _Folding()


@dataclass(frozen=True, slots=True)
class Folded:
    """Plain text, and where each of its characters stood in the original."""

    text: str
    origin: Sequence[int] | None = None  # None while nothing had to go: offsets are the same

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Offsets in the original for ``text[start:end]``."""
        if self.origin is None or start >= end:
            return start, end
        return self.origin[start], self.origin[end - 1] + 1


def fold(text: str) -> Folded:
    """The plain form of *text*: letters as they look, less what nobody sees.

    Line breaks that a mail program put into a running sentence become spaces.
    """
    if text.isascii() and "\r" not in text:
        plain, origin = text.replace("\t", " "), None
    else:
        plain = text.translate(_FOLDING)
        origin = None
        pieces = [len(_FOLDING[ord(c)] or "") for c in text]
        if any(length != 1 for length in pieces):
            origin = [i for i, length in enumerate(pieces) for _ in range(length)]
        plain = _MIXED_WORD.sub(lambda m: m[0].translate(_MAYBE_LATIN), plain)
    if "\n" in plain:
        plain = _unwrapped(plain)
    return Folded(plain, origin)


#: Characters of a part that are read; what stands behind is somebody's document, not a request.
_LONGEST: Final = 20_000
_NARROWEST, _WIDEST = 58, 80  # the widths at which mail programs wrap


def _unwrapped(text: str) -> str:
    """*text* with a space where a mail program, and not the writer, broke a line."""
    lines = text.split("\n")
    if max(len(line.rstrip()) for line in lines) > _WIDEST:
        return text
    joined = [lines[0]]
    for before, line in pairwise(lines):
        end = before.rstrip()
        runs_on = len(end) >= _NARROWEST and end[-1] not in ".!?:;" and line[:1].isalnum()
        joined.append(" " if runs_on and not line.startswith("HT") else "\n")
        joined.append(line)
    return "".join(joined)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, line or bullet of the new text or subject.

    ``getattr(email, part)[start:end]`` are its words as written; ``text`` is their folded form, for
    matching and features. ``first`` and ``last`` are its offsets in the folded part.
    """

    part: Part
    start: int
    end: int
    text: str
    index: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PhraseHit:
    """A phrase of the lexicon or of the pattern files, at token and folded offsets of its part."""

    key: str  # as given to Language, such as "presenting_issues|ocd" or "cue|negated|forward"
    part: Part
    first: int
    last: int
    sentence: int
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One message, tokenised once: what every detector looks at."""

    email: Email
    folded: Mapping[Part, Folded]
    sentences: tuple[Sentence, ...]
    hits: tuple[PhraseHit, ...]
    names: Mapping[str, frozenset[str]] = field(repr=False)  # words that are no names: see Language
    _starts: Mapping[Part, tuple[int, list[int]]] = field(repr=False)

    def span(self, part: Part, first: int, last: int) -> Span:
        """The original words behind folded offsets."""
        start, end = self.folded[part].place(first, last)
        text: str = getattr(self.email, part)
        return Span(part, start, end, text[start:end])

    def lead(self, sentence: Sentence, span: Span) -> int:
        """How many characters a reader sees from the start of *sentence* to *span*, in its part.

        Offsets in the original would count invisible ones as well.
        """
        text: str = getattr(self.email, span.part)
        return len(fold(text[sentence.start : span.start]).text)

    def sentence_at(self, part: Part, first: int) -> int:
        """Index of the sentence that holds folded offset *first*; 0 for a part without any."""
        base, starts = self._starts.get(part, (0, []))
        return base + max(bisect_right(starts, first) - 1, 0)


class Language:
    """The tokeniser and all phrases, built once per process.

    *lexicon* is ``lexicon.json``: field, code, ``phrases`` and ``not``. *patterns* are the TOML
    files of ``triage/patterns`` by stem. Building costs about half a second, of which half is
    spaCy's own import; afterwards an average message takes a fraction of a millisecond.
    """

    def __init__(self, lexicon: Mapping[str, Any], patterns: Mapping[str, Any]) -> None:
        import spacy
        from spacy.matcher import PhraseMatcher

        self.lexicon = lexicon
        self.patterns = patterns
        self._nlp = spacy.blank("en")
        self.names = _name_words(lexicon, patterns)
        self._matcher = PhraseMatcher(self._nlp.vocab, attr="LOWER")
        for key, phrases in _phrase_table(lexicon, patterns).items():
            self._matcher.add(key, [self._nlp.make_doc(fold(p).text.lower()) for p in phrases])

    def doc(self, text: str) -> Doc:
        """*text* folded, tokenised, with sentence boundaries set; offsets are those of the
        folded text.
        """
        plain = fold(text).text
        doc = self._nlp.make_doc(plain)
        starts = [first for first, _ in split(plain)]
        for token in doc:
            token.is_sent_start = False
        for first in starts:
            token_span = doc.char_span(first, first + 1, alignment_mode="expand")
            if token_span is not None:
                doc[token_span.start].is_sent_start = True
        return doc

    def docs(self, texts: Iterable[str]) -> Iterator[Doc]:
        return map(self.doc, texts)

    def phrases(self, doc: Doc) -> list[tuple[str, int, int]]:
        """Every phrase in *doc* as (key, first, last) in character offsets, in order; may
        overlap.
        """
        found = self._matcher(doc)
        if not found:
            return []
        strings = self._nlp.vocab.strings
        hits = []
        for match, start, end in found:
            last = doc[end - 1]
            hits.append((strings[match], doc[start].idx, last.idx + len(last)))
        return sorted(hits, key=lambda h: (h[1], -h[2]))

    def sentences(self, email: Email) -> tuple[Sentence, ...]:
        """The sentences of the subject, then of the new text, numbered through."""
        return self.read(email).sentences

    def read(self, email: Email) -> Reading:
        """Fold, split, tokenise and match *email* in one pass."""
        sentences: list[Sentence] = []
        hits: list[PhraseHit] = []
        folded: dict[Part, Folded] = {}
        starts: dict[Part, tuple[int, list[int]]] = {}
        parts: tuple[Part, ...] = ("subject", "new_text")
        for part in parts:
            folded[part] = plain = fold(getattr(email, part)[:_LONGEST])
            base = len(sentences)
            sentences += _sentences(part, plain, base)
            starts[part] = base, [sentence.first for sentence in sentences[base:]]
            for key, first, last in self.phrases(self._nlp.make_doc(_lower(plain.text))):
                at = base + max(bisect_right(starts[part][1], first) - 1, 0)
                hits.append(PhraseHit(key, part, first, last, at, plain.text[first:last]))
        folded["quoted_text"] = fold(email.quoted_text[:_LONGEST])
        return Reading(email, folded, tuple(sentences), tuple(hits), self.names, starts)


def sentences_of(email: Email) -> tuple[Sentence, ...]:
    """What ``Language.sentences`` gives, with nothing loaded: where sentences end asks no model."""
    found: list[Sentence] = []
    parts: tuple[Part, ...] = ("subject", "new_text")
    for part in parts:
        found += _sentences(part, fold(getattr(email, part)[:_LONGEST]), len(found))
    return tuple(found)


def _sentences(part: Part, plain: Folded, base: int) -> list[Sentence]:
    """The sentences of one part, numbered from *base* on."""
    bounds = [(a, b) for a, b in split(plain.text) if not _NOBODYS.match(plain.text[a:b])]
    found = []
    for number, (first, last) in enumerate(bounds, start=base):
        start, end = plain.place(first, last)
        text = plain.text[first:last].replace("\n", " ")
        found.append(Sentence(part, start, end, text, number, first, last))
    return found


#: Lines that a telephone or a letterhead wrote, where nobody cut them off as a signature: "sent"
#: tells of no message there, and "Our ref: QX/17" asks for nothing. What may be an id stays.
_NOBODYS: Final = re.compile(
    r"\W{0,3}(?:sent from (?:my )?\w[\w .+-]{0,40}|get outlook for \w+.{0,60}"
    r"|(?:our|your) ref(?:erence)?(?: no| number)?\.? ?:(?!.*(?:\d[ -]?){5}) ?"
    r"(?-i:[A-Z\d][A-Z\d /.-]{1,30}|none))[.!]?\s*$",
    re.IGNORECASE,
)


def _phrase_table(
    lexicon: Mapping[str, Any], patterns: Mapping[str, Any]
) -> dict[str, tuple[str, ...]]:
    """All phrases by key: the lexicon's and the extra ones, their masks, and the context cues."""
    table: dict[str, list[str]] = {}
    for source in (lexicon, patterns.get("phrases", {})):
        for name, codes in source.items():
            for code, lists in codes.items():
                table.setdefault(f"{name}|{code}", []).extend(_listed(lists))
                table.setdefault(f"{name}|{code}|not", []).extend(lists.get("not", ()))
    for topic, lists in patterns.get("topics", {}).items():
        table.setdefault(f"topic|{topic}", []).extend(_listed(lists))
    for cue, directions in patterns.get("context", {}).items():
        for direction, phrases in directions.items():
            table.setdefault(f"cue|{cue}|{direction}", []).extend(phrases)
    return {key: tuple(dict.fromkeys(phrases)) for key, phrases in table.items() if phrases}


def _listed(lists: Mapping[str, Any]) -> list[str]:
    """The phrases of one code, its "combine" lists multiplied out."""
    combined = (
        " ".join(words) for groups in lists.get("combine", ()) for words in product(*groups)
    )
    return [*lists.get("phrases", ()), *combined]


def _name_words(
    lexicon: Mapping[str, Any], patterns: Mapping[str, Any]
) -> Mapping[str, frozenset[str]]:
    """Words that are no names, by why: ``patterns/names.toml``, and "common" for everyday ones.

    "given" are those that are first names wherever they stand.
    """
    common = set(patterns.get("common_words", {}).get("words", "").split())
    for phrases in _phrase_table(lexicon, {}).values():
        for phrase in phrases:
            common.update(re.findall(r"[a-z][a-z'-]{2,}", phrase))
    words = {key: frozenset(values) for key, values in patterns.get("names", {}).items()}
    return (
        dict.fromkeys(("not_names", "seldom_names", "openers", "other_people"), frozenset())
        | words
        | {"common": frozenset(common)}
        | {"given": frozenset(patterns.get("given_names", {}).get("names", "").split())}
    )


def _lower(text: str) -> str:
    """Lower case, so that "CAN'T" falls into the words that "can't" does; of the same length."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text
