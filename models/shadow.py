"""A candidate model beside the one in use: reading as it does, and telling where they differ.

Nothing here decides or stores anything. ``review/shadowing.py`` runs it over stored mail.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Final

from models.registry import RELEASED, ModelRefusedError, load, promoted
from triage.records import Email, Request
from triage.shadows import COSTS, OF_ASKS, Cost, Difference, Pair, Stand

if TYPE_CHECKING:
    from models.reading import Reader

#: How much a client knows by what was read: less than "informed" is nothing.
_KNOWS: Final = {"informed": 1, "discussed": 2}
#: Compared whatever is asked for; the rest says something only of asks that need the team.
_ALWAYS: Final = ("kind", "session_ids")
#: How much less of the processor a shadow gets than whoever else wants it, as of nice(2).
_YIELDS: Final = 15


@dataclass(frozen=True, slots=True)
class Opened:
    """A candidate whose every byte is as released. ``digest`` is its manifest's."""

    folder: Path
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Read:
    """What the candidate made of a message, and the processor time that took."""

    requests: tuple[Request, ...]
    version: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no reading of a message: a code, never its words."""

    problem: str


def digest_of(folder: Path) -> str:
    """The candidate's identity: of its manifest, which names all else. "" where there is none."""
    try:
        return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    except OSError:
        return ""


def version_of(name: str, releases: Path = RELEASED) -> str:
    """The version that a release gives itself; without a *name* the promoted one.

    Its name where it says nothing, for whatever is wrong with it is for others to find; "" where
    none is promoted.
    """
    try:
        name = name or promoted(releases)
    except ModelRefusedError:
        return ""
    try:
        told = json.loads((releases / name / "manifest.json").read_text(encoding="utf-8"))
        return str(told["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return name


def opened(name: str, releases: Path = RELEASED) -> Opened:
    """The candidate *name*, a release or the path of one. Raises ModelRefusedError."""
    folder = releases / name  # a path of its own, where *name* is absolute
    digest = digest_of(folder)
    _, manifest = load(folder, fast=True)  # without the transformer, but with its hash
    return Opened(folder, manifest.version, digest)


def read_as(folder: Path, fast: bool, emails: Sequence[Email]) -> list[Read | Failed]:  # noqa: FBT001 - bound by partial
    """Read *emails* as the release in *folder*, in their order; for a worker process.

    A message that it stumbles over takes no other along. The process yields to all others. Raises
    ModelRefusedError where any file is not as released.
    """
    reader = _reader(folder, fast=fast)
    began = process_time()
    try:
        found = reader.read(emails)
    except Exception as error:  # noqa: BLE001 - a candidate may fail in ways that nobody has seen
        if len(emails) == 1:
            return [Failed(f"bug:{type(error).__name__}")]
        return [read for email in emails for read in read_as(folder, fast, [email])]
    each = (process_time() - began) / max(len(emails), 1)
    return [Read(requests, reader.version, each) for requests in found]


@lru_cache(maxsize=1)
def _reader(folder: Path, *, fast: bool) -> Reader:
    from models.reading import load_reader

    os.nice(_YIELDS)
    return load_reader(str(folder.resolve()), fast=fast)


# --- where they differ ---------------------------------------------------------------------------


def paired(champion: Sequence[Stand], candidate: Sequence[Stand]) -> list[Pair]:
    """The asks of one message, paired as the measures pair them."""
    from models.measures import pair

    theirs = {id(stand.request): stand for stand in champion}
    ours = {id(stand.request): stand for stand in candidate}
    requests = pair([s.request for s in champion], [s.request for s in candidate])
    return [Pair(_of(one, theirs), _of(other, ours)) for one, other in requests]


def _of(request: Request | None, stands: dict[int, Stand]) -> Stand | None:
    return None if request is None else stands[id(request)]


def differences(pairs: Sequence[Pair]) -> list[Difference]:
    """Every field in which the two differ, the costliest first."""
    found = [one for ask, pair in enumerate(pairs) for one in _in_pair(ask, pair)]
    return sorted(found, key=lambda one: COSTS.index(one.cost))


def _in_pair(ask: int, pair: Pair) -> Iterator[Difference]:
    theirs, ours = pair.champion, pair.candidate
    if theirs is None or ours is None:
        yield _lone(ask, theirs, ours)
        return
    if theirs.request.risk != ours.request.risk:
        said = theirs.request.risk, ours.request.risk
        yield Difference("risk", ask, *said, _danger(*said))
    for name, cost in (("queue", "queue"), ("state", "state")):
        before, after = getattr(theirs, name), getattr(ours, name)
        if before != after:
            yield Difference(name, ask, before, after, cost)  # type: ignore[arg-type]  # both are costs
    yield from _in_requests(ask, theirs.request, ours.request)


def _in_requests(ask: int, theirs: Request, ours: Request) -> Iterator[Difference]:
    from models.measures import CALLS_FOR

    calls = theirs.kind in CALLS_FOR or ours.kind in CALLS_FOR
    if calls and theirs.client_notification != ours.client_notification:
        said = theirs.client_notification, ours.client_notification
        yield Difference("client_notification", ask, *said, _told(*said))
    for name in (*_ALWAYS, *(OF_ASKS if calls else ())):
        before, after = value_of(theirs, name), value_of(ours, name)
        if before != after:
            yield Difference(name, ask, before, after, "other")


def _lone(ask: int, theirs: Stand | None, ours: Stand | None) -> Difference:
    """An ask that one side alone has found: as costly as the worst that it says."""
    before, after = (stand.request if stand else None for stand in (theirs, ours))
    told = [one.client_notification if one else "unknown" for one in (before, after)]
    danger = [one.risk if one else "none" for one in (before, after)]
    costs: list[Cost] = [_told(*told), _danger(*danger), "queue"]
    asked = before.kind if before else None, after.kind if after else None
    return Difference("asks", ask, *asked, min(costs, key=COSTS.index))


def _told(before: str, after: str) -> Cost:
    was, now = _KNOWS.get(before, 0), _KNOWS.get(after, 0)
    return "told_more" if now > was else "told_less" if now < was else "other"


def _danger(before: str, after: str) -> Cost:
    if before == "urgent" != after:
        return "urgent_unseen"
    return "urgent_seen" if after == "urgent" != before else "other"


def value_of(request: Request, name: str) -> str | list[str] | bool | None:
    """A field's value; of sets, in one order."""
    value = getattr(request, name)
    if isinstance(value, tuple):
        return sorted(value)
    if name == "client_ref" and value:
        return " ".join(str(value).split())
    found: str | bool | None = value
    return found
