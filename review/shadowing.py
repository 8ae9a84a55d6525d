"""Shadow runs: a candidate model reads the mail that the one in use has read, and decides nothing.

A run of its own, on what is stored: no mailbox is asked, no case or queue is touched, nothing goes
out, and a live run never waits for it. It reads in one process that yields to all others, within a
time; messages come newest first, each once for each candidate, whoever runs it and how often.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ingest.workers import NoWorkersError, Workers, process_pool
from review.desk import AsJson, Desk, Now, UsageProblemError, print_json, store_of
from settings import Settings
from store import Lease, LeaseHeldError, LeaseLostError, Store
from store.shadow_rows import Shadowed, ToShadow
from triage.records import ERASED_IN_PART, Directory, Email, Request
from triage.shadows import Stand

if TYPE_CHECKING:
    from models.shadow import Failed, Opened, Read
    from triage.conversation import Rules

#: A shadow run that is silent for longer has lost its place to the next one.
LEASE: Final = timedelta(minutes=15)
#: Messages read and stored together: few, so that a candidate that dies on each is soon found out.
BATCH: Final = 20
#: So many messages of a batch, with none that it can read, are too many.
FAILS: Final = 10
#: Seconds of processor time for a chunk of messages, loading included.
_CPU_SECONDS: Final = 15.0
_NAME: Final = "shadow readings"

#: What is wrong with a candidate, in words; the codes are kept and alarmed.
PROBLEMS: Final[Mapping[str, str]] = {
    "refused": "its files are not those that were released, or do not fit this program",
    "dies": "no process can live with it",
    "fails": "it failed on every message of a batch",
}


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What a shadow run came to. ``problem`` is a code; ``said`` tells why nothing was read."""

    candidate: str
    champion: str
    read: int = 0
    failed: int = 0
    differing: int = 0
    by_cost: Mapping[str, int] = field(default_factory=dict)
    left: int = 0
    problem: str = ""
    said: str = ""


def shadow_run(
    settings: Settings,
    store: Store,
    now: datetime,
    *,
    seconds: float | None = None,
    limit: int | None = None,
    again: bool = False,
    clock: Callable[[], float] = monotonic,
) -> ShadowReport:
    """Let the configured candidate read, until all is read or the time is up.

    With *again* also what it had failed on before.

    Whatever the candidate does is recorded and told in the report; nothing is raised for it.
    """
    from models.registry import RELEASED, ModelRefusedError
    from models.shadow import digest_of, opened, version_of

    wanted, until = settings.shadow.model, settings.shadow.until
    report = ShadowReport(wanted, version_of(settings.model))
    if until is not None and now.date() > until:
        return replace(report, said=f"it was to end on {until}")
    try:
        found = opened(wanted)
    except ModelRefusedError:
        store.shadows.candidate(version_of(wanted), digest_of(RELEASED / wanted), now, "refused")
        return replace(report, problem="refused", said=PROBLEMS["refused"])
    report = replace(report, candidate=found.version)
    if found.version == report.champion:
        raise UsageProblemError(f"{found.version} is the model in use; shadow.model names another")
    number = store.shadows.candidate(found.version, found.digest, now)
    run = _Run(settings, store, found, number, report, now)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    try:
        with store.lease(_NAME, owner, LEASE) as lease:
            if again:
                store.shadows.forget_failures(number)
            ends_at = clock() + (settings.shadow.seconds if seconds is None else seconds)
            run.go(lease, lambda: clock() > ends_at, limit)
    except LeaseHeldError:
        return replace(report, said="another shadow run is at work; left to it")
    except LeaseLostError:
        return replace(run.report, said="another shadow run has taken over; left to it")
    store.shadows.failed(number, run.report.problem, now)
    left = store.shadows.left(number, report.champion, share=settings.shadow.share)
    return replace(run.report, left=left)


class _Run:
    """One candidate at work; ``report`` says how far it came."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        found: Opened,
        number: int,
        report: ShadowReport,
        now: datetime,
    ) -> None:
        self.report = report
        self._settings, self._store, self._now = settings, store, now
        self._found, self._number = found, number
        self._costs: Counter[str] = Counter()
        own = settings.model_copy(update={"model": str(found.folder.resolve())})
        self._rules: tuple[Callable[[int], Rules], ...] = (_by_year(settings), _by_year(own))

    def go(self, lease: Lease, is_over: Callable[[], bool], limit: int | None) -> None:
        from models.registry import ModelRefusedError

        try:
            with _worker(self._found.folder, fast=self._settings.fast) as worker:
                self._read_on(worker, lease, is_over, limit)
        except ModelRefusedError:
            self._has("refused")
        except NoWorkersError:
            self._has("dies")

    def _has(self, problem: str) -> None:
        self.report = replace(self.report, problem=problem, said=PROBLEMS[problem])

    def _read_on(
        self,
        worker: Workers[Email, Read | Failed],
        lease: Lease,
        is_over: Callable[[], bool],
        limit: int | None,
    ) -> None:
        from models.shadow import digest_of

        below, left = None, limit
        share, champion = self._settings.shadow.share, self.report.champion
        while not is_over() and left != 0 and not self.report.problem:
            size = BATCH if left is None else min(BATCH, left)
            batch = self._store.shadows.unread(
                self._number, champion, share=share, limit=size, below=below
            )
            if not batch:
                return None
            below, left = batch[-1].message_id, None if left is None else left - len(batch)
            batch = [one for one in batch if ERASED_IN_PART not in one.email.defects]
            made = worker.start([one.email for one in batch])()
            if digest_of(self._found.folder) != self._found.digest:
                return self._has("refused")  # another release has taken its place meanwhile
            self._keep(lease, batch, made)
        return None

    def _keep(self, lease: Lease, batch: Sequence[ToShadow], made: Sequence[Read | Failed]) -> None:
        directory = self._store.directory()
        found = [self._beside(a, b, directory) for a, b in zip(batch, made, strict=True)]
        self._store.shadows.add(lease, self._number, found, datetime.now(UTC), of=batch)
        failed = sum(one.problem != "" for one in found)
        self._costs.update(one.differences[0].cost for one in found if one.differences)
        report = self.report
        self.report = replace(
            report,
            read=report.read + len(found) - failed,
            failed=report.failed + failed,
            differing=report.differing + sum(bool(one.differences) for one in found),
            by_cost=dict(self._costs),
        )
        if failed == len(found) >= FAILS:
            self._has("fails")

    def _beside(self, one: ToShadow, made: Read | Failed, directory: Directory) -> Shadowed:
        from models.shadow import Failed, differences, paired

        known = one.message_id, self.report.champion, one.stored_at
        if isinstance(made, Failed):
            return Shadowed(*known, 0.0, problem=made.problem)
        at = one.stored_at
        theirs, ours = (
            stands(one.email, asks, directory, replace(rules(at.year), now=at))
            for asks, rules in zip((one.asks, made.requests), self._rules, strict=True)
        )
        pairs = paired(theirs, ours)
        return Shadowed(*known, made.seconds, tuple(pairs), tuple(differences(pairs)))


def stands(
    email: Email, requests: Sequence[Request], directory: Directory, rules: Rules
) -> list[Stand]:
    """Each ask, and where the rules would put it if the message came alone.

    No open case is joined: the case of this very message is open by now. Both models are judged
    so, and the difference between them is the reading's alone.
    """
    from triage.cases import split
    from triage.conversation import judge

    found = []
    for ask in [part for request in requests for part in split(request)]:
        _, decision = judge(email, ask, None, directory, rules)
        found.append(Stand(ask, decision.queue, decision.state))
    return found


def _by_year(settings: Settings) -> Callable[[int], Rules]:
    """The rules with the bank holidays around a year; reading them takes a while."""
    return cache(lambda year: settings.rules(datetime(year, 7, 1, tzinfo=UTC)))


def _worker(folder: Path, *, fast: bool) -> Workers[Email, Read | Failed]:
    """One process that reads as the candidate does; one that a message kills is replaced."""
    from models.shadow import Failed, read_as

    pool = partial(process_pool, 1, ("models.shadow", "models.reading", "spacy"))
    return Workers(
        partial(read_as, folder, fast),
        lambda _: Failed("killed_reader"),
        pool,
        cpu_seconds=_CPU_SECONDS,
    )


def shadow(
    context: typer.Context,
    candidate: Annotated[
        str, typer.Option("--candidate", help="Instead of the configured one.")
    ] = "",
    seconds: Annotated[float | None, typer.Option(min=0, help="Time for it.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Messages at most.")] = None,
    now: Now = None,
    *,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Let it try again what it failed on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let a candidate read stored mail beside the model in use. Exit code 1: it could not."""
    desk: Desk = context.obj
    settings = desk.settings()
    if candidate:
        shadowed = settings.shadow.model_copy(update={"model": candidate, "until": None})
        settings = settings.model_copy(update={"shadow": shadowed})
    if candidate and not _is_release(candidate):
        raise UsageProblemError(f"{candidate} is no release, nor the path of one")
    if not settings.shadow.model:
        raise UsageProblemError("no candidate: set `model` under [shadow], or give --candidate")
    with store_of(settings) as store:
        report = shadow_run(
            settings,
            store,
            now or datetime.now(UTC),
            seconds=seconds,
            limit=limit,
            again=retry_failed,
        )
    if as_json:
        print_json({name: getattr(report, name) for name in ShadowReport.__slots__})
    else:
        typer.echo(_line(report))
    if report.problem:
        raise typer.Exit(1)


def _is_release(name: str) -> bool:
    from models.registry import RELEASED
    from models.shadow import digest_of

    return digest_of(RELEASED / name) != ""


def _line(report: ShadowReport) -> str:
    read = f"{report.candidate} beside {report.champion}: {report.read} read"
    read += f", {report.differing} of them otherwise, {report.failed} failed, {report.left} left"
    return f"{read}; {report.said}" if report.said else read
