import os
import stat

import pytest

from mailassay.atomic import replace


@pytest.fixture
def umask():
    """One that a test sees in the permissions of a file."""
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(("mode", "expected"), [(None, 0o640), (0o644, 0o644), (0o600, 0o600)])
def test_the_permissions_of_a_file(tmp_path, mode, expected):
    file = tmp_path / "a"
    for content in (b"old", b"new"):
        replace(file, content, mode)
        assert file.read_bytes() == content
        assert stat.S_IMODE(file.stat().st_mode) == expected
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to any group")
def test_the_group_of_a_file(tmp_path):
    file = tmp_path / "a"
    replace(file, b"x", 0o640, group=12345, durable=True)
    found = file.stat()
    assert (file.read_bytes(), found.st_gid, stat.S_IMODE(found.st_mode)) == (b"x", 12345, 0o640)


def test_what_is_durable_is_on_the_disk_before_the_old_one_is_gone(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: said.append(os.fstat(descriptor).st_size))
    file = tmp_path / "a"
    replace(file, b"four")
    assert said == []
    replace(file, b"four", durable=True)
    assert said == [4]


def test_a_reader_keeps_the_old_content(tmp_path):
    file = tmp_path / "a"
    file.write_text("old")
    with file.open() as reader:
        replace(file, b"new")
        assert reader.read() == "old"


def test_no_link_is_followed(tmp_path):
    other, file = tmp_path / "other", tmp_path / "a"
    other.write_text("theirs")
    file.symlink_to(other)
    replace(file, b"ours")
    assert (file.read_text(), file.is_symlink(), other.read_text()) == ("ours", False, "theirs")


def test_a_name_of_any_length(tmp_path):
    file = tmp_path / ("a" * 255)
    replace(file, b"x")
    assert file.read_bytes() == b"x"


def test_a_file_that_cannot_take_the_place_of_another_leaves_nothing(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        replace(folder, b"x", 0o644)
    assert [*tmp_path.iterdir()] == [folder]


def test_a_stop_while_a_file_is_written_leaves_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "a"
    file.write_text("old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fchmod", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace(file, b"new", 0o644)
    assert file.read_text() == "old"
    assert [*tmp_path.iterdir()] == [file]
