"""Received fields as MTAs write them: whom they name, whatever a client says of itself; and the way through relays."""

import string
import time
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailassay.received import Relayed, read

# (HELO, client, host, protocol, was the client authenticated); the address is 198.51.100.7 or 2001:db8::7
MTAS = {
    "Postfix": (
        "from mail.sender.example (mail.sender.example [198.51.100.7])\r\n"
        "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n"
        "\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)\r\n"
        '\t(Client CN "mail.sender.example", Issuer "R3" (verified OK))\r\n'
        "\tby mx2.receiver.example (Postfix) with ESMTPS id 4ABCD1\r\n"
        "\tfor <bob@receiver.example>; Mon, 21 Sep 2026 14:10:00 +0000 (UTC)",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTPS", False),
    ),
    "Postfix, IPv6, a client without a name": (
        "from mail.sender.example (unknown [IPv6:2001:db8::7])\r\n"
        "\tby mx2.receiver.example (Postfix) with ESMTP id 4ABCD1; Mon, 21 Sep 2026 14:10:00 +0000 (UTC)",
        ("mail.sender.example", "2001:db8::7", "mx2.receiver.example", "ESMTP", False),
    ),
    "Postfix, several recipients, SMTPUTF8": (
        "from [10.0.0.9] (host7.sender.example [198.51.100.7])\r\n"
        "\tby mx2.receiver.example (Postfix/Debian) with UTF8SMTPS id 4ABCD1; Mon, 21 Sep 2026 14:10:00 +0000",
        ("[10.0.0.9]", "198.51.100.7", "mx2.receiver.example", "UTF8SMTPS", False),
    ),
    "Postfix, a user": (
        "from laptop (unknown [198.51.100.7])\r\n\t(using TLSv1.3 with cipher x (256/256 bits))\r\n"
        "\t(Authenticated sender: ann)\r\n\tby mx2.receiver.example (Postfix) with ESMTPSA id 4ABCD1; x",
        ("laptop", "198.51.100.7", "mx2.receiver.example", "ESMTPSA", True),
    ),
    "Exim": (
        "from mail.sender.example ([198.51.100.7])\r\n"
        "\tby mx2.receiver.example with esmtps  (TLS1.3) tls TLS_AES_256_GCM_SHA384\r\n\t(Exim 4.96)\r\n"
        "\t(envelope-from <ann@sender.example>)\r\n\tid 1qXyZ0-0001Ab-2c\r\n\tfor bob@receiver.example;\r\n"
        "\tMon, 21 Sep 2026 14:10:00 +0000",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTPS", False),
    ),
    "Exim, another name, a port": (
        "from host7.sender.example ([198.51.100.7]:52114 helo=mail.sender.example)\r\n"
        "\tby mx2.receiver.example with esmtp (Exim 4.96)\r\n\tid 1qXyZ0-0001Ab-2c; x",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTP", False),
    ),
    "Exim, a client without a name": (
        "from [198.51.100.7] (helo=mail.sender.example)\r\n\tby mx2.receiver.example with smtp (Exim 4.96)\r\n"
        '\t(envelope-from <"ann (by x) by y"@sender.example>)\r\n\tid 1qXyZ0-0001Ab-2c; x',
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "SMTP", False),
    ),
    "Exim, a client without a name, a literal in HELO, ident": (
        "from [198.51.100.7]:4711 (helo=[192.0.2.1] ident=ann)\r\n\tby mx2.receiver.example with esmtp id 1; x",
        ("[192.0.2.1]", "198.51.100.7", "mx2.receiver.example", "ESMTP", False),
    ),
    "Exim, no HELO": (
        "from [198.51.100.7]\r\n\tby mx2.receiver.example with smtp (Exim 4.96) id 1; x",
        ("", "198.51.100.7", "mx2.receiver.example", "SMTP", False),
    ),
    "Exim, a user": (
        "from host7.sender.example ([198.51.100.7] helo=laptop)\r\n"
        "\tby mx2.receiver.example with esmtpsa  (TLS1.3) tls x\r\n\t(Exim 4.96)\r\n\tid 1; x",
        ("laptop", "198.51.100.7", "mx2.receiver.example", "ESMTPSA", True),
    ),
    "Exim, a user, as it was before esmtpa": (
        "from host7.sender.example ([198.51.100.7] helo=laptop)\r\n"
        "\tby mx2.receiver.example with asmtp (Exim 4.10)\r\n\tid 1; x",
        ("laptop", "198.51.100.7", "mx2.receiver.example", "ASMTP", True),
    ),
    "sendmail": (
        "from mail.sender.example (host7.sender.example [198.51.100.7] (may be forged))\r\n"
        "\tby mx2.receiver.example (8.17.1/8.17.1) with ESMTPS id 48LEA0ab012345\r\n"
        "\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify=NOT)\r\n"
        "\tfor <bob@receiver.example>; Mon, 21 Sep 2026 14:10:00 GMT",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTPS", False),
    ),
    "sendmail, ident": (
        "from mail.sender.example (ann@host7.sender.example [198.51.100.7])\r\n"
        "\tby mx2.receiver.example (8.17.1/8.17.1) with ESMTP id 48LEA0ab012345; x",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTP", False),
    ),
    "sendmail, no name": (
        "from mail.sender.example ([198.51.100.7])\r\n\tby mx2.receiver.example (8.17.1/8.17.1) with SMTP id 1; x",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "SMTP", False),
    ),
    "sendmail, a user": (
        "from laptop (host7.sender.example [198.51.100.7])\r\n\t(authenticated bits=0)\r\n"
        "\tby mx2.receiver.example (8.14.4/8.14.4) with ESMTP id 1; x",
        ("laptop", "198.51.100.7", "mx2.receiver.example", "ESMTP", True),
    ),
    "Exchange": (
        "from mail.sender.example (198.51.100.7) by mx2.receiver.example\r\n (192.0.2.50) with Microsoft SMTP Server "
        "(version=TLS1_2,\r\n cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.1.2507.6 via Frontend\r\n Transport; "
        "Mon, 21 Sep 2026 14:10:00 +0000",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "SMTP", False),
    ),
    "Exchange, IPv6": (
        "from mail.sender.example (2001:db8::7) by mx2.receiver.example (2001:db8::50)\r\n"
        " with Microsoft SMTP Server id 15.2.1118.9; x",
        ("mail.sender.example", "2001:db8::7", "mx2.receiver.example", "SMTP", False),
    ),
    "Exchange, a mailbox": (
        "from EX1.receiver.example (10.0.0.1) by EX2.receiver.example (10.0.0.2) with mapi id 15.1.2507.6; x",
        ("EX1.receiver.example", "10.0.0.1", "EX2.receiver.example", "MAPI", False),
    ),
    "the SMTP service of Windows": (
        "from mail.sender.example ([198.51.100.7]) by mx2.receiver.example with Microsoft SMTPSVC(10.0.17763.1697);\r\n"
        "\t Mon, 21 Sep 2026 14:10:00 +0000",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "SMTP", False),
    ),
    "MailEnable": (
        "from mail.sender.example ([198.51.100.7]) by mx2.receiver.example with MailEnable ESMTP; x",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTP", False),
    ),
    "Haraka": (
        "from mail.sender.example (host7.sender.example [198.51.100.7])\r\n"
        "\tby mx2.receiver.example (Haraka/3.0.2) with ESMTPS id 0A1B.1\r\n\tenvelope-from <ann@sender.example>\r\n"
        "\ttls TLS_AES_256_GCM_SHA384;\r\n\tMon, 21 Sep 2026 14:10:00 +0000",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTPS", False),
    ),
    "Haraka, a user": (
        "from laptop (NXDOMAIN [198.51.100.7])\r\n\tby mx2.receiver.example (Haraka) with ESMTPSA id 0A1B.1\r\n"
        "\tenvelope-from <ann@sender.example>\r\n\t(authenticated bits=0); x",
        ("laptop", "198.51.100.7", "mx2.receiver.example", "ESMTPSA", True),
    ),
    "qmail": (
        "from unknown (HELO mail.sender.example) (198.51.100.7)\r\n  by mx2.receiver.example with SMTP; "
        "21 Sep 2026 14:10:00 -0000",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "SMTP", False),
    ),
    "qmail, the name of the client, ident": (
        "from mail.sender.example (x@192.0.2.1@198.51.100.7)\r\n  by mx2.receiver.example with ESMTPS; x",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTPS", False),
    ),
    "qmail with TLS": (
        "from unknown (HELO mail.sender.example) (198.51.100.7)\r\n  by mx2.receiver.example with "
        "(ECDHE-RSA-AES256-GCM-SHA384 encrypted) ESMTPS; x",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTPS", False),
    ),
    "qmail, a literal in HELO": (
        "from unknown (HELO [192.0.2.1]) (198.51.100.7)\r\n  by mx2.receiver.example with SMTP; x",
        ("[192.0.2.1]", "198.51.100.7", "mx2.receiver.example", "SMTP", False),
    ),
    "OpenSMTPD": (
        "from mail.sender.example (host7.sender.example [198.51.100.7])\r\n"
        "\tby mx2.receiver.example (OpenSMTPD) with ESMTPS id 0a1b2c3d (TLSv1.3:TLS_AES_256_GCM_SHA384:256:NO)\r\n"
        "\tfor <bob@receiver.example>;\r\n\tMon, 21 Sep 2026 14:10:00 +0000 (UTC)",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTPS", False),
    ),
    "OpenSMTPD, no name, IPv6": (
        "from mail.sender.example (<unknown> [IPv6:2001:db8::7])\r\n"
        "\tby mx2.receiver.example (OpenSMTPD) with ESMTP id 0a1b2c3d; x",
        ("mail.sender.example", "2001:db8::7", "mx2.receiver.example", "ESMTP", False),
    ),
    "Courier": (
        "from mail.sender.example (host7.sender.example [::ffff:198.51.100.7])\r\n"
        "  (TLS: TLSv1.3,256bits,TLS_AES_256_GCM_SHA384)\r\n  by mx2.receiver.example with ESMTPS\r\n"
        "  id 0000000000012345.0000000066EED1A8.00001234; x",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTPS", False),
    ),
    "Courier, a user": (
        "from laptop (x [::ffff:198.51.100.7])\r\n  (AUTH: PLAIN ann, TLS: TLSv1.3,256bits,x)\r\n"
        "  by mx2.receiver.example with ESMTP\r\n  id 1; x",
        ("laptop", "198.51.100.7", "mx2.receiver.example", "ESMTP", True),
    ),
    "amavis": (
        "from mx2.receiver.example ([127.0.0.1])\r\n\tby localhost (mx2.receiver.example [127.0.0.1]) "
        "(amavis, port 10024)\r\n\twith ESMTP id a-B3; x",
        ("mx2.receiver.example", "127.0.0.1", "localhost", "ESMTP", False),
    ),
    "James": (
        "from 198.51.100.7 (EHLO mail.sender.example) ([198.51.100.7])\r\n"
        "          by mx2.receiver.example (JAMES SMTP Server ) with ESMTP ID 12; x",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTP", False),
    ),
    "Domino": (
        "from mail.sender.example ([198.51.100.7])\r\n          by mx2.receiver.example (HCL Domino Release 12.0)\r\n"
        "          with ESMTP id 2026092114100000-1 ; x",
        ("mail.sender.example", "198.51.100.7", "mx2.receiver.example", "ESMTP", False),
    ),
    "Google": (
        "from mail.sender.example (mail.sender.example. [198.51.100.7])\r\n        by mx.google.com with ESMTPS id "
        "a1-2b3.1.2026.09.21\r\n        for <bob@receiver.example>\r\n"
        "        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\r\n        x",
        ("mail.sender.example", "198.51.100.7", "mx.google.com", "ESMTPS", False),
    ),
    "Exchange Online": (
        "from mail.sender.example (198.51.100.7) by\r\n AM1PEPF0001.mail.protection.outlook.com (10.167.16.1) with "
        "Microsoft SMTP\r\n Server (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20.7982.11 via\r\n"
        " Frontend Transport; x",
        ("mail.sender.example", "198.51.100.7", "AM1PEPF0001.mail.protection.outlook.com", "SMTP", False),
    ),
    "Proofpoint": (
        "from mail.sender.example (mail.sender.example [198.51.100.7])\r\n\tby mx0.gateway.example (PPS) with ESMTPS "
        "id 3abc\r\n\t(version=TLSv1.3 cipher=x bits=256 verify=NOT)\r\n\tfor <bob@receiver.example>; x",
        ("mail.sender.example", "198.51.100.7", "mx0.gateway.example", "ESMTPS", False),
    ),
    "Mimecast": (
        "from mail.sender.example (mail.sender.example [198.51.100.7]) by\r\n relay.gateway.example with ESMTP with "
        "STARTTLS (version=TLSv1.3,\r\n cipher=TLS_AES_256_GCM_SHA384) id uk-1-a; x",
        ("mail.sender.example", "198.51.100.7", "relay.gateway.example", "ESMTP", False),
    ),
    "Barracuda": (
        "from mail.sender.example (mail.sender.example [198.51.100.7]) by mx1.gateway.example (version=TLSv1.2 "
        "cipher=x bits=256 verify=NO); x",
        ("mail.sender.example", "198.51.100.7", "mx1.gateway.example", "", False),
    ),
    "IronPort": (
        "from mail.sender.example ([198.51.100.7])\r\n  by esa1.receiver.example with "
        "ESMTP/TLS/ECDHE-RSA-AES256-GCM-SHA384; x",
        ("mail.sender.example", "198.51.100.7", "esa1.receiver.example", "ESMTP", False),
    ),
    "SES": (
        "from mail.sender.example (mail.sender.example [198.51.100.7])\r\n by inbound-smtp.eu-west-1.amazonaws.com "
        "with SMTP id abc123\r\n for bob@receiver.example;\r\n x",
        ("mail.sender.example", "198.51.100.7", "inbound-smtp.eu-west-1.amazonaws.com", "SMTP", False),
    ),
}


@pytest.mark.parametrize("name", MTAS)
def test_what_an_mta_writes(name):
    text, expected = MTAS[name]
    found = read(b" " + text.encode())
    assert found.problem == ""
    assert (found.helo, str(found.client_ip), found.by, found.protocol, found.authenticated) == expected
    # as a milter gives it
    assert read(text.encode().replace(b"\r\n", b"\n")) == found


@pytest.mark.parametrize(
    "text",
    [
        "by mx2.receiver.example (Postfix, from userid 33) id 4ABC; x",
        "by mx2.receiver.example (Postfix) id 4ABC; x",
        "from ann by mx2.receiver.example with local (Exim 4.96) (envelope-from <ann@x.example>) id 1; x",
        "(from ann@localhost) by mx2.receiver.example (8.17.1/8.17.1/Submit) id 48LEA0ab012345; x",
        "by 2002:a05:7301:1234:b0:12 with SMTP id a1csp1; x",
        "from 1041 named unknown by gmailapi.google.com with HTTPREST; x",
        "(qmail 4711 invoked by uid 89); 21 Sep 2026 14:10:00 -0000",
        # of which nobody can say whether it is the client's address or its HELO
        "from [198.51.100.7] by mx2.receiver.example with SMTP id 1; x",
        "from [198.51.100.7] (using TLSv1.2 with cipher x (256/256 bits)) by mx2.receiver.example id 1; x",
        "from mail.sender.example (unknown [unknown]) by mx2.receiver.example (Postfix) with SMTP id 1; x",
        "from pop.provider.example [198.51.100.7] by localhost with POP3 (fetchmail-6.4.37) for <ann@localhost>; x",
        "from mail.sender.example (mail.sender.example [198.51.100.700]) by mx2.receiver.example with SMTP; x",
    ],
)
def test_what_names_no_client(text):
    found = read(text.encode())
    assert (found.client_ip, found.problem) == (None, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("from a (b [192.0.2.1]) by mx (x", "parenthesis"),
        ("from a (b [192.0.2.1]) by mx x)", "parenthesis"),
        ("from a (b [192.0.2.1]) (c [192.0.2.2]) by mx with SMTP", "several clients"),
        ("from a (b [192.0.2.1]) (192.0.2.2) by mx with SMTP", "several clients"),
        ("from a (b [192.0.2.1]) by mx with SMTP id 1 (c [192.0.2.2]) by mx with SMTP", "several by clauses"),
        ("from a (b [192.0.2.1])", "no by clause"),
        ("from a (b [192.0.2.1]) by mx with \x00SMTP", "control"),
        ("from a (b [192.0.2.1])\r by mx with SMTP", "control"),
        ("from a (b [192.0.2.1]) by mx with SMTP" + 8192 * "x", "too long"),
    ],
)
def test_what_cannot_be_read(text, problem):
    found = read(text.encode())
    assert problem in found.problem
    assert (found.client_ip, found.helo, found.by) == (None, "", "")


CLIENT = ip_address("198.51.100.7")
FORGED = "192.0.2.1"
# what somebody may say in HELO in order to be taken for another: an MTA makes of it what it lets through
CLAIMS = [
    f"a (b [{FORGED}])",
    f"a (b [{FORGED}]) by mx2.receiver.example (Postfix) with ESMTPSA id 1; x",
    f"[{FORGED}]",
    f"[{FORGED}] (helo=a)",
    f"[IPv6:::ffff:{FORGED}]",
    f"(b [{FORGED}])",
    f"({FORGED})",
    f"a({FORGED})",
    f"a ({FORGED}) by mx2.receiver.example with SMTP (Exim 4.9)",
    f"a) (b [{FORGED}]",
    f"a) ({FORGED}",
    f"a) by mx2 with esmtpa ([{FORGED}]",
    f"(HELO a) ({FORGED})",
    f"from a (b [{FORGED}])",
    f"by (b [{FORGED}])",
    f"by mx2.receiver.example (b [{FORGED}])",
    f'"a" ({FORGED})',
    f'"a (b [{FORGED}])',
    f"<a (b [{FORGED}])",
    f"a\\ (b [{FORGED}])",
    f"a\t(b [{FORGED}])",
    f"helo=a [{FORGED}]",
    f"\x85(b\xa0[{FORGED}])",
    f"a;(b [{FORGED}])",
    f"(Exim 4.96)[{FORGED}]",
    f"a [{FORGED}]",
    f"[{FORGED}] a",
    f"{FORGED}",
]
CHARACTERS = string.ascii_letters + string.digits + ".-:_"
anything = st.sampled_from(CLAIMS) | st.lists(
    st.sampled_from([*CLAIMS, " ", "(", ")", "[", "]", "<", ">", '"', "\\", "by", "with", "from", "helo=", "@", FORGED])
    | st.text(max_size=5),
    max_size=5,
).map("".join).filter(lambda text: not any(each in text for each in "\r\n"))


def without(marks):
    """As an MTA leaves of what a client said: these marks, and what nobody can see, become question marks."""
    return lambda said: "".join("?" if each in marks or not each.isprintable() else each for each in said)


def only(characters):
    """As an MTA that takes nothing else in a name."""
    return lambda said: "".join(each for each in said if each in characters)


# how each shows beside the address what it lets through of HELO
WRITERS = {
    "Postfix": ("from {said} ({name} [198.51.100.7])", without(' <>()\\";@')),
    "Haraka": ("from {said} ({name} [198.51.100.7])", lambda said: (without("")(said).split() or ["x"])[0]),
    "qmail": ("from {name} (HELO {said}) (198.51.100.7)", without(set(map(chr, range(128))) - set(CHARACTERS))),
    "Exim": ("from {name} ([198.51.100.7] helo={said})", only(CHARACTERS)),
    "Exim, no name": ("from [198.51.100.7] (helo={said})", only(CHARACTERS + "[]")),
    "as it is, Postfix's form": ("from {said} ({name} [198.51.100.7])", str),
    "as it is, Exchange's form": ("from {said} (198.51.100.7)", str),
    "as it is, qmail's form": ("from {name} (HELO {said}) (198.51.100.7)", str),
    "as it is, Exim's form": ("from {name} ([198.51.100.7] helo={said})", str),
    "as it is, Exim's form, no name": ("from [198.51.100.7] (helo={said})", str),
    "as it is, Exim's form, a port": ("from [198.51.100.7] (port=4711 helo={said})", str),
    "as it is, ident of Exim": ("from [198.51.100.7] (ident={said})", str),
    "ident of sendmail, without parentheses": ("from {name} ({said}@{name} [198.51.100.7])", without("()")),
    "the name of the address, without parentheses": ("from {name} ({said} [198.51.100.7])", without("()")),
}
BEHIND = (
    "\r\n\t(using TLSv1.3 with cipher x (256/256 bits))\r\n\tby mx2.receiver.example (Postfix) with ESMTPS id 4ABC"
    "\r\n\tfor <bob@receiver.example>; Mon, 21 Sep 2026 14:10:00 +0000"
)


@given(st.sampled_from(list(WRITERS)), anything, st.sampled_from(["unknown", "mail.sender.example"]))
@example("Haraka", f"({FORGED})", "unknown")
@example("as it is, Exim's form, no name", f"a [{FORGED}]", "unknown")
@example("as it is, ident of Exim", f"a [{FORGED}]", "unknown")
@example("ident of sendmail, without parentheses", f"[{FORGED}] a", "unknown")
@example("the name of the address, without parentheses", f"[{FORGED}]", "unknown")
@example("as it is, Exim's form", f"a [{FORGED}]) (b [{FORGED}]", "unknown")
def test_nobody_is_who_he_says_in_helo(writer, said, name):
    shown, lets_through = WRITERS[writer]
    behind = BEHIND.replace("(Postfix)", "(Exim 4.96)") if "Exim" in writer else BEHIND
    text = shown.format(said=lets_through(said) or "x", name=name) + behind
    found = read(text.encode("utf-8", "surrogatepass"))
    assert found.client_ip in (None, CLIENT)
    if writer in ("Postfix", "Haraka", "qmail", "Exim"):
        # and what is made of it leaves no doubt, so nobody gets away by it
        assert found.client_ip == CLIENT
        assert not found.authenticated


def sanitized(text):
    """A name of a certificate as Postfix shows it: parentheses in pairs, no backslash."""
    depth, found = 0, ""
    for each in text:
        each = "?" if each == "\\" or not (each.isascii() and each.isprintable()) else each
        depth += {"(": 1, ")": -1}.get(each, 0)
        if depth < 0:
            depth, each = 0, "?"
        found += each
    return found + ")" * depth


@given(anything.map(sanitized), anything)
def test_nobody_is_who_his_certificate_or_his_addresses_say(name, local_part):
    local_part = (
        '"' + "".join(f"\\{each}" if each in '"\\' else each for each in local_part if each.isprintable()) + '"'
    )
    text = (
        f'from mail.sender.example (unknown [198.51.100.7])\r\n\t(Client CN "{name}", Issuer "{name}" (not verified))'
        f"\r\n\tby mx2.receiver.example (Postfix) with ESMTPS id 4ABC\r\n\tfor <{local_part}@receiver.example>; x"
    )
    found = read(text.encode("utf-8", "surrogateescape"))
    assert (found.client_ip, found.helo, found.login) == (CLIENT, "mail.sender.example", "")


@given(st.integers(900, 2050), st.sampled_from(["unknown", "mail.sender.example"]))
def test_nobody_gets_away_by_a_name_so_long_that_its_line_is_broken(length, name):
    """As Postfix breaks it when it sends the message on."""
    first, *folds = f" from {'a' * length} ({name} [198.51.100.7]){BEHIND}".split("\r\n")
    left, broken = f"Received:{first}", []
    while len(left) >= 998:
        broken.append(left[:998])
        left = " " + left[998:]
    value = "\r\n".join([*broken, left, *folds]).encode().removeprefix(b"Received:")
    found = read(value)
    assert (found.client_ip, found.helo, found.by) == (CLIENT, "a" * length, "mx2.receiver.example")
    assert read(value.replace(b"\r\n", b"\n")) == found


PIECES = [
    "from ",
    "by ",
    "with ",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    '"',
    "\\",
    ";",
    FORGED,
    "helo=",
    "HELO ",
    "Exim 4",
    "@",
]
some = st.binary(max_size=100) | st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=20).map(
    lambda pieces: "".join(pieces).encode("utf-8", "surrogatepass")
)


@given(some)
@example(b"from a ([1.2.3.4]) by b with /x")
def test_no_octets_upset_the_reader(value):
    found = read(value)
    assert not (found.problem and found.client_ip)
    if found.client_ip:
        assert value.lstrip(b" \t\r\n").lower().startswith(b"from")


@pytest.mark.parametrize(
    "piece", ["(", "<", '<"', '"', "a <", '\\"<"', "([1.2.3.4] helo=", "from ", "[", "(a [1.2.3.4] "]
)
def test_a_hostile_field_costs_no_more_than_its_length(piece):
    def cost(octets):
        value, times = ("from " + piece * 9000)[:octets].encode(), []
        for _ in range(5):
            started = time.process_time()
            read(value)
            times.append(time.process_time() - started)
        return min(times)

    # eight times the length; a quadratic reading would cost 64 times as much
    assert cost(8000) < 30 * cost(1000)


# --- the way through the relays

RELAYS = {ip_address("192.0.2.50"), ip_address("10.0.0.1"), ip_address("2001:db8::50")}
MX2 = "from {} ({} [{}]) by mx2.receiver.example (Postfix) with {} id 1; Mon, 21 Sep 2026 14:10:00 +0000"


def line(address, protocol="ESMTPS", helo="mail.sender.example"):
    return MX2.format(helo, "x", address, protocol).encode()


STRANGER = line("203.0.113.66")
INNER = b"from mx2.receiver.example ([127.0.0.1]) by localhost (mx2 [127.0.0.1]) (amavis, port 10024) with %b id 1; x"


def walked(*fields, connected="192.0.2.50"):
    found = Relayed(ip_address(connected), RELAYS.__contains__)
    for each in fields:
        found.read(each)
    found.end()
    return found


@pytest.mark.parametrize(
    ("fields", "via"),
    [
        # what stands below is the client's own
        ([line("198.51.100.7"), STRANGER, line("192.0.2.50")], ["192.0.2.50"]),
        ([line("192.0.2.50"), line("198.51.100.7"), STRANGER], ["192.0.2.50", "192.0.2.50"]),
        ([line("10.0.0.1"), line("2001:db8::50"), line("198.51.100.7")], ["192.0.2.50", "10.0.0.1", "2001:db8::50"]),
        # a content filter of the relay
        ([line("127.0.0.1"), INNER % b"ESMTP", line("198.51.100.7"), STRANGER], ["192.0.2.50"]),
        ([line("127.0.0.1"), INNER % b"LMTP", line("198.51.100.7")], ["192.0.2.50"]),
        ([line("IPv6:::1"), line("198.51.100.7"), STRANGER], ["192.0.2.50"]),
        # a relay that logs in at another
        ([line("10.0.0.1", "ESMTPSA"), line("198.51.100.7")], ["192.0.2.50", "10.0.0.1"]),
        # a gateway that does not name the protocol
        ([b"from mail.sender.example (x [198.51.100.7]) by mx2.receiver.example (version=TLSv1.2); x"], ["192.0.2.50"]),
        # qmail writes two
        ([b"(qmail 47 invoked from network); 21 Sep 2026 14:10:00 -0000", line("198.51.100.7")], ["192.0.2.50"]),
    ],
)
def test_the_first_client_that_is_no_relay(fields, via):
    found = walked(*fields)
    assert found.problem == ""
    assert (found.client.address, found.client.helo) == (CLIENT, "mail.sender.example")
    assert list(map(str, found.client.via)) == via


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ([], "there is no Received field of the relay 192.0.2.50"),
        ([line("10.0.0.1")], "there is no Received field of the relay 10.0.0.1"),
        ([b"from a (b [192.0.2.1]) (c [192.0.2.2]) by mx", line("198.51.100.7")], "relay 192.0.2.50 names several"),
        ([b"nonsense", line("198.51.100.7")], "from one of its own users"),
        (
            [b"by mx2.receiver.example (Postfix, from userid 33) id 1; x", line("198.51.100.7")],
            "from one of its own users",
        ),
        ([b"(qmail 47 invoked by uid 89); x", line("198.51.100.7")], "from one of its own users"),
        ([b"from x by mx2.receiver.example; x", line("198.51.100.7")], "whose address it did not record"),
        ([line("198.51.100.7", "ESMTPSA")], "from a user who logged in there"),
        ([line("198.51.100.7", "POP3"), STRANGER], "by a protocol other than SMTP"),
        ([line("10.0.0.1", "MAPI"), STRANGER], "by a protocol other than SMTP"),
        ([line("127.0.0.1", "IMAP"), STRANGER], "by a protocol other than SMTP"),
        # a program of the relay that passes on what it has from elsewhere, without a word of its own
        ([line("127.0.0.1"), line("198.51.100.7").replace(b"mx2.", b"mx3.")], "did not record the client"),
        # nor of another relay, though the one above has a program with such a name
        (
            [line("127.0.0.1"), line("10.0.0.1"), line("127.0.0.1").replace(b"mx2.", b"mx3."), line("198.51.100.7")],
            "the relay 10.0.0.1 received it from a program of its own, which did not record the client",
        ),
        ([line("127.0.0.1")], "there is no Received field of the relay 192.0.2.50"),
    ],
)
def test_a_client_that_nobody_knows(fields, problem):
    found = walked(*fields)
    assert found.client is None
    assert problem in found.problem


@given(st.lists(st.just(line("10.0.0.1")) | st.just(line("127.0.0.1")), max_size=3), st.lists(some, max_size=4))
def test_no_field_below_that_of_the_client_counts(above, below):
    found = walked(*above, line("198.51.100.7"), *below)
    assert found.client.address == CLIENT
