"""Our Authentication-Results field, and those that claim to be ours. The sections are RFC 8601's."""

import re
import time
import unicodedata

import authres
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.header import MAX_LINE, MAX_VALUE, is_known_version, is_ours, render, unwanted
from mailassay.message import Field, Headers
from mailassay.result import Resinfo, Result
from tests.lab.disguises import DISGUISES, FOREIGN, OURS


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


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("example.com", "example.com"),
        ("2001:db8::1", '"2001:db8::1"'),
        ("ab/+=", '"ab/+="'),
        ("alice@example.com", "alice@example.com"),
        ("@example.com", "@example.com"),
        ("a b@example.com", '"a b@example.com"'),
        ("a@b; dmarc=pass", '"a@b; dmarcpass"'),
        ("a@b", '"a@b"'),
        ("a@b_c.example", '"a@b_c.example"'),
        ("a..b@example.com", '"a..b@example.com"'),
        ("a/b=c@example.com", "a/b=c@example.com"),
        ("a@b..c", '"a@b..c"'),
        ("a@b.", '"a@b."'),
        ("a@b@c", '"a@b@c"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("two\r\nlines\0", '"twolines"'.replace('"', "")),
        ("\ud800x\udc80", "x"),
        ("x" * 1000, "x" * MAX_VALUE),
        ("€" * 100, '"' + "€" * (MAX_VALUE // 3) + '"'),
        ("x" + "€" * 100, '"x' + "€" * ((MAX_VALUE - 1) // 3) + '"'),
        ("zoë@bücher.example", '"zoë@bücher.example"'),
        ("(comment)", '"(comment)"'),
        ("", '""'),
    ],
)
def test_values(value, written):
    clause = Resinfo("x", Result.PASS, (("p", "q", value),))
    assert render(OURS, [clause], utf8=True).endswith(f" p.q={written}")


@pytest.mark.parametrize(
    ("value", "in_utf8", "in_ascii"),
    [
        ("bücher.example", '"bücher.example"', "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", '"bücher.example"', "xn--bcher-kva.example"),
        ("@xn--bcher-kva.example", '"@bücher.example"', "@xn--bcher-kva.example"),
        ("@bücher.example", '"@bücher.example"', "@xn--bcher-kva.example"),
        ("zoë@xn--bcher-kva.example", '"zoë@bücher.example"', '"zo\\\\x{EB}@xn--bcher-kva.example"'),
        ("a@b@Bücher.example", '"a@b@Bücher.example"', '"a@b@xn--bcher-kva.example"'),
        ("sélecteur", '"sélecteur"', "xn--slecteur-b1a"),
        # what is no domain name, or an A-label of nothing, stays
        ("ü ü", '"ü ü"', '"\\\\x{FC} \\\\x{FC}"'),
        ("xn--a.example", "xn--a.example", "xn--a.example"),
        ("XN--BCHER-KVA.example", '"bücher.example"', "XN--BCHER-KVA.example"),
        ("xn--bcher-kva; dmarc=pass", '"xn--bcher-kva; dmarcpass"', '"xn--bcher-kva; dmarcpass"'),
        # nothing is cut in its middle
        ("\U0001f4e7" * 60, '"' + "\U0001f4e7" * 60 + '"', '"' + "\\\\x{1F4E7}" * (MAX_VALUE // 9) + '"'),
    ],
)  # fmt: skip
def test_values_where_utf8_is_and_is_not_allowed(value, in_utf8, in_ascii):
    clause = Resinfo("x", Result.PASS, (("p", "q", value),))
    assert render(OURS, [clause], utf8=True).endswith(f" p.q={in_utf8}")
    assert render(OURS, [clause]).endswith(f" p.q={in_ascii}")


@pytest.mark.parametrize("name", ["mx.bücher.example", "mx.xn--bcher-kva.example"])
def test_our_name_where_utf8_is_and_is_not_allowed(name):
    assert render(name, []) == "mx.xn--bcher-kva.example; none"
    assert render(name, [], utf8=True) == '"mx.bücher.example"; none'
    assert is_ours(render(name, [], utf8=True).encode(), name)


@pytest.mark.parametrize(
    "comment", ["a b", "x) dmarc=pass (", "a;b", "é.example", "a\nb", "(", "-x", "a..b", "a.", "a_b", "a" * 256]
)
def test_a_comment_that_is_no_host_name_is_left_out(comment):
    assert "(" not in render(OURS, [Resinfo("iprev", Result.PASS, comment=comment)])


HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
hosts = st.from_regex(HOST, fullmatch=True)
text = (
    st.text(max_size=40)
    | st.text('ab@.;=()"\\ \r\n\t\0\u2028\ud800', max_size=12)
    | st.text('a;"\U0001f4e7', min_size=200)
    | hosts
)


def kept(value):
    """What is left of a value: no controls, no separators but the space, no surrogates, not all of a long one."""
    left = "".join(mark for mark in value[: 2 * MAX_VALUE] if mark == " " or unicodedata.category(mark)[0] not in "CZ")
    while len(left.encode()) > MAX_VALUE:
        left = left[:-1]
    return left


@given(
    st.lists(
        st.builds(
            Resinfo,
            st.sampled_from(["spf", "dkim"]),
            st.sampled_from(list(Result)),
            st.lists(st.tuples(st.just("header"), st.sampled_from(["d", "i"]), text), max_size=3).map(tuple),
            text,
            text,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_value_breaks_out(resinfos):
    in_ascii = render(OURS, resinfos)
    assert in_ascii.isascii()
    assert [[name for name, _ in clause] for clause in read_back(in_ascii)[1]] == [
        [name for name, _ in clause] for clause in read_back(render(OURS, resinfos, utf8=True))[1]
    ]
    field = render(OURS, resinfos, utf8=True)
    head, clauses = read_back(field)
    assert head == OURS
    assert all(len(line.encode()) <= MAX_LINE for line in field.split("\n"))
    assert clauses == [
        [
            (each.method, str(each.result)),
            *([("reason", kept(each.reason))] if kept(each.reason) else []),
            *((f"{ptype}.{name}", kept(value)) for ptype, name, value in each.properties),
            *([("", each.comment)] if HOST.fullmatch(each.comment) else []),
        ]
        for each in resinfos
    ]


@pytest.mark.parametrize("utf8", [True, False])
def test_no_line_is_so_long_that_postfix_breaks_it(utf8):
    """It breaks at any octet, so the quote of a quoted pair could come to stand alone, and what follows outside."""
    identity = "\U0001f4e7" * 60 + '"; dmarc=pass' + '"' * 200
    properties = (("header", "d", "d" * 253), ("header", "i", identity), ("header", "s", '"' * 255))
    dkim = Resinfo("dkim", Result.FAIL, properties, reason="\\" * 255, comment="mail.example.com")
    lines = render(OURS, [dkim, Resinfo("arc", Result.NONE)], utf8=utf8).split("\n")
    assert max(len(line.encode()) for line in lines) <= MAX_LINE
    starts = ["mx.example.org;", " dkim=fail reason=", " header.d=", " header.i=", " header.s=", " (mail.", " arc=none"]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts


@pytest.mark.parametrize("more", [0, 1])
def test_a_clause_as_long_as_a_line_stays_on_it(more):
    # " x=pass" and three times " p.q=", then the semicolon
    length = MAX_LINE - len(" x=pass") - 3 * len(" p.q=") - 1 - 2 * 255 + more
    assert length <= 2 * MAX_VALUE
    values = ["a" * 255, "a" * 255, '"' * ((length - 2) // 2) + "a" * (length % 2)]
    clause = Resinfo("x", Result.PASS, tuple(("p", "q", value) for value in values))
    lines = render(OURS, [clause, Resinfo("y", Result.PASS)]).split("\n")
    assert len(lines) == (6 if more else 3)
    assert more or len(lines[1]) == MAX_LINE


@given(value=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40))
def test_authres_reads_it(value):
    field = render(OURS, [Resinfo("dkim", Result.PASS, (("header", "d", value),)), Resinfo("spf", Result.FAIL)])
    parsed = authres.AuthenticationResultsHeader.parse("Authentication-Results: " + field.replace("\n", ""))
    assert parsed.authserv_id == OURS
    assert [(each.method, each.result) for each in parsed.results] == [("dkim", "pass"), ("spf", "fail")]
    # authres leaves quoted pairs as they are written
    (read,) = parsed.results[0].properties
    assert (read.type, read.name, re.sub(r"\\(.)", r"\1", read.value)) == ("header", "d", value)


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


@given(value=st.binary(max_size=80))
def test_any_octets_are_read(value):
    is_ours(value, OURS)


@pytest.mark.parametrize(
    "piece", [b"(", b")", b'"', b"\\", b"()", b"(a", b"mx.example.org", b"-", b".", b" ", b"\0", b";", b'\\"', b"=?"]
)
def test_a_hostile_value_costs_no_more_than_its_length(piece):
    started = time.process_time()
    is_ours(piece * (1_000_000 // len(piece)), OURS)
    is_ours(b'"' + piece * (1_000_000 // len(piece)), OURS)
    is_ours(b"x;" + piece * (1_000_000 // len(piece)), OURS)
    # a quadratic reading would take minutes
    assert time.process_time() - started < 5


def test_numbers_count_as_milters_count():
    fields = [
        Field(b"Subject", b" x"),
        Field(b"AUTHENTICATION-results", b" mx.example.org; none"),
        Field(b"Authentication-Results", b" other.example; none"),
        Field(b"Authentication-Results", b" mx.example.org; none"),
    ]
    assert unwanted(Headers(fields), OURS) == [1, 3]


def test_what_is_too_much_to_read_is_removed_unread():
    """From the first one that does not fit, whatever comes after it."""
    fields = [Field(b"Authentication-Results", b" other.example; " + b"x" * length) for length in (10, 20, 100, 1)]
    most = sum(len(field.value) for field in fields[:2])
    assert unwanted(Headers(fields), OURS, most=most) == [3, 4]
    assert unwanted(Headers(fields), OURS, most=most - 1, trusted=True) == [2, 3, 4]
    assert unwanted(Headers(fields), OURS) == []


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
    assert is_known_version(value) is known


def test_a_version_nobody_knows_is_left_to_trusted_clients():
    fields = [Field(b"Authentication-Results", b" other.example 2; none")]
    assert unwanted(Headers(fields), OURS) == [1]
    assert unwanted(Headers(fields), OURS, trusted=True) == []


@pytest.mark.parametrize(
    "value", ["dmarc=pass", "DMARC=Pass@x.example", "x;dmarc==pass y", "dmarc=\0pass", "é dmarc=pass"]
)
@pytest.mark.parametrize("utf8", [True, False])
def test_no_value_is_a_result_to_who_looks_for_a_text(value, utf8):
    """Filters look for ``dmarc=pass`` and know nothing of quotes."""
    found = [Resinfo("spf", Result.NONE, (("smtp", "helo", value),), reason=value)]
    assert "dmarc=pass" not in render(OURS, found, utf8=utf8).lower()


def test_an_equals_sign_that_makes_no_result_stays():
    found = [Resinfo("dkim", Result.PASS, (("header", "i", "prvs=1a=bob@x.example"),), reason="x= is not after t=")]
    assert 'reason="x= is not after t=" header.i=prvs=1a=bob@x.example' in render(OURS, found)


def test_fields_that_would_take_long_to_read_are_removed_unread():
    """Parentheses, quotes and backslashes are what reading takes time for, and each field is some work."""
    usual = Field(b"Authentication-Results", b" other.example; spf=pass (a) smtp.mailfrom=b; dkim=pass (c) header.d=d")
    dear = Field(b"Authentication-Results", b" other.example; none " + b"(a)" * 470)
    assert unwanted(Headers([usual] * 40 + [dear]), "mx.example.org") == [41]
    assert unwanted(Headers([dear]), "mx.example.org") == []
    assert unwanted(Headers([dear, *[usual] * 40]), "mx.example.org") == [*range(9, 42)]
