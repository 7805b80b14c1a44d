"""The history as web pages: a process of its own, which only reads."""
