"""The figures of the overview as tables and charts; a chart and its table are of the same cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from review.web import words
from review.web.charts import Chart, bars, columns, line
from review.web.tables import Cell, Table, duration, moment, number, percent, share, text
from store.figures import Day, Figures
from store.judged import Change
from triage.limits import Limits

#: From so many days on a chart and its table go by weeks.
_BY_WEEK: Final = 93
_QUEUES: Final[Mapping[str, str]] = {
    "cancellation": "Cancellations",
    "referral": "Referrals",
    "enquiry": "Enquiries",
    "general": "General",
    "quarantine": "Quarantine",
}
#: The most rows of a table on the page; its CSV has all.
SHOWN: Final = 15


@dataclass(frozen=True, slots=True)
class Near:
    """A therapist who left sessions unconfirmed."""

    therapist_id: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class _Span:
    """A day, or a week by its Monday, of the period."""

    first: date
    days: tuple[Day, ...]

    @property
    def words(self) -> str:
        return f"{self.first.day} {self.first:%b}"

    def of(self, queue: str) -> int:
        return sum(day.messages.get(queue, 0) for day in self.days)

    @property
    def judged(self) -> int:
        return sum(day.judged for day in self.days)

    @property
    def corrected(self) -> int:
        return sum(day.corrected for day in self.days)

    @property
    def needed_nobody(self) -> int:
        return sum(day.needed_nobody for day in self.days)

    @property
    def messages(self) -> int:
        return sum(map(self.of, _QUEUES))


def tables(figures: Figures, near: Sequence[Near], limits: Limits) -> dict[str, Table]:
    """Every table of the page, by its name."""
    made = (
        _volumes(figures),
        _waiting(figures),
        _fields(figures),
        _changes(figures),
        _versions(figures),
        _by_themselves(figures),
        _lapsed(figures),
        _unconfirmed(near, limits),
    )
    return {table.name: table for table in made}


def charts(figures: Figures) -> dict[str, Chart]:
    """The charts, by the name of their table."""
    spans = list(_spans(figures))
    made = (
        _volume_chart(spans),
        _wait_chart(figures),
        _field_chart(figures),
        _line(figures, spans),
    )
    return {chart.name: chart for chart in made}


def is_by_week(figures: Figures) -> bool:
    return len(figures.days) >= _BY_WEEK


def _spans(figures: Figures) -> Iterator[_Span]:
    found: dict[date, list[Day]] = {}
    for day in figures.days:
        monday = day.day - timedelta(days=day.day.weekday())
        first = max(monday, figures.period.first) if is_by_week(figures) else day.day
        found.setdefault(first, []).append(day)
    return (_Span(first, tuple(days)) for first, days in found.items())


# --- messages ------------------------------------------------------------------------------------


def _volumes(figures: Figures) -> Table:
    rows = [
        (_day(span), *(number(span.of(queue)) for queue in _QUEUES), number(span.messages))
        for span in _spans(figures)
    ]
    total = [number(sum(int(row[n].plain or 0) for row in rows)) for n in range(1, 7)]
    rows.append((text("All"), *total))
    head = ("Week from" if is_by_week(figures) else "Day", *_QUEUES.values(), "All")
    return Table("volumes", "Messages by day and queue", head, tuple(rows))


def _day(span: _Span) -> Cell:
    return Cell(f"{span.first:%a} {span.words}", span.first.isoformat())


def _volume_chart(spans: Sequence[_Span]) -> Chart:
    busiest = max(spans, key=lambda span: span.messages)
    told = (
        f"{sum(span.messages for span in spans)} messages from {spans[0].words} to"
        f" {spans[-1].words}; the most, {busiest.messages}, on {busiest.words}."
    )
    series = [(q, said, [span.of(q) for span in spans]) for q, said in _QUEUES.items()]
    under = [span.words for span in spans]
    return columns("volumes", "Messages by day and queue", told, under, series)


def _by_themselves(figures: Figures) -> Table:
    came = figures.messages
    rows = (
        (text("Messages that needed nobody"), number(figures.needed_nobody), number(came),
         share(figures.needed_nobody, came)),
        (text("Messages that programs sent"), number(figures.automatic), number(came),
         share(figures.automatic, came)),
        (text("Cases approved without correction"), number(figures.approved_as_read),
         number(figures.approved), share(figures.approved_as_read, figures.approved)),
    )  # fmt: skip
    return Table(
        "automation", "What went without a person's work", ("", "So many", "Of", "Share"), rows
    )


# --- waiting -------------------------------------------------------------------------------------


def _waiting(figures: Figures) -> Table:
    rows = tuple(
        (text(_queue(one.queue)), number(one.cases), duration(one.median), duration(one.p90))
        for one in figures.waited
    )
    head = ("Queue", "Cases acted on", "Half within", "Nine in ten within")
    return Table("waiting", "Time to the first action, by queue", head, rows)


def _wait_chart(figures: Figures) -> Chart:
    rows = [
        (_queue(one.queue), f"{duration(one.median).shown} · {duration(one.p90).shown}",
         float(one.median), float(one.p90))
        for one in figures.waited
    ]  # fmt: skip
    told = "; ".join(f"{name}: {said}" for name, said, _, _ in rows) or "Nobody acted on a case."
    return bars("waiting", "Time to the first action: median and nine in ten", told, rows)


def _queue(code: str) -> str:
    return _QUEUES.get(code, code) if code else "All queues"


# --- what was set right --------------------------------------------------------------------------


def _fields(figures: Figures) -> Table:
    rows = tuple(
        (text(_field(one.name)), number(one.shown), number(one.corrected),
         share(one.corrected, one.shown))
        for one in figures.fields
    )  # fmt: skip
    head = ("Field", "Shown", "Set right", "Share")
    return Table("fields", "How often each field was set right", head, rows)


def _field_chart(figures: Figures) -> Chart:
    rows = [
        (_field(one.name), f"{one.corrected} of {one.shown} · {percent(one.corrected / one.shown)}",
         one.corrected / one.shown, None)
        for one in figures.fields
        if one.corrected
    ]  # fmt: skip
    told = "; ".join(f"{name}: {said}" for name, said, _, _ in rows) or "Nothing was set right."
    return bars("fields", "Share of judged cases in which a field was set right", told, rows)


def _changes(figures: Figures) -> Table:
    rows = tuple(
        (text(_field(one.name)), text(_value(one, one.before)),
         text(_value(one, one.after)), number(one.times))
        for one in figures.changes
    )  # fmt: skip
    head = ("Field", "Read as", "Set to", "How often")
    return Table("changes", "Which value was set to which", head, rows)


def _field(name: str) -> str:
    return words.FIELDS.get(name, name.replace("_", " ").capitalize())


def _value(change: Change, code: str) -> str:
    if not (change.before or change.after):
        return "not shown"  # words of people
    return words.value_in_words(change.name, code) if code else "–"


def _line(figures: Figures, spans: Sequence[_Span]) -> Chart:
    values = [span.corrected / span.judged if span.judged else None for span in spans]
    marks = [
        (n, version.name)
        for version in figures.versions
        for n, span in enumerate(spans)
        if span.days[0].day <= version.began.astimezone(words.LONDON).date() <= span.days[-1].day
    ]
    judged, corrected = (sum(getattr(s, name) for s in spans) for name in ("judged", "corrected"))
    told = f"Of {judged} cases judged by day, {corrected} were set right."
    if marks:
        told += " New readers: " + ", ".join(f"{name} on {spans[n].words}" for n, name in marks)
    title = "Share of judged cases that were set right, and when a reader began"
    return line("versions", title, told, [span.words for span in spans], values, marks)


def _versions(figures: Figures) -> Table:
    rows = tuple(
        (text(one.name or "unknown"), moment(one.began), number(one.judged), number(one.corrected),
         share(one.corrected, one.judged))
        for one in figures.versions
        if one.judged or one.began >= figures.period.start
    )  # fmt: skip
    head = ("Reader", "First decided", "Cases judged", "Set right", "Share")
    return Table("versions", "Readers, and how often they were set right", head, rows)


# --- what lapsed ---------------------------------------------------------------------------------


def _lapsed(figures: Figures) -> Table:
    rows = tuple(
        (Cell(f"#{one.case_id}", one.case_id, f"/cases/{one.case_id}"), text(_queue(one.queue)),
         text(one.session_id), moment(one.opened_at), moment(one.starts_at))
        for one in figures.lapsed
    )  # fmt: skip
    head = ("Case", "Queue", "Session", "Came", "Session began")
    return Table("lapsed", "Sessions that began before anybody acted", head, rows)


def _unconfirmed(near: Sequence[Near], limits: Limits) -> Table:
    rows = tuple(
        (text(one.name or one.therapist_id), text(one.therapist_id), number(one.count),
         text("May be paused" if one.count >= limits.pause_at else "Warn"))
        for one in near
    )  # fmt: skip
    head = ("Therapist", "Id", "Left unconfirmed", "What is due")
    return Table("unconfirmed", "Therapists near the limit", head, rows)
