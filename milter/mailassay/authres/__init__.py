"""Authentication-Results, RFC 8601: ``render`` writes our field and recognizes forged ones; ``read`` reads any."""
