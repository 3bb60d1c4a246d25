"""Subcommands of ecg-monitor, one module each."""
