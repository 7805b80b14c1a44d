"""The tables, for SQLite and PostgreSQL. ``migrations`` makes them; a test holds both together."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()
REVISION = "0001"  # the newest migration

# compared octet by octet, in PostgreSQL too
_Key = Text().with_variant(Text(collation="C"), "postgresql")
_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite gives numbers to an INTEGER PRIMARY KEY only

# One row for each message: the columns that are searched, and the whole record, packed. Times are in seconds since
# 1970. The verdict, the results and the other words are those of the log. For keys see ``keys``.
message = Table(
    "message",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("time", Double, nullable=False),
    Column("host", Text, nullable=False),
    Column("queue_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("helo", Text, nullable=False),
    Column("mail_from", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("would", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("iprev", Text, nullable=False),
    Column("spf", Text, nullable=False),
    Column("dkim", Text, nullable=False),
    Column("arc", Text, nullable=False),
    Column("dmarc", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("author_key", _Key, nullable=False),
    Column("client_key", _Key, nullable=False),
    Column("mail_from_key", _Key, nullable=False),
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
    Column("key", _Key, primary_key=True),
    Column("time", Double, nullable=False),
    Index("recipient_key", "key", "time", "message"),
)

# Counts by the hour, from which reports and pages are made. ``kind`` says what ``key`` is.
hourly = Table(
    "hourly",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),  # seconds since 1970, divided by 3600
    Column("host", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# How far each segment of the spool has been read.
segment = Table(
    "segment",
    metadata,
    Column("name", Text, primary_key=True),
    Column("octets", BigInteger, nullable=False),
    Column("lines", BigInteger, nullable=False),
)
