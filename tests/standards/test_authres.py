"""RFC 8601 section by section, with RFC 8616; and what Postfix makes of what a milter says."""

import re
import struct
from ipaddress import ip_address, ip_network

import pytest

from mailassay.authres.render import is_ours, render
from mailassay.config import Settings
from mailassay.evidence import Connection
from mailassay.judge.authenticate import resinfos
from mailassay.result import Resinfo, Result
from mailassay.verdict import Action
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.limits import LIMITS
from tests.lab.milter import MilterClient
from tests.lab.serve import Serve
from tests.lab.sign import ed25519_key
from tests.lab.talk import Talk

OURS = "mx.receiver.example"
NAME = "Authentication-Results"
ZONE = Zone(
    f"""
    1.2.0.192.in-addr.arpa        PTR  mail.bank.example
    mail.bank.example             A    192.0.2.1
    mail.bank.example             TXT  "v=spf1 a -all"
    bank.example                  TXT  "v=spf1 ip4:192.0.2.1 -all"
    _dmarc.bank.example           TXT  "v=DMARC1; p=reject"
    ed._domainkey.bank.example    TXT  "{ed25519_key().record}"
    _dmarc.shop.example           TXT  "v=DMARC1; p=quarantine; rua=mailto:dmarc@shop.example"
    servfail.example              TXT  !
    _dmarc.servfail.example       TXT  !
    broken.example                TXT  "v=spf1 nonsense"
    soft.example                  TXT  "v=spf1 ~all"
    neutral.example               TXT  "v=spf1 ?all"
""",
    limits=LIMITS,
)
AUTHOR = (b"From", b" alice@bank.example")
SETTINGS = Settings(authserv_id=OURS, trusted_networks=(ip_network("192.0.2.250/32"),))


def outcome(*fields, client="192.0.2.1", helo="mail.bank.example", **envelope):
    return Talk(ZONE, settings=SETTINGS, client=client, helo=helo).send(fields, **envelope)


def written(*fields, **facts):
    """Our field, in the message it is put into."""
    values = [value for name, value in outcome(*fields, **facts).add if name == NAME]
    assert len(values) == 1
    return values[0].replace("\n", "")


def removed(*values, **facts):
    fields = [(NAME.encode(), value) for value in values]
    return [instance for name, instance in outcome(*fields, AUTHOR, **facts).remove if name == NAME]


# --- section 5: removing existing fields


@pytest.mark.parametrize(
    "value",
    [b" mx.receiver.example; dmarc=pass", b" (x) MX.Receiver.Example (y) 1; dmarc=pass",
     b' "mx.receiver.example"; dmarc=pass', b' "mx\\.receiver.example"; dmarc=pass',
     b"\r\n mx.receiver.example\r\n ; dmarc=pass"],
)  # fmt: skip
def test_rfc8601_5_what_claims_our_name_is_removed(value):
    """A field with our authserv-id is removed, whatever comments, quotes, letter case or folding disguise it."""
    assert removed(value) == [1]


@pytest.mark.parametrize("facts", [{"client": "192.0.2.250"}, {"login": "joe"}])
def test_rfc8601_5_no_client_is_one_of_our_mtas(facts):
    """Fields in our name from authenticated clients and trusted networks are removed too: they did not come from us."""
    assert removed(b" mx.receiver.example; dmarc=pass", **facts) == [1]


def test_rfc8601_5_a_name_is_compared_as_a_domain():
    """A-labels and U-labels are one authserv-id (RFC 8616 section 6)."""
    assert is_ours(" mx.BÜCHER.example; none".encode(), "mx.xn--bcher-kva.example")
    assert is_ours(b" mx.xn--bcher-kva.example; none", "mx.bücher.example")


@pytest.mark.parametrize("value", [b" (mx.receiver.example; dmarc=pass", b' ";mx.receiver.example; dmarc=pass'])
def test_rfc8601_5_what_cannot_be_parsed_and_looks_like_ours_is_removed(value):
    """A field that cannot be parsed and holds our name is removed: somebody else may parse it."""
    assert removed(value) == [1]


@pytest.mark.parametrize(
    "value",
    [b" other.example; dmarc=pass", b" sub.mx.receiver.example; dmarc=pass", b" receiver.example; dmarc=pass",
     b" other.example; spf=pass smtp.helo=mx.receiver.example"],
)  # fmt: skip
def test_rfc8601_5_other_peoples_fields_stay(value):
    """A field under another authserv-id stays, even a name above or below ours, or one that mentions it."""
    assert removed(value) == []


@pytest.mark.parametrize(("version", "known"), [(b"", True), (b" 1", True), (b" 2", False), (b" 0", False)])
def test_rfc8601_5_a_version_that_is_not_known_is_removed(version, known):
    """From untrusted clients, a field with a version other than 1 is removed, whatever its authserv-id."""
    value = b" other.example%b; dmarc=pass" % version
    assert removed(value) == ([] if known else [1])
    assert removed(value, client="192.0.2.250") == []


# --- section 4: adding the field


def test_rfc8601_4_one_field_of_our_own_on_top_of_all_others():
    """One new field, above everything else; nothing is added to a field that is there."""
    found = outcome((NAME.encode(), b" other.example; none"), AUTHOR)
    assert [name for name, _ in found.add] == [NAME]
    assert found.remove == ()


def test_rfc8601_4_only_what_was_checked_is_said():
    """To, Reply-To and Sender, which nothing authenticates, are not in the field, nor are recipients."""
    value = written(
        AUTHOR, (b"Sender", b" eve@evil.example"), (b"Reply-To", b" eve@evil.example"), (b"To", b" b@c.example")
    )
    assert "evil" not in value
    assert "c.example" not in value


def test_rfc8601_2_7_2_spf_speaks_of_one_identity():
    """smtp.mailfrom, or smtp.helo for a null reverse-path, never both."""
    assert "spf=pass smtp.mailfrom=bank.example;" in written(AUTHOR)
    assert "smtp.helo" not in written(AUTHOR)
    null = written(AUTHOR, mail_from="<>")
    assert "spf=pass smtp.helo=mail.bank.example;" in null
    assert "smtp.mailfrom" not in null


@pytest.mark.parametrize("mail_from", ["<alice@bank.example>", '<"al ice"@bank.example>', "<alice+x@other.example>"])
def test_rfc8601_2_7_2_no_local_part_that_nobody_authenticated(mail_from):
    """smtp.mailfrom is the domain alone."""
    assert "al" not in written(AUTHOR, mail_from=mail_from).partition("spf=")[2].partition(";")[0]


# --- section 2.2: the syntax


def test_rfc8601_2_2_no_result_is_none():
    """A field without results says "none"."""
    assert render(OURS, []) == "mx.receiver.example; none"


@pytest.mark.parametrize(
    ("name", "value"),
    [("b", "a/b+"), ("i", "a@b_c.example")],
)
def test_rfc8601_2_2_a_value_with_a_special_is_quoted(name, value):
    """A value with any of the tspecials is a quoted-string, except an address with a domain-name."""
    assert render(OURS, [Resinfo("dkim", Result.PASS, (("header", name, value),))]).endswith(f'header.{name}="{value}"')
    address = Resinfo("dkim", Result.PASS, (("header", "i", "a.b+c@example.com"),))
    assert render(OURS, [address]).endswith(" header.i=a.b+c@example.com")


@pytest.mark.parametrize(
    "mark", [*'()<>,;:\\"/[]?= %&', "\r", "\n", "\0", "\r\n", "\x7f", "\x1b", "\u2028", "\ud800", "\uff1d"]
)
def test_rfc8601_2_2_what_is_no_name_is_left_out(mark):
    """A value with characters that names do not have is not written; of such an address only the domain is."""
    properties = (("header", "s", f"a{mark}b"), ("header", "i", f"a{mark}b@example.com"))
    clause = Resinfo("dkim", Result.PASS, properties, reason=f"a{mark}=b")
    assert render(OURS, [clause], utf8=True).endswith(" dkim=pass header.i=@example.com")


ATTACK = 'x"; dmarc=pass (y) z=\\'


@pytest.mark.parametrize(
    "facts",
    [{"helo": ATTACK}, {"helo": ATTACK, "mail_from": "<>"}, {"mail_from": f"<a@{ATTACK}>"},
     {"mail_from": f"<{ATTACK}@b.example>"}],
)  # fmt: skip
def test_rfc8601_2_2_what_a_sender_wrote_is_no_result(facts):
    """HELO, MAIL FROM and the tags of a signature add no method, result, property or comment."""
    signature = f' v=1; a={ATTACK}; d={ATTACK}; s="; dmarc=pass; i=@"; dmarc=pass; h=from; bh=AA==; b=";dmarc=pass("'
    (name, text), *_ = outcome(
        (b"From", b" eve@evil.example"), (b"DKIM-Signature", signature.encode()), client="198.51.100.66", **facts
    ).add
    assert name == NAME
    assert "dmarc=pass" not in text
    assert [clause.strip().partition("=")[0] for clause in text.split(";")[1:]] == [
        "iprev",
        "spf",
        "dkim",
        "arc",
        "dmarc",
    ]
    assert "(" not in text


def test_rfc8601_2_2_a_comment_is_a_host_name_that_dns_confirmed():
    """The only comment is the client's name, if it leads back to the client's address."""
    assert "iprev=pass policy.iprev=192.0.2.1 (mail.bank.example);" in written(AUTHOR)
    others = outcome((b"From", b" x@open.example"), client="198.51.100.66", mail_from="<>", helo="(comment)").add
    assert "comment" not in others[0][1]


# --- section 2.7: methods and results

WORDS = {
    "iprev": {"pass", "fail", "temperror", "permerror"},
    "spf": {"none", "pass", "fail", "softfail", "policy", "neutral", "temperror", "permerror"},
    "dkim": {"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"},
    "arc": {"none", "pass", "fail"},
    "dmarc": {"none", "pass", "fail", "temperror", "permerror"},
}
PTYPES = {"smtp", "header", "body", "policy", "dns"}


def signed(domain="bank.example", selector="ed", spoilt=False):
    message = ed25519_key().sign(b"From: alice@bank.example\r\n\r\nx\r\n", domain, selector)
    field = message.partition(b"\r\nFrom")[0].partition(b":")[2]
    return (b"DKIM-Signature", field.replace(b"bh=", b"bh=AA") if spoilt else field)


MESSAGES = [
    ([AUTHOR], {}),
    ([signed(), AUTHOR], {}),
    ([signed(spoilt=True), AUTHOR], {}),
    ([signed("servfail.example"), AUTHOR], {}),
    ([signed("nobody.example"), AUTHOR], {}),
    ([], {}),
    ([AUTHOR, AUTHOR], {}),
    ([(b"From", b" a@servfail.example")], {"mail_from": "<a@servfail.example>"}),
    ([(b"From", b" a@broken.example")], {"mail_from": "<a@broken.example>"}),
    ([(b"From", b" a@soft.example")], {"mail_from": "<a@soft.example>"}),
    ([(b"From", b" a@neutral.example")], {"mail_from": "<a@neutral.example>"}),
    ([(b"From", b" a@bank.example"), (b"ARC-Seal", b" i=1; cv=none")], {"client": "198.51.100.66"}),
    ([AUTHOR], {"client": "2001:db8::1", "helo": "[", "mail_from": "<>"}),
]


@pytest.mark.parametrize(("fields", "facts"), MESSAGES)
def test_rfc8601_2_7_methods_and_results_that_are_registered(fields, facts):
    """Methods, result words and property types are the registered ones (RFC 8617 section 10.1, RFC 9989 section
    9.2)."""
    found = outcome(*fields, **facts)
    assert found.evidence
    text = re.sub(r'"(\\.|[^"\\])*"', '""', render_of(found))
    clauses = [clause.split() for clause in text.split(";")[1:]]
    assert {clause[0].partition("=")[0] for clause in clauses} == set(WORDS)
    for first, *properties in clauses:
        method, _, word = first.partition("=")
        assert word in WORDS[method]
        named = [each.partition("=")[0] for each in properties if "=" in each]
        assert all(name == "reason" or name.partition(".")[0] in PTYPES for name in named)


def render_of(found):
    """Also where the message is refused, and nothing is added."""
    return render(OURS, resinfos(Connection(ip_address("192.0.2.1")), found.evidence))


# --- section 4.2: rejection in SMTP


def test_rfc8601_4_2_what_is_not_wanted_is_refused_and_not_sent_back():
    """A message that the policy refuses is refused in the SMTP session, never bounced later."""
    found = outcome((b"From", b" alice@bank.example"), client="198.51.100.66", mail_from="<eve@evil.example>")
    assert found.verdict.action is Action.REJECT
    assert found.verdict.reply.code == 550


# --- Postfix


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with DnsServer(ZONE) as dns, Serve(tmp_path_factory.mktemp("serve"), dns) as serve:
        yield serve


@pytest.fixture
def client(served):
    with MilterClient(served.socket) as client:
        client.connect("192.0.2.1")
        client.helo(b"mail.bank.example")
        yield client


@pytest.mark.process
def test_postfix_index_0_is_above_its_own_received(client):
    """Our field goes to index 0, which is above Postfix's own Received."""
    answer = client.message(b"<alice@bank.example>", [AUTHOR])
    assert [(kind, index) for kind, index, _, _ in answer.changes] == [("insert", 0)]


@pytest.mark.process
def test_postfix_numbers_move_up_with_every_removal(client):
    """Fields of one name are removed from the last to the first, since the numbers move up."""
    forged = (b"Authentication-Results", b" mx.receiver.example; none")
    answer = client.message(b"<alice@bank.example>", [forged, AUTHOR, forged, forged])
    numbers = [index for kind, index, name, _ in answer.changes if kind == "change" and name == NAME.encode()]
    assert numbers == [3, 2, 1]


@pytest.mark.process
def test_postfix_gives_names_as_they_were_written(client):
    """A field's name is compared in any letter case."""
    fields = [(name, b" mx.receiver.example; none") for name in (b"AUTHENTICATION-results", b"authentication-Results")]
    answer = client.message(b"<alice@bank.example>", [*fields, AUTHOR])
    assert [value for _, value in answer.apply([*fields, AUTHOR])][1:] == [AUTHOR[1]]


@pytest.mark.process
def test_postfix_j_is_our_name_where_none_is_set(tmp_path):
    """The macro j, Postfix's own name, is the authserv-id if none is configured."""
    with DnsServer(ZONE) as dns, Serve(tmp_path, dns, authserv_id=None) as serve, MilterClient(serve.socket) as client:
        client.connect("192.0.2.1", macros={"j": "mx.other.example"})
        answer = client.message(b"<alice@bank.example>", [AUTHOR])
    assert answer.inserted(NAME.encode())[0].startswith(b"mx.other.example; ")


@pytest.mark.process
def test_postfix_i_is_known_at_the_end(client, served):
    """The queue id, macro i, is in the log line: it is known at the end of the message, not before."""
    client.message(b"<alice@bank.example>", [AUTHOR], queue_id="4QUEUEID")
    assert served.entry("4QUEUEID")["dmarc"] == "pass"


@pytest.mark.process
def test_postfix_is_asked_for_the_macros_that_are_used(client):
    """The macros that are used are asked for, since an operator can shorten Postfix's own lists."""
    asked, at = {}, 0
    while at < len(client.macros_asked):
        (stage,) = struct.unpack("!I", client.macros_asked[at : at + 4])
        end = client.macros_asked.index(b"\0", at + 4)
        asked[stage] = client.macros_asked[at + 4 : end]
        at = end + 1
    connect, mail, end_of_message = 0, 2, 5
    assert b"j" in asked[connect].split()
    assert b"{auth_authen}" in asked[mail].split()
    assert b"i" in asked[end_of_message].split()


@pytest.mark.parametrize("login", ["", "joe"])
@pytest.mark.process
def test_postfix_is_never_told_accept(client, login):
    """No event is answered ACCEPT, which Postfix would keep for the next message and hide from later milters."""
    assert client.message(b"<alice@bank.example>", [AUTHOR], login=login).verdict == "continue"


@pytest.mark.process
def test_postfix_gives_the_space_after_the_colon_where_asked(client):
    """mailassay asks for the space after the colon, since simple canonicalization hashes it."""
    message = ed25519_key().sign(
        b"From:  alice@bank.example\r\n\r\nx\r\n", "bank.example", "ed", canonicalize=(b"simple", b"simple")
    )
    field = message.partition(b"\r\nFrom")[0].partition(b":")[2].replace(b"\r\n", b"\n")
    fields = [(b"DKIM-Signature", field), (b"From", b"  alice@bank.example")]
    answer = client.message(b"<alice@bank.example>", fields, [b"x\r\n"])
    assert b"dkim=pass" in answer.inserted(NAME.encode())[0]


@pytest.mark.process
def test_postfix_holds_what_is_quarantined_and_is_told_continue(client):
    """A held message is quarantined first, then answered with CONTINUE."""
    answer = client.message(b"<eve@evil.example>", [(b"From", b" a@shop.example")])
    assert answer.quarantine
    assert answer.verdict == "continue"
