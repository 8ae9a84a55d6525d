"""A Dask cluster behind the interface of ``concurrent.futures``; the only module that knows Dask.

What is submitted travels pickled and is run by whoever listens: the scheduler belongs on a network
that nobody else reaches, or behind TLS with certificates on both sides
(https://distributed.dask.org/en/stable/tls.html). A task that was lost with its worker is run
again; one that was lost with too many (``distributed.scheduler.allowed-failures``) is given up,
and whoever submitted it is told that it kills.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ingest.sources import SourceError, SourceSpecError

#: Seconds to reach a scheduler, and for the first worker to come.
PATIENCE_S: Final = 30.0
#: Times a task that fails is tried again, perhaps by another worker: machines run out of room.
_RETRIES: Final = 2
_GONE: Final = "the scheduler of the cluster is gone"


class ClusterError(SourceError):
    """The cluster cannot be reached or is gone; what it had finished stays finished."""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the authority that both sides trust, our certificate and its key."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class _Submitting(Executor):
    """What is submitted is run by the cluster, and always ends.

    Dask's own executor leaves a future waiting for ever whose task was done, was lost with its
    worker before its result had come, and then killed the next worker: it passes on how a task
    ended, but not how fetching its result did.
    """

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - Dask's own
        self._client = client

    def submit(self, task: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:  # noqa: ANN401
        future = self._client.submit(task, *given, **named, pure=False, retries=_RETRIES)
        return asyncio.run_coroutine_threadsafe(_fetched(future), self._client.loop.asyncio_loop)


async def _fetched(future: Any) -> Any:  # noqa: ANN401 - Dask's own, and whatever the task gave
    from distributed.comm import CommClosedError

    try:
        return await future
    except CommClosedError:  # on the way to us, and results come by way of the scheduler
        raise ClusterError(_GONE) from None
    except asyncio.CancelledError:  # nobody waits for it any more
        with suppress(Exception):  # a courtesy, again
            await future.cancel()
        raise


@dataclass(frozen=True, slots=True)
class Cluster:
    """Who does the work. ``slots`` says for how many tasks at once there is room now."""

    executor: Executor
    slots: Callable[[], int]
    everywhere: Callable[..., None]  # have every worker that lives call this with these arguments
    kills: tuple[type[BaseException], ...] = ()  # how a task ends that killed too many workers

    def outcome(self, future: Future[Any]) -> Any:  # noqa: ANN401 - whatever the task gave
        """What a finished task gave; None where it has killed too many workers.

        Raises:
            ClusterError: The scheduler is gone.

        """
        try:
            return future.result()
        except self.kills:
            return None
        except CancelledError:
            raise ClusterError(_GONE) from None


@contextmanager
def cluster_at(address: str, tls: Tls, *, patience_s: float = PATIENCE_S) -> Iterator[Cluster]:
    """The cluster whose scheduler listens at *address*, ``tcp://HOST:PORT`` or ``tls://…``.

    Raises:
        ClusterError: There is no scheduler, or no worker has come to it in time.
        SourceSpecError: *address* is none, TLS is asked for by halves, or Dask is not installed.

    """
    client = _client(address, _security(address, tls), patience_s)
    from distributed import KilledWorker

    def slots() -> int:
        with suppress(OSError, TimeoutError):
            return sum(client.nthreads().values())
        return 0

    def everywhere(call: Callable[..., object], *arguments: object) -> None:
        with suppress(Exception):  # a courtesy: who cannot be reached has nothing to let go
            client.run(call, *arguments, on_error="ignore")

    try:
        yield Cluster(_Submitting(client), slots, everywhere, (KilledWorker,))
    finally:
        with suppress(Exception):
            client.close(timeout=5)


def _client(address: str, security: Any, patience_s: float) -> Any:  # noqa: ANN401 - Dask's own
    try:
        from distributed import Client
    except ImportError:
        raise SourceSpecError("a cluster needs Dask: pip install 'fit-triage[cluster]'") from None
    for name in ("distributed", "distributed.client"):  # we tell it in our own words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(
            address, security=security, timeout=patience_s, set_as_default=False, name="fit-triage"
        )
    except (OSError, TimeoutError):
        raise ClusterError(f"no scheduler of a cluster answers at {address}") from None
    except ValueError:
        raise SourceSpecError(f"{address!r} is no scheduler; write tcp://HOST:PORT") from None
    try:
        client.wait_for_workers(1, timeout=patience_s)
    except (OSError, TimeoutError):
        client.close(timeout=5)
        raise ClusterError(f"the cluster at {address} has no worker") from None
    return client


def _security(address: str, tls: Tls) -> Any:  # noqa: ANN401 - Dask's own
    files = (tls.ca, tls.cert, tls.key)
    if not any(files):
        if address.startswith("tls:"):
            raise SourceSpecError("tls:// needs --tls-ca, --tls-cert and --tls-key")
        return None
    if not all(files) or not address.startswith("tls:"):
        raise SourceSpecError("for TLS give tls://HOST:PORT, --tls-ca, --tls-cert and --tls-key")
    if missing := [str(path) for path in files if path and not path.is_file()]:
        raise SourceSpecError(f"no such file: {', '.join(missing)}")
    from distributed import Security

    ca, cert, key = map(str, files)
    return Security(
        tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, require_encryption=True
    )


def may_have_children() -> None:
    """Refuse work where no process may be started: mail is read in processes that may die.

    Raises:
        ClusterError: A nanny has started this worker as a daemon.

    """
    if multiprocessing.current_process().daemon:
        raise ClusterError(
            "workers of the cluster may start no processes; start them with"
            " DASK_DISTRIBUTED__WORKER__DAEMON=False in their environment"
        )
