"""What was told to whoever is on call: each problem once, by one machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from store import leases
from store.alerts_schema import alerts
from store.database import Database
from store.leases import Lease

#: Telling takes seconds; whoever is silent for longer has lost its turn.
_TTL: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Alert:
    """One episode of a problem as one way of telling knows it; ``told`` is 0 until it was told.

    ``well_since`` is set while the problem is gone, and not yet for long enough to say so.
    """

    way: str
    code: str
    about: str
    since: datetime
    told: int = 0
    told_at: datetime | None = None
    well_since: datetime | None = None


class Alerts:
    """The alerts that stand; changed by whoever has the turn."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def standing(self) -> list[Alert]:
        """All that stand, the oldest first."""
        query = select(alerts).order_by(alerts.c.since, alerts.c.code, alerts.c.about, alerts.c.way)
        with self._database.reading() as connection:
            return [Alert(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name for it

    @contextmanager
    def turn(self, owner: str) -> Iterator[Lease]:
        """The right to tell, for one machine at a time.

        Raises:
            LeaseHeldError: Another is telling.

        """
        with leases.take(self._database, "alerts", owner, _TTL) as lease:
            yield lease

    def keep(self, lease: Lease, alert: Alert) -> None:
        """Store how *alert* stands now. Raises LeaseLostError."""
        with self._database.writing() as connection:
            lease.hold(connection)
            _drop(connection, alert)
            connection.execute(insert(alerts).values(**asdict(alert)))

    def forget(self, lease: Lease, alert: Alert) -> None:
        """It is over. Raises LeaseLostError."""
        with self._database.writing() as connection:
            lease.hold(connection)
            _drop(connection, alert)


def _drop(connection: Connection, alert: Alert) -> None:
    same = (alerts.c.way == alert.way) & (alerts.c.code == alert.code)
    connection.execute(delete(alerts).where(same, alerts.c.about == alert.about))
