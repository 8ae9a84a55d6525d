"""Every table: whoever takes ``metadata`` from here has them all."""

from store import (  # noqa: F401 - their tables are part of the metadata
    access_schema,
    alerts_schema,
    chat_schema,
    erasure_schema,
    exports_schema,
    keys_schema,
    outgoing_schema,
    presence_schema,
    search_schema,
    shadow_schema,
)
from store.schema import metadata

__all__ = ["metadata"]
