"""What postqueue(1) and postcat(1) of Postfix 3.7.11 print about messages that mailassay put on hold."""

from __future__ import annotations

POSTQUEUE = b"""\
{"queue_name": "hold", "queue_id": "4jWpw36fNkzL4ql", "arrival_time": 1795258404, "message_size": 395, \
"forced_expire": false, "sender": "eve@attacker.example", "recipients": [{"address": "bob@receiver.example"}, \
{"address": "zoe@receiver.example"}]}
{"queue_name": "deferred", "queue_id": "C19B222254E", "arrival_time": 1795258300, "message_size": 331, \
"forced_expire": false, "sender": "ann@news.example", "recipients": [{"address": "bob@receiver.example", \
"delay_reason": "connect to receiver.example[192.0.2.9]:25: Connection refused"}]}
{"queue_name": "hold", "queue_id": "BD6582483ED", "arrival_time": 1795258314, "message_size": 302, \
"forced_expire": false, "sender": "MAILER-DAEMON", "recipients": [{"address": "bob@receiver.example"}]}
"""
RECEIVED = b"""\
Received: from attacker.example (unknown [198.51.100.66])
\tby mx.receiver.example (Postfix) with ESMTP id C08FE2483EE
\tfor <bob@receiver.example>; Sat, 21 Nov 2026 10:51:54 +0000 (UTC)
"""
# what mailassay wrote on top
RESULTS = b"""\
Authentication-Results: mx.receiver.example;
 iprev=fail policy.iprev=198.51.100.66;
 spf=pass smtp.mailfrom=attacker.example;
 dkim=none;
 arc=none smtp.remote-ip=198.51.100.66;
 dmarc=fail header.from=shop.example policy.dmarc=quarantine
"""
VERDICT = b"X-Mailassay-Verdict: hold; rule=dmarc.quarantine\n"


def printed_by_postcat(path: bytes, header: bytes) -> bytes:
    """About a file of the queue."""
    return b"""\
*** ENVELOPE RECORDS %b ***
message_size:             302             795               1               0             302               0
message_arrival_time: Sat Nov 21 10:51:54 2026
create_time: Sat Nov 21 10:51:54 2026
named_attribute: log_ident=C08FE2483EE
sender:\x20
named_attribute: helo_name=attacker.example
original_recipient: bob@receiver.example
recipient: bob@receiver.example
*** MESSAGE CONTENTS %b ***
%b*** HEADER EXTRACTED %b ***
named_attribute: encoding=8bit
*** MESSAGE FILE END %b ***
""" % (path, path, header, path, path)
