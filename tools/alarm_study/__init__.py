"""Parts of tools/alarms.py."""
