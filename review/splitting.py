"""One case made two, or two made one, as a person says: from the store, through the reader, back.

The parts of a mail are read by the reader that reads the mailbox, and decided by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from review.acting import Acted, before_held
from store import CaseStory, ConflictError, RefusedError, Store
from triage.gate import Refused
from triage.records import Email, Request
from triage.verdicts import Verdict

if TYPE_CHECKING:
    from settings import Settings
    from triage.conversation import Rules
    from triage.regrouping import Regrouped, Told


class Reader(Protocol):
    """What reads mail; see ``models.reading``."""

    @property
    def version(self) -> str: ...

    def read(self, emails: Sequence[Email]) -> list[tuple[Request, ...]]: ...


#: One reading at a time in the process of the page; a split is rare and takes a moment.
_READING: Final = Lock()


def reader_of(settings: Settings) -> Reader:
    """The reader that reads the mailbox, loaded once."""
    return _loaded(settings.model, fast=settings.fast)


@lru_cache(maxsize=1)
def _loaded(model: str, *, fast: bool) -> Reader:
    from models.reading import ModelRefusedError, load_reader, rules_only

    try:
        return load_reader(model or None, fast=fast)
    except ModelRefusedError:
        return rules_only()  # as a run does: all it says is for a person to check


def split(
    store: Store,
    story: CaseStory,
    verdict: Verdict,
    rules: Rules,
    reader: Callable[[], Reader],
    *,
    version: int | None = None,
) -> Acted:
    """Make a case of its own of the sentences that *verdict* names, or say why not.

    Its details are ``sentences`` (numbers from 1) and ``message`` (the store's number; None for
    the only one). *reader* is asked for only where there is something to read.
    """

    def made(told: Told) -> Regrouped | Refused:
        from triage import regrouping

        cut = regrouping.cut(told, _numbers(verdict), _message(verdict))
        if isinstance(cut, Refused):
            return cut
        directory = store.directory()
        with _READING:
            read = reader().read(cut.mails())
        return regrouping.split(told, cut, read, directory, rules, verdict.by)

    def stored(found: Regrouped, seen: int) -> Acted:
        state = found.first.outcome.decision.state
        done = store.split(
            verdict, found, version=seen, reader_version=reader().version, now=rules.now
        )
        return Acted(state, done.version, remarks=_opened(done.cases), cases=done.cases)

    return _done(store, story, verdict, version, made, stored)


def merge(
    store: Store,
    story: CaseStory,
    verdict: Verdict,
    rules: Rules,
    *,
    version: int | None = None,
) -> Acted:
    """Let the case go into the one that *verdict* names (details: ``into``), or say why not.

    ``into_version``, where given, is the version at which the person saw that one.
    """
    into, now = _into(verdict), rules.now
    kept = store.told(into)
    settled = kept is not None and store.has_begun(into, now)

    def made(told: Told) -> Regrouped | Refused:
        from triage.regrouping import merge as merged

        if kept is None:
            return Refused("case", f"there is no case {into}", ("name another",))
        if refused := _may_not(store, told, kept, now):
            return refused
        return merged(told, kept, store.directory(), rules, verdict.by, settled=settled)

    def stored(found: Regrouped, seen: int) -> Acted:
        other = verdict.details.get("into_version") or (kept.version if kept else 0)
        done = store.merge(
            verdict, found, versions=(seen, int(str(other))), is_settled=settled, now=now
        )
        remark = (f"The mails are in case {into} now.",)
        return Acted("dismissed", done.version, remarks=remark, cases=done.cases)

    return _done(store, story, verdict, version, made, stored)


def _done(
    store: Store,
    story: CaseStory,
    verdict: Verdict,
    version: int | None,
    made: Callable[[Told], Regrouped | Refused],
    stored: Callable[[Regrouped, int], Acted],
) -> Acted:
    """All or nothing; the same verdict on the same version twice is one."""
    seen = story.case.version if version is None else version
    standing = Acted(story.case.decision.state, story.case.version)
    try:
        if again := store.repeated(verdict, seen):
            return Acted(standing.state, again.version, cases=again.cases)
        told = store.told(story.case.case_id)
        found = _refused(story, verdict) or (made(told) if told else None)
        if found is None or isinstance(found, Refused):
            return Acted(standing.state, standing.version, refused=found)
        return stored(found, seen)
    except ConflictError as error:
        refused = Refused("version", str(error), ("look at the case again",))
    except RefusedError as error:
        refused = Refused("store", str(error), ())
    return Acted(standing.state, standing.version, refused=refused)


def _refused(story: CaseStory, verdict: Verdict) -> Refused | None:
    from triage.acting import MOVES, allowed
    from triage.splitting import went_into

    state = story.case.decision.state
    if not verdict.by.strip() or "@" in verdict.by:
        return Refused("by", "an action needs the name of who takes it, not an address", ())
    if home := went_into(story.case.request):
        return Refused("part_of", f"it went into case {home}", (f"look at case {home}",))
    if state not in MOVES[verdict.action].states:
        why = f"{verdict.action} is for a case that is open; this one is {state}"
        return Refused("state", why, allowed(state))
    if before_held(story):
        why = "a later mail holds up what is to leave: decide about that first"
        return Refused("held", why, ())
    return None


def _may_not(store: Store, gone: Told, kept: Told, now: datetime) -> Refused | None:
    """Why effects or states stand in the way of one case going into the other."""
    from triage.acting import OPEN
    from triage.splitting import went_into

    number, into = gone.case.case_id, kept.case.case_id
    if home := went_into(kept.case.request):
        return Refused("part_of", f"case {into} went into case {home}", (f"name case {home}",))
    begun = store.has_begun(number, now)
    if begun and store.has_begun(into, now):
        why = "what both ask for has begun to leave already"
        return Refused("left", why, ("they stay apart; tell the team by a reason",))
    if begun:
        why = f"what case {number} asks for has begun to leave: it is the one that stays"
        return Refused("left", why, (f"merge case {into} into case {number}",))
    if kept.case.state not in OPEN | {"done"}:
        return Refused("state", f"case {into} is {kept.case.state}", (f"reopen case {into}",))
    return None


def _opened(cases: Collection[int]) -> tuple[str, ...]:
    return tuple(f"Case {number} was opened." for number in cases)


def _numbers(verdict: Verdict) -> list[int]:
    found = verdict.details.get("sentences", ())
    return [int(number) for number in found] if isinstance(found, list | tuple) else []


def _message(verdict: Verdict) -> int | None:
    found = verdict.details.get("message")
    return None if found is None else int(str(found))


def _into(verdict: Verdict) -> int:
    return int(str(verdict.details.get("into", 0)))
