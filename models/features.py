"""From sentences to rows of a sparse matrix: the one featuriser that training and reading share.

A sentence becomes word n-grams and the character n-grams of its words, each hashed to 64 bits and
kept when the vocabulary holds it. Words are folded first, so that "told her" and "told Imran" look
alike. All steps over a batch run in numpy; only cutting into words is Python. A request becomes a
row by adding up its sentences, so that the text is cut and hashed once for every model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy import sparse

Hashes = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_TOKEN: Final = re.compile(
    r"(?P<id>\bht[-\s]?\d{5,6}\b|#\d{5,6}\b)"
    r"|(?P<number>[£$€]?\d[\d.,:/]*(?:am|pm|st|nd|rd|th|k|%)?)"
    r"|(?P<word>[^\W\d_]+(?:['’-][^\W\d_]+)*)"
    r"|(?P<mark>[?!:;()\"“”…])",
    re.IGNORECASE,
)
_CONTRACTED: Final = re.compile(r"(n't|'(?:s|d|m|ll|ve|re))$")
#: Contractions written without their apostrophe; ambiguous ones (were, ill, well) stay.
_BARE: Final = re.compile(
    r"^(have|has|had|do|does|did|is|are|was|wo|ca|could|would|should|must)nt$"
)
_FOLDED: Final = {
    "she": "he", "her": "him", "them": "him", "their": "his", "hers": "his", "theirs": "his",
    "herself": "himself", "themselves": "himself", "themself": "himself", "they": "he",
    "client": "client", "ct": "client", "clt": "client", "havn't": "haven't", "im": "i'm",
    "ive": "i've", "pls": "please", "plz": "please", "thx": "thanks", "msg": "message",
    "msgd": "messaged", "u": "you", "ur": "your", "tmrw": "tomorrow", "tmw": "tomorrow",
}  # fmt: skip
_NAME: Final = "Name"
_DAYS: Final = frozenset(
    (
        "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
        "mon", "tue", "tues", "wed", "weds", "thu", "thur", "thurs", "fri", "sat", "sun",
    )
)  # fmt: skip
_MONTHS: Final = frozenset(
    (
        "january", "february", "march", "april", "june", "july", "august", "september",
        "october", "november", "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep",
        "sept", "oct", "nov", "dec",
    )
)  # fmt: skip
#: Those whom a therapist consults; telling them is not telling the client.
_ADVISERS: Final = frozenset(
    ("supervisor", "supervisors", "supervision", "supervisory", "colleague", "colleagues", "tutor")
)
_CLIENTS: Final = frozenset(("he", "him", "his", "himself", "client", "couple", "parents"))
_BREAKS: Final = frozenset(("and", "but", "so", "then", "though", "while", ";", ":", "("))
#: Character n-grams of four: three and five beside them cost five times as much and added nothing.
_GRAM: Final = 4
#: A made-up word without end must not cost without end.
_LONGEST_WORD: Final = 40
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_SALT: Final = np.uint64(0xC2B2AE3D27D4EB4F)


def fold_words(text: str, known: frozenset[str] | set[str]) -> list[str]:
    """The words of *text* as the models see them: lower case, third persons alike, names masked.

    *known* holds the words of the language; a capitalised word outside it is taken for a name.
    """
    words: list[str] = []
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "word":
            words.extend(_fold_word(token.replace("’", "'"), known))
        elif kind == "id":
            words.append("<id>")
        elif kind == "number":
            words.append(_number_shape(token))
        else:
            words.append(token)
    return words if _ADVISERS.isdisjoint(words) else _set_apart(words)


def _set_apart(words: list[str]) -> list[str]:
    """The words, and once more, marked, those said of an adviser.

    "I talked it through with my supervisor, she agrees" else looks like a talk with the client.
    Marked is from the start of the adviser's clause until the writer speaks of something else.
    """
    place = next(i for i, word in enumerate(words) if word in _ADVISERS)
    start = max((i + 1 for i in range(place) if words[i] in _BREAKS), default=0)
    ends = (i for i in range(place, len(words) - 1) if words[i] in _BREAKS and words[i + 1] == "i")
    end = next(ends, len(words))
    return [*words, "</s>", *(f"~{word}" for word in words[start:end])]


def of_adviser_alone(sentence: str) -> bool:
    """Whether *sentence* speaks of an adviser and, before that, of nobody who could be the client.

    A rule beside the models: words about a talk weigh so much that they take the supervisor for the
    client now and then, and that error is the dearest.
    """
    words = fold_words(sentence.lower(), frozenset())
    place = next((i for i, word in enumerate(words) if word in _ADVISERS), None)
    if place is None:
        return False
    return _CLIENTS.isdisjoint(words[:place]) and "client" not in words[place:]


def _fold_word(token: str, known: frozenset[str] | set[str]) -> list[str]:
    word = token.lower()
    word = _FOLDED.get(word, word)
    tail = ""
    if "'" in word:
        if found := _CONTRACTED.search(word):
            word, tail = word[: found.start()], found.group()
    elif found := _BARE.match(word):
        word, tail = found.group(1), "n't"
    if word in _DAYS or (word in _MONTHS and token[0].isupper()):
        word = "<day>" if word in _DAYS else "<month>"
    elif token[0].isupper() and token[1:].islower() and word not in known:
        word = _NAME
    else:
        word = _FOLDED.get(word, word)
    return [piece for piece in (word, tail) if piece]  # a line break can leave "n't" alone


def _number_shape(token: str) -> str:
    if token[0] in "£$€":
        return "<money>"
    if token.endswith(("am", "pm")) or ":" in token:
        return "<time>"
    return f"<{min(len(token), 5)}>" if token.isdigit() else "<number>"


def known_words(texts: Iterable[str], at_least: int = 2) -> list[str]:
    """Words that occur in lower case at least so often: everyday words rather than names."""
    counts: dict[str, int] = {}
    for text in texts:
        for match in re.finditer(r"[^\W\d_]+", text.replace("’", "'")):
            word = match.group()
            if word.islower():
                counts[word] = counts.get(word, 0) + 1
    return sorted(word for word, count in counts.items() if count >= at_least)


class WordTable:
    """Remembers what is costly about a word: its hash and its character n-grams.

    Grows while it is used, up to *capacity* words, then starts afresh: a stream of made-up words
    must not fill the memory.
    """

    def __init__(self, capacity: int = 200_000) -> None:
        self._capacity = capacity
        self.round = 0
        self._clear()

    def _clear(self) -> None:
        self.round += 1  # word numbers hold within one round
        self._numbers: dict[str, int] = {}
        self._hashes: list[int] = []
        self._grams: list[Hashes] = []

    def encode(self, sentences: Sequence[Sequence[str]]) -> tuple[Ints, Ints]:
        """Word numbers of all sentences in a row, and where each sentence starts (and the end)."""
        if len(self._numbers) > self._capacity:
            self._clear()
        flat: list[int] = []
        starts = [0]
        numbers = self._numbers
        for words in sentences:
            for word in words:
                number = numbers.get(word)
                flat.append(self._add(word) if number is None else number)
            starts.append(len(flat))
        return np.asarray(flat, dtype=np.int64), np.asarray(starts, dtype=np.int64)

    def _add(self, word: str) -> int:
        # Both first: a word that is only half in would put every later one in the wrong place.
        hashed, grams = _hash(word), _char_grams(word)
        number = self._numbers[word] = len(self._hashes)
        self._hashes.append(hashed)
        self._grams.append(grams)
        return number

    def hashes(self, numbers: Ints) -> Hashes:
        return np.asarray(self._hashes, dtype=np.uint64)[numbers]

    def grams(self, number: int) -> Hashes:
        return self._grams[number]

    def __len__(self) -> int:
        return len(self._hashes)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _char_grams(word: str) -> Hashes:
    if word == _NAME or not word[:1].isalpha():
        return np.empty(0, dtype=np.uint64)
    marked = f" {word[:_LONGEST_WORD]} "
    grams = {marked[i : i + _GRAM] for i in range(len(marked) - _GRAM + 1)} - {marked}
    return np.asarray([_hash(f"c:{gram}") for gram in sorted(grams)], dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Shape:
    """Which n-grams a vocabulary is made of; chosen by inner cross-validation over files."""

    longest: int = 2  # words in the longest word n-gram
    characters: bool = True
    rarest: int = 2  # a feature in fewer training sentences is dropped


class Featuriser:
    """Turns sentences into counts over a fixed vocabulary; ``fit`` builds one from texts."""

    def __init__(self, shape: Shape, known: Iterable[str], vocabulary: Hashes) -> None:
        self.shape = shape
        self.known = frozenset(known)
        self.vocabulary = vocabulary  # sorted
        self._table = WordTable()
        self._columns: dict[int, Ints] = {}  # word number to columns of its character n-grams
        self._columns_round = self._table.round

    @classmethod
    def fit(cls, texts: Sequence[str], shape: Shape = Shape()) -> Featuriser:
        """A featuriser that knows the words and n-grams of *texts*."""
        known = known_words(texts)
        blank = cls(shape, known, np.empty(0, dtype=np.uint64))
        _, hashes = blank._word_grams(texts)
        if shape.characters:
            hashes = np.concatenate([hashes, blank._all_char_grams(texts)])
        found, counts = np.unique(hashes, return_counts=True)
        return cls(shape, known, found[counts >= shape.rarest])

    def __len__(self) -> int:
        return len(self.vocabulary)

    def transform(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """One row per text: 1 for each n-gram of the vocabulary that occurs in it."""
        from scipy import sparse

        rows, hashes = self._word_grams(texts)
        columns = self._look_up(hashes)
        held = columns >= 0
        rows, columns = rows[held], columns[held]
        if self.shape.characters:
            more_rows, more_columns = self._char_columns()
            rows, columns = (
                np.concatenate([rows, more_rows]),
                np.concatenate([columns, more_columns]),
            )
        ones = np.ones(len(rows), dtype=np.float32)
        matrix = sparse.csr_matrix((ones, (rows, columns)), shape=(len(texts), len(self)))
        matrix.data[:] = 1.0  # duplicates were summed
        return matrix

    def _word_grams(self, texts: Sequence[str]) -> tuple[Ints, Hashes]:
        """Row and hash of every word n-gram, from one word to the longest."""
        folded = [["<s>", *fold_words(text, self.known), "</s>"] for text in texts]
        self._numbers, self._starts = self._table.encode(folded)
        lengths = np.diff(self._starts)
        self._rows = np.repeat(np.arange(len(texts)), lengths)
        hashes = self._table.hashes(self._numbers)
        rows_found, found = [self._rows], [hashes]
        running = hashes
        for size in range(2, self.shape.longest + 1):
            running = (running[:-1] * _MIX + _SALT) ^ hashes[size - 1 :]
            inside = self._rows[: -(size - 1)] == self._rows[size - 1 :]
            rows_found.append(self._rows[: -(size - 1)][inside])
            found.append(running[inside])
        return np.concatenate(rows_found), np.concatenate(found)

    def _all_char_grams(self, texts: Sequence[str]) -> Hashes:
        pairs = np.unique(self._rows * np.int64(len(self._table)) + self._numbers)
        grams = [self._table.grams(int(n)) for n in pairs % len(self._table)]
        return np.concatenate(grams) if grams and texts else np.empty(0, dtype=np.uint64)

    def _char_columns(self) -> tuple[Ints, Ints]:
        if self._columns_round != self._table.round:
            self._columns, self._columns_round = {}, self._table.round
        per_word = [self._columns_of(n) for n in self._numbers.tolist()]
        if not per_word:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        lengths = np.fromiter((len(c) for c in per_word), dtype=np.int64, count=len(per_word))
        return np.repeat(self._rows, lengths), np.concatenate(per_word)

    def _columns_of(self, number: int) -> Ints:
        columns = self._columns.get(number)
        if columns is None:
            columns = self._look_up(self._table.grams(number))
            columns = self._columns[number] = columns[columns >= 0]
        return columns

    def _look_up(self, hashes: Hashes) -> Ints:
        if not len(self):
            return np.full(len(hashes), -1, dtype=np.int64)
        places = np.searchsorted(self.vocabulary, hashes).clip(max=len(self) - 1)
        return np.where(self.vocabulary[places] == hashes, places, -1)


def inverse_document_frequency(matrix: sparse.csr_matrix) -> Floats:
    """Smoothed idf of each column, as scikit-learn's TfidfTransformer defines it."""
    found = np.bincount(matrix.indices, minlength=matrix.shape[1])
    idf: Floats = (np.log((1 + matrix.shape[0]) / (1 + found)) + 1).astype(np.float32)
    return idf


def weigh(matrix: sparse.csr_matrix, idf: Floats) -> sparse.csr_matrix:
    """Rows weighted by idf, repeated features damped (1 + log count), each of length one."""
    from scipy import sparse

    data = np.where(matrix.data > 1, 1 + np.log(np.maximum(matrix.data, 1)), matrix.data)
    data = (data * idf[matrix.indices]).astype(np.float32)
    squares = np.add.reduceat(np.append(data**2, 0), matrix.indptr[:-1].clip(max=len(data)))
    squares[np.diff(matrix.indptr) == 0] = 1
    scale = 1 / np.sqrt(np.maximum(squares, 1e-12))
    data *= np.repeat(scale, np.diff(matrix.indptr)).astype(np.float32)
    weighed: Any = sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    return weighed
