"""The log: one line a message, whatever its sender wrote."""

import errno
import io
import json
import logging
import os
import re
import select
import socket
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay import arc, dkim, iprev, spf
from mailassay.dmarc import Disposition
from mailassay.domain import Domain
from mailassay.judge.logline import Handler, JsonFormatter, Line, TextFormatter, as_json, set_up
from mailassay.result import Result
from mailassay.verdict import Action, Decider, Kind, Verdict
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.logged import read_back
from tests.lab.talk import Talk

ZONE = Zone('_dmarc.bank.example TXT "v=DMARC1; p=reject"', limits=LIMITS)


def outcome(helo="x.example", mail_from="a@b.example", author="a@bank.example", fields=()):
    return Talk(ZONE, client="198.51.100.66", helo=helo).message(author=author, fields=fields, mail_from=mail_from)


def test_a_line():
    words = str(Line(replace(outcome(), queue_id="4ABC"))).split(" ms=")[0]
    assert words == (
        "queue_id=4ABC client=198.51.100.66 iprev=permerror "
        'iprev_why="no_name: the address has no name" '
        "spf=none spf_why=no_record mail_from=b.example spf_helo=none spf_helo_why=no_record helo=x.example "
        "dkim=none arc=none dmarc=fail dmarc_why=unauthenticated header_from=bank.example policy=reject "
        "policy_at=bank.example verdict=reject "
        'rule=dmarc.reject reason="DMARC fail for bank.example, whose policy is reject"'
    )


def test_what_a_line_has_only_sometimes():
    found = replace(outcome(mail_from=""), queue_id="4ABC")
    read = read_back(str(Line(found)))
    assert read["mail_from"] == "<>"
    assert {"name", "public_suffix", "at_stake", "limit"}.isdisjoint(read)
    assert {"via", "untraced"}.isdisjoint(Line(found).facts)
    evidence = replace(
        found.evidence,
        iprev=replace(found.evidence.iprev, name="mail.x.example", limit="ptr_names"),
        dmarc=replace(found.evidence.dmarc, public_suffix=Domain("co.uk"), at_stake=Disposition.QUARANTINE),
    )
    line = Line(replace(found, evidence=evidence))
    read = read_back(str(line))
    assert (read["name"], read["public_suffix"]) == ("mail.x.example", "co.uk")
    assert (read["at_stake"], read["limit"]) == ("quarantine", "iprev:ptr_names")
    assert line.facts["limit"] == ["iprev:ptr_names"]


def test_the_word_of_a_cause_is_there_once():
    found = outcome()
    of_iprev = replace(found.evidence.iprev, fault=iprev.Fault.LIMIT, reason="limit: more than 5 questions for iprev")
    line = Line(replace(found, evidence=replace(found.evidence, iprev=of_iprev)))
    assert ' iprev_why="limit: more than 5 questions for iprev" ' in str(line)
    assert line.facts["iprev_why"] == {"fault": "limit", "reason": "more than 5 questions for iprev"}


@pytest.mark.parametrize(
    ("found", "indent", "text"),
    [
        ({"client": ip_address("192.0.2.1")}, None, '{"client": "192.0.2.1"}'),
        ({"at": [1]}, 2, '{\n  "at": [\n    1\n  ]\n}'),
        ("a\udcff", None, r'"a\ufffd"'),
        ("\ud83d\ude00 \\udcff", None, r'"\ud83d\ude00 \\udcff"'),
    ],
)
def test_json(found, indent, text):
    assert as_json(found, indent) == text


@pytest.mark.parametrize(("size", "is_cut"), [(254, False), (255, False), (256, True), (5000, True)])
def test_a_long_name_is_cut(size, is_cut):
    """What a sender wrote must not fill the log."""
    name = "b" * size
    read = read_back(str(Line(replace(outcome(name, f"a@{name}"), queue_id="4ABC"))))
    assert read["helo"] == read["mail_from"] == ("b" * 252 + "..." if is_cut else name)


RULE, SETTING = Decider(Kind.RULE, "x"), Decider(Kind.SETTING, "dmarc.reject")
ACCEPT, REJECT = Action.ACCEPT, Action.REJECT


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict(REJECT, SETTING, "why", would=REJECT), "verdict=reject rule=dmarc.reject reason=why"),
        (Verdict(ACCEPT, SETTING, "why", would=REJECT), "verdict=accept rule=dmarc.reject would=reject reason=why"),
        (Verdict(ACCEPT, SETTING, "why"), "verdict=accept rule=dmarc.reject reason=why"),
        (Verdict(ACCEPT, RULE, "why"), "verdict=accept rule=rules.x"),
        (Verdict(ACCEPT, RULE, "why", would=REJECT), "verdict=accept rule=rules.x would=reject reason=why"),
        (Verdict(REJECT, RULE, "why"), "verdict=reject rule=rules.x would=accept reason=why"),
        (Verdict(ACCEPT, RULE, "why", override="local_policy"), "verdict=accept rule=rules.x reason=why"),
        (
            Verdict(ACCEPT, RULE, "why", monitored=("dmarc.reject:reject", "rules.y:hold")),
            "verdict=accept rule=rules.x monitored=dmarc.reject:reject,rules.y:hold",
        ),
    ],
)
def test_the_decision_in_a_line(verdict, words):
    """The reason is only there if the policy refuses, would refuse, or overrules a check."""
    line = Line(replace(outcome(), verdict=verdict, seconds=0.0123456))
    assert str(line).partition(" policy_at=bank.example ")[2] == f"{words} ms=12.3"
    assert line.facts["ms"] == 12.3
    assert ("reason" in line.facts) is ("reason=" in words)
    assert ("would" in line.facts) is ("would=" in words)
    assert ("monitored" in line.facts) is ("monitored=" in words)


@pytest.mark.parametrize(
    "helo",
    ["x\nqueue_id=FAKE", "x verdict=accept", 'x verdict="accept"', 'a"b', "\x7f", "\x1b[31m", "a\u2028b", "a=b", "é"],
)
def test_senders_cannot_write_the_log(helo):
    read = read_back(str(Line(replace(outcome(helo), queue_id="4ABC"))))
    assert (read["queue_id"], read["verdict"], read["helo"]) == ("4ABC", "reject", helo.lower())


def test_del_is_escaped():
    """A terminal may act on it."""
    line = Line(replace(outcome("a\x7fb"), queue_id="4ABC"))
    assert r' helo="a\u007fb" ' in str(line)
    assert r'"helo": "a\u007fb",' in JsonFormatter().format(record("%s", line))


@pytest.mark.parametrize(
    "domain", ["b.example verdict=accept", "b.example\r\n verdict=accept", '"', "a,pass:bank.example"]
)
def test_signers_cannot_write_the_log(domain):
    signature = f" v=1; a=rsa-sha256; d={domain}; s=x; h=from; bh=AAAA; b=AAAA".encode()
    read = read_back(str(Line(replace(outcome(fields=[(b"DKIM-Signature", signature)]), queue_id="4ABC"))))
    assert (read["verdict"], read["dkim"]) == ("reject", "permerror::x:domain")


def test_what_is_not_utf_8_is_told_so_that_every_program_reads_it():
    """Some reject the whole object for a surrogate without its other half."""
    line = Line(replace(outcome("a\udcff", "x@b\udced.example"), queue_id="4ABC"))
    entry = json.loads(JsonFormatter().format(record("%s", line)))
    assert (entry["helo"], entry["mail_from"]) == ("a\ufffd", "b\ufffd.example")
    assert read_back(str(line))["helo"] == "a\ufffd"


@given(helo=st.text(max_size=30), mail_from=st.text(max_size=30))
def test_a_line_is_one_line(helo, mail_from):
    read = read_back(str(Line(replace(outcome(helo, mail_from), queue_id="4ABC"))))
    assert (read["queue_id"], read["verdict"]) == ("4ABC", "reject")


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["a,pass:bank.example:x", 'a" verdict=accept x="', "x\nqueue_id=FAKE", "\x7f\x1b[2J", "\\", "a: b; c: d"]
    ),
    st.integers(200, 5000).map(lambda size: '"' * size),
)


@given(
    selector=HOSTILE, algorithm=HOSTILE, text=HOSTILE, mechanism=HOSTILE, helo=HOSTILE, result=st.sampled_from(Result)
)
def test_nothing_in_a_result_breaks_the_line(selector, algorithm, text, mechanism, helo, result):
    """Whatever stands in it. A reason is ours, and still may not."""
    found = outcome()
    fault = None if result is Result.PASS else dkim.Fault.BODY
    signature = dkim.Dkim(
        result, Domain("bank.example"), selector=selector, algorithm=algorithm, reason=text, fault=fault
    )
    other = dkim.Dkim(Result.PERMERROR, None, selector=selector, reason=text, fault=dkim.Fault.SYNTAX)
    evidence = replace(
        found.evidence,
        dkim=(signature, other),
        iprev=replace(found.evidence.iprev, reason=text),
        spf_mail_from=spf.Spf(Result.FAIL, "mailfrom", helo, mechanism, fault=spf.Fault.MATCHED),
        arc=arc.Arc(Result.FAIL, reason=text, fault=arc.Fault.SEAL),
    )
    line = Line(replace(found, evidence=evidence, queue_id="4ABC"))
    read = read_back(str(line))
    assert len(str(line)) < 20_000
    assert (read["queue_id"], read["verdict"], read["dmarc"]) == ("4ABC", "reject", "fail")
    first, second = (each.split(":") for each in read["dkim"].split(","))
    assert [*first[:2], *first[3:]] == [result, "bank.example", *([fault] if fault else [])]
    assert (second[:2], second[3:]) == (["permerror", ""], ["syntax"])
    assert (first[2] == second[2] == selector) == (len(selector) <= 255 and not re.search(r"[:,\s]", selector))
    assert read["spf_why"].startswith("matched")
    written = JsonFormatter().format(record("%s", line))
    assert written.isascii()
    assert written.isprintable()
    entry = json.loads(written)
    assert [each["result"] for each in entry["dkim"]] == [result, "permerror"]
    assert entry["dkim"][0]["selector"] == selector or len(selector) > 255


def signatures(*found):
    """A line about these signatures, read back."""
    judged = outcome()
    evidence = replace(judged.evidence, dkim=found)
    return read_back(str(Line(replace(judged, evidence=evidence, queue_id="4ABC"))))


def test_signatures_in_a_line():
    """Each in four parts at most; what separates them is a question mark in a selector."""
    broken = dkim.Dkim(Result.FAIL, Domain("b.example"), selector="a:b,c d\te", reason="why", fault=dkim.Fault.BODY)
    read = signatures(dkim.Dkim(Result.PASS, Domain("a.example"), selector="s"), broken, broken)
    once = "fail:b.example:a?b?c?d?e:body"
    assert read["dkim"] == f"pass:a.example:s,{once},{once}"
    assert read["dkim_why"] == "body: why"
    other = replace(broken, reason="", fault=dkim.Fault.SYNTAX, domain=None)
    read = signatures(broken, other)
    assert read["dkim"] == f"{once},fail::a?b?c?d?e:syntax"
    assert read["dkim_why"] == "body: why; syntax"
    assert signatures()["dkim"] == "none"
    assert "dkim_why" not in signatures()


@given(value=st.binary(max_size=60), tag=st.sampled_from([b"d", b"s", b"a", b"i", b"b"]))
def test_no_signature_breaks_the_line(value, tag):
    tags = {b"v": b"1", b"a": b"rsa-sha256", b"d": b"b.example", b"s": b"x", b"h": b"from", b"bh": b"AA", b"b": b"AA"}
    field = b"; ".join(b"%b=%b" % pair for pair in (tags | {tag: value}).items())
    read = read_back(str(Line(replace(outcome(fields=[(b"DKIM-Signature", b" " + field)]), queue_id="4ABC"))))
    (signature,) = read["dkim"].split(",")
    assert (signature.split(":")[0], len(signature.split(":")), read["verdict"]) == ("permerror", 4, "reject")
    assert read["dkim_why"]


def record(message, *arguments, error=None):
    return logging.LogRecord("mailassay", logging.INFO, "", 0, message, arguments, error)


def stuck(kind):
    """A reader of the log that reads nothing: what it has, and a file that writes to it."""
    if kind == "socket":
        reader, writer = socket.socketpair()
        return reader, os.fdopen(writer.detach(), "w")
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "w")


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_that_hangs_stops_nobody(kind):
    """What it does not take in time is lost, and counted."""
    reader, writer = stuck(kind)
    handler = Handler(writer, patience=0.01)
    handler.setFormatter(TextFormatter(journal=True))
    with reader, writer, closing(handler):
        for number in range(4000):
            handler.emit(record("%d %s", number, "x" * 500))
        received = b""
        read = reader.recv if kind == "socket" else reader.read
        while not received.endswith(b"last\n"):
            received += read(65_536)
            handler.emit(record("last"))
    lines = received.decode().splitlines()
    assert lines[0].startswith("<6>0 x")
    lost = [line for line in lines if "lines were lost" in line]
    assert lost
    assert re.fullmatch("<4>[0-9]+ lines were lost: nobody read them", lost[0])


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_that_is_slow_gets_every_line(kind):
    reader, writer = stuck(kind)
    handler = Handler(writer, patience=600.0)
    handler.setFormatter(TextFormatter(journal=True))
    received = []

    def read():
        octets = reader.recv if kind == "socket" else reader.read
        received.extend(iter(lambda: octets(4096), b""))

    thread = threading.Thread(target=read)
    with reader, closing(handler), writer:
        # more than a pipe or a socket holds, so the reader begins while a line waits
        starter = threading.Timer(0.1, thread.start)
        starter.start()
        for number in range(2000):
            handler.emit(record("%d %s", number, "x" * 500))
        writer.close()
        handler.close()
        starter.join()
        thread.join()
    lines = b"".join(received).decode().splitlines()
    assert [line.partition(" ")[0] for line in lines] == [f"<6>{number}" for number in range(2000)]


def test_nobody_spins_while_a_reader_hangs():
    reader, writer = stuck("pipe")
    handler = Handler(writer, patience=0.1)
    handler.setFormatter(TextFormatter(journal=True))
    send, sent = handler._send, []
    with reader, writer, closing(handler):
        with suppress(BlockingIOError):
            while True:
                send(b"x" * 4096)
        handler._send = lambda octets: sent.append(octets) or send(octets)
        handler.emit(record("lost"))
    assert sent == [b"<6>lost\n"]


def test_what_a_line_leaves_that_was_cut():
    """The next line begins anew, and counts what was lost; a line of which nothing was written left nothing."""
    reader, writer = stuck("socket")
    handler = Handler(writer, patience=0.0)
    handler.setFormatter(TextFormatter(journal=True))
    written, room = [], []

    def send(octets):
        if not room:
            raise BlockingIOError
        written.append(octets[: room.pop(0)])
        return len(written[-1])

    handler._send = send
    with reader, writer, closing(handler):
        for takes, text in [
            ([5], "hello"),
            ([], "lost"),
            ([99, 99], "there"),
            ([], "lost"),
            ([99, 3, 2], "again"),
            ([99, 99], "odd: \udcff"),
        ]:
            room[:] = takes
            handler.emit(record(text))
    assert b"".join(written).decode().split("\n") == [
        "<6>he",
        "<4>2 lines were lost: nobody read them",
        "<6>there",
        "<4>1 lines were lost: nobody read them",
        "<6>ag",
        "<4>1 lines were lost: nobody read them",
        "<6>odd: \\udcff",
        "",
    ]


def test_a_file_has_each_line():
    stream = io.StringIO()
    handler = Handler(stream)
    handler.setFormatter(TextFormatter(journal=True))
    handler.emit(record("one"))
    handler.emit(record("two"))
    assert stream.getvalue() == "<6>one\n<6>two\n"


class Failing(io.StringIO):
    """A file to which nothing can be written, because of ``error``."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, _):
        raise self.error


def test_where_nothing_can_be_written_there_is_no_place_for_a_traceback(capsys):
    """Any other error is a mistake of ours, and the traceback tells of it, and the line."""
    Handler(Failing(OSError(errno.ENOSPC, "full"))).emit(record("one"))
    assert capsys.readouterr().err == ""
    Handler(Failing(RuntimeError("a mistake"))).emit(record("the line"))
    said = capsys.readouterr().err
    assert "RuntimeError: a mistake" in said
    assert "'the line'" in said
    reader, writer = stuck("pipe")
    handler = Handler(writer)
    with writer, closing(handler):
        handler.emit(record("a number: %d", "x"))
        said = capsys.readouterr().err
        assert "TypeError" in said
        assert "'a number: %d'" in said
        reader.close()
        handler.emit(record("nobody reads this"))
        assert capsys.readouterr().err == ""


@pytest.fixture
def root():
    """The root logger, as it was before and is after the test."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    # the handlers of before are closed by set_up() unless they are taken away
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.mark.parametrize(
    ("log_format", "stream", "line"),
    [
        ("text", "8:1", "<4>hello"),
        ("text", None, "[-0-9]+ [0-9:,]+ WARNING hello"),
        ("json", "8:1", '{"time": "[^"]+", "level": "warning", "message": "hello"}'),
    ],
)
def test_what_the_settings_ask_for_is_on_stderr(root, monkeypatch, log_format, stream, line):
    """Once, however often that is set up. JOURNAL_STREAM of systemd.exec(5) says that the journal reads it."""
    root.handlers[:] = []
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if stream:
        monkeypatch.setenv("JOURNAL_STREAM", stream)
    for level in ("debug", "warning"):
        set_up(level, log_format)
    logging.getLogger("mailassay").info("no")
    logging.getLogger("mailassay").warning("hello")
    assert re.fullmatch(line + "\n", out.getvalue())
    set_up("debug", log_format)
    logging.getLogger("mailassay").debug("more")
    assert "more" in out.getvalue()


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reload_does_not_disturb_a_line_that_waits(root, monkeypatch, kind):
    """Its thread would end up writing a traceback to a reader that hangs, and a message would wait for ever."""
    root.handlers[:] = []
    reader, writer = stuck(kind)
    monkeypatch.setattr(sys, "stderr", writer)
    with reader, writer:
        set_up("info", "text")
        (handler,) = root.handlers
        os.set_blocking(writer.fileno(), False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer.fileno(), bytes(4096))
        os.set_blocking(writer.fileno(), True)
        thread = threading.Thread(target=logging.getLogger("mailassay").info, args=("it waits",), daemon=True)
        thread.start()
        while handler.lock.acquire(blocking=False):
            handler.lock.release()
            time.sleep(0.01)
        set_up("debug", "json")
        received = b""
        read = reader.recv if kind == "socket" else reader.read
        while b"it waits" not in received:
            assert select.select([reader], [], [], 60)[0]
            received += read(65_536)
        thread.join(60)
        assert not thread.is_alive()
        logging.getLogger("mailassay").debug("the next one")
        assert json.loads(read(65_536).splitlines()[-1])["message"] == "the next one"
        # while the file of stderr is open
        handler.close()


def test_what_no_format_shows_is_not_looked_for(root, monkeypatch):
    """It would take time for each line."""
    root.handlers[:] = []
    for name in ("logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, True)
    monkeypatch.setattr(logging, "_srcfile", logging.__file__)
    set_up("info", "text")
    lines = []
    monkeypatch.setattr(root.handlers[0], "emit", lines.append)
    logging.getLogger("mailassay").info("hello")
    (line,) = lines
    assert (line.thread, line.threadName, line.process, line.processName, line.lineno) == (None, None, None, None, 0)


def test_json_lines():
    entry = json.loads(JsonFormatter().format(record("%s", Line(replace(outcome(), queue_id="4ABC")))))
    assert (entry["queue_id"], entry["dmarc"], entry["level"]) == ("4ABC", "fail", "info")
    assert entry["iprev_why"] == {"fault": "no_name", "reason": "the address has no name"}
    assert (entry["dkim"], entry["dmarc_why"]) == ([], {"fault": "unauthenticated", "reason": ""})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", entry["time"])
    assert abs(datetime.fromisoformat(entry["time"]).timestamp() - time.time()) < 600
    assert json.loads(JsonFormatter().format(record("plain %d", 7)))["message"] == "plain 7"


def test_a_traceback_in_json():
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        entry = json.loads(JsonFormatter().format(record("failed", error=sys.exc_info())))
    assert entry["message"] == "failed"
    assert entry["exception"].startswith("Traceback (most recent call last):")
    assert entry["exception"].endswith("ValueError: first\nsecond")


def test_the_journal_knows_the_priority_of_each_line():
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        text = TextFormatter(journal=True).format(record("failed", error=sys.exc_info()))
    assert all(line.startswith("<6>") for line in text.split("\n"))
    assert "Traceback" in text


def test_a_terminal_sees_the_time():
    assert TextFormatter(journal=False).format(record("hello")).endswith(" INFO hello")
