"""mailassay: is this mail what it claims to be? One milter, five checks, one header, one verdict."""

__version__ = "0.2.0"
