"""A period of days, as the figures count it: what stands within it, and which verdicts count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal_column

from store.outgoing_schema import corrections

LONDON: Final = ZoneInfo("Europe/London")
TEXT: Final = corrections.c.field.type
#: What a person does about what was asked; setting right, assigning and putting aside come before.
ACTING: Final = ("approve", "refer", "send_back", "note_reason", "general", "dismiss", "withdraw")
#: What a person does with the reading before their eyes.
JUDGING: Final = (*ACTING, "correct")
#: What carries out the ask as it was read.
APPROVING: Final = ("approve", "refer", "note_reason")


@dataclass(frozen=True, slots=True)
class Period:
    """Days of Europe/London, the last one included."""

    first: date
    last: date

    @property
    def start(self) -> datetime:
        return datetime.combine(self.first, time(), LONDON).astimezone(UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return datetime.combine(self.last + timedelta(days=1), time(), LONDON).astimezone(UTC)

    @property
    def days(self) -> tuple[date, ...]:
        count = (self.last - self.first).days + 1
        return tuple(self.first + timedelta(days=n) for n in range(count))


def hour(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[str]:
    """The hour of UTC in which *column* lies, as in 2026-11-22T09; ``london`` says which day."""
    if connection.dialect.name == "sqlite":
        return func.substr(column, 1, 13, type_=TEXT)
    form: ColumnElement[str] = literal_column("'YYYY-MM-DD\"T\"HH24'")
    return func.to_char(func.timezone("UTC", column), form, type_=TEXT)


@lru_cache(maxsize=20_000)  # the hours of two years
def london(hour: str) -> date:
    """The day in London of such an hour, whole: its clock stands whole hours beside UTC."""
    return datetime.fromisoformat(f"{hour}:00+00:00").astimezone(LONDON).date()


def within(column: ColumnElement[Any], period: Period) -> ColumnElement[bool]:
    """Whether a moment lies in *period*."""
    return and_(column >= period.start, column < period.end)


def standing(table: Any, actions: Sequence[str]) -> ColumnElement[bool]:  # noqa: ANN401 - a table or its alias
    """Whether a verdict is one of *actions* and was not taken back."""
    return and_(table.c.action.in_(actions), table.c.undone_at.is_(None))


def one_row(query: Select[Any]) -> Any:  # noqa: ANN401 - a scalar in SQL
    """What *query* finds for a row of the query around it, None for nothing.

    EXISTS would say the same, and PostgreSQL would read whole tables to answer it for a month.
    """
    return query.limit(1).scalar_subquery()
