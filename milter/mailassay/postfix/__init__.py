"""Postfix by its own commands: its configuration, its hold queue, and the mail about what is held."""
