"""`mailassay` as a user who may do nothing that root may: libmilter looks at the effective user."""

import os
import pwd
import sys

# while their files can still be read
import mailassay.cli.check
import mailassay.cli.collect
import mailassay.cli.key
import mailassay.cli.serve
import mailassay.collector
import mailassay.daemon  # noqa: F401
from mailassay.cli import main
from mailassay.dmarc import suffix

if __name__ == "__main__":
    suffix.read()
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    sys.exit(main())
