"""The access log as leads read it: by person, case, kind and day, with its seals checked."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from review.access.arriving import text_of
from review.access.door import Door
from review.web.office import render
from review.web.words import LONDON
from store.access_log import LOOKED, Access
from triage.spreadsheets import formula_safe

_SHOWN: Final = 100
#: Rows whose seals are checked whenever the page is looked at; all of them when asked to.
_CHECKED: Final = 5_000


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be shown, as typed; "" is everything."""

    who: str = ""
    case: str = ""
    kind: str = ""
    since: str = ""
    until: str = ""
    before: str = ""  # the number after which the next page begins

    def problem(self) -> str:
        """Why this cannot be asked, "" where it can."""
        if self.case and not _is_number(self.case):
            return "A case is a number."
        if self.kind and self.kind not in LOOKED:
            return "There is no such kind."
        if any(day and _midnight(day) is None for day in (self.since, self.until)):
            return "A day is written 2026-03-31."
        return ""

    def filters(self) -> dict[str, Any]:
        until = _midnight(self.until)
        return {
            "who": self.who.strip().casefold() or None,
            "case_id": int(self.case) if self.case else None,
            "kinds": [kind for kind in LOOKED if kind == self.kind],
            "since": _midnight(self.since),
            "until": until + timedelta(days=1) if until else None,
        }


def routes() -> list[Route]:
    both = ["GET", "POST"]
    return [
        Route("/access-log", _log, methods=both, name="access_log"),
        Route("/access-log/export", _export, methods=["POST"], name="access_log_export"),
    ]


async def _log(request: Request) -> Response:
    # Asked for by a form: who looked at what is nothing for an address that browsers remember.
    form = await request.form() if request.method == "POST" else FormData()
    return await run_in_threadpool(_page, request, _asked(form), bool(form.get("check_all")))


def _page(request: Request, asked: _Asked, check_all: bool) -> Response:  # noqa: FBT001 - a form's
    log = _door(request).store.access_log
    problem = asked.problem()
    before = int(asked.before) if _is_number(asked.before) else None
    rows = [] if problem else log.read(**asked.filters(), before_id=before, limit=_SHOWN + 1)
    checked = log.check(None if check_all else _CHECKED)
    return render(
        request,
        "access_log.html",
        422 if problem else 200,
        title="Access log",
        rows=[(number, row, row.at.astimezone(LONDON)) for number, row in rows[:_SHOWN]],
        next_before=rows[_SHOWN - 1][0] if len(rows) > _SHOWN else None,
        asked=asked,
        kinds=LOOKED,
        problem=problem,
        checked=checked,
    )


async def _export(request: Request) -> Response:
    asked = _asked(await request.form())
    if asked.problem():
        return await run_in_threadpool(_page, request, asked, check_all=False)
    log = _door(request).store.access_log

    def lines() -> Iterator[str]:
        yield _line("number", "at", "who", "role", "kind", "case", "message")
        before = None
        while rows := log.read(**asked.filters(), before_id=before, limit=1_000):
            yield "".join(_line(number, *_cells(row)) for number, row in rows)
            before = rows[-1][0]

    return StreamingResponse(
        lines(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="access-log.csv"'},
    )


def _cells(row: Access) -> tuple[object, ...]:
    at = row.at.astimezone(UTC).isoformat(timespec="seconds")
    return at, row.who, row.role, row.kind, row.case_id, row.message_id


def _line(*cells: object) -> str:
    written = io.StringIO()
    told = ("" if cell is None else formula_safe(str(cell)) for cell in cells)
    csv.writer(written).writerow(told)
    return written.getvalue()


def _asked(form: FormData) -> _Asked:
    return _Asked(**{name: text_of(form, name).strip() for name in _Asked.__slots__})


def _midnight(day: str) -> datetime | None:
    """When a day begins in London, None where it is none."""
    try:
        return datetime.combine(datetime.fromisoformat(day).date(), time(), LONDON)
    except ValueError:
        return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 18


def _door(request: Request) -> Door:
    door: Door = request.state.door
    return door
