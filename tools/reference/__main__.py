"""Write all that is made of the shapes, the reference and the command line: python -m tools.reference"""

from __future__ import annotations

from .files import FILES, ROOT


def main() -> None:
    """Write each file anew."""
    for name, made in FILES.items():
        path = ROOT / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(made())


main()
