"""Records as they are kept: compressed with a dictionary of the words that nearly every record has."""

from __future__ import annotations

import json
import zlib
from typing import Any

_LEVEL = 6
# The end of a dictionary costs least to refer to. It never changes: what it packed could not be read any more. Another
# one needs another first octet.
_FIRST = b"\x01"
_WORDS = (
    b'{"v":1,"kind":"message","time":,"host":"","queue_id":"","message_id":"<>","client":"","helo":"mail."'
    b',"addresses":"full","mail_from":"","recipients":[""],"more_recipients":0,"login":"","results'
    b'":{"iprev":"fail","iprev_why":{"fault"'
    b':"unconfirmed","reason":""},"name":"mail.","spf":"fail","spf_why":{"fault":"matched","reason":"-all"'
    b'},"mail_from":"","spf_helo":"none","spf_helo_why":{"fault":"no_record","reason":""},"helo":"mail.","'
    b'dkim":[{"result":"pass","domain":"","selector":"","algorithm":"rsa-sha256","fault":null,"reason":""}'
    b'],"arc":"none","dmarc":"fail","dmarc_why":{"fault":"unaligned","reason":""},"header_from":"","policy'
    b'":"reject","policy_at":"","public_suffix":null},"verdict":"reject","would":"reject","kind_of_rule":"'
    b'setting","rule":"dmarc.reject","line":null,"file":"/etc/mailassay/policy.yaml","policy":"","monitore'
    b'd":[],"override":"","reason":"DMARC fail for , whose policy is quarantine","reply":"550 5.7.26 ","ad'
    b'ded":[["Authentication-Results",";\\n iprev=pass policy.iprev= ();\\n spf=pass smtp.mailfrom=;\\n dkim='
    b"pass header.d= header.i=@ header.s= header.a=rsa-sha256 header.b=;\\n arc=none smtp.remote-ip=;\\n dma"
    b'rc=pass header.from= policy.dmarc=none"]],"removed":[],"unanswered":false,"unsent":false'
    b',"sample":null,"seconds":0.0,"version":"","evidence":{"iprev"'
    b':{"result":"pass","client_ip":"","name":"","reason":"","limit":"","names":[""],"unanswered":[],"faul'
    b't":null},"spf_helo":{"result":"none","scope":"helo","domain":"","mechanism":"","reason":"","limit":"'
    b'","fault":"no_record"},"spf_mail_from":{"result":"pass","scope":"mailfrom","domain":"","mechanism":"'
    b'","reason":"","limit":"","fault":null},"dkim":[{"result":"pass","domain":"","identity":"@","selector'
    b'":"","algorithm":"ed25519-sha256","b_text":"","bits":2048,"testing":false,"partial":false,"reason":"'
    b'","limit":"","fault":null}],"arc":{"result":"none","sealers":[],"oldest_pass":null,"reason":"","faul'
    b't":null},"dmarc":{"result":"pass","header_from":"","policy":"none","tag":"p","found_at":"","org_doma'
    b'in":null,"aligned":[{"method":"spf","domain":"","result":"pass"},{"method":"dkim","domain":"","resul'
    b't":"pass"}],"testing":false,"ambiguous":false,"public_suffix":null,"at_stake":"none","reason":"align'
    b'ed: spf , dkim ","readings":[],"fault":null},"authors":[""],"sender_domain":null,"vouched":"","maili'
    b'ng_list":false,"vouched_mail_from":"","not_vouched":null},"partial":"ignore","dmarc_record":'
    b'{"at":"","p":"none","sp":nu'
    b'll,"np":null,"psd":"u","t":"n","adkim":"r","aspf":"r","fo":"0","rua":["mailto:"],"ruf":[],"alignment'
    b'":[{"method":"spf","domain":"","result":"pass","how":"same"},{"method":"dkim","domain":"","result":"'
    b'pass","how":"organization"}]}}'
)


# json.dumps makes an encoder for each call
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def pack(record: dict[str, Any]) -> bytes:
    """A record, packed."""
    packer = zlib.compressobj(_LEVEL, zdict=_WORDS)
    return _FIRST + packer.compress(_encode(record).encode()) + packer.flush()


def unpack(octets: bytes) -> dict[str, Any]:
    """The record that was packed. Raises ValueError if it was not, or by a later version."""
    if octets[:1] != _FIRST:
        raise ValueError("a record of another version")
    unpacker = zlib.decompressobj(zdict=_WORDS)
    try:
        found = json.loads(unpacker.decompress(octets[1:]) + unpacker.flush())
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not isinstance(found, dict):
        raise ValueError("not a record")
    return found
