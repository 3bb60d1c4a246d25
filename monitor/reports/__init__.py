"""Messages in, documents out. Pure functions."""
