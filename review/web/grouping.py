"""On a case's page: the sentences of its mails to be ticked, and cases that may be one with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import FormData

from review import splitting
from review.acting import Acted
from review.web.office import Office
from review.web.queues import client_name
from store import CaseStory, Wanted
from triage.regrouping import own_words
from triage.splitting import numbered
from triage.verdicts import Verdict

#: So many of the therapist's other cases are offered; any other is named by its number.
_OFFERED: Final = 20


@dataclass(frozen=True, slots=True)
class Sentences:
    """A mail of the case by its sentences: number, whether of the subject, words."""

    message: int
    lines: tuple[tuple[int, bool, str], ...]


@dataclass(frozen=True, slots=True)
class Other:
    """A case that may be the same ask, or has another ask of the same mail."""

    case_id: int
    version: int
    client: str
    session_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Grouping:
    """What a person may split off or put together."""

    mails: tuple[Sentences, ...]
    others: tuple[Other, ...]
    siblings: tuple[int, ...]  # cases of the same mails


def grouping(office: Office, story: CaseStory, allowed: Sequence[str]) -> Grouping | None:
    """All of that as far as it is *allowed*, None where there is nothing to show."""
    told = office.store.told(story.case.case_id)
    if told is None:
        return None
    siblings = tuple(case.case_id for case in told.siblings)
    if "merge" not in allowed:
        return Grouping((), (), siblings) if siblings else None
    mails = {ask.place[0]: ask.email for ask in told.said}
    lines = tuple(
        Sentences(
            number,
            tuple(
                (n, one.part == "subject", getattr(email, one.part)[one.start : one.end])
                for n, one in numbered(email, own_words(told, number))
            ),
        )
        for number, email in mails.items()
    )
    divisible = lines if "split" in allowed else ()
    return Grouping(divisible, _others(office, story), siblings)


def _others(office: Office, story: CaseStory) -> tuple[Other, ...]:
    own = story.case
    if not own.therapist_id:
        return ()
    directory = office.store.directory()
    wanted = Wanted(therapist_id=own.therapist_id)
    rows = office.store.page(wanted, size=_OFFERED).rows
    return tuple(
        Other(
            row.case_id, row.version, client_name(row, directory), row.session_id,
            row.decision.state,
        )
        for row in rows
        if row.case_id != own.case_id
    )  # fmt: skip


def details_of(action: str, form: FormData) -> dict[str, object]:
    """What was ticked, or which case was named; raises ``ValueError`` for what is no number."""
    try:
        if action == "split":
            ticked = [str(value) for value in form.getlist("sentence")]
            return {
                "sentences": sorted({int(value) for value in ticked}),
                "message": int(str(form.get("message", ""))),
            }
        named = str(form.get("number", "")).strip()
        chosen, _, version = str(form.get("into", "")).partition(":")
        if named or not version:
            return {"into": int(named or chosen)}
        return {"into": int(chosen), "into_version": int(version)}
    except ValueError:
        raise ValueError("tick sentences of one mail, or name a case by its number") from None


def regroup(office: Office, story: CaseStory, verdict: Verdict, version: int) -> Acted:
    """Split or merge, as the person at the page said."""
    store, rules = office.store, office.rules()
    if verdict.action == "merge":
        return splitting.merge(store, story, verdict, rules, version=version)
    settings = office.settings
    return splitting.split(
        store, story, verdict, rules, lambda: splitting.reader_of(settings), version=version
    )
