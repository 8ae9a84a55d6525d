"""Memory: the schema, one deep Store, and the migrations."""

from store.batch import Batch
from store.errors import LeaseHeldError, LeaseLostError, StoreError
from store.leases import Lease
from store.queue import CaseRow, CaseStory, Quarantined, StoredDecision, StoredMessage
from store.registry import ImportReport, Rejection
from store.registry_files import read_registry_file
from store.registry_queries import registry_queries
from store.runs import Counts, Run, Tally
from store.store import Store, open_store
from triage.records import Outcome

__all__ = [
    "Batch",
    "CaseRow",
    "CaseStory",
    "Counts",
    "ImportReport",
    "Lease",
    "LeaseHeldError",
    "LeaseLostError",
    "Outcome",
    "Quarantined",
    "Rejection",
    "Run",
    "Store",
    "StoreError",
    "StoredDecision",
    "StoredMessage",
    "Tally",
    "open_store",
    "read_registry_file",
    "registry_queries",
]
