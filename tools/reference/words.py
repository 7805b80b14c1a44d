"""What the daemon writes, for the manual page of the program."""

from __future__ import annotations

from collections.abc import Mapping

LOG_LINE: Mapping[str, str] = {
    "queue_id": "Postfix's queue id; `-` where Postfix did not say it.",
    "client": "The address of the client; if a relay of yours brought the message, of whom it had it from.",
    "via": "The relays (`relays`) that brought the message from the client, the one that is connected first.",
    "untraced": "Why it is not known from whom a relay has the message; `client` is the relay then.",
    "iprev": "The result of iprev.",
    "iprev_why": (
        "The cause, if iprev is no pass: a word, which stays the same, and where there is more to say a colon and "
        "words for people. So it is with every key that ends in `_why`; docs/troubleshooting.md has the words of each."
    ),
    "name": "The name of the client's address: the confirmed one where iprev passes, else the first it has.",
    "spf": "The SPF result of MAIL FROM, or of HELO for a null reverse-path; it is the one that DMARC uses.",
    "spf_why": "The cause, if SPF is no pass. For fail, softfail and neutral the term of the record that matched.",
    "mail_from": "The domain of MAIL FROM; `<>` is the null reverse-path.",
    "spf_helo": "The SPF result of HELO.",
    "spf_helo_why": "The cause, if that is no pass.",
    "helo": "The name in HELO or EHLO.",
    "dkim": (
        "Of each signature its result, domain, selector and, if it proves nothing to DMARC, the word of the cause: "
        "`fail:bank.example:sel:body,pass:example.com:s1`. Or `none`. In a selector a colon, a comma and white space "
        "are a question mark."
    ),
    "dkim_why": "The causes of these, in their order, each once, with a semicolon and a blank between.",
    "arc": "The result of the ARC chain.",
    "arc_why": "The cause, if the chain fails.",
    "dmarc": "The result of DMARC.",
    "dmarc_why": "The cause, if DMARC is no pass.",
    "header_from": "The author domain; of several readings the strictest.",
    "policy": "The DMARC policy that applies.",
    "policy_at": "The domain whose record that is.",
    "public_suffix": "The public suffix that kept a domain from aligning (`dmarc.public_suffixes`).",
    "readings": (
        "The domains that an author who is not one clear domain may be read to name, each with its result and its "
        "policy: `fail:bank.example:reject,none:example.com:`."
    ),
    "at_stake": "With a temperror of DMARC: the policy that a record asks for which was found, or was seen before.",
    "limit": (
        "The checks whose result a limit of ours on questions to DNS, their answers or work made: `spf:dns_questions`."
    ),
    "not_vouched": (
        "Why a chain that passes, and has a trusted sealer, does not vouch for the author (`dmarc.trusted_sealers`): "
        "`untrusted`, `signature`, `expired`, `unreadable`, `contradiction`, `author` or `no_pass`, and words."
    ),
    "sender_domain": "Whether the MAIL FROM domain can receive mail, where the policy asks.",
    "sender_domain_why": "The cause, if it is not known that it can.",
    "verdict": "What was done: `accept`, `tag`, `hold`, `defer` or `reject`.",
    "rule": (
        "The line of the policy that spoke, such as `dmarc.reject` or `rules.NAME`; `default` where none did. Or why "
        "the message was not judged: `local`, `trusted_network`, `authenticated`. Or `forged_fields` (more of them "
        "than `limits.forged_fields`, or one inside another field), `no_client_address`."
    ),
    "would": "What would have been done, were nothing only recorded; only where it differs from `verdict`.",
    "monitored": "The lines that were only recorded, and their actions.",
    "reason": "Why, in words.",
    "ms": "Milliseconds from the end of the message to the verdict.",
}

HEADER: Mapping[str, str] = {
    "Authentication-Results": (
        "The results (RFC 8601), above everything else. Every such field that claims to be ours is removed first, from "
        "whomever it comes."
    ),
    "X-Mailassay-Verdict": (
        "For what is tagged or held: the action and the line of the policy (`hold; rule=dmarc.quarantine`). The policy "
        "names the field (`tag.verdict`)."
    ),
    "X-Spam-Flag": "For what is tagged: `YES` (`tag.flag`).",
}

EXIT_STATUS: Mapping[str, str] = {
    "0": "Fine.",
    "1": "The check says no: refused, invalid, or an error found.",
    "2": "The command line is wrong.",
    "65": "The message does not tell what is needed to judge it (EX_DATAERR).",
    "66": "Files could not be read (EX_NOINPUT).",
    "69": "Postfix, or what is needed of it, is not there (EX_UNAVAILABLE).",
    "70": "A mistake of mailassay (EX_SOFTWARE).",
    "71": "The socket cannot be opened (EX_OSERR).",
    "74": "Reading or writing failed (EX_IOERR).",
    "75": "DNS does not answer; try again (EX_TEMPFAIL).",
    "76": "Postfix's tools print what is not known (EX_PROTOCOL).",
    "77": "Not permitted: this needs root, or Postfix's user (EX_NOPERM).",
    "78": "The configuration, the policy or the zone file has mistakes (EX_CONFIG).",
    "130": "Interrupted.",
}

SIGNALS: Mapping[str, str] = {
    "SIGHUP": (
        "Read configuration and policy again. Messages that begin after it are judged by them; those in hand keep what "
        "they had, and no connection is dropped. Where there is a mistake, all stays as it was; the log and `systemctl "
        "status` say which. `listen`, `socket_mode`, `socket_group` and `dns.cache_size` take a restart."
    ),
    "SIGTERM": "Take no more connections, answer for the messages at hand, and end. SIGINT does the same.",
}

FILES: Mapping[str, str] = {
    "/etc/mailassay/mailassay.yaml": "The configuration, mailassay.yaml(5).",
    "/etc/mailassay/policy.yaml": "The policy, mailassay-policy(5), where the configuration names it.",
    "/usr/share/mailassay/mailassay.yaml": "Every key of the configuration, with its default.",
    "/usr/share/mailassay/policies": "The shipped policies `monitor.yaml`, `standard.yaml` and `strict.yaml`.",
    "/usr/share/mailassay/mailassay.schema.json": "The JSON Schema of the configuration.",
    "/usr/share/mailassay/policies/mailassay-policy.schema.json": "The JSON Schema of a policy.",
    "/var/spool/postfix/mailassay/mailassay.sock": "The socket, where a chrooted smtpd finds it.",
}

ENVIRONMENT: Mapping[str, str] = {
    "COLUMNS": "How wide the lines are that commands print. Without it they are as wide as the terminal, and of 110 "
    "columns where the output is none; complaints to what is no terminal are one line each.",
    "NO_COLOR": "With it, or with a `TERM` of `dumb`, no command prints colours; nor does one to what is no terminal.",
    "JOURNAL_STREAM": "Set by systemd: log lines begin with their priority, and have no time of their own.",
    "LISTEN_FDS, LISTEN_PID": "Set by systemd: the socket that is handed over.",
    "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID": "Set by systemd: where the state is told, and how often.",
}
