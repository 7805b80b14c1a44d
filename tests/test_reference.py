"""One source for what is said about the keys: schemas, reference and manual pages are in step with the program."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mailassay import arc, config, dkim, dmarc, iprev, sender_domain, spf
from mailassay.arc import Arc
from mailassay.cli import parser
from mailassay.config import ConfigError, Settings, load, load_policy, reference, schema, shapes
from mailassay.config.document import AnyName, List, Map, Members, Shape, Short, Value
from mailassay.config_key import Key, items
from mailassay.dkim import Dkim
from mailassay.dmarc import Disposition, Dmarc
from mailassay.domain import Domain
from mailassay.evidence import Connection, Evidence, Transaction
from mailassay.iprev import Iprev
from mailassay.judge import logline
from mailassay.judge.outcome import Outcome
from mailassay.limits import Limits
from mailassay.policy import AuthorActions, Policy, Rule, condition
from mailassay.policy.condition import Keys
from mailassay.policy.rule import PLACEHOLDERS
from mailassay.result import Result
from mailassay.sender_domain import Receives, SenderDomain
from mailassay.sign import Sealed, Unsealed, Unsigned
from mailassay.spf import Spf
from mailassay.verdict import Action, Decider, Kind, Verdict
from tests.lab.editor import Core, mistakes
from tools.reference import manual, words
from tools.reference.files import FILES, ROOT

SETTINGS, POLICY = schema.settings(), schema.policy()
CONF, POLICIES = "conf/mailassay.schema.json", "policies/mailassay-policy.schema.json"
SHIPPED = {
    "conf/mailassay.yaml": SETTINGS,
    "conf/start.yaml": SETTINGS,
    "policies/monitor.yaml": POLICY,
    "policies/standard.yaml": POLICY,
    "policies/strict.yaml": POLICY,
}
# where `make install` with PREFIX=/usr, and the Debian package, put them
INSTALLED = {
    "/usr/share/mailassay/mailassay.schema.json": CONF,
    "/usr/share/mailassay/policies/mailassay-policy.schema.json": POLICIES,
}


def test_the_core_schema_is_not_that_of_yaml_1_1() -> None:
    text = "[no, 0660, 2030-12-31, 1:2:3:4:5:6:7:8, 5.7.1, 12, 2.5, true, null]"
    assert yaml.load(text, Core) == ["no", 660, "2030-12-31", "1:2:3:4:5:6:7:8", "5.7.1", 12, 2.5, True, None]


@pytest.mark.parametrize("name", FILES)
def test_what_is_generated_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text() == FILES[name](), "run `make reference`"


@pytest.mark.parametrize("file", [SETTINGS, POLICY], ids=["settings", "policy"])
def test_every_key_has_a_text(file: schema.File) -> None:
    for key in file.keys:
        assert key.text[0].isupper() or key.text[0] == "`"
        assert key.text.endswith(".")
        assert key.text.count("`") % 2 == 0
        # defaults come from the fields
        assert "default" not in key.text


def test_a_field_whose_type_says_too_little_needs_a_shape_by_hand() -> None:
    @dataclasses.dataclass
    class Unbounded:
        size: Annotated[int, Key("Octets.")] = 1

    with pytest.raises(TypeError, match="size"):
        shapes.of(Unbounded)


def test_actions_placeholders_and_limits_are_all_described() -> None:
    assert tuple(reference.ACTIONS) == tuple(Action)
    assert tuple(reference.PLACEHOLDERS) == PLACEHOLDERS
    limits = [key.name.removeprefix("limits.") for key in POLICY.keys if key.name.startswith("limits.")]
    assert limits == [field.name for field in dataclasses.fields(Limits)]


def test_every_key_of_a_condition_is_tested() -> None:
    assert {*items(Keys)} == {*condition._HOLDS, "all", "any", "not"}


def with_defaults(file: schema.File) -> str:
    """A file that says all that is the default anyway."""
    found: dict[str, Any] = {}
    for key in file.keys:
        section, _, name = key.name.rpartition(".")
        if key.default is not schema.NOTHING and section not in ("rules", "dmarc.authors"):
            inner = found
            for each in section.split(".") if section else ():
                inner = inner.setdefault(each, {})
            inner[name] = key.default
    return yaml.safe_dump(found, sort_keys=False)


def test_the_defaults_are_those_of_the_program(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(with_defaults(SETTINGS))
    assert dataclasses.replace(load(str(path)), lines={}) == Settings()
    path.write_text(with_defaults(POLICY))
    assert load_policy(str(path)) == Policy()
    assert not mistakes(SETTINGS, with_defaults(SETTINGS)) + mistakes(POLICY, with_defaults(POLICY))
    for kind in (Rule, AuthorActions):
        of_kind = {field.name: field.default for field in dataclasses.fields(kind)}
        assert not of_kind["monitor"]
        assert not of_kind.get("unsafe")


def test_what_has_a_default_says_so() -> None:
    without = {key.name for key in (*SETTINGS.keys, *POLICY.keys) if key.default is schema.NOTHING}
    sections = {
        "dns",
        "held",
        "history",
        "log",
        "metrics",
        "web",
        "reports",
        "reports.failure",
        "relays",
        "sign",
        "sign.domains",
        "sign.domains.DOMAIN.keys",
        "sign.logins",
        "dmarc",
        "dkim",
        "spf",
        "iprev",
        "sender_domain",
        "tag",
        "limits",
    }
    elements = {name for name in without if name.startswith(("rules.", "dmarc.authors.", "if."))}
    assert without - elements == {*sections, "lists", "dmarc.reject_needs"}


@pytest.mark.parametrize("file", [SETTINGS, POLICY], ids=["settings", "policy"])
def test_a_schema_is_one(file: schema.File) -> None:
    Draft202012Validator.check_schema(file.schema)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_fit_their_schema_and_name_it(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not mistakes(SHIPPED[name], text)
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named
    assert (ROOT / INSTALLED[named[1]]).read_text() == FILES[INSTALLED[named[1]]]()


BAD_SETTINGS = [
    "listen: 8899",
    "listen: tcp:8899@127.0.0.1",
    "socket_mode: rw",
    "socket_group: a b",
    "authserv_id: ''",
    "workers: many",
    "workers: 0",
    "retire_after: sometimes",
    "trusted_networks: 127.0.0.1",
    "trusted_networks: [localhost]",
    "dns: {timeout: 61}",
    "dns: {nameservers: [ns.example]}",
    "dns: {cache: 1}",
    "log: {level: loud}",
    "polcy: policy.yaml",
    "[]",
]
BAD_POLICIES = [
    "mode: test",
    "dmarc: {reject: defer}",
    "dmarc: {quarantine: quarantine}",
    "dmarc: {ambiguous_author: accept}",
    "dmarc: {public_suffixes: 1}",
    "dmarc: {reject_needs: {}}",
    "dmarc: {reject_needs: {spf: [fail, bad]}}",
    "dmarc: {authors: [{reject: hold}]}",
    "dmarc: {authors: {for: a.example}}",
    "dmarc: {trusted_sealers: ['*.example']}",
    "dmarc: {enforce_percent: 101}",
    "dkim: {partial: pass}",
    "spf: {neutral: reject}",
    "iprev: {temperror: reject}",
    "tag: {flag: 'X Spam'}",
    "limits: {signatures: 0}",
    "limits: {signature: 1}",
    "lists: [a]",
    "lists: {a: {b: c}}",
    "rules: {name: a}",
    "rules: [null]",
    "rules: [{name: a, then: reject}]",
    "rules: [{name: a b, if: {spf: fail}, then: reject}]",
    "rules: [{name: a, if: {spf: fail}, then: discard}]",
    "rules: [{name: a, if: {spf: []}, then: reject}]",
    "rules: [{name: a, if: {author: user@a.example}, then: reject}]",
    "rules: [{name: a, if: {client: a.example}, then: reject}]",
    "rules: [{name: a, if: {all: {spf: fail}}, then: reject}]",
    "rules: [{name: a, if: {not: {not: {sfp: fail}}}, then: reject}]",
    "rules: [{name: a, if: {spf: fail}, then: reject, enhanced: 2.0.0}]",
    "rules: [{name: a, if: {spf: fail}, then: tag, headers: {'X Y': a}}]",
    'rules: [{name: a, if: {spf: fail}, then: reject, reply: "a\\nb"}]',
]


@pytest.mark.parametrize(
    ("file", "read", "text"),
    [
        *((SETTINGS, load, each) for each in BAD_SETTINGS),
        *((POLICY, load_policy, each) for each in BAD_POLICIES),
    ],
)
def test_what_is_wrong_both_refuse(file: schema.File, read: Any, text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read(str(path))
    assert mistakes(file, text)


SCALARS = {
    "a socket": ["unix:/run/m.sock", "local:/m", "inet:8899@127.0.0.1", "inet6:8899@::1", "inet:1"],
    "four octal digits": ["0660", '"0660"', "'0777'", "0000"],
    "the name of a group": ["postfix", "_m"],
    "the path of a file": ["missing.yaml"],
    "a domain name or another token": ["mx.example", "MX_1", "mx.bücher.example"],
    "an IP address, with a port or without": ["127.0.0.1", "127.0.0.1:53", "'[::1]:53'", '"::1"', "::1"],
    "a network or an address": ["192.0.2.0/24", '"2001:db8::/32"', "1:2:3:4:5:6:7:8", "192.0.2.1"],
    "a network or a domain": ["192.0.2.0/24", ".a.example", "relay.example"],
    "a domain": ["a.example", ".A.example", "bücher.example", "a.example.", "12", "1.2", "_x.example", "list:l", "no"],
    "characters": ["+", '"-"', "'+-'", '""', "=", "'@'"],
    "a domain or <>": ["<>", "a.example", "'<>'", ".a.example"],
    "an address or a domain": ["a@a.example", "a@", "a.example", ".a.example", '"a b"@a.example', "'*@a.example'"],
    "a name": ["a", "b.1", "12", "2.5", "true", "'no'", "c-d_e"],
    "text": ["why", "12", "'a: b'", "2030-12-31", "false"],
    "a day": ["2030-12-31", "'2000-01-01'"],
    "text with placeholders": ["'{author} {{'", "12", "no thanks", "yes"],
    "a status code": ["5.7.1", "4.7.0", "'5.7.999'"],
    "the name of a header field": ["X-A", "x-b"],
}


def scalar(found: dict[str, Any]) -> st.SearchStrategy[str]:
    """Values as they are written, most of them good."""
    if "enum" in found:
        return st.sampled_from(found["enum"])
    if "title" in found and found["title"] in SCALARS:
        return st.sampled_from([*SCALARS[found["title"]], *SCALARS[found["title"]], "null", "[]"])
    if "const" in found:
        return st.just(found["const"])
    if "anyOf" in found:
        return st.one_of(*map(scalar, found["anyOf"]))
    match found["type"]:
        case "boolean":
            return st.sampled_from(["true", "false", "True", "yes"])
        case "integer":
            return st.integers(found["minimum"], found["maximum"]).map(str)
        case "number":
            return st.floats(0.001, found["maximum"]).map(lambda number: f"{number:.3f}")
        case "null":
            return st.sampled_from(["null", "~", ""])
        case _:
            return st.just("{l: [a.example], k: b.example, 12: []}")


def listed(element: st.SearchStrategy[str], least: int = 0) -> st.SearchStrategy[str]:
    return st.lists(element, min_size=least, max_size=2).map(lambda members: f"[{', '.join(members)}]")


def written(shape: Shape, depth: int = 0) -> st.SearchStrategy[str]:
    """A file, in flow style."""
    match shape:
        case Value():
            return scalar(dict(shape.schema))
        case Members(element):
            one = scalar(dict(element.schema))
            return one | listed(one, 1)
        case List(element):
            return listed(written(element, depth + 1))
        case Short(whole, key):
            return written(whole, depth) | written(whole.keys[key], depth)
        case Map(keys=AnyName()):
            return st.sampled_from(["{}", "{X-A: '{rule}'}", "{X-A: 12}", "null"])
        case _:
            keys = {key: each for key, each in shape.keys.items() if depth < 5 or not isinstance(each, Map | List)}
            needed = shape.schema.get("required", ())
            least = shape.schema.get("minProperties", 0)
            return (
                st.lists(st.sampled_from(list(keys)), min_size=least, max_size=3, unique=True)
                .map(lambda some: dict.fromkeys([*needed, *some]))
                .flatmap(lambda some: st.tuples(*(with_key(key, keys[key], depth) for key in some)))
                .map(lambda pairs: f"{{{', '.join(pairs)}}}")
            )


def with_key(key: str, shape: Shape, depth: int) -> st.SearchStrategy[str]:
    return st.deferred(lambda: written(shape, depth + 1)).map(lambda text: f"{key}: {text}")


def is_read(read: Any, path: Path, text: str) -> bool:
    path.write_text(text)
    try:
        read(str(path))
    except ConfigError:
        return False
    return True


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("schema") / "generated.yaml"


LISTS = "lists: {l: [a.example]}\n"


@given(written(config.policy_file.POLICY))
def test_a_policy_that_is_read_fits_the_schema(path: Path, text: str) -> None:
    if is_read(load_policy, path, text):
        assert not mistakes(POLICY, text)


@given(st.data())
def test_a_rule_that_is_read_fits_the_schema(path: Path, data: st.DataObject) -> None:
    rules = config.policy_file.POLICY.keys["rules"]
    assert isinstance(rules, List)
    text = f"{LISTS}rules: [{data.draw(written(rules.element))}]"
    if is_read(load_policy, path, text):
        assert not mistakes(POLICY, text)


@given(written(config.settings.SETTINGS))
def test_settings_that_are_read_fit_the_schema(path: Path, text: str) -> None:
    if is_read(load, path, text):
        assert not mistakes(SETTINGS, text)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("man/")])
@pytest.mark.parametrize("command", [["groff", "-man", "-Tutf8", "-ww"], ["mandoc", "-Tlint"]], ids=["groff", "mandoc"])
def test_manual_pages_are_well_formed(name: str, command: list[str]) -> None:
    if not shutil.which(command[0]):
        pytest.skip(reason=f"{command[0]} is not installed (Debian package of that name)")
    done = subprocess.run([*command, ROOT / name], capture_output=True, text=True, check=False)
    complaints = done.stderr if command[0] == "groff" else done.stdout
    assert (done.returncode, complaints) == (0, "")


def test_the_manual_has_every_command_and_option() -> None:
    page = manual.program().replace("\\-", "-")
    for command in manual._commands(parser()):
        assert f'.SS "{command.prog}"' in page
        for action in command._actions:
            assert all(option in page for option in action.option_strings if option not in ("-h", "--help"))


@pytest.mark.parametrize(
    "command",
    [
        line.rpartition("| ")[2].partition(" &&")[0]
        for text in manual.EXAMPLES.values()
        for line in text.replace("\\\n", "").splitlines()
    ],
)
def test_the_commands_of_the_manual_are_understood(command: str) -> None:
    program, *arguments = command.split()
    assert program == "mailassay"
    assert parser().parse_args(arguments)


def test_the_files_of_the_manual_are_good(tmp_path: Path) -> None:
    (tmp_path / "partners.txt").write_text("other.example\n")
    for name, text, file, read in (
        ("policy.yaml", manual.POLICY, POLICY, load_policy),
        ("mailassay.yaml", manual.SETTINGS, SETTINGS, load),
    ):
        (tmp_path / name).write_text(text)
        read(str(tmp_path / name))
        assert not mistakes(file, text)


def full() -> Outcome:
    """An outcome that has everything the log can say of one message."""
    domain = Domain("a.example")
    found = Dmarc(
        Result.FAIL,
        domain,
        Disposition.REJECT,
        found_at=domain,
        public_suffix=Domain("example"),
        at_stake=Disposition.REJECT,
        reason="why",
        readings=(Dmarc(Result.FAIL, domain),),
        fault=dmarc.Fault.AUTHOR,
    )
    evidence = Evidence(
        iprev=Iprev(Result.FAIL, ip_address("192.0.2.1"), "mx.a.example", fault=iprev.Fault.UNCONFIRMED),
        spf_helo=Spf(Result.NONE, "helo", "mx.a.example", fault=spf.Fault.NO_RECORD),
        spf_mail_from=Spf(Result.PERMERROR, "mailfrom", "a.example", limit="dns_questions", fault=spf.Fault.LIMIT),
        dkim=(Dkim(Result.FAIL, domain, fault=dkim.Fault.BODY),),
        arc=Arc(Result.FAIL, fault=arc.Fault.SEAL),
        dmarc=found,
        sender_domain=SenderDomain(Receives.NO_MAIL, domain, fault=sender_domain.Fault.NO_HOST),
        not_vouched=arc.Doubted(arc.Doubt.EXPIRED, "why"),
    )
    verdict = Verdict(
        Action.HOLD, Decider(Kind.SETTING, "dmarc.reject"), "why", would=Action.REJECT, monitored=("rules.a:reject",)
    )
    relay = ip_address("192.0.2.50")
    connection = Connection(ip_address("192.0.2.1"), via=(relay,), untraced="no message has both")
    return Outcome(
        verdict=verdict,
        transaction=Transaction(),
        connection=connection,
        evidence=evidence,
        queue_id="4C1",
        seconds=0.1,
        signed_by=("a.example/s",),
        unsigned=Unsigned.DOMAIN,
        seal=Sealed((), "a.example/s", 1, Result.NONE, Unsealed.DNS),
    )


def test_the_manual_has_every_key_of_the_log_line() -> None:
    line = logline.Line(full())
    assert [each.partition("=")[0] for each in shlex.split(str(line))] == list(words.LOG_LINE)
    # in JSON each signature has its own
    assert list(line.facts) == [key for key in words.LOG_LINE if key != "dkim_why"]


def test_the_manual_has_every_exit_status() -> None:
    package = "".join(path.read_text() for path in (ROOT / "milter/mailassay").rglob("*.py"))
    used = {str(getattr(os, name)) for name in set(re.findall(r"os\.(EX_[A-Z]+)", package))}
    assert used <= set(words.EXIT_STATUS)
    for name in set(re.findall(r"os\.(EX_[A-Z]+)", package)) - {"EX_OK"}:
        assert f"({name})" in words.EXIT_STATUS[str(getattr(os, name))]
