"""The life of a signing key: made, published in DNS, active, retired, revoked (RFC 6376 sections 3.1 and 3.6)."""
