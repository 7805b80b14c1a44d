"""Migration from rspamd: its language, by the real rspamd where that is installed, its maps, and what becomes of it."""

import json
import shutil
import subprocess
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mailassay import migrate
from mailassay.finding import Severity
from mailassay.migrate import ucl
from mailassay.sign import Believed
from tests.lab.migrating import domains, laid, libsodium, migrated, pkcs1, said
from tests.lab.signing import pem

RSPAMADM = shutil.which("rspamadm", path="/usr/bin:/usr/sbin")
ONE = 'domain { example.org { selector = "sel"; path = "%FOLDER%/one.key"; } }\ntry_fallback = false;\n'
BOTH = """\
domain {
  example.org {
    selectors [
      { path = "%FOLDER%/one.key"; selector = "rsa"; },
      { path = '%FOLDER%/ed.key', selector = ed }
    ]
  }
}
try_fallback = false
"""


def planned(folder, text, **files):
    every = {"dkim_signing.conf": text, "one.key": pkcs1(), "ed.key": libsodium(), **files}
    return migrate.read(str(laid(folder, every)))


# UCL


def plain(value):
    """What a value is, as JSON has it; each scalar as its text."""
    match value:
        case ucl.Scalar():
            return value.text
        case ucl.Array():
            return [plain(each) for each in value.elements]
        case ucl.Object():
            return {name: plain(each) for name, each in value.members.items()}


def read(text):
    return plain(ucl.parsed(text, "x"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("{}", {}),
        ("a = b;", {"a": "b"}),
        ("a: b", {"a": "b"}),
        ("a b\nc d # e", {"a": "b", "c": "d"}),
        ('a = "b;c#d\\n\\u00e9";', {"a": "b;c#d\né"}),
        ("a = 'b\\'c$d';", {"a": "b'c$d"}),
        ("a = /x/$domain.$selector.key;", {"a": "/x/$domain.$selector.key"}),
        ("a = ${DBDIR}/dkim/$domain;", {"a": "/var/lib/rspamd/dkim/$domain"}),
        ('a = "$LOCAL_CONFDIR/x"', {"a": "/etc/rspamd/x"}),
        ("a [b, c]\nd = [\n1\n2,\n]", {"a": ["b", "c"], "d": ["1", "2"]}),
        ("a { b { c = 1 } }", {"a": {"b": {"c": "1"}}}),
        ("a b { c = 1 }", {"a": {"b": {"c": "1"}}}),
        ('a "b.c" { e = 1 }', {"a": {"b.c": {"e": "1"}}}),
        ("a = <<EOD\nb;\nc\nEOD;\nd = e", {"a": "b;\nc", "d": "e"}),
        ("/* a /* b */ c */ d = e /* f */", {"d": "e"}),
        ("a = b c d  ;", {"a": "b c d"}),
        ('{"a": [{"b": true, "c": 1.5}], "d": null}', {"a": [{"b": "true", "c": "1.5"}], "d": "null"}),
        ("# only\n", {}),
        ("a = http://x/y;", {"a": "http://x/y"}),
        ("a {}\n;;,b=c", {"a": {}, "b": "c"}),
    ],
)
def test_ucl_is_read(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('.include "x"', 1),
        ("a = 1;\na = 2;", 2),
        ("a = 1;\n.include(try=true) '/x'", 2),
        ("a { b = 1", 1),
        ("a [1", 1),
        ("a = ;\n", 1),
        ("\n\na =", 3),
        ("a = 1 }", 1),
        ('a = "b', 1),
        ('a = "\\q"', 1),
        ("/* a", 1),
        ("a = b\\c", 1),
        ("{} x", 1),
        ("a = b'c", 1),
        ('a = "b" c = d', 1),
        ("= b", 1),
        ("a" + "{a" * 40, 1),
        ("a = " + "[" * 4000, 1),
        ("\x00", 1),
        ("a = <<eod\nb\neod\n", 1),
    ],
)
def test_what_is_not_read_is_an_error_with_its_line(text, line):
    with pytest.raises(ucl.Unclear) as found:
        read(text)
    assert found.value.place == ("x", line)


@given(st.text(st.sampled_from("ab=:;,{}[]\"'\\ \n\t#/*.<$1E"), max_size=40))
def test_any_text_is_read_or_refused(text):
    found = None
    try:
        ucl.parsed(text, "x")
    except ucl.Unclear as error:
        found = error.place
    assert found is None or 1 <= found.line <= text.count("\n") + 1


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
JSON = st.recursive(
    st.one_of(st.booleans(), st.integers(), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=8,
)


def texts(value):
    match value:
        case dict():
            return {name: texts(each) for name, each in value.items()}
        case list():
            return [texts(each) for each in value]
        case str():
            # a variable of rspamd's would be replaced
            return value
    return json.dumps(value)


@given(st.dictionaries(WORDS, JSON, max_size=4))
def test_json_is_ucl(value):
    """rspamadm configdump -j prints it."""
    assert read(json.dumps(value, indent=2)) == texts(value)
    assert read(json.dumps(value, ensure_ascii=False)) == texts(value)


LUA = """
local ucl = require "ucl"
for line in io.lines("%s") do
  local parser = ucl.parser()
  local fine = parser:parse_string((line:gsub("\\1", "\\n")))
  print(fine and ucl.to_format(parser:get_object(), "json-compact") or "wrong")
end
"""
PIECES = st.lists(
    st.sampled_from(
        [
            "a",
            "b ",
            "c1 = ",
            " ",
            "\n",
            "=",
            ": ",
            ";",
            ",",
            " {",
            "}",
            " [",
            "]",
            '"x y"',
            "'z'",
            "#q\n",
            "/*r*/",
            "/p.k",
        ]
    ),
    max_size=12,
).map("".join)


@pytest.mark.skipif(not RSPAMADM, reason="rspamd is not installed")
@pytest.mark.process
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.data_too_large, HealthCheck.too_slow],
    deadline=None,
    max_examples=8,
    # each run of rspamadm takes a moment
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.lists(PIECES, min_size=60, max_size=200))
def test_ucl_is_read_as_rspamd_reads_it(tmp_path, every):
    """What we read, rspamd reads likewise. It may read more."""
    every = [text for text in every if text.strip()]
    (tmp_path / "texts").write_text("".join(text.replace("\n", "\1") + "\n" for text in every))
    (tmp_path / "read.lua").write_text(LUA % (tmp_path / "texts"))
    command = [RSPAMADM, "lua", "-b", str(tmp_path / "read.lua")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    theirs = done.stdout.splitlines()
    assert len(theirs) == len(every), done.stdout + done.stderr
    for text, found in zip(every, theirs, strict=True):
        try:
            mine = read(text)
        except ucl.Unclear:
            continue
        assert found != "wrong", text
        assert mine == texts(json.loads(found) or {}), text


# the module's configuration


@pytest.mark.parametrize("wrapped", ["%s", "dkim_signing {\n%s}\n", "dkim_signing = {%s};"])
def test_domains_with_their_keys(tmp_path, wrapped):
    plan = planned(tmp_path, wrapped % BOTH)
    assert (domains(plan), said(plan)) == ({"example.org": ["rsa", "ed"]}, set())
    algorithms = [copy.key.algorithm for copy in migrate.copies(plan, "/nowhere")]
    assert algorithms == ["rsa-sha256", "ed25519-sha256"]
    assert plan.subdomains


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ONE, {"example.org": ["sel"]}),
        (
            'domain { example.org { selector = "sel"; } }\npath = "%FOLDER%/one.key"; try_fallback = false',
            {"example.org": ["sel"]},
        ),
        (
            'domain { example.org { path = "%FOLDER%/one.key"; } }\nselector = x;\ntry_fallback = no',
            {"example.org": ["x"]},
        ),
        (
            'selector_map = "%FOLDER%/selectors";\npath_map = "file://%FOLDER%/paths";\ntry_fallback = false;',
            {"example.org": ["m"], "example.net": ["n"]},
        ),
        (
            'selector_map = "%FOLDER%/selectors";\npath = "%FOLDER%/one.key";\ntry_fallback = off',
            {"example.org": ["m"], "example.net": ["n"]},
        ),
        ('path_map { example.org = "%FOLDER%/one.key" }\ntry_fallback = false', {"example.org": ["dkim"]}),
        (
            'signing_table = "%FOLDER%/signing";\nkey_table = "%FOLDER%/keys";',
            {"example.org": ["a"], "example.net": ["dkim"]},
        ),
        (
            'signing_table = ["*@example.org one"];\nkey_table = ["one example.org:a:%FOLDER%/one.key"];',
            {"example.org": ["a"]},
        ),
    ],
)
def test_which_domains_sign(tmp_path, text, expected):
    files = {
        "selectors": "example.org m\nexample.net n # x\n",
        "paths": "# us\nexample.org %FOLDER%/one.key\nexample.net\t%FOLDER%/$selector.key\n",
        "n.key": pkcs1(),
        "signing": "*@example.org one\n*@example.net %\n",
        "keys": "one example.org:a:%FOLDER%/one.key\nexample.net %:%FOLDER%/one.key\n",
    }
    plan = planned(tmp_path, text, **files)
    assert (domains(plan), said(plan)) == (expected, set())
    assert len(migrate.copies(plan, "/nowhere")) == len(expected)


def test_a_key_for_every_domain_that_has_one(tmp_path):
    files = {f"d/{name}.dkim.key": pkcs1() for name in ("example.org", "example.net", "a.example.org")}
    plan = planned(tmp_path, 'path = "%FOLDER%/d/$domain.$selector.key";', **files)
    assert domains(plan) == {"example.net": ["dkim"], "example.org": ["dkim"]}
    # rspamd uses the key of the organization
    assert said(plan) == {("warning", "unused", 1)}
    assert ("note", "wildcard", 1) in said(plan, Severity.NOTE)
    plan = planned(tmp_path, 'path = "%FOLDER%/d/$domain.$selector.key"; use_esld = false;', **files)
    assert (len(plan.domains), plan.subdomains, said(plan)) == (3, False, set())


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ('path = "%FOLDER%/one.key"; try_fallback = true;', "wildcard"),
        ('domain { "*" { selector = x; path = "%FOLDER%/one.key" } }', "wildcard"),
        ('domain { example.org { selector = x; path = "one.key" } }', "file"),
        ('selector_map = "https://example.org/map";', "data-set"),
        ('selector_map = "/no/such/file";', "file"),
        ("use_redis = true;", "option"),
        ("use_vault = true;", "option"),
        ("use_domain = envelope; allow_hdrfrom_mismatch = true;", "author"),
        ('use_domain = "recipient";', "author"),
        ("sign_inbound = true;", "option"),
        ("sign_authenticated = false;", "clients"),
        ("allow_hdrfrom_multiple = true;", "option"),
        ("sign_condition = 'return x';", "option"),
        ("allow_user_name_mismatch = true;", "unknown-option"),
        ("enabled = false;", "disabled"),
        ("sign_networks = [mail.example.org];", "clients"),
        ("sign_networks = ['!192.0.2.1'];", "clients"),
        ("domain { a.example.org { path = '%FOLDER%/one.key' } }", "unused"),
        ("signing_table = ['*@example.org one'];\nkey_table = ['one example.org:a:b:c'];", "key"),
        ("signing_table = ['?@example.org one'];\nkey_table = ['one example.org:a:%FOLDER%/one.key'];", "wildcard"),
    ],
)
def test_what_has_no_equivalent_is_named(tmp_path, more, expected):
    base = "" if "try_fallback" in more else "try_fallback = false;\n"
    found = said(planned(tmp_path, base + more))
    assert expected in {code for _, code, _ in found}


@pytest.mark.parametrize("more", ["check_pubkey = true;", "symbol = x;", "use_redis = false;", "sign_inbound = no;"])
def test_what_changes_nothing_is_not_named(tmp_path, more):
    assert said(planned(tmp_path, ONE + more)) == set()


@pytest.mark.parametrize(
    "more", ["use_esld = maybe;", "domain = x;", "domain { a.example = x }", "selector = [a];", "use_esld {}"]
)
def test_values_of_another_kind_are_refused(tmp_path, more):
    with pytest.raises(ucl.Unclear):
        planned(tmp_path, more)


def test_what_has_to_agree_with_the_author(tmp_path):
    assert planned(tmp_path, ONE).believed is Believed.ENVELOPE
    plan = planned(tmp_path, ONE + "allow_hdrfrom_mismatch = true;")
    assert (plan.believed, said(plan)) == (Believed.ANY, set())
    same = planned(tmp_path, ONE + "use_domain = envelope;")
    assert (same.believed, said(same)) == (Believed.ENVELOPE, set())


def test_clients_whose_mail_is_signed(tmp_path):
    plan = planned(tmp_path, ONE + 'sign_networks = "%FOLDER%/networks";', networks="192.0.2.0/24 us\n127.2.4.7\n")
    assert (plan.networks, said(plan)) == ([ip_network("192.0.2.0/24")], set())


def test_the_other_file_of_rspamd_is_named(tmp_path):
    files = {"local.d/dkim_signing.conf": ONE, "override.d/dkim_signing.conf": "use_esld = false;", "one.key": pkcs1()}
    plan = migrate.read(str(laid(tmp_path, files)))
    assert said(plan) == {("warning", "other-file", 0)}


def test_what_is_printed_can_be_used(tmp_path):
    plan = planned(tmp_path, BOTH)
    found = migrated(tmp_path / "dkim_signing.conf", tmp_path)
    assert {domain: each.keys for domain, each in found.sign.domains.items()} == {"example.org": ("rsa", "ed")}
    assert (found.sign.believed, found.sign.subdomains) == (plan.believed, plan.subdomains)


def test_a_dump_of_rspamd_is_read(tmp_path):
    """As rspamadm configdump -j prints it."""
    dump = {"domain": {"example.org": {"selector": "s", "path": f"{tmp_path}/one.key"}}, "try_fallback": False}
    plan = planned(tmp_path, json.dumps(dump, indent=4))
    assert (domains(plan), said(plan)) == ({"example.org": ["s"]}, set())


def test_keys_in_every_form(tmp_path):
    for octets in (pem(), pkcs1(), libsodium(), pem("ed25519")):
        plan = planned(tmp_path, ONE, **{"one.key": octets})
        assert len(migrate.copies(plan, "/nowhere")) == 1
