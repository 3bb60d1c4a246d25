"""Parts of tools/noise.py."""
