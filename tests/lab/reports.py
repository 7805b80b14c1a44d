"""Aggregate reports, plain and hostile, and the schema by which their XML is judged (RFC 9990 Appendix A)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from lxml import etree

from mailassay.aggregate import Disposition, Override, Period, Policy, Reason, Report, Reporter, Row, Signature, Spf
from mailassay.result import Result

SCHEMA = Path(__file__).parent / "schemas/dmarc-2.0.xsd"
NAMESPACE = "{urn:ietf:params:xml:ns:dmarc-2.0}"
DAY = 20_785  # 2026-11-28
AT = 1_795_900_000.0
REPORTER = Reporter(
    "mx.receiver.example", "Receiver Example", "dmarc-reports@receiver.example", "https://x.example/?a&b"
)
POLICY = Policy("bank.example", "reject", "quarantine", "reject", "1:d", "s", "r", testing=True)
SIGNATURE = Signature("bank.example", "2026a", "pass")
ROW = Row(
    "192.0.2.1",
    "bank.example",
    "bounce.bank.example",
    Disposition.PASS,
    dkim=True,
    spf=False,
    signatures=(SIGNATURE,),
    spf_result=Spf("bounce.bank.example", "softfail"),
)
FORGED = Row(
    "2001:db8::7",
    "pay.bank.example",
    "",
    Disposition.NONE,
    dkim=False,
    spf=False,
    reasons=(Reason(Override.POLICY_TEST_MODE), Reason(Override.LOCAL_POLICY, "rule known-list & others")),
    spf_result=Spf("helo.example", "none"),
)


def report(*rows: Row | tuple[Row, int], **changes: Any) -> Report:
    """A report of these rows. A row without a number stands for one message."""
    counted = [(each, 1) if isinstance(each, Row) else each for each in rows]
    return Report(**{"reporter": REPORTER, "period": Period(DAY), "policy": POLICY, "rows": counted, **changes})


@cache
def _schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(SCHEMA))


def tree(xml: bytes) -> etree._Element:
    """The document, which is valid by the schema: AssertionError if it is not."""
    root = etree.fromstring(xml)
    _schema().assertValid(root)
    return root


def texts(root: etree._Element, path: str) -> list[str]:
    """The texts of the elements at a path of names of the report's namespace."""
    return [each.text or "" for each in root.iterfind("/".join(f"{NAMESPACE}{name}" for name in path.split("/")))]


# what a sender can put into a name: controls, bidi characters, surrogates, markup, and what no XML may have
HOSTILE = st.text(
    st.sampled_from(
        "\0\x01\t\n\r\x1b\x7f\x85 &<>\"'];!\u00a0\u200b\u202e\u2028\ud800\udfff\ufeff\ufffe\uffff\U0001f4e7é-.a"
    )
    | st.characters(),
    max_size=40,
) | st.integers(125, 1000).map("a\u202e".__mul__)
_ADDRESSES = st.ip_addresses().map(str) | st.ip_addresses(network="2001:db8::/32").map("{}/64".format) | HOSTILE
_RESULTS = st.sampled_from(Result) | HOSTILE
ROWS = st.builds(
    Row,
    source_ip=_ADDRESSES,
    header_from=HOSTILE,
    envelope_from=st.none() | HOSTILE,
    disposition=st.sampled_from(Disposition),
    dkim=st.booleans(),
    spf=st.booleans(),
    reasons=st.lists(st.builds(Reason, st.sampled_from(Override), HOSTILE), max_size=3).map(tuple),
    signatures=st.lists(st.builds(Signature, HOSTILE, HOSTILE, _RESULTS), max_size=3).map(tuple),
    spf_result=st.none() | st.builds(Spf, HOSTILE, _RESULTS),
)
_ACTIONS = st.sampled_from(["none", "quarantine", "reject"]) | HOSTILE
POLICIES = st.builds(
    Policy,
    domain=st.sampled_from(
        ["bank.example", "xn--bcher-kva.example", "_x.bank.example", "example", "a." * 120 + "example"]
    ),
    p=_ACTIONS,
    sp=_ACTIONS,
    np=_ACTIONS,
    fo=HOSTILE,
    adkim=st.sampled_from("rs") | HOSTILE,
    aspf=st.sampled_from("rs") | HOSTILE,
    testing=st.booleans(),
)
REPORTERS = st.builds(
    Reporter,
    domain=st.sampled_from(["mx.receiver.example", "receiver.example"]),
    org_name=HOSTILE,
    address=st.just(REPORTER.address),
    contact=HOSTILE,
)
REPORTS = st.builds(
    Report,
    reporter=REPORTERS,
    period=st.builds(Period, st.integers(0, 100_000)),
    policy=POLICIES,
    rows=st.lists(st.tuples(ROWS, st.integers(1, 1 << 40)), min_size=1, max_size=4),
    errors=st.lists(HOSTILE, max_size=6).map(tuple),
)
