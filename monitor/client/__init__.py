"""A subscriber that loses no message."""
