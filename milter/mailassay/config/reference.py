"""What each key means, for administrators: the one source of the JSON Schemas, the manual pages and the reference.

Keys are named as in error messages, by their dotted path; the keys of a condition stand under ``if``, wherever one may
be. What a key takes and what it has where it is left out the shapes and the dataclasses say. Back-quotes mark words
that are to be written as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..verdict import Action

SETTINGS: Mapping[str, str] = {
    "listen": (
        "Where Postfix finds us: `unix:/PATH` (or `local:/PATH`), `inet:PORT@HOST`, `inet6:PORT@HOST`, or as Postfix "
        "writes it, `inet:HOST:PORT`; a port alone listens on the loopback address. Debian's smtpd is chrooted and "
        "cannot see `/run`: use `unix:/var/spool/postfix/mailassay/mailassay.sock` there. A socket that systemd hands "
        "over (`mailassay.socket`) is taken in its place. A change takes a restart."
    ),
    "socket_mode": "The permissions of a Unix socket, in quotes. A change takes a restart.",
    "socket_group": (
        "The group of a Unix socket, which smtpd has to be in; `null` leaves it the group of the daemon. A change "
        "takes a restart."
    ),
    "authserv_id": (
        "Our name in Authentication-Results (RFC 8601 section 2.5). Every such field with this name that comes from "
        "outside is removed. `null` is the host's name as Postfix gives it (`{j}`, its `myhostname`)."
    ),
    "policy": (
        "The policy file; a relative path starts at the folder of this file. `null` is the built-in policy, which is "
        "the shipped `standard.yaml`."
    ),
    "workers": "Processes that judge messages; `auto` is one for each CPU.",
    "retire_after": (
        "Messages after which a new process takes a worker's place; the old one ends when its last connection does."
    ),
    "trusted_networks": (
        "Mail of clients in these networks is not judged, nor is that of clients that logged in. `relays` count for "
        "neither: they are judged by the client that they had the message from. Forged Authentication-Results fields "
        "are removed from it all the same. IPv6 needs quotes. A network wider than /8, "
        "or /16 for IPv6, has to be meant, unless it is private (fc00::/7, fe80::/10): "
        "`{network: 0.0.0.0/0, unsafe: true, comment: why}`. `postfix` is what Postfix "
        "has in `mynetworks`, asked at each start and reload: addresses and networks, up to the first exclusion or "
        "file. Tables are not read, nor is a network that is nearly everybody. If Postfix cannot be asked, no network "
        "is trusted."
    ),
    "relays": (
        "Hosts of your own that take mail from strangers and pass it on to this one: a backup MX, a filtering gateway, "
        "a load balancer. A list of their networks, or a map. What a relay brings is judged by the client that it had "
        "the message from: the topmost Received field is the relay's own and is believed, the next one too if it was "
        "another relay's, and so on to the first client outside these networks. iprev, SPF, DMARC, the rules and "
        "`trusted_networks` see the address and the HELO name of that client; fields further down are the sender's "
        "and are not read. The header and the log name the relays (`via`). So a relay has to write a Received field "
        "with the address of its client on top of all others, and to leave MAIL FROM as it is: a forwarder that "
        "writes another one, or a mailing list, is none. Its mail is judged also if it is in `trusted_networks` or "
        "logs in. Only name hosts whose Received fields you can trust."
    ),
    "relays.networks": "The addresses from which relays connect, to this host and to each other. IPv6 needs quotes.",
    "relays.logins": (
        "The logins (SASL) by which relays are known here, whatever their addresses. Who has such a login can say of a "
        "message that it came from anywhere."
    ),
    "relays.untraced": (
        "What follows if nobody knows from whom a relay has a message: its Received field is missing or cannot be "
        "read; it names no client, since the relay fetched the message (POP3, IMAP) or a program on it sent it; or "
        "the client logged in to the relay. SPF is `none` then, with the reason, and iprev is not in the header; no "
        "line of theirs applies, and no rule lets in by them or by `client`, `client_name` or `helo`. `dmarc` holds "
        "the message to DMARC, which DKIM can pass. `accept` lets it in even if it fails, with "
        '`reason="local_policy: ..."`: only for relays that have judged it themselves, since a stranger may find a '
        "way not to be traced."
    ),
    "recipient_delimiter": (
        'The characters that begin an address extension, as Postfix has them: with `"+"`, mail for `user+x@` goes to '
        '`user@`, and a rule with `recipient: user@` fits it. `""` is none. `null` asks Postfix (`postconf '
        "recipient_delimiter`, of the primary instance) at each start and reload. If it cannot be asked, rules that "
        "keep mail out take off what begins with `+` or with `-`, and what lets mail in takes addresses as they are. "
        "With `-`, Postfix is asked for `owner_request_special` as well: whether `owner-x@` and `x-request@` have none."
    ),
    "dns": "How DNS is asked.",
    "dns.nameservers": (
        "The resolvers, tried in this order, such as `127.0.0.1`, `127.0.0.1:5353`, `::1` or `[::1]:5353`; an empty "
        "list is those of /etc/resolv.conf, which is followed when it changes, without a reload. A resolver on this "
        "machine that validates DNSSEC is worth having."
    ),
    "dns.timeout": (
        "Seconds for one try, of two or three. A resolver that refuses, as one that restarts does, is asked again only "
        "when they are over; another one is asked at once."
    ),
    "dns.unavailable": (
        "What happens to a message if none of the questions that it raised had an answer, or none of those for its "
        "author's policy, and DNS gives no answer for the author's top-level domain either: the resolver is down, "
        "refuses to answer, or cannot reach anybody. `defer` waits until it answers again; `accept` lets in what "
        "nobody could check."
    ),
    "dns.cache_size": (
        "Answers that each worker keeps, as long as their TTL says, each about 2 kB of memory and at most 8; 0 keeps "
        "none. A change takes a restart."
    ),
    "message_timeout": (
        "Seconds for all checks of one message; what is not known then is a temperror. RFC 7208 section 4.6.4 asks for "
        "at least 20 for SPF; Postfix itself waits 300 (`milter_content_timeout`)."
    ),
    "held": "What is done about messages that the policy holds.",
    "held.remind_to": (
        "The address to which `mailassay held --remind` mails what waits: queue id, age, author domain and line of the "
        "policy of each message. `mailassay-held.timer` looks every hour. The mail comes if a message waits of which "
        "none has told, or if the same ones have waited for another day. It is sent by sendmail(1), with the null "
        "reverse-path. `null`: no mail, only warnings in the log."
    ),
    "log": "What is logged, to stderr.",
    "log.level": "The least severe lines that are logged. The line about each message is `info`.",
    "log.format": "Lines for people, or one JSON object a line.",
}

POLICY: Mapping[str, str] = {
    "mode": (
        "`enforce` carries verdicts out; `monitor` delivers everything, and the log says in `would` what would have "
        "been done. Forged fields in our name are removed in both, and a message with more of them than "
        "`limits.forged_fields` is rejected in both."
    ),
    "lists": (
        "For use as `list:NAME` wherever domains, addresses or networks are asked for, alone or among others. A member "
        "`file:PATH` stands for the lines of a file: one member a line, `#` begins a comment; a relative path starts "
        "at the folder of the policy. A file of 0 octets is an error, since a program that writes it may have been "
        "interrupted: a comment says that no member is meant. Files are read again on reload. A list is no member of "
        "another."
    ),
    "dmarc": "What follows from DMARC (RFC 9989).",
    "dmarc.reject": (
        "What follows when a message fails and its author domain publishes p=reject. RFC 9989 section 7.4: a receiver "
        "must not reject on p=reject alone, without other knowledge, since mail that mailing lists and forwarders have "
        "changed is lost to it. Rejecting all the same is your own choice; `hold` is what the RFC asks for, or "
        "`reject_needs`."
    ),
    "dmarc.quarantine": "What follows when a message fails and its author domain publishes p=quarantine.",
    "dmarc.none": (
        "What follows when a message fails and its author domain publishes p=none, which asks for nothing. Much of "
        "that is honest: mail of lists and forwarders, and of services that the domain does not authenticate yet."
    ),
    "dmarc.temperror": (
        "What follows if DNS gave no answer, so that it is not known whether the message passes. It applies only if a "
        "policy of quarantine or reject is known to be at stake: a record that was found for the author domain or a "
        "domain above it asks for that, or one did that was seen there before; or if your line for p=none asks for "
        "more than `accept`. Other mail is delayed by nothing. "
        "`accept` lets in what cannot be decided now."
    ),
    "dmarc.ambiguous_author": (
        "What at least follows where From names more or fewer than one clear domain. `readings` judges each domain "
        "that some mail program may show as the author, and none of them passes; the strictest policy decides, so that "
        "ambiguity becomes a reject only where one of them asks for it. The other actions follow however lax the "
        "domains are (RFC 9989 section 11.5)."
    ),
    "dmarc.public_suffixes": (
        "Names below different registrable domains of the Public Suffix List never align, even where the registry "
        "publishes a policy that makes them one organization (RFC 9989 section 11.8), unless that says psd=n. It can "
        "only make alignment stricter."
    ),
    "dmarc.reject_needs": (
        "What has to hold too before p=reject is followed by `dmarc.reject`: the other knowledge that RFC 9989 section "
        "7.4 asks for, such as `{spf: [fail, softfail, none]}`. Where it does not hold, `dmarc.quarantine` follows, or "
        "`dmarc.reject` where that is milder."
    ),
    "dmarc.authors": (
        "Lines of their own for some author domains, in the place of the general ones. The first element that has the "
        "author domain counts. If From can be read to name several domains, each has its own element, and the severest "
        "of what they and the general lines ask for is done: a stricter line holds if any domain has it, a laxer one "
        "and `monitor` only if all do."
    ),
    "dmarc.authors.for": "The author domains that the element is about. Required.",
    "dmarc.authors.reject": "In the place of `dmarc.reject`; left out, that one and `dmarc.reject_needs` count.",
    "dmarc.authors.quarantine": "In the place of `dmarc.quarantine`; left out, that one counts.",
    "dmarc.authors.none": (
        "What follows when a message fails and the domain publishes p=none; left out, `dmarc.none` counts. Use it to "
        "enforce for a domain of your own, or for one that never gets round to it."
    ),
    "dmarc.authors.unpublished": (
        "What follows if the domain publishes no DMARC policy, or one in error, and neither SPF nor DKIM passes for it "
        "or for a domain that the same name in `for` covers: with `.example.com`, a signature of mail.example.com will "
        "do for example.com. A signature with l= will not. Left out, such mail is accepted. Use it for domains of your "
        "own that have no record yet."
    ),
    "dmarc.authors.monitor": "Only record what would follow.",
    "dmarc.authors.comment": "Words for people. Required where `unsafe` is true.",
    "dmarc.authors.unsafe": (
        "You know that `reject` or `quarantine` of this element lets in mail that fails, from anybody, and want it. "
        "Without it, `accept` and `tag` are refused there; a rule that is bound to something authenticated is better."
    ),
    "dmarc.trusted_sealers": (
        "ARC sealers (d= of ARC-Seal) that are believed. A message that fails is accepted where its chain passes, the "
        "newest sealer is one of these, and it recorded dmarc=pass for the same author domain; or recorded arc=pass, "
        "and so on down the chain (RFC 8617 section 7.2). No `spf` line refuses such a message if MAIL FROM is of the "
        "author domain, or if the sealer that found dmarc=pass recorded spf=pass for it; else `spf` lines count, and "
        "`iprev` lines always do. Who is here can let in mail in anybody's name, and whoever has a message that it "
        'sealed can send it again. The header says `reason="local_policy: ..."`. If such a sealer is not believed '
        "though its chain passes, the log says why (`not_vouched`)."
    ),
    "dmarc.trusted_forwarders": (
        "Hosts that pass on other people's mail and have judged it: networks, or client names that DNS confirms "
        "(iprev=pass). What fails and comes from them is accepted: `spf` and `iprev` lines do not refuse it either. If "
        'DMARC failed, the header says `reason="trusted_forwarder: ..."`. '
        "No network wider than /8, or /16 for IPv6, and no top-level domain."
    ),
    "dmarc.mailing_lists": (
        "Domains of mailing lists. A message that fails is accepted where it has a List-Id or List-Post field and SPF "
        "or DKIM authenticated one of these domains. No `spf` line refuses such a message if MAIL FROM is of the "
        "author domain or the list's; else `spf` lines count, and `iprev` lines always do. The header says "
        '`reason="mailing_list: ..."`.'
    ),
    "dmarc.enforce_percent": (
        "Percentage of messages for which what the `dmarc` lines ask for is done; for the rest it is recorded. For a "
        "roll-out in steps. A message that is tried again is always in the same part; which one, a sender cannot know: "
        "it rests on his Message-ID, From and Date and on `/etc/machine-id`, so two hosts take different messages."
    ),
    "dkim": "Which DKIM signatures count.",
    "dkim.partial": (
        "Whether a good signature that leaves the end of the body open to anybody (l=) may count for DMARC: `ignore` "
        "or `align` (RFC 6376 section 8.2)."
    ),
    "dkim.repeated_fields": (
        "What becomes of a good signature, in ARC too, if there is a further To, Cc, Sender, Reply-To, Date or "
        "Content-Transfer-Encoding that it does not cover, beside one that it covers: `fail` or `pass`. Readers may be "
        "shown either (RFC 6376 section 8.15); lists and mail programs write such fields. A further From, Subject or "
        "Content-Type makes it fail always. A field that is the same as one that the signature covers, but for white "
        "space, never does."
    ),
    "spf": (
        "What follows from the SPF result of MAIL FROM, or of HELO for a null reverse-path (RFC 7208 section 8). On "
        "its own it also hits forwarded mail that passes DMARC by its DKIM signature. "
        "`dmarc.trusted_forwarders`, `dmarc.trusted_sealers` and `dmarc.mailing_lists` say which mail that they let in "
        "it does not refuse."
    ),
    "spf.fail": "The domain says that the client may not send for it (`-all`).",
    "spf.softfail": "The domain says that the client probably may not (`~all`).",
    "spf.permerror": "The domain's SPF record is in error.",
    "spf.temperror": "DNS gave no answer.",
    "iprev": (
        "What follows from the name of the client's address (RFC 8601 section 2.7.3). It does not refuse "
        "what `dmarc.trusted_forwarders` let in."
    ),
    "iprev.fail": "The address has a name, which does not lead back to it.",
    "iprev.permerror": "The address has no name.",
    "iprev.temperror": "DNS gave no answer.",
    "sender_domain": (
        "What follows where nobody could answer the MAIL FROM domain. Nothing is looked up where all these lines "
        "accept and no rule has `sender_domain`. The result stands in the log, not in the header."
    ),
    "sender_domain.null_mx": "The domain says that it accepts no mail (RFC 7505); the reply has 5.7.27.",
    "sender_domain.no_mail": (
        "The domain does not exist, or has neither MX nor address (RFC 5321 section 5.1); the reply has 5.1.8."
    ),
    "sender_domain.temperror": "DNS gave no answer.",
    "tag": "The header fields that the action `tag` writes, for Sieve to file by; `hold` writes the second one.",
    "tag.flag": "Its value is `YES`.",
    "tag.verdict": (
        "Its value is the action and the line of the policy that spoke: `tag; rule=spf.fail`. Fields of this name that "
        "come from outside are removed."
    ),
    "limits": (
        "How much of what a sender controls is looked at. Nothing beyond a limit passes. What RFCs set for SPF and the "
        "DMARC tree walk cannot be set lower."
    ),
    "limits.header_fields": "Of one message; beyond, DMARC fails as if the author domain asked to reject.",
    "limits.header_octets": "Of one message's header section; beyond, the same.",
    "limits.from_fields": "From fields; beyond, the same.",
    "limits.from_octets": (
        "Of all From fields together; beyond, the same. So it is with a line of From longer than 998 octets, and with "
        "a field whose name is, for an MTA that sends them on breaks them; and with more than 1000 words and marks."
    ),
    "limits.from_domains": "Author domains; beyond, the same.",
    "limits.forged_fields": (
        "Fields in our name, which are removed; beyond, the message is rejected, also where `mode` is `monitor`."
    ),
    "limits.results_octets": (
        "Of Authentication-Results fields, from the top; those beyond are removed unread, as are those beyond 1000 "
        "parentheses, quotes and backslashes, of which each field counts as four more."
    ),
    "limits.signatures": "DKIM signatures, from the top; the rest is not there.",
    "limits.key_records": "DKIM keys at one selector; the rest is not there.",
    "limits.key_bits": "Of an RSA key; beyond, permerror.",
    "limits.signature_work": (
        "Of reading and verifying all DKIM signatures and then ARC, in units of about a microsecond; beyond, permerror "
        "for DKIM, and ARC fails. Ten signatures and five ARC sets by keys of 2048 bits take some 3000."
    ),
    "limits.clock_tolerance": "Seconds by which t= of a DKIM signature may be ahead, and x= behind.",
    "limits.arc_sets": "Beyond, the chain fails (RFC 8617 section 4.2.1 has 50).",
    "limits.spf_terms": "SPF terms that ask DNS; beyond, permerror (RFC 7208 section 4.6.4).",
    "limits.spf_void_lookups": "SPF questions without an answer; beyond, permerror (RFC 7208 section 4.6.4).",
    "limits.spf_mx_hosts": "Hosts of one `mx` of SPF; beyond, permerror (RFC 7208 section 4.6.4).",
    "limits.ptr_names": "Names of the client's address, in alphabetical order; the rest is not there.",
    "limits.dmarc_queries": "Questions of one DMARC tree walk (RFC 9989 section 4.10).",
    "limits.identifiers": "SPF and DKIM domains that may align with the author; the rest does not.",
    "limits.record_octets": "Of one record; beyond, permerror for SPF and DKIM, no policy for DMARC.",
    "limits.dns_questions": (
        "Of one check of a message: iprev, SPF of either identity, ARC. Further ones are not asked, which is "
        "permerror, or a chain that fails. DMARC policies and DKIM keys are bounded by other limits."
    ),
    "limits.dns_octets": "Of one DNS response; beyond, it is not read, which is permerror.",
    "limits.dns_records": "Of one DNS response, CNAMEs included; beyond, it is not read, which is permerror.",
    "rules": (
        "Your own rules. The first that applies decides, and then no other line of the policy does; where none "
        "applies, the severest of what the other lines ask for is done. A rule that fits some recipients only, or some "
        "of the domains that From may be read to name, decides nothing: its action is the least that is done."
    ),
    "rules.name": (
        "Names the rule in the log and the header: at most 60 letters, digits, `_`, `.` and `-`. Required; each once."
    ),
    "rules.comment": "Words for people. Required where `unsafe` is true.",
    "rules.expires": "The last day of the rule, in UTC, such as 2030-12-31. Later it never applies, and is warned of.",
    "rules.monitor": "Only record what would follow (`monitored` in the log), and go on to the next rule.",
    "rules.unsafe": (
        "You know that the rule lets in mail that fails, from anybody, and want it. Without it, a rule that accepts or "
        "tags is refused unless it is bound to something authenticated: `client` (not wider than /8, or /16 for IPv6), "
        "`client_name`, `spf_pass`, `dkim_pass`, `sealer` (of no top-level domain), `dmarc` with none but `pass` and "
        "`none`, or `policy: none`. In an `any` each part has to be bound; what stands in a `not` binds nothing."
    ),
    "rules.if": (
        "When the rule applies. A rule that accepts applies only where every recipient, and every domain that From may "
        "be read to name, fits; one that tags, holds, defers or rejects where any does. Where DNS gives no answer, "
        "nothing is authenticated: no exception applies that an answer could have ruled out, and what is rejected for "
        "want of one is deferred. Required."
    ),
    "rules.then": "The action. Required.",
    "rules.reply": "The text of the SMTP reply of `reject` or `defer`; it may have placeholders.",
    "rules.enhanced": (
        "The enhanced status code of the reply (RFC 3463): 5.x.x for `reject`, 4.x.x for `defer`. Left out, it is "
        "5.7.1 or 4.7.1."
    ),
    "rules.headers": (
        "Header fields, name and value, for what is delivered or held; the values may have placeholders. Fields of "
        "these names that come from outside are removed. Names that mean something to mail software, such as Subject, "
        "are refused."
    ),
    "rules.reason": "Words for the log, and for what is held; they may have placeholders.",
    "if.author": "The author domain: the one in From.",
    "if.mail_from": "The domain of MAIL FROM; `<>` is the null reverse-path. It is not authenticated.",
    "if.recipient": (
        "A recipient (RCPT TO), with its address extension or without (`recipient_delimiter`). What Postfix makes of "
        "the address later is not seen: virtual aliases, aliases(5), canonical maps, forwarding by the user."
    ),
    "if.client": (
        "The address of the client; if one of `relays` brings the message, of whom it had it from. If nobody knows "
        "that, no rule lets in by `client`, `client_name`, `helo`, `iprev`, `spf`, `spf_helo` or `spf_pass`, nor by "
        "`not` with one of them."
    ),
    "if.client_name": (
        "A name of the client that leads back to its address (iprev=pass). If it has several, each of them counts, "
        "whichever one the header and the log name."
    ),
    "if.helo": "The name in HELO or EHLO. It is not authenticated.",
    "if.spf_pass": "The domain of MAIL FROM, or of HELO for a null reverse-path, where SPF passes.",
    "if.dkim_pass": (
        "The domain (d=) of a good DKIM signature; not where its key is in testing (t=y), or where it leaves a part of "
        "the body open (l=)."
    ),
    "if.sealer": "The newest sealer (d=) of an ARC chain that passes.",
    "if.iprev": "The result of iprev.",
    "if.spf": "The SPF result of MAIL FROM, or of HELO for a null reverse-path.",
    "if.spf_helo": "The SPF result of HELO.",
    "if.dkim": "The best result of all DKIM signatures; `none` where there is none.",
    "if.arc": "The result of the ARC chain.",
    "if.dmarc": (
        "The result of DMARC. Where From may be read to name several domains, this, `policy` and `policy_tag` ask of "
        "the message and of each of them."
    ),
    "if.policy": "The policy that applies to the author domain, after the choice among p=, sp= and np= and after t=y.",
    "if.policy_tag": (
        "Where that policy came from: `p` the author domain's own, `sp` a parent's for subdomains, `np` a parent's for "
        "names that do not exist."
    ),
    "if.sender_domain": "Whether the MAIL FROM domain can receive mail; see `sender_domain`.",
    "if.all": "All of these have to hold.",
    "if.any": "One of these has to hold.",
    "if.not": "This must not hold.",
}

ACTIONS: Mapping[str, str] = {
    Action.ACCEPT: "Deliver.",
    Action.TAG: "Deliver, with header fields that Sieve can file by (`tag.flag`, `tag.verdict`).",
    Action.HOLD: "Put into Postfix's hold queue, where `mailassay held` shows it.",
    Action.DEFER: "Reply 4xx; the sender tries again.",
    Action.REJECT: "Reply 5xx; the sender is told.",
}

PLACEHOLDERS: Mapping[str, str] = {
    "author": "the author domain; `unknown` where there is none",
    "mail_from_domain": "the domain of MAIL FROM; `unknown` where it is no domain",
    "client_ip": "the address of the client",
    "policy": "the DMARC policy that applies: `none`, `quarantine` or `reject`",
    "rule": "the name of the rule",
}

NOTATION: Mapping[str, str] = {
    "example.com": "this domain, and none below it",
    ".example.com": "this domain and every one below it",
    "user@example.com": "this address; letter case does not matter",
    "user@": "this local-part at any domain",
    "<>": "the null reverse-path (`mail_from`)",
    "192.0.2.0/24": "a network; an address alone is a network of one; IPv6 needs quotes",
    "list:NAME": "the members of a list under `lists`",
}
