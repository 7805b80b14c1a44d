"""Judging a message: facts go in through ``session``, an ``Outcome`` comes out, and ``logline`` renders it."""
