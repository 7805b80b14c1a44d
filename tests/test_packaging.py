"""What builds and installs mailassay, on Debian and elsewhere: ``tools``, and the examples in ``contrib``."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mailassay import config

ROOT = Path(__file__).parents[1]


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def packages(path: Path, *words: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run ``tools/packages`` where only the programs in a folder are installed."""
    command = [str(ROOT / "tools/packages"), python, *words]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": str(path)})


NEEDED = ["no-such-header=libmilter-dev", "no-such-pip=python3-venv", "no-such-Python.h=python3-dev"]
OWN = (
    "python3"
    if Path(sys.executable).resolve() == Path("/usr/bin/python3").resolve()
    else f"python3.{sys.version_info[1]}"
)


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (["dnf"], f"dnf install gcc sendmail-milter-devel {OWN} {OWN}-devel"),
        (["apk"], "apk add gcc musl-dev libmilter-dev python3 python3-dev"),
        (["apt-get", "dnf"], "apt-get install gcc libmilter-dev python3-venv python3-dev"),
        ([], "what Debian calls gcc libmilter-dev python3-venv python3-dev"),
    ],
)
def test_what_is_missing_has_its_name_here(tmp_path, tools, said):
    script(tmp_path / "bin/id", "echo 1000")
    for each in tools:
        script(tmp_path / "bin" / each, "exit 1")
    done = packages(tmp_path / "bin", *NEEDED)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_root_is_told_too_where_there_is_no_apt(tmp_path):
    script(tmp_path / "bin/id", "echo 0")
    script(tmp_path / "bin/dnf", "echo this is never run; exit 1")
    assert packages(tmp_path / "bin", *NEEDED).stderr.startswith("please install (as root): dnf install")


def test_what_is_optional_stops_nothing(tmp_path):
    script(tmp_path / "bin/id", "echo 1000")
    script(tmp_path / "bin/apk", "exit 1")
    script(tmp_path / "bin/cc", "exit 0")
    done = packages(tmp_path / "bin", "optional", "no-such-groff=groff-base")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "not installed, so what needs it will not run: groff\n"


def test_a_package_that_uses_those_of_the_system_needs_no_compiler(tmp_path):
    script(tmp_path / "bin/id", "echo 1000")
    script(tmp_path / "bin/apt-get", "exit 1")
    done = packages(tmp_path / "bin", "no-such-dh=debhelper", python="-")
    assert (done.returncode, done.stderr) == (1, "please install (as root): apt-get install debhelper\n")


@pytest.mark.parametrize("tool", ["private-venv", "install"])
def test_an_old_python_is_refused(tmp_path, tool):
    """RHEL 9's python3 is 3.9. What to do is said, before anything is made."""
    old = script(tmp_path / "bin/python3", "exit 1")
    command = [str(ROOT / "tools" / tool), str(old), str(tmp_path / "made"), "/x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, os.listdir(tmp_path)) == (1, ["bin"])
    assert "Python 3.11" in done.stderr
    assert "dnf install python3.12" in done.stderr
    assert ("SYSTEM_PYTHON=/usr/bin/python3.12" in done.stderr) is (tool == "private-venv")


SPEC = ROOT / "contrib/rpm/mailassay.spec"
# packages of the distribution define them; rpm on Debian has none
MACROS = {"_unitdir": "/usr/lib/systemd/system", "_sysusersdir": "/usr/lib/sysusers.d", "python": "python3"}


def ran(*command: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which(command[0]):
        pytest.skip(reason=f"{command[0]} is not installed")
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_spec_is_of_this_version():
    version = re.search("^version = (.*)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)[1]
    spec = SPEC.read_text()
    assert re.findall("^Version: *(.*)$", spec, re.MULTILINE) == [version]
    assert set(re.findall(r"mailassay-(\d[\d.]*\d)(?=[-.][a-z])", spec)) == {version}
    assert re.search(rf"%changelog\n\* .* - {version}-1\n", spec)


def test_files_of_the_spec_are_there():
    """Every unit, manual page and drop-in is listed, and nothing else."""
    listed = SPEC.read_text().partition("\n%files\n")[2].partition("\n%changelog")[0]
    units = set(re.findall(r"^%\{_unitdir\}/(.*)$", listed, re.MULTILINE))
    assert units == {path.name for path in (ROOT / "systemd").glob("mailassay*")}
    pages = set(re.findall(r"^%\{_mandir\}/man\d/(.*)\*$", listed, re.MULTILINE))
    assert pages == {path.name for path in (ROOT / "man").iterdir()}
    kinds = set(re.findall(r"^%\{_(\w+)dir\}/mailassay.conf$", listed, re.MULTILINE))
    assert kinds == {path.name.removesuffix(".d") for path in (ROOT / "systemd").glob("*.d")}
    for line in re.findall("^%(?:doc|license) (.*)$", listed, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())


def test_the_configuration_of_the_spec_has_a_port(tmp_path):
    """SELinux does not let smtpd connect to the socket of an unconfined service."""
    arguments = re.search(r"^sed -i (.*?) %\{buildroot\}\S+$", SPEC.read_text(), re.MULTILINE | re.DOTALL)[1]
    file = tmp_path / "mailassay.yaml"
    file.write_text((ROOT / "conf/start.yaml").read_text())
    (tmp_path / "policy.yaml").write_text((ROOT / "policies/standard.yaml").read_text())
    subprocess.run(["/bin/sh", "-ec", f"sed -i {arguments} {file}"], check=True)
    assert config.load(str(file)).listen == config.socket_named("inet:8899@127.0.0.1")
    assert "    postconf -e 'smtpd_milters = inet:127.0.0.1:8899'" in file.read_text()
    assert not re.search("unix:|Debian", file.read_text())


def test_rpm_understands_the_spec():
    defined = [word for name, value in MACROS.items() for word in ("--define", f"{name} {value}")]
    done = ran("rpmspec", "--parse", *defined, str(SPEC))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^Requires: +/usr/bin/python3\.\d+$", done.stdout, re.MULTILINE)
    assert "%{_unitdir}" not in done.stdout


def test_rpmlint_has_no_complaint():
    done = ran("rpmlint", "-r", str(SPEC.with_suffix(".rpmlintrc")), str(SPEC))
    assert done.returncode == 0, done.stdout
    assert "0 errors, 0 warnings" in done.stdout


APPARMOR = ROOT / "contrib/apparmor/mailassay"


def test_apparmor_understands_the_profile():
    done = ran("apparmor_parser", "--skip-kernel-load", "--skip-cache", str(APPARMOR))
    assert done.returncode == 0, done.stderr


def test_the_profile_lets_the_service_do_what_its_unit_asks_for():
    """Each program that the unit starts, and each folder that it may write to."""
    profile, unit = APPARMOR.read_text(), (ROOT / "systemd/mailassay.service").read_text()
    programs = set(re.findall("^Exec(?:Start|Reload)=(/[^ ]*)", unit, re.MULTILINE))
    assert programs == {"/usr/bin/mailassay", "/bin/sh"}
    assert re.search(r"^  /usr/\{,local/\}bin/mailassay rix,$", profile, re.MULTILINE)
    assert re.search(r"^  /\{usr/,\}bin/\{,ba,da\}sh mrix,$", profile, re.MULTILINE)
    for folder in (*re.findall("^ReadWritePaths=-(.*)$", unit, re.MULTILINE), "/run/mailassay"):
        assert f"  {folder}/** rw,\n" in profile
    # the policies that a configuration may name where they are installed
    assert "  /usr/{,local/}share/mailassay/** r,\n" in profile
    # only by AppArmorProfile= in the unit
    assert re.search(r"^profile mailassay flags", profile, re.MULTILINE)


DEBIAN = ROOT / "debian"


def test_debian_has_the_libraries_of_setup_cfg():
    """The package of Debian 13 depends on Debian's packages in the versions that setup.cfg asks for."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]

    def versions(*wanted: str) -> dict[str, str]:
        required = dict(re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(wanted), re.MULTILINE))
        # Debian has the list, not the library (dmarc.suffix)
        required.pop("publicsuffixlist", None)
        return {names.get(name, name.lower().replace("_", "-")): version for name, version in required.items()}

    def named(field: str) -> dict[str, str]:
        lines = re.search(rf"^{field}:\n((?: .*\n)+)", control, re.MULTILINE)[1]
        return dict(re.findall(r"^ python3-([\w-]+) \(>= ([\d.]+)\),$", lines, re.MULTILINE))

    names = {"pyspf": "spf", "dkimpy": "dkim", "pymilter": "milter", "PyYAML": "yaml"}
    control = (DEBIAN / "control").read_text()
    assert named("Depends") == versions(setup["options"]["install_requires"], extras["serve"], extras["history"])
    assert named("Suggests") == versions(extras["postgresql"])
    assert "\n publicsuffix,\n" in control


def test_where_there_is_no_apt_deb_says_what_to_do(tmp_path):
    done = subprocess.run([ROOT / "tools/deb", "python3"], capture_output=True, text=True, env={"PATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (1, "")
    assert "docs/installing.md" in done.stderr


def test_both_debian_packages_are_described_alike():
    described = [
        (folder / "control").read_text().partition("\nDescription: ")[2] for folder in (DEBIAN, DEBIAN / "private")
    ]
    assert described[1].startswith(described[0])


@pytest.mark.parametrize("keys", [True, False])
def test_a_purge_leaves_private_keys(tmp_path, keys):
    """Nobody can make one again; folders without keys go."""
    etc = tmp_path / "etc/mailassay"
    (etc / "keys/empty.example").mkdir(parents=True)
    if keys:
        (etc / "keys/bank.example").mkdir()
        (etc / "keys/bank.example/a.pem").write_text("a key")
    script(tmp_path / "bin/getent", "exit 1")
    for path in ("/var/", "/run/"):
        (tmp_path / path[1:]).mkdir()
    text = (ROOT / "debian/mailassay.postrm").read_text().replace("#DEBHELPER#", "")
    for path in ("/etc/", "/var/", "/run/"):
        text = re.sub(rf"(?<![\w/]){path}", f"{tmp_path}{path}", text)
    # it deletes: nothing outside of this folder
    assert not re.findall(r"(?:^|[\s'\"])/(?:etc|var|run)/", text)
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run(["/bin/sh", "-s", "purge"], input=text, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    left = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "etc").rglob("*"))
    if keys:
        assert f"Private keys stay in {etc}/keys" in done.stderr
        assert left[-2:] == ["etc/mailassay/keys/bank.example", "etc/mailassay/keys/bank.example/a.pem"]
    else:
        assert (left, done.stderr) == ([], "")
