"""What DNS says of a mail domain, and what is wrong with it."""
