"""Postfix by its own commands: its configuration, its hold queue, and the mail about messages on hold."""
