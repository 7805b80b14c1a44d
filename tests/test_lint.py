"""What `config check` says: every error with its line, and what can be used and is hardly meant."""

import json
from datetime import UTC, datetime

import pytest

from mailassay.cli import main
from mailassay.config import load, warnings
from mailassay.finding import Severity

NOW = datetime(2026, 6, 30, tzinfo=UTC).timestamp()


def found(folder, policy, settings=""):
    """(file, line, message) of each warning."""
    (folder / "policy.yaml").write_text(policy)
    path = folder / "mailassay.yaml"
    path.write_text(f"policy: policy.yaml\n{settings}\nrecipient_delimiter: '+'\n")
    odd = warnings(load(str(path)), str(path), NOW, {"mx", "mx.receiver.example"})
    assert all(each.severity is Severity.WARNING and ": warning: " in str(each) for each in odd)
    return [(each.path.removeprefix(f"{folder}/"), each.line, each.message) for each in odd]


@pytest.mark.parametrize(
    ("policy", "line", "message"),
    [
        ("rules:\n  - {name: a, if: {spf: fail}, then: hold, expires: 2026-06-29}", 2, "rule a expired on 2026-06-29"),
        ("rules:\n  - {name: a, if: {all: [{dmarc: pass}, {dmarc: fail}]}, then: hold}", 2, "rule a can never apply"),
        ("rules:\n  - {name: a, if: {dmarc: permerror, policy: reject}, then: hold}", 2, "rule a can never apply"),
        (
            "rules:\n  - {name: a, if: {any: [{spf: pass, all: [{spf: fail}]}]}, then: hold}",
            2,
            "rule a can never apply",
        ),
        *(
            (f"rules: [{{name: a, if: {{{condition}}}, then: hold}}]", 1, "rule a can never apply")
            for condition in [
                "spf: fail, not: {spf: [fail, softfail]}",
                "spf_pass: a.example, spf: fail",
                "client_name: a.example, iprev: [fail, permerror]",
                "dkim_pass: a.example, dkim: none",
                "sealer: a.example, arc: none",
                "dmarc: pass, spf: fail, dkim: [none, fail]",
                *(
                    f"{key}: a.example, not: {{{key}: .example}}"
                    for key in ("author", "mail_from", "client_name", "helo", "spf_pass", "dkim_pass", "sealer")
                ),
                "policy: reject, dmarc: none",
                "policy_tag: p, dmarc: none",
                "sender_domain: null_mx, not: {sender_domain: null_mx}",
                "all: [{sender_domain: null_mx}, {sender_domain: no_mail}]",
                "all: [{author: a.example}, {author: [b.example, .a.example.org]}]",
                "client: 10.1.0.0/16, not: {client: [10.1.0.0/17, 10.1.128.0/17]}",
                "all: [{client: 10.0.0.0/8}, {client: 192.0.2.1}]",
                "mail_from: <>, not: {mail_from: [<>, a.example]}",
                "spf_pass: a.example, not: {spf_pass: a.example}",
                "dkim_pass: a.example, not: {dkim_pass: .a.example}",
                "any: [{spf: fail}, {spf: softfail}], not: {any: [{spf: softfail}, {spf: fail}]}",
                "policy: reject, dmarc: none",
                "not: {any: [{dmarc: [pass, fail]}, {dmarc: [none, temperror, permerror]}]}",
            ]
        ),
        (
            "rules:\n  - {name: a, if: {spf: fail}, then: hold}\n  - {name: b, if: {spf: fail}, then: reject}",
            3,
            "rule b is never reached: a on line 2 says the same first",
        ),
        (
            "rules:\n  - {name: a, if: {spf: pass}, then: tag, unsafe: true, comment: why}",
            2,
            "rule a lets in mail from anybody",
        ),
        *(
            (
                f"rules: [{{name: a, if: {{spf: fail}}, then: reject, reply: '{reply}'}}]",
                1,
                f"rule a: reply begins with the code `{code}`",
            )
            for reply, code in [
                ("550 5.7.1 go away", "550 5.7.1"),
                ("554-go away", "554-"),
                ("451 later", "451"),
                (" 5.7.1 go away", "5.7.1"),
                ("550", "550"),
            ]
        ),
        *(
            (
                f"rules:\n  - {{name: a, if: {{{first}}}, then: accept}}\n"
                f"  - {{name: b, if: {{{second}}}, then: reject}}",
                3,
                "rule b is never reached: a on line 2 applies wherever it would",
            )
            for first, second in [
                ("client: 10.0.0.0/8", "client: [10.1.0.0/16, 10.2.0.1]"),
                ("client: 10.0.0.0/8", "client: 10.0.0.1, spf: fail"),
                ("spf_pass: .a.example", "spf_pass: b.a.example"),
                ("any: [{client: 10.0.0.0/8}, {client: 192.0.2.0/24}]", "client: 192.0.2.1"),
                ("author: .a.example, dkim_pass: a.example", "author: b.a.example, dkim_pass: a.example"),
                ("dmarc: pass", "dmarc: pass, policy: reject"),
            ]
        ),
        *(
            (
                f"{lines}\nrules: [{{name: a, if: {{{condition}}}, then: {action}}}]",
                2,
                f"rule a decides for {action} wherever {key}",
            )
            for lines, condition, action, key in [
                ("dmarc: {}", "dmarc: fail, policy: reject", "hold", "dmarc.reject would reject"),
                ("dmarc: {}", "dmarc: [pass, fail], policy: reject", "hold", "dmarc.reject would reject"),
                ("dmarc: {none: hold}", "dmarc: fail, policy: none", "tag", "dmarc.none would hold"),
                (
                    "dmarc: {authors: [{for: .a.example, none: reject}]}",
                    "dmarc: fail, policy: none",
                    "tag",
                    "dmarc.authors.none for .a.example would reject",
                ),
                (
                    "dmarc: {authors: [{for: .a.example, unpublished: reject}]}",
                    "dmarc: [none, permerror]",
                    "hold",
                    "dmarc.authors.unpublished for .a.example would reject",
                ),
                (
                    "dmarc: {authors: [{for: b.a.example}, {for: .a.example, none: reject}]}",
                    "author: .a.example, not: {author: b.a.example}, policy: none, dmarc: fail",
                    "tag",
                    "dmarc.authors.none for .a.example would reject",
                ),
                ("spf: {fail: reject}", "spf: [fail, softfail]", "hold", "spf.fail would reject"),
                ("iprev: {fail: reject}", "iprev: fail", "hold", "iprev.fail would reject"),
                ("sender_domain: {null_mx: reject}", "sender_domain: null_mx", "hold", "sender_domain.null_mx would"),
                (
                    "dmarc: {reject_needs: {spf: fail}}",
                    "dmarc: fail, spf: fail, policy: reject",
                    "hold",
                    "dmarc.reject would reject",
                ),
            ]
        ),
        ("mode: enforce\nlists:\n  friends: [a.example]", 3, "list `friends` is used nowhere"),
        (
            "lists:\n  no: []\nrules: [{name: a, if: {not: {author: list:no}}, then: reject}]",
            2,
            "list `no` is empty",
        ),
        ("rules: [{name: a, if: {dmarc: temperror, policy: reject}, then: hold}]", 1, "rule a can never apply"),
        ("dmarc:\n  reject_needs: {spf: fail, spf_pass: a.example}", 2, "dmarc.reject_needs can never hold"),
        ("dmarc:\n  reject_needs: {dmarc: [pass, none]}", 2, "dmarc.reject_needs can never hold"),
        (
            "dmarc:\n  authors: [{for: a.example, monitor: true}]",
            2,
            "dmarc.authors: mail that fails for a.example comes in",
        ),
    ],
)
def test_odd_policies(tmp_path, policy, line, message):
    ((file, where, text),) = found(tmp_path, policy)
    assert (file, where) == ("policy.yaml", line)
    assert message in text


@pytest.mark.parametrize(
    ("policy", "settings", "place"),
    [
        ("dmarc:\n  authors:\n  - for: a.example\n    none: hold\n  - {for: b.example, monitor: true}", "", (5, 5)),
        ("dmarc:\n  trusted_forwarders: [192.0.2.1]", "relays: [192.0.2.1]", (2, 3)),
        ("{}", "dns:\n  timeout: 1\n  nameservers: [192.0.2.1]", (4, 3)),
    ],
)
def test_a_warning_points_to_what_it_is_about(tmp_path, policy, settings, place):
    (tmp_path / "policy.yaml").write_text(policy)
    path = tmp_path / "mailassay.yaml"
    path.write_text(f"policy: policy.yaml\n{settings}\nrecipient_delimiter: '+'\n")
    (odd,) = warnings(load(str(path)), str(path), NOW, {"mx"})
    assert (odd.line, odd.column) == place


@pytest.mark.parametrize(
    "policy",
    [
        "mode: enforce",
        "rules: [{name: a, if: {spf: fail}, then: hold, expires: 2026-06-30}]",
        "rules: [{name: a, if: {dmarc: [pass, fail], policy: reject}, then: reject}]",
        "rules: [{name: a, if: {dmarc: fail, policy: reject, client: 10.0.0.0/8}, then: hold}]",
        "rules: [{name: a, if: {dmarc: fail, policy: none}, then: tag}]",
        "dmarc: {none: reject}\nrules: [{name: a, if: {dmarc: fail, policy: none}, then: tag, monitor: true}]",
        "dmarc: {none: reject}\n"
        "rules: [{name: a, if: {dmarc: fail, policy: none, not: {author: .a.example}}, then: tag}]",
        "rules: [{name: a, if: {spf: fail}, then: hold, monitor: true}, {name: b, if: {spf: fail}, then: hold}]",
        "rules: [{name: a, if: {spf_pass: a.example}, then: accept}]",
        "rules: [{name: a, if: {client: 10.0.0.0/9}, then: accept}, {name: b, if: {client: 10.0.0.0/8}, then: reject}]",
        "rules: [{name: a, if: {client: 10.0.0.0/9, iprev: pass}, then: accept}, "
        "{name: b, if: {client: 10.0.0.1}, then: reject}]",
        # the first one needs every recipient, the second one any
        "rules: [{name: a, if: {client: 192.0.2.1, recipient: b@}, then: accept}, "
        "{name: b, if: {client: 192.0.2.1, recipient: b@}, then: hold}]",
        "lists: {friends: [a.example]}\nrules: [{name: a, if: {author: list:friends}, then: hold}]",
        *(
            f"rules: [{{name: a, if: {{{condition}}}, then: hold}}]"
            for condition in [
                "author: .example, not: {author: a.example}",
                "author: .a.example, not: {author: a.example}",
                "not: {author: .example}",
                "client: 10.1.0.0/16, not: {client: [10.1.0.0/17, 10.1.128.0/18]}",
                "client: 10.1.0.0/16, not: {client: [10.1.0.0/17, 10.1.192.0/18]}",
                "all: [{dkim_pass: a.example}, {dkim_pass: b.example}]",
                "all: [{recipient: a@}, {recipient: b@}]",
                "dmarc: pass, spf: fail",
                "dmarc: pass, spf: fail, dkim: [none, pass]",
                "policy: none, not: {dmarc: pass}",
                "not: {policy: [none, quarantine, reject]}",
                "sender_domain: null_mx, not: {sender_domain: no_mail}",
                "not: {spf_pass: a.example}, spf: pass",
                "not: {sender_domain: [null_mx, no_mail, temperror]}",
                "mail_from: '<>'",
                "mail_from: ['<>', a.example], not: {mail_from: a.example}",
                # of what cannot be traced through a relay
                "not: {iprev: [pass, fail, permerror, temperror]}",
            ]
        ),
    ],
)
def test_policies_with_nothing_odd(tmp_path, policy):
    assert found(tmp_path, policy) == []


def test_the_systems_name_servers_count_where_none_are_named(tmp_path):
    (tmp_path / "a.yaml").write_text("workers: 1\n")
    (odd,) = warnings(load(str(tmp_path / "a.yaml")), "a.yaml", NOW, {"mx"}, ["127.0.0.1", "192.0.2.53"])
    assert (odd.path, odd.line) == ("/etc/resolv.conf", 1)
    assert "192.0.2.53 is not on this host" in odd.message
    (tmp_path / "a.yaml").write_text("dns: {nameservers: [127.0.0.1]}\n")
    assert warnings(load(str(tmp_path / "a.yaml")), "a.yaml", NOW, {"mx"}, ["192.0.2.53"]) == []


@pytest.mark.parametrize(
    ("settings", "system", "message"),
    [
        # the pod's name is not Postfix's, and the cluster's name server is beside the pod
        ("authserv_id: mx.receiver.example", ["10.96.0.10", "fd00::a"], ""),
        ("dns: {nameservers: ['172.31.25.53:5353', 127.0.0.11, 169.254.20.10, 100.64.0.10]}", [], ""),
        # what is a mistake there too
        ("workers: 1", ["9.9.9.9"], "dns.nameservers: 9.9.9.9 is not on this host"),
        ("dns: {nameservers: ['2620:fe::fe']}", [], "dns.nameservers: 2620:fe::fe is not on this host"),
        ("trusted_networks: postfix", [], "trusted_networks: Postfix cannot be asked for mynetworks"),
    ],
)
def test_in_a_container_what_is_so_in_every_container_is_no_mistake(tmp_path, settings, system, message):
    path = tmp_path / "a.yaml"
    path.write_text(settings)
    odd = warnings(load(str(path)), "a.yaml", NOW, set(), system, in_container=True)
    assert [each.message.startswith(message) for each in odd] == [True] * bool(message)
    assert len(warnings(load(str(path)), "a.yaml", NOW, {"pod-7f9c"}, system)) >= 1


@pytest.mark.parametrize(
    ("settings", "line", "message"),
    [
        ("authserv_id: mail.receiver.example", 2, "authserv_id: mail.receiver.example is not a name of this host"),
        (
            "workers: 1\ndns:\n  nameservers: [127.0.0.1, 192.0.2.53]",
            4,
            "dns.nameservers: 192.0.2.53 is not on this host",
        ),
        (
            "trusted_networks: [10.0.0.0/8, {network: 0.0.0.0/0, unsafe: true, comment: why}]",
            2,
            "trusted_networks: mail from 0.0.0.0/0, nearly everybody, is not judged",
        ),
        ("authserv_id: MX.receiver.example\ndns: {nameservers: ['::1', 127.0.0.53]}", 0, ""),
        ("relays: [192.0.2.50, '::2']", 0, ""),
        ("relays: [127.0.0.1]", 2, "relays: 127.0.0.1/32 is in trusted_networks as well; its mail is judged"),
        (
            "trusted_networks: [10.1.0.0/16]\nrelays:\n  networks: [192.0.2.50, 10.1.2.0/24]",
            4,
            "relays: 10.1.2.0/24 is in trusted_networks as well",
        ),
        ("relays: [192.0.2.0/24, '2001:db8::/64', 10.0.0.0/8]", 2, "relays: 10.0.0.0/8 covers many addresses"),
        ("relays: ['2001:db8::/32']", 2, "relays: 2001:db8::/32 covers many addresses"),
        ("relays:\n  networks: [192.0.2.50]\n  untraced: accept", 4, "relays.untraced: anybody who cannot be traced"),
    ],
)
def test_odd_settings(tmp_path, settings, line, message):
    odd = found(tmp_path, "{}", settings)
    if not line:
        assert odd == []
    else:
        ((file, where, text),) = odd
        assert (file, where) == ("mailassay.yaml", line)
        assert text.startswith(message)


def test_a_relay_is_no_forwarder(tmp_path):
    policy = "mode: enforce\ndmarc:\n  trusted_forwarders: [192.0.2.50, 198.51.100.0/24, filter.example]\n"
    assert found(tmp_path, policy, "relays: [192.0.3.0/24]") == []
    ((file, line, message),) = found(tmp_path, policy, "relays: [192.0.2.0/24]")
    assert (file, line) == ("policy.yaml", 3)
    assert message.startswith("dmarc.trusted_forwarders: 192.0.2.50/32 is in relays as well")


def check(folder, policy, *options):
    (folder / "policy.yaml").write_text(policy)
    (folder / "mailassay.yaml").write_text("policy: policy.yaml\ndns: {nameservers: [127.0.0.1]}\n")
    return main(["config", "check", "--config", str(folder / "mailassay.yaml"), *options])


def test_errors_show_their_line(tmp_path, capsys):
    policy = "mode: enforce\nrules:\n  - {name: a, if: {athor: x.example}, then: hold}\n  - name: b\n"
    assert check(tmp_path, policy) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    path = tmp_path / "policy.yaml"
    assert printed.err == (
        f"{path}:3:20: unknown key `rules.if.athor`; did you mean `rules.if.author`?\n"
        "      - {name: a, if: {athor: x.example}, then: hold}\n"
        "                       ^\n"
        f"{path}:4:5: rules: a rule needs `if` and `then`\n"
        "      - name: b\n"
        "        ^\n"
    )


def test_warnings_do_not_fail(tmp_path, capsys):
    assert check(tmp_path, "lists: {a: b.example}") == 0
    printed = capsys.readouterr()
    assert "policy.yaml:1:9: warning: list `a` is used nowhere" in printed.err
    assert printed.err.splitlines()[-1] == "            ^"
    assert printed.out.split()[-1] == "fine"


def test_json(tmp_path, capsys):
    assert check(tmp_path, "mode: x", "--json") == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert {key: finding[key] for key in ("severity", "code", "fix", "line", "column")} == {
        "severity": "error",
        "code": "value",
        "fix": "",
        "line": 1,
        "column": 7,
    }
    assert set(finding) == {"severity", "code", "what", "fix", "path", "line", "column"}
    assert check(tmp_path, "lists: {a: b.example}", "--json") == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["severity"], finding["code"]) == ("warning", "list-unused")


def test_a_file_that_cannot_be_shown(tmp_path, capsys):
    """Control characters of the operator's file do not reach the terminal."""
    (tmp_path / "policy.yaml").write_bytes(b"mode: \x1b[31m\n")
    (tmp_path / "mailassay.yaml").write_text("policy: policy.yaml\n")
    assert main(["config", "check", "--config", str(tmp_path / "mailassay.yaml")]) == 1
    assert "\x1b" not in capsys.readouterr().err
    assert main(["config", "check", "--config", str(tmp_path / "nowhere.yaml")]) == 1
    assert "cannot be read" in capsys.readouterr().err
