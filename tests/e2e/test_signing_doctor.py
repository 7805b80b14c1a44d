"""What the doctor says of signing at a real Postfix and our real daemon, and that its commands fix what it says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailassay.config import Settings
from mailassay.finding import Severity
from mailassay.zone import Zone
from tests.lab.examined import OTHER, SOUND, SUBMISSION, codes, findings, fix, postconf
from tests.lab.limits import LIMITS
from tests.lab.mta import Lab
from tests.lab.signing import DOMAIN, ED, RSA, pem, records, signing, write

SIGNED = """
non_smtpd_milters = $smtpd_milters
internal_mail_filter_classes = bounce
disable_mime_output_conversion = yes
smtp_line_length_limit = 0
"""


@dataclass(frozen=True)
class Sound:
    """A Postfix whose mail is signed, and with which nothing is wrong."""

    lab: Lab
    keys: Settings


@pytest.fixture(scope="module")
def sound(make_lab: Callable[..., Lab], tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """It, and its keys, which DNS has."""
    folder = tmp_path_factory.mktemp("keys")
    keys = signing(folder)
    names = Zone("\n".join(f'{name} TXT "{record}"' for name, record in records(keys).items()), limits=LIMITS)
    lab = make_lab(more=SOUND + SIGNED, names=names, sign={"domains": {DOMAIN: [RSA, ED]}, "directory": str(folder)})
    return Sound(lab, keys)


@pytest.fixture
def copy(sound: Sound, tmp_path: Path) -> Path:
    """A copy of the configuration of Postfix."""
    folder = tmp_path / "etc"
    shutil.copytree(sound.lab.postfix.folder / "etc", folder)
    return folder


def signs(sound: Sound, folder: Path) -> set[str]:
    return {each for each in codes(sound.lab.serve.config, folder) if each.startswith("sign-")}


def test_nothing_is_wrong(sound: Sound, copy: Path) -> None:
    assert signs(sound, copy) == set()


# what is done to a sound configuration, by the code of what is said of it then; our socket is OURS
BAD = {
    "sign-submission": [SUBMISSION, ("-P", "587/inet/smtpd_milters=")],
    "sign-submission with another": [SUBMISSION, ("-P", f"587/inet/smtpd_milters={{{OTHER},protocol=6}}")],
    "sign-submission without milters": [SUBMISSION, ("-P", "587/inet/receive_override_options=no_milters")],
    "sign-non-smtpd": [("-e", f"non_smtpd_milters={OTHER}")],
    "sign-bounces": [("-e", "internal_mail_filter_classes=")],
    "sign-twice": [("-e", "smtpd_milters=OURS, { OURS, protocol=6 }")],
    "sign-behind": [("-e", f"smtpd_milters=OURS, {OTHER}")],
    "sign-8bit": [("-e", "disable_mime_output_conversion=no")],
    "sign-8bit of a service": [("-P", "smtp/unix/disable_mime_output_conversion=no")],
    "sign-lines": [("-e", "smtp_line_length_limit=998")],
    "sign-senders": [
        SUBMISSION,
        ("-P", "587/inet/smtpd_sasl_auth_enable=yes"),
        ("-P", "587/inet/smtpd_sender_restrictions=permit_sasl_authenticated,reject"),
        ("-e", "smtpd_sender_login_maps=inline:{{alice@example.org=alice}}"),
    ],
}


@pytest.mark.parametrize("name", BAD)
def test_its_commands_fix(sound: Sound, copy: Path, name: str) -> None:
    code = name.split()[0]
    for words in BAD[name]:
        postconf(copy, *(word.replace("OURS", f"unix:{sound.lab.serve.socket}") for word in words))
    found = [each for each in findings(sound.lab.serve.config, copy) if each.code == code]
    assert found
    for each in found:
        assert each.commands
        fix(each)
    assert signs(sound, copy) == set()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("sign-generic", ("-e", "smtp_generic_maps=inline:{{a@example.org=b@example.org}}")),
        ("sign-checks", ("-e", "smtp_header_checks=regexp:{{/^X/ IGNORE}}")),
        ("sign-milter-checks", ("-e", "milter_header_checks=regexp:{{/^DKIM-Signature:/ IGNORE}}")),
        ("sign-filter", ("-e", "content_filter=smtp:[127.0.0.1]:10024")),
        (
            "sign-senders",
            ("-P", "127.0.0.1:PORT/inet/smtpd_sasl_auth_enable=yes", "[::1]:PORT/inet/smtpd_sasl_auth_enable=yes"),
        ),
    ],
)
def test_what_it_says_in_words(sound: Sound, copy: Path, code: str, words: tuple[str, ...]) -> None:
    postconf(copy, *(word.replace("PORT", str(sound.lab.postfix.port)) for word in words))
    found = [each for each in findings(sound.lab.serve.config, copy) if each.code.startswith("sign-")]
    assert {each.code for each in found} == {code}
    assert all(each.fix and not each.commands for each in found)


def test_a_record_that_is_not_in_dns(sound: Sound, copy: Path, tmp_path: Path) -> None:
    """The files have other keys than DNS."""
    (tmp_path / "keys").mkdir()
    write(tmp_path / "keys", DOMAIN, RSA, pem("rsa", "another"))
    config = json.loads(sound.lab.serve.config.read_text())
    config["sign"] = {"domains": {DOMAIN: RSA}, "directory": str(tmp_path / "keys")}
    changed = tmp_path / "mailassay.yaml"
    changed.write_text(json.dumps(config))
    found = [each for each in findings(changed, copy) if each.code.startswith("sign-")]
    assert [(each.severity, each.code) for each in found] == [(Severity.ERROR, "sign-record")]
    assert f"the record has another key at {RSA}._domainkey.{DOMAIN}" in found[0].what
