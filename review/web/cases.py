"""The page of one case, and what hangs on its messages: HTML form, attachments, the original."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ingest.downloads import extract, html_shown, safe_name
from review.web import words
from review.web.office import name_of, office_of, render
from review.web.presence import arrived
from review.web.sanitised import body_of, frame_policy, framed
from review.web.showing import case_page
from store import CaseStory, StoredMessage, Wanted
from store.pages import place_of
from triage.records import MessageKey, RawMessage
from triage.splitting import went_into

_NOT_SHOWN: Final = (
    "<p>This HTML takes too long to be made safe, and is not shown. Take the original instead.</p>"
)


def case(request: Request) -> Response:
    """Everything about a case on one page."""
    office, story = office_of(request), story_of(request)
    if home := went_into(story.case.request):
        return RedirectResponse(request.url_for("case", case=home).path, 303)
    done = request.query_params.get("done", "")
    return render(
        request,
        "case.html",
        title=f"Case {story.case.case_id}",
        notice=words.DONE.get(done, ""),
        company=arrived(request, story.case.case_id),
        following=_following(request, story),
        **case_page(office, story),
    )


def _following(request: Request, story: CaseStory) -> int | None:
    """The case below this one in its queue."""
    row = story.case
    wanted = Wanted(queue=row.decision.queue)
    rows = office_of(request).store.page(wanted, place_of(row), size=1).rows
    return rows[0].case_id if rows else None


def story_of(request: Request) -> CaseStory:
    """The case that the address names; ends in 404 where there is none."""
    story = office_of(request).store.case(request.path_params["case"])
    if story is None:
        raise HTTPException(404, "There is no such case.")
    return story


def html_frame(request: Request) -> Response:
    """The HTML form of a message, sanitised, for a sandboxed frame; never a page of ours."""
    return _frame(request, outside=False)


def with_pictures(request: Request) -> Response:
    """As ``html_frame``, with pictures from outside: somebody asked for them, which is on record.

    Posted with the form's token, so that nothing but a click of theirs can ask.
    """
    return _frame(request, outside=True)


def _frame(request: Request, *, outside: bool) -> Response:
    raw = _raw(request, _message(request))
    body = html_shown(raw, partial(body_of, outside=outside))
    headers = {
        "Content-Security-Policy": frame_policy(outside=outside),
        "X-Frame-Options": "SAMEORIGIN",
    }
    return HTMLResponse(framed(body or _NOT_SHOWN, outside=outside), headers=headers)


def attachment(request: Request) -> Response:
    """An attachment to be saved: never opened here, and on record before a byte is given."""
    message, number = _message(request), request.path_params["number"]
    if number >= len(message.email.attachments):
        raise HTTPException(404, "There is no such attachment.")
    found = extract(_raw(request, message), number)
    if found is None:
        raise HTTPException(410, "That attachment cannot be taken out of its message.")
    office, case_id = office_of(request), request.path_params["case"]
    office.store.attachment_taken(
        message.id, number, case_id=case_id, by=name_of(request), now=office.clock()
    )
    return download(found[1], safe_name(found[0]))


def original(request: Request) -> Response:
    """The message as it came, to be saved."""
    message = _message(request)
    ending = "json" if message.email.channel == "chat" else "eml"
    return download(_raw(request, message).content, f"message-{message.id}.{ending}")


def _message(request: Request) -> StoredMessage:
    for message in story_of(request).messages:
        if message.id == request.path_params["message"]:
            return message
    raise HTTPException(404, "There is no such message in this case.")


def _raw(request: Request, message: StoredMessage) -> RawMessage:
    content = office_of(request).store.raw(message.digest)
    if content is None:
        raise HTTPException(410, "The bytes of that message are no longer kept.")
    return RawMessage(
        MessageKey("store", "", 0, message.id), datetime.now(UTC), message.digest, content
    )


def download(content: bytes, name: str) -> Response:
    """*content* to be saved as *name*, after RFC 6266."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    plain = plain.replace('"', "_").replace("\\", "_")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    headers = {
        "Content-Disposition": disposition,
        "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    }
    return Response(content, media_type="application/octet-stream", headers=headers)
