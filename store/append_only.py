"""Tables that only ever grow: the database itself refuses every change of a row.

What this cannot stop is the tables' owner, who may take the triggers away: on PostgreSQL the
program is best run as a role that owns nothing (``store/roles.py``), and the seals tell in any
case.
"""

from __future__ import annotations

from sqlalchemy import DDL, Table, event


def append_only(table: str, dialect: str) -> list[str]:
    """Statements after which *table* takes new rows and no change of those it has."""
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_no_{change} BEFORE {change.upper()} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'append-only'); END"
            for change in ("update", "delete")
        ]
    return [
        f"""CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'append-only'; END $$""",
        f"""CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()""",
    ]


def only_grows(table: Table) -> None:
    """Have *table* be append-only wherever it is made from the metadata."""
    for dialect in ("sqlite", "postgresql"):
        for statement in append_only(table.name, dialect):
            ddl = DDL(statement)  # type: ignore[no-untyped-call] # SQLAlchemy left it untyped
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))
