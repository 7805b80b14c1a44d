"""Whose message is it? From fields, from plain to hostile."""

import re
import time
from base64 import b64encode
from contextlib import suppress
from email import policy
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import getaddresses, parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.author import Author, Fault, author, encoded_words
from mailassay.domain import BadDomain, Domain
from mailassay.limits import Limits
from mailassay.message import Field, Headers
from tests.lab.limits import LIMITS


def read(*values, limits=LIMITS):
    octets = (value if isinstance(value, bytes) else value.encode() for value in values)
    return author(Headers(Field(b"From", value) for value in octets), limits)


def folded(text):
    """Long text in lines of fewer octets than any MTA breaks."""
    return re.sub("(?s)(.{200})(?=.)", "\\1\r\n ", text)


def encoded(text, charset="utf-8", encoding="b"):
    """An encoded-word, RFC 2047."""
    octets = text.encode()
    word = b64encode(octets).decode() if encoding == "b" else "".join(f"={octet:02X}" for octet in octets)
    return f"=?{charset}?{encoding}?{word}?="


def charset(text, codec, name):
    """An encoded-word in a charset in which ASCII is something else."""
    return f"=?{name}?b?{b64encode(text.encode(codec)).decode()}?="


@pytest.mark.parametrize(
    "value",
    [
        " alice@bank.example",
        " <alice@bank.example>",
        " Alice <alice@bank.example>",
        " Alice Liddell <alice@BANK.example>",
        ' "Alice (in Wonderland)" <alice@bank.example>',
        ' "eve@evil.example" <alice@bank.example>',  # a name, quoted: legal, and common
        ' "a \\" <eve@evil.example>" <alice@bank.example>',
        " =?utf-8?q?Alice?= <alice@bank.example>",
        " =?utf-8?q?eve=40evil=2Eexample?= <alice@bank.example>",
        " Zoë <alice@bank.example>",
        " Alice\r\n <alice@bank.example>",
        " (a comment) alice@bank.example (another (nested))",
        ' "quoted local part"@bank.example',
        " a.b.c+d@bank.example",
        " alice@bank.example, bob@bank.example",
        " Alice <alice@bank.example>, Bob <bob@bank.example>",
        " alice @ bank.example",
        " alice(x)@(y)bank.example",
        " Pete(A nice \\) chap) <pete(his account)@bank.example(his host)>",  # RFC 5322 appendix A.5
        ' "Eve <eve@evil.example>" <alice@bank.example>',  # RFC 9989 section 11.4: a name is not an address
        " alice@bank.example (eve@evil.example)",
        " Jean\u00a0Dupont <alice@bank.example>",
        " 山田\u3000太郎 <alice@bank.example>",
        b" Zo\xeb\x85 <alice@bank.example>",  # Latin-1
        encoded("Alice <alice@bank.example>") + " <alice@bank.example>",
        encoded("eve@evil.example") + " <alice@bank.example>",
        encoded("Alice, @Bank, Ltd") + " <alice@bank.example>",
        encoded("\x1b$B;3ED<@8~\x1b(B", "iso-2022-jp") + " <alice@bank.example>",  # looks like <@8 if taken for ASCII
        ' "Eve <eve@evil.example>" ' + encoded("x") + " <alice@bank.example>",
        ' "Eve <eve@evil.example>" ' + encoded("X") + "(y) <alice@bank.example>",
        " (eve@evil.example, x)" + encoded("X") + " <alice@bank.example>",
        " =?utf-8?b?A?= <alice@bank.example>",  # no base64
        encoded("alice") + "@bank.example",
        " , alice@bank.example",
        ' "Smith, A. (Sales)" <alice@bank.example>',
        " A. B. Liddell <alice@bank.example>",  # obs-phrase
        " =?utf-8?q?=22Alice=22?= <alice@bank.example>",
        " =?utf-8?q?Alice_(Sales)?= <alice@bank.example>",
        encoded("Alice <alice@bank.example> (Sales)") + " <alice@bank.example>",
        encoded("I <3 you") + " <alice@bank.example>",
        " alice@bank.example (Alice Liddell)",  # how RFC 822 wrote names
        " (Alice <alice@bank.example>) alice@bank.example",
        " Alice\r\n \r\n <alice@bank.example>\r\n ",  # obs-FWS
        ' "Alice\r\n Liddell"\r\n\t<alice@bank.example>',
        " a..b.@bank.example",
        " a .b. c@bank.example",  # obs-local-part
        ' "a\\"b(c"@bank.example',
        # not RFC 5322's, common all the same, and the author domain is the same for every reader
        " alice@bank.example <alice@bank.example>",
        " alice@bank.example <noreply@bank.example>",
        " Liddell, Alice <alice@bank.example>",
        " Liddell, Alice <alice@bank.example>, Bob <bob@bank.example>",
        " Jira [Prod] <alice@bank.example>",
        " Support: Alice <alice@bank.example>",
        " Alice; Bob <alice@bank.example>",
        " Team@Home <alice@bank.example>",
        " Alice @ Bank <alice@bank.example>",
        " Alice <alice@bank.example>;",
        " Alice <alice@bank.example>.",
        " Team@Home <alice@bank.example>.",
        " Team@Home <alice@bank.example>;",
        # malformed, and no reader finds another domain
        " @bank.example",
        " Liddell, Alice <alice@bank.example",
        " Friends: alice@bank.example;",
        " <@bank.example:alice@bank.example>",
        " <alice@bank.example",
        " alice@bank.example>",
        ' "alice@bank.example',
        " (alice@bank.example",
        " alice bob@bank.example",
        " alice@bank.example\u00a0",
        " alice@bank.example@bank.example",
        " <<alice@bank.example>>",
        " Alice alice@bank.example",
        " Alice <alice@bank.example>>",
        " Alice <alice@bank.example> (Sales",
        " Alice <alice@bank.example> Sales",
        ' \\"Alice\\" <alice@bank.example>',
        " Alice <mailto:alice@bank.example>",
        ' "Alice <alice@bank.example>',
        ' Alice" <alice@bank.example>',
        encoded("Zo\u00eb") + ' "<alice@bank.example>',
        # an encoded-word in a display name is no address (RFC 2047 section 5)
        encoded("<eve@evil.example>") + " <alice@bank.example>",
        encoded("<eve@evil.example>", encoding="q") + " <alice@bank.example>",
        encoded("<eve@") + " " + encoded("evil.example>") + " <alice@bank.example>",
        encoded("eve@evil.example,") + " <alice@bank.example>",
        encoded("eve@evil.example;") + " <alice@bank.example>",
        encoded("<eve@evil.example") + " <alice@bank.example>",
        " =?utf-8*en?q?=3Ceve=40evil.example=3E?= <alice@bank.example>",
        ' "<a@b.example>" ' + encoded("<a@b.example>") + " <alice@bank.example>",
        encoded('"Eve" <eve@evil.example>') + " <alice@bank.example>",
        " =?utf-8?Q?J=C3=BCrgen_=3Ceve=40evil.example=3E?= via Help <alice@bank.example>",
        ' "=?utf-8?Q?J=C3=BCrgen_=3Ceve=40evil.example=3E?= via Help" <alice@bank.example>',
        encoded("<eve@evil.example>") + " <alice@bank.example>, Bob <bob@bank.example>",
        " Bob <bob@bank.example>," + encoded("<eve@evil.example>") + " <alice@bank.example>",
        f' "{encoded("<eve@evil.example>")}" <alice@bank.example>',
        # encoded twice
        " Fran\u00c3\u00a7ois \u00c3\u0085ngstr\u00c3\u00b6m <alice@bank.example>",
        ' "Das \\"Caf\u00e9\\" (Zo\u00eb)" <alice@bank.example>',
        ' "O\u00e2\u0080\u0099Hara" <alice@bank.example>',
        ' "\u00e2\u20ac\u0153Alice\u00e2\u20ac\u009d" <alice@bank.example>',
    ],
)
def test_one_clear_author(value):
    found = read(value)
    assert (found.domains, found.fault) == (("bank.example",), None)


@pytest.mark.parametrize(
    ("value", "domains"),
    [
        ("", ()),
        (" ", ()),
        (" Alice", ()),
        (" <>", ()),
        (" alice@", ()),
        (" alice@bank.example, eve@evil.example", ("bank.example", "evil.example")),
        (" alice@bank.example <eve@evil.example>", ("bank.example", "evil.example")),
        (" eve@evil.example (x) <alice@bank.example>", ("evil.example", "bank.example")),
        (" Liddell, Alice <alice@bank.example>, (<eve@evil.example>)", ("bank.example", "evil.example")),
        (" alice@bank.example <alice@bank.example>, \0", ("bank.example",)),
        (" Liddell, Alice <alice@.bank.example>", ("bank.example",)),
        (" Team@Home <alice@.bank.example>", ("bank.example",)),
        (" Alice; Bob <alice@b, alice@bank.example>", ("bank.example",)),
        (" <>x@.4.2.1\u034f@B", ("b",)),
        (" alice@bank.example <alice@mail.bank.example>", ("bank.example", "mail.bank.example")),
        (" <alice@bank.example> <eve@evil.example>", ("bank.example", "evil.example")),
        (" <alice@bank.example> eve@evil.example", ("bank.example", "evil.example")),
        (" <@evil.example:alice@bank.example>", ("evil.example", "bank.example")),
        (" <@evil.example,@b.example:alice@bank.example>", ("evil.example", "b.example", "bank.example")),
        (" Friends:;", ()),
        (" alice@bank.example@evil.example", ("bank.example", "evil.example")),
        (" alice@[192.0.2.1]", ()),
        (" alice@bank..example", ("bank.example",)),
        (" alice@.bank.example", ("bank.example",)),
        (" alice@bank\u2024example", ("bank.example",)),
        (" alice@ba\u200dnk.example", ("bank.example",)),
        (" alice\0@bank.example", ("bank.example",)),
        (' "alice@bank.example \u00c3\u0085" <eve@evil.example>', ("bank.example", "evil.example")),
        # malformed: whatever can be made a domain
        (" <alice@bank.example.evil.example> (.bank.example", ("bank.example.evil.example",)),
        (" eve@evil.example (.bank.example", ("evil.example",)),
        (" eve@evil.example>.bank.example", ("evil.example",)),
        (" eve@(evil.example, x@bank.example", ("bank.example",)),
        (" eve@[192.0.2.1], <x@bank.example", ("bank.example",)),
        (" <eve@hr, alice@bank.example", ("bank.example",)),
        (" <alice@bank.example\u202e", ("bank.example",)),
        (" <alice@bank.example'.evil.example", ("bank.example",)),
        (" <alice@\uff42ank.example", ("bank.example",)),
        (" <alice@ba\u200bnk.example", ("bank.example",)),
        (" " + encoded("eve@evil.example") + " <alice@bank.example", ("bank.example", "evil.example")),
        (" <alice@bank.example " + encoded("\0"), ("bank.example",)),
        (" =?utf-8?q?x" + encoded("eve@evil.example") + " <alice@bank.example", ("bank.example", "evil.example")),
        (" =?utf-8?q?x" + encoded("Eve\0") + " <alice@bank.example>", ("bank.example",)),
        (" =?utf-8?q?x" + encoded("<eve@evil.example>") + " <alice@bank.example>", ("bank.example", "evil.example")),
        (" alice@bank.example\0", ()),
        (" alice@bank.example\r", ("bank.example",)),
        (" alice@bank\\.example", ("bank.example",)),
        (" alice@(x)bank.example, (", ("bank.example",)),
        # the strictest reading needs them all, wherever else the field goes wrong
        (" <alice@((x))bank.example> <eve@evil.example>", ("bank.example", "evil.example")),
        (' (") "(" <alice@((x))bank.example> ")" (") <eve@evil.example>', ("bank.example", "evil.example")),
        (" <alice@bank . example> <eve@evil.example>", ("bank.example", "evil.example")),
        (" <alice@bank(x).(y)example> <eve@evil.example>", ("bank.example", "evil.example")),
        (' <alice@"bank.example"> <eve@evil.example>', ("bank.example", "evil.example")),
        (' <alice@bank."example> <eve@evil.example>', ("bank.example", "evil.example")),
        (" <alice@bank.exam\0ple> <eve@evil.example>", ("bank.example", "evil.example")),
        (" <alice@bank.exam\r\n ple> <eve@evil.example>", ("bank.example", "evil.example")),
        (' <alice@bank.exam ple"x"> <eve@evil.example>', ("bank.example", "evil.example")),
        # what a reader shows that looks for angle brackets first
        (" eve@evil.example (<alice@bank.example>)", ("evil.example", "bank.example")),
        (" (Alice <alice@bank.example>) <eve@evil.example>", ("bank.example", "evil.example")),
        (" <eve@evil.example> (<alice@bank.example)", ("evil.example", "bank.example")),
        (" (<alice@bank.example>) <eve@evil.example> (x)", ("bank.example", "evil.example")),
        # or for which comments do not nest
        (" (a (b) alice@bank.example, ) eve@evil.example", ("bank.example", "evil.example")),
        (" eve@evil.example (a \\) alice@bank.example)", ("evil.example", "bank.example")),
        # or marks that no domain has are nothing
        (" <alice@bank.example\u2800\u2800@evil.example>", ("bank.example", "evil.example")),
        (" <alice@\u2800bank.example@evil.example>", ("bank.example", "evil.example")),
        (" <eve@evil.example\u2066@bank.example\u2069>", ("bank.example", "evil.example")),
        (" <alice@bank.example\U000e0001@evil.example>", ("bank.example", "evil.example")),
        # or for which the header section ends at a line of white space
        (' "alice@bank.example\r\n \r\n " <eve@evil.example>', ("bank.example", "evil.example")),
        (' "alice@bank.example\r\n\t\r\n" <eve@evil.example>', ("bank.example", "evil.example")),
        # what a reader shows that knows no quotes, comments or white space in an address
        (' "alice@bank.example"@evil.example', ("bank.example", "evil.example")),
        (' <"alice@bank.example> "@evil.example>', ("bank.example", "evil.example")),
        (" alice@bank.example .evil.example", ("bank.example", "bank.example.evil.example")),
        (" alice@bank.example(x).evil.example", ("bank.example", "bank.example.evil.example")),
        (" <a(@bank.example)@evil.example>", ("bank.example", "evil.example")),
        (" alice\uff20bank.example@evil.example", ("bank.example", "evil.example")),
        # or that decodes before it parses
        (encoded("alice@bank.example") + encoded("\0") + "@evil.example", ("bank.example", "evil.example")),
        (encoded("alice@bank.example(x)") + "@evil.example", ("bank.example", "evil.example")),
        (' "' + encoded("alice@bank.example") + '"@evil.example', ("bank.example", "evil.example")),
        (" (x)" + encoded("<alice@bank.example>") + " <eve@evil.example>", ("bank.example", "evil.example")),
        (encoded("<alice@") + encoded("bank.example>") + " <eve@evil.example>", ("bank.example", "evil.example")),
        (
            " (x)" + encoded("<alice@") + "\r\n " + encoded("bank.example>") + "(y) <eve@evil.example>",
            ("bank.example", "evil.example"),
        ),
        (
            " (x)" + encoded("<alice@bank.example>") + f" {encoded('B')} {encoded('C')} <eve@evil.example>",
            ("bank.example", "evil.example"),
        ),
        (encoded("<alice@bank.example>") + " @evil.example", ("bank.example", "evil.example")),
        (encoded("<alice@bank.example>") + ", <eve@evil.example>", ("bank.example", "evil.example")),
        (encoded("alice@bank.example\0") + " <eve@evil.example>", ("bank.example", "evil.example")),
        (encoded("alice@bank.example\r\n") + " <eve@evil.example>", ("bank.example", "evil.example")),
        (" =?utf-8?q?=3Calice=40bank.example=3E and so on?= <eve@evil.example>", ("bank.example", "evil.example")),
        (' "=?utf-8?q?=3Calice=40bank.example=3E =?utf-8?q?x?=" <eve@evil.example>', ("bank.example", "evil.example")),
        (' "=?utf-8?q?x=3Calice=40bank.example=3E =?utf-8?q?x?=" <eve@evil.example>', ("bank.example", "evil.example")),
        (" =?utf-8?q?x?y=3Calice=40bank.example=3E?= <eve@evil.example>", ("bank.example", "evil.example")),
        (" =?utf-7?q?+ADw-alice+AEA-bank.example+AD4-?= <eve@evil.example>", ("bank.example", "evil.example")),
        (charset("<alice@bank.example>", "utf-16-be", "UTF-16BE") + " <eve@evil.example>", ("bank.example",)),
        (charset("<alice@bank.example>", "cp037", "IBM037") + " <eve@evil.example>", ("bank.example",)),
        # base64 that goes on behind its padding
        (" =?utf-8?b?QQ==PGFsaWNlQGJhbmsuZXhhbXBsZT4=?= <eve@evil.example>", ("bank.example", "evil.example")),
        (" =?utf-8?b?PGFs=aWNlQGJhbmsuZXhhbXBsZT4?= <eve@evil.example>", ("bank.example", "evil.example")),
        (" =?utf-8?b?PGFsaWNl QGJhbmsuZXhhbXBsZT4?= <eve@evil.example>", ("bank.example", "evil.example")),
        # names that are none, below one that is
        (" ceo@-x.bank.example", ("bank.example",)),
        (" ceo@x-.bank.example", ("bank.example",)),
        (" ceo@_-.bank.example", ("bank.example",)),
        (" ceo@bank.example-", ("bank.example",)),
        (" ceo@-bank.example", ("bank.example",)),
        (" ceo@bank.example.-", ("bank.example",)),
        (" ceo@xn--.bank.example", ("bank.example",)),
        (" ceo@" + "a" * 64 + ".bank.example", ("bank.example",)),
        (" ceo@" + ("a" * 50 + ".") * 6 + "bank.example", (("a" * 50 + ".") * 4 + "bank.example",)),
        (" ceo@a\u05d0.bank.example", ("bank.example",)),
        (" ceo@mail_\u00e9.bank.example", ("bank.example",)),
        (" b@x-.bank.example, a@evil.example", ("bank.example", "evil.example")),
        # charsets by other names
        (" =?UTF7?q?+ADw-alice+AEA-bank.example+AD4-?= <eve@evil.example>", ("bank.example", "evil.example")),
        (" =?csUTF7*en?q?+ADw-alice+AEA-bank.example+AD4-?= <eve@evil.example>", ("bank.example", "evil.example")),
        (charset("<alice@bank.example>", "cp500", "ibm500") + " <eve@evil.example>", ("bank.example",)),
        (charset("<alice@bank.example>", "cp1140", "CP1140") + " <eve@evil.example>", ("bank.example",)),
        (charset("<alice@bank.example>", "utf-32", "utf_32") + " <eve@evil.example>", ("bank.example",)),
        (" =?unicode_escape?q?=5Cx3calice=5Cx40bank.example=5Cx3e?= <eve@evil.example>", ("bank.example",)),
        # words without a blank behind
        (encoded("alice@bank.example") + "x, <eve@evil.example>", ("bank.example", "evil.example")),
        (encoded("alice@bank.example", encoding="q") + "x, <eve@evil.example>", ("bank.example", "evil.example")),
        # names that leave their quotes when they are decoded
        (
            ' "=?utf-8?q?=22?= <alice@bank.example> =?utf-8?q?=22?=" <eve@evil.example>',
            ("bank.example", "evil.example"),
        ),
        (' =?utf-8?b?QQ"?= <alice@bank.example> " <eve@evil.example>', ("bank.example", "evil.example")),
        (' "=?utf-8?q?=5C?=" <alice@bank.example>" <eve@evil.example>', ("bank.example", "evil.example")),
        # or that leave them because a word elsewhere decodes to a quote
        (' (x)=?utf-8?q?a=22?= "<alice@bank.example>" <eve@evil.example>', ("bank.example", "evil.example")),
        (
            ' =?utf-8?b?Ig==?= @evil.example, "<alice@bank.example>" <eve@evil.example>',
            ("bank.example", "evil.example"),
        ),
        # or comments that become part of a name, because the local-part before them decodes to a quote
        (encoded('"') + ' @evil.example, (" alice@bank.example, ") eve@evil.example', ("bank.example", "evil.example")),
        # or whose letters are not where they are shown
        (" \u202eelpmaxe.knab@bank.example", ("bank.example",)),
        (" alice@bank.example\u2028x <eve@evil.example>", ("bank.example", "evil.example")),
        (" Alice\u0085 <eve@evil.example>", ("evil.example",)),
        (" alice@bank.example evil.example", ("bank.example",)),
        (" alice@bank.example;eve@evil.example", ("bank.example", "evil.example")),
        (" <alice@bank.example,eve@evil.example>", ("bank.example", "evil.example")),
    ],
)
def test_not_one_clear_author(value, domains):
    found = read(value)
    assert found.problem
    assert set(domains) <= set(found.domains)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("", Fault.NO_ADDRESS),
        (" alice@bank.example, eve@evil.example", Fault.SEVERAL_DOMAINS),
        (" alice@bank . example", Fault.SEVERAL_DOMAINS),  # obs-domain; a reader may end it at the blank
        (' "alice"@bank.example, eve@evil.example', Fault.SEVERAL_DOMAINS),
        (" Liddell, <alice@bank.example>, <eve@evil.example>", Fault.NO_ADDRESS),
        (" alice@bank.example\0", Fault.CONTROL),
        (" \x1b$B\0\x1b(B <alice@bank.example>, eve@evil.example", Fault.CONTROL),
        (" <alice@bank.example> " + encoded("\0"), Fault.ENCODED_CONTROL),
        (" =?utf-8?q?a?b=00?= <alice@bank.example>", Fault.ENCODED_CONTROL),  # a reader lets it contain "?"
        (" =?utf-8?q?a" + encoded("\0") + " <alice@bank.example>", Fault.ENCODED_CONTROL),  # or does not
        (" =?utf-8?b?A\r\n A==?= <alice@bank.example>", Fault.ENCODED_CONTROL),
        (" \u00e9\\ <alice@bank.example>, eve@evil.example", Fault.BACKSLASH),
        (" \u202ealice@bank.example", Fault.DIRECTION),
        (" (alice@bank.example, eve@evil.example", Fault.UNCLOSED),
        (' "alice@bank.example, eve@evil.example', Fault.UNCLOSED),
        (" [alice@bank.example, eve@evil.example", Fault.UNCLOSED),
        (" <alice@bank.example, <eve@evil.example>", Fault.BRACKETS),
        (" alice@bank.example> eve@evil.example", Fault.BRACKETS),
        (" alice@bank.example>> eve@evil.example", Fault.BRACKETS),
        (" alice@bank.example, <eve@evil.example", Fault.BRACKETS),
        (" Friends: alice@bank.example, eve@evil.example;", Fault.GROUP),
        (" <@evil.example:alice@bank.example>", Fault.ROUTE),
        (" <@bank.example>, eve@evil.example", Fault.ROUTE),
        (" <x:alice@bank.example>, eve@evil.example", Fault.ROUTE),
        (" <alice@bank.example,eve@evil.example>", Fault.ROUTE),
        (" alice@bank.example@evil.example", Fault.ADDRESS),
        (" alice [x]@bank.example, eve@evil.example", Fault.ADDRESS),
        (" alice@bank example, eve@evil.example", Fault.ADDRESS),
        (' alice@"bank.example", eve@evil.example', Fault.ADDRESS),
        (" @bank.example, eve@evil.example", Fault.ADDRESS),
        (" alice@[192.0.2.1]", Fault.LITERAL),
        (" alice@bank..example, eve@evil.example", Fault.DOMAIN),
        (" Jira [Prod] <alice@bank.example>, eve@evil.example", Fault.DISPLAY_NAME),
        (" Alice; Bob <alice@bank.example>, eve@evil.example", Fault.DISPLAY_NAME),
        (" Support: Alice <alice@bank.example>, eve@evil.example", Fault.DISPLAY_NAME),
        (" alice@bank.example <eve@evil.example>", Fault.ADDRESS_IN_NAME),
        (" <alice@bank.example> eve@evil.example", Fault.TEXT_AFTER),
        (" <alice@bank.example> Sales, eve@evil.example", Fault.TEXT_AFTER),
        (" <alice@bank.example>., <eve@evil.example>", Fault.TEXT_AFTER),
        (" Jira [Prod] <alice@bank.example>, Bob, eve@evil.example", Fault.DISPLAY_NAME),  # the first one
        (" a@bank.example,\r\n" * 70, None),
        ("".join(f" a@d{number}.example,\r\n" for number in range(64)), Fault.DOMAINS),
        ("".join(f" a@d{number}.example,\r\n" for number in range(65)), Fault.NAMES),
        (b" ceo@b\xff.example", Fault.NOT_UTF8),
    ],
)
def test_why_the_author_is_not_clear(value, fault):
    assert read(value).fault is fault


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("\u5c71\u7530\u592a\u90ce", "iso2022_jp"),
        ("\u65e5\u672c\u30bb\u30f3\u30bf\u30fc", "iso2022_jp"),
        ("\u30bd\u30cb\u30fc", "shift_jis"),  # 5C and 5B
        ("\u5c71\u7530\u3000\u592a\u90ce", "shift_jis"),  # 40
        ("\u77f3\u5ddd \u592a\u90ce", "iso2022_jp"),  # 40 in the first name, 3A in the second
        ("\u8868\u793a\u80fd", "shift_jis"),
        ("\u8a31\u529f\u84cb", "big5"),  # 5C
        ("\u4e00\u4eba", "big5"),  # 40
        ("\u5f20\u4e00", "gbk"),
        ("\uae40\ucca0\uc218", "euc_kr"),
    ],
)
@pytest.mark.parametrize(
    "form", ["%s <alice@bank.example>", '"%s" <alice@bank.example>', "%s Ltd <alice@bank.example>"]
)
def test_a_name_in_a_charset_of_asia(name, codec, form):
    assert read(b" " + (form % name).encode(codec)) == Author(("bank.example",))


@pytest.mark.parametrize(
    "value",
    [
        b" \x1b$B<alice@bank.example>\x1b(B <eve@evil.example>",
        b' "\x1b$B" <alice@bank.example> "\x1b(B" <eve@evil.example>',
        b" \x1b$B<alice@bank.example>@\x1b(B <eve@evil.example>",
        b" \x1b$B!!x@bank\x1b(B.example <eve@evil.example>",
        b" \x1b$B!!x@bank\x1b(B .example <eve@evil.example>",
        b" \x1b$B!!x@ba\x1b(Bnk.example <eve@evil.example>",
        b' "\x83\\" <alice@bank.example>" <eve@evil.example>',
        b" \x81@bank.example <eve@evil.example>",
        b" \x81@bank .example <eve@evil.example>",
        b" \x81@(x)bank.example <eve@evil.example>",
        b' "\x83\\" alice\xa4@bank".example <eve@evil.example>',
        " alice\uff20bank.example <eve@evil.example".encode("shift_jis"),
        " alice\uff20\uff42\uff41\uff4e\uff4b\uff0eexample <eve@evil.example".encode("shift_jis"),
        ' "\u00c1\\" <alice@bank.example>" <eve@evil.example>'.encode(),  # Shift_JIS of another language
        " alice\uff20bank\uff0eexample <eve@evil.example>".encode("iso2022_jp"),
        " alice@bank\u3002example <eve@evil.example".encode("big5"),
        " alice@bank\u3002example <eve@evil.example".encode("shift_jis"),
        b" \x81 \xc3\xa9@bank\xef\xb9\x92example <eve@evil.example>",  # a small full stop
    ],
)
def test_an_address_that_another_charset_hides(value):
    found = read(value)
    assert found.problem
    assert found.unread or set(found.domains) > {"evil.example"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # one domain for every reader, although brackets are not closed
        (" Alice\r\n <alice@bank.example", Author(("bank.example",))),
        (" <alice@<bank.example", Author(("bank.example",))),
        (" <alice@bank.EXAMPLEX", Author(("bank.examplex",))),
        # but the line may end early, or run the other way
        (" " + encoded("\0") + " <alice@bank.example", Author(("bank.example",), Fault.BRACKETS)),
        (" \u202e<alice@bank.example", Author(("bank.example",), Fault.BRACKETS)),
        # a top-level domain is not an author's
        (" <alice@com", Author(("com",), Fault.BRACKETS)),
        # obs-domain; a reader may end it at the blank
        (" alice@bank . example", Author(("bank.example", "bank"), Fault.SEVERAL_DOMAINS)),
    ],
)
def test_the_domains_of_a_malformed_field(value, expected):
    assert read(value) == expected


def test_an_address_in_two_octet_characters():
    """A reader that knows no ISO 2022 sees their ASCII."""
    found = read(b" \x1b$Balice@bank.example\x1b(B <eve@evil.example>")
    assert found == Author(("bank.example", "evil.example"), Fault.CONTROL)


@pytest.mark.parametrize("name", [b"Sender", b"Resent-From"])
def test_whom_other_fields_name_beside_a_malformed_author(name):
    """A reader that finds nobody in From shows them."""
    malformed = Field(b"From", b" (eve@evil.example")
    found = author(Headers([malformed, Field(name, b" ceo@bank.example")]), LIMITS)
    assert found == Author(("evil.example", "bank.example"), Fault.UNCLOSED)
    assert author(Headers([malformed, Field(name, b" <list@evil.example>")]), LIMITS) == Author(("evil.example",))


@pytest.mark.parametrize(
    ("sender", "domains", "unread"),
    [
        (" a@b.example", ("evil.example", "b.example"), False),
        (" a@b.example, a@c.example", ("evil.example", "b.example"), True),
        (" a@evil.example (" + "x" * 998, ("evil.example",), True),  # a line that an MTA breaks
    ],
)
def test_more_than_is_looked_at_beside_a_malformed_author(sender, domains, unread):
    fields = [Field(b"From", b" (eve@evil.example"), Field(b"Sender", sender.encode())]
    assert author(Headers(fields), Limits(from_domains=2)) == Author(domains, Fault.UNCLOSED, unread)


@pytest.mark.parametrize(
    ("text", "shown", "whole"),
    [
        ("a =?utf-8?q?b?= c", "a b c", "a b c"),
        ("=?utf-8?q?a_b=2Cc?=", "a b,c", "a b,c"),
        (" =?utf-8?q?a?= \r\n =?utf-8?q?b?= ", " ab ", " ab "),  # section 6.2
        ("=?utf-8?q?a?=\u00a0=?utf-8?q?b?=", "a\u00a0b", "a\u00a0b"),
        ("=?utf-8?q?a?==?utf-8?q?b?=", "ab", "ab"),
        ("=?utf-8?q?a", "=?utf-8?q?a", "=?utf-8?q?a"),
        ("=?utf-8?q?a?b?=", "a?b", "=?utf-8?q?a?b?="),
        ("=?x?q?=?x?q?a?= =?x?q?b?=", "=?x?q?ab", "=?x?q?ab"),
        ("=?utf-8?b?QUJD?=", "ABC", "ABC"),
        *((f"=?utf-8?b?{text}?=", shown, shown) for text, shown in [
            ("", ""), ("Q", ""), ("QQ", "A"), ("QQ==", "A"), ("QUI", "AB"), ("QUJDR", "ABC"), ("Q,U JD", "ABC"),
            ("QQ==Qg==", "A AB A\x04 "),  # a reader stops at the "=", starts again after it, or skips it
        ]),
        ("=?ISO-2022-JP?Q?=1B$B;3=1B(B?=", "\u5c71", "\u5c71"),
        ("=?csISO2022JP?Q?=1B$B;3=1B(B?=", "\u5c71", "\u5c71"),
        ("=?ISO-2022-JP-MS?Q?=1B$B;3=1B(B?=", "\u5c71", "\u5c71"),
        ("=?utf-8?q?\u00e9?=", "?", "?"),
        ("=?utf-8?b?QU\u00e9JD?=", "ABC", "ABC"),
        ("=?EBCDIC-CP-US?Q?=81?=", "a", "a"),
        ("=?x-EBCDIC-Latin?Q?=81?=", "a", "a"),
        ("=?csISO2022JP-MS?Q?=1B$B;3=1B(B?=", "\u5c71", "\u5c71"),
        ("=?utf-8*en?q?=C3=A9?=", "\u00e9", "\u00e9"),
        ("=?utf-8?q?=E9?=", "\ufffd", "\ufffd"),
    ],
)  # fmt: skip
def test_what_readers_make_of_encoded_words(text, shown, whole):
    """RFC 2047. Readers differ about a question mark inside one."""
    assert (encoded_words.decoded(text), encoded_words.decoded(text, whole=True)) == (shown, whole)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=?utf-8?q?a?=", True),
        ("=?utf-8?Q??=", True),
        ("=?utf-8?b?QQ==?=", True),
        ("=?utf-8?b?QQ,?=", False),
        ("=?utf-8?B?QQ,?=", False),
        ("=?utf-8?q?QQ,?=", True),
        ("=?utf-8?q?a?b?=", False),
        ("a=?utf-8?q?a?=", False),
        ("=?utf-8?x?a?=", False),
        ("=?UTF-7?q?a?=", False),
        ("=?utf-16?q?a?=", False),
        ("=?iso-2022-jp?q?a?=", True),
    ],
)
def test_what_is_an_encoded_word(text, expected):
    assert encoded_words.is_encoded_word(text) is expected


LONG = ".".join(["a" * 49] * 5) + ".example"  # 257 octets


@pytest.mark.parametrize(
    ("name", "domains"),
    [
        ("a.example!b.example!c.example", ["a.example", "c.example", "a.exampleb.examplec.example"]),
        ("xn--bank-.example", ["bank.example"]),
        ("-Xbank-.example", ["xbank.example"]),
        ("_bank_.-x-", ["bank.x"]),
        ("b." + LONG[4:], [LONG[4:]]),  # 253 octets, as many as a name has
        ("b." + LONG[3:], [LONG[50:]]),
        ("_x.b.example..", ["_x.b.example"]),
        ("a.b\\.example", ["a.b.example", "a.b"]),
        ("!com", []),
    ],
)
def test_a_name_that_is_no_domain(name, domains):
    """Readers may show one at its beginning, one at its end, or what remains without the invalid characters."""
    assert read(f" ceo@{name}").domains == tuple(domains)


def test_names_are_counted_in_all_fields_together():
    """They cost the most."""
    one, two = (" ".join(f" x@-{place}-" for place in range(start, start + 20)) for start in (0, 20))
    assert not read(one, one).unread
    assert read(one, two).unread


def test_u_labels_become_a_labels():
    assert read(" <a@b\u00fccher.example") == read(" a@B\u00dcCHER.example.") == Author(("xn--bcher-kva.example",))
    assert read(" <a@B\u00dcCHER.example.") == Author(("xn--bcher-kva.example",))
    assert read(" a@bücher.example").domains == ("xn--bcher-kva.example",)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ([(b"From", b" a@bank.example"), (b"From", b"TOO MANY")], Fault.SEVERAL_FIELDS),
        # some readers show Sender, because the header section ends above the author for them
        ([(b"Sender", b"TOO MANY"), (b"From", b"\r\n \r\n (a@bank.example, b@evil.example")], Fault.UNCLOSED),
        ([(b"Sender", b"TOO MANY"), (b"From", b"\r\n \r\n a@bank.example")], Fault.NAMES),
    ],
)
def test_the_first_fault_is_the_one_that_is_named(fields, fault):
    """Even if another field has more names than are looked at."""
    names = "".join(f" a@d{number}.example,\r\n" for number in range(65)).encode()
    found = author(Headers(Field(name, value.replace(b"TOO MANY", names)) for name, value in fields), LIMITS)
    assert found == Author((), fault, unread=True)


def test_no_from():
    assert author(Headers([]), LIMITS).fault is Fault.NO_FIELD


@pytest.mark.parametrize("name", [b"Sender", b"Resent-From"])
@pytest.mark.parametrize("froms", [[], [b""], [b" Alice"]])
def test_whom_other_fields_name_where_from_names_nobody(froms, name):
    found = author(
        Headers([*(Field(b"From", value) for value in froms), Field(name, b" Alice <alice@bank.example>")]), LIMITS
    )
    assert found.domains == ("bank.example",)
    assert found.fault is (Fault.NO_ADDRESS if froms else Fault.NO_FIELD)


def test_other_fields_beside_an_author_are_not_looked_at():
    fields = [(b"From", b" eve@evil.example"), (b"Sender", b" alice@bank.example"), (b"Resent-From", b" a@b.example")]
    assert author(Headers(Field(*field) for field in fields), LIMITS) == Author(("evil.example",))


def test_several_from_fields():
    found = read(" alice@bank.example", " alice@bank.example")
    assert (found.domains, found.fault) == (("bank.example",), Fault.SEVERAL_FIELDS)
    assert read(" alice@bank.example", " eve@evil.example").domains == ("bank.example", "evil.example")


@pytest.mark.parametrize(
    "fields",
    [
        [" " + ", ".join(f"a@d{number}.example" for number in range(100))],
        [f" a@d{number}.example" for number in range(100)],
        [" junk"] * 100,
        [folded(" a@bank.example, " + "x" * 8192)],
        [folded(" a@bank.example, " + "x" * 5000)] * 2,
    ],
    ids=["domains", "fields", "junk", "octets", "octets of all"],
)
def test_more_than_is_looked_at(fields):
    found = read(*fields)
    assert found.unread
    assert found.problem
    assert len(found.domains) <= Limits().from_domains


def test_what_is_looked_at_whole():
    assert not read(*[f" a@d{number}.example" for number in range(Limits().from_domains)]).unread
    long = folded(" a@bank.example (" + "x" * (Limits().from_octets - 100) + ")")
    assert read(long + " " * (Limits().from_octets - len(long))) == Author(("bank.example",))


def broken(field):
    """As Postfix sends a field on (smtp_line_length_limit)."""
    lines = b"From:" + field
    return b"\r\n".join(re.sub(b"(?s)(.{998})(?=.)", b"\\1\r\n ", line) for line in lines.split(b"\r\n"))[5:]


BREAKS = {
    "inside the domain": ('"', '" <ceo@bank.example', "x.evil.example>"),
    "before a dot of the domain": ('"', '" <ceo@bank.example', ".evil.example>"),
    "before a quote": ('"', "\\", '" <ceo@bank.example> \\"" <eve@evil.example>'),
    "before the end of a comment": ("(", "\\", ") <ceo@bank.example> (\\)) <eve@evil.example>"),
    "inside an encoded-word": ("=?utf-8?q?", "?=", "<eve@evil.example>"),
    "on another line": ('eve@evil.example,\r\n "', '" <ceo@bank.example', "x.evil.example>"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_line_that_an_mta_breaks(name):
    before, last, after = BREAKS[name]
    start = len(f"From: {before}".rpartition("\r\n")[2])
    text = f" {before}{'a' * (998 - start - len(last))}{last}{after}"
    assert broken(text.encode()).startswith(f" {before}".encode())
    assert f"{last}\r\n {after}".encode() in broken(text.encode())
    assert read(text) == Author((), Fault.LINE, unread=True)


@given(
    pieces=st.lists(
        st.sampled_from(
            [*'<>@()",;:. \\', "\r\n ", "a", "ü", "eve@evil.example", "<ceo@bank.example>", "a" * 100, "a" * 990]
        ),
        max_size=24,
    )
)
def test_what_an_mta_sends_on_has_the_same_author(pieces):
    """Whatever it breaks; it breaks nothing that is read."""
    text = " " + "".join(pieces)
    found = read(text)
    assert found.unread or read(broken(text.encode())) == found


@pytest.mark.parametrize(
    "domain",
    [b"b\xfccher.example", b"b\xe0\x83\xbccher.example", b"b\xed\xa0\xbd\xed\xb8\x80cher.example",
     b"bank\xc0\xaeexample", b"b\xc3cher.example", b"bank.example\xff"],
    ids=["Latin-1", "overlong", "surrogates", "overlong dot", "cut off", "at its end"],
)  # fmt: skip
@pytest.mark.parametrize(
    "form",
    [
        b" ceo@%s",
        b" Ceo <ceo@%s>",
        b" ceo@%s, eve@evil.example",
        b" ceo@%s <eve@evil.example>",
        b" (<ceo@%s>) eve@evil.example",
    ],
)
def test_a_domain_in_no_charset_that_we_know(domain, form):
    """A reader takes it for its own charset, and which domain that shows is not known."""
    found = read(form % domain)
    assert found.unread
    assert found.problem


def test_a_domain_in_the_charset_of_an_encoded_word():
    assert read(" =?iso-8859-1?q?ceo=40b=FCcher.example?=").unread
    assert read(" =?iso-8859-1?q?Gr=FC=DFe?= <a@bank.example>") == Author(("bank.example",))


@pytest.mark.parametrize(
    "value",
    [
        b" M\xfcller <a@bank.example>",
        b' "M\xfcller, J\xf6rg" <a@bank.example>',
        b" M\xfcller, J\xf6rg <a@bank.example>",
    ],
)
def test_a_name_in_no_charset_that_we_know(value):
    assert read(value) == Author(("bank.example",))


@pytest.mark.parametrize(("octets", "unread"), [(997, False), (998, True), (2000, True)])
def test_a_name_that_an_mta_breaks(octets, unread):
    """Its first line is then no field, and the header section ends there: the next hop finds no From below it."""
    fields = [Field(b"Sender", b" ceo@bank.example"), Field(b"j" * octets, b" x"), Field(b"From", b" eve@evil.example")]
    found = author(Headers(fields), LIMITS)
    assert found == (Author((), Fault.FIELD_NAME, unread=True) if unread else Author(("evil.example",)))


@given(
    value=st.lists(
        st.sampled_from([*'<>()[]@:;,."\\ \t\r\n\0', "a", "b.example", "ü", "=?x?q?", "?b?", "?=", "=40"]), max_size=24
    )
)
def test_any_field_is_read(value):
    found = read(" " + "".join(value))
    assert found.problem or len(found.domains) == 1


QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
BRACKETS = re.compile(r"<([^<>]*)>")


def readers(text):
    """The addresses of From for programs that know nothing of each other, and raise what they like."""
    yield from (address for _, address in getaddresses([text]))
    yield parseaddr(text)[1]
    with suppress(HeaderParseError, IndexError, ValueError, AttributeError, TypeError):
        addresses = policy.default.header_factory("From", text).addresses
        yield from (address.addr_spec for address in addresses if address.domain)
    names_away = QUOTED.sub('""', text)
    yield from BRACKETS.findall(names_away)[:1]
    yield from BRACKETS.findall(names_away)[-1:]


def decoding_readers(text):
    """The address for a program that decodes first, then looks for angle brackets, quoted names apart."""
    with suppress(HeaderParseError, LookupError, ValueError):
        decoded = str(make_header(decode_header(QUOTED.sub('""', text))))
        yield from BRACKETS.findall(QUOTED.sub('""', decoded))[:1]


ENCODED_NAME = re.compile(
    r'(?:^|(?<=[ ,]))=\?[^? "<>(),;:@\\]+\?[bq]\?[^? "<>(),;:@\\]*\?=(?=[^"<>(),;:@\\]*<[^<>"()]*>)'
)


def domains(addresses):
    for address in addresses:
        with suppress(BadDomain):
            if "@" in address:
                domain = Domain(address.rpartition("@")[2].strip())
                # a top-level domain is nobody's
                if len(domain.labels) > 1:
                    yield domain


@given(
    value=st.lists(
        st.sampled_from(
            [*'<>@()",;:. \\[]', "\r\n ", "a", "ü", '"Alice"', "eve@evil.example", "<eve@evil.example>", "bank.example",
             "alice@bank.example", "<alice@bank.example>", "=?utf-8?q?", "?=", "=3C", "=3E", "=40", "=22", "=2C",
             encoded("<a"), encoded(">"), encoded("<alice@bank.example>")]
        ),
        max_size=10,
    ),
    last=st.sampled_from(["", " <eve@evil.example>", "eve@evil.example"]),
)  # fmt: skip
def test_no_reader_finds_an_author_that_is_not_among_ours(value, last):
    """Where the author is clear everybody finds that one or none; where it is not, whoever they find is looked at."""
    text = " " + "".join(value) + last
    found = read(text)
    unfolded = text.replace("\r\n", "")
    assert found.unread or set(domains(readers(unfolded))) <= set(found.domains)
    # but for an encoded-word that is a display name, as a quoted one (RFC 2047 section 5)
    names_away = ENCODED_NAME.sub("x", QUOTED.sub("x", unfolded))
    assert found.problem or set(domains(decoding_readers(names_away))) <= set(found.domains)


@pytest.mark.parametrize(
    "text",
    [
        b" x\rFrom: ceo@bank.example",
        b" x\r\tFROM :ceo@bank.example\r y",
        b" x\rFrom: CEO\r\n <ceo@bank.example>",
        b" x\rFrom: CEO\r\t<ceo@bank.example>",
        b" x\rFrom:\r\n ceo@bank.example\rTo: y",
    ],
)
def test_a_field_inside_another(text):
    """A CR alone ends a line for some readers; Postfix makes it a blank, if it is not told otherwise."""
    found = author(Headers([Field(b"Subject", text), Field(b"From", b" eve@evil.example")]), LIMITS)
    assert found.problem
    assert set(found.domains) >= {"bank.example", "evil.example"}


@pytest.mark.parametrize(("octets", "expected"), [(998, False), (999, True)])
def test_a_field_inside_another_has_a_line_of_its_own(octets, expected):
    """Its length is that of the field without what is before it."""
    inside = b"From: ceo@bank.example".ljust(octets, b" ")
    found = author(Headers([Field(b"Subject", b"x\r" + inside), Field(b"From", b" eve@evil.example")]), LIMITS)
    assert found.unread is expected


# for some readers the header section ends there
ENDS = [b" x\r\n \r\n y", b" x\r\n\t", b" x\r\r\n y", b" x\r", b" x\r y\r\n ", b" x\ry"]
SENDER = Field(b"Sender", b" ceo@bank.example")
EVE = Field(b"From", b" eve@evil.example")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", [b"Sender", b"Resent-From"])
def test_a_reader_for_whom_the_header_section_ends_above_from(name, end):
    """He is shown whom Sender names, as where there is no From."""
    sender = SENDER._replace(name=name)
    for fields in (
        [sender, Field(b"Subject", end), EVE],
        [sender._replace(value=SENDER.value + end[2:]), EVE],
        [sender, EVE._replace(value=end + b"\r\n" + EVE.value)],
    ):
        found = author(Headers(fields), LIMITS)
        assert found.problem
        assert set(found.domains) >= {"bank.example", "evil.example"}


@pytest.mark.parametrize("end", ENDS)
def test_an_end_of_the_header_section_that_hides_nobody(end):
    subject = Field(b"Subject", end)
    for fields in (
        [subject, EVE],
        [EVE, SENDER, subject],
        [SENDER, EVE, subject],
        [subject, EVE, SENDER],
        [Field(b"Sender", b" list@evil.example"), subject, EVE],
        [SENDER, EVE._replace(value=EVE.value + b"\r\n ")],
    ):
        assert author(Headers(fields), LIMITS) == Author(("evil.example",))


@given(value=st.binary(max_size=60))
def test_any_octets_are_read(value):
    found = read(value)
    assert found.problem or len(found.domains) == 1


@pytest.mark.parametrize(
    "piece",
    [
        "(",
        ")",
        "(a",
        '"',
        "<",
        "<a@b>",
        ",",
        "a@b.example,",
        "\\",
        '"\\',
        "@",
        "[",
        ":",
        ";",
        " ",
        "=?",
        "=?a?b?",
        "=?a?q?=3C?=",
        "=?a?q?=40a=2E?=",
        "=?a?q?x?= ",
        "@(",
        "@(a)",
        "a@b.example(",
        "\u0301\u0323",
    ],
)
def test_a_hostile_field_costs_no_more_than_its_length(piece):
    started = time.process_time()
    limits = Limits(from_octets=100_000)
    for octets in (60_000, 1_000_000):  # all of it is looked at, and more than is
        read(folded(" " + piece * (octets // len(piece.encode()))), limits=limits)
    # a quadratic reading would take minutes
    assert time.process_time() - started < 60


@pytest.mark.parametrize("fields", [1, 4])
@pytest.mark.parametrize(("piece", "pieces"), [("a ", 1), ("a,", 2), ("()", 2), ('"" ', 2), ("x@bank.example,", 4)])
def test_more_words_and_marks_than_are_looked_at(piece, pieces, fields):
    """Each takes time, and an honest From has few."""
    name = " <a@bank.example>"

    def of(number):
        """Fields with so many words and marks together; five are the address."""
        return [
            f" {piece * ((number // fields - 5) // pieces)}".replace(piece * 20, f"{piece * 20}\r\n ") + name
        ] * fields

    limits = Limits(from_octets=100_000, from_fields=4)
    assert read(*of(1000), limits=limits).fault is not Fault.PIECES
    found = read(*of(1000 + 10 * fields), limits=limits)
    assert found.unread
    assert fields > 1 or found.fault is Fault.PIECES


@pytest.mark.parametrize(("number", "unread"), [(30, False), (70, True), (5000, True)])
def test_more_names_than_are_tried(number, unread):
    """They are the dear part of a From that is none; few domains among many names are read, too many names are not."""
    names = " ".join(f"x@-{place}-" for place in range(number))
    found = read(folded(f" {names} <a@bank.example> y"), limits=Limits(from_octets=100_000))
    assert found.unread is unread
    assert unread or found.domains == ("bank.example",)
