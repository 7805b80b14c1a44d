"""opendkim and rspamd sign by their configuration, and mailassay by the migrated one: the same d= and s=."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from socket import AF_UNIX, socket

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mailassay import migrate
from mailassay.config import load
from mailassay.finding import Severity
from mailassay.sign import Submission, Unsigned
from tests.lab.folder import open_folder
from tests.lab.migrating import laid, libsodium, pkcs1
from tests.lab.milter import Early, MilterClient
from tests.lab.rspamd import running
from tests.lab.signing import finished

OPENDKIM = shutil.which("opendkim", path="/usr/sbin:/usr/bin")
needs_opendkim = pytest.mark.skipif(not OPENDKIM, reason="opendkim is not installed")
pytestmark = pytest.mark.process


def message(author):
    return b"From: %b\r\nTo: bob@example.net\r\nSubject: hi\r\n\r\nHello  world \r\n" % author.encode()


def named(field):
    """d= and s= of a signature field."""
    tags = dict(re.findall(r"\b([a-z]+)=([^;\s]+)", field))
    return tags["d"].lower(), tags["s"]


def until(path, process):
    """Wait until the program listens."""
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, "the program has ended"
        assert time.monotonic() < end
        with suppress(FileNotFoundError, ConnectionRefusedError), socket(AF_UNIX) as channel:
            channel.connect(str(path))
            return
        time.sleep(0.01)


def ours(config, folder):
    """The settings that come out of a configuration, and what was said about it."""
    plan, directory = migrate.read(str(config)), str(folder / "private")
    list(migrate.write(migrate.copies(plan, directory), directory))
    if not plan.domains:
        return None, plan
    path = folder / "mailassay.yaml"
    path.write_text("\n".join(migrate.lines(plan, directory)) + "\n")
    return load(str(path), keys=True), plan


def we_sign(found, author):
    """What mailassay signs with; MAIL FROM is the author."""
    if found is None:
        return []
    signed = finished(found, message(author), Submission(author, "anna"))
    return sorted(named(each) for each in signed.values)


@contextmanager
def opendkim(config, folder):
    """What opendkim signs with, for mail of this host."""
    place, whole = folder / "socket", folder / "whole.conf"
    place.unlink(missing_ok=True)
    extra = "RequireSafeKeys no\nBackground no\nSyslog no\n"
    whole.write_text(f"{config.read_text()}\n{extra}")
    with subprocess.Popen([OPENDKIM, "-f", "-x", whole, "-p", f"local:{place}"], stderr=subprocess.DEVNULL) as process:
        try:
            until(place, process)

            def signs(author):
                text = message(author)
                header, _, body = text.partition(b"\r\n\r\n")
                fields = [tuple(line.split(b":", 1)) for line in header.split(b"\r\n")]
                with MilterClient(str(place)) as client:
                    client.connect("127.0.0.1", b"localhost")
                    client.helo(b"localhost")
                    try:
                        return client.message(b"<%b>" % author.encode(), fields, [body])
                    except Early as early:
                        # it defers the message if there is no key
                        return early.answer

            yield signs
        finally:
            # it takes seconds to end by itself
            process.kill()


def they_sign(answer):
    """Two lines with one key give two signatures, which say the same."""
    return sorted({named(each.decode()) for each in answer.inserted(b"DKIM-Signature")})


@pytest.fixture
def folder():
    with open_folder() as found:
        yield found


AUTHORS = [
    f"{local_part}@{domain}"
    for local_part in ("ann", "bob")
    for domain in ("example.org", "example.net", "a.example.org", "b.a.example.org", "other.example")
]
KEYS = {"one.private": pkcs1(), "two.private": pkcs1("two")}
ONE = "Domain example.org,example.net\nSelector sel\nKeyFile %FOLDER%/one.private\n"
TABLES = """\
KeyTable %FOLDER%/KeyTable
SigningTable {kind}:%FOLDER%/SigningTable
MultipleSignatures {several}
"""
TABLE = """\
one example.org:a:%FOLDER%/one.private
two example.org:b:%FOLDER%/two.private
net example.net:n:%FOLDER%/one.private
any %:x:%FOLDER%/one.private
each %:y:%FOLDER%/each/%.private
example.net example.net:z:%FOLDER%/two.private
"""


@needs_opendkim
@pytest.mark.parametrize("more", ["", "SubDomains yes\n", "Domain refile:%FOLDER%/domains\n"])
def test_one_key(folder, more):
    config = laid(folder, {"opendkim.conf": ONE + more, "domains": "example.org\nother.example\n", **KEYS})
    found, plan = ours(config, folder)
    assert {each.severity for each in plan.remarks} <= {Severity.NOTE}
    with opendkim(config, folder) as signs:
        assert {each: we_sign(found, each) for each in AUTHORS} == {each: they_sign(signs(each)) for each in AUTHORS}


PATTERNS = {
    "file": ["example.org", ".example.org", "example.net", "ann@example.org", "*", "bob@*", "a.example.org"],
    "refile": [
        "*@example.org",
        "*@*.example.org",
        "*@example.net",
        "ann@example.org",
        "*",
        "*@a.example.org",
        "*@*.org",
    ],
}
LINES = st.sampled_from(["file", "refile"]).flatmap(
    lambda kind: st.tuples(
        st.just(kind),
        st.lists(
            st.tuples(st.sampled_from(PATTERNS[kind]), st.sampled_from(["one", "two", "net", "any", "each", "%"])),
            min_size=1,
            max_size=4,
        ),
        st.booleans(),
    )
)


@needs_opendkim
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(LINES)
def test_tables(folder, tables):
    """If nothing is said, both sign alike. Otherwise mailassay signs as opendkim does, or not at all."""
    kind, lines, several = tables
    # of more than two signatures, opendkim 2.11 loses those between the first and the last
    lines = lines[:2] if several else lines
    config = laid(
        folder,
        {
            "opendkim.conf": TABLES.format(kind=kind, several="yes" if several else "no"),
            "SigningTable": "".join(f"{pattern} {key}\n" for pattern, key in lines),
            "KeyTable": TABLE,
            "each/example.org.private": pkcs1(),
            "each/example.net.private": pkcs1("two"),
            **KEYS,
        },
    )
    shutil.rmtree(folder / "private", ignore_errors=True)
    found, plan = ours(config, folder)
    complete = all(each.severity is Severity.NOTE for each in plan.remarks)
    if any(each.severity is Severity.ERROR for each in plan.remarks):
        # opendkim defers mail whose key is missing
        return
    with opendkim(config, folder) as signs:
        for author in AUTHORS:
            mine, theirs = we_sign(found, author), they_sign(signs(author))
            if complete:
                assert mine == theirs, author
            elif author.startswith("bob@") and author.partition("@")[2] in plan.domains:
                # what opendkim signs as another domain was named
                domain = author.partition("@")[2]
                bobs = any(pattern.startswith("bob@") for pattern, _ in lines)
                assert bobs or mine == [each for each in theirs if each[0] == domain], author


@needs_opendkim
def test_what_opendkim_signed_is_not_signed_again(folder):
    """So nothing is signed twice while both are in the list, if opendkim comes first and its body is relaxed."""
    config = laid(folder, {"opendkim.conf": ONE + "Canonicalization relaxed/relaxed\n", **KEYS})
    found, _ = ours(config, folder)
    with opendkim(config, folder) as signs:
        answer = signs("ann@example.org")
    [_, _, _, value] = next(each for each in answer.changes if each[2] == b"DKIM-Signature")
    signed = b"DKIM-Signature:" + value.replace(b"\n", b"\r\n") + b"\r\n" + message("ann@example.org")
    again = finished(found, signed, Submission("ann@example.org", "ann"))
    assert (again.values, again.why) == ((), Unsigned.SIGNED)
    changed = signed.replace(b"Hello", b"Hallo")
    assert finished(found, changed, Submission("ann@example.org", "ann")).by == ("example.org/sel",)


def signed_by(fields):
    return sorted(map(named, fields))


@contextmanager
def rspamd(config, folder):
    """The signature fields of rspamd, for mail of this host."""
    with running(folder, ["dkim_signing"], f"dkim_signing {{\n{config.read_text()}\n}}") as ask:

        def signs(author, login=""):
            facts = {"IP": "127.0.0.1", "From": author, **({"User": login} if login else {})}
            found = ask(message(author), facts).get("dkim-signature", [])
            return [found] if isinstance(found, str) else found

        yield signs


BLOCK = """\
domain {
  example.org {
    selectors [ { path = "%FOLDER%/one.key"; selector = "rsa"; }, { path = "%FOLDER%/ed.key"; selector = ed; } ]
  }
  example.net { selector = "n"; path = "%FOLDER%/$selector.key"; }
}
"""
RSPAMD_FILES = {
    "one.key": pkcs1(),
    "ed.key": libsodium(),
    "n.key": pkcs1("two"),
    "d/example.org.dkim.key": pkcs1(),
    "d/a.example.org.dkim.key": pkcs1(),
    "d/other.example.dkim.key": libsodium(),
    "selectors": "example.org m\n",
    "paths": "example.org %FOLDER%/one.key\n",
    "signing": "*@example.org one\n*@example.net %\n",
    "keys": "one example.org:a:%FOLDER%/one.key\nexample.net %:n:%FOLDER%/n.key\n",
}
CONFIGURATIONS = {
    "blocks": BLOCK + "try_fallback = false;\n",
    "blocks, no organization": BLOCK + "try_fallback = false;\nuse_esld = false;\n",
    "blocks and keys at the default path": BLOCK + 'path = "%FOLDER%/d/$domain.$selector.key";\nuse_esld = false;\n',
    "keys at the default path": 'path = "%FOLDER%/d/$domain.$selector.key";\nuse_esld = false;\n',
    "maps": 'selector_map = "%FOLDER%/selectors";\npath_map = "%FOLDER%/paths";\ntry_fallback = false;\n',
    "tables": 'signing_table = "%FOLDER%/signing";\nkey_table = "%FOLDER%/keys";\n',
    "tables here": 'signing_table = ["*@example.org one"];\nkey_table = ["one example.org:a:%FOLDER%/one.key"];\n',
}


@pytest.mark.skipif(bool(os.geteuid()), reason="only root can start rspamd as another user")
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_rspamd(folder, name):
    config = laid(folder, {"dkim_signing.conf": CONFIGURATIONS[name], **RSPAMD_FILES})
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)
    found, plan = ours(config, folder)
    assert {each.severity for each in plan.remarks} <= {Severity.NOTE}
    with rspamd(config, folder) as signs:
        assert {each: we_sign(found, each) for each in AUTHORS} == {each: signed_by(signs(each)) for each in AUTHORS}
        author = next(each for each in AUTHORS if we_sign(found, each))
        fields = signs(author)
    # what rspamd signed is not signed again
    signed = b"".join(b"DKIM-Signature: %b\r\n" % each.encode() for each in fields) + message(author)
    assert finished(found, signed, Submission(author, "ann")).why is Unsigned.SIGNED
