"""Other verifiers on our signatures; dkimpy's word is in test_sign. Each is skipped if it is not installed."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from http.client import HTTPConnection

import pytest

from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.folder import open_folder
from tests.lab.limits import LIMITS
from tests.lab.signing import finished, on_top, records, signing

MESSAGE = b"From: Alice <alice@example.org>\r\nTo: bob@example.net\r\nSubject: hi\r\n\r\nHello  world \r\n\r\n"
MESSAGES = {
    "plain": MESSAGE,
    "empty_body": b"From: alice@example.org\r\n\r\n",
    "folded": MESSAGE.replace(b"hi", b"a\r\n\tb \r\n  c"),
    "repeated": b"To: x@example.net\r\n" + MESSAGE,
    "blanks_at_the_end": MESSAGE + b" \t\r\n\r\n\r\n",
    "8bit": MESSAGE.replace(b"hi", b"\xc3\xa9\xff") + b"\xff\xfe\r\n",
    "long_line": MESSAGE + b"x " * 3000 + b"\r\n",
    "large_header": b"X-Large: " + b"y" * 20_000 + b"\r\n" + MESSAGE,
}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return signing(tmp_path_factory.mktemp("keys"))


def opendkim(found, message, folder):
    """The result for each signature, from the top."""
    program = shutil.which("opendkim", path="/usr/sbin:/usr/bin") or pytest.skip(reason="opendkim is not installed")
    keys, config, file = folder / "keys.txt", folder / "opendkim.conf", folder / "message.eml"
    keys.write_text("".join(f"{name} {record}\n" for name, record in records(found).items()))
    config.write_text(f"Mode v\nTestPublicKeys {keys}\nSyslog no\n")
    file.write_bytes(message)
    command = [program, "-x", config, "-t", file, "-vvv"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return re.findall(rb"\bdkim=(\w+)", done.stdout)


@pytest.mark.parametrize("name", MESSAGES)
def test_opendkim(both, tmp_path, name):
    message = MESSAGES[name]
    signed = on_top(finished(both, message), message)
    assert opendkim(both, signed, tmp_path) == [b"pass", b"pass"]


CHANGES = [(b"alice", b"eve"), (b"Hello", b"Hallo"), (b"To: bob", b"Cc: x@y.example\r\nTo: bob")]


@pytest.mark.parametrize("change", CHANGES)
def test_opendkim_on_a_message_that_was_changed(both, tmp_path, change):
    signed = on_top(finished(both, MESSAGE), MESSAGE)
    assert opendkim(both, signed.replace(*change), tmp_path) == [b"fail", b"fail"]


class Local(HTTPConnection):
    """HTTP on a Unix socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.host)


@pytest.fixture(scope="module")
def rspamd(both):
    """What rspamd says of a message: the keys that it found to have signed, as `domain:s=selector`."""
    program = shutil.which("rspamd", path="/usr/bin:/usr/sbin") or pytest.skip(reason="rspamd is not installed")
    if os.geteuid():
        pytest.skip(reason="only root can start rspamd as another user")
    zone = Zone("\n".join(f'{name} TXT "{record}"' for name, record in records(both).items()), limits=LIMITS)
    with DnsServer(zone) as dns, open_folder() as folder:
        folder.chmod(0o777)
        place = folder / "worker.sock"
        (folder / "rspamd.conf").write_text(f"""
options {{
  filters = "dkim"; tempdir = "{folder}"; hs_cache_dir = "{folder}"; cache_file = "{folder}/symbols.cache";
  pidfile = "{folder}/rspamd.pid"; control_socket = "{folder}/control.sock mode=0600";
  url_tld = "/usr/share/rspamd/effective_tld_names.dat";
  dns {{ nameserver = ["{dns.address}:{dns.port}:1"]; timeout = 5s; }}
}}
logging {{ type = "console"; level = "error"; }}
modules {{ path = "/usr/share/rspamd/plugins/spf.lua"; }}
actions {{ reject = 1000; }}
worker "normal" {{ bind_socket = "{place} mode=0666"; count = 1; }}
""")
        command = [program, "-f", "-c", folder / "rspamd.conf", "-u", "_rspamd", "-g", "_rspamd"]
        with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                end = time.monotonic() + 60
                while not place.exists():
                    assert process.poll() is None, (folder / "log").read_text()
                    assert time.monotonic() < end
                    time.sleep(0.05)

                def says(message):
                    client = Local(str(place))
                    client.request("POST", "/checkv2", message, {"IP": "192.0.2.1", "Helo": "x.example"})
                    found = json.loads(client.getresponse().read())
                    client.close()
                    return sorted(found["symbols"].get("R_DKIM_ALLOW", {}).get("options", ()))

                yield says
            finally:
                process.terminate()


# rspamd 3.4 verifies no signature over To if there are two such fields, whoever made it
@pytest.mark.process
@pytest.mark.parametrize("name", [each for each in MESSAGES if each != "repeated"])
def test_rspamd(both, rspamd, name):
    message = MESSAGES[name]
    signed = on_top(finished(both, message), message)
    assert rspamd(signed) == ["example.org:s=2026a", "example.org:s=2026b"]


@pytest.mark.process
@pytest.mark.parametrize("change", CHANGES)
def test_rspamd_on_a_message_that_was_changed(both, rspamd, change):
    signed = on_top(finished(both, MESSAGE), MESSAGE)
    assert rspamd(signed.replace(*change)) == []
