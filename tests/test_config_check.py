"""``mailassay config check`` on files that somebody made to harm who looks at them."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailassay.cli import main
from mailassay.config.document import MAX_OCTETS

ESCAPE = r'"\e[2J\e]0;x\a\x9b31m\n\r\u2028\u202e"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


def check(folder, policy, config="policy: policy.yaml\n", members=b"", *more):
    """The exit status, and what was printed; no exception but what the command handles, and nothing for a terminal."""
    (folder / "mailassay.yaml").write_bytes(config if isinstance(config, bytes) else config.encode("utf-8", "replace"))
    (folder / "policy.yaml").write_bytes(policy if isinstance(policy, bytes) else policy.encode("utf-8", "replace"))
    (folder / "members").write_bytes(members)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["config", "check", "--config", str(folder / "mailassay.yaml"), *more])
    printed = out.getvalue() + err.getvalue()
    assert status in (0, 1)
    assert all(line.isprintable() for line in printed.split("\n"))
    assert "Traceback" not in printed
    return status, printed


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True))

HOSTILE = {
    "aliases that multiply": BOMB,
    "an alias of itself": "rules: &a [*a]",
    "a merge": "<<: {mode: monitor}",
    "a tag": "mode: !!python/object/apply:os.system [id]",
    "lists in lists": "[" * 100_000,
    "maps in maps": "{a: " * 50_000,
    "maps as keys": "? " * 100_000,
    "blocks in blocks": "".join(" " * depth + "a:\n" for depth in range(600)),
    "a huge scalar": "mode: " + "x" * (MAX_OCTETS - 10),
    "a huge key": "x" * (MAX_OCTETS - 10) + ": 1",
    "a huge number": "limits: {signatures: " + "9" * 100_000 + "}",
    "a huge sexagesimal": "limits: {signatures: 1" + ":59" * 50_000 + "}",
    "a huge date": "rules: [{name: a, if: {mailing_list: true}, then: tag, expires: 9999999-99-99}]",
    "a huge file": "#" * (MAX_OCTETS + 1),
    "many mistakes": "x: 1\n" * 4_000,
    "a NUL": "mode: \0",
    "an escape": "mode: \x1b[2J",
    "an escape as a key": f"{ESCAPE}: 1",
    "an escape as a value": f"mode: {ESCAPE}",
    "an escape as a key below": f"dmarc: {{{ESCAPE}: 1}}",
    "an escape as the name of a list that is wrong": f"lists: {{{ESCAPE}: [[1]]}}",
    "an escape as the name of a list without a file": f"lists: {{{ESCAPE}: ['file:nowhere']}}",
    "an escape as the name of an unused list": f"lists: {{{ESCAPE}: [a.example]}}",
    "an escape among the lists that there are": f"lists: {{{ESCAPE}: a.example}}\ndmarc: {{mailing_lists: ['list:x']}}",
    "a huge name of a list": f"lists: {{{'x' * 100_000}: [[1]]}}\ndmarc: {{mailing_lists: ['list:x']}}",
    "a list as the name of a list": "lists: {? [a, b] : [[1]]}",
    "an escape as a file": f"lists: {{a: ['file:'{ESCAPE}]}}",
    "an escape in a path": r'lists: {a: ["file:\e[2J"]}',
    "a NUL in a path": r'lists: {a: ["file:\0"]}',
    "a path without end": f"lists: {{a: ['file:{'x/' * 20_000}']}}",
    "a folder": "lists: {a: ['file:.']}",
    "a device": "lists: {a: ['file:/dev/zero']}",
    "the policy itself": "lists: {a: ['file:policy.yaml']}\ndmarc: {mailing_lists: ['list:a']}",
    "a binary": "lists: {a: ['file:/proc/self/exe']}\ndmarc: {mailing_lists: ['list:a']}",
    "an escape as the name of a rule": f"rules: [{{name: {ESCAPE}, if: {{}}, then: tag}}]",
    "an escape in a condition": f"rules: [{{name: a, if: {{{ESCAPE}: 1}}, then: tag}}]",
    "an escape in a text": f"rules: [{{name: a, if: {{mailing_list: true}}, then: reject, reply: {ESCAPE}}}]",
    "an escape as a placeholder": r'rules: [{name: a, if: {mailing_list: true}, then: reject, reply: "{\e[2J}"}]',
    "a placeholder that reaches": 'rules: [{name: a, if: {mailing_list: true}, then: reject, reply: "{rule.x[0]}"}]',
}


@pytest.mark.parametrize("json_too", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_policy_is_an_error(folder, name, json_too):
    status, printed = check(folder, HOSTILE[name], "policy: policy.yaml\n", b"", *["--json"] * json_too)
    assert len(printed) < 200_000
    if name != "an escape as the name of an unused list":
        assert status == 1
    if json_too:
        assert json.loads(printed)


@pytest.mark.parametrize(
    "config",
    [
        f"policy: {ESCAPE}\n",
        r'policy: "\e[2J/../policy.yaml"' + "\n",
        r'policy: "\0"' + "\n",
        "policy: /dev/zero\n",
        "policy: .\n",
        "policy: " + "x" * 100_000,
        f"{ESCAPE}: 1\n",
        f"authserv_id: {ESCAPE}\n",
        f"listen: {ESCAPE}\n",
        f"dns: {{nameservers: [{ESCAPE}]}}\n",
        f"trusted_networks: [{ESCAPE}]\n",
        BOMB,
        b"\xff",
    ],
)
def test_a_hostile_configuration_is_an_error(folder, config):
    assert check(folder, "mode: monitor", config)[0] == 1


def test_the_path_of_a_policy_that_is_fine_is_printable(folder):
    (folder / "\x1b[2J.yaml").write_text("mode: x\n")
    check(folder, "", r'policy: "\e[2J.yaml"' + "\n")
    (folder / "\x1b[2J.yaml").write_text("lists: {unused: [a.example]}\n")
    status, printed = check(folder, "", r'policy: "\e[2J.yaml"' + "\n")
    assert status == 0
    assert "fine" in printed


PIECES = st.sampled_from(
    [
        *("mode", "dmarc", "lists", "rules", "if", "then", "name", "headers", "reply", "expires", "authors", "limits"),
        *("{", "}", "[", "]", ": ", ", ", "\n", "\n  ", "\n- ", "? ", "&a ", "*a", "!!str ", "<<", "|", ">", "'", '"'),
        *(ESCAPE, r'"\e"', r'"\0"', "\x1b", "\x85", "\u2028", "\ufeff", "x" * 300, "[" * 20, "- " * 20, "9" * 5000),
        *("list:a", "'file:members'", "'file:.'", "file:nowhere", "a", "tag", "reject", "monitor", "null", "{rule}"),
        *(": {a: ", ": [[", "lists: {", f"lists: {{{ESCAPE}: ", "rules: [{name: ", "dmarc: {mailing_lists: ["),
    ]
)
text = st.lists(PIECES, max_size=12).map("".join)


LISTED = "lists: {a: 'file:members'}\ndmarc: {mailing_lists: ['list:a']}"


@given(text | st.binary(max_size=40), st.just("policy: policy.yaml\n") | text, st.binary(max_size=20))
@example(LISTED, "policy: policy.yaml", b"\x1b")
def test_whatever_the_files_are(folder, policy, config, members):
    check(folder, policy, config, members)
