"""The application: its routes, and what becomes of errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from review.access.rights import MAY
from review.desk import Desk
from review.web import bulk, cases, deeds, exports, overview, presence, queues, shadows, upkeep
from review.web.office import FOLDER, Office, render
from settings import Settings
from store import Store, StoreError

log = logging.getLogger(__name__)


def web_app(
    desk: Desk,
    store: Store,
    settings: Settings,
    *,
    guard: Sequence[Middleware],
    clock: Callable[[], datetime] | None = None,
) -> Starlette:
    """The review page.

    *guard* puts ``request.state.person`` (with ``name`` and ``role``) and ``request.state.csrf`` on
    every request, and lets no unsafe one through without that token in its form field ``csrf``.
    Headers, on error pages as well, come from ``review.access.walls`` around it all.
    """
    app = Starlette(
        routes=_routes(),
        middleware=list(guard),
        exception_handlers={
            HTTPException: _told,
            StoreError: _unavailable,
            Exception: _broken,
        },
    )
    app.state.office = Office(desk, store, settings, **({"clock": clock} if clock else {}))
    return app


def _routes() -> list[Route | Mount]:
    case, message = "/cases/{case:int}", "/cases/{case:int}/messages/{message:int}"
    return [
        Route("/", _start),
        Route("/queues", queues.queues, name="queues"),
        Route("/queues/filter", queues.choose, methods=["POST"], name="filter"),
        Route("/search", queues.search, methods=["POST"], name="search"),
        Route("/views", queues.save_view, methods=["POST"], name="view_save"),
        Route("/views/{view:int}/delete", queues.delete_view, methods=["POST"], name="view_delete"),
        Route(case, cases.case, name="case"),
        Route(f"{message}/html", cases.html_frame, name="html"),
        Route(f"{message}/pictures", cases.with_pictures, methods=["POST"], name="pictures"),
        Route(f"{message}/original", cases.original, name="original"),
        Route(f"{message}/attachments/{{number:int}}", cases.attachment, name="attachment"),
        Route("/bulk", bulk.preview, methods=["POST"], name="bulk"),
        Route("/bulk/do", bulk.carry_out, methods=["POST"], name="bulk_do"),
        Route("/bulk/{token}", bulk.result, name="bulk_result"),
        Route("/bulk/{token}/rest", bulk.go_on, methods=["POST"], name="bulk_rest"),
        Route("/bulk/{token}/undo", bulk.undo, methods=["POST"], name="bulk_undo"),
        Route("/presence", presence.presences, name="presences"),
        Route(f"{case}/presence", presence.presence, methods=["POST"], name="presence"),
        Route(f"{case}/{{action}}", deeds.act, methods=["POST"], name="act"),
        Route("/quarantine", upkeep.quarantine, name="quarantine"),
        Route("/quarantine/retry", upkeep.retry, methods=["POST"], name="retry"),
        Route("/quarantine/{item:int}/original", upkeep.taken, name="taken"),
        Route("/health", upkeep.health, name="health"),
        Route("/health.json", upkeep.health_json, name="health_json"),
        Route("/overview", overview.overview, name="overview"),
        Route("/overview/{table}.csv", overview.figures_csv, name="figures_csv"),
        Route("/second-looks", overview.second_looks, name="second_looks"),
        Route("/second-looks", overview.second_look, methods=["POST"], name="second_look"),
        Route("/shadow", shadows.shadows, name="shadows"),
        Route("/shadow", shadows.judged, methods=["POST"], name="shadow_verdict"),
        Route("/shadow/{table}.csv", shadows.shadow_csv, name="shadow_csv"),
        Route("/exports", exports.exports, name="exports"),
        Route("/exports", exports.pseudonymised, methods=["POST"], name="export_rows"),
        Route("/exports/text", exports.with_text, methods=["POST"], name="export_text"),
        Route("/keys", upkeep.keys, name="keys"),
        Mount("/static", StaticFiles(directory=FOLDER / "static"), name="static"),
    ]


def _start(request: Request) -> Response:
    rights = MAY[request.state.person.role]
    if "see_cases" in rights:
        return RedirectResponse("/queues", 303)
    return RedirectResponse("/health" if "see_health" in rights else "/exports", 303)


async def _told(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = error.detail if isinstance(error, HTTPException) else ""
    return render(request, "problem.html", status, title=f"{status}", words=words)


async def _unavailable(request: Request, _: Exception) -> Response:
    words = "The database cannot be used just now. Nothing was changed; try again in a moment."
    return render(request, "problem.html", 503, title="Unavailable", words=words)


async def _broken(request: Request, error: Exception) -> Response:
    told = {"event": "page_failed", "error": type(error).__name__}
    log.info("a page failed by a bug of ours", extra=told)
    words = "Something went wrong on our side. Nothing was changed."
    return render(request, "problem.html", 500, title="Error", words=words)
