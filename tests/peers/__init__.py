"""Programs that nobody here wrote read our reports. Each runs in an environment of its own (make peers)."""
