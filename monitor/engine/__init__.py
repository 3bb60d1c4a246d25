"""The engine: configuration in, a running loop out."""
