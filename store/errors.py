"""What can go wrong with the store, one class per audience."""

from __future__ import annotations

from datetime import datetime


class StoreError(Exception):
    """The database cannot be used; its text is one line for operations, without any content."""


class StoreBusyError(StoreError):
    """Another writer was given the way (deadlock, serialisation); nothing of ours was stored.

    The same again, a moment later, will do: ``store.stubborn``.
    """


class KeysError(StoreError):
    """The keys of a sealed database are missing, are others, or lie open: wrong configuration."""


class SealBrokenError(StoreError):
    """One value that is sealed does not open: it was changed, was moved, or its key is missing."""

    def __init__(self, name: str, anchor: str, why: str) -> None:
        super().__init__(f"{name} of {anchor} cannot be opened: {why}")
        self.name, self.anchor, self.why = name, anchor, why


class LeaseHeldError(StoreError):
    """Another run is at work on this mailbox. Nothing is wrong: the next run will find the rest."""


class LeaseLostError(StoreError):
    """Another run took over since our lease ran out; nothing of this batch was stored."""


class RefusedError(StoreError):
    """The database is well, but what a person asked for cannot be done; the text says why."""


class AlreadyOutError(RefusedError):
    """Something is on its way or has left for this session, or in this mail, already.

    ``keys`` are those of the ``Outgoing`` that must be left out to do the rest all the same.
    """

    def __init__(self, message: str, keys: tuple[str, ...]) -> None:
        super().__init__(message)
        self.keys = keys


class ConflictError(RefusedError):
    """Somebody, or a new mail, came first: the case is no longer as the person saw it.

    ``by`` is "" where it was a mail that changed the case.
    """

    def __init__(self, case_id: int, version: int, by: str, action: str, at: datetime) -> None:
        who = f"{by} ({action})" if by else "a new mail"
        super().__init__(
            f"case {case_id} was changed by {who} at {at:%Y-%m-%d %H:%M} UTC; look at it again"
        )
        self.case_id, self.version = case_id, version
        self.by, self.action, self.at = by, action, at
