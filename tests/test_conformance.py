"""The runner of conformance suites: a folder with cases that pass, that fail and that cannot be read."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.__main__ import main
from tests.conformance.bench import Bench, Gone
from tests.conformance.suites import SuiteError, read
from tests.conformance.waivers import WAIVERS
from tests.lab.sign import ed25519_key

ALL_FAIL = {"example.com": {"TXT": [["v=spf1 -all"]]}}
WAIVED = "kumomta/dmarc_dkim_relaxed_subdomain"


def spf_case(name: str, expected: str) -> dict[str, Any]:
    inputs = {"zone": ALL_FAIL, "client_ip": "192.0.2.1", "helo": "example.com", "mail_from": "a@example.com"}
    return {"id": name, **inputs, "expect": {"spf": [expected]}}


def dmarc_case(name: str, record: str, effective: str) -> dict[str, Any]:
    return {"id": name, "record": record, "expect": {"effective": effective}}


def write(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.process
def test_a_line_for_each_suite_and_each_case_that_fails(tmp_path, capsys):
    write(tmp_path, "spf/a.json", [spf_case("right", "fail"), spf_case("wrong", "pass"), spf_case("doubtful", "pass")])
    write(tmp_path, "spf/contested.json", {"doubt*": "says so"})
    write(tmp_path, "dmarc/b.json", [dmarc_case("one", "v=DMARC1; p=reject", "reject")])
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "spf/a.json: 1/3, 1 waived, 66 %",
        "  failed wrong: got fail, expected pass",
        "  waived doubtful: says so",
        "dmarc/b.json: 1/1, 100 %",
        "2/4 in all, 1 waived",
    ]


@pytest.mark.process
def test_waivers_do_not_outlive_their_need(tmp_path, capsys):
    write(tmp_path, "dmarc/kumomta.json", [dmarc_case(WAIVED, "v=DMARC1; p=reject", "reject")])
    assert main([str(tmp_path)]) == 1
    gone = [name for name in sorted(WAIVERS["dmarc/kumomta.json"]) if name != WAIVED]
    assert capsys.readouterr().out.splitlines()[1:-1] == [
        f"  stale {WAIVED}: is waived, and passes",
        *(f"  stale {name}: is waived, and there is no such case" for name in gone),
    ]


@pytest.mark.process
def test_what_cannot_be_replayed_is_no_traceback(tmp_path, capsys):
    broken = {**spf_case("broken", "fail"), "zone": {"example.com": {"TXT": 1}}}
    other = {**dmarc_case("other", "v=DMARC1; p=none", "none"), "expect": {"unheard of": True}}
    write(tmp_path, "spf/a.json", [broken])
    write(tmp_path, "dmarc/b.json", [other])
    assert main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "failed broken: cannot be replayed: " in lines[1]
    assert lines[3] == "  failed other: unheard of: got nothing that is known of here, expected True"


@pytest.mark.parametrize(
    ("name", "pattern", "content"),
    [
        ("spf/a.json", "spf/*.json", "{"),
        ("spf/a.json", "spf/*.json", [{"id": "no inputs"}]),
        ("arc/a.yml", "arc/*.y*ml", "tests: ["),
        ("dkim/x/cases.json", "dkim/*/cases.json", [{"id": "a", "message": "a.eml", "expect": {"dkim": "none"}}]),
        ("authres/a.json", "authres/*.json", [{"id": "a", "header": "a; none", "expect": {"parse": "perhaps"}}]),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, pattern, content):
    path = write(tmp_path, name, content)
    with pytest.raises(SuiteError, match=path.name if name != "dkim/x/cases.json" else "a.eml") as error:
        read(tmp_path, path, pattern)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.process
def test_exit_status_where_something_cannot_be_read(tmp_path, capsys):
    write(tmp_path, "spf/a.json", "{")
    write(tmp_path, "dmarc/b.json", [dmarc_case("one", "v=DMARC1; p=reject", "reject")])
    assert main([str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert str(tmp_path / "spf" / "a.json") in said.err
    assert "dmarc/b.json: 1/1, 100 %" in said.out


@pytest.mark.process
def test_a_daemon_that_is_gone():
    with Bench() as bench:
        os.killpg(bench.serve.pid, signal.SIGKILL)
        with pytest.raises(Gone, match="listening on"):
            bench.replay({}, b"From: a@example.com\r\n\r\nx\r\n")


@pytest.mark.process
def test_the_clock_of_a_case(tmp_path, capsys):
    """``now``, else the earliest x= where a pass is expected; a signature made after that time is none."""
    key = ed25519_key()
    message = key.sign(b"From: a@example.com\r\n\r\nx\r\n", "example.com")
    write(tmp_path, "dkim/x/a.eml", message.decode())
    write(tmp_path, "dkim/x/zone.json", {"sel._domainkey.example.com": {"TXT": [key.record]}})
    cases = [
        {"id": "real time", "expect": {"dkim": ["pass"]}},
        {"id": "given", "now": 1000, "expect": {"dkim": ["permerror"]}},
        {"id": "expired", "sigs": [{"x": 2000}, {"x": None}], "expect": {"dkim": ["pass"]}},
        {"id": "rightly expired", "sigs": [{"x": 2000}], "expect": {"dkim": ["permerror"]}},
    ]
    write(tmp_path, "dkim/x/cases.json", [{**case, "message": "a.eml"} for case in cases])
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[1:-1] == [
        "  failed expired: got permerror, expected ['pass']",
        "  failed rightly expired: got pass, expected ['permerror']",
    ]


def test_an_empty_folder(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no suites" in capsys.readouterr().err
