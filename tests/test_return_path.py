"""The addresses of our own reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay import return_path

SENDER = "dmarc-reports@example.org"
TOKEN = return_path.new_token(b"secret", "abc", "d@bank.example")


@pytest.mark.parametrize(
    ("address", "sender", "expected"),
    [
        (SENDER, SENDER, True),
        ("DMARC-Reports@EXAMPLE.org.", SENDER, True),
        ("dmarc-reports+x@example.org", SENDER, True),
        ("dmarc-reports-x@example.org", SENDER, True),
        ("dmarc-reports=x@example.org", SENDER, True),
        ("dmarc-reportsx@example.org", SENDER, False),
        ("dmarc-report@example.org", SENDER, False),
        ("dmarc-reports@bank.example", SENDER, False),
        ("dmarc-reports@sub.example.org", SENDER, False),
        ("d@xn--bcher-kva.example", "d@bücher.example", True),
        ("d@BÜCHER.example", "d@xn--bcher-kva.example", True),
        ("", SENDER, False),
        ("<>", SENDER, False),
        ("@example.org", SENDER, False),
        ("dmarc-reports", SENDER, False),
        (SENDER, None, False),
        ("", None, False),
    ],
)
def test_our_own(address, sender, expected):
    assert return_path.is_ours(address, sender) is expected


def test_a_return_path():
    path = return_path.of(SENDER, TOKEN, "+")
    assert path == f"dmarc-reports+{TOKEN}@example.org"
    assert return_path.token(path, SENDER) == return_path.token(path.upper(), SENDER) == TOKEN
    assert return_path.of(SENDER, TOKEN, "=+") == path
    assert return_path.token(return_path.of(SENDER, TOKEN, "="), SENDER) == TOKEN
    assert return_path.token(path, "other@example.org") == ""
    assert return_path.token(path, None) == ""
    assert return_path.token(path.replace(TOKEN, TOKEN[1:]), SENDER) == ""
    assert return_path.token(SENDER, SENDER) == ""


@pytest.mark.parametrize("delimiter", ["", None, "-", "+-"])
def test_an_address_whose_extensions_would_not_arrive_is_plain(delimiter):
    """Without a delimiter, or with one that the local-part has."""
    assert return_path.of(SENDER, TOKEN, delimiter) == SENDER


def test_a_local_part_that_would_be_too_long_is_plain():
    assert return_path.of(f"{'a' * 37}@example.org", TOKEN, "+") == f"{'a' * 37}+{TOKEN}@example.org"
    assert return_path.of(f"{'a' * 38}@example.org", TOKEN, "+") == f"{'a' * 38}@example.org"


def test_a_token_belongs_to_one_report_one_address_and_one_secret():
    tokens = {
        return_path.new_token(secret, report_id, address)
        for secret in (b"1", b"2")
        for report_id in ("a", "b")
        for address in ("d@bank.example", "e@bank.example")
    }
    assert len(tokens) == 8
    assert all(len(each) == return_path.TOKEN_LENGTH for each in tokens)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (SENDER, SENDER),
        (f"dmarc-reports+{TOKEN}@example.org", f"dmarc-reports+{TOKEN}@example.org"),
        ("dmarc-reports+mary.smith@example.org", SENDER),
        ("dmarc-reports+@example.org", "dmarc-reports+@example.org"),
        ("mary@example.org", ""),
        ("mary", ""),
    ],
)
def test_what_is_kept_if_local_parts_are_not(address, expected):
    assert return_path.kept(address, SENDER) == expected


@given(st.text(), st.sampled_from(["", "@example.org", "@bank.example"]))
def test_any_address(text, end):
    address = text + end
    found = return_path.kept(address, SENDER)
    assert bool(found) is return_path.is_ours(address, SENDER)
    assert return_path.token(found, SENDER) == return_path.token(address, SENDER)
    assert return_path.is_ours(f"dmarc-reports+{text}@example.org", SENDER)


@given(
    st.from_regex(r"[a-z0-9.]{1,37}", fullmatch=True),
    st.sampled_from(["+", "-", "=_", "#"]),
    st.binary(),
    st.text(),
    st.text(),
)
def test_what_we_make_is_recognized(local_part, delimiter, secret, report_id, address):
    sender = f"{local_part}@example.org"
    token = return_path.new_token(secret, report_id, address)
    assert return_path.token(return_path.of(sender, token, delimiter), sender) == token
