"""The fuzz targets on what is known already: the corpus, and every input that once found something."""

import pytest

from tests.fuzz.reader import check
from tests.fuzz.seeds import seeds
from tests.fuzz.talk import conversation
from tests.fuzz.targets import CORPUS, FINDINGS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_finds_nothing(name):
    for path in sorted((CORPUS / name).glob("*")):
        try:
            TARGETS[name].run(path.read_bytes())
        except Exception as error:
            raise AssertionError(f"{path.name}: {error!r}") from error


@pytest.mark.parametrize("path", sorted(FINDINGS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_finding_stays_mended(path):
    TARGETS[path.parent.name].run(path.read_bytes())


def test_the_seeds_find_nothing():
    for name, data in seeds():
        TARGETS[name].run(data)


GOOD = (
    "mx.receiver.example;\n iprev=pass policy.iprev=192.0.2.1 (mx.a.example);\n spf=pass smtp.mailfrom=a.example;\n"
    ' dkim=fail reason="x; \\"y" header.d=a.example header.i="a b@a.example";\n arc=none;\n dmarc=none'
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
        GOOD.replace(";\n spf", "\n spf"),
        GOOD.replace('\\"', '"'),
        GOOD.replace("x;", "x" * 999),
        GOOD.replace("mx.receiver.example", "mx.elsewhere.example"),
    ],
)
def test_the_reader_is_strict(value):
    assert check(GOOD, "mx.receiver.example")["spf"] == "pass"
    with pytest.raises(AssertionError):
        check(value, "mx.receiver.example")


@pytest.mark.parametrize(
    "script",
    [
        # mail in the bank's name passes for a client of the bank only, whatever the DNS says; here the DNS is its own
        b"c192.0.2.30\xffhx\xffm<a@bank.example>\xfff" + b"From: a@bank.example\xffe\xffx",
    ],
)
def test_what_passes_goes_through(script):
    conversation(script)
