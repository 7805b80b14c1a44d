"""mailassay as the first process of a container, and the files for container engines."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailassay.cli import main
from mailassay.config import load, load_policy
from mailassay.config.mynetworks import trusted
from tests.lab import pid1, program
from tests.lab.folder import open_folder
from tests.lab.program import PROGRAM

ROOT = Path(__file__).parents[1]
CONTRIB = ROOT / "contrib"
IMAGE = CONTRIB / "container/mailassay.yaml"
COMPOSED = CONTRIB / "container/config/mailassay.yaml"
PAGE = (ROOT / "docs/containers.md").read_text()
USER = 61_234
PATIENCE = 60.0
# it cannot write what coverage would keep, and its log is JSON only
ENVIRONMENT = {name: value for name, value in program.ENVIRONMENT.items() if not name.startswith("COVERAGE")}


class Contained:
    """`mailassay serve` as process 1, with a configuration; its log."""

    def __init__(self, folder: Path, configuration: dict[str, Any]) -> None:
        self.config, self.policy, self._log = folder / "mailassay.yaml", folder / "policy.yaml", folder / "log"
        self.policy.write_text("mode: enforce\n")
        self.config.write_text(json.dumps(configuration))
        command = [*pid1.COMMAND, sys.executable, "-m", "tests.lab.pid1", str(USER), "serve", "--config"]
        with self._log.open("wb") as log:
            self._outer = subprocess.Popen(
                [*command, str(self.config)], stdin=subprocess.DEVNULL, stderr=log, env=ENVIRONMENT, cwd=ROOT
            )

    def children(self, pid: int) -> list[int]:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @property
    def first(self) -> int:
        """Process 1 of the container, by its id outside."""
        (pid,) = self.children(self._outer.pid)
        return pid

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + PATIENCE
        while text not in (log := self._log.read_text()):
            assert time.monotonic() < end, log
            assert self._outer.poll() is None, log
            time.sleep(0.02)

    def ping(self) -> subprocess.CompletedProcess[str]:
        """As the engine's health check, in the same namespaces."""
        # with its root, since the tests themselves may run in a chroot
        command = ["nsenter", f"--target={self.first}", "--pid", "--mount", "--net", "--root", *PROGRAM, "ping"]
        return subprocess.run([*command, "--config", self.config], capture_output=True, text=True, env=ENVIRONMENT)

    def end(self) -> int:
        os.kill(self.first, signal.SIGTERM)
        return self._outer.wait(PATIENCE)

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def close(self) -> None:
        self._outer.kill()
        self._outer.wait()


@pytest.fixture
def contained() -> Iterator[Contained]:
    with open_folder() as folder:
        settings = {**yaml.safe_load(IMAGE.read_text()), "workers": 2, "policy": "policy.yaml"}
        found = Contained(folder, settings)
        try:
            yield found
        finally:
            found.close()


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a process the first one of a namespace")
def test_the_first_process_of_a_container(contained: Contained) -> None:
    """Without a user in /etc/passwd, with a read-only root, with the configuration of the image."""
    with pytest.raises(KeyError):
        pwd.getpwuid(USER)
    contained.wait_for("listening on inet:8899@0.0.0.0")
    status = Path(f"/proc/{contained.first}/status").read_text()
    for line in (
        f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}",
        "Groups:\t \n",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
    ):
        assert line in status
    assert re.search(r"^\S+ \S+ \S+ / / ro[, ]", Path(f"/proc/{contained.first}/mountinfo").read_text(), re.MULTILINE)
    done = contained.ping()
    assert (done.returncode, done.stdout[:27]) == (0, "mailassay answers at inet:8"), done

    contained.policy.write_text("mode: monitor\n")
    os.kill(contained.first, signal.SIGHUP)
    contained.wait_for(load_policy(str(contained.policy)).digest)

    workers = contained.children(contained.first)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    contained.wait_for("starting another in")
    end = time.monotonic() + PATIENCE
    while len(set(contained.children(contained.first)) - {workers[0]}) < 2:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert contained.ping().returncode == 0

    assert contained.end() == 0
    assert [entry["level"] for entry in contained.entries() if entry["level"] != "info"] == ["error"]


@pytest.mark.parametrize("path", [IMAGE, COMPOSED], ids=["image", "compose"])
def test_the_example_configurations_have_nothing_to_warn_of(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a container has neither Postfix nor a name server of its own
    monkeypatch.setattr("mailassay.postfix.postconf.shutil.which", lambda *_, **__: None)
    monkeypatch.setattr("mailassay.cli.config.system_nameservers", lambda: [("10.96.0.10", 53)])
    assert main(["config", "check", "--in-container", "--config", str(path)]) == 0
    assert capsys.readouterr().err == ""
    # as the image does it
    monkeypatch.setenv("container", "oci")
    assert main(["config", "check", "--config", str(path)]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.delenv("container")
    assert main(["config", "check", "--config", str(path)]) == 0
    assert "is not on this host" in capsys.readouterr().err


def test_a_configuration_for_a_container_without_its_networks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailassay.postfix.postconf.shutil.which", lambda *_, **__: None)
    path = tmp_path / "mailassay.yaml"
    path.write_text("authserv_id: mx.example.org\ntrusted_networks: postfix\ndns: {nameservers: [9.9.9.9]}\n")
    assert main(["config", "check", "--in-container", "--config", str(path)]) == 0
    warned = re.findall(r"^\S+ warning: (\w+)", capsys.readouterr().err, re.MULTILINE)
    assert warned == ["trusted_networks", "dns"]


COMPOSE = yaml.safe_load((CONTRIB / "compose.yaml").read_text())


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_what_a_service_is_built_of_is_there(name: str) -> None:
    service = COMPOSE["services"][name]
    context = CONTRIB / service["build"]["context"]
    build = (context / service["build"]["dockerfile"]).read_text()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", build, re.MULTILINE) for word in line.split()]
    assert copied
    assert all((context / word).exists() for word in copied)
    if context.resolve() == ROOT:
        shown = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        assert all(any(Path(word).is_relative_to(each) for each in shown) for word in copied)
    for volume in service.get("volumes", ()):
        source, target, *_ = volume.split(":")
        assert source in COMPOSE["volumes"] or (CONTRIB / source / Path(target).with_suffix(".yaml").name).is_file()
    for line in re.findall(r"^(?:ENTRYPOINT|CMD|HEALTHCHECK) .*$", build, re.MULTILINE):
        # without a shell, which would keep signals from the program
        assert json.loads(line[line.index("[") :])
    if name != "collector":
        assert service["healthcheck"]["test"][1:] == json.loads(
            build.partition("HEALTHCHECK")[2].partition("CMD ")[2].splitlines()[0]
        )


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_may_do_little(name: str) -> None:
    service = COMPOSE["services"][name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("network_mode") == "none" if name == "collector" else "inside" in service["networks"]
    assert bool(service.get("ports")) == (name == "postfix")
    assert bool(service.get("cap_add")) == (name == "postfix")
    for other in service.get("depends_on", ()):
        assert COMPOSE["services"][other]["healthcheck"]


def test_mailassay_has_no_way_out_and_time_to_stop() -> None:
    service, settings = COMPOSE["services"]["mailassay"], load(str(COMPOSED))
    assert list(service["networks"]) == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"]
    assert int(service["stop_grace_period"].removesuffix("s")) >= settings.message_timeout + 5


def test_the_parts_fit_together() -> None:
    """Addresses, networks and what both Postfix and mailassay must know."""
    settings = load(str(COMPOSED))
    ((address, port),) = settings.dns.nameservers
    unbound = (CONTRIB / "container/unbound/unbound.conf").read_text()
    assert COMPOSE["services"]["unbound"]["networks"]["inside"]["ipv4_address"] == address
    assert f"interface: 0.0.0.0@{port}\n" in unbound
    network = COMPOSE["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert ip_address(address) in ip_network(network)
    assert f"access-control: {network} allow\n" in unbound
    main_cf = dict(re.findall(r"^(\w+) = (.*)$", (CONTRIB / "container/postfix/main.cf").read_text(), re.MULTILINE))
    assert main_cf["smtpd_milters"] == f"inet:mailassay:{settings.listen.port}"
    assert main_cf["milter_default_action"] == "tempfail"
    for path in (IMAGE, COMPOSED):
        found = load(str(path))
        assert set(found.trusted_networks or ()) == set(trusted(main_cf["mynetworks"]))
        assert (found.log.format, found.listen.port) == ("json", settings.listen.port)
    assert COMPOSE["services"]["postfix"]["hostname"] == main_cf["myhostname"]
    assert f"EXPOSE {settings.listen.port}\n" in (ROOT / "Containerfile").read_text()


def test_the_collector_shares_the_history_and_nothing_else() -> None:
    """Mail does not depend on it, and it does not look for a milter."""
    collector, ours = COMPOSE["services"]["collector"], COMPOSE["services"]["mailassay"]
    directory = load(str(COMPOSED)).history.directory
    assert load(str(IMAGE)).history.directory is None
    assert f"history:{directory}" in set(collector["volumes"]) & set(ours["volumes"])
    assert f"install -d -o 10025 -g 10025 -m 0700 {directory}\n" in (ROOT / "Containerfile").read_text()
    assert (collector["build"], collector["hostname"]) == (ours["build"], ours["hostname"])
    assert collector["healthcheck"] == {"disable": True}
    assert not any("collector" in each.get("depends_on", ()) for each in COMPOSE["services"].values())


def test_the_manifests_of_the_page(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    pods, data, service = yaml.safe_load_all(text)
    pod = pods["spec"]["template"]["spec"]
    unbound, ours = pod["initContainers"]
    assert unbound["securityContext"] == ours["securityContext"]
    mounted = {
        each["name"] for container in (*pod["initContainers"], *pod["containers"]) for each in container["volumeMounts"]
    }
    claims = {each["metadata"]["name"] for each in pods["spec"]["volumeClaimTemplates"]}
    assert mounted == {each["name"] for each in pod["volumes"]} | claims
    assert [each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each] == [data["metadata"]["name"]]
    path = tmp_path / "mailassay.yaml"
    path.write_text(data["data"]["mailassay.yaml"])
    settings = load(str(path))
    assert f"smtpd_milters = {settings.listen.kind}:{settings.listen.host}:{settings.listen.port}" in PAGE
    assert pod["terminationGracePeriodSeconds"] >= settings.message_timeout + 5
    assert service["spec"]["selector"] == pods["spec"]["template"]["metadata"]["labels"]


def test_no_file_names_a_registry() -> None:
    for path in [ROOT / "Containerfile", *CONTRIB.rglob("*")]:
        if path.is_file():
            assert not re.search(r"docker\.io|ghcr\.io|quay\.io", path.read_text())
