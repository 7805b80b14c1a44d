"""The history as web pages: what is answered, and to whom."""
