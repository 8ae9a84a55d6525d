"""Exports by hand: who may, for whom, and why; the files come as one archive."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Final

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from review.exporting import fill, folder_name, standing_of
from review.web.office import name_of, office_of, render
from review.web.words import LONDON
from store import RefusedError
from store.exports import FORMATS, WHAT, Wish, checked

_SHOWN: Final = 50
_MOST_WORDS: Final = 500  # characters of a recipient or a reason
_DAYS: Final = 30


def exports(request: Request) -> Response:
    """What was exported, and the form for another one."""
    return _page(request)


async def pseudonymised(request: Request) -> Response:
    """Rows without names, addresses and words of anybody."""
    form = await request.form()
    return await run_in_threadpool(_make, request, form, with_text=False)


async def with_text(request: Request) -> Response:
    """The same with redacted words of people, for a reason."""
    form = await request.form()
    return await run_in_threadpool(_make, request, form, with_text=True)


def _make(request: Request, form: FormData, *, with_text: bool) -> Response:
    office = office_of(request)
    now = office.clock()
    try:
        wish = _wish(request, form, now, with_text=with_text)
        checked(wish, now)
    except (RefusedError, ValueError) as error:
        return _page(request, f"Nothing was exported: {error}.", 422)
    number, key = office.store.exports.begin(wish, now)
    place = Path(tempfile.mkdtemp())  # for our user alone
    try:
        folder = place / folder_name(number, now)
        folder.mkdir()
        files, manifest = fill(folder, office.store, wish, number, key, now)
        archive = shutil.make_archive(str(folder), "zip", place, folder.name)
        office.store.exports.finish(number, files, manifest, wish.by, office.clock())
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    gone = BackgroundTask(shutil.rmtree, place, ignore_errors=True)
    return FileResponse(
        archive, media_type="application/zip", filename=f"{folder.name}.zip", background=gone
    )


def _wish(request: Request, form: FormData, now: datetime, *, with_text: bool) -> Wish:
    """What was typed. Raises ValueError where it is none of what there is."""
    forms = [one for one in FORMATS if one == form.get("format")]
    if not forms:
        raise ValueError(f"choose a format: {', '.join(FORMATS)}")
    recipient, reason = (str(form.get(name, "")).strip() for name in ("recipient", "reason"))
    if max(len(recipient), len(reason)) > _MOST_WORDS:
        raise ValueError("that is too long")
    days = str(form.get("days", _DAYS))
    if not (days.isdecimal() and 1 <= int(days) <= 3660):
        raise ValueError("it expires after 1 to 3660 days")
    until = _midnight(form, "until")
    return Wish(
        by=name_of(request),
        role=request.state.person.role,
        recipient=recipient,
        what=tuple(one for one in WHAT if one in form.getlist("what")),
        format=forms[0],
        expires_at=now + timedelta(days=int(days)),
        with_text=with_text,
        reason=reason,
        since=_midnight(form, "since"),
        until=until + timedelta(days=1) if until else None,
    )


def _midnight(form: FormData, name: str) -> datetime | None:
    typed = str(form.get(name, "")).strip()
    if not typed:
        return None
    try:
        day = datetime.fromisoformat(typed).date()
    except ValueError:
        raise ValueError("a day is written as in 2026-11-22") from None
    return datetime.combine(day, time(), LONDON).astimezone(UTC)


def _page(request: Request, problem: str = "", status: int = 200) -> Response:
    office = office_of(request)
    now = office.clock()
    made = office.store.exports.made()[:_SHOWN]
    return render(
        request,
        "exports.html",
        status,
        title="Exports",
        problem=problem,
        made=[(one, standing_of(one, now)) for one in made],
        what=WHAT,
        formats=FORMATS,
        days=_DAYS,
    )
