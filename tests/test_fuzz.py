"""The fuzz targets on what is known already: the corpus, in which every fixed finding has its input, and the seeds."""

import pytest

from mailassay.dkim.header import simple
from mailassay.dmarc import evaluate
from mailassay.resolver import Question, Shared
from mailassay.sign import seal, signature
from tests.fuzz.reader import check
from tests.fuzz.seeds import scripts, seeds
from tests.fuzz.talk import conversation
from tests.fuzz.targets import CORPUS, TARGETS

NOTHING = Question("nothing.test", "TXT")


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_finds_nothing(name):
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for path in inputs:
        try:
            TARGETS[name].run(path.read_bytes())
        except Exception as error:
            raise AssertionError(f"{path}: {error!r}") from error


def test_the_seeds_find_nothing():
    for name, data in seeds():
        TARGETS[name].run(data)


def findings():
    for data in scripts():
        try:
            conversation(data)
        except AssertionError as error:
            yield str(error)


def test_alignment_with_everything_is_found(monkeypatch):
    monkeypatch.setattr(evaluate._Alignment, "holds", lambda *_: True)
    assert any("'bank.example'" in finding for finding in findings())


def test_more_questions_than_may_be_asked_are_found(monkeypatch):
    monkeypatch.setattr(Shared, "_start", lambda self, *_, **__: [self._source(NOTHING) for _ in range(1001)][-1])
    assert next(findings(), None) is not None


@pytest.mark.parametrize(
    ("module", "name", "other"),
    [(signature, "relaxed", simple), (seal, "_covered", lambda _, results, __: iter([results]))],
)
def test_what_is_signed_otherwise_than_it_is_verified_is_found(module, name, other, monkeypatch):
    monkeypatch.setattr(module, name, other)
    plain = next(data for target, data in seeds() if target == "signed")
    with pytest.raises(AssertionError):
        TARGETS["signed"].run(plain)


GOOD = (
    "mx.receiver.example;\n iprev=pass policy.iprev=192.0.2.1 (mx.a.example);\n spf=pass smtp.mailfrom=a.example;\n"
    ' dkim=fail reason="x (t=y)" header.d=a.example header.i="a@a_b.example";\n arc=none;\n dmarc=none'
)


@pytest.mark.parametrize(
    "value",
    [
        GOOD.replace("dmarc=none", "dmarc=none;\n dmarc=pass"),
        GOOD.replace("spf=pass", "spf=ok"),
        GOOD.replace("arc=none;\n ", ""),
        GOOD.replace("smtp.mailfrom", "smtp.from"),
        GOOD.replace("policy.iprev", "policy.x"),
        GOOD.replace("a.example", "a.example\n"),
        GOOD.replace("a.example", "a.example dmarc=pass"),
        GOOD.replace("a.example", "\u00fc.example"),
        GOOD.replace(";\n spf", "\n spf"),
        GOOD.replace("x (", 'x "('),
        GOOD.replace("x (", 'x \\"('),
        GOOD.replace("a@a_b", "a=b@a_b"),
        GOOD.replace("a@a_b", "a b@a_b"),
        GOOD.replace("x (", "x" * 999),
        GOOD.replace("mx.receiver.example", "mx.elsewhere.example"),
    ],
)
def test_the_reader_is_strict(value):
    assert check(GOOD, "mx.receiver.example")["spf"] == "pass"
    with pytest.raises(AssertionError):
        check(value, "mx.receiver.example")
