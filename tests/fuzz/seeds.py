"""Make the first corpus: ``python -m tests.fuzz.seeds FOLDER`` writes a file for each target and seed.

The scenarios of the demo as scripts, the bank's signed letters, a sealed chain, and a few words for each parser.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset

from mailassay.message import Headers, split
from tests.demo.scenarios import BODY, FOREIGN, FORGED, SCENARIOS, letter, zone_text
from tests.lab.sign import Key, arc_set, rsa_key

from .signing import OTHER
from .world import LETTERS, PUBLIC, SECRET, TRIED

_BANK = Key(b"ed25519-sha256", SECRET, PUBLIC)
_KINDS = {"TXT": b"T", "PTR": b"P", "A": b"A", "AAAA": b"Q"}
_RECORD = re.compile(r"(\S+) +(TXT|PTR|A|AAAA) +(\S.*)")


def _dns() -> dict[str, bytes]:
    """The demo's zone as pieces of a script, by owner name."""
    found: dict[str, bytes] = {}
    for line in zone_text().splitlines():
        if match := _RECORD.fullmatch(line):
            owner, rdtype, value = match.groups()
            found[owner] = found.get(owner, b"") + _KINDS[rdtype] + f"{owner} ".encode()
            found[owner] += value.strip('"').encode() + b"\xff"
    return found


def _pieces(message: bytes) -> bytes:
    headers, body = split(message)
    fields = b"".join(b"f" + each.name + b":" + each.value + b"\xff" for each in headers)
    return fields + b"e\xffb" + body + b"\xffx\xff"


def _script(message: bytes, mail_from: str, client: str, helo: str = "mail.bank.example", login: str = "") -> bytes:
    begin = f"c{client}\xffh{helo}\xff{'l' if login else 'm'}<{mail_from}>\xffr<bob@receiver.example>\xff"
    return begin.encode("latin-1") + _pieces(message)


def scripts() -> Iterator[bytes]:
    """Whole conversations."""
    published = _dns()
    for number, each in enumerate(SCENARIOS):
        message = each.message()
        text = message + each.mail_from.encode() + each.helo.encode()
        records = b"".join(
            record for owner, record in published.items()
            if owner.removeprefix("_dmarc.").rpartition("_domainkey.")[2].encode() in text or owner.endswith(".arpa")
        )  # fmt: skip
        yield b"s%c\xff" % (number % 5) + records + _script(message, each.mail_from, each.client, each.helo, each.login)
    for letter_, domain in zip(LETTERS, ("bank.example", "news.bank.example"), strict=True):
        for selector, more in (
            ("ed", {}),
            ("ed", {"canonicalize": (b"simple", b"simple"), "headers": [b"from", b"from", b"subject"]}),
            ("ed", {"length": True}),
            ("strict", {"identity": f"@{domain}"}),
        ):
            signed = _BANK.sign(letter_, domain, selector, **more)
            yield _script(signed, "eve@attacker.example", "198.51.100.66")
    yield _script(_BANK.sign(TRIED, "bank.example", "test"), "eve@attacker.example", "198.51.100.66")
    signed = _BANK.sign(LETTERS[0], "bank.example", "ed", length=True)
    yield b"s\x02\xff" + _script(signed, "eve@attacker.example", "198.51.100.66")
    for client in ("192.0.2.30", "192.0.2.40", "2001:db8::30", "::ffff:192.0.2.30", "198.51.100.66", "local", ""):
        for mail_from in ("alice@bank.example", '"a@attacker.example"@news.bank.example', ""):
            yield _script(LETTERS[0], mail_from, client)
    yield _script(letter("alice@bank.example", FORGED, FOREIGN) * 1, "a@bank.example", "192.0.2.30") + b"m<>\xffx\xff"
    sealed = letter("ann@member.example")
    records = b""
    for number in range(3):
        seen = f"Authentication-Results: mx{number}.list.example; dkim=pass header.d=member.example\r\n".encode()
        sealed = rsa_key().seal(seen + sealed, f"l{number}.example", f"mx{number}.list.example").replace(seen, b"")
        records += f"Tarc._domainkey.l{number}.example {rsa_key().record}\xff".encode("latin-1")
    yield records + _script(sealed, "list@l0.example", "198.51.100.66")


def _troubled() -> Iterator[bytes]:
    """Scripts in which DNS fails, several keys stand at one name, names are not ASCII, or there is too much."""
    begin = b"c192.0.2.5\xffhmx.a.test\xffu<eve@b\xc3\xbccher.test>\xffr<bob@receiver.example>\xff"
    signed = rsa_key().sign(letter("eve@sub.a.test"), "a.test", "s", identity="eve@sub.a.test")
    keys = [
        rsa_key().record,
        "v=DKIM1; t=y; p=" + rsa_key().material,
        "t=s; p=" + rsa_key().material,
        "p=",
        _BANK.record,
    ]
    known = [f"Ts._domainkey.a.test {record}" for record in keys]
    hosts = ["P5.2.0.192.in-addr.arpa mx.a.test", "Amx.a.test 192.0.2.5", "Tmx.a.test v=spf1 a -all"]
    policy = [
        "T_dmarc.sub.a.test v=DMARC1; p=reject",
        "T_dmarc.a.test v=DMARC1; p=none; np=reject; psd=n",
        "T_dmarc.test !",
    ]
    for more in (
        known[:1], known[::-1], known[1:2], known[2:4], ["T* !"], ["A* !", "T_dmarc.a.test !"], ["P* ?", "T* ?"],
        [hosts[0], "Amx.a.test !"], ["T_dmarc.a.test !", known[0]], [*policy[1:], known[0]], [policy[0], *known],
        ["Tb\xfccher.test v=spf1 +all", "Txn--bcher-kva.test v=spf1 include:%{l}.a.test mx ~all"],
    ):  # fmt: skip
        records = b"".join(record.encode("latin-1") + b"\xff" for record in [*hosts, *more])
        yield records + begin + _pieces(signed)
    fields = b"".join(b"fAuthentication-Results: mx.receiver.example %d; none\xff" % number for number in range(60))
    yield b"s\x04\xff" + begin + fields + _pieces(LETTERS[0])
    for author in ("eve@b\u00fccher.test", "\u00fc@xn--bcher-kva.test", "\u00fcber <alice@bank\u3002example>"):
        yield b"Txn--bcher-kva.test v=spf1 +all\xff" + begin + _pieces(letter(author))
    partial = _BANK.sign(LETTERS[1], "news.bank.example", "ed", length=True) + b"and more\r\n"
    for number in (0, 2):
        yield b"s%c\xff" % number + begin + _pieces(partial)


def _arc() -> bytes:
    sealed = letter("ann@member.example")
    seen = b"Authentication-Results: mx.list.example; dkim=pass header.d=member.example\r\n"
    headers, _ = split(rsa_key().seal(seen + sealed, "list.example", "mx.list.example"))
    names = [b"arc-seal", b"arc-message-signature", b"arc-authentication-results"]
    return b"\xff".join(
        bytes([number]) + each.value for number, name in enumerate(names) for each in headers.named(name)
    )


def _letters() -> Iterator[bytes]:
    """Messages to be signed and sealed: plain, odd, signed before, and with chains that pass, fail and have ended."""
    plain = b"From: Anna <anna@own.test>\r\nTo: b@c.test\r\nSubject: hi\r\n\r\nHello \r\n\r\n"
    chained = arc_set(plain, 1, OTHER, _BANK)
    twice = arc_set(chained, 2, OTHER, _BANK)
    for message in (
        plain, plain.replace(b"\r\n\r\n", b"\r\nSubject: \xc3\xa9\r\n\t x\r\nList-Id: <x>\r\n\r\n", 1),
        b"Authentication-Results: mx.receiver.example; none\r\nX-Mailassay-Verdict: x\r\n" + plain,
        _BANK.sign(plain, "own.test", "arc"), b"From: a@x.test\r\n" + plain, b"From: a@own.test\r\n\r\n",
        chained, twice, twice.replace(b"Hello", b"Hallo"), twice.replace(b"i=1;", b"i=4;"),
        arc_set(chained, 2, OTHER, _BANK, status=b"fail"), b"ARC-Seal: i=50; cv=pass\r\n" + plain,
        arc_set(plain, 1, "nobody.test", _BANK), arc_set(chained, 3, OTHER, _BANK),
    ):  # fmt: skip
        headers, body = split(message)
        fields = b"".join(b"f" + each.name + b":" + each.value + b"\xff" for each in headers)
        yield b"m<anna@own.test>\xff" + fields + b"b" + body


def _named(message: bytes, name: bytes) -> list[bytes]:
    headers: Headers = split(message)[0]
    return [each.value for each in headers.named(name)]


def _responses() -> Iterator[bytes]:
    for name, rdtype, values in (
        ("example.com", "TXT", ['"v=spf1 " "-all"']),
        ("example.com", "MX", ["10 mx.example.com.", "0 ."]),
        ("mx.example.com", "A", ["192.0.2.1"]),
        ("mx.example.com", "AAAA", ["2001:db8::1"]),
        ("1.2.0.192.in-addr.arpa", "PTR", ["mx.example.com."]),
    ):
        query = dns.message.make_query(name, rdtype, use_edns=0)
        response = dns.message.make_response(query)
        response.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", "CNAME", "other.example."))
        response.answer.append(dns.rrset.from_text("other.example.", 300, "IN", rdtype, *values))
        yield response.to_wire()
        response.answer = [dns.rrset.from_text(f"{name}.", 300, "IN", rdtype, *values)]
        yield response.to_wire()
        response.answer = []
        soa = "ns.example. host.example. 1 2 3 4 5"
        response.authority.append(dns.rrset.from_text("example.", 300, "IN", "SOA", soa))
        response.set_rcode(dns.rcode.NXDOMAIN)
        yield response.to_wire()


def seeds() -> Iterator[tuple[str, bytes]]:
    """(target, input)."""
    for each in (*scripts(), *_troubled()):
        yield "conversation", each
        yield "session", each
    for text in (
        " alice@bank.example", ' "Alice, A." <alice@bank.example>', " a@x.example, b@y.example", " Team: a@b.example;",
        " <@r.example:a@b.example>", ' "a\\"b"@bank.example', " a(c(d))@\r\n\tbank.example", " a@[192.0.2.1]",
        " =?utf-8?q?a=40b.example?= <c@d.example>", " =?iso-2022-jp?B?GyRCJCIbKEI=?= <a@b.example>",
        " a@b\u00fccher.example", " \u202ea@b.example",
    ):  # fmt: skip
        yield "author", text.encode()
    own = b" mx.receiver.example; spf=pass smtp.mailfrom=a.example"
    for value in (
        own, b" (x) MX.Receiver.Example 1; none", b' "mx.receiver.example"; none', b" mx.elsewhere.example; dkim=pass",
        b" =?utf-8?q?mx.receiver.example?=; none", b" other; dkim=pass (mx.receiver.example) header.d=a.b",
        b" mx.receiver\r\n .example ; none", b" x;mx.receiver.example; dmarc=pass", b' "mx.receiver\\.example"; none',
        FOREIGN[23:],
    ):  # fmt: skip
        yield "claimed", value
        yield "recorded", value
    for value in (
        b" i=1; mx 1; dmarc/1 = pass (p=reject (sp=none)) header . from = <alice@bank.example>",
        b' i=2; "m x"; spf=pass smtp.mailfrom= smtp.helo=a; arc = pass reason="a;\\"b"; x=y z="a b" (c) @b.example',
    ):
        yield "recorded", value
    yield (
        "rendered",
        b'a.example\xff"@a.example\xffs\xff\\"\xff=?utf-8?q?x?=\xff\xc3\xa9;\r\n x=y\xffmx.example\xff' * 2,
    )
    signed = [_BANK.sign(each, "bank.example", "ed", identity="a=40b@bank.example") for each in LETTERS]
    yield "dkim", b"\xff".join(_named(signed[0], b"dkim-signature"))
    yield "dkim", b"\xff".join(_named(signed[1], b"dkim-signature")) + b"; l=1; t=1; x=2000000000; q=dns/txt:x"
    for key in (rsa_key(), rsa_key(1024), _BANK):
        yield "key", key.record.encode()
    yield "key", b"v=DKIM1; h=sha1:sha256; s=email; t=y:s; n=a; p="
    yield "arc", _arc()
    for each in _letters():
        yield "signed", each
    record = b"\xff_dmarc.bank.example v=DMARC1; p=reject; sp=none; np=quarantine; psd=n; t=y; adkim=s; aspf=r"
    yield "dmarc", b" a@news.bank.test\xffa.bank.test" + record.replace(b"example", b"test")
    yield "dmarc", b" a@b.c.d.e.f.g.h.i.test\xffi.test\xff_dmarc.i.test v=DMARC1; p=none; rua=mailto:a@b.test!10m; fo=1"
    yield "dmarc", b" a@b.c.test\xffx.c.test\xff_dmarc.c.test v=DMARC1;psd=y\xff_dmarc.b.c.test v=DMARC1; p=reject"
    spf = b"v=spf1 a:b.test/24//64 mx ptr:c.test exists:%{i}.%{l1r-}.%{d2}.%{h}.test include:i.test redirect=r.test"
    hosts = b"\xffXa.test mx.a.test\xffAmx.a.test 192.0.2.5\xffP5.2.0.192.in-addr.arpa mx.a.test"
    records = b"\xffTi.test v=spf1 ?all\xffTr.test v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"
    yield "sender", b"4\xffmx.a.test\xffeve@a.test\xffTa.test " + spf + hosts + records
    yield "sender", b"6\xffa.test\xff\xffTa.test v=spf1 include:b.test -all\xffTb.test v=spf1 +all\xffT* !"
    for name in ("Mail.Bank.Example.", "b\u00fccher.example", "xn--bcher-kva.example", "_dmarc.example", "a\u3002b"):
        yield "domain", name.encode()
    yield "message", b"From x\nA: b\n c\nB :d\n\nbody\n"
    yield "message", letter("a@b.example", FORGED) + BODY
    yield "received", b"from a (b [192.0.2.1]) by c (Postfix) with ESMTPS id 1 for <d@e>; x\xffa (b\xff)by\xffd"
    yield "received", b'from [192.0.2.1]:25 (helo=a ident=b)\xffby c with esmtp (Exim 4) (envelope-from <"a)"@b>)'
    yield "received", b'from a (HELO b) (c@192.0.2.1)\xffby d with SMTP; x\xffby\xff<"by'
    here = Path(__file__).parents[2]
    for path in (here / "conf" / "mailassay.yaml", *sorted((here / "policies").glob("*.yaml"))):
        yield "config", re.sub(r" *(#|policy:).*\n", "\n", path.read_text()).encode()
    for listen in ("inet:8899@127.0.0.1", "inet6:8899@::1", "inet:localhost:8899", "local:/run/x", "inet:0"):
        yield "config", f"listen: {listen}\nauthserv_id: mx.example.org\nworkers: 4\nsocket_group: null\n".encode()
    names = '["127.0.0.1:5353", "::1", "[::1]:5353", 192.0.2.1]'
    yield "config", f"dns: {{nameservers: {names}, timeout: 1e1}}\ntrusted_networks: [192.0.2.0/24, x]\n".encode()
    yield "config", b"dmarc: {ambiguous_author: readings, public_suffixes: no}\ndkim: {partial: align}\n"
    yield "config", b"limits: {arc_sets: 1, header_octets: 1_0}\nlimits: {x: &a [*a]}\nrules: []\nmode: !!x 1\n"
    yield "config", b"tag: {flag: a, verdict: A}\n"
    yield (
        "zone",
        b'a A 192.0.2.1\nb MX 10 a ; c\nc TXT "a" "b\\"" # d\nd CNAME b\ne TXT !\nf * ?\ng -\n*.wild AAAA ::1\n',
    )
    yield "zone", b'{"a": {"TXT": [["a", "b"], "c"], "MX": [[10, "b"]]}, "b": {"*": "TIMEOUT", "A": "SERVFAIL"}}'
    for response in _responses():
        yield "answer", response


def main() -> None:
    """Write them all."""
    folder = Path(sys.argv[1])
    for number, (target, data) in enumerate(seeds()):
        (folder / target).mkdir(parents=True, exist_ok=True)
        (folder / target / f"seed{number:03}").write_bytes(data)


if __name__ == "__main__":
    main()
