"""The database of the history: its tables, what goes in, and what comes out. No worker imports this room."""
