"""Migration from opendkim: what its files say, by the real opendkim where that can be asked, and what becomes of it."""

import re
import shutil
import subprocess
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mailassay import migrate
from mailassay.config import load
from mailassay.finding import Severity
from mailassay.migrate.data_set import opened
from mailassay.migrate.opendkim_file import Setting
from mailassay.migrate.opendkim_options import OPTIONS, Fate
from mailassay.migrate.remark import Place
from mailassay.sign import Believed
from tests.lab.migrating import domains, laid, migrated, pkcs1, said
from tests.lab.signing import pem

OPENDKIM = shutil.which("opendkim", path="/usr/sbin:/usr/bin")
needs_opendkim = pytest.mark.skipif(not OPENDKIM, reason="opendkim is not installed")
ONE = """\
Mode sv
Domain example.org
Selector sel
KeyFile %FOLDER%/sel.private
"""
TABLES = """\
KeyTable %FOLDER%/keys
SigningTable refile:%FOLDER%/signing
"""


def planned(folder, files):
    return migrate.read(str(laid(folder, files)))


def one(folder, more="", **files):
    return planned(folder, {"opendkim.conf": ONE + more, "sel.private": pkcs1(), **files})


def tables(folder, signing, keys="one example.org:sel:%FOLDER%/one.private\n", more="", kind="refile"):
    config = TABLES.replace("refile", kind) + more
    return planned(folder, {"opendkim.conf": config, "signing": signing, "keys": keys, "one.private": pkcs1()})


def takes(folder):
    """Does opendkim take the configuration?"""
    path = folder / "opendkim.conf"
    path.write_text(f"{path.read_text()}\nRequireSafeKeys no\nSocket local:{folder}/socket\n")
    command = [OPENDKIM, "-n", "-x", path]
    return not subprocess.run(command, capture_output=True, timeout=60).returncode


# the file


def test_one_domain(tmp_path):
    plan = one(tmp_path)
    assert (domains(plan), said(plan)) == ({"example.org": ["sel"]}, set())
    assert (plan.subdomains, plan.believed) == (False, Believed.ENVELOPE)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Domain a.example,b.example", ["a.example", "b.example"]),
        ("domain\tA.example ,  b.example # and no other", ["a.example", "b.example"]),
        ("Domain csl:a.example", ["a.example"]),
        ("Domain %FOLDER%/domains", ["a.example", "c.example"]),
        ("Domain file:%FOLDER%/domains", ["a.example", "c.example"]),
        ("Domain refile:%FOLDER%/domains", ["a.example", "c.example"]),
        ("Domain x.example\nDomain a.example", ["a.example"]),
        ("Include %FOLDER%/other", ["m.example"]),
        ("Domain a.example\r", ["a.example"]),
        ("Domain bücher.example", ["xn--bcher-kva.example"]),
    ],
)
def test_the_domains_of_a_list(tmp_path, line, expected):
    more = {"domains": "# of us\na.example\n\nc.example  # x\n", "other": "Domain m.example\n"}
    plan = one(tmp_path, f"{line}\n", **more)
    assert (list(plan.domains), said(plan)) == (expected, set())
    if OPENDKIM:
        assert takes(tmp_path)


def test_subdomains(tmp_path):
    assert one(tmp_path, "SubDomains yes\n").subdomains
    assert not one(tmp_path, "SubDomains no\n").subdomains


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("Domain *\n", ("warning", "wildcard", 5)),
        ("Domain example\n", ("warning", "domain", 5)),
        ("Selector a_\n", ("warning", "selector", 2)),
        ("Domain dsn:mysql://a:b@c/d/table=e\n", ("warning", "data-set", 5)),
        ("Domain ldap://ldap.example/dc=x\n", ("warning", "data-set", 5)),
        ("Domain /a.db\n", ("warning", "data-set", 5)),
        ("Domain x:y\n", ("error", "data-set", 5)),
        ("Domain /no/such/file\n", ("error", "file", 5)),
        ("Domain /tmp\n", ("error", "file", 5)),
        ("Domain file:relative\n", ("error", "file", 5)),
        ("KeyFile relative.private\n", ("error", "file", 5)),
        ("Include relative.conf\n", ("error", "file", 5)),
        ("Include /no/such/file\n", ("error", "file", 5)),
        ("Include %FOLDER%/opendkim.conf\n", ("error", "file", 5)),
        ("Mode v\n", ("warning", "disabled", 5)),
        ("SenderHeaders Sender,From\n", ("warning", "author", 5)),
        ("Mood sv\n", ("warning", "unknown-option", 5)),
        ("Selector\n", ("error", "option", 5)),
        ("BodyLengthDB %FOLDER%/x\n", ("warning", "option", 5)),
        ("SetupPolicyScript /x.lua\n", ("warning", "option", 5)),
        ("Diagnostics yes\n", ("warning", "option", 5)),
        ("PeerList 192.0.2.1\n", ("warning", "clients", 5)),
        ("MacroList daemon_name|ORIGINATING\n", ("warning", "clients", 5)),
        ("InternalHosts mail.example.org\n", ("warning", "clients", 5)),
        ("InternalHosts 192.0.2.0/24,!192.0.2.1\n", ("warning", "clients", 5)),
        ("InternalHosts 0.0.0.0/0\n", ("warning", "clients", 5)),
        ("InternalHosts 192.0.2.0/33\n", ("error", "clients", 5)),
        ("InternalHosts lua:/x\n", ("warning", "data-set", 5)),
        ("SigningTable %FOLDER%/x\n", ("error", "data-set", 5)),
    ],
)
def test_what_has_no_equivalent_is_named(tmp_path, more, expected):
    found = one(tmp_path, more)
    assert expected in {(severity, code, min(line, 5)) for severity, code, line in said(found)} or expected in said(
        found
    )


@pytest.mark.parametrize(
    "more",
    ["Diagnostics no\n", "OversignHeaders From\n", "SenderHeaders From\n", "On-BadSignature reject\n", "LogWhy yes\n"],
)
def test_what_changes_nothing_is_not_named(tmp_path, more):
    assert said(one(tmp_path, more), Severity.ERROR, Severity.WARNING, Severity.NOTE) == set()


def test_a_relative_path_begins_at_the_base_directory(tmp_path):
    plan = one(tmp_path, "KeyFile ./sel.private\nBaseDirectory %FOLDER%\n")
    assert said(plan) == set()
    assert not migrate.copies(plan, "/nowhere")[0].use.source.octets


def test_files_that_include_each_other_come_to_an_end(tmp_path):
    plan = one(tmp_path, "Include %FOLDER%/a\n", a="Include %FOLDER%/a\n" * 1000)
    assert domains(plan) == {"example.org": ["sel"]}
    assert {code for _, code, _ in said(plan)} == {"file"}


def test_every_option_has_its_fate():
    """Those of the manual; test_docs compares docs/migration.md with it too."""
    man = shutil.which("man") or pytest.skip(reason="man(1) is not installed")
    environment = {"MANWIDTH": "100", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([man, "5", "opendkim.conf"], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        pytest.skip(reason="opendkim.conf(5) is not installed")
    text = re.sub(".\b", "", done.stdout)
    named = set(re.findall(r"^ {7}((?!Copyright)[A-Z][\w-]+) \([a-zB]", text, re.MULTILINE))
    assert named == {each.name for each in OPTIONS.values()}
    assert all(bool(each.words) == (each.fate in (Fate.DIFFERS, Fate.WITHOUT)) for each in OPTIONS.values())


# tables


@pytest.mark.parametrize("kind", ["file", "refile"])
def test_a_line_for_a_domain(tmp_path, kind):
    plan = tables(tmp_path, "*@example.org one\n" if kind == "refile" else "example.org one\n", kind=kind)
    assert (domains(plan), said(plan), plan.subdomains) == ({"example.org": ["sel"]}, set(), False)


SEVERAL = "one example.org:a:%FOLDER%/one.private\ntwo example.org:b:%FOLDER%/one.private\n"


def test_the_first_line_counts_unless_there_may_be_several(tmp_path):
    lines = "*@example.org one\n*@example.org two\n"
    plan = tables(tmp_path, lines, SEVERAL)
    assert (domains(plan), said(plan)) == ({"example.org": ["a"]}, set())
    assert ("note", "unused", 2) in said(plan, Severity.NOTE)
    assert domains(tables(tmp_path, lines, SEVERAL, "MultipleSignatures yes\n")) == {"example.org": ["a", "b"]}


@pytest.mark.parametrize(
    ("kind", "lines", "subdomains", "remarks"),
    [
        ("file", "example.org one\n.example.org one\n", True, set()),
        ("refile", "*@example.org one\n*@*.example.org one\n", True, set()),
        ("refile", "*@example.org one\n*@a.example.org one\n", False, {("warning", "subdomains", 2)}),
        ("file", ".example.org one\n", False, {("warning", "subdomains", 1)}),
        ("file", "example.org one\n.example.org two\n", False, {("warning", "subdomains", 2)}),
        ("file", "example.org one\nexample.net net\n.example.org one\n", False, {("warning", "subdomains", 3)}),
        ("file", "example.org one\nann@example.org one\n", False, set()),
        ("file", "example.org one\nann@example.org two\n", False, {("warning", "address", 2)}),
        ("refile", "ann@example.org two\n*@example.org one\n", False, {("warning", "address", 1)}),
        ("refile", "ann*@example.org two\n*@example.org one\n", False, {("warning", "address", 1)}),
        ("file", "example.org one\nother.example one\n", False, {("warning", "foreign-domain", 2)}),
        ("file", "example.org one\n* one\n", True, {("warning", "wildcard", 2)}),
        ("refile", "*@example.org one\n* one\n", True, {("warning", "wildcard", 2)}),
        ("refile", "*@*.example one\n", False, {("warning", "wildcard", 1)}),
        ("file", "example.org one\n*@example.net net\n", False, {("warning", "unused", 2)}),
        ("refile", "*@example.org one\nexample.net net\n", False, {("warning", "unused", 2)}),
        ("refile", "*@example.org one\n*@(a|b).example net\n", False, {("warning", "data-set", 2)}),
        ("file", "example.org gone\n", False, {("error", "key", 1)}),
        ("file", "example.org one:ann@example.org\n", False, set()),
        (
            "refile",
            "*@a.example.org none\n*@example.org one\n*@*.example.org one\n",
            False,
            {("error", "key", 1), ("warning", "subdomains", 1), ("warning", "subdomains", 3)},
        ),
        (
            "file",
            "a.example.org net\nexample.org one\n.example.org one\n",
            False,
            {("warning", "foreign-domain", 1), ("warning", "subdomains", 1), ("warning", "subdomains", 3)},
        ),
        ("refile", "*@*example.org one\n", True, {("warning", "wildcard", 1)}),
    ],
)
def test_what_a_line_does(tmp_path, kind, lines, subdomains, remarks):
    keys = SEVERAL + "net example.net:n:%FOLDER%/one.private\n"
    plan = tables(tmp_path, lines, keys, kind=kind)
    assert (plan.subdomains, said(plan)) == (subdomains, remarks)
    if lines.startswith(("example.org one", "*@example.org one")):
        assert domains(plan)["example.org"] == ["a"]


@pytest.mark.parametrize(
    "line",
    [
        "*@a.example.org none",
        "*@A.Example.org none",
        "*@*.a.example.org none",
        "*@*a.example.org none",
        "*@a.*.org none",
        "*@*z*.org none",
        "ann@a.example.org none",
        "ann@*.example.org two",
        "*@a.b.example.org two",
        "*@a.example.org net",
    ],
)
def test_a_line_about_names_below_keeps_the_others_unsigned(tmp_path, line):
    keys = SEVERAL + "net example.net:n:%FOLDER%/one.private\n"
    plan = tables(tmp_path, f"{line}\n*@example.org one\n*@*.example.org one\n", keys)
    assert (plan.subdomains, "example.org" in plan.domains) == (False, True)
    assert ("warning", "subdomains", 1) in said(plan)
    assert any("is unsigned" in each.what for each in plan.remarks)


@pytest.mark.parametrize(
    "lines",
    [
        "*@example.org one\n*@*.example.org one\n*@a.example.org none\n",
        "*@a.example none\n*@example.org one\n*@*.example.org one\n",
        "*@a.example.org one\n*@example.org one\n*@*.example.org one\n",
    ],
)
def test_a_line_that_decides_nothing_about_names_below_changes_nothing(tmp_path, lines):
    assert tables(tmp_path, lines, SEVERAL).subdomains


@pytest.mark.parametrize(
    ("value", "left", "subdomains"),
    [
        ("a.example.org", ["example.org"], False),
        ("A.Example.org,b.example", ["example.org"], False),
        ("refile:%FOLDER%/exempt", ["example.org"], False),
        ("/no/such/file", ["example.org"], False),
        ("lua:/x", ["example.org"], False),
        ("b.example,notexample.org", ["example.org"], True),
        ("example.org", [], True),
    ],
)
def test_domains_that_are_exempt(tmp_path, value, left, subdomains):
    more = f"SubDomains yes\nExemptDomains {value}\n"
    plan = one(tmp_path, more, exempt="*.example.org\n")
    assert (list(plan.domains), plan.subdomains) == (left, subdomains)
    if value != "b.example,notexample.org":
        assert "subdomains" in {code for _, code, _ in said(plan)}
    assert one(tmp_path, more.replace("yes", "no"), exempt="*.example.org\n").subdomains is False


def test_an_exempt_domain_of_a_table(tmp_path):
    lines = "*@example.org one\n*@*.example.org one\n*@example.net net\n"
    keys = SEVERAL + "net example.net:n:%FOLDER%/one.private\n"
    assert list(tables(tmp_path, lines, keys, "ExemptDomains example.net\n").domains) == ["example.org"]
    assert not tables(tmp_path, lines.rsplit("*@", 1)[0], keys, "ExemptDomains a.example.org\n").subdomains


def test_a_key_for_every_domain_that_has_one(tmp_path):
    keys = "one %:sel:%FOLDER%/keys.d/%.private\n"
    files = {f"keys.d/{name}.private": pkcs1() for name in ("a.example", "b.example", "not a domain")}
    config = {"opendkim.conf": TABLES, "signing": "* one\n", "keys": keys}
    plan = planned(tmp_path, {**config, **files})
    assert (domains(plan), said(plan)) == ({"a.example": ["sel"], "b.example": ["sel"]}, set())
    assert ("note", "wildcard", 1) in said(plan, Severity.NOTE)


def test_a_key_by_the_name_of_the_domain(tmp_path):
    keys = "example.org %:sel:%FOLDER%/one.private\nexample.net example.net:x:%FOLDER%/one.private\nx a:b\n"
    plan = tables(tmp_path, "* %\n", keys, kind="file")
    assert domains(plan) == {"example.org": ["sel"], "example.net": ["x"]}
    assert said(plan) == {("error", "key", 3)}


def test_a_key_in_the_table(tmp_path):
    octets = "".join(pkcs1().decode().splitlines()[1:-1])
    plan = tables(tmp_path, "*@example.org one\n", f"one example.org:sel:{octets}\n")
    [copy] = migrate.copies(plan, str(tmp_path / "keys"))
    assert said(plan) == set()
    assert copy.key.algorithm == "rsa-sha256"
    assert octets[:40] not in repr(plan) + repr(copy)


def test_a_path_below_another_root(tmp_path):
    plan = tables(
        tmp_path, "*@example.org one\n", "one example.org:sel:/one.private\n", "ChangeRootDirectory %FOLDER%/\n"
    )
    assert [str(copy.use.source) for copy in migrate.copies(plan, "/nowhere")] == [f"{tmp_path}/one.private"]


def test_two_keys_with_one_selector(tmp_path):
    keys = "one example.org:a:%FOLDER%/one.private\ntwo example.org:a:%FOLDER%/two.private\n"
    plan = tables(tmp_path, "*@example.org one\n*@example.org two\n", keys, "MultipleSignatures yes\n")
    assert said(plan) == {("error", "key", 2)}


def test_clients_whose_mail_is_signed(tmp_path):
    hosts = "127.0.0.1\nlocalhost\n::1\n[2001:db8::]/32\n192.0.2.7\n192.0.2.0/26\n10.1.2.3/8\n::ffff:198.51.100.1\n"
    plan = one(tmp_path, "InternalHosts %FOLDER%/TrustedHosts\n", TrustedHosts=hosts)
    assert plan.networks == [
        ip_network(each) for each in ("2001:db8::/32", "192.0.2.7/32", "192.0.2.0/26", "198.51.100.1/32")
    ]
    assert said(plan) == set()
    assert said(plan, Severity.NOTE) == {("note", "clients", 7)}


# what is printed


def test_what_is_printed_can_be_used(tmp_path):
    keys = "one example.org:null:%FOLDER%/one.private\nnet example.net:2026-01-01:%FOLDER%/one.private\n"
    more = "InternalHosts 192.0.2.0/24,198.51.100.1\n"
    tables(tmp_path, "*@example.org one\n*@example.net net\n", keys, more)
    found = migrated(tmp_path / "opendkim.conf", tmp_path)
    assert {domain: each.keys for domain, each in found.sign.domains.items()} == {
        "example.org": ("null",),
        "example.net": ("2026-01-01",),
    }
    text = (tmp_path / "mailassay.yaml").read_text()
    [proposal] = re.findall("^# (trusted_networks: .*)$", text, re.MULTILINE)
    (tmp_path / "trusted.yaml").write_text(proposal)
    trusted = load(str(tmp_path / "trusted.yaml")).trusted_networks
    assert [str(each) for each in trusted] == ["127.0.0.0/8", "::1/128", "192.0.2.0/24", "198.51.100.1/32"]


LABELS = st.text(st.sampled_from("ab01-_.%*@ \t#\n:/é\"'\\{}"), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(LABELS, LABELS, LABELS, LABELS)
def test_whatever_comes_out_can_be_used(tmp_path, domain, selector, pattern, line):
    """Foreign text gets into the file as a value or a comment, never as anything else."""
    name = "odd\u202e\x85'\"#.private"
    keys = f"one {domain}:{selector}:%FOLDER%/{name}\ntwo example.org:a:%FOLDER%/{name}\n{line}\n"
    signing = f"*@{domain} one\n{pattern} one\n*@example.org two\n"
    config = TABLES + "MultipleSignatures yes\n"
    plan = planned(tmp_path, {"opendkim.conf": config, "signing": signing, "keys": keys, name: pem("rsa1024")})
    directory = f"{tmp_path}/keys \"'#"
    taken = migrate.copies(plan, directory)
    list(migrate.write(taken, directory))
    (tmp_path / "mailassay.yaml").write_text("\n".join(migrate.lines(plan, directory)) + "\n")
    if plan.domains:
        found = load(str(tmp_path / "mailassay.yaml"), keys=True)
        assert {each: list(of.keys) for each, of in found.sign.domains.items()} == domains(plan)
        assert found.sign.directory == directory
    shutil.rmtree(directory, ignore_errors=True)


# the real opendkim


def asked(data_set, query):
    """What opendkim finds in a data set; None if it finds nothing."""
    done = subprocess.run(
        [OPENDKIM, "-Q"], input=f"{data_set}\n{query}/1\n".encode(), capture_output=True, check=False, timeout=60
    )
    found = re.fullmatch(rb"'(.*)'\n\n", done.stdout, re.DOTALL)
    if b"returned -1" in done.stderr:
        # there is such a line, without a value
        return ""
    return found[1].decode() if found else None


def ours(data_set, query):
    setting = Setting(data_set, Place("x"))
    found, _ = opened("KeyTable", setting, EMPTY)
    entry = found.first(query, fold=False) if found else None
    return entry.value if entry else None


class Empty:
    """A configuration without a setting."""

    @staticmethod
    def absolute(path):
        return path if path.startswith("/") else None


EMPTY = Empty()
KEYS = st.sampled_from(["a", "b", "a@b.c", "*@b.c", "*", "a*", ".b.c", "A", "a+b", "*@*.c", "#x", "a#b"])
BLANK = st.sampled_from(["", " ", "\t", "  ", "\r"])
LINES = st.lists(
    st.tuples(BLANK, KEYS, st.sampled_from([" ", "\t", "  \t", ""]), st.sampled_from(["v", "w:x", "v w", ""]), BLANK),
    max_size=5,
)


@needs_opendkim
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.sampled_from(["file", "refile"]), LINES, st.sampled_from(["a", "a@b.c", "x@y.b.c", "a+b", "A", "*", ".b.c"]))
@example("refile", [("", "a*", " ", "v", "")], "A")
@example("refile", [("", "*@b.c", " ", "v", "")], "a@B.c")
def test_a_data_set_is_read_as_opendkim_reads_it(tmp_path, kind, lines, query):
    (tmp_path / "table").write_text("".join("".join(line) + "\n" for line in lines), newline="")
    name = f"{kind}:{tmp_path}/table"
    assert ours(name, query) == asked(name, query)


@needs_opendkim
@pytest.mark.parametrize("data_set", ["csl:a=b,c=d", "a=b,c", " a = b , c = d", "a,c=d:e", "csl: a=b", "c=d=e,a=b"])
@pytest.mark.parametrize("query", ["a", "c", "b"])
def test_a_list_is_read_as_opendkim_reads_it(data_set, query):
    assert ours(data_set, query) == asked(data_set, query)
