"""DMARC against a zone. The sections are RFC 9989's."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.author import Author
from mailassay.author import Fault as AuthorFault
from mailassay.dmarc import (
    Disposition,
    Fault,
    How,
    Identifier,
    Record,
    Remembered,
    check,
    policies,
    questions,
    resinfo,
    top_level,
)
from mailassay.dmarc.discovery import try_walk, walk
from mailassay.dmarc.suffix import between
from mailassay.domain import Domain
from mailassay.limits import Limits
from mailassay.resolver import Deadline, DnsLimit, DnsTempError
from mailassay.result import Result
from mailassay.zone import Zone
from tests.lab.limits import LIMITS

NONE, QUARANTINE, REJECT = Disposition.NONE, Disposition.QUARANTINE, Disposition.REJECT


class Asking:
    """A resolver over a zone that keeps what it was asked."""

    def __init__(self, *lines):
        self._resolve = Deadline(Zone("\n".join(lines), limits=LIMITS), float("inf"), lambda: 0.0)
        self.asked = []

    def __call__(self, name, rdtype):
        self.asked.append(f"{name} {rdtype}")
        return self._resolve(name, rdtype)


def at(name, *tags):
    return f'_dmarc.{name} TXT "{"; ".join(["v=DMARC1", *tags])}"'


def author(*names, fault=None):
    return Author(tuple(Domain(name) for name in names), fault)


def by(method, name, result=Result.PASS):
    return Identifier(method, Domain(name), result)


# --- records


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("v=DMARC1; p=reject", Record(REJECT)),
        ("v=DMARC1;p=reject;", Record(REJECT)),
        ("v = DMARC1 ; p = quarantine ;", Record(QUARANTINE)),
        ("V=DMARC1; P=None", Record(NONE)),
        ("v=DMARC1; p=reject; sp=none; np=quarantine", Record(REJECT, NONE, QUARANTINE)),
        ("v=DMARC1; p=reject; t=y; psd=n", Record(REJECT, psd="n", testing=True)),
        ("v=DMARC1; p=reject; psd=Y", Record(REJECT, psd="y")),
        ("v=DMARC1; p=reject; psd=maybe", Record(REJECT)),
        ("v=DMARC1; p=reject; adkim=s; aspf=s", Record(REJECT, strict_dkim=True, strict_spf=True)),
        ("v=DMARC1; p=reject; adkim=x; aspf=r", Record(REJECT)),
        ("v=DMARC1; p=reject; pct=0; ri=1; rf=afrf", Record(REJECT)),  # historic
        ("v=DMARC1; p=reject; junk; =; x=y=z; ;;", Record(REJECT)),  # section 4.8
        ("v=DMARC1; p=reject; p=none", Record(REJECT)),
        (
            "v=DMARC1; p=reject; rua=mailto:a@b.example!10m,mailto:c",
            Record(REJECT, rua=("mailto:a@b.example", "mailto:c")),
        ),
        (
            "v=DMARC1; p=reject; rua=mailto:a b, mailto:a@b.example!, mailto:%zz, b@b.example, https://b.example/%20 ,",
            Record(REJECT, rua=("https://b.example/%20",)),
        ),
        ("v=DMARC1; p=reject; fo=1", Record(REJECT)),  # section 4.7: nothing without ruf=
        ("v=DMARC1; p=reject; fo=1:d; ruf=mailto:c@d", Record(REJECT, ruf=("mailto:c@d",), fo="1:d")),
        ("v=DMARC1; p=reject; fo=x; ruf=mailto:c@d", Record(REJECT, ruf=("mailto:c@d",))),
        ("v=DMARC1; p=rejct; rua=mailto:ü@b.example", Record(NONE, usable=False)),
        # section 4.10.1: without a policy that makes sense, reports decide whether it counts
        ("v=DMARC1", Record(NONE)),
        ("v=DMARC1; rua=mailto:a@b.example", Record(NONE, rua=("mailto:a@b.example",))),
        ("v=DMARC1; p=rejct; rua=mailto:a@b.example", Record(NONE, rua=("mailto:a@b.example",))),
        ("v=DMARC1; p=rejct", Record(NONE, usable=False)),
        ("v=DMARC1; p=rejct; rua=nonsense", Record(NONE, usable=False)),
        ("v=DMARC1; p=reject; sp=x", Record(NONE, usable=False)),
        ("v=DMARC1; p=rejectX", Record(NONE, usable=False)),
        ("v=DMARC1; p=reject\n", Record(NONE, usable=False)),  # only SP and TAB are white space
        ("v=DMARC1; sp=x", Record(NONE, usable=False)),
        ("v=DMARC1; sp=reject", Record(NONE)),
        ("v=DMARC1; p=reject; np=x; rua=mailto:a@b.example", Record(NONE, rua=("mailto:a@b.example",))),
    ],
)  # fmt: skip
def test_record(text, record):
    assert Record.parse(text) == record


@pytest.mark.parametrize(
    "text",
    ["", "v=DMARC", "v=DMARC2; p=none", "v=dmarc1; p=none", "v=DMARC10; p=none", "p=none; v=DMARC1", " v=DMARC1",
     "v=DMARC1 p=none", "v=spf1 -all"],
)  # fmt: skip
def test_no_record(text):
    assert Record.parse(text) is None


@pytest.mark.parametrize(
    ("record", "own", "below"),
    [
        (Record(), NONE, NONE),
        (Record(REJECT), REJECT, REJECT),
        (Record(REJECT, NONE, NONE), REJECT, NONE),
        (Record(NONE, REJECT, NONE), NONE, REJECT),
        (Record(NONE, NONE, REJECT), NONE, REJECT),
        (Record(QUARANTINE, NONE), QUARANTINE, NONE),
        (Record(REJECT, QUARANTINE, testing=True), QUARANTINE, NONE),
        (Record(REJECT, usable=False), NONE, NONE),
    ],
)
def test_the_strictest_that_a_record_may_ask_for(record, own, below):
    """Of its own domain it is p=; of a domain below it, sp= or np=, since nobody knows yet whether that exists."""
    assert (record.at_most(True), record.at_most(False)) == (own, below)
    assert record.asks == (own is not NONE or below is not NONE)


def test_without_any_policy_a_subdomain_has_none():
    assert Record().below(True) == Record().below(False) == ("p", NONE)


@given(text=st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_tail_is_read(text):
    record = Record.parse(f"v=DMARC1; {text}")
    assert record is not None
    assert record.p in Disposition


STARTS = ["v", "V", "=", "DMARC1", "dmarc1", "DMARC", "1", ";", " ", "\t", "\n", "p=reject", "é"]


@given(text=st.lists(st.sampled_from(STARTS), max_size=8).map("".join))
def test_what_begins_with_the_version_is_a_record_and_nothing_else(text):
    assert (Record.parse(text) is not None) == bool(re.match(r"v[ \t]*=[ \t]*DMARC1[ \t]*(;|$)", text))


# --- the walk

SEVEN = ["1.2.3.4.5.6.7", "2.3.4.5.6.7", "3.4.5.6.7", "4.5.6.7", "5.6.7", "6.7", "7"]


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("example", ["example"]),
        ("b.example", ["b.example", "example"]),
        ("1.2.3.4.5.6.7", SEVEN),
        ("0.1.2.3.4.5.6.7", ["0.1.2.3.4.5.6.7", *SEVEN]),
        ("c.b.a.0.1.2.3.4.5.6.7", ["c.b.a.0.1.2.3.4.5.6.7", *SEVEN]),
    ],
)  # fmt: skip
def test_questions(name, asked):
    assert questions(Domain(name), LIMITS) == [f"_dmarc.{each}" for each in asked]


@pytest.mark.parametrize(("most", "asked"), [(1, ["c.b.example"]), (2, ["c.b.example", "example"]),
                                             (3, ["c.b.example", "b.example", "example"])])  # fmt: skip
def test_the_number_of_questions_has_a_limit(most, asked):
    """It leaves out names in the middle: the domain itself and the top of the tree are always asked."""
    assert questions(Domain("c.b.example"), Limits(dmarc_queries=most)) == [f"_dmarc.{each}" for each in asked]


def test_a_walk_without_an_answer_says_which_question_had_none():
    with pytest.raises(DnsTempError, match=r"_dmarc\.b\.example"):
        walk(Domain("a.b.example"), Asking("_dmarc.b.example TXT !"), Limits())


def test_the_steps_of_a_walk_say_why_a_name_has_no_answer():
    def resolve(name, rdtype):
        if name == "_dmarc.a.b.example":
            raise DnsLimit("dns_octets", "an answer of more than 20480 octets")
        return Asking("_dmarc.b.example TXT !")(name, rdtype)

    found = try_walk(Domain("a.b.example"), resolve, Limits())
    assert [step.name for step in found.steps] == ["a.b.example", "b.example", "example"]
    assert [step.answer is None for step in found.steps] == [True, True, False]
    too_large, failed, fine = (step.trouble for step in found.steps)
    assert too_large == "an answer of more than 20480 octets"
    assert failed == found.trouble != ""
    assert fine == ""


@pytest.mark.parametrize("for_policy", [False, True])
def test_a_walk_for_the_policy_stops_at_the_domains_own_record(for_policy):
    zone = Asking(at("a.b.example", "p=none"), at("b.example", "p=none"))
    found = walk(Domain("a.b.example"), zone, Limits(), for_policy=for_policy)
    assert len(zone.asked) == (1 if for_policy else 3)
    assert found.org_domain == ("a.b.example" if for_policy else "b.example")


@pytest.mark.parametrize(
    ("name", "lines", "org_domain"),
    [
        ("a.b.example", [], "a.b.example"),
        ("a.b.example", [at("b.example", "p=none")], "b.example"),
        ("a.b.c.example", [at("b.c.example", "p=none"), at("c.example", "p=none")], "c.example"),
        ("a.b.c.example", [at("b.c.example", "p=none", "psd=n"), at("c.example", "p=none")], "b.c.example"),
        ("a.b.c.example", [at("c.example", "p=none", "psd=y"), at("example", "p=none")], "b.c.example"),
        ("c.example", [at("c.example", "p=none", "psd=y")], "c.example"),
        ("a.c.example", [at("c.example", "p=none", "psd=y")], "a.c.example"),
        # several are none, and the walk goes on (in RFC 7489 it stopped)
        ("a.b.example", [at("b.example", "p=none"), at("b.example", "p=reject")], "a.b.example"),
        ("a.b.example", [at("b.example", "p=none"), at("b.example", "psd=n"), at("example", "p=none")], "example"),
    ],
)
def test_organizational_domain(name, lines, org_domain):
    assert walk(Domain(name), Asking(*lines), Limits()).org_domain == org_domain


# --- the policy


@pytest.mark.parametrize(
    ("lines", "policy", "tag", "found_at"),
    [
        ([at("a.b.example", "p=reject", "sp=none")], REJECT, "p", "a.b.example"),
        ([at("a.b.example", "p=quarantine"), at("b.example", "p=reject")], QUARANTINE, "p", "a.b.example"),
        ([at("b.example", "p=reject"), "a.b.example A 192.0.2.1"], REJECT, "p", "b.example"),
        ([at("b.example", "p=reject", "sp=quarantine"), "a.b.example A 192.0.2.1"], QUARANTINE, "sp", "b.example"),
        ([at("b.example", "p=none", "sp=none", "np=reject"), "a.b.example A 192.0.2.1"], NONE, "sp", "b.example"),
        ([at("b.example", "p=none", "sp=none", "np=reject"), "a.b.example TXT x"], NONE, "sp", "b.example"),
        ([at("b.example", "p=none", "sp=none", "np=reject"), "x.a.b.example TXT x"], NONE, "sp", "b.example"),
        ([at("b.example", "p=none", "sp=none", "np=reject")], REJECT, "np", "b.example"),
        ([at("b.example", "p=none", "sp=quarantine")], QUARANTINE, "sp", "b.example"),
        ([at("b.example", "p=reject", "t=y")], QUARANTINE, "p", "b.example"),
        ([at("b.example", "p=quarantine", "t=y")], NONE, "p", "b.example"),
        ([at("b.example", "p=none", "t=y")], NONE, "p", "b.example"),
        ([at("example", "p=reject", "psd=y")], REJECT, "p", "example"),
        ([at("example", "p=none", "np=reject", "psd=y"), "b.example -"], REJECT, "np", "example"),
        ([at("example", "p=none", "psd=y"), at("b.example", "p=reject")], REJECT, "p", "b.example"),
        (
            [at("a.b.example", "p=none"), at("a.b.example", "sp=none"), at("b.example", "p=reject")],
            REJECT,
            "p",
            "b.example",
        ),
    ],
)
def test_policy(lines, policy, tag, found_at):
    found = check(author("a.b.example"), [], Asking(*lines), LIMITS)
    assert (found.result, found.disposition, found.tag, found.found_at) == (Result.FAIL, policy, tag, found_at)
    assert found.testing == ("t=y" in lines[0])


def test_a_record_between_is_not_the_policy():
    """Section 4.10.1: the organization's record, not the nearer one."""
    lines = [at("b.c.example", "p=reject"), at("c.example", "p=none")]
    found = check(author("a.b.c.example"), [], Asking(*lines), LIMITS)
    assert (found.disposition, found.found_at) == (NONE, "c.example")


def test_no_record_means_no_dmarc():
    found = check(author("b.example"), [by("spf", "b.example")], Asking(), LIMITS)
    assert (found.result, found.disposition) == (Result.NONE, None)


def test_an_improper_record():
    found = check(author("b.example"), [by("spf", "b.example")], Asking(at("b.example", "p=rejct")), LIMITS)
    assert (found.result, found.disposition, found.found_at) == (Result.PERMERROR, None, "b.example")
    assert (found.fault, found.reason) == (Fault.RECORD, "the policy record is invalid")


# --- alignment (section 4.4)

ORG = at("b.example", "p=reject")
STRICT = at("b.example", "p=reject", "adkim=s", "aspf=s")


@pytest.mark.parametrize("method", ["spf", "dkim"])
@pytest.mark.parametrize(
    ("lines", "who", "identifier", "result"),
    [
        ([ORG], "b.example", "b.example", Result.PASS),
        ([ORG], "b.example", "sub.b.example", Result.PASS),
        ([ORG], "sub.b.example", "b.example", Result.PASS),
        ([ORG], "one.b.example", "two.b.example", Result.PASS),
        ([ORG], "b.example", "evil.example", Result.FAIL),
        ([ORG], "b.example", "notb.example", Result.FAIL),
        ([ORG], "b.example", "b.example.evil.test", Result.FAIL),
        ([ORG], "b.example", "example", Result.FAIL),
        ([STRICT], "b.example", "b.example", Result.PASS),
        ([STRICT], "b.example", "sub.b.example", Result.FAIL),
        ([ORG, at("sub.b.example", "p=none", "psd=n")], "b.example", "sub.b.example", Result.FAIL),
        ([at("example", "p=reject", "psd=y")], "b.example", "c.example", Result.FAIL),
        ([at("example", "p=reject", "psd=y")], "x.b.example", "y.b.example", Result.PASS),
    ],
)
def test_alignment(method, lines, who, identifier, result):
    found = check(author(who), [by(method, identifier)], Asking(*lines), LIMITS)
    assert found.result is result
    assert found.aligned == ((by(method, identifier),) if result is Result.PASS else ())
    assert found.disposition is REJECT


@pytest.mark.parametrize(("spf_mode", "dkim_mode"), [("s", "r"), ("r", "s")])
def test_each_method_has_its_own_mode(spf_mode, dkim_mode):
    record = at("b.example", "p=reject", f"aspf={spf_mode}", f"adkim={dkim_mode}")
    for method, mode in (("spf", spf_mode), ("dkim", dkim_mode)):
        found = check(author("b.example"), [by(method, "sub.b.example")], Asking(record), LIMITS)
        assert found.result is (Result.PASS if mode == "r" else Result.FAIL)


@pytest.mark.parametrize("result", [each for each in Result if each not in (Result.PASS, Result.TEMPERROR)])
def test_only_a_pass_counts(result):
    found = check(author("b.example"), [by("spf", "b.example", result)], Asking(ORG), LIMITS)
    assert found.result is Result.FAIL


@pytest.mark.parametrize(
    ("lines", "identifier", "how"),
    [
        ([ORG], "b.example", How.SAME),
        ([ORG], "s.b.example", How.ORGANIZATION),
        ([STRICT], "s.b.example", How.STRICT),
        ([ORG], "other.example", How.OTHER),
        ([ORG], "b.test", How.OTHER),
        ([ORG, at("s.b.example", "psd=n")], "s.b.example", How.OTHER),
        ([ORG, at("example", "p=none")], "other.example", How.PUBLIC_SUFFIX),
        ([ORG, "_dmarc.example TXT !"], "other.example", How.PUBLIC_SUFFIX),
        ([ORG, "_dmarc.s.b.example TXT !"], "s.b.example", How.UNKNOWN),
    ],
)
def test_how_an_authenticated_domain_is_aligned(lines, identifier, how):
    found = check(author("b.example"), [by("dkim", identifier)], Asking(*lines), LIMITS)
    assert found.alignment == ((by("dkim", identifier), how),)
    assert how.aligned == (found.result is Result.PASS)


def test_a_pass_names_what_is_aligned():
    found = check(author("b.example"), [by("spf", "s.b.example"), by("dkim", "b.example")], Asking(ORG), LIMITS)
    assert (found.fault, found.reason) == (None, "aligned: dkim b.example, spf s.b.example")


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        ([], Result.NONE),
        ([ORG], Result.FAIL),
        ([at("b.example", "p=rejct")], Result.PERMERROR),
        (["_dmarc.b.example TXT !"], Result.TEMPERROR),
        ([at("example", "p=none", "np=reject"), "b.example A !"], Result.TEMPERROR),
    ],
)
def test_the_result_keeps_where_the_policy_was_looked_for(lines, result):
    zone = Asking(*lines)
    found = check(author("b.example"), [], zone, LIMITS)
    assert (found.result, found.walk.start) == (result, "b.example")
    assert [f"{step.question} TXT" for step in found.walk.steps] == [name for name in zone.asked if "_dmarc" in name]
    published = Record.parse(lines[0].split('"')[1]) if lines and '"' in lines[0] else None
    assert found.record == published


def test_a_result_without_a_search_has_no_record():
    assert check(author(fault=AuthorFault.NO_FIELD), [], Asking(), LIMITS).record is None


@pytest.mark.parametrize(
    ("identifiers", "result"),
    [
        ([by("spf", "b.example", Result.TEMPERROR)], Result.TEMPERROR),
        ([by("spf", "sub.b.example", Result.TEMPERROR)], Result.TEMPERROR),
        ([by("spf", "evil.example", Result.TEMPERROR)], Result.FAIL),
        ([by("spf", "b.example", Result.TEMPERROR), by("dkim", "b.example")], Result.PASS),
        ([by("spf", "b.example", Result.TEMPERROR), by("dkim", "evil.example")], Result.TEMPERROR),
    ],
)
def test_what_cannot_be_decided_now(identifiers, result):
    found = check(author("b.example"), identifiers, Asking(ORG), LIMITS)
    assert found.result is result
    assert found.header_from == "b.example"
    assert found.record == Record(REJECT)
    if result is Result.TEMPERROR:
        # the policy is known, so what the wait may cost is known too
        assert (found.at_stake, found.disposition, found.fault) == (REJECT, None, Fault.UNDECIDED)


def test_of_a_domain_that_cannot_be_compared_now_the_policy_is_at_stake():
    found = check(author("b.example"), [by("spf", "s.b.example")], Asking(ORG, "_dmarc.s.b.example TXT !"), LIMITS)
    assert (found.result, found.at_stake, found.fault) == (Result.TEMPERROR, REJECT, Fault.NO_ANSWER)
    assert "_dmarc.s.b.example" in found.reason


# --- DNS in trouble (section 5.3.6)

SLOW_S = "_dmarc.s.b.example TXT !"


@pytest.mark.parametrize(
    ("who", "identifiers", "lines", "result"),
    [
        ("b.example", [by("spf", "b.example")], ["_dmarc.b.example TXT !"], Result.TEMPERROR),
        ("a.b.example", [], [ORG, "_dmarc.a.b.example TXT ?"], Result.TEMPERROR),
        ("a.b.example", [], [ORG, "_dmarc.example TXT !"], Result.TEMPERROR),
        ("a.b.example", [], [at("b.example", "np=reject", "p=none"), "a.b.example A !"], Result.TEMPERROR),
        ("b.example", [by("spf", "s.b.example")], [ORG, SLOW_S], Result.TEMPERROR),
        ("b.example", [by("spf", "s.b.example"), by("dkim", "b.example")], [ORG, SLOW_S], Result.PASS),
        ("b.example", [by("spf", "x.other.test")], [ORG, "_dmarc.x.other.test TXT !"], Result.FAIL),
        # a stranger whose own DNS is in trouble cannot turn a fail into a temperror
        ("b.example", [by("spf", "evil.example")], [ORG, "_dmarc.evil.example TXT !"], Result.FAIL),
        ("a.b.example", [by("dkim", "evil.example")], [ORG, "_dmarc.evil.example TXT ?"], Result.FAIL),
        ("b.example", [by("spf", "evil.example", Result.TEMPERROR)], [ORG, "_dmarc.evil.example TXT !"], Result.FAIL),
        ("b.example", [by("spf", "c.example")], [ORG, "_dmarc.example TXT !"], Result.FAIL),
    ],
)  # fmt: skip
def test_dns_in_trouble(who, identifiers, lines, result):
    found = check(author(who), identifiers, Asking(*lines), LIMITS)
    assert found.result is result
    if result is Result.TEMPERROR:
        assert found.disposition is None


def test_whether_the_author_domain_exists_is_unknown():
    """Until DNS answers, np= may apply as well as sp=."""
    found = check(author("a.b.example"), [], Asking(at("b.example", "p=none", "np=reject"), "a.b.example A !"), LIMITS)
    assert (found.result, found.header_from, found.at_stake) == (Result.TEMPERROR, "a.b.example", REJECT)
    assert found.fault is Fault.NO_ANSWER
    assert "a.b.example" in found.reason
    # there is a policy, so mail of the author domain itself need not wait
    own = by("spf", "a.b.example")
    found = check(
        author("a.b.example"), [own], Asking(at("b.example", "p=none", "np=reject"), "a.b.example A !"), LIMITS
    )
    assert (found.result, found.aligned) == (Result.PASS, (own,))


def test_the_limits_hold_for_the_policy_too():
    text = "v=DMARC1; p=reject"
    for octets, result in ((len(text), Result.FAIL), (len(text) - 1, Result.NONE)):
        assert check(author("b.example"), [], Asking(ORG), Limits(record_octets=octets)).result is result


# --- authors that are not one clear domain (section 11.5)


@pytest.mark.parametrize(
    ("names", "result", "policy", "header_from"),
    [
        ([], Result.PERMERROR, None, None),
        (["none.example"], Result.PERMERROR, None, "none.example"),
        (["b.example"], Result.FAIL, REJECT, "b.example"),
        (["open.example", "b.example", "half.example"], Result.FAIL, REJECT, "b.example"),
        (["open.example", "half.example"], Result.FAIL, QUARANTINE, "half.example"),
        (["none.example", "open.example"], Result.FAIL, NONE, "open.example"),
        (["open.example", "slow.example"], Result.TEMPERROR, None, "slow.example"),
        # a second author whose DNS is broken on purpose takes nothing off what the first one asks for
        (["half.example", "slow.example"], Result.FAIL, QUARANTINE, "half.example"),
        (["b.example", "slow.example"], Result.FAIL, REJECT, "b.example"),
    ],
)
def test_ambiguous_authors_never_pass(names, result, policy, header_from):
    zone = Asking(ORG, at("open.example", "p=none"), at("half.example", "p=quarantine"), "_dmarc.slow.example TXT ?")
    identifiers = [by("spf", name) for name in names]
    found = check(author(*names, fault=AuthorFault.SEVERAL_DOMAINS), identifiers, zone, LIMITS)
    assert (found.result, found.disposition, found.header_from) == (result, policy, header_from)
    assert found.aligned == ()
    assert found.reason == "several author domains"
    assert (found.ambiguous, found.fault) == (True, Fault.AUTHOR if names else Fault.NO_AUTHOR)


def test_more_authors_than_are_looked_at_fail_as_if_one_asked_to_reject():
    zone = Asking(ORG)
    found = check(Author((Domain("open.example"),), AuthorFault.DOMAINS, True), [], zone, LIMITS)
    assert (found.result, found.disposition) == (Result.FAIL, REJECT)
    assert (found.ambiguous, found.fault) == (True, Fault.UNREAD)
    assert zone.asked == []


# --- what is asked


@pytest.mark.parametrize(
    ("who", "identifiers", "asked"),
    [
        ("b.example", [by("dkim", "b.example")], ["_dmarc.b.example"]),
        ("b.example", [by("dkim", "evil.test")], ["_dmarc.b.example"]),
        ("b.example", [by("dkim", "evil.example")], ["_dmarc.b.example", "_dmarc.example"]),
        ("b.example", [by("dkim", "s.b.example")], ["_dmarc.b.example", "_dmarc.example", "_dmarc.s.b.example"]),
        ("a.b.example", [], ["_dmarc.a.b.example", "_dmarc.b.example", "_dmarc.example"]),
    ],
)
def test_no_more_is_asked_than_needed(who, identifiers, asked):
    zone = Asking(ORG)
    check(author(who), identifiers, zone, LIMITS)
    # the resolver makes one question of the same ones
    assert list(dict.fromkeys(zone.asked)) == [f"{name} TXT" for name in asked]


def test_a_hundred_identifiers_cost_what_twenty_cost():
    zone = Asking(ORG)
    check(author("b.example"), [by("dkim", f"s{number}.b.example") for number in range(100)], zone, LIMITS)
    assert len(zone.asked) <= 1 + 2 + 20 * 3


def test_a_pass_is_seen_wherever_it_stands():
    failed = [by("dkim", f"s{number}.b.example", Result.FAIL) for number in range(Limits().identifiers)]
    unclear = [by("dkim", f"s{number}.b.example", Result.TEMPERROR) for number in range(Limits().identifiers)]
    assert (
        check(author("b.example"), [*failed, *unclear, by("dkim", "b.example")], Asking(ORG), LIMITS).result
        is Result.PASS
    )


@pytest.mark.parametrize("result", [Result.PASS, Result.TEMPERROR])
def test_identifiers_that_a_sender_adds_do_not_displace_the_authors_own(result):
    most = Limits().identifiers
    added = [by("dkim", f"a{number}.example", result) for number in range(most)]
    own = by("spf", "z.example")
    assert check(author("z.example"), [*added, own], Asking(at("z.example", "p=reject")), LIMITS).aligned == (own,)


# --- public suffixes (section 11.8)

SHARED = at("co.uk", "p=none", "sp=reject")


@pytest.mark.parametrize(
    ("lines", "who", "identifier", "kept_apart_by"),
    [
        ([SHARED], "a.co.uk", "evil.co.uk", "co.uk"),
        ([SHARED, at("a.co.uk", "p=reject")], "a.co.uk", "evil.co.uk", "co.uk"),
        ([at("uk", "p=reject")], "a.co.uk", "evil.co.uk", "uk"),
        ([at("github.io", "p=reject")], "a.github.io", "evil.github.io", "github.io"),  # a private one
        ([at("uk", "p=reject", "psd=y")], "a.co.uk", "evil.co.uk", "co.uk"),
        ([SHARED], "a.co.uk", "co.uk", "co.uk"),  # RFC 6376 section 6.1.1
        ([SHARED], "co.uk", "a.co.uk", "co.uk"),
        ([at("uk", "p=reject")], "co.uk", "ac.uk", "uk"),
        ([at("uk", "p=reject")], "a.co.uk", "uk", "uk"),
        # the signer is one although the organization is not
        ([at("example.com", "p=reject")], "example.com", "x.example.com", ""),
        ([at("amazonaws.com", "p=reject")], "amazonaws.com", "s3.amazonaws.com", "s3.amazonaws.com"),
        # the longer of two suffixes separates them
        ([at("amazonaws.com.cn", "p=reject")], "amazonaws.com.cn", "x.cn-north-1.eb.amazonaws.com.cn",
         "cn-north-1.eb.amazonaws.com.cn"),
        ([at("example", "p=reject")], "b.example", "evil.example", "example"),  # top-level domains that nobody listed
        # both spellings of a suffix that is not ASCII
        ([at("xn--55qx5d.cn", "p=reject")], "a.公司.cn", "evil.xn--55qx5d.cn", "xn--55qx5d.cn"),
        ([at("xn--p1ai", "p=reject")], "a.рф", "evil.xn--p1ai", "xn--p1ai"),
        # what is registered there is one organization
        ([SHARED], "a.co.uk", "s.a.co.uk", ""),
        ([SHARED], "t.a.co.uk", "s.a.co.uk", ""),
        ([SHARED], "a.co.uk", "a.co.uk", ""),
        ([SHARED], "co.uk", "co.uk", ""),
        ([at("uk", "p=reject")], "s.a.co.uk", "a.co.uk", ""),
        ([at("city.kobe.jp", "p=reject")], "city.kobe.jp", "s.city.kobe.jp", ""),  # !city.kobe.jp in the list
        # where the walk says no already
        ([at("co.uk", "p=reject", "psd=y")], "a.co.uk", "s.a.co.uk", ""),
    ],
)  # fmt: skip
def test_public_suffixes(lines, who, identifier, kept_apart_by):
    found, walked = (
        check(author(who), [by("dkim", identifier)], Asking(*lines), public_suffixes=on, limits=LIMITS)
        for on in (True, False)
    )
    assert walked.result is Result.PASS
    assert walked.public_suffix is None
    assert found.result is (Result.FAIL if kept_apart_by else Result.PASS)
    assert (found.public_suffix or "") == kept_apart_by


@pytest.mark.parametrize(
    ("lines", "who", "identifier", "kept_apart_by"),
    [
        # psd=n says that the name is no public suffix
        ([at("co.uk", "p=reject", "psd=n")], "a.co.uk", "b.co.uk", ""),
        ([at("github.io", "p=reject", "psd=n")], "github.io", "mail.github.io", ""),
        ([at("github.io", "p=reject", "psd=n")], "a.github.io", "github.io", ""),
        ([at("github.io", "p=reject", "psd=u")], "github.io", "mail.github.io", "github.io"),
        ([at("amazonaws.com", "p=reject", "psd=n")], "amazonaws.com", "x.amazonaws.com", ""),
        # it says nothing of the suffixes below it
        ([at("uk", "p=reject", "psd=n")], "a.co.uk", "b.co.uk", "co.uk"),
        ([at("uk", "p=reject", "psd=n")], "a.uk", "b.co.uk", "co.uk"),
        ([at("uk", "p=reject", "psd=n")], "uk", "co.uk", "co.uk"),
        ([at("uk", "p=reject", "psd=n")], "x.a.co.uk", "y.a.co.uk", ""),
        ([at("amazonaws.com", "p=reject", "psd=n")], "amazonaws.com", "b.s3.amazonaws.com", "s3.amazonaws.com"),
        ([at("amazonaws.com", "p=reject", "psd=n")], "a.s3.amazonaws.com", "b.s3.amazonaws.com", "s3.amazonaws.com"),
        # and somebody else's psd=n says nothing of the organization
        ([SHARED, at("b.a.co.uk", "p=reject", "psd=n")], "a.co.uk", "evil.co.uk", "co.uk"),
    ],
)
def test_a_suffix_that_says_it_is_none(lines, who, identifier, kept_apart_by):
    found = check(author(who), [by("dkim", identifier)], Asking(*lines), LIMITS)
    assert found.result is (Result.FAIL if kept_apart_by else Result.PASS)
    assert (found.public_suffix or "") == kept_apart_by


def test_a_neighbour_below_a_public_suffix_cannot_turn_a_fail_into_a_temperror():
    lines = [SHARED, at("a.co.uk", "p=reject"), "_dmarc.evil.co.uk TXT ?"]
    for result in (Result.PASS, Result.TEMPERROR):
        identifiers = [by("spf", "evil.co.uk", result)]
        assert check(author("a.co.uk"), identifiers, Asking(*lines), LIMITS).result is Result.FAIL
        assert (
            check(author("a.co.uk"), identifiers, Asking(*lines), public_suffixes=False, limits=LIMITS).result
            is Result.TEMPERROR
        )


@pytest.mark.parametrize("broken", ["_dmarc.com TXT ?", "_dmarc.mail.bank.com TXT ?\n_dmarc.bank.com TXT none"])
def test_a_neighbours_pass_cannot_make_the_authors_walk_matter(broken):
    """It is walked for alignment only, which the suffix list rules out."""
    lines = [at("www.mail.bank.com", "p=reject"), *broken.split("\n")]
    for identifiers in ([], [by("spf", "evil.com")]):
        assert check(author("www.mail.bank.com"), identifiers, Asking(*lines), LIMITS).result is Result.FAIL
    near = [by("spf", "bank.com")]
    assert check(author("www.mail.bank.com"), near, Asking(*lines), LIMITS).result is Result.TEMPERROR
    far = [by("spf", "evil.com")]
    assert (
        check(author("www.mail.bank.com"), far, Asking(*lines), public_suffixes=False, limits=LIMITS).result
        is Result.TEMPERROR
    )


LABEL = st.sampled_from(["uk", "co", "a", "kobe", "jp", "city", "ck", "www", "github", "io", "xn--p1ai", "_x", "s3"])


@pytest.mark.parametrize(
    ("name", "top"),
    [("a.b.com", "com"), ("com", "com"), ("a.xn--p1ai", "xn--p1ai"), ("a.b.ck", "ck"), ("a.local", ""), ("local", "")],
)
def test_top_level_domains_are_those_of_the_public_dns(name, top):
    """For .ck the list has a wildcard only."""
    assert top_level(Domain(name)) == top


@given(below=st.lists(st.lists(LABEL, max_size=3), min_size=2, max_size=2), org=st.lists(LABEL, min_size=1, max_size=4))
def test_public_suffixes_between_any_names(below, org):
    top = Domain(".".join(org))
    one, other = (Domain(".".join([*labels, *org])) for labels in below)
    for declared in (True, False):
        suffix = between(one, other, top, declared=declared)
        assert (suffix is None) == (between(other, one, top, declared=declared) is None)
        assert suffix is None or (one != other and suffix.is_within(top) and (suffix != top or not declared))
    assert between(one, other, top) or not between(one, other, top, declared=True)


@pytest.mark.parametrize("on", [True, False])
def test_public_suffixes_never_let_align_what_the_walk_does_not(on):
    lines = [at("co.uk", "p=reject", "psd=y"), at("s.a.co.uk", "p=none", "psd=n")]
    for identifier in ("evil.co.uk", "co.uk", "s.a.co.uk", "a.ac.uk"):
        found = check(author("a.co.uk"), [by("dkim", identifier)], Asking(*lines), public_suffixes=on, limits=LIMITS)
        assert (found.result, found.public_suffix) == (Result.FAIL, None)


def test_what_is_written():
    found = check(author("b.example"), [], Asking(ORG), LIMITS)
    assert resinfo(found).method == "dmarc"
    assert resinfo(found).properties == (("header", "from", "b.example"), ("policy", "dmarc", "reject"))
    assert resinfo(check(author(fault=AuthorFault.NO_FIELD), [], Asking(), LIMITS)).properties == ()


def asked_of(zone, domain="news.bank.example", remembered=None, identifiers=()):
    """The result for an author, by such a zone."""
    resolve = Deadline(Zone(zone, limits=LIMITS), float("inf"), lambda: 0.0)
    known = policies(author(domain), resolve, remembered=remembered, limits=LIMITS)
    return check(author(domain), [*identifiers], resolve, known=known, limits=LIMITS)


UNKNOWN = "_dmarc.news.bank.example TXT !\n"


@pytest.mark.parametrize(
    ("records", "at_stake"),
    [
        ("", "none"),
        ('_dmarc.bank.example TXT "v=DMARC1; p=none"', "none"),
        ('_dmarc.bank.example TXT "v=DMARC1; p=reject"', "reject"),
        ('_dmarc.bank.example TXT "v=DMARC1; p=reject; sp=none"', "none"),
        ('_dmarc.bank.example TXT "v=DMARC1; p=reject; sp=none; np=quarantine"', "quarantine"),
        ('_dmarc.bank.example TXT "v=DMARC1; p=none; sp=reject"', "reject"),
        ('_dmarc.bank.example TXT "v=DMARC1; p=reject; t=y"', "quarantine"),
        ('_dmarc.bank.example TXT "v=DMARC1; p=rejct"', "none"),
        ('_dmarc.example TXT "v=DMARC1; psd=y; p=reject"', "reject"),
    ],
)
def test_what_is_at_stake(records, at_stake):
    """Of an author whose own record cannot be had, as far as records above it say."""
    found = asked_of(UNKNOWN + records)
    assert (found.result, found.at_stake, found.disposition) == ("temperror", at_stake, None)


def test_what_is_remembered_is_at_stake_and_is_never_judged_by():
    remembered = Remembered()
    good = '_dmarc.news.bank.example TXT "v=DMARC1; p=quarantine"'
    assert asked_of(good, remembered=remembered).disposition == "quarantine"
    found = asked_of(UNKNOWN, remembered=remembered)
    assert (found.result, found.at_stake, found.disposition) == ("temperror", "quarantine", None)
    # a stricter record above it, found now, counts too, and a weaker one does not hide what was seen
    for above, at_stake in (("none", "quarantine"), ("reject", "reject")):
        zone = UNKNOWN + f'_dmarc.bank.example TXT "v=DMARC1; p={above}"'
        assert asked_of(zone, remembered=remembered).at_stake == at_stake
    # of another name nothing is known, and an answer that says otherwise ends it
    assert asked_of("_dmarc.shop.example TXT !", "shop.example", remembered).at_stake == "none"
    assert asked_of("x.example A 192.0.2.1", remembered=remembered).result == "none"
    assert asked_of(UNKNOWN, remembered=remembered).at_stake == "none"


@pytest.mark.parametrize(("tags", "at_stake"), [("p=quarantine; sp=none", "quarantine"), ("p=none; sp=reject", "none")])
def test_a_remembered_record_of_the_domain_itself_counts_by_its_p(tags, at_stake):
    remembered = Remembered()
    remembered.note(Domain("news.bank.example"), Record.parse(f"v=DMARC1; {tags}"))
    assert asked_of(UNKNOWN, remembered=remembered).at_stake == at_stake


def test_a_record_that_asks_for_nothing_is_not_remembered():
    remembered = Remembered()
    remembered.note(Domain("a.example"), Record.parse("v=DMARC1; p=none"))
    assert remembered.at(Domain("a.example")) is None


def test_so_many_are_remembered_and_no_more():
    """Those that ask for nothing take no room; the one not seen for longest leaves."""
    remembered = Remembered(size=2)
    strict, lax = Record.parse("v=DMARC1; p=reject"), Record.parse("v=DMARC1; p=none")
    a, b, c, d = (Domain(f"{letter}.example") for letter in "abcd")
    for name, record in ((a, strict), (b, strict), (d, lax), (a, strict), (c, strict)):
        remembered.note(name, record)
    assert [bool(remembered.at(name)) for name in (a, b, c, d)] == [True, False, True, False]


def test_names_of_one_organization_take_no_room_of_others():
    """Who has a domain may have as many names below it as he likes, each with a record of its own."""
    remembered = Remembered(size=10, of_one=3)
    strict = Record.parse("v=DMARC1; p=reject")
    bank, shop = Domain("bank.example"), Domain("news.shop.co.uk")
    remembered.note(bank, strict)
    remembered.note(shop, strict)
    names = [Domain(f"{number}.of.evil.co.uk") for number in range(50)]
    for name in names:
        remembered.note(name, strict)
        # as a walk does, the name above last
        remembered.note(Domain("evil.co.uk"), strict)
    assert remembered.at(bank)
    assert remembered.at(shop)
    kept = [name for name in (*names, Domain("evil.co.uk")) if remembered.at(name)]
    assert kept == [*names[-2:], "evil.co.uk"]
    for name in kept:
        remembered.note(name, None)
    for number in range(7):
        remembered.note(Domain(f"{number}.example"), strict)
    # a public suffix is an organization of its own
    remembered.note(Domain("co.uk"), strict)
    assert all(map(remembered.at, (bank, shop, "co.uk")))
    remembered.note(Domain("last.example"), strict)
    assert [bool(remembered.at(name)) for name in (bank, shop)] == [False, True]


def test_names_below_a_domain_take_no_room_of_its_own():
    """With a wildcard, a sender may name as many of somebody else's as he likes, and no walk goes on to the domain."""
    remembered = Remembered(of_one=3)
    wildcard = '_dmarc.bank.example TXT "v=DMARC1; p=reject"\n*.bank.example TXT "v=DMARC1; p=reject"'
    for name in ("bank.example", *(f"{number}.bank.example" for number in range(5))):
        assert asked_of(wildcard, name, remembered).disposition == "reject"
    assert asked_of("_dmarc.bank.example TXT !", "bank.example", remembered).at_stake == "reject"
    assert asked_of("_dmarc.0.bank.example TXT !", "0.bank.example", remembered).at_stake == "none"


@pytest.mark.parametrize("method", ["spf", "dkim"])
def test_mail_of_the_very_author_domain_is_not_delayed(method):
    """It is aligned whatever the record says that cannot be had."""
    mine = Identifier(method, Domain("news.bank.example"), Result.PASS)
    above = '_dmarc.bank.example TXT "v=DMARC1; p=reject; adkim=s; aspf=s"'
    passed = asked_of(UNKNOWN + above, identifiers=[mine])
    assert (passed.result, passed.aligned, passed.at_stake, passed.fault) == ("pass", (mine,), "none", None)
    assert passed.reason == f"aligned: {method} news.bank.example"
    both = asked_of(UNKNOWN + above, identifiers=[mine, by("dkim", "x.example"), mine._replace(method="arc")])
    assert both.reason == f"aligned: {method} news.bank.example, arc news.bank.example"
    remembered = Remembered()
    remembered.note(Domain("news.bank.example"), Record.parse("v=DMARC1; p=reject"))
    found = asked_of(UNKNOWN, identifiers=[mine], remembered=remembered)
    assert (found.result, found.at_stake) == ("temperror", "none")
    for other in (mine._replace(domain=Domain("bank.example")), mine._replace(result=Result.TEMPERROR)):
        assert asked_of(UNKNOWN + above, identifiers=[other]).at_stake == "reject"


def test_an_answer_too_large_to_be_read_is_no_record():
    """It is the name's own; the policy above it applies, and it is nothing to wait for."""

    def resolve(name, rdtype):
        if name == "_dmarc.news.bank.example":
            raise DnsLimit("dns_octets", "an answer of more than 20480 octets")
        zone = Zone('_dmarc.bank.example TXT "v=DMARC1; p=reject"', limits=LIMITS)
        return Deadline(zone, float("inf"), lambda: 0.0)(name, rdtype)

    found = check(author("news.bank.example"), [], resolve, LIMITS)
    assert (found.result, found.disposition, found.found_at) == ("fail", "reject", "bank.example")


@pytest.mark.parametrize(
    ("tags", "tag"), [("sp=none; np=reject", "np"), ("sp=reject; np=none", "sp"), ("sp=reject; np=reject", "sp")]
)
def test_whether_a_domain_exists_is_beyond_a_limit(tags, tag):
    """Its owner made the answer too large, so the stricter of sp= and np= applies."""

    def resolve(name, rdtype):
        if rdtype == "A":
            raise DnsLimit("dns_records", "an answer of more than 100 records")
        zone = Zone(f'_dmarc.bank.example TXT "v=DMARC1; p=none; {tags}"', limits=LIMITS)
        return Deadline(zone, float("inf"), lambda: 0.0)(name, rdtype)

    found = check(author("news.bank.example"), [], resolve, LIMITS)
    assert (found.result, found.disposition, found.tag) == ("fail", "reject", tag)


def test_of_several_readings_the_one_at_stake_is_named():
    both = author("news.shop.example", "news.bank.example", fault=AuthorFault.SEVERAL_DOMAINS)
    zone = UNKNOWN + '_dmarc.news.shop.example TXT !\n_dmarc.bank.example TXT "v=DMARC1; p=reject"'
    found = check(both, [], Deadline(Zone(zone, limits=LIMITS), float("inf"), lambda: 0.0), LIMITS)
    assert (found.result, found.header_from, found.at_stake) == ("temperror", "news.bank.example", "reject")
