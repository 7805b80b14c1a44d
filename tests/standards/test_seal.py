"""RFC 8617 section 5.1: what a sealer does. `test_arc.py` has what a validator does."""

import base64
import re
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mailassay.limits import Limits
from mailassay.message import split
from mailassay.policy import DmarcActions, Policy
from mailassay.result import Result
from mailassay.sign import Unsealed
from mailassay.sign.signature import field
from mailassay.verdict import Action
from tests.lab.sealing import MESSAGE, dkimpys, host, judged, ours, passed_on, published, through, zone
from tests.lab.sign import arc_set, canonical_body, canonical_field, rsa_key
from tests.lab.signing import NOW, pem

KEY = rsa_key()
OTHERS = {f"arc._domainkey.{name}.example": KEY.record for name in ("one", "two")}
NAMES = ("ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """Three hosts with RSA keys, since dkimpy verifies no seal by another."""
    folder = tmp_path_factory.mktemp("keys")
    return [host(folder, f"{name}.example") for name in "abc"]


@pytest.fixture(scope="module")
def modern(tmp_path_factory):
    """A host with an Ed25519 key."""
    return host(tmp_path_factory.mktemp("key"), "d.example", octets=pem("ed25519"))


def records(hosts):
    return {**OTHERS, **published(*hosts)}


def seal(settings, message=MESSAGE, hosts=(), **more):
    return judged(settings, message, zone({**OTHERS, **published(*hosts)}), **more).seal


def values(settings, message=MESSAGE, hosts=()):
    """The values of AS, AMS and AAR."""
    return [value for _, value in seal(settings, message, hosts).fields]


def tags(value):
    return dict(each.split("=", 1) for each in re.sub(r"\s", "", value).split(";"))


def chained(count, message=MESSAGE, **last):
    """A chain of others; ``last`` is for its newest set."""
    for instance in range(1, count + 1):
        more = last if instance == count else {}
        message = arc_set(message, instance, ("two.example", "one.example")[instance % 2], KEY, **more)
    return message


def without(message, name):
    return re.sub(rb"(?m)^%b:.*\r\n(?:[ \t].*\r\n)*" % name, b"", message)


def test_rfc8617_4_1_1_the_results_are_ours_alone(hosts):
    """ARC-Authentication-Results has i= and then what our Authentication-Results has, whoever else wrote one."""
    message = b"Authentication-Results: mx.elsewhere.example; dmarc=pass header.from=bank.example\r\n" + MESSAGE
    found = judged(hosts[0], message)
    [(name, results)] = found.add
    assert name == "Authentication-Results"
    assert found.seal.fields[2] == ("ARC-Authentication-Results", f"i=1; {results}")
    assert results.startswith("mx.a.example;\n iprev=")
    assert "bank.example" not in results


def test_rfc8617_4_1_2_the_tags_of_a_message_signature(hosts):
    """i=, a=, c=relaxed/relaxed, d=, s=, t= (now), h=, bh=, b=. There is no v=, l= or x=."""
    found = tags(values(hosts[0])[1])
    assert [*found] == ["i", "a", "c", "d", "s", "t", "h", "bh", "b"]
    assert (found["i"], found["a"], found["c"], found["t"]) == ("1", "rsa-sha256", "relaxed/relaxed", str(int(NOW)))
    assert (found["d"], found["s"]) == ("a.example", "arc")
    assert found["bh"] == base64.b64encode(sha256(canonical_body(b"Hello \r\n\r\n", relaxed=True)).digest()).decode()


def test_rfc8617_4_1_2_what_a_message_signature_covers(hosts):
    """What a DKIM signature of ours covers, and each DKIM-Signature; neither Authentication-Results nor ARC fields."""
    signatures = b"DKIM-Signature: a=b\r\nDKIM-Signature: c=d\r\n"
    message = b"Authentication-Results: x; none\r\n" + signatures + chained(2)
    named = tags(values(hosts[0], message)[1])["h"].lower().split(":")
    assert named.count("from") == 2
    assert named.count("dkim-signature") == 2
    assert not {"authentication-results", "received", *map(str.lower, NAMES)} & set(named)
    assert "dkim-signature" not in tags(values(hosts[0])[1])["h"].lower()


def test_rfc8617_4_1_2_a_changed_dkim_signature_breaks_the_message_signature(hosts):
    """Each DKIM-Signature that is there is covered; one that a later host adds on top changes nothing."""
    known = records(hosts)
    message = through(b"DKIM-Signature: v=1; a=b\r\n" + MESSAGE, hosts[0])
    assert ours(message, zone(known)).result is Result.PASS
    assert ours(b"DKIM-Signature: v=1; c=d\r\n" + message, zone(known)).result is Result.PASS
    assert ours(message.replace(b"v=1; a=b", b"v=1; a=c"), zone(known)).result is Result.FAIL


def test_rfc8617_4_1_3_the_tags_of_a_seal(hosts):
    """i=, a=, cv=, d=, s=, t=, b=, and no others."""
    found = tags(values(hosts[0])[0])
    assert [*found] == ["i", "a", "cv", "d", "s", "t", "b"]
    assert [*found.values()][:-1] == ["1", "rsa-sha256", "none", "a.example", "arc", str(int(NOW))]


def test_rfc8617_4_1_3_an_ed25519_key_seals_too(hosts, modern):
    """a=ed25519-sha256 (RFC 8463), for validators that know it; a chain can have both."""
    message = through(MESSAGE, modern)
    assert tags(values(modern)[0])["a"] == "ed25519-sha256"
    assert ours(message, zone(published(modern))).result is Result.PASS
    message = through(MESSAGE, hosts[0], modern, hosts[1])
    assert ours(message, zone(published(*hosts, modern))).result is Result.PASS


@pytest.mark.parametrize("count", [0, 1, 48, 49, 50])
def test_rfc8617_4_2_1_no_more_than_50_sets(hosts, count):
    """A chain of 49 sets gets another, and one of 50 sets does not."""
    found = seal(hosts[0], chained(count))
    assert (found.instance, found.why) == ((count + 1, None) if count < 50 else (0, Unsealed.SETS))


@pytest.mark.parametrize("instance", [b"50", b"51", b"99"])
def test_rfc8617_4_2_1_an_instance_of_50_or_more_ends_a_malformed_chain(hosts, instance):
    """There is no higher instance than 50, so such a message is not sealed."""
    found = seal(hosts[0], b"ARC-Seal: i=" + instance + b"; cv=pass; a=b\r\n" + MESSAGE)
    assert found.why is Unsealed.SETS


def test_rfc8617_5_1_step_1_the_seal_is_made_last(hosts):
    """The header is sealed as the next host gets it: forged fields removed, our own fields added."""
    forged = b"Authentication-Results: mx.a.example; dmarc=pass\r\nX-Mailassay-Verdict: accept\r\n"
    found = judged(hosts[0], forged + MESSAGE)
    assert {name for name, _ in found.remove} == {"Authentication-Results", "X-Mailassay-Verdict"}
    message = passed_on(found, forged + MESSAGE)
    assert message.count(b"\r\nAuthentication-Results: ") == 1
    assert ours(message, zone(records(hosts))).result is Result.PASS
    assert dkimpys(message, records(hosts)) == "pass"


def test_rfc8617_5_1_step_1_a_message_that_is_not_let_in_is_not_sealed(hosts):
    """A message that is accepted, tagged or held is sealed; one that is deferred or refused is not."""
    strict = zone({}).replace("p=none", "p=reject")
    for action in Action:
        policy = Policy(dmarc=DmarcActions(reject=action))
        found = judged(replace(hosts[0], policy=policy), MESSAGE, strict)
        assert found.verdict.action is action
        assert bool(found.seal and found.seal.by) is (action not in (Action.DEFER, Action.REJECT))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_rfc8617_5_1_step_2_nobody_adds_to_a_chain_that_is_known_to_fail(hosts, count):
    """If the newest seal says cv=fail, there is no further set."""
    assert seal(hosts[0], chained(count, status=b"fail")).why is Unsealed.FAILED
    # also if the chain is malformed besides
    broken = without(chained(count, status=b"fail"), b"ARC-Authentication-Results")
    assert seal(hosts[0], broken).why is Unsealed.FAILED


def test_rfc8617_5_1_step_2_only_the_newest_seal_counts(hosts):
    """If an older seal says cv=fail, the chain fails, and our set says so."""
    first = arc_set(MESSAGE, 1, "one.example", KEY, status=b"fail")
    found = seal(hosts[0], arc_set(first, 2, "two.example", KEY))
    assert (found.instance, found.status) == (3, Result.FAIL)


@pytest.mark.parametrize(
    ("change", "instance"),
    [
        (lambda m: without(m, b"ARC-Seal"), 3),
        (lambda m: without(m, b"ARC-Message-Signature"), 3),
        (lambda m: m.replace(b"i=1;", b"i=7;"), 8),
        (lambda m: m.replace(b"ARC-Seal: i=2", b"ARC-Seal: i=two"), 3),
        (lambda m: m.replace(b"i=1;", b"i=0;"), 3),
        (lambda m: re.sub(rb"i=[12];", b"", m), 1),
        (lambda m: b"ARC-Seal: i=2; cv=pass; a=b\r\n" + m, 3),
        (lambda m: b"ARC-Seal: \x00\r\n" + m, 3),
        (lambda m: m.replace(b"Hello", b"Hallo"), 3),
    ],
    ids=["no_seal", "no_signature", "gap", "no_number", "zero", "no_numbers", "repeated", "unreadable", "body"],
)
def test_rfc8617_5_1_step_3_the_instance_is_one_more_than_the_highest(hosts, change, instance):
    """Of a malformed chain too: missing and repeated fields, gaps. Only what can be read has an instance."""
    message = change(chained(2))
    assert message != chained(2)
    found = seal(hosts[0], message)
    assert (found.instance, found.status, found.why) == (instance, Result.FAIL, None)
    assert all(f"i={instance};" in value for _, value in found.fields)


def test_rfc8617_5_1_step_4_the_set_stands_on_top(hosts):
    """ARC-Seal, ARC-Message-Signature, ARC-Authentication-Results, then our Authentication-Results, and the rest."""
    message = through(chained(1), hosts[0], dns=zone(records(hosts)))
    names = [each.name.decode() for each in split(message)[0]]
    assert names[:5] == [*NAMES, "Authentication-Results", "ARC-Seal"]
    assert max(map(len, message.split(b"\r\n"))) < 998
    assert max(len(line) for line in "\n".join(values(hosts[0])[:2]).split("\n")) <= 78


@pytest.mark.parametrize("count", [1, 2, 3])
def test_rfc8617_5_1_1_a_chain_of_ours(hosts, count):
    """Each seal covers all sets up to its own, in their order. Other validators find that the chain passes."""
    message = through(MESSAGE, *hosts[:count])
    found = ours(message, zone(records(hosts)))
    assert (found.result, found.oldest_pass) == (Result.PASS, 0)
    assert [*found.sealers] == ["a.example", "b.example", "c.example"][:count]
    assert dkimpys(message, records(hosts)) == "pass"
    statuses = [tags(each.value.decode())["cv"] for each in split(message)[0].named(b"ARC-Seal")]
    assert statuses == ["pass"] * (count - 1) + ["none"]


def test_rfc8617_5_1_1_a_chain_of_others_goes_on(hosts):
    """Our set after those of others, and theirs after ours."""
    message = through(chained(2), hosts[0], dns=zone(records(hosts)))
    assert ours(message, zone(records(hosts))).result is Result.PASS
    assert dkimpys(message, records(hosts)) == "pass"
    message = arc_set(message, 4, "one.example", KEY)
    assert ours(message, zone(records(hosts))).result is Result.PASS
    results = b"Authentication-Results: x.example; arc=pass\r\n"
    theirs = KEY.seal(results + through(MESSAGE, hosts[0]), "one.example", "x.example")
    assert ours(theirs, zone(records(hosts))).result is Result.PASS


def test_rfc8617_5_1_2_the_seal_of_a_failed_chain_covers_its_own_set(modern):
    """As if it were the only one: results, message signature, seal. The sets before it make no difference."""
    for message in (chained(2).replace(b"Hello", b"Hallo"), without(chained(3), b"ARC-Seal")):
        [of_seal, of_message, of_results] = seal(modern, message).fields
        assert tags(of_seal[1])["cv"] == "fail"
        hashed = b""
        for name, value in (of_results, of_message):
            hashed += canonical_field(name.encode(), field(name, value).value, relaxed=True)
        begun = of_seal[1][: of_seal[1].rindex(" b=") + 3]
        hashed += canonical_field(b"ARC-Seal", field("ARC-Seal", begun).value, relaxed=True).removesuffix(b"\r\n")
        public = base64.b64decode(published(modern)["arc._domainkey.d.example"].partition("p=")[2])
        proof = base64.b64decode(tags(of_seal[1])["b"])
        Ed25519PublicKey.from_public_bytes(public).verify(proof, sha256(hashed).digest())


def test_rfc8617_5_1_3_a_chain_that_broke_stays_broken(hosts):
    """A host that finds it broken adds the last set; the next finds that it failed, and adds none."""
    message = through(MESSAGE, hosts[0]).replace(b"Hello", b"[list] Hello")
    found = judged(hosts[1], message, zone(records(hosts)))
    assert (found.seal.instance, found.seal.status) == (2, Result.FAIL)
    message = passed_on(found, message)
    assert (ours(message, zone(records(hosts))).result, dkimpys(message, records(hosts))) == (Result.FAIL, "ended")
    assert seal(hosts[2], message, hosts).why is Unsealed.FAILED


@pytest.mark.parametrize("answer", ["!", "?"])
def test_rfc8617_5_2_1_a_chain_whose_keys_cannot_be_had_is_left_alone(hosts, answer):
    """A validator counts a DNS failure as fail. Our seal does not say so for ever: there is none."""
    known = zone({}) + f"\narc._domainkey.one.example TXT {answer}"
    found = judged(hosts[0], chained(1), known)
    assert (found.evidence.arc.result, found.seal.why) == (Result.FAIL, Unsealed.DNS)
    # a key that does not exist is no failure of DNS
    assert judged(hosts[0], chained(1), zone({})).seal.status is Result.FAIL


def test_rfc8617_5_2_1_a_limit_of_ours_says_nothing_about_a_chain(hosts):
    """If the policy allows fewer sets, less work or fewer questions than the chain needs, there is no seal."""
    for limits in (Limits(arc_sets=2), Limits(signature_work=100), Limits(dns_questions=1)):
        found = judged(replace(hosts[0], policy=Policy(limits=limits)), chained(3), zone(OTHERS))
        assert (found.evidence.arc.result, found.seal.why) == (Result.FAIL, Unsealed.LIMIT)
