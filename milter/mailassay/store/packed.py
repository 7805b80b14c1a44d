"""Records as they are kept: compressed with a dictionary of the words that nearly every record has.

What is compressed is the line of the spool as it came: to write it anew would cost the collector as much as all else
that it does with a record.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from ..history.record import read

_LEVEL = 6
_FIRST = b"\x02"
# The end of a dictionary costs least to refer to. None ever changes: what it packed could not be read any more. Each
# has a first octet of its own.
_WORDS = {
    # for values with their keys, which 0.2 kept
    b"\x01": (
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
    ),
    _FIRST: (
        b'{"v":1,"kind":"message","values":[1,"mx","4","<@","mail.","domain","@",["@"],0,"",{"iprev":"fail","iprev_wh'
        b'y":{"fault":"unconfirmed","reason":""},"name":"mail.","spf":"fail","spf_why":{"fault":"matched","reason":"-'
        b'all"},"mail_from":"","spf_helo":"none","spf_helo_why":{"fault":"no_record","reason":""},"helo":"mail.","dki'
        b'm":[{"result":"pass","domain":"","selector":"","algorithm":"rsa-sha256","fault":null,"reason":""}],"arc":"n'
        b'one","dmarc":"fail","dmarc_why":{"fault":"unaligned","reason":""},"header_from":"","policy":"quarantine","p'
        b'olicy_at":"","public_suffix":null},"reject","reject","setting","dmarc.reject",null,"/etc/mailassay/policy.y'
        b'aml","",[],"","DMARC fail for , whose policy is reject","550 5.7.26 ",[["Authentication-Results",";\\n ipre'
        b"v=pass policy.iprev= ();\\n spf=pass smtp.mailfrom=;\\n dkim=pass header.d= header.i=@ header.s= header.a=r"
        b'sa-sha256 header.b=;\\n arc=none smtp.remote-ip=;\\n dmarc=pass header.from= policy.dmarc=none"]],[],"accep'
        b't","accept","default","default",null,null,"full","",[],"","",null,[],false,false,null,0.00,0.00,"0.",[["pas'
        b's","","mail.","","",[""],[],null],["none","helo","mail.","","","","no_record"],["pass","mailfrom","","ip4:"'
        b',"","",null],[["pass","","@","","ed25519-sha256","",256,false,false,"","",null],["pass","","@","","rsa-sha2'
        b'56","",2048,false,false,"","",null]],["none",[],null,"",null],["pass","","none","p","",null,[["spf","","pas'
        b's"],["dkim","","pass"]],false,false,null,"none","aligned: spf , dkim ",[],null],[""],null,"",false,"",null]'
        b',"ignore",["","none",null,null,"u","n","r","r","0",["mailto:"],[],[[["spf","","pass"],"same"],[["dkim","","'
        b'pass"],"organization"]]],null,null]}'
    ),
}


def pack(line: bytes) -> bytes:
    """A line of the spool, packed."""
    packer = zlib.compressobj(_LEVEL, zdict=_WORDS[_FIRST])
    return _FIRST + packer.compress(line) + packer.flush()


def unpack(octets: bytes) -> dict[str, Any]:
    """The record whose line was packed. Raises ValueError if none was, or by a later version."""
    words = _WORDS.get(octets[:1])
    if words is None:
        raise ValueError("a record of another version")
    unpacker = zlib.decompressobj(zdict=words)
    try:
        found = json.loads(unpacker.decompress(octets[1:]) + unpacker.flush())
        if not isinstance(found, dict):
            raise ValueError("not a record")
        return read(found)
    except (zlib.error, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
