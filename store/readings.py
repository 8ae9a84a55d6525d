"""Whose reading lies under a decision: people and the program's holding up decide, but read not."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, func, select

from store.joining import HELD
from store.schema import decisions

#: What stands in the place of a reader's version where none read.
NOT_READ: Final = ("person", HELD)


def reader_under(case_id: ColumnElement[Any], decision_id: ColumnElement[Any]) -> Any:  # noqa: ANN401 - a scalar in SQL
    """The version of the reader that had last read the case up to that decision, "" if none."""
    read = decisions.alias()
    last = (
        select(read.c.reader_version)
        .where(read.c.case_id == case_id, read.c.id <= decision_id)
        .where(read.c.reader_version.not_in(NOT_READ))
        .order_by(read.c.id.desc())
        .limit(1)
    )
    return func.coalesce(last.scalar_subquery(), "", type_=decisions.c.reader_version.type)
