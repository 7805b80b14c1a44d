"""Alembic's entry: ``database.migrate`` gives the connection."""

from alembic import context

connection = context.config.attributes["connection"]
# SQLite changes a column by making the table anew
context.configure(connection=connection, render_as_batch=connection.dialect.name == "sqlite")
context.run_migrations()
