"""What is kept about one message."""

import json
from dataclasses import replace
from textwrap import dedent

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailassay import __version__
from mailassay.arc import Doubt, Doubted
from mailassay.config import History, KeptAddresses, Reports, Settings, load_policy
from mailassay.history import rebuilt
from mailassay.history.record import Judged, line, read, record
from mailassay.history.spool import MAX_LINE
from mailassay.message import split
from mailassay.policy import Mode, Policy
from mailassay.zone import Zone
from tests.lab.bank import KEY, MESSAGE, STRANGER, outcome, signed
from tests.lab.limits import LIMITS
from tests.lab.talk import Talk


def kept(found, addresses=KeptAddresses.FULL, **settings):
    settings = Settings(history=History(addresses=addresses), **settings)
    return record(Judged(found, settings, 1_800_000_000.25), "mx1")


def test_a_record():
    found = kept(outcome(signed()))
    assert (found["v"], found["kind"], found["time"], found["host"]) == (1, "message", 1_800_000_000.25, "mx1")
    assert found["message_id"] == "<1@bank.example>"
    assert found["client"] == "192.0.2.1"
    assert found["evidence"]["dmarc"]["result"] == "pass"
    assert found["evidence"]["dkim"][0]["algorithm"] == "ed25519-sha256"
    assert found["dmarc_record"]["at"] == "bank.example"
    assert [found["dmarc_record"][tag] for tag in ("p", "sp", "np", "aspf", "adkim", "t", "rua")] == [
        "reject", None, "reject", "s", "r", "n", ["mailto:d@bank.example"],
    ]  # fmt: skip
    assert found["dmarc_record"]["alignment"][0]["how"] == "same"
    assert (found["verdict"], found["rule"], found["version"]) == ("accept", "default", __version__)
    assert found["added"][0][0] == "Authentication-Results"
    text = line(Judged(outcome(), Settings(), 0.0), "mx1")
    assert "\n" not in text
    assert text.isascii()
    assert not {"secret", "hidden"} & set(text.split())


def test_what_decided():
    settings = {"policy": Policy(mode=Mode.MONITOR), "policy_lines": {"dmarc.reject": 7}, "policy_path": "/etc/p.yaml"}
    found = kept(outcome(client=STRANGER, settings=Settings(**settings)), **settings)
    assert (found["verdict"], found["would"], found["rule"]) == ("accept", "reject", "dmarc.reject")
    assert (found["file"], found["line"], found["kind_of_rule"]) == ("/etc/p.yaml", 7, "setting")
    assert found["reply"] is None, "nobody got one"
    assert kept(outcome(client=STRANGER))["reply"].startswith("550 5.7.26 ")


def test_a_message_that_is_not_judged():
    found = kept(outcome(login="ann"))
    assert (found["verdict"], found["rule"], found["kind_of_rule"]) == ("accept", "authenticated", "unjudged")
    assert "evidence" not in found
    assert found["message_id"] == "<1@bank.example>"


ADDRESSES = {
    KeptAddresses.FULL: ("ann@b.example", ["bob@c.example", "postmaster"], "x@bank.example"),
    KeptAddresses.DOMAIN: ("@b.example", ["@c.example"], "@bank.example"),
    KeptAddresses.NONE: ("", [], ""),
}


TOKEN = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("addresses", KeptAddresses)
def test_the_address_of_our_reports_stays(addresses):
    """With its token only: any other extension may be a name. Other addresses are kept as always."""
    ours = f"r+{TOKEN}@ours.example"
    found = outcome()
    recipients = (ours, "r@ours.example", "r+bob@ours.example", "bob@ours.example")
    found = replace(found, transaction=replace(found.transaction, mail_from=ours, recipients=recipients))
    record = kept(found, addresses, reports=Reports("r@ours.example"))
    others = {
        KeptAddresses.FULL: ["r+bob@ours.example", "bob@ours.example"],
        KeptAddresses.DOMAIN: ["r@ours.example", "@ours.example"],
        KeptAddresses.NONE: ["r@ours.example"],
    }
    assert record["mail_from"] == ours
    assert record["recipients"] == [ours, "r@ours.example", *others[addresses]]
    assert kept(found, KeptAddresses.NONE)["recipients"] == []


@pytest.mark.parametrize("addresses", KeptAddresses)
def test_addresses(addresses):
    found = outcome(signed())
    signature = replace(found.evidence.dkim[0], identity="x@bank.example")
    found = replace(
        found,
        transaction=replace(found.transaction, mail_from="ann@b.example", recipients=("bob@c.example", "postmaster")),
        evidence=replace(found.evidence, dkim=(signature,)),
    )
    said = kept(found, addresses)
    identity = said["evidence"]["dkim"][0]["identity"]
    assert (said["mail_from"], said["recipients"], identity) == ADDRESSES[addresses]
    # header.i= has an address too
    assert bool(said["added"]) is (addresses is KeptAddresses.FULL)


def test_long_names_and_many_recipients():
    found = outcome()
    transaction = replace(found.transaction, mail_from="a" * 5000, recipients=("r" * 5000 + "@c.example",) * 500)
    found = replace(found, transaction=transaction, message_id="m" * 9000)
    said = kept(found)
    assert len(said["recipients"]) == 100
    assert said["more_recipients"] == 400
    assert max(map(len, (*said["recipients"], said["mail_from"], said["message_id"]))) == 1000


@pytest.mark.parametrize("tag", [b"a=rsa-sha256", b"s=x"])
def test_no_sender_makes_a_record_too_long(tag):
    """Such a line would be no record to the collector, and nobody would find the message."""
    long = tag[:2] + b'"' * 90_000
    fields = b"".join(
        b"DKIM-Signature: v=1; a=rsa-sha256; d=d%d.example; s=x; h=from; bh=AA; b=BB\r\n".replace(tag, long) % number
        for number in range(11)
    )
    recipients = ["bob+" + "\udcff" * 900 + "@c.example"] * 100
    found = outcome(fields + MESSAGE, recipients=recipients)
    text = line(Judged(found, Settings(), 0.0), "mx1")
    assert len(text) < MAX_LINE // 2
    said = read(json.loads(text))
    assert (said["evidence"]["dmarc"]["header_from"], len(said["recipients"])) == ("bank.example", 100)
    assert len(said["evidence"]["dkim"]) >= 10
    assert rebuilt.outcome(said).evidence


LOCAL = "zqmark"  # no name of our own contains it
MACROS = Zone(
    f"""
    1.2.0.192.in-addr.arpa       PTR  mail.bank.example
    mail.bank.example            A    192.0.2.1
    bank.example                 TXT  "v=spf1 exists:%{{l}}.%{{d}} include:%{{l}}.inc.%{{d}} -all"
    mac.example                  TXT  "v=spf1 include:%{{l}}.inc.%{{d}} -all"
    red.example                  TXT  "v=spf1 redirect=%{{l}}.inc.%{{d}}"
    exp.example                  TXT  "v=spf1 -all exp=%{{l}}.x.example"
    {LOCAL}.inc.mac.example      TXT  "v=spf1 bogus -all"
    _dmarc.bank.example          TXT  "v=DMARC1; p=reject; rua=mailto:d@bank.example"
    ed._domainkey.bank.example   TXT  "{KEY.record}"
    """,
    limits=LIMITS,
)
OF_AUTHOR = [
    f"{LOCAL}@bank.example", LOCAL, f"{LOCAL}@", f"{LOCAL} <{LOCAL}@bank.example", f'"{LOCAL}@a"@bank.example, x@y.z',
    f"{LOCAL}@[192.0.2.7]", f"<a@bank.example>{LOCAL}", f"{LOCAL}: a@b.example;", f"=?utf-8?q?{LOCAL}?= <{LOCAL}@b.z>",
]  # fmt: skip
ADDRESS = st.sampled_from(
    [f"{LOCAL}@{domain}" for domain in ("bank.example", "mac.example", "red.example", "exp.example", "nx..example", "")]
    + [LOCAL, f'"zq {LOCAL}"@bank.example', f"{LOCAL}@{LOCAL}@bank.example", f"{LOCAL}@[192.0.2.7]"]
)
POLICY_FILES = [
    "{}",
    "mode: monitor",
    "sender_domain: {no_mail: reject}\nspf: {fail: reject, permerror: reject}",
    """
    rules:
      - name: said
        if: {client: 192.0.2.1}
        then: reject
        reason: "{mail_from_domain} {author}"
        reply: "not from {mail_from_domain} {author}"
    """,
]


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    paths = [tmp_path_factory.mktemp("policies") / f"{number}.yaml" for number in range(len(POLICY_FILES))]
    for path, text in zip(paths, POLICY_FILES, strict=True):
        path.write_text(dedent(text))
    return [load_policy(str(path)) for path in paths]


@example("a@bank.example", LOCAL, [], "", "", 2, False, KeptAddresses.DOMAIN)
@example("a@bank.example", LOCAL, [], "", "", 3, False, KeptAddresses.NONE)
@given(
    st.sampled_from(OF_AUTHOR), ADDRESS, st.lists(ADDRESS, max_size=3), st.sampled_from(["", LOCAL, f"{LOCAL}@x.z"]),
    st.sampled_from(["", LOCAL, f"{LOCAL}@bank.example"]), st.integers(0, len(POLICY_FILES) - 1), st.booleans(),
    st.sampled_from([KeptAddresses.DOMAIN, KeptAddresses.NONE]),
)  # fmt: skip
def test_no_local_part_stays(policies, author, mail_from, recipients, login, identity, policy, doubted, addresses):
    """Wherever it can be: in texts about the message, in its results, in the field that was written."""
    message = signed(f"From: {author}\r\nMessage-ID: <1@x>\r\n\r\nhi\r\n".encode())
    if identity:
        message = message.replace(b"d=bank.example;", f"d=bank.example; i={identity};".encode(), 1)
    headers, body = split(message)
    settings = Settings(policy=policies[policy], history=History(addresses=addresses))
    talk = Talk(MACROS, settings=settings, client="192.0.2.1")
    found = talk.send(list(headers), body, mail_from=mail_from, recipients=recipients, login=login)
    if doubted and found.evidence:
        doubt = Doubted(Doubt.AUTHOR, f"set 1, which recorded header.from {LOCAL}@b.example, not bank.example")
        found = replace(found, evidence=replace(found.evidence, not_vouched=doubt))
    assert LOCAL not in line(Judged(found, settings, 0.0), "mx1").lower()


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_words_of_a_sender(text, other):
    found = outcome()
    transaction = replace(found.transaction, mail_from=text, recipients=(other,))
    said = line(Judged(replace(found, transaction=transaction, message_id=other), Settings(), 0.0), text[:8])
    assert said.isascii()
    assert said.isprintable()
    assert json.loads(said)["kind"] == "message"
