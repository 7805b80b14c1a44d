"""Our Authentication-Results field, and those that claim to be ours. The sections are RFC 8601's."""

import re
import time
from pathlib import Path

import authres
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.authres.render import _KINDS, MAX_LINE, _is_unwanted, is_ours, render, unwanted
from mailassay.domain import Domain
from mailassay.message import Field, Headers
from mailassay.result import Resinfo, Result
from tests.lab.disguises import DISGUISES, FOREIGN, OURS
from tests.lab.limits import LIMITS


def read_back(text):
    """The authserv-id and each clause's (name, value) pairs, its comment last, by a strict reading of section 2.2."""
    scanner = re.compile(
        r"""(?P<fold>\n\ )|(?P<space>\ )|(?P<semicolon>;)|(?P<comment>\([A-Za-z0-9.-]+\))
        |(?P<pair>[a-z.-]+=(?:"(?:[^"\\\x00-\x1f\x7f]|\\["\\])*"|[^\s;()"\\\x00-\x1f\x7f]+))""",
        re.VERBOSE,
    )
    head, _, rest = text.partition(";")
    clauses, at = [], 0
    rest = ";" + rest
    while at < len(rest):
        match = scanner.match(rest, at)
        assert match, rest[at : at + 40]
        if match.lastgroup == "semicolon":
            assert rest[match.end() : match.end() + 2] == "\n ", "a clause begins on a line of its own"
            clauses.append([])
        elif match.lastgroup == "comment":
            clauses[-1].append(("", match[0][1:-1]))
        elif match.lastgroup == "pair":
            name, _, value = match[0].partition("=")
            if value.startswith('"'):
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            clauses[-1].append((name, value))
        else:
            # white space, that of a fold included, only ever stands before what it divides
            assert match.end() < len(rest)
            assert rest[match.end()] not in " ;\n"
        at = match.end()
    return head, clauses


def test_the_contract():
    field = render(
        OURS,
        [
            Resinfo("iprev", Result.PASS, (("policy", "iprev", "192.0.2.1"),), comment="mail.example.com"),
            Resinfo("spf", Result.PASS, (("smtp", "mailfrom", "example.com"),)),
            Resinfo(
                "dkim",
                Result.PASS,
                (
                    ("header", "d", "example.com"),
                    ("header", "i", "@example.com"),
                    ("header", "s", "sel"),
                    ("header", "a", "rsa-sha256"),
                    ("header", "b", "AbCdEfGh"),
                ),
            ),
            Resinfo("arc", Result.NONE, (("smtp", "remote-ip", "192.0.2.1"),)),
            Resinfo("dmarc", Result.PASS, (("header", "from", "example.com"), ("policy", "dmarc", "reject"))),
        ],
    )
    assert field == (
        "mx.example.org;\n"
        " iprev=pass policy.iprev=192.0.2.1 (mail.example.com);\n"
        " spf=pass smtp.mailfrom=example.com;\n"
        " dkim=pass header.d=example.com header.i=@example.com header.s=sel header.a=rsa-sha256 header.b=AbCdEfGh;\n"
        " arc=none smtp.remote-ip=192.0.2.1;\n"
        " dmarc=pass header.from=example.com policy.dmarc=reject"
    )


def test_nothing_found():
    assert render(OURS, []) == "mx.example.org; none"


def written(name, value, utf8=False, result=Result.PASS):
    """How a property is written; empty where it is left out."""
    ptype, _, name = name.partition(".")
    clause = render(OURS, [Resinfo("x", result, ((ptype, name, value),))], utf8=utf8).partition("x=pass")[2]
    return clause.partition("=")[2]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("header.d", "example.com", "example.com"),
        ("header.d", "Example.COM.", "example.com"),
        ("header.d", "_dmarc.example.com", "_dmarc.example.com"),
        ("header.d", "com", ""),
        ("header.d", "a..b", ""),
        ("header.d", "a b.example", ""),
        ("header.d", "dmarc=pass.example", ""),
        ("header.d", "a" * 64 + ".example", ""),
        ("header.d", ".".join(["a" * 63] * 4), ""),
        ("header.from", "example.com", "example.com"),
        ("header.from", "com", "com"),
        ("smtp.mailfrom", "example.com", "example.com"),
        ("smtp.mailfrom", "[192.0.2.1]", '"[192.0.2.1]"'),
        ("smtp.mailfrom", 'x"y.example', ""),
        ("smtp.helo", "MX_1.example.com", "mx_1.example.com"),
        ("smtp.helo", "localhost", ""),
        ("smtp.helo", "pass", ""),
        ("smtp.helo", "[192.0.2.1]", '"[192.0.2.1]"'),
        ("smtp.helo", "[ipv6:2001:DB8:0::1]", '"[IPv6:2001:db8::1]"'),
        ("smtp.helo", "[IPv6:192.0.2.1]", ""),
        ("smtp.helo", "[2001:db8::1]", ""),
        ("smtp.helo", "[192.0.2.1;x=y]", ""),
        ("smtp.helo", "192.0.2.1", "192.0.2.1"),
        ("smtp.helo", "dmarc=pass", ""),
        ("smtp.helo", "mail.example\r\n", ""),
        ("policy.iprev", "192.0.2.1", "192.0.2.1"),
        ("policy.iprev", "2001:db8::1", '"2001:db8::1"'),
        ("smtp.remote-ip", "fe80::1%eth0; dmarc=pass", '"fe80::1"'),
        ("smtp.remote-ip", "none", ""),
        ("header.i", "@example.com", "@example.com"),
        ("header.i", "alice@example.com", "alice@example.com"),
        ("header.i", "a.l_i-c+e@Example.COM", "a.l_i-c+e@example.com"),
        ("header.i", "a@b_c.example", '"a@b_c.example"'),
        ("header.i", "a b@example.com", "@example.com"),
        ("header.i", "a..b@example.com", "@example.com"),
        ("header.i", "prvs=1a=bob@example.com", "@example.com"),
        ("header.i", "a/b@example.com", "@example.com"),
        ("header.i", "a%3Db@example.com", "@example.com"),
        ("header.i", '"header.from=bank.example"@example.com', "@example.com"),
        ("header.i", "a@b@example.com", "@example.com"),
        ("header.i", "a" * 64 + "@example.com", "a" * 64 + "@example.com"),
        ("header.i", "a" * 65 + "@example.com", "@example.com"),
        ("header.i", "a@com", ""),
        ("header.i", "example.com", ""),
        ("header.i", "a@b; dmarc=pass", ""),
        ("header.s", "sel", "sel"),
        ("header.s", "2026._x", "2026._x"),
        ("header.s", "dmarc=pass", ""),
        ("header.s", 'say "hi"', ""),
        ("header.a", "rsa-sha256", "rsa-sha256"),
        ("header.a", "ed25519-sha256", "ed25519-sha256"),
        ("header.a", "pass", ""),
        ("header.a", "rsa-sha256=pass", ""),
        ("header.a", "a-" * 200 + "b", ""),
        ("header.b", "AbCdEfGh", "AbCdEfGh"),
        ("header.b", "ab/+", '"ab/+"'),
        ("header.b", "AA==", "AA"),
        ("header.b", "AAX=", "AAX"),
        ("header.b", "A=B", ""),
        ("header.b", "AA;dmarc=pass", ""),
        ("header.b", "", ""),
        ("header.oldest-pass", "0", "0"),
        ("policy.dmarc", "reject", "reject"),
        ("policy.dmarc", "none dmarc=pass", ""),
    ],
)
def test_what_is_written_of_a_value_and_what_is_left_out(name, value, expected):
    assert written(name, value) == expected


LONG_NAME = ".".join(["\U00020000" * 18] * 3 + ["a" * 35])  # 254 octets in UTF-8


@pytest.mark.parametrize(
    ("name", "value", "in_utf8", "in_ascii"),
    [
        ("header.d", "bücher.example", '"bücher.example"', "xn--bcher-kva.example"),
        ("header.d", "XN--BCHER-KVA.example", '"bücher.example"', "xn--bcher-kva.example"),
        ("smtp.mailfrom", "bücher.example", '"bücher.example"', "xn--bcher-kva.example"),
        ("smtp.helo", "xn--bcher-kva.example", '"bücher.example"', "xn--bcher-kva.example"),
        ("header.i", "@xn--bcher-kva.example", '"@bücher.example"', "@xn--bcher-kva.example"),
        ("header.i", "zoë@bücher.example", '"zoë@bücher.example"', "@xn--bcher-kva.example"),
        ("header.i", "zoe@bücher.example", '"zoe@bücher.example"', "zoe@xn--bcher-kva.example"),
        ("header.s", "sélecteur", '"sélecteur"', "xn--slecteur-b1a"),
        ("header.s", "xn--slecteur-b1a", '"sélecteur"', "xn--slecteur-b1a"),
        # not the letters that they look like, or are the same as
        ("header.i", "\uff41@bücher.example", '"@bücher.example"', "@xn--bcher-kva.example"),
        ("header.i", "a\uff1db@bücher.example", '"@bücher.example"', "@xn--bcher-kva.example"),
        ("header.i", "zoe\u0308@bücher.example", '"@bücher.example"', "@xn--bcher-kva.example"),
        # an A-label of nothing
        ("header.d", "xn--a.example", "xn--a.example", "xn--a.example"),
        # whoever stops at the first character that is not ASCII, or not a letter, reads another's name
        ("header.from", "bank.exampleü.evil.example", *[None] * 2),
        ("header.from", "bank.example.über.example", *[None] * 2),
        ("header.from", "банк.рф\u094d.evil.example", *[None] * 2),
        ("header.from", "www.über.example", '"www.über.example"', "www.xn--ber-goa.example"),
        # as long as a value may be in UTF-8, and beyond that
        ("header.d", LONG_NAME + "a", f'"{LONG_NAME}a"', None),
        ("header.d", LONG_NAME + "aa", *[None] * 2),
        ("header.d", ".".join(["\U00020000" * 18] * 4 + ["example"]), *[None] * 2),
    ],
)
def test_values_where_utf8_is_and_is_not_allowed(name, value, in_utf8, in_ascii):
    in_utf8, in_ascii = in_utf8 or Domain(value), in_ascii or Domain(value)
    assert written(name, value, utf8=True) == in_utf8
    assert written(name, value) == in_ascii


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the key is being tested (t=y)", '"the key is being tested (t=y)"'),
        ("x= is not after t=", '"x= is not after t="'),
        ("_dmarc.bank.example TXT: SERVFAIL", '"_dmarc.bank.example TXT: SERVFAIL"'),
        ("sel TXT: [Errno 101] Network is unreachable", '"sel TXT: [Errno 101] Network is unreachable"'),
        ("dmarc=pass.evil.example TXT: SERVFAIL", ""),
        ("bh= is empty, dmarc = pass", ""),
        ("d=a; dmarc=pass", ""),
        ('two "words"', ""),
        ("zoë.example TXT: SERVFAIL", ""),
        ("a\nb", ""),
        # 255 octets, or as many whole words as there are in them: no name is cut in its middle
        ("sealed by " + "a" * 245, f'"sealed by {"a" * 245}"'),
        ("sealed by " + "a" * 245 + " and others", f'"sealed by {"a" * 245}"'),
        ("sealed by " + "a" * 246 + " and others", '"sealed by"'),
        ("sealed by " + "a" * 240 + ".bank.example", '"sealed by"'),
        ("a" * 256, ""),
    ],
)
def test_reasons(text, expected):
    field = render(OURS, [Resinfo("dkim", Result.FAIL, reason=text)], utf8=True)
    assert field.partition("dkim=fail")[2] == (f" reason={expected}" if expected else "")


def test_every_property_that_is_documented_has_its_kind():
    documented = re.findall(r"^\| `([a-z]+\.[a-z-]+)` \|", Path("docs/header.md").read_text(), re.MULTILINE)
    assert sorted(f"{ptype}.{name}" for ptype, name in _KINDS) == sorted(documented)


@pytest.mark.parametrize("name", ["mx.bücher.example", "mx.xn--bcher-kva.example"])
def test_our_name_where_utf8_is_and_is_not_allowed(name):
    assert render(name, []) == "mx.xn--bcher-kva.example; none"
    assert render(name, [], utf8=True) == '"mx.bücher.example"; none'
    assert is_ours(render(name, [], utf8=True).encode(), name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mx/1", '"mx/1"'), ('mx "1"', r'"mx \"1\""'), ("mx\\1", r'"mx\\1"')],
)
def test_a_name_of_ours_that_is_no_token_is_quoted(name, expected):
    assert render(name, []) == f"{expected}; none"


@pytest.mark.parametrize("comment", ["mail.example.com", ".".join(["a" * 63] * 4)])
def test_a_comment_that_is_a_host_name(comment):
    """The longest has 255 octets."""
    assert render(OURS, [Resinfo("iprev", Result.PASS, comment=comment)]).endswith(f" iprev=pass ({comment})")


@pytest.mark.parametrize(
    "comment", ["a b", "x) dmarc=pass (", "a;b", "é.example", "a\nb", "(", "-x", "a..b", "a.", "a_b", "a" * 256]
)
def test_a_comment_that_is_no_host_name_is_left_out(comment):
    assert "(" not in render(OURS, [Resinfo("iprev", Result.PASS, comment=comment)])


text = (
    st.text(max_size=40)
    | st.text('ab@.;=()"\\ \r\n\t\0\u2028\ud800', max_size=12)
    | st.text('a;"\U0001f4e7', min_size=200)
    | st.from_regex(r"[A-Za-z0-9-]{1,9}(\.[A-Za-z0-9-]{1,9}){1,3}", fullmatch=True)
)


@given(
    st.lists(
        st.builds(
            Resinfo,
            st.sampled_from(["spf", "dkim"]),
            st.sampled_from(list(Result)),
            st.lists(st.tuples(st.sampled_from(sorted(_KINDS)), text), max_size=3).map(
                lambda pairs: tuple((*kind, value) for kind, value in pairs)
            ),
            text,
            text,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_value_breaks_out(resinfos):
    """Each clause has our method and result, and some of the properties, each once at its place."""
    assert render(OURS, resinfos).isascii()
    for utf8 in (True, False):
        field = render(OURS, resinfos, utf8=utf8)
        assert all(len(line.encode()) <= MAX_LINE for line in field.split("\n"))
        head, clauses = read_back(field)
        assert head == OURS
        for clause, each in zip(clauses, resinfos, strict=True):
            assert clause[0] == (each.method, str(each.result))
            left = [name for name, _ in clause[1:] if name not in ("reason", "")]
            given = iter(f"{ptype}.{name}" for ptype, name, _ in each.properties)
            assert all(name in given for name in left)
            values = [value for name, value in clause[1:] if name != "reason"]
            assert all(re.fullmatch(r"[\w.@+/:\[\]-]+", value) for value in values)
            assert all(value == each.comment for name, value in clause if not name)


@pytest.mark.parametrize("utf8", [True, False])
def test_no_line_is_so_long_that_postfix_breaks_it(utf8):
    """It breaks at any octet, so the quote of a quoted pair could come to stand alone, and what follows outside."""
    longest = ".".join(["d" * 63] * 3 + ["d" * 61])
    properties = (("header", "d", longest), ("header", "i", f"{'i' * 64}@{longest}"), ("header", "s", longest))
    dkim = Resinfo("dkim", Result.FAIL, properties, reason="r r" * 85, comment="mail.example.com")
    lines = render(OURS, [dkim, Resinfo("arc", Result.NONE)], utf8=utf8).split("\n")
    assert max(len(line.encode()) for line in lines) <= MAX_LINE
    starts = ["mx.example.org;", " dkim=fail reason=", " header.d=", " header.i=", " header.s=", " (mail.", " arc=none"]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts


@pytest.mark.parametrize("more", [0, 1])
def test_a_clause_as_long_as_a_line_stays_on_it(more):
    longest = ".".join(["a" * 63] * 3 + ["a" * 61])
    values = (("header", "d", longest), ("header", "s", longest), ("header", "a", "a-b"), ("header", "b", "b" * 255))
    # " x=pass" and four times " header.?=", then the semicolon
    rest = MAX_LINE - len(" x=pass") - 4 * len(" header.d=") - sum(len(value) for *_, value in values) - 1 + more
    reason = "r " + "r" * (rest - len(' reason="r "'))
    lines = render(OURS, [Resinfo("x", Result.PASS, values, reason), Resinfo("y", Result.PASS)]).split("\n")
    assert len(lines) == (len(values) + 3 if more else 3)
    assert more or len(lines[1]) == MAX_LINE


@given(
    st.tuples(st.just("d"), st.from_regex(r"[a-z0-9_]{1,9}(\.[a-z0-9]{1,9}){1,3}", fullmatch=True))
    | st.tuples(st.just("i"), st.from_regex(r"[A-Za-z0-9_+-]{1,9}@[a-z0-9]{1,9}(\.[a-z0-9]{1,9}){1,3}", fullmatch=True))
    | st.tuples(st.just("b"), st.from_regex(r"[A-Za-z0-9+/]{1,9}", fullmatch=True))
)
def test_authres_reads_it(prop):
    field = render(OURS, [Resinfo("dkim", Result.PASS, (("header", *prop),)), Resinfo("spf", Result.FAIL)])
    parsed = authres.AuthenticationResultsHeader.parse("Authentication-Results: " + field.replace("\n", ""))
    assert parsed.authserv_id == OURS
    assert [(each.method, each.result) for each in parsed.results] == [("dkim", "pass"), ("spf", "fail")]
    (read,) = parsed.results[0].properties
    assert (read.type, read.name, read.value) == ("header", *prop)


# --- fields that claim to be ours (section 5)


def test_there_are_enough_disguises():
    assert len(set(DISGUISES)) >= 40


@pytest.mark.parametrize("value", DISGUISES)
def test_disguises(value):
    assert is_ours(value, OURS)


@pytest.mark.parametrize("value", FOREIGN)
def test_other_peoples_fields_stay(value):
    assert not is_ours(value, OURS)


def test_u_label_and_a_label_are_one_name():
    assert is_ours(" mx.bücher.example; dmarc=pass".encode(), "mx.xn--bcher-kva.example")
    assert is_ours(b" mx.xn--bcher-kva.example; dmarc=pass", "mx.bücher.example")
    assert is_ours(" ; MX.Bücher.example; dmarc=pass".encode(), "mx.xn--bcher-kva.example")


def test_an_id_that_is_no_domain():
    assert is_ours(b" Gateway_7; dmarc=pass", "gateway_7")
    assert not is_ours(b" gateway_77; dmarc=pass", "gateway_7")
    assert is_ours(b" gateway/7; dmarc=pass", "Gateway/7.")


cfws = st.lists(st.sampled_from([" ", "\t", "\r\n ", "(x)", "(a(b)c)", "(\\))", "(;)"]), max_size=3).map("".join)
cased = st.lists(st.booleans(), min_size=len(OURS), max_size=len(OURS)).map(
    lambda upper: "".join(mark.upper() if up else mark for mark, up in zip(OURS, upper, strict=True))
)
names = st.one_of(cased, cased.map('"{}"'.format), cased.map(lambda name: '"' + "".join(f"\\{m}" for m in name) + '"'))


@given(
    before=cfws, name=names, after=cfws, version=st.sampled_from(["", " 1", " 2"]), end=st.sampled_from([";", "; none"])
)
def test_every_spelling_is_recognized(before, name, after, version, end):
    assert is_ours(f"{before}{name}{after}{version}{end}".encode(), OURS)


parts = st.sampled_from([OURS.encode(), b"(", b")", b'"', b"\\", b";", b" ", b"\r\n ", b"=", b"dmarc=pass", b"x."])


@given(value=st.lists(parts | st.binary(max_size=4), max_size=12).map(b"".join))
def test_what_does_not_name_us_is_not_ours(value):
    """Whatever stands around and between the letters."""
    if is_ours(value, OURS):
        assert OURS.encode() in re.sub(rb"[^a-z0-9.-]", b"", value.lower())


@pytest.mark.parametrize(
    "piece", [b"(", b")", b'"', b"\\", b"()", b"(a", b"mx.example.org", b"-", b".", b" ", b"\0", b";", b'\\"', b"=?"]
)
def test_a_hostile_value_costs_no_more_than_its_length(piece):
    started, pieces = time.process_time(), piece * (1_000_000 // len(piece))
    is_ours(pieces, OURS)
    is_ours(b'"' + pieces, OURS)
    is_ours(b"x;" + pieces, OURS)
    # a quadratic reading would take minutes, a linear one takes a few seconds
    assert time.process_time() - started < 30


def test_numbers_count_as_milters_count():
    fields = [
        Field(b"Subject", b" x"),
        Field(b"AUTHENTICATION-results", b" mx.example.org; none"),
        Field(b"Authentication-Results", b" other.example; none"),
        Field(b"Authentication-Results", b" mx.example.org; none"),
    ]
    assert unwanted(Headers(fields), OURS, most=LIMITS.results_octets) == [1, 3]


def test_what_is_too_much_to_read_is_removed_unread():
    """From the first one that does not fit, whatever comes after it."""
    fields = [Field(b"Authentication-Results", b" other.example; " + b"x" * length) for length in (10, 20, 100, 1)]
    most = sum(len(field.value) for field in fields[:2])
    assert unwanted(Headers(fields), OURS, most=most) == [3, 4]
    assert unwanted(Headers(fields), OURS, most=most - 1, trusted=True) == [2, 3, 4]
    assert unwanted(Headers(fields), OURS, most=LIMITS.results_octets) == []


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (b" other.example; none", True),
        (b" other.example 1; none", True),
        (b" other.example 01; none", True),
        (b" other.example\r\n (x) 1 (y) ; none", True),
        (b" other.example 2; none", False),
        (b" other.example 0; none", False),
        (b" other.example 11; none", False),
        (b" other.example " + b"9" * 10_000 + b"; none", False),
        (b" other.example 2", False),
        (b" other.example 2 dmarc=pass", False),
        (b" (x) other.example (y) 2 (z); dmarc=pass", False),
        (b" other.example\r\n\t2\r\n ;dmarc=pass", False),
        (b' "other.example" 2; dmarc=pass', False),
        (b' "other.example"2; dmarc=pass', False),
        (b" other.example(x)2(y); dmarc=pass", False),
        (b" other.example (2); none", True),
        (b" other.example; 2", True),
        (b" other.example 2nd; none", True),
        (b" other.example 192.0.2.1; none", True),
        (b"", True),
    ],
)
def test_versions(value, known):
    assert _is_unwanted(value, OURS, trusted=False) is not known
    assert not _is_unwanted(value, OURS, trusted=True)


def test_a_version_nobody_knows_is_left_to_trusted_clients():
    fields = [Field(b"Authentication-Results", b" other.example 2; none")]
    assert unwanted(Headers(fields), OURS, most=LIMITS.results_octets) == [1]
    assert unwanted(Headers(fields), OURS, trusted=True, most=LIMITS.results_octets) == []


BROKEN = {
    "a version": b" " * 955 + OURS.encode() + b"1; dmarc=pass",
    "another name": b" " * 955 + OURS.encode() + b".evil.example; dmarc=pass",
    "a name before": b"(" + b"a" * 970 + b") x." + OURS.encode() + b"; dmarc=pass",
    "a second line": b"\r\n" + b" " * 984 + OURS.encode() + b"1; dmarc=pass",
}


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("name", BROKEN)
def test_a_line_that_an_mta_breaks(name, trusted):
    """Another's name before it, it may be ours behind it."""
    field = Field(b"Authentication-Results", BROKEN[name])
    assert not is_ours(field.value, OURS)
    assert unwanted(Headers([field]), OURS, trusted=trusted, most=LIMITS.results_octets) == [1]


def test_fields_that_would_take_long_to_read_are_removed_unread():
    """Parentheses, quotes and backslashes are what reading takes time for, and each field is some work."""
    usual = Field(b"Authentication-Results", b" other.example; spf=pass (a) smtp.mailfrom=b; dkim=pass (c) header.d=d")
    dear = Field(b"Authentication-Results", b" other.example; none " + b"(a)" * 235 + b"\r\n " + b"(a)" * 235)
    assert unwanted(Headers([usual] * 40 + [dear]), "mx.example.org", most=LIMITS.results_octets) == [41]
    assert unwanted(Headers([dear]), "mx.example.org", most=LIMITS.results_octets) == []
    assert unwanted(Headers([dear, *[usual] * 40]), "mx.example.org", most=LIMITS.results_octets) == [*range(9, 42)]
