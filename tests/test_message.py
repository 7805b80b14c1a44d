"""A message file, read as Postfix reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.message import Field, Headers, split


@pytest.mark.parametrize(
    ("raw", "fields", "body"),
    [
        (b"", [], b""),
        (b"\n", [], b""),
        (b"A: b\n\nbody\n", [(b"A", b" b")], b"body\r\n"),
        (b"A: b\r\n c\r\n\r\nx\r\n", [(b"A", b" b\r\n c")], b"x\r\n"),
        (b"A: b", [(b"A", b" b")], b""),
        (b"A :b\n", [(b"A", b"b")], b""),
        (b"From alice\nA: b\n\n", [(b"A", b" b")], b""),
        (b"no header\nmore\n", [], b"no header\r\nmore\r\n"),
        (b"A: b\nno header\n\nmore\n", [(b"A", b" b")], b"no header\r\n\r\nmore\r\n"),
        (b" continues nothing\n", [], b" continues nothing\r\n"),
        (b"A: \xff\0\n\n", [(b"A", b" \xff\0")], b""),
        (b"\xffA: b\n", [], b"\xffA: b\r\n"),
        (b": b\n", [], b": b\r\n"),
    ],
)
def test_split(raw, fields, body):
    headers, rest = split(raw)
    assert [tuple(field) for field in headers] == fields
    assert rest == body


@given(raw=st.lists(st.sampled_from([b"A", b":", b" ", b"\n", b"\r\n", b"\0", b"\xff", b"\t"]), max_size=40))
def test_split_loses_nothing_but_what_it_says(raw):
    headers, body = split(b"".join(raw))
    assert all(33 <= octet <= 126 for field in headers for octet in field.name)
    assert b"\n" not in body.replace(b"\r\n", b"")


def test_instances_count_from_the_bottom():
    headers = Headers([Field(b"To", b"1"), Field(b"X", b"2"), Field(b"TO", b"3")])
    assert [field.value for field in headers.named(b"to")] == [b"1", b"3"]
    assert [headers.place(b"to", instance) for instance in range(3)] == [2, 0, None]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (b"From", b"a" * 993, False),
        (b"From", b"a" * 994, True),
        (b"From", b"a" * 993 + b"\r\n " + b"a" * 997, False),
        (b"From", b"\r\n " + b"a" * 998, True),
        (b"F" * 997, b"", False),
        (b"F" * 998, b"", True),
    ],
)
def test_lines_that_an_mta_breaks(name, value, expected):
    """The name and the colon are octets of the first line; line ends are none."""
    assert Field(name, value).breakable is expected
