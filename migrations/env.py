"""Alembic's entry: migrate over the connection that the node hands in, in its transaction."""

from alembic import context

from node.store.session import Database
from node.store.tables import metadata


def _run() -> None:
    connection = context.config.attributes.get("connection")
    if connection is not None:
        context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
        context.run_migrations()
        return
    # Called by alembic's own command line, for writing a new revision.
    url = context.get_x_argument(as_dictionary=True).get("url", "sqlite:///celadon-data/celadon.db")
    with Database(url).write() as own:
        context.configure(connection=own, target_metadata=metadata, transactional_ddl=False)
        context.run_migrations()


_run()
