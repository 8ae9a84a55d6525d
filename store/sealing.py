"""Sealing: words of people as ciphertext that only its own place in its own database opens.

AES-256-GCM with a random nonce (NIST SP 800-38D), under a subkey for each column of each database
(HKDF, RFC 5869). Which column and which row a value belongs to goes in as associated data: a value
moved to another row, or changed by one bit, does not open. A column's types, ``store.columns``, ask
here; the keys hang on the dialect, of which each engine has one of its own.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from sqlalchemy import Connection, Dialect, Engine, Executable, Insert, Table, Update, event
from sqlalchemy.sql.elements import BinaryExpression, BindParameter
from sqlalchemy.sql.schema import Column
from sqlalchemy.sql.visitors import iterate

from store.errors import SealBrokenError
from store.words import are_searched, standing_for

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: What every sealed text begins with; then the id of its key, "$", and nonce, ciphertext and tag.
MARK: Final = "$sealed$1$"
#: Hexadecimal digits of a key's id.
KEY_ID_DIGITS: Final = 12
#: Characters that say under which key a text is sealed.
HEAD: Final = len(MARK) + KEY_ID_DIGITS + 1
_NONCE: Final = 12  # bytes
#: Shown in place of a text that does not open.
UNOPENED: Final = "[This text cannot be opened: what is stored of it is damaged.]"
#: What stands for a word begins so, and is never found as the beginning of a word that is typed.
_NO_WORD: Final = "zq7"
#: Mail repeats its words: what stands for so many is remembered.
_WORDS_KNOWN: Final = 50_000
_ON_DIALECT: Final = "fit_triage_keys"

_log = logging.getLogger(__name__)


def _derived(secret: bytes, salt: bytes, purpose: str, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = f"fit-triage/1/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


@dataclass(frozen=True, slots=True)
class Key:
    """A key and its id, which is made from it: no other key has that id, and it tells nothing."""

    id: str
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> Key:
        return cls(_derived(secret, b"", "key id", KEY_ID_DIGITS // 2).hex(), secret)


class KeyRing:
    """The keys of one database. ``writing`` is the id of that which seals; "" writes plain.

    Not ``takes_plain``, a text that is not sealed is damaged too: somebody put it there.
    """

    def __init__(
        self, salt: bytes, keys: Iterable[Key], more: Callable[[], Iterable[Key]] = tuple
    ) -> None:
        self.writing = ""
        self.takes_plain = True
        self.searches = True
        self._salt, self._more = salt, more
        self._keys = {key.id: key for key in keys}
        self._made: dict[tuple[str, str], Any] = {}
        self._words: dict[tuple[str, str], str] = {}

    def __contains__(self, key_id: str) -> bool:
        if key_id not in self._keys:  # a rotation since we began
            self._keys |= {key.id: key for key in self._more()}
        return key_id in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._keys))

    def seal(self, name: str, anchor: str, plain: bytes) -> tuple[str, bytes]:
        """Under which key, and nonce, ciphertext and tag; *anchor* names the row of column *name*.

        Random nonces are safe for 2**32 values of a subkey: some 4 billion rows of one column.
        """
        key_id, nonce = self.writing, os.urandom(_NONCE)
        told = _told(key_id, name, anchor)
        return key_id, nonce + self._cipher(key_id, name).encrypt(nonce, plain, told)

    def open(self, key_id: str, name: str, anchor: str, sealed: bytes) -> bytes:
        """What was sealed so.

        Raises:
            SealBrokenError: It was changed, belongs elsewhere, or we have not its key.

        """
        from cryptography.exceptions import InvalidTag

        if key_id not in self:
            raise SealBrokenError(name, anchor, f"there is no key {key_id[:KEY_ID_DIGITS]}")
        told = _told(key_id, name, anchor)
        try:
            cipher = self._cipher(key_id, name)
            return bytes(cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], told))
        except (InvalidTag, ValueError):
            raise SealBrokenError(name, anchor, "it was changed, or belongs elsewhere") from None

    def seal_text(self, name: str, anchor: str, plain: str) -> str:
        key_id, sealed = self.seal(name, anchor, plain.encode())
        return f"{MARK}{key_id}${base64.b64encode(sealed).decode()}"

    def open_text(self, name: str, anchor: str, stored: str) -> str:
        if not stored.startswith(MARK):
            if self.takes_plain:
                return stored
            raise SealBrokenError(name, anchor, "it was never sealed")
        key_id, _, sealed = stored[len(MARK) :].partition("$")
        try:
            raw = base64.b64decode(sealed, validate=True)
        except ValueError:
            raise SealBrokenError(name, anchor, "it was changed") from None
        return self.open(key_id, name, anchor, raw).decode()

    def word(self, key_id: str, word: str) -> str:
        """What stands for *word* in the index of words: 80 bits that only the key can make."""
        known = self._words.get((key_id, word))
        if known is None:
            secret = self._subkey(key_id, "words")
            made = hmac.digest(secret, word.encode(), "sha256")[:10]
            known = _NO_WORD + base64.b32encode(made).decode().lower()
            if len(self._words) < _WORDS_KNOWN:
                self._words[key_id, word] = known
        return known

    def _subkey(self, key_id: str, purpose: str) -> bytes:
        found = self._made.get((key_id, purpose))
        if found is None:
            found = _derived(self._keys[key_id].secret, self._salt, purpose, 32)
            self._made[key_id, purpose] = found
        return bytes(found)

    def _cipher(self, key_id: str, name: str) -> AESGCM:
        found = self._made.get((key_id, f"seal {name}"))
        if found is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            secret = _derived(self._keys[key_id].secret, self._salt, f"seal {name}", 32)
            found = self._made[key_id, f"seal {name}"] = AESGCM(secret)
        return cast("AESGCM", found)


def _told(key_id: str, name: str, anchor: str) -> bytes:
    return f"{MARK}{key_id}\0{name}\0{anchor}".encode()


# --- what cannot be opened ------------------------------------------------------------------------


class UnopenedText(str):
    """What is shown in place of a text that is damaged; stored again, it is as it was found."""

    __slots__ = ("stored",)
    stored: str


class UnopenedJson(Mapping[str, object]):
    """In place of a value that is damaged: whoever looks into it is told so."""

    def __init__(self, stored: str, why: SealBrokenError) -> None:
        self.stored, self._why = stored, why

    def __getitem__(self, _key: str) -> object:
        raise self._why

    def __contains__(self, _key: object) -> bool:
        raise self._why

    def __iter__(self) -> Iterator[str]:
        raise self._why

    def __len__(self) -> int:
        raise self._why

    def __bool__(self) -> bool:
        return True


def opened_text(ring: KeyRing, name: str, anchor: str, stored: str) -> str:
    """The text, or words that say it is damaged: one bad row must not take a page down."""
    try:
        return ring.open_text(name, anchor, stored)
    except SealBrokenError as broken:
        _log.error("%s", broken)
        shown = UnopenedText(UNOPENED)
        shown.stored = stored
        return shown


def opened_json(ring: KeyRing, name: str, anchor: str, stored: str) -> object:
    """The value, or one that raises once it is looked into."""
    try:
        return json.loads(ring.open_text(name, anchor, stored))
    except SealBrokenError as broken:
        _log.error("%s", broken)
        return UnopenedJson(stored, broken)


def is_unopened(value: object) -> bool:
    """Whether this stands in place of something damaged."""
    return isinstance(value, UnopenedText | UnopenedJson)


# --- rows -----------------------------------------------------------------------------------------


class Placed(NamedTuple):
    """A value on its way into a sealed column, with the row it is for."""

    anchor: str
    value: Any


def ring_of(dialect: Dialect) -> KeyRing | None:
    """The keys of the database behind *dialect*; None where nothing is sealed."""
    found: KeyRing | None = getattr(dialect, _ON_DIALECT, None)
    return found


def attach(engine: Engine, ring: KeyRing) -> None:
    """Let *engine* seal and open by *ring*; before the first statement about a sealed column."""
    setattr(engine.dialect, _ON_DIALECT, ring)
    event.listen(engine, "before_execute", _place, retval=True)


def anchor_of(row: Mapping[str, Any], anchor: Sequence[str]) -> str:
    """What names *row* in its table, as the database puts it beside what it gives out."""
    named = "/".join(str(row[column]) for column in anchor)
    if ":" in named:
        raise ValueError("a row with a colon in its name cannot be sealed")
    return named


def sealed_columns(table: Table) -> dict[str, tuple[str, ...]]:
    """The sealed columns of *table*, each with what names its row."""
    return _sealed_columns(table)


@lru_cache(maxsize=256)
def _sealed_columns(table: Table) -> dict[str, tuple[str, ...]]:
    found = ((column.name, getattr(column.type, "anchor", ())) for column in table.c)
    return {name: anchor for name, anchor in found if anchor}


def _place(
    connection: Connection,
    statement: Executable,
    many: Sequence[Mapping[str, Any]],
    one: Mapping[str, Any],
    _options: object,
) -> tuple[Any, Any, Any]:
    """Tell the values of sealed columns which row they are for."""
    ring = ring_of(connection.dialect)
    if ring is None or not isinstance(statement, Insert | Update):
        return statement, many, one
    table = statement.table
    columns = sealed_columns(table) if isinstance(table, Table) else {}
    if not columns or not isinstance(table, Table):
        return statement, many, one
    words = ring if "words" in table.c and "words" not in columns else None
    if isinstance(statement, Insert):
        return statement, [_row(row, columns, words) for row in many], _row(one, columns, words)
    return _update(statement, columns, words), many, one


def _row(
    row: Mapping[str, Any], columns: Mapping[str, tuple[str, ...]], words: KeyRing | None
) -> dict[str, Any]:
    placed: dict[str, Any] = {
        name: Placed(anchor_of(row, anchor), row[name])
        for name, anchor in columns.items()
        if row.get(name) is not None
    }
    if words and row:
        placed["words"] = standing_for(words, row)
    return {**row, **placed}


def _update(
    statement: Update, columns: Mapping[str, tuple[str, ...]], words: KeyRing | None
) -> Update:
    """An UPDATE of one row that its condition names in full; any other is refused by the type."""
    given: Mapping[Any, Any] = statement._values or {}  # noqa: SLF001 - no public way
    # As they were given: a column told by its name, and again as itself, would be told twice.
    keys = {getattr(column, "name", column): column for column in given}
    told: dict[str, Any] = {
        name: given[key].value
        for name, key in keys.items()
        if isinstance(given[key], BindParameter)
    }
    named = _named_by(statement)
    placed: dict[Any, Any] = {
        keys[name]: Placed(anchor_of(named, anchor), told[name])
        for name, anchor in columns.items()
        if told.get(name) is not None and all(part in named for part in anchor)
    }
    if words and are_searched(told):
        placed["words"] = standing_for(words, told)
    return statement.values(placed) if placed else statement


def _named_by(statement: Update) -> dict[str, Any]:
    where = statement.whereclause
    return {
        part.left.name: part.right.value
        for part in (iterate(where) if where is not None else ())
        if isinstance(part, BinaryExpression)
        and isinstance(part.left, Column)
        and isinstance(part.right, BindParameter)
        and getattr(part.operator, "__name__", "") == "eq"
    }
