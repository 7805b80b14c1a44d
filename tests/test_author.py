"""Whose message is it? From fields, from plain to hostile."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.author import MAX_DOMAINS, author
from mailassay.message import Field, Headers


def read(*values):
    return author(Headers(Field(b"From", value if isinstance(value, bytes) else value.encode()) for value in values))


@pytest.mark.parametrize(
    "value",
    [
        " alice@bank.example",
        " <alice@bank.example>",
        " Alice <alice@bank.example>",
        " Alice Liddell <alice@BANK.example>",
        ' "Alice (in Wonderland)" <alice@bank.example>',
        ' "eve@evil.example" <alice@bank.example>',  # a name, quoted: legal, and common
        ' "a \\" <eve@evil.example>" <alice@bank.example>',
        " =?utf-8?q?Alice?= <alice@bank.example>",
        " =?utf-8?q?eve=40evil=2Eexample?= <alice@bank.example>",
        " Zoë <alice@bank.example>",
        " Alice\r\n <alice@bank.example>",
        " (a comment) alice@bank.example (another (nested))",
        ' "quoted local part"@bank.example',
        " a.b.c+d@bank.example",
        " alice@bank.example, bob@bank.example",
        " Alice <alice@bank.example>, Bob <bob@bank.example>",
        " alice @ bank . example",
        " alice(x)@(y)bank.example",
        " , alice@bank.example",
    ],
)
def test_one_clear_author(value):
    found = read(value)
    assert (found.domains, found.problem) == (("bank.example",), "")


@pytest.mark.parametrize(
    ("value", "domains"),
    [
        ("", ()),
        (" ", ()),
        (" Alice", ()),
        (" <>", ()),
        (" alice@", ()),
        (" @bank.example", ("bank.example",)),
        (" alice@bank.example, eve@evil.example", ("bank.example", "evil.example")),
        (" alice@bank.example <eve@evil.example>", ("bank.example", "evil.example")),
        (" eve@evil.example (x) <alice@bank.example>", ("evil.example", "bank.example")),
        (" <alice@bank.example> <eve@evil.example>", ("bank.example", "evil.example")),
        (" <alice@bank.example> eve@evil.example", ("bank.example", "evil.example")),
        (" <@evil.example:alice@bank.example>", ("evil.example", "bank.example")),
        (" <@evil.example,@b.example:alice@bank.example>", ("evil.example", "b.example", "bank.example")),
        (" Friends: alice@bank.example;", ("bank.example",)),
        (" Friends:;", ()),
        (" alice@bank.example@evil.example", ("bank.example", "evil.example")),
        (" <alice@bank.example", ("bank.example",)),
        (" alice@bank.example>", ("bank.example",)),
        (' "alice@bank.example', ("bank.example",)),
        (" (alice@bank.example", ("bank.example",)),
        (" alice@[192.0.2.1]", ()),
        (" alice@bank..example", ()),
        (" alice\0@bank.example", ("bank.example",)),
        (" alice@bank.example\0", ()),
        (" alice@bank.example\r", ("bank.example",)),
        (" alice@bank\\.example", ("bank",)),
        (" alice bob@bank.example", ("bank.example",)),
        (" alice@bank.example evil.example", ("bank.example",)),
        (" alice@bank.example;eve@evil.example", ("bank.example", "evil.example")),
        (" <alice@bank.example,eve@evil.example>", ("bank.example", "evil.example")),
        (" alice@bank.example\u00a0", ("bank.example",)),
    ],
)
def test_not_one_clear_author(value, domains):
    found = read(value)
    assert found.problem
    assert set(domains) <= set(found.domains)


def test_u_labels_become_a_labels():
    assert read(" a@bücher.example").domains == ("xn--bcher-kva.example",)


def test_no_from():
    assert author(Headers([])).problem == "no From field"


def test_several_from_fields():
    found = read(" alice@bank.example", " alice@bank.example")
    assert (found.domains, found.problem) == (("bank.example",), "several From fields")
    assert read(" alice@bank.example", " eve@evil.example").domains == ("bank.example", "evil.example")


def test_more_domains_than_are_looked_at():
    found = read(" " + ", ".join(f"a@d{number}.example" for number in range(100)))
    assert len(found.domains) == MAX_DOMAINS
    assert found.problem


@given(value=st.lists(st.sampled_from([*'<>()[]@:;,."\\ \t\r\n\0', "a", "b.example", "ü", "=?x?="]), max_size=24))
def test_any_field_is_read(value):
    found = read(" " + "".join(value))
    assert found.problem or len(found.domains) == 1


@given(value=st.binary(max_size=60))
def test_any_octets_are_read(value):
    found = read(value)
    assert found.problem or len(found.domains) == 1


@pytest.mark.parametrize(
    "piece", ["(", ")", "(a", '"', "<", "<a@b>", ",", "a@b.example,", "\\", '"\\', "@", "[", ":", ";", " "]
)
def test_a_hostile_field_costs_no_more_than_its_length(piece):
    started = time.process_time()
    read(" " + piece * (1_000_000 // len(piece)))
    # a quadratic reading would take minutes
    assert time.process_time() - started < 5
