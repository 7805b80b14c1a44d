"""The texts of mailassay(8) about the log, header fields, exit status, signals, files and environment."""

from __future__ import annotations

from collections.abc import Mapping

LOG_LINE: Mapping[str, str] = {
    "queue_id": "Postfix's queue id; `-` if Postfix did not give it.",
    "client": (
        "The address of the client. If one of your relays delivered the message, it is the client that the relay got "
        "it from."
    ),
    "via": "The relays (`relays`) between the client and this host; the one connected to this host comes first.",
    "untraced": "Why it is not known from which client a relay got the message; `client` is then the relay.",
    "iprev": "The result of iprev.",
    "iprev_why": (
        "The cause, if iprev does not pass: a word, which stays the same, and if there is more to say, a colon and "
        "text for people. Every key that ends in `_why` has this form; docs/troubleshooting.md explains the words."
    ),
    "name": "The name of the client's address: the confirmed one if iprev passes, otherwise the first one.",
    "spf": "The SPF result for MAIL FROM, or for HELO if the reverse-path is null. DMARC uses this result.",
    "spf_why": "The cause, if SPF does not pass. For fail, softfail and neutral: the term of the record that matched.",
    "mail_from": "The domain of MAIL FROM; `<>` is the null reverse-path.",
    "spf_helo": "The SPF result for HELO.",
    "spf_helo_why": "The cause, if SPF for HELO does not pass.",
    "helo": "The name in HELO or EHLO.",
    "dkim": (
        "For each signature: its result, domain, selector and, if it proves nothing to DMARC, the word for the cause: "
        "`fail:bank.example:sel:body,pass:example.com:s1`. Or `none`. A colon, comma or white space in a selector is "
        "written as a question mark."
    ),
    "dkim_why": "The causes of all signatures, in the same order, each once, separated by a semicolon and a space.",
    "arc": "The result of the ARC chain.",
    "arc_why": "The cause, if the chain fails.",
    "dmarc": "The result of DMARC.",
    "dmarc_why": "The cause, if DMARC does not pass.",
    "header_from": "The author domain; if From has several readings, the strictest one.",
    "policy": "The DMARC policy that applies.",
    "policy_at": "The domain whose record has that policy.",
    "public_suffix": "The public suffix that kept a domain from aligning (`dmarc.public_suffixes`).",
    "readings": (
        "If the author is not one clear domain: the domains that From may be read to name, each with its result and "
        "policy: `fail:bank.example:reject,none:example.com:`."
    ),
    "at_stake": "If DMARC gives temperror: the policy in a record that was found, or was seen before.",
    "limit": (
        "The checks whose result comes from one of mailassay's limits on DNS questions, answers or work: "
        "`spf:dns_questions`."
    ),
    "not_vouched": (
        "Why a chain that passes and has a trusted sealer does not vouch for the author (`dmarc.trusted_sealers`): "
        "`untrusted`, `signature`, `expired`, `unreadable`, `contradiction`, `author` or `no_pass`, and why in words."
    ),
    "sender_domain": "Whether the MAIL FROM domain can receive mail, if the policy asks for that.",
    "sender_domain_why": "The cause, unless the domain is known to receive mail.",
    "verdict": "What was done: `accept`, `tag`, `hold`, `defer` or `reject`.",
    "rule": (
        "The policy setting that decided, such as `dmarc.reject` or `rules.NAME`; `default` if none did. Or why the "
        "message was not judged: `local`, `trusted_network`, `authenticated`. Or `forged_fields` (more of them "
        "than `limits.forged_fields`, or one inside another field), `no_client_address`."
    ),
    "signed_by": (
        "The keys that signed the message, each as `domain/selector`. Only a message that is not judged can have it."
    ),
    "unsigned": (
        "Why such a message is not signed, if `sign.domains` is set: `author`, `domain`, `envelope`, `no_login`, "
        "`login`, `address`, `limit`, `fields`, `judged` or `signed`."
    ),
    "sealed_by": "The key of a new ARC seal, as `domain/selector`. Only a message that is judged can have one.",
    "seal_i": "The instance of the new ARC set.",
    "seal_cv": "What the new seal says of the chain before it: `none`, `pass` or `fail`.",
    "unsealed": (
        "Why a message that was judged and let in is not sealed, if `sign.seal` is `all`: `limit`, `fields`, `sets`, "
        "`failed`, `dns` or `error`."
    ),
    "would": "What would have been done if nothing were only recorded; present only if it differs from `verdict`.",
    "monitored": "The settings that were only recorded, and their actions.",
    "reason": "Why, in words.",
    "ms": "Milliseconds from the end of the message to the verdict.",
}

HEADER: Mapping[str, str] = {
    "Authentication-Results": (
        "The results (RFC 8601), above all other fields. Every such field that claims to be from this host is removed "
        "first, whoever sent it."
    ),
    "X-Mailassay-Verdict": (
        "On messages that are tagged or held: the action and the policy setting (`hold; rule=dmarc.quarantine`). The "
        "policy names the field (`tag.verdict`)."
    ),
    "X-Spam-Flag": "On messages that are tagged: `YES` (`tag.flag`).",
}

EXIT_STATUS: Mapping[str, str] = {
    "0": "Fine.",
    "1": "The answer is no: refused, invalid, or an error was found.",
    "2": "The command line is wrong; for key check, mail that is signed now cannot be verified.",
    "65": "The message lacks a fact that is needed to judge it (EX_DATAERR).",
    "66": "Files could not be read; for collect, the configuration asks for no history, for reports, "
    "for no reports (EX_NOINPUT).",
    "69": "Something that the command needs is not there (EX_UNAVAILABLE): Postfix or one of its commands; for serve, "
    "pymilter, libmilter, or a Python with which its memory does not grow; for the history, SQLAlchemy or Alembic.",
    "70": "A bug in mailassay (EX_SOFTWARE).",
    "71": "The socket cannot be opened (EX_OSERR).",
    "73": "A file or key that would be written is there already, or would be wrong; for collect, the folder of the "
    "history cannot be used (EX_CANTCREAT).",
    "74": "Reading or writing failed (EX_IOERR).",
    "75": "DNS does not answer; for collect, another one is running, or with --once the database cannot be used now; "
    "for reports, another process sends them, or Postfix or the database is down; for key, another process changes the "
    "keys; try again (EX_TEMPFAIL).",
    "76": "The output of Postfix's commands is not understood (EX_PROTOCOL).",
    "77": "Not permitted: this needs root, or Postfix's user (EX_NOPERM).",
    "78": "The configuration, the policy or the zone file has mistakes; for why, history and report, there is no "
    "history; for collect, the database is of a later version or of another program; for key, keys.json cannot be used "
    "(EX_CONFIG).",
    "130": "Interrupted.",
}

SIGNALS: Mapping[str, str] = {
    "SIGHUP": (
        "Read configuration and policy again. They apply to messages that begin after that; messages in hand keep the "
        "old ones, and no connection is dropped. If there is a mistake, nothing changes, and the log and `systemctl "
        "status` name it. `listen`, `socket_mode`, `socket_group`, `dns.cache_size` and `history.directory` need a "
        "restart."
    ),
    "SIGTERM": "Accept no more connections, finish the messages in hand, and end. SIGINT does the same.",
}

FILES: Mapping[str, str] = {
    "/etc/mailassay/mailassay.yaml": "The configuration, mailassay.yaml(5).",
    "/etc/mailassay/policy.yaml": "The policy, mailassay-policy(5), if the configuration names it.",
    "/etc/mailassay/keys": "The private keys that sign, `DOMAIN/SELECTOR.pem`, and their states, `DOMAIN/keys.json`.",
    "/usr/share/mailassay/mailassay.yaml": "Every key of the configuration, with its default.",
    "/usr/share/mailassay/policies": "The shipped policies `monitor.yaml`, `standard.yaml` and `strict.yaml`.",
    "/usr/share/mailassay/mailassay.schema.json": "The JSON Schema of the configuration.",
    "/usr/share/mailassay/policies/mailassay-policy.schema.json": "The JSON Schema of a policy.",
    "/var/lib/mailassay": "The history: `history.sqlite`, and in `spool` what the collector has not moved there yet.",
    "/var/spool/postfix/mailassay/mailassay.sock": "The socket, where a chrooted smtpd finds it.",
}

ENVIRONMENT: Mapping[str, str] = {
    "COLUMNS": "The width of the lines that commands print. The default is the width of the terminal, or 110 if the "
    "output is not a terminal. Errors that do not go to a terminal are one line each.",
    "NO_COLOR": "If it is set, or if `TERM` is `dumb` or the output is not a terminal, commands print no colours.",
    "JOURNAL_STREAM": "Set by systemd: log lines begin with their priority and have no time of their own.",
    "LISTEN_FDS, LISTEN_PID": "Set by systemd: the socket that it passes to the service.",
    "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID": "Set by systemd: where to report the state, and how often.",
}
