"""Quarantine with causes and retry, and whether all is well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ingest.sources import SourceError
from review.health import health_of, health_report
from review.lights import SIGNS, WORDS, lights
from review.terminal import CAUSES
from review.web import words
from review.web.cases import download
from review.web.office import name_of, office_of, render
from store import Quarantined
from store.backups_kept import last_backup
from store.set_aside import Became

_BUG: Final = "A bug of ours came to light; the message is kept and can be retried after a fix."
#: What helps, where that is more than to wait for an update and retry.
_HELPS: Final = {
    "oversize": "Raise max_message_bytes in the settings, then retry: it lies on the server still.",
    "unfetchable": "Open it in the mailbox itself; if it opens there, retry.",
    "empty": "There is nothing to read. Ask the sender to write again, if the mailbox says who.",
    "killed_reader": "Retry once; if it comes back, take the original and read it apart from here.",
    "parser_failed": "Retry after the next update; until then take the original.",
}
_ELSE: Final = "Take the original and read it in a mail program; retry after an update."
_RUNS: Final = 20
#: How many are listed, and how many are read again at a click: whoever clicked is waiting.
_SHOWN: Final = 200
_RETRIED: Final = 100


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which of the messages in quarantine; None and "" stand for any."""

    ids: list[int] | None = None
    cause: str = ""
    until: date | None = None  # set aside on that day or before

    @property
    def before(self) -> datetime | None:
        if self.until is None:
            return None
        following = self.until + timedelta(days=1)
        return datetime(following.year, following.month, following.day, tzinfo=words.LONDON)


@dataclass(frozen=True, slots=True)
class _Told:
    """What became of a message that was read again."""

    number: int
    said: str
    case_ids: tuple[int, ...] = ()
    is_good: bool = False


def quarantine(request: Request) -> Response:
    """What could not be read: since when, whence, how large and why, and nothing of its words."""
    asked = request.query_params
    return _quarantine(request, _chosen("", asked.get("cause", ""), asked.get("until", "")))


async def retry(request: Request) -> Response:
    """Read messages again from the bytes kept: one, or those of a cause, or up to a day."""
    form = await request.form()
    asked = [str(form.get(name, "")) for name in ("id", "cause", "until")]
    if not any(asked):
        raise HTTPException(400, "Say which to retry.")
    return await run_in_threadpool(_retried, request, _chosen(*asked))


def _chosen(number: str, cause: str, until: str) -> _Chosen:
    if number and not (number.isdecimal() and len(number) < 18):
        raise HTTPException(400, "Say which to retry.")
    try:
        day = date.fromisoformat(until) if until else None
    except ValueError:
        raise HTTPException(400, "A day is written as in 2026-11-22.") from None
    if day is not None and day.year > 9000:
        raise HTTPException(400, "That day is too far off.")
    return _Chosen([int(number)] if number else None, cause, day)


def _found(request: Request, chosen: _Chosen) -> list[Quarantined]:
    store = office_of(request).store
    return store.quarantined(ids=chosen.ids, cause=chosen.cause or None, before=chosen.before)


def _retried(request: Request, chosen: _Chosen) -> Response:
    office, found = office_of(request), _found(request, chosen)
    some, problem = found[:_RETRIED], ""
    if some:
        try:
            office.desk.engine.retry(office.settings, office.store, some, office.clock())
        except SourceError as error:
            problem = f"A mailbox could not be asked: {error}"
    else:
        problem = "Nothing there fits any more."
    left = len(found) - len(some)
    if left:
        problem = f"{left} more fit as well: retry once more for the next {_RETRIED}. {problem}"
    rest = _Chosen(cause=chosen.cause if left else "", until=chosen.until if left else None)
    return _quarantine(request, rest, _became(request, some), problem.strip())


def _became(request: Request, retried: Sequence[Quarantined]) -> list[_Told]:
    """What became of each, those that are read now first."""
    store = office_of(request).store
    left = {one.id: one for one in store.quarantined(ids=[one.id for one in retried])}
    read = store.set_aside.became([one.digest for one in retried if one.digest])
    told = [_one_became(one, left.get(one.id), read.get(one.digest)) for one in retried]
    return sorted(told, key=lambda one: not one.is_good)


def _one_became(one: Quarantined, left: Quarantined | None, read: Became | None) -> _Told:
    if left is not None:
        tries = "once" if left.attempts == 1 else f"{left.attempts} times"
        return _Told(one.id, f"still not read: {left.cause}, tried {tries}")
    if read is None:
        return _Told(one.id, "no longer in quarantine", is_good=True)
    queue = words.TABS.get(read.queue, read.queue)
    return _Told(one.id, f"read; it went to {queue}", read.case_ids, is_good=True)


def _quarantine(
    request: Request, chosen: _Chosen, became: Sequence[_Told] = (), problem: str = ""
) -> Response:
    office = office_of(request)
    every, found = office.store.quarantined(), _found(request, chosen)
    causes = Counter(item.cause for item in every)
    return render(
        request,
        "quarantine.html",
        title="Quarantine",
        became=became,
        problem=problem,
        chosen=chosen,
        found=found[:_SHOWN],
        sizes=office.store.set_aside.sizes({one.digest for one in found[:_SHOWN] if one.digest}),
        left=max(len(found) - _SHOWN, 0),
        fitting=len(found),
        causes=[
            (cause, CAUSES.get(cause, _BUG), _HELPS.get(cause, _ELSE), n)
            for cause, n in causes.most_common()
        ],
    )


def taken(request: Request) -> Response:
    """A message in quarantine as it came, to be saved; on record before a byte is given."""
    office, number = office_of(request), request.path_params["item"]
    found = office.store.quarantined(ids=[number])
    if not found:
        raise HTTPException(404, "There is no such message in quarantine.")
    content = office.store.raw(found[0].digest) if found[0].digest else None
    if content is None:
        raise HTTPException(410, "The bytes of that message were never had, or are purged.")
    office.store.set_aside.taken(number, name_of(request), office.clock())
    return download(content, f"quarantine-{number}.eml")


def health(request: Request) -> Response:
    """The figures that ``fit-triage health`` gives, line by line for people."""
    office, now = office_of(request), office_of(request).clock()
    counts, model = office.store.counts(), office.model()
    settings, latest = office.settings, office.store.runs(100)
    report = health_of(counts, settings, now, model=model)
    backed_up = last_backup(settings.backup.folder) if settings.backup.folder else None
    return render(
        request,
        "health.html",
        title="Health",
        report=report,
        lights=lights(counts, latest, settings, now, model, backed_up),
        runs=latest[:_RUNS],
        signs=SIGNS,
        levels=WORDS,
    )


def health_json(request: Request) -> Response:
    """As ``fit-triage health`` prints it, for programs that sign in."""
    office = office_of(request)
    report = health_report(office.store, office.settings, office.clock(), model=office.model())
    return JSONResponse(report)


def keys(request: Request) -> Response:
    """What the keyboard can do, for whoever has no script."""
    return render(request, "keys.html", title="Keyboard")
