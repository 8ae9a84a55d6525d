"""``fit-triage retriage``: an archive read again, and what has changed since it was read first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cluster import Cluster, Tls, cluster_at
from ingest.parts import STORE, Part, parts_of, parts_of_store
from ingest.sources import Access, SourceError
from review.desk import AsJson, Desk, Now, UsageProblemError, console, moment, print_json, store_of
from review.part_files import Counts
from review.reread_folder import ReadFolder, told_apart
from review.reread_printing import counting_parts, print_counts, print_difference
from review.rereading import Job, let_go
from review.sharing_out import reread, threads_here

if TYPE_CHECKING:
    from review.reread_difference import Difference
    from settings import Settings


def retriage(
    context: typer.Context,
    source: Annotated[
        str, typer.Option(help="maildir:PATH, mbox:PATH, eml:PATH, or what the store has kept.")
    ] = STORE,
    out: Annotated[
        Path | None, typer.Option(help="Folder for Parquet files; every worker must reach it.")
    ] = None,
    *,
    scheduler: Annotated[
        str, typer.Option(metavar="tcp://HOST:PORT", help="Of a Dask cluster; else done here.")
    ] = "",
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="ISO", help="Only mail that came from then on."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="ISO", help="Only mail that came before."),
    ] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="For tls://: the authority, PEM.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Our certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    now: Now = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in --out; what is there is not read again.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Decide open cases again that no person has touched.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read an archive again and show what would change; nothing does without --apply."""
    if (scheduler or resume) and out is None:
        raise UsageProblemError("--scheduler and --resume need --out, a folder that all reach")
    desk: Desk = context.obj
    settings, clock = desk.settings(), now or datetime.now(UTC)
    with ExitStack() as stack:
        folder = (out or Path(stack.enter_context(tempfile.TemporaryDirectory()))).absolute()
        config = None if scheduler else desk.config  # workers elsewhere have their own
        job = _job(desk, settings, folder, since, until, config)
        identity = _identity(settings, source, since, until)
        kept = ReadFolder.begin(folder, identity, _cut(settings, source), resume=resume)
        hands = _hands(settings, scheduler, Tls(tls_ca, tls_cert, tls_key))
        counts = _read(job, kept, hands, resume=resume)
        found = _difference(settings, kept, clock, apply=apply)
    if as_json:
        print_json({"read": asdict(counts), "store": found.as_json()})
        return
    print_counts(console(), counts)
    print_difference(console(), found, applied=apply)


def _difference(
    settings: Settings, folder: ReadFolder, clock: datetime, *, apply: bool
) -> Difference:
    """What differs from the store, an empty one where there is none."""
    from review.reread_difference import difference

    with store_of(settings, scratch=True) as store:
        return difference(store, folder.files(), settings.rules(clock), apply=apply)


def _job(
    desk: Desk,
    settings: Settings,
    folder: Path,
    since: datetime | None,
    until: datetime | None,
    config: Path | None,
) -> Job:
    # One process for each hand: whoever has several hands has as many of these.
    workers = desk.engine.workers(settings.model_copy(update={"workers": 1}))
    return Job(token_hex(8), folder, workers, settings.max_message_bytes, config, since, until)


def _identity(
    settings: Settings, source: str, since: datetime | None, until: datetime | None
) -> dict[str, object]:
    return {
        "archive": source,
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
        "model": settings.model,
        "fast": settings.fast,
        "parsing": told_apart((settings.parsing(), settings.max_message_bytes)),
    }


def _cut(settings: Settings, source: str) -> Iterator[Part]:
    if source != STORE:
        yield from parts_of(source, Access(max_message_bytes=settings.max_message_bytes))
        return
    with store_of(settings) as store:
        yield from parts_of_store(store.rereadings.count())


def _hands(settings: Settings, scheduler: str, tls: Tls) -> AbstractContextManager[Cluster]:
    return cluster_at(scheduler, tls) if scheduler else threads_here(settings.workers)


def _read(
    job: Job, folder: ReadFolder, hands: AbstractContextManager[Cluster], *, resume: bool
) -> Counts:
    keys, counts = [], Counts()
    with hands as cluster, counting_parts(folder.number()) as progress:
        try:
            for part, found in reread(job, folder.parts(), cluster, resume=resume):
                keys.append(part.key)
                counts += found
                progress(found)
                if len(counts.versions) > 1:
                    readers = ", ".join(counts.versions)
                    raise SourceError(f"workers read with different models: {readers}")
        finally:
            cluster.everywhere(let_go, job.run)
    folder.finish(keys, counts)
    return counts
