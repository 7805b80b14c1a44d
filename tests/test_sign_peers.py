"""Other verifiers on our signatures; dkimpy's word is in test_sign. Each is skipped if it is not installed."""

import re
import shutil
import subprocess

import pytest

from tests.lab.rspamd import rspamd
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


@pytest.fixture(scope="module")
def says(both):
    """What rspamd says of a message: the keys that it found to have signed, as `domain:s=selector`."""
    with rspamd(records(both)) as symbols:
        yield lambda message: symbols(message).get("R_DKIM_ALLOW", [])


# rspamd 3.4 verifies no signature over To if there are two such fields, whoever made it
@pytest.mark.process
@pytest.mark.parametrize("name", [each for each in MESSAGES if each != "repeated"])
def test_rspamd(both, says, name):
    message = MESSAGES[name]
    signed = on_top(finished(both, message), message)
    assert says(signed) == ["example.org:s=2026a", "example.org:s=2026b"]


@pytest.mark.process
@pytest.mark.parametrize("change", CHANGES)
def test_rspamd_on_a_message_that_was_changed(both, says, change):
    signed = on_top(finished(both, MESSAGE), MESSAGE)
    assert says(signed.replace(*change)) == []
