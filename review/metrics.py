"""What monitoring reads: the figures of ``health`` as Prometheus has them, and nothing else.

Names and labels hold states, queues and versions, never a word or address of anybody. A figure
that is not known is left out; that the database could not be asked is a figure itself
(``fit_triage_up``), so that an alert on it fires where everything else falls silent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from review.desk import Desk, UsageProblemError, store_of
from review.health import health_of, lost_unconfirmed
from review.problems import RUNBOOKS
from settings import Settings
from store import StoreError, Tally

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily, Metric
    from prometheus_client.registry import CollectorRegistry

FATES = tuple(field.name for field in fields(Tally))
#: Moments of the report, by metric: when it was, in seconds since 1970.
_MOMENTS = {
    "last_success_at": ("last_success", "When a run last succeeded"),
    "oldest_open_at": ("oldest_open_case", "When the case that waits longest was opened"),
    "outbox_overdue_since": ("outbox_oldest_due", "Since when something is due to leave"),
    "registry_imported_at": ("registry_imported", "When the booking registry was last imported"),
    "sessions_imported_at": ("sessions_imported", "As of when sessions are known"),
    "oldest_unworked_at": ("oldest_unworked_case", "Since when a case waits that nobody touched"),
    "oldest_quarantined_at": ("oldest_quarantined", "When the oldest in quarantine was set aside"),
    "last_backup_at": ("last_backup", "When the last backup was made, where a folder is set"),
}
_SIGN_INS = ("sign_in_ends", "When what lets us into a mailbox ends, by its place in the settings")
_COUNTS = {
    "messages": ("messages", "Messages stored"),
    "quarantined": ("quarantined", "Messages that could not be read"),
    "unworked": ("unworked_cases", "Open cases that nobody has touched"),
    "leases_held": ("leases_held", "Mailboxes and channels that somebody is at work on"),
    "database_bytes": ("database_bytes", "Size of the database"),
}
_BY = {
    "backlog_by_queue": ("open_cases", "Cases that wait for a person", "queue"),
    "quarantined_by_cause": ("quarantined_by_cause", "The same by cause", "cause"),
    "outbox": ("outbox", "What leaves the system", "state"),
    "unconfirmed": ("therapists_unconfirmed", "Therapists with sessions left unconfirmed", "level"),
}


def metrics(
    context: typer.Context,
    to: Annotated[
        Path | None, typer.Option(help="A .prom file for node_exporter; replaced as a whole.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve them here, on this machine alone.")
    ] = None,
) -> None:
    """Figures for Prometheus: printed, written to a file, or served until Ctrl-C."""
    from prometheus_client import generate_latest, write_to_textfile

    desk: Desk = context.obj
    if to is not None and port is not None:
        raise UsageProblemError("give --to or --port, not both")
    registry = registry_of(desk.settings(), lambda: datetime.now(UTC))
    if port is not None:
        _serve(registry, port)
    elif to is not None:
        if to.suffix != ".prom" or not to.parent.is_dir():
            raise UsageProblemError(f"{to}: node_exporter reads files named *.prom in its folder")
        write_to_textfile(str(to), registry)
    else:
        typer.echo(generate_latest(registry).decode(), nl=False)


def registry_of(settings: Settings, clock: Callable[[], datetime]) -> CollectorRegistry:
    """A registry that looks anew each time it is asked."""
    from prometheus_client.registry import CollectorRegistry

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(settings, clock))
    return registry


class _Collector:
    """Asks the database at every look; the model is looked at once, for that takes a second."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._settings, self._clock = settings, clock
        self._model: tuple[str, str] | None = None

    def describe(self) -> list[Metric]:
        """Nothing in advance: it depends on what there is."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            report = self._report()
        except StoreError:
            yield _gauge("up", "Whether the database could be asked", 0)
            return
        yield _gauge("up", "Whether the database could be asked", 1)
        yield from _figures(report)

    def _report(self) -> dict[str, Any]:
        from review.health import model_in_use

        now = self._clock()
        self._model = self._model or model_in_use(self._settings)
        with store_of(self._settings) as store:
            report = health_of(store.counts(), self._settings, now, model=self._model)
            found = store.unconfirmed(now - self._settings.limits().window, now)
            report["unconfirmed"] = lost_unconfirmed(found, self._settings)
        return report


def _figures(report: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("healthy", "Whether nothing needs a person", int(report["healthy"]))
    yield _gauge(
        "issues", "What needs a person; `fit-triage health` names it", len(report["issues"])
    )
    for name, (metric, said) in _COUNTS.items():
        yield _gauge(metric, said, report[name])
    for name, (metric, said) in _MOMENTS.items():
        if report[name]:
            moment = datetime.fromisoformat(report[name]).timestamp()
            yield _gauge(f"{metric}_timestamp_seconds", said, moment)
    for name, (metric, said, label) in _BY.items():
        yield _gauge(metric, said, report[name], label)
    by_code = Counter(problem["code"] for problem in report["problems"])
    problems: dict[str, float] = {code: by_code[code] for code in RUNBOOKS}
    yield _gauge("problems", "What needs a person, by code", problems, "code")
    ends = {
        f"{one['source']} {one['what']}": datetime.fromisoformat(f"{one['ends_on']}Z").timestamp()
        for one in report["sign_ins"]
        if one["ends_on"]
    }
    name, said = _SIGN_INS
    yield _gauge(f"{name}_timestamp_seconds", said, ends, "source")
    if report["last_run"]:
        yield from _run(report["last_run"])
    yield _gauge("model", "The model in use", {report["model"]: 1}, "version")
    yield _gauge("schema", "The database's schema", {report["schema"]: 1}, "version")


def _run(run: Mapping[str, Any]) -> Iterator[Metric]:
    fates = {name: run[name] for name in FATES}
    yield _gauge("last_run_messages", "What became of the last run's messages", fates, "fate")
    yield _gauge("last_run_adds_up", "Whether that accounts for all", int(run["adds_up"]))
    if run["seconds"] is not None:
        yield _gauge("last_run_seconds", "How long the last run took", run["seconds"])


def _gauge(
    name: str, said: str, value: float | Mapping[str, float], label: str = ""
) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"fit_triage_{name}", said, labels=[label] if label else None)
    values = value if isinstance(value, Mapping) else {"": value}
    for one, figure in values.items():
        family.add_metric([one] if label else [], float(figure))
    return family


def _serve(registry: CollectorRegistry, port: int) -> None:
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, "127.0.0.1", registry)
    except OSError as error:
        raise UsageProblemError(f"port {port} cannot be used: {error.strerror}") from None
    typer.echo(f"http://127.0.0.1:{port}/metrics")
    try:
        thread.join()
    except KeyboardInterrupt:
        server.shutdown()
