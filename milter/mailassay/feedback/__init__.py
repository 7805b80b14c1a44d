"""DMARC reports on their way: who gets one, whether this host may send it, and how Postfix gets it."""
