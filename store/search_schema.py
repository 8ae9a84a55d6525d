"""The full-text index over cases, kept by the database itself, and the views that people save.

``case_texts`` holds one row for each case: what somebody may remember of it. Triggers make that row
anew whenever a message, a case or a name changes, in the same transaction, so that no writer can
forget it and no word outlives the row it came from. Open and closed cases are indexed apart: the
few that wait are looked through first, however many are closed.

SQLite has FTS5 (https://www.sqlite.org/fts5.html#external_content_tables), PostgreSQL a tsvector
with a GIN index. Neither is a table as SQLAlchemy knows them, so they are made by the statements
below, both by the migration and beside the tables of the metadata.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    DDL,
    Boolean,
    Column,
    Connection,
    Index,
    Table,
    UniqueConstraint,
    event,
    text,
)

from store.columns import CleanText, Id, JsonText, UtcTime
from store.schema import cases, metadata

#: Characters of a case that are searched, the newest mail first. PostgreSQL takes no more than a
#: megabyte of words, and a case must never fail to be stored because it cannot be searched.
MOST_SEARCHED: Final = 100_000

#: What a person filters by, under a name; ``filters`` hold codes and ids, never words of a search.
saved_views = Table(
    "saved_views",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", CleanText, nullable=False),
    Column("name", CleanText, nullable=False),
    Column("filters", JsonText, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("owner", "name"),
    sqlite_autoincrement=True,
)

# All that queues are filtered and sorted by, of the cases that wait alone: small enough to be read
# whole for a page, however many cases are closed.
Index(
    "ix_cases_waiting",
    cases.c.safeguarding, cases.c.priority, cases.c.deadline, cases.c.id, cases.c.queue,
    cases.c.state, cases.c.blockers, cases.c.therapist_id, cases.c.confidence, cases.c.opened_at,
    cases.c.open,
    sqlite_where=text("open = 1"),
    postgresql_where=text("open"),
)  # fmt: skip

#: The words of a message, or where its text is sealed what stands for them (``store/search.py``).
_SQLITE_SAID: Final = (
    "CASE WHEN words IS NULL THEN sender || ' ' || coalesce(json_extract(details, '$.sender_name'),"
    " '') || ' ' || subject || ' ' || new_text || ' ' || quoted_text "
    "ELSE sender || ' ' || words END AS said"
)
_POSTGRES_SAID: Final = (
    "CASE WHEN words IS NULL THEN concat_ws(' ', sender, details::json ->> 'sender_name', subject, "
    "new_text, quoted_text) ELSE concat_ws(' ', sender, words) END"
)

#: A case as it is searched. A message's words are there as often as the case has decisions on it:
#: once, by the inner query.
_SQLITE_WORDS: Final = f"""
CREATE VIEW case_words AS SELECT cases.id AS case_id, cases.open AS open, substr(
  cases.id || ' ' || cases.session_id || ' ' || cases.therapist_id || ' ' || cases.client_id
  || ' ' || cases.sender || ' ' || coalesce(therapists.name, '') || ' '
  || coalesce(clients.first_name || ' ' || clients.last_name, '') || ' ' || coalesce((
    SELECT group_concat(said, ' ') FROM (
      SELECT {_SQLITE_SAID}
      FROM messages WHERE messages.id IN (
        SELECT message_id FROM decisions WHERE decisions.case_id = cases.id)
      ORDER BY messages.id DESC)), ''), 1, {MOST_SEARCHED}) AS words
FROM cases LEFT JOIN therapists ON therapists.therapist_id = cases.therapist_id
LEFT JOIN clients ON clients.client_id = cases.client_id
"""

_FTS5: Final = "tokenize='unicode61 remove_diacritics 2', prefix='3'"


def _sqlite_index(name: str, which: str) -> list[str]:
    """An index over the texts that are open, or not; a text leaves it by its old words."""
    here, before = f"NEW.open = {which}", f"OLD.open = {which}"
    put = f"INSERT INTO {name} (rowid, words) SELECT NEW.case_id, NEW.words WHERE {here}; "
    take = (
        f"INSERT INTO {name} ({name}, rowid, words) "
        f"SELECT 'delete', OLD.case_id, OLD.words WHERE {before}; "
    )
    return [
        f"CREATE VIEW {name}_texts AS SELECT case_id, words FROM case_texts WHERE open = {which}",
        (
            f"CREATE VIRTUAL TABLE {name} USING "
            f"fts5(words, content='{name}_texts', content_rowid='case_id', {_FTS5})"
        ),
        f"CREATE TRIGGER {name}_insert AFTER INSERT ON case_texts BEGIN {put}END",
        f"CREATE TRIGGER {name}_delete AFTER DELETE ON case_texts BEGIN {take}END",
        f"CREATE TRIGGER {name}_update AFTER UPDATE ON case_texts BEGIN {take}{put}END",
    ]


def _of_message(row: str) -> str:
    return f"SELECT case_id FROM decisions WHERE message_id = {row}.id"


def _of(column: str, row: str = "NEW") -> str:
    return f"SELECT id FROM cases WHERE {column} = {row}.{column}"


#: By name: on what, which columns must have changed if any, and whose texts are made anew.
_EVENTS: Final[tuple[tuple[str, str, tuple[str, ...], str], ...]] = (
    ("decided", "INSERT ON decisions", (), "SELECT NEW.case_id"),
    ("decision_moved", "UPDATE ON decisions", ("case_id", "message_id"),
     "SELECT OLD.case_id UNION SELECT NEW.case_id"),
    ("decision_gone", "DELETE ON decisions", (), "SELECT OLD.case_id"),
    ("case_changed", "UPDATE ON cases", ("session_id", "therapist_id", "client_id", "sender"),
     "SELECT NEW.id"),
    ("case_gone", "DELETE ON cases", (), "SELECT OLD.id"),
    ("message_changed", "UPDATE ON messages",
     ("sender", "details", "subject", "new_text", "quoted_text", "words"), _of_message("NEW")),
    ("message_gone", "DELETE ON messages", (), _of_message("OLD")),
    ("therapist_new", "INSERT ON therapists", (), _of("therapist_id")),
    ("therapist_renamed", "UPDATE ON therapists", ("name",), _of("therapist_id")),
    ("therapist_gone", "DELETE ON therapists", (), _of("therapist_id", "OLD")),
    ("client_new", "INSERT ON clients", (), _of("client_id")),
    ("client_renamed", "UPDATE ON clients", ("first_name", "last_name"), _of("client_id")),
    ("client_gone", "DELETE ON clients", (), _of("client_id", "OLD")),
)  # fmt: skip

#: A decision of a person brings no words, and most further decisions of a case no new ones.
_BRINGS_WORDS: Final = (
    "NEW.message_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM decisions AS earlier WHERE "
    "earlier.case_id = NEW.case_id AND earlier.message_id = NEW.message_id "
    "AND earlier.id <> NEW.id)"
)


def _sqlite_trigger(name: str, when: str, changed: tuple[str, ...], ids: str) -> str:
    only = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in changed)
    only = _BRINGS_WORDS if name == "decided" else only
    return (
        f"CREATE TRIGGER case_texts_{name} AFTER {when} {f'WHEN {only} ' if only else ''}BEGIN "
        f"DELETE FROM case_texts WHERE case_id IN ({ids}); "
        f"INSERT INTO case_texts SELECT case_id, open, words FROM case_words "
        f"WHERE case_id IN ({ids}); END"
    )


#: Filled once more for the cases that are there when the index is made.
FILL: Final = "INSERT INTO case_texts SELECT case_id, open, words FROM case_words"

_SQLITE: Final = (
    (
        "CREATE TABLE case_texts "
        "(case_id INTEGER PRIMARY KEY, open BOOLEAN NOT NULL, words TEXT NOT NULL)"
    ),
    _SQLITE_WORDS,
    *_sqlite_index("open_cases_search", "1"),
    *_sqlite_index("closed_cases_search", "0"),
    *(_sqlite_trigger(*told) for told in _EVENTS),
    (
        "CREATE TRIGGER case_texts_moved AFTER UPDATE OF open ON cases "
        "WHEN OLD.open IS NOT NEW.open BEGIN "
        "UPDATE case_texts SET open = NEW.open WHERE case_id = NEW.id; END"
    ),
)

# The words themselves, told apart and folded here rather than by PostgreSQL's own parser, which
# takes "-210002" for a number and an address for one word. A word has its place for phrases.
_POSTGRES_WORDS: Final = """
CREATE FUNCTION fit_triage_words(said text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(string_agg(word || ':' || least(place, 16383), ' '), '')::tsvector
  FROM regexp_split_to_table(
    lower(regexp_replace(normalize(said, NFD), '[\u0300-\u036f]+', '', 'g') COLLATE {collation}),
    '[^[:alnum:]]+') WITH ORDINALITY AS told (word, place)
  WHERE word <> '' AND octet_length(word) < 500
$$
"""

_POSTGRES_CASE: Final = f"""
CREATE VIEW case_words AS SELECT cases.id AS case_id, cases.open AS open,
  fit_triage_words(left(concat_ws(' ', cases.id, cases.session_id, cases.therapist_id,
    cases.client_id, cases.sender, therapists.name, clients.first_name, clients.last_name, (
      SELECT string_agg({_POSTGRES_SAID}, ' ' ORDER BY messages.id DESC)
      FROM messages WHERE messages.id IN (
        SELECT message_id FROM decisions WHERE decisions.case_id = cases.id))),
    {MOST_SEARCHED})) AS words
FROM cases LEFT JOIN therapists ON therapists.therapist_id = cases.therapist_id
LEFT JOIN clients ON clients.client_id = cases.client_id
"""


def _postgres_trigger(name: str, when: str, changed: tuple[str, ...], ids: str) -> list[str]:
    only = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in changed)
    test = _BRINGS_WORDS if name == "decided" else "true"  # a WHEN may hold no query there
    return [
        (
            f"CREATE FUNCTION case_texts_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF {test} THEN DELETE FROM case_texts WHERE case_id IN ({ids}); "
            f"INSERT INTO case_texts SELECT case_id, open, words FROM case_words "
            f"WHERE case_id IN ({ids}); END IF; RETURN NULL; END $$"
        ),
        (
            f"CREATE TRIGGER case_texts_{name} AFTER {when} FOR EACH ROW "
            f"{f'WHEN ({only}) ' if only else ''}EXECUTE FUNCTION case_texts_{name}()"
        ),
    ]


_POSTGRES: Final = (
    (
        "CREATE TABLE case_texts "
        "(case_id bigint PRIMARY KEY, open boolean NOT NULL, words tsvector NOT NULL)"
    ),
    _POSTGRES_WORDS,
    _POSTGRES_CASE,
    *(
        f"CREATE INDEX {name} ON case_texts USING gin (words) "
        f"WITH (gin_pending_list_limit = 1024) WHERE {which}"
        for name, which in (("open_cases_search", "open"), ("closed_cases_search", "NOT open"))
    ),
    *(line for told in _EVENTS for line in _postgres_trigger(*told)),
    (
        "CREATE FUNCTION case_texts_moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "UPDATE case_texts SET open = NEW.open WHERE case_id = NEW.id; RETURN NULL; END $$"
    ),
    (
        "CREATE TRIGGER case_texts_moved AFTER UPDATE OF open ON cases FOR EACH ROW "
        "WHEN (OLD.open IS DISTINCT FROM NEW.open) EXECUTE FUNCTION case_texts_moved()"
    ),
)
#: What folds upper and lower case of every alphabet, the first that the server has.
_COLLATIONS: Final = ("und-x-icu", "C.utf8", "C.UTF-8", "en_GB.utf8", "en_US.utf8", "default")


def index_cases(connection: Connection) -> None:
    """Make the index, its triggers, and the texts of the cases that are there.

    As schema 0004 had it, before ``messages`` had ``words``.
    """
    if connection.dialect.name == "sqlite":
        statements = _SQLITE
    else:
        known = set(connection.execute(text("SELECT collname FROM pg_collation")).scalars())
        found = next(name for name in _COLLATIONS if name in known)
        statements = tuple(line.replace("{collation}", f'"{found}"') for line in _POSTGRES)
    for statement in (*statements, FILL):
        connection.exec_driver_sql(_without_words(statement))


def _without_words(statement: str) -> str:
    for changed in (" OR OLD.words IS NOT NEW.words", " OR OLD.words IS DISTINCT FROM NEW.words"):
        statement = statement.replace(changed, "")
    for said in (_SQLITE_SAID, _POSTGRES_SAID):
        plain = said.removeprefix("CASE WHEN words IS NULL THEN ").partition(" ELSE ")[0]
        statement = statement.replace(said, plain + (" AS said" if said.endswith("said") else ""))
    return statement


def index_sealed_words(connection: Connection) -> None:
    """Let the index hold ``messages.words`` where a message has them, as from schema 0005 on."""
    changed = next(event for event in _EVENTS if event[0] == "message_changed")
    if connection.dialect.name == "sqlite":
        statements = [
            "DROP TRIGGER case_texts_message_changed", "DROP VIEW case_words",
            _SQLITE_WORDS, _sqlite_trigger(*changed),
        ]  # fmt: skip
    else:
        statements = [
            "DROP TRIGGER case_texts_message_changed ON messages",
            _POSTGRES_CASE.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"),
            _postgres_trigger(*changed)[1],
        ]
    for statement in statements:
        connection.exec_driver_sql(statement)


def is_of_the_index(name: str) -> bool:
    """Whether a table is the index's own, which the metadata does not describe."""
    return name.startswith(("case_texts", "open_cases_search", "closed_cases_search"))


for _statement in _SQLITE:
    _ddl = DDL(_statement.replace("%", "%%"))  # type: ignore[no-untyped-call] # SQLAlchemy left it untyped
    event.listen(metadata, "after_create", _ddl.execute_if(dialect="sqlite"))
