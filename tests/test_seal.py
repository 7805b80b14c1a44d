"""Sealing on the way of a message: which mail, the log, the history and `why`; and odd messages."""

import json
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mailassay.arc import Arc, Chain
from mailassay.config import Settings
from mailassay.dkim import Body, Work
from mailassay.explain.recorded import Recorded
from mailassay.history.record import Judged, line, read, record
from mailassay.judge.logline import Line
from mailassay.message import Field, Headers, split
from mailassay.policy import Mode, Policy
from mailassay.result import Result
from mailassay.sign import Unsealed, seal
from mailassay.sign.signature import BODY
from mailassay.verdict import Action
from tests.lab.limits import LIMITS
from tests.lab.sealing import (
    MESSAGE,
    dkimpys,
    header_after,
    host,
    judged,
    ours,
    published,
    through,
    validated,
    zone,
)
from tests.lab.signing import NOW, signing
from tests.lab.talk import Talk

KEYS = {"sealed_by", "seal_i", "seal_cv", "unsealed"}
BY = "a.example/arc"


@pytest.fixture(scope="module")
def sealer(tmp_path_factory):
    return host(tmp_path_factory.mktemp("keys"), "a.example")


def hungry(settings, message=MESSAGE):
    """Is the body of a message asked for?"""
    talk = Talk("", settings=settings)
    talk.session.mail_from("<ann@member.example>")
    for each in split(message)[0]:
        talk.session.header(*each)
    talk.session.end_of_headers()
    return talk.session.body(b"x\r\n")


def files_used(settings):
    """The files of the program whose code runs for a message."""
    used = set()
    sys.setprofile(lambda frame, *_: used.add(frame.f_code.co_filename))
    try:
        judged(settings, MESSAGE)
    finally:
        sys.setprofile(None)
    return {Path(each).relative_to(Path(seal.__file__).parents[1]) for each in used if "mailassay/sign/" in each}


def test_without_seal_all_nothing_is_done(sealer):
    """No code of sealing or signing runs, and no body is asked for."""
    assert not hungry(Settings())
    assert files_used(Settings()) == set()
    found = judged(Settings(), MESSAGE)
    assert found.seal is None
    assert not KEYS & set(Line(found).facts)
    assert hungry(sealer)
    assert Path("sign/seal.py") in files_used(sealer)


def test_outgoing_mail_is_not_sealed(sealer, tmp_path):
    both = replace(signing(tmp_path), sealing_key=sealer.sealing_key, sign=sealer.sign)
    found = judged(both, MESSAGE, login="ann")
    assert found.seal is None
    assert not KEYS & set(Line(found).facts)


def test_what_monitor_mode_lets_in_is_sealed(sealer):
    monitor = replace(sealer, policy=Policy(mode=Mode.MONITOR))
    found = judged(monitor, MESSAGE, zone({}).replace("p=none", "p=reject"))
    assert (found.verdict.action, found.verdict.would, found.seal.by) == (Action.ACCEPT, Action.REJECT, BY)


def test_a_header_that_is_cut_is_not_sealed(sealer):
    monitor = replace(sealer, policy=Policy(mode=Mode.MONITOR))
    found = judged(monitor, b"X-A: " + b"y" * 1_100_000 + b"\r\n" + MESSAGE)
    assert (found.verdict.action, found.seal.why) == (Action.ACCEPT, Unsealed.LIMIT)


@pytest.mark.parametrize("name", [b"To", b"DKIM-Signature"])
def test_too_many_fields_are_not_sealed(sealer, name):
    assert judged(sealer, name + b": x@y.example\r\n" * 50 + MESSAGE).seal.by
    assert judged(sealer, (name + b": x@y.example\r\n") * 150 + MESSAGE).seal.why is Unsealed.FIELDS


def test_a_fault_leaves_out_the_seal_and_nothing_else(sealer, caplog):
    broken = replace(sealer, sealing_key=replace(sealer.sealing_key, pem=b"no key"))
    found, good = judged(broken, MESSAGE), judged(sealer, MESSAGE)
    assert (found.seal.why, found.seal.fields) == (Unsealed.ERROR, ())
    assert (found.verdict, found.add, found.evidence) == (good.verdict, good.add, good.evidence)
    [entry] = [each for each in caplog.records if each.exc_info]
    assert entry.getMessage() == "a message is not sealed"
    assert "no key" not in caplog.text


def test_a_large_message_takes_no_memory(sealer):
    talk = Talk("", settings=sealer, now=NOW)
    talk.session.mail_from("<ann@member.example>")
    talk.session.header(b"From", b" ann@member.example")
    talk.session.end_of_headers()
    chunk = b"x" * 65_533 + b"\r\n"
    tracemalloc.start()
    try:
        for _ in range(320):
            assert talk.session.body(chunk)
        assert talk.session.end_of_message().seal.by == BY
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


ODD = {
    "empty_body": b"From: ann@member.example\r\n\r\n",
    "only_blanks": MESSAGE + b" \t\r\n\r\n\r\n",
    "no_line_end": MESSAGE + b"x",
    "8bit": MESSAGE.replace(b"hi", b"\xc3\xa9\xff") + b"\xff\xfe\r\n",
    "folded": MESSAGE.replace(b"hi", b"a\r\n\tb \r\n  c"),
    "lone_cr_in_body": MESSAGE + b"a\rb\r\r\nc\r\n",
    "repeated": b"To: x@example.net\r\nTo: y@example.net\r\n" + MESSAGE,
    "large_header": b"X-Large: " + b"y" * 20_000 + b"\r\n" + MESSAGE,
    "long_line": MESSAGE + b"x " * 3000 + b"\r\n",
    "nul_in_body": MESSAGE + b"a\x00b\r\n",
    "no_from": b"Subject: hi\r\n\r\nx\r\n",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_messages_are_sealed(sealer, name):
    message = through(ODD[name], sealer)
    assert ours(message, zone(published(sealer))).result is Result.PASS
    assert dkimpys(message, published(sealer)) == "pass"


NAMES = st.sampled_from([b"From", b"To", b"Subject", b"subject", b"DKIM-Signature", b"List-Id", b"X-Spam-Flag",
                         b"Authentication-Results", b"X-Mailassay-Verdict", b"Content-Type"])  # fmt: skip
VALUES = st.binary(max_size=30).map(lambda text: b" " + text.replace(b"\n", b"\r\n ")) | st.sampled_from(
    [b" mx.a.example; dmarc=pass", b" a\r\n\tb\r\n ", b"", b" \xff", b" a\rb"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.binary(max_size=40))
@example([(b"Authentication-Results", b" mx.a.example; none"), (b"X-Mailassay-Verdict", b" x")] * 3, b"\r\n\r\r\n")
def test_whatever_is_sealed_verifies_as_the_next_host_gets_it(sealer, pairs, body):
    found = Talk("", settings=sealer, now=NOW).send(pairs, body)
    if found.seal is None:
        assert found.verdict.action in (Action.DEFER, Action.REJECT)
        return
    assert found.seal.by, found.seal
    after = header_after(found, Headers(Field(*each) for each in pairs))
    assert validated(after, body, zone(published(sealer))).result is Result.PASS


def test_the_header_is_sealed_as_it_is_after_the_change(sealer):
    """Also where a field that is covered is added or removed, which no policy does now."""
    headers, body = split(b"List-Id: <a>\r\nSubject: old\r\nList-Id: <b>\r\n" + MESSAGE)
    given = judged(sealer, MESSAGE)
    change = seal.Change([("list-id", 2), ("Subject", 1)], [("Subject", "[x]\n hi"), *given.add], given.add[0][1])
    hashed = Body([BODY])
    hashed.update(body)
    body_hash = hashed.finish()[BODY].digest
    message = seal.Incoming(headers, Chain(), Arc(Result.NONE), body_hash, Work(LIMITS))
    found = seal.sealed(sealer.sealing_key, message, change, NOW)
    after = header_after(replace(given, remove=tuple(change.remove), add=tuple(change.add), seal=found), headers)
    assert [each.value for each in after.named(b"list-id")] == [b" <a>"]
    assert validated(after, body, zone(published(sealer))).result is Result.PASS


# the log and the history


def test_the_log_says_who_sealed_or_why_nobody_did(sealer):
    sealed, failed = judged(sealer, MESSAGE), judged(sealer, b"ARC-Seal: i=1; cv=fail; a=b\r\n" + MESSAGE)
    assert f"verdict=accept rule=default sealed_by={BY} seal_i=1 seal_cv=none ms=" in str(Line(sealed))
    assert "verdict=accept rule=default unsealed=failed ms=" in str(Line(failed))
    assert [Line(sealed).facts[key] for key in ("sealed_by", "seal_i", "seal_cv")] == [BY, 1, "none"]
    assert KEYS & set(Line(failed).facts) == {"unsealed"}


def kept(found, settings):
    return record(Judged(found, settings, NOW), "mx1")


def test_the_history_keeps_who_sealed(sealer):
    found = kept(judged(sealer, MESSAGE), sealer)
    assert [found.get(key) for key in ("sealed_by", "seal_i", "seal_cv", "unsealed")] == [BY, 1, "none", None]
    assert ("sealed by", f"{BY}  i=1 cv=none") in Recorded(found).lines(sealer)
    # the fields themselves are not kept
    assert "ARC-Seal" not in json.dumps(found)
    found = kept(judged(sealer, b"ARC-Seal: i=50; cv=pass; a=b\r\n" + MESSAGE), sealer)
    assert KEYS & set(found) == {"unsealed"}
    assert ("unsealed", f"sets: {Unsealed.SETS.words}") in Recorded(found).lines(sealer)
    assert not KEYS & set(kept(judged(Settings(), MESSAGE), Settings()))


def test_readers_of_the_last_version_pass_over_the_seal(sealer):
    """A collector of before reads a line of now, and the collector of now a line of before."""
    now = json.loads(line(Judged(judged(sealer, MESSAGE), sealer, NOW), "mx1"))
    before = json.loads(line(Judged(judged(Settings(authserv_id="mx.a.example"), MESSAGE), Settings(), NOW), "mx1"))
    assert [*now] == ["v", "kind", "values", "seal"]
    assert [*before] == ["v", "kind", "values"]
    assert len(now["values"]) == len(before["values"])
    del now["seal"]
    assert {*read(now)} == {*read(before)}


def test_every_why_has_words():
    for each in Unsealed:
        assert each.words
