"""Charts as plain figures for a template to draw: everything across is in per cent.

So a chart fills whatever width there is and its words keep their size, on a phone as on a wall.
No script and no style of its own: classes are those of ``app.css``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, log10
from typing import Final

#: The room for the numbers on the left.
_GUTTER: Final = 8.0
_LABELS: Final = 8  # so many words fit under a chart on a desk, half of them on a phone
_CROWD: Final = 40  # from more columns on there is no room between them
_SHARES: Final = (0.08, 0.2, 0.4, 0.6, 0.8, 1.0)  # each in four steps of whole per cent
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across, and its number."""

    y: float
    words: str


@dataclass(frozen=True, slots=True)
class Label:
    """A word under the chart; a ``minor`` one has no room on a phone."""

    x: float
    words: str
    minor: bool


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a column."""

    x: float
    y: float
    width: float
    height: float
    series: str
    words: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A value of a line."""

    x: float
    y: float
    words: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, as an upright line."""

    x: float
    words: str
    late: bool  # so far right that its words stand on its left


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar that lies, with an optional second value beyond it."""

    words: str
    value: str
    extent: float
    beyond: float | None


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its axes; ``bars`` has none."""

    name: str
    title: str
    told: str  # what it shows, for whoever does not see it
    ticks: tuple[Tick, ...] = ()
    labels: tuple[Label, ...] = ()
    blocks: tuple[Block, ...] = ()
    dots: tuple[Dot, ...] = ()
    lines: tuple[tuple[Dot, Dot], ...] = ()
    marks: tuple[Mark, ...] = ()
    bars: tuple[Bar, ...] = ()
    is_crowded: bool = False


def columns(
    name: str,
    title: str,
    told: str,
    under: Sequence[str],
    series: Sequence[tuple[str, str, Sequence[int]]],
) -> Chart:
    """Columns of stacked blocks; *series* are (code, words, a value for each column)."""
    top = _top(
        max((sum(values) for values in zip(*(s[2] for s in series), strict=True)), default=0)
    )
    step = (100 - _GUTTER) / max(len(under), 1)
    width = step * 0.8
    blocks = []
    for n, where in enumerate(under):
        base = 0
        for code, words, values in series:
            height = 100 * values[n] / top
            if values[n]:
                y = 100 - 100 * base / top - height
                said = f"{where}: {words} {values[n]}"
                blocks.append(Block(_GUTTER + n * step, y, width, height, code, said))
            base += values[n]
    labels = _labels(under, step)
    return Chart(
        name, title, told, _ticks(top), labels, tuple(blocks), is_crowded=len(under) > _CROWD
    )


def line(
    name: str,
    title: str,
    told: str,
    under: Sequence[str],
    values: Sequence[float | None],
    marks: Iterable[tuple[int, str]] = (),
) -> Chart:
    """Shares from 0 to 1 as a line; broken where there is no value. *marks* stand at columns."""
    step = (100 - _GUTTER) / max(len(under), 1)
    largest = max((value for value in values if value is not None), default=0)
    top = next(share for share in _SHARES if share >= largest)
    dots = [
        None
        if value is None
        else Dot(_middle(n, step), 100 - 100 * value / top, f"{under[n]}: {100 * value:.0f} %")
        for n, value in enumerate(values)
    ]
    lines = tuple((a, b) for a, b in pairwise(dots) if a and b)
    ticks = tuple(Tick(100 - 25 * n, f"{25 * top * n:g} %") for n in range(5))
    placed = tuple(Mark(x := _middle(n, step), words, x > 70) for n, words in marks)
    labels = _labels(under, step)
    return Chart(
        name, title, told, ticks, labels,
        dots=tuple(dot for dot in dots if dot), lines=lines, marks=placed,
        is_crowded=len(under) > _CROWD,
    )  # fmt: skip


def bars(
    name: str, title: str, told: str, rows: Sequence[tuple[str, str, float, float | None]]
) -> Chart:
    """Lying bars: (words, value in words, value, a value beyond it) each, to one scale."""
    top = max((max(value, beyond or 0) for _, _, value, beyond in rows), default=0) or 1
    made = tuple(
        Bar(words, said, 100 * value / top, None if beyond is None else 100 * beyond / top)
        for words, said, value, beyond in rows
    )
    return Chart(name, title, told, bars=made)


def _middle(n: int, step: float) -> float:
    return _GUTTER + (n + 0.5) * step


def _top(largest: float) -> int:
    """A round number that *largest* does not exceed, in four steps of whole numbers."""
    if largest <= 4:
        return 4
    size: int = 10 ** floor(log10(largest / 4))
    steps = (step * size for step in _STEPS if step * size % 1 == 0)
    return round(next(4 * step for step in steps if 4 * step >= largest))


def _ticks(top: int) -> tuple[Tick, ...]:
    return tuple(Tick(100 - 25 * n, _short(top * n / 4)) for n in range(5))


def _short(number: float) -> str:
    return f"{number / 1000:g}k" if number >= 1000 else f"{number:g}"


def _labels(under: Sequence[str], step: float) -> tuple[Label, ...]:
    every = -(-len(under) // _LABELS) or 1
    shown = range(0, len(under), every)
    return tuple(Label(_middle(n, step), under[n], bool(i % 2)) for i, n in enumerate(shown))
