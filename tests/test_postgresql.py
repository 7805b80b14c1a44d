"""A history in PostgreSQL: what is different there, and what can go wrong with a server."""

import builtins
import sys
import threading

import pytest
from sqlalchemy import text

from mailassay.cli import main
from mailassay.store import database
from mailassay.store.tables import hourly, message, recipient
from mailassay.store.usable import Unusable
from tests.lab.spooled import NOW, Spooled, record

pytestmark = pytest.mark.xdist_group("postgresql")


@pytest.fixture
def make(postgresql, tmp_path):
    """A ``Spooled`` of a host; without a ``database`` all of a test share a new one."""
    made, shared = [], []

    def make(host="mx1", **keys):
        if "database" not in keys:
            shared.append(postgresql.new() if not shared else shared[0])
            keys["database"] = postgresql.url(shared[0])
        made.append(Spooled(tmp_path / host, host, **keys))
        return made[-1]

    yield make
    for each in made:
        each.close()
    for name in shared[:1]:
        postgresql.drop(name)


def test_two_hosts_write_at_the_same_time(make):
    """Every record is there once, and no host waits for the other for ever. Their clocks differ by a day."""
    hosts = [make(f"mx{number}", messages=1000) for number in (1, 2)]
    for host in hosts:
        for begin in range(0, 600, 100):
            host.segment(*(record(f"{host.host}-{n}", host="shared") for n in range(begin, begin + 100)))
    threads = [threading.Thread(target=host.all) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [host.left() for host in hosts] == [[], []]
    hosts[0].all()
    found = hosts[0].queue_ids()
    # an id that was taken and not used counts as a message that has left
    assert len(found) == len(set(found))
    assert 900 <= len(found) <= 1000
    assert hosts[0].count("verdict") == 1200


def test_one_host_at_a_time_deletes_messages(make):
    first, second = make("mx1", days=1), make("mx2", days=1)
    first.segment(*(record(f"Q{n}", time=NOW - 2 * 86_400) for n in range(10)))
    first.all()
    engine = database.connect(database.address("/", first.history.database))
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(1835104621)"))
        second.minutes(2)
        assert len(second.queue_ids()) == 10
    second.minutes(2)
    assert second.queue_ids() == []
    assert second.rows(recipient) == second.rows(hourly) == []
    engine.dispose()


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_server_that_goes_away_and_comes_back(make, postgresql, how, caplog):
    """In the middle of moving: the rest waits in the spool, and each record is there once in the end.

    The server is one that says that all is committed before it is (synchronous_commit).
    """
    spooled = make()
    for begin in range(0, 500, 50):
        spooled.segment(*(record(f"Q{n}") for n in range(begin, begin + 50)))
    heard = []

    def after_three(batch):
        heard.append(batch)
        if len(heard) == 3:
            getattr(postgresql, how)()

    spooled.collector.close()
    spooled.collector = spooled.another(after_three)
    try:
        assert not spooled.collector.once()
        assert not spooled.collector.once()
        assert len(spooled.left()) >= 7
        assert caplog.text.count("the history waits in") == 1
        assert "Check that PostgreSQL runs there" in caplog.text
    finally:
        postgresql.start()
    spooled.all()
    assert spooled.queue_ids() == sorted(f"Q{n}" for n in range(500))
    assert spooled.count("verdict") == 500
    assert spooled.left() == []


@pytest.mark.parametrize(
    ("name", "user", "password", "said"),
    [
        ("postgres", "locked", "s3cret", "password authentication failed"),
        ("postgres", "locked", "", "no password supplied"),
        ("postgres", "nobody_we_know", "s3cret", 'role "nobody_we_know" does not exist'),
        ("no_such_database", "postgres", "s3cret", 'database "no_such_database" does not exist'),
    ],
)
def test_who_is_not_let_in(make, postgresql, name, user, password, said, caplog):
    """The log says why and what to do; it does not have the password, and the records wait."""
    postgresql.run("DROP ROLE IF EXISTS locked")
    postgresql.run("CREATE ROLE locked LOGIN PASSWORD 'another'")
    spooled = make(database=postgresql.url(name, user, password))
    spooled.segment(record("Q1"))
    assert not spooled.collector.once()
    assert said in caplog.text
    assert "Check that PostgreSQL runs there, and that it has the role and the database" in caplog.text
    assert "s3cret" not in caplog.text
    assert len(spooled.left()) == 1


def test_a_password_from_outside(make, postgresql, tmp_path, monkeypatch):
    postgresql.run("DROP ROLE IF EXISTS locked")
    postgresql.run("CREATE ROLE locked LOGIN PASSWORD 'another'")
    file = tmp_path / "pgpass"
    file.write_text("*:*:*:locked:another\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    spooled = make(database=postgresql.url(postgresql.new("locked"), "locked"))
    spooled.segment(record("Q1"))
    spooled.all()
    assert spooled.queue_ids() == ["Q1"]
    postgresql.run(f"DROP DATABASE {spooled.history.database.split('?')[0].rpartition('/')[2]} WITH (FORCE)")


def test_a_role_that_may_make_no_tables(make, postgresql, caplog):
    postgresql.run("DROP ROLE IF EXISTS guest")
    postgresql.run("CREATE ROLE guest LOGIN")
    name = postgresql.new()
    postgresql.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC", name)
    spooled = make(database=postgresql.url(name, "guest"))
    assert not spooled.collector.once()
    assert "permission denied for schema public" in caplog.text
    assert "The role needs a database of its own" in caplog.text


def test_a_server_that_takes_no_changes(make, postgresql, caplog):
    name = postgresql.new()
    postgresql.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert not make(database=postgresql.url(name)).collector.once()
    assert "must name the server that takes changes" in caplog.text


@pytest.mark.parametrize("table", ["message", "alembic_version"])
def test_a_database_of_another_program(make, postgresql, table):
    name = postgresql.new()
    postgresql.run(f"CREATE TABLE {table} (version_num text)", name)
    postgresql.run(f"INSERT INTO {table} VALUES ('ab12cd')", name)
    with pytest.raises(Unusable, match="has tables of another program: give mailassay a database of its own"):
        make(database=postgresql.url(name)).collector.once()


def test_a_database_of_another_encoding(make, postgresql):
    postgresql.run("DROP DATABASE IF EXISTS latin")
    postgresql.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(Unusable, match="has the encoding LATIN1: make it with ENCODING 'UTF8'"):
        make(database=postgresql.url("latin", password="s3cret")).collector.once()


def test_a_reader_cannot_write(make):
    spooled = make()
    spooled.segment(record("Q1"))
    spooled.all()
    engine = database.connect(database.address("/", spooled.history.database), reads_only=True)
    with engine.connect() as connection, pytest.raises(Exception, match="read-only transaction"):
        connection.execute(message.delete())
    engine.dispose()


def test_without_psycopg(tmp_path, monkeypatch, capsys):
    """No traceback: what to install."""
    real = builtins.__import__

    def without(name, *given, **named):
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
        return real(name, *given, **named)

    config = tmp_path / "mailassay.yaml"
    config.write_text(f"history: {{directory: {tmp_path}, database: 'postgresql://u:s3cret@h/x?password=s3cret'}}\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "psycopg"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["collect", "--once", "--config", str(config)]) == 78
    said = capsys.readouterr().err
    assert "needs psycopg: pip install 'mailassay[postgresql]', or Debian's package python3-psycopg" in said
    assert "s3cret" not in said
