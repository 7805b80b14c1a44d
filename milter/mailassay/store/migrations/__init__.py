"""The changes of the tables from one version to the next (Alembic). A released one is never edited."""
