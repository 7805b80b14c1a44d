"""Domain names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.domain import BadDomain, Domain, a_labels, u_labels


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("com", "com"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("bücher。example", "xn--bcher-kva.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_normal_form(text, name):
    assert Domain(text) == name


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a..b", ".a", "-a.example", "a-.example", "a b.example", "a" * 64 + ".example",
     "a." * 127 + "ab", "a\0.example", "a/b.example", "*.example", "[192.0.2.1]", "ü" * 64 + ".example",
     "\ud800.example", "a@b.example", "a\n.example"],
)  # fmt: skip
def test_no_domain(text):
    with pytest.raises(BadDomain):
        Domain(text)


# Default_Ignorable_Code_Point of Unicode: shown as nothing where a program does not know better
IGNORABLE = [
    *("ad", "34f", "61c", "115f-1160", "17b4-17b5", "180b-180f", "200b-200f", "202a-202e", "2060-206f", "3164"),
    *("fe00-fe0f", "feff", "ffa0", "fff0-fff8", "1bca0-1bca3", "1d173-1d17a", "e0000-e0fff"),
]
# those that UTS 46 has for disallowed; a joiner is part of a name, but not of this one
REFUSED = ["61c", "200c-200f", "202a-202e", "2065-2069", "fff0-fff8", "e0000-e00ff", "e01f0-e0fff"]


def characters(ranges):
    for first, _, last in (each.partition("-") for each in ranges):
        yield from map(chr, range(int(first, 16), int(last or first, 16) + 1))


def test_ignorable_characters():
    """Whatever version of Unicode the library has: each stands for nothing, or makes it no domain."""
    refused = set(characters(REFUSED))
    for character in characters(IGNORABLE):
        for text in (f"ba{character}nk", f"{character}bank", f"bank{character}"):
            if character in refused:
                with pytest.raises(BadDomain):
                    Domain(f"{text}.example")
            else:
                assert Domain(f"{text}.example") == "bank.example", hex(ord(character))
        with pytest.raises(BadDomain):
            Domain(f"{character}.example")


@pytest.mark.parametrize("text", ["xn--a\u3164bc.example", "-\u3164a.example", "a\u3164_\xad.example\u115f"])
def test_a_label_with_ignorable_characters_is_no_exception(text):
    plain = text.translate(dict.fromkeys(map(ord, "\u3164\xad\u115f")))
    for each in (text, plain):
        try:
            found = Domain(each)
        except BadDomain:
            found = None
        assert found in (None, plain)


def test_parents():
    assert Domain("a.b.example").parents() == ["b.example", "example"]
    assert Domain("example").parents() == []


def test_within():
    assert Domain("a.example.com").is_within(Domain("example.com"))
    assert Domain("example.com").is_within(Domain("example.com"))
    assert not Domain("notexample.com").is_within(Domain("example.com"))


@given(text=st.text(max_size=80))
def test_a_domain_or_an_error(text):
    try:
        domain = Domain(text)
    except BadDomain:
        return
    assert Domain(domain) == domain
    assert domain.isascii()
    assert domain == domain.lower()
    assert len(domain) <= 253


@pytest.mark.parametrize(
    ("name", "in_ascii", "in_utf8"),
    [
        ("example.com", "example.com", "example.com"),
        ("mx.bücher.example", "mx.xn--bcher-kva.example", "mx.bücher.example"),
        ("mx.xn--bcher-kva.example", "mx.xn--bcher-kva.example", "mx.bücher.example"),
        ("xn--.example", "xn--.example", "xn--.example"),
        ("xn--a.xn--bcher-kva", "xn--a.xn--bcher-kva", "xn--a.bücher"),
        ("xn--\u00fc.example", "xn--\u00fc.example", "xn--\u00fc.example"),
        ("ü ü", "ü ü", "ü ü"),
        ("", "", ""),
        ("a\ud800.example", "a\ud800.example", "a\ud800.example"),
        ("xn--" + "a" * 1_000_000, "xn--" + "a" * 1_000_000, "xn--" + "a" * 1_000_000),
    ],
    ids=range(10),
)
def test_a_labels_and_u_labels(name, in_ascii, in_utf8):
    assert a_labels(name) == in_ascii
    assert u_labels(name) == in_utf8


@given(text=st.text(max_size=80) | st.from_regex(r"(xn--[a-z0-9-]{1,20}\.)?[a-zü]{1,10}\.example", fullmatch=True))
def test_u_labels_are_the_same_domain(text):
    try:
        domain = Domain(text)
    except BadDomain:
        return
    assert Domain(u_labels(text)) == Domain(u_labels(domain)) == domain
    assert a_labels(u_labels(domain)) == domain
