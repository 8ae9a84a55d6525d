"""Tables that are shown on a page and given as CSV, from the same cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from review.web import words
from triage.spreadsheets import formula_safe


@dataclass(frozen=True, slots=True)
class Cell:
    """What a person reads, and what a program reads where that differs; perhaps a link."""

    shown: str
    plain: str | float | None = None
    link: str = ""

    @property
    def is_number(self) -> bool:
        return isinstance(self.plain, int | float) or self.plain == ""

    @property
    def kind(self) -> str:
        """Its class on the page: numbers stand under one another, moments stay in one line."""
        if self.is_number:
            return "number"
        return "" if self.plain is None else "in-line"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their headings; the first cell of each names the row."""

    name: str  # of its file, without ".csv"
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def text(value: str, link: str = "") -> Cell:
    return Cell(value, link=link)


def number(value: int) -> Cell:
    return Cell(f"{value:,}", value)


def share(part: int, whole: int) -> Cell:
    """A share in per cent; of nothing there is none."""
    return Cell(percent(part / whole), round(part / whole, 4)) if whole else Cell("–", "")


def percent(part: float) -> str:
    """As in 42 %, and small ones as in 0.3 %."""
    return f"{100 * part:.{1 if 0 < part < 0.0995 else 0}f} %"


def duration(seconds: int) -> Cell:
    """For people in words, for programs in seconds."""
    return Cell(length(seconds), seconds)


def moment(when: datetime) -> Cell:
    """On the London clock for people; with its offset for programs."""
    return Cell(words.at(when), when.astimezone(words.LONDON).isoformat(timespec="minutes"))


def length(seconds: int) -> str:
    """As in 45 min, 5 h 20 min, 3 days 4 h."""
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} days {minutes % 1440 // 60} h"


def csv_of(table: Table) -> str:
    """*table* for a spreadsheet: nothing in it is taken for a formula.

    It begins with a byte order mark, without which Excel reads UTF-8 as something else.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([formula_safe(name) for name in table.head])
    writer.writerows(_values(row) for row in table.rows)
    return "\ufeff" + out.getvalue()


def _values(row: Sequence[Cell]) -> Iterable[str | float]:
    for cell in row:
        value = cell.shown if cell.plain is None else cell.plain
        yield formula_safe(value) if isinstance(value, str) else value
