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
_FIRST = b"\x01"
# The end of a dictionary costs least to refer to. It never changes: what it packed could not be read any more. Another
# one needs another first octet.
_WORDS = (
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
)


def pack(line: bytes) -> bytes:
    """A line of the spool, packed."""
    packer = zlib.compressobj(_LEVEL, zdict=_WORDS)
    return _FIRST + packer.compress(line) + packer.flush()


def unpack(octets: bytes) -> dict[str, Any]:
    """The record whose line was packed. Raises ValueError if none was, or by a later version."""
    if octets[:1] != _FIRST:
        raise ValueError("a record of another version")
    unpacker = zlib.decompressobj(zdict=_WORDS)
    try:
        found = json.loads(unpacker.decompress(octets[1:]) + unpacker.flush())
        if not isinstance(found, dict):
            raise ValueError("not a record")
        return read(found)
    except (zlib.error, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
