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
