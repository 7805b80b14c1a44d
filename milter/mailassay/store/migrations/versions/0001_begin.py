"""Messages, their recipients, the counts of each hour, and what has been read of the spool."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_TEXTS = (
    *("host", "queue_id", "message_id", "client", "name", "helo", "mail_from", "author", "verdict", "would", "rule"),
    *("iprev", "spf", "dkim", "arc", "dmarc"),
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "message",
        sa.Column("id", _Id, primary_key=True),
        sa.Column("time", sa.Double, nullable=False),
        *(sa.Column(name, _Text, nullable=False) for name in _TEXTS),
        sa.Column("seconds", sa.Double, nullable=False),
        *(sa.Column(name, _Text, nullable=False) for name in ("author_key", "client_key", "mail_from_key")),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
    for name, columns in (
        ("message_time", ["time", "verdict", "would", "rule", "iprev", "spf", "dkim", "arc", "dmarc"]),
        ("message_queue_id", ["queue_id"]),
        ("message_message_id", ["message_id"]),
        ("message_author", ["author_key", "time"]),
        ("message_client", ["client_key", "time"]),
        ("message_mail_from", ["mail_from_key", "time"]),
    ):
        op.create_index(name, "message", columns)
    op.create_table(
        "recipient",
        sa.Column("message", _Id, primary_key=True, autoincrement=False),
        sa.Column("key", _Text, primary_key=True),
        sa.Column("time", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("recipient_key", "recipient", ["key", "time", "message"])
    op.create_table(
        "hourly",
        sa.Column("kind", _Text, nullable=False),
        sa.Column("hour", sa.Integer, nullable=False),
        *(sa.Column(name, _Text, nullable=False) for name in ("key", "host")),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kind", "hour", "key", "host"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "segment",
        sa.Column("name", _Text, primary_key=True),
        sa.Column("octets", sa.BigInteger, nullable=False),
        sa.Column("lines", sa.BigInteger, nullable=False),
    )
