"""The limits of the standard policy, for tests that are about something else."""

from mailassay.limits import Limits

LIMITS = Limits()
