"""Other validators on our seals; dkimpy's word is in test_seal and in tests/standards. Skipped if not installed."""

import pytest

from mailassay.sign import Unsealed
from tests.lab.rspamd import rspamd
from tests.lab.sealing import MESSAGE, host, judged, passed_on, published, through, zone
from tests.lab.signing import pem

pytestmark = pytest.mark.process

MESSAGES = {
    "plain": MESSAGE,
    "empty_body": b"From: ann@member.example\r\n\r\n",
    "folded": MESSAGE.replace(b"hi", b"a\r\n\tb \r\n  c"),
    "8bit": MESSAGE.replace(b"hi", b"\xc3\xa9\xff") + b"\xff\xfe\r\n",
    "long_line": MESSAGE + b"x " * 3000 + b"\r\n",
    "signed": b"DKIM-Signature: v=1; a=rsa-sha256; d=member.example; s=x; h=from;\r\n\tbh=AA; b=BB\r\n" + MESSAGE,
}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """Three with an RSA key, and one with an Ed25519 key."""
    folder = tmp_path_factory.mktemp("keys")
    by_rsa = [host(folder, f"{name}.example") for name in "abc"]
    return [*by_rsa, host(folder, "d.example", octets=pem("ed25519"))]


@pytest.fixture(scope="module")
def says(hosts):
    """What rspamd says of a chain, and the options of that."""
    with rspamd(published(*hosts)) as symbols:

        def found(message):
            [(name, options)] = [each for each in symbols(message).items() if each[0].startswith("ARC_")]
            return name.removeprefix("ARC_").lower(), options

        yield found


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_rspamd(hosts, says, name, count):
    message = through(MESSAGES[name], *hosts[:count])
    assert says(message) == ("allow", [f"{'abc'[count - 1]}.example:s=arc:i={count}"])


def test_rspamd_on_seals_by_ed25519(hosts, says):
    assert says(through(MESSAGE, hosts[3])) == ("allow", ["d.example:s=arc:i=1"])
    assert says(through(MESSAGE, hosts[3], hosts[0], hosts[3])) == ("allow", ["d.example:s=arc:i=3"])


@pytest.mark.parametrize("change", [(b"ann@", b"eve@"), (b"Hello", b"Hallo"), (b"spf=", b"spf=pass x=")])
def test_rspamd_on_a_chain_that_broke(hosts, says, change):
    """It finds the same as we do, and what we seal of it has failed for rspamd too."""
    message = through(MESSAGE, *hosts[:2]).replace(*change)
    assert says(message)[0] == "reject"
    known = zone(published(*hosts))
    found = judged(hosts[2], message, known)
    assert (found.seal.instance, found.seal.status) == (3, "fail")
    message = passed_on(found, message)
    assert says(message)[0] == "reject"
    assert judged(hosts[0], message, known).seal.why is Unsealed.FAILED
