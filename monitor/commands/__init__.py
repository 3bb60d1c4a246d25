"""Subcommands of `ecg-monitor`, one module a noun; each imports late, so that `--help` answers at once."""
