"""Public conformance suites, replayed through the real milter socket and real DNS; the data stays where it is."""

import json
import re
from collections import Counter

import pytest
import yaml

from mailassay.message import split
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.milter import MilterClient
from tests.lab.serve import Serve
from tests.lab.sign import ed25519_key

KEY = ed25519_key()
CLIENT = "192.0.2.77"


class Bench:
    """The daemon and its DNS; each case brings its own zone, and TTL 0 keeps it from the next one."""

    def __init__(self, dns, serve):
        self.dns, self.serve, self.number = dns, serve, 0

    def replay(self, zone, message, *, ip=CLIENT, helo="client.example.invalid", mail_from=""):
        """(our field unfolded, log entry) of one message."""
        self.dns.zone = Zone(json.dumps(zone), ttl=0)
        self.dns.ttl = 0
        self.dns.asked.clear()
        self.number += 1
        queue_id = f"4CASE{self.number}"
        headers, body = split(message)
        with MilterClient(self.serve.socket) as client:
            client.connect(ip)
            client.helo(helo.encode("utf-8", "surrogateescape"))
            sender = f"<{mail_from}>".encode("utf-8", "surrogateescape")
            answer = client.message(sender, headers, [body] if body else [], queue_id=queue_id)
        (value,) = answer.inserted(b"Authentication-Results")
        return value.decode(), self.serve.entry(queue_id)

    def walked(self):
        """The names of the tree walk that were asked for, each once."""
        return list(dict.fromkeys(name for name, rdtype in self.dns.asked if name.startswith("_dmarc.")))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with DnsServer(Zone("")) as dns:
        settings = {"nameservers": [f"{dns.address}:{dns.port}"], "timeout": 0.2}
        # nothing is refused, so that every case ends with a field to read
        with Serve(tmp_path_factory.mktemp("suites"), dns, {"mode": "monitor"}, dns=settings) as serve:
            yield Bench(dns, serve)


def report(name, cases, failed):
    print(f"\n{name}: {cases - len(failed)}/{cases}")
    assert not failed, "\n".join(failed)


def word(value, method):
    """The first result of a method."""
    return re.search(rf"[; ]{method}=(\w+)", value)[1]


def test_spf_rfc7208(suites, bench):
    cases = json.loads((suites / "spf" / "openspf-rfc7208.json").read_text())
    failed = []
    for case in cases:
        value, _ = bench.replay(
            case["zone"],
            b"From: a@author.invalid\r\n\r\nx\r\n",
            ip=case["client_ip"],
            helo=case["helo"],
            mail_from=case["mail_from"] or "",
        )
        if (got := word(value, "spf")) not in case["expect"]["spf"]:
            failed.append(f"{case['id']}: got {got}, expected {' or '.join(case['expect']['spf'])}")
    report("openspf RFC 7208", len(cases), failed)


def test_arc(suites, bench):
    with (suites / "arc" / "arc-draft-validation-tests.yml").open() as file:
        groups = list(yaml.safe_load_all(file))
    failed, count = [], 0
    for group in groups:
        zone = {name: {"TXT": [text]} for name, text in (group["txt-records"] or {}).items()}
        for name, case in group["tests"].items():
            count += 1
            expected = (case["cv"] or "fail").lower()
            value, _ = bench.replay(zone, case["message"].encode())
            if (got := word(value, "arc")) != expected:
                failed.append(f"{group['description']}/{name}: got {got}, expected {expected}")
    report("ARC", count, failed)


def authenticated(zone, author, spf=None, dkim=None):
    """A zone and a message in which SPF passes for one domain and DKIM for another."""
    zone = {**zone}
    message = f"From: a@{author}\r\nSubject: x\r\n\r\nx\r\n".encode()
    if spf:
        zone[spf] = {**zone.get(spf, {}), "TXT": [f"v=spf1 ip4:{CLIENT} -all"]}
    if dkim:
        zone[f"sel._domainkey.{dkim}"] = {"TXT": [KEY.record]}
        message = KEY.sign(message, dkim)
    return zone, message


def dmarc_failures(case, bench):
    """What differs from a case's expectation, in words; None where the case is about something else."""
    expect = case["expect"]
    zone = case.get("zone", {})
    if "policy_domain" in case or "default_action" in expect:
        return None
    author = (case.get("author_domain") or case.get("domain") or case.get("header_from", "example.com")).split("@")[-1]
    if "record" in case:
        zone = {f"_dmarc.{author}": {"TXT": [case["record"]]}}
    spf = (case.get("mail_from_domain") or case.get("mail_from") or case.get("identifier") or "").split("@")[-1]
    dkim = case.get("dkim_d", "")
    wrong = []

    def judge(spf="", dkim=""):
        filled, message = authenticated(zone, author, spf, dkim)
        return bench.replay(filled, message, mail_from=f"a@{spf}" if spf else "")

    def same(what, got, expected):
        if got != expected:
            wrong.append(f"{what}: got {got}, expected {expected}")

    value, entry = judge()
    if "queries" in expect:
        same("queries", bench.walked(), expect["queries"])
    if "dmarc" in expect:
        same("dmarc", word(judge(spf, dkim)[0], "dmarc"), expect["dmarc"])
    if "policy_record_at" in expect:
        same("policy record", entry.get("policy_at"), expect["policy_record_at"])
    if "effective" in expect:
        same("policy", re.search(r"policy\.dmarc=(\w+)", value)[1], expect["effective"])
    if org_domain := expect.get("org_domain"):
        same("aligned with org domain", word(judge(spf=org_domain)[0], "dmarc"), "pass")
        above = org_domain.partition(".")[2]
        if "." in above:
            same("aligned above org domain", word(judge(spf=above)[0], "dmarc"), "fail")
    aligned = [
        (spf, "", expect.get("alignment") or expect.get("spf_alignment"), expect.get("spf_aligned")),
        ("", dkim, expect.get("dkim_alignment"), expect.get("dkim_aligned")),
    ]
    for by_spf, by_dkim, kind, holds in aligned:
        if kind is not None or holds is not None:
            expected = "pass" if (holds if kind is None else kind != "none") else "fail"
            same(f"aligned {by_spf or by_dkim}", word(judge(by_spf, by_dkim)[0], "dmarc"), expected)
    return wrong


def test_dmarc_rfc9989(suites, bench):
    cases = json.loads((suites / "dmarc" / "rfc9989.json").read_text())
    found = {case["id"]: dmarc_failures(case, bench) for case in cases}
    counts = Counter(wrong is None for wrong in found.values())
    print(f"\nRFC 9989: {counts[True]} cases are about reports or defaults, which are not judged here")
    failed = [f"{name}: {'; '.join(wrong)}" for name, wrong in found.items() if wrong]
    report("RFC 9989", counts[False], failed)
