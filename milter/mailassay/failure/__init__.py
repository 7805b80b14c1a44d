"""Failure reports (RFC 9991): what one says of a message, and how it is written."""
