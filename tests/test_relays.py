"""The operator's own relay in front: who is judged, what becomes of mail that cannot be traced, what is said of it."""

import json
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.cli import main
from mailassay.config import Relays, Settings, Untraced, load_policy
from mailassay.judge.logline import Line
from mailassay.policy import Policy
from mailassay.policy.sets import Networks
from mailassay.verdict import Action
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.sign import ed25519_key
from tests.lab.talk import Talk

KEY = ed25519_key()
NAMES = f"""
    50.2.0.192.in-addr.arpa      PTR  mx2.receiver.example
    mx2.receiver.example         A    192.0.2.50
    mx2.receiver.example         TXT  "v=spf1 ip4:192.0.2.50 -all"
    sender.example               TXT  "v=spf1 ip4:198.51.100.7 -all"
    _dmarc.sender.example        TXT  "v=DMARC1; p=reject"
    ed._domainkey.sender.example TXT  "{KEY.record}"
    7.100.51.198.in-addr.arpa    PTR  mail.sender.example
    mail.sender.example          A    198.51.100.7
    mail.sender.example          TXT  "v=spf1 a -all"
    66.113.0.203.in-addr.arpa    PTR  h66.attacker.example
    h66.attacker.example         A    203.0.113.66
    h66.attacker.example         TXT  "v=spf1 a -all"
    lax.example                  TXT  "v=spf1 -all"
"""
ZONE = Zone(NAMES, limits=LIMITS)
RELAY, GATEWAY = "192.0.2.50", "10.0.0.1"
RELAYS = Relays(Networks((ip_network("192.0.2.50/32"), ip_network("10.0.0.0/24"))), ("fetcher",))
SETTINGS = Settings(authserv_id="mx.receiver.example", relays=RELAYS)


def received(address, helo="mail.sender.example", protocol="ESMTPS"):
    return (
        f" from {helo} (x [{address}])\n\tby mx2.receiver.example (Postfix) with {protocol} id 4ABCD"
        f"\n\tfor <bob@receiver.example>; Mon, 21 Sep 2026 14:10:00 +0000 (UTC)"
    ).encode()


HONEST = received("198.51.100.7")
SPOOF = received("203.0.113.66", "h66.attacker.example")
BY_USER = b" by mx2.receiver.example (Postfix, from userid 33)\n\tid 4ABC; x"
UNTRACED = {
    "no field": (),
    "no field of the inner relay": (received(GATEWAY),),
    "sent on the relay": (BY_USER, HONEST),
    "a user of the relay": (received("198.51.100.7", protocol="ESMTPSA"),),
    "cannot be read": (HONEST.replace(b"(x", b"((x"), HONEST),
    "fetched": (received("198.51.100.7", protocol="POP3"), HONEST),
    "two clients": (HONEST.replace(b"\n\tby", b" (y [198.51.100.7])\n\tby"),),
}


class Recording:
    """A source that keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, question):
        self.asked.append(question.name)
        return ZONE(question)

    def new(self):
        asked, self.asked = self.asked, []
        return asked


def judge(*fields, settings=SETTINGS, connected=RELAY, mail_from="ann@sender.example", signed=False, **more):
    author = more.get("author", "ann@sender.example")
    above = [field for value in fields for field in ((b"X-Scanned", b" by mx2"), (b"Received", value))]
    if signed:
        message = KEY.sign(b"From: " + author.encode() + b"\r\n\r\nx\r\n", "sender.example", "ed")
        above.append((b"DKIM-Signature", message.partition(b"\r\nFrom")[0].partition(b":")[2]))
    helo = more.get("helo", "mx2.receiver.example")
    talk = Talk(more.get("source", ZONE), settings=settings, client=connected, helo=helo)
    return talk.message(author=author, fields=above, mail_from=f"<{mail_from}>", login=more.get("login", ""))


def with_policy(tmp_path, text, **of_relays):
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return replace(SETTINGS, policy=load_policy(str(path)), relays=replace(RELAYS, **of_relays))


def test_honest_mail_passes_and_a_spoof_fails():
    honest, spoof = judge(HONEST), judge(SPOOF)
    assert (honest.evidence.spf.result, honest.evidence.dmarc.result) == ("pass", "pass")
    assert (honest.evidence.iprev.name, honest.evidence.spf_helo.result) == ("mail.sender.example", "pass")
    assert honest.verdict.action is Action.ACCEPT
    assert (spoof.evidence.spf.result, spoof.evidence.dmarc.result) == ("fail", "fail")
    assert spoof.verdict.action is Action.REJECT


def test_without_the_setting_the_relay_is_the_client():
    found = judge(HONEST, settings=replace(SETTINGS, relays=Relays()))
    assert found.evidence.spf.result == "fail"
    assert (str(found.connection.client_ip), found.connection.via) == (RELAY, ())


def test_the_header_and_the_log_say_so():
    found = judge(received(GATEWAY), HONEST)
    assert found.add[0][1].split(";\n ")[1:] == [
        'iprev=pass reason="by way of 192.0.2.50, 10.0.0.1" policy.iprev=198.51.100.7 (mail.sender.example)',
        "spf=pass smtp.mailfrom=sender.example",
        "dkim=none",
        "arc=none smtp.remote-ip=198.51.100.7",
        "dmarc=pass header.from=sender.example policy.dmarc=reject",
    ]
    assert str(Line(replace(found, queue_id="4ABC"))).startswith(
        "queue_id=4ABC client=198.51.100.7 via=192.0.2.50,10.0.0.1 iprev=pass name=mail.sender.example spf=pass"
    )
    broken = Zone(NAMES.replace("PTR  mail.sender.example", "PTR  !"), limits=LIMITS)
    found = judge(HONEST, source=broken)
    assert 'iprev=temperror reason="by way of 192.0.2.50, 7.100.51.198.in-addr.arpa PTR: ' in found.add[0][1]
    found = judge(BY_USER)
    assert found.add[0][1].split(";\n ")[1:] == [
        'spf=none reason="no client: the relay 192.0.2.50 received it from one of its own users" '
        "smtp.mailfrom=sender.example",
        "dkim=none",
        "arc=none smtp.remote-ip=192.0.2.50",
        "dmarc=fail header.from=sender.example policy.dmarc=reject",
    ]
    assert str(Line(replace(found, queue_id="4ABC"))).startswith(
        'queue_id=4ABC client=192.0.2.50 untraced="the relay 192.0.2.50 received it from one of its own users" '
        "iprev=none iprev_why=no_client spf=none spf_why=no_client"
    )


@pytest.mark.parametrize("below", [(), (HONEST,), (received(RELAY), HONEST), (received(GATEWAY), HONEST, HONEST)])
def test_what_the_client_wrote_itself_is_not_believed(below):
    found = judge(SPOOF, *below)
    assert str(found.connection.client_ip) == "203.0.113.66"
    assert found.verdict.action is Action.REJECT


@pytest.mark.parametrize("helo", [RELAY, "[192.0.2.50]", "mx2.receiver.example", "localhost", "[198.51.100.7]"])
def test_nobody_becomes_a_relay_by_his_helo(helo):
    found = judge(received("203.0.113.66", helo), HONEST)
    assert (str(found.connection.client_ip), found.connection.helo) == ("203.0.113.66", helo)


@pytest.mark.parametrize("connected", ["203.0.113.66", "192.0.2.51", "10.0.1.1", "::ffff:203.0.113.66"])
def test_from_nobody_else_a_received_field_is_believed(connected):
    found = judge(HONEST, connected=connected, login="")
    assert found.connection.via == ()
    assert (found.evidence.spf.result, found.verdict.action) == ("fail", Action.REJECT)


def test_a_login_makes_a_relay():
    found = judge(HONEST, connected="203.0.113.66", login="fetcher")
    assert (str(found.connection.client_ip), found.evidence.spf.result) == ("198.51.100.7", "pass")
    assert judge(SPOOF, connected="203.0.113.66", login="fetcher").verdict.action is Action.REJECT
    # others are not judged, as ever
    assert judge(SPOOF, connected="203.0.113.66", login="bob").verdict.rule == "authenticated"


def test_a_relay_whose_address_is_not_known_is_deferred():
    assert judge(HONEST, connected=None, helo="x", login="fetcher").verdict.rule == "no_client_address"


@pytest.mark.parametrize("login", ["", "bob", "fetcher"])
def test_a_relay_is_judged_whatever_else_it_is(login):
    settings = replace(SETTINGS, trusted_networks=(ip_network("192.0.2.0/24"),))
    assert judge(SPOOF, settings=settings, login=login).verdict.action is Action.REJECT


def test_a_client_of_the_relay_in_a_trusted_network_is_not_judged():
    settings = replace(SETTINGS, trusted_networks=(ip_network("172.16.0.0/12"), ip_network("127.0.0.0/8")))
    source = Recording()
    found = judge(received("172.16.3.4"), settings=settings, source=source)
    assert (found.verdict.rule, found.evidence) == ("trusted_network", None)
    assert source.asked == ["_dmarc.sender.example"]
    assert str(Line(replace(found, queue_id="4ABC"))).startswith(
        "queue_id=4ABC client=172.16.3.4 via=192.0.2.50 verdict=accept"
    )
    # a loopback address is the relay's own, not ours
    assert judge(received("127.0.0.1"), SPOOF, settings=settings).verdict.action is Action.REJECT
    # whether the relay is known by its address or by its login
    found = judge(received("172.16.3.4"), settings=settings, connected="203.0.113.66", login="fetcher")
    assert found.verdict.rule == "trusted_network"
    assert judge(received("127.0.0.1"), settings=settings).verdict.action is Action.REJECT
    assert judge(SPOOF, received("172.16.3.4"), settings=settings).verdict.action is Action.REJECT


def test_questions_start_when_the_field_is_there():
    source = Recording()
    conversation = Talk(source, settings=SETTINGS, client=RELAY, helo="mx2.receiver.example").session
    conversation.mail_from("<ann@sender.example>")
    assert source.new() == ["_dmarc.sender.example"]
    conversation.header(b"Subject", b" x")
    assert source.new() == []
    conversation.header(b"received", HONEST)
    assert set(source.new()) == {"7.100.51.198.in-addr.arpa", "mail.sender.example", "sender.example"}
    conversation.header(b"Received", SPOOF)
    conversation.header(b"From", b" ann@sender.example")
    conversation.end_of_headers()
    source.new()
    assert conversation.end_of_message().evidence.dmarc.result == "pass"
    assert source.new() == []


@pytest.mark.parametrize("values", [(HONEST,), ()])
def test_each_question_is_that_of_its_check(values):
    """Each has a number of its own, so none takes anything from another; check -v tells who asked."""
    direct = {"connected": "198.51.100.7", "helo": "mail.sender.example"} if not values else {}
    found = judge(*values, **direct, signed=True)
    asked = {(question.name, question.rdtype): method for question, method in found.asked_by.items()}
    assert asked == {
        ("7.100.51.198.in-addr.arpa", "PTR"): "iprev",
        ("mail.sender.example", "A"): "iprev",
        ("mail.sender.example", "TXT"): "spf_helo",
        ("sender.example", "TXT"): "spf",
        ("_dmarc.sender.example", "TXT"): "dmarc",
        ("_dmarc.example", "TXT"): "dmarc",
        ("ed._domainkey.sender.example", "TXT"): "dkim",
    }


def test_each_message_of_a_connection_has_its_own_client():
    talk = Talk(ZONE, settings=SETTINGS, client=RELAY, helo="mx2.receiver.example")
    found = []
    for values in ([HONEST], [SPOOF], [], [HONEST]):
        fields = [(b"Received", value) for value in values]
        outcome = talk.message(author="ann@sender.example", mail_from="<ann@sender.example>", fields=fields)
        found.append(outcome.evidence.spf.result)
    assert found == ["pass", "fail", "none", "pass"]


@pytest.mark.parametrize("name", UNTRACED)
@pytest.mark.parametrize("mail_from", ["ann@sender.example", ""])
def test_what_cannot_be_traced_neither_passes_nor_is_refused_by_spf_or_iprev(tmp_path, name, mail_from):
    lines = "".join(f"{check}: {{fail: reject, permerror: reject, temperror: defer}}\n" for check in ("spf", "iprev"))
    settings = with_policy(tmp_path, lines + "dmarc: {reject: tag}\n")
    found = judge(*UNTRACED[name], settings=settings, mail_from=mail_from)
    evidence = found.evidence
    assert (evidence.iprev.result, evidence.spf.result, evidence.spf_helo.result) == ("none", "none", "none")
    assert (evidence.spf.fault, evidence.iprev.fault) == ("no_client", "no_client")
    assert (evidence.spf_helo.fault, evidence.spf_helo.scope, evidence.spf_helo.domain) == ("no_client", "helo", "")
    assert evidence.spf.scope == ("mailfrom" if mail_from else "helo")
    why = f"no client: {found.connection.untraced}"
    assert {each.reason for each in (evidence.iprev, evidence.spf, evidence.spf_helo)} == {why}
    assert evidence.iprev.client_ip == found.connection.client_ip
    assert (evidence.dmarc.result, found.verdict.action) == ("fail", Action.TAG)
    assert judge(*UNTRACED[name], mail_from=mail_from).verdict.action is Action.REJECT
    # DKIM goes on
    signed = judge(*UNTRACED[name], settings=settings, mail_from=mail_from, signed=True)
    assert (signed.evidence.dmarc.result, signed.verdict.action) == ("pass", Action.ACCEPT)
    # without a policy it is delivered
    assert judge(*UNTRACED[name], mail_from=mail_from, author="x@lax.example").verdict.action is Action.ACCEPT


@pytest.mark.parametrize(
    ("mail_from", "domain"),
    [
        ("ann@SENDER.example.", "sender.example"),
        ("ann@Bücher.example", "xn--bcher-kva.example"),
        ("ann@LOCALHOST", "localhost"),
    ],
)
def test_the_domain_of_mail_from_if_the_client_is_not_known(mail_from, domain):
    """In the form of every other result; what is no domain name is what was sent, in lower case."""
    assert judge(mail_from=mail_from).evidence.spf_mail_from.domain == domain


def test_a_sender_that_cannot_receive_mail_needs_no_client(tmp_path):
    settings = with_policy(tmp_path, "sender_domain: {no_mail: reject}")
    found = judge(settings=settings, mail_from="ann@nobody.example", author="ann@nobody.example")
    assert (found.verdict.rule, found.evidence.sender_domain.result) == ("sender_domain.no_mail", "no_mail")


@pytest.mark.parametrize("name", UNTRACED)
def test_what_cannot_be_traced_is_let_in_where_the_operator_says_so(tmp_path, name):
    settings = with_policy(tmp_path, "{}", untraced=Untraced.ACCEPT)
    found = judge(*UNTRACED[name], settings=settings)
    assert (found.verdict.action, found.verdict.rule) == (Action.ACCEPT, "relays.untraced")
    assert found.verdict.override.startswith("local_policy: ")
    assert "relay" in found.verdict.override
    assert 'dmarc=fail reason="local_policy: ' in found.add[0][1]
    # what can be traced is held to DMARC
    assert judge(SPOOF, settings=settings).verdict.action is Action.REJECT


RULE = "rules: [{{name: r, if: {}, then: {}}}]"


@pytest.mark.parametrize(
    ("text", "action"),
    [
        # nothing lets in by the client if nobody knows it; not even by what it is not
        (RULE.format(f"{{client: {RELAY}}}", "accept"), Action.REJECT),
        (RULE.format("{client_name: mx2.receiver.example}", "accept"), Action.REJECT),
        (RULE.format("{helo: mx2.receiver.example, policy: none}", "accept"), Action.REJECT),
        (RULE.format("{not: {client: 203.0.113.0/24}, mail_from: sender.example}", "tag, unsafe: true, comment: x"),
         Action.REJECT),
        *(
            (RULE.format(f"{{{condition}, mail_from: [sender.example, <>]}}", "accept, unsafe: true, comment: x"),
             Action.REJECT)
            for condition in (
                "not: {spf: [fail, softfail]}",
                "spf: none",
                "not: {spf_helo: fail}",
                "not: {spf_pass: h66.attacker.example}",
                "not: {iprev: [fail, permerror]}",
            )
        ),
        (f"dmarc: {{trusted_forwarders: [{RELAY}, mx2.receiver.example]}}", Action.REJECT),
        # what says nothing about the client lets in as ever
        (RULE.format("{mail_from: [sender.example, <>]}", "accept, unsafe: true, comment: x"), Action.ACCEPT),
        # a rule that keeps out applies as far as is known, and defers nothing
        (RULE.format(f"{{client: {RELAY}}}", "defer") + "\ndmarc: {reject: accept}", Action.ACCEPT),
        (RULE.format(f"{{not: {{client: {RELAY}}}}}", "reject") + "\ndmarc: {reject: accept}", Action.REJECT),
    ],
)  # fmt: skip
def test_rules_about_a_client_that_nobody_knows(tmp_path, text, action):
    settings = with_policy(tmp_path, text)
    for fields in UNTRACED.values():
        assert judge(*fields, settings=settings).verdict.action is action


@pytest.mark.parametrize(
    ("text", "honest", "spoof"),
    [
        (RULE.format("{client: 198.51.100.0/24}", "hold"), Action.HOLD, Action.REJECT),
        (RULE.format("{client_name: h66.attacker.example}", "accept"), Action.ACCEPT, Action.ACCEPT),
        (RULE.format("{helo: mail.sender.example}", "hold"), Action.HOLD, Action.REJECT),
        (f"dmarc: {{trusted_forwarders: [{RELAY}]}}", Action.ACCEPT, Action.REJECT),
        ("dmarc: {trusted_forwarders: [203.0.113.66]}", Action.ACCEPT, Action.ACCEPT),
        ("{dmarc: {reject: accept}, spf: {fail: hold}}", Action.ACCEPT, Action.HOLD),
    ],
)
def test_rules_see_the_client(tmp_path, text, honest, spoof):
    settings = with_policy(tmp_path, text)
    assert (judge(HONEST, settings=settings).verdict.action, judge(SPOOF, settings=settings).verdict.action) == (
        honest,
        spoof,
    )


JUNK = st.lists(
    st.sampled_from([HONEST, SPOOF, BY_USER, received(RELAY), received(GATEWAY), received("127.0.0.1"), b" x", b""])
    | st.binary(max_size=30).filter(lambda octets: b"\n" not in octets and b"\r" not in octets),
    max_size=5,
)


@given(JUNK)
def test_no_header_section_below_the_relays_field_lets_a_spoof_in(below):
    assert judge(SPOOF, *below).verdict.action is Action.REJECT


@given(JUNK)
def test_no_header_section_makes_a_stranger_a_relay(fields):
    assert judge(*fields, connected="203.0.113.66").verdict.action is Action.REJECT


def test_dns_that_does_not_answer_delays_as_for_a_direct_client():
    zone = Zone(NAMES.replace('TXT  "v=spf1 ip4:198.51.100.7 -all"', "TXT  !"), limits=LIMITS)
    direct = judge(connected="198.51.100.7", helo="mail.sender.example", source=zone)
    by_relay = judge(HONEST, source=zone)
    assert direct.evidence.spf.result == by_relay.evidence.spf.result == "temperror"
    assert direct.verdict.action is by_relay.verdict.action is Action.DEFER


# --- check

FIELD = b"Received:" + HONEST.replace(b"\n\t", b"\r\n\t") + b"\r\n"
SENT = b"From: Ann <ann@sender.example>\r\nSubject: x\r\n\r\nHello\r\n"
CAME = (
    b"Return-Path: <ann@sender.example>\r\n%b"
    b"Received: from mx2.receiver.example (mx2.receiver.example [192.0.2.50])\r\n"
    b"\tby mx.receiver.example (Postfix) with %b id 4DEF\r\n"
    b"\tfor <bob@receiver.example>; Mon, 21 Sep 2026 14:10:01 +0000 (UTC)\r\n"
)
OURS = (
    b"Authentication-Results: mx.receiver.example;\r\n"
    b' iprev=pass reason="by way of 192.0.2.50" policy.iprev=198.51.100.7 (mail.sender.example);\r\n'
    b" spf=pass smtp.mailfrom=sender.example;\r\n dkim=none;\r\n arc=none smtp.remote-ip=198.51.100.7;\r\n"
    b" dmarc=pass header.from=sender.example policy.dmarc=reject\r\n"
)


@pytest.fixture
def check(tmp_path, capsys):
    (tmp_path / "zone").write_text(NAMES)

    def run(octets, *arguments, relays="[192.0.2.50]", as_json=True):
        (tmp_path / "mailassay.yaml").write_text(f"relays: {relays}\nauthserv_id: mx.receiver.example\n")
        (tmp_path / "message").write_bytes(octets)
        paths = [str(tmp_path / name) for name in ("message", "zone", "mailassay.yaml")]
        given = ["check", paths[0], "--zone", paths[1], "--config", paths[2], *arguments]
        status = main([*given, "--json"] if as_json else given)
        said = capsys.readouterr().out
        return status, json.loads(said) if as_json else said

    return run


GIVEN = ["--ip", RELAY, "--helo", "mx2.receiver.example", "--mail-from", "ann@sender.example"]


def test_check_traces_what_the_client_sent(check):
    status, found = check(FIELD + SENT, *GIVEN)
    assert (status, found["client"], found["results"]["via"]) == (0, "198.51.100.7", ["192.0.2.50"])
    assert found["spf_terms"] == [{"depth": 0, "text": "ip4:198.51.100.7", "matched": True}]
    assert found["message"]["client"] == RELAY
    assert check(FIELD.replace(b"198.51.100.7", b"203.0.113.66") + SENT, *GIVEN)[0] == 1
    status, said = check(FIELD + SENT, *GIVEN, as_json=False)
    assert "relay         192.0.2.50\n" in said
    assert "client        198.51.100.7  (Received, by way of 192.0.2.50)\n" in said
    assert "helo          mail.sender.example  (Received, by way of 192.0.2.50)\n" in said
    status, said = check(SENT, *GIVEN, "-v", as_json=False)
    assert status == 1
    assert "client        unknown: there is no Received field of the relay 192.0.2.50\n" in said
    assert "no client: there is no Received field of the relay 192.0.2.50" in said


def test_check_says_which_line_let_in_what_cannot_be_traced(check):
    status, said = check(SENT, *GIVEN, relays="{networks: [192.0.2.50], untraced: accept}", as_json=False)
    assert status == 0
    assert "setting relays.untraced, in the configuration" in said


@pytest.mark.parametrize("ours", [b"", OURS])
def test_check_traces_what_was_delivered(check, ours):
    status, found = check(CAME % (ours, b"ESMTPS") + FIELD + SENT)
    assert (status, found["client"], found["results"]["helo"]) == (0, "198.51.100.7", "mail.sender.example")
    assert (found["message"]["client"], found["message"]["sources"]["client"]) == (RELAY, "Received")
    assert found["message"]["differs"] == []
    assert len(found["message"]["then"]) == (5 if ours else 0)


def test_check_knows_that_a_message_was_judged_that_could_not_be_traced(check):
    outcome = judge(BY_USER)
    ours = b"Authentication-Results: " + outcome.add[0][1].replace("\n", "\r\n").encode() + b"\r\n"
    field = b"Received:" + BY_USER.replace(b"\n", b"\r\n") + b"\r\n"
    status, found = check(CAME % (ours, b"ESMTPS") + field + SENT)
    assert [each["method"] for each in found["message"]["then"]] == ["spf", "dkim", "arc", "dmarc"]
    assert (status, found["results"]["spf"], found["message"]["differs"]) == (1, "none", [])


@pytest.mark.parametrize("login", [b"", b"\r\n\t(Authenticated sender: fetcher)"])
def test_check_knows_a_relay_by_its_login(check, login):
    came = (CAME % (OURS, b"ESMTPSA")).replace(b"[192.0.2.50])", b"[203.0.113.5])" + login)
    _, found = check(came + FIELD + SENT, relays="{logins: [fetcher]}")
    assert (found["client"], found["results"]["via"]) == ("198.51.100.7", ["203.0.113.5"])
    assert found["message"]["differs"] == []


def test_the_default_is_nobody():
    assert Settings().relays == Relays()
    assert ip_address(RELAY) not in Settings().relays.networks
    assert Policy() == Settings().policy
