"""What DMARC reports are made of, the reports, and where they go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _Text, nullable=False) for name in names]


def _number(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "policy",
        sa.Column("id", _Id, primary_key=True),
        *_text("domain", "digest", "tags"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("policy_domain", "policy", ["domain"])
    op.create_table(
        "observed",
        sa.Column("day", sa.Integer, nullable=False),
        *_text("domain"),
        sa.Column("policy", _Id, nullable=False),
        *_text("key", "row"),
        *_number("messages", "wanted"),
        sa.Column("last", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("day", "domain", "policy", "key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "incident",
        sa.Column("hour", sa.Integer, nullable=False),
        *_text("domain", "key"),
        *_number("count"),
        *_text("first"),
        sa.PrimaryKeyConstraint("hour", "domain", "key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "report",
        sa.Column("id", _Id, primary_key=True),
        *_text("kind"),
        sa.Column("day", sa.Integer, nullable=False),
        *_text("domain", "key", "state", "why"),
        *_number("rows", "messages", "wanted"),
        *_text("report_id"),
        sa.Column("body", sa.LargeBinary),
        sa.Column("changed", sa.Double, nullable=False),
        sa.UniqueConstraint("kind", "day", "domain", "key"),
    )
    op.create_index("report_state", "report", ["state", "day"])
    op.create_table(
        "delivery",
        sa.Column("id", _Id, primary_key=True),
        sa.Column("report", _Id, nullable=False),
        *_text("address", "token", "state"),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        *_text("reply"),
        sa.Column("changed", sa.Double, nullable=False),
        sa.UniqueConstraint("token"),
        sa.UniqueConstraint("report", "address"),
    )
    op.create_index("delivery_due", "delivery", ["state", "due"])
    op.create_table(
        "suppressed",
        sa.Column("address", _Text, primary_key=True),
        sa.Column("until", sa.Double),
        sa.Column("times", sa.Integer, nullable=False),
        *_text("why"),
    )
    op.create_table(
        "correspondent",
        sa.Column("domain", _Text, primary_key=True),
        sa.Column("passed", sa.Integer, nullable=False),
        sa.Column("written", sa.Integer, nullable=False),
    )
    op.create_table(
        "closed",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer, nullable=False),
    )
    op.create_table(
        "collected",
        sa.Column("host", _Text, primary_key=True),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_table(
        "secret",
        sa.Column("name", _Text, primary_key=True),
        *_text("value"),
    )
