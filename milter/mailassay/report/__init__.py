"""What happened to the mail of some days: the figures, and how they are shown to people and programs."""

from .figures import Figures, OnHold, Span, figures

__all__ = ["Figures", "OnHold", "Span", "figures"]
