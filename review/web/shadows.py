"""Where a candidate model and the one in use read a message otherwise: a list, figures, verdicts.

Who may read mail sees the words that each reading rests on. The others see codes alone: that names,
numbers and times differ, and not what they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from review.access.rights import MAY
from review.shadowing import PROBLEMS
from review.web import words
from review.web.charts import Chart, line
from review.web.office import Office, name_of, office_of, render
from review.web.tables import Cell, Table, csv_of, moment, number, share, text
from store import RefusedError
from store.shadow_rows import Candidate, ShadowReading, ShadowVerdict
from store.shadows import Asked, Listed
from triage.shadows import (
    COSTS,
    FIELDS,
    PERSONAL,
    RIGHTS,
    Difference,
    Right,
    Stand,
    without_words,
)

#: Messages on a page of the list, and rows of its CSV.
SIZE: Final = 20
_MOST_ROWS: Final = 10_000
#: How far back the course of things is shown.
_DAYS: Final = 90
_MOST_WORDS: Final = 2_000

COST_WORDS: Final[Mapping[str, str]] = {
    "told_more": "Client taken as told by the candidate alone",
    "told_less": "Client not taken as told by the candidate",
    "urgent_unseen": "Urgent risk that the candidate does not see",
    "urgent_seen": "Urgent risk that only the candidate sees",
    "queue": "Another queue",
    "state": "Another state",
    "other": "Another value",
}
SIDES: Final[Mapping[str, str]] = {
    "champion": "The one in use",
    "candidate": "The candidate",
    "neither": "Neither",
}
_NAMES: Final[Mapping[str, str]] = {
    **words.FIELDS, "asks": "An ask of its own", "queue": "Queue", "state": "State",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Line:
    """A difference as the page shows it. ``champion_words`` are what that reading rests on."""

    name: str
    field: str
    ask: int
    cost: str
    champion: str
    candidate: str
    champion_words: tuple[str, ...]
    candidate_words: tuple[str, ...]
    verdict: ShadowVerdict | None


@dataclass(frozen=True, slots=True)
class _Item:
    """A message in the list."""

    reading: ShadowReading
    asks: int
    lines: tuple[_Line, ...]


def shadows(request: Request) -> Response:
    """Figures of a candidate, and its disagreements with the model in use, the worst first."""
    return _page(request, "", 200)


async def judged(request: Request) -> Response:
    """Put on record who is right about fields of one message."""
    form = await request.form()
    number_, typed = str(form.get("reading", "")), str(form.get("words", ""))
    sides = _sides(form)
    if not (number_.isdecimal() and len(number_) < 18):
        raise HTTPException(400, "Say which message.")
    if len(typed) > _MOST_WORDS:
        raise HTTPException(400, "That is too long.")
    said = typed.replace("\r\n", "\n").strip()
    back = str(form.get("back", ""))
    return await run_in_threadpool(_judged, request, int(number_), sides, said, back)


def _sides(form: FormData) -> dict[tuple[str, int], Right]:
    """Who is right by field and ask, as the form's names say it: ``side.FIELD.ASK``."""
    found: dict[tuple[str, int], Right] = {}
    for name, value in form.multi_items():
        head, _, rest = name.partition(".")
        field, _, ask = rest.rpartition(".")
        if head == "side" and value:
            if field not in FIELDS or not (ask.isdecimal() and len(ask) < 4) or value not in RIGHTS:
                raise HTTPException(400, "Say which of the two is right.")
            found[field, int(ask)] = value
    return found


def _judged(
    request: Request, reading: int, sides: Mapping[tuple[str, int], Right], typed: str, back: str
) -> Response:
    office = office_of(request)
    try:
        office.store.shadows.judge(reading, sides, name_of(request), office.clock(), words=typed)
    except RefusedError as error:
        return _page(request, f"Not put on record: {error}.", 409)
    return RedirectResponse(f"/shadow?{_query_of(back)}" if back else "/shadow", 303)


def _query_of(back: str) -> str:
    """The filters of the page that the form stood on; nothing but them, whatever was sent."""
    from urllib.parse import parse_qsl

    known = ("candidate", "field", "cost", "open", "page")
    return urlencode([(name, value) for name, value in parse_qsl(back) if name in known])


def shadow_csv(request: Request) -> Response:
    """One table for a spreadsheet; codes and counts, whoever asks."""
    name = request.path_params["table"]
    office, chosen = office_of(request), _chosen(request)
    if chosen is None:
        raise HTTPException(404, "There is no shadow reading yet.")
    asked = _asked(request, chosen)
    listed = office.store.shadows.disagreements(asked, size=_MOST_ROWS)
    made = {**_tables(office, chosen, listed), "disagreements": _every(listed.rows)}
    if name not in made:
        raise HTTPException(404, "There is no such table.")
    headers = {"Content-Disposition": f'attachment; filename="shadow-{name}.csv"'}
    return Response(csv_of(made[name]), media_type="text/csv; charset=utf-8", headers=headers)


# --- the page ------------------------------------------------------------------------------------


def _page(request: Request, problem: str, status: int) -> Response:
    office, chosen = office_of(request), _chosen(request)
    rights = MAY[request.state.person.role]
    shared = {"title": "Shadow readings", "problem": problem, "costs": COST_WORDS, "sides": SIDES}
    if chosen is None:
        return render(request, "shadows.html", status, chosen=None, **shared)
    asked, page = _asked(request, chosen), _page_number(request)
    listed = office.store.shadows.disagreements(asked, skip=(page - 1) * SIZE, size=SIZE)
    reads_mail = "see_cases" in rights
    filters = {"candidate": chosen.id, "field": asked.field, "cost": asked.cost}
    filters |= {"open": "1"} if asked.open_only else {}
    tables = _tables(office, chosen, listed)
    return render(
        request,
        "shadows.html",
        status,
        chosen=chosen,
        candidates=office.store.shadows.candidates(),
        wrong=PROBLEMS.get(chosen.problem, chosen.problem),
        asked=asked,
        fields={name: _NAMES[name] for name in FIELDS if listed.by_field.get(name)},
        by_field=listed.by_field,
        by_cost=listed.by_cost,
        items=[_item(one, reads_mail=reads_mail) for one in listed.rows],
        total=listed.total,
        page=page,
        pages=max(1, -(-listed.total // SIZE)),
        query=urlencode({name: value for name, value in filters.items() if value}),
        reads_mail=reads_mail,
        judges="judge_shadow" in rights,
        tables=tables,
        chart=_chart(tables["weeks"]),
        **shared,
    )


def _chosen(request: Request) -> Candidate | None:
    """The candidate that the address names, else the one tried last."""
    known = office_of(request).store.shadows.candidates()
    wanted = request.query_params.get("candidate", "")
    if not wanted:
        return known[0] if known else None
    found = next((one for one in known if str(one.id) == wanted), None)
    if found is None:
        raise HTTPException(404, "There is no such candidate.")
    return found


def _asked(request: Request, chosen: Candidate) -> Asked:
    given = request.query_params
    field, cost = given.get("field", ""), given.get("cost", "")
    if (field and field not in FIELDS) or (cost and cost not in COSTS):
        raise HTTPException(400, "There is no such field or kind of disagreement.")
    return Asked(chosen.id, field, cost, open_only=given.get("open", "") == "1")


def _page_number(request: Request) -> int:
    given = request.query_params.get("page", "1")
    return max(1, int(given)) if given.isdecimal() and len(given) < 7 else 1


def _item(one: ShadowReading, *, reads_mail: bool) -> _Item:
    lines = tuple(_line(one, each, reads_mail=reads_mail) for each in one.read.differences)
    return _Item(one, len(one.read.pairs), lines)


def _line(one: ShadowReading, each: Difference, *, reads_mail: bool) -> _Line:
    pair = one.read.pairs[each.ask]
    if reads_mail:
        rests = [_words(stand, each.field) for stand in (pair.champion, pair.candidate)]
    else:
        rests = [(), ()]
    shown = each if reads_mail else without_words(each)
    hidden = not reads_mail and each.field in PERSONAL
    return _Line(
        name=_NAMES[each.field],
        field=each.field,
        ask=each.ask,
        cost=each.cost,
        champion="not shown" if hidden else _value(each.field, shown.champion),
        candidate="not shown" if hidden else _value(each.field, shown.candidate),
        champion_words=rests[0],
        candidate_words=rests[1],
        verdict=one.verdict(each),
    )


def _words(stand: Stand | None, field: str) -> tuple[str, ...]:
    """The words that a reading of *field* rests on, each once, in the order of writing."""
    if stand is None:
        return ()
    found = stand.request.findings
    wanted = {"asks": ("kind",), "queue": ("kind",), "state": ()}.get(field, (field,))
    spans = [f.span for f in found if f.label in wanted and f.span and f.span.text.strip()]
    if field in ("client_notification", "state") and stand.request.notification_evidence:
        return (stand.request.notification_evidence,)
    ordered = sorted(spans, key=lambda span: (span.part, span.start))
    return tuple(dict.fromkeys(span.text for span in ordered))


def _value(field: str, value: str | list[str] | bool | None) -> str:  # noqa: FBT001 - a value of a field
    if value is None or value == []:
        return "nothing"
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list):
        return ", ".join(words.value_in_words(field, code) for code in value)
    if field == "queue":
        return words.TABS.get(value, value)
    if field == "state":
        return words.STATES.get(value, value)
    return words.value_in_words("kind" if field == "asks" else field, value)


# --- figures -------------------------------------------------------------------------------------


def _tables(office: Office, chosen: Candidate, listed: Listed) -> dict[str, Table]:
    read = chosen.read - chosen.failed
    fields = tuple(
        (text(_NAMES[name]), number(read), number(listed.by_field.get(name, 0)),
         share(listed.by_field.get(name, 0), read))
        for name in FIELDS
    )  # fmt: skip
    costs = tuple(
        (text(COST_WORDS[cost]), number(listed.by_cost.get(cost, 0)),
         share(listed.by_cost.get(cost, 0), read))
        for cost in COSTS
    )  # fmt: skip
    made = (
        Table("fields", "How often each field differs",
              ("Field", "Messages read by both", "Differ", "Share"), fields),
        Table("costs", "The worst of each message, by what it would cost",
              ("What", "Messages", "Share"), costs),
        _weeks(office, chosen),
    )  # fmt: skip
    return {table.name: table for table in made}


def _weeks(office: Office, chosen: Candidate) -> Table:
    since = office.clock() - timedelta(days=_DAYS)
    found: dict[date, Counter[str]] = {}
    for at, differs, failed in office.store.shadows.course(chosen.id, since):
        day = at.astimezone(words.LONDON).date()
        week = found.setdefault(day - timedelta(days=day.weekday()), Counter())
        week.update(read=not failed, differs=differs, failed=failed)
    rows = tuple(
        (Cell(f"{monday.day} {monday:%b}", monday.isoformat()), number(week["read"]),
         number(week["differs"]), share(week["differs"], week["read"]), number(week["failed"]))
        for monday, week in sorted(found.items())
    )  # fmt: skip
    head = ("Week from", "Read by both", "Differ", "Share", "Candidate failed")
    return Table("weeks", "Messages in which something differs, by the week they came", head, rows)


def _chart(weeks: Table) -> Chart:
    values = [
        float(row[3].plain) if isinstance(row[3].plain, int | float) else None for row in weeks.rows
    ]
    under = [row[0].shown for row in weeks.rows]
    said = "; ".join(f"{row[0].shown}: {row[3].shown}" for row in weeks.rows)
    title = "Share of messages in which something differs, by week"
    return line("weeks", title, said or "Nothing was read.", under, values)


def _every(rows: Iterable[ShadowReading]) -> Table:
    """Each difference as codes; nothing of it is anybody's words."""
    made: list[Sequence[Cell]] = []
    for one in rows:
        for each in map(without_words, one.read.differences):
            verdict = one.verdict(each)
            made.append(
                (number(one.read.message_id), moment(one.read.stored_at), text(each.field),
                 number(each.ask + 1), text(each.cost), text(_code(each, each.champion)),
                 text(_code(each, each.candidate)), text(verdict.side if verdict else ""))
            )  # fmt: skip
    head = ("Message", "Came", "Field", "Ask", "Cost", "In use", "Candidate", "Right")
    return Table("disagreements", "Disagreements", head, tuple(tuple(row) for row in made))


def _code(one: Difference, value: str | list[str] | bool | None) -> str:  # noqa: FBT001 - a value of a field
    if one.field in PERSONAL:
        return "not shown"
    return ";".join(value) if isinstance(value, list) else "" if value is None else str(value)
