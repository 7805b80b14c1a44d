"""Failure reports, RFC 9991: which message makes one, what of it is said, and the mail.

Nothing here waits or asks anybody. A worker picks the incidents, and the collector redacts them before it keeps them.
"""
