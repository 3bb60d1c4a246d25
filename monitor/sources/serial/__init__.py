"""Serial devices."""
