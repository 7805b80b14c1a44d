"""What each key means, for administrators. JSON Schemas, manual pages and docs/reference.md take their texts from here.

A key is named by its dotted path, as in error messages. The keys of a condition stand under ``if``. The shapes and the
dataclasses say which values a key takes and what its default is. Back-quotes mark words that are typed as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..verdict import Action

SETTINGS: Mapping[str, str] = {
    "listen": (
        "The socket on which mailassay listens for Postfix: `unix:/PATH` (or `local:/PATH`), `inet:PORT@HOST`, "
        "`inet6:PORT@HOST`, or `inet:HOST:PORT`, as Postfix writes it. A port alone means the loopback address. On "
        "Debian, smtpd runs chrooted and cannot see `/run`: use `unix:/var/spool/postfix/mailassay/mailassay.sock` "
        "there. A socket that systemd passes (`mailassay.socket`) replaces this one. A change needs a restart."
    ),
    "socket_mode": "The permissions of a Unix socket, in quotes. A change needs a restart.",
    "socket_group": (
        "The group of a Unix socket. smtpd must be a member of it. `null` keeps the group of the daemon. A change "
        "needs a restart."
    ),
    "authserv_id": (
        "The name of this host in Authentication-Results (RFC 8601 section 2.5). Fields with this name that come from "
        "outside are removed. `null` means the host name that Postfix reports (`{j}`, its `myhostname`)."
    ),
    "policy": (
        "The policy file. A relative path starts at the folder of this file. `null` means the built-in policy, which "
        "is the same as the shipped `standard.yaml`."
    ),
    "workers": "The number of processes that judge messages. `auto` starts one for each CPU.",
    "retire_after": (
        "The number of messages after which a new process replaces a worker. The old process ends when its last "
        "connection closes."
    ),
    "trusted_networks": (
        "Mail from clients in these networks is not judged, and neither is mail from clients that logged in. Forged "
        "Authentication-Results fields are removed from it all the same. Hosts listed in `relays` are an exception: "
        "their mail is judged by the client that they received it from. IPv6 networks need quotes. A network wider "
        "than /8, or /16 for IPv6, must be marked as intended, unless it is private (fc00::/7, fe80::/10): `{network: "
        "0.0.0.0/0, unsafe: true, comment: why}`. `postfix` stands for Postfix's `mynetworks`, read at each start and "
        "reload: its addresses and networks, up to the first exclusion or file. Tables are not read, and a network "
        "that covers nearly everybody is ignored. If Postfix cannot be asked, no network is trusted."
    ),
    "relays": (
        "Your own hosts that receive mail from strangers and pass it on to this host: a backup MX, a filtering "
        "gateway, a load balancer. Give a list of their networks, or a map. A message from a relay is judged by the "
        "client that the relay received it from. The topmost Received field is the relay's own and is believed. If it "
        "names another relay, the next field is believed too, and so on, up to the first client outside these "
        "networks. iprev, SPF, DMARC, the rules and `trusted_networks` use the address and the HELO name of that "
        "client. Received fields further down are written by the sender and are not read. The header and the log name "
        "the relays (`via`). So a relay must write a Received field with the address of its client on top of all "
        "others, and must not change MAIL FROM: do not list a forwarder that changes it, or a mailing list. The mail "
        "of a relay is judged even if the relay is in `trusted_networks` or logs in. List only hosts whose Received "
        "fields you can trust."
    ),
    "relays.networks": (
        "The addresses from which relays connect to this host and to each other. IPv6 networks need quotes."
    ),
    "relays.logins": (
        "The logins (SASL) of relays, whatever their addresses are. Anybody with such a login can claim that a "
        "message came from any client."
    ),
    "relays.untraced": (
        "What happens if it is unknown which client a relay received a message from. This is so if the Received field "
        "is missing or unreadable; if it names no client, because the relay fetched the message (POP3, IMAP) or a "
        "program on the relay sent it; or if the client logged in to the relay. SPF is then `none`, with the reason, "
        "and the header has no iprev result. No `spf` or `iprev` setting applies, and no rule can let the message in "
        "because of SPF, iprev, `client`, `client_name` or `helo`. `dmarc` judges the message by DMARC, which it can "
        'still pass by DKIM. `accept` lets it in even if it fails, with `reason="local_policy: ..."`. Use `accept` '
        "only if the relays judge mail themselves, since a stranger may find a way to be untraceable."
    ),
    "recipient_delimiter": (
        'The characters that begin an address extension, as in Postfix. With `"+"`, mail for `user+x@` goes to '
        '`user@`, and a rule with `recipient: user@` matches it. `""` means that there are none. `null` asks Postfix '
        "(`postconf recipient_delimiter`, of the primary instance) at each start and reload. If Postfix cannot be "
        "asked, rules that keep mail out ignore anything after a `+` or `-`, and rules that let mail in take "
        "addresses as they are. If `-` is a delimiter, Postfix is also asked for `owner_request_special`: whether "
        "`owner-x@` and `x-request@` are addresses without an extension."
    ),
    "dns": "How mailassay asks DNS.",
    "dns.nameservers": (
        "The resolvers, tried in this order, such as `127.0.0.1`, `127.0.0.1:5353`, `::1` or `[::1]:5353`. An empty "
        "list means those in /etc/resolv.conf; changes to that file are followed without a reload. Use a resolver on "
        "this machine that validates DNSSEC if you can."
    ),
    "dns.timeout": (
        "Seconds for one try, of two or three. A resolver that refuses a question, for example while it restarts, is "
        "asked again only after this time; another resolver is asked at once."
    ),
    "dns.unavailable": (
        "What happens to a message if DNS does not work at all: none of the message's questions, or none of those for "
        "its author's policy, was answered, and DNS gives no answer for the author's top-level domain either. The "
        "resolver is then down, refuses to answer, or cannot reach anybody. `defer` makes the sender try again until "
        "DNS works; `accept` lets in mail that nobody could check."
    ),
    "dns.cache_size": (
        "The number of answers that each worker keeps for as long as their TTL allows. Each takes about 2 kB of "
        "memory, and 8 kB at most. 0 keeps none. A change needs a restart."
    ),
    "message_timeout": (
        "Seconds for all checks of one message. A result that is not known by then is a temperror. RFC 7208 section "
        "4.6.4 asks for at least 20 seconds for SPF; Postfix itself waits 300 (`milter_content_timeout`)."
    ),
    "held": "What happens to messages that the policy holds.",
    "held.remind_to": (
        "The address to which `mailassay held --remind` mails a list of the messages that mailassay put on hold: "
        "queue id, age, author domain and the policy setting that decided. `mailassay-held.timer` runs it every hour. "
        "It sends a mail if a message has not been reported yet, or if the same messages have waited for another day. "
        "The mail is sent by sendmail(1) with the null reverse-path. `null` sends no mail, and only warns in the log."
    ),
    "log": "What is logged to stderr.",
    "log.level": "The lowest level that is logged. The line about each message is `info`.",
    "log.format": "`text` for lines that people read; `json` for one JSON object a line.",
}

POLICY: Mapping[str, str] = {
    "mode": (
        "`enforce` carries out verdicts. `monitor` delivers everything; `would` in the log says what would have been "
        "done. Both remove forged Authentication-Results fields, and both reject a message that has more of them than "
        "`limits.forged_fields`."
    ),
    "lists": (
        "Named lists of domains, addresses or networks. Use `list:NAME` where a key takes one of these, alone or with "
        "others. `file:PATH` adds the lines of a file, one member a line; `#` begins a comment, and a relative path "
        "starts at the folder of the policy. An empty file (0 octets) is an error, since the program that writes it "
        "may have been interrupted; if you want no members, write a comment into it. Files are read again on reload. "
        "A list cannot contain another list."
    ),
    "dmarc": "What happens to messages that fail DMARC (RFC 9989).",
    "dmarc.reject": (
        "What happens if a message fails and its author domain publishes p=reject. RFC 9989 section 7.4 says that a "
        "receiver must not reject because of p=reject alone, without other knowledge, since mail that mailing lists "
        "and forwarders have changed would be lost. The RFC's way is `hold`, or `reject_needs`; `reject` without "
        "`reject_needs` is your own decision."
    ),
    "dmarc.quarantine": "What happens if a message fails and its author domain publishes p=quarantine.",
    "dmarc.none": (
        "What happens if a message fails and its author domain publishes p=none, which asks for nothing. Much of this "
        "mail is honest: it comes from mailing lists, forwarders, and services that the domain does not authenticate "
        "yet."
    ),
    "dmarc.temperror": (
        "What happens if DNS gave no answer, so that nobody knows whether the message passes. It applies only if "
        "quarantine or reject is known to be at stake: the author domain or a domain above it has a record that asks "
        "for it, or had one when it was last seen; or your setting for p=none is more severe than `accept`. Other "
        "mail is not delayed. `accept` lets in mail that cannot be judged now."
    ),
    "dmarc.ambiguous_author": (
        "What happens at least if From does not name exactly one clear domain. `readings` judges each domain that "
        "some mail program may show as the author. None of them passes, and the strictest of their policies decides, "
        "so the message is rejected only if one of them asks for rejection. The other actions apply whatever the "
        "domains publish (RFC 9989 section 11.5)."
    ),
    "dmarc.public_suffixes": (
        "If `true`, names below different registrable domains of the Public Suffix List never align, even if the "
        "registry publishes a policy that makes them one organization (RFC 9989 section 11.8), unless that policy "
        "says psd=n. This can only make alignment stricter."
    ),
    "dmarc.reject_needs": (
        "A condition that must also hold before `dmarc.reject` is applied to a message that fails under p=reject: the "
        "other knowledge that RFC 9989 section 7.4 asks for, such as `{spf: [fail, softfail, none]}`. If it does not "
        "hold, `dmarc.quarantine` applies, or `dmarc.reject` if that is milder."
    ),
    "dmarc.authors": (
        "Settings for some author domains, which replace the general ones. The first element that matches the author "
        "domain counts. If From can be read to name several domains, each has its own element, and the most severe "
        "action that they and the general settings ask for is taken: a stricter setting applies if any of the domains "
        "has it, a milder one or `monitor` only if all of them do."
    ),
    "dmarc.authors.for": "The author domains to which this element applies. Required.",
    "dmarc.authors.reject": "Replaces `dmarc.reject`. If omitted, `dmarc.reject` and `dmarc.reject_needs` apply.",
    "dmarc.authors.quarantine": "Replaces `dmarc.quarantine`. If omitted, that one applies.",
    "dmarc.authors.none": (
        "What happens if a message fails and the domain publishes p=none. If omitted, `dmarc.none` applies. Use it to "
        "enforce DMARC for your own domain, or for a domain that never goes beyond p=none."
    ),
    "dmarc.authors.unpublished": (
        "What happens if the domain publishes no valid DMARC policy, and neither SPF nor DKIM passes for the domain "
        "or for another one that the same name in `for` covers. For example, with `.example.com`, a signature of "
        "mail.example.com is enough for example.com. A signature with l= is not. If omitted, such mail is accepted. "
        "Use it for your own domains that have no record yet."
    ),
    "dmarc.authors.monitor": "If `true`, only record what would be done.",
    "dmarc.authors.comment": "Words for people. Required if `unsafe` is true.",
    "dmarc.authors.unsafe": (
        "Confirms that `reject` or `quarantine` of this element is meant to let in mail that fails, from anybody. "
        "Without it, these keys do not take `accept` or `tag`. A rule that requires something authenticated is "
        "better."
    ),
    "dmarc.trusted_sealers": (
        "ARC sealers (d= of ARC-Seal) that are believed. A message that fails is accepted if its chain passes, its "
        "newest sealer is listed here, and that sealer recorded dmarc=pass for the same author domain; or recorded "
        "arc=pass, and so on down the chain (RFC 8617 section 7.2). No `spf` setting refuses such a message if MAIL "
        "FROM is in the author domain, or if the sealer that recorded dmarc=pass also recorded spf=pass for MAIL "
        "FROM. Otherwise `spf` settings apply, and `iprev` settings always do. A trusted sealer can let in mail in "
        "anybody's name, and anybody who has a message that it sealed can send it again. The header says "
        '`reason="local_policy: ..."`. If the chain passes but the sealer\'s record is not believed, the log says why '
        "(`not_vouched`)."
    ),
    "dmarc.trusted_forwarders": (
        "Hosts that forward other people's mail and have judged it: networks, or client names that DNS confirms "
        "(iprev=pass). A message that fails is accepted if it comes from one of them, and `spf` and `iprev` settings "
        'do not refuse it. If DMARC failed, the header says `reason="trusted_forwarder: ..."`. Networks wider than '
        "/8, or /16 for IPv6, and top-level domains are not allowed."
    ),
    "dmarc.mailing_lists": (
        "Domains of mailing lists. A message that fails is accepted if it has a List-Id or List-Post field and SPF or "
        "DKIM authenticated one of these domains. No `spf` setting refuses such a message if MAIL FROM is in the "
        "author domain or in the list's. Otherwise `spf` settings apply, and `iprev` settings always do. The header "
        'says `reason="mailing_list: ..."`.'
    ),
    "dmarc.enforce_percent": (
        "The percentage of messages to which the `dmarc` settings are applied; for the others, the log records what "
        "they ask for. Use it to enforce in steps. A message that is sent again always falls into the same part, and "
        "its sender cannot know which: the choice depends on Message-ID, From and Date and on `/etc/machine-id`. So "
        "two hosts choose different messages."
    ),
    "dkim": "Which DKIM signatures count.",
    "dkim.partial": (
        "Whether a good signature that does not cover the end of the body (l=), to which anybody can add, counts for "
        "DMARC: `ignore` or `align` (RFC 6376 section 8.2)."
    ),
    "dkim.repeated_fields": (
        "The result of a good signature, in ARC too, if the message has another To, Cc, Sender, Reply-To, Date or "
        "Content-Transfer-Encoding field that the signature does not cover, beside one that it covers: `fail` or "
        "`pass`. A mail program may show either of them (RFC 6376 section 8.15), but mailing lists and some mail "
        "programs do add such fields. Another From, Subject or Content-Type always makes the signature fail. A field "
        "that differs from the signed one only in white space never does."
    ),
    "spf": (
        "What happens because of the SPF result of MAIL FROM, or of HELO if the reverse-path is null (RFC 7208 "
        "section 8). These settings also affect forwarded mail that passes DMARC by its DKIM signature. "
        "`dmarc.trusted_forwarders`, `dmarc.trusted_sealers` and `dmarc.mailing_lists` say which of the mail that "
        "they let in is exempt."
    ),
    "spf.fail": "The domain says that the client is not allowed to send for it (`-all`).",
    "spf.softfail": "The domain says that the client is probably not allowed to (`~all`).",
    "spf.permerror": "The domain's SPF record has an error.",
    "spf.temperror": "DNS gave no answer.",
    "iprev": (
        "What happens because of the name of the client's address (RFC 8601 section 2.7.3). Mail from "
        "`dmarc.trusted_forwarders` is exempt."
    ),
    "iprev.fail": "The address has a name, but the name does not lead back to the address.",
    "iprev.permerror": "The address has no name.",
    "iprev.temperror": "DNS gave no answer.",
    "sender_domain": (
        "What happens if nobody could reply to the MAIL FROM domain. If all of these settings accept and no rule uses "
        "`sender_domain`, nothing is looked up. The result is in the log, not in the header."
    ),
    "sender_domain.null_mx": "The domain says that it accepts no mail (RFC 7505). The reply has 5.7.27.",
    "sender_domain.no_mail": (
        "The domain does not exist, or has neither an MX record nor an address (RFC 5321 section 5.1). The reply has "
        "5.1.8."
    ),
    "sender_domain.temperror": "DNS gave no answer.",
    "tag": (
        "The header fields that the action `tag` writes, so that Sieve can file the message. The action `hold` writes "
        "the second one."
    ),
    "tag.flag": "The name of a field whose value is `YES`.",
    "tag.verdict": (
        "The name of a field whose value is the action and the policy setting that decided: `tag; rule=spf.fail`. "
        "Fields of this name that come from outside are removed."
    ),
    "limits": (
        "How much of what a sender controls is looked at. Nothing beyond a limit passes. The limits that RFCs set for "
        "SPF and the DMARC tree walk cannot be lowered."
    ),
    "limits.header_fields": (
        "Header fields of one message. If there are more, DMARC fails as if the author domain asked for rejection."
    ),
    "limits.header_octets": (
        "Octets of one message's header section. If there are more, DMARC fails as if the author domain asked for "
        "rejection."
    ),
    "limits.from_fields": "From fields. If there are more, DMARC fails as if the author domain asked for rejection.",
    "limits.from_octets": (
        "Octets of all From fields together. If there are more, DMARC fails as if the author domain asked for "
        "rejection. The same applies if a line of From, or the name of any header field, is longer than 998 octets, "
        "since an MTA that sends the message on breaks it; and if From has more than 1000 words and special "
        "characters."
    ),
    "limits.from_domains": "Author domains. If there are more, DMARC fails as if one of them asked for rejection.",
    "limits.forged_fields": (
        "Forged fields with our authserv-id or of a name that the policy writes, all of which are removed. If there "
        "are more, the message is rejected, even if `mode` is `monitor`."
    ),
    "limits.results_octets": (
        "Octets of Authentication-Results fields, from the top. Fields beyond are removed unread, and so are those "
        "beyond 1000 parentheses, quotes and backslashes in total; each field counts as four more."
    ),
    "limits.signatures": "DKIM signatures, from the top. Further ones are ignored.",
    "limits.key_records": "DKIM key records at one selector. Further ones are ignored.",
    "limits.key_bits": "Bits of an RSA key. A larger key is a permerror.",
    "limits.signature_work": (
        "The work of reading and verifying all DKIM signatures and then ARC, in units of about a microsecond. Beyond "
        "it, DKIM is permerror and ARC fails. Ten signatures and five ARC sets with 2048-bit keys take about 3000."
    ),
    "limits.clock_tolerance": "Seconds by which t= of a DKIM signature may be in the future, and x= in the past.",
    "limits.arc_sets": "ARC sets. If there are more, the chain fails (RFC 8617 section 4.2.1 sets 50).",
    "limits.spf_terms": "SPF terms that cause DNS queries. More are a permerror (RFC 7208 section 4.6.4).",
    "limits.spf_void_lookups": "SPF lookups that find nothing. More are a permerror (RFC 7208 section 4.6.4).",
    "limits.spf_mx_hosts": "Hosts of one `mx` term of SPF. More are a permerror (RFC 7208 section 4.6.4).",
    "limits.ptr_names": "Names of the client's address, in alphabetical order. Further ones are ignored.",
    "limits.dmarc_queries": "DNS queries of one DMARC tree walk (RFC 9989 section 4.10).",
    "limits.identifiers": "SPF and DKIM domains that may align with the author. Further ones are ignored.",
    "limits.record_octets": (
        "Octets of one record. A longer one is a permerror for SPF and DKIM, and no policy for DMARC."
    ),
    "limits.dns_questions": (
        "DNS questions of one check of a message: iprev, SPF of MAIL FROM, SPF of HELO, ARC. Further ones are not "
        "asked; the result is then permerror, or a chain that fails. Other limits bound the questions for DMARC "
        "policies and DKIM keys."
    ),
    "limits.dns_octets": "Octets of one DNS response. A larger one is not read, which is a permerror.",
    "limits.dns_records": (
        "Records of one DNS response, CNAMEs included. A response with more is not read, which is a permerror."
    ),
    "rules": (
        "Your own rules. The first rule that applies decides, and no other setting of the policy does. If no rule "
        "applies, the most severe action that the other settings ask for is taken. A rule that matches only some "
        "recipients, or only some of the domains that From may be read to name, does not decide: its action is the "
        "least that is done."
    ),
    "rules.name": (
        "The name of the rule in the log and the header: at most 60 letters, digits, `_`, `.` and `-`. Required, and "
        "unique."
    ),
    "rules.comment": "Words for people. Required if `unsafe` is true.",
    "rules.expires": (
        "The last day of the rule, in UTC, such as 2030-12-31. After that day the rule never applies, and `mailassay "
        "config check` warns about it."
    ),
    "rules.monitor": "If `true`, only record what would be done (`monitored` in the log), and go on to the next rule.",
    "rules.unsafe": (
        "Confirms that the rule is meant to let in mail that fails, from anybody. Without it, a rule that accepts or "
        "tags must require something authenticated: `client` (not wider than /8, or /16 for IPv6), `client_name`, "
        "`spf_pass`, `dkim_pass`, `sealer` (not of a top-level domain), `dmarc` with only `pass` and `none`, or "
        "`policy: none`. Each part of an `any` must do so; a `not` never counts."
    ),
    "rules.if": (
        "When the rule applies. A rule that accepts applies only if it matches every recipient and every domain that "
        "From may be read to name; a rule that tags, holds, defers or rejects applies if it matches any of them. If "
        "DNS gives no answer, nothing is authenticated: a rule that accepts does not apply if the missing answer "
        "could have ruled it out, and a message that would be rejected only for want of the answer is deferred. "
        "Required."
    ),
    "rules.then": "The action. Required.",
    "rules.reply": "The text of the SMTP reply of `reject` or `defer`. It can contain placeholders.",
    "rules.enhanced": (
        "The enhanced status code of the reply (RFC 3463): 5.x.x for `reject`, 4.x.x for `defer`. If omitted, it is "
        "5.7.1 or 4.7.1."
    ),
    "rules.headers": (
        "Header fields, name and value, that are added if the message is delivered or held. The values can contain "
        "placeholders. Fields of these names that come from outside are removed. Names that mean something to mail "
        "software, such as Subject, are refused."
    ),
    "rules.reason": "Words for the log, and for messages that are held. They can contain placeholders.",
    "if.author": "The author domain: the domain in From.",
    "if.mail_from": "The domain of MAIL FROM; `<>` is the null reverse-path. Not authenticated.",
    "if.recipient": (
        "A recipient (RCPT TO), with or without its address extension (`recipient_delimiter`). What Postfix does with "
        "the address later is unknown here: virtual aliases, aliases(5), canonical maps, forwarding by the user."
    ),
    "if.client": (
        "The address of the client. For a message from one of `relays`, it is the client that the relay received it "
        "from. If that client is unknown, no rule lets the message in because of `client`, `client_name`, `helo`, "
        "`iprev`, `spf`, `spf_helo` or `spf_pass`, or because of `not` with one of them."
    ),
    "if.client_name": (
        "A name of the client that leads back to its address (iprev=pass). If it has several, each of them counts, "
        "not only the one in the header and the log."
    ),
    "if.helo": "The name in HELO or EHLO. Not authenticated.",
    "if.spf_pass": "The domain of MAIL FROM, or of HELO if the reverse-path is null, if SPF passes.",
    "if.dkim_pass": (
        "The domain (d=) of a good DKIM signature. Signatures whose key is in testing (t=y), or that do not cover the "
        "end of the body (l=), do not count."
    ),
    "if.sealer": "The newest sealer (d=) of an ARC chain that passes.",
    "if.iprev": "The result of iprev.",
    "if.spf": "The SPF result of MAIL FROM, or of HELO if the reverse-path is null.",
    "if.spf_helo": "The SPF result of HELO.",
    "if.dkim": "The best result of all DKIM signatures; `none` if there are none.",
    "if.arc": "The result of the ARC chain.",
    "if.dmarc": (
        "The result of DMARC. If From may be read to name several domains, `dmarc`, `policy` and `policy_tag` look at "
        "the message and at each of them."
    ),
    "if.policy": "The policy that applies to the author domain, after the choice of p=, sp= or np= and after t=y.",
    "if.policy_tag": (
        "The tag that this policy came from: `p`, the author domain's own; `sp`, a parent's for subdomains; `np`, a "
        "parent's for names that do not exist."
    ),
    "if.sender_domain": "Whether the MAIL FROM domain can receive mail; see `sender_domain`.",
    "if.all": "All of these must hold.",
    "if.any": "At least one of these must hold.",
    "if.not": "This must not hold.",
}

ACTIONS: Mapping[str, str] = {
    Action.ACCEPT: "Deliver.",
    Action.TAG: "Deliver, with header fields by which Sieve can file the message (`tag.flag`, `tag.verdict`).",
    Action.HOLD: "Put the message into Postfix's hold queue; `mailassay held` lists it.",
    Action.DEFER: "Reply with 4xx. The sender tries again.",
    Action.REJECT: "Reply with 5xx. The sender is told.",
}

PLACEHOLDERS: Mapping[str, str] = {
    "author": "the author domain; `unknown` if there is none",
    "mail_from_domain": "the domain of MAIL FROM; `unknown` if it is not a domain",
    "client_ip": "the address of the client",
    "policy": "the DMARC policy that applies: `none`, `quarantine` or `reject`",
    "rule": "the name of the rule",
}

NOTATION: Mapping[str, str] = {
    "example.com": "this domain, but none below it",
    ".example.com": "this domain and every one below it",
    "user@example.com": "this address; letter case does not matter",
    "user@": "this local-part at any domain",
    "<>": "the null reverse-path (`mail_from`)",
    "192.0.2.0/24": "a network, or one address; IPv6 needs quotes",
    "list:NAME": "the members of a list under `lists`",
}
