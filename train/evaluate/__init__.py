"""Protocols and figures of detection quality."""
