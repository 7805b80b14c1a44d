"""An outcome in words: for a message that is judged now, and for one of the history."""
