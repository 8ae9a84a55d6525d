"""What can go wrong with the store, one class per audience."""


class StoreError(Exception):
    """The database cannot be used; its text is one line for operations, without any content."""


class LeaseHeldError(StoreError):
    """Another run is at work on this mailbox. Nothing is wrong: the next run will find the rest."""


class LeaseLostError(StoreError):
    """Another run took over since our lease ran out; nothing of this batch was stored."""
