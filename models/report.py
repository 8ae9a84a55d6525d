"""The evaluation as one HTML page: tables and pictures, nothing fetched from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models import plots
from models.curves import coverage, reliability
from models.extras import require
from models.frames import confusion, requests_frame
from models.measures import AIMS, LESS_IS_BETTER, Report
from models.predictions import Evaluation, examples_of
from models.slices import FEW, answers_frame, mistakes, slices_frame

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from models.corpus import Corpus

_TEMPLATES: Final = Path(__file__).parent / "templates"
_RATED: Final = ("kind", "client_notification", "risk")
_COUNTS: Final = ("false_clear", "false_clear_of", "urgent_missed", "urgent_of")
_LEARNED: Final = ("kind_macro_f1", "client_notification_macro_f1", "fit_reasons_micro_f1")


@dataclass(frozen=True, slots=True)
class _Plot:
    alt: str
    data: str  # SVG, in base 64


@dataclass(frozen=True, slots=True)
class _Section:
    title: str
    note: str
    plots: Sequence[_Plot] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def report_html(
    corpus: Corpus,
    evaluation: Evaluation,
    *,
    composed: bool,
    learning: pd.DataFrame | None = None,
    title: str = "How messages are read",
) -> str:
    """The whole report. Words of messages are in it only where the corpus is *composed*.

    Raises ``MissingExtraError`` without matplotlib.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    require("matplotlib")
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    pooled = evaluation.reports["pooled"]
    return environment.get_template("report.html.j2").render(
        title=title,
        about=evaluation.about,
        messages=pooled["messages"],
        requests=pooled["requests"],
        composed=composed,
        files=["pooled", *evaluation.predicted],
        table=list(_table(evaluation.reports)),
        sections=list(_sections(corpus, evaluation, learning, composed=composed)),
    )


def _table(reports: Mapping[str, Report]) -> Iterator[dict[str, object]]:
    in_order = {"pooled": reports["pooled"], **reports}
    for name in (*AIMS, *_COUNTS):
        aim, value = AIMS.get(name), in_order["pooled"][name]
        met = aim is not None and (value <= aim if name in LESS_IS_BETTER else value >= aim)
        yield {
            "name": name,
            "aim": "" if aim is None else f"{'≤' if name in LESS_IS_BETTER else '≥'} {aim}",
            "met": "" if aim is None else "met" if met else "unmet",
            "cells": [_cell(report[name]) for report in in_order.values()],
        }


def _sections(
    corpus: Corpus, evaluation: Evaluation, learning: pd.DataFrame | None, *, composed: bool
) -> Iterator[_Section]:
    rated = {name: answers_frame(corpus, evaluation, name) for name in _RATED}
    rated = {name: frame for name, frame in rated.items() if frame["sure"].notna().any()}
    yield _Section(
        "Is confidence what it says?",
        "On the dashed line, what is said to be right nine times in ten is so nine times in ten. "
        "The second curve is what automation can rest on: releasing the surest answers first.",
        [
            _drawn(
                plots.reliability_plot({n: reliability(f) for n, f in rated.items()}),
                "Share of right answers by confidence",
            ),
            _drawn(
                plots.coverage_plot({n: coverage(f) for n, f in rated.items() if n != "risk"}),
                "Error among released answers by share released",
            ),
        ],
    )
    yield _by_slice(slices_frame(corpus, evaluation))
    yield _Section(
        "Files", "Each file has one writer; their spread is what a new writer may bring.",
        [_drawn(plots.files_plot(evaluation.reports), "Measures by file")],
    )  # fmt: skip
    yield from _confusions(corpus, evaluation, composed=composed)
    if learning is not None and len(learning):
        yield _learned(learning)


def _by_slice(frame: pd.DataFrame) -> _Section:
    return _Section(
        "By kind of message",
        "Reading level is the Coleman-Liau index and typing looks at shorthand and capitals: both "
        f"are proxies. A slice of fewer than {FEW} messages says little.",
        [_drawn(plots.slices_plot(frame), "Messages with every kind right, by slice")],
        columns=list(frame.columns),
        rows=_rows(frame),
    )


def _confusions(corpus: Corpus, evaluation: Evaluation, *, composed: bool) -> Iterator[_Section]:
    frame = requests_frame(examples_of(corpus, evaluation), evaluation.predicted)
    for field in _RATED:
        worst = mistakes(corpus, evaluation, field, text=composed)
        yield _Section(
            f"Errors in {field}",
            "“-” stands for a request that was missed or invented. Below, the errors that the "
            "model was surest of: there it is often the label that is wrong.",
            [_drawn(plots.confusion_plot(confusion(frame, field), field), f"Confusion of {field}")],
            columns=list(worst.columns),
            rows=_rows(worst),
        )


def _learned(learning: pd.DataFrame) -> _Section:
    return _Section(
        "What more data brings",
        "The same files read by models of ever more messages. A straight line means that each "
        "doubling takes away the same share of the errors.",
        [_drawn(plots.learning_plot(learning, _LEARNED), "Error by training messages")],
        columns=list(learning.columns),
        rows=_rows(learning),
    )


def _drawn(figure: Figure, alt: str) -> _Plot:
    return _Plot(alt, base64.b64encode(plots.svg(figure).encode()).decode())


def _rows(frame: pd.DataFrame) -> list[list[str]]:
    return [[_cell(cell) for cell in row] for row in frame.itertuples(index=False)]


def _cell(value: Any) -> str:  # noqa: ANN401 - whatever a table holds
    return f"{value:.3f}" if isinstance(value, float) else str(value)
