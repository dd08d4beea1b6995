"""Alembic's entry: runs revisions on the connection that `services.migrating` hands over."""

from alembic import context

from services.models import Job

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Job.metadata,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
