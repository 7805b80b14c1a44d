"""The tables, for SQLite and PostgreSQL. ``migrations`` makes them; a test holds both together."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

metadata = MetaData()
REVISION = "0001"  # the newest migration

_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite gives numbers to an INTEGER PRIMARY KEY only
# by octets, as SQLite compares: an index then finds what begins with a text, and no language orders texts its way
_Text = Text().with_variant(Text(collation="C"), "postgresql")

# One row for each message: the columns that are searched, and the whole record, packed. Times are in seconds since
# 1970. The verdict, the results and the other words are those of the log. For keys see ``keys``.
message = Table(
    "message",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("time", Double, nullable=False),
    Column("host", _Text, nullable=False),
    Column("queue_id", _Text, nullable=False),
    Column("message_id", _Text, nullable=False),
    Column("client", _Text, nullable=False),
    Column("name", _Text, nullable=False),
    Column("helo", _Text, nullable=False),
    Column("mail_from", _Text, nullable=False),
    Column("author", _Text, nullable=False),
    Column("verdict", _Text, nullable=False),
    Column("would", _Text, nullable=False),
    Column("rule", _Text, nullable=False),
    Column("iprev", _Text, nullable=False),
    Column("spf", _Text, nullable=False),
    Column("dkim", _Text, nullable=False),
    Column("arc", _Text, nullable=False),
    Column("dmarc", _Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("author_key", _Text, nullable=False),
    Column("client_key", _Text, nullable=False),
    Column("mail_from_key", _Text, nullable=False),
    Column("record", LargeBinary, nullable=False),
    # with what the latest messages are looked through for
    Index("message_time", "time", "verdict", "would", "rule", "iprev", "spf", "dkim", "arc", "dmarc"),
    Index("message_queue_id", "queue_id"),
    Index("message_message_id", "message_id"),
    Index("message_author", "author_key", "time"),
    Index("message_client", "client_key", "time"),
    Index("message_mail_from", "mail_from_key", "time"),
)

# The recipients of a message that are kept. ``time`` is that of the message, so that the latest are found at once.
recipient = Table(
    "recipient",
    metadata,
    Column("message", _Id, primary_key=True, autoincrement=False),
    Column("key", _Text, primary_key=True),
    Column("time", Double, nullable=False),
    Index("recipient_key", "key", "time", "message"),
    sqlite_with_rowid=False,  # the primary key is not kept twice
)

# Counts by the hour, from which reports and pages are made. ``kind`` says what ``key`` is. The primary key finds a kind
# over some time, and one author domain if the hours are listed: kind = ? AND hour IN (...) AND key >= ? AND key < ?
hourly = Table(
    "hourly",
    metadata,
    Column("kind", _Text, nullable=False),
    Column("hour", Integer, nullable=False),  # seconds since 1970, divided by 3600
    Column("key", _Text, nullable=False),
    Column("host", _Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "hour", "key", "host"),
    sqlite_with_rowid=False,
)

# How far each segment of the spool has been read.
segment = Table(
    "segment",
    metadata,
    Column("name", _Text, primary_key=True),
    Column("octets", BigInteger, nullable=False),
    Column("lines", BigInteger, nullable=False),
)
