"""Rows that stay when somebody is erased, gone through for words about them.

Which columns hold words is told by ``store.contents``. Found while others work; taken out in the
writer's turn, with whatever came in between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Table, Update, delete, func, select, update

from store.blanking import Words, blocked, plain, sentences, without, without_any
from store.columns import AnyRow
from store.contents import columns_with
from store.errors import SealBrokenError
from store.schema import decisions, messages
from store.sealing import sealed_columns
from store.search_schema import saved_views
from store.shadow_schema import shadow_readings, shadow_verdicts
from triage.records import ERASED_IN_PART

#: Shorter sentences are in anybody's mail.
SHORTEST_COPY: Final = 40
_Key = tuple[Any, ...]
#: Of these nothing but the name makes sense: they go whole.
_GOES_WHOLE: Final = (saved_views,)


@dataclass(slots=True)
class Found:
    """Rows with words to take out, by table, and how far the tables had been gone through."""

    rows: dict[str, set[_Key]] = field(default_factory=lambda: defaultdict(set))
    upto: dict[str, int] = field(default_factory=dict)
    copies: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    common: set[str] = field(default_factory=set)
    answering: set[int] = field(default_factory=set)  # mails of others that answer theirs

    @property
    def lines(self) -> set[str]:
        """Sentences that others quote, and that nobody else says."""
        return self.copies.keys() - self.common

    @property
    def mails(self) -> set[int]:
        """Mails that hold words or copies."""
        copied = {mail for line in self.lines for mail in self.copies[line]}
        return copied | {key[0] for key in self.rows.get("messages", ())}


def look_through(
    connection: Connection, words: Words, own: Iterable[int], found: Found
) -> Iterator[int]:
    """Go through every row that came since *found* was last filled; tells how many, as it goes.

    *own* mails are the person's: sentences of theirs are looked for where others quote them.
    """
    mine = set(own)
    lines = set(_sentences_of(connection, mine))
    names_of_own = set(_message_ids(connection, mine)) - {""}
    for table, names in columns_with("words").items():
        since = found.upto.get(table.name, 0)
        if "id" in table.c:
            newest = connection.scalar(select(func.max(table.c.id))) or 0
            found.upto[table.name] = newest
        for count, row in enumerate(_rows(connection, table, names, since), 1):
            key = tuple(row[: len(table.primary_key.columns)])
            if table is messages and key[0] in mine:
                continue
            if table is messages:
                _copies(row, lines, found)
                found.answering.update({row.id} if _answered(row) & names_of_own else ())
            if _are_in(row, names, words):
                found.rows[table.name].add(key)
            if count % 1_000 == 0:
                yield count


def _rows(connection: Connection, table: Table, names: list[str], since: int) -> Iterator[AnyRow]:
    query = select(*table.primary_key.columns, *(table.c[name] for name in names))
    if "id" in table.c:
        query = query.where(table.c.id > since)
    with connection.execute(query.execution_options(yield_per=500)) as rows:
        yield from rows


def _answered(row: AnyRow) -> set[str]:
    try:
        return {row.details["in_reply_to"], *row.details["references"]}
    except SealBrokenError:
        return set()


def _are_in(row: AnyRow, names: Iterable[str], words: Words) -> bool:
    try:
        return any(words.are_in(getattr(row, name)) for name in names)
    except SealBrokenError:  # nobody can read it, ourselves included
        return False


def _message_ids(connection: Connection, mails: Iterable[int]) -> Iterator[str]:
    for number in mails:
        yield from connection.scalars(select(messages.c.message_id).where(messages.c.id == number))


def _sentences_of(connection: Connection, mails: Iterable[int]) -> Iterator[str]:
    for number in sorted(mails):
        query = select(messages.c.new_text).where(messages.c.id == number)
        said = connection.scalar(query) or ""
        for start, end in sentences(said):
            if len(line := plain(said[start:end])) >= SHORTEST_COPY:
                yield line


def _copies(row: AnyRow, lines: set[str], found: Found) -> None:
    if not lines:
        return
    quoted, said = row.quoted_text, row.new_text
    for start, end in sentences(quoted):
        if (line := plain(quoted[start:end])) in lines:
            found.copies[line].add(row.id)
    found.common |= lines.intersection(plain(said[s:e]) for s, e in sentences(said))


def sweep(connection: Connection, found: Found, words: Words) -> dict[str, int]:
    """Take the words out of the rows that were found; how many were changed, by table."""
    changed: dict[str, int] = {}
    for table, names in columns_with("words").items():
        keys = found.rows.get(table.name, set()) if table is not messages else set()
        done = sum(_swept(connection, table, names, key, words) for key in sorted(keys, key=repr))
        if done:
            changed[table.name] = done
    return changed


def _swept(connection: Connection, table: Table, names: list[str], key: _Key, words: Words) -> bool:
    here = [column == value for column, value in zip(table.primary_key, key, strict=True)]
    if table in _GOES_WHOLE:
        return connection.execute(delete(table).where(*here)).rowcount > 0
    row = connection.execute(select(table).where(*here)).one_or_none()
    if row is None:
        return False
    values = {name: without_any(getattr(row, name), words) for name in names}
    connection.execute(change_row(table, row, values))
    return True


def change_row(table: Table, row: AnyRow, values: Mapping[str, Any]) -> Update:
    """An UPDATE of *row*, which it names in full, also as its sealed columns are named."""
    names = {column.name for column in table.primary_key}
    names.update(*sealed_columns(table).values())
    here = (table.c[name] == getattr(row, name) for name in sorted(names))
    return update(table).where(*here).values({table.c[name]: v for name, v in values.items()})


def rewrite_mail(connection: Connection, number: int, texts: Mapping[str, Any]) -> None:
    """Give a mail other texts; what programs made of the old ones goes."""
    row = connection.execute(select(messages).where(messages.c.id == number)).one()
    details = dict(texts.get("details", row.details))
    defects = [one for one in details["defects"] if one != ERASED_IN_PART]
    values = {**texts, "details": {**details, "defects": [*defects, ERASED_IN_PART]}}
    connection.execute(change_row(messages, row, values))
    forget_readings(connection, number)


def forget_readings(connection: Connection, number: int) -> None:
    """What candidates made of a mail goes with its words."""
    readings = select(shadow_readings.c.id).where(shadow_readings.c.message_id == number)
    gone = shadow_verdicts.c.reading_id.in_(readings)
    connection.execute(delete(shadow_verdicts).where(gone))
    connection.execute(delete(shadow_readings).where(shadow_readings.c.message_id == number))


def without_words(row: AnyRow, words: Words, copies: Words, *, quotes: bool) -> dict[str, Any]:
    """The texts of a mail that stays, without *words*, and of what it quotes without *copies*.

    With *quotes* all that it quotes goes: it answers a mail that is gone.
    """
    texts = {
        name: without(getattr(row, name), words)
        for name in ("sender", "subject", "new_text", "signature")
    }
    quoted = blocked(row.quoted_text) if quotes else without(row.quoted_text, words)
    details = without_any(row.details, words)
    attachments = [item[:3] for item in details["attachments"]]  # a document is about anybody
    return {
        **texts,
        "quoted_text": without(quoted, copies),
        "details": {**details, "attachments": attachments},
    }


def respan(connection: Connection, case_ids: Iterable[int], texts_of: Mapping[int, str]) -> int:
    """Of decisions that stay, take out words that no mail of their case says any more."""
    changed = 0
    for case_id in sorted(case_ids):
        texts = plain(texts_of[case_id])
        query = select(decisions).where(decisions.c.case_id == case_id)
        for row in connection.execute(query).all():
            left = _still_said(row.request, texts)
            if left != row.request:
                connection.execute(change_row(decisions, row, {"request": left}))
                changed += 1
    return changed


def _still_said(request: Mapping[str, Any], texts: str) -> dict[str, Any]:
    left = dict(request)
    if "said" in left:
        left["said"] = _still_said(left["said"], texts)
    if plain(left.get("notification_evidence") or "") not in texts:
        left["notification_evidence"] = blocked(left["notification_evidence"])
    left["findings"] = [
        {**one, "span": [*one["span"][:3], blocked(one["span"][3])]}
        if one["span"] and plain(one["span"][3]) not in texts
        else one
        for one in left.get("findings", ())
    ]
    return left


def spans_of(request: Mapping[str, Any]) -> Iterable[tuple[str, int, int, str]]:
    """Where an ask stands in its own mail."""
    own = request.get("said", request)
    return [tuple(one["span"]) for one in own.get("findings", ()) if one["span"]]
