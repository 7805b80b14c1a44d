"""The digest of a policy rests on what its file says, and on nothing else."""

import json

import pytest

from mailassay.config import load_policy, schema
from mailassay.policy import Policy
from mailassay.policy.digest import canonical

RULE = {"name": "r", "if": {"spf": "fail"}, "then": "hold"}
REFUSING = {"name": "r", "if": {"spf": "fail"}, "then": "reject"}
ELEMENT = {"for": "a.example"}
# for each key a value that is not its default, with what the value needs beside it
OTHERS = {
    "dmarc.ambiguous_author": "hold",
    "dmarc.reject_needs": {"spf": "fail"},
    "dmarc.authors": [ELEMENT],
    "dmarc.trusted_sealers": "a.example",
    "dmarc.trusted_forwarders": "192.0.2.1",
    "dmarc.mailing_lists": ".a.example",
    "tag.flag": "X-Junk",
    "tag.verdict": "X-Verdict",
    "rules": [RULE],
}
IN_A_RULE = {
    "name": "other",
    "expires": "2030-12-31",
    "monitor": True,
    "if": {"spf": "softfail"},
    "then": "reject",
    "headers": {"X-A": "a"},
    "reason": "why",
}
IN_AN_ELEMENT = {
    "for": ".a.example",
    "reject": "reject",
    "quarantine": "hold",
    "none": "hold",
    "unpublished": "hold",
    "monitor": True,
}
CONDITIONS = {
    "author": "a.example",
    "mail_from": "<>",
    "recipient": "bob@a.example",
    "client": "192.0.2.0/24",
    "client_name": ".a.example",
    "helo": "a.example",
    "spf_pass": "a.example",
    "dkim_pass": ["b.example", "a.example"],
    "sealer": "a.example",
    "iprev": "fail",
    "spf": ["fail", "softfail"],
    "spf_helo": "none",
    "dkim": "pass",
    "arc": "pass",
    "dmarc": "fail",
    "policy": "reject",
    "policy_tag": "np",
    "sender_domain": "no_mail",
    "all": [{"spf": "fail"}, {"arc": "none"}],
    "any": [{"spf": "fail"}, {"arc": "none"}],
    "not": {"spf": "fail"},
}


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "policy.yaml"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return load_policy(str(path))

    return read


def one_key(name, value):
    section, _, key = name.rpartition(".")
    return {section: {key: value}} if section else {key: value}


def other(key):
    """A value of a key that is not its default."""
    if key.name in OTHERS:
        return OTHERS[key.name]
    if "enum" in key.schema:
        return next(word for word in key.schema["enum"] if word != key.default)
    if key.schema["type"] == "boolean":
        return not key.default
    return next(number for number in (key.schema["minimum"], key.schema["maximum"]) if number != key.default)


KEYS = {key.name: key for key in schema.policy().keys}
# `lists` says nothing by itself
SETTINGS = [
    name
    for name, key in KEYS.items()
    if key.schema.get("type") != ["object", "null"]
    and not name.startswith(("rules.", "dmarc.authors.", "if.", "lists"))
]


def test_each_setting_changes_the_digest(read):
    digests = {name: read(one_key(name, other(KEYS[name]))).digest for name in SETTINGS}
    assert len(SETTINGS) > 50
    assert len({*digests.values(), Policy().digest}) == len(SETTINGS) + 1


@pytest.mark.parametrize(
    ("prefix", "base", "others", "make"),
    [
        ("rules.", RULE, IN_A_RULE, lambda rule: {"rules": [rule]}),
        ("dmarc.authors.", ELEMENT, IN_AN_ELEMENT, lambda element: {"dmarc": {"authors": [element]}}),
        ("if.", {}, CONDITIONS, lambda condition: {"dmarc": {"reject_needs": condition}}),
    ],
)
def test_so_does_each_key_of_an_element(read, prefix, base, others, make):
    without = {"comment", "unsafe", "reply", "enhanced"}
    assert {*others} == {name.removeprefix(prefix) for name in KEYS if name.startswith(prefix)} - without
    made = [*([base] if base else []), *({**base, key: value} for key, value in others.items())]
    assert len({read(make(each)).digest for each in made}) == len(made)


def test_a_reply_changes_the_digest(read):
    rules = [REFUSING, {**REFUSING, "reply": "no"}, {**REFUSING, "enhanced": "5.7.2"}]
    assert len({read({"rules": [rule]}).digest for rule in rules}) == 3


def test_what_an_author_may_do_changes_the_digest(read):
    """Values that only an unsafe element takes."""
    lenient = {**ELEMENT, "reject": "accept", "unsafe": True, "comment": "why"}
    assert read({"dmarc": {"authors": [lenient]}}).digest != read({"dmarc": {"authors": [ELEMENT]}}).digest


TEXT = """
mode: enforce
lists: {partners: [b.example, a.example]}
dmarc:
  reject: hold
  trusted_sealers: [b.example, a.example]
rules:
  - name: partners
    comment: until they sign
    if: {author: list:partners, client: 192.0.2.0/28, any: [{spf: pass}, {dkim: [pass, fail]}]}
    then: accept
"""
SAME = """
# the same in other words
rules:
- then: accept
  if:
    any:
    - dkim: [fail, pass]
    - spf: [pass]
    client: ["192.0.2.0/28"]
    author: [B.example., a.example]
  name: "partners"
  unsafe: true
dmarc: {trusted_sealers: [a.example, b.example, a.example], reject: hold, quarantine: hold}
"""


def test_layout_comments_and_order_do_not(read):
    assert canonical(read(SAME)) == canonical(read(TEXT))
    assert read(SAME).digest == read(TEXT).digest


def test_the_order_of_rules_does(read):
    two = {**RULE, "name": "s"}
    assert read({"rules": [RULE, two]}).digest != read({"rules": [two, RULE]}).digest


def test_the_form_that_is_digested(read):
    """Operators compare digests. If this fails, a change in the code alone gives every host another one.

    A new key, or another default, is a good reason.
    """
    rule = json.loads(canonical(read(TEXT)))["rules"][0]
    assert rule == {
        "name": "partners",
        "if": {
            "all": [
                {"any": [{"dkim": ["fail", "pass"]}, {"spf": ["pass"]}]},
                {"author": ["a.example", "b.example"]},
                {"client": ["192.0.2.0/28"]},
            ]
        },
        "then": "accept",
        "expires": None,
        "monitor": False,
        "reply": "",
        "enhanced": "",
        "headers": [],
        "reason": "",
    }
    excepted = {"dmarc": {"reject_needs": {"not": {"spf": "fail"}}}}
    assert json.loads(canonical(read(excepted)))["dmarc"]["reject_needs"] == {"not": {"spf": ["fail"]}}
    assert read(TEXT).digest == "ed2848d82e94"
    assert Policy().digest == "3253b05823fa"
