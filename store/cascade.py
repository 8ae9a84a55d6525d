"""Deleting rows with everything that hangs on them, as the tables themselves say what does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Connection, Table, delete, or_, select

from store.contents import LOOSE
from store.persons import among
from store.schema import cases, metadata


def cascade(connection: Connection, doomed: Mapping[Table, Collection[int]]) -> Counter[str]:
    """Delete these rows by their numbers, and what refers to them; how many, by table.

    By foreign keys, so that a table that comes later is not forgotten.
    """
    conditions: list[tuple[Table, ColumnElement[bool]]] = []
    gone: dict[Table, list[int]] = {}
    for table in metadata.sorted_tables:  # parents first
        wanted = _condition(table, doomed, gone)
        if wanted is None:
            continue
        conditions.append((table, wanted))
        if "id" in table.c:
            gone[table] = sorted(connection.scalars(select(table.c.id).where(wanted)))
    counted: Counter[str] = Counter()
    for table, wanted in reversed(conditions):
        here = among(table.c.id, gone[table]) if table in gone else wanted
        counted[table.name] = connection.execute(delete(table).where(here)).rowcount
    return counted


def _condition(
    table: Table, doomed: Mapping[Table, Collection[int]], gone: Mapping[Table, list[int]]
) -> ColumnElement[bool] | None:
    parts = [
        among(key.parent, gone[key.column.table])
        for key in table.foreign_keys
        if gone.get(key.column.table)
    ]
    if doomed.get(table):
        parts.append(among(table.c.id, sorted(doomed[table])))
    if table.name in LOOSE and doomed.get(cases):
        parts.append(among(table.c.case_id, sorted(doomed[cases])))
    return or_(*parts) if parts else None
