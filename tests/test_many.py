"""Many messages at once: `check --summary`."""

import io
import json
import os
import signal
import subprocess
import time
from concurrent.futures import Future
from threading import Event, Semaphore, Timer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.cli import main, options
from mailassay.replay.many import File, files, mbox, run
from mailassay.replay.message_file import Unknown
from mailassay.resolver import NO_DATA
from tests.lab.program import ENVIRONMENT, PROGRAM, ZONE

CAME = (
    "Return-Path: <{mail_from}>\nReceived: from {helo} (unknown [{client}])\n\tby mx.receiver.example (Postfix) with"
    " ESMTP id 1;\n\tFri, 20 Nov 2026 10:00:00 +0000 (UTC)\n"
)
RESULTS = (
    "Authentication-Results: mx.receiver.example;\n iprev=pass policy.iprev=192.0.2.1;\n spf=fail"
    " smtp.mailfrom=bank.example;\n dkim=none;\n arc=none smtp.remote-ip=192.0.2.1;\n dmarc=pass\n"
)
LETTER = "From: {author}\nSubject: x\n\nHello\n"
EXPIRED = "DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=x; h=from; x=1000; t=1; bh=AAAA; b=AAAA\n"
KEYLESS = "DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=x; h=from; bh=AAAA; b=AAAA\n"


def message(author="alice@bank.example", client="192.0.2.1", more=""):
    came = CAME.format(mail_from="alice@bank.example", helo="mail.bank.example", client=client)
    return (came + more + LETTER.format(author=author)).encode()


GOOD, SPOOF, OTHER = message(), message(client="198.51.100.66"), message("a@other.example")
FROM = b"From alice@bank.example Fri Nov 20 10:00:00 2026\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mailassay.cli.options.DEFAULT_CONFIG", str(tmp_path / "no-such-file"))
    (tmp_path / "zone").write_text(ZONE)
    return tmp_path


def write(folder, **named):
    """Files by their paths, ``__`` for the slash."""
    for name, octets in named.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)


def summary(*arguments):
    return main(["check", "--summary", "--zone", "zone", "--host", "mx.receiver.example", *arguments])


def test_a_maildir(folder, capsys):
    write(
        folder, box__cur__1=GOOD, box__cur__2=SPOOF, box__new__3=GOOD, box__new__4=OTHER, box__tmp__5=SPOOF,
        box__maildirsize=b"x", **{"box__.Junk__cur__6": SPOOF},
    )  # fmt: skip
    assert summary("box") == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines == [
        "Of 4 messages 3 accepted, 1 refused.",
        "",
        "author domain  messages  accepted  refused",
        "bank.example          3         2        1",
        "other.example         1         1",
        "",
        "policy setting           messages  accepted  refused",
        "dmarc.reject, a default         1                  1",
        "default                         3         3",
        "",
    ]


def test_what_is_refused_is_named(folder, capsys):
    write(folder, a=GOOD, b=SPOOF)
    assert summary("a", "b", "-v") == 0
    assert capsys.readouterr().out.endswith("\nrefused   b  bank.example  dmarc.reject\n")


def test_folders_and_mbox_files(folder, capsys):
    box = FROM + GOOD + b"\n" + FROM + SPOOF + b">From me\n" + b"\n" + FROM + GOOD
    write(folder, all__a__cur__1=GOOD, all__a__new__2=SPOOF, all__b__3=GOOD, all__mbox=box, **{"all__.c__4": SPOOF})
    os.mkfifo(folder / "all/pipe")
    (folder / "all/loop").symlink_to(folder / "all")
    assert summary("all", "--json") == 0
    *entries, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [(each["file"], each["verdict"]["action"]) for each in entries] == [
        ("all/a/cur/1", "accept"), ("all/a/new/2", "reject"), ("all/b/3", "accept"),
        ("all/mbox#1", "accept"), ("all/mbox#2", "reject"), ("all/mbox#3", "accept"),
    ]  # fmt: skip
    assert entries[1]["message"]["sources"]["mail_from"] == "Return-Path"
    assert last["summary"] == {
        "messages": 6,
        "interrupted": False,
        "policy": {"file": None, "digest": entries[0]["policy"]["digest"], "mode": "enforce"},
        "actions": {"accept": 4, "reject": 2},
        "would": {"accept": 4, "reject": 2},
        "authors": {"bank.example": {"accept": 4, "reject": 2}},
        "rules": {"dmarc.reject": {"line": None, "reject": 2}, "default": {"line": None, "accept": 4}},
        "unknown": 0,
        "unreadable": 0,
        "earlier": 0,
        "unanswered": 0,
        "expired_signatures": 0,
        "missing_keys": 0,
        "differs": {"messages": 0},
        "signed": 0,
        "signed_by": {},
        "unsigned": {},
    }


def test_since_a_time(folder, capsys):
    """When a message came in is in the Received field of the host."""
    late = SPOOF.replace(b"Fri, 20 Nov 2026 10:00:00", b"Sat, 21 Nov 2026 10:00:00")
    undated = GOOD.replace(b"\tFri, 20 Nov 2026 10:00:00 +0000 (UTC)", b"\tx")
    write(folder, a=GOOD, b=late, c=undated)
    assert summary("a", "b", "c", "--since", "2026-11-21T00:00Z") == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "Of 1 message 0 accepted, 1 refused.\n1 message came in before that time (--since).\n1 could not be judged:\n"
        "  c: no Received field of this host says when it came in"
    )
    assert summary("a", "b", "--since", "2026-11-21T00:00Z", "--json") == 0
    *entries, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [each["file"] for each in entries] == ["b"]
    assert (last["summary"]["messages"], last["summary"]["earlier"]) == (1, 1)
    assert summary("a", "--since", "2026-11-21T00:00Z") == 0


def test_a_byte_order_mark(folder, capsys):
    write(
        folder, a=b"\xef\xbb\xbf" + FROM + GOOD + b"\n" + FROM + SPOOF, b=b"\xef\xbb\xbf" + GOOD, c=b"Exported\n" + GOOD
    )
    assert summary("a", "b", "c") == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "Of 3 messages 2 accepted, 1 refused.\n1 could not be judged:\n  c: the file begins with 'Exported'"
    )


def test_a_policy_on_trial(folder, capsys):
    write(folder, a=SPOOF, config=b"policy: strict.yaml\n", **{"strict.yaml": b"dmarc: {reject: reject}\n"})
    (folder / "trial.yaml").write_text("mode: monitor\ndmarc:\n  reject: hold\n")
    assert summary("a", "--config", "config", "--policy", "trial.yaml") == 0
    said = capsys.readouterr().out
    assert said.startswith("Of 1 message 1 accepted.\nWithout monitor, it would be: 0 accepted, 1 held.\n")
    assert "dmarc.reject, line 3 of trial.yaml" in said
    assert summary("a", "--config", "config") == 0
    assert "dmarc.reject, line 1 of strict.yaml" in capsys.readouterr().out


def test_time_and_dns_have_gone_on(folder, capsys):
    write(folder, a=message(more=EXPIRED), b=message(more=KEYLESS), c=RESULTS.encode() + GOOD)
    assert summary("a", "b", "c") == 0
    assert capsys.readouterr().out.endswith(
        "In 1 message a signature had expired (x=).\n"
        "In 1 message a signature no longer has a key in DNS: domains remove keys some time after their use.\n"
        "1 message gave another result than when they came in: spf 1.\n"
    )


def test_what_dns_did_not_answer(folder, capsys):
    write(folder, a=GOOD, b=OTHER, zone=ZONE.encode() + b"_dmarc.other.example TXT !\n")
    assert summary("a", "b") == 0
    said = "In 1 message DNS did not answer a question: these verdicts are not reliable.\n"
    assert capsys.readouterr().out.endswith(said)
    assert summary("a", "b", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]["unanswered"] == 1


def test_interrupted_it_loses_nothing_that_is_under_way(monkeypatch):
    begun, interrupts, result = Semaphore(0), [KeyboardInterrupt], Future.result

    def judge(raw):
        begun.release()
        raise Unknown(raw.decode())

    def messages():
        yield from (File(name, name.encode()) for name in "123")
        for _ in "123":
            begun.acquire()

    def waited_for(future):
        if interrupts:
            raise interrupts.pop()
        return result(future)

    monkeypatch.setattr(Future, "result", waited_for)
    judged = run(messages(), judge)
    assert [next(judged).error for _ in range(3)] == ["1", "2", "3"]
    with pytest.raises(KeyboardInterrupt):
        next(judged)


def test_interrupted_it_says_that_it_is_ending():
    asked, answered = Event(), Event()
    said = []

    def judge(raw):
        asked.set()
        answered.wait()
        raise Unknown(raw.decode())

    def interrupted():
        yield File("a", b"x")
        asked.wait()
        raise KeyboardInterrupt

    def ending():
        said.append("ending")
        answered.set()

    judged = run(interrupted(), judge, ending=ending)
    assert next(judged).error == "x"
    assert said == ["ending"]
    with pytest.raises(KeyboardInterrupt):
        next(judged)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["a", "missing"], 66, "1 could not be read:\n  missing: No such file or directory\n"),
        (["a", "unknown"], 0, "1 could not be judged:\n  unknown: no Received field has the client's address; give"),
        (["unknown"], 65, "Of 0 messages 0 accepted.\n1 could not be judged:\n"),
        (["many"], 65, "7 could not be judged:\n"),
        (["many"], 65, "  and 2 more\n"),
        (["empty"], 65, "Of 0 messages 0 accepted.\n"),
    ],
)
def test_what_cannot_be_judged_is_named(folder, capsys, arguments, status, said):
    write(folder, a=GOOD, unknown=b"From: a@b.example\n\nx\n", **{f"many__{number}": b"" for number in range(7)})
    (folder / "empty").mkdir()
    assert summary(*arguments) == status
    assert said in capsys.readouterr().out


def test_what_came_is_judged_at_its_time(folder, capsys):
    signature = EXPIRED.replace("x=1000; t=1", "x=1795168800; t=1795000000")  # 10:00 UTC that day
    write(folder, a=message(more=signature))
    for at, fault in (([], "no_key"), (["--at", "2027-01-01T00:00Z"], "expired")):
        assert main(["check", "a", "--zone", "zone", "--host", "mx.receiver.example", "--json", *at]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["evidence"]["dkim"][0]["fault"] == found["results"]["dkim"][0]["fault"] == fault


@pytest.mark.process
def test_interrupted(folder):
    write(folder, a=GOOD, b=SPOOF)
    os.mkfifo(folder / "pipe")
    arguments = ["check", "--summary", "--zone=zone", "--host=mx.receiver.example", "a", "b", "pipe"]
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, env=ENVIRONMENT
    )
    with open(folder / "pipe", "wb"):
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said, trouble = process.communicate(timeout=60)
    assert (process.returncode, trouble) == (130, b"")
    assert said.startswith(b"Interrupted; so far:\nOf 2 messages 1 accepted, 1 refused.\n")


@given(
    st.lists(
        st.lists(st.sampled_from(["Hello\n", "From x\n", "\n", ">From y\n", "From: a\n"]).filter(bool), max_size=6),
        min_size=1,
        max_size=4,
    )
)
def test_an_mbox_is_taken_apart(bodies):
    """As Postfix writes it: From quoted, an empty line behind each message."""
    written = [
        FROM + b"Subject: x\n\n" + "".join(f">{line}" if line.startswith("From ") else line for line in body).encode()
        for body in bodies
    ]
    plain = [FROM + b"Subject: x\n\n" + "".join(body).replace(">From", "From").encode() for body in bodies]
    found = list(mbox(io.BytesIO(b"\n".join(written) + b"\n")))
    assert [each.rstrip(b"\n") for each in found] == [each.rstrip(b"\n") for each in plain]


@given(st.lists(st.sampled_from([b"From ", b"\n", b"x", b">From ", b"\r\n", b"\0"]), max_size=30).map(b"".join))
def test_nothing_of_an_mbox_is_lost(octets):
    found = b"".join(mbox(io.BytesIO(octets)))
    assert found.replace(b">", b"") == octets.replace(b">", b"")


def test_in_their_order():
    def judge(raw):
        raise Unknown(raw.decode())

    names = [str(number) for number in range(200)]
    found = list(run((File(name, name.encode()) for name in names), judge, workers=3))
    assert [each.name for each in found] == [each.error for each in found] == names


def test_big_files_are_not_all_held_at_once(tmp_path):
    for name in "abcd":
        (tmp_path / name).write_bytes(b"12345678")
    read = []

    def passing():
        for file in files([str(tmp_path)]):
            read.append(file.name)
            yield file

    def judge(raw):
        raise Unknown(raw.decode())

    judged = run(passing(), judge, most_octets=10)
    next(judged)
    assert len(read) == 2
    assert len(list(judged)) == 3


def test_messages_share_a_bound_on_questions_under_way(monkeypatch, tmp_path, capsys):
    """However many each of them asks: the command has only so many descriptors."""
    under_way, most = set(), []

    class Slow:
        def __init__(self, *_given):
            pass

        def __call__(self, _asked):
            future = Future()
            under_way.add(future)
            most.append(len(under_way))

            def answer():
                under_way.discard(future)
                future.set_result(NO_DATA)

            Timer(0.02, answer).start()
            return future

    monkeypatch.setattr("mailassay.nameservers.Nameservers", Slow)
    monkeypatch.setattr(options, "_MOST_UNDER_WAY", 8)
    monkeypatch.setattr(options, "asked", lambda settings: settings)
    (tmp_path / "config").write_text("dns: {nameservers: [127.0.0.1]}\nauthserv_id: mx.receiver.example\n")
    for number in range(30):
        (tmp_path / f"m{number}").write_bytes(message(f"a@{number}.example"))
    names = [str(tmp_path / f"m{number}") for number in range(30)]
    assert main(["check", "--config", str(tmp_path / "config"), "--summary", *names]) == 0
    assert "30 messages" in capsys.readouterr().out
    assert max(most) <= 8
