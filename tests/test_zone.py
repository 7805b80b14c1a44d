"""DNS as data."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.resolver import Answer, DnsTempError, Question
from mailassay.zone import MAX_CNAMES, Found, Zone, ZoneError
from tests.lab.limits import LIMITS

TEXT = """
; a comment
mx.example              A     192.0.2.1      # another
MX.Example.             AAAA  2001:DB8::1
1.2.0.192.in-addr.arpa  PTR   MX.example.
example.com             MX    10 mx.example
example.com             MX    0 .
example.com             TXT   "v=spf1 " "mx -all"
example.com             TXT   bare words; with a mark
quote.example           TXT   "say \\"hi\\" # no comment"
utf.example             TXT   "ü"
marks.example           TXT   "!"
marks.example           TXT   SERVFAIL
root.example            PTR   .
www.example.com         CNAME example.com
chain.example           CNAME www.example.com
loop.example            CNAME loop2.example
loop2.example           CNAME loop.example
dangling.example        CNAME nowhere.example
*.wild.example          A     192.0.2.9
real.wild.example       TXT   x
broken.example          TXT   !
slow.example            A     ?
silent.example          *     ?
silent.example          TXT   x
there.example           -
deep.under.example      A     192.0.2.3
twice.example           TXT   same
twice.example           TXT   "same"
back\\slash.example      PTR   a\\046b.example
line.example            TXT   "a\u2028b"
cut.example             NS    NS1.Example.
cut.example             SOA   NS1.Example. admin.example 1 7200 900 1209600 4294967295
*.far.example           A     192.0.2.10
"""


def ask(zone, name, rdtype):
    return zone(Question(name, rdtype)).result()


@pytest.mark.parametrize(
    ("name", "rdtype", "records"),
    [
        ("mx.example", "A", ("192.0.2.1",)),
        ("MX.EXAMPLE", "A", ("192.0.2.1",)),
        ("mx.example", "AAAA", ("2001:db8::1",)),
        ("1.2.0.192.in-addr.arpa", "PTR", ("mx.example",)),
        ("example.com", "MX", ("0 .", "10 mx.example")),
        ("example.com", "TXT", ("bare words; with a mark", "v=spf1 mx -all")),
        ("quote.example", "TXT", ('say "hi" # no comment',)),
        ("utf.example", "TXT", ("\xc3\xbc",)),
        ("marks.example", "TXT", ("!", "SERVFAIL")),  # a mark stands alone and bare
        ("root.example", "PTR", (".",)),
        ("silent.example", "TXT", ("x",)),
        ("www.example.com", "MX", ("0 .", "10 mx.example")),
        ("chain.example", "TXT", ("bare words; with a mark", "v=spf1 mx -all")),
        ("www.example.com", "CNAME", ("example.com",)),
        ("any.wild.example", "A", ("192.0.2.9",)),
        ("a.b.wild.example", "A", ("192.0.2.9",)),
        ("twice.example", "TXT", ("same",)),  # RFC 2181 section 5
        ("back\\slash.example", "PTR", ("a\\046b.example",)),  # nothing escapes outside quotes
        ("line.example", "TXT", ("a\xe2\x80\xa8b",)),
        ("cut.example", "NS", ("ns1.example",)),
        ("cut.example", "SOA", ("ns1.example admin.example 1 7200 900 1209600 4294967295",)),
        ("x" * 63 + ".far.example", "A", ("192.0.2.10",)),
    ],
)
def test_records(name, rdtype, records):
    assert ask(Zone(TEXT, limits=LIMITS), name, rdtype) == Answer(records, True, 300)


@pytest.mark.parametrize(
    ("name", "exists"),
    [
        ("there.example", True),
        ("under.example", True),  # RFC 8020
        ("mx.example", True),
        ("loop.example", True),
        ("real.wild.example", True),
        ("nowhere.example", False),
        ("dangling.example", False),
        ("x.mx.example", False),
        ("x" * 64 + ".far.example", False),  # no name for DNS, so no wildcard stands for it
        ("a..far.example", False),
        (".far.example", False),
        ("a." * 122 + "far.example", False),
        ("x.real.wild.example", False),  # RFC 4592: a name that exists ends the wildcard's reach
    ],
)
def test_no_records(name, exists):
    answer = ask(Zone(TEXT, limits=LIMITS), name, "PTR")
    assert (answer.records, answer.exists) == ((), exists)


@pytest.mark.parametrize(
    ("name", "rdtype", "word"),
    [
        ("broken.example", "TXT", "SERVFAIL"),
        ("slow.example", "A", "time-out"),
        ("silent.example", "A", "time-out"),
    ],
)
def test_troubles(name, rdtype, word):
    with pytest.raises(DnsTempError, match=word):
        ask(Zone(TEXT, limits=LIMITS), name, rdtype)


def test_a_trouble_is_of_its_type_only():
    assert ask(Zone(TEXT, limits=LIMITS), "broken.example", "A").records == ()


def test_json():
    zone = Zone(
        json.dumps(
            {
                "A.example": {
                    "A": ["192.0.2.1"],
                    "TXT": [["one ", "two"], "three"],
                    "MX": [[5, "b.example"], "6 c.example", [0, ""]],
                    "CNAME": ["B.example."],
                },
                "slow.example": {"*": "TIMEOUT", "TXT": ["x"]},
                "bad.example": {"TXT": "SERVFAIL", "SPF": [["unknown types are passed over"]]},
                "empty.example": {},
            }
        ),
        limits=LIMITS,
    )
    assert ask(zone, "a.example", "A").records == ("192.0.2.1",)
    assert ask(zone, "a.example", "TXT").records == ("one two", "three")
    assert ask(zone, "a.example", "MX").records == ("0 .", "5 b.example", "6 c.example")
    assert ask(zone, "slow.example", "TXT").records == ("x",)
    assert ask(zone, "empty.example", "A") == Answer((), True, 300)
    with pytest.raises(DnsTempError):
        ask(zone, "slow.example", "A")
    with pytest.raises(DnsTempError):
        ask(zone, "bad.example", "TXT")


@pytest.mark.parametrize(("links", "records"), [(MAX_CNAMES, ("192.0.2.1",)), (MAX_CNAMES + 1, ())])
def test_a_chain_has_an_end(links, records):
    chain = "".join(f"c{number}.example CNAME c{number + 1}.example\n" for number in range(links))
    zone = Zone(f"{chain}c{links}.example A 192.0.2.1", limits=LIMITS)
    assert ask(zone, "c0.example", "A") == Answer(records, True, 300)


def test_what_a_server_needs():
    found = Zone(TEXT, limits=LIMITS).lookup("chain.example", "MX")
    assert found == Found(
        (("chain.example", "www.example.com"), ("www.example.com", "example.com")), ("0 .", "10 mx.example")
    )


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a.example", 1, "expected"),
        ("\n\na.example A", 3, "expected"),
        ("a.example A 300.1.1.1", 1, "300.1.1.1"),
        ("a.example AAAA 192.0.2.1", 1, "192.0.2.1"),
        ("a.example SRV b.example", 1, "type SRV"),
        ("a.example SOA ns.example a.example 1 2 3 4", 1, "five numbers"),
        ("a.example SOA ns.example a.example 1 2 3 4 4294967296", 1, "five numbers"),
        ('a.example TXT "open', 1, "quote"),
        ("a.example MX mx.example", 1, "expected: preference and host, found 'mx.example'"),
        ("a.example MX 10", 1, "expected: preference and host, found '10'"),
        ("a.example MX 10 a b", 1, "expected: preference and host"),
        ("a.example MX -1 b", 1, "expected: preference and host"),
        ("a.example MX 65536 b", 1, "expected: preference and host"),
        ("a.example TTX !", 1, "type TTX"),
        ("a.example * x", 1, r"the type \* takes only ! or \?"),
        ("{", 1, ""),
        ("{}x", 1, ""),
        ('{"a": 1}', 1, "not"),
        ('{"a": {"A": ["x"]}}', 1, "not"),
        ('{"a": {"MX": [[5]]}}', 1, "not"),
        ('{"a": {"A": null}}', 1, "not"),
        ('{"a": {"TXT": {"x": 1}}}', 1, "not"),
        ('{"a": {"TXT": [null]}}', 1, "not"),
        ('{"a": {"TXT": [["x", 1.5]]}}', 1, "not"),
        ("{" + '"a":{' * 100_000, 1, "not"),
    ],
)
def test_mistakes_have_a_place(text, line, message):
    with pytest.raises(ZoneError, match=rf"^some/path:{line}: .*{message}"):
        Zone(text, "some/path", limits=LIMITS)


def test_a_file(tmp_path):
    path = tmp_path / "zone"
    path.write_text(TEXT)
    assert ask(Zone.load(str(path), ttl=7, limits=LIMITS), "mx.example", "A").ttl == 7
    path.write_bytes(b"\xff")
    with pytest.raises(ZoneError, match="UTF-8"):
        Zone.load(str(path), limits=LIMITS)


pieces = st.sampled_from(
    ["a.example", "*", "TXT", "A", "MX", "-", "!", "?", '"', "\\", ";", "#", " ", "\n", "{", "}", "1"]
)


@given(text=st.lists(pieces, max_size=20).map("".join))
def test_a_zone_or_an_error(text):
    try:
        zone = Zone(text, limits=LIMITS)
    except ZoneError:
        return
    # the only wildcard here, * alone, stands for the names of one label
    assert zone.lookup("no.such.name", "A") == Found(exists=False)


@given(text=st.text() | st.from_regex(r"a\.example (A|AAAA|MX|PTR|TXT|CNAME) .{0,80}", fullmatch=True))
def test_no_text_raises_anything_but_a_zone_error(text):
    with contextlib.suppress(ZoneError):
        Zone(text, limits=LIMITS)


octets = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)


@given(strings=st.lists(octets, min_size=1, max_size=3))
def test_quoted_strings_come_back_joined(strings):
    quoted = " ".join('"' + text.replace("\\", r"\\").replace('"', r"\"") + '"' for text in strings)
    (record,) = ask(Zone(f"a.example TXT {quoted} # comment", limits=LIMITS), "a.example", "TXT").records
    assert record.encode("latin-1").decode() == "".join(strings)


values = st.recursive(
    st.none() | st.integers() | st.sampled_from(["192.0.2.1", "x", "TIMEOUT", "10 mx.example", "\udc80"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["A", "MX", "TXT", "*"]), inner),
    max_leaves=6,
)


@given(names=st.dictionaries(st.sampled_from(["a.example", "*.example", "", "."]), values))
def test_a_json_zone_or_an_error(names):
    with contextlib.suppress(ZoneError):
        assert Zone(json.dumps(names), limits=LIMITS).lookup("no.such.name", "A") == Found(exists=False)
