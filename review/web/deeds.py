"""What people do on the page of a case: from a posted form to a verdict, and what came of it.

Every form names the version that the person looked at. A case that has changed since is not
touched: the person sees by whom and what, with their own words to take along. The same form posted
twice is one verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from review import acting
from review.acting import Acted
from review.case_printing import leaving_lines, verdict_line
from review.web import words
from review.web.cases import story_of
from review.web.grouping import details_of, regroup
from review.web.office import Office, name_of, office_of, render
from store import CaseStory, ConflictError, RefusedError
from triage.acting import MOVES
from triage.corrections import CorrectionError, correction
from triage.gate import Refused
from triage.labels import CODE_SETS
from triage.records import Request as Ask
from triage.verdicts import Action, Correction, Verdict

_MOST_WORDS: Final = 20_000  # characters of a letter or a reason


@dataclass(frozen=True, slots=True)
class _Posted:
    """A form as it came."""

    action: str
    version: int
    form: FormData

    def text(self, name: str) -> str:
        """What was typed, lines ended as we end them."""
        value = self.form.get(name, "")
        typed = value.replace("\r\n", "\n") if isinstance(value, str) else ""
        if len(typed) > _MOST_WORDS:
            raise HTTPException(400, "That is too long.")
        return typed.strip()

    def all(self, name: str) -> list[str]:
        return [value for value in self.form.getlist(name) if isinstance(value, str) and value]


async def act(request: Request) -> Response:
    """Do what was posted about a case, and show the case; or say why it was not done."""
    form = await request.form()
    try:
        version = int(str(form.get("version", "")))
    except ValueError:
        raise HTTPException(400, "The form does not say which version it is about.") from None
    posted = _Posted(request.path_params["action"], version, form)
    if posted.action not in (*MOVES, "undo"):
        raise HTTPException(404, "There is no such action.")
    return await run_in_threadpool(_carried_out, request, posted)


def _carried_out(request: Request, posted: _Posted) -> Response:
    office, story = office_of(request), story_of(request)
    if posted.action == "undo":
        acted = _undo(office, story, posted, name_of(request))
    else:
        try:
            verdict = _verdict(story, posted, name_of(request), office)
        except (CorrectionError, ValueError) as error:
            acted = Acted("", 0, refused=Refused("form", str(error), ()))
        else:
            acted = _act(office, story, verdict, posted.version)
    if acted.refused:
        return _not_done(request, posted, acted.refused)
    if posted.action in ("split", "merge"):
        return _regrouped(request, posted, acted)
    if acted.remarks or acted.sent_before or acted.to_copy:
        return _done(request, posted, acted)
    address = request.url_for("case", case=story.case.case_id).path
    return RedirectResponse(f"{address}?done={posted.action}", 303)


def _regrouped(request: Request, posted: _Posted, acted: Acted) -> Response:
    """To the case with all the mails of a merge, or that which was split: it names the other."""
    here = request.path_params["case"]
    case = acted.cases[0] if posted.action == "merge" else here
    address = request.url_for("case", case=case).path
    return RedirectResponse(f"{address}?done={posted.action}", 303)


def _act(office: Office, story: CaseStory, verdict: Verdict, version: int) -> Acted:
    if verdict.action in ("split", "merge"):
        return regroup(office, story, verdict, version)
    acted = acting.act(
        office.store, story, verdict, office.rules(), office.sending, version=version
    )
    if acted.refused and acted.refused.rule == "version" and _same_again(office, verdict, version):
        return Acted(acted.state, acted.version)
    return acted


def _same_again(office: Office, verdict: Verdict, version: int) -> bool:
    """Whether the one change since *version* is this very verdict, posted once before."""
    story = office.store.case(verdict.case_id)
    found = office.store.verdicts(case_id=verdict.case_id, include_undone=True)
    if story is None or not found or story.case.version != version + 1:
        return False
    return _gist(found[-1].verdict) == _gist(verdict)


def _gist(verdict: Verdict) -> tuple[object, ...]:
    after = sorted((one.field, str(one.after)) for one in verdict.corrections)
    told = {n: v.isoformat() if isinstance(v, datetime) else v for n, v in verdict.details.items()}
    who = verdict.action, verdict.by, verdict.reason
    return (*who, tuple(verdict.overrides), str(after), str(sorted(told.items())))


def _undo(office: Office, story: CaseStory, posted: _Posted, by: str) -> Acted:
    number, now = story.case.case_id, office.clock()
    try:
        undone = office.store.undo(number, by, now, version=posted.version)
    except ConflictError as error:
        if (error.by, error.action, error.version) == (by, "undo", posted.version + 1):
            return Acted("", error.version)
        return Acted("", 0, refused=Refused("version", str(error), ("look at the case again",)))
    except RefusedError as error:
        return Acted("", 0, refused=Refused("undo", str(error), ("reopen",)))
    kept = () if undone.restored else ("A mail came since: the case stays as that left it.",)
    return Acted("", undone.version, remarks=kept)


# --- from the form to a verdict -------------------------------------------------------------------


def _verdict(story: CaseStory, posted: _Posted, by: str, office: Office) -> Verdict:
    action: Action = posted.action  # type: ignore[assignment]  # checked against MOVES
    return Verdict(
        case_id=story.case.case_id,
        action=action,
        by=by,
        at=office.clock(),
        corrections=tuple(_corrections(story.case.request, posted)),
        reason=posted.text("reason"),
        overrides=tuple(dict.fromkeys(posted.all("override"))),
        details=_details(posted),
    )


def _corrections(ask: Ask, posted: _Posted) -> Iterable[Correction]:
    for name in posted.all("field"):
        if name in CODE_SETS:
            yield correction(ask, name, " ".join(posted.all(f"value:{name}")))
        else:
            yield correction(ask, name, posted.text(f"value:{name}"))


def _details(posted: _Posted) -> dict[str, object]:
    match posted.action:
        case "assign":
            return {"assignee": posted.text("assignee")}
        case "snooze":
            return {"until": moment(posted.text("until"))}
        case "split" | "merge":
            return details_of(posted.action, posted.form)
        case "send_back":
            body = _edited(posted, "body")
            return {"body": body} if body else {}
        case "approve" | "refer" | "note_reason" | "withdraw" | "confirm_guarantee":
            return _leaving(posted)
    return {}


def _leaving(posted: _Posted) -> dict[str, object]:
    """Whom to recommend, which words to put in letters, and whether letters go at all."""
    names = [key.removeprefix("text:") for key in posted.form if key.startswith("text:")]
    texts = {name: _edited(posted, f"text:{name}") for name in names}
    texts = {name: text for name, text in texts.items() if text}
    found: dict[str, object] = {"texts": texts} if texts else {}
    if posted.form.get("has_letters") and not posted.form.get("letters"):
        found["letters"] = False
    if posted.form.get("chooses"):
        others = posted.text("others").replace(",", " ").split()
        found["alternatives"] = list(dict.fromkeys([*posted.all("alternative"), *others]))
    return found


def _edited(posted: _Posted, name: str) -> str:
    """The person's own words, "" where they left them as they were."""
    text = posted.text(name)
    return "" if text == posted.text(f"was:{name}") else text


def moment(text: str) -> datetime:
    """What a date and time field holds, on the London clock."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("say until when: a date and a time") from None
    return (when if when.tzinfo else when.replace(tzinfo=words.LONDON)).astimezone(UTC)


# --- what came of it ------------------------------------------------------------------------------


def _done(request: Request, posted: _Posted, acted: Acted) -> Response:
    return render(
        request,
        "done.html",
        title=f"Case {request.path_params['case']}: done",
        case_id=request.path_params["case"],
        said=words.DONE[posted.action],
        lines=leaving_lines(acted.outgoing),
        remarks=acted.remarks,
        copies=acted.to_copy,
        sent_before=acted.sent_before,
    )


def _not_done(request: Request, posted: _Posted, refused: Refused) -> Response:
    """Nothing was stored; what was typed is shown so that it can be taken along."""
    office, story = office_of(request), story_of(request)
    conflict = refused.rule == "version"
    return render(
        request,
        "not_done.html",
        409 if conflict else 422,
        title=f"Case {story.case.case_id}: not done",
        case_id=story.case.case_id,
        action=posted.action,
        conflict=conflict,
        refused=refused,
        since=_since(office, story, posted.version) if conflict else [],
        typed=_typed(posted),
    )


def _since(office: Office, story: CaseStory, version: int) -> list[str]:
    """What came about since the person looked, the latest last."""
    missed = max(story.case.version - version, 1)
    mails = [f"{words.at(one.stored_at)}  a mail came" for one in story.messages]
    when = {line: one.stored_at for line, one in zip(mails, story.messages, strict=True)}
    for one in office.store.verdicts(case_id=story.case.case_id, include_undone=True):
        when[verdict_line(one.verdict)] = one.verdict.at
    return sorted(when, key=lambda line: when[line])[-missed:]


def _typed(posted: _Posted) -> Mapping[str, str]:
    """The person's own words in the form, by what they were for."""
    names = ["reason", *(key for key in posted.form if key == "body" or key.startswith("text:"))]
    labels = {"reason": "Reason", "body": "Letter to the therapist"}
    found = {}
    for name in names:
        own = _edited(posted, name) if name != "reason" else posted.text(name)
        if own:
            found[labels.get(name, name.removeprefix("text:").replace("_", " "))] = own
    for name in posted.all("field"):
        values = posted.all(f"value:{name}")
        found[words.FIELDS.get(name, "Field")] = ", ".join(
            words.value_in_words(name, value) for value in values
        )
    return found
