"""Coverage-guided fuzzing of whole conversations (``talk``) and of each parser (``parsers``).

``make fuzz`` runs it with atheris; ``tests/test_fuzz.py`` replays the corpus and every finding without.
"""
