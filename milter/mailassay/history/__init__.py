"""What happened to each message: its record, and the way of the record from a worker to the collector."""
