"""Cases by words: what a person types, made into a question to the database's full-text index.

Every word must be found somewhere in a case, whole or as the beginning of a longer one; what
stands in quotes is found as it stands. Case and accents do not matter. Whatever is typed is made
of letters and digits before the database sees it, so that nothing can be a wrong question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    column,
    literal_column,
    select,
    table,
    text,
)

from store.sealing import KeyRing, ring_of
from store.words import LONGEST_WORD, folded

#: Terms beyond these are not looked for: nobody types more to find a case.
MOST_TERMS: Final = 8
#: Words of one phrase that are looked for.
_MOST_WORDS: Final = 16
#: Shorter words are searched as they stand: "li*" is in every mail.
_SHORTEST_BEGINNING: Final = 3

_QUOTES: Final = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
_TYPED: Final = re.compile(r'"([^"]*)"?|([^\s"]+)')

#: So many cases PostgreSQL is asked for by their numbers; of more, walking soon fills a page.
_FEW: Final = 2_000

#: So many it is not asked for at all: it would read them all to say that they are too many.
_MANY: Final = 50_000
_HAVING: Final = (
    "SELECT case_id, words FROM case_texts WHERE {}open AND words @@ CAST(:rarest AS tsquery)"
)
_HELD: Final = (
    f"WITH few AS MATERIALIZED ({_HAVING} LIMIT :most) "
    "SELECT case_id, words @@ CAST(:asked AS tsquery) FROM few"
)

_texts = table("case_texts", column("case_id"), column("open"))


@dataclass(frozen=True, slots=True)
class Term:
    """Words that must stand one after the other; the last may be the beginning of a longer one."""

    words: tuple[str, ...]
    is_beginning: bool


def terms_of(typed: str) -> tuple[Term, ...]:
    """What is looked for where somebody types this; nothing where it holds no letter or digit."""
    found = (_term(quoted, plain) for quoted, plain in _TYPED.findall(typed.translate(_QUOTES)))
    return tuple(term for term in found if term.words)[:MOST_TERMS]


def _term(quoted: str, plain: str) -> Term:
    words = tuple(word[:LONGEST_WORD] for word in folded(quoted or plain))[:_MOST_WORDS]
    return Term(words, bool(plain and words and len(words[-1]) >= _SHORTEST_BEGINNING))


def found_in(connection: Connection, terms: Sequence[Term], *, is_open: bool) -> Select[Any]:
    """The numbers of the open, or of the closed, cases that hold all of *terms*."""
    if connection.dialect.name == "sqlite":
        index = table("open_cases_search" if is_open else "closed_cases_search")
        asked = text(f"{index.name} MATCH :asked").bindparams(
            asked=_for_fts5(terms, ring_of(connection.dialect))
        )
        return (
            select(literal_column(f"{index.name}.rowid").label("case_id"))
            .select_from(index)
            .where(asked)
        )
    asked = text("words @@ CAST(:asked AS tsquery)").bindparams(
        asked=_for_postgres(terms, ring_of(connection.dialect))
    )
    which: ColumnElement[bool] = _texts.c.open if is_open else ~_texts.c.open
    return select(_texts.c.case_id).where(which, asked)


def few_found_in(
    connection: Connection, terms: Sequence[Term], *, is_open: bool
) -> Sequence[int] | None:
    """The numbers of the cases that hold all of *terms*, in no order; None where they are many.

    For PostgreSQL, which walks through all numbers, the newest first, until it has a page: with
    a word of one case in 10,000 that is half a million. Its index is asked for the rarest term
    alone, since it reads all that it knows of a term, and those few cases are asked for the rest.
    SQLite asks its index of itself: None.
    """
    if connection.dialect.name == "sqlite":
        return None
    expected = {term: _expected(connection, term, is_open=is_open) for term in terms}
    rarest = min(expected, key=expected.__getitem__)
    if expected[rarest] > _MANY:
        return None
    ring = ring_of(connection.dialect)
    asked = {
        "rarest": _for_postgres([rarest], ring),
        "asked": _for_postgres(terms, ring),
        "most": _FEW + 1,
    }
    held = connection.execute(text(_HELD.format("" if is_open else "NOT ")), asked).all()
    return None if len(held) > _FEW else [case_id for case_id, holds_all in held if holds_all]


def _expected(connection: Connection, term: Term, *, is_open: bool) -> int:
    """How many cases PostgreSQL expects to hold *term*: of common words it keeps count."""
    plan = connection.scalar(
        text("EXPLAIN (FORMAT JSON) " + _HAVING.format("" if is_open else "NOT ")),
        {"rarest": _for_postgres([term], ring_of(connection.dialect))},
    )
    [told] = json.loads(plan) if isinstance(plan, str) else plan
    return int(told["Plan"]["Plan Rows"])


def _for_fts5(terms: Sequence[Term], ring: KeyRing | None) -> str:
    asked = (
        [f'"{" ".join(t.words)}"{" *" if t.is_beginning else ""}']
        + [" AND ".join(f'"{word}"' for word in words) for words in _sealed(t, ring)]
        for t in terms
    )
    return " AND ".join(f"({' OR '.join(f'({way})' for way in ways)})" for ways in asked)


def _for_postgres(terms: Sequence[Term], ring: KeyRing | None) -> str:
    """Quoted, so that a word is a word whatever it looks like."""
    asked = (
        [" <-> ".join(f"'{word}'" for word in t.words) + (":*" if t.is_beginning else "")]
        + [" & ".join(f"'{word}'" for word in words) for words in _sealed(t, ring)]
        for t in terms
    )
    return " & ".join(f"({' | '.join(f'({way})' for way in ways)})" for ways in asked)


def _sealed(term: Term, ring: KeyRing | None) -> Iterator[list[str]]:
    """What stands for the words of *term* under each key: whole words, in any order."""
    for key_id in ring or ():
        yield [ring.word(key_id, word) for word in term.words] if ring else []


def forget_replaced_words(connection: Connection) -> None:
    """Leave no trace in the index of words that were taken out of it; for after an erasure.

    SQLite keeps them in older parts of the index until those are merged, which this does at once:
    it takes a minute for a million cases. PostgreSQL does it in its own VACUUM.
    """
    if connection.dialect.name == "sqlite":
        for name in ("open_cases_search", "closed_cases_search"):
            connection.execute(text(f"INSERT INTO {name} ({name}) VALUES ('optimize')"))
