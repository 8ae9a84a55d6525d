"""The data team's pictures, as matplotlib figures: the same in the report and in the notebooks.

matplotlib is an optional extra, ``pip install "fit-triage[data]"``; ``extras.require`` says so.
Colours are those of Okabe and Ito (2008), which people with any colour vision can tell apart.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.extras import require
from models.measures import AIMS, LESS_IS_BETTER, Report
from models.slices import FEW

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from models.comparing import Comparison

BLUE: Final = "#0072b2"
ORANGE: Final = "#d55e00"
GREEN: Final = "#009e73"
GREY: Final = "#8a8a8a"
_COUNTED: Final = frozenset(("false_clear", "false_discussed", "urgent_missed"))
_STYLE: Final[Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "svg.fonttype": "none",  # letters stay letters: a tenth of the size, and a reader can find them
    "svg.hashsalt": "fit-triage",
}


def svg(figure: Figure) -> str:
    """The figure as SVG; the same figure gives the same bytes."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def reliability_plot(by_field: Mapping[str, pd.DataFrame]) -> Figure:
    """How often answers are right, against how sure the model was; ``curves.reliability`` frames.

    The figures count the answers of the first field.
    """
    figure, axes = _axes(1, 1, size=(5.4, 4.6))
    axis = axes[0]
    axis.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    for (name, frame), colour in zip(by_field.items(), (BLUE, ORANGE, GREEN), strict=False):
        spread = [frame["right"] - frame["low"], frame["high"] - frame["right"]]
        axis.errorbar(
            frame["sure"],
            frame["right"],
            yerr=spread,
            color=colour,
            marker="o",
            capsize=2,
            label=name,
        )
    first = next(iter(by_field.values()))
    for sure, right, count in first[["sure", "right", "count"]].itertuples(index=False):
        note: Any = {"xytext": (5, -10), "textcoords": "offset points", "fontsize": 7}
        axis.annotate(str(count), (sure, right), color=BLUE, **note)
    axis.set(xlabel="how sure", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02))
    axis.set_title("Is confidence what it says? (bars: 95 %)")
    axis.legend(loc="upper left")
    return figure


def coverage_plot(by_field: Mapping[str, pd.DataFrame], bound: float = 0.01) -> Figure:
    """Error among the answers released, surest first, against the share released.

    The shade reaches up to the end of the 95 % interval.
    """
    figure, axes = _axes(1, 1, size=(5.4, 4.6))
    axis = axes[0]
    for (name, frame), colour in zip(by_field.items(), (BLUE, ORANGE, GREEN), strict=False):
        axis.plot(frame["coverage"], frame["error"], color=colour, label=name)
        top = frame["error_high"]
        axis.fill_between(frame["coverage"], frame["error"], top, color=colour, alpha=0.12, lw=0)
    axis.axhline(bound, color=GREY, linestyle="--", linewidth=1)
    axis.set(xlabel="share released without a person", ylabel="error among them", xlim=(0, 1))
    axis.set_ylim(
        0, max(0.06, *(float(frame["error"].iloc[-1]) for frame in by_field.values())) * 1.15
    )
    axis.set_title(f"Coverage against error (dashed: {bound:.0%})")
    axis.legend(loc="upper left")
    return figure


def confusion_plot(table: pd.DataFrame, field: str) -> Figure:
    """A ``frames.confusion`` table as a heat map, shaded by row."""
    return heat_plot(table, f"{field}: who was taken for what", ("read as", "labelled"))


def heat_plot(table: pd.DataFrame, title: str, names: tuple[str, str] = ("", "")) -> Figure:
    """Counts as a heat map, each row shaded by its shares; *names* of the columns and the rows."""
    rows, columns = table.shape
    figure, axes = _axes(1, 1, size=(1.8 + 0.62 * columns, 1.3 + 0.42 * rows))
    axis = axes[0]
    counts = table.to_numpy()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.55 else "black"
        count = str(int(counts[row, column]))
        axis.text(column, row, count, ha="center", va="center", color=colour)
    axis.set_xticks(range(columns), [str(c) for c in table.columns], rotation=40, ha="right")
    axis.set_yticks(range(rows), [str(r) for r in table.index])
    axis.grid(visible=False)
    axis.set(xlabel=names[0], ylabel=names[1], title=title)
    return figure


def differences_plot(comparison: Comparison) -> Figure:
    """By how much a candidate differs, measure by measure, with 95 % intervals.

    Shares only; counts of errors are no shares and stand in the table.
    """
    found = [d for d in comparison.differences if d.measure not in _COUNTED]
    figure, axes = _axes(1, 1, size=(6.4, 0.9 + 0.28 * len(found)))
    axis = axes[0]
    colours = {"better": GREEN, "worse": ORANGE, "not distinguishable": GREY}
    axis.axvline(0, color="black", linewidth=0.8)
    for place, one in zip(range(len(found), 0, -1), found, strict=True):
        axis.hlines(place, one.low, one.high, color=colours[one.finding], linewidth=2.5)
        axis.scatter(one.difference, place, color=colours[one.finding], zorder=3)
    axis.set_yticks(range(len(found), 0, -1), [d.measure for d in found])
    axis.set_title("Candidate less champion (grey: may be luck)")
    return figure


def clearing_plot(frame: pd.DataFrame) -> Figure:
    """A ``curves.clearing`` frame: what is seen, and at which price."""
    figure, axes = _axes(1, 1, size=(5.6, 4.0))
    axes[0].plot(frame["threshold"], frame["seen"], color=BLUE, label="told, and taken as told")
    axes[0].plot(frame["threshold"], frame["rate"], color=ORANGE, label="not told, taken as told")
    axes[0].set(xlabel="probability asked for", ylabel="share", ylim=(0, 1.02))
    axes[0].set_title("Who counts as told")
    axes[0].legend()
    return figure


def slices_plot(frame: pd.DataFrame) -> Figure:
    """Share of messages with every kind right, by slice, with 95 % intervals."""
    figure, axes = _axes(1, 1, size=(6.4, 0.9 + 0.27 * len(frame)))
    axis = axes[0]
    places = range(len(frame), 0, -1)
    middle = frame["message_kinds_exact"]
    colours = [GREY if n < FEW else BLUE for n in frame["messages"]]
    axis.hlines(places, frame["low"], frame["high"], color=colours, linewidth=2.5, alpha=0.5)
    axis.scatter(middle, places, c=colours, zorder=3, s=22)
    names = [f"{r.slice}: {r.value}  ({r.messages})" for r in frame.itertuples()]
    axis.set_yticks(list(places), names)
    axis.set(xlabel="messages with every kind right", xlim=(min(0.5, middle.min() - 0.05), 1.01))
    axis.set_title(f"By kind of message (grey: fewer than {FEW})")
    return figure


def files_plot(reports: Mapping[str, Report], measures: tuple[str, ...] = tuple(AIMS)) -> Figure:
    """Each measure's spread over the files (grey), pooled (blue) and the aim (green)."""
    figure, axes = _axes(1, 1, size=(6.4, 0.9 + 0.3 * len(measures)))
    axis = axes[0]
    for place, name in zip(range(len(measures), 0, -1), measures, strict=True):
        values = [float(r[name]) for file, r in reports.items() if file != "pooled"]
        axis.scatter(values, [place] * len(values), color=GREY, s=12, alpha=0.7)
        axis.scatter(reports["pooled"][name], place, color=BLUE, s=40, zorder=3)
        if name in AIMS:
            axis.scatter(AIMS[name], place, color=GREEN, marker="|", s=160, linewidth=2, zorder=2)
    labels = [f"{m} (less is better)" if m in LESS_IS_BETTER else m for m in measures]
    axis.set_yticks(range(len(measures), 0, -1), labels)
    axis.set(xlim=(0, 1.02), title="Pooled (blue), files (grey), aim (green)")
    return figure


def learning_plot(points: pd.DataFrame, measures: tuple[str, ...]) -> Figure:
    """Error by amount of training data on logarithmic axes; ``learning.learning_curve`` rows."""
    figure, axes = _axes(1, 1, size=(5.6, 4.4))
    axis = axes[0]
    for name, colour in zip(measures, (BLUE, ORANGE, GREEN, GREY), strict=False):
        axis.plot(points["messages"], 1 - points[name], marker="o", color=colour, label=name)
    axis.set(xscale="log", yscale="log", xlabel="training messages", ylabel="error (1 - measure)")
    axis.set_title("What more data brings")
    axis.legend(fontsize=7.5)
    return figure


def costs_plot(frame: pd.DataFrame, check: float) -> Figure:
    """Cost per request and share automated, by threshold; a ``curves.costs`` frame."""
    figure, axes = _axes(1, 2, size=(8.6, 3.7))
    axes[0].plot(frame["threshold"], frame["cost"], color=BLUE)
    axes[0].axhline(check, color=GREY, linestyle="--", linewidth=1, label="everything checked")
    best = frame.sort_values("cost").iloc[0]
    axes[0].scatter(best["threshold"], best["cost"], color=ORANGE, zorder=3, label="cheapest")
    axes[0].set(xlabel="threshold", ylabel="cost per request", title="What a threshold costs")
    axes[0].legend()
    axes[1].plot(frame["threshold"], frame["automated"], color=BLUE, label="released")
    axes[1].plot(frame["threshold"], frame["wrong"], color=ORANGE, label="released and wrong")
    axes[1].set(xlabel="threshold", ylabel="share of requests", title="What it releases")
    axes[1].legend()
    return figure


def bars_plot(counts: pd.Series, title: str) -> Figure:
    """Counts as horizontal bars, in the order given."""
    figure, axes = _axes(1, 1, size=(6.0, 0.9 + 0.24 * len(counts)))
    names = [str(name) for name in counts.index][::-1]
    bars = axes[0].barh(names, counts.to_numpy()[::-1], color=BLUE)
    axes[0].bar_label(bars, padding=2, fontsize=7)
    axes[0].grid(visible=False, axis="y")
    axes[0].set_title(title)
    return figure


def histogram_plot(by_group: Mapping[str, pd.Series], title: str, label: str) -> Figure:
    """How a number is spread in each group, one above the other on the same axis."""
    figure, axes = _axes(len(by_group), 1, size=(6.0, 1.0 + 1.1 * len(by_group)), sharex=True)
    for axis, (name, values) in zip(axes, by_group.items(), strict=True):
        axis.hist(values, bins=30, color=BLUE, alpha=0.8)
        axis.axvline(values.median(), color=ORANGE)
        axis.set_ylabel(f"{name}\n({len(values)})", rotation=0, ha="right", va="center")
    axes[0].set_title(f"{title} (orange: the median)")
    axes[-1].set_xlabel(label)
    return figure


def _axes(
    rows: int, columns: int, *, size: tuple[float, float], sharex: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of its own: nothing is kept in matplotlib's global state."""
    require("matplotlib")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex)
    return figure, list(axes.flat)
