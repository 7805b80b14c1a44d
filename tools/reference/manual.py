"""The manual pages: mailassay(8), mailassay.yaml(5) and mailassay-policy(5)."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from mailassay import __version__
from mailassay.cli import parser
from mailassay.config import reference, schema
from mailassay.config.schema import Key, words

from .markdown import default
from .roff import entries, example, literal, page, paragraph, section, subsection
from .words import ENVIRONMENT, EXIT_STATUS, FILES, HEADER, LOG_LINE, SIGNALS

_DATE = "2026-11-28"  # of the last change that readers should know of
_SOURCE = f"mailassay {__version__}"
EXAMPLES = {
    "Why a message that is held or in the queue was judged as it was:": "mailassay check 4Zx1Yb2Wc3z",
    "A message from elsewhere, as if this client had sent it:": (
        "mailassay check message.eml --ip 192.0.2.1 --helo mail.example.com \\\n    --mail-from alice@example.com"
    ),
    "By which keys a message would be signed as outgoing mail, or why by none:": (
        "mailassay check --outbound message.eml --login anna"
    ),
    "What another policy would have done with yesterday's mail:": (
        "mailassay check --policy new.yaml --summary --since yesterday ~/Maildir/"
    ),
    "What is wrong with a domain, and with the Postfix of this machine:": (
        "mailassay lookup example.com --selector mail\nmailassay doctor"
    ),
    "After a change of configuration or policy:": "mailassay config check && systemctl reload mailassay",
    "Which messages are held, and which old ones would be deleted:": (
        "mailassay held\nmailassay held delete --older 30d --dry-run"
    ),
}
SETTINGS = """
listen: unix:/var/spool/postfix/mailassay/mailassay.sock
policy: policy.yaml
trusted_networks: [127.0.0.0/8, "::1/128", 192.0.2.0/24]
dns: {nameservers: [127.0.0.1]}
"""
POLICY = """
mode: enforce
lists:
  partners: [partner.example, file:partners.txt]
dmarc:
  reject: reject
  reject_needs: {spf: [fail, softfail, none]}
  authors:
    - for: .example.com          # our own domains: as if they published p=reject
      none: reject
rules:
  - name: partner-gateway
    comment: breaks DKIM signatures until it is replaced
    expires: 2027-03-31
    if: {client: 192.0.2.0/28, author: list:partners}
    then: accept
  - name: board-only-authenticated
    if:
      recipient: board@example.com
      not: {dmarc: pass}
    then: reject
    reply: "{author} is not authenticated; write to us by another way"
"""


def program() -> str:
    """mailassay(8), from the parsers of the command line."""
    root = parser()
    commands = [*_commands(root)]
    return page(
        "mailassay",
        8,
        "milter for Postfix that checks what mail claims to be",
        _DATE,
        _SOURCE,
        section("SYNOPSIS", *(_usage(each) for each in [root, *commands])),
        section(
            "DESCRIPTION",
            paragraph(
                "`mailassay` answers, for every message that Postfix receives: is this mail what it claims to be? It "
                "checks iprev, SPF, DKIM, ARC and DMARC (RFC 9989) itself, writes one Authentication-Results field, "
                "and accepts, tags, holds, defers or rejects by the DMARC policy of the author domain and by the "
                "operator's own. Mail of clients that logged in, and of `trusted_networks`, is not judged."
            ),
        ),
        section("COMMANDS", *(subsection(each.prog, *_command(each)) for each in commands)),
        section("EXAMPLES", *(part for text, lines in EXAMPLES.items() for part in (paragraph(text), example(lines)))),
        section("EXIT STATUS", entries(EXIT_STATUS)),
        section("SIGNALS", paragraph("The first process of `serve` handles these:"), entries(SIGNALS)),
        section(
            "LOG",
            paragraph(
                "`serve` logs to stderr. For each message it writes one line of `key=value` pairs. A value is written "
                "as a JSON string if it has other than plain characters. With `log.format: json` it writes one object "
                "instead. Empty values are left out."
            ),
            entries(LOG_LINE),
        ),
        section("HEADER FIELDS", entries(HEADER)),
        section("FILES", entries(FILES)),
        section("ENVIRONMENT", entries(ENVIRONMENT)),
        _see("mailassay.yaml(5)", "mailassay-policy(5)", "postconf(5)", "postsuper(1)"),
    )


def settings() -> str:
    """mailassay.yaml(5)."""
    return page(
        "mailassay.yaml",
        5,
        "configuration of mailassay",
        _DATE,
        _SOURCE,
        section(
            "DESCRIPTION",
            paragraph(
                "A YAML file, by default `/etc/mailassay/mailassay.yaml`. A key that you leave out has its default. An "
                "unknown key is an error, and so is a file without any key: write `{}` to get all defaults. A file "
                "with an error is not used at all. Anchors, aliases and tags are not supported. `mailassay config "
                "check` shows every mistake; `systemctl reload mailassay` makes a change take effect. A dotted name "
                "such as `dns.timeout` is the key `timeout` in the map `dns`."
            ),
        ),
        section("KEYS", *_keys(schema.settings().keys)),
        section("EXAMPLE", example(SETTINGS)),
        section("FILES", entries({name: text for name, text in FILES.items() if "policies" not in name})),
        _see("mailassay(8)", "mailassay-policy(5)"),
    )


def policy() -> str:
    """mailassay-policy(5)."""
    keys = schema.policy().keys
    return page(
        "mailassay-policy",
        5,
        "policy of mailassay",
        _DATE,
        _SOURCE,
        section(
            "DESCRIPTION",
            paragraph(
                "A YAML file, which `policy` in mailassay.yaml(5) names. A key that you leave out has its default. An "
                "unknown key is an error, and so is a file without any key: write `{}` to get all defaults. A file "
                "with an error is not used at all. `mailassay config check` shows every mistake. `mailassay check "
                "--policy FILE` tries a policy on a message or, with `--summary`, on many. `systemctl reload "
                "mailassay` makes a change take effect."
            ),
            paragraph(
                "The first rule that applies decides. If no rule applies, the most severe action that the other "
                "settings ask for is taken. The actions, from the mildest to the most severe:"
            ),
            entries(reference.ACTIONS),
        ),
        section("KEYS", *_keys(key for key in keys if not key.name.startswith("if."))),
        section(
            "CONDITIONS",
            paragraph(
                "The keys of `rules.if` and `dmarc.reject_needs`. If a condition has several keys, all of them must "
                "hold. If a key has several values, one of them must match the message."
            ),
            *_keys(key for key in keys if key.name.startswith("if.")),
            subsection("Domains, addresses, networks", entries(reference.NOTATION)),
        ),
        section(
            "PLACEHOLDERS",
            paragraph(
                "`rules.reply`, `rules.headers` and `rules.reason` can contain these, and nothing else that a sender "
                "wrote. `{{` and `}}` are braces."
            ),
            entries({f"{{{name}}}": f"{text[0].upper()}{text[1:]}." for name, text in reference.PLACEHOLDERS.items()}),
        ),
        section("EXAMPLE", example(POLICY)),
        section("FILES", entries({name: text for name, text in FILES.items() if "polic" in name})),
        _see("mailassay(8)", "mailassay.yaml(5)"),
    )


def _keys(keys: Iterable[Key]) -> Iterator[str]:
    for key in keys:
        found = words(key.schema)
        value = default(key)
        yield entries({key.name: f"{found[0].upper()}{found[1:]}{f'; default {value}' if value else ''}.\n{key.text}"})


def _see(*pages: str) -> str:
    references = [f".BR {literal(name.partition('(')[0])} ({name.partition('(')[2]}" for name in pages]
    return section("SEE ALSO", " ,\n".join(references))


def _commands(found: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every command that can be given, and those below it."""
    for action in found._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                below = [*_commands(each)]
                if not (below and _needs_command(each)):
                    yield each
                yield from below


def _needs_command(found: argparse.ArgumentParser) -> bool:
    return any(isinstance(action, argparse._SubParsersAction) and action.required for action in found._actions)


def _options(found: argparse.ArgumentParser) -> list[argparse.Action]:
    """The options and arguments of a command, except ``--help``."""
    actions = [each for each in found._actions if not isinstance(each, argparse._SubParsersAction)]
    return [each for each in actions if each.dest != "help"]


def _usage(found: argparse.ArgumentParser) -> str:
    words = [f"\\fB{literal(found.prog)}\\fP"]
    for action in _options(found):
        name = _spelled(action, action.option_strings[-1]) if action.option_strings else _operand(action)
        words.append(f"[{name}]" if action.option_strings or action.nargs in ("*", "?") else name)
    if any(isinstance(action, argparse._SubParsersAction) and action.required for action in found._actions):
        words.append("\\fICOMMAND\\fP ...")
    lines, line = [], ""
    for word in words:
        # an option stays with its value
        if len(line) + len(word) > 76:
            lines.append(line)
            line = ""
        line += f" {word}" if line else word
    return "\n".join([".PP", *lines, line])


def _spelled(action: argparse.Action, option: str) -> str:
    value = f"\\ \\fI{literal(str(action.metavar or action.dest.upper()))}\\fP" if action.nargs != 0 else ""
    return f"\\fB{literal(option)}\\fP{value}"


def _operand(action: argparse.Action) -> str:
    many = "\\ ..." if action.nargs in ("*", "+") else ""
    return f"\\fI{literal(str(action.metavar or action.dest.upper()))}\\fP{many}"


def _command(found: argparse.ArgumentParser) -> Iterator[str]:
    yield paragraph(_sentence(found.description or ""))
    for action in _options(found):
        spelled = [_spelled(action, option) for option in action.option_strings] or [_operand(action)]
        text = found._get_formatter()._expand_help(action) if action.help else ""
        yield "\n".join([".TP", ", ".join(spelled), *_folded(_sentence(f"{text[:1].upper()}{text[1:]}"))])
    if found.epilog:
        yield paragraph(_sentence(found.epilog))


def _folded(text: str) -> list[str]:
    return paragraph(text).split("\n")[1:]


def _sentence(text: str) -> str:
    return text if not text or text.endswith(".") else f"{text}."
