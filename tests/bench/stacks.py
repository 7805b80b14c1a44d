"""The stacks that are compared: what each consists of, and its configuration.

Each is told no more than it needs: to verify, whom to ask, where to listen, and to refuse what p=reject asks for.
Nothing logs but mailassay, which is part of what it costs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.mta import Mta
from tests.lab.serve import AUTHSERV_ID

ROOT = Path(__file__).parents[2]
NAMESERVER = "127.0.0.1"
LOG = "mailassay.log"
POLICY = {"dmarc": {"reject": "reject", "quarantine": "tag"}}
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"
_SUFFIXES = Path("/usr/share/publicsuffix/public_suffix_list.dat")


@dataclass(frozen=True)
class Part:
    """One daemon: its Debian package (empty: ours), its program, and its command line for a folder and a socket."""

    package: str
    program: str
    command: Callable[[Path, Path], Sequence[str | Path]]
    is_policy_service: bool = False

    @property
    def path(self) -> str:
        """Where the program is; empty where it is not installed."""
        return shutil.which(self.program, path=_PATH) or ""


def settings_of_mailassay(place: Path) -> dict[str, Any]:
    """What mailassay is told in each stack: its socket, whom it asks, and how it logs."""
    return {
        "listen": f"unix:{place}",
        "socket_mode": "0666",
        "socket_group": None,
        "authserv_id": AUTHSERV_ID,
        "dns": {"nameservers": [f"{NAMESERVER}:53"]},
        "log": {"format": "json"},
    }


def _mailassay(folder: Path, place: Path) -> Sequence[str | Path]:
    (folder / "policy.yaml").write_text(json.dumps(POLICY))
    settings = settings_of_mailassay(place) | {"policy": str(folder / "policy.yaml")}
    (folder / "mailassay.yaml").write_text(json.dumps(settings))
    return [sys.executable, "-m", "mailassay", "serve", "--config", folder / "mailassay.yaml"]


def _opendkim(folder: Path, place: Path) -> Sequence[str | Path]:
    (folder / "opendkim.conf").write_text(
        f"Mode v\nAuthservID {AUTHSERV_ID}\nNameservers {NAMESERVER}\nSocket local:{place}\nUMask 000\n"
        f"UserID opendkim\nPidFile {folder}/opendkim.pid\n"
    )
    return [OPENDKIM.path, "-f", "-x", folder / "opendkim.conf"]


def _opendmarc(folder: Path, place: Path, *, own_spf: bool) -> Sequence[str | Path]:
    spf = "SPFIgnoreResults true\nSPFSelfValidate true" if own_spf else "SPFIgnoreResults false"
    suffixes = f"PublicSuffixList {_SUFFIXES}\n" if _SUFFIXES.exists() else ""
    (folder / "opendmarc.conf").write_text(
        f"AuthservID {AUTHSERV_ID}\nTrustedAuthservIDs {AUTHSERV_ID}\nRejectFailures true\n{spf}\n{suffixes}"
        f"Socket local:{place}\nUMask 000\nUserID opendmarc\nPidFile {folder}/opendmarc.pid\n"
    )
    return [OPENDMARC.path, "-f", "-c", folder / "opendmarc.conf"]


def _opendmarc_with_spf(folder: Path, place: Path) -> Sequence[str | Path]:
    return _opendmarc(folder, place, own_spf=True)


def _opendmarc_alone(folder: Path, place: Path) -> Sequence[str | Path]:
    return _opendmarc(folder, place, own_spf=False)


def _policyd_spf(folder: Path, place: Path) -> Sequence[str | Path]:
    (folder / "policyd-spf.conf").write_text(
        "HELO_reject = False\nMail_From_reject = False\nPermError_reject = False\nTempError_Defer = False\n"
        f"Header_Type = AR\nAuthserv_Id = {AUTHSERV_ID}\ndebugLevel = 0\n"
    )
    return [sys.executable, "-m", "tests.bench.spawn", place, POLICYD_SPF.path, folder / "policyd-spf.conf"]


def _rspamd(folder: Path, place: Path) -> Sequence[str | Path]:
    # what its first start compiles: without it every start of it took 160 MB more than any other start of rspamd's
    kept = folder.with_name("rspamd-cache")
    kept.mkdir(exist_ok=True)
    kept.chmod(0o777)
    plugins = "\n".join(
        f'path = "/usr/share/rspamd/plugins/{name}.lua";' for name in ("spf", "dmarc", "arc", "milter_headers")
    )
    (folder / "rspamd.conf").write_text(
        f"""
options {{
  filters = "dkim"; tempdir = "{folder}"; hs_cache_dir = "{kept}"; cache_file = "{folder}/symbols.cache";
  pidfile = "{folder}/rspamd.pid"; control_socket = "{folder}/control.sock mode=0600";
  url_tld = "/usr/share/rspamd/effective_tld_names.dat"; local_addrs = [127.0.0.0/8];
  dns {{ nameserver = ["{NAMESERVER}:53:1"]; timeout = 2s; sockets = 16; }}
}}
logging {{ type = "console"; level = "error"; }}
modules {{ {plugins} }}
actions {{ reject = 1000; add_header = 900; }}
dkim {{ dkim_cache_size = 2k; }}
spf {{ spf_cache_size = 2k; }}
arc {{ sign_local = false; sign_inbound = false; sign_authenticated = false; }}
dmarc {{ actions {{ reject = "reject"; quarantine = "add_header"; }} }}
milter_headers {{ use = ["authentication-results"]; }}
worker "rspamd_proxy" {{
  bind_socket = "{place} mode=0666"; milter = yes; count = {os.cpu_count() or 1};
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
"""
    )
    return [RSPAMD.path, "-f", "-c", folder / "rspamd.conf", "-u", "_rspamd", "-g", "_rspamd"]


MAILASSAY = Part("", sys.executable, _mailassay)
OPENDKIM = Part("opendkim", "opendkim", _opendkim)
OPENDMARC = Part("opendmarc", "opendmarc", _opendmarc_with_spf)
OPENDMARC_ALONE = Part("opendmarc", "opendmarc", _opendmarc_alone)
POLICYD_SPF = Part("postfix-policyd-spf-python", "policyd-spf", _policyd_spf, is_policy_service=True)
RSPAMD = Part("rspamd", "rspamd", _rspamd)

ALONE, OURS = "Postfix alone", "mailassay"
STACKS: dict[str, tuple[Part, ...]] = {
    ALONE: (),
    OURS: (MAILASSAY,),
    "policyd-spf, opendkim, opendmarc": (POLICYD_SPF, OPENDKIM, OPENDMARC_ALONE),
    "opendkim, opendmarc": (OPENDKIM, OPENDMARC),
    "rspamd": (RSPAMD,),
}
"""In the order of the table. The milters of each are asked in this order."""


def missing(parts: Sequence[Part]) -> list[str]:
    """The Debian packages that a stack lacks here."""
    return [part.package for part in parts if not part.path]


@dataclass(frozen=True)
class Running:
    """A stack behind a Postfix; ``pids`` are its own daemons', ``folder`` is where they write."""

    postfix: Mta
    pids: tuple[int, ...]
    folder: Path


@contextmanager
def running(parts: Sequence[Part], folder: Path, more: str = "") -> Iterator[Running]:
    """A stack, fresh, behind a fresh Postfix. Raises RuntimeError where one does not start.

    ``more`` are further lines of main.cf.
    """
    folder.mkdir()
    folder.chmod(0o777)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        pids, milters, policy = [], [], ""
        for part in parts:
            place = folder / f"{part.program.rpartition('/')[2]}.sock"
            pids.append(stack.enter_context(_daemon(part, folder, place)))
            if part.is_policy_service:
                policy = f", check_policy_service unix:{place}"
            else:
                milters.append(f"unix:{place}")
        # the milters see the client that XCLIENT names, and nothing of the connection before it
        lines = (
            "smtpd_milter_maps = cidr:{{127.0.0.0/8 DISABLE}}\nvirtual_transport = discard\nin_flow_delay = 0\n"
            f"smtpd_recipient_restrictions = reject_unauth_destination{policy}\n{more}"
        )
        postfix = stack.enter_context(Mta(milters, lines))
        yield Running(postfix, tuple(pids), folder)


@contextmanager
def _daemon(part: Part, folder: Path, place: Path) -> Iterator[int]:
    log = folder / (f"{part.program}.log" if part.package else LOG)
    with log.open("wb") as output:
        process = subprocess.Popen(
            part.command(folder, place),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'milter'}:{ROOT}"},
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 30
        while not _listens(place):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{part.program} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        try:
            # libmilter looks every five seconds whether it is to stop
            process.wait(1)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listens(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(place))
        except OSError:
            return False
    return True
