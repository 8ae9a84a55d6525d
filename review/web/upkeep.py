"""Quarantine with causes and retry, and whether all is well."""

from __future__ import annotations

from collections import Counter

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from review.health import health_of
from review.terminal import CAUSES, tally_line
from review.web.office import office_of, render
from store import Tally

_BUG = "A bug of ours came to light; the message is kept and can be retried after a fix."
#: How many are listed; the rest is counted, and can be retried by its cause.
_SHOWN = 200


def quarantine(request: Request) -> Response:
    """What could not be read, since when and why."""
    return _quarantine(request, "")


async def retry(request: Request) -> Response:
    """Read messages again from the bytes kept: one, or all that were set aside for a cause."""
    form = await request.form()
    number, cause = str(form.get("id", "")), str(form.get("cause", ""))
    if not (number.isdecimal() and len(number) < 18) and not cause:
        raise HTTPException(400, "Say which to retry.")
    ids = [int(number)] if number else None
    return await run_in_threadpool(_retried, request, ids, cause or None)


def _retried(request: Request, ids: list[int] | None, cause: str | None) -> Response:
    office = office_of(request)
    chosen = office.store.quarantined(ids=ids, cause=cause)
    tally = Tally()
    if chosen:
        tally = office.desk.engine.retry(office.settings, office.store, chosen, office.clock())
    return _quarantine(request, tally_line(tally) if chosen else "Nothing there fits any more.")


def _quarantine(request: Request, notice: str) -> Response:
    found = office_of(request).store.quarantined()
    causes = Counter(item.cause for item in found)
    return render(
        request,
        "quarantine.html",
        title="Quarantine",
        notice=notice,
        found=found[:_SHOWN],
        left=max(len(found) - _SHOWN, 0),
        causes=[(cause, CAUSES.get(cause, _BUG), n) for cause, n in causes.most_common()],
        meaning={cause: CAUSES.get(cause, _BUG) for cause in causes},
    )


def health(request: Request) -> Response:
    """The figures that ``fit-triage health`` gives, for people."""
    office = office_of(request)
    report = health_of(office.store.counts(), office.settings, office.clock())
    return render(request, "health.html", title="Health", report=report)


def keys(request: Request) -> Response:
    """What the keyboard can do, for whoever has no script."""
    return render(request, "keys.html", title="Keyboard")
