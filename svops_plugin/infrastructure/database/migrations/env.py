"""What Alembic runs: always on the connection that the caller gives."""

from alembic import context

from svops_plugin.infrastructure.database import tables
from svops_plugin.infrastructure.database.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
