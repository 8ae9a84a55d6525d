"""Views: the filters that a person looks at often, under a name, for themselves or the team."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, insert, or_, select

from store.columns import AnyRow
from store.database import Database
from store.errors import RefusedError
from store.search_schema import saved_views

#: More than these would be no help beside the queues.
MOST_VIEWS: Final = 30


@dataclass(frozen=True, slots=True)
class SavedView:
    """Filters under a name; ``filters`` are codes and ids, as they stand in an address."""

    id: int
    owner: str
    name: str
    filters: Mapping[str, str]
    is_shared: bool
    created_at: datetime


class Views:
    """Every view that is saved; each is its owner's alone to change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, owner: str) -> list[SavedView]:
        """A person's own views and those that are shared with the team, by name."""
        query = (
            select(saved_views)
            .where(or_(saved_views.c.owner == owner, saved_views.c.shared))
            .order_by(func.lower(saved_views.c.name), saved_views.c.id)
        )
        with self._database.reading() as connection:
            return [_view(row) for row in connection.execute(query)]

    def save(
        self, owner: str, name: str, filters: Mapping[str, str], now: datetime, *, is_shared: bool
    ) -> int:
        """Keep *filters* under *name*, in place of the owner's view of that name; its number.

        Raises:
            RefusedError: There are too many views of theirs.

        """
        mine = saved_views.c.owner == owner
        row = {"owner": owner, "name": name, "filters": dict(filters), "shared": is_shared}
        with self._database.writing() as connection:
            connection.execute(delete(saved_views).where(mine, saved_views.c.name == name))
            count = connection.scalar(select(func.count()).select_from(saved_views).where(mine))
            if (count or 0) >= MOST_VIEWS:
                raise RefusedError(f"there are {count} views of yours already; delete one first")
            added = insert(saved_views).values(**row, created_at=now).returning(saved_views.c.id)
            return int(connection.scalars(added).one())

    def delete(self, number: int, owner: str) -> bool:
        """Delete a view of *owner*'s; whether there was such a one."""
        mine = (saved_views.c.id == number) & (saved_views.c.owner == owner)
        with self._database.writing() as connection:
            return connection.execute(delete(saved_views).where(mine)).rowcount > 0


def _view(row: AnyRow) -> SavedView:
    return SavedView(row.id, row.owner, row.name, row.filters, row.shared, row.created_at)
