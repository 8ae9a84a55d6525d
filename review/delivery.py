"""What is due leaves the system: one deliverer for each channel, and on disk before it goes."""

from __future__ import annotations

import logging
import os
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Final

from review.outcomes import Arrived, Carrier, Fate, NotNow, Perhaps, Refused
from review.ways_out import carriers
from settings import Settings, SettingsError
from store import (
    Later,
    LeaseHeldError,
    LeaseLostError,
    Left,
    OutboxRow,
    Settled,
    Store,
    StoreError,
    Stuck,
)
from store.outbox import Sending
from store.sealing import is_unopened
from triage.verdicts import Channel

log = logging.getLogger(__name__)
#: Seconds to the next attempt, after the first, the second, …; the example of the Standard
#: Webhooks text, three days in all. Then it is a dead letter, for a person.
PAUSES_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
_JITTER: Final = 0.2  # either way, lest all that failed together come again together
_LONGEST_S: Final = 86_400.0  # however long the other side asks for
#: What was interrupted more often than that may be what kills its deliverers.
_AT_ONCE: Final = 3
#: A deliverer that is silent for longer has lost its channel to the next one.
_LEASE: Final = timedelta(minutes=10)
#: How often `watch` looks whether something is due.
_LOOK_S: Final = 5.0


@dataclass(slots=True)
class Delivered:
    """What one look at a channel came to; ``problem`` is why it ended early, in words."""

    channel: Channel
    sent: int = 0
    later: int = 0
    dead: int = 0
    uncertain: int = 0
    problem: str = ""
    failed: bool = False  # whether something of the world outside is to be put right


def deliver(
    store: Store,
    ways: Mapping[Channel, Carrier],
    clock: Callable[[], datetime],
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Delivered]:
    """Send all that is due, channel by channel; one that fails holds up no other."""
    due = store.channels_due(clock())  # taking a lease writes, and most often there is nothing
    return [
        _deliver(store, channel, way, clock, stopped)
        for channel, way in ways.items()
        if channel in due
    ]


def _deliver(
    store: Store,
    channel: Channel,
    way: Carrier,
    clock: Callable[[], datetime],
    stopped: Callable[[], bool],
) -> Delivered:
    report = Delivered(channel)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    try:
        with store.sending(channel, owner, _LEASE) as sending:
            _pick_up(sending, way, clock, report)
            while not stopped() and not report.failed:
                rows = sending.take(clock(), most=way.most, domain=way.domain)
                if not rows:
                    break
                broken = [row for row in rows if is_unopened(row.payload)]
                if broken:  # it goes nowhere, and holds up nothing else
                    _settle(sending, broken, Refused("damaged in the store"), clock(), report)
                rows = [row for row in rows if not is_unopened(row.payload)]
                if rows:
                    fate = _carried(sending, way, rows)
                    _settle(sending, rows, fate, clock(), report)
    except LeaseHeldError:
        report.problem = "another deliverer is at work; left to it"
    except LeaseLostError:
        report.problem = "another deliverer has taken over; left to it"
    return report


def _carried(sending: Sending, way: Carrier, rows: Sequence[OutboxRow]) -> Fate:
    """What *way* made of *rows*; a bug of ours on one of them must not hold up the next."""
    noted: list[str] = []

    def note(words: str) -> None:
        for row in rows:
            sending.note(row, words)
        noted.append(words)

    try:
        return way.carry(rows, note)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - said above
        words = f"bug:{type(error).__name__}"
        return Perhaps(words) if noted else NotNow(words)


def _pick_up(
    sending: Sending, way: Carrier, clock: Callable[[], datetime], report: Delivered
) -> None:
    """Settle what an earlier deliverer left in mid-flight, in the parts that it was sent in."""
    rows = sending.interrupted()
    for start in range(0, len(rows), way.most):
        some = rows[start : start + way.most]
        _settle(sending, some, way.interrupted(some), clock(), report)


def _settle(
    sending: Sending, rows: Sequence[OutboxRow], fate: Fate, now: datetime, report: Delivered
) -> None:
    outcome = settled(fate, rows[0].attempts, now)
    sending.settle(rows, outcome, now)
    _log(rows, outcome, fate)
    match outcome:
        case Left():
            report.sent += len(rows)
        case Later():
            report.later += len(rows)
        case Stuck(state="dead"):
            report.dead += len(rows)
        case Stuck():
            report.uncertain += len(rows)
    if isinstance(fate, NotNow | Refused) and fate.pauses:
        report.failed, report.problem = True, fate.note


def _log(rows: Sequence[OutboxRow], outcome: Settled, fate: Fate) -> None:
    states = {Left: "sent", Later: "later"}
    state = outcome.state if isinstance(outcome, Stuck) else states[type(outcome)]
    event = "delivered" if state == "sent" else "delivery_failed"
    answer = fate.note if fate.note.startswith(("HTTP ", "SMTP ")) else None
    for row in rows:
        told = {"event": event, "outbox_id": row.id, "case_id": row.case_id, "state": state}
        extra = {**told, "channel": row.channel, "attempts": row.attempts, "answer": answer}
        log.info("something left, or did not", extra=extra)


def settled(
    fate: Fate, attempts: int, now: datetime, spread: Callable[[float, float], float] | None = None
) -> Settled:
    """What becomes of a row after so many *attempts*, the last of which ended in *fate*."""
    match fate:
        case Arrived(note):
            return Left(note)
        case Refused(note):
            return Stuck(f"refused: {note}")
        case Perhaps(note):
            return Stuck(note, "uncertain")
        case NotNow(note, at_once=True) if attempts <= _AT_ONCE:
            return Later(note, now)
    if attempts > len(PAUSES_S):
        return Stuck(f"given up after {attempts} attempts: {fate.note}")
    pause_s = PAUSES_S[attempts - 1] * (spread or random.uniform)(
        1 - _JITTER, 1 + _JITTER
    )  # no secret
    pause_s = max(pause_s, min(fate.wait_s, _LONGEST_S))
    return Later(fate.note, now + timedelta(seconds=pause_s))


# --- beside the runs ------------------------------------------------------------------------------


class Courier(Thread):
    """Delivers beside `watch`, every few seconds, until told to stop."""

    def __init__(self, settings: Settings, store: Store, tell: Callable[[str], None]) -> None:
        super().__init__(name="courier", daemon=True)
        self._wanted = settings.outbox.with_runs and bool(carriers(settings))
        self._settings, self._store, self._tell = settings, store, tell
        self._stop_asked = Event()
        self._told = ""

    def run(self) -> None:
        while self._wanted and not self._stop_asked.wait(_LOOK_S):
            said = self._look()
            if said and said != self._told:  # the same trouble is said once
                self._tell(said)
            self._told = said

    def _look(self) -> str:
        try:
            # Made anew: a secret may have been replaced.
            ways = carriers(self._settings, self._store.known)
            reports = deliver(self._store, ways, _now, stopped=self._stop_asked.is_set)
        except (StoreError, SettingsError) as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - the reading of mail goes on, and so do we
            return f"delivering failed by a bug of ours ({type(error).__name__})"
        return "; ".join(line_of(r) for r in reports if r.failed or r.dead or r.uncertain)

    def stop(self) -> None:
        """Let the row at hand be finished, and no other be begun."""
        self._stop_asked.set()


def line_of(report: Delivered) -> str:
    """What became of a channel's rows, in one line."""
    counts = f"sent {report.sent}, later {report.later}, dead {report.dead}"
    line = f"{report.channel}: {counts}, uncertain {report.uncertain}"
    return f"{line}; {report.problem}" if report.problem else line


def _now() -> datetime:
    return datetime.now(UTC)
