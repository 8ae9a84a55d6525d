"""`fit-triage watch`: new mail within seconds, for as long as it runs.

Looking at each mailbox every few minutes is the truth; what servers tell by IDLE is only a hint to
look sooner. Each look is the same run that a scheduler would start, with its lease and its record,
so that a scheduled run beside it is safe. A mailbox that fails is looked at ever more rarely; the
others go on.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ingest.pace import Pace
from ingest.sources import Access, SourceError, open_source, parse_imap_address
from review import logs
from review.calls import Calls, Hearing
from review.delivery import Courier
from review.desk import Desk, mailboxes, store_of
from settings import Settings, SettingsError, SourceSettings
from store import Store, StoreError

if TYPE_CHECKING:
    from review.terminal import SourceReport

#: A burst of mail is one run and not many: each costs a login.
_SPACING_S: Final = 3.0
#: Another run holds the mailbox: it will be done soon.
_AFTER_OTHERS_S: Final = 15.0
_FAREWELL_S: Final = 3.0


@dataclass(eq=False, slots=True)
class Turn:
    """When a mailbox is looked at next; moments are those of ``time.monotonic``."""

    spec: SourceSettings
    pace: Pace
    due: float = 0.0
    looked_at: float = field(default=float("-inf"))

    def hurry(self) -> None:
        """Look soon, for mail has come; a mailbox that fails keeps its pause."""
        if self.pace.is_well:
            self.due = min(self.due, self.looked_at + _SPACING_S)


class Signals:
    """Tells of SIGTERM and SIGINT; a second one ends the process at once."""

    def __init__(self, wake: SimpleQueue[Turn | None]) -> None:
        self.stopped = False
        self._wake = wake

    @contextmanager
    def caught(self) -> Iterator[None]:
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, self._stop) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def _stop(self, number: int, _frame: object) -> None:
        self.stopped = True
        self._wake.put(None)  # the one queue that a signal handler may use
        signal.signal(number, signal.SIG_DFL)


def watch(
    context: typer.Context,
    source: Annotated[list[str] | None, typer.Option(help="Instead of the configured.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
) -> None:
    """Read new mail as it comes, until SIGTERM or Ctrl-C. One line for each look at the mailboxes.

    A mailbox that cannot be read is named on standard error and tried again, ever more rarely.
    """
    desk: Desk = context.obj
    settings = desk.settings()
    first_pause_s = min(15.0, settings.watch.interval)
    specs = dict.fromkeys(mailboxes(settings, source))
    turns = [Turn(spec, Pace(first_pause_s)) for spec in specs]
    for turn in turns:  # a slip in the settings shows now, and with its own exit code
        open_source(turn.spec.url, settings.access_to(turn.spec))
    wake: SimpleQueue[Turn | None] = SimpleQueue()
    signals = Signals(wake)
    with (
        signals.caught(),
        store_of(settings) as store,
        desk.engine.workers(settings) as workers,
        _listening(settings, turns, wake),
        _delivering(settings, store),
        _hearing(settings, store, turns, wake),
    ):
        left = rounds
        while not signals.stopped and left != 0:
            due = [turn for turn in turns if turn.due <= time.monotonic()]
            if due:
                _look(desk, settings, store, due, workers, lambda: signals.stopped)
                left = None if left is None else left - 1
            else:
                _wait(wake, min(turn.due for turn in turns))


def _wait(wake: SimpleQueue[Turn | None], until: float) -> None:
    """Wait for the next turn, or a hint that one should come sooner, or a signal."""
    try:
        turn = wake.get(timeout=max(until - time.monotonic(), 0.01))
    except Empty:
        return
    if turn is not None:
        turn.hurry()


def _look(
    desk: Desk,
    settings: Settings,
    store: Store,
    due: Sequence[Turn],
    workers: Any,  # noqa: ANN401 - the engine's own, handed back to it
    stopped: Callable[[], bool],
) -> None:
    """One run over the mailboxes that are due, and when each is due again."""
    from review.terminal import round_line

    turns = {turn.spec: turn for turn in due}
    now = datetime.now(UTC)
    calls = Calls(store, lambda spec: _access(settings, turns[spec]))
    try:
        reports = desk.engine.run(
            settings,
            list(turns),
            store,
            now,
            workers=workers,
            access=calls.access,
            stopped=stopped,
        )
        if not stopped():
            calls.answered(reports)
    except (StoreError, SourceError) as error:
        logs.complain(str(error), "ended", error=type(error).__name__)
        for turn in due:
            turn.due = time.monotonic() + turn.pace.failed(refused=False)
        return
    typer.echo(round_line(now, reports))
    for turn, report in zip(due, reports, strict=False):  # shorter where it was stopped
        _settle(turn, report, settings.watch.interval)


def _settle(turn: Turn, report: SourceReport, interval_s: float) -> None:
    turn.looked_at = time.monotonic()
    if report.failed:
        logs.complain(report.problem, "source_failed", refused_login=report.refused)
        pause_s = turn.pace.failed(refused=report.refused)
    elif report.problem:
        pause_s = min(interval_s, _AFTER_OTHERS_S)
    else:
        turn.pace.went_well()
        pause_s = interval_s * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
    turn.due = turn.looked_at + pause_s


def _access(settings: Settings, turn: Turn) -> Access:
    try:
        access = settings.access_to(turn.spec)
    except SettingsError as error:  # a file that was there at the start; it may come back
        raise SourceError(str(error)) from None
    return replace(access, before_login=turn.pace.before_login)


@contextmanager
def _delivering(settings: Settings, store: Store) -> Iterator[None]:
    """Let what people decided leave beside the reading, where the settings have a way out."""
    courier = Courier(settings, store, lambda said: logs.complain(said, "delivery_failed"))
    courier.start()
    try:
        yield
    finally:
        courier.stop()
        courier.join(_FAREWELL_S)


@contextmanager
def _hearing(
    settings: Settings, store: Store, turns: Sequence[Turn], wake: SimpleQueue[Turn | None]
) -> Iterator[None]:
    """Look at the live chat as soon as one of its webhooks has come, where they are set up."""
    chats = [turn for turn in turns if turn.spec.url.startswith("livechat+")]
    if not chats or not settings.livechat.secrets():
        yield
        return

    def wake_all() -> None:
        for turn in chats:
            wake.put(turn)

    hearing = Hearing(store, wake_all)
    hearing.start()
    try:
        yield
    finally:
        hearing.stop()
        hearing.join(_FAREWELL_S)


@contextmanager
def _listening(
    settings: Settings, turns: Sequence[Turn], wake: SimpleQueue[Turn | None]
) -> Iterator[None]:
    """Let every IMAP server tell of new mail, where the settings allow it."""
    from ingest.idle import Listener

    stop = threading.Event()
    listeners = []
    for turn in turns:
        scheme, _, rest = turn.spec.url.partition(":")
        if not settings.watch.idle or scheme not in {"imap", "imaps"}:
            continue
        listener = Listener(
            parse_imap_address(scheme, rest, turn.spec.url),
            lambda turn=turn: _access(settings, turn),  # type: ignore[misc]  # its own turn each
            lambda turn=turn: wake.put(turn),  # type: ignore[misc]  # likewise
            turn.pace,
            renew_s=settings.watch.idle_renew,
            stop=stop,
        )
        listener.start()
        listeners.append(listener)
    try:
        yield
    finally:
        stop.set()
        until = time.monotonic() + _FAREWELL_S
        for listener in listeners:
            listener.join(max(until - time.monotonic(), 0))
