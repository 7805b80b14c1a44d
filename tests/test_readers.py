"""Our field as others read it: with regular expressions, with Sieve, at its semicolons, in Perl, with authres.

Whatever a sender writes, no reader finds a result that is better than ours, or another domain than ours.
"""

import email
import email.header
import fnmatch
import html
import re
import shutil
import subprocess
from concurrent.futures import Future
from ipaddress import ip_address
from unicodedata import normalize
from urllib.parse import unquote

import authres
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay import arc, dkim, iprev, spf
from mailassay.authres.render import render
from mailassay.dmarc import Disposition, Dmarc
from mailassay.domain import BadDomain, Domain, u_labels
from mailassay.evidence import Connection, Evidence
from mailassay.judge.authenticate import resinfos
from mailassay.policy import Mode, Policy, Rule
from mailassay.policy.condition import All
from mailassay.resolver import Answer, DnsTempError
from mailassay.result import Result
from mailassay.verdict import Action
from mailassay.zone import Zone
from tests.lab import stamp
from tests.lab.limits import LIMITS
from tests.lab.talk import OURS, Talk

METHODS = ("iprev", "spf", "dkim", "arc", "dmarc")
DOMAINS = ("header.from", "smtp.mailfrom", "smtp.helo", "header.d")
PROPERTIES = ("header.i", "header.s", "header.a", "header.b", "policy.dmarc")

PERL = r"""
use strict; use warnings; binmode STDIN; binmode STDOUT; $| = 1;
while (my $line = <STDIN>) {
    chomp $line;
    my $octets = pack "H*", $line;
    my $text = $octets;
    utf8::decode($text);
    my %found;
    for my $field ($octets, $text) {
        $found{"$1=pass"} = 1 while $field =~ /\b(iprev|spf|dkim|arc|dmarc)\s*=\s*"?pass\b/gi;
        while ($field =~ /\b(header\.from|smtp\.mailfrom|smtp\.helo|header\.d)\s*=\s*"?([\w.-]+)/gi) {
            my ($name, $domain) = (lc $1, $2);
            utf8::encode($domain) if utf8::is_utf8($domain);
            $found{"$name=$domain"} = 1;
        }
        for my $clause (split /;/, $field) {
            my %pairs = map { my ($name, $value) = split /=/, $_, 2; (lc $name, $value // "") } split " ", $clause;
            $found{"$_=pass"} = 1 for grep { exists $pairs{$_} && $pairs{$_} =~ /^pass/i } qw(iprev spf dkim arc dmarc);
        }
    }
    print join(" ", map { unpack "H*", $_ } sort keys %found), "\n";
}
"""


class Perl:
    """One perl for all examples, which gets a field a line and says what it found there."""

    def __init__(self):
        perl = shutil.which("perl") or pytest.skip(reason="perl is not installed")
        self.process = subprocess.Popen([perl, "-e", PERL], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, field):
        self.process.stdin.write(field.encode().hex().encode() + b"\n")
        self.process.stdin.flush()
        found = self.process.stdout.readline().decode("ascii").split()
        return {bytes.fromhex(each).decode(errors="surrogateescape") for each in found}


@pytest.fixture(scope="module")
def perl():
    reader = Perl()
    yield reader
    with reader.process:
        reader.process.stdin.close()


def decodings(field):
    """The field, and what readers make of it before they look: none has to know what a quote is."""
    unfolded = field.replace("\n", "")
    yield field
    yield unfolded
    yield normalize("NFKC", unfolded)
    yield unquote(unfolded)
    yield html.unescape(unfolded)
    yield unfolded.replace('"', "")
    yield re.sub(r"\\(.)", r"\1", unfolded)
    yield re.sub(r'"(?:[^"\\]|\\.)*"', "", unfolded)
    yield re.sub(r"\([^)]*\)", "", unfolded)
    # what decodes encoded-words
    yield str(email.header.make_header(email.header.decode_header(unfolded)))


def by_expressions(field):
    """All matches, so the first and the last as well."""
    for method in re.findall(rf"\b({'|'.join(METHODS)})\s*=\s*\"?pass\b", field, re.IGNORECASE):
        yield f"{method.lower()}=pass"
    for name, domain in re.findall(rf"\b({'|'.join(DOMAINS)})\s*=\s*\"?([\w.-]+)", field, re.IGNORECASE):
        yield f"{name.lower()}={domain}"


def by_octets(field):
    """The same by one who knows no UTF-8."""
    for name, domain in re.findall(rb"\b([a-z]+\.[a-z]+)\s*=\s*\"?([A-Za-z0-9_.-]+)", field.encode(), re.IGNORECASE):
        if name.decode().lower() in DOMAINS:
            yield f"{name.decode().lower()}={domain.decode()}"


def by_sieve(field):
    """``:contains`` and ``:matches``, which know no letter case."""
    text = field.lower()
    for method in METHODS:
        # with the blank before it: "arc=pass" is in "dmarc=pass"
        if f" {method}=pass" in text or fnmatch.fnmatchcase(text, f"* {method}=pass*"):
            yield f"{method}=pass"
    for victim in VICTIMS:
        for name in DOMAINS:
            value = f"{name}={victim}"
            if any(value + end in text for end in (" ", ";", '"', "\n")) or text.endswith(value):
                yield value


def by_pieces(field):
    """At semicolons, blanks and equals signs."""
    for clause in field.split(";"):
        for word in clause.split():
            name, _, value = word.partition("=")
            if name in METHODS and value.startswith("pass"):
                yield f"{name}=pass"
            if name in DOMAINS:
                yield f"{name}={value.strip(chr(34))}"
        name, _, value = (each.strip() for each in clause.partition("="))
        if name in METHODS and value.split()[:1] == ["pass"]:
            yield f"{name}=pass"


def by_authres(field):
    """Through Python's parsers of messages and of this field."""
    message = email.message_from_bytes(b"Authentication-Results: " + field.encode() + b"\n\nx\n")
    (value,) = message.get_all("Authentication-Results")
    value = str(email.header.make_header(email.header.decode_header(value)))
    try:
        read = authres.AuthenticationResultsHeader.parse_value(re.sub(r"\r?\n", "", value))
    except authres.core.SyntaxError:
        # it takes no UTF-8 in a value
        assert not field.isascii()
        return
    for each in read.results:
        if each.result == "pass":
            yield f"{each.method}=pass"
        for prop in each.properties:
            if f"{prop.type}.{prop.name}" in DOMAINS:
                yield f"{prop.type}.{prop.name}={prop.value}"


READERS = (by_expressions, by_octets, by_sieve, by_pieces)


def allowed(evidence):
    """What is true of the evidence."""
    results = {
        "iprev": [evidence.iprev.result],
        "spf": [evidence.spf.result],
        "dkim": [each.result for each in evidence.dkim],
        "arc": [evidence.arc.result],
        "dmarc": [evidence.dmarc.result],
    }
    yield from (f"{method}=pass" for method, found in results.items() if Result.PASS in found)
    names = [("header.from", evidence.dmarc.header_from), (f"smtp.{evidence.spf.scope}", evidence.spf.domain)]
    names += [("header.d", each.domain) for each in evidence.dkim]
    for name, text in names:
        yield f"{name}={text}"
        try:
            yield f"{name}={Domain(text or '')}"
            yield f"{name}={u_labels(Domain(text or ''))}"
        except BadDomain:
            pass


def is_no_name(found):
    """A reader who stops before a name begins, or in its first label, has found none, nor one who skips it."""
    name, _, value = found.partition("=")
    return name in DOMAINS and ("." not in value.rstrip(".") or value in PROPERTIES)


def check(field, evidence, perl):
    """No reader finds more than there is."""
    true = set(allowed(evidence))
    found = {each for text in decodings(field) for read in READERS for each in read(text)}
    found |= set(by_authres(field)) | perl(field)
    assert {each for each in found if each not in true and not is_no_name(each)} == set(), field


VICTIMS = ("bank.example", "bänk.example", "xn--bnk-qla.example")
PIECES = [
    *("dmarc=pass", "dmarc= pass", "dmarc =\tpass", "DMARC=Pass", "dmarc\uff1dpass", "dmarc=\0pass", "dmarc%3Dpass"),
    *("spf=pass", "dkim = pass", "arc=pass", "iprev=pass", "dmarc==pass", "dmarc&#61;pass", "dmarc=\\pass", "pass"),
    *("header.from=bank.example", "header.from = bank.example", "smtp.mailfrom=bank.example", "header.from"),
    *("smtp.helo=bank.example", "header.d=bank.example", "header.from=bänk.example", "dmarc", "dmarc=", "=pass"),
    *(";", '"', "\\", "(", ")", "@", ".", ",", " ", "\t", "=", "\n", "\r\n ", "\n\n", "<", ">", "[", "]", "\0", "\x7f"),
    *("=?utf-8?q?dmarc=3Dpass?=", "=?utf-8?b?ZG1hcmM9cGFzcw==?=", "bank.example", "bank.exampleü", "ü", "é\u0301"),
    *("attacker.example", ".attacker.example", "@attacker.example", "xn--", "xn--bnk-qla", "\u200d", "\u2028", "рф्"),
    *("\ud800", "a", "b.c", "-", "_", "+", "/", "\U0001f4e7", "none", "mx.receiver.example;", "[192.0.2.1]", "[IPv6:"),
]
text = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join) | st.text(max_size=20)
# names that DNS and all parsers let pass, so that they stand in the field
labels = st.lists(
    st.sampled_from(["bank", "example", "pass", "dmarc", "exampleü", "bänk", "über", "рф्", "header", "from", "xn--a"]),
    min_size=1,
    max_size=4,
).map(".".join)
names = text | labels | labels.map("{}.attacker.example".format)
domains = names.map(lambda text: Domain(text) if _is_domain(text) else None)
results = st.sampled_from([each for each in Result if each is not Result.PASS])
reasons = names.map("_dmarc.{} TXT: SERVFAIL".format) | names | st.just("the key is being tested (t=y)")


def _is_domain(text):
    try:
        return bool(Domain(text))
    except BadDomain:
        return False


signatures = st.builds(
    dkim.Dkim,
    results,
    domains,
    identity=text | st.builds("{}@{}".format, text, names),
    selector=names,
    algorithm=text,
    b_text=text,
    reason=reasons,
)
found = st.builds(
    Evidence,
    iprev=st.builds(iprev.Iprev, results, st.just(ip_address("192.0.2.1")), names, reason=reasons),
    spf_helo=st.builds(spf.Spf, results, st.just("helo"), names, reason=reasons),
    spf_mail_from=st.none() | st.builds(spf.Spf, results, st.just("mailfrom"), names, reason=reasons),
    dkim=st.lists(signatures, max_size=3).map(tuple),
    arc=st.builds(arc.Arc, results, reason=reasons),
    dmarc=st.builds(Dmarc, results, domains, st.sampled_from([None, *Disposition]), reason=reasons),
    authors=st.just(()),
)


@given(evidence=found, utf8=st.booleans())
def test_whatever_the_values_are(evidence, utf8, perl):
    """Every value that a sender chooses, as hostile as it may be; and nothing passes."""
    infos = resinfos(Connection(ip_address("192.0.2.1")), evidence)
    check(render(OURS, infos, utf8=utf8), evidence, perl)


MONITOR = Policy(mode=Mode.MONITOR)
KEY = stamp.key("attacker.example")
ZONE = Zone(
    f"""
    attacker.example                TXT  "v=spf1 ip4:198.51.100.66 -all"
    sel._domainkey.attacker.example TXT  "{KEY.record}"
    _dmarc.attacker.example         TXT  "v=DMARC1; p=reject"
    _dmarc.bank.example             TXT  "v=DMARC1; p=none"
""",
    limits=LIMITS,
)


def judged(helo, mail_from, fields, texts, utf8):
    """Through a whole conversation, with a DNS where the sender's texts stand at every name that is not in the zone."""

    def ask(question):
        future = ZONE(question)
        if question.rdtype in ("TXT", "PTR") and not future.result().records:
            answer = texts[len(question.name) % len(texts)]
            future = Future()
            if answer is None:
                future.set_exception(DnsTempError(f"{question.name} {question.rdtype}: SERVFAIL"))
            else:
                future.set_result(Answer((answer,)))
        return future

    talk = Talk(ask, MONITOR, client="198.51.100.66", helo=helo)
    outcome = talk.send(fields, b"hi\r\n", mail_from=mail_from, smtputf8=utf8)
    ((_, field),) = outcome.add
    return field, outcome.evidence


def signed(identity):
    """A good signature by attacker.example, whatever its i=."""
    encoded = "".join(f"={octet:02X}" for octet in identity.encode(errors="surrogatepass")).encode()
    tags = b" v=1; a=ed25519-sha256; c=relaxed/relaxed; d=attacker.example; s=sel; i=" + encoded
    tags += b"; h=from; bh={bh}; b={b}"
    message = stamp.stamped(b"From: eve@attacker.example\r\n\r\nhi\r\n", tags, KEY)
    return (b"DKIM-Signature", message.partition(b"\r\nFrom:")[0].partition(b":")[2])


def octets(text):
    """As a header field may bring it: no line ends, no NUL."""
    return re.sub(r"[\r\n\0]", "", text).encode(errors="surrogatepass")


good = st.builds(lambda text: signed(f'"{text}"@attacker.example'), text) | st.builds(signed, text)
other = st.builds(
    lambda d, s, a, i, b: (b"DKIM-Signature", b" v=1; d=%b; s=%b; a=%b; i=%b; b=%b; bh=AA==; h=from" % (d, s, a, i, b)),
    *[names.map(octets)] * 5,
)
others = other | names.map(lambda text: (b"ARC-Seal", b" i=1; cv=none; d=" + octets(text)))
froms = names.map(lambda text: (b"From", b" a@" + octets(text))) | st.just((b"From", b" eve@attacker.example"))


@given(
    helo=names,
    mail_from=st.just("<>") | text.map("<{}@attacker.example>".format) | names.map("<a@{}>".format),
    fields=st.lists(good | others, max_size=3),
    author=froms,
    texts=st.lists(st.none() | text | text.map("v=spf1 {}".format) | names.map("v=spf1 a:{} -all".format), min_size=1),
    utf8=st.booleans(),
)
def test_whatever_a_sender_writes(helo, mail_from, fields, author, texts, utf8, perl):
    """In HELO, MAIL FROM, From, the tags of signatures and the records of its names; some of it passes."""
    field, evidence = judged(helo, mail_from, [*fields, author], texts, utf8)
    check(field, evidence, perl)


@pytest.mark.parametrize(
    ("helo", "mail_from", "fields", "expected"),
    [
        ("dmarc= pass header.from=bank.example x", "<>", [(b"From", b" ceo@bank.example")], "spf=none;"),
        (
            "attacker.example",
            "<e@attacker.example>",
            [signed('"header.from=bank.example"@attacker.example'), (b"From", b" eve@attacker.example")],
            "header.i=@attacker.example",
        ),
    ],
)
def test_what_was_read_as_results(helo, mail_from, fields, expected, perl):
    field, evidence = judged(helo, mail_from, fields, ["x"], False)
    check(field, evidence, perl)
    assert expected in field


@given(author=names, mail_from=names)
def test_what_a_rule_writes(author, mail_from):
    """Where a placeholder stands there is a domain name, and no equals sign, blank or semicolon of the sender's."""
    written = (("X-R", "author={author};from={mail_from_domain}"),)
    rule = Rule(name="r", condition=All(()), action=Action.TAG, headers=written)
    talk = Talk(ZONE, Policy(rules=(rule,)), client="198.51.100.66", helo="x")
    outcome = talk.send([(b"From", b" a@" + octets(author))], mail_from=f"<a@{mail_from}>")
    (value,) = [value for name, value in outcome.add if name == "X-R"]
    assert re.fullmatch(r"author=[a-z0-9_.-]+;from=[a-z0-9_.-]+", value)
