"""Memory: the schema, one deep Store, and the migrations."""

from store.batch import Batch
from store.errors import (
    AlreadyOutError,
    ConflictError,
    KeysError,
    LeaseHeldError,
    LeaseLostError,
    RefusedError,
    StoreBusyError,
    StoreError,
)
from store.joining import CLOSED
from store.keys import KeyPlace
from store.leases import Lease
from store.outbox import Later, Left, OutboxCounts, OutboxRow, Settled, Stuck
from store.pages import NOBODY, Page, Place, Wanted
from store.queue import CaseRow, CaseStory, Quarantined, StoredDecision, StoredMessage
from store.registry import ImportReport, Rejection
from store.registry_files import read_registry_file
from store.registry_queries import registry_queries
from store.runs import Counts, Run, Tally
from store.store import Store, open_store
from store.verdicts import StoredVerdict, Undone
from store.views import SavedView
from triage.records import Outcome

__all__ = [
    "CLOSED",
    "NOBODY",
    "AlreadyOutError",
    "Batch",
    "CaseRow",
    "CaseStory",
    "ConflictError",
    "Counts",
    "ImportReport",
    "KeyPlace",
    "KeysError",
    "Later",
    "Lease",
    "LeaseHeldError",
    "LeaseLostError",
    "Left",
    "OutboxCounts",
    "OutboxRow",
    "Outcome",
    "Page",
    "Place",
    "Quarantined",
    "RefusedError",
    "Rejection",
    "Run",
    "SavedView",
    "Settled",
    "Store",
    "StoreBusyError",
    "StoreError",
    "StoredDecision",
    "StoredMessage",
    "StoredVerdict",
    "Stuck",
    "Tally",
    "Undone",
    "Wanted",
    "open_store",
    "read_registry_file",
    "registry_queries",
]
