"""Public conformance suites, replayed end to end: python -m tests.conformance [FOLDER]

Each case brings its DNS zone and its message. The zone is served by a real DNS server with TTL 0, the message goes to
`mailassay serve`, a real second process, over the milter socket, and what is judged is the answer: the header fields
that it inserts and removes. Nothing of mailassay is called directly.

A module a method says how its suites are read (``spf``, ``arc``, ``dkim``, ``dmarc``, ``psl``, ``authres``), ``suites``
finds them in a folder by their names, ``waivers`` names the cases that cannot pass, and why.
"""
