"""A message file judged once more, and explained: for ``mailassay check``."""
