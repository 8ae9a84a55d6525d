"""Alembic's entry: always called by ``store.database``, with a connection in a transaction."""

from alembic import context

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

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
