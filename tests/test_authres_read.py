"""Authentication-Results and ARC-Authentication-Results as others write them. RFC 8601 section 2.2."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.authres.read import MAX_MARKS, Unreadable, instance_of, opening, read, resinfos
from mailassay.authres.render import render
from mailassay.result import Resinfo, Result
from tests.fuzz.reader import outline


def said(value, **more):
    """Method, result and properties of each clause; None where the value does not read."""
    try:
        return [(each.method, each.result, dict(each.properties)) for each in read(value, **more)]
    except Unreadable:
        return None


PASS = ("dmarc", "pass", {"header.from": "a.example"})


@pytest.mark.parametrize(
    ("value", "clauses"),
    [
        # CFWS, in every place that the grammar has for it
        (b"mx;dmarc=pass header.from=a.example", [PASS]),
        (b" mx ; dmarc = pass header.from = a.example ", [PASS]),
        (b" mx ; dmarc = pass header . from = a.example ", [PASS]),
        (b"(1)mx(2)1(3);(4)dmarc(5)/(6)1(7)=(8)pass(9)header(a).(b)from(c)=(d)a.example(e)", [PASS]),
        (b"mx;\r\n dmarc\r\n =\r\n pass\r\n header\r\n .\r\n from\r\n =\r\n a.example", [PASS]),
        (b"mx;\n\tdmarc=pass\n\theader.from=a.example", [PASS]),
        (b"mx; dmarc=pass(p=reject)header.from=a.example", [PASS]),
        # comments nest
        (b"mx; dmarc=pass (of (a (b) c) (d)) header.from=a.example", [PASS]),
        (b"mx; dmarc=pass (\\( \\) (\\\\)) header.from=a.example", [PASS]),
        (b"mx; dmarc=pass (\"()\") header.from=a.example", [PASS]),
        (b"mx; dmarc=pass ((; dmarc=fail) header.from=b.example) header.from=a.example", [PASS]),
        # versions
        (b"mx 1; dmarc=pass header.from=a.example", [PASS]),
        (b"mx 01; dmarc/01=pass header.from=a.example", [PASS]),
        (b"mx 2; dmarc=pass", None),
        (b"mx 11; dmarc=pass", None),
        (b"mx 1 1; dmarc=pass", None),
        (b"\"mx\"1; dmarc=pass", None),
        (b"mx; dmarc/2=pass", None),
        (b"mx; dmarc/=pass", None),
        (b"mx; dmarc / 1 / 1=pass", None),
        # values
        (b"\"m x\"; DMARC=Pass Header.From=\"a.example\"", [PASS]),
        (b"mx; x=y reason=\"a; b=c (d\" header.from=a.example", [("x", "y", {"reason": "a; b=c (d", **PASS[2]})]),
        (b"mx; dmarc=pass reason = good header.from=a.example", [("dmarc", "pass", {"reason": "good", **PASS[2]})]),
        (b"mx; x=y header.i=@a.example", [("x", "y", {"header.i": "@a.example"})]),
        (b"mx; x=y header.i=ann@a.example", [("x", "y", {"header.i": "ann@a.example"})]),
        (b"mx; x=y header.i=\"ann\"@a.example", [("x", "y", {"header.i": "\"ann\"@a.example"})]),
        (b"mx; x=y header.i=\"a (\\\" b\"@a.example", [("x", "y", {"header.i": "\"a (\\\" b\"@a.example"})]),
        (b"mx; x=y header.i= ann (c) @a.example", [("x", "y", {"header.i": "ann@a.example"})]),
        (b"mx; x=y header.i=\"a b\" @a.example", [("x", "y", {"header.i": "\"a b\"@a.example"})]),
        (b"mx; x=y header.i=<ann@a.example>", [("x", "y", {"header.i": "<ann@a.example>"})]),
        (b"mx; x=y header.i=<\"a b\"@a.example>", [("x", "y", {"header.i": "<\"a b\"@a.example>"})]),
        (b"mx; x=y header.i=ann@ a.example", None),
        (b"mx; x=y header.i=<ann @a.example>", None),
        (b"mx; x=y header.i=ann@b.example @a.example", None),
        (b"mx; x=y smtp.mailfrom=prvs=1=ann@a b=c", [("x", "y", {"smtp.mailfrom": "prvs=1=ann@a", "b": "c"})]),
        (b"mx; x=y policy.iprev=2001:db8::1", [("x", "y", {"policy.iprev": "2001:db8::1"})]),
        (b"mx; x=y smtp.helo=[192.0.2.1]", [("x", "y", {"smtp.helo": "[192.0.2.1]"})]),
        (b"mx; x=y smtp.mailfrom=; z=pass", [("x", "y", {"smtp.mailfrom": ""}), ("z", "pass", {})]),
        (b"mx; x=y smtp.mailfrom= smtp.helo=h", [("x", "y", {"smtp.mailfrom": "", "smtp.helo": "h"})]),
        (b"mx; x=y smtp.mailfrom (c) = smtp . helo (d) = h", [("x", "y", {"smtp.mailfrom": "", "smtp.helo": "h"})]),
        (b"mx; x=; dmarc=pass", [("x", "", {}), ("dmarc", "pass", {})]),
        # none, and semicolons
        (b"mx; none", []),
        (b"mx ; (c) NONE (d) ;", []),
        (b"mx; none=x", [("none", "x", {})]),
        (b"mx; none; dmarc=pass", None),
        (b"mx; dmarc=pass; none", None),
        (b"mx", []),
        (b"mx;", []),
        (b"mx; dmarc=pass header.from=a.example ; (c) ;", [PASS]),
        (b"mx; ; dmarc=pass", None),
        # no field is read in part
        (b"", None),
        (b"; dmarc=pass", None),
        (b"dmarc=pass header.from=a.example", None),
        (b"dmarc = pass; dmarc=pass", None),
        (b"mx dmarc=pass", None),
        (b"mx; dmarc=pass header.from=a.example .evil=b", None),
        (b"mx; dmarc=pass header.from=a.example(c).b", None),
        (b"mx; dmarc=pass header.from=a.example = b", None),
        (b"mx; dmarc=\"pass\" header.from=a.example", [("dmarc", "\"pass\"", PASS[2])]),
        (b"mx; dmarc=\"pa\\ss\" (c)", [("dmarc", "\"pa\\ss\"", {})]),
        (b"mx; dmarc= pass=x", [("dmarc", "", {"pass": "x"})]),
        (b"mx; dmarc= (c) pass . x=y", [("dmarc", "", {"pass.x": "y"})]),
        (b"mx; dmarc=pass (c) @x", [("dmarc", "pass@x", {})]),
        (b"mx; dmarc=pass = x", None),
        (b"mx; dmarc=pass . x=y", None),
        (b"mx; dmarc=pass \"x\"", None),
        (b"mx; dmarc=pass header.from=\"a.example\"b", None),
        (b"mx; dmarc=pass header.from=a.example\"b\"", None),
        (b"mx; dmarc=pass header..from=a.example", None),
        (b"mx; dmarc=pass .from=a.example", None),
        (b"mx; dmarc=pass (", None),
        (b"mx; dmarc=pass (()", None),
        (b"mx; dmarc=pass )", None),
        (b"mx; dmarc=pass (\\)", None),
        (b"mx; dmarc=pass (a\0)", None),
        (b"mx; dmarc=pass \\x", None),
        (b"mx; dmarc=pass \"", None),
        (b"mx; dmarc=pass\r\nheader.from=a.example", None),
        (b"mx; dmarc=pass\nheader.from=a.example", None),
        (b"mx; dmarc=pass\rheader.from=a.example", None),
        (b"mx; dmarc=pass (\r) header.from=a.example", None),
        (b"mx; dmarc=pass \xff=x", None),
        (b"mx; dmarc=pass header.from=\xff", None),
        ("mx; dmarc=pass\u00a0header.from=a.example".encode(), [("dmarc", "pass\u00a0header.from=a.example", {})]),
        ("mx; x=y header.from=b\u00fccher.example".encode(), [("x", "y", {"header.from": "b\u00fccher.example"})]),
    ],
)  # fmt: skip
def test_a_value_is_read_as_a_whole_or_not_at_all(value, clauses):
    assert said(value) == clauses


def test_a_property_may_stand_several_times():
    (clause,) = read(b"mx; dkim=pass header.d=A.example header.d=a.example header.s=x (c) header.s=y")
    assert clause.values("header.d") == {"a.example"}
    assert clause.values("header.s") == {"x", "y"}
    assert clause.values("header.i") == set()
    assert clause.comments == ("(c)",)


def test_comments_are_kept_with_those_inside_them():
    (clause,) = read(b"mx; dmarc=pass (p=none (dis=none) (x)) (y) header.from=a.example ((z) \\( w)")
    assert clause.comments == ("(p=none (dis=none) (x))", "(y)", "((z) \\( w)")


def test_what_does_not_read_is_named():
    for value, words in [
        (b"mx; dmarc=pass header..from=x", "it is malformed at '.from=x'"),
        (b"mx; dmarc", "its end is missing"),
        (b"mx; \xff", "it is not UTF-8"),
        (b"mx 3; x=y", "its version is unknown"),
        (b"mx; dmarc/3=x", "the version of dmarc is unknown"),
    ]:
        with pytest.raises(Unreadable, match=re.escape(words)):
            read(value)


@pytest.mark.parametrize(
    ("value", "sealed", "words"),
    [
        (b"mx; dmarc=pass\r x=y", False, "it contains a line break"),
        (b"mx;\ndmarc=pass", False, "it contains a line break"),
        (b"mx; dmarc=pass\r\n", False, "it contains a line break"),
        (b"mx; dmarc=pass", True, "it has no instance"),
        (b"(" * (MAX_MARKS + 1), False, f"there are more than {MAX_MARKS} parentheses, quotes and backslashes"),
    ],
)
def test_what_is_not_even_parsed_is_named(value, sealed, words):
    with pytest.raises(Unreadable, match=words):
        read(value, sealed=sealed)


def test_the_marks_of_a_value_have_a_limit():
    for comment, reads in [(b"()" * (MAX_MARKS // 2), True), (b"()" * (MAX_MARKS // 2 + 1), False)]:
        assert (said(b"mx; dmarc=pass " + comment) is not None) is reads
    assert said(b"mx; dmarc=pass " + b"(" * 100_000) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b" i=1; mx", 1),
        (b"i=12;", 12),
        (b" (a (b)) i (c) = (d) 3 (e) ; mx", 3),
        (b"\r\n i\r\n =\r\n 04\r\n ;", 4),
        (b" i=1; \xff", 1),
        (b" (\xff) i=1;", 1),
        (b" i=123;", 0),
        (b" i=;", 0),
        (b" i=x;", 0),
        (b" I=1;", 0),
        (b" i=1", 0),
        (b" i/1=1;", 0),
        (b" (i=1;", 0),
        (b" mx; i=1;", 0),
        (b" " * 600 + b"i=1;", 0),
        (b"(" * 100_000, 0),
    ],
)
def test_the_instance_comes_first(value, number):
    assert instance_of(value) == number
    assert bool(said(value + b" mx; x=y", sealed=True)) is (number > 0 and b"\xff" not in value and b"mx" not in value)


def test_what_it_costs_to_read_the_instance():
    """Each pair of marks is a comment to skip; what stands after the place of the instance costs nothing."""
    plain = opening(b" i=1; mx")
    assert plain > 0
    assert opening(b"()" * 20 + b" i=1; mx") == plain + 20
    assert opening(b" i=1; mx".ljust(500) + b"()" * 1000) == plain


# --- whatever is written

KEYWORDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
TOKENS = st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,12}", fullmatch=True)
DOMAINS = st.from_regex(r"[a-z0-9]{1,9}(\.[a-z0-9]{1,9}){1,3}", fullmatch=True)
TEXTS = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs", "Cc"]), max_size=12
)
COMMENTS = st.recursive(
    st.text("ab =;.@\"'/1", max_size=5) | st.sampled_from([r"\(", r"\)", r"\\", "dmarc=fail", "\u00e9"]),
    lambda inner: st.lists(inner | inner.map("({})".format), max_size=3).map("".join),
    max_leaves=6,
).map("({})".format)
SPACES = st.sampled_from([" ", "\t", "\r\n ", " \r\n\t", "\n "])
CFWS = st.lists(SPACES | COMMENTS, min_size=1, max_size=3).map("".join)


def quoted(text):
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


@st.composite
def values(draw, gap):
    """(as it is written, what it means)"""
    kind = draw(st.integers(0, 5))
    domain = draw(DOMAINS)
    match kind:
        case 0:
            token = draw(TOKENS)
            return token, token
        case 1:
            text = draw(TEXTS)
            return quoted(text), text
        case 2:
            return domain, domain
        case 3:
            local_part = draw(TOKENS | TEXTS.map(quoted) | st.just(""))
            return f"{local_part}{draw(gap) if local_part else ''}@{domain}", f"{local_part}@{domain}"
        case 4:
            address = f"<{draw(TOKENS | TEXTS.map(quoted))}@{domain}>"
            return address, address
        case _:
            return "", ""


@st.composite
def fields(draw):
    """A value, and what it says."""
    gap = st.just("") | CFWS
    text = [draw(gap), draw(TOKENS | TEXTS.map(quoted)), draw(st.just("") | CFWS.map(lambda space: f"{space}1"))]
    meant = []
    for _ in range(draw(st.integers(0, 4))):
        method, result, version = draw(KEYWORDS), draw(KEYWORDS), draw(st.sampled_from(["", "/", "/"]))
        text += [draw(gap), ";", draw(gap), method, draw(gap)]
        if version:
            text += ["/", draw(gap), "1", draw(gap)]
        text += ["=", draw(gap), result]
        properties = []
        for _ in range(draw(st.integers(0, 3))):
            ptype, name = draw(KEYWORDS), draw(KEYWORDS)
            full = "reason" if draw(st.integers(0, 4)) == 0 else f"{ptype}.{name}"
            written, value = draw(values(gap))
            text += [draw(CFWS), draw(gap).join(["reason"] if full == "reason" else [ptype, ".", name])]
            text += [draw(gap), "=", draw(gap), written]
            properties.append((full, value))
        meant.append((method, result, tuple(properties)))
    if not meant:
        text += draw(st.sampled_from([[], [";", draw(gap), "none"]]))
    text += [draw(gap), *draw(st.sampled_from([[], [";", draw(gap)]]))]
    return "".join(text), meant


@given(fields())
def test_every_rendering_of_results_reads_back(field):
    text, meant = field
    assert [each[:3] for each in read(text.encode())] == meant
    assert [each[:3] for each in read(b" i=1;" + text.encode(), sealed=True)] == meant


PIECES = st.sampled_from(
    ["dmarc", "arc", "=", " = ", "pass", "fail", ";", " ", "header.from", "header", ".", "a.example", "<", ">", "@",
     ",", "(", ")", '"', "\\", "/1", "/", "1", "2", "\r\n ", "\r", "\n", "\0", "\u00e9", "\u00a0", "none",
     "reason=", "x=y"]
)  # fmt: skip
OCTETS = st.binary(max_size=60) | st.lists(PIECES, max_size=30).map(lambda parts: "".join(parts).encode())


@given(OCTETS, OCTETS)
def test_whatever_octets(start, more):
    """They read or do not, and nothing is read that one who goes through them mark by mark does not find."""
    for value in (more, start + b";" + more, b"mx; " + more, b"mx; dmarc=fail " + start + b"; dmarc=pass " + more):
        try:
            clauses = read(value)
        except Unreadable:
            continue
        assert [(each.method, each.result == "pass") for each in clauses] == outline(value.decode())
        resinfos(value)
        instance_of(value)


# --- our own


def test_results_read_back():
    value = (
        '"a;b=c \\" ; spf=pass";\n iprev=pass policy.iprev=192.0.2.1 (mail.example.com);\n'
        ' spf=permerror reason="two records; \\"v=spf1\\"" smtp.mailfrom="a b;\\\\c@x=y";\n'
        " dkim=pass header.i=@example.com;\n later=unheard header.x=y;\n dmarc=none"
    )
    assert resinfos(value.encode()) == (
        Resinfo("iprev", Result.PASS, (("policy", "iprev", "192.0.2.1"),), comment="mail.example.com"),
        Resinfo("spf", Result.PERMERROR, (("smtp", "mailfrom", "a b;\\c@x=y"),), 'two records; "v=spf1"'),
        Resinfo("dkim", Result.PASS, (("header", "i", "@example.com"),)),
        Resinfo("dmarc", Result.NONE),
    )
    assert resinfos(b"mx.example.org; none") == ()


PROPERTIES = (
    st.tuples(st.just("header"), st.sampled_from(["from", "d", "s"]), DOMAINS)
    | st.tuples(st.just("header"), st.just("i"), st.from_regex(r"([a-z_+-]{1,9})?@a_b\.[a-z]{2}", fullmatch=True))
    | st.tuples(st.just("header"), st.just("b"), st.from_regex(r"[a-z/+]{1,9}", fullmatch=True))
    | st.tuples(st.just("smtp"), st.just("remote-ip"), st.ip_addresses().map(str))
    | st.tuples(st.just("smtp"), st.just("helo"), DOMAINS | st.ip_addresses(v=4).map("[{}]".format))
)
RESINFOS = st.builds(
    Resinfo,
    method=st.sampled_from(["iprev", "spf", "dkim", "arc", "dmarc"]),
    result=st.sampled_from(list(Result)),
    properties=st.lists(PROPERTIES, max_size=4).map(tuple),
    reason=st.from_regex(r"([a-z .,:()'/_\[\]-]| t=){0,99}", fullmatch=True),
    comment=st.sampled_from(["", "mail.example.com"]),
)
AUTHSERV_IDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=200)


@given(AUTHSERV_IDS, st.lists(RESINFOS, min_size=1, max_size=6))
def test_what_we_write_reads_back(authserv_id, clauses):
    assert resinfos(render(authserv_id, clauses).encode()) == tuple(clauses)


@given(st.text(), st.text())
def test_whatever_results(before, after):
    for text in (before, f"mx.example.org; {before}", f"mx.example.org; dmarc=fail {before}; spf=pass {after}"):
        assert all(isinstance(each.result, Result) for each in resinfos(text.encode("utf-8", "surrogatepass")))
