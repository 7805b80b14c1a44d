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
    UniqueConstraint,
)

metadata = MetaData()

_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite gives numbers to an INTEGER PRIMARY KEY only
# by octets, as SQLite compares: an index then finds what begins with a text, and no language orders texts its way
_Text = Text().with_variant(Text(collation="C"), "postgresql")

# One row for each message: the columns that are searched, and the whole record, packed. Times are in seconds since
# 1970. The verdict, the results and the other words are those of the log. ``dkim`` is the best result, or of mail that
# is not judged what ``rows.signing`` says. For keys see ``keys``.
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

# What DMARC reports are made of (RFC 9990). A ``day`` is a UTC day: seconds since 1970, divided by 86,400.

# A policy configuration at a name where a DMARC record was found. ``tags`` is JSON, ``digest`` a hash of both.
policy = Table(
    "policy",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("domain", _Text, nullable=False),
    Column("digest", _Text, nullable=False),
    Column("tags", _Text, nullable=False),
    UniqueConstraint("digest"),
    Index("policy_domain", "domain"),
)

# The rows of a day that is not reported yet: how many messages each stands for, and how many of them may cause a
# report. ``row`` is JSON, ``key`` a hash of it. ``last`` is the time of the latest of its messages.
observed = Table(
    "observed",
    metadata,
    Column("day", Integer, nullable=False),
    Column("domain", _Text, nullable=False),
    Column("policy", _Id, nullable=False),
    Column("key", _Text, nullable=False),
    Column("row", _Text, nullable=False),
    Column("messages", BigInteger, nullable=False),
    Column("wanted", BigInteger, nullable=False),
    Column("last", Double, nullable=False),
    PrimaryKeyConstraint("day", "domain", "policy", "key"),
    sqlite_with_rowid=False,
)

# Messages of an hour that failed alike, until a failure report about them is made (RFC 9991). ``hour`` is in seconds
# since 1970, divided by 3600. ``first`` is JSON of the first of them, redacted; ``key`` is a hash of what failed.
incident = Table(
    "incident",
    metadata,
    Column("hour", Integer, nullable=False),
    Column("domain", _Text, nullable=False),
    Column("key", _Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first", _Text, nullable=False),
    PrimaryKeyConstraint("hour", "domain", "key"),
    sqlite_with_rowid=False,
)

# One row for each report: ``kind`` aggregate or failure. For an aggregate report, ``key`` is empty; for a failure
# report it is a hash of what failed. ``state`` is one of ``outbox.State``; ``why`` says why no report was made.
# ``mail`` is the mail without its To field, of which each address gets the same octets.
report = Table(
    "report",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("kind", _Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("domain", _Text, nullable=False),
    Column("key", _Text, nullable=False),
    Column("state", _Text, nullable=False),
    Column("why", _Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("messages", BigInteger, nullable=False),
    Column("wanted", BigInteger, nullable=False),
    Column("report_id", _Text, nullable=False),
    Column("body", LargeBinary),
    Column("changed", Double, nullable=False),
    UniqueConstraint("kind", "day", "domain", "key"),
    Index("report_state", "state", "day"),
)

# One row for each address that a report goes to. ``token`` is the part of its return path that nobody can guess.
delivery = Table(
    "delivery",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("report", _Id, nullable=False),
    Column("address", _Text, nullable=False),
    Column("token", _Text, nullable=False),
    Column("state", _Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Double, nullable=False),
    Column("reply", _Text, nullable=False),
    Column("changed", Double, nullable=False),
    UniqueConstraint("token"),
    UniqueConstraint("report", "address"),
    Index("delivery_due", "state", "due"),
)

# Addresses to which reports could not be delivered, or to which the administrator wants none sent. ``until`` is None
# for always; ``times`` is how often it was suppressed.
suppressed = Table(
    "suppressed",
    metadata,
    Column("address", _Text, primary_key=True),
    Column("until", Double),
    Column("times", Integer, nullable=False),
    Column("why", _Text, nullable=False),
)

# Registrable domains that this host knows: the last days on which mail of theirs passed DMARC and was accepted, and on
# which our users wrote to them. 0 is never.
correspondent = Table(
    "correspondent",
    metadata,
    Column("domain", _Text, primary_key=True),
    Column("passed", Integer, nullable=False),
    Column("written", Integer, nullable=False),
)

# The last day of which nothing is added to ``observed`` any more, one row.
closed = Table(
    "closed",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, nullable=False),
)

# Up to which time each collector has moved everything that its host wrote.
collected = Table(
    "collected",
    metadata,
    Column("host", _Text, primary_key=True),
    Column("until", Double, nullable=False),
)

# Keys of this history, which are made when they are first needed.
secret = Table(
    "secret",
    metadata,
    Column("name", _Text, primary_key=True),
    Column("value", _Text, nullable=False),
)
