"""Alembic's environment: it runs inside the transaction that storage/migrate.py opens."""

from alembic import context

from tollkeeper.storage.base import Base
from tollkeeper.storage.migrate import is_no_partition

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter a column in place; Alembic copies the table.
    render_as_batch=True,
    compare_type=True,
    compare_server_default=True,
    include_name=is_no_partition,
)
with context.begin_transaction():
    context.run_migrations()
