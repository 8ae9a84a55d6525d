"""A role of PostgreSQL for daily work, which may do all that the program does and no more.

The owner of the tables can take away what guards the audit trail. So the program is best run as
another role, and the owner's is kept for new versions.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from store.database import open_database
from store.errors import StoreError

#: Nobody changes what is in them, the program included.
_ONLY_GROW: Final = ("audit", "access_log")
#: The owner's business.
_READ_ONLY: Final = ("alembic_version",)


def grant(url: str, role: str, *, wait: float = 10.0) -> None:
    """Let *role* do daily work on the database at *url*, as whose owner we are connected.

    To be repeated after each new version, which may have brought tables.

    Raises:
        StoreError: It is no PostgreSQL, there is no such role, or that role could help itself.

    """
    database = open_database(url, wait=wait)
    try:
        if database.is_sqlite:
            raise StoreError("SQLite has no roles: who may write the file may change all of it")
        with database.writing() as connection:
            found = connection.execute(
                text(
                    "SELECT rolsuper, pg_has_role(rolname, current_user, 'MEMBER') AS owns "
                    "FROM pg_roles WHERE rolname = :role"
                ),
                {"role": role},
            ).one_or_none()
            if found is None:
                raise StoreError(f"database {database.name} has no role {role!r}: create it first")
            if found.rolsuper or found.owns:
                raise StoreError(f"role {role!r} could take every guard away: give another one")
            quoted = connection.dialect.identifier_preparer.quote(role)
            for statement in _statements(quoted):
                connection.execute(text(statement))
    finally:
        database.close()


def _statements(role: str) -> list[str]:
    schema = "SCHEMA public"
    return [
        f"GRANT USAGE ON {schema} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN {schema} TO {role}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN {schema} TO {role}",
        *(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {role}" for table in _ONLY_GROW),
        *(f"REVOKE INSERT, UPDATE, DELETE ON {table} FROM {role}" for table in _READ_ONLY),
    ]
