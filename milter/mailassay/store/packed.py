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
    b'{"v":1,"kind":"message","values":[1,"mx","4","<@","mail.","domain","@",["@"],0,"",[],"","reject","reject","s'
    b'etting","dmarc.reject",null,"/etc/mailassay/policy.yaml","",[],"","DMARC fail for , whose policy is reject",'
    b'"550 5.7.26 ",[["Authentication-Results",";\\n iprev=pass policy.iprev= ();\\n spf=pass smtp.mailfrom=;\\n dkim'
    b"=pass header.d= header.i=@ header.s= header.a=rsa-sha256 header.b=;\\n arc=none smtp.remote-ip=;\\n dmarc=pass"
    b' header.from= policy.dmarc=none"]],[],"accept","accept","default","default",null,null,"full","",[],"","",nul'
    b'l,[],false,false,null,0.00,0.00,"0.",[["pass","","mail.","","",[""],[],null],["none","helo","mail.","","",""'
    b',"no_record"],["pass","mailfrom","","ip4:","","",null],[["pass","","@","","ed25519-sha256","",256,false,fals'
    b'e,"","",null],["pass","","@","","rsa-sha256","",2048,false,false,"","",null]],["none",[],null,"",null],["pas'
    b's","","none","p","",null,[["spf","","pass"],["dkim","","pass"]],false,false,null,"none","aligned: spf , dkim'
    b' ",[],null],[""],null,"",false,"",null],"ignore",["","none",null,null,"u","n","r","r","0",["mailto:"],[],[[['
    b'"spf","","pass"],"same"],[["dkim","","pass"],"organization"]]],null,null]}'
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
