"""Subcommands of `ecg-monitor`, one module each. They import what they need when they run: `--help` must be quick."""
