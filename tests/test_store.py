"""The file of SQLite: what can be wrong with it, and that it stays small. PostgreSQL has test_postgresql.py."""

import os
import pwd
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from mailassay.cli import main
from mailassay.history.spool import SPOOL
from mailassay.store import FILE, REVISION, database, packed, writing
from mailassay.store.rows import SEPARATOR
from mailassay.store.tables import hourly
from tests.lab.folder import open_folder
from tests.lab.spooled import NOW, Spooled, record


@pytest.fixture
def spooled(tmp_path):
    found = Spooled(tmp_path)
    yield found
    found.close()


def file_of(spooled):
    return spooled.folder / FILE


def damage(file):
    """Leave the first pages, with the description of the tables, as they are."""
    with file.open("r+b") as octets:
        octets.seek(4096 * 2)
        octets.write(random.Random(1).randbytes(file.stat().st_size - 4096 * 2))


@pytest.mark.parametrize("how", ["nonsense", "an empty header", "torn", "pages"])
def test_a_damaged_file_is_moved_aside(spooled, how, caplog):
    """What is found at the start, and what is found later. The history begins anew, with what is in the spool."""
    spooled.segment(*(record(f"old{n}") for n in range(1000)))
    spooled.all()
    spooled.collector.close()
    file = file_of(spooled)
    match how:
        case "nonsense":
            file.write_bytes(b"nonsense" * 1000)
        case "an empty header":
            file.write_bytes(bytes(100) + file.read_bytes()[100:])
        case "torn":
            os.truncate(file, file.stat().st_size // 2)
        case "pages":
            damage(file)
    found = file.read_bytes()
    spooled.segment(*(record(f"Q{n}") for n in range(10)))
    spooled.all()
    assert spooled.queue_ids() == [f"Q{n}" for n in range(10)]
    assert spooled.left() == []
    [aside] = spooled.folder.glob("*.damaged-*[0-9]")
    if how != "torn":
        assert aside.read_bytes()[4096:8192] == found[4096:8192]
    assert f"{file} is damaged" in caplog.text
    assert f"it is now {aside}, and a new history begins" in caplog.text


def test_a_file_that_is_damaged_while_it_is_open(spooled, caplog):
    """What was already moved of a segment is in the damaged file; it is not counted again in the new one."""
    spooled.segment(*(record(f"old{n}") for n in range(2000)))
    spooled.all()
    with closing(sqlite3.connect(file_of(spooled))) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damage(file_of(spooled))
        # the pages of the collector's cache are those of before until somebody else writes
        other.execute("PRAGMA user_version = 1")
    spooled.segment(*(record(f"Q{n}") for n in range(10)))
    spooled.all()
    assert spooled.queue_ids() == [f"Q{n}" for n in range(10)]
    assert caplog.text.count("a new history begins") == 1


def test_a_folder_in_the_place_of_the_file(spooled, caplog):
    file_of(spooled).mkdir()
    spooled.segment(record("Q1"))
    assert not spooled.collector.once()
    assert spooled.collector.trouble
    assert f"{file_of(spooled)} is a folder: move it away" in caplog.text
    file_of(spooled).rmdir()
    spooled.all()
    assert spooled.queue_ids() == ["Q1"]
    assert not spooled.collector.trouble


def test_a_file_on_another_disk(spooled, tmp_path):
    """A link in the place of the file is followed, also when the file is damaged."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file_of(spooled).symlink_to(elsewhere / "db")
    spooled.collector = spooled.another()
    spooled.segment(record("Q1"))
    spooled.all()
    spooled.collector.close()
    (elsewhere / "db").write_bytes(b"nonsense" * 1000)
    spooled.segment(record("Q2"))
    spooled.all()
    assert spooled.queue_ids() == ["Q2"]
    assert file_of(spooled).is_symlink()
    assert len(list(elsewhere.glob("db.damaged-*"))) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="files of another user are made by root")
@pytest.mark.parametrize("mode", [0o600, 0o444])
def test_a_file_of_another_user(mode):
    """Such as one that root's ``mailassay collect`` made."""
    with open_folder() as folder:
        made = Spooled(folder)
        made.all()
        made.collector.close()
        os.chmod(file_of(made), mode)
        config = folder / "mailassay.yaml"
        config.write_text(f"history: {{directory: {folder}}}\n")
        nobody = pwd.getpwnam("nobody")
        for path in (folder, folder / SPOOL, made.segment(record("Q1"))):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        command = [sys.executable, "-m", "tests.lab.unprivileged", "collect", "--once", "--config", config]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert f"must belong to the user of the service (here: uid {nobody.pw_uid})" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.returncode == os.EX_TEMPFAIL
        assert len(made.left()) == 1


@pytest.fixture
def small_disk(tmp_path):
    """A folder of 6 MB, and a function that makes it larger."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], check=False).returncode:
        pytest.skip(reason="no file system can be mounted here")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=32m", folder], check=True)
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk(small_disk, caplog):
    """The records wait, each is there once in the end, and the file is not taken for a damaged one."""
    folder, grow = small_disk
    spooled = Spooled(folder)
    spooled.segment(*(record(f"Q{n}", helo=random.Random(n).randbytes(200).hex()) for n in range(2000)))
    try:
        while spooled.collector.once():
            pass
        assert spooled.collector.trouble
        assert "database or disk is full. Make room on the disk" in caplog.text
        assert len(spooled.left()) == 1
        grow()
        spooled.all()
        assert spooled.queue_ids() == sorted(f"Q{n}" for n in range(2000))
        assert spooled.count("verdict") == 2000
        assert not list(folder.glob("*.damaged-*"))
    finally:
        spooled.collector.close()


def test_a_long_reader(spooled, monkeypatch, caplog):
    """Its log does not grow without end: the records wait, until the reader has ended."""
    monkeypatch.setattr(database, "_MOST_LOG", 1 << 20)
    log = spooled.folder / f"{FILE}-wal"
    spooled.segment(record("Q"))
    spooled.all()
    with closing(sqlite3.connect(file_of(spooled))) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM message").fetchone()
        turns = 0
        while not spooled.collector.trouble:
            turns += 1
            spooled.segment(*(record(f"{turns}-{n}", helo=random.Random(n).randbytes(200).hex()) for n in range(200)))
            spooled.all()
        assert log.stat().st_size < 3 << 20
        assert caplog.text.count("a program has been reading") == 1
        assert len(spooled.left()) == 1
    spooled.all()
    assert len(spooled.queue_ids()) == 1 + turns * 200
    assert spooled.left() == []


def test_the_log_is_short_after_a_reader(spooled, monkeypatch):
    monkeypatch.setattr(database, "_LOG", 1 << 20)
    log = spooled.folder / f"{FILE}-wal"
    with closing(sqlite3.connect(file_of(spooled))) as reader:
        spooled.all()
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM message").fetchone()
        spooled.segment(*(record(f"{n}", helo=random.Random(n).randbytes(200).hex()) for n in range(3000)))
        spooled.all()
    assert log.stat().st_size > 2 << 20
    for turn in range(3):
        spooled.segment(record(f"R{turn}"))
        spooled.all()
    assert log.stat().st_size <= 1 << 20


def test_the_log_is_not_copied_after_each_batch(spooled):
    """A batch changes thousands of pages. The log still is no longer than what stays on disk anyway."""
    spooled.all()
    engine = database.connect(database.address(str(spooled.folder), None))
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar_one()
        octets = pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    engine.dispose()
    assert database._LOG / 2 < octets < database._LOG


def test_only_its_user_can_read_it(tmp_path):
    """Whatever the umask of whoever starts the collector, and whoever may enter the folder."""
    before = os.umask(0o022)
    try:
        spooled = Spooled(tmp_path)
        spooled.segment(record("Q1"))
        spooled.collector.once()
        modes = [each.stat().st_mode & 0o777 for each in tmp_path.iterdir() if each.is_file()]
        spooled.close()
    finally:
        os.umask(before)
    assert modes == [0o600] * 3


def test_a_reader_makes_no_file(spooled):
    """Such as ``mailassay why``, by root, before the collector has begun."""
    engine = database.connect(database.address(str(spooled.folder), None), reads_only=True)
    with pytest.raises(Exception, match="unable to open database file") as raised:
        engine.connect()
    assert "Nothing has made" in database.cause(raised.value, engine.url)
    assert not file_of(spooled).exists()


def test_the_newest_migration_is_named():
    config = Config()
    config.set_main_option("script_location", str(database._MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


def test_the_version_before_this_one(spooled, tmp_path, monkeypatch):
    """Its tables are changed, and what is in them stays. The next version is one that this test makes up."""
    spooled.segment(record("Q1"))
    spooled.all()
    spooled.collector.close()
    later = tmp_path / "migrations"
    shutil.copytree(database._MIGRATIONS, later)
    (later / "versions" / "0003_more.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\nrevision = '0003'\ndown_revision = '0002'\n"
        "def upgrade():\n    op.add_column('message', sa.Column('more', sa.Text, server_default='x', nullable=False))\n"
    )
    monkeypatch.setattr(database, "_MIGRATIONS", later)
    monkeypatch.setattr(database, "REVISION", "0003")
    spooled.segment(record("Q2"))
    spooled.all()
    assert spooled.queue_ids() == ["Q1", "Q2"]
    with closing(sqlite3.connect(file_of(spooled))) as file:
        assert file.execute("SELECT more FROM message").fetchall() == [("x",), ("x",)]


def test_a_migration_that_fails_changes_nothing(spooled, tmp_path, monkeypatch, caplog):
    spooled.all()
    spooled.collector.close()
    later = tmp_path / "migrations"
    shutil.copytree(database._MIGRATIONS, later)
    (later / "versions" / "0003_more.py").write_text(
        "from alembic import op\nrevision = '0003'\ndown_revision = '0002'\n"
        "def upgrade():\n    op.execute('CREATE TABLE more (x)')\n    op.execute('DROP TABLE nowhere')\n"
    )
    monkeypatch.setattr(database, "_MIGRATIONS", later)
    monkeypatch.setattr(database, "REVISION", "0003")
    assert not spooled.collector.once()
    assert "no such table: nowhere" in caplog.text
    with closing(sqlite3.connect(file_of(spooled))) as file:
        assert file.execute("SELECT version_num FROM alembic_version").fetchall() == [("0002",)]
        assert file.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchone() == (0,)


def test_keys_that_senders_choose_are_bounded(spooled, monkeypatch):
    """Whoever writes from a new domain each time fills no table; the sums stay right."""
    monkeypatch.setattr(writing, "MOST_KEYS", 50)

    def spoof(number):
        results = {"header_from": f"d{number}.example", "dmarc": "fail"}
        return record(f"Q{number}", client=f"10.0.{number >> 8}.{number & 255}", results=results)

    for begin in range(0, 300, 30):
        spooled.segment(*map(spoof, range(begin, begin + 30)))
        spooled.all()
    # a domain that was there keeps its own count
    spooled.segment(spoof(0), spoof(0), spoof(400))
    spooled.all()
    for kind, others in (("author", f"{SEPARATOR}fail"), ("source", SEPARATOR), ("source_of", SEPARATOR * 2)):
        rows = {row["key"]: row["count"] for row in spooled.rows(hourly) if row["kind"] == kind}
        assert len(rows) == 51
        assert sum(rows.values()) == 303
        assert rows[others] == 251
    assert spooled.count("author", f"d0.example{SEPARATOR}fail") == 3


def test_new_domains_hide_none_that_occurs_often(spooled, monkeypatch):
    monkeypatch.setattr(writing, "MOST_KEYS", 50)

    def of(domain):
        return record(domain, results={"header_from": domain})

    for turn in range(4):
        spooled.segment(*(of(f"x{turn}-{number}.example") for number in range(60)), *[of("often.example")] * 3)
        spooled.all()
    assert spooled.count("author", f"often.example{SEPARATOR}pass") == 12
    assert spooled.count("author") == 4 * 63
    assert len([each for each in spooled.rows(hourly) if each["kind"] == "author"]) == 51


def test_a_busy_host_deletes_old_messages(spooled):
    """Not only when nothing arrives."""
    spooled.segment(*(record(f"old{n}", time=NOW - 40 * 86_400) for n in range(10)))
    spooled.collector.once()
    spooled.uptime += 60
    spooled.segment(record("Q1"))
    spooled.collector.once()
    assert spooled.queue_ids() == ["Q1"]


def test_a_url_that_is_none(tmp_path, capsys):
    """The message does not show what may be a password."""
    config = tmp_path / "mailassay.yaml"
    for url in ("postgresql://u:s3cret@h:99x/y", "postgresql://u:s3#cret@h/y", "postgresql://u:s3cret @h/y"):
        config.write_text(f"history: {{directory: {tmp_path}, database: '{url}'}}\n")
        assert main(["collect", "--once", "--config", str(config)]) == os.EX_CONFIG
        said = capsys.readouterr().err
        assert "history.database" in said
        assert "percent-encoded" in said
        assert "s3" not in said


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x01",
        b"\x01abc",
        b"\x02abc",
        *map(packed.pack, (b"", b"{", b"[]", b'{"v":1,"kind":"message","values":[1]}', b"[" * 100_000)),
    ],
)
def test_what_is_no_record(octets):
    with pytest.raises(ValueError):
        packed.unpack(octets)
