"""Programs that nobody here wrote read our mail: parsedmarc and dmarc-metrics-exporter, and every field is compared.

They are in an environment of their own (`make peers`), since they want other versions of libraries.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mailassay import __version__
from mailassay.aggregate import Disposition, Reason, Signature, Spf, fit
from mailassay.aggregate.mail import addressed, compose
from mailassay.aggregate.naming import id_of
from mailassay.failure import feedback_report
from mailassay.failure.redaction import Redactor
from mailassay.result import Result
from tests.lab import failing
from tests.lab.reports import AT, DAY, FORGED, POLICY, REPORTER, ROW, report

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-peers/bin/python"
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not (ROOT / ".venv-peers/.ready").exists(), reason="needs others' programs: make peers"),
]

NASTY = "a\0<b>&amp;]]>\r\n\u202e\ud800\ufeff é\U0001f4e7\x1b[2J" + "x" * 300
ROWS = [
    (ROW, 12),
    (FORGED, 1),
    *((ROW._replace(disposition=each, spf=True, dkim=False), 1 << 40) for each in Disposition),
    *((ROW._replace(spf_result=Spf("spf.example", each)), 2) for each in Result),
    (
        ROW._replace(
            signatures=tuple(Signature(f"{each}.example", "s", each) for each in Result if each != "softfail")
        ),
        3,
    ),
    (ROW._replace(signatures=(Signature("a.example", "s", "pass"),) * 120), 4),
    (ROW._replace(envelope_from=None, spf_result=None, signatures=()), 5),
    (ROW._replace(source_ip="2001:db8:1:2::/64", envelope_from="", signatures=(Signature("", "", "permerror"),)), 6),
    (
        ROW._replace(
            header_from=NASTY,
            envelope_from=NASTY,
            signatures=(Signature(NASTY, NASTY, "fail"),),
            spf_result=Spf(NASTY, "none"),
            reasons=(Reason(FORGED.reasons[1].type, NASTY),),
        ),
        7,
    ),
]
FOUND = report(*ROWS, errors=("sp is invalid", NASTY))


def read(program, found=FOUND):
    """What the program says about the mail of a report."""
    return said_by(program, addressed(compose(found, AT), "dmarc@bank.example"))


def said_by(program, octets):
    """What the program says about a mail."""
    done = subprocess.run(
        [PYTHON, f"tests/peers/{program}.py"], cwd=ROOT, input=octets, capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def names(row):
    return [(fit.name(each.domain), fit.name(each.selector), each.result) for each in row.signatures[:100]]


@pytest.mark.parametrize(
    "policy", [POLICY, POLICY._replace(p="none", sp="none", np="none", fo="0", adkim="r", testing=False)]
)
@pytest.mark.parametrize("rows", [ROWS, ROWS[:1]])
def test_parsedmarc(policy, rows):
    found = report(*rows, policy=policy, errors=FOUND.errors)
    said = read("read_parsedmarc", found)
    assert (said["report_type"], said["warnings"]) == ("aggregate", [])
    said = said["report"]
    assert (said["xml_schema"], said["xml_namespace"]) == ("1.0", "urn:ietf:params:xml:ns:dmarc-2.0")
    metadata = said["report_metadata"]
    assert {key: value for key, value in metadata.items() if "timespan" not in key} == {
        "org_name": REPORTER.org_name,
        "org_email": REPORTER.address,
        "org_extra_contact_info": REPORTER.contact,
        "report_id": id_of(found),
        "begin_date": "2026-11-28 00:00:00",
        "end_date": "2026-11-28 23:59:59",
        "errors": [f"sp is invalid; {fit.sentence(NASTY)}"],
        "generator": f"mailassay {__version__}",
    }
    assert said["policy_published"] == {
        "domain": policy.domain,
        **{tag: getattr(policy, tag) for tag in ("p", "sp", "np", "fo", "adkim", "aspf")},
        "testing": "y" if policy.testing else "n",
        "discovery_method": "treewalk",
        "pct": None,
    }
    assert len(said["records"]) == len(rows)
    for record, (row, count) in zip(said["records"], rows, strict=True):
        assert record["source"]["ip_address"] == row.source_ip.removesuffix("/64")
        assert record["count"] == count
        assert record["alignment"] == {"dkim": row.dkim, "spf": row.spf, "dmarc": row.dkim or row.spf}
        assert record["policy_evaluated"] == {
            "disposition": row.disposition,
            "dkim": "pass" if row.dkim else "fail",
            "spf": "pass" if row.spf else "fail",
            "policy_override_reasons": [
                {"type": each.type, "comment": fit.sentence(each.comment) or None} for each in row.reasons
            ],
        }
        spf = row.spf_result
        # it takes the domain of SPF where there is none
        envelope_from = fit.name(row.envelope_from) if row.envelope_from else spf and spf.domain
        assert record["identifiers"] == {
            "header_from": fit.name(row.header_from).lower(),
            "envelope_from": envelope_from,
            "envelope_to": None,
        }
        assert record["auth_results"] == {
            "dkim": [
                {"domain": domain, "selector": selector, "result": result, "human_result": None}
                for domain, selector, result in names(row)
            ],
            "spf": [{"domain": fit.name(spf.domain), "scope": "mfrom", "result": spf.result, "human_result": None}]
            if spf
            else [],
        }


def test_dmarc_metrics_exporter():
    """It reads by the schema, with no element that the schema does not have."""
    said = read("read_exporter")
    assert ".dmarc_2_0." in said["type"]
    assert said["version"] == "1.0"
    assert said["report_metadata"] == {
        "org_name": REPORTER.org_name,
        "email": REPORTER.address,
        "extra_contact_info": {"value": REPORTER.contact, "lang": "en"},
        "report_id": id_of(FOUND),
        "date_range": {"begin": DAY * 86_400, "end": DAY * 86_400 + 86_399},
        "error": {"value": f"sp is invalid; {fit.sentence(NASTY)}", "lang": "en"},
        "generator": f"mailassay {__version__}",
    }
    assert said["policy_published"] == {
        "domain": POLICY.domain,
        **{tag: getattr(POLICY, tag) for tag in ("p", "sp", "np", "fo", "adkim", "aspf")},
        "testing": "y",
        "discovery_method": "treewalk",
    }
    assert len(said["record"]) == len(ROWS)
    for record, (row, count) in zip(said["record"], ROWS, strict=True):
        spf = row.spf_result
        assert record == {
            "row": {
                "source_ip": row.source_ip.removesuffix("/64"),
                "count": count,
                "policy_evaluated": {
                    "disposition": row.disposition,
                    "dkim": "pass" if row.dkim else "fail",
                    "spf": "pass" if row.spf else "fail",
                    "reason": [
                        {
                            "type_value": each.type,
                            "comment": {"value": fit.sentence(each.comment), "lang": "en"} if each.comment else None,
                        }
                        for each in row.reasons
                    ],
                },
            },
            "identifiers": {
                "header_from": fit.name(row.header_from),
                "envelope_from": row.envelope_from and fit.name(row.envelope_from),
                "envelope_to": None,
            },
            "auth_results": {
                "dkim": [
                    {"domain": domain, "selector": selector, "result": result, "human_result": None}
                    for domain, selector, result in names(row)
                ],
                "spf": spf
                and {"domain": fit.name(spf.domain), "scope": "mfrom", "result": spf.result, "human_result": None},
            },
            "any_element": [],
        }


def test_parsedmarc_reads_failure_reports():
    received = b"Received: from a.example (b.example [192.0.2.8]) by x.example;\r\n Tue, 19 Jul 2022 07:57:35 +0200\r\n"
    failed = replace(failing.found(message=received + failing.BROKEN), count=7, queue_id="4XyZ12abcd")
    key = Redactor(b"k" * 32)
    body = feedback_report.compose(
        key.incident(failed), REPORTER, "a" * 26, AT, ["v=spf1 include:_spf.bank.example ip4:192.0.2.1 -all"]
    )
    said = said_by("read_parsedmarc", addressed(body, "fail@bank.example"))
    assert (said["report_type"], said["warnings"]) == ("failure", [])
    said = said["report"]
    sample = said.pop("parsed_sample")
    # what it adds, or says of the whole header section
    source = {each: said.pop(each) for each in ("source", "sample", "original_rcpt_to")}["source"]
    assert source["ip_address"] == "203.0.113.9"
    assert said == {
        "feedback_type": "auth-failure",
        "version": "1",
        "user_agent": f"mailassay/{__version__}",
        "auth_failure": ["dmarc"],
        "authentication_results": "mx.receiver.example; dmarc=fail header.from=bank.example",
        "authentication_mechanisms": ["dkim", "spf"],
        "dkim_domain": "bank.example",
        "dkim_identity": "@bank.example",
        "dkim_selector": "ed",
        "spf_dns": 'txt : bank.example : "v=spf1 include:_spf.bank.example ip4:192.0.2.1 -all"',
        "delivery_result": "reject",
        "original_envelope_id": "4XyZ12abcd",
        "original_mail_from": f"<{key.local_part('alice')}@bank.example>",
        "reported_domain": "bank.example",
        "arrival_date": "Fri, 15 Jan 2027 08:00:00 +0000",
        "arrival_date_utc": "2027-01-15 08:00:00",
        "incidents": "7",
        "sample_headers_only": True,
    }
    assert sample["from"]["address"] == f"{key.local_part('alice')}@bank.example"
    assert [each["address"] for each in sample["to"]] == [f"{key.local_part('bob')}@receiver.example"]
    assert sample["received"][0]["from"] == "a.example ([192.0.2.8])"
    assert (sample["has_defects"], sample["attachments"], sample["subject"]) == (False, [], None)
