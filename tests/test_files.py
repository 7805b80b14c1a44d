"""``mailassay files``, and what the sdist and the wheel hold."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mailassay.cli import files, main

ROOT = Path(__file__).parents[1]
FOLDERS = ("conf", "man", "policies", "systemd")
SHIPPED = sorted(
    str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()
)
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def program(tmp_path, monkeypatch):
    """This program, called by its path."""
    path = tmp_path / "bin/mailassay"
    monkeypatch.setattr(sys, "argv", [str(path)])
    return str(path)


def test_every_file_is_written(tmp_path, capsys):
    assert len(SHIPPED) == 24
    assert main(["files", str(tmp_path / "new/folder")]) == 0
    assert written(tmp_path / "new/folder") == SHIPPED
    printed = capsys.readouterr().out
    assert printed.splitlines()[: len(SHIPPED)] == [f"{tmp_path}/new/folder/{name}" for name in SHIPPED]
    for name in SHIPPED:
        assert f"{tmp_path}/new/folder/{name.partition('/')[0]}" in printed.partition("Next")[2]


def test_paths_are_those_of_this_installation(tmp_path, program):
    assert main(["files", str(tmp_path)]) == 0
    service = (tmp_path / "systemd/mailassay.service").read_text()
    commands = re.findall("^Exec(?:Start|Reload)=(.*)$", service, re.MULTILINE)
    assert commands == [
        f"{program} serve --config /etc/mailassay/mailassay.yaml",
        f"{program} config check --log --config /etc/mailassay/mailassay.yaml",
        "/bin/sh -c 'kill -HUP $MAINPID'",
    ]
    for name in SHIPPED:
        text = (tmp_path / name).read_text()
        assert "/usr/share/mailassay" not in text
        assert "/usr/bin/mailassay" not in text
        for named in re.findall(rf"{tmp_path}/[\w./-]*", text.replace("\\fP", " ").replace("\\", "")):
            assert named == program or Path(named).exists(), named


def test_a_module_that_is_called_is_the_program_beside_python(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/lib/python3/dist-packages/mailassay/__main__.py"])
    monkeypatch.setattr(sys, "executable", "/opt/mailassay/bin/python3")
    assert main(["files", str(tmp_path)]) == 0
    assert "ExecStart=/opt/mailassay/bin/mailassay serve" in (tmp_path / "systemd/mailassay.service").read_text()


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_is_overwritten(tmp_path, capsys, name):
    """And nothing is written beside it; not even a link to nowhere is replaced."""
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    assert main(["files", str(tmp_path)]) == os.EX_CANTCREAT
    captured = capsys.readouterr()
    assert (captured.out, written(tmp_path)) == ("", [])
    assert "--force" in captured.err


def test_force_overwrites(tmp_path):
    assert main(["files", str(tmp_path)]) == 0
    (tmp_path / "conf/start.yaml").write_text("old")
    (tmp_path / "own.txt").write_text("stays")
    assert main(["files", "--force", str(tmp_path)]) == 0
    assert "listen:" in (tmp_path / "conf/start.yaml").read_text()
    assert (tmp_path / "own.txt").read_text() == "stays"


@pytest.mark.process
def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "mailassay", "files", str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (os.EX_IOERR, "")
    assert done.stderr.startswith(f"mailassay: {tmp_path}/file")


def test_the_commands_work(tmp_path, capsys):
    """Those that copy, in a root of their own; a configuration that is there stays."""
    folder = tmp_path / "with space"
    assert main(["files", str(folder)]) == 0
    etc = tmp_path / "etc/mailassay"
    for line in files._next(folder, etc):
        if line.startswith("install "):
            command = line.replace(" /etc/", f" {tmp_path}/etc/").replace(" /usr/", f" {tmp_path}/usr/")
            subprocess.run(["/bin/sh", "-ec", command], check=True)
    assert written(tmp_path / "etc") == [
        "mailassay/mailassay.yaml",
        "mailassay/policy.yaml",
        "systemd/system/mailassay-collector.service",
        "systemd/system/mailassay-held.service",
        "systemd/system/mailassay-held.timer",
        "systemd/system/mailassay-keys.service",
        "systemd/system/mailassay-keys.timer",
        "systemd/system/mailassay-reports.service",
        "systemd/system/mailassay-reports.timer",
        "systemd/system/mailassay.service",
        "systemd/system/mailassay.socket",
        "sysusers.d/mailassay.conf",
        "tmpfiles.d/mailassay.conf",
    ]
    assert len(written(tmp_path / "usr/local/share/man")) == 3
    assert main(["config", "check", "--config", str(etc / "mailassay.yaml")]) == 0
    capsys.readouterr()
    assert not [line for line in files._next(folder, etc) if str(etc) in line]


@pytest.mark.parametrize("name", ["a b", "a%n", "a$b", 'a"b', "a\\b", "é"])
def test_a_program_that_a_unit_cannot_name(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(sys, "argv", [str(tmp_path / name / "mailassay")])
    assert main(["files", str(tmp_path / "new")]) == os.EX_CANTCREAT
    assert f"{name}/mailassay: systemd would take a character" in capsys.readouterr().err.replace("\\u00e9", "é")
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("program")
def test_a_folder_that_the_shell_would_split(tmp_path, capsys):
    assert main(["files", str(tmp_path / "a b")]) == 0
    assert f"'{tmp_path}/a b'/systemd/mailassay*" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["/opt/mailassay/bin/mailassay", "/usr"], ""),
        (["/opt/mailassay/bin/mailassay", "/root/python/3.12"], "/root/python/3.12"),
        (["/home/ann/.local/bin/mailassay"], "/home/ann/.local/bin/mailassay"),
        (["/homely/mailassay"], ""),
    ],
)
def test_what_the_service_cannot_reach(paths, said):
    assert files._out_of_reach([Path(path) for path in paths]) == said


def tracked() -> list[str]:
    """The files of the repository, with those that links lead to."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip(reason="not a checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and os.path.lexists(ROOT / name)]


def build(kind: str, tree: Path, into: Path) -> Path:
    """What setuptools makes of a tree, without network."""
    command = [sys.executable, "-c", BUILD, kind, str(into)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    if "invalid command 'bdist_wheel'" in done.stderr or "No module named 'setuptools'" in done.stderr:
        pytest.skip(reason="setuptools is not installed, or older than 70.1")
    assert done.returncode == 0, done.stderr
    return into / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The tree of an sdist that was built where building and testing have left their files."""
    folder = tmp_path_factory.mktemp("sdist")
    for name in tracked():
        copy = folder / "tree" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy, follow_symlinks=False)
    for left in ("tests/__pycache__/test_x.cpython-311.pyc", ".venv/bin/x", "build/x.deb", "milter/__pycache__/x.pyc"):
        (folder / "tree" / left).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / left).write_bytes(b"")
    sdist = build("build_sdist", folder / "tree", folder)
    (folder / "unpacked").mkdir()
    # tarfile has no filter in Python 3.11.2, Debian 12's, and warns without one from 3.12 on
    subprocess.run(["tar", "-xf", sdist, "-C", folder / "unpacked"], check=True)
    (tree,) = (folder / "unpacked").iterdir()
    return tree


@pytest.mark.process
@pytest.mark.xdist_group("sdist")
def test_the_sdist_is_the_repository(unpacked):
    held = {name for name in written(unpacked) if name != "PKG-INFO" and ".egg-info/" not in name}
    links = {name for name in tracked() if (ROOT / name).is_symlink()}
    assert links >= {f"milter/mailassay/files/{folder}" for folder in FOLDERS}
    # what a link leads to is there as files
    behind = {f"{link}/{name}" for link in links for name in written(ROOT / link)}
    assert held == {*tracked()} - links | behind
    for name in held - {"setup.cfg"}:
        assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes(), name
        executable = (unpacked / name).stat().st_mode & stat.S_IXUSR
        assert executable == (ROOT / name).stat().st_mode & stat.S_IXUSR, name


@pytest.mark.process
@pytest.mark.xdist_group("sdist")
def test_the_wheel_has_what_belongs_to_the_program(unpacked, tmp_path):
    """Built from the sdist, as pip does. Its own copy of the program writes all files."""
    with zipfile.ZipFile(build("build_wheel", unpacked, tmp_path)) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert sorted(name.partition("/files/")[2] for name in names if "/files/" in name) == SHIPPED
    # whatever is no module too: migrations, templates
    package = [name.removeprefix("milter/") for name in tracked() if name.startswith("milter/mailassay/")]
    assert {name for name in package if "/files/" not in f"{name}/"} <= {*names}
    pages = {name.partition(".data/data/")[2] for name in names if ".data/" in name}
    assert pages == {
        f"share/man/man{name[-1]}/{name.rpartition('/')[2]}" for name in SHIPPED if name.startswith("man/")
    }
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-P", "-m", "mailassay", "files", str(tmp_path / "written")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, written(tmp_path / "written")) == (0, SHIPPED), done.stderr
